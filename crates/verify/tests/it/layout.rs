//! Fixtures as a registry client would see them: an OCI layout in a folder, its referrers and its tags.

use std::fs;
use std::path::{Path, PathBuf};

use proofmark_evidence::layout::{att_tag, fallback_tag, is_evidence, sig_tag};
use proofmark_evidence::legacy::read_layer;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_oci::{Descriptor, ImageManifest, Index, Manifest};
use proofmark_types::{Digest, Tag};

/// The folder of all fixtures.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A repository, read from an OCI layout folder.
pub(crate) struct Layout {
    folder: PathBuf,
    index: Index,
}

impl Layout {
    pub(crate) fn open(folder: &Path) -> Self {
        let bytes = fs::read(folder.join("index.json")).unwrap();
        let index = proofmark_oci::layout::parse_index(&bytes).unwrap();
        Self {
            folder: folder.to_owned(),
            index,
        }
    }

    /// A tag or a digest, to a digest whose bytes are there and are its own.
    pub(crate) fn resolve(&self, reference: &str) -> Result<Digest, String> {
        let digest = match Digest::parse(reference) {
            Ok(digest) => digest,
            Err(_) => self.tagged(reference).ok_or("no such tag")?.digest.clone(),
        };
        self.blob(&digest, None).map(|_| digest)
    }

    /// Everything that hangs on a digest: referrers, by API or by tag, and cosign's tags.
    pub(crate) fn evidence(&self, subject: &Digest) -> EvidenceSet {
        let mut set = EvidenceSet::new(subject.clone());
        for descriptor in self.referrers(subject) {
            let origin = Origin::Referrer {
                manifest: descriptor.digest.clone(),
            };
            match self.manifest(&descriptor) {
                Ok(Manifest::Image(manifest)) if is_evidence(&manifest) => {
                    let items = self.items(&manifest, |_| origin.clone());
                    set.items.extend(items);
                }
                Ok(_) => {}
                Err(reason) => set.items.push(unreadable(origin, reason)),
            }
        }
        for (tag, make) in [
            (sig_tag(subject), signature_tag as fn(&Tag, &Digest) -> Origin),
            (att_tag(subject), attestation_tag),
        ] {
            let Some(descriptor) = self.tagged(tag.as_str()) else {
                continue;
            };
            match self.manifest(descriptor) {
                Ok(Manifest::Image(manifest)) => {
                    let items = self.items(&manifest, |layer| make(&tag, &layer.digest));
                    set.items.extend(items);
                }
                Ok(Manifest::Index(_)) => {}
                Err(reason) => set.items.push(unreadable(make(&tag, &descriptor.digest), reason)),
            }
        }
        set
    }

    fn items(&self, manifest: &ImageManifest, origin: impl Fn(&Descriptor) -> Origin) -> Vec<Item> {
        let items = manifest
            .layers
            .iter()
            .map(|layer| match self.blob(&layer.digest, Some(layer.size)) {
                Ok(blob) => Item {
                    origin: origin(layer),
                    content: read_layer(layer, &blob),
                },
                Err(reason) => unreadable(origin(layer), reason),
            });
        items.collect()
    }

    /// By the `subject` fields, and by the fallback tag; a registry has one of the two.
    pub(crate) fn referrers(&self, subject: &Digest) -> Vec<Descriptor> {
        let mut found: Vec<Descriptor> = self
            .index
            .manifests
            .iter()
            .filter(|descriptor| match self.manifest(descriptor) {
                Ok(Manifest::Image(manifest)) => manifest.subject.is_some_and(|named| named.digest == *subject),
                _ => false,
            })
            .cloned()
            .collect();
        if let Some(descriptor) = self.tagged(fallback_tag(subject).as_str())
            && let Ok(Manifest::Index(index)) = self.manifest(descriptor)
        {
            found.extend(index.manifests);
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        found.dedup_by(|a, b| a.digest == b.digest);
        found
    }

    pub(crate) fn tagged(&self, tag: &str) -> Option<&Descriptor> {
        self.index.manifests.iter().find(|descriptor| {
            descriptor
                .annotations
                .get(proofmark_oci::layout::REF_NAME)
                .is_some_and(|name| name == tag)
        })
    }

    pub(crate) fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, String> {
        let bytes = self.blob(&descriptor.digest, None)?;
        Manifest::parse(Some(&descriptor.media_type), &bytes).map_err(|error| error.to_string())
    }

    /// Bytes are compared with their digest and size before anything reads them.
    pub(crate) fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<Vec<u8>, String> {
        let path = self.folder.join(proofmark_oci::layout::blob_path(digest));
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        if size.is_some_and(|size| size != bytes.len() as u64) {
            return Err("the blob is not as long as its descriptor says".to_owned());
        }
        if !digest.matches(&bytes) {
            return Err("the blob is not of its digest".to_owned());
        }
        Ok(bytes)
    }
}

fn unreadable(origin: Origin, reason: String) -> Item {
    Item {
        origin,
        content: ItemContent::Unreadable {
            code: "blob-mismatch",
            reason,
        },
    }
}

fn signature_tag(tag: &Tag, layer: &Digest) -> Origin {
    Origin::SignatureTag {
        tag: tag.clone(),
        layer: layer.clone(),
    }
}

fn attestation_tag(tag: &Tag, layer: &Digest) -> Origin {
    Origin::AttestationTag {
        tag: tag.clone(),
        layer: layer.clone(),
    }
}
