//! What a submission to the log must be, and the canonical bytes that it becomes (rekor-v2-spec sections 4.3 and 6.1).
//!
//! The signature is verified over the digest before an entry is accepted. A certificate is only read for its key: who
//! is allowed to sign is not the log's question. Nothing in an entry makes the server fetch anything
//! (GHSA-4c4x-jm2x-pf9j).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode, Encode};
use proofmark_types::{Digest, DigestAlgorithm};
use proofmark_verify::{HashUsed, KeyAlgorithm, PublicKey};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::json::{Bytes, nullable};

/// The longest entry: an entry bundle writes the length in sixteen bits.
pub(crate) const MAX_ENTRY_BYTES: usize = proofmark_merkle::tile::MAX_ENTRY_BYTES;
/// A certificate with every extension of a CI provider has some 2 kB; a key 0.6 kB.
const MAX_VERIFIER_BYTES: usize = 16 * 1024;
/// RSA-8192 signs with 1,024 bytes.
const MAX_SIGNATURE_BYTES: usize = 2 * 1024;

/// Why a submission is not accepted.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// Not the JSON of a request; unknown fields are refused as upstream does.
    #[error("the request is not a CreateEntryRequest: {reason}")]
    Malformed {
        /// What the parser met.
        reason: String,
    },
    /// Neither or both of the request kinds.
    #[error("a request has exactly one of hashedRekordRequestV002 and dsseRequestV002")]
    Kind,
    /// A field that must be there is missing or empty.
    #[error("the request has no {field}")]
    Missing {
        /// Which one.
        field: &'static str,
    },
    /// Two verifiers, or none, or two signatures in an envelope: the entry has room for one.
    #[error("a request has exactly one {field}, this one has {seen}")]
    NotOne {
        /// Of what.
        field: &'static str,
        /// How many were given.
        seen: usize,
    },
    /// A field longer than anything that is legitimate.
    #[error("{field} has {seen} bytes, more than the {limit} allowed")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// The bound.
        limit: usize,
        /// Its length.
        seen: usize,
    },
    /// A key algorithm that this log does not take.
    #[error("signatures of {details} are not accepted")]
    KeyDetails {
        /// The algorithm named.
        details: String,
    },
    /// Not a certificate, or not a public key.
    #[error("the verifier is not a {expected}")]
    Verifier {
        /// What it should have been.
        expected: &'static str,
    },
    /// The key is of another kind than `keyDetails` says.
    #[error("the verifier is an {seen} key, not one of {details}")]
    KeyMismatch {
        /// The kind of key given.
        seen: String,
        /// What was claimed.
        details: &'static str,
    },
    /// The digest has not the length of the algorithm's hash.
    #[error("a digest for {details} has {expected} bytes, this one has {seen}")]
    DigestLength {
        /// The algorithm named.
        details: &'static str,
        /// The length of its hash.
        expected: usize,
        /// The length given.
        seen: usize,
    },
    /// The signature is not by the key over the digest.
    #[error("the signature does not verify over the digest with the given key")]
    Signature,
}

impl EntryError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "entry-malformed",
            Self::Kind => "entry-kind",
            Self::Missing { .. } => "entry-field-missing",
            Self::NotOne { .. } => "entry-not-one",
            Self::TooLong { .. } => "entry-too-long",
            Self::KeyDetails { .. } => "entry-key-algorithm",
            Self::Verifier { .. } => "entry-verifier",
            Self::KeyMismatch { .. } => "entry-key-mismatch",
            Self::DigestLength { .. } => "entry-digest-length",
            Self::Signature => "entry-signature",
        }
    }
}

