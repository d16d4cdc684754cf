//! Rekor v1 (`POST /api/v1/log/entries`, rekor `openapi.yaml`): kind `dsse` for envelopes, `hashedrekord` for the rest,
//! both 0.0.1.
//!
//! The log makes the entry from what is proposed, and it is known beforehand what it makes (rekor `pkg/types`,
//! `Canonicalize`, then RFC 8785), so that whatever it answers is compared with that.

use std::mem;

use proofmark_evidence::MAX_EVIDENCE_BYTES;
use proofmark_evidence::bundle::{InclusionProof, LogEntry};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::encoding::{base64_decode, base64_encode, pem_encode};
use proofmark_evidence::json as bounded;
use proofmark_types::{Digest, DigestAlgorithm, UnixTime};
use reqwest::header::{ACCEPT, LOCATION};
use reqwest::{StatusCode, Url};
use serde_json::json;

use self::wire::{Answered, Logged};
use super::{MAX_ANSWER_BYTES, Signed, failed, json as bytes_of, post, under, unusable};
use crate::error::SignError;
use crate::http::{Answer, Http, is_later};

mod wire;

const PATH: &str = "/api/v1/log/entries";

/// Kinds of this version.
const KIND_VERSION: &str = "0.0.1";

/// The lengths of an entry's id: a hash in hex, alone or after the id of its tree (rekor `pkg/sharding`).
const ID_LENGTHS: [usize; 2] = [64, 80];

/// What is proposed, and what the log makes of it.
struct Entry {
    kind: &'static str,
    proposed: Vec<u8>,
    body: Vec<u8>,
}

impl Entry {
    fn of(signed: &Signed<'_>) -> Result<Self, SignError> {
        let pem = match signed.certificate {
            Some(der) => pem_encode("CERTIFICATE", der),
            None => pem_encode("PUBLIC KEY", signed.key.public_key().spki_der()),
        };
        let verifier = base64_encode(pem.as_bytes());
        match signed.envelope {
            Some(envelope) => Ok(Self::dsse(envelope, signed.signature, &verifier)),
            None => Self::hashed(signed, &verifier),
        }
    }

    /// The log verifies the envelope and keeps hashes of it: of its JSON as it is sent here, and of its payload.
    fn dsse(envelope: &Envelope, signature: &[u8], verifier: &str) -> Self {
        let envelope_json = envelope.to_json();
        let hash = |bytes: &[u8]| json!({"algorithm": "sha256", "value": Digest::sha256_of(bytes).hex()});
        let proposed = json!({"proposedContent": {
            "envelope": String::from_utf8_lossy(&envelope_json),
            "verifiers": [verifier],
        }});
        let logged = json!({
            "envelopeHash": hash(&envelope_json),
            "payloadHash": hash(&envelope.payload),
            "signatures": [{"signature": base64_encode(signature), "verifier": verifier}],
        });
        Self::new("dsse", &proposed, &logged)
    }

    /// The log keeps what is proposed.
    fn hashed(signed: &Signed<'_>, verifier: &str) -> Result<Self, SignError> {
        let hash = signed.hash.ok_or_else(|| signed.not_loggable())?;
        let algorithm = match hash {
            DigestAlgorithm::Sha256 => "sha256",
            DigestAlgorithm::Sha384 => "sha384",
            DigestAlgorithm::Sha512 => "sha512",
        };
        let spec = json!({
            "data": {"hash": {"algorithm": algorithm, "value": signed.digest(hash)?.hex()}},
            "signature": {"content": base64_encode(signed.signature), "publicKey": {"content": verifier}},
        });
        Ok(Self::new("hashedrekord", &spec, &spec))
    }

    /// Keys are in order above and everything is ASCII: plain JSON is canonical.
    fn new(kind: &'static str, proposed: &serde_json::Value, logged: &serde_json::Value) -> Self {
        let whole =
            |spec: &serde_json::Value| bytes_of(&json!({"apiVersion": KIND_VERSION, "kind": kind, "spec": spec}));
        Self {
            kind,
            proposed: whole(proposed),
            body: whole(logged),
        }
    }
}

/// Writes the entry, and returns it as the log has it, with its promise and its proof.
///
/// A log that has the entry already answers 409 with its address (a request that timed out and was repeated, or a
/// deterministic signature made again, cosign #4711): the entry is then read from there.
pub(super) async fn write(http: &Http, log: &Url, signed: &Signed<'_>) -> Result<LogEntry, SignError> {
    let mut entry = Entry::of(signed)?;
    let url = under(log, PATH);
    let answer = post(http, &url, mem::take(&mut entry.proposed)).await?;
    if answer.status == StatusCode::CONFLICT && answer.headers.contains_key(LOCATION) {
        return held(http, log, &answer, &entry).await;
    }
    let answer = answer
        .expect(&url, &[StatusCode::CREATED, StatusCode::OK])
        .map_err(failed)?;
    check(&answer, &url, &entry)
}

