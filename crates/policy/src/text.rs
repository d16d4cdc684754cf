//! Patterns over one line of text: identities, issuers, extension values.
//!
//! Regular expressions are anchored at both ends and bounded; globs run in linear space and `O(text × pattern)` time.
//! (CVE-2025-29778: a pattern that is read and not applied lets anyone in. A pattern here is either compiled or an error.)

use std::fmt;

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// The longest pattern accepted, in bytes: an identity is a URI, and few URIs pass 2,000 characters.
const MAX_PATTERN_BYTES: usize = 4096;

/// The memory that one compiled expression may take: the default of the `regex` crate is 10 MiB, and a policy set may
/// hold hundreds.
const MAX_REGEX_BYTES: usize = 1024 * 1024;

/// How a text must look.
#[derive(Clone, Debug)]
pub struct TextMatch(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Exact(String),
    Regexp { source: String, compiled: Regex },
    Glob(String),
}

impl TextMatch {
    /// Exactly this text; it must not be empty.
    pub fn exact(text: impl Into<String>) -> Result<Self, TextError> {
        Ok(Self(Kind::Exact(bounded(text.into())?)))
    }

    /// A regular expression over the whole text: it is read as `^(?:…)$`, whatever anchors it has itself.
    pub fn regexp(source: impl Into<String>) -> Result<Self, TextError> {
        let source = bounded(source.into())?;
        // The expression must stand on its own before it is wrapped: `a)|(b` would escape the group.
        let build = |text: &str| RegexBuilder::new(text).size_limit(MAX_REGEX_BYTES).build();
        let compiled = build(&source)
            .and_then(|_| build(&format!("^(?:{source})$")))
            .map_err(|error| TextError::Regexp {
                source_text: source.clone(),
                reason: last_line(&error.to_string()),
            })?;
        Ok(Self(Kind::Regexp { source, compiled }))
    }

    /// A wildcard pattern over the whole text, in which `*` is any run of characters (also `/`) and `?` any one.
    pub fn glob(pattern: impl Into<String>) -> Result<Self, TextError> {
        Ok(Self(Kind::Glob(bounded(pattern.into())?)))
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exact(wanted) => wanted == text,
            Kind::Regexp { compiled, .. } => compiled.is_match(text),
            Kind::Glob(pattern) => wildcard(pattern, text),
        }
    }

    /// Whether it matches what has nothing in common: two names that nobody has, one an address and one a URI. A policy
    /// that says `.*` of an identity says nothing.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        self.matches("7f3a9c@probe.invalid") && self.is_any_address()
    }

    /// Whether it matches an address that nobody has. Issuers are addresses: `https://.*` says nothing of one.
    #[must_use]
    pub fn is_any_address(&self) -> bool {
        self.matches("https://probe.invalid/7f3a9c")
    }

    /// Whether it is a regular expression.
    #[must_use]
    pub fn is_regexp(&self) -> bool {
        matches!(self.0, Kind::Regexp { .. })
    }

    /// Whether it is one text and no pattern.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.0, Kind::Exact(_))
    }

    /// A regular expression that matches the same texts.
    pub(crate) fn as_regexp(&self) -> String {
        match &self.0 {
            Kind::Exact(text) => regex::escape(text),
            Kind::Regexp { source, .. } => source.clone(),
            Kind::Glob(pattern) => pattern
                .chars()
                .map(|c| match c {
                    '*' => "(?s:.*)".to_owned(),
                    '?' => "(?s:.)".to_owned(),
                    other => regex::escape(other.encode_utf8(&mut [0; 4])),
                })
                .collect(),
        }
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        match &self.0 {
            Kind::Exact(text) | Kind::Glob(text) => text,
            Kind::Regexp { source, .. } => source,
        }
    }
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exact(text) => f.write_str(text),
            Kind::Regexp { source, .. } => write!(f, "regexp {source}"),
            Kind::Glob(pattern) => write!(f, "glob {pattern}"),
        }
    }
}

impl PartialEq for TextMatch {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.0) == std::mem::discriminant(&other.0) && self.source() == other.source()
    }
}

impl Eq for TextMatch {}

/// Why a pattern over text is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// An empty pattern; perhaps a variable was not filled in.
    #[error("the pattern is empty")]
    Empty,
    /// Longer than any identity.
    #[error("the pattern is {length} bytes long, at most {MAX_PATTERN_BYTES} are accepted")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Not a regular expression of the `regex` crate (no look-around, no back references), or too large when compiled.
    #[error("\"{source_text}\" is not a regular expression that can be used: {reason}")]
    Regexp {
        /// The expression.
        source_text: String,
        /// What the compiler said.
        reason: String,
    },
}

