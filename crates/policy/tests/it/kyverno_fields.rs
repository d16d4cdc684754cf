//! The fields of Kyverno's ClusterPolicy that say when a rule holds, who counts and what must not hold: each with a case
//! that is let through and one that is not.

use std::collections::BTreeMap;

use proofmark_policy::{Decision, Outcome, PolicySet, Question, RequestContext, User};
use proofmark_types::ImageRef;
use proofmark_verify::Proofs;
use serde_json::{Value, json};

use crate::world::{assert_denied, assert_pass, codes, decide, image, load, now, pem, proofs, verifier};

const APP: &str = "registry.example.com/app:1.0";

/// A policy of one rule.
fn policy(rule: &Value) -> Value {
    let mut whole = json!({"name": "r", "match": {"resources": {"kinds": ["Pod"]}}});
    let (Some(fields), Some(own)) = (whole.as_object_mut(), rule.as_object()) else {
        unreachable!()
    };
    fields.extend(own.clone());
    json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "k"},
        "spec": {"validationFailureAction": "Enforce", "rules": [whole]}})
}

fn set(rule: &Value) -> PolicySet {
    load(&policy(rule).to_string())
}

fn signed_by(entries: &Value) -> Value {
    json!({"verifyImages": [{"imageReferences": ["registry.example.com/*"], "attestors": [entries]}]})
}

fn key(name: &str) -> Value {
    json!({"keys": {"publicKeys": pem(name), "rekor": {"ignoreTlog": true}}})
}

fn of(set: &PolicySet, layout: &str) -> Proofs {
    proofs(&format!("cosign/{layout}"), "1.0", &verifier(&set.verification_keys()))
}

/// Decides in a Pod of which something is known.
fn within(set: &PolicySet, proofs: &Proofs, context: RequestContext<'_>) -> Decision {
    let context = RequestContext {
        kind: Some("Pod"),
        ..context
    };
    let image = image(APP, proofs.subject());
    ask(set, &image, proofs, &context)
}

fn ask(set: &PolicySet, image: &ImageRef, proofs: &Proofs, context: &RequestContext<'_>) -> Decision {
    set.decide(&Question {
        image,
        digest: Some(proofs.subject()),
        proofs: Ok(proofs),
        index_proofs: None,
        elsewhere: &[],
        held: None,
        context,
        now: now(),
    })
}

/// Two of: this key, and any one of those two. A nested set counts once, whoever satisfies it.
#[test]
fn a_nested_set_counts_as_one_entry() {
    let entries = |nested: &[&str], inner: usize, count: usize| {
        let nested: Vec<Value> = nested.iter().map(|name| key(name)).collect();
        signed_by(&json!({"count": count, "entries": [
            key("p256"), {"attestor": {"count": inner, "entries": nested}},
        ]}))
    };
    let two = |rule: &Value| {
        let set = set(rule);
        decide(&set, APP, &of(&set, "two-signers"))
    };
    // two-signers carries p256, p384 and rsa2048.
    assert_pass(&two(&entries(&["rsa2048", "ed25519"], 1, 2)));
    assert_denied(&two(&entries(&["rsa2048", "ed25519"], 2, 2)), "key-mismatch");
    assert_denied(&two(&entries(&["p256-other", "ed25519"], 1, 2)), "key-mismatch");
    assert_pass(&two(&entries(&["p256-other", "ed25519"], 1, 1)));
    // One signer is not two, although it satisfies the entry and the nested set.
    let set = set(&entries(&["p256", "ed25519"], 1, 2));
    assert_denied(&decide(&set, APP, &of(&set, "two-signers")), "key-mismatch");
}

#[test]
fn nested_sets_are_bounded() {
    let mut nested = json!({"entries": [key("p256")]});
    for _ in 0..4 {
        nested = json!({"entries": [{"attestor": nested}]});
    }
    let deep = policy(&signed_by(&nested)).to_string();
    assert!(
        PolicySet::load(&[("p", deep.as_bytes())])
            .unwrap_err()
            .to_string()
            .contains("four deep")
    );
    let names = [
        "p256",
        "p384",
        "rsa2048",
        "ed25519",
        "p256-other",
        "p256-imp",
        "p256-v2",
    ];
    let half: Vec<Value> = names
        .iter()
        .map(|_| json!({"attestor": {"count": 1, "entries": names.map(key)}}))
        .take(3)
        .collect();
    let many = policy(&signed_by(&json!({"entries": half}))).to_string();
    assert!(
        PolicySet::load(&[("p", many.as_bytes())])
            .unwrap_err()
            .to_string()
            .contains("64 ways")
    );
}

