//! Looking things up in registries for decisions: tags, and the proofs about a digest.
//!
//! What is kept is evidence that was verified (proofs), never a decision, under the repository, the digest and the
//! generation of trust anchors: a change of policies decides anew over the same proofs, a change of keys or of the
//! trust root verifies anew. Tags are kept for seconds, because a tag may move.

mod data;

use std::sync::Arc;
use std::time::Duration;

use proofmark_policy::Unavailable;
use proofmark_registry::{Client, RegistryError};
use proofmark_types::{Digest, ImageRef, Repository, Tag, UnixTime};
use proofmark_verify::{Proofs, TimeSource};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::basis::Basis;
use crate::config::{Clock, Limits};
use crate::hold::{Bounds, Flights, Store};
use crate::metrics::Metrics;

/// Gatherings of evidence at once. Each may hold up to the registry client's own limit in memory (128 MiB, if a registry
/// or whoever pushes to it wants us to); a cold image takes some 200 ms with a registry at 50 ms.
const MAX_GATHERINGS: usize = 8;

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
    /// `held`, `fetched`, `joined` or `failed`.
    pub(crate) source: &'static str,
    /// Registry requests that this lookup caused; none when another had started it.
    pub(crate) requests: u64,
}

/// What a lookup brought back, and how many registry requests it took.
#[derive(Clone)]
struct Landed<T> {
    answer: Result<T, Unavailable>,
    requests: u64,
}

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
    gathering: Flights<Key, Landed<Arc<Known>>, Client>,
    tags: Arc<Store<TagKey, (Digest, Instant)>>,
    resolving: Flights<TagKey, Landed<Digest>>,
    /// Manifests that the registry has given out, their bytes hashed.
    seen: Arc<Store<(Repository, Digest), ()>>,
    gatherings: Arc<Semaphore>,
    /// Manifests and configurations, by reference as written and digest.
    data: Store<(String, Digest), Arc<Value>>,
}

impl Lookups {
    pub(crate) fn new(client: Client, clock: Clock, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
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
            gatherings: Arc::new(Semaphore::new(MAX_GATHERINGS)),
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
        let kept = self
            .known
            .get(&key)
            .filter(|known| now.since(known.fetched) < self.limits.evidence_held);
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
        let (flight, client, started) = self.gathering.join(&key, || {
            let client = self.client.with_fresh_counts();
            (client.clone(), self.gather(basis.clone(), key.clone(), client))
        });
        let mut landed = landed(flight, deadline).await;
        if let Err(unavailable) = &mut landed.answer {
            self.blame(unavailable, &client);
        }
        let requests = if started { landed.requests } else { 0 };
        let known = landed.answer;
        let source = match (&known, started) {
            (Ok(_), true) => "fetched",
            (Ok(_), false) => "joined",
            (Err(_), _) => "failed",
        };
        self.metrics.evidence_lookup(source);
        let held = if known.is_err() { kept } else { None };
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
    fn blame(&self, unavailable: &mut Unavailable, client: &Client) {
        if !["deadline", "timeout"].contains(&unavailable.code.as_str()) {
            return;
        }
        let counts = client.counts();
        let answered = |client: &Client| client.counts().answers > 0;
        if counts.answers > 0 {
            unavailable.code = "evidence-too-slow".to_owned();
            unavailable.reason = format!(
                "the registry answered {} requests, and there is more than could be read in time; the lookup goes on, try again",
                counts.answers
            );
        } else if counts.total() == 0 && self.gathering.states().iter().any(answered) {
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

    fn gather(
        &self,
        basis: Arc<Basis>,
        key: Key,
        client: Client,
    ) -> impl Future<Output = Landed<Arc<Known>>> + Send + 'static {
        let (clock, metrics) = (self.clock.clone(), self.metrics.clone());
        let (store, gatherings, limit) = (self.known.clone(), self.gatherings.clone(), self.limits.lookup);
        let seen = self.seen.clone();
        async move {
            // The semaphore is never closed; if it were, going on without a permit would only cost memory.
            let permit = gatherings.acquire_owned().await.ok();
            let place = (key.repository.clone(), key.digest.clone());
            // A digest that was never resolved is fetched once: that it is there, and that the registry does not lie about
            // it, is better said here than by the kubelet.
            let image = async {
                if seen.get(&place).is_none() {
                    client.manifest(&place.0, &place.1).await?;
                    seen.put(place.clone(), (), 0);
                }
                Ok(())
            };
            let both = async { futures::try_join!(image, client.evidence(&key.repository, &key.digest)) };
            let evidence = match within(limit, both).await {
                Ok(((), evidence)) => evidence,
                Err(unavailable) => return counted(Err(unavailable), &client, &metrics),
            };
            let now = clock();
            // Signatures are checked off the threads that answer: one certificate chain is a millisecond.
            let verified = tokio::task::spawn_blocking(move || {
                let proofs = basis.verifier.verify(&evidence, now);
                drop(permit);
                proofs
            });
            let answer = match verified.await {
                Ok(proofs) => {
                    let known = Arc::new(Known { fetched: now, proofs });
                    if is_durable(&known.proofs) {
                        store.put(key, known.clone(), weight(&known.proofs));
                    }
                    Ok(known)
                }
                Err(_) => Err(Unavailable {
                    code: "internal-error".to_owned(),
                    reason: "the verification ended in an internal error".to_owned(),
                }),
            };
            counted(answer, &client, &metrics)
        }
    }
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
