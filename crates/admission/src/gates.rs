//! How many lookups run at once: so many in all, and fewer of one registry, so that one that hangs leaves room for the
//! others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use proofmark_types::RegistryHost;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) struct Gates {
    all: Arc<Semaphore>,
    each: usize,
    /// Of the registries that are being asked; forgotten when nobody asks them any more.
    registries: Mutex<HashMap<RegistryHost, Weak<Semaphore>>>,
}

/// A place among the lookups; given back when it is dropped.
pub(crate) struct Entered {
    _all: Option<OwnedSemaphorePermit>,
    _one: Option<OwnedSemaphorePermit>,
    /// Kept alive as long as somebody is within.
    _registry: Arc<Semaphore>,
}

impl Gates {
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            each,
            registries: Mutex::default(),
        }
    }

    /// Waits for a place. The registry's own comes first: who waits for that takes no place from the others.
    pub(crate) async fn enter(&self, registry: &RegistryHost) -> Entered {
        let of_registry = self.of(registry);
        // The semaphores are never closed; if they were, going on without a permit would only cost memory.
        let one = of_registry.clone().acquire_owned().await.ok();
        let all = self.all.clone().acquire_owned().await.ok();
        Entered {
            _all: all,
            _one: one,
            _registry: of_registry,
        }
    }

    /// Whether there is no place left, whichever registry is asked.
    pub(crate) fn is_full(&self) -> bool {
        self.all.available_permits() == 0
    }

    fn of(&self, registry: &RegistryHost) -> Arc<Semaphore> {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = registries.get(registry).and_then(Weak::upgrade) {
            return found;
        }
        registries.retain(|_, semaphore| semaphore.strong_count() > 0);
        let made = Arc::new(Semaphore::new(self.each));
        registries.insert(registry.clone(), Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn host(name: &str) -> RegistryHost {
        RegistryHost::parse(name).unwrap()
    }

    async fn is_open(gates: &Gates, name: &str) -> bool {
        let registry = host(name);
        let entering = tokio::time::timeout(Duration::from_millis(20), gates.enter(&registry));
        entering.await.is_ok()
    }

    #[tokio::test]
    async fn a_registry_that_hangs_leaves_room_for_the_others() {
        let gates = Gates::new(3, 2);
        let hanging = (gates.enter(&host("a.test")).await, gates.enter(&host("a.test")).await);
        assert!(!is_open(&gates, "a.test").await);
        assert!(is_open(&gates, "b.test").await);
        let other = gates.enter(&host("b.test")).await;
        assert!(gates.is_full());
        assert!(!is_open(&gates, "c.test").await);
        drop(other);
        assert!(is_open(&gates, "c.test").await);
        drop(hanging);
        assert!(is_open(&gates, "a.test").await);
        let _last = gates.enter(&host("d.test")).await;
        assert_eq!(
            gates.registries.lock().unwrap().len(),
            1,
            "those that nobody asks are forgotten"
        );
    }
}
