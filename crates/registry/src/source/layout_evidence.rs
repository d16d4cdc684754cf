//! Evidence in a layout folder: what `cosign save` puts beside an image, and what a copy with referrers leaves there.

use std::collections::BTreeSet;

use proofmark_evidence::layout::{att_tag, is_evidence, is_evidence_layer, sig_tag};
use proofmark_evidence::legacy::read_layer;
use proofmark_evidence::{EvidenceSet, Incomplete, Item, ItemContent, MAX_EVIDENCE_BYTES, Origin};
use proofmark_oci::layout::REF_NAME;
use proofmark_oci::{Descriptor, ImageManifest, Manifest};
use proofmark_types::Digest;

use super::LayoutImage;
use crate::RegistryError;
use crate::limits::{MAX_EVIDENCE_LAYERS, MAX_EVIDENCE_TOTAL_BYTES, MAX_REFERRERS};

/// The annotation by which `cosign save` says what an entry of `index.json` is.
const COSIGN_KIND: &str = "kind";

impl LayoutImage {
    /// Everything in the folder that hangs on `digest`: manifests listed in `index.json` whose subject it is, and those
    /// under cosign's names for it. Blocks.
    #[must_use]
    pub fn evidence(&self, digest: &Digest) -> EvidenceSet {
        let mut set = EvidenceSet::new(digest.clone());
        let mut seen = BTreeSet::new();
        let mut left = MAX_EVIDENCE_TOTAL_BYTES;
        if self.index.manifests.len() > MAX_REFERRERS {
            set.incomplete.push(Incomplete {
                place: "index.json".to_owned(),
                code: "too-large",
                reason: format!("{} entries, {MAX_REFERRERS} were looked at", self.index.manifests.len()),
            });
        }
        for entry in self.index.manifests.iter().take(MAX_REFERRERS) {
            let named = named_place(entry, digest);
            // One manifest may be listed under several names, and be about this digest under one of them only.
            if !seen.insert((&entry.digest, named)) || entry.digest == *digest {
                continue;
            }
            match self.manifest(&entry.digest).and_then(|resolved| resolved.parse()) {
                Ok(Manifest::Image(image)) => {
                    let refers = image.subject.as_ref().is_some_and(|subject| subject.digest == *digest);
                    if named.is_some() || (refers && is_evidence(&image)) {
                        let origin = |layer: &Descriptor| origin_of(named, digest, entry, layer);
                        self.read_layers(&image, origin, &mut left, &mut set);
                    }
                }
                Ok(Manifest::Index(_)) => {}
                // What it is about cannot be known; it counts only where its name says that it is about the digest.
                Err(error) if named.is_some() => {
                    let origin = origin_of(named, digest, entry, entry);
                    set.items.push(unreadable(origin, &error));
                }
                Err(_) => {}
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

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Signatures,
    Attestations,
}

/// What an entry's name says that it is, for `digest`.
fn named_place(entry: &Descriptor, digest: &Digest) -> Option<Place> {
    let annotation = |name: &str| entry.annotations.get(name).map(String::as_str);
    let name = annotation(REF_NAME).map(|name| name.rsplit(':').next().unwrap_or(name));
    match (name, annotation(COSIGN_KIND)) {
        (Some(name), _) if name == sig_tag(digest).as_str() => Some(Place::Signatures),
        (Some(name), _) if name == att_tag(digest).as_str() => Some(Place::Attestations),
        (_, Some("dev.cosignproject.cosign/sigs")) => Some(Place::Signatures),
        (_, Some("dev.cosignproject.cosign/atts")) => Some(Place::Attestations),
        _ => None,
    }
}

fn origin_of(place: Option<Place>, digest: &Digest, entry: &Descriptor, layer: &Descriptor) -> Origin {
    match place {
        Some(Place::Signatures) => Origin::SignatureTag {
            tag: sig_tag(digest),
            layer: layer.digest.clone(),
        },
        Some(Place::Attestations) => Origin::AttestationTag {
            tag: att_tag(digest),
            layer: layer.digest.clone(),
        },
        None => Origin::Referrer {
            manifest: entry.digest.clone(),
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
