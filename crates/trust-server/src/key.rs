//! Private keys of the services: ECDSA P-256, Ed25519 seeds and the development issuer's RSA key, as PKCS#8 PEM files
//! that only their owner can read.

use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Decode;
use der::asn1::UintRef;
use thiserror::Error;

use crate::asn1;
use crate::folder::{self, FolderError};

/// Why a key could not be made, read or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Not the PEM of a key of the expected kind.
    #[error("{path} is not the PKCS#8 PEM of an {expected} key")]
    Malformed {
        /// The file.
        path: std::path::PathBuf,
        /// The kind of key.
        expected: &'static str,
    },
    /// The engine failed, which it does only when the system has no randomness.
    #[error("the cryptographic engine failed")]
    Engine,
}

impl KeyFileError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.code(),
            Self::Malformed { .. } => "trust-key-malformed",
            Self::Engine => "trust-key-engine",
        }
    }
}

impl From<Unspecified> for KeyFileError {
    fn from(_: Unspecified) -> Self {
        Self::Engine
    }
}

/// An ECDSA P-256 key that signs certificates, SCTs or timestamps.
pub(crate) struct EcdsaKey {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl EcdsaKey {
    /// Makes a key and writes it to a new file.
    pub(crate) fn create(path: &Path) -> Result<Self, KeyFileError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let der = pair.to_pkcs8v1()?;
        folder::create_new(path, folder::PRIVATE, pem("PRIVATE KEY", der.as_ref()).as_bytes())?;
        Self::of(pair)
    }

    /// Reads a key.
    pub(crate) fn load(path: &Path) -> Result<Self, KeyFileError> {
        let der = read_pem(path, "ECDSA P-256")?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).map_err(|_| KeyFileError::Malformed {
                path: path.to_owned(),
                expected: "ECDSA P-256",
            })?;
        Self::of(pair)
    }

    fn of(pair: EcdsaKeyPair) -> Result<Self, KeyFileError> {
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
        let spki = spki.as_ref().to_vec();
        Ok(Self { pair, spki })
    }

    /// ECDSA with SHA-256 over `message`, DER.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFileError> {
        Ok(self.pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec())
    }

    /// The DER of its SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }
}

/// Makes an Ed25519 key in a new file and returns its seed.
pub(crate) fn create_ed25519(path: &Path) -> Result<[u8; 32], KeyFileError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| KeyFileError::Engine)?;
    let der = asn1::sequence(&[
        &asn1::unsigned(&[0]),
        ED25519_ALGORITHM,
        &asn1::octets(&asn1::octets(&seed)),
    ]);
    folder::create_new(path, folder::PRIVATE, pem("PRIVATE KEY", &der).as_bytes())?;
    Ok(seed)
}

/// Reads the seed of an Ed25519 key (RFC 8410 section 7).
pub(crate) fn load_ed25519(path: &Path) -> Result<[u8; 32], KeyFileError> {
    let der = read_pem(path, "Ed25519")?;
    let head = [&asn1::unsigned(&[0])[..], ED25519_ALGORITHM].concat();
    let begin = [&[0x30, 0x2e][..], &head, &[0x04, 0x22, 0x04, 0x20]].concat();
    der.strip_prefix(&begin[..])
        .and_then(|seed| seed.try_into().ok())
        .ok_or_else(|| KeyFileError::Malformed {
            path: path.to_owned(),
            expected: "Ed25519",
        })
}

/// An RSA key that signs identity tokens of the development issuer.
pub(crate) struct RsaKey {
    pair: RsaKeyPair,
}

impl RsaKey {
    /// Makes a key of 2048 bits in a new file.
    pub(crate) fn create(path: &Path) -> Result<Self, KeyFileError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        folder::create_new(path, folder::PRIVATE, pem("PRIVATE KEY", der.as_ref()).as_bytes())?;
        Ok(Self { pair })
    }

    /// Reads a key.
    pub(crate) fn load(path: &Path) -> Result<Self, KeyFileError> {
        let der = read_pem(path, "RSA")?;
        let pair = RsaKeyPair::from_pkcs8(&der).map_err(|_| KeyFileError::Malformed {
            path: path.to_owned(),
            expected: "RSA",
        })?;
        Ok(Self { pair })
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyFileError> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
        Ok(signature)
    }

    /// Modulus and exponent, big-endian without leading zeros.
    pub(crate) fn components(&self) -> Result<(Vec<u8>, Vec<u8>), KeyFileError> {
        // RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 appendix A.1.1)
        let parts = Vec::<UintRef<'_>>::from_der(self.pair.public_key().as_ref()).map_err(|_| KeyFileError::Engine)?;
        match parts.as_slice() {
            [modulus, exponent] => Ok((modulus.as_bytes().to_vec(), exponent.as_bytes().to_vec())),
            _ => Err(KeyFileError::Engine),
        }
    }
}

/// SEQUENCE { OID 1.3.101.112 }.
const ED25519_ALGORITHM: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// A PEM block (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// The content of a text that is one PEM block of this kind and nothing else.
pub(crate) fn from_pem(label: &str, text: &str) -> Option<Vec<u8>> {
    let body = text.trim().strip_prefix(&format!("-----BEGIN {label}-----"))?;
    let body = body.strip_suffix(&format!("-----END {label}-----"))?;
    let packed: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).ok()
}

fn read_pem(path: &Path, expected: &'static str) -> Result<Vec<u8>, KeyFileError> {
    let bytes = folder::read_private(path)?;
    str::from_utf8(&bytes)
        .ok()
        .and_then(|text| from_pem("PRIVATE KEY", text))
        .ok_or_else(|| KeyFileError::Malformed {
            path: path.to_owned(),
            expected,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_open_modes_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let key = EcdsaKey::create(&path).unwrap();
        assert_eq!(EcdsaKey::load(&path).unwrap().spki(), key.spki());
        assert!(matches!(
            EcdsaKey::create(&path),
            Err(KeyFileError::Folder(FolderError::Exists { .. }))
        ));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            EcdsaKey::load(&path),
            Err(KeyFileError::Folder(FolderError::Mode { mode: 0o644, .. }))
        ));
        let path = folder.path().join("log.pem");
        assert_eq!(create_ed25519(&path).unwrap(), load_ed25519(&path).unwrap());
        assert!(matches!(EcdsaKey::load(&path), Err(KeyFileError::Malformed { .. })));
    }

    #[test]
    fn an_rsa_key_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dev.pem");
        let key = RsaKey::create(&path).unwrap();
        assert_eq!(
            RsaKey::load(&path).unwrap().components().unwrap(),
            key.components().unwrap()
        );
    }
}
