//! What hangs on an image, for the verbs that show, fetch, move and remove it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use proofmark_evidence::bundle::{Bundle, Content};
use proofmark_evidence::dsse::Envelope;
use proofmark_evidence::layout::{DSSE_ENVELOPE, SIMPLE_SIGNING, is_bundle_media_type, is_evidence_layer};
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{Incomplete, MAX_EVIDENCE_BYTES};
use proofmark_oci::{Descriptor, Manifest, Platform};
use proofmark_registry::limits::{MAX_EVIDENCE_LAYERS, MAX_EVIDENCE_TOTAL_BYTES};
use proofmark_registry::{Attachment, ImageSource, Progress, Transfer};
use proofmark_types::Digest;

use crate::context::registry_failure;
use crate::failure::{Exit, Failure, chain};
use crate::images::ImageTree;
use crate::output::{Output, Spinner};

/// A signature or attestation as it lies in the registry.
pub(crate) struct Piece {
    pub(crate) layer: Descriptor,
    pub(crate) blob: Vec<u8>,
    /// What it is a piece of; none where that cannot be read.
    pub(crate) kind: Option<Kind>,
}

/// What a piece claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Signature,
    Attestation(PredicateType),
}

/// Reads the evidence in an attachment; an attachment that holds none has no pieces. Bounded by count, by each size and,
/// over several attachments, by `left`.
pub(crate) async fn pieces(
    source: &ImageSource,
    attachment: &Attachment,
    left: &mut u64,
) -> Result<Vec<Piece>, Failure> {
    let Ok(Manifest::Image(image)) = attachment.resolved.parse() else {
        return Ok(Vec::new());
    };
    let layers: Vec<Descriptor> = image.layers.into_iter().filter(is_evidence_layer).collect();
    let too_much = |reason: String| Failure::new(Exit::Undecided, "too-large", reason);
    if layers.len() > MAX_EVIDENCE_LAYERS {
        return Err(too_much(format!(
            "{} has {} layers, at most {MAX_EVIDENCE_LAYERS} are read",
            attachment.resolved.descriptor.digest,
            layers.len()
        )));
    }
    let mut pieces = Vec::new();
    for layer in layers {
        *left = left
            .checked_sub(layer.size)
            .ok_or_else(|| too_much(format!("more than {MAX_EVIDENCE_TOTAL_BYTES} bytes hang on the image")))?;
        let blob = source
            .blob(&layer, MAX_EVIDENCE_BYTES)
            .await
            .map_err(registry_failure)?;
        pieces.push(Piece {
            kind: kind_of(&layer, &blob),
            layer,
            blob: blob.to_vec(),
        });
    }
    Ok(pieces)
}

fn kind_of(layer: &Descriptor, blob: &[u8]) -> Option<Kind> {
    let stated = |payload: &[u8]| {
        let statement = Statement::parse(payload).ok()?;
        Some(if statement.predicate_type.is_signature() {
            Kind::Signature
        } else {
            Kind::Attestation(statement.predicate_type)
        })
    };
    if is_bundle_media_type(&layer.media_type) {
        return match Bundle::parse(blob).ok()?.content {
            Content::Dsse(envelope) => stated(&envelope.payload),
            Content::MessageSignature { .. } => Some(Kind::Signature),
        };
    }
    match layer.media_type.as_str() {
        SIMPLE_SIGNING => Some(Kind::Signature),
        DSSE_ENVELOPE => stated(&Envelope::parse(blob).ok()?.payload),
        _ => None,
    }
}

/// The image for a platform, where one is asked for: a child of the index that `source` is.
pub(crate) fn digest_for(tree: &ImageTree, platform: Option<&str>) -> Result<Digest, Failure> {
    let Some(wanted) = platform.filter(|platform| !platform.is_empty()) else {
        return Ok(tree.root.digest.clone());
    };
    let wanted = Platform::parse(wanted).map_err(|error| Failure::usage("malformed-platform", chain(&error)))?;
    let fits = |image: &&Descriptor| {
        image
            .platform
            .as_ref()
            .is_some_and(|platform| platform.satisfies(&wanted))
    };
    let mut found = tree.images.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.digest.clone()),
        (Some(_), Some(_)) => Err(Failure::usage(
            "platform-ambiguous",
            format!("several images of the index are for {wanted}; name one by its digest"),
        )),
        (None, _) => {
            let there: Vec<String> = tree
                .images
                .iter()
                .filter_map(|image| image.platform.as_ref().map(ToString::to_string))
                .collect();
            Err(Failure::new(
                Exit::NotFound,
                "no-such-platform",
                if there.is_empty() {
                    format!("the reference is one image and no index, so {wanted} cannot be chosen")
                } else {
                    format!("the index has no image for {wanted}, only {}", there.join(", "))
                },
            ))
        }
    }
}

/// Ends a verb that found less than there may be. What it did find is done with by then.
pub(crate) fn whole(incomplete: &[Incomplete]) -> Result<(), Failure> {
    if incomplete.is_empty() {
        return Ok(());
    }
    let places = incomplete
        .iter()
        .map(|place| format!("{}: {} [{}]", place.place, place.reason, place.code));
    Err(Failure::new(
        Exit::Undecided,
        "evidence-incomplete",
        "not everything that may hang on the image could be read",
    )
    .with_details(places)
    .with_hint("run it again when the registry answers"))
}

/// Says what is listed and not there: nobody can have it, so it stops nothing.
pub(crate) fn warn_of_missing(output: Output, missing: &[Digest]) {
    for digest in missing {
        output.warn(&format!("{digest} is listed, and is not in the registry"));
    }
}

/// How much has moved, on a terminal.
pub(crate) struct Meter {
    spinner: Arc<Spinner>,
}

impl Meter {
    pub(crate) fn new(output: Output, doing: &str) -> Self {
        Self {
            spinner: Arc::new(output.spinner(doing)),
        }
    }

    /// What a client tells it.
    pub(crate) fn progress(&self, doing: &'static str) -> Progress {
        let spinner = Arc::clone(&self.spinner);
        let state = Mutex::new((0_u64, 0_u64));
        Progress::new(move |transfer| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match transfer {
                Transfer::Advanced { bytes, .. } => state.1 += bytes,
                Transfer::Finished { .. } | Transfer::Skipped { .. } => state.0 += 1,
                _ => return,
            }
            spinner.say(&format!("{doing}: {} blobs, {} KiB moved", state.0, state.1 / 1024));
        })
    }

    pub(crate) fn say(&self, text: &str) {
        self.spinner.say(text);
    }
}
