//! cosign's `.sig` and `.att` images (cosign `specs/SIGNATURE_SPEC.md` and `specs/ATTESTATION_SPEC.md`): one layer a
//! signature, everything about it in the layer's annotations. Also its experimental OCI 1.1 form, which is the same
//! image with a subject, and signatures in files of their own ([`Detached`]).

use std::collections::BTreeMap;

use proofmark_oci::{Descriptor, ImageManifest, media_types};
use proofmark_types::{Digest, MediaType, UnixTime};
use serde::Serialize;
use thiserror::Error;

use crate::bundle::{Bundle, MAX_CHAIN};
use crate::dsse::{Envelope, EnvelopeError};
use crate::encoding::{base64_decode, base64_encode, pem_decode_all, pem_encode};
use crate::evidence_set::ItemContent;
use crate::fields::{FieldError, Fields};
use crate::json::{self, JsonError};
use crate::layout::{self, DSSE_ENVELOPE, SIMPLE_SIGNING};
use crate::predicate::PredicateType;

mod detached;

pub use self::detached::{Detached, DetachedContent};

/// The most layers of a `.sig` or `.att` image that are read; CVE-2023-46737 was an endless list.
pub const MAX_LAYERS: usize = 1000;

/// The largest annotation read: a chain of ten certificates, or a log entry with an envelope in it (Rekor v1's limit).
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const LOG_BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
const PREDICATE_TYPE: &str = "predicateType";

/// A signature of a `.sig` image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacySignature {
    /// The simple-signing payload, the exact bytes that are signed.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
    /// The leaf certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// The rest of the chain, DER; may contain the root, which is not to be trusted for being there.
    pub chain: Vec<Vec<u8>>,
    /// The log's promise.
    pub log_bundle: Option<LegacyLogBundle>,
    /// An RFC 3161 timestamp over the signature, DER `TimeStampResp`.
    pub timestamp: Option<Vec<u8>>,
}

/// An attestation of an `.att` image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyAttestation {
    /// The envelope.
    pub envelope: Envelope,
    /// The layer as it is: legacy timestamps of attestations are over these bytes, not over the signature.
    pub raw: Vec<u8>,
    /// The predicate type that the annotation claims; unauthenticated.
    pub claimed_type: Option<String>,
    /// The leaf certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// The rest of the chain, DER.
    pub chain: Vec<Vec<u8>>,
    /// The log's promise.
    pub log_bundle: Option<LegacyLogBundle>,
    /// An RFC 3161 timestamp over [`LegacyAttestation::raw`], DER `TimeStampResp`.
    pub timestamp: Option<Vec<u8>>,
}

/// A log entry and the log's signed promise to include it; no proof that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyLogBundle {
    /// The signed entry timestamp.
    pub set: Vec<u8>,
    /// The entry as it stands in the log.
    pub body: Vec<u8>,
    /// When the log says it took the entry in.
    pub integrated_time: UnixTime,
    /// The entry's index over all shards.
    pub log_index: u64,
    /// The log's key id, 32 bytes.
    pub log_id: Vec<u8>,
}

impl LegacyLogBundle {
    /// The bytes that the signed entry timestamp is over.
    #[must_use]
    pub fn set_payload(&self) -> Vec<u8> {
        set_payload(&self.body, self.integrated_time, &self.log_id, self.log_index)
    }

    /// Reads it as the annotation of a layer and the `rekorBundle` of cosign's older bundles have it.
    pub fn parse(text: &str) -> Result<Self, LegacyError> {
        let value = json::parse(text.as_bytes(), limit())?;
        Self::of_fields(Fields::root("log bundle", value)?)
    }

    fn of_fields(mut fields: Fields) -> Result<Self, LegacyError> {
        let set = fields.bytes("SignedEntryTimestamp")?;
        let mut payload = fields.required_object("Payload")?;
        let path = payload.path("integratedTime");
        let seconds = i64::try_from(payload.integer("integratedTime")?).ok();
        let integrated_time = seconds
            .and_then(|seconds| UnixTime::from_seconds(seconds).ok())
            .ok_or(FieldError::Integer { path })?;
        Ok(Self {
            set,
            body: payload.bytes("body")?,
            integrated_time,
            log_index: payload.integer("logIndex")?,
            log_id: hex::decode(payload.required_text("logID")?).map_err(|_| LegacyError::LogId)?,
        })
    }

    fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Written {
            signed_entry_timestamp: String,
            payload: WrittenPayload,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct WrittenPayload {
            body: String,
            integrated_time: i64,
            log_index: u64,
            #[serde(rename = "logID")]
            log_id: String,
        }
        json::write(&Written {
            signed_entry_timestamp: base64_encode(&self.set),
            payload: WrittenPayload {
                body: base64_encode(&self.body),
                integrated_time: self.integrated_time.seconds(),
                log_index: self.log_index,
                log_id: hex::encode(&self.log_id),
            },
        })
    }
}

/// What a Rekor v1 signed entry timestamp is over: the canonical JSON (RFC 8785) of body, time, log and index. All of
/// it is ASCII and the keys are in order, so that plain JSON is canonical.
#[must_use]
pub fn set_payload(body: &[u8], integrated_time: UnixTime, log_id: &[u8], log_index: u64) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Signed {
        body: String,
        integrated_time: i64,
        #[serde(rename = "logID")]
        log_id: String,
        log_index: u64,
    }
    json::write(&Signed {
        body: base64_encode(body),
        integrated_time: integrated_time.seconds(),
        log_id: hex::encode(log_id),
        log_index,
    })
}

/// Reads one layer of an evidence manifest, of whichever kind. What does not parse is unreadable evidence, not an error.
#[must_use]
pub fn read_layer(layer: &Descriptor, blob: &[u8]) -> ItemContent {
    let unreadable = |code: &'static str, reason: String| ItemContent::Unreadable { code, reason };
    if layout::is_bundle_media_type(&layer.media_type) {
        return Bundle::parse(blob).map_or_else(|e| unreadable(e.code(), e.to_string()), ItemContent::Bundle);
    }
    match layer.media_type.as_str() {
        SIMPLE_SIGNING => LegacySignature::read(layer, blob)
            .map_or_else(|e| unreadable(e.code(), e.to_string()), ItemContent::LegacySignature),
        DSSE_ENVELOPE => LegacyAttestation::read(layer, blob)
            .map_or_else(|e| unreadable(e.code(), e.to_string()), ItemContent::LegacyAttestation),
        other => unreadable(
            "evidence-media-type",
            format!("the layer's media type is {other}, which is no evidence"),
        ),
    }
}

impl LegacySignature {
    /// Reads a layer of a `.sig` image.
    pub fn read(layer: &Descriptor, blob: &[u8]) -> Result<Self, LegacyError> {
        let materials = Materials::read(&layer.annotations)?;
        let signature = match annotation(&layer.annotations, SIGNATURE)? {
            None => return Err(LegacyError::NoSignature),
            Some(text) => base64_decode(text).ok_or(LegacyError::Base64 { annotation: SIGNATURE })?,
        };
        Ok(Self {
            payload: blob.to_vec(),
            signature,
            certificate: materials.certificate,
            chain: materials.chain,
            log_bundle: materials.log_bundle,
            timestamp: materials.timestamp,
        })
    }

    /// The layer to write, its blob being [`LegacySignature::payload`].
    #[must_use]
    pub fn layer(&self) -> Descriptor {
        let mut layer = Descriptor::of(MediaType::of_constant(SIMPLE_SIGNING), &self.payload);
        layer
            .annotations
            .insert(SIGNATURE.to_owned(), base64_encode(&self.signature));
        write_materials(
            &mut layer.annotations,
            self.certificate.as_deref(),
            &self.chain,
            self.log_bundle.as_ref(),
            self.timestamp.as_deref(),
        );
        layer
    }
}

impl LegacyAttestation {
    /// Reads a layer of an `.att` image.
    pub fn read(layer: &Descriptor, blob: &[u8]) -> Result<Self, LegacyError> {
        let materials = Materials::read(&layer.annotations)?;
        Ok(Self {
            envelope: Envelope::parse(blob)?,
            raw: blob.to_vec(),
            claimed_type: annotation(&layer.annotations, PREDICATE_TYPE)?.map(str::to_owned),
            certificate: materials.certificate,
            chain: materials.chain,
            log_bundle: materials.log_bundle,
            timestamp: materials.timestamp,
        })
    }

