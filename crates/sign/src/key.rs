//! Signing keys: made, read from the files that people have, written in cosign's format.
//!
//! | PEM label | content |
//! |---|---|
//! | `ENCRYPTED SIGSTORE PRIVATE KEY`, `ENCRYPTED COSIGN PRIVATE KEY` | cosign's, see [`encrypted`] |
//! | `ENCRYPTED PRIVATE KEY` | PKCS #8 under a password, see [`pbes2`] |
//! | `PRIVATE KEY` | PKCS #8 |
//! | `EC PRIVATE KEY` | SEC 1 |
//! | `RSA PRIVATE KEY` | PKCS #1 |
//!
//! The hash is the key's, as in cosign: P-256 and RSA SHA-256, P-384 SHA-384, P-521 SHA-512, Ed25519 none, and SHA-512
//! for files (Ed25519ph).

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self as engine, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair};
use proofmark_types::{Digest, DigestAlgorithm};
use proofmark_verify::{FinishedSha512, KeyAlgorithm, PublicKey};
use zeroize::Zeroizing;

use crate::password::Password;

mod encrypted;
mod error;
mod pbes2;
mod pem;
mod remote;

pub use error::SigningKeyError;
pub use remote::{BoxFuture, RemoteKey, RemoteKeyError};

/// The largest key file read, in bytes: an encrypted RSA-4096 key in PEM is 4.5 KB.
pub const MAX_KEY_FILE_BYTES: usize = 64 * 1024;

/// A private key. Not shown, not copied, wiped when dropped; or one that never leaves its service or token.
pub struct SigningKey {
    half: Half,
    public: PublicKey,
}

