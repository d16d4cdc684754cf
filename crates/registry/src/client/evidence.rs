//! Collecting everything that hangs on a digest, from all places where it is put, as one set.
//!
//! Requests: 1 for the list of referrers (2 where the registry has no referrers API), 2 for each referrer (its manifest,
//! its bundle), 1 for each of the two legacy tags and 1 for each layer found there. With the resolution of the tag that
//! is 2 + 2n for n bundles, and 2 for the legacy tags.
//!
//! [`Client::gather`] reads in order of promise, so that junk beside a signature costs nothing where one signature is all
//! that is asked for. The order believes the list about nothing but the order: whoever needs everything, or has not found
//! what was sought, reads on, and until then the set says of itself that it is not whole.
//!
//! What is there and cannot be read is an item; what could not be asked for is [`Incomplete`]; only if neither exists was
//! there nothing. The caps protect against a registry, or anyone who may push to it, making us work for ever
//! (CVE-2023-46737, CVE-2024-29902, CVE-2024-29903).

mod piece;
mod space;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use proofmark_evidence::layout::{Promise, att_tag, is_evidence, is_evidence_layer, sig_tag};
use proofmark_evidence::{EvidenceSet, Incomplete, MAX_EVIDENCE_BYTES, Origin};
use proofmark_oci::{Descriptor, ImageManifest, Manifest};
use proofmark_types::{Digest, Repository, Tag};

pub use self::piece::{Piece, PieceContent, Pieces};
pub use self::space::{Share, Space};
use super::Client;
use crate::RegistryError;
use crate::limits::{EVIDENCE_CONCURRENCY, MAX_EVIDENCE_LAYERS, MAX_EVIDENCE_TOTAL_BYTES, MAX_REFERRERS_CONSIDERED};

/// Pieces and gaps from one place.
#[derive(Default)]
struct Found {
    pieces: Vec<Piece>,
    incomplete: Vec<Incomplete>,
}

/// What hangs on one digest, read in order of promise.
///
/// Until it is whole its evidence has a gap ([`NOT_READ`]), so that nothing but a pass can be concluded from it.
#[derive(Debug)]
pub struct Gathering {
    set: EvidenceSet,
    rest: Option<Rest>,
}

/// The code of the gap of a [`Gathering`] that is not whole.
pub const NOT_READ: &str = "not-read";

/// What a gathering has not read.
#[derive(Debug)]
struct Rest {
    client: Client,
    home: Repository,
    /// In order; none of them is empty.
    steps: VecDeque<Vec<Descriptor>>,
    share: Arc<Share>,
}

impl Gathering {
    /// One that is whole.
    pub(crate) fn whole(set: EvidenceSet) -> Self {
        Self { set, rest: None }
    }

    /// Reads the next most promising referrers.
    pub async fn read_more(&mut self) {
        let Some(mut rest) = self.rest.take() else { return };
        let step = rest.steps.pop_front().unwrap_or_default();
        let found = rest.client.open_referrers(&rest.home, step, &rest.share).await;
        self.set.incomplete.retain(|gap| gap.code != NOT_READ);
        self.set.items.extend(found.pieces.iter().map(Piece::read));
        self.set.incomplete.extend(found.incomplete);
        self.leave(rest);
    }

    /// What was read, for changes that do not depend on what was not.
    pub fn evidence_mut(&mut self) -> &mut EvidenceSet {
        &mut self.set
    }

    /// What was read so far.
    #[must_use]
    pub fn evidence(&self) -> &EvidenceSet {
        &self.set
    }

    /// Whether nothing was left unread for want of promise.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// What was read, with a gap for what was not.
    #[must_use]
    pub fn into_evidence(self) -> EvidenceSet {
        self.set
    }

    fn leave(&mut self, rest: Rest) {
        let count: usize = rest.steps.iter().map(Vec::len).sum();
        if count == 0 {
            return;
        }
        self.set.incomplete.push(Incomplete {
            place: referrers_of(&self.set.subject),
            code: NOT_READ,
            reason: format!("{count} were not opened: they are not listed as signatures or attestations"),
        });
        self.rest = Some(rest);
    }
}

impl Client {
    /// Everything that hangs on `digest`: referrers by the API or the fallback tag, and the layers of the `.sig` and
    /// `.att` tags. Looked for in the repository where evidence for `repository` is kept.
    ///
    /// Fails only if nothing could be asked at all: an unreachable registry, refused credentials.
    pub async fn evidence(&self, repository: &Repository, digest: &Digest) -> Result<EvidenceSet, RegistryError> {
        let share = Arc::new(Share::default());
        Ok(self.pieces(repository, digest, &share).await?.evidence())
    }

    /// The same as the registry gave it, to be kept. What it takes in memory is booked to `share`, which lives as long as
    /// what was gathered does.
    pub async fn pieces(
        &self,
        repository: &Repository,
        digest: &Digest,
        share: &Arc<Share>,
    ) -> Result<Pieces, RegistryError> {
        let (pieces, _) = self.begin(repository, digest, false, share.clone()).await?;
        Ok(pieces)
    }

    /// The same in order of promise: both tags and the referrers that are listed as evidence now, then, asked for with
    /// [`Gathering::read_more`], those of which the list says nothing, and last those that it says are something else.
    pub async fn gather(&self, repository: &Repository, digest: &Digest) -> Result<Gathering, RegistryError> {
        let share = Arc::new(Share::default());
        let (pieces, rest) = self.begin(repository, digest, true, share).await?;
        let mut gathering = Gathering::whole(pieces.evidence());
        gathering.leave(rest);
        Ok(gathering)
    }

