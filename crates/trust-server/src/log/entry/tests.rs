use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};

use super::*;

const BUNDLE: &[u8] = include_bytes!("../../../../../fixtures/keyless/tiles-rekor/tile/entries/000.p/36");

const MESSAGE: &[u8] = b"an artifact";

fn code(request: &Value) -> &'static str {
    canonical_body(request.to_string().as_bytes()).unwrap_err().code()
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let spki = spki.as_ref().to_vec();
    (pair, spki)
}

fn request(details: &str, digest: &[u8], signature: &[u8], spki: &[u8]) -> Value {
    json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(digest),
        "signature": {
            "content": STANDARD.encode(signature),
            "verifier": {"publicKey": {"rawBytes": STANDARD.encode(spki)}, "keyDetails": details},
        },
    }})
}

fn good() -> Value {
    let (pair, spki) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
    request(
        "PKIX_ECDSA_P256_SHA_256",
        Digest::sha256_of(MESSAGE).as_bytes(),
        signature.as_ref(),
        &spki,
    )
}

#[test]
fn the_entries_of_a_real_log_come_out_byte_for_byte() {
    let entries = proofmark_merkle::tile::parse_entries(BUNDLE).unwrap();
    assert_eq!(entries.len(), 36);
    for entry in entries {
        let body: Value = serde_json::from_slice(entry).unwrap();
        let spec = &body["spec"]["hashedRekordV002"];
        let request = json!({"hashedRekordRequestV002": {
            "digest": spec["data"]["digest"],
            "signature": spec["signature"],
        }});
        let made = canonical_body(request.to_string().as_bytes()).unwrap();
        assert_eq!(made, entry);
        let general = serde_json_canonicalizer::to_vec(&body).unwrap();
        assert_eq!(made, general);
    }
}

#[test]
fn every_accepted_algorithm_is_verified() {
    let random = SystemRandom::new();
    let curves = [
        (
            &ECDSA_P384_SHA384_ASN1_SIGNING,
            "PKIX_ECDSA_P384_SHA_384",
            DigestAlgorithm::Sha384,
        ),
        (
            &ECDSA_P521_SHA512_ASN1_SIGNING,
            "PKIX_ECDSA_P521_SHA_512",
            DigestAlgorithm::Sha512,
        ),
    ];
    for (algorithm, details, digest) in curves {
        let (pair, spki) = ecdsa(algorithm);
        let signature = pair.sign(&random, MESSAGE).unwrap();
        let digest = Digest::of(digest, MESSAGE);
        let request = request(details, digest.as_bytes(), signature.as_ref(), &spki);
        canonical_body(request.to_string().as_bytes()).unwrap();
    }
    let pair = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &random, MESSAGE, &mut signature).unwrap();
    let digest = Digest::sha256_of(MESSAGE);
    let make = |details| request(details, digest.as_bytes(), &signature, spki.as_ref());
    canonical_body(make("PKIX_RSA_PKCS1V15_3072_SHA256").to_string().as_bytes()).unwrap();
    assert_eq!(code(&make("PKIX_RSA_PKCS1V15_2048_SHA256")), "entry-key-mismatch");
}

#[test]
fn enums_by_number_nulls_and_other_spellings_are_read() {
    let mut request = good();
    let body = canonical_body(request.to_string().as_bytes()).unwrap();
    request["dsseRequestV002"] = Value::Null;
    let verifier = &mut request["hashedRekordRequestV002"]["signature"]["verifier"];
    verifier["keyDetails"] = json!(5);
    verifier["x509Certificate"] = Value::Null;
    let text = request.to_string();
    assert_eq!(canonical_body(text.as_bytes()).unwrap(), body);
    let snake = text
        .replace("hashedRekordRequestV002", "hashed_rekord_request_v002")
        .replace("dsseRequestV002", "dsse_request_v002")
        .replace("publicKey", "public_key")
        .replace("rawBytes", "raw_bytes")
        .replace("keyDetails", "key_details");
    assert_eq!(canonical_body(snake.as_bytes()).unwrap(), body);
    let unpadded = text.replace("=\"", "\"").replace("=\"", "\"");
    assert_eq!(canonical_body(unpadded.as_bytes()).unwrap(), body);
    let url_safe = {
        let mut request: Value = serde_json::from_str(&text).unwrap();
        for pointer in [
            "/digest",
            "/signature/content",
            "/signature/verifier/publicKey/rawBytes",
        ] {
            let value = request
                .pointer_mut(&format!("/hashedRekordRequestV002{pointer}"))
                .unwrap();
            *value = json!(value.as_str().unwrap().replace('+', "-").replace('/', "_"));
        }
        request.to_string()
    };
    assert_eq!(canonical_body(url_safe.as_bytes()).unwrap(), body);
}

