//! Rekor v2 (`POST /api/v2/log/entries`): a `hashedrekord` of the signature over the message's digest. An envelope is
//! logged the same way, over the digest of its pre-authentication encoding (rekor-v2-spec §6.1.4; entries of kind
//! `dsse` are gone).

use proofmark_evidence::bundle::LogEntry;
use proofmark_evidence::encoding::base64_encode;
use proofmark_types::{Digest, DigestAlgorithm};
use proofmark_verify::TrustRoot;
use reqwest::{StatusCode, Url};
use serde::Serialize;

use super::{Signed, failed, json, post, under, unusable};
use crate::error::SignError;
use crate::http::{Answer, Http};

mod held;

const PATH: &str = "/api/v2/log/entries";

/// Where the index of an equal entry is said (rekor-tiles, `service.go`).
const INDEX_HEADER: &str = "x-log-index";

/// What is logged.
struct Entry<'e> {
    digest: Digest,
    signature: &'e [u8],
    certificate: Option<&'e [u8]>,
    public_key: &'e [u8],
    key_details: &'static str,
}

impl<'e> Entry<'e> {
    fn of(signed: &Signed<'e>) -> Result<Self, SignError> {
        let hash = signed.hash.ok_or_else(|| signed.not_loggable())?;
        Ok(Self {
            digest: signed.digest(hash)?,
            signature: signed.signature,
            certificate: signed.certificate,
            public_key: signed.key.public_key().spki_der(),
            key_details: signed.key.log_details(),
        })
    }

    fn request(&self) -> Vec<u8> {
        let raw_bytes = |der: &[u8]| Raw {
            raw_bytes: base64_encode(der),
        };
        let request = Request {
            hashed_rekord_request_v002: HashedRekord {
                digest: base64_encode(self.digest.as_bytes()),
                signature: Signature {
                    content: base64_encode(self.signature),
                    verifier: Verifier {
                        x509_certificate: self.certificate.map(raw_bytes),
                        public_key: self.certificate.is_none().then(|| raw_bytes(self.public_key)),
                        key_details: self.key_details,
                    },
                },
            },
        };
        json(&request)
    }

    /// The entry as it stands in the log: canonical JSON (RFC 8785), which for this layout is plain JSON with the
    /// keys in order.
    fn body(&self) -> Vec<u8> {
        let raw_bytes = |der: &[u8]| Raw {
            raw_bytes: base64_encode(der),
        };
        json(&Body {
            api_version: "0.0.2",
            kind: "hashedrekord",
            spec: Spec {
                hashed_rekord_v002: BodyRekord {
                    data: Data {
                        algorithm: match self.digest.algorithm() {
                            DigestAlgorithm::Sha256 => "SHA2_256",
                            DigestAlgorithm::Sha384 => "SHA2_384",
                            DigestAlgorithm::Sha512 => "SHA2_512",
                        },
                        digest: base64_encode(self.digest.as_bytes()),
                    },
                    signature: BodySignature {
                        content: base64_encode(self.signature),
                        verifier: BodyVerifier {
                            key_details: self.key_details,
                            public_key: self.certificate.is_none().then(|| raw_bytes(self.public_key)),
                            x509_certificate: self.certificate.map(raw_bytes),
                        },
                    },
                },
            },
        })
    }
}

/// Writes the entry, and returns it as the log has it, with its proof.
///
/// A log that has the entry already answers 409 with its index (a request that timed out and was repeated, or a
/// deterministic RSA signature made again): the proof is then put together from the log's tiles.
pub(super) async fn write(
    http: &Http,
    log: &Url,
    signed: &Signed<'_>,
    trust_root: &TrustRoot,
) -> Result<LogEntry, SignError> {
    let entry = Entry::of(signed)?;
    let url = under(log, PATH);
    let answer = post(http, &url, entry.request()).await?;
    if answer.status == StatusCode::CONFLICT
        && let Some(index) = held_index(&answer)
    {
        tracing::debug!(url = %url, index, "the log has the entry already");
        return held::read(http, log, index, &entry, trust_root).await;
    }
    let answer = answer
        .expect(&url, &[StatusCode::CREATED, StatusCode::OK])
        .map_err(failed)?;
    check(&answer, &url, &entry)
}

fn check(answer: &Answer, url: &Url, entry: &Entry<'_>) -> Result<LogEntry, SignError> {
    let logged = LogEntry::parse(&answer.body).map_err(|error| unusable(url, error.to_string()))?;
    if logged.canonicalized_body.is_empty() {
        return Err(unusable(url, "the entry has no body".to_owned()));
    }
    // An entry about something else would make a bundle that nobody accepts.
    if logged.canonicalized_body != entry.body() {
        return Err(SignError::LogEntryOther { url: url.clone() });
    }
    match &logged.inclusion_proof {
        Some(proof) if !proof.checkpoint.is_empty() => Ok(logged),
        _ => Err(unusable(url, "the entry has no inclusion proof".to_owned())),
    }
}

fn held_index(answer: &Answer) -> Option<u64> {
    answer.headers.get(INDEX_HEADER)?.to_str().ok()?.trim().parse().ok()
}

#[derive(Serialize)]
struct Request {
    #[serde(rename = "hashedRekordRequestV002")]
    hashed_rekord_request_v002: HashedRekord,
}

#[derive(Serialize)]
struct HashedRekord {
    digest: String,
    signature: Signature,
}

#[derive(Serialize)]
struct Signature {
    content: String,
    verifier: Verifier,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verifier {
    #[serde(skip_serializing_if = "Option::is_none")]
    x509_certificate: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<Raw>,
    key_details: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    raw_bytes: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec,
}

#[derive(Serialize)]
struct Spec {
    #[serde(rename = "hashedRekordV002")]
    hashed_rekord_v002: BodyRekord,
}

#[derive(Serialize)]
struct BodyRekord {
    data: Data,
    signature: BodySignature,
}

#[derive(Serialize)]
struct Data {
    algorithm: &'static str,
    digest: String,
}

#[derive(Serialize)]
struct BodySignature {
    content: String,
    verifier: BodyVerifier,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyVerifier {
    key_details: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<Raw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x509_certificate: Option<Raw>,
}
