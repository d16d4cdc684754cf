//! Files: signed, attested, verified, in every format that cosign has, with it and against it. For each thing that is
//! accepted, the same with one thing changed, and the reason that it is then refused with.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::encoding::pem_encode;
use proofmark_evidence::legacy::set_payload;
use proofmark_sign::SigningKey;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::manifest::{Case, Expected, Mode, cases};
use proofmark_testkit::peers::{COSIGN2, COSIGN3};
use proofmark_types::{Digest, UnixTime};
use proofmark_verify::{KeyAlgorithm, PublicKey};
use serde_json::{Value, json};

use crate::world::{PROOFMARK, Trust, WORKFLOW, fails, fixture_path, flags, home, json, now, run, write};

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

#[test]
fn standard_input_is_a_file() {
    let home = home();
    write(home.path(), "file", "what is signed");
    let piped = |arguments: &[&str], input: &[u8]| home.finish(home.command(PROOFMARK).args(arguments), input);
    piped(
        &["sign-blob", "--key", "cosign.key", "--bundle", "bundle", "-"],
        b"what is signed",
    )
    .expect_success();
    verify(&home, &["--bundle", "bundle", "file"]).expect_success();
    let check = [
        "verify-blob",
        "--key",
        "cosign.pub",
        "--insecure-ignore-tlog",
        "--bundle",
        "bundle",
        "-",
    ];
    piped(&check, b"what is signed").expect_success();
    refused(&piped(&check, b"what is signed\n"), 12, "signature-not-by-given-key");
    let attest = [
        "attest-blob",
        "--key",
        "cosign.key",
        "--predicate",
        "-",
        "--bundle",
        "att",
        "file",
    ];
    piped(&attest, b"seen by me").expect_success();
    let twice = [
        "attest-blob",
        "--key",
        "cosign.key",
        "--predicate",
        "-",
        "--bundle",
        "b",
        "-",
    ];
    fails(&piped(&twice, b""), 2, "standard-input-twice");
}

