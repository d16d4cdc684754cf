//! Writing to a transparency log. Two generations are in use, which differ in what they log and in what they answer:
//!
//! | | [`v1`] | [`v2`] |
//! |---|---|---|
//! | envelopes | `dsse` 0.0.1 | `hashedrekord` 0.0.2 over the pre-authentication encoding |
//! | files | `hashedrekord` 0.0.1 | `hashedrekord` 0.0.2 |
//! | answers | a promise with the time, and a proof | a proof |
//! | has it already | 409 and the entry's address | 409 and the entry's index |
//!
//! Of either, an entry is taken only if its body is, byte for byte, that of what was signed.

use proofmark_evidence::bundle::LogEntry;
use proofmark_evidence::dsse::Envelope;
use proofmark_types::{Digest, DigestAlgorithm};
use proofmark_verify::{Artifact, TrustRoot};
use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Serialize;

use crate::error::{Service, SignError};
use crate::http::{Answer, Http, HttpError};
use crate::key::{SigningKey, SigningKeyError};

mod v1;
mod v2;

/// The longest answer: an entry has at most 65,535 bytes (v2; those of v1 have hashes and a certificate), in base64 and
/// JSON, with a proof of at most 63 hashes and a checkpoint with witnesses.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The generations of logs that are written, by the major version of their interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// A signature to be logged.
pub(crate) struct Signed<'s> {
    pub(crate) key: &'s SigningKey,
    /// Named in the entry instead of the key.
    pub(crate) certificate: Option<&'s [u8]>,
    /// What the signature is over.
    pub(crate) message: Artifact<'s>,
    /// The hash that was signed; none where the message itself was (Ed25519).
    pub(crate) hash: Option<DigestAlgorithm>,
    pub(crate) signature: &'s [u8],
    /// The envelope whose pre-authentication encoding the message is.
    pub(crate) envelope: Option<&'s Envelope>,
}

impl Signed<'_> {
    /// The digest of the message that is logged.
    fn digest(&self, hash: DigestAlgorithm) -> Result<Digest, SignError> {
        self.message
            .digest(hash)
            .ok_or_else(|| SigningKeyError::MessageNeeded.into())
    }

    fn not_loggable(&self) -> SignError {
        SignError::NotLoggable {
            algorithm: self.key.public_key().algorithm().name(),
        }
    }
}

/// Writes the entry, and returns it as the log has it.
pub(crate) async fn write(
    http: &Http,
    log: &Url,
    version: Version,
    signed: &Signed<'_>,
    trust_root: &TrustRoot,
) -> Result<LogEntry, SignError> {
    match version {
        Version::V1 => v1::write(http, log, signed).await,
        Version::V2 => v2::write(http, log, signed, trust_root).await,
    }
}

async fn post(http: &Http, url: &Url, body: Vec<u8>) -> Result<Answer, SignError> {
    let request = http
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(body);
    http.send(request, url, http.timing().log, MAX_ANSWER_BYTES)
        .await
        .map_err(failed)
}

fn failed(source: HttpError) -> SignError {
    SignError::Http {
        service: Service::Log,
        source,
    }
}

fn unusable(url: &Url, reason: String) -> SignError {
    SignError::Answer {
        service: Service::Log,
        url: url.clone(),
        reason,
    }
}

fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let prefix = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{prefix}{path}"));
    url
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| unreachable!("own types always serialize: {error}"))
}
