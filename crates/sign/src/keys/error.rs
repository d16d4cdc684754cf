//! Why a reference did not become a key.

use thiserror::Error;

use crate::http::HttpError;
use crate::key::{RemoteKeyError, SigningKeyError};
use crate::kms::KmsError;

/// Why a reference did not become a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is not there or may not be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// Its path.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// More bytes than a key has: perhaps another file.
    #[error("{place} has more than {limit} bytes, which no key has")]
    TooLarge {
        /// Where it was read.
        place: String,
        /// The limit.
        limit: usize,
    },
    /// The variable is not set, or not text.
    #[error("the environment variable {name} is not set")]
    VariableMissing {
        /// Its name.
        name: String,
    },
    /// What is there is no usable private key.
    #[error("{place}: {source}")]
    Private {
        /// Where it was read.
        place: String,
        /// What is wrong with it.
        source: SigningKeyError,
    },
    /// What is there is no usable public key.
    #[error("{place}: {source}")]
    Public {
        /// Where it was read.
        place: String,
        /// What is wrong with it.
        source: proofmark_verify::KeyError,
    },
    /// There is no private key behind such a reference.
    #[error("{reference} is the address of a public key, signing needs a private one")]
    PublicOnly {
        /// The reference.
        reference: String,
    },
    /// A new key cannot be made there.
    #[error("{reference} is no place where a key is made; leave it out to have files written")]
    NotCreatable {
        /// The reference.
        reference: String,
    },
    /// Such a place cannot be used for this.
    #[error("a {kind} cannot be used for {what}")]
    NotSupported {
        /// The kind of place.
        kind: &'static str,
        /// What was wanted.
        what: &'static str,
    },
    /// A PKCS #11 URI that does not say enough, or more than is looked at.
    #[error("the PKCS #11 URI cannot be used: {reason}")]
    TokenUri {
        /// Why.
        reason: String,
    },
    /// Nothing says which library speaks to the token.
    #[error("no PKCS #11 module is named: write ?module-path=/PATH into the URI, or set COSIGN_PKCS11_MODULE_PATH")]
    ModuleMissing,
    /// A path that the working directory decides.
    #[error("the path of the PKCS #11 module is to be absolute, got {path}")]
    ModuleRelative {
        /// The path.
        path: String,
    },
    /// Not an address after all.
    #[error("{reference} is no address: {reason}")]
    Address {
        /// The reference.
        reference: String,
        /// Why.
        reason: String,
    },
    /// The key could not be fetched.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Nothing says which cluster is asked, or how.
    #[error("the Kubernetes cluster cannot be asked: {reason}")]
    Cluster {
        /// Why.
        reason: String,
    },
    /// No password could be had.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The key service failed, or how to reach it is not said.
    #[error(transparent)]
    Kms(Box<KmsError>),
    /// The service or token that holds the key failed.
    #[error(transparent)]
    Remote(#[from] RemoteKeyError),
}

impl From<KmsError> for KeyError {
    fn from(error: KmsError) -> Self {
        Self::Kms(Box::new(error))
    }
}

impl KeyError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "file-unreadable",
            Self::TooLarge { .. } => "key-too-large",
            Self::VariableMissing { .. } => "key-variable-missing",
            Self::Private { source, .. } => source.code(),
            Self::Public { .. } => "public-key-unusable",
            Self::PublicOnly { .. } => "key-public-only",
            Self::NotCreatable { .. } => "key-not-creatable",
            Self::NotSupported { .. } => "key-reference-unsupported",
            Self::TokenUri { .. } => "key-token-uri",
            Self::ModuleMissing | Self::ModuleRelative { .. } => "key-token-module",
            Self::Address { .. } => "malformed-key-reference",
            Self::Http(error) => error.code(),
            Self::Cluster { .. } => "key-cluster-unknown",
            Self::Password(error) => error.code(),
            Self::Kms(error) => error.code(),
            Self::Remote(error) => error.code(),
        }
    }

    /// Whether nothing was decided and the same may succeed later.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Private { source, .. } => source.is_unreachable(),
            Self::Kms(error) => error.is_unreachable(),
            Self::Http(error) => error.is_unreachable(),
            Self::Remote(error) => error.is_unreachable(),
            _ => false,
        }
    }
}

/// Why there is no password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Nothing says it, and nobody can be asked.
    #[error("a password is needed for {what}, and there is no terminal to ask for it")]
    Missing {
        /// What it is for.
        what: String,
    },
    /// The two that were typed differ.
    #[error("the two passwords differ")]
    Differ,
    /// It could not be read.
    #[error("the password cannot be read: {reason}")]
    Unreadable {
        /// What the system says.
        reason: String,
    },
}

impl PasswordError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "password-missing",
            Self::Differ => "passwords-differ",
            Self::Unreadable { .. } => "password-unreadable",
        }
    }
}
