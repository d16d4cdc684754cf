//! `ImagePolicy` over real proofs: each demand with its twin, thresholds, modes, registries that do not answer, and the
//! rule for indexes and their children.

use proofmark_policy::{Mode, NoMatch, Outcome, PolicySet, Question, RequestContext, Unavailable, Via};
use proofmark_types::ImageRef;
use proofmark_verify::{Proofs, Verifier};

use crate::world::{
    GITHUB, WORKFLOW, assert_denied, assert_pass, decide, decide_by_tag, decide_with_index, key, load, now, pem,
    proofs, verifier,
};

const APP: &str = "registry.example.com/team/app:1.0";

/// A policy over `registry.example.com/**` with this under `spec`.
fn policy(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\nmetadata:\n  name: p\nspec:\n  match:\n    images: [\"registry.example.com/**\"]\n{spec}"
    )
}

fn indented(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines().map(|line| format!("{pad}{line}\n")).collect()
}

fn key_signer(name: &str) -> String {
    format!("    - key: |\n{}", indented(&pem(name), 8))
}

fn by_keys(names: &[&str], more: &str) -> String {
    let signers: String = names.iter().map(|name| key_signer(name)).collect();
    policy(&format!(
        "signatures:\n  requireLog: false\n{more}  signers:\n{signers}"
    ))
}

fn by_workflow(rest: &str) -> String {
    policy(&format!(
        "signatures:\n  signers:\n    - keyless:\n        issuer: {GITHUB}\n        subject: {WORKFLOW}\n{rest}"
    ))
}

fn seen_by(set: &PolicySet, layout: &str, reference: &str) -> Proofs {
    proofs(layout, reference, &verifier(&set.verification_keys()))
}

