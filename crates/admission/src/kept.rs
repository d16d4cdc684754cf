//! Evidence kept beyond this process: in a folder, and in a database that replicas share.
//!
//! What is kept is the evidence as the registry gave it, never proofs and never decisions. It is believed no more than the
//! registry is: what is read back is hashed, parsed and verified again by the trust anchors in force, so that nobody who
//! can write where it is kept can make a signature. It is authenticated as well, with a secret that is kept elsewhere
//! (`secret`): leaving out an attestation, or showing what was true last month, is no forgery, and must not be possible
//! either. The key is the repository and the digest; policies and trust anchors are no part of it, because they are applied
//! after it is read.
//!
//! Nothing here is waited for longer than a registry's answer takes, and nothing that fails here is more than a miss.

pub(crate) mod database;
mod folder;
pub(crate) mod record;
mod secret;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proofmark_registry::Pieces;
use proofmark_types::{Digest, Hasher, Repository, UnixTime};
use thiserror::Error;
use tokio::sync::Semaphore;

use self::database::Database;
use self::folder::Folder;
use self::record::Record;
pub(crate) use self::secret::{Secret, write_private};
use crate::hold::Bounds;
use crate::metrics::Metrics;

/// The largest record kept: a handful of signatures and one large bill. What is larger is fetched again.
const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// Records being written at once; what comes while so many are under way is not kept, and will be the next time.
const MAX_WRITES: usize = 16;

/// How long the database may take; a registry takes as long.
const DATABASE_PATIENCE: Duration = Duration::from_millis(500);

/// How far ahead of this clock a record may be: another replica's clock.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Where evidence is kept beyond the process.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// A folder of this process.
    pub folder: Option<PathBuf>,
    /// A PostgreSQL database that replicas share: `postgres://user@host/name`.
    pub database: Option<String>,
    /// The file of the secret that records are authenticated with; made if it is not there. Not within the folder.
    /// Replicas that share a database need the same.
    pub secret: PathBuf,
    /// The most that the folder, and likewise the database, keeps.
    pub bounds: Bounds,
}

impl Keeping {
    /// The most that is kept unless something else is said: some 50,000 images of 10 KiB.
    pub const BOUNDS: Bounds = Bounds {
        entries: 50_000,
        bytes: 512 * 1024 * 1024,
    };
}

/// Why evidence cannot be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeepingError {
    /// A folder or a file of it cannot be used.
    #[error("cannot {verb} {path}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The secret is readable by others, too short, or lies where the records are.
    #[error("the secret {path} cannot be used: {reason}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The address of the database cannot be used.
    #[error("the address of the database cannot be used: {reason}")]
    Database {
        /// Why; without the address, which may hold a password.
        reason: String,
    },
}

impl KeepingError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "evidence-folder",
            Self::Secret { .. } => "evidence-secret",
            Self::Database { .. } => "evidence-database",
        }
    }
}

/// What evidence is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) repository: Repository,
    /// Where the evidence lies: the same repository, or the one that is set for all evidence.
    pub(crate) home: Repository,
    pub(crate) digest: Digest,
}

