//! `PolicyException`: what it leaves alone, what it does not, and that it is always said.

use proofmark_policy::{NoMatch, PolicySet, RequestContext};
use serde_json::json;

use crate::image_validating::{PLAIN, SIGNED, Scene, policy};
use crate::world::{assert_denied, assert_pass, decide_by_tag, load, pem, proofs, verifier};

const APP: &str = "registry.example.com/app:1.0";

fn with(exception: &str) -> PolicySet {
    let text = format!(
        "{}---\napiVersion: policies.kyverno.io/v1\nkind: PolicyException\nmetadata: {{name: skip, namespace: ops}}\nspec:\n  {exception}\n",
        policy(&format!("{PLAIN}{SIGNED}"))
    );
    load(&text)
}

const REFS: &str = "policyRefs: [{kind: ImageValidatingPolicy, name: check-images}]";
const WEB: &str = "matchConditions: [{name: web, expression: \"object.metadata.name == 'web'\"}]";

fn unsigned(set: &PolicySet) -> Scene {
    Scene::pod(set, APP, "cosign/unsigned")
}

#[test]
fn an_exception_that_applies_is_reported_everywhere() {
    let set = with(&format!("{REFS}\n  {WEB}"));
    let decision = unsigned(&set).decide(&set);
    assert_pass(&decision);
    assert_eq!(
        decision.exceptions,
        ["exception ops/skip from check-images: the whole object"]
    );
    assert_eq!(decision.warnings, decision.exceptions);
    assert_eq!(decision.audit["exceptions"], decision.exceptions[0]);
    assert_eq!(decision.policies, ["check-images"]);
    // Its twins: another object, another policy, another kind, an expression that fails.
    let api = unsigned(&set).with("/metadata/name", json!("api"));
    assert_denied(&api.decide(&set), "validation-failed");
    for other in [
        REFS.replace("check-images", "other"),
        REFS.replace("kind: ImageValidatingPolicy", "kind: NamespacedImageValidatingPolicy"),
    ] {
        let set = with(&format!("{other}\n  {WEB}"));
        assert_denied(&unsigned(&set).decide(&set), "validation-failed");
        let notes: Vec<String> = set.notes().into_iter().map(|note| note.text).collect();
        assert!(
            notes.iter().any(|note| note.contains("not among these policies")),
            "{notes:?}"
        );
    }
    let set = with(&format!(
        "{REFS}\n  {}",
        WEB.replace("metadata.name", "metadata.nothing")
    ));
    assert_denied(&unsigned(&set).decide(&set), "validation-failed");
}

#[test]
fn an_exception_ends() {
    for (expires, excepted) in [
        ("2026-12-01T00:00:00Z", true),
        ("2026-11-21T11:59:59Z", false),
        ("2026-11-21T12:00:00Z", false),
    ] {
        let set = with(&format!("{REFS}\n  expiresAt: \"{expires}\""));
        let decision = unsigned(&set).decide(&set);
        assert_eq!(decision.is_pass(), excepted, "{expires}: {decision:#?}");
        assert_eq!(decision.exceptions.is_empty(), !excepted);
    }
    let set = with(REFS);
    let notes: Vec<String> = set.notes().into_iter().map(|note| note.text).collect();
    for part in ["no matchConditions", "no expiresAt"] {
        assert!(notes.iter().any(|note| note.contains(part)), "{notes:?}");
    }
}

/// An exception from a policy that says nothing about images leaves nothing alone here.
#[test]
fn an_exception_from_policies_of_other_kinds_means_nothing() {
    let set = with("policyRefs: [{kind: ValidatingPolicy, name: check-images}]");
    assert_denied(&unsigned(&set).decide(&set), "validation-failed");
    let notes: Vec<String> = set.notes().into_iter().map(|note| note.text).collect();
    assert!(
        notes.iter().any(|note| note.contains("says nothing about images")),
        "{notes:?}"
    );
}

/// In Kyverno an exception with `images` leaves the whole object alone.
#[test]
fn images_of_an_exception_are_left_alone_and_no_others() {
    let set = with(&format!("{REFS}\n  images: [\"registry.example.com/legacy:*\"]"));
    assert_denied(&unsigned(&set).decide(&set), "validation-failed");
    let legacy = "registry.example.com/legacy:1";
    let decision = Scene::pod(&set, legacy, "cosign/unsigned").decide(&set);
    assert_pass(&decision);
    assert_eq!(
        decision.exceptions,
        ["exception ops/skip from check-images: images registry.example.com/legacy:*"]
    );
    let both = unsigned(&set)
        .knows(&set, legacy, "cosign/unsigned")
        .with("/spec/initContainers", json!([{ "image": legacy }]));
    assert_denied(&both.decide(&set), "validation-failed");
}

#[test]
fn values_of_an_exception_are_for_expressions() {
    let text = format!(
        "{}---\napiVersion: policies.kyverno.io/v1beta1\nkind: PolicyException\nmetadata: {{name: values}}\nspec:\n  {REFS}\n  allowedValues: [web]\n",
        policy(&format!(
            "{PLAIN}validations: [{{expression: \"object.metadata.name in exceptions.allowedValues\"}}]\n"
        ))
    );
    let set = load(&text);
    assert_pass(&unsigned(&set).decide(&set));
    assert_denied(
        &unsigned(&set).with("/metadata/name", json!("api")).decide(&set),
        "validation-failed",
    );
}