enum Half {
    Local { pair: Pair, pkcs8: Zeroizing<Vec<u8>> },
    Remote(Box<dyn RemoteKey>),
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Makes a new key. `cosign generate-key-pair` makes P-256 unless told otherwise.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, SigningKeyError> {
        let engine = |_| SigningKeyError::Engine;
        let random = SystemRandom::new();
        let pair = match (curve(algorithm), rsa_size(algorithm)) {
            (Some(curve), _) => Pair::Ecdsa(
                EcdsaKeyPair::generate_pkcs8(curve, &random)
                    .map_err(engine)
                    .and_then(|der| {
                        EcdsaKeyPair::from_pkcs8(curve, der.as_ref()).map_err(|_| SigningKeyError::Engine)
                    })?,
            ),
            (None, Some(size)) => Pair::Rsa(RsaKeyPair::generate(size).map_err(engine)?),
            (None, None) => Pair::Ed25519(Ed25519KeyPair::generate().map_err(engine)?),
        };
        let pkcs8 = match &pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map(|der| Zeroizing::new(der.as_ref().to_vec())),
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair).map(|der| Zeroizing::new(der.as_ref().to_vec())),
            // Version 1, without the public half, as Go and OpenSSL write and read it.
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map(|der| Zeroizing::new(der.as_ref().to_vec())),
        };
        Self::of(pair, pkcs8.map_err(engine)?)
    }

    /// Takes a key that stays where it is. Every signature that it answers is verified before it is used.
    #[must_use]
    pub fn remote(key: Box<dyn RemoteKey>) -> Self {
        Self {
            public: key.public_key().clone(),
            half: Half::Remote(key),
        }
    }

    /// Reads a key file of any of the kinds above. The password is used for encrypted ones only.
    pub fn from_pem(text: &str, password: Option<&Password>) -> Result<Self, SigningKeyError> {
        if text.len() > MAX_KEY_FILE_BYTES {
            return Err(SigningKeyError::TooLarge {
                limit: MAX_KEY_FILE_BYTES,
                seen: text.len(),
            });
        }
        let block = pem::private_block(text)?;
        match block.label.as_str() {
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let password = password.ok_or(SigningKeyError::PasswordNeeded)?;
                Self::from_pkcs8_der(&encrypted::open(&block.content, password)?)
            }
            "ENCRYPTED PRIVATE KEY" => {
                let password = password.ok_or(SigningKeyError::PasswordNeeded)?;
                Self::from_pkcs8_der(&pbes2::open(&block.content, password)?)
            }
            "PRIVATE KEY" => Self::from_pkcs8_der(&block.content),
            "EC PRIVATE KEY" => Self::from_sec1_der(&block.content),
            "RSA PRIVATE KEY" => Self::from_pkcs1_der(&block.content),
            other => Err(SigningKeyError::Label { seen: other.to_owned() }),
        }
    }

    /// Reads an unencrypted PKCS #8 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, SigningKeyError> {
        let info = pkcs8::PrivateKeyInfo::try_from(der).map_err(|_| SigningKeyError::Malformed)?;
        let pair = match info.algorithm.oid {
            oids::EC => {
                let curve = info
                    .algorithm
                    .parameters_oid()
                    .map_err(|_| SigningKeyError::Malformed)?;
                Pair::Ecdsa(ecdsa(curve, der)?)
            }
            oids::RSA => Pair::Rsa(rsa(RsaKeyPair::from_pkcs8(der))?),
            oids::ED25519 => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| SigningKeyError::Malformed)?)
            }
            other => {
                return Err(SigningKeyError::Algorithm { oid: other.to_string() });
            }
        };
        Self::of(pair, Zeroizing::new(der.to_vec()))
    }

    fn from_sec1_der(der: &[u8]) -> Result<Self, SigningKeyError> {
        let curves = [
            &engine::ECDSA_P256_SHA256_ASN1_SIGNING,
            &engine::ECDSA_P384_SHA384_ASN1_SIGNING,
            &engine::ECDSA_P521_SHA512_ASN1_SIGNING,
        ];
        let pair = curves
            .into_iter()
            .find_map(|algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der).ok())
            .ok_or(SigningKeyError::Malformed)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| SigningKeyError::Engine)?;
        let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
        Self::of(Pair::Ecdsa(pair), pkcs8)
    }

    fn from_pkcs1_der(der: &[u8]) -> Result<Self, SigningKeyError> {
        let pair = rsa(RsaKeyPair::from_der(der))?;
        Self::of(Pair::Rsa(pair), pem::rsa_pkcs8(der)?)
    }

    fn of(pair: Pair, pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, SigningKeyError> {
        let spki = match &pair {
            Pair::Ecdsa(pair) => AsDer::<_>::as_der(pair.public_key()).map(|der| spki_bytes(&der)),
            Pair::Rsa(pair) => AsDer::<_>::as_der(pair.public_key()).map(|der| spki_bytes(&der)),
            Pair::Ed25519(pair) => AsDer::<_>::as_der(pair.public_key()).map(|der| spki_bytes(&der)),
        };
        let spki = spki.map_err(|_| SigningKeyError::Engine)?;
        let public = PublicKey::from_spki_der(&spki).map_err(|_| match &pair {
            Pair::Rsa(_) => SigningKeyError::RsaRefused,
            _ => SigningKeyError::Malformed,
        })?;
        Ok(Self {
            half: Half::Local { pair, pkcs8 },
            public,
        })
    }

    /// The key that verifies.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message with the key's own hash.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        match &self.half {
            Half::Local { pair, .. } => pair.sign(message),
            Half::Remote(key) => remote::sign(key.as_ref(), message, self.log_hash()).await,
        }
    }

    /// Signs a message as cosign 2 does, and expects of `.sig` and `.att` images: with SHA-256 whatever the curve. With
    /// the key's own hash where the service that holds it has no choice.
    pub async fn sign_legacy(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        match &self.half {
            Half::Local { pair, .. } => pair.sign_sha256(self.public.algorithm(), message),
            Half::Remote(key) => remote::sign(key.as_ref(), message, self.legacy_hash()).await,
        }
    }

    /// Signs a file: as [`SigningKey::sign`], but for Ed25519 pre-hashed. Logs take no other Ed25519 signature of a
    /// file, so that this is what Sigstore's clients make of them (cosign, `GetDefaultLoadOptions`).
    pub async fn sign_file(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let hash = self.file_hash();
        match (&self.half, hash) {
            (Half::Local { pair, .. }, Some(hash)) => {
                pair.sign_digest(self.public.algorithm(), &Digest::of(hash, message))
            }
            (Half::Local { pair, .. }, None) => pair.sign(message),
            (Half::Remote(key), hash) => remote::sign(key.as_ref(), message, hash).await,
        }
    }

    /// The hash of [`SigningKey::sign_file`]; none for an Ed25519 key whose token cannot pre-hash.
    #[must_use]
    pub fn file_hash(&self) -> Option<DigestAlgorithm> {
        let prehashed = match &self.half {
            Half::Local { .. } => true,
            Half::Remote(key) => key.takes(DigestAlgorithm::Sha512),
        };
        match self.public.algorithm() {
            KeyAlgorithm::Ed25519 if prehashed => Some(DigestAlgorithm::Sha512),
            _ => self.log_hash(),
        }
    }

    /// Whether [`SigningKey::sign_digest`] can do without the message: a key that is here.
    #[must_use]
    pub fn signs_digests(&self) -> bool {
        matches!(&self.half, Half::Local { .. })
    }

    /// Signs a message of which only the digest is at hand, as [`SigningKey::sign_file`] does with that hash.
    pub fn sign_digest(&self, digest: &Digest) -> Result<Vec<u8>, SigningKeyError> {
        match &self.half {
            Half::Local { pair, .. } => pair.sign_digest(self.public.algorithm(), digest),
            Half::Remote(_) => Err(SigningKeyError::MessageNeeded),
        }
    }

    /// The hash of [`SigningKey::sign`], under which a transparency log takes this key's envelopes; none for Ed25519,
    /// whose envelopes Rekor v1 takes and Rekor v2 does not.
    #[must_use]
    pub fn log_hash(&self) -> Option<DigestAlgorithm> {
        match self.public.algorithm() {
            KeyAlgorithm::EcdsaP384 => Some(DigestAlgorithm::Sha384),
            KeyAlgorithm::EcdsaP521 => Some(DigestAlgorithm::Sha512),
            KeyAlgorithm::Ed25519 => None,
            _ => Some(DigestAlgorithm::Sha256),
        }
    }

    /// The hash of [`SigningKey::sign_legacy`]; none for Ed25519.
    pub(crate) fn legacy_hash(&self) -> Option<DigestAlgorithm> {
        let own = self.log_hash()?;
        match &self.half {
            Half::Remote(key) if !key.takes(DigestAlgorithm::Sha256) => Some(own),
            _ => Some(DigestAlgorithm::Sha256),
        }
    }

    /// The name of key and hash in Rekor v2 requests (`sigstore_common.proto`, `PublicKeyDetails`).
    pub(crate) fn log_details(&self) -> &'static str {
        match self.public.algorithm() {
            KeyAlgorithm::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
            KeyAlgorithm::EcdsaP384 => "PKIX_ECDSA_P384_SHA_384",
            KeyAlgorithm::EcdsaP521 => "PKIX_ECDSA_P521_SHA_512",
            KeyAlgorithm::Rsa2048 => "PKIX_RSA_PKCS1V15_2048_SHA256",
            KeyAlgorithm::Rsa3072 => "PKIX_RSA_PKCS1V15_3072_SHA256",
            KeyAlgorithm::Rsa4096 => "PKIX_RSA_PKCS1V15_4096_SHA256",
            KeyAlgorithm::Ed25519 => "PKIX_ED25519_PH",
        }
    }

    /// Writes the key encrypted, as `cosign generate-key-pair` does.
    pub fn to_encrypted_pem(&self, password: &Password) -> Result<Zeroizing<String>, SigningKeyError> {
        match &self.half {
            Half::Local { pkcs8, .. } => encrypted::seal(pkcs8, password),
            Half::Remote(_) => Err(SigningKeyError::NotHere {
                kind: "a service or a token",
            }),
        }
    }
}