    /// An attestation about to be written.
    #[must_use]
    pub fn new(envelope: Envelope, predicate_type: &PredicateType) -> Self {
        Self {
            raw: envelope.to_json(),
            envelope,
            claimed_type: Some(predicate_type.to_string()),
            certificate: None,
            chain: Vec::new(),
            log_bundle: None,
            timestamp: None,
        }
    }

    /// The layer to write, its blob being [`LegacyAttestation::raw`].
    #[must_use]
    pub fn layer(&self) -> Descriptor {
        let mut layer = Descriptor::of(MediaType::of_constant(DSSE_ENVELOPE), &self.raw);
        layer.annotations.insert(SIGNATURE.to_owned(), String::new());
        if let Some(claimed) = &self.claimed_type {
            layer.annotations.insert(PREDICATE_TYPE.to_owned(), claimed.clone());
        }
        write_materials(
            &mut layer.annotations,
            self.certificate.as_deref(),
            &self.chain,
            self.log_bundle.as_ref(),
            self.timestamp.as_deref(),
        );
        layer
    }
}

/// The image of a `.sig` or `.att` tag with these layers, those already there first, and its config blob. cosign writes
/// the config of an image with no platform and no files.
#[must_use]
pub fn image(layers: Vec<Descriptor>) -> (ImageManifest, Vec<u8>) {
    let config = config(&layers);
    let manifest = ImageManifest {
        media_type: MediaType::of_constant(media_types::OCI_MANIFEST),
        artifact_type: None,
        config: Descriptor::of(MediaType::of_constant(media_types::OCI_CONFIG), &config),
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    };
    (manifest, config)
}

fn config(layers: &[Descriptor]) -> Vec<u8> {
    const NO_TIME: &str = "0001-01-01T00:00:00Z";
    #[derive(Serialize)]
    struct Config<'l> {
        architecture: &'static str,
        created: &'static str,
        history: Vec<History>,
        os: &'static str,
        rootfs: RootFs<'l>,
        config: Empty,
    }
    #[derive(Serialize)]
    struct History {
        created: &'static str,
    }
    #[derive(Serialize)]
    struct RootFs<'l> {
        #[serde(rename = "type")]
        kind: &'static str,
        diff_ids: Vec<&'l Digest>,
    }
    #[derive(Serialize)]
    struct Empty {}
    json::write(&Config {
        architecture: "",
        created: NO_TIME,
        history: layers.iter().map(|_| History { created: NO_TIME }).collect(),
        os: "",
        rootfs: RootFs {
            kind: "layers",
            diff_ids: layers.iter().map(|layer| &layer.digest).collect(),
        },
        config: Empty {},
    })
}

/// What both kinds of layer carry in annotations.
struct Materials {
    certificate: Option<Vec<u8>>,
    chain: Vec<Vec<u8>>,
    log_bundle: Option<LegacyLogBundle>,
    timestamp: Option<Vec<u8>>,
}

impl Materials {
    fn read(annotations: &BTreeMap<String, String>) -> Result<Self, LegacyError> {
        let certificate = match annotation(annotations, CERTIFICATE)? {
            None => None,
            Some(text) => {
                let mut certificates = pem_decode_all("CERTIFICATE", text).ok_or(LegacyError::Pem {
                    annotation: CERTIFICATE,
                })?;
                match (certificates.pop(), certificates.is_empty()) {
                    (Some(leaf), true) => Some(leaf),
                    _ => {
                        return Err(LegacyError::Pem {
                            annotation: CERTIFICATE,
                        });
                    }
                }
            }
        };
        let chain = match annotation(annotations, CHAIN)? {
            None => Vec::new(),
            Some(text) => pem_decode_all("CERTIFICATE", text)
                .filter(|chain| chain.len() <= MAX_CHAIN)
                .ok_or(LegacyError::Pem { annotation: CHAIN })?,
        };
        let log_bundle = annotation(annotations, LOG_BUNDLE)?
            .map(LegacyLogBundle::parse)
            .transpose()?;
        let timestamp = match annotation(annotations, TIMESTAMP)? {
            None => None,
            Some(text) => {
                let value = json::parse(text.as_bytes(), limit())?;
                let der = Fields::root("timestamp", value)?.bytes("SignedRFC3161Timestamp")?;
                (!der.is_empty()).then_some(der)
            }
        };
        Ok(Self {
            certificate,
            chain,
            log_bundle,
            timestamp,
        })
    }
}