/// GHSA-273p-m2cw-6833 and its sisters: every field of the request absent, null or of another kind, one at a time.
#[test]
fn a_missing_or_foreign_field_is_named_and_never_panics() {
    let pointers = [
        ("/hashedRekordRequestV002", "entry-kind"),
        ("/hashedRekordRequestV002/digest", "entry-field-missing"),
        ("/hashedRekordRequestV002/signature", "entry-field-missing"),
        ("/hashedRekordRequestV002/signature/content", "entry-field-missing"),
        ("/hashedRekordRequestV002/signature/verifier", "entry-field-missing"),
        (
            "/hashedRekordRequestV002/signature/verifier/publicKey",
            "entry-field-missing",
        ),
        (
            "/hashedRekordRequestV002/signature/verifier/publicKey/rawBytes",
            "entry-field-missing",
        ),
        (
            "/hashedRekordRequestV002/signature/verifier/keyDetails",
            "entry-field-missing",
        ),
    ];
    for (pointer, reason) in pointers {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let mut absent = good();
        absent
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .remove(field);
        assert_eq!(code(&absent), reason, "{pointer} absent");
        let mut null = good();
        *null.pointer_mut(pointer).unwrap() = Value::Null;
        assert_eq!(code(&null), reason, "{pointer} null");
        for foreign in [json!(true), json!(-1), json!({"unknown": 1})] {
            let mut altered = good();
            *altered.pointer_mut(pointer).unwrap() = foreign;
            assert_eq!(code(&altered), "entry-malformed", "{pointer} foreign");
        }
        let mut list = good();
        *list.pointer_mut(pointer).unwrap() = json!([]);
        assert!(canonical_body(list.to_string().as_bytes()).is_err(), "{pointer} a list");
        let mut extra = good();
        if let Some(object) = extra.pointer_mut(pointer).and_then(Value::as_object_mut) {
            object.insert("unknownField".to_owned(), json!(1));
            assert_eq!(code(&extra), "entry-malformed", "{pointer} with an unknown field");
        }
    }
    assert_eq!(canonical_body(b"").unwrap_err().code(), "entry-malformed");
    assert_eq!(canonical_body(b"{}").unwrap_err().code(), "entry-kind");
    let deep = "[".repeat(100_000);
    assert_eq!(canonical_body(deep.as_bytes()).unwrap_err().code(), "entry-malformed");
}

/// rekor-tiles 0e3a969: a pure Ed25519 key once made the server panic. Every key kind against every enum value.
#[test]
fn every_algorithm_against_every_key_is_accepted_or_refused() {
    let random = SystemRandom::new();
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let ed25519_spki: PublicKeyX509Der<'_> = ed25519.public_key().as_der().unwrap();
    let (p256, p256_spki) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let keys = [
        (ed25519_spki.as_ref().to_vec(), ed25519.sign(MESSAGE).as_ref().to_vec()),
        (p256_spki, p256.sign(&random, MESSAGE).unwrap().as_ref().to_vec()),
    ];
    for number in 0..30_u64 {
        for (spki, signature) in &keys {
            for length in [0, 20, 32, 48, 64] {
                let mut request = request("", &vec![7; length], signature, spki);
                request["hashedRekordRequestV002"]["signature"]["verifier"]["keyDetails"] = json!(number);
                assert!(canonical_body(request.to_string().as_bytes()).is_err());
            }
        }
    }
    let digest = Digest::of(DigestAlgorithm::Sha512, MESSAGE);
    let (spki, signature) = &keys[0];
    assert_eq!(
        code(&request("PKIX_ED25519", digest.as_bytes(), signature, spki)),
        "entry-key-algorithm"
    );
    assert_eq!(
        code(&request("PKIX_ED25519_PH", digest.as_bytes(), signature, spki)),
        "entry-signature"
    );
    assert_eq!(
        code(&request("PKIX_ECDSA_P256_SHA_256", &[7; 32], signature, spki)),
        "entry-key-mismatch"
    );
    assert_eq!(
        code(&request("PKIX_RSA_PSS_2048_SHA256", &[7; 32], signature, spki)),
        "entry-key-algorithm"
    );
}

