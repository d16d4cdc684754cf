//! Durations as Go writes them (`time.Duration.String`): `3m0s`, `1.5h`, `250ms`.

use std::time::Duration;

/// Reads a duration of at most so many parts (`1h30m` has two); none where it is something else, or longer than can be
/// counted. Nothing negative, and no number without its unit.
#[must_use]
pub fn go_duration(text: &str, parts: usize) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..parts {
        if rest.is_empty() {
            break;
        }
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(number_end)?;
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_durations_are_read() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("10s", Some(ms(10_000))),
            ("1m30s", Some(ms(90_000))),
            ("3m0s", Some(ms(180_000))),
            ("500ms", Some(ms(500))),
            ("1.5h", Some(ms(5_400_000))),
            ("250us", Some(Duration::from_micros(250))),
            ("250µs", Some(Duration::from_micros(250))),
            ("1s1s1s1s1s1s", Some(ms(6000))),
            ("1s1s1s1s1s1s1s", None),
            ("", None),
            ("10", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("10x", None),
            ("99999999999999999999999h", None),
            // Each can be counted, and not their sum.
            ("4000000000000000h4000000000000000h", None),
        ] {
            assert_eq!(go_duration(text, 6), expected, "{text}");
        }
        assert_eq!(go_duration("1s1s1s1s1s1s1s", usize::MAX), Some(ms(7000)));
    }
}
