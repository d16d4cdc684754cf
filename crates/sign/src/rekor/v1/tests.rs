use std::fs;
use std::path::Path;

use proofmark_evidence::dsse::{IN_TOTO_PAYLOAD_TYPE, Signature, pae};
use proofmark_verify::Artifact;

use super::*;
use crate::{Password, SigningKey};

use crate::key::tests::now as at_once;

fn fixture_key(name: &str) -> SigningKey {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/cosign/keys")
        .join(name);
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let password = Password::new(read("password.txt").trim_end());
    SigningKey::from_pem(&read("cosign.key"), Some(&password)).unwrap()
}

fn envelope(key: &SigningKey) -> (Envelope, Vec<u8>) {
    let payload = br#"{"_type":"https://in-toto.io/Statement/v1","subject":[]}"#.to_vec();
    let message = pae(IN_TOTO_PAYLOAD_TYPE, &payload);
    let signature = Signature {
        keyid: String::new(),
        sig: at_once(key.sign_legacy(&message)).unwrap(),
    };
    let envelope = Envelope {
        payload_type: IN_TOTO_PAYLOAD_TYPE.to_owned(),
        payload,
        signatures: vec![signature],
    };
    (envelope, message)
}

fn dsse(key: &SigningKey, certificate: Option<&[u8]>) -> Entry {
    let (envelope, message) = envelope(key);
    let signed = Signed {
        key,
        certificate,
        message: Artifact::Bytes(&message),
        hash: key.legacy_hash(),
        signature: &envelope.signatures[0].sig,
        envelope: Some(&envelope),
    };
    Entry::of(&signed).unwrap()
}

fn hashed(key: &SigningKey, hash: Option<DigestAlgorithm>, signature: &[u8]) -> Result<Entry, SignError> {
    Entry::of(&Signed {
        key,
        certificate: None,
        message: Artifact::Bytes(b"a file"),
        hash,
        signature,
        envelope: None,
    })
}

/// What rekor 1.5.3 itself (`UnmarshalProposedEntry`, `CreateVersionedEntry`, `CanonicalizeEntry`) made of these
/// proposals, which it accepted; both kinds of key sign the same each time.
#[test]
fn bodies_are_those_that_rekor_makes() {
    let pin = |entry: &Entry| Digest::sha256_of(&entry.body).hex();
    assert_eq!(
        pin(&dsse(&fixture_key("rsa2048"), None)),
        "c9f6989da0cd05fb997ff873c0f942458250bb621748493d6d660af11541f283"
    );
    assert_eq!(
        pin(&dsse(&fixture_key("ed25519"), None)),
        "21ab3e682002f46e803701b24713e7855f1c0ac3408e8c8de17b2437e389f498"
    );
    let key = fixture_key("rsa2048");
    let signature = at_once(key.sign(b"a file")).unwrap();
    assert_eq!(
        pin(&hashed(&key, key.log_hash(), &signature).unwrap()),
        "b030dd9e5ed2f62bc1e66642c74aa557303b4b1a54a636d70cc55f693b71e270"
    );
}

#[test]
fn a_certificate_stands_in_the_keys_place() {
    let entry = dsse(&fixture_key("p256"), Some(b"a certificate"));
    let body: serde_json::Value = serde_json::from_slice(&entry.body).unwrap();
    let verifier = body["spec"]["signatures"][0]["verifier"].as_str().unwrap();
    let pem = base64_decode(verifier).unwrap();
    assert_eq!(pem, pem_encode("CERTIFICATE", b"a certificate").into_bytes());
}

/// Rekor takes no pure Ed25519 signatures of hashes.
#[test]
fn pure_ed25519_files_are_not_loggable() {
    let key = fixture_key("ed25519");
    let refused = hashed(&key, key.log_hash(), &at_once(key.sign(b"a file")).unwrap());
    assert_eq!(refused.err().unwrap().code(), "key-not-loggable");
}
