//! Signing: keys, keyless sessions, CI identities, provenance.
//!
//! | module | what |
//! |---|---|
//! | [`SigningKey`] | keys in cosign's format and the usual ones |
//! | [`keys`] | opening, reading and making keys by where they live |
//! | [`token`] | identity tokens: where they come from, what they claim |
//! | [`KeylessSession`] | one ephemeral key, one certificate, several signatures |
//! | [`Signer`] | signs statements, payloads and blobs by key or keyless; each result is verified before it is returned |
//! | [`provenance`] | SLSA provenance v1 from a CI's token or a local checkout |
//!
//! Logs are written in the generation that the signing configuration lists: Rekor v2, or else Rekor v1, whose promise
//! says the time, so that keyless signing then needs no timestamp authority, and whose entries the `.sig` and `.att`
//! layouts carry too.
//!
//! What is asked of which service is said by a signing configuration; what is believed by a trust root. Neither is
//! contacted by signing with a key alone.

mod error;
mod fulcio;
mod http;
mod key;
pub mod keys;
mod kms;
mod password;
pub mod provenance;
mod rekor;
mod services;
mod session;
mod signer;
mod timestamp;
pub mod token;

pub use error::{Service, SignError};
pub use http::{HttpError, Timing};
pub use key::{BoxFuture, MAX_KEY_FILE_BYTES, RemoteKey, RemoteKeyError, SigningKey, SigningKeyError};
pub use kms::{Cloud, CloudCredential, CloudRegistry, CloudRegistryName, KmsError};
pub use password::Password;
pub use services::{ClientIdentity, Options, TimestampTls, Warning};
pub use session::KeylessSession;
pub use signer::{BlobForm, KeySigner, Signer};
