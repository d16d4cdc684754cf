//! Writing an OCI layout folder: an image with all that hangs on it, as `cosign save` lays it out, and listed so that
//! clients which follow the specification find it too.
//!
//! `index.json` names the image (cosign's annotation `kind` says which entry it is), its `.sig` and `.att` images with
//! cosign's annotations, and every other attachment. cosign finds bundles by looking into all blobs.

use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use futures::stream;
use proofmark_oci::layout::{COSIGN_KIND, INDEX_FILE, MARKER, MARKER_FILE, REF_NAME, blob_path, is_marked_image};
use proofmark_oci::{Descriptor, Index, media_types};
use proofmark_types::{Digest, Hasher};

use super::layout::read_index;
use super::verified::local;
use super::{ImageSource, blocking};
use crate::RegistryError;
use crate::attachment::{Attachment, Place};
use crate::client::{Resolved, is_distributable, plan};
use crate::limits::COPY_CONCURRENCY;

/// A folder being filled. What is there already and has the right digest is not fetched again.
#[derive(Debug)]
pub struct LayoutWriter {
    folder: PathBuf,
    root: Option<Digest>,
    entries: Vec<Descriptor>,
    /// What the folder listed before.
    before: Vec<Descriptor>,
}

impl LayoutWriter {
    /// Makes the folder, or takes one that is empty or a layout; what a layout lists stays listed. `index.json` is written by [`LayoutWriter::finish`]
    /// alone, so that a folder is never half an image.
    pub fn create(folder: &Path) -> Result<Self, RegistryError> {
        let shown = folder.display().to_string();
        let failed = |error: std::io::Error| local(&shown, &error);
        fs::create_dir_all(folder).map_err(failed)?;
        let is_empty = fs::read_dir(folder).map_err(failed)?.next().is_none();
        if !is_empty && !folder.join(MARKER_FILE).is_file() {
            return Err(RegistryError::Local {
                path: shown,
                reason: "it is not empty and no OCI layout; nothing was written".to_owned(),
            });
        }
        // One that was interrupted lists nothing yet.
        let before = match folder.join(INDEX_FILE).exists() {
            true => read_index(folder)?.manifests,
            false => Vec::new(),
        };
        let writer = Self {
            folder: folder.to_owned(),
            root: None,
            entries: Vec::new(),
            before,
        };
        // First, so that the folder is ours to go on with when this run is interrupted.
        writer.write(MARKER_FILE, MARKER)?;
        Ok(writer)
    }

    /// Saves the image that `source` resolves to, all its children included, under `name`.
    ///
    /// cosign's folders are about one image: its readers, and ours, take the one that is marked as such. So a folder of
    /// another one is refused, unless that had this name. Images of other programs are not marked and in nobody's way.
    pub async fn image(&mut self, source: &ImageSource, name: Option<&str>) -> Result<Resolved, RegistryError> {
        let root = source.resolve().await?;
        let other = self.before.iter().find(|entry| {
            is_marked_image(entry)
                && entry.digest != root.descriptor.digest
                && (name.is_none() || ref_name(entry) != name)
        });
        if let Some(other) = other {
            return Err(RegistryError::FolderTaken {
                folder: self.folder.display().to_string(),
                by: ref_name(other).map_or_else(|| other.digest.to_string(), str::to_owned),
            });
        }
        self.content(source, root.clone()).await?;
        let mut entry = root.descriptor.clone();
        let kind = if media_types::is_index(entry.media_type.as_str()) {
            "dev.cosignproject.cosign/imageIndex"
        } else {
            "dev.cosignproject.cosign/image"
        };
        entry.annotations.insert(COSIGN_KIND.to_owned(), kind.to_owned());
        if let Some(name) = name {
            entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        }
        self.root = Some(entry.digest.clone());
        self.entries.push(entry);
        Ok(root)
    }

