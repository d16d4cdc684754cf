//! `ImageValidatingPolicy`, field by field: each is read, or refused by name (CVE-2025-29778: a field that is skipped is a
//! rule that is not enforced).

use proofmark_policy::PolicySet;

use crate::image_validating::{PLAIN, SIGNED, Scene, policy};
use crate::world::{assert_denied, assert_pass, load, pem};

fn refused(text: &str) -> (&'static str, String) {
    match PolicySet::load(&[("policy.yaml", text.as_bytes())]) {
        Ok(_) => panic!("it was accepted: {text}"),
        Err(error) => (error.code(), error.to_string()),
    }
}

fn with(spec: &str) -> String {
    policy(&format!("{PLAIN}{spec}\n  {SIGNED}"))
}

#[track_caller]
fn assert_refused(text: &str, code: &str, part: &str) {
    let (seen, message) = refused(text);
    assert_eq!(seen, code, "{message}");
    assert!(message.contains(part), "expected \"{part}\" in: {message}");
}

#[test]
fn all_versions_are_read() {
    for version in ["v1", "v1beta1", "v1alpha1"] {
        load(&with("").replace("v1beta1", version));
    }
    assert_refused(
        &with("").replace("kyverno.io/v1beta1", "kyverno.io/v2"),
        "policy-kind-unknown",
        "v2",
    );
}

#[test]
fn everything_at_once() {
    let set = load(&with(
        r#"failurePolicy: Fail
  validationActions: [Deny]
  webhookConfiguration: {timeoutSeconds: 20}
  evaluation: {mode: Kubernetes, admission: {enabled: true}, background: {enabled: false}}
  autogen: {podControllers: {controllers: [deployments]}}
  credentials: {allowInsecureRegistry: false, providers: [google], secrets: [pull]}
  matchConditions: [{name: a, expression: "object.metadata.name != ''"}]
  matchImageReferences: [{glob: "ghcr.io/*"}, {expression: "ref.startsWith('quay.io/')"}]
  images: [{name: more, expression: "object.spec.more"}]
  attestations: [{name: sbom, intoto: {type: "https://cyclonedx.org/bom"}}]
  variables: [{name: a, expression: "1"}, {name: b, expression: "variables.a + 1"}]
  auditAnnotations: [{key: env, valueExpression: "string(variables.b)"}]"#,
    ));
    let summary = &set.summaries()[0];
    assert_eq!((summary.kind, summary.rules.len()), ("ImageValidatingPolicy", 1));
    let notes: Vec<String> = set.notes().into_iter().map(|note| note.text).collect();
    for part in [
        "credentials",
        "timeoutSeconds",
        "extractPayload",
        "images.volumes",
        "different signers",
        "background",
    ] {
        assert!(notes.iter().any(|note| note.contains(part)), "{part}: {notes:#?}");
    }
}

/// A policy may only pin, and name nobody; it then must not want every image vouched for.
#[test]
fn nobody_need_be_named() {
    let text = |configuration: &str| {
        format!(
            "apiVersion: policies.kyverno.io/v1\nkind: ImageValidatingPolicy\nmetadata: {{name: pin}}\nspec:\n  matchConstraints:\n    resourceRules: [{{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [pods]}}]\n  attestors: []\n  validationConfigurations: {configuration}\n  validations: [{{expression: \"true\"}}]\n"
        )
    };
    let decide = |configuration: &str| {
        let set = load(&text(configuration));
        Scene::pod(&set, "registry.example.com/app:1.0", "cosign/unsigned").decide(&set)
    };
    assert_pass(&decide("{required: false, verifyDigest: false}"));
    assert_denied(&decide("{required: false}"), "digest-required");
    assert_denied(&decide("{verifyDigest: false}"), "image-not-verified");
}

#[test]
fn unknown_fields_are_errors() {
    for spec in [
        "validationAction: [Deny]",
        "evaluation: {modes: JSON}",
        "autogen: {controllers: []}",
        "credentials: {secret: x}",
        "webhookConfiguration: {timeout: 1}",
        "matchImageReferences: [{globs: x}]",
        "attestations: [{name: a, type: x}]",
        "variables: [{name: a, value: x}]",
    ] {
        assert_eq!(refused(&with(spec)).0, "policy-field-unknown", "{spec}");
    }
    let text = with("");
    for (from, to) in [
        ("  matchConstraints:", "  matchConstraints:\n    namespaceSelectors: {}"),
        (
            "      resources: [pods]",
            "      resources: [pods]\n      resource: pods",
        ),
        ("insecureIgnoreTlog: true", "ignoreTlog: true"),
        ("      key:\n", "      key:\n        algorithm: x\n"),
        ("    message: not", "    messages: not"),
    ] {
        assert!(text.contains(from), "{from}");
        assert_eq!(refused(&text.replacen(from, to, 1)).0, "policy-field-unknown", "{to}");
    }
}