#[test]
fn what_is_not_read_in_an_exception_is_an_error() {
    for (text, code) in [
        (
            "policyRefs: [{kind: ImagePolicy, name: x}]".to_owned(),
            "policy-value-invalid",
        ),
        (format!("{REFS}\n  expiresAt: tomorrow"), "policy-value-invalid"),
        (format!("{REFS}\n  imagess: [a]"), "policy-field-unknown"),
        (
            format!("{REFS}\n  matchConditions: [{{name: x, expression: \"variables.x\"}}]"),
            "policy-condition-invalid",
        ),
        (format!("{REFS}\n  images: [\"a b\"]"), "policy-image-pattern-invalid"),
    ] {
        let text = format!(
            "apiVersion: policies.kyverno.io/v1\nkind: PolicyException\nmetadata: {{name: skip}}\nspec:\n  {text}\n"
        );
        let error = PolicySet::load(&[("exception.yaml", text.as_bytes())]).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

/// `kyverno.io/v2`: from rules of `ClusterPolicy`.
fn cluster(exception: &str) -> PolicySet {
    let key = pem("p256").replace('\n', "\n                  ");
    let text = format!(
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {{name: check}}\nspec:\n  validationFailureAction: Enforce\n  rules:\n  - name: signed\n    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}\n    verifyImages:\n    - imageReferences: [\"registry.example.com/*\"]\n      mutateDigest: false\n      verifyDigest: false\n      attestors:\n      - entries:\n        - keys:\n            rekor: {{ignoreTlog: true}}\n            publicKeys: |\n                  {key}\n---\napiVersion: kyverno.io/v2\nkind: PolicyException\nmetadata: {{name: legacy, namespace: ops}}\nspec:\n  {exception}\n"
    );
    load(&text)
}

const RULES: &str = "exceptions: [{policyName: check, ruleNames: [signed]}]";
const IN_PROD: &str = "match: {any: [{resources: {kinds: [Pod, Deployment], namespaces: [prod]}}]}";

#[test]
fn an_exception_from_a_rule_of_a_cluster_policy() {
    let set = cluster(&format!("{RULES}\n  {IN_PROD}"));
    let found = proofs("cosign/unsigned", "1.0", &verifier(&set.verification_keys()));
    let decide = |set: &PolicySet, namespace: Option<&str>, kind: &str| {
        let context = RequestContext {
            namespace,
            kind: Some(kind),
            ..RequestContext::default()
        };
        set.decide(&proofmark_policy::Question {
            image: &proofmark_types::ImageRef::parse(APP).unwrap(),
            digest: Some(found.subject()),
            proofs: Ok(&found),
            index_proofs: None,
            elsewhere: &[],
            held: None,
            context: &context,
            now: crate::world::now(),
        })
    };
    for kind in ["Pod", "Deployment"] {
        let decision = decide(&set, Some("prod"), kind);
        assert_pass(&decision);
        assert_eq!(
            decision.exceptions,
            ["exception ops/legacy from check/signed: the whole object"]
        );
    }
    assert_denied(&decide(&set, Some("dev"), "Pod"), "unsigned");
    assert_denied(&decide(&set, Some("prod"), "StatefulSet"), "unsigned");
    // What is not known of the object makes no exception apply.
    assert_denied(&decide(&set, None, "Pod"), "unsigned");
    for (rules, excepted) in [
        ("[autogen-signed]", true),
        ("[sig*]", true),
        ("[autogen-cronjob-signed]", false),
        ("[other]", false),
    ] {
        let set = cluster(&format!("{}\n  {IN_PROD}", RULES.replace("[signed]", rules)));
        assert_eq!(decide(&set, Some("prod"), "Deployment").is_pass(), excepted, "{rules}");
    }
    let other = cluster(&format!("{}\n  {IN_PROD}", RULES.replace("check", "other")));
    assert_denied(&decide(&other, Some("prod"), "Pod"), "unsigned");
    // An exception concerns no image: without policies for it, the default decides.
    let nothing = set.with_no_match(NoMatch::Deny);
    assert_denied(&decide_by_tag(&nothing, "ghcr.io/a/b:1", &found), "no-policy-matched");
}

#[test]
fn an_exception_from_rules_is_read_whole_or_not_at_all() {
    for (text, code) in [
        (
            format!("{RULES}\n  match: {{any: [{{resources: {{kinds: [Pod]}}, clusterRoles: [admin]}}]}}"),
            "policy-field-unsupported",
        ),
        (
            format!("{RULES}\n  {IN_PROD}\n  conditions: {{any: []}}"),
            "policy-field-unsupported",
        ),
        (
            format!("{RULES}\n  {IN_PROD}\n  podSecurity: []"),
            "policy-field-unsupported",
        ),
        (RULES.to_owned(), "policy-field-missing"),
        (IN_PROD.to_owned(), "policy-field-missing"),
    ] {
        let text =
            format!("apiVersion: kyverno.io/v2\nkind: PolicyException\nmetadata: {{name: skip}}\nspec:\n  {text}\n");
        let error = PolicySet::load(&[("exception.yaml", text.as_bytes())]).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}
