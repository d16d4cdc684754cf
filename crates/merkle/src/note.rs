//! C2SP signed notes: a text and signature lines, each naming its key by a name and four bytes of a hash.
//!
//! A line by a key that the caller does not know means nothing and is skipped, as the specification asks; a line that
//! claims a known key and does not verify is an error.

use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::hash::sha256;

/// The longest note read: a checkpoint is a few hundred bytes, and hundred witnesses with ML-DSA-44 lines (3.3 kB each
/// in base64) stay below it.
pub const MAX_NOTE_BYTES: usize = 512 * 1024;
/// The most signature lines read, the limit of Go's `sumdb/note`.
pub const MAX_NOTE_SIGNATURES: usize = 100;

const SIGNATURE_PREFIX: &str = "\u{2014} ";
const KEY_ID_LENGTH: usize = 4;
/// The longest signature in a line: ML-DSA-87 has 4627 bytes.
const MAX_SIGNATURE_BYTES: usize = 8 * 1024;
const ED25519_TYPE: u8 = 0x01;
const UNASSIGNED_TYPE: u8 = 0xff;
/// The name under which sigstore's key ids for RSA are made (type 0xff, trust-services notes of rekor-tiles).
const RSA_TYPE_NAME: &[u8] = b"PKIX-RSA-PKCS#1v1.5";

/// Why a note was not read or not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoteError {
    /// More than [`MAX_NOTE_BYTES`].
    #[error("a signed note of {seen} bytes is longer than the {MAX_NOTE_BYTES} that are read")]
    TooLong {
        /// Its length.
        seen: usize,
    },
    /// Not UTF-8, or with control characters.
    #[error("a signed note must be UTF-8 without control characters")]
    Text,
    /// No empty line between text and signatures, or nothing after it.
    #[error("the note has no signatures after its text")]
    Unsigned,
    /// A line that is not a signature, or has a malformed name or base64.
    #[error("signature line {line} of the note is malformed")]
    SignatureLine {
        /// Which one, from 1.
        line: usize,
    },
    /// More than [`MAX_NOTE_SIGNATURES`].
    #[error("the note has more than {MAX_NOTE_SIGNATURES} signatures")]
    TooManySignatures,
    /// No line by the key asked for; the note comes from another log, or the key was renamed.
    #[error("the note is not signed by \"{name}\" with key id {key_id:02x?}")]
    NotSignedBy {
        /// The name of the key.
        name: String,
        /// Its id.
        key_id: [u8; KEY_ID_LENGTH],
    },
    /// The line is there and does not verify; the text was altered.
    #[error("the signature of \"{name}\" on the note does not verify")]
    BadSignature {
        /// The name of the key.
        name: String,
    },
}

impl NoteError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "note-too-long",
            Self::Text => "note-text",
            Self::Unsigned => "note-unsigned",
            Self::SignatureLine { .. } => "note-signature-line",
            Self::TooManySignatures => "note-too-many-signatures",
            Self::NotSignedBy { .. } => "note-not-signed-by-key",
            Self::BadSignature { .. } => "note-bad-signature",
        }
    }
}

/// Why a key cannot verify notes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoteKeyError {
    /// Empty, or with white space or a plus sign.
    #[error("\"{name}\" cannot name a key of a signed note")]
    Name {
        /// The name given.
        name: String,
    },
    /// Neither Ed25519, ECDSA on P-256, P-384 or P-521, nor RSA; or not a SubjectPublicKeyInfo at all.
    #[error("not the SubjectPublicKeyInfo of an Ed25519, ECDSA or RSA key")]
    Algorithm,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: [u8; KEY_ID_LENGTH],
    signature: Vec<u8>,
}

impl NoteSignature {
    /// The name of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of the key's hash.
    #[must_use]
    pub fn key_id(&self) -> [u8; KEY_ID_LENGTH] {
        self.key_id
    }

    /// The signature, without the key id.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        if !is_key_name(name) || encoded.len() > MAX_SIGNATURE_BYTES * 4 / 3 + 8 {
            return None;
        }
        let decoded = STANDARD.decode(encoded).ok()?;
        let (key_id, signature) = decoded.split_first_chunk::<KEY_ID_LENGTH>()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            key_id: *key_id,
            signature: signature.to_vec(),
        })
    }

    fn line(&self) -> String {
        let mut blob = self.key_id.to_vec();
        blob.extend_from_slice(&self.signature);
        format!("{SIGNATURE_PREFIX}{} {}\n", self.name, STANDARD.encode(blob))
    }
}

/// A text with at least one signature line, nothing of it verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Reads a note; every signature line must be well formed, whoever signed.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong { seen: bytes.len() });
        }
        let note = str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Text);
        }
        // The text may have empty lines of its own: the last one divides.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let mut signatures = Vec::new();
        for (index, line) in lines.split('\n').enumerate() {
            if index >= MAX_NOTE_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(NoteSignature::parse(line).ok_or(NoteError::SignatureLine { line: index + 1 })?);
        }
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// Signs a text, which must end its last line.
    #[must_use]
    pub fn sign(text: String, signers: &[&NoteSigner]) -> Self {
        let signatures = signers.iter().map(|signer| signer.sign(&text)).collect();
        Self { text, signatures }
    }

    /// What is signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines, known and unknown.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks that `key` signed the text: a line with its name and id is there, and every such line verifies.
    pub fn verify(&self, key: &NoteKey) -> Result<(), NoteError> {
        let mut lines = self
            .signatures
            .iter()
            .filter(|line| line.name == key.name && line.key_id == key.key_id())
            .peekable();
        if lines.peek().is_none() {
            return Err(NoteError::NotSignedBy {
                name: key.name.clone(),
                key_id: key.key_id(),
            });
        }
        if lines.all(|line| key.verify(self.text.as_bytes(), &line.signature)) {
            Ok(())
        } else {
            Err(NoteError::BadSignature { name: key.name.clone() })
        }
    }

    /// The note as it is sent.
    #[must_use]
    pub fn encode(&self) -> String {
        let lines: String = self.signatures.iter().map(NoteSignature::line).collect();
        format!("{}\n{lines}", self.text)
    }
}

