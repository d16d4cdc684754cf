//! Keys that never leave their service or token.

use std::fmt;
use std::pin::Pin;

use proofmark_types::DigestAlgorithm;
use proofmark_verify::PublicKey;
use thiserror::Error;

use super::SigningKeyError;

/// A future that can be handed from one thread to another.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A key that never leaves its service or token. What it answers is verified with its public key before it is used, so
/// that a service which signs with another key, or something else, does no harm.
pub trait RemoteKey: fmt::Debug + Send + Sync {
    /// The public half, read when the key was opened.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message`. `hash` is what the service is asked to sign with; none for pure Ed25519, SHA-512 for Ed25519ph.
    /// ECDSA answers DER, RSA PKCS #1 v1.5.
    fn sign<'a>(
        &'a self,
        message: &'a [u8],
        hash: Option<DigestAlgorithm>,
    ) -> BoxFuture<'a, Result<Vec<u8>, RemoteKeyError>>;

    /// Whether it can sign with this hash: many services pair each curve with one.
    fn takes(&self, _hash: DigestAlgorithm) -> bool {
        true
    }
}

/// Has `key` sign, and believes nothing of the answer.
pub(super) async fn sign(
    key: &dyn RemoteKey,
    message: &[u8],
    hash: Option<DigestAlgorithm>,
) -> Result<Vec<u8>, SigningKeyError> {
    let signature = key.sign(message, hash).await?;
    let used = key
        .public_key()
        .verify(message, &signature)
        .map_err(|error| RemoteKeyError::NotVerified {
            reason: error.to_string(),
        })?;
    // A signature with another hash would be logged, and looked for, under the wrong name.
    if used.digest_algorithm() != hash {
        return Err(RemoteKeyError::NotVerified {
            reason: format!(
                "asked for {}, got {}",
                hash.map_or("no hash", DigestAlgorithm::name),
                used.digest_algorithm().map_or("no hash", DigestAlgorithm::name)
            ),
        }
        .into());
    }
    Ok(signature)
}

/// Why a service or token did not sign, or did not hand out its public key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoteKeyError {
    /// No answer: nothing is decided, the same may succeed later.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// Who was asked, without secrets.
        place: String,
        /// Why there was no answer.
        reason: String,
    },
    /// It said no: no such key, no permission, a key that does not sign.
    #[error("{place} refused: {reason}")]
    Refused {
        /// Who was asked, without secrets.
        place: String,
        /// What it said, shortened.
        reason: String,
    },
    /// An answer that is not what the interface says.
    #[error("the answer of {place} is not usable: {reason}")]
    Answer {
        /// Who was asked, without secrets.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The key cannot sign with the hash that is needed.
    #[error("the key at {place} does not sign with {hash}")]
    Hash {
        /// Who was asked, without secrets.
        place: String,
        /// The hash.
        hash: &'static str,
    },
    /// It answered with a signature that its own public key does not verify.
    #[error("the key answered with a signature that its public key does not verify: {reason}")]
    NotVerified {
        /// The verifier's reason.
        reason: String,
    },
}

impl RemoteKeyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "key-unreachable",
            Self::Refused { .. } => "key-use-refused",
            Self::Answer { .. } => "key-answer",
            Self::Hash { .. } => "key-hash-unsupported",
            Self::NotVerified { .. } => "key-signature-not-verified",
        }
    }

    /// Whether nothing was decided and the same may succeed later.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
