//! Keys in key services: HashiCorp Vault and OpenBao (transit), AWS KMS, Google Cloud KMS, Azure Key Vault.
//!
//! One rule for all four: the public key is fetched once and its version is pinned, the service is sent a digest, and
//! what comes back is verified with that public key before it is used ([`SigningKey::remote`](crate::SigningKey)).
//! Addresses come from the reference and the environment only: neither redirects nor anything else in an answer decide
//! where credentials are sent. Asking again happens only where it changes nothing.
//!
//! Each service has its own small client over [`wire`]: of the vendors' APIs three or four calls are needed, and the
//! vendors' libraries bring a second TLS implementation and hundreds of crates.

use std::time::SystemTime;

use proofmark_types::{Digest, DigestAlgorithm, KeyReference, UnixTime};
use proofmark_verify::{KeyAlgorithm, KeyError as PublicKeyError, PublicKey};
use reqwest::Url;
use thiserror::Error;

use self::settings::Settings;
use self::wire::place;
use crate::http::{Answer, HttpError, Timing};
use crate::key::{BoxFuture, RemoteKey, RemoteKeyError};
use crate::keys::Surroundings;

mod aws;
mod azure;
mod cloud_registry;
mod google;
mod settings;
mod vault;
mod wire;

pub use self::cloud_registry::{Cloud, CloudCredential, CloudRegistry, CloudRegistryName};

/// The most characters of a service's own words that are repeated.
const MAX_QUOTED: usize = 300;

/// A key in a service, of one version.
#[derive(Debug)]
pub(crate) struct KmsKey {
    public: PublicKey,
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Aws(aws::Key),
    Google(google::Key),
    Azure(azure::Key),
    Vault(vault::Key),
}

/// What opening needs from outside.
struct Setup<'a> {
    settings: Settings<'a>,
    timing: &'a Timing,
}

/// Opens the key that the reference names: asks for its public half, and signs nothing.
pub(crate) async fn open(reference: &KeyReference, with: &Surroundings<'_>) -> Result<KmsKey, KmsError> {
    let setup = Setup::of(with);
    match reference {
        KeyReference::Aws { endpoint, key } => aws::open(endpoint.as_deref(), key, &setup).await,
        KeyReference::Google { resource } => google::open(resource, &setup).await,
        KeyReference::Azure { vault, name, version } => azure::open(vault, name, version.as_deref(), &setup).await,
        KeyReference::Vault { key } => vault::open(key, &setup).await,
        other => Err(elsewhere(other)),
    }
}

/// Makes a key there, and answers its public half. One that is there already is left as it is, and answered if it is of
/// this algorithm, as `cosign generate-key-pair --kms` does.
pub(crate) async fn create(
    reference: &KeyReference,
    algorithm: KeyAlgorithm,
    with: &Surroundings<'_>,
) -> Result<PublicKey, KmsError> {
    let setup = Setup::of(with);
    let key = match reference {
        KeyReference::Aws { endpoint, key } => aws::create(endpoint.as_deref(), key, algorithm, &setup).await,
        KeyReference::Google { resource } => google::create(resource, algorithm, &setup).await,
        KeyReference::Azure { vault, name, version } => {
            azure::create(vault, name, version.as_deref(), algorithm, &setup).await
        }
        KeyReference::Vault { key } => vault::create(key, algorithm, &setup).await,
        other => Err(elsewhere(other)),
    }?;
    if key.public.algorithm() == algorithm {
        Ok(key.public)
    } else {
        Err(KmsError::KeyKind {
            expected: algorithm.name(),
            seen: format!("{}, which was there before", key.public.algorithm().name()),
        })
    }
}

fn elsewhere(reference: &KeyReference) -> KmsError {
    KmsError::Reference {
        reason: format!("a {} is not in a key service", reference.kind()),
    }
}

impl<'a> Setup<'a> {
    fn of(with: &'a Surroundings<'_>) -> Self {
        Self {
            settings: Settings::new(with.environment),
            timing: &with.timing,
        }
    }
}

impl RemoteKey for KmsKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign<'a>(
        &'a self,
        message: &'a [u8],
        hash: Option<DigestAlgorithm>,
    ) -> BoxFuture<'a, Result<Vec<u8>, RemoteKeyError>> {
        Box::pin(async move {
            let public = &self.public;
            let signed = match &self.backend {
                Backend::Aws(key) => key.sign(public, message, hash).await,
                Backend::Google(key) => key.sign(public, message, hash).await,
                Backend::Azure(key) => key.sign(public, message, hash).await,
                Backend::Vault(key) => key.sign(public, message, hash).await,
            };
            signed.map_err(RemoteKeyError::from)
        })
    }

    /// No service pre-hashes for Ed25519.
    fn takes(&self, _hash: DigestAlgorithm) -> bool {
        self.public.algorithm() != KeyAlgorithm::Ed25519
    }
}