/// An annotation's value, blank counting as absent: cosign writes empty chains (cosign #4760).
fn annotation<'a>(
    annotations: &'a BTreeMap<String, String>,
    name: &'static str,
) -> Result<Option<&'a str>, LegacyError> {
    match annotations.get(name).map(|value| value.trim()) {
        None | Some("" | "null") => Ok(None),
        Some(value) if value.len() > MAX_ANNOTATION_BYTES => Err(LegacyError::AnnotationTooLarge {
            annotation: name,
            limit: MAX_ANNOTATION_BYTES,
            seen: value.len(),
        }),
        Some(value) => Ok(Some(value)),
    }
}

fn limit() -> u64 {
    u64::try_from(MAX_ANNOTATION_BYTES).unwrap_or(u64::MAX)
}

fn write_materials(
    annotations: &mut BTreeMap<String, String>,
    certificate: Option<&[u8]>,
    chain: &[Vec<u8>],
    log_bundle: Option<&LegacyLogBundle>,
    timestamp: Option<&[u8]>,
) {
    let text = |json: Vec<u8>| String::from_utf8_lossy(&json).into_owned();
    if let Some(der) = certificate {
        annotations.insert(CERTIFICATE.to_owned(), pem_encode("CERTIFICATE", der));
        // cosign's chain has no newline at its end, its certificate has one.
        let chain: String = chain.iter().map(|der| pem_encode("CERTIFICATE", der)).collect();
        annotations.insert(CHAIN.to_owned(), chain.trim_end().to_owned());
    }
    if let Some(log_bundle) = log_bundle {
        annotations.insert(LOG_BUNDLE.to_owned(), text(log_bundle.to_json()));
    }
    if let Some(der) = timestamp {
        #[derive(Serialize)]
        struct Written {
            #[serde(rename = "SignedRFC3161Timestamp")]
            der: String,
        }
        let written = json::write(&Written {
            der: base64_encode(der),
        });
        annotations.insert(TIMESTAMP.to_owned(), text(written));
    }
}

/// Why a layer is not a legacy signature or attestation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LegacyError {
    /// An annotation is not JSON, or JSON that evidence may not be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field of an annotation is not what the format says.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The layer is no envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The signature's annotation is absent or blank.
    #[error("the layer has no annotation {SIGNATURE}")]
    NoSignature,
    /// An annotation that should be base64 and is not.
    #[error("the annotation {annotation} is not base64")]
    Base64 {
        /// Its name.
        annotation: &'static str,
    },
    /// An annotation that should hold certificates and does not.
    #[error("the annotation {annotation} does not hold PEM certificates")]
    Pem {
        /// Its name.
        annotation: &'static str,
    },
    /// An annotation made to fill memory.
    #[error("the annotation {annotation} has {seen} bytes, at most {limit} are read")]
    AnnotationTooLarge {
        /// Its name.
        annotation: &'static str,
        /// The bound.
        limit: usize,
        /// The size given.
        seen: usize,
    },
    /// A file that should hold certificates and does not.
    #[error("the {what} file does not hold certificates (PEM, base64 of PEM, or DER), one to ten")]
    Certificates {
        /// Which one.
        what: &'static str,
    },
    /// A detached signature of zero bytes.
    #[error("the signature is empty")]
    NoSignatureGiven,
    /// A detached signature that no algorithm makes.
    #[error("a signature has at most {limit} bytes, this has {seen}")]
    SignatureTooLarge {
        /// The bound.
        limit: usize,
        /// The size given.
        seen: usize,
    },
    /// The log's key id is not hex.
    #[error("the log bundle's logID is not hex")]
    LogId,
}

impl LegacyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Field(error) => error.code(),
            Self::Envelope(error) => error.code(),
            Self::NoSignature => "legacy-no-signature",
            Self::Base64 { .. } => "legacy-base64",
            Self::Pem { .. } => "legacy-pem",
            Self::AnnotationTooLarge { .. } => "legacy-annotation-too-large",
            Self::Certificates { .. } => "legacy-certificates",
            Self::NoSignatureGiven => "legacy-signature-empty",
            Self::SignatureTooLarge { .. } => "legacy-signature-too-large",
            Self::LogId => "legacy-log-id",
        }
    }
}

#[cfg(test)]
mod tests;
