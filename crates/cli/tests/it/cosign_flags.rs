//! What cosign's flags of `sign`, `attest` and `verify` do beyond the usual: older formats, files, layouts, policies,
//! Dockerfiles and manifests, each with its reject twin.

use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::{Built, debian_like};
use serde_json::json;

use crate::world::{Registry, closed_port, fails, home, json, run, write};

/// Runs a line; IMAGE is the image.
fn line(home: &Sandbox, image: &str, words: &str) -> Outcome {
    let words: Vec<String> = words.split(' ').map(|word| word.replace("IMAGE", image)).collect();
    run(home, words.iter().map(String::as_str))
}

#[tokio::test(flavor = "multi_thread")]
async fn older_formats_and_files() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let other = registry.push(&Built::image("linux/amd64", &[], |_| ()), "2.0").await;
    let verify = "verify --key cosign.pub --insecure-ignore-tlog";
    // Into files, and not into the registry.
    let files =
        "--output-signature image.sig --output-payload image.json --output-certificate key.pem --bundle image.bundle";
    let signed = line(
        &home,
        &image,
        &format!("sign --key cosign.key --new-bundle-format=false --upload=false -a env=prod {files} IMAGE"),
    );
    assert!(
        signed.expect_success().stdout.contains("not uploaded"),
        "{}",
        signed.stdout
    );
    fails(&line(&home, &image, &format!("{verify} IMAGE")), 10, "no-signature");
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    assert_eq!(read("key.pem"), read("cosign.pub"));
    assert!(
        read("image.bundle").contains("base64Signature"),
        "{}",
        read("image.bundle")
    );
    let given = "--signature image.sig --payload image.json";
    let checked = line(&home, &image, &format!("{verify} {given} -a env=prod IMAGE"));
    assert!(
        checked.expect_success().stdout.contains("local file"),
        "{}",
        checked.stdout
    );
    let wrong = line(
        &home,
        &image,
        &format!("verify --key other.pub --insecure-ignore-tlog {given} IMAGE"),
    );
    let wrong = fails(&wrong, 12, "no-acceptable-signature");
    assert!(
        wrong.stderr.contains("[signature-not-by-given-key]"),
        "{}",
        wrong.stderr
    );
    // The same signature is none of another image.
    let moved = line(&home, &other, &format!("{verify} {given} IMAGE"));
    let moved = fails(&moved, 12, "no-acceptable-signature");
    assert!(moved.stderr.contains("[claims-digest-mismatch]"), "{}", moved.stderr);
    // Nor is the payload signed for another image.
    let payload = "sign --key cosign.key --new-bundle-format=false --payload image.json IMAGE";
    fails(&line(&home, &other, payload), 2, "payload-of-another-image");
    line(&home, &image, payload).expect_success();
    let tree = json(&home, ["tree", &image]);
    assert!(tree.to_string().contains(".sig"), "{tree}");
    line(&home, &image, &format!("{verify} -a env=prod IMAGE")).expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_experiment_with_oci_1_1() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let other = registry.push(&Built::image("linux/amd64", &[], |_| ()), "2.0").await;
    let verify = "verify --key cosign.pub --insecure-ignore-tlog";
    let experiment = "sign --key cosign.key --new-bundle-format=false --registry-referrers-mode oci-1-1 IMAGE";
    fails(&line(&home, &other, experiment), 2, "experimental");
    let words = [
        "sign",
        "--key",
        "cosign.key",
        "--new-bundle-format=false",
        "--registry-referrers-mode=oci-1-1",
        &other,
    ];
    let mut command = home.command(crate::world::PROOFMARK);
    command.args(words).env("COSIGN_EXPERIMENTAL", "1");
    let written = home.finish(&mut command, b"");
    assert!(
        written.expect_success().stdout.contains("referrer sha256:"),
        "{}",
        written.stdout
    );
    line(&home, &other, &format!("{verify} IMAGE")).expect_success();
    let wrong = line(&home, &other, "verify --key other.pub --insecure-ignore-tlog IMAGE");
    fails(&wrong, 12, "no-acceptable-signature");
    // Flags of .sig images say so where none is written.
    let names = "sign --key cosign.key --sign-container-identity mirror.example.com/app IMAGE";
    fails(&line(&home, &image, names), 2, "flag-needs-legacy");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_on_this_machine() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    line(&home, &image, "sign --key cosign.key IMAGE").expect_success();
    line(&home, &image, "save --dir saved IMAGE").expect_success();
    let local = |key: &str| {
        let words = format!("verify --key {key} --insecure-ignore-tlog --local-image saved");
        line(&home, &image, &words)
    };
    let text = local("cosign.pub");
    assert!(
        text.expect_success().stdout.contains("saved@sha256:"),
        "{}",
        text.stdout
    );
    fails(&local("other.pub"), 12, "no-acceptable-signature");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_attestations() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    write(home.path(), "predicate.json", r#"{"scanner": {"findings": 0}}"#);
    line(
        &home,
        &image,
        "attest --key cosign.key --type vuln --predicate predicate.json IMAGE",
    )
    .expect_success();
    write(
        home.path(),
        "good.rego",
        "package signature\nallow { input.predicate.scanner.findings == 0 }\n",
    );
    write(
        home.path(),
        "bad.rego",
        "package signature\nallow { input.predicate.scanner.findings > 0 }\n",
    );
    write(home.path(), "good.cel", "predicate.scanner.findings == 0");
    write(home.path(), "bad.cel", "predicate.scanner.findings > 0");
    write(home.path(), "policy.cue", "predicate: scanner: findings: 0");
    let by = |policy: &str| {
        let words =
            format!("verify-attestation --key cosign.pub --insecure-ignore-tlog --type vuln --policy {policy} IMAGE");
        line(&home, &image, &words)
    };
    by("good.rego").expect_success();
    by("good.cel,good.rego").expect_success();
    for refused in ["bad.rego", "bad.cel", "good.cel,bad.rego"] {
        fails(&by(refused), 14, "policy-not-satisfied");
    }
    fails(&by("policy.cue"), 2, "policy-in-cue");
    fails(&by("absent.rego"), 2, "file-unreadable");
    // A second statement of the same signer that does not satisfy is not hidden behind the first.
    write(home.path(), "predicate.json", r#"{"scanner": {"findings": 3}}"#);
    line(
        &home,
        &image,
        "attest --key cosign.key --type vuln --predicate predicate.json IMAGE",
    )
    .expect_success();
    fails(&by("good.rego"), 14, "policy-not-satisfied");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_and_what_is_printed() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    write(home.path(), "predicate.json", r#"{"a": 1}"#);
    let printed = line(
        &home,
        &image,
        "attest --key cosign.key --type vuln --predicate predicate.json --no-upload --bundle out.json IMAGE",
    );
    let envelope: serde_json::Value = serde_json::from_str(printed.expect_success().stdout.trim()).unwrap();
    assert_eq!(envelope["payloadType"], json!("application/vnd.in-toto+json"));
    assert!(home.path().join("out.json").exists());
    fails(
        &line(
            &home,
            &image,
            "verify-attestation --key cosign.pub --insecure-ignore-tlog --type vuln IMAGE",
        ),
        14,
        "no-attestation",
    );
    let foreign = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://example.com/p",
        "subject": [{"name": "x", "digest": {"sha256": "00".repeat(32)}}], "predicate": {},
    });
    write(home.path(), "statement.json", foreign.to_string());
    let other = line(
        &home,
        &image,
        "attest --key cosign.key --statement statement.json IMAGE",
    );
    fails(&other, 2, "statement-of-another-image");
}

