//! Proofs of the fixtures, made by the real verifier, and questions about them.

use std::fs;
use std::sync::Arc;

use proofmark_policy::{Decision, Outcome, PolicySet, Question, RequestContext, TextMatch};
use proofmark_types::{Digest, ImageRef, UnixTime};
use proofmark_verify::{Proofs, PublicKey, TrustRoot, Verifier};

use crate::layout::{Layout, root};

pub(crate) const GITHUB: &str = "https://token.actions.githubusercontent.com";
pub(crate) const WORKFLOW: &str =
    "https://github.com/alpha-corp/payments/.github/workflows/release.yml@refs/heads/main";

/// A day after everything was signed: no certificate of the fixtures is valid any more.
pub(crate) fn now() -> UnixTime {
    UnixTime::parse("2026-11-21T12:00:00Z").unwrap()
}

pub(crate) fn pem(name: &str) -> String {
    fs::read_to_string(root().join(format!("cosign/keys/{name}/cosign.pub"))).unwrap()
}

pub(crate) fn key(name: &str) -> PublicKey {
    PublicKey::from_pem(&pem(name)).unwrap()
}

pub(crate) fn trust_root() -> Arc<TrustRoot> {
    Arc::new(TrustRoot::parse(&fs::read(root().join("keyless/trusted_root.json")).unwrap()).unwrap())
}

/// A verifier with the trust root and these keys.
pub(crate) fn verifier(keys: &[PublicKey]) -> Verifier {
    keys.iter()
        .fold(Verifier::new().with_trust_root(trust_root()), |verifier, key| {
            verifier.with_key(key.clone())
        })
}

/// What is proven about a tag or digest of a fixture layout.
pub(crate) fn proofs(layout: &str, reference: &str, verifier: &Verifier) -> Proofs {
    let layout = Layout::open(&root().join(layout));
    let subject = layout.resolve(reference).unwrap();
    verifier.verify(&layout.evidence(&subject), now())
}

pub(crate) fn exact(text: &str) -> TextMatch {
    TextMatch::exact(text).unwrap()
}

pub(crate) fn load(yaml: &str) -> PolicySet {
    PolicySet::load(&[("policy.yaml", yaml.as_bytes())]).unwrap()
}

pub(crate) fn image(name: &str, digest: &Digest) -> ImageRef {
    ImageRef::parse(name).unwrap().with_digest(digest.clone())
}

/// Whether `name`, resolved to what the proofs are about, may run in a Pod.
pub(crate) fn decide(set: &PolicySet, name: &str, proofs: &Proofs) -> Decision {
    decide_with_index(set, name, proofs, None)
}

/// Whether `name` may run in a Pod as it is written, without the digest.
pub(crate) fn decide_by_tag(set: &PolicySet, name: &str, proofs: &Proofs) -> Decision {
    let context = RequestContext {
        kind: Some("Pod"),
        ..RequestContext::default()
    };
    set.decide(&Question {
        image: &ImageRef::parse(name).unwrap(),
        digest: Some(proofs.subject()),
        proofs: Ok(proofs),
        index_proofs: None,
        elsewhere: &[],
        held: None,
        context: &context,
        now: now(),
    })
}

pub(crate) fn decide_with_index(set: &PolicySet, name: &str, proofs: &Proofs, index: Option<&Proofs>) -> Decision {
    let context = RequestContext {
        namespace: Some("prod"),
        kind: Some("Pod"),
        ..RequestContext::default()
    };
    set.decide(&Question {
        image: &image(name, proofs.subject()),
        digest: Some(proofs.subject()),
        proofs: Ok(proofs),
        index_proofs: index,
        elsewhere: &[],
        held: None,
        context: &context,
        now: now(),
    })
}

/// The codes of a denial, each once; empty for a pass.
pub(crate) fn codes(decision: &Decision) -> Vec<String> {
    if decision.outcome == Outcome::Pass {
        return Vec::new();
    }
    let mut codes: Vec<String> = decision.denials().map(|reason| reason.code.clone()).collect();
    codes.sort();
    codes.dedup();
    codes
}

#[track_caller]
pub(crate) fn assert_pass(decision: &Decision) {
    assert_eq!(decision.outcome, Outcome::Pass, "{decision:#?}");
}

#[track_caller]
pub(crate) fn assert_denied(decision: &Decision, code: &str) {
    assert_eq!(decision.outcome, Outcome::Fail, "{decision:#?}");
    assert!(codes(decision).iter().any(|seen| seen == code), "{decision:#?}");
    for reason in decision.denials() {
        assert!(!reason.hint.is_empty(), "no hint: {reason:?}");
    }
}
