//! What was checked and what was not, in words and in JSON. Never says that something was verified which was not.

use std::fmt::Write as _;

use proofmark_types::{Digest, ImageRef};
use proofmark_verify::{Proof, ProofKind, SctProof, SignerProof, TimeSource};
use serde_json::{Value, json};

/// A proof for a person, some indented lines.
pub(crate) fn proof_text(proof: &Proof) -> String {
    let mut text = String::new();
    let what = match (proof.kind(), proof.predicate_type()) {
        (ProofKind::Attestation, Some(predicate_type)) => format!("attestation {predicate_type}"),
        _ => "signature".to_owned(),
    };
    let _ = writeln!(text, "  {what} by {}", signer_text(proof.signer()));
    let _ = writeln!(text, "    found      {}", proof.origin());
    match proof.log() {
        Some(log) => {
            let how = if log.inclusion {
                "inclusion proven to its signed checkpoint"
            } else {
                "its signed promise verified"
            };
            let _ = writeln!(text, "    log        {} index {}, {how}", log.log, log.index);
        }
        None => {
            let _ = writeln!(text, "    log        not consulted: no entry of a known log");
        }
    }
    for timestamp in proof.timestamps() {
        let _ = writeln!(text, "    time       {} by {}", timestamp.time, timestamp.authority);
    }
    if proof.timestamps().is_empty() {
        let _ = writeln!(text, "    time       {}", time_text(proof.time_source()));
    }
    if let Some(sct) = sct_text(proof.sct()) {
        let _ = writeln!(text, "    sct        {sct}");
    }
    for (key, value) in proof.annotations() {
        let _ = writeln!(
            text,
            "    annotation {key}={}",
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        );
    }
    text
}

fn signer_text(signer: &SignerProof) -> String {
    match signer {
        SignerProof::Key { fingerprint, .. } => format!("key {fingerprint}"),
        SignerProof::Certificate(facts) => facts.identity.to_string(),
        _ => "an unknown kind of signer".to_owned(),
    }
}

fn time_text(source: TimeSource) -> &'static str {
    match source {
        TimeSource::TransparencyLog => "from the log's signed entry timestamp",
        TimeSource::CurrentTime => "nothing vouches for it; the certificate was held against the current time",
        _ => "not established, and a key needs none",
    }
}

fn sct_text(sct: &SctProof) -> Option<String> {
    match sct {
        SctProof::NotApplicable => None,
        SctProof::Verified(logs) => Some(format!(
            "certificate logged by {}",
            logs.iter().map(|log| log.log.as_str()).collect::<Vec<_>>().join(", ")
        )),
        SctProof::NotConsulted => Some("not consulted: of logs that the trusted root does not know".to_owned()),
        _ => Some("absent".to_owned()),
    }
}

/// A proof for a script.
pub(crate) fn proof_json(proof: &Proof) -> Value {
    let signer = match proof.signer() {
        SignerProof::Key { fingerprint, .. } => json!({ "kind": "key", "fingerprint": fingerprint }),
        SignerProof::Certificate(facts) => json!({
            "kind": "certificate",
            "subjects": facts.identity.subjects,
            "issuer": facts.identity.issuer,
            "notBefore": facts.not_before,
            "notAfter": facts.not_after,
            "extensions": facts.extensions.iter()
                .map(|(number, value)| (format!("1.3.6.1.4.1.57264.1.{number}"), Value::from(value)))
                .collect::<serde_json::Map<_, _>>(),
        }),
        _ => Value::Null,
    };
    json!({
        "kind": if proof.kind() == ProofKind::Signature { "signature" } else { "attestation" },
        "origin": proof.origin().to_string(),
        "predicateType": proof.predicate_type().map(ToString::to_string),
        "annotations": proof.annotations(),
        "signer": signer,
        "logs": proof.logs().iter().map(|log| json!({
            "log": log.log, "operator": log.operator, "index": log.index,
            "inclusionProven": log.inclusion, "promiseVerified": log.promise,
            "integratedTime": log.integrated_time,
        })).collect::<Vec<_>>(),
        "timestamps": proof.timestamps().iter().map(|stamp| json!({
            "authority": stamp.authority, "time": stamp.time,
        })).collect::<Vec<_>>(),
        "timeSource": proof.time_source().name(),
        "sct": match proof.sct() {
            SctProof::Verified(_) => "verified",
            SctProof::NotApplicable => "not-applicable",
            SctProof::NotConsulted => "not-consulted",
            _ => "absent",
        },
    })
}

/// How much was found.
pub(crate) fn pieces(count: usize) -> String {
    format!("{count} {} of evidence", if count == 1 { "piece" } else { "pieces" })
}

/// How many manifests went along with an image.
pub(crate) fn manifests(count: usize) -> String {
    match count {
        0 => "nothing hangs on it".to_owned(),
        1 => "with 1 manifest that hangs on it".to_owned(),
        _ => format!("with {count} manifests that hang on it"),
    }
}

/// The head line of a verified image.
pub(crate) fn head(image: &ImageRef, digest: &Digest) -> String {
    format!("{}: verified\n", image.with_digest(digest.clone()))
}
