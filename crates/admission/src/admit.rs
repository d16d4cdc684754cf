//! Whether an image may run, and whether an object may be stored.
//!
//! [`Admission::may_run`] is the function behind every answer: it is given an image as an object names it and says
//! pass, fail or undecided, with reasons. [`Admission::validate`] asks it for every image that a request adds, and
//! [`Admission::mutate`] (in `pin`) pins tags before that. Nothing is trusted that the object says about itself: no
//! annotation, no label, no digest that another webhook wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use proofmark_policy::{Concern, Decision, DecisionReason, Mode, Outcome, Question, RequestContext, Unavailable, User};
use proofmark_types::{Digest, ImageRef, Repository, UnixTime};
use serde_json::Value;
use tokio::time::Instant;

use crate::basis::{Basis, Keeper, Sources};
use crate::cluster::denied::Denied;
use crate::cluster::policies::PolicyObjects;
use crate::config::{Clock, Config};
use crate::denial;
use crate::evidence::{Deadline, Known, Lookups, was_held};
use crate::exceptions::queue::{Queue, Waiting};
use crate::exceptions::{self, Exception, Watched};
use crate::images::{Found, Kinds, operation_runs, sub_resource_has_images};
use crate::kept;
use crate::metrics::Metrics;
use crate::pull::{Keyring, PullSecrets};
use crate::review::{Answer, Operation, Request};
use crate::server::StartError;
use crate::text::{one_line, shortened};

pub(crate) mod object;
mod pin;
mod warm;

pub use warm::{MAX_WARMED, Warmed};

/// Images of one request that are looked at side by side: registries answer a handful of connections well.
const IMAGES_AT_ONCE: usize = 16;

/// The longest image string quoted back.
const MAX_QUOTED_IMAGE: usize = 300;

/// Decides reviews. Holds what was looked up; shared by all requests of a server.
pub struct Admission {
    pub(crate) kinds: Kinds,
    pub(crate) keeper: Keeper,
    pub(crate) lookups: Arc<Lookups>,
    pub(crate) metrics: Arc<Metrics>,
    pull: Option<PullSecrets>,
    denied: Option<Denied>,
    exceptions: Watched,
    queue: Option<Queue>,
    namespace_modes: Vec<(String, Mode)>,
    clock: Clock,
}

/// What [`Admission::may_run`] found out about one image.
pub(crate) struct Verdict {
    /// The image as written.
    pub(crate) image: String,
    /// The same, read; `None` when it is no reference.
    pub(crate) reference: Option<ImageRef>,
    /// What it stands for, where that was needed.
    pub(crate) digest: Option<Digest>,
    /// What is known about the digest, where that was needed and could be found out.
    pub(crate) known: Option<Arc<Known>>,
    /// Why something could not be found out.
    pub(crate) unavailable: Option<Unavailable>,
    /// Where the proofs are from: `held`, `restored`, `fetched`, `joined`, `failed`, or `none` when nothing needed them.
    pub(crate) evidence: &'static str,
    pub(crate) decision: Decision,
    /// By which exception it runs although policies said no.
    pub(crate) exception: Option<Arc<Exception>>,
    /// Registry requests made for it.
    pub(crate) requests: u64,
    pub(crate) took: Duration,
}

