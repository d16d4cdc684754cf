//! Finding, in a registry, the manifests that hang on an image and on each other.

use std::collections::{BTreeSet, VecDeque};

use futures::StreamExt as _;
use futures::stream;
use proofmark_evidence::Incomplete;
use proofmark_types::{Digest, Repository};

use super::Client;
use super::evidence::gap;
use super::manifests::Resolved;
use crate::RegistryError;
use crate::attachment::{Attachment, Attachments, Place};
use crate::limits::{EVIDENCE_CONCURRENCY, MAX_REFERRER_DEPTH, MAX_REFERRERS_CONSIDERED};

impl Client {
    /// Everything that hangs on `digest`, and on that, where evidence for `repository` is kept: referrers by the API or
    /// the fallback tag, and the images of the `.sig`, `.att` and `.sbom` tags.
    ///
    /// Fails only if nothing could be asked at all; what could not be read is in [`Attachments::incomplete`].
    pub async fn attachments(&self, repository: &Repository, digest: &Digest) -> Result<Attachments, RegistryError> {
        let home = self.evidence_home(repository);
        let mut all = Attachments::default();
        let mut seen = BTreeSet::from([digest.clone()]);
        let mut failure = None;
        let mut answered = false;
        // An attached bill may be signed by its own tag (`cosign sign --attachment sbom`), so it has tags too.
        let mut waiting = VecDeque::from([(digest.clone(), 0, true)]);
        while let Some((subject, depth, has_tags)) = waiting.pop_front() {
            let mut found = Vec::new();
            if has_tags {
                for place in Place::TAGS {
                    match self.attached_by_tag(home, &subject, place).await {
                        Ok(attachment) => {
                            answered = true;
                            found.extend(attachment);
                        }
                        Err(error) => note(&mut all, &mut failure, &subject, place, error),
                    }
                }
            }
            match self.attached_by_reference(home, &subject, &mut all).await {
                Ok(attachments) => {
                    answered = true;
                    found.extend(attachments);
                }
                Err(error) => note(&mut all, &mut failure, &subject, Place::Referrer, error),
            }
            for attachment in found {
                let digest = attachment.resolved.descriptor.digest.clone();
                if attachment.place == Place::Referrer && !seen.insert(digest.clone()) {
                    continue;
                }
                if seen.len() > MAX_REFERRERS_CONSIDERED || depth >= MAX_REFERRER_DEPTH {
                    all.incomplete.push(too_many(&subject));
                    return Ok(all);
                }
                waiting.push_back((digest, depth + 1, attachment.place == Place::Bill));
                all.found.push(attachment);
            }
        }
        match failure {
            Some(error) if !answered => Err(error),
            _ => Ok(all),
        }
    }

    async fn attached_by_tag(
        &self,
        home: &Repository,
        subject: &Digest,
        place: Place,
    ) -> Result<Option<Attachment>, RegistryError> {
        let Some(tag) = place.tag(subject) else { return Ok(None) };
        match self.tagged(home, &tag).await {
            Ok(resolved) => Ok(Some(attachment(subject, place, resolved))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn attached_by_reference(
        &self,
        home: &Repository,
        subject: &Digest,
        all: &mut Attachments,
    ) -> Result<Vec<Attachment>, RegistryError> {
        let listed = self.referrers(home, subject).await?;
        let place = format!("the referrers of {subject}");
        if let Some(error) = &listed.cut_short {
            all.incomplete.push(gap(place, error));
        }
        let mut candidates: Vec<Digest> = listed.descriptors.into_iter().map(|listed| listed.digest).collect();
        if candidates.len() > MAX_REFERRERS_CONSIDERED {
            all.incomplete.push(too_many(subject));
            candidates.truncate(MAX_REFERRERS_CONSIDERED);
        }
        let mut opened = stream::iter(candidates)
            .map(async |digest: Digest| {
                let resolved = self.manifest(home, &digest).await;
                (digest, resolved)
            })
            .buffered(EVIDENCE_CONCURRENCY);
        let mut found = Vec::new();
        while let Some((digest, resolved)) = opened.next().await {
            match resolved {
                // A list may name what is about something else; only the manifest itself says what it is about.
                Ok(resolved) if refers(&resolved, subject) => {
                    found.push(attachment(subject, Place::Referrer, resolved));
                }
                Ok(_) => {}
                Err(error) if error.is_not_found() => all.missing.push(digest),
                Err(error) => all.incomplete.push(gap(format!("referrer {digest}"), &error)),
            }
        }
        Ok(found)
    }
}

/// Whether a manifest says that it is about `subject`.
pub(crate) fn refers(resolved: &Resolved, subject: &Digest) -> bool {
    resolved
        .parse()
        .is_ok_and(|manifest| manifest.subject().is_some_and(|named| named.digest == *subject))
}

pub(crate) fn attachment(subject: &Digest, place: Place, resolved: Resolved) -> Attachment {
    Attachment {
        subject: subject.clone(),
        place,
        resolved,
    }
}

fn too_many(subject: &Digest) -> Incomplete {
    Incomplete {
        place: format!("what hangs on {subject}"),
        code: "too-large",
        reason: format!(
            "more than {MAX_REFERRERS_CONSIDERED} manifests hang on the image, or they are nested deeper than \
             {MAX_REFERRER_DEPTH}"
        ),
    }
}

fn note(
    all: &mut Attachments,
    failure: &mut Option<RegistryError>,
    subject: &Digest,
    place: Place,
    error: RegistryError,
) {
    let place = match place.tag(subject) {
        Some(tag) => format!("the tag {tag}"),
        None => format!("the referrers of {subject}"),
    };
    all.incomplete.push(gap(place, &error));
    failure.get_or_insert(error);
}
