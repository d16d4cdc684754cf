//! The transparency log: Rekor v2's write API and C2SP tiles over one write-ahead record.

mod entry;
mod json;
mod sequencer;
mod tree;
mod wal;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use proofmark_merkle::tile::{self, TileKind, TilePath};
use proofmark_merkle::{
    Checkpoint, CheckpointError, NodeSource, NoteSigner, ProofError, SignedCheckpoint, TreeHash, leaf_hash,
    prove_inclusion, subtree_root, verify_inclusion,
};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use entry::EntryError;
pub use wal::WalError;

use crate::folder::{self, FolderError};
use sequencer::{Accepted, Refused, Sequencer, Submission};
use tree::Committed;
use wal::{Wal, WalReader};

/// The entries that may wait for the sequencer: at 5,000/s a wait of less than a second.
const MAX_QUEUE: usize = 4096;
/// How long a request waits for its place. sigstore-js gives up after 5 s and sends the entry again.
const DEADLINE: Duration = Duration::from_secs(4);

/// A log that takes entries and proves them.
pub(crate) struct Log {
    committed: Arc<RwLock<Committed>>,
    queue: mpsc::Sender<Submission>,
    room: Semaphore,
    reader: WalReader,
    log_id: [u8; 32],
    thread: std::sync::Mutex<Option<thread::JoinHandle<()>>>,
}

/// An entry with the proof that it is in the log.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) index: u64,
    pub(crate) size: u64,
    pub(crate) root: TreeHash,
    pub(crate) hashes: Vec<TreeHash>,
    pub(crate) checkpoint: Arc<str>,
    pub(crate) body: Vec<u8>,
}

/// Why the log does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenLogError {
    /// The write-ahead record.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The high-water mark's file.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A checkpoint in the folder is not this log's.
    #[error("the {place} of the log is not its own")]
    Checkpoint {
        /// Which one.
        place: &'static str,
        /// Why not.
        #[source]
        source: CheckpointError,
    },
    /// The log is shorter than it once was, or another one: an old copy of the folder. Serving it would fork the log.
    #[error("the log has {size} entries, but {high_water} were signed before, or other ones: this is an old copy")]
    Rollback {
        /// What is there.
        size: u64,
        /// What was there.
        high_water: u64,
    },
}

impl OpenLogError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Wal(error) => error.code(),
            Self::Folder(error) => error.code(),
            Self::Checkpoint { .. } => "log-checkpoint",
            Self::Rollback { .. } => "log-rollback",
        }
    }
}

/// Why an entry was not logged.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum SubmitError {
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error("too many entries are waiting")]
    Busy,
    #[error("the entry found no place in time")]
    Deadline,
    #[error("the log cannot be written at present")]
    Unavailable,
    #[error("the log is full")]
    Full,
    #[error("the log's proof of the entry does not hold")]
    Proof(#[from] ProofError),
}

impl Log {
    /// Replays the record in `directory` and starts the sequencer.
    pub(crate) fn open(directory: &Path, signer: NoteSigner) -> Result<Self, OpenLogError> {
        let origin = signer.key().name().to_owned();
        let log_id = signer.key().log_id();
        let mut committed = Committed::empty();
        let mut last = None;
        let wal = Wal::open(&directory.join("wal"), &log_id, |record| {
            let mut staged = committed.stage();
            if record.place.first != staged.size() {
                return Err("the record does not follow the one before it");
            }
            for entry in &record.entries {
                staged.append(leaf_hash(entry));
            }
            let checkpoint = SignedCheckpoint::parse(record.checkpoint).map_err(|_| "the checkpoint does not parse")?;
            let claimed = checkpoint.unverified();
            if claimed.size() != staged.size() || *claimed.root() != staged.root() {
                return Err("the entries do not give the root that was signed");
            }
            committed.commit(staged, record.place);
            last = Some(checkpoint);
            Ok(())
        })?;
        let checkpoint = match last {
            Some(signed) => {
                let own = signed.verify_origin(signer.key(), &origin);
                own.map_err(|source| OpenLogError::Checkpoint {
                    place: "last record",
                    source,
                })?;
                signed.encode()
            }
            None => {
                let empty = Checkpoint::new(&origin, 0, committed.root());
                let empty = empty.map_err(|source| OpenLogError::Checkpoint {
                    place: "origin",
                    source,
                })?;
                empty.sign(&[&signer]).encode()
            }
        };
        committed.set_checkpoint(Arc::from(checkpoint));
        let high_water = directory.join("high-water");
        check_high_water(&high_water, &committed, &signer)?;
        tracing::info!(log.origin = origin, log.size = committed.size(), "log opened");

        let reader = wal.reader()?;
        let committed = Arc::new(RwLock::new(committed));
        let (queue, receiver) = mpsc::channel(MAX_QUEUE);
        let sequencer = Sequencer {
            committed: Arc::clone(&committed),
            wal,
            signer,
            origin,
            high_water,
        };
        let thread = thread::spawn(move || sequencer.run(receiver));
        let thread = std::sync::Mutex::new(Some(thread));
        Ok(Self {
            committed,
            queue,
            room: Semaphore::new(MAX_QUEUE),
            reader,
            log_id,
            thread,
        })
    }

