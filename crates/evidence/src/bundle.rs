//! Sigstore bundles: v0.1 to v0.3 read, v0.3 written (sigstore/protobuf-specs, `sigstore_bundle.proto`; JSON form).
//!
//! The reader is strict where leniency has been an attack (two contents, two keys, duplicate keys, endless lists) and
//! lenient where peers differ (both media type spellings, both field names, numbers as strings, defaults left out).
//! Unknown fields are ignored: nothing but the content is signed, so anyone could strip them, and the specification adds
//! fields within a version. An unknown kind of log entry is kept as it is; whether it counts is for the verifier.

use proofmark_types::{Digest, DigestAlgorithm, UnixTime};
use serde_json::Value;
use thiserror::Error;

use crate::MAX_EVIDENCE_BYTES;
use crate::dsse::{Envelope, EnvelopeError};
use crate::fields::{FieldError, Fields};
use crate::json::{self, JsonError};

mod write;

/// The media type that is written.
pub const MEDIA_TYPE_V03: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// sigstore-go `internal/limits`: at most 32 log entries (GHSA-cq38-jh5f-37mq was an endless list).
pub const MAX_LOG_ENTRIES: usize = 32;

/// sigstore-go `internal/limits`: at most 32 timestamps.
pub const MAX_TIMESTAMPS: usize = 32;

/// The most certificates of a chain: webpki's budget of six intermediates, a leaf, a root, and room.
pub const MAX_CHAIN: usize = 10;

/// An inclusion proof has a hash for each level of the tree; an index has 63 bits.
pub const MAX_PROOF_HASHES: usize = 64;

/// A signature over something, with all that is needed to verify it offline.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// Keys, certificates, log entries, timestamps.
    pub material: VerificationMaterial,
    /// What is signed, and the signature.
    pub content: Content,
}

/// Everything but the signature.
#[derive(Clone, Debug, PartialEq)]
pub struct VerificationMaterial {
    /// Who signed.
    pub key: KeyMaterial,
    /// Entries of transparency logs.
    pub tlog_entries: Vec<LogEntry>,
    /// RFC 3161 timestamps, each a DER `TimeStampResp`.
    pub timestamps: Vec<Vec<u8>>,
}

/// Who signed, as claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A leaf certificate, DER.
    Certificate(Vec<u8>),
    /// A chain, leaf first, DER: bundles up to v0.2, and v0.3 of private authorities. Never empty.
    Chain(Vec<Vec<u8>>),
    /// A hint which public key to use; unauthenticated, possibly empty.
    PublicKeyHint(String),
}

impl KeyMaterial {
    /// The leaf certificate, if there is one.
    #[must_use]
    pub fn leaf(&self) -> Option<&[u8]> {
        match self {
            Self::Certificate(der) => Some(der),
            Self::Chain(chain) => chain.first().map(Vec::as_slice),
            Self::PublicKeyHint(_) => None,
        }
    }
}

/// What is signed, and the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An envelope with exactly one signature.
    Dsse(Envelope),
    /// A signature over an artifact that is not in the bundle.
    MessageSignature {
        /// The artifact's digest, a hint for finding it; never to be trusted in its place.
        digest: Option<Digest>,
        /// The signature.
        signature: Vec<u8>,
    },
}

impl Content {
    /// The raw signature bytes: what timestamps are over.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        match self {
            Self::Dsse(envelope) => envelope.signatures.first().map_or(&[], |signature| &signature.sig),
            Self::MessageSignature { signature, .. } => signature,
        }
    }
}

/// An entry of a transparency log (`sigstore_rekor.proto`, `TransparencyLogEntry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index in the log; for Rekor v1 over all shards.
    pub log_index: u64,
    /// The log's key id.
    pub log_id: Vec<u8>,
    /// The kind of entry, such as `hashedrekord`; empty if it was left out.
    pub kind: String,
    /// The version of the kind, such as `0.0.2`.
    pub kind_version: String,
    /// When the log says it took the entry in; Rekor v2 does not say.
    pub integrated_time: Option<UnixTime>,
    /// The signed entry timestamp of Rekor v1.
    pub inclusion_promise: Option<Vec<u8>>,
    /// The proof that it is in the tree.
    pub inclusion_proof: Option<InclusionProof>,
    /// The entry as it stands in the log; empty if it was left out.
    pub canonicalized_body: Vec<u8>,
}