    async fn begin(
        &self,
        repository: &Repository,
        digest: &Digest,
        in_steps: bool,
        share: Arc<Share>,
    ) -> Result<(Pieces, Rest), RegistryError> {
        let home = self.evidence_home(repository);
        let (sig, att) = (sig_tag(digest), att_tag(digest));
        let mut steps = VecDeque::new();
        let referrers = async {
            let (mut found, candidates) = self.candidates(home, digest).await?;
            steps = if in_steps {
                in_order(candidates)
            } else {
                VecDeque::from([candidates])
            };
            let first = steps.pop_front().unwrap_or_default();
            let opened = self.open_referrers(home, first, &share).await;
            found.pieces.extend(opened.pieces);
            found.incomplete.extend(opened.incomplete);
            Ok(found)
        };
        let (referrers, signatures, attestations) = futures::join!(
            referrers,
            self.evidence_of_tag(home, &sig, &share, |tag, layer| Origin::SignatureTag { tag, layer }),
            self.evidence_of_tag(home, &att, &share, |tag, layer| Origin::AttestationTag { tag, layer }),
        );
        let mut set = Pieces::new(digest.clone());
        let mut failure = None;
        let mut asked = false;
        let places = [
            (referrers_of(digest), referrers),
            (format!("the tag {sig}"), signatures),
            (format!("the tag {att}"), attestations),
        ];
        for (place, found) in places {
            match found {
                Ok(found) => {
                    asked = true;
                    set.pieces.extend(found.pieces);
                    set.incomplete.extend(found.incomplete);
                }
                Err(error) => {
                    set.incomplete.push(gap(place, &error));
                    failure.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failure.filter(|_| !asked) {
            return Err(error);
        }
        let rest = Rest {
            client: self.clone(),
            home: home.clone(),
            steps,
            share,
        };
        Ok((set, rest))
    }

    /// The referrers to open, and why they are not all, if they are not.
    async fn candidates(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(Found, Vec<Descriptor>), RegistryError> {
        let listed = self.referrers(repository, digest).await?;
        let mut found = Found::default();
        if let Some(error) = &listed.cut_short {
            found.incomplete.push(gap(referrers_of(digest), error));
        }
        let mut candidates = listed.descriptors;
        if candidates.len() > MAX_REFERRERS_CONSIDERED {
            found.incomplete.push(Incomplete {
                place: referrers_of(digest),
                code: "too-large",
                reason: format!(
                    "{} referrers are listed, {MAX_REFERRERS_CONSIDERED} were looked at",
                    candidates.len()
                ),
            });
            // Nothing is left out for its type unless something must be; then what says it is evidence goes first.
            candidates.sort_by_key(Promise::of);
            candidates.truncate(MAX_REFERRERS_CONSIDERED);
        }
        Ok((found, candidates))
    }

    async fn open_referrers(&self, repository: &Repository, candidates: Vec<Descriptor>, share: &Share) -> Found {
        let mut found = Found::default();
        let mut opened = stream::iter(candidates)
            .map(|candidate| self.evidence_of_referrer(repository, candidate, share))
            .buffered(EVIDENCE_CONCURRENCY);
        while let Some(each) = opened.next().await {
            found.pieces.extend(each.pieces);
            found.incomplete.extend(each.incomplete);
        }
        found
    }

    /// One referrer: its manifest decides what it is, not the list that named it.
    async fn evidence_of_referrer(&self, repository: &Repository, listed: Descriptor, share: &Share) -> Found {
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
                self.evidence_of_layers(repository, &image, origins, share).await
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
        share: &Share,
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
                Ok(self.evidence_of_layers(repository, &image, origins, share).await)
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
        share: &Share,
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
                let blob = self.evidence_blob(repository, &layer, share).await;
                (layer, origin, blob)
            })
            .buffered(EVIDENCE_CONCURRENCY);
        while let Some((layer, origin, blob)) = read.next().await {
            match blob {
                Ok(blob) => found.pieces.push(Piece {
                    origin,
                    content: PieceContent::Layer { layer, blob },
                }),
                Err(error) => {
                    let place = origin.to_string();
                    let each = unread(origin, place, &error);
                    found.pieces.extend(each.pieces);
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
        share: &Share,
    ) -> Result<Bytes, RegistryError> {
        // Taken before anything is read, so that many at once cannot pass the limit together.
        if layer.size <= MAX_EVIDENCE_BYTES && !share.take(layer.size).await {
            return Err(RegistryError::TooLarge {
                what: "the evidence of one image".to_owned(),
                limit: MAX_EVIDENCE_TOTAL_BYTES,
                unit: "bytes",
            });
        }
        self.blob(repository, layer, MAX_EVIDENCE_BYTES).await
    }
}

fn referrers_of(digest: &Digest) -> String {
    format!("the referrers of {digest}")
}

/// The steps in which candidates are opened: the first is of those listed as evidence, and may be empty; the others are
/// not.
fn in_order(candidates: Vec<Descriptor>) -> VecDeque<Vec<Descriptor>> {
    let (mut evidence, mut unknown, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for candidate in candidates {
        match Promise::of(&candidate) {
            Promise::Evidence => evidence.push(candidate),
            Promise::Unknown => unknown.push(candidate),
            Promise::SomethingElse => other.push(candidate),
        }
    }
    let mut steps = VecDeque::from([evidence]);
    steps.extend([unknown, other].into_iter().filter(|step| !step.is_empty()));
    steps
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
        found.pieces.push(Piece {
            origin,
            content: PieceContent::Unreadable {
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
