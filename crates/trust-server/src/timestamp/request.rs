//! What may be asked of the authority, as DER (RFC 3161 section 2.4.1) or in sigstore's JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::asn1::{Any, Int, ObjectIdentifier};
use der::{Decode, Encode, Sequence};
use proofmark_types::DigestAlgorithm;
use serde::Deserialize;
use thiserror::Error;
use x509_tsp::MessageImprint;

use crate::asn1;

/// A request is a hash, an identifier or two and a nonce; with SHA-512 it stays below 200 bytes.
pub(crate) const MAX_REQUEST_BYTES: usize = 1024;
/// Nonces are 64-bit numbers in all clients; RFC 3161 suggests no more. Longer ones cost time quadratically in some
/// parsers (timestamp-authority d8d3497).
const MAX_NONCE_BYTES: usize = 32;

const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const SHA384: &str = "2.16.840.1.101.3.4.2.2";
const SHA512: &str = "2.16.840.1.101.3.4.2.3";
const POLICY: &str = "1.3.6.1.4.1.57264.2";

/// A request that will be granted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// The DER of the MessageImprint, as it was sent.
    pub(super) imprint: Vec<u8>,
    /// The DER of the nonce.
    pub(super) nonce: Option<Vec<u8>>,
    pub(super) certificates: bool,
}

/// Why a request is refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum QueryError {
    #[error("a timestamp request has at most {MAX_REQUEST_BYTES} bytes, this one has {seen}")]
    TooLong { seen: usize },
    #[error("the request is not a timestamp request")]
    Malformed,
    #[error("hash algorithm {algorithm} is not accepted: SHA-256, SHA-384 or SHA-512 is")]
    Algorithm { algorithm: String },
    #[error("a {algorithm} hash has {expected} bytes, this one has {seen}")]
    HashLength {
        algorithm: DigestAlgorithm,
        expected: usize,
        seen: usize,
    },
    #[error("policy {policy} is not the policy of this authority, {POLICY}")]
    Policy { policy: String },
    #[error("a nonce has at most {MAX_NONCE_BYTES} bytes, this one has {seen}")]
    Nonce { seen: usize },
    #[error("extensions are not accepted")]
    Extensions,
}

impl QueryError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "timestamp-request-too-long",
            Self::Malformed => "timestamp-request-malformed",
            Self::Algorithm { .. } => "timestamp-algorithm",
            Self::HashLength { .. } => "timestamp-hash-length",
            Self::Policy { .. } => "timestamp-policy",
            Self::Nonce { .. } => "timestamp-nonce",
            Self::Extensions => "timestamp-extensions",
        }
    }
}

/// TimeStampReq; that of `x509-tsp` takes no extensions, which are then no different from garbage.
#[derive(Sequence)]
struct DerRequest {
    version: u8,
    message_imprint: MessageImprint,
    #[asn1(optional = "true")]
    policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(default = "Default::default")]
    cert_req: bool,
    #[asn1(
        context_specific = "0",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    extensions: Option<Vec<Any>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JsonRequest {
    artifact_hash: String,
    hash_algorithm: String,
    #[serde(default)]
    certificates: bool,
    #[serde(default)]
    nonce: Option<u64>,
    #[serde(default, rename = "tsaPolicyOID")]
    policy: Option<String>,
}

impl Query {
    /// Reads a TimeStampReq.
    pub(crate) fn from_der(bytes: &[u8]) -> Result<Self, QueryError> {
        bounded(bytes)?;
        let request = DerRequest::from_der(bytes).map_err(|_| QueryError::Malformed)?;
        if request.version != 1 {
            return Err(QueryError::Malformed);
        }
        if request.extensions.is_some() {
            return Err(QueryError::Extensions);
        }
        let imprint = &request.message_imprint;
        let algorithm = algorithm(&imprint.hash_algorithm.oid.to_string())?;
        // Absent or NULL: anything else would be signed unread.
        let parameters = imprint.hash_algorithm.parameters.as_ref();
        if parameters.is_some_and(|value| !value.is_null()) {
            return Err(QueryError::Malformed);
        }
        hash_length(algorithm, imprint.hashed_message.as_bytes())?;
        if let Some(policy) = request.policy {
            check_policy(&policy.to_string())?;
        }
        let nonce = match &request.nonce {
            Some(nonce) if nonce.as_bytes().len() > MAX_NONCE_BYTES => {
                return Err(QueryError::Nonce {
                    seen: nonce.as_bytes().len(),
                });
            }
            Some(nonce) => Some(nonce.to_der().map_err(|_| QueryError::Malformed)?),
            None => None,
        };
        let imprint = imprint.to_der().map_err(|_| QueryError::Malformed)?;
        Ok(Self {
            imprint,
            nonce,
            certificates: request.cert_req,
        })
    }

    /// Reads the JSON that sigstore-js sends.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, QueryError> {
        bounded(bytes)?;
        let request: JsonRequest = serde_json::from_slice(bytes).map_err(|_| QueryError::Malformed)?;
        let (algorithm, arc) = match request.hash_algorithm.as_str() {
            "sha256" => (DigestAlgorithm::Sha256, 1),
            "sha384" => (DigestAlgorithm::Sha384, 2),
            "sha512" => (DigestAlgorithm::Sha512, 3),
            other => {
                return Err(QueryError::Algorithm {
                    algorithm: other.chars().take(40).collect(),
                });
            }
        };
        let hash = STANDARD
            .decode(&request.artifact_hash)
            .map_err(|_| QueryError::Malformed)?;
        hash_length(algorithm, &hash)?;
        if let Some(policy) = request.policy.filter(|policy| !policy.is_empty()) {
            check_policy(&policy)?;
        }
        let identifier = asn1::sequence(&[&asn1::oid(&[2, 16, 840, 1, 101, 3, 4, 2, arc]), &asn1::null()]);
        Ok(Self {
            imprint: asn1::sequence(&[&identifier, &asn1::octets(&hash)]),
            nonce: request.nonce.map(|nonce| asn1::unsigned(&nonce.to_be_bytes())),
            certificates: request.certificates,
        })
    }
}

fn bounded(bytes: &[u8]) -> Result<(), QueryError> {
    if bytes.len() > MAX_REQUEST_BYTES {
        return Err(QueryError::TooLong { seen: bytes.len() });
    }
    Ok(())
}

fn algorithm(oid: &str) -> Result<DigestAlgorithm, QueryError> {
    match oid {
        SHA256 => Ok(DigestAlgorithm::Sha256),
        SHA384 => Ok(DigestAlgorithm::Sha384),
        SHA512 => Ok(DigestAlgorithm::Sha512),
        other => Err(QueryError::Algorithm {
            algorithm: other.chars().take(60).collect(),
        }),
    }
}

fn hash_length(algorithm: DigestAlgorithm, hash: &[u8]) -> Result<(), QueryError> {
    if hash.len() != algorithm.length() {
        return Err(QueryError::HashLength {
            algorithm,
            expected: algorithm.length(),
            seen: hash.len(),
        });
    }
    Ok(())
}

fn check_policy(policy: &str) -> Result<(), QueryError> {
    if policy != POLICY {
        return Err(QueryError::Policy {
            policy: policy.chars().take(60).collect(),
        });
    }
    Ok(())
}
