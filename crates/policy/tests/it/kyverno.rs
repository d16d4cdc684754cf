//! Kyverno's ClusterPolicies of the fixtures as they are, and over real proofs with their names changed.

use std::fs;

use proofmark_policy::{Mode, Outcome, PolicySet, RequestContext};
use proofmark_types::ImageRef;
use proofmark_verify::Proofs;

use crate::layout::root;
use crate::world::{assert_denied, assert_pass, codes, decide, decide_by_tag, load, now, pem, proofs, verifier};

const APP: &str = "registry.example.com/app:1.0";

fn fixture(name: &str) -> String {
    fs::read_to_string(root().join("policies").join(name)).unwrap()
}

fn keyless(layout: &str) -> Proofs {
    proofs(&format!("keyless/{layout}"), "1.0", &verifier(&[]))
}

/// The fixture, naming whom the evidence of the fixtures names.
fn github() -> PolicySet {
    load(&fixture("kyverno-require-signed.yaml").replace("example-org/example-app", "alpha-corp/payments"))
}

#[test]
fn the_policy_for_github_actions_as_it_is() {
    let set = load(&fixture("kyverno-require-signed.yaml"));
    let summary = &set.summaries()[0];
    assert_eq!(
        (summary.name.as_str(), summary.kind),
        ("require-signed-images", "ClusterPolicy")
    );
    assert_eq!(
        summary.rules,
        [
            ("check-image-signature".to_owned(), Mode::Enforce),
            ("require-internal-registry".to_owned(), Mode::Enforce)
        ]
    );
    let notes: Vec<String> = set.notes().into_iter().map(|note| note.text).collect();
    assert!(
        notes
            .iter()
            .any(|note| note.contains("rekor.url https://rekor.sigstore.dev")),
        "{notes:?}"
    );
    assert_denied(&decide(&set, APP, &keyless("keyless-github")), "subject-mismatch");
}

#[test]
fn the_policy_for_github_actions_decides() {
    let set = github();
    let good = keyless("keyless-github");
    assert_pass(&decide(&set, APP, &good));
    assert_pass(&decide(&set, "registry.example.com/deep/er/app:1", &good));
    assert_denied(&decide(&set, APP, &keyless("keyless-gitlab")), "issuer-mismatch");
    let unsigned = proofs("cosign/unsigned", "1.0", &verifier(&[]));
    assert_denied(&decide(&set, APP, &unsigned), "unsigned");
    // Another registry: the second rule says no, the first does not concern it.
    for name in ["ghcr.io/x/app:1", "nginx:1", "attacker.com/registry.example.com/app:1"] {
        let denied = decide(&set, name, &good);
        assert_eq!(codes(&denied), ["image-not-allowed"], "{name}");
        assert!(
            denied.reasons[0]
                .message
                .starts_with("Only images from registry.example.com are allowed")
        );
    }
}

#[test]
fn rules_for_pods_hold_for_what_makes_pods_and_for_nothing_else() {
    let set = github();
    let image = ImageRef::parse(APP).unwrap();
    for (kind, concerned) in [
        ("Pod", true),
        ("Deployment", true),
        ("CronJob", true),
        ("Widget", false),
    ] {
        let context = RequestContext {
            kind: Some(kind),
            ..RequestContext::default()
        };
        assert_eq!(!set.concerns(&image, &context).is_none(), concerned, "{kind}");
    }
    let none = fixture("kyverno-require-signed.yaml").replace(
        "  name: require-signed-images\n",
        "  name: require-signed-images\n  annotations:\n    pod-policies.kyverno.io/autogen-controllers: none\n",
    );
    let context = RequestContext {
        kind: Some("Deployment"),
        ..RequestContext::default()
    };
    assert!(load(&none).concerns(&image, &context).is_none());
}

