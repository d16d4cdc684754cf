//! Changing what is behind a tag when others do the same: registries have no compare-and-swap.
//!
//! Two writers that read the same list and write it back lose one entry (sigstore/cosign 2432: of 8 parallel `attest`, 6
//! and 2 survived). What is done about it:
//!
//! 1. Between reading and writing lies as little as possible: what else must be stored is stored first, and if that took
//!    time, the tag is looked at once more.
//! 2. After writing we look again and again until the tag has been found complete *and unchanged* some times in a row, each
//!    time later than the slowest read-and-write that we saw ourselves takes. Whoever is still writing keeps everybody
//!    else watching.
//! 3. What was ever seen in the list is kept in mind and put back, so that a loser's entry survives even if the loser is
//!    already gone.
//!
//! What remains is a writer that stands still between its last look and its write for longer than all others watch.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use proofmark_evidence::legacy;
use proofmark_oci::Descriptor;
use proofmark_types::{Digest, ImageRef, MediaType, Repository, Tag};

use super::Client;
use super::manifests::Resolved;
use crate::RegistryError;
use crate::jitter;
use crate::limits::MAX_FALLBACK_WRITES;

/// How often in a row the list must be found complete and as it was the time before.
const LOOKS: u32 = 2;

/// The same once another writer was noticed: where there are two there may be eight.
const LOOKS_IN_A_CROWD: u32 = 4;

/// How often we look at all. Ours being there each of the last times, that others go on writing is no reason to stay.
const MAX_LOOKS: u32 = 64;

/// The shortest wait before looking again. Another writer that read the list before we wrote has written by then; longer
/// on slow connections, see [`PATIENCE`].
const SHORTEST_WAIT: Duration = Duration::from_millis(150);

/// How many times our own slowest read-and-write another writer's may take.
const PATIENCE: u32 = 4;

/// The longest wait, for registries that take seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How many failures that pass are put up with: docker-registry answers 500, or that it knows no such tag, while it writes
/// the file of a tag that others read.
const MAX_FAULTS: u32 = 5;

/// What was read longer ago is looked at again before it is written over.
const FRESH: Duration = Duration::from_millis(50);

/// How often that is done for one write; then it is written, and the looks afterwards see what is missing.
const MAX_FRESH_LOOKS: u32 = 8;

/// One lock a tag for the writers of this process, which then never lose an entry to each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Locks(Arc<Mutex<LockMap>>);

type LockMap = HashMap<(Repository, Tag), Arc<tokio::sync::Mutex<()>>>;

impl Locks {
    fn of(&self, repository: &Repository, tag: &Tag) -> Arc<tokio::sync::Mutex<()>> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds are dropped, so that the map does not grow with the images seen.
        map.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(map.entry((repository.clone(), tag.clone())).or_default())
    }
}

/// What is to be true of the content behind a tag.
pub(super) trait Merge {
    /// The new content, or none when everything wanted is there.
    fn merge(&mut self, current: Option<&Resolved>) -> Result<Option<Change>, RegistryError>;
}

/// The new content of a tag.
pub(super) struct Change {
    pub(super) media_type: MediaType,
    pub(super) manifest: Bytes,
    /// A blob that the manifest points to and that must be there first.
    pub(super) config: Option<Bytes>,
}

impl Change {
    /// The image of a `.sig` or `.att` tag with these layers. Its config names them, so that each state of the list has a
    /// config of its own.
    pub(super) fn legacy(layers: Vec<Descriptor>) -> Self {
        let (manifest, config) = legacy::image(layers);
        Self {
            media_type: manifest.media_type.clone(),
            manifest: manifest.to_json().into(),
            config: Some(config.into()),
        }
    }
}

/// What one round of reading, merging and perhaps writing did.
struct Round {
    /// What the tag names now, as far as we know.
    state: Option<Digest>,
    wrote: bool,
}

impl Client {
    /// Makes `merge` true of the tag, and sees that it stays so.
    pub(super) async fn settle(
        &self,
        repository: &Repository,
        tag: &Tag,
        wanted: &Digest,
        merge: &mut impl Merge,
    ) -> Result<(), RegistryError> {
        let lock = self.options.locks.of(repository, tag);
        let mut last: Option<Digest> = None;
        let mut crowd = false;
        let (mut writes, mut looks, mut quiet, mut faults) = (0, 0, 0, 0);
        let mut slowest = Duration::ZERO;
        loop {
            let began = Instant::now();
            let round = {
                let _held = lock.lock().await;
                self.merge_once(repository, tag, merge).await
            };
            let round = match round {
                Ok(round) => round,
                Err(error) if may_pass(&error) && faults < MAX_FAULTS => {
                    faults += 1;
                    tokio::time::sleep(SHORTEST_WAIT * faults + jitter::up_to(SHORTEST_WAIT)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            looks += 1;
            if round.wrote {
                slowest = slowest.max(began.elapsed());
                crowd |= writes > 0;
                writes += 1;
                quiet = 0;
            } else if writes == 0 {
                // Found complete without having written: somebody else, or an earlier run, put it there.
                return Ok(());
            } else if round.state == last {
                quiet += 1;
            } else {
                // Complete, and yet not as it was: another writer, who has read what we wrote, or put it back.
                crowd = true;
                quiet = 0;
            }
            last = round.state;
            if quiet >= if crowd { LOOKS_IN_A_CROWD } else { LOOKS } || (looks >= MAX_LOOKS && !round.wrote) {
                return Ok(());
            }
            if writes >= MAX_FALLBACK_WRITES {
                return Err(RegistryError::NotListed {
                    manifest: wanted.clone(),
                    place: format!("the tag {tag}"),
                    attempts: writes,
                });
            }
            let wait = (slowest * PATIENCE).clamp(SHORTEST_WAIT, LONGEST_WAIT);
            // More and more spread as we lose again and again, so that one of the crowd gets through.
            let spread = wait * writes.min(4);
            tokio::time::sleep(wait + jitter::up_to(spread)).await;
        }
    }

    /// Reads, merges, writes if needed.
    async fn merge_once(
        &self,
        repository: &Repository,
        tag: &Tag,
        merge: &mut impl Merge,
    ) -> Result<Round, RegistryError> {
        let name = ImageRef::tagged(repository.clone(), tag.clone());
        for left in (0..MAX_FRESH_LOOKS).rev() {
            let read = Instant::now();
            let current = match self.tagged(repository, tag).await {
                Ok(resolved) => Some(resolved),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            let state = current.as_ref().map(|current| current.descriptor.digest.clone());
            let Some(change) = merge.merge(current.as_ref())? else {
                return Ok(Round { state, wrote: false });
            };
            if let Some(config) = change.config {
                self.push_blob(repository, config).await?;
            }
            if read.elapsed() > FRESH && left > 0 {
                let now = match self.head(&name).await {
                    Ok(head) => Some(head.digest),
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error),
                };
                if now != state {
                    continue;
                }
            }
            let digest = Digest::sha256_of(&change.manifest);
            self.put_manifest(repository, Some(tag), &digest, &change.media_type, change.manifest)
                .await?;
            return Ok(Round {
                state: Some(digest),
                wrote: true,
            });
        }
        unreachable!("the last round does not look again")
    }
}

/// Whether the same request may be answered otherwise a moment later. Throttling has been waited for already.
fn may_pass(error: &RegistryError) -> bool {
    match error {
        RegistryError::Throttled { .. } => false,
        RegistryError::DigestMismatch { .. } | RegistryError::SizeMismatch { .. } => true,
        other => other.is_unreachable(),
    }
}
