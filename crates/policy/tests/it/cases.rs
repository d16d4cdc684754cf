//! The cases of `fixtures/manifest.json` through layout, evidence, verifier and requirement: the verdict of each must be
//! the one that its makers wrote down.

use std::collections::BTreeMap;
use std::fs;

use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::predicate::PredicateType;
use proofmark_policy::{GithubField, KeylessRule, LogRule, Requirement, SignerRule, TextMatch, Verdict};
use proofmark_verify::{Artifact, Proofs, PublicKey, TrustRoot, Verifier};
use serde_json::Value;

use crate::layout::{Layout, root};
use crate::world::now;

struct Case {
    id: String,
    expected: String,
    reason: String,
    whole: Value,
}

impl Case {
    fn input(&self, name: &str) -> Option<&str> {
        self.whole["input"][name].as_str()
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        self.whole["input"][name].as_bool().unwrap_or(default)
    }

    fn pairs(&self, name: &str) -> BTreeMap<String, String> {
        let fields = self.whole["input"][name].as_object().cloned().unwrap_or_default();
        fields
            .into_iter()
            .map(|(name, value)| (name, value.as_str().unwrap().to_owned()))
            .collect()
    }

    fn key(&self) -> Option<PublicKey> {
        let path = self.input("key")?;
        Some(PublicKey::from_pem(&fs::read_to_string(root().join(path)).unwrap()).unwrap())
    }

    /// As the command line would build it from its flags.
    fn requirement(&self) -> Requirement {
        let text = |exact: &str, regexp: &str| match (self.input(exact), self.input(regexp)) {
            (Some(text), _) => TextMatch::exact(text).unwrap(),
            (None, Some(pattern)) => TextMatch::regexp(pattern).unwrap(),
            (None, None) => panic!("{}: neither key nor identity", self.id),
        };
        let signer = match self.key() {
            Some(key) => SignerRule::key(key.fingerprint().clone()),
            None => {
                let mut rule = KeylessRule::new(text("identity", "identity_regexp"), text("issuer", "issuer_regexp"));
                for (name, value) in self.pairs("github") {
                    let field = GithubField::ALL.into_iter().find(|field| field.word() == name);
                    rule.github.push((field.unwrap(), TextMatch::exact(value).unwrap()));
                }
                SignerRule::Keyless(Box::new(rule))
            }
        };
        let mut requirement = match self.input("predicate_type") {
            Some(uri) => Requirement::attestation(vec![PredicateType::resolve(uri).unwrap()], vec![signer]),
            None => Requirement::signature(vec![signer]),
        };
        if !self.flag("require_tlog", true) {
            requirement.log = LogRule::NotRequired;
        }
        requirement.timestamp = self.flag("require_timestamp", false);
        requirement.sct = self.flag("require_sct", true);
        requirement.annotations = self.pairs("annotations");
        requirement
    }

    fn proofs(&self) -> Result<Proofs, String> {
        let mut verifier = Verifier::new();
        if let Some(key) = self.key() {
            verifier = verifier.with_key(key);
        }
        if let Some(path) = self.input("trusted_root") {
            let bytes = fs::read(root().join(path)).unwrap();
            verifier = verifier.with_trust_root(std::sync::Arc::new(TrustRoot::parse(&bytes).unwrap()));
        }
        if let Some(path) = self.whole["bundle"].as_str() {
            let bundle = Bundle::parse(&fs::read(root().join(path)).unwrap()).map_err(|error| error.to_string())?;
            let artifact = fs::read(root().join(self.whole["artifact"].as_str().unwrap())).unwrap();
            return Ok(verifier.verify_blob(&bundle, &Artifact::Bytes(&artifact), now()));
        }
        let layout = Layout::open(&root().join(self.whole["layout"].as_str().unwrap()));
        let subject = layout.resolve(self.input("ref").unwrap())?;
        Ok(verifier.verify(&layout.evidence(&subject), now()))
    }
}

fn load() -> Vec<Case> {
    let manifest: Value = serde_json::from_slice(&fs::read(root().join("manifest.json")).unwrap()).unwrap();
    let cases = manifest["cases"].as_array().unwrap().iter().map(|whole| Case {
        id: whole["id"].as_str().unwrap().to_owned(),
        expected: whole["expected"].as_str().unwrap().to_owned(),
        reason: whole["reason"].as_str().unwrap().to_owned(),
        whole: whole.clone(),
    });
    cases.collect()
}

#[test]
fn the_verdict_of_every_case_is_that_of_the_manifest() {
    let cases = load();
    assert_eq!(cases.len(), 215);
    let mut wrong = Vec::new();
    for case in &cases {
        let requirement = case.requirement();
        let proofs = case.proofs();
        let (accepted, why) = match &proofs {
            Err(reason) => (false, reason.clone()),
            Ok(proofs) => match requirement.check(proofs) {
                Verdict::Trusted(_) => (true, String::new()),
                other => (false, format!("{other:?}")),
            },
        };
        if accepted != (case.expected == "accept") {
            wrong.push(format!(
                "{}: expected {} ({}), {why}",
                case.id, case.expected, case.reason
            ));
        }
    }
    eprintln!(
        "{} of {} cases have the verdict of the manifest",
        cases.len() - wrong.len(),
        cases.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nobody that a case does not name is accepted in its place: every accepted case with another key, another identity or
/// another type is refused.
#[test]
fn every_accepted_case_is_refused_for_another_signer() {
    let stranger = SignerRule::keyless(
        TextMatch::exact("somebody@else.test").unwrap(),
        TextMatch::exact("https://accounts.else.test").unwrap(),
    );
    let nobody = SignerRule::key(proofmark_types::Digest::sha256_of(b"no key"));
    for case in load().iter().filter(|case| case.expected == "accept") {
        let proofs = case.proofs().unwrap();
        for signer in [&stranger, &nobody] {
            let mut requirement = case.requirement();
            requirement.signers = vec![signer.clone()];
            assert!(!requirement.check(&proofs).is_trusted(), "{}", case.id);
        }
        let mut requirement = case.requirement();
        requirement.signers.clear();
        assert!(
            !requirement.check(&proofs).is_trusted(),
            "{}: no signer is not any signer",
            case.id
        );
        let other = PredicateType::resolve("https://example.test/other").unwrap();
        let attested = Requirement::attestation(vec![other], case.requirement().signers);
        assert!(!attested.check(&proofs).is_trusted(), "{}: another type", case.id);
    }
}
