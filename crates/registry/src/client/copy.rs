//! Copying an image, from a registry, a layout or an archive, into a registry.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;
use proofmark_oci::{Descriptor, MAX_MANIFEST_BYTES, Manifest, media_types};
use proofmark_types::{Repository, Tag};

use super::Client;
use super::manifests::Resolved;
use super::upload::Source;
use crate::RegistryError;
use crate::limits::{COPY_CONCURRENCY, MAX_INDEX_CHILDREN, MAX_INDEX_DEPTH};
use crate::progress::{SkipReason, Transfer};
use crate::source::ImageSource;

/// What a copy did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Copied {
    /// The image as it is now in the target: same bytes, same digest.
    pub descriptor: Descriptor,
    /// Manifests and indexes stored, the named one included.
    pub manifests: usize,
    /// Blobs that the image has, those that were there already included.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Client {
    /// Copies an image with everything it consists of, an index with all its children, and names it `tag` if there is
    /// one. Manifests are copied byte for byte; evidence is not copied. Children go first: whoever sees the image sees
    /// all of it.
    pub async fn copy_image(
        &self,
        source: &ImageSource,
        repository: &Repository,
        tag: Option<&Tag>,
    ) -> Result<Copied, RegistryError> {
        let root = source.resolve().await?;
        let (order, blobs) = plan(source, root.clone()).await?;
        let bytes = blobs.iter().map(|blob| blob.size).sum();
        let count = blobs.len();
        let mut pushes = stream::iter(blobs)
            .map(|blob| self.copy_blob(source, repository, blob))
            .buffer_unordered(COPY_CONCURRENCY);
        while let Some(pushed) = pushes.next().await {
            pushed?;
        }
        drop(pushes);
        let manifests = order.len();
        for each in order {
            let name = tag.filter(|_| each.descriptor.digest == root.descriptor.digest);
            let descriptor = &each.descriptor;
            self.put_manifest(repository, name, &descriptor.digest, &descriptor.media_type, each.bytes)
                .await?;
        }
        Ok(Copied {
            descriptor: root.descriptor,
            manifests,
            blobs: count,
            bytes,
        })
    }

    pub(super) async fn copy_blob(
        &self,
        source: &ImageSource,
        repository: &Repository,
        blob: Descriptor,
    ) -> Result<(), RegistryError> {
        if !is_distributable(&blob) {
            self.tell(&Transfer::Skipped {
                digest: blob.digest,
                size: blob.size,
                because: SkipReason::NotDistributable,
            });
            return Ok(());
        }
        let from = source.repository();
        self.push(repository, &blob, from, async || match source {
            ImageSource::Registry { client, reference } => {
                let stream = client.blob_stream(reference.repository(), &blob).await?;
                Ok(Source::Blob(Box::new(stream)))
            }
            _ => Ok(Source::blocking(source.open_blob(&blob).await?)),
        })
        .await
    }
}

/// Layers that their publisher forbids to store elsewhere (image-spec, layer.md, "Non-Distributable Layers"); they are
/// fetched from their publisher, and no registry asks for them.
pub(crate) fn is_distributable(blob: &Descriptor) -> bool {
    !blob.media_type.as_str().contains("nondistributable") && !blob.media_type.as_str().contains(".foreign.")
}

/// All manifests, children before parents, and all blobs, each once.
pub(crate) async fn plan(
    source: &ImageSource,
    root: Resolved,
) -> Result<(Vec<Resolved>, Vec<Descriptor>), RegistryError> {
    let mut order = Vec::new();
    let mut blobs = Vec::new();
    let mut seen = BTreeSet::from([root.descriptor.digest.clone()]);
    let mut seen_blobs = BTreeSet::new();
    let mut level = vec![root];
    for depth in 0.. {
        let mut children = Vec::new();
        for resolved in &level {
            match resolved.parse()? {
                Manifest::Index(index) => {
                    for child in index.manifests {
                        if seen.insert(child.digest.clone()) {
                            children.push(child);
                        }
                    }
                }
                Manifest::Image(image) => {
                    for blob in std::iter::once(image.config).chain(image.layers) {
                        if seen_blobs.insert(blob.digest.clone()) {
                            blobs.push(blob);
                        }
                    }
                }
            }
        }
        order.append(&mut level);
        if children.is_empty() {
            break;
        }
        let too_large = |what: &str, limit: usize| RegistryError::TooLarge {
            what: what.to_owned(),
            limit: limit as u64,
            unit: "manifests",
        };
        if depth >= MAX_INDEX_DEPTH {
            return Err(too_large("the nesting of the index", MAX_INDEX_DEPTH));
        }
        if seen.len() > MAX_INDEX_CHILDREN {
            return Err(too_large("the index", MAX_INDEX_CHILDREN));
        }
        let mut fetched = stream::iter(children)
            .map(|child| fetch(source, child))
            .buffered(COPY_CONCURRENCY);
        while let Some(resolved) = fetched.next().await {
            level.push(resolved?);
        }
    }
    order.reverse();
    Ok((order, blobs))
}

async fn fetch(source: &ImageSource, child: Descriptor) -> Result<Resolved, RegistryError> {
    if child.size > MAX_MANIFEST_BYTES {
        return Err(RegistryError::TooLarge {
            what: format!("the manifest {}", child.digest),
            limit: MAX_MANIFEST_BYTES,
            unit: "bytes",
        });
    }
    if media_types::is_index(child.media_type.as_str()) || media_types::is_image_manifest(child.media_type.as_str()) {
        return source.manifest(&child.digest).await;
    }
    Err(RegistryError::Malformed {
        what: format!("the index entry {}", child.digest),
        reason: format!("{} is no manifest", child.media_type),
    })
}