/// The canonical body (RFC 8785) of the entry that a request asks for, once its signature is verified.
pub(crate) fn canonical_body(request: &[u8]) -> Result<Vec<u8>, EntryError> {
    let request: Request = serde_json::from_slice(request).map_err(|error| EntryError::Malformed {
        // The parser's text quotes at most the name of a field.
        reason: error.to_string(),
    })?;
    let parts = match (request.hashed_rekord, request.dsse) {
        (Some(hashed), None) => hashed.parts()?,
        (None, Some(dsse)) => dsse.parts()?,
        (None, None) | (Some(_), Some(_)) => return Err(EntryError::Kind),
    };
    parts.body()
}

/// One entry, whichever request it came by.
struct Parts {
    digest: Digest,
    signature: Vec<u8>,
    details: KeyDetails,
    verifier: VerifierBytes,
}

enum VerifierBytes {
    Certificate(Vec<u8>),
    PublicKey(Vec<u8>),
}

impl Parts {
    fn body(&self) -> Result<Vec<u8>, EntryError> {
        bounded("signature.content", &self.signature, MAX_SIGNATURE_BYTES)?;
        let key = self.verifier.key()?;
        if !self.details.fits(&key) {
            return Err(EntryError::KeyMismatch {
                seen: key.algorithm().name().to_owned(),
                details: self.details.name,
            });
        }
        let used = key
            .verify_digest(&self.digest, &self.signature)
            .map_err(|_| EntryError::Signature)?;
        if used != self.details.hash {
            return Err(EntryError::Signature);
        }
        let (field, raw) = match &self.verifier {
            VerifierBytes::Certificate(der) => ("x509Certificate", der),
            VerifierBytes::PublicKey(der) => ("publicKey", der),
        };
        // Every value is base64 or the name of an enum, so that nothing needs escaping; the keys are in the order of
        // RFC 8785. The tests compare this with a general canonicaliser and with the entries of a real log.
        let body = format!(
            concat!(
                r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"#,
                r#""data":{{"algorithm":"{}","digest":"{}"}},"signature":{{"content":"{}","#,
                r#""verifier":{{"keyDetails":"{}","{}":{{"rawBytes":"{}"}}}}}}}}}}}}"#
            ),
            algorithm_name(self.details.digest),
            STANDARD.encode(self.digest.as_bytes()),
            STANDARD.encode(&self.signature),
            self.details.name,
            field,
            STANDARD.encode(raw),
        )
        .into_bytes();
        bounded("the entry", &body, MAX_ENTRY_BYTES)?;
        Ok(body)
    }
}

impl VerifierBytes {
    fn key(&self) -> Result<PublicKey, EntryError> {
        match self {
            Self::PublicKey(spki) => {
                bounded("publicKey.rawBytes", spki, MAX_VERIFIER_BYTES)?;
                PublicKey::from_spki_der(spki).map_err(|_| EntryError::Verifier { expected: "public key" })
            }
            Self::Certificate(der) => {
                bounded("x509Certificate.rawBytes", der, MAX_VERIFIER_BYTES)?;
                let wrong = EntryError::Verifier {
                    expected: "certificate",
                };
                let spki = x509_cert::Certificate::from_der(der)
                    .and_then(|certificate| certificate.tbs_certificate.subject_public_key_info.to_der())
                    .ok();
                spki.and_then(|spki| PublicKey::from_spki_der(&spki).ok()).ok_or(wrong)
            }
        }
    }
}

/// The algorithms of protobuf-specs that a log takes: all pre-hashed, the hash being the key's own. Pure Ed25519
/// cannot be verified over a digest.
#[derive(Clone, Copy)]
struct KeyDetails {
    name: &'static str,
    number: u64,
    key: KeyAlgorithm,
    digest: DigestAlgorithm,
    hash: HashUsed,
}