/// What the service is sent, for a key that signs digests: the message's, as long as the hash that the service pairs
/// with the key.
///
/// Services pair each curve with one hash, and check the length. ECDSA signs the number that the hash is (FIPS 186-5
/// section 6.4.1), so that SHA-256 under P-384, which the `.sig` layout needs, is the same number with zeros before it.
fn digest_for(
    algorithm: KeyAlgorithm,
    hash: Option<DigestAlgorithm>,
    message: &[u8],
) -> Result<(DigestAlgorithm, Vec<u8>), KmsError> {
    let own = match algorithm {
        KeyAlgorithm::EcdsaP384 => DigestAlgorithm::Sha384,
        KeyAlgorithm::EcdsaP521 => DigestAlgorithm::Sha512,
        _ => DigestAlgorithm::Sha256,
    };
    let hash = hash.unwrap_or(own);
    let is_ecdsa = matches!(
        algorithm,
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521
    );
    let zeros = own.length().checked_sub(hash.length());
    let Some(zeros) = zeros.filter(|zeros| *zeros == 0 || is_ecdsa) else {
        return Err(KmsError::Hash {
            algorithm: algorithm.name(),
            hash: hash.name(),
        });
    };
    let mut number = vec![0; zeros];
    number.extend_from_slice(Digest::of(hash, message).as_bytes());
    Ok((own, number))
}

fn now() -> UnixTime {
    UnixTime::from_system(SystemTime::now())
}

/// Why a key in a service, or a cloud's registry, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KmsError {
    /// The reference names something that the service does not have, such as a version where a key is made.
    #[error("{reason}")]
    Reference {
        /// What is wrong with it.
        reason: String,
    },
    /// The name of a registry is not that of a cloud's.
    #[error("{reason}")]
    Registry {
        /// What was expected and seen.
        reason: String,
    },
    /// An environment variable is missing, or what it says cannot be used.
    #[error("{name}: {reason}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What was expected and seen.
        reason: String,
    },
    /// A file that the environment names.
    #[error("{path}: {reason}")]
    File {
        /// Its path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A secret with line ends or other bytes that no header carries.
    #[error("a credential has characters that cannot be sent, such as a line end")]
    SecretUnsendable,
    /// Nothing says who we are.
    #[error("no credentials for {service}: {hint}")]
    NoCredentials {
        /// The service.
        service: &'static str,
        /// Where they are looked for.
        hint: &'static str,
    },
    /// No answer, or none that can be read.
    #[error(transparent)]
    Http(HttpError),
    /// The service said no.
    #[error("{url} answered {status} {code}: {message}")]
    Refused {
        /// Who was asked.
        url: String,
        /// The status.
        status: u16,
        /// The service's own code.
        code: String,
        /// The service's own words, shortened.
        message: String,
    },
    /// An answer that is not what the interface says.
    #[error("the answer of {url} is not usable: {reason}")]
    Answer {
        /// Who answered.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A checksum says that bytes were changed on their way.
    #[error("{url}: {what} was changed on its way: its CRC32C is {seen}, expected {expected}")]
    Corrupted {
        /// Who was asked.
        url: String,
        /// Of what.
        what: &'static str,
        /// What the service says.
        expected: String,
        /// What the bytes have.
        seen: String,
    },
    /// A key that does not sign, or in a way that images are not signed.
    #[error("expected a key of kind {expected}, this is {seen}")]
    KeyKind {
        /// What can be used.
        expected: &'static str,
        /// What it is.
        seen: String,
    },
    /// The service's public key cannot be used.
    #[error("the public key that the service answers: {0}")]
    PublicKey(PublicKeyError),
    /// The service signed with another key or version than the one that was opened.
    #[error("opened {expected}, but {seen} signed")]
    OtherKey {
        /// The one that was opened.
        expected: String,
        /// The one that signed.
        seen: String,
    },
    /// The key's algorithm and the hash do not go together.
    #[error("a {algorithm} key in a key service does not sign {hash} digests")]
    Hash {
        /// The algorithm.
        algorithm: &'static str,
        /// The hash.
        hash: &'static str,
    },
}

impl KmsError {
    /// The service said no; its words are shortened, and shown without what a terminal would obey.
    fn refused(url: &Url, answer: &Answer, code: &str, message: &str) -> Self {
        let clean = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(MAX_QUOTED)
                .collect()
        };
        Self::Refused {
            url: place(url),
            status: answer.status.as_u16(),
            code: clean(code),
            message: clean(message).trim().to_owned(),
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Reference { .. } => "key-reference",
            Self::Registry { .. } => "cloud-registry",
            Self::Setting { .. } => "kms-setting",
            Self::File { .. } => "kms-file",
            Self::SecretUnsendable => "kms-credential-malformed",
            Self::NoCredentials { .. } => "kms-credentials-missing",
            Self::Http(error) => error.code(),
            Self::Refused { status, .. } if is_later_number(*status) => "service-unavailable",
            Self::Refused { .. } if self.is_not_found() => "kms-key-not-found",
            Self::Refused { .. } => "kms-refused",
            Self::Answer { .. } => "kms-answer",
            Self::Corrupted { .. } => "kms-corrupted",
            Self::KeyKind { .. } => "kms-key-kind",
            Self::PublicKey(error) => error.code(),
            Self::OtherKey { .. } => "kms-other-key",
            Self::Hash { .. } => "key-hash-unsupported",
        }
    }

    /// Whether nothing was decided and the same may succeed later.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Http(error) => error.is_unreachable(),
            Self::Refused { status, code, .. } => is_later_number(*status) || code.contains("Throttling"),
            _ => false,
        }
    }

    fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, code, .. } if *status == 404 || code == "NotFoundException")
    }

    fn place(&self) -> String {
        match self {
            Self::Refused { url, .. } | Self::Answer { url, .. } | Self::Corrupted { url, .. } => url.clone(),
            _ => "the key service".to_owned(),
        }
    }
}

