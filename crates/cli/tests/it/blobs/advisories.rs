//! What cosign once accepted, through each way in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::legacy::set_payload;
use proofmark_sign::SigningKey;
use proofmark_types::{Digest, DigestAlgorithm, UnixTime};
use proofmark_verify::{KeyAlgorithm, PublicKey};
use serde_json::{Value, json};

use super::{KEY, read, refused, verify};
use crate::world::{Trust, fails, flags, home, now, run, write};

/// CVE-2026-39395: cosign verified attestations whose payload was no statement, or was of another type.
#[test]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
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
pub(crate) struct Rekor {
    key: SigningKey,
}

impl Rekor {
    pub(crate) fn new() -> Self {
        Self {
            key: SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap(),
        }
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.key.public_key().clone()
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
    pub(crate) async fn promise(&self, artifact: &[u8], signature: &str, signer: &str) -> Value {
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
            "logID": Digest::from_bytes(DigestAlgorithm::Sha256, &id).unwrap().hex(),
        }})
    }
}

/// CVE-2022-36056 and CVE-2026-22703: cosign took a log entry for one about the signature at hand that was about another.
/// The same entries through each way in: the older bundle and Sigstore's, by key and by certificate.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
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

/// What was not checked is not called verified, and a digest beside the file is the file's.
#[test]
fn what_was_not_checked_is_said_before_the_result() {
    let home = home();
    write(home.path(), "file", "what is signed");
    write(home.path(), "predicate", r#"{"spdxVersion": "SPDX-2.3"}"#);
    let key = ["--key", "cosign.key", "--predicate", "predicate", "--type", "spdxjson"];
    let attest = ["attest-blob", "--bundle", "bundle", "file"];
    run(&home, attest.into_iter().chain(key).collect::<Vec<_>>()).expect_success();
    let check = |program: &[&str], more: &[&str]| {
        let fixed = ["verify-blob-attestation", "--bundle", "bundle", "--type", "spdxjson"];
        let all = program.iter().copied().chain(fixed).chain(KEY);
        run(&home, all.chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let sha256 = Digest::of(DigestAlgorithm::Sha256, b"what is signed");
    let checked = check(&[], &["file"]);
    assert!(checked.expect_success().stdout.contains(": verified, sha256:"));
    // Of no file, and of one that it is not about.
    write(home.path(), "other", "another file");
    for file in [&[][..], &["other"]] {
        let said = check(&[], &[&["--check-claims=false"], file].concat());
        said.expect_success();
        assert!(
            said.stderr.starts_with("warning: --check-claims=false"),
            "{}",
            said.stderr
        );
        assert!(!said.stderr.contains("Verified OK"), "{}", said.stderr);
        let first = said.stdout.lines().next().unwrap();
        assert_eq!(
            first,
            format!("the attestation is verified; which file it is about was not checked, it says of itself {sha256}")
        );
        let value = check(&["-o", "json"], &[&["--check-claims=false"], file].concat());
        let value: Value = serde_json::from_str(&value.expect_success().stdout).unwrap();
        assert_eq!((&value["claimsChecked"], &value["file"]), (&json!(false), &Value::Null));
        assert_eq!(value["claimedDigest"], sha256.to_string());
    }
    // Beside the file.
    let digest = |algorithm, hex: &str, file| check(&[], &["--digestAlg", algorithm, "--digest", hex, file]);
    let sha512 = Digest::of(DigestAlgorithm::Sha512, b"what is signed");
    digest("sha256", &sha256.hex(), "file").expect_success();
    digest("sha512", &sha512.hex(), "file").expect_success();
    for (algorithm, hex, file) in [
        ("sha256", sha256.hex(), "other"),
        ("sha256", Digest::sha256_of(b"another file").hex(), "file"),
        ("sha512", sha256.hex().repeat(2), "file"),
    ] {
        fails(&digest(algorithm, &hex, file), 2, "digest-of-another-file");
    }
    fails(&digest("sha512", &sha256.hex(), "file"), 2, "malformed-digest");
}