/// verifyDigest is Kyverno's default: a Pod without a digest is denied, a Deployment is not.
#[test]
fn a_digest_is_wanted_in_pods() {
    let set = github();
    let good = keyless("keyless-github");
    let image = ImageRef::parse(APP).unwrap();
    for (kind, outcome) in [("Pod", Outcome::Fail), ("Deployment", Outcome::Pass)] {
        let context = RequestContext {
            kind: Some(kind),
            ..RequestContext::default()
        };
        let decision = set.decide(&proofmark_policy::Question {
            image: &image,
            digest: Some(good.subject()),
            proofs: Ok(&good),
            index_proofs: None,
            elsewhere: &[],
            held: None,
            context: &context,
            now: now(),
        });
        assert_eq!(decision.outcome, outcome, "{kind} {decision:#?}");
    }
}

/// kyverno#17125: the attestation of the second rule inherits the attestors of the first.
#[test]
fn the_policy_for_gitlab_inherits_its_attestors() {
    let yaml = fixture("kyverno-signatures-and-sbom.yaml");
    let set = load(&yaml);
    assert!(
        set.notes().iter().any(|note| note.text.contains("kyverno#17125")),
        "{:?}",
        set.notes()
    );
    let ours = load(&yaml.replace("example-org", "alpha-corp"));
    let gitlab = keyless("keyless-gitlab");
    let decision = decide(&ours, APP, &gitlab);
    // The signature is there and the bill is not: exactly one reason, of the second rule.
    let rules: Vec<&str> = decision.reasons.iter().map(|reason| reason.rule.as_str()).collect();
    assert_eq!(rules, ["require-sbom"], "{decision:#?}");
}

#[test]
fn an_attestation_without_anyone_to_inherit_from_is_refused_at_load() {
    let yaml = fixture("kyverno-signatures-and-sbom.yaml");
    let lonely = yaml.replacen("registry.example.com/*", "other.example.com/*", 1);
    let error = PolicySet::load(&[("p.yaml", lonely.as_bytes())]).unwrap_err();
    assert_eq!(error.code(), "policy-attestation-without-signer");
    assert_eq!(error.place().path, "spec.rules[1].verifyImages[0].attestations[0]");
}

/// The same shape with a key and a bill that is there: conditions are Kyverno's, every attestation must meet them.
#[test]
fn conditions_over_the_bill() {
    let with = |operator: &str, value: &str| {
        load(&format!(
            r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: sbom}}
spec:
  validationFailureAction: Enforce
  rules:
    - name: bill
      match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
      verifyImages:
        - imageReferences: ["registry.example.com/*"]
          attestations:
            - type: https://cyclonedx.org/bom
              attestors:
                - entries:
                    - keys:
                        rekor: {{ignoreTlog: true}}
                        publicKeys: |
{}
              conditions:
                - all:
                    - key: "{{{{ components[].name }}}}"
                      operator: {operator}
                      value: {value}
                      message: no banned packages
"#,
            pem("rsa2048")
                .lines()
                .map(|line| format!("                          {line}\n"))
                .collect::<String>()
        ))
    };
    let set = with("AllNotIn", "[banned-package]");
    let bill = proofs(
        "cosign/v3-sign-and-attest-cyclonedx",
        "1.0",
        &verifier(&set.verification_keys()),
    );
    assert_pass(&decide(&set, APP, &bill));
    assert_pass(&decide(&with("AllIn", "[lodash, left-pad]"), APP, &bill));
    let denied = decide(&with("AllNotIn", "[\"lod*\"]"), APP, &bill);
    assert_denied(&denied, "condition-false");
    assert!(
        denied.reasons[0].message.starts_with("no banned packages"),
        "{denied:#?}"
    );
    // What is not in the predicate is an error, not an empty list.
    let other = proofs(
        "cosign/v3-sign-and-attest-vuln",
        "1.0",
        &verifier(&set.verification_keys()),
    );
    assert_eq!(decide(&set, APP, &other).outcome, Outcome::Fail);
}

