//! How long to wait when a registry says "later", and when to stop.

use std::time::Duration;
use std::time::SystemTime;

use http::HeaderMap;
use http::StatusCode;
use http::header::RETRY_AFTER;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::jitter;
use crate::limits::{MAX_SERVER_ERROR_RETRIES, MAX_THROTTLE_RETRIES};

/// The first wait where the registry does not say how long; doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The first wait after an internal error of the server; doubled each time.
const FIRST_ERROR_WAIT: Duration = Duration::from_millis(100);

pub(super) fn is_throttle(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE
}

pub(super) fn is_server_error(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What is left of the willingness to repeat one request.
#[derive(Debug)]
pub(super) struct Patience {
    left: Duration,
    throttled: u32,
    failed: u32,
}

impl Patience {
    pub(super) fn new(budget: Duration) -> Self {
        Self {
            left: budget,
            throttled: 0,
            failed: 0,
        }
    }

    /// Takes `wait` from what is left; false where that is not enough.
    pub(super) fn spend(&mut self, wait: Duration) -> bool {
        let Some(left) = self.left.checked_sub(wait) else {
            return false;
        };
        self.left = left;
        true
    }

    /// How many answers said "later" or failed so far.
    pub(super) fn attempts(&self) -> u32 {
        self.throttled + self.failed
    }

    /// How long to wait before the next try; none when there is to be no next try. Counts the answer.
    pub(super) fn next_wait(&mut self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let (done, most, first) = if is_throttle(status) {
            (&mut self.throttled, MAX_THROTTLE_RETRIES, FIRST_WAIT)
        } else {
            (&mut self.failed, MAX_SERVER_ERROR_RETRIES, FIRST_ERROR_WAIT)
        };
        *done += 1;
        if *done > most {
            return None;
        }
        let doubled = first * 2_u32.saturating_pow(*done - 1);
        // Waiting less than told would be refused again; a little more spreads those who were told the same.
        let wait = match retry_after(headers) {
            Some(told) => told + jitter::up_to(FIRST_ERROR_WAIT.min(told)),
            None => doubled / 2 + jitter::up_to(doubled / 2),
        };
        if wait > self.left {
            return None;
        }
        self.left -= wait;
        Some(wait)
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    let until = SystemTime::from(date);
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        headers
    }

    #[test]
    fn reads_seconds_and_dates() {
        assert_eq!(retry_after(&told("7")), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after(&told("Sun, 06 Nov 1994 08:49:37 GMT")),
            Some(Duration::ZERO)
        );
        assert!(retry_after(&told("Fri, 31 Dec 2999 23:59:59 GMT")) > Some(Duration::from_secs(1_000_000)));
        assert_eq!(retry_after(&told("soon")), None);
        assert_eq!(retry_after(&told("-1")), None);
    }

    #[test]
    fn patience_ends_by_number_and_by_time() {
        let mut patience = Patience::new(Duration::from_secs(3600));
        let waits = (0..20)
            .filter_map(|_| patience.next_wait(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new()))
            .count();
        assert_eq!(waits, 5);
        let mut patience = Patience::new(Duration::from_secs(5));
        assert_eq!(patience.next_wait(StatusCode::TOO_MANY_REQUESTS, &told("6")), None);
        let mut patience = Patience::new(Duration::from_secs(5));
        assert!(
            patience
                .next_wait(StatusCode::SERVICE_UNAVAILABLE, &told("3"))
                .is_some()
        );
        assert_eq!(patience.next_wait(StatusCode::SERVICE_UNAVAILABLE, &told("3")), None);
        let mut patience = Patience::new(Duration::from_secs(5));
        let waits = (0..9).filter_map(|_| patience.next_wait(StatusCode::BAD_GATEWAY, &HeaderMap::new()));
        assert_eq!(waits.count(), 2);
    }
}
