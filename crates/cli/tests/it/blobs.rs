//! Files: signed, attested, verified, in every format that cosign has, with it and against it. For each thing that is
//! accepted, the same with one thing changed, and the reason that it is then refused with.

pub(crate) mod advisories;
mod bundle;
mod cosign;
mod streams;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::manifest::{Case, Expected, Mode, cases};
use proofmark_types::Digest;
use serde_json::{Value, json};

use crate::world::{PROOFMARK, fails, fixture_path, home, run, write};

/// The command line of a case about a file.
pub(crate) fn arguments(case: &Case) -> Vec<String> {
    let input = &case.input;
    let verb = match input.mode {
        Mode::VerifyBlob => "verify-blob",
        Mode::VerifyBlobAttestation => "verify-blob-attestation",
        Mode::Verify | Mode::VerifyAttestation => unreachable!("an image"),
    };
    let mut arguments = vec![verb.to_owned()];
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            arguments.extend([name.to_owned(), value]);
        }
    };
    flag("--key", input.key.as_deref().map(fixture_path));
    flag("--trusted-root", input.trusted_root.as_deref().map(fixture_path));
    flag("--certificate-identity", input.identity.clone());
    flag("--certificate-oidc-issuer", input.issuer.clone());
    flag("--type", input.short_type.clone());
    flag("--bundle", case.bundle.as_deref().map(fixture_path));
    arguments.push(fixture_path(case.artifact.as_deref().expect("a file")));
    arguments
}

/// The code of the check that refuses a case, where it is to be refused.
pub(crate) fn expected_code(case: &Case) -> &'static str {
    match case.id.as_str() {
        "blob-neg-other-artifact" | "blob-neg-digest-rewritten" | "blob-neg-other-cert" => {
            "signature-not-by-certificate"
        }
        "blob-neg-other-tlog" => "log-entry-mismatch",
        "blob-neg-other-timestamp" => "timestamp-imprint-mismatch",
        "blob-neg-truncated" => "json-syntax",
        other => panic!("{other}: which check is to refuse it?"),
    }
}

#[test]
fn every_blob_case_has_its_verdict_and_its_reason() {
    let home = Sandbox::new();
    let blobs: Vec<Case> = cases().into_iter().filter(|case| case.artifact.is_some()).collect();
    assert_eq!(blobs.len(), 12);
    for case in &blobs {
        let outcome = home.run(PROOFMARK, arguments(case));
        match case.expected {
            Expected::Accept => {
                outcome.expect_success();
                assert!(outcome.stderr.contains("Verified OK"), "{}", case.id);
            }
            Expected::Reject => refused(&outcome, 12, expected_code(case)),
        }
    }
}