    /// Saves something that hangs on the image, on one of its children, or on what was saved before.
    pub async fn attachment(&mut self, source: &ImageSource, attachment: &Attachment) -> Result<(), RegistryError> {
        self.content(source, attachment.resolved.clone()).await?;
        let mut entry = attachment.resolved.descriptor.clone();
        match (attachment.place.tag(&attachment.subject), attachment.resolved.parse()) {
            (Some(tag), _) => {
                entry.annotations.insert(REF_NAME.to_owned(), tag.to_string());
            }
            (None, Ok(manifest)) => entry.artifact_type = manifest.artifact_type().cloned(),
            (None, Err(_)) => {}
        }
        // cosign takes the one entry of each kind to be about the one image.
        let kind = match attachment.place {
            Place::Signatures => Some("dev.cosignproject.cosign/sigs"),
            Place::Attestations => Some("dev.cosignproject.cosign/atts"),
            _ => None,
        };
        if let Some(kind) = kind.filter(|_| self.root.as_ref() == Some(&attachment.subject)) {
            entry.annotations.insert(COSIGN_KIND.to_owned(), kind.to_owned());
        }
        if !self.entries.contains(&entry) {
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Writes `index.json`: this image and what hangs on it, then what was listed before and is not replaced.
    pub fn finish(self) -> Result<(), RegistryError> {
        let kept = self.before.iter().filter(|entry| !self.replaces(entry)).cloned();
        let entries = self.entries.iter().cloned().chain(kept).collect();
        self.write(INDEX_FILE, &Index::of(entries).to_json())
    }

    /// Whether an entry of before is gone: one of cosign's kinds, of which there is one each; one whose name is taken now;
    /// one without a name that is listed now.
    fn replaces(&self, before: &Descriptor) -> bool {
        before.annotations.contains_key(COSIGN_KIND)
            || match ref_name(before) {
                Some(taken) => self.entries.iter().any(|entry| ref_name(entry) == Some(taken)),
                None => self.entries.iter().any(|entry| entry.digest == before.digest),
            }
    }

    async fn content(&self, source: &ImageSource, root: Resolved) -> Result<(), RegistryError> {
        let (order, blobs) = plan(source, root).await?;
        let mut saves = stream::iter(blobs.into_iter().filter(is_distributable))
            .map(|blob| self.blob(source, blob))
            .buffer_unordered(COPY_CONCURRENCY);
        while let Some(saved) = saves.next().await {
            saved?;
        }
        drop(saves);
        for each in order {
            self.write(&blob_path(&each.descriptor.digest), &each.bytes)?;
        }
        Ok(())
    }

    async fn blob(&self, source: &ImageSource, blob: Descriptor) -> Result<(), RegistryError> {
        let path = self.folder.join(blob_path(&blob.digest));
        let (there, wanted) = (path.clone(), blob.clone());
        if blocking(move || Ok(holds(&there, &wanted))).await? {
            return Ok(());
        }
        let reader = source.open_blob(&blob).await?;
        blocking(move || copy_to(&path, reader)).await
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        copy_to(&self.folder.join(name), Box::new(std::io::Cursor::new(bytes.to_vec())))
    }
}

/// What an entry calls its manifest.
fn ref_name(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

/// Whether a file is what the descriptor says, to its last byte.
fn holds(path: &Path, blob: &Descriptor) -> bool {
    let Ok(mut file) = super::layout::open_file(path) else {
        return false;
    };
    if !file.metadata().is_ok_and(|metadata| metadata.len() == blob.size) {
        return false;
    }
    let mut hasher = Hasher::new(blob.digest.algorithm());
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return hasher.finish() == blob.digest,
            Ok(length) => hasher.update(buffer.get(..length).unwrap_or_default()),
            Err(_) => return false,
        }
    }
}

/// Writes a file whole or not at all. The reader has its own check of what it reads.
fn copy_to(path: &Path, mut reader: Box<dyn Read + Send>) -> Result<(), RegistryError> {
    let shown = path.display().to_string();
    let failed = |error: std::io::Error| local(&shown, &error);
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.prefix(".part-").tempfile_in(folder).map_err(failed)?;
    std::io::copy(&mut reader, &mut file).map_err(failed)?;
    file.flush().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
