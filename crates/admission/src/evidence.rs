//! Looking things up in registries for decisions: tags, and the proofs about a digest.
//!
//! What is kept is evidence that was verified (proofs), never a decision, under the repository, the digest and the
//! generation of trust anchors: a change of policies decides anew over the same proofs, a change of keys or of the
//! trust root verifies anew. Tags are kept for seconds, because a tag may move.

mod data;

use std::sync::Arc;
use std::time::Duration;

use proofmark_policy::Unavailable;
use proofmark_registry::{Client, Pieces, RegistryError, Space};
use proofmark_types::{Digest, ImageRef, RegistryHost, Repository, Tag, UnixTime};
use proofmark_verify::{Proofs, TimeSource};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::basis::Basis;
use crate::config::{Clock, Limits};
use crate::gates::Gates;
use crate::hold::{Bounds, Flights, Store};
use crate::kept;
use crate::metrics::Metrics;

/// Gatherings at once that take more than a megabyte of evidence. Each may hold up to the registry client's own limit in
/// memory (128 MiB, if a registry or whoever pushes to it wants us to).
const MAX_LARGE: usize = 8;

/// Tags kept; each entry is some 200 bytes.
const MAX_TAGS: usize = 8192;

/// Manifests and configurations kept.
const MAX_DATA_BYTES: usize = 8 * 1024 * 1024;

/// Of one proof beside its predicate: certificates, log entries, names.
const PROOF_OVERHEAD: usize = 4096;

/// When a request has to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub(crate) Instant);

impl Deadline {
    /// `budget` from now.
    #[must_use]
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }
}

/// What is known about one digest.
pub(crate) struct Known {
    pub(crate) proofs: Proofs,
    fetched: UnixTime,
}

/// The outcome of a lookup of proofs.
pub(crate) struct Lookup {
    /// What is proven, or why nobody could find out.
    pub(crate) known: Result<Arc<Known>, Unavailable>,
    /// When the lookup failed: what was proven earlier, if it is still kept.
    pub(crate) held: Option<Arc<Known>>,
    /// `held`, `restored`, `fetched`, `joined` or `failed`.
    pub(crate) source: &'static str,
    /// Registry requests that this lookup caused; none when another had started it.
    pub(crate) requests: u64,
}

/// What a lookup brought back, and how many registry requests it took.
#[derive(Clone)]
struct Landed<T> {
    answer: Result<T, Unavailable>,
    requests: u64,
    /// No registry was asked: it was kept beyond the process.
    restored: bool,
}

/// How far a gathering is: what it has asked, and whom.
type Asking = (Client, RegistryHost);

/// A key, and whether what is kept beyond the process is to be left aside.
type Wanted = (Key, bool);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    repository: Repository,
    digest: Digest,
    generation: Digest,
}

type TagKey = (Repository, Tag);

/// Tags and proofs, looked up once however many ask.
pub(crate) struct Lookups {
    client: Client,
    clock: Clock,
    limits: Limits,
    metrics: Arc<Metrics>,
    known: Arc<Store<Key, Arc<Known>>>,
    gathering: Flights<Wanted, Landed<Arc<Known>>, Asking>,
    tags: Arc<Store<TagKey, (Digest, Instant)>>,
    resolving: Flights<TagKey, Landed<Digest>>,
    /// Manifests that the registry has given out, their bytes hashed.
    seen: Arc<Store<(Repository, Digest), ()>>,
    gates: Arc<Gates>,
    space: Space,
    kept: Option<Arc<kept::Store>>,
    /// Manifests and configurations, by reference as written and digest.
    data: Store<(String, Digest), Arc<Value>>,
}

impl Lookups {
    pub(crate) fn new(
        client: &Client,
        clock: Clock,
        limits: Limits,
        metrics: Arc<Metrics>,
        kept: Option<kept::Store>,
    ) -> Self {
        Self {
            client: client.with_shared_patience(),
            clock,
            metrics,
            known: Arc::new(Store::new(limits.held)),
            gathering: Flights::new(),
            tags: Arc::new(Store::new(Bounds {
                entries: MAX_TAGS,
                bytes: usize::MAX,
            })),
            resolving: Flights::new(),
            seen: Arc::new(Store::new(Bounds {
                entries: MAX_TAGS,
                bytes: usize::MAX,
            })),
            gates: Arc::new(Gates::new(limits.gatherings, limits.gatherings_of_a_registry)),
            space: Space::new(MAX_LARGE),
            kept: kept.map(Arc::new),
            data: Store::new(Bounds {
                entries: MAX_TAGS,
                bytes: MAX_DATA_BYTES,
            }),
            limits,
        }
    }

