//! RubyGems' `Gem::Version`: segments of digits or letters, words before numbers, zeros at the ends left out.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{compare_digits, is_number, take, take_digits};

type Segments<'v> = SmallVec<[&'v str; 12]>;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (segments(a), segments(b));
    for at in 0..a.len().max(b.len()) {
        let one = a.get(at).copied().unwrap_or("0");
        let two = b.get(at).copied().unwrap_or("0");
        let order = match (is_number(one), is_number(two)) {
            (true, true) => compare_digits(one, two),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => one.cmp(two),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// `Gem::Version::VERSION_PATTERN`: begins with a number; letters, digits, dots and hyphens follow.
pub(super) fn accepts(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
}

/// The segments, without the zeros that end the numbers before the first word and those that end the whole.
fn segments(version: &str) -> Segments<'_> {
    let mut found = Segments::new();
    let mut first_word = None;
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let segment;
        if first.is_ascii_digit() {
            (segment, rest) = take_digits(rest);
        } else if first.is_ascii_alphabetic() {
            (segment, rest) = take(rest, |b| b.is_ascii_alphabetic());
        } else {
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            // `Gem::Version#initialize`: a hyphen means `.pre.`.
            if first != '-' {
                continue;
            }
            segment = "pre";
        }
        if first_word.is_none() && !is_number(segment) {
            trim_zeros(&mut found, 0);
            first_word = Some(found.len());
        }
        found.push(segment);
    }
    trim_zeros(&mut found, first_word.unwrap_or(0));
    found
}

fn trim_zeros(segments: &mut Segments<'_>, keep: usize) {
    while segments.len() > keep && segments.last().is_some_and(|last| last.bytes().all(|b| b == b'0')) {
        segments.pop();
    }
}
