//! Collecting everything that hangs on a digest, from all places where it is put, as one set.
//!
//! Requests: 1 for the list of referrers (2 where the registry has no referrers API), 2 for each referrer (its manifest,
//! its bundle), 1 for each of the two legacy tags and 1 for each layer found there. With the resolution of the tag that
//! is 2 + 2n for n bundles, and 2 for the legacy tags.
//!
//! What is there and cannot be read is an item; what could not be asked for is [`Incomplete`]; only if neither exists was
//! there nothing. The caps protect against a registry, or anyone who may push to it, making us work for ever
//! (CVE-2023-46737, CVE-2024-29902, CVE-2024-29903).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use proofmark_evidence::layout::{att_tag, is_bundle_media_type, is_evidence, is_evidence_layer, sig_tag};
use proofmark_evidence::legacy::read_layer;
use proofmark_evidence::{EvidenceSet, Incomplete, Item, ItemContent, MAX_EVIDENCE_BYTES, Origin};
use proofmark_oci::{Descriptor, ImageManifest, Manifest};
use proofmark_types::{Digest, Repository, Tag};

use super::Client;
use crate::RegistryError;
use crate::limits::{EVIDENCE_CONCURRENCY, MAX_EVIDENCE_LAYERS, MAX_EVIDENCE_TOTAL_BYTES, MAX_REFERRERS_CONSIDERED};

/// Items and gaps from one place.
#[derive(Default)]
struct Found {
    items: Vec<Item>,
    incomplete: Vec<Incomplete>,
}

impl Client {
    /// Everything that hangs on `digest`: referrers by the API or the fallback tag, and the layers of the `.sig` and
    /// `.att` tags. Looked for in the repository where evidence for `repository` is kept.
    ///
    /// Fails only if nothing could be asked at all: an unreachable registry, refused credentials.
    pub async fn evidence(&self, repository: &Repository, digest: &Digest) -> Result<EvidenceSet, RegistryError> {
        let home = self.evidence_home(repository);
        let bytes_left = AtomicU64::new(MAX_EVIDENCE_TOTAL_BYTES);
        let (sig, att) = (sig_tag(digest), att_tag(digest));
        let (referrers, signatures, attestations) = futures::join!(
            self.evidence_of_referrers(home, digest, &bytes_left),
            self.evidence_of_tag(home, &sig, &bytes_left, |tag, layer| Origin::SignatureTag {
                tag,
                layer
            }),
            self.evidence_of_tag(home, &att, &bytes_left, |tag, layer| Origin::AttestationTag {
                tag,
                layer
            }),
        );
        let mut set = EvidenceSet::new(digest.clone());
        let mut failure = None;
        let mut asked = false;
        let places = [
            (format!("the referrers of {digest}"), referrers),
            (format!("the tag {sig}"), signatures),
            (format!("the tag {att}"), attestations),
        ];
        for (place, found) in places {
            match found {
                Ok(found) => {
                    asked = true;
                    set.items.extend(found.items);
                    set.incomplete.extend(found.incomplete);
                }
                Err(error) => {
                    set.incomplete.push(gap(place, &error));
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(error) if !asked => Err(error),
            _ => Ok(set),
        }
    }

    async fn evidence_of_referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        bytes_left: &AtomicU64,
    ) -> Result<Found, RegistryError> {
        let listed = self.referrers(repository, digest).await?;
        let place = format!("the referrers of {digest}");
        let mut found = Found::default();
        if let Some(error) = &listed.cut_short {
            found.incomplete.push(gap(place.clone(), error));
        }
        let mut candidates = listed.descriptors;
        if candidates.len() > MAX_REFERRERS_CONSIDERED {
            found.incomplete.push(Incomplete {
                place,
                code: "too-large",
                reason: format!(
                    "{} referrers are listed, {MAX_REFERRERS_CONSIDERED} were looked at",
                    candidates.len()
                ),
            });
            // Nothing is left out for its type unless something must be; then what says it is a bundle goes first.
            candidates.sort_by_key(|descriptor| {
                let says_bundle = descriptor.artifact_type.as_ref().is_some_and(is_bundle_media_type);
                !says_bundle
            });
            candidates.truncate(MAX_REFERRERS_CONSIDERED);
        }
        let mut opened = stream::iter(candidates)
            .map(|candidate| self.evidence_of_referrer(repository, candidate, bytes_left))
            .buffered(EVIDENCE_CONCURRENCY);
        while let Some(each) = opened.next().await {
            found.items.extend(each.items);
            found.incomplete.extend(each.incomplete);
        }
        Ok(found)
    }

    /// One referrer: its manifest decides what it is, not the list that named it.
    async fn evidence_of_referrer(&self, repository: &Repository, listed: Descriptor, bytes_left: &AtomicU64) -> Found {
        let digest = listed.digest;
        let origin = Origin::Referrer {
            manifest: digest.clone(),
        };
        let place = origin.to_string();
        let resolved = match self.manifest(repository, &digest).await {
            Ok(resolved) => resolved,
            Err(error) => return unread(origin, place, &error),
        };
        match resolved.parse() {
            Ok(Manifest::Image(image)) if is_evidence(&image) => {
                let origins = vec![origin; image.layers.len()];
                self.evidence_of_layers(repository, &image, origins, bytes_left).await
            }
            // An SBOM pushed bare, a chart, an index of something: no evidence, and no failure either.
            Ok(_) => Found::default(),
            Err(error) => unread(origin, place, &error),
        }
    }

    async fn evidence_of_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        bytes_left: &AtomicU64,
        origin: impl Fn(Tag, Digest) -> Origin,
    ) -> Result<Found, RegistryError> {
        let resolved = match self.tagged(repository, tag).await {
            Ok(resolved) => resolved,
            Err(error) if error.is_not_found() => return Ok(Found::default()),
            Err(error) => return Err(error),
        };
        match resolved.parse() {
            Ok(Manifest::Image(image)) => {
                let origins = image
                    .layers
                    .iter()
                    .map(|layer| origin(tag.clone(), layer.digest.clone()));
                let origins = origins.collect();
                Ok(self.evidence_of_layers(repository, &image, origins, bytes_left).await)
            }
            Ok(Manifest::Index(_)) => {
                let error = RegistryError::Malformed {
                    what: format!("the tag {tag}"),
                    reason: "it is an index, expected an image manifest".to_owned(),
                };
                Ok(unread(
                    origin(tag.clone(), resolved.descriptor.digest),
                    tag.to_string(),
                    &error,
                ))
            }
            Err(error) => Ok(unread(
                origin(tag.clone(), resolved.descriptor.digest),
                tag.to_string(),
                &error,
            )),
        }
    }