impl Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| SigningKeyError::Engine),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&engine::RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| SigningKeyError::Engine)?;
                Ok(signature)
            }
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// With SHA-256 whatever the curve.
    ///
    /// The engine pairs each curve with its own hash. ECDSA signs the number that the hash is (FIPS 186-5 §6.4.1), and
    /// the same number with leading zeros is as long as the hash that the engine wants.
    fn sign_sha256(&self, algorithm: KeyAlgorithm, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let wide = match algorithm {
            KeyAlgorithm::EcdsaP384 => &digest::SHA384,
            KeyAlgorithm::EcdsaP521 => &digest::SHA512,
            _ => return self.sign(message),
        };
        let Self::Ecdsa(pair) = self else {
            return self.sign(message);
        };
        sign_number(pair, wide, digest::digest(&digest::SHA256, message).as_ref())
    }

    fn sign_digest(&self, algorithm: KeyAlgorithm, digest: &Digest) -> Result<Vec<u8>, SigningKeyError> {
        let own = match algorithm {
            KeyAlgorithm::EcdsaP384 => &digest::SHA384,
            KeyAlgorithm::EcdsaP521 => &digest::SHA512,
            _ => &digest::SHA256,
        };
        match self {
            Self::Ecdsa(pair) => sign_number(pair, own, digest.as_bytes()),
            Self::Rsa(pair) if digest.algorithm() == DigestAlgorithm::Sha256 => {
                let mut signature = vec![0; pair.public_modulus_len()];
                digest::Digest::import_less_safe(digest.as_bytes(), own)
                    .and_then(|digest| pair.sign_digest(&engine::RSA_PKCS1_SHA256, &digest, &mut signature))
                    .map_err(|_| SigningKeyError::Engine)?;
                Ok(signature)
            }
            Self::Ed25519(pair) => sign_prehashed(pair, digest),
            Self::Rsa(_) => Err(SigningKeyError::MessageNeeded),
        }
    }
}

