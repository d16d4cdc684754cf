//! One demand against real proofs: each field of it accepts its twin and refuses the other under the right code.

use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::{EvidenceSet, Incomplete};
use proofmark_policy::{GithubField, KeylessRule, LogRule, Requirement, SignerRule, SubjectKind, TextMatch, Verdict};
use proofmark_types::Digest;
use proofmark_verify::{Proofs, Verifier};

use crate::layout::{Layout, root};
use crate::world::{GITHUB, WORKFLOW, exact, key, now, proofs, verifier};

fn github() -> Proofs {
    proofs("keyless/keyless-github", "1.0", &verifier(&[]))
}

fn keyless(change: impl FnOnce(&mut KeylessRule)) -> Requirement {
    let mut rule = KeylessRule::new(exact(WORKFLOW), exact(GITHUB));
    change(&mut rule);
    Requirement::signature(vec![SignerRule::Keyless(Box::new(rule))])
}

fn with(change: impl FnOnce(&mut Requirement)) -> Requirement {
    let mut requirement = keyless(|_| {});
    change(&mut requirement);
    requirement
}

/// The codes of a refusal.
#[track_caller]
fn refused(requirement: &Requirement, proofs: &Proofs) -> Vec<&'static str> {
    match requirement.check(proofs) {
        Verdict::Rejected(refusals) => {
            for refusal in &refusals {
                assert!(!refusal.expected.is_empty() && !refusal.actual.is_empty(), "{refusal}");
            }
            refusals.iter().map(|refusal| refusal.code).collect()
        }
        other => panic!("expected a rejection, got {other:?}"),
    }
}

/// CVE-2025-29778: each field of an identity is effective, one at a time.
#[test]
fn each_field_of_an_identity_is_effective() {
    let proofs = github();
    assert!(keyless(|_| {}).check(&proofs).is_trusted());
    type Change = fn(&mut KeylessRule);
    let rows: [(&str, Change, Change); 8] = [
        (
            "subject-mismatch",
            |rule| rule.subject = TextMatch::regexp("https://github\\.com/alpha-corp/payments/.*").unwrap(),
            |rule| rule.subject = TextMatch::regexp("https://github\\.com/alpha-corp/pay").unwrap(),
        ),
        (
            "subject-mismatch",
            |rule| rule.subject = TextMatch::glob("https://github.com/alpha-corp/*").unwrap(),
            |rule| rule.subject = TextMatch::glob("https://github.com/alpha/*").unwrap(),
        ),
        (
            "subject-mismatch",
            |rule| rule.subject_kind = Some(SubjectKind::Uri),
            |rule| rule.subject_kind = Some(SubjectKind::Email),
        ),
        (
            "issuer-mismatch",
            |rule| rule.issuer = TextMatch::regexp("https://token\\.actions\\..*").unwrap(),
            |rule| rule.issuer = TextMatch::regexp("https://token\\.actions").unwrap(),
        ),
        (
            "issuer-mismatch",
            |rule| rule.issuer = TextMatch::glob("https://token.*").unwrap(),
            |rule| rule.issuer = exact("https://gitlab.com"),
        ),
        (
            "github-claim-mismatch",
            |rule| {
                rule.github
                    .push((GithubField::Repository, exact("alpha-corp/payments")))
            },
            |rule| rule.github.push((GithubField::Repository, exact("alpha-corp/pay"))),
        ),
        (
            "github-claim-mismatch",
            |rule| rule.github.push((GithubField::Ref, exact("refs/heads/main"))),
            |rule| rule.github.push((GithubField::Ref, exact("refs/heads/other"))),
        ),
        (
            "github-claim-mismatch",
            |rule| {
                rule.github.push((GithubField::Trigger, exact("push")));
                rule.github.push((GithubField::Name, exact("release")));
                rule.github.push((GithubField::Sha, exact(&"1f".repeat(20))));
            },
            |rule| {
                rule.github.push((GithubField::Trigger, exact("push")));
                rule.github.push((GithubField::Name, exact("release")));
                rule.github.push((GithubField::Sha, exact(&"2f".repeat(20))));
            },
        ),
    ];
    for (code, good, bad) in rows {
        assert!(keyless(good).check(&proofs).is_trusted(), "{code}");
        assert_eq!(refused(&keyless(bad), &proofs), [code]);
    }
}

