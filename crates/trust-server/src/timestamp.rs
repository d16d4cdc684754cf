//! The timestamp authority: RFC 3161 over HTTP, with ESSCertIDv2 (RFC 5816), DER-sorted sets and one policy.

mod request;
mod token;

use thiserror::Error;

pub(crate) use request::{Query, QueryError};

use crate::clock::{self, IssuingClock};
use crate::key::{EcdsaKey, KeyFileError};

/// The policy that timestamps are issued under, and the only one that may be asked for: sigstore's.
pub(crate) const POLICY: [u64; 8] = [1, 3, 6, 1, 4, 1, 57264, 2];

/// The authority's key and certificates.
pub(crate) struct TimestampAuthority {
    pub(crate) key: EcdsaKey,
    /// Leaf, then root, DER.
    pub(crate) chain: Vec<Vec<u8>>,
    /// What the leaf says of its issuer and itself.
    pub(crate) issuer_name: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) not_after: proofmark_types::UnixTime,
}

/// Why no timestamp was issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum TimestampError {
    #[error("the clock went back, and nothing is issued until it has caught up")]
    Clock,
    #[error("the timestamp authority has expired")]
    Expired,
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

impl TimestampAuthority {
    /// The DER of a TimeStampResp that grants the query.
    pub(crate) fn stamp(&self, query: &Query, clock: &IssuingClock) -> Result<Vec<u8>, TimestampError> {
        let time = clock::seconds(clock.issue().ok_or(TimestampError::Clock)?);
        if time > self.not_after {
            return Err(TimestampError::Expired);
        }
        Ok(token::response(self, query, time)?)
    }
}

#[cfg(test)]
mod tests;
