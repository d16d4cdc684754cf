//! The v0.3 writer: protojson with 64-bit integers as strings, field order as cosign 3.1 writes it.

use proofmark_types::DigestAlgorithm;
use serde::Serialize;

use super::{Bundle, Content, InclusionProof, KeyMaterial, LogEntry, MEDIA_TYPE_V03};
use crate::dsse::Envelope;
use crate::encoding::base64_encode;
use crate::json;

pub(super) fn bundle(bundle: &Bundle) -> Vec<u8> {
    let timestamps = &bundle.material.timestamps;
    let material = Material {
        key: key(&bundle.material.key),
        tlog_entries: bundle.material.tlog_entries.iter().map(entry).collect(),
        timestamp_verification_data: (!timestamps.is_empty()).then(|| Timestamps {
            rfc3161_timestamps: timestamps
                .iter()
                .map(|der| Timestamp {
                    signed_timestamp: base64_encode(der),
                })
                .collect(),
        }),
    };
    json::write(&Written {
        media_type: MEDIA_TYPE_V03,
        verification_material: material,
        content: content(&bundle.content),
    })
}

fn key(key: &KeyMaterial) -> Signer<'_> {
    let raw = |der: &[u8]| RawBytes {
        raw_bytes: base64_encode(der),
    };
    match key {
        KeyMaterial::Certificate(der) => Signer::Certificate(raw(der)),
        KeyMaterial::Chain(chain) => Signer::X509CertificateChain {
            certificates: chain.iter().map(|der| raw(der)).collect(),
        },
        KeyMaterial::PublicKeyHint(hint) => Signer::PublicKey { hint },
    }
}

fn content(content: &Content) -> WrittenContent<'_> {
    match content {
        Content::Dsse(envelope) => WrittenContent::DsseEnvelope(dsse(envelope)),
        Content::MessageSignature { digest, signature } => WrittenContent::MessageSignature {
            message_digest: digest.as_ref().map(|digest| MessageDigest {
                algorithm: match digest.algorithm() {
                    DigestAlgorithm::Sha256 => "SHA2_256",
                    DigestAlgorithm::Sha384 => "SHA2_384",
                    DigestAlgorithm::Sha512 => "SHA2_512",
                },
                digest: base64_encode(digest.as_bytes()),
            }),
            signature: base64_encode(signature),
        },
    }
}

fn dsse(envelope: &Envelope) -> WrittenEnvelope<'_> {
    WrittenEnvelope {
        payload: base64_encode(&envelope.payload),
        payload_type: &envelope.payload_type,
        signatures: envelope
            .signatures
            .iter()
            .map(|signature| WrittenSignature {
                sig: base64_encode(&signature.sig),
                keyid: &signature.keyid,
            })
            .collect(),
    }
}

fn entry(entry: &LogEntry) -> Entry<'_> {
    Entry {
        log_index: entry.log_index.to_string(),
        log_id: LogId {
            key_id: base64_encode(&entry.log_id),
        },
        kind_version: KindVersion {
            kind: &entry.kind,
            version: &entry.kind_version,
        },
        integrated_time: entry.integrated_time.map(|time| time.seconds().to_string()),
        inclusion_promise: entry.inclusion_promise.as_ref().map(|set| Promise {
            signed_entry_timestamp: base64_encode(set),
        }),
        inclusion_proof: entry.inclusion_proof.as_ref().map(proof),
        canonicalized_body: base64_encode(&entry.canonicalized_body),
    }
}

fn proof(proof: &InclusionProof) -> Proof<'_> {
    Proof {
        log_index: proof.log_index.to_string(),
        root_hash: base64_encode(&proof.root_hash),
        tree_size: proof.tree_size.to_string(),
        hashes: proof.hashes.iter().map(|hash| base64_encode(hash)).collect(),
        checkpoint: Checkpoint {
            envelope: &proof.checkpoint,
        },
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'b> {
    media_type: &'static str,
    verification_material: Material<'b>,
    #[serde(flatten)]
    content: WrittenContent<'b>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Material<'b> {
    #[serde(flatten)]
    key: Signer<'b>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tlog_entries: Vec<Entry<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_verification_data: Option<Timestamps>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Signer<'b> {
    Certificate(RawBytes),
    X509CertificateChain { certificates: Vec<RawBytes> },
    PublicKey { hint: &'b str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum WrittenContent<'b> {
    DsseEnvelope(WrittenEnvelope<'b>),
    MessageSignature {
        #[serde(skip_serializing_if = "Option::is_none")]
        message_digest: Option<MessageDigest>,
        signature: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenEnvelope<'b> {
    payload: String,
    payload_type: &'b str,
    signatures: Vec<WrittenSignature<'b>>,
}

#[derive(Serialize)]
struct WrittenSignature<'b> {
    sig: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    keyid: &'b str,
}

#[derive(Serialize)]
struct MessageDigest {
    algorithm: &'static str,
    digest: String,
}

/// `logIndex` and `hashes` are written even when they are defaults: readers made from models, not from protobuf, need
/// them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'b> {
    log_index: String,
    log_id: LogId,
    kind_version: KindVersion<'b>,
    #[serde(skip_serializing_if = "Option::is_none")]
    integrated_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inclusion_promise: Option<Promise>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inclusion_proof: Option<Proof<'b>>,
    canonicalized_body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[derive(Serialize)]
struct KindVersion<'b> {
    kind: &'b str,
    version: &'b str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    signed_entry_timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proof<'b> {
    log_index: String,
    root_hash: String,
    tree_size: String,
    hashes: Vec<String>,
    checkpoint: Checkpoint<'b>,
}

#[derive(Serialize)]
struct Checkpoint<'b> {
    envelope: &'b str,
}

#[derive(Serialize)]
struct Timestamps {
    #[serde(rename = "rfc3161Timestamps")]
    rfc3161_timestamps: Vec<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Timestamp {
    signed_timestamp: String,
}