#[test]
fn what_is_not_carried_out_is_refused_by_name() {
    let attestor =
        |cosign: &str| with("").replace("attestors:\n", &format!("attestors:\n  - name: more\n    {cosign}\n"));
    for (cosign, part) in [
        ("notary: {certs: {value: x}}", "Notary"),
        (
            "cosign: {keyless: {identities: [{subject: a, issuer: b}], roots: x}}",
            "trust root",
        ),
        ("cosign: {key: {data: x}, tuf: {mirror: x}}", "trust root"),
        ("cosign: {key: {data: x}, trustedRoot: {value: x}}", "trust root"),
        ("cosign: {certificate: {cert: {value: x}}}", "certificates of one's own"),
        (
            "cosign: {keyless: {identities: [{subjectExpression: x, issuer: b}]}}",
            "not computed",
        ),
        (
            "cosign: {keyless: {identities: [{subject: a, issuer: https://b}], additionalExtensions: {other: x}}}",
            "not an extension",
        ),
        (
            "cosign: {key: {expression: \"variables.key\"}}",
            "when the policies are loaded",
        ),
    ] {
        assert_refused(&attestor(cosign), "policy-field-unsupported", part);
    }
    let key = pem("p256").replace('\n', "\\n");
    for (more, part) in [
        ("source: {repository: ghcr.io/x}", "own repository"),
        ("source: {tagPrefix: x}", "own repository"),
        ("ctlog: {rekorPubKey: x}", "trust root"),
        ("ctlog: {ctLogPubKey: x}", "trust root"),
        ("ctlog: {tsaCertChain: x}", "trust root"),
    ] {
        let cosign = format!("cosign: {{key: {{data: \"{key}\"}}, {more}}}");
        assert_refused(&attestor(&cosign), "policy-field-unsupported", part);
    }
    for (spec, part) in [
        ("evaluation: {mode: JSON}", "only objects of Kubernetes"),
        ("evaluation: {admission: {enabled: false}}", "decides nothing here"),
        ("attestations: [{name: a, referrer: {type: sbom/cyclone-dx}}]", "Notary"),
        (
            "matchImageReferences: [{glob: \"ghcr.io/[ab]/*\"}]",
            "only *, ? and {a,b}",
        ),
        (
            "matchConditions: [{name: a, expression: \"verifyImageSignatures('x', []) > 0\"}]",
            "nothing is known about images yet",
        ),
        (
            "images: [{name: a, expression: \"[getImageData('x').image]\"}]",
            "nothing is known about images yet",
        ),
    ] {
        assert_refused(&with(spec), "policy-field-unsupported", part);
    }
}

/// CVE-2026-4789 (GHSA-rggm-jjmc-3394): `http` in policies of a namespace reached whatever the server reaches.
#[test]
fn cve_2026_4789_nothing_reaches_out() {
    for (expression, part) in [
        ("http.Get('http://169.254.169.254/').x == 1", "CVE-2026-4789"),
        ("http.Post('http://x', {}).ok", "CVE-2026-4789"),
        ("size(http.Client('x').Get('y')) > 0", "CVE-2026-4789"),
        (
            "resource.get('v1', 'configmaps', 'ns', 'x').data.a == 'b'",
            "not looked up",
        ),
        ("resource.List('v1', 'pods', 'ns').items.size() == 0", "not looked up"),
        ("globalContext.get('a', 'b') == 0", "not looked up"),
        ("random() == 'x'", "unknown function"),
        ("generator.apply('x', [])", "not read"),
        ("x509.decode('x').Issuer == ''", "not read"),
        ("authorizer.path('/x').check('get').allowed()", "not looked up"),
        ("getenv('PATH') == ''", "unknown function"),
    ] {
        let quoted = serde_json::json!(expression);
        for text in [
            policy(&format!("{PLAIN}validations: [{{expression: {quoted}}}]")),
            with(&format!("variables: [{{name: a, expression: {quoted}}}]")),
            with(&format!("matchConditions: [{{name: a, expression: {quoted}}}]")),
            with(&format!("matchImageReferences: [{{expression: {quoted}}}]")),
            with(&format!("images: [{{name: a, expression: {quoted}}}]")),
            with(&format!("auditAnnotations: [{{key: a, valueExpression: {quoted}}}]")),
            policy(&format!(
                "{PLAIN}validations: [{{expression: \"true\", messageExpression: {quoted}}}]"
            )),
        ] {
            assert_refused(&text, "policy-condition-invalid", part);
        }
    }
}

