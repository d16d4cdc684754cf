//! Why nothing could be kept, read or brought up to date.

use std::path::PathBuf;

use proofmark_verify::TrustRootError;
use thiserror::Error;

use crate::archive::ArchiveError;
use crate::signing_config::SigningConfigError;
use crate::tuf::{StoreError, TufError};

/// Why nothing could be kept or brought up to date.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HomeError {
    /// The repository is not believed, or does not answer.
    #[error(transparent)]
    Tuf(#[from] TufError),
    /// A file here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing says where trust in this mirror begins.
    #[error("no root is known for {mirror}, so nothing that it says can be believed")]
    NoRoot {
        /// The mirror.
        mirror: String,
    },
    /// The file that says which mirror was chosen.
    #[error("{} is malformed: {reason}", path.display())]
    Choice {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another user could have written what this machine would believe.
    #[error("{} {reason}, so somebody else may have written what is trusted here", path.display())]
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is, or who may write to it.
        reason: String,
    },
    /// A file here is there, and cannot be read or understood.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The copy is not what the repository signed: it was changed here after it was fetched.
    #[error("{} is not what {mirror} has signed; it was changed on this machine", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// The mirror.
        mirror: String,
        /// What does not fit.
        #[source]
        source: TufError,
    },
    /// A copy could not be packed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A copy under another root could not be replaced.
    #[error("cannot replace {}", path.display())]
    Remove {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The place could not be locked.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A trust root that this program cannot read.
    #[error("the repository's trust root cannot be used")]
    TrustRoot(#[from] TrustRootError),
    /// A signing configuration that this program cannot read.
    #[error("the repository's signing configuration cannot be used")]
    SigningConfig(#[from] SigningConfigError),
}

impl HomeError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tuf(error) => error.code(),
            Self::Store(_) | Self::Remove { .. } | Self::Lock { .. } => "tuf-store",
            Self::NoRoot { .. } => "tuf-no-root",
            Self::Choice { .. } => "tuf-choice",
            Self::Unsafe { .. } => "trust-cache-unsafe",
            Self::Damaged { .. } => "trust-cache-damaged",
            Self::Changed { .. } => "trust-cache-changed",
            Self::Archive(error) => error.code(),
            Self::TrustRoot(error) => error.code(),
            Self::SigningConfig(error) => error.code(),
        }
    }

    /// What to do about it, where it is the cache that is wrong.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsafe { path, .. } => Some(format!(
                "look at what is in it; if it is yours, `chown` it to you and `chmod -R go-w {}`; or remove it, and \
                 `proofmark initialize` fetches everything anew",
                path.display()
            )),
            Self::Damaged { .. } | Self::Changed { .. } => Some(
                "find out who changed it; `proofmark initialize` with the same --mirror (or `trust import FILE`) fetches it \
                 anew, --trusted-root FILE does without"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