#[test]
fn what_must_vouch_is_effective() {
    let proofs = github();
    assert!(with(|want| want.timestamp = true).check(&proofs).is_trusted());
    assert_eq!(
        refused(&with(|want| want.log = LogRule::Required { operators: 2 }), &proofs),
        ["log-entry-missing"]
    );
    // No demand at all is not "no operator".
    assert!(
        with(|want| want.log = LogRule::Required { operators: 0 })
            .check(&proofs)
            .is_trusted()
    );
    assert_eq!(
        refused(
            &with(|want| drop(want.annotations.insert("env".into(), "prod".into()))),
            &proofs
        ),
        ["annotation-mismatch"]
    );
    // The twin without a log.
    let signer = key("p256");
    let unlogged = self::proofs("cosign/v3-sign-p256", "1.0", &verifier(std::slice::from_ref(&signer)));
    let mut requirement = Requirement::signature(vec![SignerRule::key(signer.fingerprint().clone())]);
    assert_eq!(refused(&requirement, &unlogged), ["log-entry-missing"]);
    requirement.log = LogRule::Required { operators: 0 };
    assert_eq!(refused(&requirement, &unlogged), ["log-entry-missing"]);
    requirement.log = LogRule::NotRequired;
    assert!(requirement.check(&unlogged).is_trusted());
    requirement.timestamp = true;
    assert_eq!(refused(&requirement, &unlogged), ["timestamp-missing"]);
}

#[test]
fn a_certificate_without_sct_needs_leave() {
    let proofs = proofs("negative/cert-without-sct", "1.0", &verifier(&[]));
    let seen = proofs.proofs().iter().find_map(|proof| match proof.signer() {
        proofmark_verify::SignerProof::Certificate(facts) => Some(facts.identity.clone()),
        _ => None,
    });
    let identity = seen.unwrap();
    let rule = KeylessRule::new(
        exact(identity.subjects[0].value()),
        exact(identity.issuer.as_deref().unwrap()),
    );
    let mut requirement = Requirement::signature(vec![SignerRule::Keyless(Box::new(rule))]);
    assert_eq!(refused(&requirement, &proofs), ["sct-missing"]);
    requirement.sct = false;
    assert!(requirement.check(&proofs).is_trusted());
}

#[test]
fn annotations_must_be_signed_with_these_values() {
    let signer = key("p256-imp");
    let proofs = proofs(
        "cosign/v3-sign-annotations",
        "1.0",
        &verifier(std::slice::from_ref(&signer)),
    );
    let want = |name: &str, value: &str| {
        let mut requirement = Requirement::signature(vec![SignerRule::key(signer.fingerprint().clone())]);
        requirement.log = LogRule::NotRequired;
        requirement.annotations.insert(name.to_owned(), value.to_owned());
        requirement
    };
    assert!(want("env", "prod").check(&proofs).is_trusted());
    assert_eq!(refused(&want("env", "staging"), &proofs), ["annotation-mismatch"]);
    assert_eq!(refused(&want("region", "eu"), &proofs), ["annotation-mismatch"]);
}