    /// The layers of one evidence manifest that are evidence, read.
    async fn evidence_of_layers(
        &self,
        repository: &Repository,
        image: &ImageManifest,
        origins: Vec<Origin>,
        bytes_left: &AtomicU64,
    ) -> Found {
        let mut found = Found::default();
        // Owned, so that the future is `Send` for every lifetime and can be spawned.
        let mut wanted: Vec<(Descriptor, Origin)> = image.layers.iter().cloned().zip(origins).collect();
        wanted.retain(|(layer, _)| is_evidence_layer(layer));
        if wanted.len() > MAX_EVIDENCE_LAYERS {
            let place = wanted
                .first()
                .map_or_else(String::new, |(_, origin)| origin.to_string());
            found.incomplete.push(Incomplete {
                place,
                code: "too-large",
                reason: format!("it has {} layers, {MAX_EVIDENCE_LAYERS} were looked at", wanted.len()),
            });
            wanted.truncate(MAX_EVIDENCE_LAYERS);
        }
        let mut read = stream::iter(wanted)
            .map(async |(layer, origin)| {
                let blob = self.evidence_blob(repository, &layer, bytes_left).await;
                (layer, origin, blob)
            })
            .buffered(EVIDENCE_CONCURRENCY);
        while let Some((layer, origin, blob)) = read.next().await {
            match blob {
                Ok(blob) => found.items.push(Item {
                    origin,
                    content: read_layer(&layer, &blob),
                }),
                Err(error) => {
                    let place = origin.to_string();
                    let each = unread(origin, place, &error);
                    found.items.extend(each.items);
                    found.incomplete.extend(each.incomplete);
                }
            }
        }
        found
    }

    async fn evidence_blob(
        &self,
        repository: &Repository,
        layer: &Descriptor,
        bytes_left: &AtomicU64,
    ) -> Result<Bytes, RegistryError> {
        // Taken before anything is read, so that many at once cannot pass the limit together.
        let taken = bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(layer.size)
        });
        if taken.is_err() && layer.size <= MAX_EVIDENCE_BYTES {
            return Err(RegistryError::TooLarge {
                what: "the evidence of one image".to_owned(),
                limit: MAX_EVIDENCE_TOTAL_BYTES,
                unit: "bytes",
            });
        }
        self.blob(repository, layer, MAX_EVIDENCE_BYTES).await
    }
}

/// An error about one piece: either the piece is bad for certain, or it could not be had.
///
/// What the registry says it does not have, what hashes to something else and what is too large to be evidence is
/// rejected evidence: asking again gives the same. The rest is a gap. A cap reached is a gap as well, because what lies
/// behind it was never looked at.
fn unread(origin: Origin, place: String, error: &RegistryError) -> Found {
    let total_reached = matches!(error, RegistryError::TooLarge { limit, .. } if *limit == MAX_EVIDENCE_TOTAL_BYTES);
    let for_certain = match error {
        RegistryError::NotFound { .. }
        | RegistryError::DigestMismatch { .. }
        | RegistryError::SizeMismatch { .. }
        | RegistryError::Malformed { .. }
        | RegistryError::RedirectRefused { .. } => true,
        RegistryError::TooLarge { .. } => !total_reached,
        _ => false,
    };
    let mut found = Found::default();
    if for_certain {
        found.items.push(Item {
            origin,
            content: ItemContent::Unreadable {
                code: error.code(),
                reason: error.to_string(),
            },
        });
    } else {
        found.incomplete.push(gap(place, error));
    }
    found
}

pub(super) fn gap(place: String, error: &RegistryError) -> Incomplete {
    Incomplete {
        place,
        code: error.code(),
        reason: error.to_string(),
    }
}