fn bounded(text: String) -> Result<String, TextError> {
    if text.is_empty() {
        return Err(TextError::Empty);
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(TextError::TooLong { length: text.len() });
    }
    Ok(text)
}

fn last_line(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(text);
    line.trim().trim_start_matches("error: ").to_owned()
}

/// `*` is any run of characters, `?` any one character. One backtracking point is enough for `*`, so the time is the
/// product of the lengths and no more (Connaisseur's matcher had an exponential one).
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    wildcard_within(pattern, text, |_| true)
}

/// As [`wildcard`], where a wildcard only stands for characters that `may` allows.
pub(crate) fn wildcard_within(pattern: &str, text: &str, may: fn(char) -> bool) -> bool {
    let mut rest_pattern = pattern.chars();
    let mut rest_text = text.chars();
    // After the last star seen: the pattern behind it, and the text it has not yet swallowed.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut after_pattern = rest_pattern.clone();
        let mut after_text = rest_text.clone();
        match (after_pattern.next(), after_text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((after_pattern.clone(), rest_text.clone()));
                rest_pattern = after_pattern;
                continue;
            }
            (Some(p), Some(t)) if (p == '?' && may(t)) || (p == t && p != '?') => {
                rest_pattern = after_pattern;
                rest_text = after_text;
                continue;
            }
            _ => {}
        }
        let Some((star_pattern, star_text)) = &mut retry else {
            return false;
        };
        match star_text.next() {
            Some(swallowed) if may(swallowed) => {
                rest_pattern = star_pattern.clone();
                rest_text = star_text.clone();
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_match_whole_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "any/thing", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("a*c*e", "abcde", true),
            ("a*bc", "abbbc", true),
            ("?", "", false),
            ("?", "é", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("*@refs/heads/main", "x@refs/heads/main-evil", false),
        ] {
            assert_eq!(wildcard(pattern, text), expected, "{pattern} on {text}");
        }
        assert!(!wildcard_within("*x", "a/x", |c| c != '/'));
        assert!(wildcard_within("*x", "aax", |c| c != '/'));
        assert!(!wildcard_within("?", "/", |c| c != '/'));
    }

    #[test]
    fn a_hostile_wildcard_is_not_slow() {
        let pattern = "*a".repeat(1000);
        let text = "a".repeat(4000) + "b";
        assert!(!wildcard(&pattern, &text));
    }

    #[test]
    fn regular_expressions_are_anchored() {
        let rule = TextMatch::regexp("dev@alpha\\.test").unwrap();
        assert!(rule.matches("dev@alpha.test"));
        assert!(!rule.matches("dev@alpha.test.evil.example"));
        assert!(!rule.matches("x-dev@alpha.test"));
        // An alternation is anchored as a whole, not at its outer ends.
        let either = TextMatch::regexp("a|b").unwrap();
        assert!(either.matches("a") && either.matches("b"));
        assert!(!either.matches("ax") && !either.matches("xb"));
        // `$` does not match before a line end.
        assert!(!TextMatch::regexp("a").unwrap().matches("a\n"));
    }

    #[test]
    fn each_unusable_pattern_has_its_reason() {
        assert_eq!(TextMatch::exact("").unwrap_err(), TextError::Empty);
        assert_eq!(TextMatch::glob("").unwrap_err(), TextError::Empty);
        assert!(matches!(
            TextMatch::regexp("a".repeat(5000)),
            Err(TextError::TooLong { length: 5000 })
        ));
        for broken in ["(", "a)|(b", "(?=x)", "(a{1000}){1000}", "\\1"] {
            assert!(
                matches!(TextMatch::regexp(broken), Err(TextError::Regexp { .. })),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_pattern_for_anything_is_recognised() {
        for text in [".*", "^.*$", ".+", "(.*)", "(?s).*", "[^ ]{0,}", "\\S+", ".*/?.*"] {
            assert!(TextMatch::regexp(text).unwrap().is_anything(), "{text}");
        }
        assert!(TextMatch::glob("**").unwrap().is_anything());
        assert!(!TextMatch::glob("*@alpha.test").unwrap().is_anything());
        assert!(!TextMatch::regexp(".*@.*").unwrap().is_anything());
        assert!(!TextMatch::exact("*").unwrap().is_anything());
    }

    proptest! {
        #[test]
        fn a_wildcard_agrees_with_the_same_regular_expression(pattern in "[ab*?]{0,12}", text in "[ab]{0,12}") {
            let expression = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
            prop_assert_eq!(wildcard(&pattern, &text), Regex::new(&expression).unwrap().is_match(&text));
        }
    }
}
