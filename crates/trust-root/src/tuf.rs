//! The Update Framework, client side (specification 1.0.33, section 5): metadata that is signed by enough keys, newer
//! than what was seen, not expired, and one whole.
//!
//! [`Updater`] walks the workflow. What decides (parsing, signatures, versions, delegations) has no clock and no network;
//! [`Repository`] fetches, bounded, and [`Store`] keeps what was accepted, each file whole or not at all. Trust begins
//! with a root that the caller hands over: neither the repository nor the store can replace it.
//!
//! Not here: the root of a repository map (TAP 4), and consistent snapshots switched off half-way.

mod canonical;
mod error;
mod key;
mod metadata;
mod names;
mod repository;
mod store;
mod updater;

pub use canonical::{CanonicalError, canonical};
pub use error::TufError;
pub use metadata::TargetFile;
pub use names::file_name;
pub use repository::{FetchError, Repository};
pub use store::{Store, StoreError};
pub(crate) use store::{make_folder, replace};
pub use updater::{Expiry, Trusted, Updater};

/// A door to the parsers of metadata, for fuzzing alone.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub fn read_for_fuzzing(bytes: &[u8]) {
    /// The limit of targets metadata is larger; a fuzzer needs less.
    const LIMIT: u64 = 1024 * 1024;
    let Ok(envelope) = metadata::Envelope::read("root", bytes, LIMIT) else {
        return;
    };
    if let Ok(root) = metadata::Root::read(&envelope) {
        for role in ["root", "timestamp", "snapshot", "targets"] {
            let _ = root.check(role, &envelope);
        }
    }
    let _ = metadata::Timestamp::read(&envelope);
    let _ = metadata::Snapshot::read(&envelope);
    if let Ok(targets) = metadata::Targets::read("targets", &envelope) {
        let _ = targets.check("a role", &envelope);
    }
}
