use proptest::prelude::*;
use serde_json::json;

use super::*;

const HEX: &str = "0584b54fd9b4b8409c9a6f178ea19dafa4dbc9aec8f075c0c90af0e3feed33ee";

fn digest() -> Digest {
    Digest::parse(&format!("sha256:{HEX}")).unwrap()
}

fn written(subject: &str) -> String {
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{subject}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{{}}}}"#
    )
}

#[test]
fn a_signature_is_cosigns_statement() {
    let plain = Statement::signature(&digest(), BTreeMap::new());
    let subject = format!(r#"{{"digest":{{"sha256":"{HEX}"}}}}"#);
    assert_eq!(String::from_utf8(plain.to_json()).unwrap(), written(&subject));
    let annotated = Statement::signature(&digest(), BTreeMap::from([("env".to_owned(), "prod".to_owned())]));
    let subject = format!(r#"{{"digest":{{"sha256":"{HEX}"}},"annotations":{{"env":"prod"}}}}"#);
    assert_eq!(String::from_utf8(annotated.to_json()).unwrap(), written(&subject));
    for statement in [plain, annotated] {
        assert_eq!(Statement::parse(&statement.to_json()).unwrap(), statement);
        assert!(statement.predicate_type.is_signature() && statement.subject_for(&digest()).is_some());
    }
}

#[test]
fn an_attestation_is_cosigns_statement() {
    let kind = PredicateType::resolve("custom").unwrap();
    let statement = Statement::attestation("host/app", &digest(), kind, json!({"a": [1]}));
    let expected = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://cosign.sigstore.dev/attestation/v1","subject":[{{"name":"host/app","digest":{{"sha256":"{HEX}"}}}}],"predicate":{{"a":[1]}}}}"#
    );
    assert_eq!(String::from_utf8(statement.to_json()).unwrap(), expected);
    assert_eq!(Statement::parse(expected.as_bytes()).unwrap(), statement);
}

#[test]
fn a_subject_is_algorithm_and_hex_together() {
    let mut subject = Subject::new(None, &digest());
    assert!(subject.is(&digest()));
    assert!(!subject.is(&Digest::sha256_of(b"other")));
    subject.digest = BTreeMap::from([("gitCommit".to_owned(), HEX.to_owned())]);
    assert!(!subject.is(&digest()));
}

#[test]
fn an_absent_predicate_is_an_empty_one_and_unknown_fields_are_ignored() {
    let text = written(&format!(r#"{{"digest":{{"sha256":"{HEX}"}}}}"#)).replace(r#","predicate":{}"#, r#","new":1"#);
    assert_eq!(Statement::parse(text.as_bytes()).unwrap().predicate, json!({}));
}

#[test]
fn each_bad_statement_has_its_reason() {
    let code = |text: &str| Statement::parse(text.as_bytes()).unwrap_err().code();
    let good = written(&format!(r#"{{"digest":{{"sha256":"{HEX}"}}}}"#));
    assert!(Statement::parse(good.as_bytes()).is_ok());
    assert_eq!(code(&good.replace("Statement/v1", "Statement/v2")), "statement-type");
    assert_eq!(code(&good.replace("\"_type\"", "\"type\"")), "field-missing");
    assert_eq!(
        code(&good.replace("https://sigstore.dev/cosign/sign/v1", "")),
        "statement-no-predicate-type"
    );
    assert_eq!(code(&written("")), "statement-no-subject");
    assert_eq!(
        code(&good.replace("\"subject\"", "\"subjects\"")),
        "statement-no-subject"
    );
    // cosign #4998: a null subject was a crash.
    assert_eq!(code(&written("null")), "field-type");
    assert_eq!(code(&written("{}")), "statement-subject-without-digest");
    assert_eq!(code(&written(r#"{"digest":{}}"#)), "statement-subject-without-digest");
    assert_eq!(code(&written(r#"{"digest":{"sha256":""}}"#)), "statement-digest");
    assert_eq!(code(&written(r#"{"digest":{"gitCommit":""}}"#)), "statement-digest");
    assert_eq!(code(&good.replace(HEX, &HEX.to_uppercase())), "statement-digest");
    assert_eq!(code(&good.replace(HEX, &HEX[1..])), "statement-digest");
    assert_eq!(code(&written(r#"{"digest":{"sha256":7}}"#)), "field-type");
    assert_eq!(
        code(&good.replace("{\"sha256\"", "{\"sha256\":\"00\",\"sha256\"")),
        "json-duplicate-key"
    );
    assert_eq!(
        code(&written(&format!("{}{{}}", "{},".repeat(MAX_SUBJECTS)))),
        "field-too-many"
    );
    let digests: Vec<String> = (0..=MAX_DIGESTS).map(|n| format!("\"a{n}\":\"00\"")).collect();
    assert_eq!(
        code(&written(&format!("{{\"digest\":{{{}}}}}", digests.join(",")))),
        "field-too-many"
    );
    assert_eq!(code(&good[..good.len() - 2]), "json-syntax");
}

proptest! {
    #[test]
    fn no_edit_of_a_statement_panics(at in 0_usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = written(&format!(r#"{{"digest":{{"sha256":"{HEX}"}}}}"#)).into_bytes();
        let at = at.min(bytes.len() - 1);
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Ok(statement) = Statement::parse(&bytes) {
            prop_assert_eq!(Statement::parse(&statement.to_json()).unwrap(), statement);
        }
    }
}
