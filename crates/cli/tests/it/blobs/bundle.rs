//! `bundle create`, `inspect` and `upgrade`, and keys that come with the evidence.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::encoding::pem_encode;
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::peers::COSIGN3;
use proofmark_verify::PublicKey;
use serde_json::{Value, json};

use super::{edited, read, refused, verify};
use crate::world::{PROOFMARK, fails, fixture_path, home, json, run, write};

/// The hint of a bundle is never a reason to believe a key.
#[test]
fn a_key_in_the_evidence_is_not_believed() {
    let home = home();
    write(home.path(), "file", "what is signed");
    run(&home, ["key", "generate", "--output-key-prefix", "mallory"]).expect_success();
    let sign = [
        "sign-blob",
        "--key",
        "mallory.key",
        "--bundle",
        "old",
        "--new-bundle-format=false",
        "file",
    ];
    run(&home, sign).expect_success();
    let public = std::fs::read_to_string(home.path().join("mallory.pub")).unwrap();
    let key = PublicKey::from_pem(&public).unwrap();
    // cosign takes the key in `cert` of such a bundle in the place of the one that was asked for.
    for cert in [
        STANDARD.encode(&public),
        public,
        pem_encode("PUBLIC KEY", key.spki_der()),
    ] {
        let path = edited(&home, "old", |bundle| bundle["cert"] = json!(cert));
        refused(
            &verify(&home, &["--bundle", &path, "file"]),
            12,
            "signature-not-by-given-key",
        );
        let mallory = [
            "verify-blob",
            "--key",
            "mallory.pub",
            "--insecure-ignore-tlog",
            "--bundle",
            &path,
            "file",
        ];
        run(&home, mallory).expect_success();
    }
}

/// The bundle of a case of the fixtures, as an older version has it.
fn older(version: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let path = fixture_path("keyless/blobs/email/bundle.json");
    let mut bundle: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    bundle["mediaType"] = json!(format!("application/vnd.dev.sigstore.bundle+json;version={version}"));
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    let certificate = material.remove("certificate").unwrap();
    material.insert(
        "x509CertificateChain".to_owned(),
        json!({"certificates": [certificate.clone(), certificate]}),
    );
    edit(&mut bundle);
    bundle
}

