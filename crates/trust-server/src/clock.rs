//! The time that certificates, SCTs and timestamps are issued at, and the refusal to go back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proofmark_types::UnixTime;

/// How far a clock may step back between two issues: what NTP slews or a virtual machine's clock jitters by.
const TOLERANCE: Duration = Duration::from_secs(5);

/// Where the time comes from: the system, or a test.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The clock of the system.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// A clock that reads what `read` says.
    pub fn new(read: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Milliseconds since 1970.
    pub(crate) fn milliseconds(&self) -> u64 {
        let since = self.0().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Seconds.
    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::from_system(self.0())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// A clock whose readings are issued, and which therefore must not go back.
#[derive(Debug)]
pub(crate) struct IssuingClock {
    clock: Clock,
    latest: AtomicU64,
}

impl IssuingClock {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            latest: AtomicU64::new(0),
        }
    }

    /// The time to issue at, in milliseconds; none when the clock went back by more than [`TOLERANCE`].
    pub(crate) fn issue(&self) -> Option<u64> {
        let now = self.clock.milliseconds();
        let latest = self.latest.fetch_max(now, Ordering::Relaxed);
        let tolerance = u64::try_from(TOLERANCE.as_millis()).unwrap_or(0);
        (now.saturating_add(tolerance) >= latest).then_some(now)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

/// Milliseconds since 1970 to seconds.
pub(crate) fn seconds(milliseconds: u64) -> UnixTime {
    UnixTime::from_system(UNIX_EPOCH + Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_went_back_issues_nothing() {
        let offset = Arc::new(AtomicU64::new(1_000_000));
        let read = Arc::clone(&offset);
        let clock = Clock::new(move || UNIX_EPOCH + Duration::from_secs(read.load(Ordering::Relaxed)));
        let issuing = IssuingClock::new(clock);
        assert_eq!(issuing.issue(), Some(1_000_000_000));
        offset.store(999_996, Ordering::Relaxed);
        assert!(issuing.issue().is_some());
        offset.store(999_994, Ordering::Relaxed);
        assert_eq!(issuing.issue(), None);
        offset.store(1_000_001, Ordering::Relaxed);
        assert!(issuing.issue().is_some());
    }
}