impl Admission {
    /// Reads and compiles the policies and the trust root that `config` names, but for those of a cluster, which a
    /// [`crate::Server`] follows, and opens where evidence is kept. Blocking, and done once.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        Self::with_objects(config, None)
    }

    /// The same with the policies of a cluster that are followed.
    pub(crate) fn with_objects(config: &Config, objects: Option<Arc<PolicyObjects>>) -> Result<Self, StartError> {
        let keeper = Keeper::open(Sources {
            policies: config.policies.clone(),
            cluster: objects,
            no_match: config.no_match,
            trust_root: config.trust_root.clone(),
            open_keys: config.open_keys.clone(),
            keys: config.limits.keys,
            keys_retry: config.limits.keys_retry,
        })?;
        let metrics = Arc::new(Metrics::new(config.peer_names));
        let keeping = config.keeping.as_ref();
        let kept = keeping.map(|keeping| kept::Store::open(keeping, config.limits.evidence_held, metrics.clone()));
        let lookups = Lookups::new(
            &config.client,
            config.clock.clone(),
            config.limits,
            metrics.clone(),
            kept.transpose()?,
        );
        Ok(Self {
            kinds: config.kinds.clone(),
            keeper,
            lookups: Arc::new(lookups),
            denied: config
                .events
                .clone()
                .map(|cluster| Denied::new(cluster, metrics.clone())),
            pull: config.pull_secrets.clone().map(|cluster| {
                let (client, clock) = (config.client.clone(), config.clock.clone());
                PullSecrets::new(cluster, client, clock, config.limits, metrics.clone())
            }),
            metrics,
            exceptions: Watched::new(config.exceptions.clone()),
            queue: config.queue.clone().map(start_queue).transpose()?,
            namespace_modes: config.namespace_modes.clone(),
            clock: config.clock.clone(),
        })
    }

    /// Answers `/validate`: may this object be stored?
    ///
    /// 1. A request that makes nothing run passes: delete, connect, and sub-resources other than those that can add
    ///    images (a scale-down must never be in the way of an incident).
    /// 2. A kind without known places for images passes, and the answer says so.
    /// 3. The images are those of the object as it will be stored. An object whose images cannot be told is denied.
    /// 4. An update passes if it adds no image, compared with the stored object and with nothing that the object
    ///    says: old workloads stay operable when policies change.
    /// 5. Every distinct image that is added is decided, side by side, against one generation of policies; then the
    ///    policies over whole objects, once, against the same. Then it is seen how strictly the namespace is held, and
    ///    whether an exception names the digest.
    /// 6. The object is stored only if every image passes. Time that runs out, a registry that is down and an
    ///    internal error are not passes.
    pub async fn validate(&self, request: &Request, deadline: Deadline) -> Answer {
        let object = match self.object_with_images(request) {
            Ok(object) => object,
            Err(answer) => return answer,
        };
        // 3. and 4.
        let added = match self.added_images(request) {
            Ok(added) if added.is_empty() => return Answer::allow().noted("images", "none added"),
            Ok(added) => added,
            Err(answer) => return answer,
        };
        // 5.
        let basis = self.keeper.current();
        if basis.closed {
            return denial::not_known_yet(request);
        }
        let attributes = request.attributes();
        let context = context(request, &attributes);
        // Found out once, whatever the number of images: expressions may be dear.
        let objects = basis.policies.object_concern(&context);
        let context = RequestContext {
            objects: Some(&objects),
            ..context
        };
        let distinct: Vec<String> = {
            let mut images: Vec<String> = added.iter().map(|found| found.image.to_owned()).collect();
            images.sort_unstable();
            images.dedup();
            images
        };
        let keyring = self.keyring(request, object, deadline).await;
        let mut verdicts: Vec<Verdict> = stream::iter(distinct)
            .map(|image| {
                let (basis, context, keyring) = (&basis, &context, &keyring);
                async move { self.may_run_with(keyring, basis, &image, context, deadline).await }
            })
            .buffered(IMAGES_AT_ONCE)
            .collect()
            .await;
        verdicts.extend(
            self.decide_object(&basis, request, &attributes, &objects, (&verdicts, &keyring), deadline)
                .await,
        );
        for verdict in &mut verdicts {
            self.ease(request, verdict);
            self.record(request, &basis, verdict);
        }
        self.metrics
            .review_requests(verdicts.iter().map(|verdict| verdict.requests).sum());
        // 6.
        let answer = denial::answer(request, &verdicts);
        if let Some(denied) = &self.denied {
            denied.say(request, &answer, (self.clock)());
        }
        answer
    }

    /// Decides with each pull secret that has something for the image's repository, and then with our own credentials,
    /// until one is not turned away. What one finds is never mixed with what another does.
    async fn may_run_with(
        &self,
        keyring: &Keyring,
        basis: &Arc<Basis>,
        image: &str,
        context: &RequestContext<'_>,
        deadline: Deadline,
    ) -> Verdict {
        let mut refused: Option<Verdict> = None;
        if let Ok(reference) = ImageRef::parse(image) {
            for lookups in self.lookups_with(keyring, reference.repository()).await {
                let verdict = self.may_run(&lookups, basis, image, context, deadline).await;
                if !verdict.unavailable.as_ref().is_some_and(turned_away) {
                    return verdict;
                }
                refused.get_or_insert(verdict);
            }
        }
        let own = self.may_run(&self.lookups, basis, image, context, deadline).await;
        if !own.unavailable.as_ref().is_some_and(turned_away) {
            return own;
        }
        let mut verdict = refused.unwrap_or(own);
        if let Some(trouble) = keyring.trouble() {
            verdict.decision.warnings.push(format!(
                "{}: not every pull secret could be used: {trouble}",
                verdict.image
            ));
        }
        verdict
    }

    /// What is looked up with each pull secret that has something for the repository.
    pub(super) async fn lookups_with(&self, keyring: &Keyring, repository: &Repository) -> Vec<Arc<Lookups>> {
        match &self.pull {
            Some(pull) => pull.lookups(keyring, repository).await,
            None => Vec::new(),
        }
    }

    /// The pull secrets of the object's Pods, if they are to be used and something may be looked up.
    async fn keyring(&self, request: &Request, object: &Value, deadline: Deadline) -> Keyring {
        let Some(pull) = &self.pull else {
            return Keyring::default();
        };
        let Some(namespace) = &request.namespace else {
            return Keyring::default();
        };
        let spec = self.kinds.pod_spec(&request.kind.group, &request.kind.kind, object);
        // A custom resource has its images run by somebody; the namespace's default account is the best guess.
        pull.keyring(namespace, spec.unwrap_or(&Value::Null), deadline).await
    }

    /// Decides whether one image may run. **This is the function that says so**; everything else in this crate
    /// brings it questions or carries its answers.
    ///
    /// 1. The image is read as a reference by Docker's rules. What cannot be read cannot be matched against a policy:
    ///    with policies in force it is refused.
    /// 2. The policies say what they need to know about it. When none concerns it, nothing is looked up.
    /// 3. A tag is resolved, once; from here on there is only the digest (CVE-2022-47633: who resolves twice can be
    ///    given two answers).
    /// 4. What is proven about the digest is taken from what is held, or gathered from the registry and verified, for
    ///    this repository, digest and generation of trust anchors. Proofs are held, decisions never (GHSA-2r43-6962-xcw5,
    ///    kyverno#17173).
    /// 5. The policies decide over the proofs, or over the reason why there are none; each says for itself what an
    ///    unreachable registry means (`onUnreachable`).
    /// 6. A refusal over proofs that were held is decided once more over fresh ones: signatures arrive after images.
    pub(crate) async fn may_run(
        &self,
        lookups: &Lookups,
        basis: &Arc<Basis>,
        image: &str,
        context: &RequestContext<'_>,
        deadline: Deadline,
    ) -> Verdict {
        let started = Instant::now();
        // 1.
        let reference = match ImageRef::parse(image) {
            Ok(reference) => reference,
            Err(error) => return unreadable(basis, image, &error, started),
        };
        // 2.
        let concern = basis.policies.concerns(&reference, context);
        let mut verdict = Verdict {
            image: quoted(image),
            reference: None,
            digest: None,
            known: None,
            unavailable: None,
            evidence: "none",
            decision: nothing_decided(),
            exception: None,
            requests: 0,
            took: Duration::ZERO,
        };
        // 3.
        if concern.needs_digest || concern.needs_evidence {
            let (resolved, requests) = lookups.resolve(&reference, deadline).await;
            verdict.requests += requests;
            match resolved {
                Ok(digest) => verdict.digest = Some(digest),
                Err(error) => verdict.unavailable = Some(error),
            }
        }
        // 4. to 6.
        for again in [false, true] {
            let mut held = None;
            if let Some(digest) = verdict.digest.as_ref().filter(|_| concern.needs_evidence) {
                let lookup = lookups
                    .proofs(basis, reference.repository(), digest, again, deadline)
                    .await;
                verdict.requests += lookup.requests;
                if again && lookup.known.is_err() {
                    // What was known a moment ago and did not do is not better for the registry being down now.
                    break;
                }
                verdict.evidence = lookup.source;
                held = lookup.held;
                match lookup.known {
                    Ok(known) => verdict.known = Some(known),
                    Err(error) => (verdict.known, verdict.unavailable) = (None, Some(error)),
                }
            }
            let elsewhere = self.elsewhere(basis, &concern, &mut verdict, again, deadline).await;
            let elsewhere: Vec<_> = elsewhere
                .iter()
                .map(|known| known.as_ref().map(|known| &known.proofs))
                .collect();
            let unavailable = verdict.unavailable.clone().unwrap_or_else(not_needed);
            let question = Question {
                image: &reference,
                digest: verdict.digest.as_ref(),
                proofs: verdict.known.as_ref().map(|known| &known.proofs).ok_or(&unavailable),
                // A reference is resolved to what it names, never through an index to a child of it.
                index_proofs: None,
                elsewhere: &elsewhere,
                held: held.as_ref().map(|known| &known.proofs),
                context,
                now: (self.clock)(),
            };
            verdict.decision = ask(basis, &question);
            if verdict.decision.reasons.is_empty() || !was_held(verdict.evidence) {
                break;
            }
        }
        verdict.reference = Some(reference);
        verdict.took = started.elapsed();
        verdict
    }

    /// The kinds that have images: those configured, and those that policies name.
    fn kinds(&self) -> Kinds {
        self.kinds.with_places(&self.keeper.current().policies.image_places())
    }

    /// What lies in the other repositories that policies name, about the digest.
    async fn elsewhere(
        &self,
        basis: &Arc<Basis>,
        concern: &Concern,
        verdict: &mut Verdict,
        again: bool,
        deadline: Deadline,
    ) -> Vec<Result<Arc<Known>, Unavailable>> {
        let mut found = Vec::new();
        let Some(digest) = verdict.digest.clone().filter(|_| concern.needs_evidence) else {
            return found;
        };
        for source in &concern.sources {
            let lookup = self.lookups.proofs(basis, source, &digest, again, deadline).await;
            verdict.requests += lookup.requests;
            found.push(lookup.known);
        }
        found
    }

    /// What the operator says beside the policies: how strictly a namespace is held, and exceptions. What is denied after
    /// that waits for approval.
    fn ease(&self, request: &Request, verdict: &mut Verdict) {
        let namespace = request.namespace.as_deref();
        if let Some(mode) = self.mode_of(namespace) {
            exceptions::with_mode(&mut verdict.decision, mode);
        }
        if verdict.decision.is_pass() {
            return;
        }
        let written = verdict.reference.as_ref().and_then(|reference| reference.digest());
        let Some(digest) = verdict.digest.clone().or_else(|| written.cloned()) else {
            return;
        };
        let (now, known) = ((self.clock)(), self.exceptions.current());
        if let Some(exception) = known.find(&digest, namespace, &verdict.decision, now) {
            exceptions::excuse(&mut verdict.decision, &exception, &verdict.image);
            self.metrics.exception_used(&exception.name, known.exceptions.len());
            tracing::warn!(
                exception = exception.name, owner = exception.owner, reason = exception.reason,
                expires = %exception.expires, image.digest = %digest, object = request.subject(),
                "an image runs by an exception"
            );
            verdict.exception = Some(exception);
        } else if let Some(queue) = self.queue.as_ref().filter(|_| !request.dry_run) {
            self.metrics.queued(queue.offer(waiting(request, verdict, digest, now)));
        }
    }

    pub(crate) fn mode_of(&self, namespace: Option<&str>) -> Option<Mode> {
        let namespace = namespace?;
        let mut modes = self.namespace_modes.iter();
        modes
            .find(|(pattern, _)| exceptions::matches(pattern, namespace))
            .map(|(_, mode)| *mode)
    }

    /// Looks at the folder of exceptions again, and counts them. Blocking.
    pub(crate) fn look_at_exceptions(&self) {
        self.exceptions.look();
        let (current, now) = (self.exceptions.current(), (self.clock)());
        let in_force = current.exceptions.iter().filter(|exception| exception.is_in_force(now));
        let in_force = in_force.count();
        self.metrics.exceptions("in-force", in_force);
        self.metrics.exceptions("expired", current.exceptions.len() - in_force);
        self.metrics.exceptions("refused", current.refused.len());
    }

    /// Steps 1 and 2: the object, if the request can make something of it run.
    fn object_with_images<'r>(&self, request: &'r Request) -> Result<&'r Value, Answer> {
        if !operation_runs(request.operation) || !sub_resource_has_images(request.sub_resource.as_deref()) {
            return Err(Answer::allow().noted("images", "nothing runs because of this request"));
        }
        let (group, kind) = (&request.kind.group, &request.kind.kind);
        if !self.kinds().knows(group, kind) {
            let note = format!("no places of images are known for {kind} of \"{group}\"; nothing was checked");
            return Err(Answer::allow().noted("images", note));
        }
        // Parsing saw to it that a create and an update have an object.
        request
            .object
            .as_ref()
            .ok_or_else(|| Answer::deny(400, "proofmark: the request has no object [review-no-object]"))
    }

    /// The images that the request adds.
    fn added_images<'r>(&self, request: &'r Request) -> Result<Vec<Found<'r>>, Answer> {
        self.kinds().added(request).map_err(|error| {
            Answer::deny(
                403,
                format!(
                    "proofmark: {} may not be stored: {error} [{}]",
                    request.subject(),
                    error.code()
                ),
            )
        })
    }

    /// One line of JSON for every decision, and the counters.
    fn record(&self, request: &Request, basis: &Basis, verdict: &Verdict) {
        let decision = &verdict.decision;
        self.metrics
            .decision(&decision.policies, basis.number, outcome_name(decision.outcome));
        if !tracing::enabled!(target: "proofmark::decision", tracing::Level::INFO) {
            return;
        }
        let line = serde_json::json!({
            "decision": decision.outcome,
            "image": verdict.image,
            "image.digest": verdict.digest.as_ref().map(ToString::to_string),
            "object": request.subject(),
            "operation": request.operation.as_str(),
            "sub_resource": request.sub_resource,
            "user": shortened(&request.user.username, MAX_QUOTED_IMAGE),
            "uid": request.uid,
            "dry_run": request.dry_run,
            "policies": decision.policies,
            "exceptions": decision.exceptions,
            "accepted": decision.accepted,
            "exception": verdict.exception,
            "reasons": decision.reasons.iter().map(|reason| serde_json::json!({
                "policy": reason.policy, "rule": reason.rule, "mode": reason.mode, "code": reason.code,
                "message": shortened(&reason.message, 500),
            })).collect::<Vec<_>>(),
            "evidence": verdict.evidence,
            "registry_requests": verdict.requests,
            "generation": basis.generation.to_string(),
            "duration_ms": verdict.took.as_secs_f64() * 1000.0,
        });
        tracing::info!(target: "proofmark::decision", "{line}");
    }
}

