//! `policy check`: policies that are understood, and those that are not.

use proofmark_testkit::command::Sandbox;
use serde_json::{Value, json};

use crate::world::{fails, fixture_path, json, run, write};

const POLICY: &str = "apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: release
spec:
  match:
    images: [\"registry.example.com/**\"]
  signatures:
    signers:
      - keyless: { subject: a@example.com, issuer: https://issuer.example.com }
";

#[test]
fn policies_are_read_and_what_they_mean_here_is_said() {
    let home = Sandbox::new();
    let ours = write(home.path(), "ours.yaml", POLICY);
    let kyverno = fixture_path("policies/kyverno-require-signed.yaml");
    let text = run(&home, ["policy", "check", &ours, &kyverno]);
    let text = &text.expect_success().stdout;
    assert!(text.contains("ImagePolicy release"), "{text}");
    assert!(text.contains("note on require-signed-images:"), "{text}");
    let value = json(&home, ["policy", "check", &ours, &kyverno]);
    assert_eq!(value["policies"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        value["policies"][0]["rules"],
        json!([{ "name": "spec", "mode": "enforce" }])
    );
    assert_eq!(value["policies"][0]["onUnreachable"], json!("deny"));
    assert!(value["notes"].as_array().is_some_and(|notes| !notes.is_empty()));
    // What a pattern over tags means.
    let tags = write(home.path(), "tags.yaml", POLICY.replace("/**", "/app:v*"));
    let text = run(&home, ["policy", "check", &tags]);
    let note = "note on release: \"registry.example.com/app:v*\" is about some tags: every reference with a digest is concerned";
    assert!(text.expect_success().stdout.contains(note), "{text:?}");
    // A folder of them, all three formats.
    let folder = fixture_path("policies");
    let value = json(&home, ["policy", "check", &folder]);
    assert_eq!(value["policies"].as_array().map(Vec::len), Some(3));
}

#[test]
fn nothing_is_not_a_policy_that_was_checked() {
    let home = Sandbox::new();
    std::fs::create_dir(home.path().join("renamed")).unwrap();
    fails(&run(&home, ["policy", "check", "renamed"]), 2, "policy-empty");
    // The examples of the documentation are understood.
    let page = include_str!("../../../../docs/policies.md");
    let examples: Vec<&str> = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(examples.len() > 2);
    for example in examples {
        let file = write(home.path(), "example.yaml", example);
        run(&home, ["policy", "check", &file]).expect_success();
    }
}

#[test]
fn what_is_not_understood_whole_is_refused() {
    let home = Sandbox::new();
    let cases = [
        (
            "policy-field-unknown",
            POLICY.replace("signatures:", "signaturs:"),
            "signaturs",
        ),
        (
            "policy-field-unknown",
            format!("{POLICY}  exceptions: []\n"),
            "exceptions",
        ),
        (
            "policy-not-yaml",
            POLICY.replace("metadata:", "metadata: ["),
            "policy.yaml",
        ),
        (
            "policy-kind-unknown",
            POLICY.replace("ImagePolicy", "ImagePolice"),
            "ImagePolice",
        ),
        ("policy-empty", "# nothing\n".to_owned(), "policy.yaml"),
    ];
    for (code, text, word) in cases {
        write(home.path(), "policy.yaml", text);
        let outcome = run(&home, ["policy", "check", "policy.yaml"]);
        assert!(fails(&outcome, 2, code).stderr.contains(word), "{}", outcome.stderr);
    }
    fails(&run(&home, ["policy", "check", "absent.yaml"]), 2, "file-unreadable");
}

#[test]
fn a_failure_is_a_document_for_scripts() {
    let home = Sandbox::new();
    let unknown = format!("{POLICY}  exceptions: []\n");
    write(home.path(), "policy.yaml", unknown);
    let outcome = run(&home, ["-o", "json", "policy", "check", "policy.yaml"]);
    let document: Value = serde_json::from_str(&outcome.expect_code(2).stdout).unwrap();
    assert_eq!(document["ok"], json!(false));
    assert_eq!(document["error"]["exit"], json!(2));
    assert_eq!(document["error"]["code"], json!("policy-field-unknown"));
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("exceptions"), "{message}");
    // A person who looks at the job's log sees it too.
    assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
}

/// A policy whose key is `reference`.
fn by_key(reference: &str) -> String {
    POLICY.replace(
        "keyless: { subject: a@example.com, issuer: https://issuer.example.com }",
        &format!("key: \"{reference}\""),
    )
}

#[test]
fn keys_are_read_of_where_policies_say_that_they_live() {
    let home = Sandbox::new();
    let key = std::fs::read_to_string(fixture_path("cosign/keys/p256/cosign.pub")).unwrap();
    write(home.path(), "release.pub", &key);
    let fingerprint = proofmark_verify::PublicKey::from_pem(&key)
        .unwrap()
        .fingerprint()
        .to_string();
    let file = write(home.path(), "policy.yaml", by_key("release.pub"));
    let text = run(&home, ["policy", "check", &file]);
    let text = &text.expect_success().stdout;
    assert!(
        text.contains(&format!("key release.pub of release: {fingerprint}")),
        "{text}"
    );
    assert!(text.contains("the admission webhook refuses it"), "{text}");
    let value = json(&home, ["policy", "check", &file]);
    assert_eq!(value["keys"][0]["reference"], json!("release.pub"));
    assert_eq!(value["keys"][0]["fingerprint"], json!(fingerprint));
    // Another key there is another signer.
    let other = std::fs::read_to_string(fixture_path("cosign/keys/p256-other/cosign.pub")).unwrap();
    write(home.path(), "release.pub", &other);
    let value = json(&home, ["policy", "check", &file]);
    assert_ne!(value["keys"][0]["fingerprint"], json!(fingerprint));
}

#[test]
fn keys_that_are_not_there_are_no_policy() {
    let home = Sandbox::new();
    write(home.path(), "no-key", "not a key");
    let cases = [
        ("absent.pub", 2, "policy-key-unresolved", "absent.pub"),
        ("no-key", 2, "policy-key-unresolved", "PUBLIC KEY"),
        ("env://PROOFMARK_TEST_NOT_SET", 2, "policy-key-unresolved", "is not set"),
        // Nobody listens there: undecided, and the policy, the key and the cause are named.
        (
            "https://127.0.0.1:1/cosign.pub",
            1,
            "policy-key-unresolved",
            "https://127.0.0.1:1/cosign.pub",
        ),
        ("pkcs11:token=t;object=k", 2, "policy-key-place-refused", "PKCS #11"),
        (
            "http://127.0.0.1:1/cosign.pub",
            2,
            "policy-key-reference-invalid",
            "https://",
        ),
    ];
    for (reference, exit, code, said) in cases {
        let file = write(home.path(), "policy.yaml", by_key(reference));
        let failed = run(&home, ["policy", "check", &file]);
        fails(&failed, exit, code);
        assert!(failed.stderr.contains(said), "{reference}: {}", failed.stderr);
        assert!(failed.stderr.contains("(release)"), "{reference}: {}", failed.stderr);
    }
    // The webhook does not start either, and reads no file of its machine.
    std::fs::create_dir(home.path().join("policies")).unwrap();
    for (reference, exit, code) in [
        ("https://127.0.0.1:1/cosign.pub", 1, "policy-keys-unresolved"),
        ("no-key", 2, "policies-do-not-compile"),
    ] {
        write(&home.path().join("policies"), "policy.yaml", by_key(reference));
        let failed = run(
            &home,
            [
                "admission",
                "serve",
                "--policies",
                "policies",
                "--listen",
                "127.0.0.1:0",
            ],
        );
        fails(&failed, exit, code);
        assert!(failed.stderr.contains("(release)"), "{reference}: {}", failed.stderr);
    }
}

/// What the API server sends for a Pod of one image.
fn review(operation: &str, image: &str, before: Option<&str>) -> String {
    let pod = |image: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "prod"},
            "spec": {"containers": [{"name": "c", "image": image}]}})
    };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "p", "namespace": "prod", "operation": operation, "userInfo": {"username": "alice"},
        "object": pod(image), "oldObject": before.map(pod),
    }})
    .to_string()
}

