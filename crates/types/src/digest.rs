//! Content digests as the OCI image specification writes them: `algorithm:hex` (image-spec, descriptor.md#digests).
//!
//! Only the registered algorithms are values; anything else is an error, not an opaque string that would never match.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest as engine;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The hash of some bytes, and with which function it was made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: DigestAlgorithm,
    bytes: Box<[u8]>,
}

impl Digest {
    /// Reads `sha256:<64 hex>`; the hex must be lower case, as the specification requires.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex_text) = text
            .split_once(':')
            .ok_or_else(|| DigestError::NoAlgorithm { text: shortened(text) })?;
        let algorithm = DigestAlgorithm::parse(algorithm)?;
        Self::from_hex(algorithm, hex_text)
    }

    /// Takes the hex alone, for formats that carry the algorithm beside it.
    pub fn from_hex(algorithm: DigestAlgorithm, hex_text: &str) -> Result<Self, DigestError> {
        let expected = algorithm.length() * 2;
        if hex_text.len() != expected {
            return Err(DigestError::Length {
                algorithm,
                expected,
                seen: hex_text.len(),
            });
        }
        if hex_text.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::NotLowerHex {
                text: shortened(hex_text),
            });
        }
        let bytes = hex::decode(hex_text).map_err(|_| DigestError::NotLowerHex {
            text: shortened(hex_text),
        })?;
        Ok(Self {
            algorithm,
            bytes: bytes.into_boxed_slice(),
        })
    }

    /// Takes raw hash bytes; their number must be the algorithm's.
    pub fn from_bytes(algorithm: DigestAlgorithm, bytes: &[u8]) -> Result<Self, DigestError> {
        if bytes.len() != algorithm.length() {
            return Err(DigestError::Length {
                algorithm,
                expected: algorithm.length() * 2,
                seen: bytes.len() * 2,
            });
        }
        Ok(Self {
            algorithm,
            bytes: bytes.into(),
        })
    }

    /// The SHA-256 of `data`.
    #[must_use]
    pub fn sha256_of(data: &[u8]) -> Self {
        Self::of(DigestAlgorithm::Sha256, data)
    }

    /// The digest of `data` by `algorithm`.
    #[must_use]
    pub fn of(algorithm: DigestAlgorithm, data: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(data);
        hasher.finish()
    }

    /// Which function made it.
    #[must_use]
    pub fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The raw hash, 32, 48 or 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash in lower-case hex, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(&self.bytes)
    }

    /// `sha256-<hex>`: the form that tags of the referrers fallback and of cosign take (distribution-spec 1.1,
    /// "Unavailable Referrers API"). For SHA-512 this is longer than a tag may be; [`crate::Tag`] refuses it then.
    #[must_use]
    pub fn tag_form(&self) -> String {
        format!("{}-{}", self.algorithm.name(), self.hex())
    }

    /// Whether `data` has this digest.
    #[must_use]
    pub fn matches(&self, data: &[u8]) -> bool {
        Self::of(self.algorithm, data) == *self
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The hash functions that the image specification registers, and SHA-384, which signatures use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestAlgorithm {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl DigestAlgorithm {
    /// Reads the registered name: `sha256`, `sha384` or `sha512`.
    pub fn parse(name: &str) -> Result<Self, DigestError> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            other => Err(DigestError::UnknownAlgorithm { name: shortened(other) }),
        }
    }

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The number of bytes of a hash.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Hashes a stream piece by piece.
#[derive(Clone)]
pub struct Hasher {
    algorithm: DigestAlgorithm,
    context: engine::Context,
}

impl Hasher {
    /// Starts an empty hash.
    #[must_use]
    pub fn new(algorithm: DigestAlgorithm) -> Self {
        let function = match algorithm {
            DigestAlgorithm::Sha256 => &engine::SHA256,
            DigestAlgorithm::Sha384 => &engine::SHA384,
            DigestAlgorithm::Sha512 => &engine::SHA512,
        };
        Self {
            algorithm,
            context: engine::Context::new(function),
        }
    }

    /// Starts an empty SHA-256.
    #[must_use]
    pub fn sha256() -> Self {
        Self::new(DigestAlgorithm::Sha256)
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.context.update(data);
    }

    /// The digest of all that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest {
            algorithm: self.algorithm,
            bytes: self.context.finish().as_ref().into(),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The digests of one stream by several functions: of an artifact that is too large to be held, so that whichever a
/// signature is over is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    all: Vec<Digest>,
}

impl Digests {
    /// The digest by this function, if it was made.
    #[must_use]
    pub fn get(&self, algorithm: DigestAlgorithm) -> Option<&Digest> {
        self.all.iter().find(|digest| digest.algorithm() == algorithm)
    }

    /// The SHA-256, which is always made.
    #[must_use]
    pub fn sha256(&self) -> &Digest {
        self.all
            .first()
            .unwrap_or_else(|| unreachable!("a hasher always makes SHA-256"))
    }

    /// All of them, SHA-256 first.
    #[must_use]
    pub fn as_slice(&self) -> &[Digest] {
        &self.all
    }
}

/// Hashes a stream by several functions at once.
#[derive(Clone, Debug)]
pub struct DigestsHasher {
    all: Vec<Hasher>,
}

impl DigestsHasher {
    /// Starts an empty SHA-256, and these.
    #[must_use]
    pub fn new(more: &[DigestAlgorithm]) -> Self {
        let mut algorithms = vec![DigestAlgorithm::Sha256];
        for algorithm in more {
            if !algorithms.contains(algorithm) {
                algorithms.push(*algorithm);
            }
        }
        Self {
            all: algorithms.into_iter().map(Hasher::new).collect(),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, data: &[u8]) {
        for hasher in &mut self.all {
            hasher.update(data);
        }
    }

    /// The digests of all that was added.
    #[must_use]
    pub fn finish(self) -> Digests {
        Digests {
            all: self.all.into_iter().map(Hasher::finish).collect(),
        }
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DigestError {
    /// There is no colon; perhaps a tag or a bare hex string was given.
    #[error("expected a digest such as sha256:<64 hex digits>, got \"{text}\"")]
    NoAlgorithm {
        /// What was given, shortened.
        text: String,
    },
    /// The part before the colon names no known hash function.
    #[error("unknown digest algorithm \"{name}\", expected sha256, sha384 or sha512")]
    UnknownAlgorithm {
        /// The name given.
        name: String,
    },
    /// Too few or too many hex digits; the digest was probably cut when it was copied.
    #[error("a {algorithm} digest has {expected} hex digits, got {seen}")]
    Length {
        /// The algorithm named.
        algorithm: DigestAlgorithm,
        /// How many hex digits it has.
        expected: usize,
        /// How many were given.
        seen: usize,
    },
    /// Upper-case or foreign characters; the specification allows 0-9 and a-f only.
    #[error("a digest is written in lower-case hex, got \"{text}\"")]
    NotLowerHex {
        /// What was given, shortened.
        text: String,
    },
}

/// The longest piece of foreign text that an error repeats, in characters: enough to recognise it, too little to flood a log.
const MAX_QUOTED: usize = 80;

pub(crate) fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_QUOTED {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX_QUOTED).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn reads_and_writes_the_canonical_form() {
        let digest = Digest::parse(EMPTY).unwrap();
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(digest, Digest::sha256_of(b""));
        assert!(digest.matches(b"") && !digest.matches(b"x"));
        assert_eq!(digest.tag_form(), EMPTY.replace(':', "-"));
    }

    #[test]
    fn several_functions_run_over_one_stream() {
        let mut hasher = DigestsHasher::new(&[DigestAlgorithm::Sha512, DigestAlgorithm::Sha256]);
        hasher.update(b"a");
        hasher.update(b"bc");
        let digests = hasher.finish();
        assert_eq!(digests.as_slice().len(), 2);
        assert_eq!(digests.sha256(), &Digest::sha256_of(b"abc"));
        assert!(digests.get(DigestAlgorithm::Sha512).unwrap().matches(b"abc"));
        assert_eq!(digests.get(DigestAlgorithm::Sha384), None);
    }

    #[test]
    fn each_malformed_digest_has_its_reason() {
        let hex = EMPTY.trim_start_matches("sha256:");
        let reason = |text: &str| Digest::parse(text).unwrap_err();
        assert!(matches!(reason(hex), DigestError::NoAlgorithm { .. }));
        assert!(matches!(
            reason(&format!("md5:{hex}")),
            DigestError::UnknownAlgorithm { .. }
        ));
        assert!(matches!(
            reason(&EMPTY[..70]),
            DigestError::Length {
                expected: 64,
                seen: 63,
                ..
            }
        ));
        assert!(matches!(
            reason(&format!("sha512:{hex}")),
            DigestError::Length { expected: 128, .. }
        ));
        assert!(matches!(
            reason(&EMPTY.replace('e', "E")),
            DigestError::NotLowerHex { .. }
        ));
        assert!(matches!(reason("sha256:"), DigestError::Length { seen: 0, .. }));
    }

    #[test]
    fn a_stream_hashes_like_the_whole() {
        let mut hasher = Hasher::new(DigestAlgorithm::Sha512);
        hasher.update(b"proof");
        hasher.update(b"mark");
        assert_eq!(hasher.finish(), Digest::of(DigestAlgorithm::Sha512, b"proofmark"));
    }
}