fn keys(names: &[&str], count: &str, host: &str) -> String {
    let entries: String = names
        .iter()
        .map(|name| {
            let pem: String = pem(name).lines().map(|line| format!("                      {line}\n")).collect();
            format!("                - keys:\n                    rekor: {{ignoreTlog: true}}\n                    publicKeys: |\n{pem}")
        })
        .collect();
    format!(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: k}}\nspec:\n  validationFailureAction: Enforce\n  rules:\n    - name: r\n      match: {{resources: {{kinds: [Pod]}}}}\n      verifyImages:\n        - imageReferences: [\"{host}\"]\n          attestors:\n            - {count}entries:\n{entries}"
    )
}

#[test]
fn entries_are_all_wanted_or_so_many() {
    let two = |count: &str, names: &[&str]| {
        let set = load(&keys(names, count, "registry.example.com/*"));
        let seen = proofs("cosign/two-signers", "1.0", &verifier(&set.verification_keys()));
        decide(&set, APP, &seen).outcome
    };
    assert_eq!(two("", &["p256", "p384"]), Outcome::Pass);
    assert_eq!(two("", &["p256", "p256-other"]), Outcome::Fail);
    assert_eq!(two("count: 1\n              ", &["p256", "p256-other"]), Outcome::Pass);
    assert_eq!(
        two("count: 2\n              ", &["p256", "p256-other", "p384"]),
        Outcome::Pass
    );
    assert_eq!(
        two("count: 0\n              ", &["p256", "p256-other", "p384"]),
        Outcome::Fail
    );
}

#[test]
fn several_keys_in_one_entry_are_several_entries() {
    let both = format!("{}{}", pem("p256"), pem("p256-other"));
    let one = keys(&["p256"], "", "registry.example.com/*");
    let block: String = pem("p256")
        .lines()
        .map(|line| format!("                      {line}\n"))
        .collect();
    let two: String = both
        .lines()
        .map(|line| format!("                      {line}\n"))
        .collect();
    let set = load(&one.replace(&block, &two));
    assert_eq!(set.verification_keys().len(), 2);
    let seen = proofs("cosign/two-signers", "1.0", &verifier(&set.verification_keys()));
    assert_eq!(decide(&set, APP, &seen).outcome, Outcome::Fail);
}

/// Portieris 0.14.2, and Kyverno: a wildcard host must not be found inside a path.
#[test]
fn a_host_wildcard_does_not_reach_into_the_path() {
    let set = load(&keys(&["p256"], "", "*.trusted.com/org/*"));
    assert!(
        set.notes()
            .iter()
            .any(|note| note.text.contains("host is matched on its own"))
    );
    let context = RequestContext::default();
    let concerned = |name: &str| !set.concerns(&ImageRef::parse(name).unwrap(), &context).is_none();
    assert!(concerned("x.trusted.com/org/app"));
    assert!(!concerned("attacker.com/x.trusted.com/org/evil"));
}

#[test]
fn audit_is_kyvernos_default() {
    let yaml = fixture("kyverno-require-signed.yaml");
    let audit = yaml.replace("  validationFailureAction: Enforce\n", "");
    let decision = decide(&load(&audit), "ghcr.io/x/app:1", &keyless("keyless-github"));
    assert_pass(&decision);
    assert_eq!(decision.audit.len(), 1, "{decision:#?}");
    let warned = yaml.replace("validationFailureAction: Enforce", "emitWarning: true");
    let decision = decide(&load(&warned), "ghcr.io/x/app:1", &keyless("keyless-github"));
    assert_pass(&decision);
    assert_eq!(decision.warnings.len(), 1, "{decision:#?}");
}

