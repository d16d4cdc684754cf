//! With certificates, and with the real cosign, both ways.

use std::path::Path;

use proofmark_testkit::peers::{COSIGN2, COSIGN3};
use serde_json::json;

use super::{fixture_key, refused, refused_either};
use crate::world::{PROOFMARK, Trust, WORKFLOW, fixture_path, flags, home, json, run, write};

/// A signature under a certificate, in each format, and the same with another identity, issuer or file.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn signed_by_an_identity() {
    let home = home();
    let trust = Trust::start().await;
    write(home.path(), "file", "what is signed");
    write(home.path(), "another", "another file");
    run(
        &home,
        flags(&["sign-blob", "--bundle", "bundle", "file"], &trust.signing()),
    )
    .expect_success();
    let parts = [
        "sign-blob",
        "--output-signature",
        "sig",
        "--output-certificate",
        "cert",
        "--rfc3161-timestamp",
        "stamp",
        "file",
    ];
    let said = run(&home, flags(&parts, &trust.signing()));
    assert!(
        said.expect_success().stderr.contains("it is not logged"),
        "{}",
        said.stderr
    );
    let forms: [&[&str]; 2] = [
        &["--bundle", "bundle"],
        &[
            "--signature",
            "sig",
            "--certificate",
            "cert",
            "--rfc3161-timestamp",
            "stamp",
            "--insecure-ignore-tlog",
        ],
    ];
    for form in forms {
        let check = |blob: &str, signer: &[String]| {
            let fixed = ["verify-blob", "--use-signed-timestamps"]
                .into_iter()
                .chain(form.iter().copied());
            run(&home, flags(&fixed.chain([blob]).collect::<Vec<_>>(), signer))
        };
        check("file", &trust.verifying()).expect_success();
        refused(
            &check("another", &trust.verifying()),
            12,
            "signature-not-by-certificate",
        );
        let mut other = trust.verifying();
        other[3] = WORKFLOW.replace("release.yml", "experiment.yml");
        refused(&check("file", &other), 12, "subject-mismatch");
        let mut other = trust.verifying();
        other[5] = "https://accounts.acme.test".to_owned();
        refused(&check("file", &other), 12, "issuer-mismatch");
        let mut other = trust.verifying();
        other[1] = fixture_path("keyless/trusted_root.json");
        refused(&check("file", &other), 12, "certificate-untrusted");
        // A key says nothing of a certificate.
        let key = vec!["--key".to_owned(), "cosign.pub".to_owned()];
        if form[0] == "--bundle" {
            assert_eq!(check("file", &key).code, Some(12));
        }
    }
    // Without what vouches for its time, the certificate that has ended would be as good as any.
    let unstamped = ["verify-blob", "--signature", "sig", "--certificate", "cert", "file"];
    refused(
        &run(&home, flags(&unstamped, &trust.verifying())),
        12,
        "log-entry-missing",
    );
    let logged = json(
        &home,
        flags(&["verify-blob", "--bundle", "bundle", "file"], &trust.verifying()),
    );
    assert_eq!(logged["verdict"], "pass");
    assert_eq!(logged["signatures"][0]["logs"][0]["inclusionProven"], json!(true));
    let key = ["sign-blob", "--key", "cosign.key", "--bundle", "logged", "file"];
    let services = &trust.signing()[..4];
    run(&home, flags(&key, services)).expect_success();
    let root = trust.file("trusted_root.json");
    let check = [
        "verify-blob",
        "--key",
        "cosign.pub",
        "--trusted-root",
        &root,
        "--use-signed-timestamps",
        "--bundle",
    ];
    run(&home, check.into_iter().chain(["logged", "file"])).expect_success();
    refused(
        &run(&home, check.into_iter().chain(["logged", "another"])),
        12,
        "signature-not-by-given-key",
    );
}