/// The proof that an entry is in a log's tree (RFC 6962 §2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The index within this tree.
    pub log_index: u64,
    /// The size of the tree.
    pub tree_size: u64,
    /// The root hash.
    pub root_hash: Vec<u8>,
    /// The hashes, from the leaf up.
    pub hashes: Vec<Vec<u8>>,
    /// The signed checkpoint; empty if it was left out.
    pub checkpoint: String,
}

impl LogEntry {
    /// Reads one entry alone, as Rekor v2 answers a write.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let value = json::parse(bytes, MAX_EVIDENCE_BYTES)?;
        parse_entry(Fields::root("entry", value)?)
    }
}

/// The layout's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V01,
    V02,
    V03,
}

impl Version {
    /// Both spellings; v0.3 changed it (protobuf-specs `Bundle.media_type`).
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/vnd.dev.sigstore.bundle+json;version=0.1" => Some(Self::V01),
            "application/vnd.dev.sigstore.bundle+json;version=0.2" => Some(Self::V02),
            "application/vnd.dev.sigstore.bundle+json;version=0.3" | MEDIA_TYPE_V03 => Some(Self::V03),
            _ => None,
        }
    }
}

/// Whether a media type is one of the bundles that [`Bundle::parse`] reads.
#[must_use]
pub fn is_supported_media_type(media_type: &str) -> bool {
    Version::of(media_type).is_some()
}

impl Bundle {
    /// Reads a bundle of any supported version.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let value = json::parse(bytes, MAX_EVIDENCE_BYTES)?;
        let mut fields = Fields::root("bundle", value)?;
        let media_type = fields.required_text("mediaType")?;
        let version = Version::of(&media_type).ok_or_else(|| BundleError::MediaType {
            seen: media_type.chars().take(80).collect(),
        })?;
        let material = parse_material(fields.required_object("verificationMaterial")?, version)?;
        let content = parse_content(&mut fields)?;
        Ok(Self { material, content })
    }

    /// Writes the bundle as v0.3.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        write::bundle(self)
    }

    /// The envelope, if that is its content.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.content {
            Content::Dsse(envelope) => Some(envelope),
            Content::MessageSignature { .. } => None,
        }
    }
}

fn parse_material(mut fields: Fields, version: Version) -> Result<VerificationMaterial, BundleError> {
    let key = parse_key(&mut fields)?;
    let mut tlog_entries = Vec::new();
    for (index, entry) in fields.objects("tlogEntries", MAX_LOG_ENTRIES)?.into_iter().enumerate() {
        let entry = parse_entry(entry)?;
        check_entry(&entry, index, version)?;
        tlog_entries.push(entry);
    }
    let mut timestamps = Vec::new();
    if let Some(mut data) = fields.object("timestampVerificationData")? {
        for mut timestamp in data.objects("rfc3161Timestamps", MAX_TIMESTAMPS)? {
            let path = timestamp.path("signedTimestamp");
            let der = timestamp.bytes("signedTimestamp")?;
            if der.is_empty() {
                return Err(FieldError::Missing { path }.into());
            }
            timestamps.push(der);
        }
    }
    Ok(VerificationMaterial {
        key,
        tlog_entries,
        timestamps,
    })
}

/// Exactly one of the three, or readers would differ on who signed.
fn parse_key(fields: &mut Fields) -> Result<KeyMaterial, BundleError> {
    let certificate = fields.object("certificate")?;
    let chain = fields.object("x509CertificateChain")?;
    let public_key = fields.object("publicKey")?;
    match (certificate, chain, public_key) {
        (Some(mut certificate), None, None) => Ok(KeyMaterial::Certificate(raw_bytes(&mut certificate)?)),
        (None, Some(mut chain), None) => {
            let certificates = chain
                .objects("certificates", MAX_CHAIN)?
                .iter_mut()
                .map(raw_bytes)
                .collect::<Result<Vec<_>, _>>()?;
            if certificates.is_empty() {
                return Err(FieldError::Missing {
                    path: chain.path("certificates"),
                }
                .into());
            }
            Ok(KeyMaterial::Chain(certificates))
        }
        (None, None, Some(mut key)) => Ok(KeyMaterial::PublicKeyHint(key.text("hint")?.unwrap_or_default())),
        (None, None, None) => Err(BundleError::NoKey),
        _ => Err(BundleError::SeveralKeys),
    }
}