/// Signs the number that a hash is, as long as the hash that goes with the curve; a longer one does not fit.
fn sign_number(pair: &EcdsaKeyPair, wide: &'static digest::Algorithm, hash: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
    let missing = wide
        .output_len()
        .checked_sub(hash.len())
        .ok_or(SigningKeyError::MessageNeeded)?;
    let mut padded = vec![0; missing];
    padded.extend_from_slice(hash);
    digest::Digest::import_less_safe(&padded, wide)
        .and_then(|number| pair.sign_digest(&number))
        .map(|signature| signature.as_ref().to_vec())
        .map_err(|_| SigningKeyError::Engine)
}

/// Ed25519ph (RFC 8032 section 5.1), which the engine does not have, without a context.
fn sign_prehashed(pair: &Ed25519KeyPair, digest: &Digest) -> Result<Vec<u8>, SigningKeyError> {
    let finished = FinishedSha512::new(digest).ok_or(SigningKeyError::MessageNeeded)?;
    let seed = pair.seed().map_err(|_| SigningKeyError::Engine)?;
    let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| SigningKeyError::Engine)?;
    let seed: &[u8; 32] = seed.as_ref().try_into().map_err(|_| SigningKeyError::Engine)?;
    // Wiped when dropped.
    ed25519_dalek::SigningKey::from_bytes(seed)
        .sign_prehashed(finished, None)
        .map(|signature| signature.to_bytes().to_vec())
        .map_err(|_| SigningKeyError::Engine)
}

fn curve(algorithm: KeyAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => Some(&engine::ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyAlgorithm::EcdsaP384 => Some(&engine::ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyAlgorithm::EcdsaP521 => Some(&engine::ECDSA_P521_SHA512_ASN1_SIGNING),
        _ => None,
    }
}

fn rsa_size(algorithm: KeyAlgorithm) -> Option<KeySize> {
    match algorithm {
        KeyAlgorithm::Rsa2048 => Some(KeySize::Rsa2048),
        KeyAlgorithm::Rsa3072 => Some(KeySize::Rsa3072),
        KeyAlgorithm::Rsa4096 => Some(KeySize::Rsa4096),
        _ => None,
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

fn spki_bytes(der: &aws_lc_rs::encoding::PublicKeyX509Der<'_>) -> Vec<u8> {
    der.as_ref().to_vec()
}

fn ecdsa(curve: der::asn1::ObjectIdentifier, der: &[u8]) -> Result<EcdsaKeyPair, SigningKeyError> {
    let algorithm: &'static EcdsaSigningAlgorithm = match curve {
        oids::P256 => &engine::ECDSA_P256_SHA256_ASN1_SIGNING,
        oids::P384 => &engine::ECDSA_P384_SHA384_ASN1_SIGNING,
        oids::P521 => &engine::ECDSA_P521_SHA512_ASN1_SIGNING,
        other => {
            return Err(SigningKeyError::Algorithm { oid: other.to_string() });
        }
    };
    EcdsaKeyPair::from_private_key_der(algorithm, der).map_err(|_| SigningKeyError::Malformed)
}

fn rsa(pair: Result<RsaKeyPair, aws_lc_rs::error::KeyRejected>) -> Result<RsaKeyPair, SigningKeyError> {
    // Its length is checked with the public half.
    pair.map_err(|_| SigningKeyError::RsaRefused)
}

mod oids {
    use der::asn1::ObjectIdentifier;

    pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
    pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
    pub(super) const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
    pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
}

#[cfg(test)]
pub(crate) mod tests;
