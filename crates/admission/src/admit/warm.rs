//! Looking images up ahead of the request that runs them: after a release, before a rollout, for what runs already.

use std::collections::BTreeSet;

use futures::StreamExt;
use futures::stream;
use proofmark_policy::RequestContext;
use proofmark_types::{Digest, ImageRef};
use serde::Serialize;

use super::{Admission, IMAGES_AT_ONCE, quoted};
use crate::basis::with_causes;
use crate::evidence::Deadline;

/// Images of one request to warm; a cluster of any size is warmed in several.
pub const MAX_WARMED: usize = 1000;

/// What became of an image that was looked up ahead. It says nothing about whether the image may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warmed {
    /// The image, as it was named.
    pub image: String,
    /// What it stands for.
    pub digest: Option<Digest>,
    /// `held`, `restored`, `fetched`, `joined`; `not-needed` where no policy wants evidence; `failed`.
    pub evidence: &'static str,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Admission {
    /// Has the evidence of these images looked up and held, as a review of them would. At most [`MAX_WARMED`] are; the
    /// rest is left out. Nothing is decided.
    pub async fn warm(&self, images: &[String], deadline: Deadline) -> Vec<Warmed> {
        let distinct: BTreeSet<String> = images.iter().take(MAX_WARMED).cloned().collect();
        let warmed = stream::iter(distinct).map(|image| async move { self.warm_one(&image, deadline).await });
        warmed.buffered(IMAGES_AT_ONCE).collect().await
    }

    async fn warm_one(&self, image: &str, deadline: Deadline) -> Warmed {
        let mut warmed = Warmed {
            image: quoted(image),
            digest: None,
            evidence: "failed",
            reason: None,
        };
        let reference = match ImageRef::parse(image) {
            Ok(reference) => reference,
            Err(error) => {
                warmed.reason = Some(with_causes(&error));
                return warmed;
            }
        };
        let basis = self.keeper.current();
        if !basis
            .policies
            .concerns(&reference, &RequestContext::default())
            .needs_evidence
        {
            warmed.evidence = "not-needed";
            return warmed;
        }
        let digest = match self.lookups.resolve(&reference, deadline).await {
            (Ok(digest), _) => digest,
            (Err(unavailable), _) => {
                warmed.reason = Some(format!("{} [{}]", unavailable.reason, unavailable.code));
                return warmed;
            }
        };
        let lookup = self
            .lookups
            .proofs(&basis, reference.repository(), &digest, false, deadline);
        let lookup = lookup.await;
        warmed.digest = Some(digest);
        warmed.evidence = lookup.source;
        if let Err(unavailable) = lookup.known {
            warmed.reason = Some(format!("{} [{}]", unavailable.reason, unavailable.code));
        }
        warmed
    }
}
