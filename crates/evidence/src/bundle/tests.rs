use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn log_entry() -> Value {
    json!({"logIndex": "6", "logId": {"keyId": "AQI="}, "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "inclusionProof": {"logIndex": "6", "rootHash": "AwM=", "treeSize": "7", "hashes": ["BA=="], "checkpoint": {"envelope": "origin\n"}},
        "canonicalizedBody": "e30="})
}

fn good() -> Value {
    json!({"mediaType": MEDIA_TYPE_V03,
        "verificationMaterial": {
            "certificate": {"rawBytes": "MAA="},
            "tlogEntries": [log_entry()],
            "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": "MAA="}]}},
        "dsseEnvelope": {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "AQ=="}]}})
}

fn parse(value: &Value) -> Result<Bundle, BundleError> {
    Bundle::parse(value.to_string().as_bytes())
}

/// The code of [`good`] after `edit`.
fn code(edit: impl FnOnce(&mut Value)) -> &'static str {
    let mut value = good();
    edit(&mut value);
    parse(&value).unwrap_err().code()
}

fn accepted(edit: impl FnOnce(&mut Value)) -> Bundle {
    let mut value = good();
    edit(&mut value);
    parse(&value).unwrap()
}

#[test]
fn every_version_and_spelling_is_read() {
    for media_type in [
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        MEDIA_TYPE_V03,
    ] {
        let bundle = accepted(|b| b["mediaType"] = media_type.into());
        assert_eq!(bundle.material.key, KeyMaterial::Certificate(vec![0x30, 0]));
        assert_eq!(Bundle::parse(&bundle.to_json()).unwrap(), bundle);
    }
    let bundle = accepted(|b| {
        b["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1".into();
        b["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"] = json!({"signedEntryTimestamp": "AQ"});
        b["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = "1700000000".into();
        b["verificationMaterial"]["tlogEntries"][0]["inclusionProof"] = Value::Null;
    });
    let entry = &bundle.material.tlog_entries[0];
    assert_eq!(entry.inclusion_promise.as_deref(), Some(&[1][..]));
    assert_eq!(entry.integrated_time.unwrap().seconds(), 1_700_000_000);
}

#[test]
fn protojson_leniency() {
    // Defaults left out, numbers for strings, original field names, the URL-safe alphabet, null for absent.
    let bundle = accepted(|b| {
        let material = &mut b["verificationMaterial"];
        material["publicKey"] = Value::Null;
        let entry = &mut material["tlogEntries"][0];
        entry.as_object_mut().unwrap().remove("logIndex");
        entry["integratedTime"] = "0".into();
        entry["canonicalizedBody"] = "-_8".into();
        let proof = &mut entry["inclusionProof"];
        proof["treeSize"] = 1.into();
        for field in ["logIndex", "hashes"] {
            proof.as_object_mut().unwrap().remove(field);
        }
        let envelope = b["dsseEnvelope"].take();
        b.as_object_mut().unwrap().remove("dsseEnvelope");
        b["dsse_envelope"] = envelope;
        b["addedLater"] = json!({"x": 1});
    });
    let entry = &bundle.material.tlog_entries[0];
    assert_eq!((entry.log_index, entry.integrated_time), (0, None));
    assert_eq!(entry.canonicalized_body, [0xfb, 0xff]);
    let proof = entry.inclusion_proof.as_ref().unwrap();
    assert_eq!((proof.log_index, proof.tree_size, proof.hashes.len()), (0, 1, 0));
    assert!(bundle.envelope().is_some());
}

#[test]
fn an_unknown_kind_of_entry_is_kept() {
    let bundle = accepted(|b| {
        b["verificationMaterial"]["tlogEntries"][0]["kindVersion"] = json!({"kind": "dsse", "version": "0.0.2"});
    });
    assert_eq!(bundle.material.tlog_entries[0].kind, "dsse");
    let bundle = accepted(|b| {
        b["verificationMaterial"]["tlogEntries"][0]
            .as_object_mut()
            .unwrap()
            .remove("kindVersion");
    });
    assert_eq!(bundle.material.tlog_entries[0].kind, "");
}

#[test]
fn keys_of_each_kind_round_trip() {
    for (key, expected) in [
        (
            json!({"publicKey": {"hint": "h"}}),
            KeyMaterial::PublicKeyHint("h".into()),
        ),
        (json!({"publicKey": {}}), KeyMaterial::PublicKeyHint(String::new())),
        (
            json!({"x509CertificateChain": {"certificates": [{"rawBytes": "AQ=="}, {"rawBytes": "Ag=="}]}}),
            KeyMaterial::Chain(vec![vec![1], vec![2]]),
        ),
    ] {
        let bundle = accepted(|b| b["verificationMaterial"] = key);
        assert_eq!(bundle.material.key, expected);
        assert_eq!(Bundle::parse(&bundle.to_json()).unwrap(), bundle);
    }
    assert_eq!(KeyMaterial::Chain(vec![vec![1], vec![2]]).leaf(), Some(&[1][..]));
}

#[test]
fn a_message_signature_round_trips() {
    let digest = Digest::sha256_of(b"artifact");
    let message = |algorithm: Value| {
        json!({"messageDigest": {"algorithm": algorithm, "digest": crate::encoding::base64_encode(digest.as_bytes())},
            "signature": "AQ=="})
    };
    for algorithm in [json!("SHA2_256"), json!(1)] {
        let bundle = accepted(|b| {
            b["dsseEnvelope"] = Value::Null;
            b["messageSignature"] = message(algorithm);
        });
        let expected = Content::MessageSignature {
            digest: Some(digest.clone()),
            signature: vec![1],
        };
        assert_eq!(bundle.content, expected);
        assert_eq!(Bundle::parse(&bundle.to_json()).unwrap(), bundle);
    }
    let bad = |edit: fn(&mut Value)| {
        code(|b| {
            b["dsseEnvelope"] = Value::Null;
            b["messageSignature"] = message(json!("SHA2_256"));
            edit(&mut b["messageSignature"]);
        })
    };
    assert_eq!(bad(|m| m["signature"] = "".into()), "envelope-empty-signature");
    assert_eq!(
        bad(|m| m["messageDigest"]["algorithm"] = "SHA3_256".into()),
        "bundle-digest-algorithm"
    );
    assert_eq!(
        bad(|m| m["messageDigest"]["algorithm"] = Value::Null),
        "bundle-digest-algorithm"
    );
    assert_eq!(
        bad(|m| m["messageDigest"]["algorithm"] = "SHA2_512".into()),
        "bundle-digest-length"
    );
    assert_eq!(
        bad(|m| m["messageDigest"]["digest"] = "".into()),
        "bundle-digest-length"
    );
}

/// cosign 3.1 signs files with Ed25519 so.
#[test]
fn an_empty_message_digest_is_none() {
    let bundle = accepted(|b| {
        b["dsseEnvelope"] = Value::Null;
        b["messageSignature"] = json!({"messageDigest": {}, "signature": "AQ=="});
    });
    let expected = Content::MessageSignature {
        digest: None,
        signature: vec![1],
    };
    assert_eq!(bundle.content, expected);
}

#[test]
fn each_ambiguity_has_its_reason() {
    assert_eq!(
        code(|b| b["messageSignature"] = json!({"signature": "AQ=="})),
        "bundle-several-contents"
    );
    assert_eq!(code(|b| b["dsseEnvelope"] = Value::Null), "bundle-no-content");
    assert_eq!(
        code(|b| b["verificationMaterial"]["publicKey"] = json!({"hint": ""})),
        "bundle-several-keys"
    );
    assert_eq!(
        code(|b| b["verificationMaterial"]["x509_certificate_chain"] = json!({"certificates": [{"rawBytes": "AQ"}]})),
        "bundle-several-keys"
    );
    assert_eq!(
        code(|b| b["verificationMaterial"]["certificate"] = Value::Null),
        "bundle-no-key"
    );
    assert_eq!(code(|b| b["dsse_envelope"] = json!({})), "field-twice");
    let text = good().to_string();
    let twice = text.replacen(
        "{\"canonicalizedBody\"",
        "{\"canonicalizedBody\":\"\",\"canonicalizedBody\"",
        1,
    );
    assert_eq!(
        Bundle::parse(twice.as_bytes()).unwrap_err().code(),
        "json-duplicate-key"
    );
}

#[test]
fn each_malformed_bundle_has_its_reason() {
    let media_type = |text: &str| code(|b| b["mediaType"] = text.into());
    assert_eq!(
        media_type("application/vnd.dev.sigstore.bundle.v0.4+json"),
        "bundle-media-type"
    );
    assert_eq!(
        media_type("application/vnd.dev.sigstore.bundle+json"),
        "bundle-media-type"
    );
    assert_eq!(media_type(""), "bundle-media-type");
    assert_eq!(code(|b| b["mediaType"] = Value::Null), "field-missing");
    assert_eq!(code(|b| b["verificationMaterial"] = json!([])), "field-type");
    assert_eq!(
        code(|b| b["verificationMaterial"]["certificate"] = json!({"rawBytes": ""})),
        "field-missing"
    );
    assert_eq!(
        code(|b| b["verificationMaterial"]["certificate"] = json!({"rawBytes": "!"})),
        "field-base64"
    );
    let signatures = |value: Value| code(|b| b["dsseEnvelope"]["signatures"] = value);
    assert_eq!(signatures(json!([])), "envelope-no-signature");
    assert_eq!(
        signatures(json!([{"sig": "AQ=="}, {"sig": "AQ=="}])),
        "bundle-several-signatures"
    );
    let entry = |edit: fn(&mut Value)| code(|b| edit(&mut b["verificationMaterial"]["tlogEntries"][0]));
    assert_eq!(
        entry(|e| e["inclusionProof"] = Value::Null),
        "bundle-no-inclusion-proof"
    );
    assert_eq!(
        entry(|e| e["inclusionProof"]["checkpoint"] = json!({})),
        "bundle-no-checkpoint"
    );
    assert_eq!(entry(|e| e["logIndex"] = "-1".into()), "field-integer");
    assert_eq!(
        entry(|e| e["integratedTime"] = "9223372036854775807".into()),
        "field-integer"
    );
    assert_eq!(entry(|e| *e = Value::Null), "field-type");
    assert_eq!(entry(|e| e["inclusionProof"]["hashes"] = json!([null])), "field-base64");
    assert_eq!(
        code(|b| b["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1".into()),
        "bundle-no-inclusion-promise"
    );
    assert_eq!(
        code(|b| b["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] = json!([{}])),
        "field-missing"
    );
    for bad in ["", "{", "[]", "null", "\"bundle\""] {
        assert!(Bundle::parse(bad.as_bytes()).is_err());
    }
}

#[test]
fn every_list_has_its_bound() {
    let material = |field: &str, limit: usize, value: Value| {
        let list = |length: usize| Value::Array(vec![value.clone(); length]);
        let set = |b: &mut Value, length| match field {
            "rfc3161Timestamps" => b["verificationMaterial"]["timestampVerificationData"][field] = list(length),
            _ => b["verificationMaterial"][field] = list(length),
        };
        accepted(|b| set(b, limit));
        assert_eq!(code(|b| set(b, limit + 1)), "field-too-many");
    };
    material("tlogEntries", MAX_LOG_ENTRIES, log_entry());
    material("rfc3161Timestamps", MAX_TIMESTAMPS, json!({"signedTimestamp": "MAA="}));
    let hashes = |length: usize| json!(vec!["AA=="; length]);
    accepted(|b| b["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"] = hashes(64));
    assert_eq!(
        code(|b| b["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"] = hashes(65)),
        "field-too-many"
    );
    assert_eq!(
        code(|b| {
            let chain = vec![json!({"rawBytes": "AQ"}); MAX_CHAIN + 1];
            b["verificationMaterial"] = json!({"x509CertificateChain": {"certificates": chain}});
        }),
        "field-too-many"
    );
}

proptest! {
    #[test]
    fn no_edit_of_a_bundle_panics(at in 0_usize..900, byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = good().to_string().into_bytes();
        let at = at.min(bytes.len() - 1);
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(bundle) = Bundle::parse(&bytes) {
            prop_assert_eq!(Bundle::parse(&bundle.to_json()).unwrap(), bundle);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Bundle::parse(&bytes);
        let _ = LogEntry::parse(&bytes);
        let _ = Envelope::parse(&bytes);
    }
}
