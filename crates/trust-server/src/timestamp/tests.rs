use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::asn1::{boolean_for_test, null, octets, oid, sequence, unsigned};

const SHA256: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];

fn imprint(algorithm: &[u64], parameters: &[u8], hash: &[u8]) -> Vec<u8> {
    sequence(&[&sequence(&[&oid(algorithm), parameters]), &octets(hash)])
}

fn query(imprint: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let parts: Vec<&[u8]> = [&[2, 1, 1][..], imprint]
        .into_iter()
        .chain(rest.iter().copied())
        .collect();
    sequence(&parts)
}

fn code(der: &[u8]) -> &'static str {
    Query::from_der(der).unwrap_err().code()
}

#[test]
fn requests_of_all_clients_are_read() {
    let hash = [7; 32];
    let plain = imprint(&SHA256, &null(), &hash);
    let bare = imprint(&SHA256, &[], &hash);
    let policy = oid(&POLICY);
    for der in [
        query(&plain, &[]),
        query(&bare, &[]),
        query(&plain, &[&unsigned(&[0x80; 8]), &boolean_for_test(true)]),
        query(&plain, &[&policy, &unsigned(&[1])]),
    ] {
        Query::from_der(&der).unwrap();
    }
    let json = format!(
        r#"{{"artifactHash":"{}","hashAlgorithm":"sha256","certificates":true,"nonce":1123343434,"tsaPolicyOID":"1.3.6.1.4.1.57264.2"}}"#,
        STANDARD.encode(hash)
    );
    let read = Query::from_json(json.as_bytes()).unwrap();
    let same = query(
        &plain,
        &[&unsigned(&1_123_343_434_u64.to_be_bytes()), &boolean_for_test(true)],
    );
    assert_eq!(read, Query::from_der(&same).unwrap());
}

#[test]
fn other_requests_have_their_reason() {
    let plain = imprint(&SHA256, &null(), &[7; 32]);
    assert_eq!(
        code(&query(&imprint(&[1, 3, 14, 3, 2, 26], &null(), &[7; 20]), &[])),
        "timestamp-algorithm"
    );
    assert_eq!(
        code(&query(&imprint(&SHA256, &null(), &[7; 31]), &[])),
        "timestamp-hash-length"
    );
    assert_eq!(
        code(&query(&imprint(&SHA256, &octets(b"x"), &[7; 32]), &[])),
        "timestamp-request-malformed"
    );
    assert_eq!(code(&query(&plain, &[&oid(&[1, 2, 3, 4, 1])])), "timestamp-policy");
    assert_eq!(code(&query(&plain, &[&unsigned(&[0x7f; 33])])), "timestamp-nonce");
    let extension = crate::x509::extension(&[1, 2, 3], true, &null());
    assert_eq!(
        code(&query(&plain, &[&crate::asn1::element(0xa0, &extension)])),
        "timestamp-extensions"
    );
    assert_eq!(
        code(&[query(&plain, &[]), vec![0]].concat()),
        "timestamp-request-malformed"
    );
    assert_eq!(code(&[]), "timestamp-request-malformed");
    // GHSA-4qg8-fj49-pxjh: an identifier of megabytes; d8d3497: a nonce of 200,000 digits.
    assert_eq!(
        code(&query(&plain, &[&crate::asn1::element(6, &vec![0x81; 100_000])])),
        "timestamp-request-too-long"
    );
    let digits = format!(
        r#"{{"artifactHash":"","hashAlgorithm":"sha256","nonce":{}}}"#,
        "9".repeat(200_000)
    );
    assert_eq!(
        Query::from_json(digits.as_bytes()).unwrap_err().code(),
        "timestamp-request-too-long"
    );
    let json = |text: &str| Query::from_json(text.as_bytes()).unwrap_err().code();
    assert_eq!(
        json(r#"{"artifactHash":"","hashAlgorithm":"sha1"}"#),
        "timestamp-algorithm"
    );
    assert_eq!(
        json(r#"{"artifactHash":"","hashAlgorithm":"sha256"}"#),
        "timestamp-hash-length"
    );
    assert_eq!(
        json(r#"{"artifactHash":"","hashAlgorithm":"sha256","x":1}"#),
        "timestamp-request-malformed"
    );
    let hash = STANDARD.encode([7; 32]);
    let policy = format!(r#"{{"artifactHash":"{hash}","hashAlgorithm":"sha256","tsaPolicyOID":"1.2.3"}}"#);
    assert_eq!(json(&policy), "timestamp-policy");
}