#[test]
fn the_action_is_overridden_by_namespace() {
    let mut policy = policy(&signed_by(&json!({"entries": [key("p256")]})));
    policy["spec"]["validationFailureAction"] = json!("Audit");
    policy["spec"]["validationFailureActionOverrides"] = json!([
        {"action": "Enforce", "namespaces": ["prod-*"]},
        {"action": "Enforce", "namespaceSelector": {"matchLabels": {"env": "prod"}}},
    ]);
    let set = load(&policy.to_string());
    let unsigned = of(&set, "unsigned");
    let labels = |env: &str| BTreeMap::from([("env".to_owned(), env.to_owned())]);
    let (dev, prod) = (labels("dev"), labels("prod"));
    for (namespace, labels, outcome) in [
        (Some("prod-a"), None, Outcome::Fail),
        (Some("dev"), Some(&dev), Outcome::Pass),
        (Some("dev"), Some(&prod), Outcome::Fail),
        // Nobody knows the labels: the stricter of what is possible.
        (Some("dev"), None, Outcome::Fail),
        (None, None, Outcome::Fail),
    ] {
        let context = RequestContext {
            namespace,
            namespace_labels: labels,
            ..RequestContext::default()
        };
        assert_eq!(
            within(&set, &unsigned, context).outcome,
            outcome,
            "{namespace:?} {labels:?}"
        );
    }
}

#[test]
fn preconditions_decide_where_they_can() {
    let mut rule = signed_by(&json!({"entries": [key("p256")]}));
    rule["preconditions"] = json!({"all": [
        {"key": "{{ request.object.metadata.labels.verify || 'yes' }}", "operator": "NotEquals", "value": "no"},
        {"key": "{{ request.operation }}", "operator": "AnyIn", "value": ["CREATE", "UPDATE"]},
    ]});
    let set = set(&rule);
    let unsigned = of(&set, "unsigned");
    let create = Some(proofmark_policy::Operation::Create);
    let labelled = |value: &str| json!({"metadata": {"labels": {"verify": value}}});
    let (yes, no, none) = (labelled("yes"), labelled("no"), json!({"metadata": {}}));
    for (object, operation, concerned) in [
        (Some(&yes), create, true),
        (Some(&no), create, false),
        (Some(&none), create, true),
        // What cannot be evaluated leaves the rule in force.
        (Some(&yes), None, true),
        (None, create, true),
    ] {
        let context = RequestContext {
            object,
            operation,
            kind: Some("Pod"),
            ..RequestContext::default()
        };
        let concern = set.concerns(&image(APP, unsigned.subject()), &context);
        assert_eq!(!concern.is_none(), concerned, "{object:?} {operation:?}");
    }
}

#[test]
fn users_and_labels_narrow_a_rule() {
    let mut rule = signed_by(&json!({"entries": [key("p256")]}));
    rule["match"] = json!({"any": [{"resources": {"kinds": ["Pod"], "selector": {"matchExpressions": [
        {"key": "team", "operator": "In", "values": ["a", "b"]}]}}}]});
    rule["exclude"] =
        json!({"any": [{"subjects": [{"kind": "ServiceAccount", "namespace": "ops", "name": "deployer"}]}]});
    let set = set(&rule);
    let unsigned = of(&set, "unsigned");
    let (ours, theirs) = (
        json!({"metadata": {"labels": {"team": "a"}}}),
        json!({"metadata": {"labels": {"team": "z"}}}),
    );
    let user = |name| Some(User { name, groups: &[] });
    for (object, user, concerned) in [
        (&ours, user("alice"), true),
        (&ours, user("system:serviceaccount:ops:deployer"), false),
        (&ours, user("system:serviceaccount:dev:deployer"), true),
        (&ours, None, true),
        (&theirs, user("alice"), false),
    ] {
        let context = RequestContext {
            object: Some(object),
            user,
            kind: Some("Pod"),
            ..RequestContext::default()
        };
        let concern = set.concerns(&image(APP, unsigned.subject()), &context);
        assert_eq!(!concern.is_none(), concerned, "{object} {user:?}");
    }
}

