//! Opening keys by where they live: the one place where a [`KeyReference`] becomes a key.
//!
//! Nothing is opened that was not named, and no reference is followed to another: what an answer says never decides
//! where we connect.

use std::fmt;

use proofmark_types::KeyReference;
use proofmark_verify::{KeyAlgorithm, PublicKey};

use crate::http::Timing;
use crate::key::{RemoteKey as _, SigningKey};
use crate::kms;
use crate::password::Password;

mod error;
mod file;
mod kubernetes;
pub mod pkcs11;
mod url;

pub use error::{KeyError, PasswordError};

/// Asks for a password; told what it is for.
pub type AskPassword<'a> = dyn Fn(&str) -> Result<Password, PasswordError> + Sync + 'a;

/// What opening a key may need from outside.
#[derive(Clone)]
pub struct Surroundings<'a> {
    /// The environment variables.
    pub environment: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// Where the passwords of key files come from.
    pub password: &'a AskPassword<'a>,
    /// Where the PINs of tokens come from that nothing else says.
    pub pin: &'a AskPassword<'a>,
    /// How long services may take.
    pub timing: Timing,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// Opens the private half, or the service that holds it.
pub async fn open(reference: &KeyReference, with: &Surroundings<'_>) -> Result<SigningKey, KeyError> {
    match reference {
        KeyReference::File(path) => file::private(&path.clone(), &file::read(path)?, with),
        KeyReference::Environment(name) => file::private(&reference.to_string(), &file::variable(name, with)?, with),
        KeyReference::Url(_) => Err(KeyError::PublicOnly {
            reference: reference.to_string(),
        }),
        KeyReference::Kubernetes { namespace, name } => {
            kubernetes::open(&secret(reference, namespace, name), with).await
        }
        KeyReference::Pkcs11(uri) => Ok(SigningKey::remote(pkcs11::open(uri, with).await?)),
        KeyReference::Aws { .. }
        | KeyReference::Google { .. }
        | KeyReference::Azure { .. }
        | KeyReference::Vault { .. } => Ok(SigningKey::remote(Box::new(kms::open(reference, with).await?))),
        other => Err(not_supported(other, "signing")),
    }
}

/// Opens the public half. A file or variable may hold either half; the private one is then opened for its public one.
pub async fn public(reference: &KeyReference, with: &Surroundings<'_>) -> Result<PublicKey, KeyError> {
    match reference {
        KeyReference::File(path) => file::public(path, &file::read(path)?, with),
        KeyReference::Environment(name) => file::public(&reference.to_string(), &file::variable(name, with)?, with),
        KeyReference::Url(_) => url::public(reference, with).await,
        KeyReference::Kubernetes { namespace, name } => {
            kubernetes::public(&secret(reference, namespace, name), with).await
        }
        KeyReference::Pkcs11(uri) => pkcs11::public(uri, with).await,
        KeyReference::Aws { .. }
        | KeyReference::Google { .. }
        | KeyReference::Azure { .. }
        | KeyReference::Vault { .. } => Ok(kms::open(reference, with).await?.public_key().clone()),
        other => Err(not_supported(other, "its public key")),
    }
}

/// Makes a new key there, and answers its public half. Nothing that exists is replaced.
pub async fn create(
    reference: &KeyReference,
    algorithm: KeyAlgorithm,
    with: &Surroundings<'_>,
) -> Result<PublicKey, KeyError> {
    match reference {
        KeyReference::File(_) | KeyReference::Environment(_) | KeyReference::Url(_) => Err(KeyError::NotCreatable {
            reference: reference.to_string(),
        }),
        KeyReference::Aws { .. }
        | KeyReference::Google { .. }
        | KeyReference::Azure { .. }
        | KeyReference::Vault { .. } => Ok(kms::create(reference, algorithm, with).await?),
        KeyReference::Kubernetes { namespace, name } => {
            kubernetes::create(&secret(reference, namespace, name), algorithm, with).await
        }
        other => Err(not_supported(other, "a new key")),
    }
}

fn secret<'a>(reference: &KeyReference, namespace: &'a str, name: &'a str) -> kubernetes::Place<'a> {
    kubernetes::Place {
        namespace,
        name,
        shown: reference.to_string(),
    }
}

fn not_supported(reference: &KeyReference, what: &'static str) -> KeyError {
    KeyError::NotSupported {
        kind: reference.kind(),
        what,
    }
}
