//! Why a key cannot be used.

use thiserror::Error;

use super::remote::RemoteKeyError;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// More bytes than any key file has.
    #[error("a key file has at most {limit} bytes, this has {seen}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// The length seen.
        seen: usize,
    },
    /// No PEM block in it: perhaps another file.
    #[error("expected a PEM private key, found none")]
    NotPem,
    /// A block of a kind that is no private key, such as the public key.
    #[error(
        "the PEM block is \"{seen}\", expected ENCRYPTED SIGSTORE PRIVATE KEY, ENCRYPTED PRIVATE KEY, PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY"
    )]
    Label {
        /// The label.
        seen: String,
    },
    /// The content of the block is not what its label says.
    #[error("the private key is malformed")]
    Malformed,
    /// A kind of key that images are not signed with.
    #[error("expected ECDSA P-256, P-384, P-521, RSA or Ed25519, this key is of algorithm {oid}")]
    Algorithm {
        /// The algorithm or curve.
        oid: String,
    },
    /// An RSA key that is malformed or of another length.
    #[error("the RSA key is malformed or has other than 2048, 3072 or 4096 bits")]
    RsaRefused,
    /// The key is encrypted and no password was given.
    #[error("the key is encrypted and no password was given")]
    PasswordNeeded,
    /// The password does not open the key.
    #[error("the password does not open the key")]
    WrongPassword,
    /// Encrypted with something else than is read, or with costs made to exhaust memory or time.
    #[error(
        "the key is encrypted with {what}, expected scrypt (N 32768, 65536 or 131072, r 8, p 1) and nacl/secretbox, or in PKCS #8 scrypt or PBKDF2 of no more cost and AES in CBC"
    )]
    Encryption {
        /// What it says.
        what: String,
    },
    /// The key signs the message itself, or with another hash, and only a digest is there.
    #[error("this key needs the message itself, or another digest of it")]
    MessageNeeded,
    /// The cryptographic library or the system's randomness failed.
    #[error("the cryptographic library failed")]
    Engine,
    /// The service or token that holds the key did not sign.
    #[error(transparent)]
    Remote(#[from] RemoteKeyError),
    /// The key is only in its token or service, and there is nothing to write.
    #[error("the key is held by {kind} and cannot be written to a file")]
    NotHere {
        /// What holds it.
        kind: &'static str,
    },
}

impl SigningKeyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "key-too-large",
            Self::NotPem => "key-not-pem",
            Self::Label { .. } => "key-label",
            Self::Malformed => "key-malformed",
            Self::Algorithm { .. } => "key-algorithm-unknown",
            Self::RsaRefused => "key-rsa-refused",
            Self::PasswordNeeded => "key-password-needed",
            Self::WrongPassword => "key-password-wrong",
            Self::Encryption { .. } => "key-encryption-unknown",
            Self::MessageNeeded => "key-message-needed",
            Self::Engine => "key-engine",
            Self::Remote(error) => error.code(),
            Self::NotHere { .. } => "key-not-here",
        }
    }

    /// Whether nothing was decided and the same may succeed later.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Remote(error) if error.is_unreachable())
    }
}