/// Conditions over `images.*` deny; what cannot be evaluated denies too.
#[test]
fn deny_asks_about_each_image() {
    let denied = |key: &str, operator: &str, value: Value| {
        set(
            &json!({"validate": {"message": "not from here", "deny": {"conditions": {"any": [
            {"key": key, "operator": operator, "value": value}]}}}}),
        )
    };
    let registries = denied(
        "{{ images.[containers, initContainers, ephemeralContainers][].*.registry[] }}",
        "AnyNotIn",
        json!(["ghcr.io", "docker.io"]),
    );
    let latest = denied("{{ images.containers.*.tag }}", "AnyIn", json!(["latest"]));
    let library = denied("{{ images.containers.*.path }}", "AnyIn", json!(["nginx"]));
    let broken = denied("{{ images.containers.*.size }}", "GreaterThan", json!(1));
    let proofs = of(&registries, "unsigned");
    for (set, name, code) in [
        (&registries, "ghcr.io/a/b:1", None),
        (&registries, "nginx:1", None),
        (&registries, "quay.io/a/b:1", Some("image-denied")),
        (&registries, "quay.io/ghcr.io/b:1", Some("image-denied")),
        (&latest, "ghcr.io/a/b:1", None),
        (&latest, "ghcr.io/a/b", Some("image-denied")),
        (&latest, "ghcr.io/a/b:latest", Some("image-denied")),
        // Both spellings of one repository are denied.
        (&library, "nginx:1", Some("image-denied")),
        (&library, "docker.io/library/nginx:1", Some("image-denied")),
        (&library, "docker.io/library/redis:1", None),
        (&broken, "ghcr.io/a/b:1", Some("condition-error")),
    ] {
        let object = json!({"spec": {"containers": [{"name": "a", "image": name}]}});
        let context = RequestContext {
            kind: Some("Pod"),
            object: Some(&object),
            ..RequestContext::default()
        };
        let decision = ask(set, &ImageRef::parse(name).unwrap(), &proofs, &context);
        match code {
            None => assert_pass(&decision),
            Some(code) => assert_denied(&decision, code),
        }
    }
    // Two conditions may be met by two images, and some count them: without the Pod nobody knows.
    let both = set(&json!({"validate": {"deny": {"conditions": {"all": [
        {"key": "{{ images.containers.*.registry }}", "operator": "AnyIn", "value": ["quay.io"]},
        {"key": "{{ images.containers.*.tag }}", "operator": "AnyIn", "value": ["latest"]}]}}}}));
    let many = denied("{{ length(images.containers.*.name) }}", "GreaterThan", json!(1));
    let pod = |images: &[&str]| {
        let list: Vec<Value> = images
            .iter()
            .map(|image| json!({"name": image, "image": image}))
            .collect();
        json!({"spec": {"containers": list}})
    };
    let name = "quay.io/a/b:1";
    for (set, object, expected) in [
        (&both, Some(pod(&[name, "ghcr.io/x/y"])), vec!["image-denied"]),
        (&both, Some(pod(&[name])), vec![]),
        (&both, None, vec!["object-unknown"]),
        (&many, Some(pod(&[name, "ghcr.io/x/y:1"])), vec!["image-denied"]),
        (&many, Some(pod(&[name])), vec![]),
    ] {
        let context = RequestContext {
            kind: Some("Pod"),
            object: object.as_ref(),
            ..RequestContext::default()
        };
        let decision = ask(set, &ImageRef::parse(name).unwrap(), &proofs, &context);
        assert_eq!(codes(&decision), expected, "{object:?}");
    }
}

#[test]
fn anchors_say_what_must_and_must_not_be_in_a_list() {
    let set = set(&json!({"validate": {"pattern": {"spec": {"template": {"spec": {
        "X(ephemeralContainers)": "null",
        "^(containers)": [{"image": "registry.example.com/proxy:*"}],
        "=(initContainers)": [{"image": "registry.example.com/*"}],
    }}}}}}));
    let proofs = of(&set, "unsigned");
    let pod = |containers: &[&str], ephemeral: &[&str]| {
        let list = |images: &[&str]| images.iter().map(|image| json!({"image": image})).collect::<Vec<_>>();
        json!({"spec": {"containers": list(containers), "ephemeralContainers": list(ephemeral)}})
    };
    let (proxy, other) = ("registry.example.com/proxy:1", "registry.example.com/app:1");
    for (object, name, expected) in [
        (Some(pod(&[proxy, other], &[])), other, vec![]),
        (Some(pod(&[other], &[])), other, vec!["image-missing"]),
        (Some(pod(&[proxy], &[other])), other, vec!["list-not-allowed"]),
        (Some(pod(&[proxy], &[])), "ghcr.io/x/y:1", vec!["image-not-allowed"]),
    ] {
        let context = RequestContext {
            kind: Some("Pod"),
            object: object.as_ref(),
            ..RequestContext::default()
        };
        let decision = ask(&set, &ImageRef::parse(name).unwrap(), &proofs, &context);
        assert_eq!(codes(&decision), expected, "{object:?}");
    }
    let context = RequestContext {
        kind: Some("Pod"),
        ..RequestContext::default()
    };
    let unknown = ask(&set, &ImageRef::parse(other).unwrap(), &proofs, &context);
    assert_eq!(unknown.outcome, Outcome::Undecided);
    assert_eq!(codes(&unknown), ["object-unknown"]);
}

