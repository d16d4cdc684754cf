//! The operations of a registry.

mod attach;
mod attachments;
mod blobs;
mod bring;
mod builder;
mod copy;
mod delete;
mod evidence;
mod fallback;
mod manifests;
#[cfg(not(feature = "fuzzing"))]
mod paging;
#[cfg(feature = "fuzzing")]
pub(crate) mod paging;
mod referrers;
mod tags;
mod upload;

use std::sync::Arc;

use proofmark_types::Repository;

pub(crate) use self::attachments::{attachment, refers};
pub(crate) use self::blobs::Check;
pub use self::blobs::{BlobReader, BlobStream};
pub use self::bring::Brought;
pub use self::builder::ClientBuilder;
pub use self::copy::Copied;
pub(crate) use self::copy::{is_distributable, plan};
pub use self::evidence::{Gathering, NOT_READ, Piece, PieceContent, Pieces, Share, Space};
pub use self::manifests::{Head, Resolved};
pub use self::referrers::{Referrers, ReferrersSource};
use crate::counts::RequestCounts;
use crate::credentials::CredentialStore;
use crate::progress::{Progress, Transfer};
use crate::transport::Transport;

/// A client for any number of registries. Clones share connections, tokens and counters.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
    options: Arc<Options>,
}

#[derive(Clone, Debug, Default)]
struct Options {
    evidence_repository: Option<Repository>,
    progress: Option<Progress>,
    locks: fallback::Locks,
}

impl Client {
    /// Starts with no credentials, default timeouts and TLS everywhere but on loopback.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// The same client, its requests counted from zero: one for each operation whose budget matters.
    #[must_use]
    pub fn with_fresh_counts(&self) -> Self {
        Self {
            transport: Arc::new(self.transport.with_fresh_counts()),
            options: Arc::clone(&self.options),
        }
    }

    /// The same client for a process that asks one registry many things at once: while one request was told to wait
    /// (429 with `Retry-After`), this client and those made from it send nothing else to that registry. A request that
    /// would have to wait longer than [`crate::Timeouts::throttle`] fails at once.
    #[must_use]
    pub fn with_shared_patience(&self) -> Self {
        Self {
            transport: Arc::new(self.transport.with_brakes()),
            options: Arc::clone(&self.options),
        }
    }

    /// The same connections with other credentials, and no token obtained with the old ones.
    #[must_use]
    pub fn with_credentials(&self, credentials: CredentialStore) -> Self {
        Self {
            transport: Arc::new(self.transport.with_credentials(credentials)),
            options: Arc::clone(&self.options),
        }
    }

    /// The same client, telling `progress` what moves.
    #[must_use]
    pub fn with_progress(&self, progress: Progress) -> Self {
        Self {
            transport: Arc::clone(&self.transport),
            options: Arc::new(Options {
                progress: Some(progress),
                ..(*self.options).clone()
            }),
        }
    }

    /// The requests sent so far.
    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        self.transport.wire.counters().snapshot()
    }

    /// Where evidence for images of `repository` is kept: there, or in the one repository set for all evidence
    /// ([`ClientBuilder::evidence_repository`]).
    #[must_use]
    pub fn evidence_home<'a>(&'a self, repository: &'a Repository) -> &'a Repository {
        self.options.evidence_repository.as_ref().unwrap_or(repository)
    }

    fn tell(&self, transfer: &Transfer) {
        if let Some(progress) = &self.options.progress {
            progress.tell(transfer);
        }
    }
}