    /// What the reference stands for: its digest, or what the registry says its tag points to, at most
    /// [`Limits::tag_kept`] old. With it, the registry requests that this took.
    pub(crate) async fn resolve(&self, image: &ImageRef, deadline: Deadline) -> (Result<Digest, Unavailable>, u64) {
        if let Some(digest) = image.digest() {
            return (Ok(digest.clone()), 0);
        }
        let key = (image.repository().clone(), image.tag_or_latest());
        if let Some((digest, resolved)) = self.tags.get(&key)
            && resolved.elapsed() < self.limits.tag_kept
        {
            self.metrics.tag_lookup("held");
            return (Ok(digest), 0);
        }
        let (flight, (), started) = self.resolving.join(&key, || {
            let (client, metrics) = (self.client.with_fresh_counts(), self.metrics.clone());
            let (image, key, limit) = (image.clone(), key.clone(), self.limits.lookup);
            let (tags, seen) = (self.tags.clone(), self.seen.clone());
            let lookup = async move {
                let answer = within(limit, client.resolve(&image))
                    .await
                    .map(|resolved| resolved.descriptor.digest);
                if let Ok(digest) = &answer {
                    seen.put((key.0.clone(), digest.clone()), (), 0);
                    tags.put(key, (digest.clone(), Instant::now()), 0);
                }
                counted(answer, &client, &metrics)
            };
            ((), lookup)
        });
        let landed = landed(flight, deadline).await;
        self.metrics.tag_lookup(match (&landed.answer, started) {
            (Ok(_), true) => "fetched",
            (Ok(_), false) => "joined",
            (Err(_), _) => "failed",
        });
        (landed.answer, if started { landed.requests } else { 0 })
    }

    /// What is proven about `digest` in `repository`.
    ///
    /// Kept proofs are used for [`Limits::evidence_fresh`]; `again` asks for younger ones than
    /// [`Limits::refusal_kept`], for a digest that was refused: its signature may have arrived in the meantime.
    pub(crate) async fn proofs(
        &self,
        basis: &Arc<Basis>,
        repository: &Repository,
        digest: &Digest,
        again: bool,
        deadline: Deadline,
    ) -> Lookup {
        let key = Key {
            repository: repository.clone(),
            digest: digest.clone(),
            generation: basis.generation.clone(),
        };
        let now = (self.clock)();
        let of_use = |known: &Arc<Known>| now.since(known.fetched) < self.limits.evidence_held;
        let kept = self.known.get(&key).filter(of_use);
        let fresh_for = if again {
            self.limits.refusal_kept
        } else {
            self.limits.evidence_fresh
        };
        if let Some(known) = kept.clone().filter(|known| now.since(known.fetched) < fresh_for) {
            self.metrics.evidence_lookup("held");
            return Lookup {
                known: Ok(known),
                held: None,
                source: "held",
                requests: 0,
            };
        }
        let (flight, asking, started) = self.gathering.join(&(key.clone(), again), || {
            let client = self.client.with_fresh_counts();
            let asking = (client.clone(), repository.registry().clone());
            (asking, self.gather(basis.clone(), key.clone(), client, again))
        });
        let mut landed = landed(flight, deadline).await;
        if let Err(unavailable) = &mut landed.answer {
            self.blame(unavailable, &asking);
        }
        let requests = if started { landed.requests } else { 0 };
        let known = landed.answer;
        let source = match (&known, started) {
            (Ok(_), _) if landed.restored => "restored",
            (Ok(_), true) => "fetched",
            (Ok(_), false) => "joined",
            (Err(_), _) => "failed",
        };
        self.metrics.evidence_lookup(source);
        // What was kept beyond the process is in memory by now, if it is of use.
        let held = match &known {
            Ok(_) => None,
            Err(_) => kept.or_else(|| self.known.get(&key).filter(of_use)),
        };
        Lookup {
            known,
            held,
            source,
            requests,
        }
    }

    /// Says of a lookup that ran out of time whether the registry is the reason. One that answers is not out of reach:
    /// whoever may push can hang so much on an image that reading it takes longer than anybody waits, and must not get a
    /// pass by that where the policy lets images run in an outage. The same holds for what waits behind such an image.
    fn blame(&self, unavailable: &mut Unavailable, (client, registry): &Asking) {
        if !["deadline", "timeout"].contains(&unavailable.code.as_str()) {
            return;
        }
        let counts = client.counts();
        // Those of other registries are in the way only where there is no room left at all.
        let full = self.gates.is_full();
        let in_the_way = |other: &Asking| (full || other.1 == *registry) && other.0.counts().answers > 0;
        if counts.answers > 0 {
            unavailable.code = "evidence-too-slow".to_owned();
            unavailable.reason = format!(
                "the registry answered {} requests, and there is more than could be read in time; the lookup goes on, try again",
                counts.answers
            );
        } else if counts.total() == 0 && self.gathering.states().iter().any(in_the_way) {
            unavailable.code = "overloaded".to_owned();
            unavailable.reason = "the evidence of other images is still being read; try again".to_owned();
        }
    }

