//! What is converted decides as what it was converted from: every policy here, over every layout, both ways.

use std::fs;

use proofmark_policy::{Decision, PolicySet, Question, RequestContext, User, write_yaml};
use proofmark_types::ImageRef;
use serde_json::{Value, json};

use crate::layout::root;
use crate::world::{codes, image, load, now, pem, proofs, verifier};

const LAYOUTS: [&str; 9] = [
    "cosign/unsigned",
    "cosign/two-signers",
    "cosign/v2-sign-annotations",
    "cosign/v2-sign-p256",
    "cosign/v3-attest-all-types",
    "cosign/v3-sign-and-attest-vuln",
    "keyless/keyless-github",
    "keyless/keyless-gitlab",
    "keyless/v3-key-tlog-p256-imp",
];

fn key(name: &str) -> Value {
    json!({"keys": {"publicKeys": pem(name), "rekor": {"ignoreTlog": true}}})
}

fn kyverno(kind: &str, rules: &Value) -> String {
    let namespace = if kind == "Policy" { json!("team-a") } else { Value::Null };
    let mut policy = json!({"apiVersion": "kyverno.io/v1", "kind": kind, "metadata": {"name": "k"}, "spec": {
        "validationFailureAction": "Enforce",
        "validationFailureActionOverrides": [{"action": "Audit", "namespaces": ["dev-*"]}],
        "rules": rules,
    }});
    if !namespace.is_null() {
        policy["metadata"]["namespace"] = namespace;
    }
    policy.to_string()
}

/// Every shape that the model has, from every format.
fn policies() -> Vec<String> {
    let mut all: Vec<String> = [
        "cluster-image-policy.yaml",
        "kyverno-require-signed.yaml",
        "kyverno-signatures-and-sbom.yaml",
    ]
    .iter()
    .map(|name| fs::read_to_string(root().join("policies").join(name)).unwrap())
    .map(|text| {
        text.replace("example-org/example-app", "alpha-corp/payments")
            .replace("example-org", "alpha-corp")
    })
    .collect();
    let signed = json!({"name": "signed", "match": {"any": [{"resources": {"kinds": ["Pod"], "selector": {"matchLabels": {"team": "a*"}}}}]},
    "exclude": {"any": [{"subjects": [{"kind": "ServiceAccount", "namespace": "ops", "name": "x"}, {"kind": "Group", "name": "admins"}]}]},
    "preconditions": {"all": [{"key": "{{ request.object.metadata.labels.team }}", "operator": "NotEquals", "value": "ab"}]},
    "imageExtractors": {"Task": [{"path": "/spec/steps/*/image"}]},
    "verifyImages": [{
        "imageReferences": ["registry.example.com/*", "*.example.com/x?/*:v*"], "skipImageReferences": ["registry.example.com/base/*"],
        "repository": "registry.example.com/signatures",
        "attestors": [{"count": 2, "entries": [key("p256"), {"attestor": {"count": 1, "entries": [key("p384"), key("ed25519")]}}]}],
    }]});
    let attested = json!({"name": "attested", "match": {"resources": {"kinds": ["Pod"]}}, "verifyImages": [{
        "imageReferences": ["registry.example.com/*"], "mutateDigest": false, "verifyDigest": false,
        "attestations": [
            {"name": "scan", "type": "https://cosign.sigstore.dev/attestation/vuln/v1", "attestors": [{"entries": [key("rsa2048")]}],
             "conditions": [{"any": [{"key": "{{ scanner.version }}", "operator": "Equals", "value": "0.5*", "message": "old"}]}]},
            {"name": "vex", "type": "https://openvex.dev/ns", "attestors": [{"entries": [key("rsa2048")]}]},
        ],
        "validate": {"message": "unexplained", "deny": {"conditions": {"any": [{
            "key": "{{ scan.scanner.result.Results[].Vulnerabilities[].VulnerabilityID }}", "operator": "AnyNotIn",
            "value": "{{ vex.statements[].vulnerability.name }}"}]}}},
    }]});
    let reference = json!({"name": "reference", "match": {"resources": {"kinds": ["Pod"]}}, "validate": {"message": "no", "pattern": {"spec": {
        "X(ephemeralContainers)": "null", "^(initContainers)": [{"image": "registry.example.com/*"}],
        "containers": [{"image": "registry.example.com/* & !*:latest | docker.io/*"}]}}}});
    let denied = json!({"name": "denied", "match": {"resources": {"kinds": ["Pod"]}}, "validate": {"deny": {"conditions": {"any": [
        {"key": "{{ images.containers.*.tag }}", "operator": "AnyIn", "value": ["1.0"]}]}}}});
    let keyless = json!({"name": "keyless", "match": {"resources": {"kinds": ["Pod"]}}, "verifyImages": [{
        "image": "registry.example.com/*", "subject": "https://github.com/alpha-corp/*", "issuer": "https://token.*",
        "additionalExtensions": {"githubWorkflowRef": "refs/heads/*"}}]});
    all.push(kyverno("ClusterPolicy", &json!([signed, attested])));
    all.push(kyverno("ClusterPolicy", &json!([reference])));
    all.push(kyverno("ClusterPolicy", &json!([denied])));
    all.push(kyverno("Policy", &json!([keyless])));
    all.push(sigstore());
    all.push(native());
    all
}

