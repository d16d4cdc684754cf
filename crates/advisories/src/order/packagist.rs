//! Packagist: PHP's `version_compare`, after composer has taken a leading `v` away. As in PHP, words are known in lower
//! case only, `RC` excepted.

use std::cmp::Ordering;

use super::{compare_digits, is_number, take, take_digits};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (Segments::of(a), Segments::of(b));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            // The end is less than a number and as good as `#` beside a word.
            (None, Some(two)) if is_number(two) => Ordering::Less,
            (Some(one), None) if is_number(one) => Ordering::Greater,
            (None, Some(two)) => NUMBER.cmp(&weight(two)),
            (Some(one), None) => weight(one).cmp(&NUMBER),
            (Some(one), Some(two)) if is_number(one) && is_number(two) => compare_digits(one, two),
            (Some(one), Some(two)) => weight(one).cmp(&weight(two)),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// `version_compare`: "any string not found in this list < dev < alpha = a < beta = b < RC = rc < # < pl = p".
const WORDS: [(&str, u8); 7] = [
    ("dev", 1),
    ("a", 2),
    ("b", 3),
    ("rc", 4),
    ("RC", 4),
    ("#", NUMBER),
    ("p", 6),
];
const NUMBER: u8 = 5;

fn weight(segment: &str) -> u8 {
    if is_number(segment) {
        return NUMBER;
    }
    WORDS
        .iter()
        .find(|(word, _)| segment.starts_with(word))
        .map_or(0, |(_, weight)| *weight)
}

/// Runs of digits and runs of other characters, the separators `.-_+` left out.
struct Segments<'v> {
    rest: &'v str,
}

impl<'v> Segments<'v> {
    fn of(version: &'v str) -> Self {
        Self {
            rest: version.strip_prefix(['v', 'V']).unwrap_or(version),
        }
    }
}

impl<'v> Iterator for Segments<'v> {
    type Item = &'v str;

    fn next(&mut self) -> Option<&'v str> {
        let (_, rest) = take(self.rest, is_separator);
        let (digits, after) = take_digits(rest);
        if !digits.is_empty() {
            self.rest = after;
            return Some(digits);
        }
        let end = rest
            .bytes()
            .position(|b| is_separator(b) || b.is_ascii_digit())
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        self.rest = after;
        (!word.is_empty()).then_some(word)
    }
}

fn is_separator(byte: u8) -> bool {
    b".-_+".contains(&byte)
}