fn start_queue(folder: PathBuf) -> Result<Queue, StartError> {
    Queue::start(folder.clone()).map_err(|source| StartError::Queue { folder, source })
}

/// A denied image, for the queue.
fn waiting(request: &Request, verdict: &Verdict, digest: Digest, now: UnixTime) -> Waiting {
    let words = |word: fn(&DecisionReason) -> &str| {
        let mut words: Vec<String> = verdict
            .decision
            .denials()
            .map(|reason| word(reason).to_owned())
            .collect();
        words.sort_unstable();
        words.dedup();
        words
    };
    Waiting {
        id: Waiting::name(&digest, request.namespace.as_deref()),
        image: verdict.image.clone(),
        digest,
        namespace: request.namespace.clone(),
        object: request.subject(),
        requested_by: request.user.username.clone(),
        policies: words(|reason| &reason.policy),
        codes: words(|reason| &reason.code),
        first: now,
        last: now,
        times: 1,
    }
}

/// The words of metrics and logs.
pub(crate) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Undecided => "undecided",
    }
}

/// Who knows all images of the object asks the policies over objects once; for whoever does not, they are asked here.
fn ask(basis: &Basis, question: &Question<'_>) -> Decision {
    match question.context.objects {
        Some(_) => basis.policies.decide_image(question),
        None => basis.policies.decide(question),
    }
}

