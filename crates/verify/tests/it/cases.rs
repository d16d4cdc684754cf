//! The cases of `fixtures/manifest.json`, each with the verdict that its makers wrote down, read over proofs alone.
//!
//! What a case demands (an identity, a log entry) is applied here in the simplest way; the policy room has the real one.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use proofmark_evidence::bundle::Bundle;
use proofmark_types::UnixTime;
use proofmark_verify::{Artifact, Proof, ProofKind, Proofs, PublicKey, SctProof, SignerProof, TrustRoot, Verifier};
use serde::Deserialize;

use crate::layout::{Layout, root};

#[derive(Deserialize)]
pub(crate) struct CaseFile {
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) layout: Option<String>,
    pub(crate) bundle: Option<String>,
    pub(crate) artifact: Option<String>,
    pub(crate) input: Input,
    pub(crate) expected: String,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
pub(crate) struct Input {
    #[serde(rename = "mode")]
    pub(crate) mode: String,
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) trusted_root: Option<String>,
    pub(crate) identity: Option<String>,
    pub(crate) identity_regexp: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) issuer_regexp: Option<String>,
    #[serde(default)]
    pub(crate) require_tlog: bool,
    #[serde(default)]
    pub(crate) require_timestamp: bool,
    pub(crate) require_sct: Option<bool>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) predicate_type: Option<String>,
    #[serde(default)]
    pub(crate) github: BTreeMap<String, String>,
}

/// A day after everything was signed: no certificate of the fixtures is valid any more.
pub(crate) fn now() -> UnixTime {
    UnixTime::parse("2026-11-21T12:00:00Z").unwrap()
}

pub(crate) fn load() -> Vec<Case> {
    let text = fs::read(root().join("manifest.json")).unwrap();
    serde_json::from_slice::<CaseFile>(&text).unwrap().cases
}

pub(crate) fn key(path: &str) -> PublicKey {
    PublicKey::from_pem(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

pub(crate) fn trust_root(path: &str) -> Arc<TrustRoot> {
    Arc::new(TrustRoot::parse(&fs::read(root().join(path)).unwrap()).unwrap())
}

pub(crate) fn verifier(input: &Input) -> Verifier {
    let mut verifier = Verifier::new();
    if let Some(path) = &input.key {
        verifier = verifier.with_key(key(path));
    }
    if let Some(path) = &input.trusted_root {
        verifier = verifier.with_trust_root(trust_root(path));
    }
    verifier
}

/// Everything that is proven in a case, or the code of why there is nothing to prove.
pub(crate) fn proofs(case: &Case) -> Result<Proofs, &'static str> {
    let verifier = verifier(&case.input);
    if let Some(path) = &case.bundle {
        let bundle = Bundle::parse(&fs::read(root().join(path)).unwrap()).map_err(|error| error.code())?;
        let artifact = fs::read(root().join(case.artifact.as_ref().unwrap())).unwrap();
        return Ok(verifier.verify_blob(&bundle, &Artifact::Bytes(&artifact), now()));
    }
    let layout = Layout::open(&root().join(case.layout.as_ref().unwrap()));
    let subject = layout
        .resolve(case.input.reference.as_ref().unwrap())
        .map_err(|_| "unresolved")?;
    Ok(verifier.verify(&layout.evidence(&subject), now()))
}

/// The verdict and the codes that explain it.
pub(crate) fn decide(case: &Case) -> (bool, Vec<&'static str>) {
    let proofs = match proofs(case) {
        Ok(proofs) => proofs,
        Err(code) => return (false, vec![code]),
    };
    let mut codes: Vec<&'static str> = proofs
        .rejections()
        .iter()
        .map(|rejection| rejection.reason.code())
        .collect();
    for proof in proofs.proofs() {
        match examine(&case.input, proof) {
            Ok(()) => return (true, Vec::new()),
            Err(code) => codes.push(code),
        }
    }
    codes.sort_unstable();
    codes.dedup();
    (false, codes)
}

pub(crate) fn examine(input: &Input, proof: &Proof) -> Result<(), &'static str> {
    let check = |holds: bool, code: &'static str| if holds { Ok(()) } else { Err(code) };
    let attested = input.mode.contains("attestation");
    let wanted = if attested {
        ProofKind::Attestation
    } else {
        ProofKind::Signature
    };
    check(proof.kind() == wanted, "want-kind")?;
    if attested {
        let seen = proof.predicate_type().map(|seen| seen.as_str());
        check(seen == input.predicate_type.as_deref(), "want-type")?;
    }
    check(!input.require_tlog || proof.log().is_some(), "want-log")?;
    check(
        !input.require_timestamp || !proof.timestamps().is_empty(),
        "want-timestamp",
    )?;
    for (name, value) in &input.annotations {
        let seen = proof.annotations().get(name).and_then(|seen| seen.as_str());
        check(seen == Some(value), "want-annotation")?;
    }
    match proof.signer() {
        SignerProof::Key { .. } => check(input.key.is_some(), "want-identity"),
        SignerProof::Certificate(facts) => {
            let sct = matches!(proof.sct(), SctProof::Verified(_));
            check(sct || input.require_sct == Some(false), "want-sct")?;
            check(
                proof.time_source() != proofmark_verify::TimeSource::CurrentTime,
                "want-time",
            )?;
            let named = |text: &str| match (&input.identity, &input.identity_regexp) {
                (Some(identity), _) => text == identity,
                (_, Some(pattern)) => anchored(pattern, text),
                _ => false,
            };
            check(
                facts.identity.subjects.iter().any(|name| named(name.value())),
                "want-identity",
            )?;
            let issuer = facts.identity.issuer.as_deref().unwrap_or_default();
            let issued = match (&input.issuer, &input.issuer_regexp) {
                (Some(wanted), _) => issuer == wanted,
                (_, Some(pattern)) => anchored(pattern, issuer),
                _ => false,
            };
            check(issued, "want-issuer")?;
            for (field, value) in &input.github {
                let seen = match field.as_str() {
                    "trigger" => facts.extensions.github_workflow_trigger(),
                    "sha" => facts.extensions.github_workflow_sha(),
                    "name" => facts.extensions.github_workflow_name(),
                    "repository" => facts.extensions.github_workflow_repository(),
                    "ref" => facts.extensions.github_workflow_ref(),
                    _ => None,
                };
                check(seen == Some(value), "want-github")?;
            }
            Ok(())
        }
        _ => Err("want-signer"),
    }
}

/// The few patterns of the fixtures: literals with escaped dots, and at most one `.*` at the end.
fn anchored(pattern: &str, text: &str) -> bool {
    let inner = pattern.trim_start_matches('^').trim_end_matches('$');
    let literal = inner.replace("\\.", "\u{0}");
    match literal.strip_suffix(".*") {
        Some(prefix) => text.starts_with(&prefix.replace('\u{0}', ".")),
        None => text == literal.replace('\u{0}', "."),
    }
}

#[test]
fn the_verdict_of_every_case_is_that_of_the_manifest() {
    let cases = load();
    let total = cases.len();
    let mut wrong = Vec::new();
    for case in &cases {
        let (accepted, codes) = decide(case);
        if std::env::var_os("SHOW_CASES").is_some() && !accepted {
            eprintln!("{:55} {:60} {}", case.id, codes.join(","), case.reason);
        }
        if accepted != (case.expected == "accept") {
            wrong.push(format!(
                "{}: expected {}, {} ({})",
                case.id,
                case.expected,
                codes.join(", "),
                case.reason
            ));
        }
    }
    eprintln!(
        "{} of {total} cases have the verdict of the manifest",
        total - wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
