//! policy-controller's ClusterImagePolicy of the fixtures as it is, and over real proofs with its names changed.

use std::fs;

use proofmark_policy::{Outcome, PolicySet, RequestContext};
use proofmark_types::ImageRef;
use proofmark_verify::Proofs;

use crate::layout::root;
use crate::world::{assert_denied, assert_pass, decide, decide_by_tag, load, pem, proofs, verifier};

const APP: &str = "registry.example.com/team/app:1.0";

fn fixture() -> String {
    fs::read_to_string(root().join("policies/cluster-image-policy.yaml")).unwrap()
}

fn ours() -> PolicySet {
    load(
        &fixture()
            .replace("example-org/example-app", "alpha-corp/payments")
            .replace("refs/tags/", "refs/heads/"),
    )
}

fn seen_by(set: &PolicySet, layout: &str) -> Proofs {
    proofs(layout, "1.0", &verifier(&set.verification_keys()))
}

#[test]
fn the_policy_as_it_is() {
    let set = load(&fixture());
    assert_eq!(set.summaries()[0].kind, "ClusterImagePolicy");
    assert_eq!(set.verification_keys().len(), 1);
    assert!(
        set.notes()
            .iter()
            .any(|note| note.text.contains("must match the whole text"))
    );
    let denied = decide(&set, APP, &seen_by(&set, "keyless/keyless-github"));
    assert_denied(&denied, "subject-mismatch");
}

#[test]
fn an_authority_with_attestations_wants_all_of_them() {
    let set = ours();
    let proofs = seen_by(&set, "keyless/keyless-github");
    let decision = decide(&set, APP, &proofs);
    assert_pass(&decision);
    assert_eq!(decision.accepted.len(), 2);
    let more = fixture()
        .replace("example-org/example-app", "alpha-corp/payments")
        .replace("refs/tags/", "refs/heads/")
        .replace("predicateType: slsaprovenance1", "predicateType: vuln");
    assert_denied(&decide(&load(&more), APP, &proofs), "predicate-type-mismatch");
}

/// The second authority is another way: its key alone.
#[test]
fn any_authority_is_enough() {
    let set = load(&format!(
        "apiVersion: policy.sigstore.dev/v1alpha1\nkind: ClusterImagePolicy\nmetadata: {{name: c}}\nspec:\n  images: [{{glob: \"registry.example.com/**\"}}]\n  authorities:\n    - keyless:\n        identities: [{{issuer: \"https://gitlab.com\", subject: nobody}}]\n    - key:\n        data: |\n{}",
        pem("p256")
            .lines()
            .map(|line| format!("          {line}\n"))
            .collect::<String>()
    ));
    assert_pass(&decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256")));
    assert_eq!(
        decide(&set, APP, &seen_by(&set, "keyless/keyless-github")).outcome,
        Outcome::Fail
    );
    assert_eq!(
        decide(&set, APP, &seen_by(&set, "cosign/unsigned")).outcome,
        Outcome::Fail
    );
    assert_denied(
        &decide(&set, "ghcr.io/a/b", &seen_by(&set, "cosign/v3-sign-p256")),
        "no-policy-matched",
    );
}

#[test]
fn a_key_with_ctlog_wants_a_log_entry() {
    let with = |ctlog: &str| {
        load(&format!(
            "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: c}}\nspec:\n  images: [{{glob: \"**\"}}]\n  authorities:\n    - {ctlog}key:\n        data: |\n{}",
            pem("p256")
                .lines()
                .map(|line| format!("          {line}\n"))
                .collect::<String>()
        ))
    };
    let set = with("");
    assert_pass(&decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256")));
    let set = with("ctlog: {url: \"https://rekor.sigstore.dev\"}\n      ");
    assert_denied(
        &decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256")),
        "log-entry-missing",
    );
    assert!(set.notes().iter().any(|note| note.text.contains("ctlog.url")));
    let set = with("rfc3161timestamp: {}\n      ");
    assert_denied(
        &decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256")),
        "timestamp-missing",
    );
}

#[test]
fn a_static_answer_needs_no_evidence() {
    let with = |action: &str, glob: &str| {
        load(&format!(
            "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: c}}\nspec:\n  images: [{{glob: \"{glob}\"}}]\n  authorities: [{{static: {{action: {action}, message: not here}}}}]\n"
        ))
    };
    let unsigned = proofs("cosign/unsigned", "1.0", &verifier(&[]));
    let pass = with("pass", "registry.example.com/team/*");
    assert_pass(&decide(&pass, APP, &unsigned));
    let needs = pass.concerns(&ImageRef::parse(APP).unwrap(), &RequestContext::default());
    assert!(!needs.is_none() && !needs.needs_evidence);
    let fail = with("fail", "registry.example.com/team/*");
    let denied = decide(&fail, APP, &unsigned);
    assert_denied(&denied, "static-fail");
    assert!(denied.reasons[0].message.starts_with("not here"));
    // A pass is for what is named beyond doubt; a digest may be any tag.
    let tagged = with("pass", "registry.example.com/team/app:1*");
    assert_pass(&decide_by_tag(&tagged, APP, &unsigned));
    assert!(
        !tagged
            .concerns(&ImageRef::parse(APP).unwrap(), &RequestContext::default())
            .pin
    );
    assert_denied(&decide(&tagged, APP, &unsigned), "no-policy-matched");
    let denied = decide(&tagged, "registry.example.com/team/app", &unsigned);
    assert_denied(&denied, "no-policy-matched");
}

#[test]
fn policies_that_match_must_all_pass() {
    let one = |name: &str, key: &str| {
        format!(
            "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: {name}}}\nspec:\n  images: [{{glob: \"**\"}}]\n  authorities:\n    - key:\n        data: |\n{}---\n",
            pem(key)
                .lines()
                .map(|line| format!("          {line}\n"))
                .collect::<String>()
        )
    };
    let set = load(&format!("{}{}", one("a", "p256"), one("b", "p384")));
    assert_eq!(
        decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256")).outcome,
        Outcome::Fail
    );
    assert_pass(&decide(&set, APP, &seen_by(&set, "cosign/two-signers")));
}

#[test]
fn warn_mode_warns() {
    let set = load(&fixture().replace("spec:\n", "spec:\n  mode: warn\n"));
    let decision = decide(&set, APP, &seen_by(&set, "cosign/unsigned"));
    assert_pass(&decision);
    assert!(!decision.warnings.is_empty());
}

/// An authority with two keys: any is enough for a signature, both are needed for an attestation.
#[test]
fn two_keys_in_one_authority() {
    let with = |keys: &[&str], attested: &str| {
        let pems: String = keys.iter().map(|name| pem(name)).collect();
        load(&format!(
            "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: c}}\nspec:\n  images: [{{glob: \"**\"}}]\n  authorities:\n    - {attested}key:\n        data: |\n{}",
            pems.lines()
                .map(|line| format!("          {line}\n"))
                .collect::<String>()
        ))
    };
    let set = with(&["p256", "p256-other"], "");
    assert_pass(&decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256")));
    let attested = "attestations: [{name: v, predicateType: vuln}]\n      ";
    let set = with(&["p256"], attested);
    assert_pass(&decide(&set, APP, &seen_by(&set, "cosign/v3-sign-and-attest-vuln")));
    let set = with(&["p256", "p256-other"], attested);
    assert_eq!(
        decide(&set, APP, &seen_by(&set, "cosign/v3-sign-and-attest-vuln")).outcome,
        Outcome::Fail
    );
    assert!(set.notes().iter().any(|note| note.text.contains("every one is needed")));
}
