//! Where trust comes from: `trusted_root.json`, `signing_config.json` and sigstore-python's trust config, which is both.
//!
//! Files are read with a bound and errors name the file. What a trust root means is decided in the verify room; which
//! services a signer uses is decided here ([`SigningConfig`]). Nothing here talks to the network.

mod client_trust_config;
mod instance;
mod load;
mod signing_config;
pub mod tuf;

pub use client_trust_config::{ClientTrustConfig, ClientTrustConfigError};
pub use instance::Instance;
pub use load::{LoadError, load_client_trust_config, load_signing_config, load_trust_root};
pub use signing_config::{
    Choice, MAX_SERVICES, SelectionError, Selector, Service, ServiceKind, SigningConfig, SigningConfigError,
};