#[test]
fn a_bundle_is_upgraded_and_verifies_as_before() {
    let home = Sandbox::new();
    let root = fixture_path("keyless/trusted_root.json");
    let blob = fixture_path("keyless/blobs/email/artifact.txt");
    write(home.path(), "v02", older("0.2", |_| ()).to_string());
    run(&home, ["bundle", "upgrade", "v02", "--out", "v03"]).expect_success();
    let written = read(home.path(), "v03");
    assert_eq!(written["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
    assert!(
        written["verificationMaterial"]["certificate"]["rawBytes"].is_string(),
        "{written}"
    );
    let check = |program: &Path, bundle: &str, blob: &str| {
        let arguments = [
            "verify-blob",
            "--trusted-root",
            &root,
            "--certificate-identity",
            "dev@alpha.test",
            "--certificate-oidc-issuer",
            "https://accounts.alpha.test",
            "--bundle",
            bundle,
            blob,
        ];
        home.run(program, arguments)
    };
    for bundle in ["v02", "v03"] {
        check(Path::new(PROOFMARK), bundle, &blob).expect_success();
        let other = check(Path::new(PROOFMARK), bundle, &root);
        refused(&other, 12, "signature-not-by-certificate");
    }
    if let Some(cosign) = COSIGN3.or_skip() {
        check(&cosign, "v03", &blob).expect_success();
    }
    // Again, nothing changes.
    let again = run(&home, ["bundle", "upgrade", "v03"]);
    assert_eq!(
        again.expect_success().stdout.trim_end(),
        std::fs::read_to_string(home.path().join("v03")).unwrap()
    );
    // v0.1 with a promise alone: v0.3 has no room for it.
    let promised = older("0.1", |bundle| {
        let entry = &mut bundle["verificationMaterial"]["tlogEntries"][0];
        entry.as_object_mut().unwrap().remove("inclusionProof");
        entry["inclusionPromise"] = json!({"signedEntryTimestamp": "MEUC"});
    });
    write(home.path(), "v01", promised.to_string());
    fails(
        &run(&home, ["bundle", "upgrade", "v01"]),
        2,
        "bundle-no-inclusion-proof",
    );
    let without = run(&home, ["bundle", "upgrade", "v01", "--ignore-tlog"]);
    let without: Value = serde_json::from_str(&without.expect_success().stdout).unwrap();
    assert_eq!(without["verificationMaterial"]["tlogEntries"], Value::Null);
    write(home.path(), "half", "{");
    refused(&run(&home, ["bundle", "upgrade", "half"]), 12, "json-syntax");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
fn a_bundle_is_made_of_its_parts() {
    let home = home();
    write(home.path(), "file", "what is signed");
    write(home.path(), "another", "another file");
    write(home.path(), "predicate", r#"{"spdxVersion": "SPDX-2.3"}"#);
    let sign = ["sign-blob", "--key", "cosign.key", "--output-signature", "sig", "file"];
    run(&home, sign).expect_success();
    let old = [
        "sign-blob",
        "--key",
        "cosign.key",
        "--bundle",
        "old",
        "--new-bundle-format=false",
        "file",
    ];
    run(&home, old).expect_success();
    let attest = [
        "attest-blob",
        "--key",
        "cosign.key",
        "--predicate",
        "predicate",
        "--type",
        "spdxjson",
        "--output-signature",
        "envelope",
        "file",
    ];
    run(&home, attest).expect_success();
    let create = |program: &Path, more: &[&str]| {
        let fixed = [
            "bundle",
            "create",
            "--key",
            "cosign.pub",
            "--ignore-tlog",
            "--out",
            "made",
        ];
        home.run(program, fixed.into_iter().chain(more.iter().copied()))
    };
    let cosign = COSIGN3.or_skip();
    let ours = Path::new(PROOFMARK);
    for from in [
        ["--signature", "sig"],
        ["--bundle", "old"],
        ["--attestation", "envelope"],
    ] {
        let verb = if from[0] == "--attestation" {
            "verify-blob-attestation"
        } else {
            "verify-blob"
        };
        let makers = [Some(ours), cosign.as_deref()];
        for maker in makers.into_iter().flatten() {
            if maker != ours && from[0] == "--attestation" {
                // cosign 3.1.1 wants a signature beside the attestation, and then takes the attestation.
                continue;
            }
            let made = create(maker, &[from[0], from[1], "--artifact", "file"]);
            assert!(made.succeeded(), "{made:?}");
            for checker in makers.into_iter().flatten() {
                let mut check = vec![
                    verb,
                    "--key",
                    "cosign.pub",
                    "--insecure-ignore-tlog",
                    "--bundle",
                    "made",
                ];
                if verb == "verify-blob-attestation" {
                    check.extend(["--type", "spdxjson"]);
                }
                let seen = home.run(checker, check.iter().copied().chain(["file"]));
                assert!(seen.succeeded(), "{from:?}: {seen:?}");
                assert!(!home.run(checker, check.iter().copied().chain(["another"])).succeeded());
            }
        }
        let other = create(ours, &[from[0], from[1], "--artifact", "another"]);
        let reason = if verb == "verify-blob" {
            "signature-not-by-given-key"
        } else {
            "subject-mismatch"
        };
        refused(&other, 12, reason);
    }
    let unlogged = [
        "bundle",
        "create",
        "--key",
        "cosign.pub",
        "--signature",
        "sig",
        "--artifact",
        "file",
    ];
    fails(&run(&home, unlogged), 2, "log-entry-missing");
    let nobody = [
        "bundle",
        "create",
        "--ignore-tlog",
        "--signature",
        "sig",
        "--artifact",
        "file",
    ];
    fails(&run(&home, nobody), 2, "no-signer");
}

#[test]
fn what_is_in_a_bundle_is_shown_and_not_believed() {
    let home = Sandbox::new();
    let path = fixture_path("keyless/blobs/github/bundle.json");
    let shown = json(&home, ["bundle", "inspect", &path]);
    assert_eq!(shown["verified"], json!(false));
    let certificate = &shown["signer"]["certificate"];
    let subject = "https://github.com/alpha-corp/payments/.github/workflows/release.yml@refs/heads/main";
    assert!(certificate["subjects"].to_string().contains(subject), "{certificate}");
    assert_eq!(certificate["oidcIssuer"], "https://token.actions.githubusercontent.com");
    assert_eq!(shown["logEntries"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["logEntries"][0]["kind"], "hashedrekord 0.0.2");
    assert!(
        shown["logEntries"][0]["proof"]["checkpoint"]["signedBy"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
    assert!(shown["timestamps"][0]["time"].is_string(), "{shown}");
    let text = run(&home, ["bundle", "inspect", &path]).expect_success().stdout.clone();
    assert!(text.starts_with("UNVERIFIED: ") && text.contains(subject), "{text}");
    // Bytes that would write on the screen what is not there.
    let mut bundle: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    bundle["verificationMaterial"] = json!({"publicKey": {"hint": "\u{1b}[2Jverified\n"}});
    write(home.path(), "screen", bundle.to_string());
    let text = run(&home, ["bundle", "inspect", "screen"])
        .expect_success()
        .stdout
        .clone();
    assert!(!text.contains('\u{1b}') && text.contains("[2Jverified"), "{text}");
    refused(
        &run(
            &home,
            [
                "bundle",
                "inspect",
                &fixture_path("keyless/blobs/neg-truncated/bundle.json"),
            ],
        ),
        12,
        "json-syntax",
    );
}
