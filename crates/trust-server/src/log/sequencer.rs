//! One thread that gives entries their places: it takes what is queued, computes the tree, signs the checkpoint, writes
//! one record, syncs once, and only then answers. Nothing that is signed leaves the process before that sync.
//!
//! There is no timer: while a sync runs, the next batch gathers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use proofmark_merkle::{Checkpoint, NoteSigner, TreeHash, leaf_hash};
use tokio::sync::{mpsc, oneshot};

use super::tree::{Committed, MAX_ENTRIES, Staged};
use super::wal::{Wal, push_entry};
use crate::folder;

/// The most entries of one batch: what 64 clients queue, many times over, in a few milliseconds of sequencing.
const MAX_BATCH: usize = 1024;
/// The most bytes of one batch; the record must stay below [`super::wal::MAX_PAYLOAD`].
pub(crate) const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// How often the high-water mark follows the log. It guards against an old copy of the folder being served, not against
/// a crash, so that it need not be part of the commit.
const HIGH_WATER_INTERVAL: Duration = Duration::from_secs(1);

/// An entry on its way into the log.
pub(crate) struct Submission {
    pub(crate) body: Vec<u8>,
    pub(crate) leaf: TreeHash,
    pub(crate) reply: oneshot::Sender<Result<Accepted, Refused>>,
}

/// A durable place in the log.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) index: u64,
    /// The tree of this checkpoint has the entry.
    pub(crate) size: u64,
    pub(crate) root: TreeHash,
    pub(crate) checkpoint: Arc<str>,
}

/// Why an entry has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A write or sync failed; what is on the disk is unknown until the next start.
    Broken,
    /// [`MAX_ENTRIES`] are there.
    Full,
    /// The bytes changed between hashing and sequencing: failing memory.
    Damaged,
}

pub(crate) struct Sequencer {
    pub(crate) committed: Arc<RwLock<Committed>>,
    pub(crate) wal: Wal,
    pub(crate) signer: NoteSigner,
    pub(crate) origin: String,
    pub(crate) high_water: PathBuf,
}

impl Sequencer {
    /// Runs until every sender is gone.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        let (stop, high_water) = self.follow_high_water();
        let mut broken = false;
        while let Some(first) = queue.blocking_recv() {
            let batch = gather(first, &mut queue);
            if broken {
                answer_all(batch, Refused::Broken);
                continue;
            }
            if let Err(error) = self.sequence(batch) {
                tracing::error!(error = %error, "the log cannot be written and takes no more entries until a restart");
                broken = true;
            }
        }
        drop(stop);
        if high_water.join().is_err() {
            tracing::error!("the thread of the high-water mark panicked");
        }
    }

    fn sequence(&mut self, batch: Vec<Submission>) -> Result<(), Box<dyn std::error::Error>> {
        // 1. Sort out what is logged already, or twice in this batch.
        let (mut staged, known) = {
            let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
            let known: Vec<Option<u64>> = batch.iter().map(|s| committed.find(&s.leaf)).collect();
            (committed.stage(), known)
        };
        let mut entries = Vec::new();
        let mut count = 0_u32;
        let first = staged.size();
        let mut here: HashMap<TreeHash, u64> = HashMap::new();
        let mut places = Vec::with_capacity(batch.len());
        for (submission, known) in batch.iter().zip(known) {
            let place = match known.or_else(|| here.get(&submission.leaf).copied()) {
                Some(index) => Ok(index),
                None => place(submission, &mut staged, &mut entries).inspect(|index| {
                    here.insert(submission.leaf, *index);
                    count += 1;
                }),
            };
            places.push(place);
        }
        // 2. Sign and write. The sync in `append` is the commit.
        if count > 0
            && let Err(error) = self.commit(staged, first, &entries, count)
        {
            answer_all(batch, Refused::Broken);
            return Err(error);
        }
        // 3. Answer.
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        let (size, root, checkpoint) = (committed.size(), committed.root(), committed.checkpoint());
        drop(committed);
        for (submission, place) in batch.into_iter().zip(places) {
            let answer = place.map(|index| Accepted {
                index,
                size,
                root,
                checkpoint: Arc::clone(&checkpoint),
            });
            // A client that went away finds its entry by sending it again.
            let _ = submission.reply.send(answer);
        }
        Ok(())
    }

    fn commit(
        &mut self,
        staged: Staged,
        first: u64,
        entries: &[u8],
        count: u32,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let checkpoint = Checkpoint::new(&self.origin, staged.size(), staged.root())?;
        let checkpoint = checkpoint.sign(&[&self.signer]).encode();
        let place = self.wal.append(first, entries, count, checkpoint.as_bytes())?;
        let mut committed = self.committed.write().unwrap_or_else(PoisonError::into_inner);
        committed.commit(staged, place);
        committed.set_checkpoint(Arc::from(checkpoint));
        Ok(())
    }

    fn follow_high_water(&self) -> (SyncSender<()>, thread::JoinHandle<()>) {
        let (stop, stopped) = sync_channel::<()>(0);
        let (committed, path) = (Arc::clone(&self.committed), self.high_water.clone());
        let follow = move || {
            let mut written = 0;
            loop {
                let stopping = stopped.recv_timeout(HIGH_WATER_INTERVAL) == Err(RecvTimeoutError::Disconnected);
                let (size, checkpoint) = {
                    let committed = committed.read().unwrap_or_else(PoisonError::into_inner);
                    (committed.size(), committed.checkpoint())
                };
                if size > written {
                    match folder::replace(&path, folder::PUBLIC, checkpoint.as_bytes()) {
                        Ok(()) => written = size,
                        Err(error) => tracing::error!(error = %error, "the high-water mark cannot be written"),
                    }
                }
                if stopping {
                    return;
                }
            }
        };
        (stop, thread::spawn(follow))
    }
}

fn gather(first: Submission, queue: &mut mpsc::Receiver<Submission>) -> Vec<Submission> {
    let mut bytes = first.body.len();
    let mut batch = vec![first];
    while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.body.len();
        batch.push(next);
    }
    batch
}

fn place(submission: &Submission, staged: &mut Staged, entries: &mut Vec<u8>) -> Result<u64, Refused> {
    if staged.size() >= MAX_ENTRIES {
        return Err(Refused::Full);
    }
    // The hash was made by the request's thread: made again here, so that a flipped bit in either copy is found before
    // it is signed (the end of the Yeti2022 log).
    if leaf_hash(&submission.body) != submission.leaf {
        return Err(Refused::Damaged);
    }
    push_entry(entries, &submission.body).map_err(|_| Refused::Damaged)?;
    Ok(staged.append(submission.leaf))
}

fn answer_all(batch: Vec<Submission>, refused: Refused) {
    for submission in batch {
        let _ = submission.reply.send(Err(refused));
    }
}