/// `attributes` are those of the request ([`Request::attributes`]).
fn context<'r>(request: &'r Request, attributes: &'r Value) -> RequestContext<'r> {
    RequestContext {
        namespace: request.namespace.as_deref(),
        kind: Some(&request.kind.kind),
        name: Some(request.name.as_str()).filter(|name| !name.is_empty()),
        operation: Some(match request.operation {
            Operation::Create => proofmark_policy::Operation::Create,
            Operation::Update => proofmark_policy::Operation::Update,
            Operation::Delete => proofmark_policy::Operation::Delete,
            Operation::Connect => proofmark_policy::Operation::Connect,
        }),
        object: request.object.as_ref(),
        old_object: request.old_object.as_ref(),
        // Not in the request (recorded of kube-apiserver 1.36): rules by labels of namespaces hold everywhere.
        namespace_labels: None,
        user: Some(User {
            name: &request.user.username,
            groups: &request.user.groups,
        }),
        request: Some(attributes),
        objects: None,
    }
}

/// The verdict over a text that is no reference. The kubelet cannot pull it either, so refusing it costs nothing;
/// letting it pass would rest on our parser and the runtime's being the same. Where nothing is enforced, it is a warning.
fn unreadable(basis: &Basis, image: &str, error: &proofmark_types::ReferenceError, started: Instant) -> Verdict {
    let mut decision = nothing_decided();
    if !basis.enforces {
        decision.outcome = Outcome::Pass;
        decision
            .warnings
            .push(format!("{image} is not an image reference: {error}"));
    } else {
        decision.outcome = Outcome::Fail;
        decision.reasons.push(DecisionReason {
            policy: "all".to_owned(),
            rule: "reference".to_owned(),
            mode: Mode::Enforce,
            code: "invalid-reference".to_owned(),
            message: format!("not an image reference: {}", crate::basis::with_causes(error)),
            hint: "correct the image of the container".to_owned(),
            undecided: false,
        });
    }
    Verdict {
        image: quoted(image),
        reference: None,
        digest: None,
        known: None,
        unavailable: None,
        evidence: "none",
        decision,
        exception: None,
        requests: 0,
        took: started.elapsed(),
    }
}

/// Whether other credentials may fare better: registries also hide what they do not show.
pub(super) fn turned_away(unavailable: &Unavailable) -> bool {
    ["unauthorized", "denied", "not-found", "credentials", "realm-refused"].contains(&unavailable.code.as_str())
}

/// Denies until something decided.
fn nothing_decided() -> Decision {
    Decision {
        outcome: Outcome::Undecided,
        reasons: Vec::new(),
        warnings: Vec::new(),
        audit: BTreeMap::new(),
        accepted: Vec::new(),
        policies: Vec::new(),
        exceptions: Vec::new(),
    }
}

/// An image string for texts: the API server stores any, with line breaks that would forge lines of a denial.
fn quoted(image: &str) -> String {
    shortened(&one_line(image), MAX_QUOTED_IMAGE)
}

fn not_needed() -> Unavailable {
    Unavailable {
        code: "not-looked-up".to_owned(),
        reason: "no policy needs evidence about this image, so none was fetched".to_owned(),
    }
}
