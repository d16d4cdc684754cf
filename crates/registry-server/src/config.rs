//! What the operator decides, with defaults that suit loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Htpasswd;

/// The largest blob accepted unless configured: above any image layer in use (model weights reach tens of gigabytes),
/// below what would fill a disk by one mistake.
pub const DEFAULT_MAX_BLOB_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// How long an upload may lie idle before its bytes are removed, unless configured. Activity renews it, so a slow
/// transfer is safe; docker's registry purges after a week, which only fits a registry with unbounded disk.
pub const DEFAULT_UPLOAD_EXPIRY: Duration = Duration::from_secs(60 * 60);

/// How a [`crate::Server`] is to run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The folder that holds everything; made if it is not there. Its parent must exist.
    pub root: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether the referrers API answers. `false` acts like a registry from before distribution-spec 1.1: 404 there and
    /// no `OCI-Subject`, so that clients write fallback tags. What they push is indexed all the same.
    pub referrers_api: bool,
    /// Regular expressions over whole tags: a tag that matches keeps its first digest and cannot be deleted. Tags of
    /// cosign and of the referrers fallback (`sha256-<hex>`, `.sig`, `.att`, `.sbom`) are lists that grow, and exempt.
    pub immutable_tags: Vec<String>,
    /// The users who may do anything; without it everyone may.
    pub htpasswd: Option<Htpasswd>,
    /// How long an idle upload is kept.
    pub upload_expiry: Duration,
    /// The largest blob accepted, in bytes.
    pub max_blob_bytes: u64,
}

impl Config {
    /// Everything by default: open to all who reach `listen`, referrers API on, no immutable tags.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            root: root.into(),
            listen,
            referrers_api: true,
            immutable_tags: Vec::new(),
            htpasswd: None,
            upload_expiry: DEFAULT_UPLOAD_EXPIRY,
            max_blob_bytes: DEFAULT_MAX_BLOB_BYTES,
        }
    }
}
