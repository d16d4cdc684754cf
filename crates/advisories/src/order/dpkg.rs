//! deb-version(7): `[epoch:]upstream[-revision]`, compared as `dpkg --compare-versions` does.

use std::cmp::Ordering;

use super::{compare_digits, is_number, take_digits};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, a), (epoch_b, b)) = (epoch(a), epoch(b));
    let ((upstream_a, revision_a), (upstream_b, revision_b)) = (revision(a), revision(b));
    compare_digits(epoch_a, epoch_b)
        .then_with(|| compare_part(upstream_a, upstream_b))
        .then_with(|| compare_part(revision_a, revision_b))
}

/// deb-version(7): the epoch is a number; the upstream version has letters, digits and `.+-~`, and a colon only after
/// an epoch. It should begin with a digit, but archives hold some that do not.
pub(super) fn accepts(version: &str) -> bool {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch, rest),
        None => ("0", version),
    };
    is_number(epoch)
        && !rest.is_empty()
        && rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".+-~:_".contains(&b))
}

fn epoch(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if is_number(epoch) => (epoch, rest),
        _ => ("", version),
    }
}

fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// deb-version(7), "Sorting algorithm": by turns a run of other characters and a run of digits.
fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (first_a, first_b) = (a.bytes().next(), b.bytes().next());
            let digits_next = |byte: Option<u8>| byte.is_none_or(|b| b.is_ascii_digit());
            if digits_next(first_a) && digits_next(first_b) {
                break;
            }
            let order = weight(first_a).cmp(&weight(first_b));
            if order.is_ne() {
                return order;
            }
            (a, b) = (without_first(a), without_first(b));
        }
        let ((digits_a, rest_a), (digits_b, rest_b)) = (take_digits(a), take_digits(b));
        let order = compare_digits(digits_a, digits_b);
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// A tilde before the end, the end (and digits) before letters, letters before all else.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b) => i32::from(b) + 256,
    }
}

fn without_first(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}