    /// Manifest and configuration of an image, with the parts of its reference, for policies that look into images. An
    /// index has no configuration: which of its images runs is not known here. With it, the registry requests.
    pub(crate) async fn image_data(
        &self,
        image: &ImageRef,
        digest: &Digest,
        deadline: Deadline,
    ) -> (Result<Arc<Value>, Unavailable>, u64) {
        let key = (image.to_string(), digest.clone());
        if let Some(data) = self.data.get(&key) {
            return (Ok(data), 0);
        }
        let client = self.client.with_fresh_counts();
        let fetch = within(self.limits.lookup, data::fetch(&client, image, digest));
        let answer = match timeout_at(deadline.0, fetch).await {
            Ok(answer) => answer.map(Arc::new),
            Err(_) => Err(Unavailable {
                code: "deadline".to_owned(),
                reason: "the registry did not answer in the time that the API server gives".to_owned(),
            }),
        };
        if let Ok(data) = &answer {
            self.data.put(key, data.clone(), value_weight(data));
        }
        let landed = counted(answer, &client, &self.metrics);
        (landed.answer, landed.requests)
    }

    /// How many digests are known, and the estimated bytes of what is known.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.known.size()
    }

    /// Finds out what is proven about a digest.
    ///
    /// 1. What is kept beyond the process: young enough, it is the answer; older, it is held for policies that let an
    ///    image run on it while the registry is out of reach. Either way it is verified as if it came from the registry.
    /// 2. A place among the gatherings, of which each registry has only some.
    /// 3. A digest that was never resolved is fetched once: that it is there, and that the registry does not lie about
    ///    it, is better said here than by the kubelet. Beside that, everything that hangs on it.
    /// 4. It is verified, held in memory, and kept.
    fn gather(
        &self,
        basis: Arc<Basis>,
        key: Key,
        client: Client,
        again: bool,
    ) -> impl Future<Output = Landed<Arc<Known>>> + Send + 'static {
        let (metrics, limit, seen) = (self.metrics.clone(), self.limits.lookup, self.seen.clone());
        let (gates, share) = (self.gates.clone(), Arc::new(self.space.share()));
        let place = kept::Place {
            repository: key.repository.clone(),
            home: client.evidence_home(&key.repository).clone(),
            digest: key.digest.clone(),
        };
        let ledger = Ledger {
            key,
            basis,
            store: self.known.clone(),
            clock: self.clock.clone(),
        };
        let (kept, fresh) = (self.kept.clone(), self.limits.evidence_fresh);
        async move {
            // 1.
            if let Some(kept) = kept.as_deref().filter(|_| !again)
                && let Some(found) = kept.get(&place, (ledger.clock)()).await
            {
                let young = (ledger.clock)().since(found.fetched) < fresh;
                let answer = ledger.verify(found.pieces, found.fetched).await;
                if young && answer.is_ok() {
                    return Landed {
                        answer: answer.map(|(known, _)| known),
                        requests: 0,
                        restored: true,
                    };
                }
            }
            // 2.
            let _permits = gates.enter(place.repository.registry()).await;
            // 3.
            let resolved = (place.repository.clone(), place.digest.clone());
            let image = async {
                if seen.get(&resolved).is_none() {
                    client.manifest(&resolved.0, &resolved.1).await?;
                    seen.put(resolved.clone(), (), 0);
                }
                Ok(())
            };
            let both = async { futures::try_join!(image, client.pieces(&place.repository, &place.digest, &share)) };
            let pieces = match within(limit, both).await {
                Ok(((), pieces)) => pieces,
                Err(unavailable) => return counted(Err(unavailable), &client, &metrics),
            };
            // 4.
            let fetched = (ledger.clock)();
            let answer = ledger.verify(pieces, fetched).await;
            if let (Some(kept), Ok((known, pieces))) = (kept, &answer)
                && is_durable(&known.proofs)
            {
                kept.put(place, pieces, fetched);
            }
            counted(answer.map(|(known, _)| known), &client, &metrics)
        }
    }
}

/// Where what was gathered is verified, and entered.
struct Ledger {
    key: Key,
    basis: Arc<Basis>,
    store: Arc<Store<Key, Arc<Known>>>,
    clock: Clock,
}