fn raw_bytes(fields: &mut Fields) -> Result<Vec<u8>, BundleError> {
    let der = fields.bytes("rawBytes")?;
    if der.is_empty() {
        return Err(FieldError::Missing {
            path: fields.path("rawBytes"),
        }
        .into());
    }
    Ok(der)
}

fn parse_content(fields: &mut Fields) -> Result<Content, BundleError> {
    let envelope = fields.object("dsseEnvelope")?;
    let message = fields.object("messageSignature")?;
    match (envelope, message) {
        (Some(envelope), None) => {
            let envelope = Envelope::from_fields(envelope)?;
            // Client specification: one signature, or it would be unclear which one the log and timestamps are about.
            match envelope.signatures.len() {
                1 => Ok(Content::Dsse(envelope)),
                seen => Err(BundleError::SeveralSignatures { seen }),
            }
        }
        (None, Some(message)) => parse_message(message),
        (None, None) => Err(BundleError::NoContent),
        (Some(_), Some(_)) => Err(BundleError::SeveralContents),
    }
}

fn parse_message(mut fields: Fields) -> Result<Content, BundleError> {
    let signature = fields.bytes("signature")?;
    if signature.is_empty() {
        return Err(EnvelopeError::EmptySignature.into());
    }
    // The digest is a hint and proves nothing. cosign 3.1 writes an empty one for Ed25519, which hashes nothing first; to
    // protojson it is the same as none.
    let digest = match fields.object("messageDigest")? {
        Some(given) if !given.is_empty() => Some(parse_digest(given)?),
        _ => None,
    };
    Ok(Content::MessageSignature { digest, signature })
}

fn parse_digest(mut fields: Fields) -> Result<Digest, BundleError> {
    let path = fields.path("algorithm");
    // protojson takes an enum's number in place of its name (`sigstore_common.proto`, HashAlgorithm).
    let name = match fields.take("algorithm")? {
        None => String::new(),
        Some(Value::String(name)) => name,
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(crate::fields::wrong(path, "a string", &other).into()),
    };
    let algorithm = match name.as_str() {
        "SHA2_256" | "1" => DigestAlgorithm::Sha256,
        "SHA2_384" | "2" => DigestAlgorithm::Sha384,
        "SHA2_512" | "3" => DigestAlgorithm::Sha512,
        _ => {
            return Err(BundleError::DigestAlgorithm {
                seen: name.chars().take(80).collect(),
            });
        }
    };
    let bytes = fields.bytes("digest")?;
    Digest::from_bytes(algorithm, &bytes).map_err(|_| BundleError::DigestLength {
        expected: algorithm.length(),
        seen: bytes.len(),
    })
}

fn parse_entry(mut fields: Fields) -> Result<LogEntry, BundleError> {
    let (kind, kind_version) = match fields.object("kindVersion")? {
        None => (String::new(), String::new()),
        Some(mut kind) => (
            kind.text("kind")?.unwrap_or_default(),
            kind.text("version")?.unwrap_or_default(),
        ),
    };
    let log_id = match fields.object("logId")? {
        None => Vec::new(),
        Some(mut id) => id.bytes("keyId")?,
    };
    let inclusion_promise = match fields.object("inclusionPromise")? {
        None => None,
        Some(mut promise) => Some(promise.bytes("signedEntryTimestamp")?).filter(|set| !set.is_empty()),
    };
    let path = fields.path("integratedTime");
    let integrated_time = match fields.integer("integratedTime")? {
        0 => None,
        seconds => {
            let seconds = i64::try_from(seconds).ok();
            let time = seconds.and_then(|seconds| UnixTime::from_seconds(seconds).ok());
            Some(time.ok_or(FieldError::Integer { path })?)
        }
    };
    Ok(LogEntry {
        log_index: fields.integer("logIndex")?,
        log_id,
        kind,
        kind_version,
        integrated_time,
        inclusion_promise,
        inclusion_proof: fields.object("inclusionProof")?.map(parse_proof).transpose()?,
        canonicalized_body: fields.bytes("canonicalizedBody")?,
    })
}