/// A scan beside what the vendor says of its findings, both by one signer.
#[test]
fn deny_across_attestations() {
    let rule = |types: &[(&str, &str)], value: &str| {
        let attestations: Vec<Value> = types
            .iter()
            .map(|(name, kind)| json!({"name": name, "type": kind, "attestors": [{"entries": [key("rsa2048")]}]}))
            .collect();
        set(&json!({"verifyImages": [{
            "imageReferences": ["registry.example.com/*"],
            "attestations": attestations,
            "validate": {"message": "unexplained findings", "deny": {"conditions": {"any": [{
                "key": "{{ scan.scanner.result.Results[].Vulnerabilities[].VulnerabilityID }}",
                "operator": "AnyNotIn",
                "value": value,
            }]}}},
        }]}))
    };
    const SCAN: (&str, &str) = ("scan", "https://cosign.sigstore.dev/attestation/vuln/v1");
    const VEX: (&str, &str) = ("vex", "https://openvex.dev/ns");
    let explained = rule(&[SCAN, VEX], "{{ vex.statements[].vulnerability.name }}");
    assert_pass(&decide(&explained, APP, &of(&explained, "v3-attest-all-types")));
    let other = rule(&[SCAN, VEX], "{{ vex.statements[].status }}");
    let denied = decide(&other, APP, &of(&other, "v3-attest-all-types"));
    assert_denied(&denied, "condition-false");
    assert!(
        denied.reasons[0].message.starts_with("unexplained findings"),
        "{denied:#?}"
    );
    // Without the one there is nothing that could explain the other.
    let missing = decide(&explained, APP, &of(&explained, "v3-sign-and-attest-vuln"));
    assert_eq!(missing.outcome, Outcome::Fail);
    let absent = rule(&[SCAN, VEX], "{{ vex.nothing }}");
    assert_denied(
        &decide(&absent, APP, &of(&absent, "v3-attest-all-types")),
        "condition-error",
    );
}

#[test]
fn the_old_spelling_is_read_as_kyverno_converts_it() {
    let rule = |name: &str| set(&json!({"verifyImages": [{"image": "registry.example.com/*", "key": pem(name)}]}));
    // The log is wanted, as where rekor is not written.
    let good = rule("p256-imp");
    assert_pass(&decide(
        &good,
        APP,
        &proofs(
            "keyless/v3-key-tlog-p256-imp",
            "1.0",
            &verifier(&good.verification_keys()),
        ),
    ));
    let logless = rule("p256-v2");
    assert_denied(
        &decide(&logless, APP, &of(&logless, "v2-sign-p256")),
        "log-entry-missing",
    );
    let keyless = set(&json!({"verifyImages": [{
        "image": "registry.example.com/*",
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": "https://github.com/alpha-corp/payments/*",
    }]}));
    let github = proofs("keyless/keyless-github", "1.0", &verifier(&[]));
    assert_pass(&decide(&keyless, APP, &github));
    assert_denied(
        &decide(&keyless, APP, &proofs("keyless/keyless-gitlab", "1.0", &verifier(&[]))),
        "issuer-mismatch",
    );
    // Every attestation, and not the first alone.
    let attested = set(&json!({"verifyImages": [{
        "imageReferences": ["registry.example.com/*"], "key": pem("p256"),
        "attestations": [{"predicateType": "https://spdx.dev/Document"}, {"predicateType": "https://openvex.dev/ns"}],
    }]}));
    let denied = decide(&attested, APP, &of(&attested, "v3-sign-and-attest-spdxjson"));
    assert_denied(&denied, "predicate-type-mismatch");
    assert!(attested.notes().iter().any(|note| note.text.contains("old spelling")));
}