impl Place {
    /// A name of fixed length and without any character that means something to a file system.
    pub(crate) fn name(&self) -> String {
        let mut hasher = Hasher::sha256();
        for part in [
            self.repository.to_string(),
            self.home.to_string(),
            self.digest.to_string(),
        ] {
            hasher.update(&part.len().to_be_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finish().hex()
    }
}

/// What was kept about one digest.
pub(crate) struct Kept {
    pub(crate) fetched: UnixTime,
    pub(crate) pieces: Pieces,
}

/// The folder and the database.
pub(crate) struct Store {
    secret: Secret,
    folder: Option<Arc<Folder>>,
    database: Option<Database>,
    /// How long a record is of use.
    lifetime: Duration,
    writes: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Store {
    /// Opens what is to be used. Blocking; the database is connected to when it is first needed.
    pub(crate) fn open(keeping: &Keeping, lifetime: Duration, metrics: Arc<Metrics>) -> Result<Self, KeepingError> {
        let folder = keeping.folder.as_deref().map(|path| Folder::open(path, keeping.bounds));
        let folder = folder.transpose()?.map(Arc::new);
        let secret = Secret::open(&keeping.secret, keeping.folder.as_deref())?;
        let database = keeping.database.as_deref();
        let database = database
            .map(|address| Database::new(address, keeping.bounds))
            .transpose()?;
        Ok(Self {
            secret,
            folder,
            database,
            lifetime,
            writes: Arc::new(Semaphore::new(MAX_WRITES)),
            metrics,
        })
    }

    /// What is kept under `place`, the youngest; nothing that is not authentic, and nothing past its lifetime.
    pub(crate) async fn get(&self, place: &Place, now: UnixTime) -> Option<Kept> {
        let name = place.name();
        if let Some(folder) = self.folder.clone() {
            let file = name.clone();
            let read = tokio::task::spawn_blocking(move || folder.read(&file)).await;
            let kept = self.checked("folder", read.unwrap_or(Err("internal-error")), place, now);
            if kept.is_some() {
                return kept;
            }
        }
        let database = self.database.as_ref()?;
        let read = match tokio::time::timeout(DATABASE_PATIENCE, database.read(&name)).await {
            Ok(read) => read,
            Err(_) => Err("timeout"),
        };
        self.checked("database", read, place, now)
    }

    fn checked(
        &self,
        tier: &'static str,
        read: Result<Option<Vec<u8>>, &'static str>,
        place: &Place,
        now: UnixTime,
    ) -> Option<Kept> {
        let (result, kept) = match read {
            Ok(None) => ("absent", None),
            Ok(Some(bytes)) => match Record::open(&bytes, &self.secret, place) {
                Ok(kept) if self.is_current(kept.fetched, now) => ("found", Some(kept)),
                Ok(_) => ("expired", None),
                Err(reason) => {
                    tracing::warn!(tier, reason, place = %place.digest, "kept evidence is not believed; it is fetched again");
                    ("not-authentic", None)
                }
            },
            Err(reason) => {
                tracing::debug!(tier, reason, "kept evidence cannot be read");
                ("failed", None)
            }
        };
        self.metrics.kept_read(tier, result);
        kept
    }

    fn is_current(&self, fetched: UnixTime, now: UnixTime) -> bool {
        fetched.since(now) <= CLOCK_SKEW && now.since(fetched) < self.lifetime
    }

    /// Keeps what was fetched; beside whoever fetched it, who waits for nothing here.
    pub(crate) fn put(&self, place: Place, pieces: &Pieces, fetched: UnixTime) {
        let Ok(permit) = self.writes.clone().try_acquire_owned() else {
            return self.metrics.kept_write("folder", "skipped");
        };
        let Some(bytes) = Record::seal(&place, pieces, fetched, &self.secret) else {
            return self.metrics.kept_write("folder", "too-large");
        };
        let (folder, database, metrics) = (self.folder.clone(), self.database.clone(), self.metrics.clone());
        let name = place.name();
        let oldest = fetched.minus(self.lifetime);
        tokio::spawn(async move {
            let bytes = Arc::new(bytes);
            if let Some(folder) = folder {
                let (name, bytes) = (name.clone(), bytes.clone());
                let written = tokio::task::spawn_blocking(move || folder.write(&name, &bytes)).await;
                let result = if matches!(written, Ok(Ok(()))) {
                    "written"
                } else {
                    "failed"
                };
                metrics.kept_write("folder", result);
            }
            if let Some(database) = database {
                let writing = database.write(&name, &bytes, fetched, oldest);
                let written = tokio::time::timeout(20 * DATABASE_PATIENCE, writing).await;
                let result = if matches!(written, Ok(Ok(()))) {
                    "written"
                } else {
                    "failed"
                };
                metrics.kept_write("database", result);
            }
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests;