/// Reads the entry that the log says it has. Only its id is taken from the answer: what is asked is the log itself.
async fn held(http: &Http, log: &Url, conflict: &Answer, entry: &Entry) -> Result<LogEntry, SignError> {
    let posted = under(log, PATH);
    let location = conflict.headers.get(LOCATION).map(|value| value.to_str());
    let location = location
        .and_then(Result::ok)
        .and_then(|text| posted.join(text).ok())
        .ok_or_else(|| unusable(&posted, "the location of the entry is no address".to_owned()))?;
    let host = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
    if host(&location) != host(&posted) {
        let host = location.host_str().unwrap_or_default().to_owned();
        return Err(SignError::LogEntryElsewhere { url: posted, host });
    }
    let id = location.path().rsplit_once('/').map_or("", |(_, id)| id);
    if !ID_LENGTHS.contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(unusable(
            &posted,
            "the location of the entry has no id of one".to_owned(),
        ));
    }
    let url = under(log, &format!("{PATH}/{id}"));
    tracing::debug!(url = %url, "the log has the entry already");
    let request = http.get(&url).header(ACCEPT, "application/json");
    // The log answers 409 before the entry is in its tree, and 404 until it is.
    let later = |status: StatusCode| status == StatusCode::NOT_FOUND || is_later(status);
    let answer = http
        .send_until(request, &url, http.timing().log, MAX_ANSWER_BYTES, later)
        .await
        .and_then(|answer| answer.expect(&url, &[StatusCode::OK]))
        .map_err(failed)?;
    check(&answer, &url, entry)
}

/// Takes the answer apart:
///
/// 1. it is one entry; its id says nothing that the proof does not;
/// 2. the entry is that of what was signed;
/// 3. it has a promise and a proof, whose hashes have their length. Both are verified with the finished bundle.
fn check(answer: &Answer, url: &Url, entry: &Entry) -> Result<LogEntry, SignError> {
    let bad = |reason: &str| unusable(url, reason.to_owned());
    // 1.
    let value = bounded::parse(&answer.body, MAX_EVIDENCE_BYTES).map_err(|error| bad(&error.to_string()))?;
    let answered: Answered = serde_json::from_value(value).map_err(|error| bad(&error.to_string()))?;
    let mut entries = answered.into_values();
    let (Some(logged), None) = (entries.next(), entries.next()) else {
        return Err(bad("it is not one entry"));
    };
    // 2.
    let body = base64_decode(&logged.body).ok_or_else(|| bad("the entry's body is not base64"))?;
    if body != entry.body {
        return Err(SignError::LogEntryOther { url: url.clone() });
    }
    // 3.
    read(logged, entry.kind, body).map_err(bad)
}

fn read(logged: Logged, kind: &str, body: Vec<u8>) -> Result<LogEntry, &'static str> {
    let integrated_time = UnixTime::from_seconds(logged.integrated_time)
        .ok()
        .filter(|time| time.seconds() > 0)
        .ok_or("the entry's time is none")?;
    let promise = base64_decode(&logged.verification.signed_entry_timestamp)
        .filter(|promise| !promise.is_empty())
        .ok_or("the entry has no signed entry timestamp")?;
    let proof = logged.verification.inclusion_proof;
    if proof.checkpoint.is_empty() {
        return Err("the entry's proof has no checkpoint");
    }
    let hashes: Option<Vec<_>> = proof.hashes.iter().map(|hash| wire::sha256(hash)).collect();
    Ok(LogEntry {
        log_index: logged.log_index,
        log_id: wire::sha256(&logged.log_id).ok_or("the log's id is not a hash in hex")?,
        kind: kind.to_owned(),
        kind_version: KIND_VERSION.to_owned(),
        integrated_time: Some(integrated_time),
        inclusion_promise: Some(promise),
        inclusion_proof: Some(InclusionProof {
            log_index: proof.log_index,
            tree_size: proof.tree_size,
            root_hash: wire::sha256(&proof.root_hash).ok_or("the root of the entry's proof is not a hash in hex")?,
            hashes: hashes.ok_or("a hash of the entry's proof is not in hex")?,
            checkpoint: proof.checkpoint,
        }),
        canonicalized_body: body,
    })
}

#[cfg(test)]
mod tests;
