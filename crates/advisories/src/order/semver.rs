//! Semantic Versioning 2.0, read loosely: a leading `v`, any number of numbers (absent ones are zero), a pre-release
//! without its hyphen. Go's pseudo-versions are pre-releases in it, and `+incompatible` is a build identifier.

use std::cmp::Ordering;

use super::{compare_digits, compare_dotted, compare_no_case, is_number, take};

/// What the users of these rules do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    /// As the specification says.
    Plain,
    /// Pre-releases are compared without case (NuGet).
    NoCase,
    /// Build identifiers count, after all else (pub).
    BuildCounts,
}

pub(super) fn compare(a: &str, b: &str, flavour: Flavour) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    compare_dotted(a.numbers, b.numbers)
        .then_with(|| match (a.pre.is_empty(), b.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_identifiers(a.pre, b.pre, flavour),
        })
        .then_with(|| match (flavour, a.build.is_empty(), b.build.is_empty()) {
            (Flavour::BuildCounts, false, false) => compare_identifiers(a.build, b.build, flavour),
            // Pub: a version without a build comes before the same with one.
            (Flavour::BuildCounts, one, two) => two.cmp(&one),
            _ => Ordering::Equal,
        })
}

pub(super) fn accepts(version: &str) -> bool {
    let rest = version.strip_prefix(['v', 'V']).unwrap_or(version);
    rest.starts_with(|c: char| c.is_ascii_digit()) && rest.is_ascii()
}

struct Parts<'v> {
    numbers: &'v str,
    pre: &'v str,
    build: &'v str,
}

impl<'v> Parts<'v> {
    fn of(version: &'v str) -> Self {
        let rest = version.strip_prefix(['v', 'V']).unwrap_or(version);
        let (rest, build) = rest.split_once('+').unwrap_or((rest, ""));
        let (numbers, pre) = take(rest, |b| b.is_ascii_digit() || b == b'.');
        Self {
            numbers,
            pre: pre.strip_prefix('-').unwrap_or(pre),
            build,
        }
    }
}

/// Item 11 of the specification: numbers before words, words in ASCII order, the longer list later.
fn compare_identifiers(a: &str, b: &str, flavour: Flavour) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(two)) => match (is_number(one), is_number(two)) {
                (true, true) => compare_digits(one, two),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) if flavour == Flavour::NoCase => compare_no_case(one, two),
                (false, false) => one.cmp(two),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}