/// A file of more than is held is signed and verified by its digests; an Ed25519 key is given the bytes.
#[test]
fn a_large_file_passes_through() {
    let home = Sandbox::new();
    let file = std::fs::File::create(home.path().join("large")).unwrap();
    file.set_len(40 * 1024 * 1024).unwrap();
    for name in ["p256", "p384", "rsa2048", "ed25519"] {
        let (key, public, home) = fixture_key(&home, name);
        let sign = ["sign-blob", "--key", &key, "--bundle", "bundle", "large"];
        home.run(PROOFMARK, sign).expect_success();
        let check = [
            "verify-blob",
            "--key",
            &public,
            "--insecure-ignore-tlog",
            "--bundle",
            "bundle",
        ];
        let check = |blob: &str| home.run(PROOFMARK, check.iter().copied().chain([blob]));
        check("large").expect_success();
        use std::io::{Seek as _, Write as _};
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .open(home.path().join("large"))
            .unwrap();
        file.seek(std::io::SeekFrom::End(-1)).unwrap();
        file.write_all(b"x").unwrap();
        refused(&check("large"), 12, "signature-not-by-given-key");
        file.seek(std::io::SeekFrom::End(-1)).unwrap();
        file.write_all(&[0]).unwrap();
    }
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

/// CVE-2026-39395: cosign verified attestations whose payload was no statement, or was of another type.
#[test]
fn cve_2026_39395_the_payload_is_a_statement_of_the_type() {
    let home = home();
    write(home.path(), "file", "what is signed");
    write(home.path(), "other", "another file");
    write(home.path(), "predicate", r#"{"spdxVersion": "SPDX-2.3"}"#);
    let attest = [
        "attest-blob",
        "--key",
        "cosign.key",
        "--predicate",
        "predicate",
        "--type",
        "spdxjson",
    ];
    let with = |more: &[&str]| {
        run(
            &home,
            attest.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>(),
        )
    };
    with(&["--bundle", "new", "--output-attestation", "statement", "file"]).expect_success();
    let printed = with(&[
        "--bundle",
        "old",
        "--new-bundle-format=false",
        "--output-signature",
        "envelope",
        "file",
    ]);
    assert_eq!(printed.expect_success().stdout, "");
    let key = SigningKey::from_pem(
        &std::fs::read_to_string(home.path().join("cosign.key")).unwrap(),
        Some(&proofmark_sign::Password::new(crate::world::PASSWORD.to_owned())),
    )
    .unwrap();
    // A good signature over something that is no statement.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pae = proofmark_evidence::dsse::pae("application/vnd.in-toto+json", b"{}");
    let signature = STANDARD.encode(runtime.block_on(key.sign(&pae)).unwrap());
    let malformed = json!({"payloadType": "application/vnd.in-toto+json", "payload": "e30=",
        "signatures": [{"keyid": "", "sig": signature}]});
    let mut bundle = read(home.path(), "new");
    bundle["dsseEnvelope"] = malformed.clone();
    write(home.path(), "new-malformed", bundle.to_string());
    write(home.path(), "envelope-malformed", malformed.to_string());
    let old = json!({"base64Signature": STANDARD.encode(malformed.to_string())});
    write(home.path(), "old-malformed", old.to_string());
    let check = |more: &[&str]| {
        let fixed = ["verify-blob-attestation"].into_iter().chain(KEY);
        run(&home, fixed.chain(more.iter().copied()).collect::<Vec<_>>())
    };
    for (flag, name) in [("--bundle", "new"), ("--bundle", "old"), ("--signature", "envelope")] {
        check(&[flag, name, "--type", "spdxjson", "file"]).expect_success();
        let digest = Digest::sha256_of(b"what is signed").hex();
        check(&[
            flag,
            name,
            "--type",
            "spdxjson",
            "--digest",
            &digest,
            "--digestAlg",
            "sha256",
        ])
        .expect_success();
        check(&[flag, name, "--type", "spdxjson", "--check-claims=false"]).expect_success();
        for claims in ["--check-claims=true", "--check-claims=false"] {
            let wrong = [flag, name, "--type", "cyclonedx", claims, "file"];
            refused(&check(&wrong), 14, "predicate-type-mismatch");
            let malformed = format!("{name}-malformed");
            refused(
                &check(&[flag, &malformed, "--type", "spdxjson", claims, "file"]),
                14,
                "statement-malformed",
            );
        }
        // CVE-2026-31830: about another file.
        refused(
            &check(&[flag, name, "--type", "spdxjson", "other"]),
            14,
            "subject-mismatch",
        );
        let digest = Digest::sha256_of(b"another file").hex();
        let other = [
            flag,
            name,
            "--type",
            "spdxjson",
            "--digest",
            &digest,
            "--digestAlg",
            "sha256",
        ];
        refused(&check(&other), 14, "subject-mismatch");
        let stranger = [
            "verify-blob-attestation",
            "--key",
            "other.pub",
            "--insecure-ignore-tlog",
            flag,
            name,
            "--type",
            "spdxjson",
            "file",
        ];
        refused(&run(&home, stranger), 14, "signature-not-by-given-key");
    }
    fails(&check(&["--bundle", "new", "--type", "spdxjson"]), 2, "no-file-given");
    let empty = [
        "--bundle",
        "new",
        "--type",
        "spdxjson",
        "--digest",
        "",
        "--digestAlg",
        "sha256",
    ];
    fails(&check(&empty), 2, "malformed-digest");
    // An attestation is no signature, unless someone wants it to be one; nor the other way round.
    let bundle = verify(&home, &["--bundle", "new", "file"]);
    assert_eq!(bundle.code, Some(10), "{bundle:?}");
    verify(&home, &["--bundle", "new", "--accept-any-bundle", "file"]).expect_success();
    run(
        &home,
        ["sign-blob", "--key", "cosign.key", "--bundle", "signature", "file"],
    )
    .expect_success();
    refused(
        &check(&["--bundle", "signature", "--type", "spdxjson", "file"]),
        14,
        "not-of-the-wanted-kind",
    );
    // What someone else wrote is signed as it stands.
    let given = [
        "attest-blob",
        "--key",
        "cosign.key",
        "--statement",
        "statement",
        "--bundle",
        "again",
        "file",
    ];
    assert!(!run(&home, given).expect_success().stderr.contains("not about"));
    check(&["--bundle", "again", "--type", "spdxjson", "file"]).expect_success();
    let given = [
        "attest-blob",
        "--key",
        "cosign.key",
        "--statement",
        "statement",
        "--bundle",
        "again",
        "other",
    ];
    assert!(run(&home, given).expect_success().stderr.contains("not about other"));
}

/// A Rekor v1 of our own: cosign's older formats have room for its promise alone.
struct Rekor {
    key: SigningKey,
}

impl Rekor {
    fn new() -> Self {
        Self {
            key: SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap(),
        }
    }

    /// This log, in a trusted root.
    fn add_to(&self, root: &mut Value) {
        let public = self.key.public_key();
        root["tlogs"].as_array_mut().unwrap().push(json!({
            "baseUrl": "https://rekor.acme.test", "hashAlgorithm": "SHA2_256",
            "publicKey": {"rawBytes": STANDARD.encode(public.spki_der()), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2020-01-01T00:00:00Z"}},
            "logId": {"keyId": STANDARD.encode(public.fingerprint().as_bytes())},
        }));
    }

    /// What the log says of a signature: `signer` is a PEM.
    async fn promise(&self, artifact: &[u8], signature: &str, signer: &str) -> Value {
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": Digest::sha256_of(artifact).hex()}},
            "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(signer)}},
        }})
        .to_string();
        let id = self.key.public_key().fingerprint().as_bytes().to_vec();
        let at: UnixTime = now();
        let set = self.key.sign(&set_payload(body.as_bytes(), at, &id, 7)).await.unwrap();
        json!({"SignedEntryTimestamp": STANDARD.encode(set), "Payload": {
            "body": STANDARD.encode(body), "integratedTime": at.seconds(), "logIndex": 7,
            "logID": Digest::from_bytes(proofmark_types::DigestAlgorithm::Sha256, &id).unwrap().hex(),
        }})
    }
}

