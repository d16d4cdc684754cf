//! Where trust comes from: `trusted_root.json`, `signing_config.json` and sigstore-python's trust config, which is both.
//!
//! Files are read with a bound and errors name the file. What a trust root means is decided in the verify room; which
//! services a signer uses is decided here ([`SigningConfig`]). Without a file it is what the machine has chosen
//! ([`Home`]) or what the program was built with ([`Instance`]); only a refresh ([`Place::refresh`], through [`tuf`])
//! talks to the network, and nobody waits for one who has not asked for it.

mod archive;
mod client_trust_config;
mod home;
mod instance;
mod load;
mod parts;
mod signing_config;
pub mod tuf;

pub use archive::{ArchiveError, read_archive};
pub use client_trust_config::{ClientTrustConfig, ClientTrustConfigError};
#[cfg(unix)]
pub use home::written_by_others;
pub use home::{
    Document, Home, HomeError, Origin, Place, SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2, State, TRUSTED_ROOT, Versions,
};
pub use instance::Instance;
pub use load::{LoadError, load_client_trust_config, load_signing_config, load_trust_root};
pub use parts::{PartError, PartKind, TrustRootParts};
pub use signing_config::{
    Choice, MAX_SERVICES, SelectionError, Selector, Service, ServiceKind, SigningConfig, SigningConfigError,
};
