//! Memory for evidence, where the evidence of many digests is gathered at once.
//!
//! Nearly all gatherings take kilobytes; the limit is what whoever pushes can make one take. So each may take a little
//! without asking, and has to wait for one of a few large places before it takes more. Whoever has a large place waits
//! for nothing but the registry, so that they cannot wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::limits::{MAX_EVIDENCE_TOTAL_BYTES, SMALL_EVIDENCE_BYTES};

/// Large places for evidence.
#[derive(Clone, Debug)]
pub struct Space(Arc<Semaphore>);

impl Space {
    /// So many gatherings at once may take more than [`crate::limits::SMALL_EVIDENCE_BYTES`].
    #[must_use]
    pub fn new(large: usize) -> Self {
        Self(Arc::new(Semaphore::new(large)))
    }

    /// For one gathering.
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            space: Some(self.0.clone()),
            ..Share::default()
        }
    }
}

/// What one gathering has taken. By default nobody else is thought of.
#[derive(Debug)]
pub struct Share {
    left: AtomicU64,
    space: Option<Arc<Semaphore>>,
    large: OnceCell<Option<OwnedSemaphorePermit>>,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            left: AtomicU64::new(MAX_EVIDENCE_TOTAL_BYTES),
            space: None,
            large: OnceCell::new(),
        }
    }
}

impl Share {
    /// Takes `bytes`, waiting for a large place where they are needed; false where the limit of one digest is reached.
    pub(super) async fn take(&self, bytes: u64) -> bool {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        let Ok(before) = taken else { return false };
        let in_all = MAX_EVIDENCE_TOTAL_BYTES - before + bytes;
        if let Some(space) = self.space.as_ref().filter(|_| in_all > SMALL_EVIDENCE_BYTES) {
            // The semaphore is never closed; if it were, going on without a place would only cost memory.
            self.large
                .get_or_init(async || space.clone().acquire_owned().await.ok())
                .await;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_little_is_free_and_much_waits_for_a_place() {
        let space = Space::new(1);
        let (first, second) = (space.share(), space.share());
        assert!(first.take(SMALL_EVIDENCE_BYTES + 1).await);
        assert!(second.take(SMALL_EVIDENCE_BYTES).await);
        let more = tokio::time::timeout(Duration::from_millis(50), second.take(1)).await;
        assert!(more.is_err(), "the only place is taken");
        // The one that has it needs no other.
        assert!(first.take(SMALL_EVIDENCE_BYTES).await);
        drop(first);
        assert!(second.take(1).await);
    }

    #[tokio::test]
    async fn the_limit_of_one_digest_holds() {
        for share in [Share::default(), Space::new(1).share()] {
            assert!(share.take(MAX_EVIDENCE_TOTAL_BYTES - 1).await);
            assert!(!share.take(2).await);
            assert!(share.take(1).await);
        }
    }
}