    /// Logs what a request asks for, or finds the entry that it duplicates, and proves it against a fresh checkpoint.
    pub(crate) async fn submit(&self, request: &[u8]) -> Result<Proven, SubmitError> {
        // Bounds what is verified and waits at the same time, before any work is spent on it.
        let _room = self.room.try_acquire().map_err(|_| SubmitError::Busy)?;
        let body = entry::canonical_body(request)?;
        let leaf = leaf_hash(&body);
        let (reply, answer) = oneshot::channel();
        let submission = Submission {
            body: body.clone(),
            leaf,
            reply,
        };
        self.queue.try_send(submission).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Unavailable,
        })?;
        let answer = tokio::time::timeout(DEADLINE, answer)
            .await
            .map_err(|_| SubmitError::Deadline)?;
        let accepted = match answer {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(Refused::Full)) => return Err(SubmitError::Full),
            Ok(Err(Refused::Broken | Refused::Damaged)) | Err(_) => return Err(SubmitError::Unavailable),
        };
        self.prove(accepted, &leaf, body)
    }

    fn prove(&self, accepted: Accepted, leaf: &TreeHash, body: Vec<u8>) -> Result<Proven, SubmitError> {
        let Accepted {
            index,
            size,
            root,
            checkpoint,
        } = accepted;
        let hashes = prove_inclusion(index, size, &*self.read())?;
        // Whatever led to the index, the answer is true of the very bytes that were submitted.
        verify_inclusion(leaf, index, size, &hashes, &root)?;
        Ok(Proven {
            index,
            size,
            root,
            hashes,
            checkpoint,
            body,
        })
    }

    /// The newest signed checkpoint.
    pub(crate) fn checkpoint(&self) -> Arc<str> {
        self.read().checkpoint()
    }

    /// The whole hash of the log's key.
    pub(crate) fn log_id(&self) -> &[u8; 32] {
        &self.log_id
    }

    /// A tile or entry bundle, partial ones cut from what is there. Reads the disk for entries.
    pub(crate) fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, WalError> {
        if path.kind() != TileKind::Entries {
            return Ok(self.read().hashes(path));
        }
        let Some(places) = self.read().places(path) else {
            return Ok(None);
        };
        let end = path.first() + u64::from(path.width());
        let mut bundle = Vec::new();
        for place in places {
            let bytes = self.reader.entries(&place)?;
            let mut rest = &bytes[..];
            for index in place.first..place.first + u64::from(place.count) {
                let Some((entry, after)) = split_entry(rest) else {
                    return Ok(None);
                };
                rest = after;
                if (path.first()..end).contains(&index) {
                    // An entry that rotted on the disk is not served as if it were the logged one.
                    if self.read().node(0, index) != Some(leaf_hash(entry)) {
                        tracing::error!(log.index = index, "an entry on the disk is not the one that was logged");
                        return Ok(None);
                    }
                    let Ok(()) = tile::append_entry(&mut bundle, entry) else {
                        return Ok(None);
                    };
                }
            }
        }
        Ok(Some(bundle))
    }

    /// Waits until what is queued is durable and the high-water mark is written. New submissions are refused.
    pub(crate) fn close(self) {
        drop(self.queue);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(_)) = thread.map(thread::JoinHandle::join) {
            tracing::error!("the log's sequencer panicked");
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Committed> {
        // A reader cannot leave it half-written, and the only writer changes it after all that can fail.
        self.committed.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_high_water(path: &Path, committed: &Committed, signer: &NoteSigner) -> Result<(), OpenLogError> {
    if !path.exists() {
        return Ok(());
    }
    let signed = SignedCheckpoint::parse(&folder::read(path)?);
    let wrong = |source| OpenLogError::Checkpoint {
        place: "high-water mark",
        source,
    };
    let signed = signed.map_err(wrong)?;
    let mark = signed.verify_origin(signer.key(), signer.key().name()).map_err(wrong)?;
    let rollback = OpenLogError::Rollback {
        size: committed.size(),
        high_water: mark.size(),
    };
    if mark.size() > committed.size() {
        return Err(rollback);
    }
    match subtree_root(0, mark.size(), committed) {
        Ok(root) if root == *mark.root() => Ok(()),
        _ => Err(rollback),
    }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests;