fn sigstore() -> String {
    json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "s"}, "spec": {
        "mode": "warn",
        "images": [{"glob": "**app**"}, {"glob": "*"}],
        "match": [{"group": "", "version": "v1", "resource": "pods"}, {"resource": "jobs", "selector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}],
        "authorities": [
            {"name": "cue", "key": {"data": pem("rsa2048")}, "attestations": [{"name": "scan", "predicateType": "vuln", "policy": {"type": "cue",
                "data": "predicate: scanner: version: =~\"^0\"\n"}}]},
            {"name": "rego", "key": {"data": pem("p256")}, "attestations": [{"name": "scan", "predicateType": "vuln", "policy": {"type": "rego",
                "data": "package sigstore\ndefault isCompliant = false\nisCompliant { input.predicate.scanner.version == \"0.58.0\" }\n"}}]},
            {"name": "keys", "key": {"data": format!("{}{}", pem("p384"), pem("ed25519"))}, "rfc3161timestamp": {}},
            {"static": {"action": "fail", "message": "not here"}},
        ],
    }})
    .to_string()
}

fn native() -> String {
    json!({"apiVersion": "proofmark.dev/v1alpha1", "kind": "ImagePolicy", "metadata": {"name": "n"}, "spec": {
        "match": {"images": ["registry.example.com/**"], "exclude": ["registry.example.com/x/*"], "namespaces": ["prod*"], "excludeNamespaces": ["prod-z"], "kinds": ["Pod"]},
        "mode": "audit", "onUnreachable": "allow-held", "registries": ["registry.example.com/**"], "requireDigest": true,
        "signatures": {"count": 2, "requireLog": false, "signers": [{"key": pem("p256")}, {"key": pem("p384")},
            {"keyless": {"issuer": "https://a", "subject": "a@b", "subjectKind": "email", "github": {"ref": "refs/heads/main"}}}]},
        "attestations": [{"type": "vuln", "every": true, "condition": "predicate.scanner.version == \"0.58.0\""}],
    }})
    .to_string()
}

fn ask(set: &PolicySet, layout: &str, name: &str, context: &RequestContext<'_>) -> Decision {
    let proofs = proofs(layout, "1.0", &verifier(&set.verification_keys()));
    let reference = ImageRef::parse(name).unwrap();
    let pinned = image(name, proofs.subject());
    set.decide(&Question {
        image: if name.contains("tagged") { &reference } else { &pinned },
        digest: Some(proofs.subject()),
        proofs: Ok(&proofs),
        index_proofs: None,
        elsewhere: &[],
        held: None,
        context,
        now: now(),
    })
}

/// Reasons and proofs, without the names of the rules.
fn told(decision: &Decision) -> (String, Vec<String>, Vec<String>, usize, Vec<String>) {
    let mut accepted: Vec<String> = decision
        .accepted
        .iter()
        .map(|one| format!("{} {} {}", one.demand, one.signer, one.origin))
        .collect();
    accepted.sort();
    let mut reasons: Vec<String> = decision
        .reasons
        .iter()
        .map(|reason| format!("{:?} {} {}", reason.mode, reason.code, reason.undecided))
        .collect();
    reasons.sort();
    (
        decision.outcome.to_string(),
        codes(decision),
        accepted,
        decision.warnings.len(),
        reasons,
    )
}