#[test]
fn a_policy_says_something_about_its_own_namespace() {
    let mut policy = policy(&signed_by(&json!({"entries": [key("p256")]})));
    policy["kind"] = json!("Policy");
    policy["metadata"]["namespace"] = json!("team-a");
    let set = load(&policy.to_string());
    assert_eq!(
        (set.summaries()[0].name.as_str(), set.summaries()[0].kind),
        ("team-a/k", "Policy")
    );
    let unsigned = of(&set, "unsigned");
    for (namespace, concerned) in [(Some("team-a"), true), (Some("team-b"), false), (None, true)] {
        let context = RequestContext {
            namespace,
            kind: Some("Pod"),
            ..RequestContext::default()
        };
        let concern = set.concerns(&image(APP, unsigned.subject()), &context);
        assert_eq!(!concern.is_none(), concerned, "{namespace:?}");
    }
    // It reads no Secret of others, by whichever spelling.
    for keys in [
        json!({"secret": {"name": "k", "namespace": "team-b"}}),
        json!({"publicKeys": "k8s://team-b/k"}),
    ] {
        let mut foreign = policy.clone();
        foreign["spec"]["rules"][0] = json!({"name": "r", "match": {"resources": {"kinds": ["Pod"]}}});
        let rule = signed_by(&json!({"entries": [{"keys": keys}]}));
        foreign["spec"]["rules"][0]["verifyImages"] = rule["verifyImages"].clone();
        let error = PolicySet::load(&[("p", foreign.to_string().as_bytes())]).unwrap_err();
        assert_eq!(error.code(), "policy-field-unsupported", "{error}");
        assert!(error.to_string().contains("its own namespace"), "{error}");
    }
}

/// Evidence of another repository counts as that of the image's own; one that cannot be read is no pass.
#[test]
fn another_repository_is_looked_at() {
    let mut rule = signed_by(&json!({"entries": [key("p256-v2")]}));
    rule["verifyImages"][0]["repository"] = json!("registry.example.com/signatures");
    let set = set(&rule);
    let signed = of(&set, "v2-sign-p256");
    let image = image(APP, signed.subject());
    let context = RequestContext {
        kind: Some("Pod"),
        ..RequestContext::default()
    };
    let sources: Vec<String> = set
        .concerns(&image, &context)
        .sources
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(sources, ["registry.example.com/signatures"]);
    let nothing = verifier(&[]).verify(&proofmark_evidence::EvidenceSet::new(signed.subject().clone()), now());
    let down = proofmark_policy::Unavailable {
        code: "unreachable".to_owned(),
        reason: "no route".to_owned(),
    };
    let ask = |elsewhere: &[Result<&Proofs, &proofmark_policy::Unavailable>]| {
        set.decide(&Question {
            image: &image,
            digest: Some(signed.subject()),
            proofs: Ok(&nothing),
            index_proofs: None,
            elsewhere,
            held: None,
            context: &context,
            now: now(),
        })
    };
    assert_pass(&ask(&[Ok(&signed)]));
    assert_denied(&ask(&[Ok(&nothing)]), "unsigned");
    assert_denied(&ask(&[]), "unsigned");
    assert_eq!(ask(&[Err(&down)]).outcome, Outcome::Undecided);
    let stranger = of(&set, "v2-sign-p384");
    assert_ne!(ask(&[Ok(&stranger)]).outcome, Outcome::Pass, "proofs of another digest");
}

#[test]
fn places_and_credentials_are_kept_for_the_webhook() {
    let mut rule = signed_by(&json!({"entries": [key("p256")]}));
    rule["match"]["resources"]["kinds"] = json!(["tekton.dev/v1/Task"]);
    rule["imageExtractors"] = json!({"Task": [
        {"path": "/spec/steps/*/image"},
        {"name": "sidecars", "key": "name", "path": "/spec/sidecars/*/", "value": "image"},
    ]});
    rule["verifyImages"][0]["imageRegistryCredentials"] =
        json!({"allowInsecureRegistry": true, "providers": ["amazon"], "secrets": ["pull", "ops/pull"]});
    let set = set(&rule);
    let places: Vec<(String, String)> = set
        .image_places()
        .into_iter()
        .map(|place| (place.kind, place.path))
        .collect();
    let task = |path: &str| ("Task".to_owned(), path.to_owned());
    assert_eq!(places, [task("/spec/steps/*/image"), task("/spec/sidecars/*/image")]);
    let wish = &set.credentials()[0];
    assert_eq!(
        (wish.providers.as_slice(), wish.secrets.len()),
        (["amazon".to_owned()].as_slice(), 2)
    );
    assert!(
        set.notes()
            .iter()
            .any(|note| note.text.contains("no policy turns TLS off"))
    );
}
