//! What was checked and what was not, in words and in JSON. Never says that something was verified which was not.

use std::fmt::Write as _;

use proofmark_evidence::ItemContent;
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::encoding::base64_encode;
use proofmark_evidence::legacy::LegacyLogBundle;
use proofmark_evidence::predicate::PredicateType;
use proofmark_policy::Wanted;
use proofmark_types::SubjectName;
use proofmark_verify::{CertificateFacts, Proof, ProofKind, SctProof, SignerProof, TimeSource};
use serde_json::{Map, Value, json};

use crate::checking::{Checked, Target, Wish};
use crate::context::Context;
use crate::output::Format;
use crate::trusting;

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
                .collect::<Map<_, _>>(),
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

/// Says which images were verified, by what, in the shape that is asked for.
///
/// Under our own name the result of `-o json` is ours, and the payload as cosign prints it is beside each signature
/// (`cosign`), the envelope beside each attestation (`envelope`). Under the name `cosign` standard output has cosign's
/// shape and nothing else.
pub(crate) fn publish(context: &Context, wish: &Wish, checked: &[(&Target, &Checked)]) {
    for (target, checked) in checked {
        for gap in checked.proofs.incomplete() {
            let name = target.label();
            context
                .output
                .note(&format!("note: {name}: {}: {} [{}]", gap.place, gap.reason, gap.code));
        }
    }
    let attestations = matches!(wish.requirement.what, Wanted::Attestation { .. });
    if context.manner.is_cosign() {
        for (target, checked) in checked {
            as_cosign(context, wish, target, checked, attestations);
        }
        return;
    }
    let mut text = String::new();
    let mut values = Vec::new();
    let (trust_line, trust_root) = trusting::used();
    for (target, checked) in checked {
        let proofs = checked.accepted(&wish.requirement);
        let _ = writeln!(text, "{}: verified", target.pinned(&checked.digest));
        for proof in &proofs {
            text.push_str(&proof_text(proof));
        }
        let name = if attestations { "attestations" } else { "signatures" };
        values.push(json!({
            "image": target.label(), "digest": checked.digest, "verdict": "pass", "trustRoot": trust_root,
            "notRead": checked.proofs.incomplete().iter().map(|gap| json!({
                "place": gap.place, "code": gap.code, "reason": gap.reason,
            })).collect::<Vec<_>>(),
            name: proofs.iter().map(|proof| full_json(target, checked, proof, attestations)).collect::<Vec<_>>(),
        }));
    }
    text.push_str(&trust_line);
    context.output.result(&text, &values);
    if attestations && !context.output.is_json() {
        context.output.note("what it says is printed with -o json");
    }
}

fn full_json(target: &Target, checked: &Checked, proof: &Proof, attestations: bool) -> Value {
    let mut value = proof_json(proof);
    if attestations {
        value["predicate"] = proof.predicate().clone();
        value["envelope"] = checked.envelope(proof).map_or(Value::Null, envelope_json);
    } else {
        value["cosign"] = cosign_payload(target, checked, proof);
    }
    value
}

fn envelope_json(envelope: &Envelope) -> Value {
    serde_json::from_slice(&envelope.to_json()).unwrap_or(Value::Null)
}

/// cosign's output: what was checked goes to standard error, and only what was checked.
fn as_cosign(context: &Context, wish: &Wish, target: &Target, checked: &Checked, attestations: bool) {
    let proofs = checked.accepted(&wish.requirement);
    context.output.note(&cosign_head(target, wish, &proofs));
    if attestations {
        for proof in &proofs {
            if let Some(envelope) = checked.envelope(proof) {
                context.output.document(&envelope.to_json());
            }
        }
        return;
    }
    let payloads: Vec<Value> = proofs
        .iter()
        .map(|proof| cosign_payload(target, checked, proof))
        .collect();
    if context.asked == Some(Format::Text) {
        for (proof, payload) in proofs.iter().zip(&payloads) {
            if let SignerProof::Certificate(facts) = proof.signer() {
                context.output.note(&certificate_lines(facts));
            }
            context.output.document(payload.to_string().as_bytes());
        }
    } else {
        context
            .output
            .document(format!("\n{}", Value::from(payloads)).as_bytes());
    }
}

