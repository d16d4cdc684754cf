//! Maven's `ComparableVersion`, after the "Version Order Specification" of Maven's POM reference.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{compare_digits, compare_no_case, is_number};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (tokens(a), tokens(b));
    for at in 0..a.len().max(b.len()) {
        // The shorter one is padded with nothings after the same prefix as the longer one's token.
        let order = match (a.get(at), b.get(at)) {
            (Some(one), Some(two)) => one.compare(*two),
            (Some(one), None) => one.compare_padding(),
            (None, Some(two)) => two.compare_padding().reverse(),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Start,
    Dot,
    Hyphen,
}

/// A run of digits or a word, with what stood before it.
#[derive(Clone, Copy, Debug)]
struct Token<'v> {
    prefix: Prefix,
    text: &'v str,
    number: bool,
}

impl Token<'_> {
    fn is_nothing(self) -> bool {
        if self.number {
            self.text.bytes().all(|b| b == b'0')
        } else {
            self.text.is_empty()
        }
    }

    fn compare(self, other: Self) -> Ordering {
        if self.prefix != other.prefix {
            return self.rank().cmp(&other.rank());
        }
        match (self.number, other.number) {
            (true, true) => compare_digits(self.text, other.text),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_words(self.text, other.text),
        }
    }

    /// Against the padding: zero after a dot, the empty word after a hyphen.
    fn compare_padding(self) -> Ordering {
        match (self.prefix, self.number) {
            (Prefix::Hyphen, true) => Ordering::Greater,
            (_, true) => compare_digits(self.text, ""),
            (_, false) => compare_words(self.text, ""),
        }
    }

    /// ".qualifier" < "-qualifier" < "-number" < ".number".
    fn rank(self) -> u8 {
        match (self.prefix, self.number) {
            (Prefix::Hyphen, false) => 1,
            (Prefix::Hyphen, true) => 2,
            (_, false) => 0,
            (_, true) => 3,
        }
    }
}

/// In their order; words that are not here come after all of them, in alphabetical order.
const WORDS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];

fn compare_words(a: &str, b: &str) -> Ordering {
    let place = |word: &str| WORDS.iter().position(|known| known.eq_ignore_ascii_case(word));
    match (place(a), place(b)) {
        (Some(one), Some(two)) => one.cmp(&two),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => compare_no_case(a, b),
    }
}

fn tokens(version: &str) -> SmallVec<[Token<'_>; 12]> {
    let mut tokens = SmallVec::new();
    let mut prefix = Prefix::Start;
    let mut rest = version;
    loop {
        let end = rest.bytes().position(|b| matches!(b, b'-' | b'.'));
        let (part, after) = match end.and_then(|end| rest.split_at_checked(end)) {
            Some((part, after)) => (part, Some(after)),
            None => (rest, None),
        };
        split_part(part, prefix, &mut tokens);
        let Some(after) = after else { break };
        prefix = if after.starts_with('.') {
            Prefix::Dot
        } else {
            Prefix::Hyphen
        };
        rest = after.get(1..).unwrap_or_default();
    }
    trim(&mut tokens);
    tokens
}

/// Splits where digits and letters meet, which counts as a hyphen.
fn split_part<'v>(part: &'v str, mut prefix: Prefix, tokens: &mut SmallVec<[Token<'v>; 12]>) {
    if part.is_empty() {
        tokens.push(Token {
            prefix,
            text: "",
            number: true,
        });
        return;
    }
    let mut rest = part;
    while let Some(first) = rest.bytes().next() {
        let digits = first.is_ascii_digit();
        let end = rest
            .bytes()
            .position(|b| b.is_ascii_digit() != digits)
            .unwrap_or(rest.len());
        // Not in the middle of a character: what changes between digit and not has an ASCII byte on one side.
        let (run, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let text = if digits {
            run
        } else {
            canonical_word(run, !after.is_empty())
        };
        tokens.push(Token {
            prefix,
            text,
            number: is_number(run),
        });
        prefix = Prefix::Hyphen;
        rest = after;
    }
}

/// Other words for the same: `cr` is `rc`; `ga`, `final`, `release` are nothing; `a`, `b`, `m` before a digit are short.
fn canonical_word(word: &str, digit_follows: bool) -> &str {
    const ALIASES: [(&str, &str); 4] = [("cr", "rc"), ("ga", ""), ("final", ""), ("release", "")];
    const SHORT: [(&str, &str); 3] = [("a", "alpha"), ("b", "beta"), ("m", "milestone")];
    let short = SHORT.iter().filter(|_| digit_follows);
    ALIASES
        .iter()
        .chain(short)
        .find(|(alias, _)| alias.eq_ignore_ascii_case(word))
        .map_or(word, |(_, meaning)| meaning)
}

/// Nothings at the end go, and those before each hyphen.
fn trim(tokens: &mut SmallVec<[Token<'_>; 12]>) {
    let mut at = tokens.len().saturating_sub(1);
    while at > 0 {
        if tokens.get(at).is_some_and(|token| token.is_nothing()) {
            tokens.remove(at);
            at -= 1;
            continue;
        }
        while at > 0 && tokens.get(at).is_some_and(|token| token.prefix != Prefix::Hyphen) {
            at -= 1;
        }
        at = at.saturating_sub(1);
    }
}
