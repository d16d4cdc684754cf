//! An image reference as the manifests behind it: one image, or an index with the images of its platforms.

use proofmark_oci::{Descriptor, Manifest};
use proofmark_registry::{Client, ImageSource};
use proofmark_types::{Digest, ImageRef};

use crate::context::registry_failure;
use crate::failure::{Exit, Failure, chain};

/// How deep indexes may nest: registries in use nest one level, buildx' attestations make two.
const MAX_DEPTH: usize = 4;

/// How many manifests one reference may lead to: the largest official image has about thirty platforms.
const MAX_MANIFESTS: usize = 512;

/// Everything that a reference leads to.
#[derive(Clone, Debug)]
pub(crate) struct ImageTree {
    /// What the reference was resolved to.
    pub(crate) root: Descriptor,
    /// Indexes below the root.
    indexes: Vec<Descriptor>,
    /// The images that can run; the root itself if it is one.
    pub(crate) images: Vec<Descriptor>,
}

impl ImageTree {
    /// The root first, then the indexes below it, then the images; each once.
    pub(crate) fn all(&self) -> Vec<Descriptor> {
        let mut all = vec![self.root.clone()];
        for descriptor in self.indexes.iter().chain(&self.images) {
            if all.iter().all(|known| known.digest != descriptor.digest) {
                all.push(descriptor.clone());
            }
        }
        all
    }
}

/// The digest that a reference names, asked for only where it does not say it itself.
pub(crate) async fn digest_of(client: &Client, image: &ImageRef) -> Result<Digest, Failure> {
    match image.digest() {
        Some(digest) => Ok(digest.clone()),
        None => {
            let resolved = client.resolve(image).await.map_err(registry_failure)?;
            Ok(resolved.descriptor.digest)
        }
    }
}

/// Resolves the image once and follows indexes down to the images. Entries for no platform (`unknown/unknown`, where
/// buildx keeps its attestations) are not images that can run, and are left out.
pub(crate) async fn descend(source: &ImageSource) -> Result<ImageTree, Failure> {
    let resolved = source.resolve().await.map_err(registry_failure)?;
    let mut tree = ImageTree {
        root: resolved.descriptor.clone(),
        indexes: Vec::new(),
        images: Vec::new(),
    };
    let mut queue = vec![(resolved.descriptor, resolved.bytes, 0)];
    while let Some((descriptor, bytes, depth)) = queue.pop() {
        let manifest = Manifest::parse(Some(&descriptor.media_type), &bytes)
            .map_err(|error| Failure::new(Exit::Undecided, "malformed-manifest", chain(&error)))?;
        let index = match manifest {
            Manifest::Image(_) => {
                tree.images.push(descriptor);
                continue;
            }
            Manifest::Index(index) => index,
        };
        if depth > 0 {
            tree.indexes.push(descriptor);
        }
        if depth == MAX_DEPTH || queue.len() + tree.images.len() + index.manifests.len() > MAX_MANIFESTS {
            return Err(Failure::new(
                Exit::Undecided,
                "index-too-large",
                format!(
                    "the image leads to more than {MAX_MANIFESTS} manifests, or nests deeper than {MAX_DEPTH} indexes"
                ),
            ));
        }
        for child in index.manifests {
            let nowhere = child.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
            if nowhere {
                continue;
            }
            let fetched = source.manifest(&child.digest).await.map_err(registry_failure)?;
            let mut descriptor = fetched.descriptor;
            descriptor.platform = child.platform;
            queue.push((descriptor, fetched.bytes, depth + 1));
        }
    }
    // The queue is a stack; the images come back in the order of the index.
    tree.images.reverse();
    Ok(tree)
}