fn cosign_head(target: &Target, wish: &Wish, proofs: &[&Proof]) -> String {
    let all = |holds: fn(&Proof) -> bool| proofs.iter().all(|proof| holds(proof));
    let mut text = format!(
        "\nVerification for {} --\nThe following checks were performed on each of these signatures:\n",
        target.label()
    );
    if !wish.requirement.annotations.is_empty() {
        text.push_str("  - The specified annotations were verified.\n");
    }
    text.push_str("  - The cosign claims were validated\n");
    if all(|proof| proof.log().is_some()) {
        text.push_str("  - Existence of the claims in the transparency log was verified offline\n");
    } else {
        text.push_str("  - No entry of a transparency log was verified for some or all of them\n");
    }
    if all(|proof| !proof.timestamps().is_empty()) {
        text.push_str("  - The signed timestamps were verified\n");
    }
    if all(|proof| matches!(proof.signer(), SignerProof::Key { .. })) {
        text.push_str("  - The signatures were verified against the specified public key\n");
    }
    if all(|proof| matches!(proof.signer(), SignerProof::Certificate(_))) {
        text.push_str(
            "  - The code-signing certificate was verified using trusted certificate authority certificates\n",
        );
    }
    if !wish.policies.is_empty() {
        text.push_str("  - The statements satisfy the policies\n");
    }
    text.pop();
    text
}

fn certificate_lines(facts: &CertificateFacts) -> String {
    let mut lines = vec![format!(
        "Certificate subject: {}",
        facts.identity.subjects.first().map_or("", SubjectName::value)
    )];
    lines.extend(
        facts
            .identity
            .issuer
            .iter()
            .map(|issuer| format!("Certificate issuer URL: {issuer}")),
    );
    lines.extend(
        GITHUB
            .iter()
            .filter_map(|(number, _, words)| Some(format!("{words}: {}", facts.extensions.get(*number)?))),
    );
    lines.join("\n")
}

/// The extensions that cosign names (its `CertExtensionMap`).
const GITHUB: [(u32, &str, &str); 5] = [
    (2, "githubWorkflowTrigger", "GitHub Workflow Trigger"),
    (3, "githubWorkflowSha", "GitHub Workflow SHA"),
    (4, "githubWorkflowName", "GitHub Workflow Name"),
    (5, "githubWorkflowRepository", "GitHub Workflow Repository"),
    (6, "githubWorkflowRef", "GitHub Workflow Ref"),
];

/// A signature as cosign prints it: the signed payload, and under `optional` who signed and what the log said.
pub(crate) fn cosign_payload(target: &Target, checked: &Checked, proof: &Proof) -> Value {
    let legacy = match checked.item(proof).map(|item| &item.content) {
        Some(ItemContent::LegacySignature(signature)) => Some(signature),
        _ => None,
    };
    let mut payload = match legacy.and_then(|signature| serde_json::from_slice(&signature.payload).ok()) {
        Some(payload) => payload,
        None => json!({
            "critical": {
                "identity": { "docker-reference": target.label() },
                "image": { "docker-manifest-digest": checked.digest },
                "type": proof.predicate_type().map_or(SIGN_PREDICATE, PredicateType::as_str),
            },
            "optional": proof.annotations(),
        }),
    };
    let mut more = Map::new();
    if let SignerProof::Certificate(facts) = proof.signer() {
        let subject = facts.identity.subjects.first().map_or("", SubjectName::value);
        more.insert("Subject".to_owned(), subject.into());
        if let Some(issuer) = &facts.identity.issuer {
            more.insert("Issuer".to_owned(), issuer.as_str().into());
            more.insert("1.3.6.1.4.1.57264.1.1".to_owned(), issuer.as_str().into());
        }
        for (number, name, _) in GITHUB {
            if let Some(value) = facts.extensions.get(number) {
                more.insert(name.to_owned(), value.into());
                more.insert(format!("1.3.6.1.4.1.57264.1.{number}"), value.into());
            }
        }
    }
    if let Some(signature) = legacy {
        // What was not verified is not repeated: it would read as if it had been.
        if let Some(log) = signature.log_bundle.as_ref().filter(|_| proof.log().is_some()) {
            more.insert("Bundle".to_owned(), rekor_bundle(log));
        }
        if let Some(stamp) = signature.timestamp.as_ref().filter(|_| !proof.timestamps().is_empty()) {
            more.insert(
                "RFC3161Timestamp".to_owned(),
                json!({ "SignedRFC3161Timestamp": base64_encode(stamp) }),
            );
        }
    }
    if !more.is_empty() {
        match &mut payload["optional"] {
            Value::Object(optional) => optional.extend(more),
            other => *other = Value::Object(more),
        }
    }
    payload
}

fn rekor_bundle(log: &LegacyLogBundle) -> Value {
    let log_id: String = log.log_id.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "SignedEntryTimestamp": base64_encode(&log.set),
        "Payload": {
            "body": base64_encode(&log.body),
            "integratedTime": log.integrated_time.seconds(),
            "logIndex": log.log_index,
            "logID": log_id,
        },
    })
}

/// The predicate type of a signature in a bundle.
const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
