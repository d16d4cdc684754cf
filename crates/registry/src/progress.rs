//! What a transfer tells whoever draws bars. Nothing is drawn here.

use std::fmt;
use std::sync::Arc;

use proofmark_types::Digest;

/// One thing that happened to a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transfer {
    /// A blob starts to move.
    Started {
        /// Which blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// Which way.
        direction: Direction,
    },
    /// More of it has moved.
    Advanced {
        /// Which blob.
        digest: Digest,
        /// How many bytes more.
        bytes: u64,
    },
    /// It is complete and verified.
    Finished {
        /// Which blob.
        digest: Digest,
    },
    /// It did not need to move.
    Skipped {
        /// Which blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// Why not.
        because: SkipReason,
    },
}

/// Which way a blob moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the registry.
    Download,
    /// To the registry.
    Upload,
}

/// Why a blob did not need to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// The registry has it in this repository.
    Exists,
    /// The registry has it in another repository and linked it.
    Mounted,
    /// Its descriptor says that it is not to be distributed (foreign layers).
    NotDistributable,
}

/// A function that is told about transfers; it is called often and must return quickly.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&Transfer) + Send + Sync>);

impl Progress {
    /// Wraps a function.
    pub fn new(listener: impl Fn(&Transfer) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    pub(crate) fn tell(&self, transfer: &Transfer) {
        (self.0)(transfer);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