#[test]
fn skipped_images_are_those_named_beyond_doubt() {
    let yaml = fixture("kyverno-require-signed.yaml").replacen(
        "          attestors:",
        "          skipImageReferences: [\"registry.example.com/base:1.*\"]\n          attestors:",
        1,
    );
    let set = load(&yaml);
    let unsigned = proofs("cosign/unsigned", "1.0", &verifier(&[]));
    assert_pass(&decide_by_tag(&set, "registry.example.com/base:1.2", &unsigned));
    // Whoever writes the reference puts any tag before a digest.
    assert_denied(&decide(&set, "registry.example.com/base:1.2", &unsigned), "unsigned");
    assert_denied(&decide(&set, "registry.example.com/base:2.0", &unsigned), "unsigned");
    assert_denied(&decide(&set, "registry.example.com/base", &unsigned), "unsigned");
}

#[test]
fn patterns_over_tags() {
    let with = |pattern: &str| {
        load(&format!(
            "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: tags}}\nspec:\n  validationFailureAction: Enforce\n  rules:\n    - name: r\n      match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}\n      validate:\n        message: no\n        pattern:\n          spec:\n            =(initContainers):\n              - image: \"{pattern}\"\n            containers:\n              - image: \"{pattern}\"\n"
        ))
    };
    let ask = |set: &PolicySet, name: &str| {
        let image = ImageRef::parse(name).unwrap();
        let proofs = proofs("cosign/unsigned", "1.0", &verifier(&[]));
        set.decide(&proofmark_policy::Question {
            image: &image,
            digest: None,
            proofs: Ok(&proofs),
            index_proofs: None,
            elsewhere: &[],
            held: None,
            context: &RequestContext::default(),
            now: now(),
        })
        .outcome
    };
    let digest = format!("ghcr.io/a@sha256:{}", "a".repeat(64));
    for (pattern, name, outcome) in [
        ("!*:latest", "ghcr.io/a:1", Outcome::Pass),
        ("!*:latest", "ghcr.io/a:latest", Outcome::Fail),
        ("!*:latest", "ghcr.io/a", Outcome::Fail),
        ("!*:latest", digest.as_str(), Outcome::Pass),
        ("*:*", "ghcr.io/a", Outcome::Fail),
        ("*:* & !*:latest", "ghcr.io/a:1", Outcome::Pass),
        ("*:* & !*:latest", "ghcr.io/a:latest", Outcome::Fail),
        (
            "ghcr.io/* | registry.k8s.io/*",
            "registry.k8s.io/pause:3",
            Outcome::Pass,
        ),
        ("ghcr.io/* | registry.k8s.io/*", "docker.io/pause:3", Outcome::Fail),
        ("ghcr.io/* | registry.k8s.io/*", "evil.io/ghcr.io/a:1", Outcome::Fail),
        ("*@sha256:*", digest.as_str(), Outcome::Pass),
        ("*@sha256:*", "ghcr.io/a:1", Outcome::Fail),
    ] {
        assert_eq!(ask(&with(pattern), name), outcome, "{pattern} on {name}");
    }
}

/// A place that could not be read takes nothing away from a signature that was found, and leaves its absence undecided.
#[test]
fn evidence_cut_short_takes_no_signature_away() {
    let cut = |folder: &str, set: &PolicySet| {
        let layout = crate::layout::Layout::open(&root().join(folder));
        let mut evidence = layout.evidence(&layout.resolve("1.0").unwrap());
        evidence.incomplete.push(proofmark_evidence::Incomplete {
            place: "referrers".to_owned(),
            code: "registry-throttled",
            reason: "429".to_owned(),
        });
        verifier(&set.verification_keys()).verify(&evidence, now())
    };
    let set = load(&keys(&["p256"], "", "registry.example.com/*"));
    assert_pass(&decide(&set, APP, &cut("cosign/v3-sign-p256", &set)));
    let undecided = decide(&set, APP, &cut("cosign/unsigned", &set));
    assert_eq!(undecided.outcome, Outcome::Undecided);
    assert_eq!(undecided.reasons[0].code, "evidence-incomplete");
}
