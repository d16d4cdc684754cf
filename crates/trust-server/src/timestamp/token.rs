//! The bytes of a response: TSTInfo in CMS SignedData (RFC 3161 section 2.4.2, RFC 5652, RFC 5816).

use aws_lc_rs::digest::{SHA256, digest};
use proofmark_types::UnixTime;

use super::{POLICY, Query, TimestampAuthority};
use crate::asn1::{self, octets, oid, sequence, set_of, unsigned};
use crate::key::KeyFileError;
use crate::x509;

const SIGNED_DATA: [u64; 7] = [1, 2, 840, 113_549, 1, 7, 2];
const TST_INFO: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 1, 4];
const CONTENT_TYPE: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 3];
const MESSAGE_DIGEST: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 4];
const SIGNING_TIME: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 5];
const SIGNING_CERTIFICATE_V2: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 2, 47];
const SHA256_OID: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];

/// PKIStatusInfo "granted" and the token.
pub(super) fn response(authority: &TimestampAuthority, query: &Query, time: UnixTime) -> Result<Vec<u8>, KeyFileError> {
    let status = sequence(&[&unsigned(&[0])]);
    let info = tst_info(query, time, &x509::random_serial()?);
    let signer = signer_info(authority, &info, time)?;
    // Certificates only when asked for (RFC 3161 section 2.4.1); the leaf alone, as everyone has the chain.
    let certificates = match (query.certificates, authority.chain.first()) {
        (true, Some(leaf)) => asn1::explicit(0, leaf),
        _ => Vec::new(),
    };
    let signed = sequence(&[
        &unsigned(&[3]),
        &set_of(vec![sha256_identifier()]),
        &sequence(&[&oid(&TST_INFO), &asn1::explicit(0, &octets(&info))]),
        &certificates,
        &set_of(vec![signer]),
    ]);
    let content = sequence(&[&oid(&SIGNED_DATA), &asn1::explicit(0, &signed)]);
    Ok(sequence(&[&status, &content]))
}

fn tst_info(query: &Query, time: UnixTime, serial: &[u8]) -> Vec<u8> {
    let accuracy = sequence(&[&unsigned(&[1])]);
    let nonce = query.nonce.clone().unwrap_or_default();
    sequence(&[
        &unsigned(&[1]),
        &oid(&POLICY),
        &query.imprint,
        &unsigned(serial),
        &asn1::generalized_time(time),
        &accuracy,
        &nonce,
    ])
}

fn signer_info(authority: &TimestampAuthority, info: &[u8], time: UnixTime) -> Result<Vec<u8>, KeyFileError> {
    let leaf = authority.chain.first().map(Vec::as_slice).unwrap_or_default();
    let attributes = vec![
        attribute(&CONTENT_TYPE, oid(&TST_INFO)),
        attribute(&SIGNING_TIME, asn1::time(time)),
        attribute(&MESSAGE_DIGEST, octets(digest(&SHA256, info).as_ref())),
        attribute(&SIGNING_CERTIFICATE_V2, signing_certificate(authority, leaf)),
    ];
    // Signed as a SET, stored under a tag of its own (RFC 5652 section 5.4).
    let signed = set_of(attributes);
    let signature = authority.key.sign(&signed)?;
    let mut stored = signed;
    if let Some(tag) = stored.first_mut() {
        *tag = 0xa0;
    }
    Ok(sequence(&[
        &unsigned(&[1]),
        &sequence(&[&authority.issuer_name, &unsigned(&authority.serial)]),
        &sha256_identifier(),
        &stored,
        &x509::ecdsa_with_sha256(),
        &octets(&signature),
    ]))
}

/// SigningCertificateV2 with one ESSCertIDv2; SHA-256 is its default and left out. It binds the signature to this very
/// certificate, where the issuer and serial number alone could be those of another.
fn signing_certificate(authority: &TimestampAuthority, leaf: &[u8]) -> Vec<u8> {
    let hash = octets(digest(&SHA256, leaf).as_ref());
    let names = sequence(&[&asn1::explicit(4, &authority.issuer_name)]);
    let issuer_serial = sequence(&[&names, &unsigned(&authority.serial)]);
    sequence(&[&sequence(&[&sequence(&[&hash, &issuer_serial])])])
}

fn attribute(kind: &[u64], value: Vec<u8>) -> Vec<u8> {
    sequence(&[&oid(kind), &set_of(vec![value])])
}

fn sha256_identifier() -> Vec<u8> {
    sequence(&[&oid(&SHA256_OID), &asn1::null()])
}
