//! Evidence in a layout folder: what `cosign save` and `proofmark save` put beside an image, and what a copy with
//! referrers leaves there.

use proofmark_evidence::layout::{att_tag, is_evidence, is_evidence_layer, sig_tag};
use proofmark_evidence::legacy::read_layer;
use proofmark_evidence::{EvidenceSet, Incomplete, Item, ItemContent, MAX_EVIDENCE_BYTES, Origin};
use proofmark_oci::{Descriptor, ImageManifest, Manifest};
use proofmark_types::Digest;

use super::LayoutImage;
use crate::RegistryError;
use crate::attachment::Place;
use crate::limits::{MAX_EVIDENCE_LAYERS, MAX_EVIDENCE_TOTAL_BYTES};

impl LayoutImage {
    /// Everything in the folder that hangs on `digest`: manifests whose subject it is, and those under cosign's names for
    /// it. Blocks.
    #[must_use]
    pub fn evidence(&self, digest: &Digest) -> EvidenceSet {
        let mut set = EvidenceSet::new(digest.clone());
        let mut left = MAX_EVIDENCE_TOTAL_BYTES;
        let (candidates, incomplete) = self.hanging_on(digest);
        set.incomplete.extend(incomplete);
        for candidate in candidates {
            let named = candidate.named;
            let origin = |layer: &Digest| origin_of(named, digest, &candidate.digest, layer);
            match candidate.read.and_then(|found| found.resolved.parse()) {
                // Bills are not signed, and so no evidence.
                _ if named == Some(Place::Bill) => {}
                Ok(Manifest::Image(image)) if named.is_some() || is_evidence(&image) => {
                    self.read_layers(&image, |layer| origin(&layer.digest), &mut left, &mut set);
                }
                Ok(_) => {}
                Err(error) => set.items.push(unreadable(origin(&candidate.digest), &error)),
            }
        }
        set
    }

    fn read_layers(
        &self,
        image: &ImageManifest,
        origin: impl Fn(&Descriptor) -> Origin,
        left: &mut u64,
        set: &mut EvidenceSet,
    ) {
        let layers = image.layers.iter().filter(|layer| is_evidence_layer(layer));
        for (number, layer) in layers.enumerate() {
            let origin = origin(layer);
            let room = left.checked_sub(layer.size);
            if number >= MAX_EVIDENCE_LAYERS || (room.is_none() && layer.size <= MAX_EVIDENCE_BYTES) {
                set.incomplete.push(Incomplete {
                    place: origin.to_string(),
                    code: "too-large",
                    reason: "there is more evidence than is read".to_owned(),
                });
                return;
            }
            *left = room.unwrap_or(*left);
            set.items.push(match self.blob(layer, MAX_EVIDENCE_BYTES) {
                Ok(blob) => Item {
                    origin,
                    content: read_layer(layer, &blob),
                },
                Err(error) => unreadable(origin, &error),
            });
        }
    }
}

fn origin_of(place: Option<Place>, digest: &Digest, manifest: &Digest, layer: &Digest) -> Origin {
    match place {
        Some(Place::Signatures) => Origin::SignatureTag {
            tag: sig_tag(digest),
            layer: layer.clone(),
        },
        Some(Place::Attestations) => Origin::AttestationTag {
            tag: att_tag(digest),
            layer: layer.clone(),
        },
        _ => Origin::Referrer {
            manifest: manifest.clone(),
        },
    }
}

fn unreadable(origin: Origin, error: &RegistryError) -> Item {
    Item {
        origin,
        content: ItemContent::Unreadable {
            code: error.code(),
            reason: error.to_string(),
        },
    }
}
