//! The signed certificate timestamp of RFC 6962 section 3.2, signed in this process.
//!
//! There is no CT log to read: CA and log would be one trust domain, and what the SCT promises is kept by the
//! transparency log, which has the certificate of every signature. The SCT is there because clients want one.

use aws_lc_rs::digest::{SHA256, digest};

use crate::asn1;
use crate::key::{EcdsaKey, KeyFileError};
use crate::x509;

/// SignedCertificateTimestampList (RFC 6962 section 3.3).
const SCT_LIST: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
const VERSION_1: u8 = 0;
const CERTIFICATE_TIMESTAMP: u8 = 0;
const PRECERT_ENTRY: [u8; 2] = [0, 1];
/// TLS numbers of SHA-256 and ECDSA (RFC 5246 section 7.4.1.4.1).
const SHA256_ECDSA: [u8; 2] = [4, 3];

/// The extension with one SCT over a to-be-signed certificate that lacks it.
pub(super) fn embedded(
    ct_key: &EcdsaKey,
    issuer_spki: &[u8],
    tbs: &[u8],
    milliseconds: u64,
) -> Result<Vec<u8>, KeyFileError> {
    let signature = ct_key.sign(&signed_part(issuer_spki, tbs, milliseconds))?;
    let log_id = digest(&SHA256, ct_key.spki());
    let mut sct = vec![VERSION_1];
    sct.extend_from_slice(log_id.as_ref());
    sct.extend_from_slice(&milliseconds.to_be_bytes());
    sct.extend_from_slice(&[0, 0]);
    sct.extend_from_slice(&SHA256_ECDSA);
    sct.extend_from_slice(&with_length(&signature));
    let list = with_length(&with_length(&sct));
    Ok(x509::extension(&SCT_LIST, false, &asn1::octets(&list)))
}

fn signed_part(issuer_spki: &[u8], tbs: &[u8], milliseconds: u64) -> Vec<u8> {
    let mut part = vec![VERSION_1, CERTIFICATE_TIMESTAMP];
    part.extend_from_slice(&milliseconds.to_be_bytes());
    part.extend_from_slice(&PRECERT_ENTRY);
    part.extend_from_slice(digest(&SHA256, issuer_spki).as_ref());
    // Three bytes of length: a certificate is far below 16 MiB, requests being bounded.
    let length = u32::try_from(tbs.len()).unwrap_or(0).to_be_bytes();
    part.extend_from_slice(&length[1..]);
    part.extend_from_slice(tbs);
    part.extend_from_slice(&[0, 0]);
    part
}

/// Two bytes of length in front; everything here is some hundred bytes.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}
