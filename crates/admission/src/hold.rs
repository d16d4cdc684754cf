//! Answers kept for a while: a bounded store, and lookups that run once however many ask.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

/// The most that the store of proofs keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entries.
    pub entries: usize,
    /// Bytes, as the values' own estimates say.
    pub bytes: usize,
}

/// Values by key; past its bounds, those that were not asked for the longest go.
pub(crate) struct Store<K, V> {
    bounds: Bounds,
    inner: Mutex<Inner<K, V>>,
}

struct Inner<K, V> {
    values: HashMap<K, Kept<V>>,
    /// Keys by when they were last asked for.
    order: BTreeMap<u64, K>,
    ticks: u64,
    bytes: usize,
}

struct Kept<V> {
    value: V,
    bytes: usize,
    tick: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Store<K, V> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            inner: Mutex::new(Inner {
                values: HashMap::new(),
                order: BTreeMap::new(),
                ticks: 0,
                bytes: 0,
            }),
        }
    }

    /// The value, which thereby becomes the last to go.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let inner = &mut *self.lock();
        let kept = inner.values.get_mut(key)?;
        inner.ticks += 1;
        inner.order.remove(&kept.tick);
        kept.tick = inner.ticks;
        inner.order.insert(kept.tick, key.clone());
        Some(kept.value.clone())
    }

    /// Keeps `value`, unless it alone is past the bounds; then nothing is kept under the key.
    pub(crate) fn put(&self, key: K, value: V, bytes: usize) {
        let inner = &mut *self.lock();
        inner.remove(&key);
        if bytes > self.bounds.bytes || self.bounds.entries == 0 {
            return;
        }
        while inner.values.len() >= self.bounds.entries || inner.bytes + bytes > self.bounds.bytes {
            let Some((_, oldest)) = inner.order.pop_first() else {
                break;
            };
            inner.remove(&oldest);
        }
        inner.ticks += 1;
        let tick = inner.ticks;
        inner.order.insert(tick, key.clone());
        inner.bytes += bytes;
        inner.values.insert(key, Kept { value, bytes, tick });
    }

    /// How many values are kept, and of how many bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.values.len(), inner.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        // Every critical section leaves the maps whole; a poisoned lock would only pass a panic on.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V> Inner<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(kept) = self.values.remove(key) {
            self.order.remove(&kept.tick);
            self.bytes -= kept.bytes;
        }
    }
}

type Flight<V> = Shared<BoxFuture<'static, Option<V>>>;

/// A flight, and how far it is.
type UnderWay<V, S> = (Flight<V>, S);

/// Lookups under way. A second asker of the same key waits for the first one's answer instead of asking again; the
/// lookup is a task of its own, so that an asker who runs out of time does not take it from the others, and says on the
/// way how far it is (`S`, which is shared).
pub(crate) struct Flights<K, V, S = ()> {
    under_way: Arc<Mutex<HashMap<K, UnderWay<V, S>>>>,
}

impl<K, V, S> Flights<K, V, S>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
    S: Clone + Send + 'static,
{
    pub(crate) fn new() -> Self {
        Self {
            under_way: Arc::default(),
        }
    }

    /// The answer of the lookup for `key`, started with `start` if none is under way; how far it is; and whether it was
    /// started here. The future yields `None` when the lookup panicked.
    pub(crate) fn join<F>(&self, key: &K, start: impl FnOnce() -> (S, F)) -> (Flight<V>, S, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((flight, state)) = under_way.get(key) {
            return (flight.clone(), state.clone(), false);
        }
        let (state, lookup) = start();
        let task = tokio::spawn(lookup);
        let (flights, landed) = (self.under_way.clone(), key.clone());
        let flight = async move {
            let answer = task.await.ok();
            flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&landed);
            answer
        }
        .boxed()
        .shared();
        under_way.insert(key.clone(), (flight.clone(), state.clone()));
        drop(under_way);
        // Someone has to see it land when every asker has left.
        tokio::spawn(flight.clone());
        (flight, state, true)
    }

    /// How far all those are that are under way.
    pub(crate) fn states(&self) -> Vec<S> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.values().map(|(_, state)| state.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn store(entries: usize, bytes: usize) -> Store<u32, &'static str> {
        Store::new(Bounds { entries, bytes })
    }

    #[test]
    fn the_least_recently_asked_goes_first() {
        let store = store(2, 100);
        store.put(1, "one", 10);
        store.put(2, "two", 10);
        assert_eq!(store.get(&1), Some("one"));
        store.put(3, "three", 10);
        assert_eq!(store.get(&2), None);
        assert_eq!(store.get(&1), Some("one"));
        assert_eq!(store.size(), (2, 20));
    }

    #[test]
    fn bytes_are_bounded_and_replacement_counts_once() {
        let store = store(10, 100);
        store.put(1, "a", 60);
        store.put(1, "b", 60);
        assert_eq!(store.size(), (1, 60));
        store.put(2, "c", 60);
        assert_eq!(store.get(&1), None);
        assert_eq!(store.size(), (1, 60));
        store.put(3, "too large", 101);
        assert_eq!(store.get(&3), None);
        store.put(2, "too large", 101);
        assert_eq!(store.size(), (0, 0));
    }

    #[tokio::test]
    async fn many_ask_and_one_lookup_runs() {
        let flights: Flights<u32, u32> = Flights::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let mut waiting = Vec::new();
        for _ in 0..50 {
            let runs = runs.clone();
            let lookup = async move {
                runs.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                42
            };
            let (flight, (), _) = flights.join(&7, || ((), lookup));
            waiting.push(flight);
        }
        assert_eq!(flights.states().len(), 1);
        for flight in waiting {
            assert_eq!(flight.await, Some(42));
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert!(flights.under_way.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_lookup_outlives_its_askers_and_a_panic_is_no_answer() {
        let flights: Flights<u32, u32> = Flights::new();
        let done = Arc::new(AtomicUsize::new(0));
        let seen = done.clone();
        let lookup = async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            seen.fetch_add(1, Ordering::SeqCst);
            1
        };
        let (flight, (), started) = flights.join(&1, || ((), lookup));
        assert!(started);
        drop(flight);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
        let (flight, (), _) = flights.join(&2, || ((), async { panic!("broken lookup") }));
        assert_eq!(flight.await, None);
    }
}
