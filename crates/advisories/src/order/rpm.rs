//! rpm-version(7): `[epoch:]version[-release]`, each part compared as `rpmvercmp` does, with `~` and `^`.

use std::cmp::Ordering;

use super::{compare_digits, is_number, take, take_digits};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, a), (epoch_b, b)) = (epoch(a), epoch(b));
    let ((version_a, release_a), (version_b, release_b)) = (release(a), release(b));
    compare_digits(epoch_a, epoch_b)
        .then_with(|| compare_part(version_a, version_b))
        .then_with(|| match (release_a, release_b) {
            (Some(a), Some(b)) => compare_part(a, b),
            // As rpm has it: none is before any, `~` too.
            (a, b) => a.is_some().cmp(&b.is_some()),
        })
}

/// rpm takes nearly anything printable; without one letter or digit there is nothing to compare.
pub(super) fn accepts(version: &str) -> bool {
    version.contains(|c: char| c.is_ascii_alphanumeric())
}

/// An absent epoch is zero. What stands before a colon and is no number is no epoch.
fn epoch(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if is_number(epoch) => (epoch, rest),
        _ => ("", version),
    }
}

fn release(version: &str) -> (&str, Option<&str>) {
    version
        .rsplit_once('-')
        .map_or((version, None), |(version, release)| (version, Some(release)))
}

/// rpmvercmp: `~` before the end, the end before `^`, `^` before letters, letters before numbers.
fn compare_part<'t>(mut a: &'t str, mut b: &'t str) -> Ordering {
    'next: loop {
        (a, b) = (without_separators(a), without_separators(b));
        for (sign, against_end) in [('~', Ordering::Less), ('^', Ordering::Greater)] {
            match (a.strip_prefix(sign), b.strip_prefix(sign)) {
                (Some(rest_a), Some(rest_b)) => {
                    (a, b) = (rest_a, rest_b);
                    continue 'next;
                }
                (Some(_), None) if b.is_empty() => return against_end,
                (None, Some(_)) if a.is_empty() => return against_end.reverse(),
                (Some(_), None) => return Ordering::Less,
                (None, Some(_)) => return Ordering::Greater,
                (None, None) => {}
            }
        }
        let (Some(first_a), Some(first_b)) = (a.bytes().next(), b.bytes().next()) else {
            return a.len().cmp(&b.len());
        };
        let (order, rest) = compare_segment(a, b, first_a.is_ascii_digit(), first_b.is_ascii_digit());
        if order.is_ne() {
            return order;
        }
        (a, b) = rest;
    }
}

fn compare_segment<'t>(a: &'t str, b: &'t str, digits_a: bool, digits_b: bool) -> (Ordering, (&'t str, &'t str)) {
    match (digits_a, digits_b) {
        (true, false) => (Ordering::Greater, (a, b)),
        (false, true) => (Ordering::Less, (a, b)),
        (true, true) => {
            let ((one, rest_a), (two, rest_b)) = (take_digits(a), take_digits(b));
            (compare_digits(one, two), (rest_a, rest_b))
        }
        (false, false) => {
            let letters = |text: &'t str| take(text, |b| b.is_ascii_alphabetic());
            let ((one, rest_a), (two, rest_b)) = (letters(a), letters(b));
            (one.cmp(two), (rest_a, rest_b))
        }
    }
}

fn without_separators(text: &str) -> &str {
    text.trim_start_matches(|c: char| !(c.is_ascii_alphanumeric() || c == '~' || c == '^'))
}