/// Digests of two layouts of the fixtures.
const GITHUB: &str = "keyless/keyless-github";
const UNSIGNED: &str = "cosign/unsigned";

fn digest_of(layout: &str) -> String {
    let index = std::fs::read_to_string(fixture_path(&format!("{layout}/index.json"))).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_review_is_decided_without_a_cluster() {
    let home = Sandbox::new();
    let policy = std::fs::read_to_string(fixture_path("policies/kyverno-require-signed.yaml")).unwrap();
    let policy = write(
        home.path(),
        "policy.yaml",
        policy.replace("example-org/example-app", "alpha-corp/payments"),
    );
    let root = fixture_path("keyless/trusted_root.json");
    let decide = |operation: &str, layout: Option<&str>, image: &str, before: Option<&str>| {
        let review = write(home.path(), "review.json", review(operation, image, before));
        let layout = layout.map(fixture_path);
        let mut arguments = vec!["policy", "test", &policy, "--review", &review, "--trusted-root", &root];
        arguments.extend(layout.iter().flat_map(|layout| ["--layout", layout.as_str()]));
        arguments.extend(["--at", "2026-11-21T12:00:00Z"]);
        run(&home, arguments)
    };
    let named = |layout: &str| format!("registry.example.com/app:1.0@{}", digest_of(layout));
    let good = decide("CREATE", Some(GITHUB), &named(GITHUB), None);
    let text = &good.expect_success().stdout;
    assert!(text.starts_with("pass Pod prod/p"), "{text}");
    assert!(
        text.contains(&digest_of(GITHUB)) && text.contains("require-signed-images/check-image-signature: signature by"),
        "{text}"
    );
    // Unsigned; signed by nobody that the policy names; another image; no image at all; no digest.
    let denied = decide("CREATE", Some(UNSIGNED), &named(UNSIGNED), None);
    fails(&denied, 3, "policy-denied");
    assert!(denied.stderr.contains("[unsigned]"), "{denied:?}");
    let other = decide(
        "CREATE",
        Some("keyless/keyless-gitlab"),
        &named("keyless/keyless-gitlab"),
        None,
    );
    fails(&other, 3, "policy-denied");
    assert!(other.stderr.contains("issuer-mismatch"), "{other:?}");
    fails(
        &decide("CREATE", Some(UNSIGNED), &named(GITHUB), None),
        1,
        "policy-undecided",
    );
    fails(&decide("CREATE", None, &named(GITHUB), None), 1, "policy-undecided");
    let tag = decide("CREATE", Some(GITHUB), "registry.example.com/app:1.0", None);
    fails(&tag, 3, "policy-denied");
    assert!(tag.stderr.contains("digest-required"), "{tag:?}");
    fails(
        &decide("CREATE", Some(GITHUB), "not an image", None),
        3,
        "invalid-reference",
    );
    // An update is judged by what it adds.
    let same = named(UNSIGNED);
    decide("UPDATE", Some(UNSIGNED), &same, Some(&same)).expect_success();
    fails(
        &decide("UPDATE", Some(UNSIGNED), &same, Some("a:1")),
        3,
        "policy-denied",
    );
    decide("DELETE", None, &same, None).expect_success();
}

#[test]
fn a_test_of_what_is_not_there_is_a_mistake() {
    let home = Sandbox::new();
    let policy = write(home.path(), "policy.yaml", POLICY);
    let good = write(home.path(), "review.json", review("CREATE", "a:1", None));
    let bad = write(home.path(), "bad.json", "{}");
    let code = |arguments: &[&str]| {
        let outcome = run(
            &home,
            ["policy", "test", policy.as_str()]
                .into_iter()
                .chain(arguments.iter().copied()),
        );
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        outcome.stderr
    };
    assert!(code(&["--review", &bad]).contains("review-"));
    assert!(code(&["--review", &good, "--layout", "nowhere"]).contains("nowhere"));
    assert!(code(&["--review", &good, "--at", "yesterday"]).contains("time-malformed"));
    assert!(code(&["--review", &good, "--namespace-label", "a"]).contains("label-malformed"));
}

#[test]
fn policies_are_converted_to_ours() {
    let home = Sandbox::new();
    let folder = fixture_path("policies");
    let converted = run(&home, ["policy", "convert", &folder]);
    let text = &converted.expect_success().stdout;
    let file = write(home.path(), "converted.yaml", text);
    let value = json(&home, ["policy", "check", &file]);
    let kinds: Vec<&Value> = value["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| &policy["kind"])
        .collect();
    assert_eq!(kinds, ["ImagePolicy"; 3]);
    let again = run(&home, ["policy", "convert", &file]);
    assert_eq!(again.expect_success().stdout, *text);
    // What is not a live format is converted all the same.
    let values = "application:
  validators: [{name: default, type: cosign, trustRoots: [{name: default, keyless: {issuer: https://a.example.com, subject: a@example.com}}]}]
  policy: [{pattern: \"*:*\"}]
";
    let file = write(home.path(), "values.yaml", values);
    fails(&run(&home, ["policy", "check", &file]), 2, "policy-kind-unknown");
    let text = run(&home, ["policy", "convert", &file]).expect_success().stdout.clone();
    assert!(
        text.contains("kind: ImagePolicy") && text.contains("kyverno: \"*:*\""),
        "{text}"
    );
    let notary = write(
        home.path(),
        "values.yaml",
        values.replace("type: cosign", "type: notaryv1"),
    );
    fails(
        &run(&home, ["policy", "convert", &notary]),
        2,
        "policy-field-unsupported",
    );
}