/// The same question to both.
fn compare(
    before: &PolicySet,
    after: &PolicySet,
    layout: &str,
    name: &str,
    context: &RequestContext<'_>,
) -> proofmark_policy::Outcome {
    let (first, second) = (ask(before, layout, name, context), ask(after, layout, name, context));
    assert_eq!(told(&first), told(&second), "{layout} {name} {context:?}");
    let concerns = |set: &PolicySet| {
        let concern = set.concerns(&ImageRef::parse(name).unwrap(), context);
        (
            concern.needs_digest,
            concern.needs_evidence,
            concern.pin,
            concern.sources,
        )
    };
    assert_eq!(concerns(before), concerns(after), "{name}");
    first.outcome
}

#[test]
fn what_is_converted_decides_the_same() {
    let object = json!({"metadata": {"labels": {"team": "ab"}}, "spec": {"containers": [{"image": "registry.example.com/app:1"}]}});
    let other = json!({"metadata": {"labels": {"team": "ax"}}, "spec": {"initContainers": [{"image": "registry.example.com/i:1"}], "containers": []}});
    let admins = ["admins".to_owned()];
    let contexts = [
        RequestContext {
            kind: Some("Pod"),
            namespace: Some("prod"),
            object: Some(&object),
            ..RequestContext::default()
        },
        RequestContext {
            kind: Some("Pod"),
            namespace: Some("dev-1"),
            object: Some(&other),
            ..RequestContext::default()
        },
        RequestContext {
            kind: Some("Pod"),
            namespace: Some("team-a"),
            object: Some(&other),
            user: Some(User {
                name: "a",
                groups: &admins,
            }),
            ..RequestContext::default()
        },
        RequestContext {
            kind: Some("Job"),
            ..RequestContext::default()
        },
    ];
    let names = [
        "registry.example.com/app:1.0",
        "registry.example.com/tagged/app",
        "nginx:1.25",
        "registry.example.com/base/x:1",
        "attacker.com/registry.example.com/app:1.0",
    ];
    let mut compared = 0;
    let mut outcomes = std::collections::BTreeSet::new();
    for text in policies() {
        let before = load(&text);
        let documents = before.convert().unwrap();
        let yaml: Vec<String> = documents.iter().map(write_yaml).collect();
        let yaml = yaml.join("---\n");
        let after =
            PolicySet::load(&[("converted.yaml", yaml.as_bytes())]).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        assert_eq!(after.convert().unwrap(), documents, "converted twice");
        assert_eq!(after.verification_keys().len(), before.verification_keys().len());
        assert_eq!(after.image_places().len(), before.image_places().len());
        for layout in LAYOUTS {
            for name in names {
                for context in &contexts {
                    outcomes.insert(compare(&before, &after, layout, name, context));
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(
        (compared, outcomes.len()),
        (9 * 9 * 5 * 4, 3),
        "every outcome is among them"
    );
}

/// Rego and CUE of a ClusterImagePolicy: one good and one bad reading of the same statement each.
#[test]
fn policies_over_attestations_decide() {
    let context = RequestContext {
        kind: Some("Pod"),
        ..RequestContext::default()
    };
    let with = |from: &str, to: &str| {
        let text = sigstore()
            .replace("\"mode\":\"warn\"", "\"mode\":\"enforce\"")
            .replace(from, to);
        let set = load(&text);
        let rsa = ask(
            &set,
            "cosign/v3-attest-all-types",
            "registry.example.com/app:1.0",
            &context,
        );
        let p256 = ask(
            &set,
            "cosign/v3-sign-and-attest-vuln",
            "registry.example.com/app:1.0",
            &context,
        );
        (codes(&rsa), codes(&p256))
    };
    assert_eq!(with("nothing", "x"), (vec![], vec![]));
    let (cue, rego) = with("=~\\\"^0\\\"", "=~\\\"^1\\\"");
    assert!(
        cue.contains(&"condition-false".to_owned()) && rego.is_empty(),
        "{cue:?} {rego:?}"
    );
    let (cue, rego) = with("0.58.0", "0.59.0");
    assert!(
        cue.is_empty() && rego.contains(&"condition-false".to_owned()),
        "{cue:?} {rego:?}"
    );
}
