//! `bundle inspect`: all that is in a bundle, read and not believed.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use proofmark_evidence::bundle::{Bundle, Content, KeyMaterial, LogEntry};
use proofmark_evidence::encoding::base64_encode;
use proofmark_evidence::legacy::Detached;
use proofmark_evidence::statement::Statement;
use proofmark_types::Digest;
use proofmark_verify::{CertificateClaims, TimestampClaims};
use serde_json::{Value, json};

use super::of_detached;
use crate::blobs::{Evidence, unreadable};
use crate::context::{Context, read_file};
use crate::failure::Failure;

/// Said first, and in each document: a bundle can say anything.
const UNVERIFIED: &str = "UNVERIFIED: this is what the file says; nothing of it was checked";

/// Show all that is in a bundle. Nothing of it is verified
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// The bundle: Sigstore's v0.1 to v0.3, or cosign's older one
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
}

impl Inspect {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let name = self.bundle.display().to_string();
        let bytes = read_file(&self.bundle)?;
        let (format, bundle) = if Detached::is_bundle(&bytes) {
            let read = Detached::attestation_bundle(&bytes).or_else(|_| Detached::signature_bundle(&bytes));
            let detached = read.map_err(|error| unreadable(&name, error.code(), &error, false))?;
            (
                "cosign's, older than Sigstore's".to_owned(),
                of_detached(detached, None, None),
            )
        } else {
            let media_type = serde_json::from_slice::<Value>(&bytes)
                .ok()
                .and_then(|value| value.get("mediaType")?.as_str().map(str::to_owned));
            match Evidence::of_bundle(&name, &bytes, false)? {
                Evidence::Bundle(bundle) => (media_type.unwrap_or_default(), *bundle),
                Evidence::Detached(detached) => (String::new(), of_detached(*detached, None, None)),
            }
        };
        let value = json!({
            "verified": false, "note": UNVERIFIED, "format": format,
            "signer": signer(&bundle), "content": content(&bundle.content),
            "logEntries": bundle.material.tlog_entries.iter().map(log_entry).collect::<Vec<_>>(),
            "timestamps": bundle.material.timestamps.iter().map(|der| timestamp(der)).collect::<Vec<_>>(),
        });
        let mut text = format!("{UNVERIFIED}\n");
        table(&mut text, &value, 0);
        context.output.result(&text, &value);
        Ok(())
    }
}

fn signer(bundle: &Bundle) -> Value {
    match &bundle.material.key {
        KeyMaterial::Certificate(der) => json!({ "certificate": certificate(der) }),
        KeyMaterial::Chain(chain) => json!({ "chain": chain.iter().map(|der| certificate(der)).collect::<Vec<_>>() }),
        KeyMaterial::PublicKeyHint(hint) => json!({ "keyHint": hint }),
    }
}

fn certificate(der: &[u8]) -> Value {
    match CertificateClaims::read(der) {
        Err(reason) => json!({ "unreadable": reason.to_string(), "fingerprint": Digest::sha256_of(der) }),
        Ok(claims) => json!({
            "subjects": claims.identity.subjects, "oidcIssuer": claims.identity.issuer,
            "subject": claims.subject, "issuer": claims.issuer,
            "notBefore": claims.not_before, "notAfter": claims.not_after,
            "serial": claims.serial, "fingerprint": claims.fingerprint,
            "key": claims.key.map(|key| json!({ "algorithm": key.algorithm().name(), "fingerprint": key.fingerprint() })),
            "embedsScts": claims.has_scts,
            "extensions": claims.extensions.iter()
                .map(|(number, value)| (format!("1.3.6.1.4.1.57264.1.{number}"), Value::from(value)))
                .collect::<serde_json::Map<_, _>>(),
        }),
    }
}

fn content(content: &Content) -> Value {
    match content {
        Content::MessageSignature { digest, signature } => json!({
            "kind": "message signature", "digest": digest, "signature": base64_encode(signature),
        }),
        Content::Dsse(envelope) => json!({
            "kind": "envelope", "payloadType": envelope.payload_type,
            "statement": match Statement::parse(&envelope.payload) {
                Ok(statement) => json!({
                    "type": statement.version.uri(), "predicateType": statement.predicate_type.as_str(),
                    "subjects": statement.subjects, "predicate": statement.predicate,
                }),
                Err(error) => json!({ "unreadable": error.to_string() }),
            },
            "signatures": envelope.signatures.iter()
                .map(|signature| json!({ "keyid": signature.keyid, "signature": base64_encode(&signature.sig) }))
                .collect::<Vec<_>>(),
        }),
    }
}

fn log_entry(entry: &LogEntry) -> Value {
    json!({
        "index": entry.log_index, "logId": Digest::from_bytes(proofmark_types::DigestAlgorithm::Sha256, &entry.log_id)
            .map_or_else(|_| base64_encode(&entry.log_id), |id| id.hex()),
        "kind": format!("{} {}", entry.kind, entry.kind_version),
        "integratedTime": entry.integrated_time,
        "promise": entry.inclusion_promise.is_some(),
        "proof": entry.inclusion_proof.as_ref().map(|proof| json!({
            "index": proof.log_index, "treeSize": proof.tree_size, "hashes": proof.hashes.len(),
            "checkpoint": checkpoint(&proof.checkpoint),
        })),
        "body": serde_json::from_slice::<Value>(&entry.canonicalized_body).unwrap_or(Value::Null),
    })
}

/// A signed note: origin, size, root, perhaps more lines, a blank line, signatures (C2SP tlog-checkpoint).
fn checkpoint(text: &str) -> Value {
    let (head, signatures) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let signers: Vec<&str> = signatures
        .lines()
        .filter_map(|line| line.strip_prefix("\u{2014} ")?.split(' ').next())
        .collect();
    json!({ "origin": lines.next(), "treeSize": lines.next(), "root": lines.next(), "signedBy": signers })
}

fn timestamp(der: &[u8]) -> Value {
    match TimestampClaims::read(der) {
        Err(reason) => json!({ "unreadable": reason.to_string() }),
        Ok(claims) => json!({
            "time": claims.time, "policy": claims.policy, "hash": claims.algorithm.name(),
            "imprint": Digest::from_bytes(claims.algorithm, &claims.imprint).map(|digest| digest.hex()).ok(),
            "certificates": claims.certificates,
        }),
    }
}

/// The document as indented lines. What a file says is shown without control characters, which could rewrite the screen.
fn table(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields
                .iter()
                .filter(|(name, _)| depth > 0 || (*name != "note" && *name != "verified"))
            {
                line(text, &indent, &plain(name), inner, depth);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                line(text, &indent, &format!("[{index}]"), inner, depth);
            }
        }
        scalar => {
            let _ = writeln!(text, "{indent}{}", shown(scalar));
        }
    }
}

fn line(text: &mut String, indent: &str, name: &str, inner: &Value, depth: usize) {
    let empty = match inner {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if empty {
        let _ = writeln!(text, "{indent}{name}: {}", shown(inner));
    } else {
        let _ = writeln!(text, "{indent}{name}:");
        table(text, inner, depth + 1);
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Object(_) | Value::Array(_) => "none".to_owned(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