/// cosign 3.1 takes an attestation for a signature (signing-formats, "Headline facts").
#[test]
fn an_attestation_is_not_a_signature_unless_asked_for() {
    let signer = key("p256-imp");
    let proofs = proofs(
        "negative/attestation-only",
        "1.0",
        &verifier(&[signer.clone(), key("p256")]),
    );
    assert!(!proofs.proofs().is_empty());
    let signers: Vec<SignerRule> = [signer, key("p256")]
        .iter()
        .map(|key| SignerRule::key(key.fingerprint().clone()))
        .collect();
    let mut requirement = Requirement::signature(signers);
    requirement.log = LogRule::NotRequired;
    let Verdict::Unsigned { beside } = requirement.check(&proofs) else {
        panic!("expected unsigned");
    };
    assert_eq!(beside[0].code, "not-of-the-wanted-kind");
    requirement.what = proofmark_policy::Wanted::Signature {
        accept_any_bundle: true,
    };
    assert!(requirement.check(&proofs).is_trusted());
}

#[test]
fn an_attestation_of_another_type_is_refused_and_of_a_version_accepted() {
    let proofs = github();
    let want = |name: &str| {
        let types = vec![PredicateType::resolve(name).unwrap()];
        Requirement::attestation(types, keyless(|_| {}).signers)
    };
    // What the layout holds is in the manifest; one of these is there and the vulnerability report is not.
    let held: Vec<_> = proofs
        .proofs()
        .iter()
        .filter_map(|proof| proof.predicate_type())
        .collect();
    let attested = held
        .iter()
        .find(|kind| !kind.is_signature())
        .map(|kind| kind.as_str().to_owned());
    if let Some(uri) = attested {
        assert!(want(&uri).check(&proofs).is_trusted());
        assert_eq!(refused(&want("vuln"), &proofs)[0], "predicate-type-mismatch");
    }
}

/// Nothing found is not the same as nothing reachable.
#[test]
fn with_places_unread_a_refusal_is_undecided_and_a_pass_stays_one() {
    let layout = Layout::open(&root().join("keyless/keyless-github"));
    let subject = layout.resolve("1.0").unwrap();
    let cut = |mut set: EvidenceSet| {
        set.incomplete.push(Incomplete {
            place: "referrers, page 2".to_owned(),
            code: "registry-throttled",
            reason: "429".to_owned(),
        });
        verifier(&[]).verify(&set, now())
    };
    let whole = cut(layout.evidence(&subject));
    assert!(keyless(|_| {}).check(&whole).is_trusted());
    let stranger = keyless(|rule| rule.subject = exact("nobody@alpha.test"));
    let Verdict::Undecided { incomplete, refusals } = stranger.check(&whole) else {
        panic!("expected undecided");
    };
    assert_eq!(incomplete[0].code, "registry-throttled");
    assert_eq!(refusals[0].code, "subject-mismatch");
    let nothing = cut(EvidenceSet::new(subject.clone()));
    assert_eq!(keyless(|_| {}).check(&nothing).code(), "undecided");
    let read = verifier(&[]).verify(&EvidenceSet::new(subject), now());
    assert_eq!(keyless(|_| {}).check(&read).code(), "unsigned");
}

#[test]
fn evidence_that_was_not_believed_is_a_refusal_with_the_verifiers_code() {
    let proofs = proofs("cosign/v3-sign-p256", "1.0", &Verifier::new().with_key(key("p256-v2")));
    let requirement = Requirement::signature(vec![SignerRule::key(Digest::sha256_of(b"other"))]);
    assert_eq!(refused(&requirement, &proofs), ["signature-not-by-given-key"]);
}

/// Broken and foreign neighbours must not hide a good signature.
#[test]
fn one_good_signature_among_two_hundred_others_passes() {
    let layout = "negative/junk-referrers-200";
    let all: Vec<_> = ["p256", "p256-imp", "p256-v2"].map(key).to_vec();
    let proofs = proofs(layout, "1.0", &verifier(&all));
    assert!(proofs.rejections().len() + proofs.proofs().len() >= 100);
    let mut requirement = Requirement::signature(
        all.iter()
            .map(|key| SignerRule::key(key.fingerprint().clone()))
            .collect(),
    );
    requirement.log = LogRule::NotRequired;
    assert!(requirement.check(&proofs).is_trusted());
}
