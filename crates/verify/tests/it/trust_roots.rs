//! Trust roots: read strictly, written so that they are read again, and what is wrong said by name and place.

use std::fs;

use proofmark_verify::{KeyAlgorithm, TrustRoot, TrustRootError};
use serde_json::{Value, json};

use crate::layout::root;
use crate::world::{World, at};

fn good() -> Value {
    serde_json::from_slice(&fs::read(root().join("keyless/trusted_root.json")).unwrap()).unwrap()
}

fn parse(value: &Value) -> Result<TrustRoot, TrustRootError> {
    TrustRoot::parse(&serde_json::to_vec(value).unwrap())
}

#[test]
fn a_trust_root_is_written_as_it_was_read() {
    let text = fs::read(root().join("keyless/trusted_root.json")).unwrap();
    let read = TrustRoot::parse(&text).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&read.to_json()).unwrap(), good());
    let [log] = read.logs() else {
        panic!("{:?}", read.logs())
    };
    assert_eq!(
        (log.name(), log.operator()),
        ("rekor.alpha.test".to_owned(), "rekor.alpha.test".to_owned())
    );
    assert_eq!(log.key().algorithm(), KeyAlgorithm::Ed25519);
    assert_eq!(read.certificate_authorities()[0].certificates().len(), 2);
    assert_eq!(read.timestamp_authorities()[0].certificates().len(), 3);
    assert!(read.unsupported().is_empty());
    let world = World::new();
    let mut named = world.root_json();
    named["tlogs"][0]["operator"] = json!("alpha");
    let named = parse(&named).unwrap();
    assert_eq!(
        TrustRoot::parse(&named.to_json()).unwrap().logs()[0].operator(),
        "alpha"
    );
}

#[test]
fn other_spellings_of_the_media_type_and_fields_are_read() {
    for media_type in [
        "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
        "application/vnd.dev.sigstore.trustedroot.v0.1+json",
        "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    ] {
        let mut other = good();
        other["mediaType"] = json!(media_type);
        assert!(parse(&other).is_ok(), "{media_type}");
    }
    let text = String::from_utf8(fs::read(root().join("keyless/trusted_root.json")).unwrap()).unwrap();
    let snake = text
        .replace("rawBytes", "raw_bytes")
        .replace("validFor", "valid_for")
        .replace("certChain", "cert_chain");
    assert!(TrustRoot::parse(snake.as_bytes()).is_ok());
}

#[test]
fn each_fault_has_its_code_and_place() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str, &str); 16] = [
        (
            |r| r["mediaType"] = json!("application/json"),
            "trust-root-media-type",
            "application/json",
        ),
        (|r| r["tlog"] = json!([]), "trust-root-malformed", "tlog"),
        (
            |r| r["tlogs"][0]["publicKey"]["validfor"] = json!({}),
            "trust-root-malformed",
            "validfor",
        ),
        (
            |r| r["tlogs"][0]["publicKey"]["validFor"] = json!({}),
            "trust-root-field",
            "tlogs[0].publicKey.validFor",
        ),
        (
            |r| {
                r["tlogs"][0]["publicKey"].as_object_mut().unwrap().remove("validFor");
            },
            "trust-root-field",
            "validFor",
        ),
        (
            |r| r["tlogs"][0]["publicKey"]["validFor"]["end"] = json!("2019-01-01T00:00:00Z"),
            "trust-root-field",
            "before it starts",
        ),
        (
            |r| r["tlogs"][0]["publicKey"]["validFor"]["start"] = json!("yesterday"),
            "trust-root-malformed",
            "yesterday",
        ),
        (
            |r| r["tlogs"][0]["publicKey"]["keyDetails"] = json!("PKIX_ECDSA_P256_SHA_256"),
            "trust-root-field",
            "keyDetails",
        ),
        (
            |r| r["tlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA"),
            "trust-root-key",
            "tlogs[0].publicKey.rawBytes",
        ),
        (
            |r| r["tlogs"][0]["publicKey"]["rawBytes"] = json!("?"),
            "trust-root-field",
            "base64",
        ),
        (
            |r| r["tlogs"][0]["logId"]["keyId"] = json!("AAAA"),
            "trust-root-field",
            "32 bytes",
        ),
        (
            |r| r["tlogs"][0]["baseUrl"] = json!("https://a\n"),
            "trust-root-field",
            "baseUrl",
        ),
        (
            |r| r["tlogs"] = json!(vec![r["tlogs"][0].clone(); 65]),
            "trust-root-too-many",
            "tlogs",
        ),
        (
            |r| r["certificateAuthorities"][0]["certChain"]["certificates"] = json!([]),
            "trust-root-field",
            "no certificate",
        ),
        (
            |r| r["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = json!("MAA="),
            "trust-root-field",
            "certChain",
        ),
        (
            |r| {
                r["certificateAuthorities"][0]["certChain"]["certificates"] =
                    json!(vec![
                        r["certificateAuthorities"][0]["certChain"]["certificates"][0]
                            .clone();
                        11
                    ])
            },
            "trust-root-too-many",
            "certChain",
        ),
    ];
    for (change, code, text) in cases {
        let mut changed = good();
        change(&mut changed);
        let error = parse(&changed).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(text), "{error} does not say {text}");
    }
    assert_eq!(
        TrustRoot::parse(&vec![b' '; 2 << 20]).unwrap_err().code(),
        "trust-root-too-large"
    );
    assert_eq!(TrustRoot::parse(b"[").unwrap_err().code(), "trust-root-malformed");
    let doubled = serde_json::to_string(&good())
        .unwrap()
        .replacen("{\"", "{\"mediaType\":\"x\",\"", 1);
    assert_eq!(
        TrustRoot::parse(doubled.as_bytes()).unwrap_err().code(),
        "trust-root-malformed"
    );
}

#[test]
fn a_key_of_the_future_is_left_out_and_told() {
    let mut future = good();
    future["tlogs"][0]["publicKey"]["keyDetails"] = json!("ML_DSA_65");
    let read = parse(&future).unwrap();
    assert!(read.logs().is_empty());
    assert_eq!(read.unsupported().len(), 1);
}

#[test]
fn windows_include_both_ends() {
    let mut root = good();
    root["tlogs"][0]["publicKey"]["validFor"] = json!({"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:10Z"});
    let window = parse(&root).unwrap().logs()[0].validity();
    let start = 1_767_225_600;
    assert!(window.contains(at(start)) && window.contains(at(start + 10)));
    assert!(!window.contains(at(start - 1)) && !window.contains(at(start + 11)));
}
