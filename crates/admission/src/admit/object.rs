//! Policies over whole objects: they look at all images together, so that everything about every image is gathered before
//! the first of them is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use proofmark_policy::{
    Decision, DecisionReason, ImageFacts, Mode, ObjectConcern, ObjectQuestion, Outcome, RequestContext, Unavailable,
};
use proofmark_types::{Digest, ImageRef, UnixTime};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{Admission, IMAGES_AT_ONCE, Verdict, context, turned_away};
use crate::basis::Basis;
use crate::evidence::{Deadline, Known, Lookups, was_held};
use crate::pull::Keyring;
use crate::review::Request;

/// What verdicts and logs call the object as a whole, in the place of an image.
pub(crate) const WHOLE: &str = "(all images together)";

/// What is known about one image, to be taken to another thread.
#[derive(Clone)]
struct Gathered {
    image: ImageRef,
    digest: Option<Digest>,
    known: Result<Arc<Known>, Unavailable>,
    data: Option<Arc<Value>>,
    held: bool,
    requests: u64,
}

impl Admission {
    /// Decides the policies over whole objects; nothing, if none concerns the request.
    ///
    /// 1. The policies say which images they ask about: those of the object and no others.
    /// 2. What was found out about them one by one is used; the rest (images that were there before) is looked up.
    /// 3. They are evaluated on a thread of their own, for no longer than the API server waits: expressions are bounded,
    ///    and what does not end in time is undecided.
    /// 4. A refusal over proofs that were held is decided once more over fresh ones.
    pub(super) async fn decide_object(
        &self,
        basis: &Arc<Basis>,
        request: &Request,
        attributes: &Value,
        concern: &ObjectConcern,
        (verdicts, keyring): (&[Verdict], &Keyring),
        deadline: Deadline,
    ) -> Option<Verdict> {
        let started = Instant::now();
        // 1.
        if concern.policies.is_empty() {
            return None;
        }
        let mut requests = 0;
        let mut decision = super::nothing_decided();
        for again in [false, true] {
            // 2.
            let gathered = self.gather(basis, concern, (verdicts, keyring), again, deadline).await;
            requests += gathered.iter().map(|image| image.requests).sum::<u64>();
            let held = gathered.iter().any(|image| image.held);
            if again && gathered.iter().any(|image| image.known.is_err()) {
                // What was known a moment ago and did not do is not better for the registry being down now.
                break;
            }
            // 3.
            let asked = Asked {
                basis: basis.clone(),
                request: request.clone(),
                attributes: attributes.clone(),
                gathered,
                now: (self.clock)(),
            };
            decision = asked.decide(concern, deadline).await;
            // 4.
            if decision.reasons.is_empty() || !held {
                break;
            }
        }
        Some(Verdict {
            image: WHOLE.to_owned(),
            reference: None,
            digest: None,
            known: None,
            unavailable: None,
            evidence: "none",
            decision,
            exception: None,
            requests,
            took: started.elapsed(),
        })
    }

    async fn gather(
        &self,
        basis: &Arc<Basis>,
        concern: &ObjectConcern,
        (verdicts, keyring): (&[Verdict], &Keyring),
        again: bool,
        deadline: Deadline,
    ) -> Vec<Gathered> {
        // What is no reference is left out here, and refused by the policy that meets it.
        let mut images: BTreeMap<String, ImageRef> = BTreeMap::new();
        for image in concern.images.iter().filter_map(|image| ImageRef::parse(image).ok()) {
            images.insert(image.to_string(), image);
        }
        stream::iter(images.into_values())
            .map(|image| async move {
                let seen = verdicts
                    .iter()
                    .find(|verdict| verdict.reference.as_ref() == Some(&image));
                // With the pull secrets first, as for each image alone; then with our own credentials.
                let mut all = self.lookups_with(keyring, image.repository()).await;
                all.push(self.lookups.clone());
                let mut found = match seen.filter(|_| !again).and_then(of_verdict) {
                    Some(found) => found,
                    None => look_up(&all, basis, image, again, deadline).await,
                };
                if let (true, Some(digest)) = (concern.needs_data, found.digest.clone()) {
                    for lookups in &all {
                        let (data, requests) = lookups.image_data(&found.image, &digest, deadline).await;
                        found.requests += requests;
                        found.data = data.ok();
                        if found.data.is_some() {
                            break;
                        }
                    }
                }
                found
            })
            .buffered(IMAGES_AT_ONCE)
            .collect()
            .await
    }
}