const ACCEPTED: [KeyDetails; 7] = [
    ec(
        "PKIX_ECDSA_P256_SHA_256",
        5,
        KeyAlgorithm::EcdsaP256,
        DigestAlgorithm::Sha256,
        HashUsed::Sha256,
    ),
    ec(
        "PKIX_ECDSA_P384_SHA_384",
        12,
        KeyAlgorithm::EcdsaP384,
        DigestAlgorithm::Sha384,
        HashUsed::Sha384,
    ),
    ec(
        "PKIX_ECDSA_P521_SHA_512",
        13,
        KeyAlgorithm::EcdsaP521,
        DigestAlgorithm::Sha512,
        HashUsed::Sha512,
    ),
    ec(
        "PKIX_ED25519_PH",
        8,
        KeyAlgorithm::Ed25519,
        DigestAlgorithm::Sha512,
        HashUsed::Ed25519ph,
    ),
    rsa("PKIX_RSA_PKCS1V15_2048_SHA256", 9, KeyAlgorithm::Rsa2048),
    rsa("PKIX_RSA_PKCS1V15_3072_SHA256", 10, KeyAlgorithm::Rsa3072),
    rsa("PKIX_RSA_PKCS1V15_4096_SHA256", 11, KeyAlgorithm::Rsa4096),
];

const fn ec(name: &'static str, number: u64, key: KeyAlgorithm, digest: DigestAlgorithm, hash: HashUsed) -> KeyDetails {
    KeyDetails {
        name,
        number,
        key,
        digest,
        hash,
    }
}

const fn rsa(name: &'static str, number: u64, key: KeyAlgorithm) -> KeyDetails {
    KeyDetails {
        name,
        number,
        key,
        digest: DigestAlgorithm::Sha256,
        hash: HashUsed::Sha256,
    }
}

impl KeyDetails {
    fn fits(&self, key: &PublicKey) -> bool {
        key.algorithm() == self.key
    }
}