#[tokio::test(flavor = "multi_thread")]
async fn dockerfiles_and_manifests() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let unsigned = registry.push(&Built::image("linux/amd64", &[], |_| ()), "2.0").await;
    line(&home, &image, "sign --key cosign.key IMAGE").expect_success();
    let key = "--key cosign.pub --insecure-ignore-tlog";
    write(
        home.path(),
        "Dockerfile",
        format!(
            "ARG TAG=2.0\nFROM {} AS b\nFROM {image}\n",
            unsigned.replace("2.0", "${TAG}")
        ),
    );
    let base = line(
        &home,
        &image,
        &format!("dockerfile verify {key} --base-image-only Dockerfile"),
    );
    assert!(base.expect_success().stderr.contains(&image), "{}", base.stderr);
    fails(
        &line(&home, &image, &format!("dockerfile verify {key} Dockerfile")),
        10,
        "no-signature",
    );
    line(
        &home,
        &image,
        &format!("dockerfile verify {key} --build-arg TAG=1.0 Dockerfile"),
    )
    .expect_success();
    write(home.path(), "Empty", "FROM scratch\n");
    fails(
        &line(&home, &image, &format!("dockerfile verify {key} Empty")),
        2,
        "no-images",
    );

    let pod =
        |image: &str| format!("apiVersion: v1\nkind: Pod\nspec: {{containers: [{{name: a, image: '{image}'}}]}}\n");
    write(home.path(), "good.yaml", pod(&image));
    write(
        home.path(),
        "both.yaml",
        format!("{}---\n{}", pod(&image), pod(&unsigned)),
    );
    line(&home, &image, &format!("manifest verify {key} good.yaml")).expect_success();
    fails(
        &line(&home, &image, &format!("manifest verify {key} both.yaml")),
        10,
        "no-signature",
    );
    fails(
        &line(&home, &image, &format!("manifest verify {key} --local-image good.yaml")),
        2,
        "flag-not-supported",
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let home = home();
    let image = format!("{}/app:1.0", closed_port());
    for (words, code) in [
        ("sign --sk IMAGE", "security-key-not-supported"),
        (
            "sign --key cosign.key --certificate c.pem --issue-certificate IMAGE",
            "two-signers",
        ),
        ("sign --key cosign.key --attachment sbom IMAGE", "flag-not-supported"),
        ("sign --key cosign.key --identity-token x IMAGE", "two-signers"),
        (
            "sign --key cosign.key --use-signing-config --rekor-url https://rekor.example.com IMAGE",
            "services-named-twice",
        ),
        ("sign --key cosign.key --rekor-url no-address IMAGE", "malformed-url"),
        (
            "verify --key cosign.pub --insecure-ignore-tlog --sct sct.json IMAGE",
            "flag-not-supported",
        ),
        (
            "verify --key cosign.pub --insecure-ignore-tlog --registry-server-name x IMAGE",
            "flag-not-supported",
        ),
        (
            "verify --key cosign.pub --insecure-ignore-tlog --attachment-tag-prefix x IMAGE",
            "flag-not-supported",
        ),
        (
            "verify --key cosign.pub --insecure-ignore-tlog --check-claims=false IMAGE",
            "claims-always-checked",
        ),
        (
            "verify --key gitlab://acme/app --insecure-ignore-tlog IMAGE",
            "command-line",
        ),
    ] {
        let outcome = line(&home, &image, words);
        outcome.expect_code(2);
        assert!(
            code == "command-line" || outcome.stderr.contains(&format!("[{code}]")),
            "{words}: expected [{code}] in\n{}",
            outcome.stderr
        );
    }
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let image = format!("{}/app:1.0", silent.local_addr().unwrap());
    let late = line(
        &home,
        &image,
        "--timeout 500ms verify --key cosign.pub --insecure-ignore-tlog IMAGE",
    );
    fails(&late, 1, "timeout");
    assert!(late.stderr.contains("500ms"), "{}", late.stderr);
}