/// What one set of credentials finds out, and if it is turned away, the next; if all are, what the first was told.
async fn look_up(
    all: &[Arc<Lookups>],
    basis: &Arc<Basis>,
    image: ImageRef,
    again: bool,
    deadline: Deadline,
) -> Gathered {
    let mut refused = None;
    let mut requests = 0;
    for lookups in all {
        let mut found = look_up_with(lookups, basis, image.clone(), again, deadline).await;
        requests += found.requests;
        found.requests = requests;
        match &found.known {
            Err(unavailable) if turned_away(unavailable) => refused = refused.or(Some(found)),
            _ => return found,
        }
    }
    refused.unwrap_or_else(|| Gathered {
        image,
        digest: None,
        known: Err(super::not_needed()),
        data: None,
        held: false,
        requests,
    })
}

async fn look_up_with(
    lookups: &Lookups,
    basis: &Arc<Basis>,
    image: ImageRef,
    again: bool,
    deadline: Deadline,
) -> Gathered {
    let (resolved, mut requests) = lookups.resolve(&image, deadline).await;
    let (digest, known, held) = match resolved {
        Err(unavailable) => (None, Err(unavailable), false),
        Ok(digest) => {
            let lookup = lookups
                .proofs(basis, image.repository(), &digest, again, deadline)
                .await;
            requests += lookup.requests;
            (Some(digest), lookup.known, was_held(lookup.source))
        }
    };
    Gathered {
        image,
        digest,
        known,
        data: None,
        held,
        requests,
    }
}

/// What is known from deciding the image alone; nothing, if nothing was needed for that.
fn of_verdict(verdict: &Verdict) -> Option<Gathered> {
    let known = match (&verdict.known, &verdict.unavailable) {
        (Some(known), _) => Ok(known.clone()),
        (None, Some(unavailable)) => Err(unavailable.clone()),
        (None, None) => return None,
    };
    Some(Gathered {
        image: verdict.reference.clone()?,
        digest: verdict.digest.clone(),
        known,
        data: None,
        held: was_held(verdict.evidence),
        requests: 0,
    })
}

/// A question that owns everything that it is about.
struct Asked {
    basis: Arc<Basis>,
    request: Request,
    attributes: Value,
    gathered: Vec<Gathered>,
    now: UnixTime,
}

impl Asked {
    async fn decide(self, concern: &ObjectConcern, deadline: Deadline) -> Decision {
        let thread = tokio::task::spawn_blocking(move || self.answer());
        let (code, message) = match timeout_at(deadline.0, thread).await {
            Ok(Ok(decision)) => return decision,
            Ok(Err(_)) => ("internal-error", "the evaluation ended in an internal error"),
            Err(_) => (
                "deadline",
                "the policies could not be evaluated in the time that the API server gives",
            ),
        };
        let mut decision = super::nothing_decided();
        decision.outcome = Outcome::Undecided;
        decision.policies.clone_from(&concern.policies);
        decision.reasons.push(DecisionReason {
            policy: concern.policies.join(","),
            rule: "validations".to_owned(),
            mode: Mode::Enforce,
            code: code.to_owned(),
            message: message.to_owned(),
            hint: "try again; if it stays, simplify the policy's expressions".to_owned(),
            undecided: true,
        });
        decision
    }

    fn answer(&self) -> Decision {
        let facts: Vec<ImageFacts<'_>> = self
            .gathered
            .iter()
            .map(|image| ImageFacts {
                image: &image.image,
                digest: image.digest.as_ref(),
                proofs: match &image.known {
                    Ok(known) => Ok(&known.proofs),
                    Err(unavailable) => Err(unavailable),
                },
                data: image.data.as_deref(),
            })
            .collect();
        let context: RequestContext<'_> = context(&self.request, &self.attributes);
        self.basis.policies.decide_object(&ObjectQuestion {
            images: &facts,
            context: &context,
            now: self.now,
        })
    }
}
