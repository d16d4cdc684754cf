//! Points in time, to the second. Time is a parameter everywhere below the L3 rooms: nothing here reads a clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::digest::shortened;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted; written as RFC 3339 in UTC.
///
/// Always between the years 0001 and 9999, so that it can always be written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what RFC 3339's four-digit years can say.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// Takes seconds since the epoch; the year must have four digits.
    pub fn from_seconds(seconds: i64) -> Result<Self, TimeError> {
        if RANGE.contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(TimeError::OutOfRange { seconds })
        }
    }

    /// Reads RFC 3339, any offset; fractions of a second are dropped.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let parsed =
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimeError::NotRfc3339 { text: shortened(text) })?;
        Self::from_seconds(parsed.unix_timestamp())
    }

    /// Takes a clock's reading; times before the epoch become the epoch.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self(i64::try_from(seconds).unwrap_or(*RANGE.end()).min(*RANGE.end()))
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// For interfaces that take a [`SystemTime`]; times before the epoch become the epoch.
    #[must_use]
    pub fn to_system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(self.0).unwrap_or(0))
    }

    /// This time and `duration` later, at most the year 9999.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(seconds).min(*RANGE.end()))
    }

    /// This time and `duration` earlier, at least the year 1.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(seconds).max(*RANGE.start()))
    }

    /// How much later than `earlier` this is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        f.write_str(&written)
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Why a value is not a point in time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimeError {
    /// Not RFC 3339.
    #[error("expected a time such as 2026-11-21T07:13:00Z, got \"{text}\"")]
    NotRfc3339 {
        /// What was given, shortened.
        text: String,
    },
    /// A year that has not four digits.
    #[error("the time {seconds} seconds after 1970 is outside the years 1 to 9999")]
    OutOfRange {
        /// The value given.
        seconds: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_any_offset_and_writes_utc() {
        let time = UnixTime::parse("2026-11-20T23:15:32.9+01:00").unwrap();
        assert_eq!(time.to_string(), "2026-11-20T22:15:32Z");
        assert_eq!(UnixTime::from_seconds(time.seconds()).unwrap(), time);
    }

    #[test]
    fn refuses_what_it_could_not_write_back() {
        assert!(matches!(
            UnixTime::parse("yesterday"),
            Err(TimeError::NotRfc3339 { .. })
        ));
        assert!(matches!(
            UnixTime::from_seconds(i64::MAX),
            Err(TimeError::OutOfRange { .. })
        ));
        assert_eq!(UnixTime::EPOCH.plus(Duration::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(UnixTime::EPOCH.minus(Duration::MAX).to_string(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn a_clock_that_went_back_gives_no_negative_duration() {
        let later = UnixTime::from_seconds(10).unwrap();
        assert_eq!(UnixTime::EPOCH.since(later), Duration::ZERO);
        assert_eq!(later.since(UnixTime::EPOCH), Duration::from_secs(10));
    }
}