/// cosign with a key, no services: both ways, in each format that the version has.
#[test]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
fn cosign_and_we_verify_each_other_by_key() {
    let home = home();
    write(home.path(), "file", "what is signed");
    write(home.path(), "another", "another file");
    write(home.path(), "predicate", r#"{"spdxVersion": "SPDX-2.3"}"#);
    let root = fixture_path("keyless/trusted_root.json");
    for (peer, is_3) in [(COSIGN3, true), (COSIGN2, false)] {
        let Some(cosign) = peer.or_skip() else { continue };
        let mut names = vec!["p256", "p384", "rsa2048"];
        if is_3 {
            names.push("ed25519");
        }
        for name in names {
            let (key, public, home) = fixture_key(&home, name);
            for new in [true, false] {
                let format = format!("--new-bundle-format={new}");
                let case = format!("{name}, new format {new}, cosign 3 {is_3}");
                let sign = [
                    "sign-blob",
                    "--key",
                    &key,
                    "--bundle",
                    "bundle",
                    &format,
                    "--tlog-upload=false",
                    "--yes",
                ];
                let attest = [
                    "attest-blob",
                    "--key",
                    &key,
                    "--bundle",
                    "att",
                    &format,
                    "--tlog-upload=false",
                    "--yes",
                    "--predicate",
                    "predicate",
                    "--type",
                    "spdxjson",
                ];
                let mut theirs = vec![format!("--new-bundle-format={new}")];
                if is_3 {
                    theirs.push("--use-signing-config=false".to_owned());
                }
                let check = |program: &Path, verb: &str, bundle: &str, blob: &str| {
                    let mut all = vec![
                        verb,
                        "--key",
                        &public,
                        "--insecure-ignore-tlog",
                        "--bundle",
                        bundle,
                        &format,
                    ];
                    if verb == "verify-blob-attestation" {
                        all.extend(["--type", "spdxjson"]);
                    }
                    if new && !is_3 {
                        // Even with a key it looks for the public instance otherwise.
                        all.extend(["--trusted-root", &root]);
                    }
                    all.push(blob);
                    home.run(program, all)
                };
                let ours = Path::new(PROOFMARK);
                for (verb, bundle, arguments) in [
                    ("verify-blob", "bundle", &sign[..]),
                    ("verify-blob-attestation", "att", &attest[..]),
                ] {
                    let more = theirs[1..].iter().map(String::as_str);
                    let made = home.run(&cosign, arguments.iter().copied().chain(more).chain(["file"]));
                    assert!(made.succeeded(), "{case}: {made:?}");
                    let own = check(&cosign, verb, bundle, "file");
                    let seen = check(ours, verb, bundle, "file");
                    // It writes `"messageDigest": {}` for a file signed by Ed25519, and does not take that itself.
                    let empty = name == "ed25519" && new && seen.stderr.contains("[bundle-digest-algorithm]");
                    assert!(
                        seen.succeeded() || (empty && !own.succeeded()),
                        "by cosign, {case}: {seen:?}"
                    );
                    let seen = check(ours, verb, bundle, "another");
                    assert!(matches!(seen.code, Some(12 | 14)), "by cosign, {case}: {seen:?}");
                    let made = home.run(ours, arguments.iter().copied().chain(["file"]));
                    assert!(made.succeeded(), "{case}: {made:?}");
                    let seen = check(&cosign, verb, bundle, "file");
                    if name == "p384" && new && !is_3 {
                        // cosign 2 knows SHA-256 for every key; what it reads of other curves is the older format.
                        assert!(!seen.succeeded(), "{case}: no exception any more");
                    } else if own.succeeded() || !new {
                        assert!(seen.succeeded(), "to cosign, {case}, {verb}: {seen:?}");
                    } else {
                        // It takes SHA-256 for the hash of every key that it is given (sigstore/cosign#5019).
                        println!("cosign does not verify its own: {case}, {verb}");
                        assert!(is_3 && name != "p256", "{case}, {verb}: {own:?}");
                    }
                    let seen = check(&cosign, verb, bundle, "another");
                    assert!(!seen.succeeded(), "to cosign, {case}: {seen:?}");
                }
            }
        }
    }
}

/// cosign 3 verifies what we sign keyless, logged and stamped, and by a logged key.
#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_what_our_services_witnessed() {
    let Some(cosign) = COSIGN3.or_skip() else { return };
    let home = home();
    let trust = Trust::start().await;
    write(home.path(), "file", "what is signed");
    write(home.path(), "another", "another file");
    write(home.path(), "predicate", r#"{"spdxVersion": "SPDX-2.3"}"#);
    let root = trust.file("trusted_root.json");
    let services = trust.signing()[..4].to_vec();
    let key_flags = ["--key".to_owned(), "cosign.key".to_owned()]
        .into_iter()
        .chain(services)
        .collect();
    let key_check: Vec<String> = ["--key", "cosign.pub", "--trusted-root", &root]
        .map(str::to_owned)
        .to_vec();
    for (signer, checker) in [(trust.signing(), trust.verifying()), (key_flags, key_check)] {
        run(&home, flags(&["sign-blob", "--bundle", "bundle", "file"], &signer)).expect_success();
        let check = |program: &Path, blob: &str| {
            home.run(
                program,
                flags(
                    &["verify-blob", "--use-signed-timestamps", "--bundle", "bundle", blob],
                    &checker,
                ),
            )
        };
        check(&cosign, "file").expect_success();
        assert!(!check(&cosign, "another").succeeded());
        // Theirs, by the same signer and services.
        let theirs = ["sign-blob", "--yes", "--bundle", "bundle", "file"];
        let made = home.run(&cosign, flags(&theirs, &signer));
        if made.succeeded() {
            check(Path::new(PROOFMARK), "file").expect_success();
            refused_either(&check(Path::new(PROOFMARK), "another"));
        } else {
            assert!(signer.contains(&"--identity-token".to_owned()), "{made:?}");
            println!(
                "cosign does not take the identity token of our issuer: {}",
                made.stderr.trim()
            );
        }
        let attest = [
            "attest-blob",
            "--predicate",
            "predicate",
            "--type",
            "spdxjson",
            "--bundle",
            "att",
            "file",
        ];
        run(&home, flags(&attest, &signer)).expect_success();
        let fixed = [
            "verify-blob-attestation",
            "--use-signed-timestamps",
            "--type",
            "spdxjson",
            "--bundle",
            "att",
            "file",
        ];
        home.run(&cosign, flags(&fixed, &checker)).expect_success();
    }
}