fn algorithm_name(algorithm: DigestAlgorithm) -> &'static str {
    match algorithm {
        DigestAlgorithm::Sha256 => "SHA2_256",
        DigestAlgorithm::Sha384 => "SHA2_384",
        DigestAlgorithm::Sha512 => "SHA2_512",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    #[serde(default, rename = "hashedRekordRequestV002", alias = "hashed_rekord_request_v002")]
    hashed_rekord: Option<HashedRekord>,
    #[serde(default, rename = "dsseRequestV002", alias = "dsse_request_v002")]
    dsse: Option<Dsse>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HashedRekord {
    #[serde(default, deserialize_with = "nullable")]
    digest: Bytes,
    signature: Option<Signature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Signature {
    #[serde(default, deserialize_with = "nullable")]
    content: Bytes,
    verifier: Option<Verifier>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Verifier {
    #[serde(alias = "public_key")]
    public_key: Option<RawBytes>,
    #[serde(rename = "x509Certificate", alias = "x509_certificate")]
    certificate: Option<RawBytes>,
    #[serde(default, alias = "key_details", deserialize_with = "details")]
    key_details: Option<Result<KeyDetails, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawBytes {
    #[serde(default, alias = "raw_bytes", deserialize_with = "nullable")]
    raw_bytes: Bytes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Dsse {
    envelope: Option<Envelope>,
    #[serde(default, deserialize_with = "nullable")]
    verifiers: Vec<Verifier>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    #[serde(default, deserialize_with = "nullable")]
    payload: Bytes,
    #[serde(default, alias = "payload_type", deserialize_with = "nullable")]
    payload_type: String,
    #[serde(default, deserialize_with = "nullable")]
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EnvelopeSignature {
    #[serde(default, deserialize_with = "nullable")]
    sig: Bytes,
    #[serde(default, deserialize_with = "nullable", rename = "keyid")]
    _keyid: String,
}

impl HashedRekord {
    fn parts(self) -> Result<Parts, EntryError> {
        let signature = self.signature.ok_or(EntryError::Missing { field: "signature" })?;
        let verifier = signature.verifier.ok_or(EntryError::Missing {
            field: "signature.verifier",
        })?;
        let (details, verifier) = verifier.parts()?;
        let content = present("signature.content", signature.content)?;
        let digest = present("digest", self.digest)?;
        let digest = Digest::from_bytes(details.digest, &digest).map_err(|_| EntryError::DigestLength {
            details: details.name,
            expected: details.digest.length(),
            seen: digest.len(),
        })?;
        Ok(Parts {
            digest,
            signature: content,
            details,
            verifier,
        })
    }
}

impl Dsse {
    /// Rekor v2 dropped this kind in 2.3; sigstore-js still sends it. What is logged is the entry that newer clients
    /// ask for: the digest of the pre-authentication encoding.
    fn parts(self) -> Result<Parts, EntryError> {
        let envelope = self.envelope.ok_or(EntryError::Missing { field: "envelope" })?;
        let verifier = only("verifier", self.verifiers)?;
        let signature = only("signature in an envelope", envelope.signatures)?;
        let (details, verifier) = verifier.parts()?;
        let payload = present("envelope.payload", envelope.payload)?;
        if envelope.payload_type.is_empty() {
            return Err(EntryError::Missing {
                field: "envelope.payloadType",
            });
        }
        let mut hasher = proofmark_types::Hasher::new(details.digest);
        let (kind, length) = (envelope.payload_type.as_bytes(), payload.len());
        hasher.update(format!("DSSEv1 {} ", kind.len()).as_bytes());
        hasher.update(kind);
        hasher.update(format!(" {length} ").as_bytes());
        hasher.update(&payload);
        let signature = present("envelope.signatures.sig", signature.sig)?;
        Ok(Parts {
            digest: hasher.finish(),
            signature,
            details,
            verifier,
        })
    }
}

impl Verifier {
    fn parts(self) -> Result<(KeyDetails, VerifierBytes), EntryError> {
        let details = match self.key_details {
            Some(Ok(details)) => details,
            Some(Err(details)) => return Err(EntryError::KeyDetails { details }),
            None => return Err(EntryError::Missing { field: "keyDetails" }),
        };
        let bytes = match (self.certificate, self.public_key) {
            (Some(der), None) => VerifierBytes::Certificate(present("x509Certificate.rawBytes", der.raw_bytes)?),
            (None, Some(der)) => VerifierBytes::PublicKey(present("publicKey.rawBytes", der.raw_bytes)?),
            (None, None) => {
                return Err(EntryError::Missing {
                    field: "x509Certificate or publicKey",
                });
            }
            (Some(_), Some(_)) => {
                return Err(EntryError::NotOne {
                    field: "of x509Certificate and publicKey",
                    seen: 2,
                });
            }
        };
        Ok((details, bytes))
    }
}

fn present(field: &'static str, bytes: Bytes) -> Result<Vec<u8>, EntryError> {
    if bytes.0.is_empty() {
        Err(EntryError::Missing { field })
    } else {
        Ok(bytes.0)
    }
}

fn only<T>(field: &'static str, mut items: Vec<T>) -> Result<T, EntryError> {
    match (items.pop(), items.len()) {
        (Some(item), 0) => Ok(item),
        (popped, rest) => Err(EntryError::NotOne {
            field,
            seen: rest + usize::from(popped.is_some()),
        }),
    }
}

fn bounded(field: &'static str, bytes: &[u8], limit: usize) -> Result<(), EntryError> {
    if bytes.len() > limit {
        return Err(EntryError::TooLong {
            field,
            limit,
            seen: bytes.len(),
        });
    }
    Ok(())
}

/// protojson writes an enum by name or by number.
fn details<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Result<KeyDetails, String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Name(String),
        Number(u64),
    }
    let written = Option::<Written>::deserialize(deserializer)?;
    Ok(written.map(|written| {
        let found = ACCEPTED.into_iter().find(|details| match &written {
            Written::Name(name) => details.name == name,
            Written::Number(number) => details.number == *number,
        });
        found.ok_or_else(|| match written {
            Written::Name(name) => name.chars().take(60).collect(),
            Written::Number(number) => number.to_string(),
        })
    }))
}

#[cfg(test)]
mod tests;
