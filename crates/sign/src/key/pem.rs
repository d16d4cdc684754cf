//! Finding the private key in a PEM file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Encode;
use der::asn1::{AnyRef, Null};
use pkcs8::{AlgorithmIdentifierRef, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::{SigningKeyError, oids};

pub(super) struct Block {
    pub(super) label: String,
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// The most blocks skipped before the key: OpenSSL puts one of parameters there.
const MAX_BLOCKS: usize = 8;

/// The first block that is no parameters.
pub(super) fn private_block(text: &str) -> Result<Block, SigningKeyError> {
    let mut rest = text;
    for _ in 0..MAX_BLOCKS {
        let (_, after) = rest.split_once("-----BEGIN ").ok_or(SigningKeyError::NotPem)?;
        let (label, after) = after.split_once("-----").ok_or(SigningKeyError::NotPem)?;
        if label.len() > 64 || label.contains(['\n', '\r']) {
            return Err(SigningKeyError::NotPem);
        }
        let end = format!("-----END {label}-----");
        let (body, after) = after.split_once(end.as_str()).ok_or(SigningKeyError::NotPem)?;
        rest = after;
        if label == "EC PARAMETERS" {
            continue;
        }
        if !label.ends_with("PRIVATE KEY") {
            return Err(SigningKeyError::Label { seen: label.to_owned() });
        }
        let packed: Zeroizing<String> = Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        let content = STANDARD
            .decode(packed.as_bytes())
            .map_err(|_| SigningKeyError::Malformed)?;
        return Ok(Block {
            label: label.to_owned(),
            content: Zeroizing::new(content),
        });
    }
    Err(SigningKeyError::NotPem)
}

/// Wraps a PKCS #1 key (RFC 8017 appendix A.1.2) as PKCS #8, in which form keys are written.
pub(super) fn rsa_pkcs8(pkcs1: &[u8]) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
    let algorithm = AlgorithmIdentifierRef {
        oid: oids::RSA,
        parameters: Some(AnyRef::from(Null)),
    };
    PrivateKeyInfo::new(algorithm, pkcs1)
        .to_der()
        .map(Zeroizing::new)
        .map_err(|_| SigningKeyError::Malformed)
}
