//! The trust services that a team runs itself, on one origin and one port: a certificate authority that speaks Fulcio's
//! v2 API, a transparency log that speaks Rekor's v2 API and C2SP tiles, an RFC 3161 timestamp authority, and the
//! documents with which clients find and trust them.
//!
//! One process is one trust domain: who controls it controls all four. What it protects against is everyone else, and
//! a log that was copied and rolled back; a witness on another machine is what would protect against its operator.
//! There is no CT log to read (SCTs are signed for clients that want them) and no TLS: a proxy in
//! front does that, and the origin names it.

mod asn1;
mod authority;
mod clock;
mod dev_issuer;
mod documents;
mod error;
mod folder;
mod init;
mod key;
mod log;
mod oidc;
mod server;
mod service;
mod signing_request;
mod timestamp;
mod tuf;
mod x509;

pub use clock::Clock;
pub use dev_issuer::{CiClaims, DevIssuer};
pub use documents::{SIGNING_CONFIG_MEDIA_TYPE, TRUST_CONFIG_MEDIA_TYPE, TRUSTED_ROOT_MEDIA_TYPE};
pub use folder::FolderError;
pub use init::{InitError, InitOptions, init};
pub use key::KeyFileError;
pub use log::{EntryError, OpenLogError, WalError};
pub use oidc::{CiProvider, IssuerConfig, IssuerConfigError, IssuerType, ProviderTemplates, TemplateError, TokenError};
pub use server::{Config, Server, ServerError};
pub use tuf::PublishError;
