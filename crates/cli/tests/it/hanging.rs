//! What hangs on an image: shown, fetched, copied, saved, loaded, attached and removed, with the reject twins of each.

use std::fs;
use std::path::Path;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, debian_like};
use proofmark_testkit::peers::{COSIGN3, DockerRegistry};
use serde_json::{Value, json};

use crate::world::{PROOFMARK, Registry, fails, home, run, write};

pub(crate) const VERIFY: [&str; 4] = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog"];

pub(crate) fn as_json<'a>(home: &Sandbox, arguments: impl IntoIterator<Item = &'a str>) -> Value {
    crate::world::json(home, arguments)
}

/// Signs and attests in both generations, and attaches a bill.
pub(crate) fn decorate(home: &Sandbox, image: &str) {
    let predicate = write(home.path(), "predicate.json", r#"{"a":1}"#);
    run(home, ["sign", "--key", "cosign.key", "--also-legacy", "-y", image]).expect_success();
    let attest = [
        "attest",
        "--key",
        "cosign.key",
        "--also-legacy",
        "-y",
        "--type",
        "vuln",
        "--predicate",
        &predicate,
        image,
    ];
    run(home, attest).expect_success();
    let bill = ["attach", "sbom", "--sbom", &predicate, "--type", "cyclonedx", image];
    run(home, bill).expect_success();
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How many pieces of evidence `tree` finds, and how many manifests.
pub(crate) fn hanging(home: &Sandbox, image: &str) -> (usize, usize) {
    let tree = as_json(home, ["tree", image]);
    assert_eq!(tree["incomplete"], json!([]));
    let count = |name: &str| tree[name].as_array().unwrap().len();
    (count("evidence"), count("attachments"))
}

pub(crate) fn verified(home: &Sandbox, image: &str) {
    run(home, VERIFY.into_iter().chain([image])).expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_shown_and_fetched() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    fails(&run(&home, ["download", "signature", &image]), 10, "no-signature");
    fails(&run(&home, ["download", "attestation", &image]), 14, "no-attestation");
    fails(&run(&home, ["download", "sbom", &image]), 14, "no-sbom");
    decorate(&home, &image);
    assert_eq!(hanging(&home, &image), (4, 5));
    // A signature on the bundle of the attestation hangs one deeper.
    let tree = as_json(&home, ["tree", &image]);
    let attestation = tree["attachments"]
        .as_array()
        .unwrap()
        .iter()
        .find(|each| {
            each["annotations"]["dev.sigstore.bundle.predicateType"]
                == json!("https://cosign.sigstore.dev/attestation/vuln/v1")
        })
        .unwrap();
    let nested = registry.image(&format!("app@{}", attestation["digest"].as_str().unwrap()));
    run(&home, ["sign", "--key", "cosign.key", "-y", &nested]).expect_success();
    assert_eq!(hanging(&home, &image), (4, 6));
    let text = run(&home, ["tree", &image]);
    assert!(text.stdout.contains("\n│   ├── "), "{}", text.stdout);

    let signatures = lines(&run(&home, ["download", "signature", &image]).expect_success().stdout);
    assert_eq!(signatures.len(), 2);
    assert!(
        signatures
            .iter()
            .any(|line| line["Base64Signature"].is_string() && line["Payload"].is_string())
    );
    assert!(signatures.iter().any(|line| line["dsseEnvelope"].is_object()));
    let attestations = lines(&run(&home, ["download", "attestation", &image]).expect_success().stdout);
    assert_eq!(attestations.len(), 2);
    assert!(
        attestations
            .iter()
            .any(|line| line["payloadType"] == json!("application/vnd.in-toto+json"))
    );
    let typed = ["download", "attestation", "--predicate-type", "vuln", &image];
    assert_eq!(lines(&run(&home, typed).expect_success().stdout).len(), 2);
    let other = ["download", "attestation", "--predicate-type", "spdxjson", &image];
    fails(&run(&home, other), 14, "no-attestation");
    assert_eq!(
        run(&home, ["download", "sbom", &image]).expect_success().stdout,
        r#"{"a":1}"#
    );
    let elsewhere = ["download", "attestation", "--platform", "linux/s390x", &image];
    fails(&run(&home, elsewhere), 11, "no-such-platform");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_copied_with_what_hangs_on_its_images() {
    let from = Registry::start().await;
    let to = Registry::with(|config| config.referrers_api = false).await;
    let home = home();
    let index = Built::index(vec![
        Built::image("linux/amd64", &[], |_| ()),
        Built::image("linux/arm64", &[], |_| ()),
    ]);
    let image = from.push(&index, "1.0").await;
    decorate(&home, &image);
    let child = |registry: &Registry| registry.image(&format!("app@{}", index.children()[1].digest()));
    decorate(&home, &child(&from));
    let copied = to.image("app:2.0");
    let report = as_json(&home, ["copy", &image, &copied]);
    assert_eq!(report["attachments"].as_array().unwrap().len(), 10);
    for name in [&copied, &child(&to)] {
        assert_eq!(hanging(&home, name), (4, 5));
        verified(&home, name);
    }
    // Once more there is nothing to do, and it says so.
    let again = as_json(&home, ["copy", &image, &copied]);
    let became = again["attachments"].as_array().unwrap();
    assert!(became.iter().all(|each| each["became"] == json!("there")), "{again}");

    // A name that is taken is not moved unasked.
    let other = from.push(&debian_like(), "other").await;
    fails(&run(&home, ["copy", &other, &copied]), 3, "image-exists");
    verified(&home, &copied);
    run(&home, ["copy", "-f", &other, &copied]).expect_success();
    fails(
        &run(&home, VERIFY.into_iter().chain([copied.as_str()])),
        10,
        "no-signature",
    );

    let platform = ["copy", "--platform", "linux/arm64", &image, &to.image("arm:1")];
    run(&home, platform).expect_success();
    verified(&home, &to.image("arm:1"));
    let signatures = as_json(&home, ["copy", "--only=sig", &image, &to.image("signed:1")]);
    assert_eq!(
        (
            &signatures["named"],
            signatures["attachments"].as_array().unwrap().len()
        ),
        (&json!(false), 4)
    );
    let digest = index.digest().to_string();
    verified(&home, &to.image(&format!("signed@{digest}")));
    run(&home, ["copy", "--only=all", &image, &copied]).expect_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_has_other_signatures_keeps_them() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let home = home();
    let (image, copied) = (from.push(&debian_like(), "1").await, to.push(&debian_like(), "1").await);
    run(&home, ["sign", "--key", "cosign.key", "--also-legacy", "-y", &image]).expect_success();
    run(&home, ["sign", "--key", "other.key", "--also-legacy", "-y", &copied]).expect_success();
    let report = as_json(&home, ["copy", &image, &copied]);
    let became: Vec<&Value> = report["attachments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| &each["became"])
        .collect();
    assert_eq!(became, [&json!("merged"), &json!("copied")]);
    assert_eq!(hanging(&home, &copied), (4, 3));
    verified(&home, &copied);
    run(
        &home,
        ["verify", "--key", "other.pub", "--insecure-ignore-tlog", &copied],
    )
    .expect_success();
}

/// COSIGN_REPOSITORY: everything is kept, found, saved and removed there, and a copy has it beside the image.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_kept_in_one_repository_is_found_there() {
    let (registry, to) = (Registry::start().await, Registry::start().await);
    let plain = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let kept = registry.image("security/evidence");
    let at = |home: &Sandbox, arguments: &[&str]| {
        home.finish(
            home.command(PROOFMARK).args(arguments).env("COSIGN_REPOSITORY", &kept),
            b"",
        )
    };
    at(&plain, &["sign", "--key", "cosign.key", "-y", "--also-legacy", &image]).expect_success();
    assert_eq!(hanging(&plain, &image), (0, 0), "nothing is beside the image");
    let named = at(&plain, &["triangulate", &image]);
    assert!(
        named.expect_success().stdout.starts_with(&format!("{kept}:sha256-")),
        "{}",
        named.stdout
    );
    let verify: Vec<&str> = VERIFY.into_iter().chain([image.as_str()]).collect();
    fails(&run(&plain, verify.clone()), 10, "no-signature");
    at(&plain, &verify).expect_success();
    if let Some(cosign) = COSIGN3.or_skip() {
        let mut command = plain.command(&cosign);
        plain
            .finish(command.args(&verify).env("COSIGN_REPOSITORY", &kept), b"")
            .expect_success();
    }
    let copied = to.image("app:1");
    at(&plain, &["copy", &image, &copied]).expect_success();
    verified(&plain, &copied);
    at(&plain, &["save", "--dir", "saved", &image]).expect_success();
    let loaded = to.image("loaded:1");
    run(&plain, ["load", "--dir", "saved", &loaded]).expect_success();
    verified(&plain, &loaded);
    at(&plain, &["clean", "-f", &image]).expect_success();
    fails(&at(&plain, &verify), 10, "no-signature");
    verified(&plain, &copied);
}

/// What cannot be read is not left behind quietly: an image without it would be taken for an unsigned one.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_gets_a_name_without_all_that_hangs_on_it() {
    let (from, to) = (Registry::start().await, Registry::start().await);
    let home = home();
    let image = from.push(&debian_like(), "1.0").await;
    run(&home, ["sign", "--key", "cosign.key", "-y", &image]).expect_success();
    let tree = as_json(&home, ["tree", &image]);
    let bundle = from.blob(tree["attachments"][0]["digest"].as_str().unwrap());
    let good = fs::read(&bundle).unwrap();
    fs::write(&bundle, "damaged").unwrap();
    let copied = to.image("app:1");
    fails(&run(&home, ["copy", &image, &copied]), 1, "evidence-incomplete");
    fails(&run(&home, ["tree", &copied]), 11, "not-found");
    fails(
        &run(&home, ["save", "--dir", "saved", &image]),
        1,
        "evidence-incomplete",
    );
    assert!(!home.path().join("saved/index.json").exists());
    fails(&run(&home, ["download", "signature", &image]), 1, "evidence-incomplete");
    // Once it can be read, running the same commands again is all it takes.
    fs::write(&bundle, good).unwrap();
    run(&home, ["copy", &image, &copied]).expect_success();
    verified(&home, &copied);
    run(&home, ["save", "--dir", "saved", &image]).expect_success();
    assert!(home.path().join("saved/index.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_said_and_gone() {
    let registries = [
        Registry::start().await,
        Registry::with(|config| config.referrers_api = false).await,
    ];
    let docker = DockerRegistry::start_or_skip();
    let addresses = registries
        .iter()
        .map(Registry::address)
        .chain(docker.as_ref().map(DockerRegistry::address));
    let home = home();
    for address in addresses {
        debian_like().push(address, "app", "1.0").await;
        let image = format!("{address}/app:1.0");
        decorate(&home, &image);
        fails(&run(&home, ["clean", &image]), 2, "confirmation-missing");
        assert_eq!(hanging(&home, &image), (4, 5), "nothing goes unasked");
        for (kind, left) in [("signature", (3, 4)), ("sbom", (3, 3)), ("referrer", (1, 1))] {
            run(&home, ["clean", "-f", "--type", kind, &image]).expect_success();
            assert_eq!(hanging(&home, &image), left, "{kind} at {address}");
        }
        let report = as_json(&home, ["clean", "--force=true", &image]);
        assert_eq!(report["removed"].as_array().unwrap().len(), 1);
        assert_eq!(hanging(&home, &image), (0, 0));
        let report = as_json(&home, ["clean", "-f", &image]);
        assert_eq!(report["removed"], json!([]));
        // The image is as it was, and can be signed again.
        run(&home, ["sign", "--key", "cosign.key", "-y", &image]).expect_success();
        verified(&home, &image);
    }
}

/// docker-registry deletes by digest alone, and with a manifest all of its tags: the same bill of another image stays, and
/// so does what hangs on the bill itself.
#[tokio::test(flavor = "multi_thread")]
async fn another_image_keeps_the_same_bill() {
    let registries = [
        Registry::start().await,
        Registry::with(|config| config.referrers_api = false).await,
    ];
    let docker = DockerRegistry::start_or_skip();
    let addresses = registries
        .iter()
        .map(Registry::address)
        .chain(docker.as_ref().map(DockerRegistry::address));
    let home = home();
    let bill = write(home.path(), "bom.json", r#"{"bomFormat":"CycloneDX"}"#);
    for address in addresses {
        debian_like().push(address, "app", "1.0").await;
        Built::image("linux/arm64", &[], |_| ())
            .push(address, "app", "2.0")
            .await;
        let [one, two] = ["1.0", "2.0"].map(|tag| format!("{address}/app:{tag}"));
        for image in [&one, &two] {
            run(&home, ["attach", "sbom", "--sbom", &bill, "--type", "cyclonedx", image]).expect_success();
        }
        let digest = |image: &str| {
            let tree = as_json(&home, ["tree", image]);
            tree["attachments"][0]["digest"].as_str().unwrap().to_owned()
        };
        assert_eq!(digest(&one), digest(&two));
        let signed = format!("{address}/app@{}", digest(&one));
        run(&home, ["sign", "--key", "cosign.key", "-y", &signed]).expect_success();
        for kind in ["sbom", "all"] {
            let before = hanging(&home, &two);
            run(&home, ["clean", "-f", "--type", kind, &one]).expect_success();
            assert_eq!(hanging(&home, &one), (0, 0), "{kind} at {address}");
            assert_eq!(hanging(&home, &two), before, "{kind} at {address}");
            assert_eq!(
                run(&home, ["download", "sbom", &two]).expect_success().stdout,
                r#"{"bomFormat":"CycloneDX"}"#
            );
            verified(&home, &signed);
            run(&home, ["attach", "sbom", "--sbom", &bill, "--type", "cyclonedx", &one]).expect_success();
        }
        assert_eq!(digest(&one), digest(&two));
    }
}

/// A registry that lets nobody delete is found out before anything is touched.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_deleted_stays_as_it_was() {
    let Some(docker) = DockerRegistry::start_without_deletion_or_skip() else {
        return;
    };
    let home = home();
    debian_like().push(docker.address(), "app", "1.0").await;
    let image = format!("{}/app:1.0", docker.address());
    run(&home, ["sign", "--key", "cosign.key", "-y", "--also-legacy", &image]).expect_success();
    let bill = write(home.path(), "bom.json", "{}");
    run(
        &home,
        ["attach", "sbom", "--sbom", &bill, "--type", "cyclonedx", &image],
    )
    .expect_success();
    let before = as_json(&home, ["tree", &image]);
    for kind in ["signature", "sbom"] {
        let refused = run(&home, ["clean", "-f", "--type", kind, &image]);
        let refused = fails(&refused, 1, "unexpected-status");
        assert!(
            refused.stderr.contains("let nobody delete"),
            "{kind}: {}",
            refused.stderr
        );
        assert_eq!(as_json(&home, ["tree", &image]), before, "{kind}");
    }
    verified(&home, &image);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_elsewhere_is_attached() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    decorate(&home, &image);
    let stored = lines(&run(&home, ["download", "signature", &image]).stdout);
    let (old, bundle) = (
        stored.iter().find(|line| line["Payload"].is_string()).unwrap(),
        stored.iter().find(|line| line["dsseEnvelope"].is_object()).unwrap(),
    );
    let payload = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        old["Payload"].as_str().unwrap(),
    );
    let payload = write(home.path(), "payload.json", payload.unwrap());
    let signature = write(home.path(), "payload.sig", old["Base64Signature"].as_str().unwrap());
    let bundle = write(home.path(), "bundle.json", bundle.to_string());
    let attestations = run(&home, ["download", "attestation", &image]).stdout;
    let attestations = write(home.path(), "attestations.jsonl", attestations);
    let clean = || run(&home, ["clean", "-f", &image]).expect_success().stdout.len();

    clean();
    let attach = [
        "attach",
        "signature",
        "--payload",
        &payload,
        "--signature",
        &signature,
        &image,
    ];
    run(&home, attach).expect_success();
    verified(&home, &image);
    clean();
    run(&home, ["attach", "signature", "--payload", &bundle, &image]).expect_success();
    verified(&home, &image);
    clean();
    run(&home, ["attach", "attestation", "--attestation", &attestations, &image]).expect_success();
    assert_eq!(hanging(&home, &image), (2, 2));
    let verify = [
        "verify-attestation",
        "--key",
        "cosign.pub",
        "--insecure-ignore-tlog",
        "--type",
        "vuln",
        &image,
    ];
    run(&home, verify).expect_success();
    // What is attached is not believed for being there.
    clean();
    let wrong = write(home.path(), "wrong.sig", "MEUCIQ==");
    let attach = [
        "attach",
        "signature",
        "--payload",
        &payload,
        "--signature",
        &wrong,
        &image,
    ];
    run(&home, attach).expect_success();
    fails(
        &run(&home, VERIFY.into_iter().chain([image.as_str()])),
        12,
        "no-acceptable-signature",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_parse_is_not_attached() {
    let registry = Registry::start().await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let payload = write(home.path(), "payload.json", "{}");
    let signature = write(home.path(), "payload.sig", "AA==");
    fails(
        &run(&home, ["attach", "signature", "--payload", &payload, &image]),
        2,
        "signature-missing",
    );
    let empty = write(home.path(), "empty", " \n");
    let attach = ["attach", "signature", "--signature", &empty, &image];
    fails(&run(&home, attach), 2, "signature-missing");
    let attach = ["attach", "attestation", "--attestation", &payload, &image];
    fails(&run(&home, attach), 2, "malformed-attestation");
    let attach = [
        "attach",
        "signature",
        "--signature",
        &signature,
        "--rekor-response",
        &payload,
        &image,
    ];
    fails(&run(&home, attach), 2, "malformed-rekor-response");
    let attach = [
        "attach",
        "sbom",
        "--sbom",
        &payload,
        "--type",
        "syft",
        "--input-format",
        "xml",
        &image,
    ];
    fails(&run(&home, attach), 2, "sbom-format");
    assert_eq!(hanging(&home, &image), (0, 0));
}

/// `attest --replace` takes the place of its own type alone, in both generations.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_attestation_is_gone_and_no_other() {
    let registry = Registry::with(|config| config.referrers_api = false).await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let attest = |kind: &str, content: &str, more: &[&str]| {
        let predicate = write(home.path(), "predicate.json", content);
        let fixed = [
            "attest",
            "--key",
            "cosign.key",
            "-y",
            "--also-legacy",
            "--type",
            kind,
            "--predicate",
            &predicate,
        ];
        run(
            &home,
            fixed.into_iter().chain(more.iter().copied()).chain([image.as_str()]),
        )
        .expect_success();
    };
    attest("vuln", r#"{"n":1}"#, &[]);
    attest("custom", r#"{"n":2}"#, &[]);
    attest("vuln", r#"{"n":3}"#, &["--replace"]);
    let payloads = |kind: &str| {
        let found = run(&home, ["download", "attestation", "--predicate-type", kind, &image]);
        let mut said = Vec::new();
        for line in lines(&found.expect_success().stdout) {
            let envelope = line.get("dsseEnvelope").unwrap_or(&line);
            let payload = envelope["payload"].as_str().unwrap();
            let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).unwrap();
            let statement: Value = serde_json::from_slice(&payload).unwrap();
            said.push(statement["predicate"]["n"].as_u64().unwrap());
        }
        said
    };
    assert_eq!(payloads("vuln"), [3, 3], "the .att layer and the bundle");
    assert_eq!(payloads("custom"), [2, 2]);
}

/// cosign's experimental form of a bill is written as cosign writes it, and found like the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_bill_may_be_a_referrer() {
    let registry = Registry::with(|config| config.referrers_api = false).await;
    let home = home();
    let image = registry.push(&debian_like(), "1.0").await;
    let bill = write(home.path(), "bill.json", "{}");
    let attach = [
        "attach",
        "sbom",
        "--registry-referrers-mode=oci-1-1",
        "--sbom",
        &bill,
        &image,
    ];
    run(&home, attach).expect_success();
    let tree = as_json(&home, ["tree", &image]);
    let expected = json!("application/vnd.dev.cosign.artifact.sbom.v1+json");
    assert_eq!(tree["attachments"][0]["artifactType"], expected);
    assert_eq!(
        tree["attachments"][0]["layers"][0]["mediaType"],
        json!("text/spdx+json")
    );
    assert_eq!(run(&home, ["download", "sbom", &image]).expect_success().stdout, "{}");
    // A bill is no signature.
    fails(
        &run(&home, VERIFY.into_iter().chain([image.as_str()])),
        10,
        "no-signature",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_and_places_named() {
    let registry = Registry::start().await;
    let home = home();
    let file = write(home.path(), "tool", "#!/bin/sh\n");
    let name = registry.image("tools:1");
    let uploaded = run(&home, ["upload", "blob", "-f", &file, "-a", "a=b", &name])
        .expect_success()
        .stdout
        .clone();
    run(&home, ["sign", "--key", "cosign.key", "-y", uploaded.trim()]).expect_success();
    verified(&home, &name);
    let digest = uploaded.trim().rsplit_once('@').unwrap().1.to_owned();
    for (kind, expected) in [
        (
            "signature",
            registry.image(&format!("tools:{}.sig", digest.replace(':', "-"))),
        ),
        (
            "attestation",
            registry.image(&format!("tools:{}.att", digest.replace(':', "-"))),
        ),
        (
            "sbom",
            registry.image(&format!("tools:{}.sbom", digest.replace(':', "-"))),
        ),
        ("digest", registry.image(&format!("tools@{digest}"))),
    ] {
        let said = run(&home, ["triangulate", "--type", kind, &name]);
        assert_eq!(said.expect_success().stdout.trim(), expected);
    }
    let several = format!("{file}:linux/amd64,{file}:darwin/arm64");
    run(&home, ["upload", "blob", "-f", &several, &registry.image("tools:2")]).expect_success();
    let bare = ["upload", "blob", "-f", &file, "-f", &several, &name];
    fails(&run(&home, bare), 2, "platform-missing");
    fails(&run(&home, ["upload", "wasm", "-f", &file, &name]), 2, "not-wasm");
    let module = write(home.path(), "m.wasm", b"\0asm\x01\0\0\0");
    run(&home, ["upload", "wasm", "-f", &module, &registry.image("wasm:1")]).expect_success();
    fails(
        &run(&home, ["triangulate", &registry.image("tools:none")]),
        11,
        "not-found",
    );
}

fn login(home: &Sandbox, arguments: &[&str], input: &str) -> proofmark_testkit::command::Outcome {
    home.finish(home.command(PROOFMARK).arg("login").args(arguments), input.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_kept_and_used() {
    let users = proofmark_registry_server::Htpasswd::single("alice", "s3cret").unwrap();
    let registry = Registry::with(|config| config.htpasswd = Some(users)).await;
    let home = home();
    let host = registry.address().to_string();
    let file = write(home.path(), "file", "x");
    let upload = ["upload", "blob", "-f", &file, &registry.image("a:1")];
    fails(&run(&home, upload), 20, "unauthorized");
    let outcome = login(&home, &["-u", "alice", "--password-stdin", &host], "s3cret\n");
    outcome.expect_success();
    assert!(!outcome.stdout.contains("s3cret") && !outcome.stderr.contains("s3cret"));
    run(&home, upload).expect_success();
    let config = home.path().join(".docker/config.json");
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&config).unwrap().permissions()) & 0o777,
        0o600
    );
    fails(&login(&home, &["-u", "alice", &host], ""), 2, "password-missing");
    fails(
        &login(&home, &["-u", "alice", "--password-stdin", &host], "\n"),
        2,
        "password-missing",
    );
    fails(
        &login(&home, &["-u", "", "--password-stdin", &host], "x"),
        2,
        "user-name-missing",
    );
    fails(
        &login(&home, &["-u", "a", "--password-stdin", "no host"], "x"),
        2,
        "malformed-reference",
    );

    // With a helper the file gets nothing of it.
    let helpers = home.path().join("bin");
    let kept = helper(&helpers, home.path());
    fs::write(&config, r#"{"credHelpers":{"kept.example.com":"test"},"x":1}"#).unwrap();
    let path = format!("{}:/usr/bin:/bin", helpers.display());
    let mut command = home.command(PROOFMARK);
    command
        .env("PATH", path)
        .args(["login", "-u", "bob", "--password-stdin", "kept.example.com"]);
    home.finish(&mut command, b"hunter2").expect_success();
    let text = fs::read_to_string(&config).unwrap();
    assert!(
        !text.contains("auth\"") && !text.contains("hunter2") && text.contains("\"x\": 1"),
        "{text}"
    );
    let given: Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    assert_eq!(
        given,
        json!({"ServerURL": "kept.example.com", "Username": "bob", "Secret": "hunter2"})
    );
}

/// A credential helper that writes down what it is given.
fn helper(folder: &Path, home: &Path) -> std::path::PathBuf {
    let kept = home.join("kept.json");
    fs::create_dir(folder).unwrap();
    let script = format!("#!/bin/sh\n[ \"$1\" = store ] && cat > '{}'\n", kept.display());
    let path = folder.join("docker-credential-test");
    fs::write(&path, script).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    kept
}
