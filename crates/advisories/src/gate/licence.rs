//! Licences against patterns: which of the licences of an expression one cannot do without.
//!
//! SPDX 2.3, annex D: `OR` is a choice, `AND` and several declarations are all of them, `WITH` adds permissions to a licence.
//! A text that is no expression is one licence by that name.

use crate::glob;

/// The most operators and brackets followed; an expression of more is one name, which no pattern of a single licence meets.
const MAX_DEPTH: usize = 64;

/// How a pattern that holds for a licence holds for what has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    /// There is no way around a matching licence: every choice has one.
    Needed,
    /// There is a choice in which every licence matches.
    Enough,
}

/// Whether the licences, all of which apply, are of the patterns.
pub(super) fn holds(patterns: &[String], licences: &[&str], sense: Sense) -> bool {
    let of_one = |text: &&str| Expression::parse(text).holds(patterns, sense);
    match sense {
        Sense::Needed => licences.iter().any(of_one),
        Sense::Enough => !licences.is_empty() && licences.iter().all(of_one),
    }
}

#[derive(Debug, PartialEq)]
enum Expression<'t> {
    One(&'t str),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl<'t> Expression<'t> {
    fn parse(text: &'t str) -> Self {
        let tokens = tokens(text);
        let mut parser = Parser { tokens: &tokens, text };
        match parser.any(MAX_DEPTH) {
            Some(whole) if parser.tokens.is_empty() => whole,
            _ => Self::One(text.trim()),
        }
    }

    fn holds(&self, patterns: &[String], sense: Sense) -> bool {
        match (self, sense) {
            (Self::One(licence), _) => matches(patterns, licence),
            (Self::All(parts), Sense::Needed) | (Self::Any(parts), Sense::Enough) => {
                parts.iter().any(|part| part.holds(patterns, sense))
            }
            (Self::All(parts), Sense::Enough) | (Self::Any(parts), Sense::Needed) => {
                parts.iter().all(|part| part.holds(patterns, sense))
            }
        }
    }
}

/// Licences are the same in upper and lower case (annex D.2). One with an exception is also that licence.
fn matches(patterns: &[String], licence: &str) -> bool {
    let whole = licence.to_ascii_lowercase();
    let base = whole.split(" with ").next().unwrap_or(&whole);
    patterns.iter().any(|pattern| {
        let pattern = pattern.to_ascii_lowercase();
        glob::matches(&pattern, &whole) || glob::matches(&pattern, base)
    })
}

/// Words and brackets, with where in the text they begin and end.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let mut tokens = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() || c == '(' || c == ')' {
            tokens.extend(start.take().map(|start| (start, at)));
            if !c.is_whitespace() {
                tokens.push((at, at + 1));
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    tokens.extend(start.map(|start| (start, text.len())));
    tokens
}

struct Parser<'p, 't> {
    tokens: &'p [(usize, usize)],
    text: &'t str,
}

impl<'t> Parser<'_, 't> {
    fn peek(&self) -> Option<&'t str> {
        let (start, end) = self.tokens.first()?;
        self.text.get(*start..*end)
    }

    fn next(&mut self) -> Option<(usize, usize)> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(*first)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = self.peek().is_some_and(|next| next == word);
        if is {
            self.next();
        }
        is
    }

    fn any(&mut self, depth: usize) -> Option<Expression<'t>> {
        let mut parts = vec![self.all(depth)?];
        while self.takes("OR") {
            parts.push(self.all(depth)?);
        }
        Some(single(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Option<Expression<'t>> {
        let mut parts = vec![self.one(depth)?];
        while self.takes("AND") {
            parts.push(self.one(depth)?);
        }
        Some(single(parts, Expression::All))
    }

    fn one(&mut self, depth: usize) -> Option<Expression<'t>> {
        if self.takes("(") {
            let inner = self.any(depth.checked_sub(1)?)?;
            return self.takes(")").then_some(inner);
        }
        if matches!(self.peek()?, ")" | "AND" | "OR" | "WITH") {
            return None;
        }
        let (start, mut end) = self.next()?;
        if self.takes("WITH") {
            end = self.next()?.1;
        }
        Some(Expression::One(self.text.get(start..end)?))
    }
}

fn single<'t>(mut parts: Vec<Expression<'t>>, many: fn(Vec<Expression<'t>>) -> Expression<'t>) -> Expression<'t> {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            parts.extend(last);
            many(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_and_what_is_enough() {
        for (licences, pattern, needed, enough) in [
            (["GPL-3.0-only"].as_slice(), "GPL-3.0*", true, true),
            (&["gpl-3.0-ONLY"], "GPL-3.0-only", true, true),
            (&["MIT"], "GPL-3.0*", false, false),
            // Whoever may choose does not need it; whoever takes it has enough.
            (&["MIT OR GPL-3.0-only"], "GPL-3.0*", false, true),
            (&["MIT AND GPL-3.0-only"], "GPL-3.0*", true, false),
            (&["MIT", "GPL-3.0-only"], "GPL-3.0*", true, false),
            (&["MIT", "MIT OR Apache-2.0"], "MIT", true, true),
            (&["(MIT OR GPL-2.0-only) AND GPL-3.0-only"], "GPL-3.0*", true, false),
            (&["MIT AND (ISC OR GPL-3.0-only)"], "GPL-3.0*", false, false),
            // AND binds more than OR.
            (&["MIT OR ISC AND GPL-3.0-only"], "GPL-3.0*", false, false),
            (
                &["GPL-2.0-only WITH Classpath-exception-2.0"],
                "GPL-2.0-only",
                true,
                true,
            ),
            (
                &["GPL-2.0-only WITH Classpath-exception-2.0"],
                "*Classpath*",
                true,
                true,
            ),
            // No expression: one name.
            (&["GPL 3 or so"], "GPL 3*", true, true),
            (&["MIT OR"], "MIT", false, false),
            (&["(MIT"], "MIT", false, false),
            (&[], "*", false, false),
        ] {
            let patterns = [pattern.to_owned()];
            let found = (
                holds(&patterns, licences, Sense::Needed),
                holds(&patterns, licences, Sense::Enough),
            );
            assert_eq!(found, (needed, enough), "{licences:?} {pattern}");
        }
    }

    #[test]
    fn brackets_without_end_are_one_name() {
        let deep = format!("{}MIT{}", "(".repeat(70), ")".repeat(70));
        assert_eq!(Expression::parse(&deep), Expression::One(&deep));
        let shallow = format!("{}MIT{}", "(".repeat(60), ")".repeat(60));
        assert_eq!(Expression::parse(&shallow), Expression::One("MIT"));
    }
}
