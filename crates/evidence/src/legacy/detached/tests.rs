use super::*;
use proofmark_types::UnixTime;

const ENVELOPE: &str =
    r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"","sig":"AQI="}]}"#;

fn log_bundle() -> LegacyLogBundle {
    LegacyLogBundle {
        set: vec![1, 2],
        body: b"{}".to_vec(),
        integrated_time: UnixTime::from_seconds(1_700_000_000).unwrap(),
        log_index: 42,
        log_id: vec![0xab; 32],
    }
}

#[test]
fn a_signature_is_read_in_base64_and_as_it_is() {
    let der = [0x30, 0x03, 0x02, 0x01, 0x00];
    for file in [der.to_vec(), b"MAMCAQA=".to_vec(), b"MAMCAQA=\n".to_vec()] {
        let read = Detached::signature(&file).unwrap();
        assert_eq!(read.content, DetachedContent::Signature(der.to_vec()));
        assert_eq!(read.raw_signature(), der);
    }
    assert_eq!(Detached::signature(b"").unwrap_err().code(), "legacy-signature-empty");
    assert_eq!(Detached::signature(b"\n").unwrap_err().code(), "legacy-signature-empty");
    assert_eq!(
        Detached::signature(&[0xff; 20_000]).unwrap_err().code(),
        "legacy-signature-too-large"
    );
}

#[test]
fn an_attestation_keeps_its_bytes() {
    for file in [ENVELOPE.to_owned(), base64_encode(ENVELOPE.as_bytes())] {
        let read = Detached::attestation(file.as_bytes()).unwrap();
        let DetachedContent::Attestation { raw, .. } = &read.content else {
            panic!("{read:?}")
        };
        assert_eq!(raw, ENVELOPE.as_bytes());
        assert_eq!(read.raw_signature(), [1, 2]);
    }
    assert!(Detached::attestation(b"AQI=").is_err());
}

#[test]
fn cosigns_older_bundle_round_trips() {
    let good = Detached {
        content: DetachedContent::Signature(vec![9; 70]),
        certificate: Some(vec![0x30, 1, 2]),
        chain: Vec::new(),
        log_bundle: Some(log_bundle()),
        timestamp: None,
    };
    let json = good.to_bundle_json();
    assert!(Detached::is_bundle(&json));
    assert_eq!(Detached::signature_bundle(&json).unwrap(), good);
    let attested = Detached {
        content: Detached::attestation(ENVELOPE.as_bytes()).unwrap().content,
        ..good
    };
    assert_eq!(
        Detached::attestation_bundle(&attested.to_bundle_json()).unwrap(),
        attested
    );
    assert!(!Detached::is_bundle(br#"{"mediaType":"x","base64Signature":"AQ=="}"#));
    assert!(!Detached::is_bundle(b"[]"));
}

#[test]
fn a_public_key_in_the_place_of_the_certificate_is_a_hint() {
    let pem = pem_encode("PUBLIC KEY", &[1, 2, 3]);
    for cert in [pem.clone(), base64_encode(pem.as_bytes())] {
        let json = serde_json::json!({"base64Signature": "AQI=", "cert": cert}).to_string();
        assert_eq!(Detached::signature_bundle(json.as_bytes()).unwrap().certificate, None);
    }
}

#[test]
fn each_bad_file_has_its_reason() {
    let bundle = |json: &str| Detached::signature_bundle(json.as_bytes()).unwrap_err().code();
    assert_eq!(bundle("{}"), "legacy-signature-empty");
    assert_eq!(bundle(r#"{"base64Signature":"?"}"#), "field-base64");
    assert_eq!(
        bundle(r#"{"base64Signature":"AQ==","cert":"-----BEGIN X"}"#),
        "legacy-certificates"
    );
    assert_eq!(
        bundle(r#"{"base64Signature":"AQ==","rekorBundle":{}}"#),
        "field-missing"
    );
    let one = || Detached::signature(b"AQI=").unwrap();
    let many = pem_encode("CERTIFICATE", &[1]).repeat(11);
    for file in ["", "hello", &pem_encode("PUBLIC KEY", &[1]), &many] {
        assert_eq!(
            one().with_certificate(file.as_bytes()).unwrap_err().code(),
            "legacy-certificates",
            "{file}"
        );
    }
    assert_eq!(one().with_timestamp(b"{}").unwrap_err().code(), "field-missing");
    assert_eq!(one().with_timestamp(b"").unwrap_err().code(), "field-missing");
}

#[test]
fn certificates_and_timestamps_are_read_as_cosign_wrote_them() {
    let one = Detached::signature(b"AQI=").unwrap();
    let pem = pem_encode("CERTIFICATE", &[0x30, 7]);
    for file in [
        pem.clone().into_bytes(),
        base64_encode(pem.as_bytes()).into_bytes(),
        vec![0x30, 7],
    ] {
        let read = one.clone().with_certificate(&file).unwrap();
        assert_eq!(read.certificate, Some(vec![0x30, 7]));
    }
    let two = format!("{pem}{}", pem_encode("CERTIFICATE", &[0x30, 8]));
    let read = one.clone().with_certificate(two.as_bytes()).unwrap();
    assert_eq!(read.chain, [vec![0x30, 8]]);
    for file in [br#" {"SignedRFC3161Timestamp":"MAE="}"#.as_slice(), &[0x30, 1]] {
        assert_eq!(one.clone().with_timestamp(file).unwrap().timestamp, Some(vec![0x30, 1]));
    }
}
