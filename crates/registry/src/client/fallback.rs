//! Changing what is behind a tag when others do the same: registries have no compare-and-swap.
//!
//! Two writers that read the same list and write it back lose one entry (sigstore/cosign 2432: of 8 parallel `attest`, 6
//! and 2 survived). So after writing we look again, twice, each time later than the slowest read-and-write that we saw
//! ourselves takes; if anything is missing we merge and write again. What was ever seen in the list is kept in mind and
//! put back as well, so that a loser's entry survives even if the loser is already gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use proofmark_types::{Digest, MediaType, Repository, Tag};

use super::Client;
use super::manifests::Resolved;
use crate::RegistryError;
use crate::jitter;
use crate::limits::MAX_FALLBACK_WRITES;

/// How often the list must be found complete after the last write.
const LOOKS: u32 = 2;

/// The shortest wait before looking again. Another writer that read the list before we wrote has written by then; longer
/// on slow connections, see [`PATIENCE`].
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// How many times our own slowest read-and-write another writer's may take.
const PATIENCE: u32 = 4;

/// The longest wait, for registries that take seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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
        let mut writes = 0;
        let mut looks = 0;
        let mut slowest = Duration::ZERO;
        loop {
            let began = Instant::now();
            let wrote = {
                let _held = lock.lock().await;
                self.merge_once(repository, tag, merge).await?
            };
            if wrote {
                slowest = slowest.max(began.elapsed());
                writes += 1;
                looks = 0;
            } else {
                // Found complete without having written: somebody else, or an earlier run, put it there.
                looks += 1;
            }
            if looks >= LOOKS || (writes == 0 && looks > 0) {
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

    /// Reads, merges, writes if needed; true when it wrote.
    async fn merge_once(
        &self,
        repository: &Repository,
        tag: &Tag,
        merge: &mut impl Merge,
    ) -> Result<bool, RegistryError> {
        let current = match self.tagged(repository, tag).await {
            Ok(resolved) => Some(resolved),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        match merge.merge(current.as_ref())? {
            None => Ok(false),
            Some(change) => {
                if let Some(config) = change.config {
                    self.push_blob(repository, config).await?;
                }
                let digest = Digest::sha256_of(&change.manifest);
                self.put_manifest(repository, Some(tag), &digest, &change.media_type, change.manifest)
                    .await?;
                Ok(true)
            }
        }
    }
}