/// Refused for this reason and no other; nothing on standard output.
fn refused(outcome: &Outcome, exit: i32, reason: &str) {
    outcome.expect_code(exit);
    let codes: Vec<&str> = outcome
        .stderr
        .lines()
        .filter_map(|line| line.strip_suffix(']')?.rsplit_once('[').map(|(_, code)| code))
        .collect();
    assert_eq!(codes.last(), Some(&reason), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

const KEY: [&str; 3] = ["--key", "cosign.pub", "--insecure-ignore-tlog"];

fn verify<'a>(home: &Sandbox, more: &[&'a str]) -> Outcome {
    let all: Vec<&'a str> = ["verify-blob"]
        .into_iter()
        .chain(KEY)
        .chain(more.iter().copied())
        .collect();
    run(home, all)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
fn every_form_of_a_signature_by_a_key() {
    let home = home();
    write(home.path(), "file", "what is signed");
    write(home.path(), "changed", "what is signed.");
    // As in cosign 2: the signature alone, on standard output.
    let bare = run(&home, ["sign-blob", "--key", "cosign.key", "file"])
        .expect_success()
        .stdout
        .clone();
    assert!(STANDARD.decode(bare.trim()).is_ok(), "{bare}");
    write(home.path(), "sig", &bare);
    let sign = |more: &[&str]| {
        let all: Vec<&str> = ["sign-blob", "--key", "cosign.key"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        run(&home, all).expect_success().stdout.clone()
    };
    assert_eq!(
        sign(&["--bundle", "bundle", "file"]),
        "",
        "a bundle holds the signature"
    );
    let old = sign(&["--bundle", "old", "--new-bundle-format=false", "file"]);
    let held: Value = read(home.path(), "old");
    assert_eq!(held["base64Signature"], old.trim());
    assert_eq!(sign(&["--b64=false", "--output-signature", "raw", "file"]), "");
    assert!(
        STANDARD
            .decode(std::fs::read(home.path().join("raw")).unwrap())
            .is_err()
    );
    let base64 = bare.trim().to_owned();
    for form in [
        ["--signature", "sig"],
        ["--signature", "raw"],
        ["--signature", &base64],
        ["--bundle", "bundle"],
        ["--bundle", "old"],
    ] {
        let [flag, value] = form;
        verify(&home, &[flag, value, "file"]).expect_success();
        refused(
            &verify(&home, &[flag, value, "changed"]),
            12,
            "signature-not-by-given-key",
        );
        let other = [
            "verify-blob",
            "--key",
            "other.pub",
            "--insecure-ignore-tlog",
            flag,
            value,
            "file",
        ];
        refused(&run(&home, other), 12, "signature-not-by-given-key");
        // Nobody waived the log.
        let root = fixture_path("keyless/trusted_root.json");
        let logged = [
            "verify-blob",
            "--key",
            "cosign.pub",
            "--trusted-root",
            &root,
            flag,
            value,
            "file",
        ];
        refused(&run(&home, logged), 12, "log-entry-missing");
        // Neither a timestamp.
        let stamped = ["--trusted-root", &root, "--use-signed-timestamps", flag, value, "file"];
        refused(&verify(&home, &stamped), 12, "timestamp-missing");
    }
    let digest = Digest::sha256_of(b"what is signed").to_string();
    verify(&home, &["--bundle", "bundle", &digest]).expect_success();
    let other = Digest::sha256_of(b"").to_string();
    refused(
        &verify(&home, &["--bundle", "bundle", &other]),
        12,
        "signature-not-by-given-key",
    );
}

fn read(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// The bundle of `home`, changed.
fn edited(home: &Sandbox, name: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut bundle = read(home.path(), name);
    edit(&mut bundle);
    write(home.path(), "edited", bundle.to_string())
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
fn a_bundle_that_lies_is_refused_with_its_reason() {
    let home = home();
    write(home.path(), "file", "what is signed");
    write(home.path(), "another", "another file");
    for name in ["file", "another"] {
        let bundle = format!("{name}.json");
        run(&home, ["sign-blob", "--key", "cosign.key", "--bundle", &bundle, name]).expect_success();
    }
    verify(&home, &["--bundle", "file.json", "file"]).expect_success();
    refused(
        &verify(&home, &["--bundle", "another.json", "file"]),
        12,
        "signature-not-by-given-key",
    );
    type Edit = fn(&mut Value);
    let edits: [(Edit, &str); 9] = [
        (
            |bundle| bundle["messageSignature"]["messageDigest"]["digest"] = json!(STANDARD.encode([7; 32])),
            "message-digest-mismatch",
        ),
        (
            |bundle| bundle["messageSignature"]["messageDigest"]["digest"] = json!(""),
            "bundle-digest-length",
        ),
        (
            |bundle| bundle["messageSignature"]["messageDigest"]["algorithm"] = json!("SHA2_512"),
            "bundle-digest-length",
        ),
        (
            |bundle| bundle["messageSignature"]["signature"] = json!(""),
            "envelope-empty-signature",
        ),
        (
            |bundle| {
                bundle["dsseEnvelope"] = json!({"payload": "e30=", "payloadType": "application/vnd.in-toto+json",
                    "signatures": [{"sig": "MEUC"}]});
            },
            "bundle-several-contents",
        ),
        (
            |bundle| {
                bundle.as_object_mut().unwrap().remove("messageSignature");
            },
            "bundle-no-content",
        ),
        (
            |bundle| bundle["verificationMaterial"]["certificate"] = json!({"rawBytes": "MAA="}),
            "bundle-several-keys",
        ),
        (
            |bundle| bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle.v0.9+json"),
            "bundle-media-type",
        ),
        (
            |bundle| bundle["verificationMaterial"] = json!({"publicKey": {}, "tlogEntries": [{"logIndex": "1"}]}),
            "bundle-no-inclusion-proof",
        ),
    ];
    for (edit, reason) in edits {
        let path = edited(&home, "file.json", edit);
        refused(&verify(&home, &["--bundle", &path, "file"]), 12, reason);
    }
    // Without the digest, which is a hint, it is as good.
    let path = edited(&home, "file.json", |bundle| {
        bundle["messageSignature"]
            .as_object_mut()
            .unwrap()
            .remove("messageDigest");
    });
    verify(&home, &["--bundle", &path, "file"]).expect_success();
    let text = std::fs::read_to_string(home.path().join("file.json")).unwrap();
    write(home.path(), "half", &text[..text.len() / 2]);
    refused(&verify(&home, &["--bundle", "half", "file"]), 12, "json-syntax");
    write(home.path(), "empty", "");
    refused(&verify(&home, &["--bundle", "empty", "file"]), 12, "json-syntax");
}

/// A command that would not check what it seems to check is refused.
#[test]
fn mistakes_are_said() {
    let home = home();
    write(home.path(), "file", "what is signed");
    run(
        &home,
        ["sign-blob", "--key", "cosign.key", "--bundle", "bundle", "file"],
    )
    .expect_success();
    fails(&verify(&home, &["file"]), 2, "no-signature-given");
    fails(&verify(&home, &["--bundle", "nowhere", "file"]), 2, "file-unreadable");
    fails(&verify(&home, &["--bundle", "bundle", "nowhere"]), 2, "file-unreadable");
    fails(
        &verify(&home, &["--signature", "no.where", "file"]),
        2,
        "file-unreadable",
    );
    let both = ["--bundle", "bundle", "--signature", "bundle", "file"];
    fails(&verify(&home, &both), 2, "bundle-has-it");
    let both = ["--bundle", "bundle", "--rfc3161-timestamp", "bundle", "file"];
    fails(&verify(&home, &both), 2, "bundle-has-it");
    let nobody = ["verify-blob", "--bundle", "bundle", "file"];
    fails(&run(&home, nobody), 2, "no-identity");
    let same = ["sign-blob", "--key", "cosign.key", "--bundle", "file", "file"];
    fails(&run(&home, same), 2, "output-twice");
    let several = ["sign-blob", "--key", "cosign.key", "--bundle", "b", "file", "bundle"];
    fails(&run(&home, several), 2, "one-output-for-several");
    // As in cosign 2, several without a file to write: one signature a line.
    let two = run(&home, ["sign-blob", "--key", "cosign.key", "file", "bundle"]);
    assert_eq!(two.expect_success().stdout.lines().count(), 2);
}

/// A key pair of the fixtures, and a home in which it opens.
fn fixture_key(home: &Sandbox, name: &str) -> (String, String, Sandbox) {
    let file = |file: &str| fixture_path(&format!("cosign/keys/{name}/{file}"));
    let password = std::fs::read_to_string(file("password.txt")).unwrap();
    let inside = Sandbox::new().with("COSIGN_PASSWORD", password.trim_end());
    for entry in std::fs::read_dir(home.path()).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            std::fs::hard_link(entry.path(), inside.path().join(entry.file_name())).unwrap();
        }
    }
    (file("cosign.key"), file("cosign.pub"), inside)
}

fn refused_either(outcome: &Outcome) {
    assert_eq!(outcome.code, Some(12), "{outcome:?}");
}

#[test]
fn what_a_bundle_says_of_itself_does_not_move_the_cursor() {
    let home = Sandbox::new();
    // Erases the line, and writes another: what a terminal would show is the last of it.
    let bundle = json!({ "mediaType": "\u{1b}[2K\rVerified OK\n\u{202e}", "verificationMaterial": {} });
    let bundle = write(home.path(), "bundle.json", bundle.to_string().as_bytes());
    let artifact = write(home.path(), "artifact", b"content");
    let key = fixture_path("cosign/keys/p256/cosign.pub");
    let refused = run(
        &home,
        [
            "verify-blob",
            "--key",
            &key,
            "--insecure-ignore-tlog",
            "--bundle",
            &bundle,
            &artifact,
        ],
    );
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("bundle-media-type"), "{}", refused.stderr);
    assert!(
        !refused.stderr.contains(['\u{1b}', '\r', '\u{202e}']),
        "{}",
        refused.stderr
    );
}
