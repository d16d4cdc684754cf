use proptest::prelude::*;

use super::*;

fn layer(media: &str, annotations: &[(&str, &str)]) -> Descriptor {
    let mut layer = Descriptor::of(MediaType::parse(media).unwrap(), b"payload");
    for (key, value) in annotations {
        layer.annotations.insert((*key).to_owned(), (*value).to_owned());
    }
    layer
}

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
fn a_signature_with_everything_round_trips() {
    let signature = LegacySignature {
        payload: b"payload".to_vec(),
        signature: vec![9; 70],
        certificate: Some(vec![1; 300]),
        chain: vec![vec![2; 300], vec![3; 300]],
        log_bundle: Some(log_bundle()),
        timestamp: Some(vec![4; 10]),
    };
    let written = signature.layer();
    assert_eq!(LegacySignature::read(&written, b"payload").unwrap(), signature);
    assert_eq!(
        written.annotations[LOG_BUNDLE],
        format!(
            r#"{{"SignedEntryTimestamp":"AQI=","Payload":{{"body":"e30=","integratedTime":1700000000,"logIndex":42,"logID":"{}"}}}}"#,
            "ab".repeat(32)
        )
    );
    assert_eq!(
        written.annotations[TIMESTAMP],
        r#"{"SignedRFC3161Timestamp":"BAQEBAQEBAQEBA=="}"#
    );
}

#[test]
fn the_promise_is_over_canonical_json() {
    let expected = format!(
        r#"{{"body":"e30=","integratedTime":1700000000,"logID":"{}","logIndex":42}}"#,
        "ab".repeat(32)
    );
    assert_eq!(log_bundle().set_payload(), expected.as_bytes());
}

#[test]
fn blank_annotations_are_absent_ones() {
    let blank = layer(
        SIMPLE_SIGNING,
        &[
            (SIGNATURE, "AQ=="),
            (CHAIN, " \n"),
            (CERTIFICATE, ""),
            (LOG_BUNDLE, "null"),
            (TIMESTAMP, ""),
        ],
    );
    let signature = LegacySignature::read(&blank, b"payload").unwrap();
    assert_eq!(
        (signature.certificate, signature.chain.len(), signature.log_bundle),
        (None, 0, None)
    );
}

#[test]
fn each_bad_layer_has_its_reason() {
    let code = |annotations: &[(&str, &str)]| {
        LegacySignature::read(&layer(SIMPLE_SIGNING, annotations), b"payload")
            .unwrap_err()
            .code()
    };
    let sig = (SIGNATURE, "AQ==");
    assert_eq!(code(&[]), "legacy-no-signature");
    assert_eq!(code(&[(SIGNATURE, " ")]), "legacy-no-signature");
    assert_eq!(code(&[(SIGNATURE, "?")]), "legacy-base64");
    assert_eq!(code(&[sig, (CERTIFICATE, "text")]), "legacy-pem");
    let two = pem_encode("CERTIFICATE", &[1]).repeat(2);
    assert_eq!(code(&[sig, (CERTIFICATE, &two)]), "legacy-pem");
    assert_eq!(
        code(&[sig, (CERTIFICATE, &pem_encode("PUBLIC KEY", &[1]))]),
        "legacy-pem"
    );
    assert_eq!(
        code(&[sig, (CHAIN, &pem_encode("CERTIFICATE", &[1]).repeat(11))]),
        "legacy-pem"
    );
    assert_eq!(code(&[sig, (LOG_BUNDLE, "{")]), "json-syntax");
    assert_eq!(code(&[sig, (LOG_BUNDLE, "{}")]), "field-missing");
    let text = String::from_utf8(log_bundle().to_json()).unwrap();
    assert_eq!(
        code(&[sig, (LOG_BUNDLE, &text.replace("\"ab", "\"zz"))]),
        "legacy-log-id"
    );
    assert_eq!(
        code(&[sig, (LOG_BUNDLE, &text.replace("{\"body\"", "{\"body\":\"\",\"body\""))]),
        "json-duplicate-key"
    );
    assert_eq!(code(&[sig, (TIMESTAMP, "[]")]), "field-type");
    assert_eq!(
        code(&[sig, (CHAIN, &"x".repeat(MAX_ANNOTATION_BYTES + 1))]),
        "legacy-annotation-too-large"
    );
}

#[test]
fn a_layer_is_read_as_what_it_says_it_is() {
    let read = |media: &str| match read_layer(&layer(media, &[(SIGNATURE, "AQ==")]), b"payload") {
        ItemContent::Unreadable { code, .. } => code,
        ItemContent::LegacySignature(_) => "signature",
        _ => "other",
    };
    assert_eq!(read(SIMPLE_SIGNING), "signature");
    assert_eq!(read(DSSE_ENVELOPE), "json-syntax");
    assert_eq!(read("application/vnd.dev.sigstore.bundle.v0.3+json"), "json-syntax");
    assert_eq!(read(media_types::OCI_LAYER), "evidence-media-type");
}

proptest! {
    #[test]
    fn no_annotation_panics(key in 0_usize..6, value in "\\PC{0,80}") {
        let key = [SIGNATURE, CERTIFICATE, CHAIN, LOG_BUNDLE, TIMESTAMP, PREDICATE_TYPE][key];
        let edited = layer(SIMPLE_SIGNING, &[(SIGNATURE, "AQ=="), (key, &value)]);
        let _ = LegacySignature::read(&edited, b"payload");
        let _ = LegacyAttestation::read(&edited, b"payload");
    }
}