#[test]
fn names_that_the_policy_does_not_define_are_errors() {
    for (expression, part) in [
        (
            "verifyImageSignatures(object.x, [attestors.nobody]) > 0",
            "attestors.nobody",
        ),
        (
            "verifyAttestationSignatures(object.x, attestations.sbom, [attestors.release]) > 0",
            "attestations.sbom",
        ),
        ("size(images.steps) > 0", "images.steps"),
        ("variables.missing == 1", "variables.missing"),
        ("variables['missing'] == 1", "variables.missing"),
        ("subject.x == 1", "subject"),
        ("params.x == 1", "no parameters"),
    ] {
        let quoted = serde_json::json!(expression);
        assert_refused(
            &policy(&format!("{PLAIN}validations: [{{expression: {quoted}}}]")),
            "policy-condition-invalid",
            part,
        );
    }
    // A variable sees those before it, and not those behind.
    assert_refused(
        &with("variables: [{name: a, expression: \"variables.b\"}, {name: b, expression: \"1\"}]"),
        "policy-condition-invalid",
        "variables.b",
    );
    assert_refused(
        &policy(&format!(
            "{PLAIN}validations: [{{expression: \"size(variables) > 0\"}}]"
        )),
        "policy-field-unsupported",
        "one by one",
    );
}

#[test]
fn values_that_make_no_sense_are_errors() {
    for (spec, code) in [
        ("validationActions: [Enforce]", "policy-value-invalid"),
        ("validationActions: []", "policy-value-invalid"),
        ("failurePolicy: Maybe", "policy-value-invalid"),
        (
            "autogen: {podControllers: {controllers: [pods]}}",
            "policy-value-invalid",
        ),
        (
            "variables: [{name: a, expression: \"1\"}, {name: a, expression: \"2\"}]",
            "policy-value-invalid",
        ),
        (
            "matchConditions: [{name: a, expression: \"object.(\"}]",
            "policy-condition-invalid",
        ),
        ("matchConditions: [{name: a, expression: \"\"}]", "policy-value-invalid"),
        (
            "matchImageReferences: [{glob: \"ghcr.io/*\", expression: \"true\"}]",
            "policy-value-invalid",
        ),
        (
            "attestations: [{name: a, intoto: {type: \"\"}}]",
            "policy-value-invalid",
        ),
        (
            "variables: [{name: a, expression: \"object.l.all(a, object.l.all(b, object.l.all(c, a == b)))\"}]",
            "policy-condition-invalid",
        ),
    ] {
        let (seen, message) = refused(&with(spec));
        assert_eq!(seen, code, "{message}");
    }
    let text = with("");
    assert_refused(
        &text.replace("name: other", "name: release"),
        "policy-value-invalid",
        "names of their own",
    );
    let key = pem("p256").replace('\n', "\n          ");
    assert_eq!(refused(&text.replace(&key, "nonsense\n")).0, "policy-key-place-refused");
    let namespaced = text.replace("kind: ImageValidatingPolicy", "kind: NamespacedImageValidatingPolicy");
    assert_refused(&namespaced, "policy-field-missing", "metadata.namespace");
    assert_refused(&format!("{text}---\n{text}"), "policy-name-duplicate", "already");
    // What everyone satisfies (kyverno#17125), and nothing at all.
    let keyless = |identity: &str| {
        let cosign = format!("attestors:\n  - name: more\n    cosign: {{keyless: {{identities: [{identity}]}}}}\n");
        refused(&text.replace("attestors:\n", &cosign)).0
    };
    for identity in [
        "{}",
        "{subject: a@b.c}",
        "{issuer: https://b}",
        "{subjectRegExp: \".*\", issuer: https://b}",
        "{subject: a, issuerRegExp: \".*\"}",
    ] {
        assert_eq!(keyless(identity), "policy-keyless-without-identity", "{identity}");
    }
    for field in ["matchConstraints", "attestors", "validations"] {
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let mut cut = value.clone();
        cut["spec"].as_object_mut().unwrap().remove(field);
        assert_eq!(refused(&cut.to_string()).0, "policy-field-missing", "{field}");
    }
}

#[test]
fn a_key_may_be_computed_of_nothing_but_itself() {
    let key = pem("p256").replace('\n', "\\n");
    let text = |expression: &str| {
        with("").replace(
            "attestors:\n",
            &format!(
                "attestors:\n  - name: more\n    cosign: {{key: {{expression: {}}}}}\n",
                serde_json::json!(expression)
            ),
        )
    };
    load(&text(&format!("'{key}'")));
    assert_refused(&text("'nonsense'"), "policy-key-invalid", "");
    assert_refused(
        &text("object.metadata.annotations.key"),
        "policy-field-unsupported",
        "when the policies are loaded",
    );
}
