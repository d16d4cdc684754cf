//! Writing to a transparency log (Rekor v2, `POST /api/v2/log/entries`): a `hashedrekord` of the signature over the
//! message's digest. An envelope is logged the same way, over the digest of its pre-authentication encoding
//! (rekor-v2-spec §6.1.4; entries of kind `dsse` are gone).

use proofmark_evidence::bundle::LogEntry;
use proofmark_evidence::encoding::base64_encode;
use proofmark_types::{Digest, DigestAlgorithm};
use proofmark_verify::TrustRoot;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{StatusCode, Url};
use serde::Serialize;

use crate::error::{Service, SignError};
use crate::http::{Answer, Http, HttpError};

mod held;

const PATH: &str = "/api/v2/log/entries";

/// The longest answer: an entry has at most 65,535 bytes, in base64 and JSON, with a proof of at most 63 hashes and a
/// checkpoint with witnesses.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Where the index of an equal entry is said (rekor-tiles, `service.go`).
const INDEX_HEADER: &str = "x-log-index";

/// What is logged.
pub(crate) struct Entry<'e> {
    pub(crate) digest: Digest,
    pub(crate) signature: &'e [u8],
    pub(crate) certificate: Option<&'e [u8]>,
    pub(crate) public_key: &'e [u8],
    pub(crate) key_details: &'static str,
}

impl Entry<'_> {
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
    pub(crate) fn body(&self) -> Vec<u8> {
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
pub(crate) async fn write(
    http: &Http,
    log: &Url,
    entry: &Entry<'_>,
    trust_root: Option<&TrustRoot>,
) -> Result<LogEntry, SignError> {
    let url = under(log, PATH);
    let request = http
        .post(&url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(entry.request());
    let answer = http
        .send(request, &url, http.timing().log, MAX_ANSWER_BYTES)
        .await
        .map_err(failed)?;
    if answer.status == StatusCode::CONFLICT
        && let Some(index) = held_index(&answer)
    {
        tracing::debug!(url = %url, index, "the log has the entry already");
        return held::read(http, log, index, entry, trust_root).await;
    }
    let answer = answer
        .expect(&url, &[StatusCode::CREATED, StatusCode::OK])
        .map_err(failed)?;
    check(&answer, &url, entry)
}

fn check(answer: &Answer, url: &Url, entry: &Entry<'_>) -> Result<LogEntry, SignError> {
    let bad = |reason: String| SignError::Answer {
        service: Service::Log,
        url: url.clone(),
        reason,
    };
    let logged = LogEntry::parse(&answer.body).map_err(|error| bad(error.to_string()))?;
    // An entry about something else would make a bundle that nobody accepts.
    if logged.canonicalized_body != entry.body() {
        return Err(bad("the entry is not the one that was sent".to_owned()));
    }
    match &logged.inclusion_proof {
        Some(proof) if !proof.checkpoint.is_empty() => Ok(logged),
        _ => Err(bad("the entry has no inclusion proof".to_owned())),
    }
}

fn held_index(answer: &Answer) -> Option<u64> {
    answer.headers.get(INDEX_HEADER)?.to_str().ok()?.trim().parse().ok()
}

fn failed(source: HttpError) -> SignError {
    SignError::Http {
        service: Service::Log,
        source,
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