/// A key that verifies notes, under the name that its signature lines carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
    hash: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyAlgorithm {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Rsa,
}

impl NoteKey {
    /// Takes the DER of a SubjectPublicKeyInfo, as trusted roots carry it.
    pub fn from_spki_der(name: &str, spki: &[u8]) -> Result<Self, NoteKeyError> {
        if !is_key_name(name) {
            return Err(NoteKeyError::Name {
                name: name.chars().take(80).collect(),
            });
        }
        let algorithm = KeyAlgorithm::of(spki).ok_or(NoteKeyError::Algorithm)?;
        let hash = match algorithm {
            KeyAlgorithm::Ed25519 => {
                let raw = spki.strip_prefix(ED25519_SPKI).ok_or(NoteKeyError::Algorithm)?;
                sha256(&[name.as_bytes(), b"\n", &[ED25519_TYPE], raw])
            }
            KeyAlgorithm::Rsa => sha256(&[name.as_bytes(), b"\n", &[UNASSIGNED_TYPE], RSA_TYPE_NAME, spki]),
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => sha256(&[spki]),
        };
        Ok(Self {
            name: name.to_owned(),
            algorithm,
            spki: spki.to_vec(),
            hash: *hash.as_bytes(),
        })
    }

    /// Takes the 32 bytes of an Ed25519 public key.
    pub fn ed25519(name: &str, public_key: &[u8; 32]) -> Result<Self, NoteKeyError> {
        let mut spki = ED25519_SPKI.to_vec();
        spki.extend_from_slice(public_key);
        Self::from_spki_der(name, &spki)
    }

    /// The name in the signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four bytes in the signature lines.
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.hash;
        [a, b, c, d]
    }

    /// The whole hash that the key id is the beginning of: `logId.keyId` of Rekor v2 entries and trusted roots.
    #[must_use]
    pub fn log_id(&self) -> [u8; 32] {
        self.hash
    }

    /// The DER of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let engine: &'static dyn VerificationAlgorithm = match self.algorithm {
            KeyAlgorithm::Ed25519 => &signature::ED25519,
            KeyAlgorithm::EcdsaP256 => &signature::ECDSA_P256_SHA256_ASN1,
            KeyAlgorithm::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1,
            KeyAlgorithm::EcdsaP521 => &signature::ECDSA_P521_SHA512_ASN1,
            KeyAlgorithm::Rsa => &signature::RSA_PKCS1_2048_8192_SHA256,
        };
        let key = match self.algorithm {
            KeyAlgorithm::Ed25519 => self.spki.strip_prefix(ED25519_SPKI).unwrap_or_default(),
            _ => &self.spki,
        };
        UnparsedPublicKey::new(engine, key).verify(text, signature).is_ok()
    }
}

impl KeyAlgorithm {
    /// Reads the algorithm out of a SubjectPublicKeyInfo by its DER prefix; the key itself is checked when it is used.
    fn of(spki: &[u8]) -> Option<Self> {
        let exact = [
            (ED25519_SPKI, 32, Self::Ed25519),
            (P256_SPKI, 65, Self::EcdsaP256),
            (P384_SPKI, 97, Self::EcdsaP384),
            (P521_SPKI, 133, Self::EcdsaP521),
        ];
        for (prefix, length, algorithm) in exact {
            if spki.strip_prefix(prefix).is_some_and(|key| key.len() == length) {
                return Some(algorithm);
            }
        }
        // SEQUENCE of two length bytes (any RSA key of 2048 bits or more), then the algorithm.
        let inner = spki.strip_prefix(&[0x30, 0x82])?.get(2..)?;
        inner.starts_with(RSA_ALGORITHM).then_some(Self::Rsa)
    }
}

const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P384_SPKI: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];
const P521_SPKI: &[u8] = &[
    0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
];
const RSA_ALGORITHM: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// An Ed25519 key that signs notes under a name.
pub struct NoteSigner {
    pair: Ed25519KeyPair,
    key: NoteKey,
}

impl NoteSigner {
    /// Takes the 32-byte seed of an Ed25519 key.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteKeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteKeyError::Algorithm)?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref()).map_err(|_| NoteKeyError::Algorithm)?;
        let key = NoteKey::ed25519(name, &public)?;
        Ok(Self { pair, key })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    fn sign(&self, text: &str) -> NoteSignature {
        NoteSignature {
            name: self.key.name.clone(),
            key_id: self.key.key_id(),
            signature: self.pair.sign(text.as_bytes()).as_ref().to_vec(),
        }
    }
}

impl std::fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoteSigner")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// C2SP: a name is not empty and has neither Unicode spaces nor a plus sign.
fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

#[cfg(test)]
mod tests;