fn parse_proof(mut fields: Fields) -> Result<InclusionProof, BundleError> {
    let path = fields.path("hashes");
    let mut hashes = Vec::new();
    for value in fields.list("hashes", MAX_PROOF_HASHES)? {
        let hash = value.as_str().and_then(crate::encoding::base64_decode);
        hashes.push(hash.ok_or_else(|| FieldError::Base64 { path: path.clone() })?);
    }
    let checkpoint = match fields.object("checkpoint")? {
        None => String::new(),
        Some(mut checkpoint) => checkpoint.text("envelope")?.unwrap_or_default(),
    };
    Ok(InclusionProof {
        log_index: fields.integer("logIndex")?,
        tree_size: fields.integer("treeSize")?,
        root_hash: fields.bytes("rootHash")?,
        hashes,
        checkpoint,
    })
}

/// protobuf-specs `Bundle`: v0.1 needs the promise, later versions need the proof with its checkpoint.
fn check_entry(entry: &LogEntry, index: usize, version: Version) -> Result<(), BundleError> {
    match version {
        Version::V01 if entry.inclusion_promise.is_none() => Err(BundleError::NoInclusionPromise { index }),
        Version::V01 => Ok(()),
        Version::V02 | Version::V03 => match &entry.inclusion_proof {
            None => Err(BundleError::NoInclusionProof { index }),
            Some(proof) if proof.checkpoint.is_empty() => Err(BundleError::NoCheckpoint { index }),
            Some(_) => Ok(()),
        },
    }
}

/// Why bytes are not a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not JSON, or JSON that evidence may not be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is not what the format says.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The envelope is malformed, or a signature is empty.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not a bundle, or of a version from the future.
    #[error("the bundle's media type is \"{seen}\", expected {MEDIA_TYPE_V03} or an older version")]
    MediaType {
        /// What stood there, shortened.
        seen: String,
    },
    /// Neither certificate nor key hint.
    #[error("the bundle names neither a certificate nor a public key")]
    NoKey,
    /// More than one of certificate, chain and key hint: readers would differ on who signed.
    #[error("the bundle has more than one of certificate, certificate chain and public key")]
    SeveralKeys,
    /// Neither an envelope nor a message signature.
    #[error("the bundle has neither an envelope nor a message signature")]
    NoContent,
    /// Both: readers would differ on what is signed.
    #[error("the bundle has both an envelope and a message signature")]
    SeveralContents,
    /// An envelope with other than one signature.
    #[error("the bundle's envelope has {seen} signatures, expected one")]
    SeveralSignatures {
        /// How many.
        seen: usize,
    },
    /// A digest by a function that signatures do not use.
    #[error("unknown digest algorithm \"{seen}\", expected SHA2_256, SHA2_384 or SHA2_512")]
    DigestAlgorithm {
        /// What stood there, shortened.
        seen: String,
    },
    /// A digest of the wrong length.
    #[error("the message digest has {seen} bytes, expected {expected}")]
    DigestLength {
        /// The algorithm's length.
        expected: usize,
        /// The length given.
        seen: usize,
    },
    /// A v0.1 log entry without the log's promise.
    #[error("log entry {index} has no inclusion promise, which bundles of version 0.1 need")]
    NoInclusionPromise {
        /// Which entry, from 0.
        index: usize,
    },
    /// A log entry without proof that the log has it.
    #[error("log entry {index} has no inclusion proof")]
    NoInclusionProof {
        /// Which entry, from 0.
        index: usize,
    },
    /// A proof without a signed tree head is a proof of nothing.
    #[error("the inclusion proof of log entry {index} has no checkpoint")]
    NoCheckpoint {
        /// Which entry, from 0.
        index: usize,
    },
}

impl BundleError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Field(error) => error.code(),
            Self::Envelope(error) => error.code(),
            Self::MediaType { .. } => "bundle-media-type",
            Self::NoKey => "bundle-no-key",
            Self::SeveralKeys => "bundle-several-keys",
            Self::NoContent => "bundle-no-content",
            Self::SeveralContents => "bundle-several-contents",
            Self::SeveralSignatures { .. } => "bundle-several-signatures",
            Self::DigestAlgorithm { .. } => "bundle-digest-algorithm",
            Self::DigestLength { .. } => "bundle-digest-length",
            Self::NoInclusionPromise { .. } => "bundle-no-inclusion-promise",
            Self::NoInclusionProof { .. } => "bundle-no-inclusion-proof",
            Self::NoCheckpoint { .. } => "bundle-no-checkpoint",
        }
    }
}

#[cfg(test)]
mod tests;
