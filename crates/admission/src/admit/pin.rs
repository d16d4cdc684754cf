//! `/mutate`: tags of Pods become digests, and nothing else is touched.

use std::collections::BTreeMap;

use proofmark_policy::{Question, RequestContext, Unavailable};
use proofmark_types::{Digest, ImageRef};

use super::{Admission, Verdict, context, turned_away};
use crate::basis::Basis;
use crate::denial;
use crate::evidence::Deadline;
use crate::exceptions;
use crate::pull::Keyring;
use crate::review::{Answer, PatchOperation, Request};

/// What became of one image.
enum Pinned {
    /// Nothing to do: no policy wants it pinned, it has a digest, or it is not a reference (which `/validate` judges).
    Untouched,
    /// The reference to put in its place.
    To(String),
    /// Its digest could not be found out, and what the policies say to that.
    Unresolved(Box<Verdict>),
}

impl Admission {
    /// Answers `/mutate`: which images are replaced?
    ///
    /// 1. Only Pods are changed. A Pod is what runs; changing a workload fights with whoever manages it (a Deployment
    ///    whose ReplicaSet differs from its template makes new ones for ever) and with immutable Job templates.
    /// 2. Only images that the request adds, that some policy wants pinned, and that have no digest.
    /// 3. The tag is kept beside the digest, for people. The registry is written out, so that a runtime that searches
    ///    several registries for short names runs what was verified.
    /// 4. A tag that cannot be resolved is a question to the policies: unless they all say that an unreachable
    ///    registry is no reason to refuse, the Pod is denied here, where it is known why.
    ///
    /// Nothing is written anywhere, so a dry run is answered like any other request.
    pub async fn mutate(&self, request: &Request, deadline: Deadline) -> Answer {
        // 1.
        if request.kind.kind != "Pod" || !request.kind.group.is_empty() {
            return Answer::allow();
        }
        let object = match self.object_with_images(request) {
            Ok(object) => object,
            Err(answer) => return answer,
        };
        let added = match self.added_images(request) {
            Ok(added) => added,
            Err(answer) => return answer,
        };
        // 2. and 3.
        let basis = self.keeper.current();
        if basis.closed && !added.is_empty() {
            return denial::not_known_yet(request);
        }
        let attributes = request.attributes();
        let context = context(request, &attributes);
        let mut outcomes: BTreeMap<&str, Pinned> = BTreeMap::new();
        let mut distinct: Vec<&str> = added.iter().map(|found| found.image).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let keyring = self.keyring(request, object, deadline).await;
        let pins = distinct
            .iter()
            .map(|image| self.pin(&keyring, &basis, image, &context, deadline));
        let pins = futures::future::join_all(pins);
        for (image, pinned) in distinct.iter().zip(pins.await) {
            outcomes.insert(image, pinned);
        }
        let mut answer = Answer::allow();
        for found in &added {
            if let Some(Pinned::To(value)) = outcomes.get(found.image) {
                answer.patch.push(PatchOperation::Replace {
                    path: found.pointer.clone(),
                    value: value.clone(),
                });
            }
        }
        // 4.
        let mut unresolved: Vec<Verdict> = outcomes
            .into_values()
            .filter_map(|pinned| match pinned {
                Pinned::Unresolved(verdict) => Some(*verdict),
                Pinned::Untouched | Pinned::To(_) => None,
            })
            .collect();
        if unresolved.is_empty() {
            return answer;
        }
        for verdict in &mut unresolved {
            if let Some(mode) = self.mode_of(request.namespace.as_deref()) {
                exceptions::with_mode(&mut verdict.decision, mode);
            }
            self.record(request, &basis, verdict);
        }
        let mut judged = denial::answer(request, &unresolved);
        if judged.allowed {
            judged.patch = answer.patch;
        }
        judged
    }

    async fn pin(
        &self,
        keyring: &Keyring,
        basis: &Basis,
        image: &str,
        context: &RequestContext<'_>,
        deadline: Deadline,
    ) -> Pinned {
        let Ok(reference) = ImageRef::parse(image) else {
            return Pinned::Untouched;
        };
        if reference.digest().is_some() || !basis.policies.concerns(&reference, context).pin {
            return Pinned::Untouched;
        }
        let started = tokio::time::Instant::now();
        let (resolved, requests) = self.resolve_with(keyring, &reference, deadline).await;
        let unavailable = match resolved {
            Ok(digest) => {
                let tagged = ImageRef::tagged(reference.repository().clone(), reference.tag_or_latest());
                return Pinned::To(tagged.with_digest(digest).to_string());
            }
            Err(unavailable) => unavailable,
        };
        let decision = basis.policies.decide(&Question {
            image: &reference,
            digest: None,
            proofs: Err(&unavailable),
            index_proofs: None,
            elsewhere: &[],
            held: None,
            context,
            now: (self.clock)(),
        });
        Pinned::Unresolved(Box::new(Verdict {
            image: super::quoted(image),
            reference: Some(reference),
            digest: None,
            known: None,
            unavailable: Some(unavailable),
            evidence: "failed",
            decision,
            exception: None,
            requests,
            took: started.elapsed(),
        }))
    }

    /// Asks with each pull secret that has something for the repository, then with our own credentials, until one is not
    /// turned away.
    async fn resolve_with(
        &self,
        keyring: &Keyring,
        reference: &ImageRef,
        deadline: Deadline,
    ) -> (Result<Digest, Unavailable>, u64) {
        let mut refused = None;
        for lookups in self.lookups_with(keyring, reference.repository()).await {
            match lookups.resolve(reference, deadline).await {
                (Err(error), requests) if turned_away(&error) => refused = refused.or(Some((Err(error), requests))),
                resolved => return resolved,
            }
        }
        match self.lookups.resolve(reference, deadline).await {
            (Err(error), requests) if turned_away(&error) => refused.unwrap_or((Err(error), requests)),
            resolved => resolved,
        }
    }
}
