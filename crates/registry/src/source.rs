//! An image, wherever it is: in a registry, in an OCI layout folder, in a `docker save` archive.

mod archive;
mod layout;
mod layout_attachments;
mod layout_evidence;
mod layout_write;
mod tar_table;
mod verified;

use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use proofmark_evidence::EvidenceSet;
use proofmark_oci::Descriptor;
use proofmark_types::{Digest, ImageRef, Repository};

pub use self::archive::ArchiveImage;
pub use self::layout::LayoutImage;
pub use self::layout_write::LayoutWriter;
pub(crate) use self::verified::local;
use crate::RegistryError;
use crate::attachment::Attachments;
use crate::client::{Client, Gathering, Resolved};

/// Where an image is read from. Whatever the place, digests and sizes are checked on the way.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ImageSource {
    /// A registry.
    Registry {
        /// The client to ask with.
        client: Client,
        /// The image.
        reference: ImageRef,
    },
    /// An OCI layout folder.
    Layout(LayoutImage),
    /// A tar archive as `docker save` or `skopeo copy docker-archive:` writes it, perhaps compressed with gzip.
    DockerArchive(ArchiveImage),
}

impl ImageSource {
    /// An image in a registry. Nothing is asked yet.
    #[must_use]
    pub fn registry(client: &Client, reference: &ImageRef) -> Self {
        Self::Registry {
            client: client.clone(),
            reference: reference.clone(),
        }
    }

    /// An image on disk: a folder is an OCI layout, a file a `docker save` archive. With several images in it `name`
    /// says which (a tag, a full reference, or what the layout calls it). Blocks while it reads the table of contents.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self, RegistryError> {
        if path.is_dir() {
            LayoutImage::open(path, name).map(Self::Layout)
        } else {
            ArchiveImage::open(path, name).map(Self::DockerArchive)
        }
    }

    /// The image's manifest or index, verified.
    pub async fn resolve(&self) -> Result<Resolved, RegistryError> {
        match self {
            Self::Registry { client, reference } => client.resolve(reference).await,
            Self::Layout(layout) => layout.resolve(),
            Self::DockerArchive(archive) => archive.resolve(),
        }
    }

    /// Another manifest of the same image, such as a child of its index.
    pub async fn manifest(&self, digest: &Digest) -> Result<Resolved, RegistryError> {
        match self {
            Self::Registry { client, reference } => client.manifest(reference.repository(), digest).await,
            Self::Layout(layout) => layout.manifest(digest),
            Self::DockerArchive(archive) => archive.manifest(digest),
        }
    }

    /// A whole blob of at most `limit` bytes, verified.
    pub async fn blob(&self, blob: &Descriptor, limit: u64) -> Result<Bytes, RegistryError> {
        match self {
            Self::Registry { client, reference } => client.blob(reference.repository(), blob, limit).await,
            Self::Layout(layout) => layout.blob(blob, limit),
            Self::DockerArchive(archive) => {
                let (archive, blob) = (archive.clone(), blob.clone());
                blocking(move || archive.blob(&blob, limit)).await
            }
        }
    }

    /// A blob for a reader that blocks; read it on a thread that may. It is verified as it is read: a mismatch is an
    /// error in place of the end.
    pub async fn open_blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, RegistryError> {
        match self {
            Self::Registry { client, reference } => Ok(Box::new(client.open_blob(reference.repository(), blob).await?)),
            Self::Layout(layout) => layout.open_blob(blob),
            Self::DockerArchive(archive) => {
                let (archive, blob) = (archive.clone(), blob.clone());
                blocking(move || archive.open_blob(&blob)).await
            }
        }
    }

    /// Everything that hangs on a digest, where the image is. A `docker save` archive cannot hold any.
    pub async fn evidence(&self, digest: &Digest) -> Result<EvidenceSet, RegistryError> {
        match self {
            Self::Registry { client, reference } => client.evidence(reference.repository(), digest).await,
            Self::Layout(layout) => Ok(layout.evidence(digest)),
            Self::DockerArchive(_) => Ok(EvidenceSet::new(digest.clone())),
        }
    }

    /// The same in order of promise, for those to whom one signature is enough. What is on disk is read whole at once.
    pub async fn gather(&self, digest: &Digest) -> Result<Gathering, RegistryError> {
        match self {
            Self::Registry { client, reference } => client.gather(reference.repository(), digest).await,
            other => other.evidence(digest).await.map(Gathering::whole),
        }
    }

    /// The manifests that hang on a digest, and on those, where the image is. A `docker save` archive cannot hold any.
    pub async fn attachments(&self, digest: &Digest) -> Result<Attachments, RegistryError> {
        match self {
            Self::Registry { client, reference } => client.attachments(reference.repository(), digest).await,
            Self::Layout(layout) => {
                let (layout, digest) = (layout.clone(), digest.clone());
                blocking(move || Ok(layout.attachments(&digest))).await
            }
            Self::DockerArchive(_) => Ok(Attachments::default()),
        }
    }

    /// Where the content of attachments is read from: the same place, or the repository where evidence is kept.
    #[must_use]
    pub fn evidence_source(&self) -> Self {
        match self {
            Self::Registry { client, reference } => {
                let home = client.evidence_home(reference.repository()).clone();
                Self::registry(client, &ImageRef::tagged(home, reference.tag_or_latest()))
            }
            other => other.clone(),
        }
    }

    /// The repository it is in, if it is in one.
    #[must_use]
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry { reference, .. } => Some(reference.repository()),
            Self::Layout(_) | Self::DockerArchive(_) => None,
        }
    }
}

/// Runs what may take long without a pause, such as skipping through a compressed archive, off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(RegistryError::Setup {
            reason: format!("a worker thread failed: {error}"),
        })
    })
}
