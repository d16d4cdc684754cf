//! apk-package(5): `number{.number}…{letter}{_suffix{number}}…{~hash}{-r#}`, compared as `apk version -t` does.
//!
//! What does not follow the grammar (`-r-1`, words) is ordered as apk's own table wants it where it has such lines, and
//! is not accepted as a version.

use std::cmp::Ordering;

use super::{compare_digits, take, take_digits};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (one, two) = (Parts::of(a), Parts::of(b));
    if one.is_text() && two.is_text() {
        return a.cmp(b);
    }
    // Hashes of commits have no order.
    compare_numbers(one.numbers, two.numbers)
        .then_with(|| one.letter.cmp(two.letter))
        .then_with(|| compare_suffixes(one.suffixes, two.suffixes))
        .then_with(|| compare_digits(one.revision, two.revision))
        .then_with(|| two.remainder.is_empty().cmp(&one.remainder.is_empty()).reverse())
}

pub(super) fn accepts(version: &str) -> bool {
    let parts = Parts::of(version);
    !parts.numbers.is_empty() && parts.numbers.split('.').all(|part| !part.is_empty()) && parts.remainder.is_empty()
}

struct Parts<'v> {
    numbers: &'v str,
    /// Empty or one lower-case letter.
    letter: &'v str,
    suffixes: &'v str,
    /// The digits after `-r`.
    revision: &'v str,
    has_revision: bool,
    /// What the grammar has no place for.
    remainder: &'v str,
}

impl<'v> Parts<'v> {
    fn of(version: &'v str) -> Self {
        let (numbers, rest) = take_numbers(version);
        let letter_end = usize::from(rest.starts_with(|c: char| c.is_ascii_lowercase()));
        let (letter, rest) = rest.split_at_checked(letter_end).unwrap_or(("", rest));
        let mut after = rest;
        while let Some((_, _, next)) = take_suffix(after) {
            after = next;
        }
        let suffixes = rest.get(..rest.len() - after.len()).unwrap_or_default();
        let rest = match after.strip_prefix('~') {
            Some(hash) => take(hash, |b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()).1,
            None => after,
        };
        let (has_revision, (revision, remainder)) = match rest.strip_prefix("-r") {
            Some(revision) => (true, take_digits(revision)),
            None => (false, ("", rest)),
        };
        Self {
            numbers,
            letter,
            suffixes,
            revision,
            has_revision,
            remainder,
        }
    }

    /// Broken off before its revision: two such are compared as text.
    fn is_text(&self) -> bool {
        !self.remainder.is_empty() && !self.has_revision
    }
}

/// Numbers with single dots between them.
fn take_numbers(version: &str) -> (&str, &str) {
    let mut rest = version;
    loop {
        let (digits, after) = take_digits(rest);
        rest = match after.strip_prefix('.') {
            Some(next) if !digits.is_empty() => next,
            _ => {
                let end = version.len() - after.len();
                return version.split_at_checked(end).unwrap_or((version, ""));
            }
        };
    }
}

/// The first number by its value; a later one that begins with a zero as text, as after a decimal point.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    let mut order = compare_digits(a.next().unwrap_or_default(), b.next().unwrap_or_default());
    while order.is_eq() {
        order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(two)) if one.starts_with('0') || two.starts_with('0') => one.cmp(two),
            (Some(one), Some(two)) => compare_digits(one, two),
        };
    }
    order
}

/// In their order; between `rc` and `cvs` is no suffix at all.
const SUFFIXES: [(&str, u8); 9] = [
    ("alpha", 0),
    ("beta", 1),
    ("pre", 2),
    ("rc", 3),
    ("cvs", 5),
    ("svn", 6),
    ("git", 7),
    ("hg", 8),
    ("p", 9),
];
const NO_SUFFIX: u8 = 4;

/// The weight of a suffix, its number, and what follows it.
fn take_suffix(text: &str) -> Option<(u8, &str, &str)> {
    let (word, rest) = take(text.strip_prefix('_')?, |b| b.is_ascii_lowercase());
    let (_, weight) = SUFFIXES.iter().find(|(name, _)| *name == word)?;
    let (number, rest) = take_digits(rest);
    Some((*weight, number, rest))
}

fn compare_suffixes(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (weight_a, number_a, rest_a) = take_suffix(a).unwrap_or((NO_SUFFIX, "", ""));
        let (weight_b, number_b, rest_b) = take_suffix(b).unwrap_or((NO_SUFFIX, "", ""));
        let order = weight_a.cmp(&weight_b).then_with(|| compare_digits(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}
