//! Public keys: reading, naming and verifying with the hash rules of the formats.
//!
//! The hash is a property of the key (protobuf-specs, `PublicKeyDetails`): P-256 and RSA SHA-256, P-384 SHA-384,
//! P-521 SHA-512, Ed25519 none. Older cosign signed with SHA-256 whatever the curve, so that SHA-256 is tried second.
//! Ed25519 is tried pure, then pre-hashed (Ed25519ph): the two are domain-separated (RFC 8032 section 5.1), a signature
//! of one is never valid as the other.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest as engine;
use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Decode;
use der::asn1::{ObjectIdentifier, UintRef};
use proofmark_types::{Digest, DigestAlgorithm};
use thiserror::Error;
use x509_cert::spki::SubjectPublicKeyInfoRef;

mod finished;

pub use finished::FinishedSha512;

/// A SubjectPublicKeyInfo of an RSA-4096 key is 550 bytes; what is larger is named by its length as far as this.
const MAX_SPKI_BYTES: usize = 2_200;

/// PEM is base64 with line ends and two marker lines.
const MAX_PEM_BYTES: usize = 4_096;

const ID_EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A public key of a kind that signatures on images are made with.
#[derive(Clone)]
pub struct PublicKey {
    inner: Arc<Inner>,
}

struct Inner {
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
    fingerprint: Digest,
    /// Default scheme first. Parsed once: parsing costs more than hashing a manifest.
    schemes: Vec<(HashUsed, ParsedPublicKey)>,
    /// For Ed25519ph, which the engine does not have.
    edwards: Option<ed25519_dalek::VerifyingKey>,
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`, as `cosign.pub` is; other text around it is refused.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_PEM_BYTES {
            return Err(KeyError::TooLarge {
                limit: MAX_PEM_BYTES,
                seen: text.len(),
            });
        }
        let body = text
            .trim()
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
            .ok_or(KeyError::NotPem)?;
        let packed: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(packed).map_err(|_| KeyError::NotPem)?;
        Self::from_spki_der(&der)
    }

    /// Reads a DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    pub fn from_spki_der(spki: &[u8]) -> Result<Self, KeyError> {
        if spki.len() > MAX_SPKI_BYTES {
            return Err(KeyError::TooLarge {
                limit: MAX_SPKI_BYTES,
                seen: spki.len(),
            });
        }
        let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| KeyError::NotSpki)?;
        let algorithm = KeyAlgorithm::of(&info)?;
        let raw = info.subject_public_key.as_bytes().ok_or(KeyError::NotSpki)?;
        let edwards = match algorithm {
            KeyAlgorithm::Ed25519 => {
                let bytes: &[u8; 32] = raw.try_into().map_err(|_| KeyError::NotSpki)?;
                Some(ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Refused)?)
            }
            _ => None,
        };
        let schemes = algorithm
            .schemes()
            .iter()
            .map(|(hash, scheme)| {
                Ok((
                    *hash,
                    ParsedPublicKey::new(*scheme, raw).map_err(|_| KeyError::Refused)?,
                ))
            })
            .collect::<Result<Vec<_>, KeyError>>()?;
        Ok(Self {
            inner: Arc::new(Inner {
                algorithm,
                spki: spki.to_vec(),
                fingerprint: Digest::sha256_of(spki),
                schemes,
                edwards,
            }),
        })
    }

    /// Takes a bare Ed25519 key (32 bytes), as trust roots and signed notes have it.
    pub fn from_ed25519(raw: &[u8; 32]) -> Result<Self, KeyError> {
        // RFC 8410 section 4: the only encoding there is, so that it can be written down.
        let mut spki = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        spki.extend_from_slice(raw);
        Self::from_spki_der(&spki)
    }

    /// Writes `-----BEGIN PUBLIC KEY-----`.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let encoded = STANDARD.encode(&self.inner.spki);
        let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
        for (index, c) in encoded.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                text.push('\n');
            }
            text.push(c);
        }
        text.push_str("\n-----END PUBLIC KEY-----\n");
        text
    }

    /// The DER SubjectPublicKeyInfo, as it was read.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.inner.spki
    }

    /// SHA-256 of the SubjectPublicKeyInfo: cosign's key hint, and the key id of most logs.
    #[must_use]
    pub fn fingerprint(&self) -> &Digest {
        &self.inner.fingerprint
    }

    /// What kind of key it is.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.inner.algorithm
    }

    /// Whether the key made `signature` over `message`, and with which hash.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<HashUsed, SignatureError> {
        if signature.is_empty() {
            return Err(SignatureError::Empty);
        }
        for (hash, key) in &self.inner.schemes {
            if key.verify_sig(message, signature).is_ok() {
                return Ok(*hash);
            }
        }
        if self.inner.edwards.is_some() {
            return self.verify_ed25519ph(&Digest::of(DigestAlgorithm::Sha512, message), signature);
        }
        Err(self.mismatch())
    }

    /// Whether the key made `signature` over something with this digest. Pure Ed25519 signs the bytes themselves and
    /// cannot be checked this way.
    pub fn verify_digest(&self, digest: &Digest, signature: &[u8]) -> Result<HashUsed, SignatureError> {
        if signature.is_empty() {
            return Err(SignatureError::Empty);
        }
        if self.inner.edwards.is_some() {
            return self.verify_ed25519ph(digest, signature);
        }
        let mut tried = false;
        for (hash, key) in &self.inner.schemes {
            if hash.digest_algorithm() != Some(digest.algorithm()) {
                continue;
            }
            tried = true;
            let Ok(imported) = engine::Digest::import_less_safe(digest.as_bytes(), engine_hash(digest.algorithm()))
            else {
                continue;
            };
            if key.verify_digest_sig(&imported, signature).is_ok() {
                return Ok(*hash);
            }
        }
        if tried {
            Err(self.mismatch())
        } else {
            Err(SignatureError::DigestUnsuitable {
                algorithm: self.inner.algorithm.name(),
                digest: digest.algorithm().name(),
            })
        }
    }

    fn verify_ed25519ph(&self, digest: &Digest, signature: &[u8]) -> Result<HashUsed, SignatureError> {
        let finished = FinishedSha512::new(digest).ok_or_else(|| SignatureError::DigestUnsuitable {
            algorithm: self.inner.algorithm.name(),
            digest: digest.algorithm().name(),
        })?;
        let parsed = ed25519_dalek::Signature::from_slice(signature).map_err(|_| self.mismatch())?;
        let key = self.inner.edwards.as_ref().ok_or_else(|| self.mismatch())?;
        key.verify_prehashed_strict(finished, None, &parsed)
            .map(|()| HashUsed::Ed25519ph)
            .map_err(|_| self.mismatch())
    }

    fn mismatch(&self) -> SignatureError {
        SignatureError::Mismatch {
            algorithm: self.inner.algorithm.name(),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicKey({} {})",
            self.inner.algorithm.name(),
            self.inner.fingerprint
        )
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.inner.spki == other.inner.spki
    }
}

impl Eq for PublicKey {}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// RSA with 2048 bits, PKCS #1 v1.5 or PSS.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// Ed25519, pure or pre-hashed.
    Ed25519,
}

impl KeyAlgorithm {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Ed25519,
    ];

    /// The name that cosign's `--signing-algorithm` has for it, with its hash.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-sha2-256-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-384-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-512-nistp521",
            Self::Rsa2048 => "rsa-sign-pkcs1-2048-sha256",
            Self::Rsa3072 => "rsa-sign-pkcs1-3072-sha256",
            Self::Rsa4096 => "rsa-sign-pkcs1-4096-sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Reads such a name; `ed25519-ph` is the same kind of key as `ed25519`.
    #[must_use]
    pub fn from_flag(name: &str) -> Option<Self> {
        match name {
            "ed25519-ph" => Some(Self::Ed25519),
            name => Self::ALL.into_iter().find(|algorithm| algorithm.flag() == name),
        }
    }

    /// The name that messages use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::EcdsaP521 => "ECDSA P-521",
            Self::Rsa2048 => "RSA 2048",
            Self::Rsa3072 => "RSA 3072",
            Self::Rsa4096 => "RSA 4096",
            Self::Ed25519 => "Ed25519",
        }
    }

    fn of(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, KeyError> {
        match info.algorithm.oid {
            ID_EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters_oid().map_err(|_| KeyError::NotSpki)?;
                match curve {
                    SECP256R1 => Ok(Self::EcdsaP256),
                    SECP384R1 => Ok(Self::EcdsaP384),
                    SECP521R1 => Ok(Self::EcdsaP521),
                    other => Err(KeyError::UnknownAlgorithm { oid: other.to_string() }),
                }
            }
            RSA_ENCRYPTION => Self::of_rsa(info),
            ED25519 => Ok(Self::Ed25519),
            other => Err(KeyError::UnknownAlgorithm { oid: other.to_string() }),
        }
    }

    /// The three lengths that the formats have names for; other lengths are refused by Fulcio and cosign too (Go,
    /// `goodkey`), and above 4096 bits verifying costs more than it gives.
    fn of_rsa(info: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, KeyError> {
        let key = info.subject_public_key.as_bytes().ok_or(KeyError::NotSpki)?;
        let key = RsaPublicKey::from_der(key).map_err(|_| KeyError::NotSpki)?;
        let modulus = key.modulus.as_bytes();
        let top = modulus.first().map_or(8, |byte| byte.leading_zeros());
        let bytes = u64::try_from(modulus.len()).unwrap_or(u64::MAX);
        let bits = bytes.saturating_mul(8).saturating_sub(u64::from(top));
        match bits {
            2048 => Ok(Self::Rsa2048),
            3072 => Ok(Self::Rsa3072),
            4096 => Ok(Self::Rsa4096),
            seen => Err(KeyError::RsaLength { seen }),
        }
    }

    fn schemes(self) -> &'static [(HashUsed, &'static dyn VerificationAlgorithm)] {
        match self {
            Self::EcdsaP256 => &[(HashUsed::Sha256, &signature::ECDSA_P256_SHA256_ASN1)],
            Self::EcdsaP384 => &[
                (HashUsed::Sha384, &signature::ECDSA_P384_SHA384_ASN1),
                (HashUsed::Sha256, &signature::ECDSA_P384_SHA256_ASN1),
            ],
            Self::EcdsaP521 => &[
                (HashUsed::Sha512, &signature::ECDSA_P521_SHA512_ASN1),
                (HashUsed::Sha256, &signature::ECDSA_P521_SHA256_ASN1),
            ],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                (HashUsed::Sha256, &signature::RSA_PKCS1_2048_8192_SHA256),
                (HashUsed::PssSha256, &signature::RSA_PSS_2048_8192_SHA256),
            ],
            Self::Ed25519 => &[(HashUsed::Ed25519, &signature::ED25519)],
        }
    }
}

/// RFC 8017 appendix A.1.1.
#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    /// Read so that the structure is whole; the engine judges it.
    exponent: UintRef<'a>,
}

/// With which scheme a signature verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HashUsed {
    /// ECDSA or RSA PKCS #1 v1.5 with SHA-256.
    Sha256,
    /// ECDSA with SHA-384.
    Sha384,
    /// ECDSA with SHA-512.
    Sha512,
    /// RSA PSS with SHA-256.
    PssSha256,
    /// Pure Ed25519.
    Ed25519,
    /// Ed25519ph (SHA-512).
    Ed25519ph,
}

impl HashUsed {
    /// The hash over the message; none where the scheme signs the message itself.
    #[must_use]
    pub fn digest_algorithm(self) -> Option<DigestAlgorithm> {
        match self {
            Self::Sha256 | Self::PssSha256 => Some(DigestAlgorithm::Sha256),
            Self::Sha384 => Some(DigestAlgorithm::Sha384),
            Self::Sha512 | Self::Ed25519ph => Some(DigestAlgorithm::Sha512),
            Self::Ed25519 => None,
        }
    }
}

/// Why bytes are not a usable public key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a PEM public key: perhaps a private key, a certificate, or text around it.
    #[error("expected one `-----BEGIN PUBLIC KEY-----` block and nothing else")]
    NotPem,
    /// Not a SubjectPublicKeyInfo.
    #[error("expected a DER SubjectPublicKeyInfo")]
    NotSpki,
    /// More bytes than any key of these kinds has.
    #[error("a public key has at most {limit} bytes, this has {seen}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// The length seen.
        seen: usize,
    },
    /// A kind of key that signatures on images are not made with.
    #[error("expected ECDSA P-256, P-384, P-521, RSA or Ed25519, this key is of algorithm {oid}")]
    UnknownAlgorithm {
        /// The algorithm or curve.
        oid: String,
    },
    /// An RSA key that is too short to be safe, or of a length that no format has a name for.
    #[error("an RSA key has 2048, 3072 or 4096 bits, this has {seen}")]
    RsaLength {
        /// The number of bits seen.
        seen: u64,
    },
    /// The engine refuses it: a point that is not on the curve, an RSA modulus that is even.
    #[error("the key is not valid")]
    Refused,
}

impl KeyError {
    /// A stable word for outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotPem => "key-not-pem",
            Self::NotSpki => "key-not-spki",
            Self::TooLarge { .. } => "key-too-large",
            Self::UnknownAlgorithm { .. } => "key-algorithm-unknown",
            Self::RsaLength { .. } => "key-rsa-length",
            Self::Refused => "key-refused",
        }
    }
}

/// Why a signature is not one of a key over some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There are no bytes of signature.
    #[error("the signature is empty")]
    Empty,
    /// The key did not sign these bytes, or the signature is not one of its kind.
    #[error("not a valid {algorithm} signature over these bytes")]
    Mismatch {
        /// The kind of the key.
        algorithm: &'static str,
    },
    /// The key signs bytes or another hash, and only a digest is there.
    #[error("a {algorithm} signature cannot be checked over a {digest} digest alone")]
    DigestUnsuitable {
        /// The kind of the key.
        algorithm: &'static str,
        /// The digest's algorithm.
        digest: &'static str,
    },
}

fn engine_hash(algorithm: DigestAlgorithm) -> &'static engine::Algorithm {
    match algorithm {
        DigestAlgorithm::Sha256 => &engine::SHA256,
        DigestAlgorithm::Sha384 => &engine::SHA384,
        DigestAlgorithm::Sha512 => &engine::SHA512,
    }
}