/// CVE-2022-36056 and CVE-2026-22703: cosign took a log entry for one about the signature at hand that was about another.
/// The same entries through each way in: the older bundle and Sigstore's, by key and by certificate.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2022_36056_and_cve_2026_22703_the_entry_is_about_this_signature() {
    let home = home();
    let trust = Trust::start().await;
    let rekor = Rekor::new();
    let mut root: Value = serde_json::from_slice(&std::fs::read(trust.file("trusted_root.json")).unwrap()).unwrap();
    rekor.add_to(&mut root);
    write(home.path(), "root.json", root.to_string());
    write(home.path(), "file", "what is signed");
    write(home.path(), "another", "another file");
    let old = ["--new-bundle-format=false"];
    let by_key = ["sign-blob", "--key", "cosign.key", "--bundle", "key", old[0], "file"];
    run(&home, by_key).expect_success();
    let by_identity = ["sign-blob", "--bundle", "identity", old[0], "file"];
    run(&home, flags(&by_identity, &trust.signing())).expect_success();
    let public = std::fs::read_to_string(home.path().join("cosign.pub")).unwrap();
    let stranger = std::fs::read_to_string(home.path().join("other.pub")).unwrap();
    let another = run(&home, ["sign-blob", "--key", "cosign.key", "another"])
        .expect_success()
        .stdout
        .trim()
        .to_owned();
    let key_flags = vec!["--key".to_owned(), "cosign.pub".to_owned()];
    let identity_flags: Vec<String> = trust.verifying()[2..].to_vec();
    for (name, signer) in [("key", key_flags), ("identity", identity_flags)] {
        let bundle = read(home.path(), name);
        let signature = bundle["base64Signature"].as_str().unwrap().to_owned();
        let pem = match bundle["cert"].as_str() {
            Some(pem) => String::from_utf8(STANDARD.decode(pem).unwrap()).unwrap(),
            None => public.clone(),
        };
        let good = rekor.promise(b"what is signed", &signature, &pem).await;
        let mut forged = good.clone();
        forged["SignedEntryTimestamp"] = rekor.promise(b"x", &signature, &pem).await["SignedEntryTimestamp"].clone();
        let mut later = good.clone();
        later["Payload"]["integratedTime"] = json!(later["Payload"]["integratedTime"].as_i64().unwrap() - 60);
        let entries = [
            (good, None),
            (
                rekor.promise(b"another file", &signature, &pem).await,
                Some("log-entry-mismatch"),
            ),
            (
                rekor.promise(b"what is signed", &another, &pem).await,
                Some("log-entry-mismatch"),
            ),
            (
                rekor.promise(b"what is signed", &signature, &stranger).await,
                Some("log-entry-mismatch"),
            ),
            (
                rekor.promise(b"another file", &another, &public).await,
                Some("log-entry-mismatch"),
            ),
            (forged, Some("set-invalid")),
            (later, Some("set-invalid")),
        ];
        for (entry, reason) in entries {
            let mut older = bundle.clone();
            older["rekorBundle"] = entry.clone();
            write(home.path(), "older", older.to_string());
            write(home.path(), "sigstore", v01(&signature, &pem, &entry).to_string());
            for form in ["older", "sigstore"] {
                for offline in ["--offline=false", "--offline"] {
                    let fixed = [
                        "verify-blob",
                        "--trusted-root",
                        "root.json",
                        offline,
                        "--bundle",
                        form,
                        "file",
                    ];
                    let outcome = run(&home, flags(&fixed, &signer));
                    match reason {
                        None => assert_eq!(outcome.code, Some(0), "{name}, {form}: {}", outcome.stderr),
                        Some(reason) => refused(&outcome, 12, reason),
                    }
                }
            }
        }
    }
}

/// The same as a Sigstore bundle v0.1, which has room for a promise alone.
fn v01(signature: &str, pem: &str, promise: &Value) -> Value {
    let payload = &promise["Payload"];
    let id = Digest::parse(&format!("sha256:{}", payload["logID"].as_str().unwrap())).unwrap();
    let der = proofmark_evidence::encoding::pem_decode_all("CERTIFICATE", pem).filter(|found| !found.is_empty());
    let mut material = match der {
        Some(der) => json!({"x509CertificateChain": {"certificates": [{"rawBytes": STANDARD.encode(&der[0])}]}}),
        None => json!({"publicKey": {"hint": ""}}),
    };
    material["tlogEntries"] = json!([{
        "logIndex": payload["logIndex"].to_string(), "logId": {"keyId": STANDARD.encode(id.as_bytes())},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
        "integratedTime": payload["integratedTime"].to_string(),
        "inclusionPromise": {"signedEntryTimestamp": promise["SignedEntryTimestamp"]},
        "canonicalizedBody": payload["body"],
    }]);
    json!({"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1", "verificationMaterial": material,
        "messageSignature": {"signature": signature}})
}

/// A signature under a certificate, in each format, and the same with another identity, issuer or file.
#[tokio::test(flavor = "multi_thread")]
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
        .chain(services.clone())
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

fn refused_either(outcome: &Outcome) {
    assert_eq!(outcome.code, Some(12), "{outcome:?}");
}

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
        public.clone(),
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
