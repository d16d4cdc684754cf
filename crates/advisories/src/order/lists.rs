//! CRAN and Hackage: lists of numbers, compared one by one; where one list begins the other, the longer is newer.

use std::cmp::Ordering;

use super::{compare_digits, is_number};

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split(['.', '-']), b.split(['.', '-']));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(two)) => compare_digits(one, two),
        };
        if order.is_ne() {
            return order;
        }
    }
}

pub(super) fn accepts(version: &str) -> bool {
    version.split(['.', '-']).all(is_number)
}