impl Ledger {
    /// Verifies, and holds in memory what will still be true in some minutes.
    async fn verify(&self, pieces: Pieces, fetched: UnixTime) -> Result<(Arc<Known>, Pieces), Unavailable> {
        let (basis, now) = (self.basis.clone(), (self.clock)());
        // Signatures are checked off the threads that answer: one certificate chain is a millisecond.
        let verified = tokio::task::spawn_blocking(move || (basis.verifier.verify(&pieces.evidence(), now), pieces));
        let (proofs, pieces) = verified.await.map_err(|_| Unavailable {
            code: "internal-error".to_owned(),
            reason: "the verification ended in an internal error".to_owned(),
        })?;
        let known = Arc::new(Known { fetched, proofs });
        if is_durable(&known.proofs) {
            self.store.put(self.key.clone(), known.clone(), weight(&known.proofs));
        }
        Ok((known, pieces))
    }
}

/// Whether the answer was known before it was asked for: a refusal over it is worth another look.
pub(crate) fn was_held(source: &str) -> bool {
    ["held", "restored"].contains(&source)
}

/// Books the requests that `client` has sent since it began to count.
fn counted<T>(answer: Result<T, Unavailable>, client: &Client, metrics: &Metrics) -> Landed<T> {
    let counts = client.counts();
    for (operation, requests) in [
        ("manifest", counts.manifests),
        ("blob", counts.blobs),
        ("tags", counts.tags),
        ("referrers", counts.referrers),
        ("token", counts.tokens),
    ] {
        metrics.registry_requests(operation, requests);
    }
    if let Err(unavailable) = &answer {
        metrics.registry_error(static_code(&unavailable.code));
    }
    Landed {
        answer,
        requests: counts.total(),
        restored: false,
    }
}

/// Whether the same proofs would hold in some minutes.
fn is_durable(proofs: &Proofs) -> bool {
    proofs.incomplete().is_empty()
        && proofs
            .proofs()
            .iter()
            .all(|proof| proof.time_source() != TimeSource::CurrentTime)
}

async fn within<T>(limit: Duration, lookup: impl Future<Output = Result<T, RegistryError>>) -> Result<T, Unavailable> {
    match tokio::time::timeout(limit, lookup).await {
        Ok(answer) => answer.map_err(|error| unavailable(&error)),
        Err(_) => Err(Unavailable {
            code: "timeout".to_owned(),
            reason: format!("the registry did not answer within {} s", limit.as_secs_f32()),
        }),
    }
}

/// Waits for a flight until the deadline; the flight goes on without us.
async fn landed<T: Clone>(flight: impl Future<Output = Option<Landed<T>>>, deadline: Deadline) -> Landed<T> {
    let (code, reason) = match timeout_at(deadline.0, flight).await {
        Ok(Some(landed)) => return landed,
        Ok(None) => ("internal-error", "the lookup ended in an internal error"),
        Err(_) => (
            "deadline",
            "the registry did not answer in the time that the API server gives; the lookup goes on, try again",
        ),
    };
    Landed {
        answer: Err(Unavailable {
            code: code.to_owned(),
            reason: reason.to_owned(),
        }),
        requests: 0,
        restored: false,
    }
}

fn unavailable(error: &RegistryError) -> Unavailable {
    Unavailable {
        code: error.code().to_owned(),
        reason: crate::basis::with_causes(error),
    }
}

/// Codes are words of the registry room; as a label each must be one of a fixed set.
fn static_code(code: &str) -> &'static str {
    const CODES: [&str; 10] = [
        "not-found",
        "unauthorized",
        "denied",
        "throttled",
        "unreachable",
        "timeout",
        "too-large",
        "digest-mismatch",
        "size-mismatch",
        "malformed",
    ];
    CODES.into_iter().find(|known| *known == code).unwrap_or("other")
}

/// What the proofs take in memory, roughly: predicates decide, an SBOM has megabytes and the rest kilobytes.
fn weight(proofs: &Proofs) -> usize {
    let predicates: usize = proofs
        .proofs()
        .iter()
        .map(|proof| value_weight(proof.predicate()))
        .sum();
    predicates + PROOF_OVERHEAD * (1 + proofs.proofs().len() + proofs.rejections().len())
}

fn value_weight(value: &Value) -> usize {
    let own = size_of::<Value>();
    match value {
        Value::String(text) => own + text.len(),
        Value::Array(values) => own + values.iter().map(value_weight).sum::<usize>(),
        // A tree node holds up to eleven entries and is half full.
        Value::Object(members) => {
            own + members
                .iter()
                .map(|(name, value)| 2 * (24 + own) + name.len() + value_weight(value))
                .sum::<usize>()
        }
        _ => own,
    }
}