#[test]
fn signed_by_the_key_or_not() {
    let set = load(&by_keys(&["p256"], ""));
    assert_pass(&decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256", "1.0")));
    let other = load(&by_keys(&["p256-other"], ""));
    let denied = decide(&other, APP, &seen_by(&other, "cosign/v3-sign-p256", "1.0"));
    assert_denied(&denied, "signature-not-by-given-key");
    assert_denied(&decide(&set, APP, &seen_by(&set, "cosign/unsigned", "1.0")), "unsigned");
    let strict = load(&by_keys(&["p256"], "").replace("requireLog: false", "requireLog: true"));
    assert_denied(
        &decide(&strict, APP, &seen_by(&strict, "cosign/v3-sign-p256", "1.0")),
        "log-entry-missing",
    );
}

#[test]
fn an_attestation_alone_is_not_a_signature() {
    let set = load(&by_keys(&["rsa2048"], ""));
    let denied = decide(&set, APP, &seen_by(&set, "cosign/v3-attest-all-types", "1.0"));
    assert_denied(&denied, "unsigned");
    assert!(
        denied.reasons[0].message.contains("an attestation of type"),
        "{denied:#?}"
    );
}

#[test]
fn signed_by_the_identity_with_its_attestations_or_not() {
    let attested = "attestations:\n  - type: spdxjson\n  - type: slsaprovenance1\n";
    let set = load(&by_workflow(attested));
    let proofs = seen_by(&set, "keyless/keyless-github", "1.0");
    let decision = decide(&set, APP, &proofs);
    assert_pass(&decision);
    assert_eq!(decision.accepted.len(), 3);
    assert!(decision.accepted.iter().all(|accepted| accepted.via == Via::Image));
    assert!(
        decision
            .accepted
            .iter()
            .any(|accepted| accepted.signer.contains(WORKFLOW))
    );

    let set = load(&by_workflow("attestations:\n  - type: vuln\n"));
    assert_denied(&decide(&set, APP, &proofs), "predicate-type-mismatch");
    let set = load(&by_workflow("").replace("refs/heads/main", "refs/heads/other"));
    assert_denied(&decide(&set, APP, &proofs), "subject-mismatch");
    let set = load(&by_workflow("").replace(GITHUB, "https://gitlab.com"));
    assert_denied(&decide(&set, APP, &proofs), "issuer-mismatch");
    let branch = seen_by(&load(&by_workflow("")), "negative/github-other-branch", "1.0");
    assert_denied(&decide(&load(&by_workflow("")), APP, &branch), "subject-mismatch");
}

#[test]
fn conditions_over_the_predicate() {
    let with = |condition: &str| {
        load(&policy(&format!(
            "attestations:\n  - type: cyclonedx\n    requireLog: false\n    condition: {condition}\n    signers:\n{}",
            key_signer("rsa2048")
        )))
    };
    let set = with("predicate.components.exists(c, c.name == 'lodash')");
    let proofs = seen_by(&set, "cosign/v3-sign-and-attest-cyclonedx", "1.0");
    assert_pass(&decide(&set, APP, &proofs));
    assert_denied(
        &decide(&with("predicate.components.all(c, c.name != 'lodash')"), APP, &proofs),
        "condition-false",
    );
    // An evaluation error is neither true nor false.
    assert_denied(
        &decide(&with("predicate.nothing == 1"), APP, &proofs),
        "condition-error",
    );
    assert_denied(&decide(&with("predicate.bomFormat"), APP, &proofs), "condition-error");
    assert_pass(&decide(
        &with("\"image.registry == 'registry.example.com' && image.tag == '1.0'\""),
        APP,
        &proofs,
    ));
}

#[test]
fn registries_and_digests() {
    let set = load(&policy("registries: [\"registry.example.com/team/**\"]"));
    let proofs = seen_by(&set, "cosign/unsigned", "1.0");
    assert_pass(&decide(&set, APP, &proofs));
    let denied = decide(&set, "registry.example.com/other/app:1.0", &proofs);
    assert_denied(&denied, "image-not-allowed");
    assert!(denied.reasons[0].message.contains("registry.example.com/team/**"));

    let set = load(&policy("requireDigest: true"));
    assert_pass(&decide(&set, APP, &proofs));
    let tagged = ImageRef::parse(APP).unwrap();
    let context = RequestContext::default();
    let by_tag = set.decide(&question(&tagged, &proofs, &context));
    assert_denied(&by_tag, "digest-required");
}

fn question<'a>(image: &'a ImageRef, proofs: &'a Proofs, context: &'a RequestContext<'a>) -> Question<'a> {
    Question {
        image,
        digest: Some(proofs.subject()),
        proofs: Ok(proofs),
        index_proofs: None,
        elsewhere: &[],
        held: None,
        context,
        now: now(),
    }
}

/// N of M counts signers, not signatures and not entries.
#[test]
fn so_many_of_the_signers() {
    let all = ["p256", "p384", "rsa2048"];
    for count in 1..=3 {
        let set = load(&by_keys(&all, &format!("  count: {count}\n")));
        assert_pass(&decide(&set, APP, &seen_by(&set, "cosign/two-signers", "1.0")));
    }
    let set = load(&by_keys(&["p256", "p384", "p256-other"], "  count: 3\n"));
    let denied = decide(&set, APP, &seen_by(&set, "cosign/two-signers", "1.0"));
    assert_eq!(denied.outcome, Outcome::Fail);
    assert!(denied.reasons[0].message.contains("2 of the 3"), "{denied:#?}");
    let set = load(&by_keys(&["p256", "p384", "p256-other"], "  count: 2\n"));
    assert_pass(&decide(&set, APP, &seen_by(&set, "cosign/two-signers", "1.0")));
}

/// One signer that two entries describe is one signer.
#[test]
fn one_identity_does_not_fill_two_places() {
    let two = format!(
        "signatures:\n  count: 2\n  signers:\n    - keyless:\n        issuer: {GITHUB}\n        subject: {WORKFLOW}\n    - keyless:\n        issuer: {GITHUB}\n        subjectRegExp: https://github\\.com/alpha-corp/.*\n"
    );
    let set = load(&policy(&two));
    let denied = decide(&set, APP, &seen_by(&set, "keyless/keyless-github", "1.0"));
    assert_eq!(denied.outcome, Outcome::Fail);
    assert!(denied.reasons[0].message.contains("1 of the 2"), "{denied:#?}");
    let one = load(&policy(&two.replace("count: 2", "count: 1")));
    assert_pass(&decide(&one, APP, &seen_by(&one, "keyless/keyless-github", "1.0")));
}

#[test]
fn warn_and_audit_let_the_image_run_and_say_so() {
    for (mode, warnings, recorded) in [("warn", 1, 0), ("audit", 0, 1)] {
        let set = load(&format!("{}  mode: {mode}\n", by_keys(&["p256-other"], "")));
        let decision = decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256", "1.0"));
        assert_pass(&decision);
        assert_eq!(
            (decision.warnings.len(), decision.audit.len()),
            (warnings, recorded),
            "{decision:#?}"
        );
        assert_eq!(decision.reasons.len(), 1);
        assert_ne!(decision.reasons[0].mode, Mode::Enforce);
        assert_eq!(decision.denials().count(), 0);
    }
}

/// A registry that does not answer is not an image that is not signed.
#[test]
fn a_registry_that_does_not_answer_is_undecided_unless_the_policy_says_otherwise() {
    let unavailable = Unavailable {
        code: "timeout".to_owned(),
        reason: "no answer in 5 s".to_owned(),
    };
    let ask = |mode: &str, held: Option<&Proofs>, like: &Proofs| {
        let set = load(&format!("{}  onUnreachable: {mode}\n", by_keys(&["p256"], "")));
        let image = ImageRef::parse(APP).unwrap();
        let context = RequestContext::default();
        set.decide(&Question {
            proofs: Err(&unavailable),
            elsewhere: &[],
            held,
            ..question(&image, like, &context)
        })
    };
    let set = load(&by_keys(&["p256"], ""));
    let good = seen_by(&set, "cosign/v3-sign-p256", "1.0");
    let bad = seen_by(&set, "cosign/v3-sign-p384", "1.0");
    let other_image = seen_by(&set, "cosign/v3-sign-and-attest-vuln", "1.0");
    for held in [None, Some(&good)] {
        let denied = ask("deny", held, &good);
        assert_eq!(denied.outcome, Outcome::Undecided);
        assert_eq!(denied.reasons[0].code, "evidence-unreachable");
        assert!(denied.reasons[0].message.contains("[timeout]"));
        assert!(!denied.is_pass());
    }
    assert_eq!(ask("allow-held", None, &good).outcome, Outcome::Undecided);
    let held = ask("allow-held", Some(&good), &good);
    assert_pass(&held);
    assert_eq!(held.accepted[0].via, Via::Held);
    assert_eq!(held.warnings.len(), 1);
    // What is held decides either way, and only for its own digest.
    assert_eq!(ask("allow-held", Some(&bad), &bad).outcome, Outcome::Fail);
    assert_eq!(ask("allow-held", Some(&other_image), &good).outcome, Outcome::Undecided);
    let warned = ask("warn", None, &good);
    assert_pass(&warned);
    assert_eq!(warned.warnings.len(), 1);
}

/// What an image's owner can bring about is not an outage.
#[test]
fn a_registry_that_answers_wrongly_is_not_out_of_reach() {
    let set = load(&format!("{}  onUnreachable: warn\n", by_keys(&["p256"], "")));
    let good = seen_by(&set, "cosign/v3-sign-p256", "1.0");
    let image = ImageRef::parse(APP).unwrap();
    let context = RequestContext::default();
    for (code, outcome) in [
        ("throttled", Outcome::Pass),
        ("not-found", Outcome::Undecided),
        ("digest-mismatch", Outcome::Undecided),
        ("malformed", Outcome::Undecided),
        ("too-large", Outcome::Undecided),
        ("internal-error", Outcome::Undecided),
    ] {
        let unavailable = Unavailable {
            code: code.to_owned(),
            reason: "as the test has it".to_owned(),
        };
        let decision = set.decide(&Question {
            proofs: Err(&unavailable),
            ..question(&image, &good, &context)
        });
        assert_eq!(decision.outcome, outcome, "{code}");
    }
}

#[test]
fn proofs_of_another_digest_are_never_a_pass() {
    let set = load(&by_keys(&["p256"], ""));
    let good = seen_by(&set, "cosign/v3-sign-p256", "1.0");
    let other = seen_by(&set, "cosign/v3-sign-and-attest-vuln", "1.0");
    let image = ImageRef::parse(APP).unwrap();
    let context = RequestContext::default();
    for digest in [Some(other.subject()), None] {
        let decision = set.decide(&Question {
            digest,
            ..question(&image, &good, &context)
        });
        assert_eq!(decision.outcome, Outcome::Undecided);
        assert_eq!(decision.reasons[0].code, "proofs-of-another-digest");
    }
}

#[test]
fn a_child_passes_by_the_index_it_was_found_through_and_not_alone() {
    let set = load(&by_keys(&["p256-imp"], ""));
    let child = "sha256:7a2cd5f2a897cbdfb0f6152b183a29958a4813c4de9f6c97ceb3a84edff45d3f";
    let index = seen_by(&set, "cosign/v3-index-only", "1.0");
    let child = seen_by(&set, "cosign/v3-index-only", child);
    assert_denied(&decide(&set, APP, &child), "unsigned");
    let decision = decide_with_index(&set, APP, &child, Some(&index));
    assert_pass(&decision);
    assert_eq!(decision.accepted[0].via, Via::Index);

    let own = "sha256:454657bd0ce8163d26efed37defad578a2507d155d78c93b647bde654145f09b";
    let own = seen_by(&set, "cosign/v3-index-recursive", own);
    let decision = decide(&set, APP, &own);
    assert_pass(&decision);
    assert_eq!(decision.accepted[0].via, Via::Image);
}

#[test]
fn an_image_that_no_policy_concerns_takes_the_default() {
    let set = load(&by_keys(&["p256"], ""));
    let proofs = seen_by(&set, "cosign/v3-sign-p256", "1.0");
    assert_denied(&decide(&set, "ghcr.io/other/app:1", &proofs), "no-policy-matched");
    let open = set.with_no_match(NoMatch::Allow);
    assert_pass(&decide(&open, "ghcr.io/other/app:1", &proofs));
    assert_denied(&decide(&PolicySet::empty(), APP, &proofs), "no-policy-matched");
}

#[test]
fn every_policy_that_matches_must_pass() {
    let good = by_keys(&["p256"], "");
    let other = by_keys(&["p384"], "").replace("name: p\n", "name: q\n");
    let set = load(&format!("{good}---\n{other}"));
    let proofs = seen_by(&set, "cosign/v3-sign-p256", "1.0");
    let denied = decide(&set, APP, &proofs);
    assert_eq!(denied.outcome, Outcome::Fail);
    assert_eq!(denied.reasons.len(), 1);
    assert_eq!(denied.reasons[0].policy, "q");
    assert_eq!(denied.policies, ["p", "q"]);
    let both = seen_by(&set, "cosign/two-signers", "1.0");
    assert_pass(&decide(&set, APP, &both));
}

#[test]
fn what_a_policy_needs_is_known_before_anything_is_fetched() {
    let image = ImageRef::parse(APP).unwrap();
    let context = RequestContext::default();
    let needs = load(&by_keys(&["p256"], "")).concerns(&image, &context);
    assert!(needs.needs_evidence && needs.needs_digest && needs.pin);
    let none = load(&policy("registries: [\"registry.example.com/**\"]\n")).concerns(&image, &context);
    assert!(!none.is_none() && !none.needs_evidence && !none.needs_digest && !none.pin);
    let unpinned = load(&format!("{}  pin: false\n", by_keys(&["p256"], ""))).concerns(&image, &context);
    assert!(unpinned.needs_digest && !unpinned.pin);
    let elsewhere = ImageRef::parse("ghcr.io/a/b").unwrap();
    assert!(load(&by_keys(&["p256"], "")).concerns(&elsewhere, &context).is_none());
}

#[test]
fn namespaces_and_kinds_limit_a_policy_and_what_is_not_known_does_not() {
    let yaml = by_keys(&["p256"], "").replace(
        "    images:",
        "    namespaces: [\"prod*\"]\n    excludeNamespaces: [\"prod-test\"]\n    kinds: [Pod]\n    images:",
    );
    let set = load(&yaml);
    let image = ImageRef::parse(APP).unwrap();
    for (namespace, kind, concerned) in [
        (Some("prod"), Some("Pod"), true),
        (Some("prod-1"), Some("Pod"), true),
        (Some("prod-test"), Some("Pod"), false),
        (Some("dev"), Some("Pod"), false),
        (Some("prod"), Some("Job"), false),
        (None, None, true),
        (None, Some("Pod"), true),
    ] {
        let context = RequestContext {
            namespace,
            kind,
            ..RequestContext::default()
        };
        assert_eq!(
            !set.concerns(&image, &context).is_none(),
            concerned,
            "{namespace:?} {kind:?}"
        );
    }
}

#[test]
fn keys_of_all_policies_are_given_once() {
    let first = by_keys(&["p256", "p384"], "");
    let second = by_keys(&["p384", "rsa2048"], "").replace("name: p\n", "name: q\n");
    let set = load(&format!("{first}---\n{second}"));
    let keys = set.verification_keys();
    assert_eq!(keys.len(), 3);
    assert!(
        keys.iter()
            .any(|seen| seen.fingerprint() == key("rsa2048").fingerprint())
    );
}

/// Denials name what was wanted, what was found and where, so that a person can act on them.
#[test]
fn a_denial_can_be_acted_on() {
    let set = load(&by_keys(&["p256-other"], ""));
    let denied = decide(&set, APP, &seen_by(&set, "cosign/v3-sign-p256", "1.0"));
    let line = denied.reasons[0].to_string();
    let fingerprint = key("p256-other").fingerprint().to_string();
    for part in [
        "p/spec",
        "signature",
        fingerprint.as_str(),
        "referrer sha256:",
        "signature-not-by-given-key",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

/// Two hundred junk referrers do not flood the message.
#[test]
fn a_denial_is_short_whatever_hangs_on_the_image() {
    let set = load(&by_keys(&["p256-other"], ""));
    let denied = decide(&set, APP, &seen_by(&set, "negative/junk-referrers-200", "1.0"));
    assert_eq!(denied.outcome, Outcome::Fail);
    assert!(
        denied.reasons[0].message.len() < 4000,
        "{}",
        denied.reasons[0].message.len()
    );
}

/// With `every`, a good attestation of one signer does not make up for another signer's that says otherwise.
#[test]
fn every_is_about_all_signers() {
    let with = |every: bool, condition: &str| {
        load(&policy(&format!(
            "attestations:\n  - type: custom\n    requireLog: false\n    every: {every}\n    condition: {condition}\n    signers:\n{}{}",
            indented(&key_signer("p384"), 2),
            indented(&key_signer("rsa2048"), 2)
        )))
    };
    let set = with(true, "has(predicate.Timestamp)");
    let one = seen_by(&set, "cosign/v2-attest-all-types", "1.0");
    let other = seen_by(&set, "cosign/v3-attest-all-types", "1.0");
    let time = |proofs: &Proofs| {
        let mut times = proofs
            .proofs()
            .iter()
            .filter_map(|proof| proof.predicate()["Timestamp"].as_str());
        times.next().unwrap().to_owned()
    };
    assert_ne!(time(&one), time(&other));
    let of_one = format!("predicate.Timestamp == \"{}\"", time(&one));
    let ask = |set: &PolicySet| decide_with_index(set, APP, &one, Some(&other));
    assert_pass(&ask(&set));
    assert_pass(&ask(&with(false, &of_one)));
    assert_denied(&ask(&with(true, &of_one)), "condition-false");
}

/// Places that could not be read leave a denial undecided, and with `every` a pass as well.
#[test]
fn evidence_cut_short_is_undecided() {
    use proofmark_evidence::Incomplete;
    let with = |every: bool, condition: &str| {
        load(&policy(&format!(
            "attestations:\n  - type: cyclonedx\n    requireLog: false\n    every: {every}\n    condition: {condition}\n    signers:\n{}",
            key_signer("rsa2048")
        )))
    };
    let layout = crate::layout::Layout::open(&crate::layout::root().join("cosign/v3-sign-and-attest-cyclonedx"));
    let subject = layout.resolve("1.0").unwrap();
    let mut evidence = layout.evidence(&subject);
    evidence.incomplete.push(Incomplete {
        place: "referrers".to_owned(),
        code: "registry-throttled",
        reason: "429".to_owned(),
    });
    let proofs = Verifier::new().with_key(key("rsa2048")).verify(&evidence, now());
    let good = "predicate.components.size() == 1";
    let bad = "predicate.components.size() == 2";
    assert_pass(&decide(&with(false, good), APP, &proofs));
    for (every, condition) in [(true, good), (true, bad), (false, bad)] {
        let decision = decide(&with(every, condition), APP, &proofs);
        assert_eq!(
            decision.outcome,
            Outcome::Undecided,
            "{every} {condition} {decision:#?}"
        );
        assert_eq!(decision.reasons[0].code, "evidence-incomplete");
    }
}

/// The whole text of a denial, so that a change to it is seen.
#[test]
fn a_denial_reads_well() {
    let set = load(&by_workflow("attestations:\n  - type: vuln\n").replace("refs/heads/main", "refs/heads/other"));
    let lines = |layout: &str| -> Vec<String> {
        let decision = decide(&set, APP, &seen_by(&set, layout, "1.0"));
        decision.reasons.iter().map(ToString::to_string).collect()
    };
    let other = WORKFLOW.replace("main", "other");
    let signed = lines("keyless/keyless-github");
    assert_eq!(
        signed[0],
        format!(
            "p/spec: signature: expected by identity {other} (issuer {GITHUB}); found URI {WORKFLOW} (referrer sha256:a8b6ac17563ba436495cd113a206fce9149337f71cc44cd90f46197c5f12d95d) [subject-mismatch]; it was signed by another identity; compare the workflow, branch or account with the policy"
        )
    );
    assert!(
        signed[1].contains("found an attestation of type https://slsa.dev/provenance/v1 (referrer sha256:"),
        "{}",
        signed[1]
    );
    assert!(
        signed[1].contains("[predicate-type-mismatch]; attach the attestation"),
        "{}",
        signed[1]
    );
    let unsigned = lines("cosign/unsigned");
    assert_eq!(
        unsigned[0],
        format!(
            "p/spec: signature: expected by identity {other} (issuer {GITHUB}); found nothing [unsigned]; sign it: proofmark release IMAGE, or proofmark sign IMAGE; `proofmark tree IMAGE` shows what is attached"
        )
    );
    assert!(
        unsigned[1].contains("found nothing [attestation-missing]; attach the attestation"),
        "{}",
        unsigned[1]
    );
}

/// A policy over some tags is dodged neither by a digest nor by another tag before it; its notes say what tags mean.
#[test]
fn a_tag_beside_a_digest_dodges_no_policy_over_tags() {
    const OTHER: &str = "registry.example.com/team/app:2.0";
    let tags = |text: &str| text.replace("registry.example.com/**", "registry.example.com/team/app:1.*");
    let set = load(&tags(&by_keys(&["p256"], ""))).with_no_match(NoMatch::Allow);
    let signed = seen_by(&set, "cosign/v3-sign-p256", "1.0");
    let unsigned = seen_by(&set, "cosign/unsigned", "1.0");
    // `decide` writes the digest beside the tag.
    for name in [APP, OTHER, "registry.example.com/team/app"] {
        assert_pass(&decide(&set, name, &signed));
        assert_denied(&decide(&set, name, &unsigned), "unsigned");
    }
    assert_pass(&decide(&set, "registry.example.com/team/other:1.0", &unsigned));
    assert_denied(&decide_by_tag(&set, APP, &unsigned), "unsigned");
    assert_pass(&decide_by_tag(&set, OTHER, &unsigned));
    let notes = |set: &PolicySet| set.notes().into_iter().map(|note| note.text).collect::<Vec<_>>();
    let said = notes(&set);
    assert!(
        said.len() == 1 && said[0].contains("whatever tag stands beside it"),
        "{said:?}"
    );
    // What is let through by its tag must have no digest: a tag there may be any.
    let excluding = by_keys(&["p256"], "").replace(
        "    images: [\"registry.example.com/**\"]\n",
        "    images: [\"registry.example.com/**\"]\n    exclude: [\"registry.example.com/team/app:2.*\"]\n",
    );
    let set = load(&excluding).with_no_match(NoMatch::Allow);
    assert_pass(&decide_by_tag(&set, OTHER, &unsigned));
    assert_denied(&decide(&set, OTHER, &unsigned), "unsigned");
    let said = notes(&set);
    assert!(said.len() == 1 && said[0].contains("is excluded by it"), "{said:?}");
    let allowing = load(&policy("registries: [\"registry.example.com/team/app:1.*\"]\n"));
    let said = notes(&allowing);
    assert!(
        said.len() == 1 && said[0].contains("taken as it is written"),
        "{said:?}"
    );
    assert_eq!(notes(&load(&by_keys(&["p256"], ""))), Vec::<String>::new());
}
