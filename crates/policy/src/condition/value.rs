//! Scalars as Kyverno's operators compare them: numbers, durations in Go's spelling, and texts.

use std::cmp::Ordering;

use proofmark_types::UnixTime;
use serde_json::Value;

/// A duration in nanoseconds, which is what Go's `time.Duration` counts; ±292 years fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(i64);

const SECOND: i64 = 1_000_000_000;

impl Span {
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    pub(crate) fn seconds_between(from: UnixTime, to: UnixTime) -> Self {
        Self::from_seconds(to.seconds().saturating_sub(from.seconds()))
    }

    /// Reads `1h30m`, `-5s`, `1.5h`, `300ms` (Go, `time.ParseDuration`).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Some(Self(0));
        }
        if rest.is_empty() {
            return None;
        }
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, behind) = rest.split_at_checked(number_end)?;
            let unit_end = behind
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(behind.len());
            let (unit, behind) = behind.split_at_checked(unit_end)?;
            let factor = match unit {
                "ns" => 1,
                "us" | "µs" => 1_000,
                "ms" => 1_000_000,
                "s" => SECOND,
                "m" => 60 * SECOND,
                "h" => 3600 * SECOND,
                _ => return None,
            };
            total = total.checked_add(scaled(number, factor)?)?;
            rest = behind;
        }
        Some(Self(if negative { -total } else { total }))
    }
}

/// `number × factor` in whole numbers, with a fraction of at most nine digits, which is all that a nanosecond has.
fn scaled(number: &str, factor: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }
    let mut total = if whole.is_empty() {
        0
    } else {
        whole.parse::<i64>().ok()?.checked_mul(factor)?
    };
    let mut place = factor;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(i64::from(digit.to_digit(10)?).checked_mul(place)?)?;
    }
    Some(total)
}

/// Go's spelling, in whole seconds: `25h0m0s`.
pub(crate) fn write_duration(span: Span) -> String {
    let seconds = span.0 / SECOND;
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, s) => format!("{sign}{s}s"),
        (0, m, s) => format!("{sign}{m}m{s}s"),
        (h, m, s) => format!("{sign}{h}h{m}m{s}s"),
    }
}

/// Orders two scalars: numbers (also written as texts), or durations. Anything else has no order.
pub(crate) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return left.partial_cmp(&right);
    }
    Some(duration(left)?.cmp(&duration(right)?))
}

/// A number, or a text that is one.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse::<f64>().ok().filter(|number| number.is_finite()),
        _ => None,
    }
}

/// A duration as a text; a bare number is seconds.
pub(crate) fn duration(value: &Value) -> Option<Span> {
    match value {
        Value::Number(number) => number.as_i64().map(Span::from_seconds),
        Value::String(text) => Span::parse(text),
        _ => None,
    }
}