#[test]
fn altered_entries_have_their_reason() {
    let at = |pointer: &str, value: Value| {
        let mut request = good();
        *request
            .pointer_mut(&format!("/hashedRekordRequestV002{pointer}"))
            .unwrap() = value;
        code(&request)
    };
    assert_eq!(at("/digest", json!(STANDARD.encode([7; 32]))), "entry-signature");
    assert_eq!(at("/digest", json!(STANDARD.encode([7; 31]))), "entry-digest-length");
    assert_eq!(
        at("/signature/content", json!(STANDARD.encode([7; 70]))),
        "entry-signature"
    );
    assert_eq!(
        at("/signature/content", json!(STANDARD.encode([7; 3000]))),
        "entry-too-long"
    );
    assert_eq!(at("/signature/content", json!("!")), "entry-malformed");
    let verifier = "/signature/verifier/publicKey/rawBytes";
    assert_eq!(at(verifier, json!(STANDARD.encode([7; 91]))), "entry-verifier");
    assert_eq!(at(verifier, json!(STANDARD.encode(vec![7; 20_000]))), "entry-too-long");
    let mut both = good();
    both["hashedRekordRequestV002"]["signature"]["verifier"]["x509Certificate"] = json!({"rawBytes": "AAAA"});
    assert_eq!(code(&both), "entry-not-one");
    let mut certificate = good();
    let verifier = &mut certificate["hashedRekordRequestV002"]["signature"]["verifier"];
    verifier["x509Certificate"] = verifier["publicKey"].clone();
    verifier.as_object_mut().unwrap().remove("publicKey");
    assert_eq!(code(&certificate), "entry-verifier");
}

#[test]
fn an_envelope_is_logged_as_the_digest_of_its_encoding() {
    let (pair, spki) = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let pae = b"DSSEv1 4 text 5 hello";
    let signature = pair.sign(&SystemRandom::new(), pae).unwrap();
    let verifier = json!({"publicKey": {"rawBytes": STANDARD.encode(&spki)}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"});
    let sig = json!({"sig": STANDARD.encode(signature.as_ref()), "keyid": ""});
    let dsse = |signatures: Value, verifiers: Value| {
        json!({"dsseRequestV002": {
            "envelope": {"payload": STANDARD.encode("hello"), "payloadType": "text", "signatures": signatures},
            "verifiers": verifiers,
        }})
    };
    let good = dsse(json!([sig]), json!([verifier]));
    let plain = request(
        "PKIX_ECDSA_P256_SHA_256",
        Digest::sha256_of(pae).as_bytes(),
        signature.as_ref(),
        &spki,
    );
    assert_eq!(
        canonical_body(good.to_string().as_bytes()).unwrap(),
        canonical_body(plain.to_string().as_bytes()).unwrap()
    );
    assert_eq!(code(&dsse(json!([sig, sig]), json!([verifier]))), "entry-not-one");
    assert_eq!(code(&dsse(json!([]), json!([verifier]))), "entry-not-one");
    assert_eq!(code(&dsse(json!([sig]), json!([verifier, verifier]))), "entry-not-one");
    let mut altered = good.clone();
    altered["dsseRequestV002"]["envelope"]["payload"] = json!(STANDARD.encode("hallo"));
    assert_eq!(code(&altered), "entry-signature");
    let mut both = good;
    both["hashedRekordRequestV002"] = plain["hashedRekordRequestV002"].clone();
    assert_eq!(code(&both), "entry-kind");
}