impl From<KmsError> for RemoteKeyError {
    fn from(error: KmsError) -> Self {
        let place = error.place();
        match &error {
            KmsError::Hash { hash, .. } => Self::Hash { place, hash },
            KmsError::Answer { reason, .. } => Self::Answer {
                place,
                reason: reason.clone(),
            },
            KmsError::OtherKey { .. } | KmsError::Corrupted { .. } | KmsError::Http(HttpError::TooLarge { .. }) => {
                Self::Answer {
                    place,
                    reason: error.to_string(),
                }
            }
            KmsError::Refused {
                status, code, message, ..
            } if !error.is_unreachable() => Self::Refused {
                place,
                reason: format!("{status} {code}: {message}"),
            },
            _ if error.is_unreachable() => Self::Unreachable {
                place,
                reason: error.to_string(),
            },
            _ => Self::Refused {
                place,
                reason: error.to_string(),
            },
        }
    }
}

fn is_later_number(status: u16) -> bool {
    status == 429 || status >= 500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_as_long_as_the_service_expects() {
        let of = |algorithm, hash| digest_for(algorithm, hash, b"message").unwrap();
        let sha256 = Digest::sha256_of(b"message");
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa2048, KeyAlgorithm::Rsa4096] {
            assert_eq!(
                of(algorithm, None),
                (DigestAlgorithm::Sha256, sha256.as_bytes().to_vec())
            );
        }
        let (name, own) = of(KeyAlgorithm::EcdsaP384, Some(DigestAlgorithm::Sha384));
        assert_eq!((name, own.len()), (DigestAlgorithm::Sha384, 48));
        let (name, padded) = of(KeyAlgorithm::EcdsaP384, Some(DigestAlgorithm::Sha256));
        assert_eq!((name, padded.len()), (DigestAlgorithm::Sha384, 48));
        assert_eq!((&padded[..16], &padded[16..]), (&[0; 16][..], sha256.as_bytes()));
        let (_, padded) = of(KeyAlgorithm::EcdsaP521, Some(DigestAlgorithm::Sha256));
        assert_eq!((padded.len(), &padded[32..]), (64, sha256.as_bytes()));
        // A longer hash would be cut, an RSA signature names its hash.
        for (algorithm, hash) in [
            (KeyAlgorithm::EcdsaP256, DigestAlgorithm::Sha384),
            (KeyAlgorithm::Rsa3072, DigestAlgorithm::Sha512),
        ] {
            let error = digest_for(algorithm, Some(hash), b"message").unwrap_err();
            assert_eq!(error.code(), "key-hash-unsupported");
        }
    }
}
