//! `sign`, `attest`, `verify`, `verify-attestation`, `tree`: exit codes and words, with the reject twins of each pass.

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, debian_like};
use proofmark_testkit::manifest::fixture;
use serde_json::{Value, json};

use crate::world::{PROOFMARK, Registry, Trust, closed_port, fails, fixture_path, flags, home, json, run, write};

const BY_KEY: [&str; 4] = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog"];

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_by_a_key() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let unsigned = run(&home, BY_KEY.into_iter().chain([image.as_str()]));
    let unsigned = fails(&unsigned, 10, "no-signature");
    assert!(unsigned.stderr.contains("hint: sign it with"), "{}", unsigned.stderr);
    assert!(unsigned.stderr.contains("0 pieces of evidence"), "{}", unsigned.stderr);

    let signed = run(&home, ["sign", "--key", "cosign.key", "-a", "env=prod", &image]);
    assert!(signed.expect_success().stdout.contains(": signed"), "{}", signed.stdout);
    let verified = run(&home, BY_KEY.into_iter().chain([image.as_str()]));
    let text = &verified.expect_success().stdout;
    assert!(
        text.contains(": verified") && text.contains("annotation env=prod"),
        "{text}"
    );
    assert!(
        text.contains("not consulted"),
        "the waived log is not passed over: {text}"
    );
    let value = json(&home, BY_KEY.into_iter().chain(["-a", "env=prod", &image]));
    assert_eq!(value[0]["verdict"], json!("pass"));
    assert_eq!(value[0]["signatures"][0]["signer"]["kind"], json!("key"));

    let wrong = ["verify", "--key", "other.pub", "--insecure-ignore-tlog", &image];
    fails(&run(&home, wrong), 12, "no-acceptable-signature");
    let annotation = BY_KEY.into_iter().chain(["-a", "env=test", &image]);
    let annotation = run(&home, annotation);
    assert!(
        fails(&annotation, 12, "no-acceptable-signature")
            .stderr
            .contains("prod")
    );
    // Only a waiver makes a signature good that no log has.
    let root = fixture_path("keyless/trusted_root.json");
    let logged = ["verify", "--key", "cosign.pub", "--trusted-root", &root, &image];
    fails(&run(&home, logged), 12, "no-acceptable-signature");
    let identity = [
        "verify",
        "--certificate-identity",
        "a@example.com",
        "--certificate-oidc-issuer",
        "https://issuer.example.com",
        "--trusted-root",
        &root,
        &image,
    ];
    fails(&run(&home, identity), 13, "no-certificate");
    let missing = registry.image("app:2.0");
    fails(
        &run(&home, BY_KEY.into_iter().chain([missing.as_str()])),
        11,
        "not-found",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_images_all_count() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    run(&home, ["sign", "--key", "cosign.key", &image]).expect_success();
    let missing = registry.image("app:2.0");
    // What passed before the failure is no result: one list, or none.
    let both = run(&home, BY_KEY.into_iter().chain([image.as_str(), &missing]));
    fails(&both, 11, "not-found");
    let twice = json(&home, BY_KEY.into_iter().chain([image.as_str(), &image]));
    assert_eq!(twice.as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attestation_by_a_key() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    write(home.path(), "predicate.json", r#"{"scanner": "none"}"#);
    let by = |key: &str, kind: &str| {
        run(
            &home,
            [
                "verify-attestation",
                "--key",
                key,
                "--insecure-ignore-tlog",
                "--type",
                kind,
                &image,
            ],
        )
    };
    fails(&by("cosign.pub", "vuln"), 14, "no-attestation");
    let attest = |more: &[&str]| {
        let fixed = [
            "attest",
            "--key",
            "cosign.key",
            "--predicate",
            "predicate.json",
            "--type",
        ];
        run(&home, fixed.iter().chain(more).copied())
    };
    attest(&["vuln", &image]).expect_success();
    let value = json(
        &home,
        [
            "verify-attestation",
            "--key",
            "cosign.pub",
            "--insecure-ignore-tlog",
            "--type",
            "vuln",
            &image,
        ],
    );
    assert_eq!(value[0]["attestations"][0]["predicate"], json!({"scanner": "none"}));
    fails(&by("cosign.pub", "spdxjson"), 14, "no-acceptable-attestation");
    fails(&by("other.pub", "vuln"), 14, "no-acceptable-attestation");
    by("cosign.pub", "no type").expect_code(2);
    // An attestation is no signature, unless one says that it is to count.
    let signature = run(&home, BY_KEY.into_iter().chain([image.as_str()]));
    let signature = fails(&signature, 10, "no-signature");
    assert!(signature.stderr.contains("--accept-any-bundle"), "{}", signature.stderr);
    run(&home, BY_KEY.into_iter().chain(["--accept-any-bundle", &image])).expect_success();

    write(home.path(), "predicate.json", "not JSON");
    fails(&attest(&["vuln", &image]), 2, "predicate-not-json");
    let tree = json(&home, ["tree", &image]);
    assert_eq!(tree["evidence"].as_array().map(Vec::len), Some(1));
    assert_eq!(tree["evidence"][0]["kind"], json!("attestation"));
    let tree = run(&home, ["tree", &image]);
    assert!(
        tree.expect_success().stdout.contains("none of them verified"),
        "{}",
        tree.stdout
    );
    let missing = registry.image("app:none");
    fails(&run(&home, ["tree", &missing]), 11, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_signed_with_its_images() {
    use proofmark_testkit::images::Built;
    let registry = Registry::start().await;
    let home = home();
    let index = Built::index(vec![
        Built::image("linux/amd64", &[], |_| ()),
        Built::image("linux/arm64", &[], |_| ()),
    ]);
    let image = registry.push(&index, "1.0").await;
    let child = registry.image(&format!("app@{}", index.children()[1].digest()));
    run(&home, ["sign", "--key", "cosign.key", &image]).expect_success();
    fails(
        &run(&home, BY_KEY.into_iter().chain([child.as_str()])),
        10,
        "no-signature",
    );
    let signed = json(&home, ["sign", "-r", "--key", "cosign.key", &image]);
    assert_eq!(signed.as_array().map(Vec::len), Some(3));
    run(&home, BY_KEY.into_iter().chain([image.as_str(), &child])).expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity() {
    let registry = Registry::start().await;
    let trust = Trust::start().await;
    let home = Sandbox::new();
    let image = registry.push(&debian_like(), "1.0").await;
    let signed = run(&home, flags(&["sign", &image], &trust.signing()));
    signed.expect_success();
    let good = trust.verifying();
    let text = run(&home, flags(&["verify", &image], &good));
    let text = &text.expect_success().stdout;
    for said in [
        "inclusion proven to its signed checkpoint",
        "certificate logged by",
        "time ",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    run(&home, flags(&["verify", "--use-signed-timestamps", &image], &good)).expect_success();

    let root = trust.file("trusted_root.json");
    let issuer = trust.issuer();
    let ask = |subject: &str, issuer: &str| {
        run(
            &home,
            [
                "verify",
                "--trusted-root",
                &root,
                "--certificate-identity-regexp",
                subject,
                "--certificate-oidc-issuer",
                issuer,
                &image,
            ],
        )
    };
    ask("https://github\\.com/acme/app/.*", &issuer).expect_success();
    // The expression is over all of the subject.
    for (subject, issuer) in [
        ("https://github\\.com/acme", issuer.as_str()),
        ("https://github\\.com/acme/other/.*", &issuer),
        (".*", "https://token.actions.githubusercontent.com"),
    ] {
        fails(&ask(subject, issuer), 12, "no-acceptable-signature");
    }
    ask("(", &issuer).expect_code(2);
    let workflow = |value: &str| {
        let more = ["verify", "--certificate-github-workflow-repository", value, &image];
        run(&home, flags(&more, &good))
    };
    workflow("acme/app").expect_success();
    fails(&workflow("acme/other"), 12, "no-acceptable-signature");
    // Another trusted root: nobody's certificate.
    let other = fixture_path("keyless/other_trusted_root.json");
    let mut foreign = good.clone();
    foreign[1] = other;
    fails(
        &run(&home, flags(&["verify", &image], &foreign)),
        12,
        "no-acceptable-signature",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_do_not_do() {
    let registry = Registry::start().await;
    let trust = Trust::start().await;
    let foreign = Trust::start().await;
    let home = Sandbox::new();
    let image = registry.push(&debian_like(), "1.0").await;
    let sign = |token: &str| {
        let config = trust.file("signing_config.json");
        let root = trust.file("trusted_root.json");
        let mut arguments = vec!["sign", &image, "--signing-config", &config, "--trusted-root", &root];
        if !token.is_empty() {
            arguments.extend(["--identity-token", token]);
        }
        run(&home, arguments)
    };
    let soon = crate::world::now().seconds() - 60;
    let claims = |more: Value| {
        let mut claims = json!({"sub": "repo:acme/app:ref:refs/heads/main"});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        trust.token_of(claims)
    };
    let outcome = sign("");
    assert!(
        fails(&outcome, 2, "token-not-found")
            .stderr
            .contains("SIGSTORE_ID_TOKEN")
    );
    let expired = claims(json!({"exp": soon}));
    let outcome = sign(&expired);
    let outcome = fails(&outcome, 2, "token-expired");
    assert!(!outcome.stderr.contains(&expired), "a token is never shown");
    fails(
        &sign(&claims(json!({"aud": "https://other.example.com"}))),
        2,
        "token-audience",
    );
    fails(&sign("no.token"), 2, "token-file");
    let outcome = sign(&foreign.token());
    let outcome = outcome.expect_code(2);
    assert!(
        outcome.stderr.contains("issuer"),
        "whose token it is, is named: {}",
        outcome.stderr
    );
    let tree = json(&home, ["tree", &image]);
    assert_eq!(tree["evidence"], json!([]), "nothing was signed");
}

/// What is asked of a certificate beside a key would be a check that is not made.
#[test]
fn a_key_has_no_issuer_and_no_workflow() {
    let home = home();
    for flag in ["--certificate-oidc-issuer", "--certificate-github-workflow-repository"] {
        let line = [
            "verify",
            "--key",
            "cosign.pub",
            "--insecure-ignore-tlog",
            flag,
            "x",
            "a.test/app",
        ];
        let refused = run(&home, line);
        assert!(
            refused.stderr.contains("cannot be used with"),
            "{flag}: {}",
            refused.stderr
        );
    }
}

/// What is wrong with the command line is said before anything is fetched: the registry here does not even exist.
#[test]
fn mistakes_on_the_command_line() {
    let home = home();
    let image = format!("{}/app:1.0", closed_port());
    std::fs::copy(fixture("keyless/trusted_root.json"), home.path().join("root.json")).unwrap();
    write(home.path(), "broken.json", "{");
    let run = |line: &str| {
        run(
            &home,
            line.split_whitespace()
                .map(|word| if word == "IMAGE" { &image } else { word }),
        )
    };
    let cases = [
        ("verify IMAGE", "no-identity", "--certificate-identity"),
        (
            "verify --certificate-identity a@example.com IMAGE",
            "no-identity",
            "--certificate-oidc-issuer",
        ),
        (
            "verify --key cosign.pub --trusted-root absent.json IMAGE",
            "trusted-root-unusable",
            "absent.json",
        ),
        (
            "verify --key cosign.pub --trusted-root broken.json IMAGE",
            "trusted-root-unusable",
            "broken.json",
        ),
        (
            "verify --key cosign.pub --insecure-ignore-tlog UPPER/case:?",
            "malformed-reference",
            "UPPER/case",
        ),
        ("sign IMAGE", "confirmation-needed", "--yes"),
        ("sign --key cosign.key a:b:c", "malformed-reference", "a:b:c"),
        ("release IMAGE", "confirmation-needed", "--yes"),
        ("tree a:b:c", "malformed-reference", "a:b:c"),
        ("--log = tree IMAGE", "malformed-log-filter", "="),
    ];
    for (line, code, word) in cases {
        let outcome = run(line);
        let said = &fails(&outcome, 2, code).stderr;
        assert!(said.contains(word), "{line}: {said}");
    }
    for line in [
        "verify",
        "verify --key cosign.pub --certificate-identity x IMAGE",
        "verify --no-such-flag IMAGE",
        "no-such-verb",
        "",
    ] {
        let outcome = run(line);
        assert!(outcome.expect_code(2).stderr.contains("Usage:"), "{}", outcome.stderr);
    }
}

#[test]
fn a_command_line_for_scripts() {
    let home = home();
    std::fs::copy(fixture("keyless/trusted_root.json"), home.path().join("root.json")).unwrap();
    let run = |line: &str| run(&home, line.split_whitespace());
    // A script that asks for JSON gets it whatever went wrong.
    for flags in ["-o json", "--output=json"] {
        let outcome = run(&format!("{flags} verify --no-such-flag IMAGE"));
        let said: Value = serde_json::from_str(&outcome.expect_code(2).stdout).unwrap();
        assert_eq!(said["error"]["code"], "command-line");
        assert!(
            said["error"]["message"].as_str().unwrap().contains("--no-such-flag"),
            "{said}"
        );
    }
    // Switches as cosign's users write them.
    let lenient = "verify --key cosign.pub --insecure-ignore-tlog";
    fails(&run(&format!("{lenient}=true a:b:c")), 2, "malformed-reference");
    let half = run("verify --trusted-root root.json --certificate-identity x a.test/app");
    assert!(half.stderr.contains("only one of them"), "{}", half.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords() {
    let registry = Registry::start().await;
    let made = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let key = made.path().join("cosign.key").display().to_string();
    let wrong = Sandbox::new().with("COSIGN_PASSWORD", "another");
    fails(&run(&wrong, ["sign", "--key", &key, &image]), 2, "key-password-wrong");
    let none = Sandbox::new();
    let outcome = run(&none, ["release", "--key", &key, &image]);
    assert!(
        fails(&outcome, 2, "password-missing")
            .stderr
            .contains("hint: set COSIGN_PASSWORD")
    );
    assert_eq!(json(&none, ["tree", &image])["evidence"], json!([]));
}

#[test]
fn help_and_version_are_results() {
    let home = Sandbox::new();
    for arguments in [&["--help"][..], &["verify", "--help"], &["--version"], &["man"]] {
        let outcome = home.run(PROOFMARK, arguments);
        assert!(!outcome.expect_success().stdout.is_empty());
        assert_eq!(outcome.stderr, "");
    }
    for shell in ["bash", "zsh", "fish"] {
        let outcome = run(&home, ["completion", shell]);
        assert!(outcome.expect_success().stdout.contains("verify-attestation"));
    }
}

/// A certificate that is named is the one that must have signed: another of the same identity is not it.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_is_named_is_the_signers() {
    let registry = Registry::start().await;
    let trust = Trust::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let other = registry.push(&Built::image("linux/amd64", &[], |_| ()), "2.0").await;
    let with = |fixed: &[&str], more: &[String]| run(&home, flags(fixed, more));
    for (name, image) in [("one.pem", &image), ("other.pem", &other)] {
        with(&["sign", "--output-certificate", name, image], &trust.signing()).expect_success();
    }
    let verify =
        |certificate: &str, image: &str| with(&["verify", "--certificate", certificate, image], &trust.verifying());
    verify("one.pem", &image).expect_success();
    verify("other.pem", &other).expect_success();
    let refused = verify("one.pem", &other);
    fails(&refused, 12, "no-acceptable-signature");
    assert!(refused.stderr.contains("[certificate-mismatch]"), "{}", refused.stderr);
    // It is one signature or the other, never neither.
    let local = ["verify", "--local-image", "--signature", "AA==", &image];
    let local = with(&local, &trust.verifying());
    assert!(
        local.expect_code(2).stderr.contains("cannot be used with"),
        "{}",
        local.stderr
    );
}
