//! An OCI layout folder (image-spec, image-layout.md).

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use proofmark_oci::layout::{
    INDEX_FILE, LayoutError, MARKER_FILE, MAX_MARKER_BYTES, blob_path, check_marker, parse_index, select,
};
use proofmark_oci::{Descriptor, Index, MAX_MANIFEST_BYTES, Manifest};
use proofmark_types::Digest;

use super::layout_attachments::Subjects;
use super::verified::{Verified, local, read_all};
use crate::RegistryError;
use crate::client::Resolved;
use crate::limits::MAX_LOCAL_DOCUMENT_BYTES;

/// One image of a layout folder.
#[derive(Clone, Debug)]
pub struct LayoutImage {
    pub(super) folder: PathBuf,
    pub(super) index: Arc<Index>,
    root: Descriptor,
    /// Found when they are first asked for.
    pub(super) subjects: Arc<OnceLock<Arc<Subjects>>>,
}

impl LayoutImage {
    /// Opens a folder. `name` is what the layout calls the image, its tag, or its digest; without one the folder must
    /// hold a single image.
    pub fn open(folder: &Path, name: Option<&str>) -> Result<Self, RegistryError> {
        let shown = folder.display().to_string();
        let malformed = |reason: String| RegistryError::Malformed {
            what: format!("the layout {shown}"),
            reason,
        };
        let marker = read_small(&folder.join(MARKER_FILE), MAX_MARKER_BYTES)?;
        check_marker(&marker).map_err(|error| malformed(error.to_string()))?;
        let index = read_index(folder)?;
        let root = match name.map(Digest::parse) {
            Some(Ok(digest)) => index
                .manifests
                .iter()
                .find(|entry| entry.digest == digest)
                .ok_or_else(|| RegistryError::NotFound {
                    what: format!("{digest} in the layout {shown}"),
                })?,
            _ => select(&index, name).map_err(|error| match error {
                LayoutError::NoSuchName { .. } => RegistryError::NotFound {
                    what: format!("{} in the layout {shown}", name.unwrap_or_default()),
                },
                LayoutError::NotOne { .. } => RegistryError::NameNeeded {
                    place: shown.clone(),
                    reason: error.to_string(),
                },
                _ => malformed(error.to_string()),
            })?,
        };
        Ok(Self {
            root: root.clone(),
            folder: folder.to_owned(),
            index: Arc::new(index),
            subjects: Arc::default(),
        })
    }

    /// What `index.json` says of the image.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.root
    }

    pub(super) fn resolve(&self) -> Result<Resolved, RegistryError> {
        let mut resolved = self.manifest(&self.root.digest)?;
        if resolved.descriptor.size != self.root.size {
            return Err(RegistryError::SizeMismatch {
                what: self.shown(&self.root.digest),
                expected: self.root.size,
                seen: resolved.descriptor.size,
            });
        }
        resolved.descriptor.platform.clone_from(&self.root.platform);
        Ok(resolved)
    }

    pub(super) fn manifest(&self, digest: &Digest) -> Result<Resolved, RegistryError> {
        let bytes = read_small(&self.path(digest), MAX_MANIFEST_BYTES)?;
        parse_verified(bytes, digest, &self.shown(digest))
    }

    pub(super) fn blob(&self, blob: &Descriptor, limit: u64) -> Result<Bytes, RegistryError> {
        let mut reader = self.open_blob(blob)?;
        read_all(&mut reader, blob, limit, &self.shown(&blob.digest))
    }

    pub(super) fn open_blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, RegistryError> {
        let file = open_file(&self.path(&blob.digest))?;
        Ok(Box::new(Verified::new(file, self.shown(&blob.digest), blob)))
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(blob_path(digest))
    }

    fn shown(&self, digest: &Digest) -> String {
        self.path(digest).display().to_string()
    }
}

/// Hashes a manifest, then parses it, its own media type deciding what it is.
pub(super) fn parse_verified(bytes: Bytes, digest: &Digest, what: &str) -> Result<Resolved, RegistryError> {
    let seen = Digest::of(digest.algorithm(), &bytes);
    if seen != *digest {
        return Err(RegistryError::DigestMismatch {
            what: what.to_owned(),
            expected: digest.clone(),
            seen,
        });
    }
    let manifest = Manifest::parse(None, &bytes).map_err(|error| RegistryError::Malformed {
        what: what.to_owned(),
        reason: error.to_string(),
    })?;
    let mut descriptor = Descriptor::of(manifest.media_type().clone(), &bytes);
    descriptor.digest = digest.clone();
    Ok(Resolved { descriptor, bytes })
}

/// What a folder lists.
pub(super) fn read_index(folder: &Path) -> Result<Index, RegistryError> {
    let bytes = read_small(&folder.join(INDEX_FILE), MAX_LOCAL_DOCUMENT_BYTES)?;
    parse_index(&bytes).map_err(|error| RegistryError::Malformed {
        what: format!("the layout {}", folder.display()),
        reason: error.to_string(),
    })
}

/// A whole file of at most `limit` bytes.
fn read_small(path: &Path, limit: u64) -> Result<Bytes, RegistryError> {
    let shown = path.display().to_string();
    let mut bytes = Vec::new();
    open_file(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| local(&shown, &error))?;
    if bytes.len() as u64 > limit {
        return Err(RegistryError::TooLarge {
            what: shown,
            limit,
            unit: "bytes",
        });
    }
    Ok(bytes.into())
}

/// Opens a regular file: a pipe in its place would make us wait for ever.
pub(super) fn open_file(path: &Path) -> Result<File, RegistryError> {
    let shown = path.display().to_string();
    let metadata = std::fs::metadata(path).map_err(|error| local(&shown, &error))?;
    if !metadata.is_file() {
        return Err(RegistryError::Local {
            path: shown,
            reason: "it is not a regular file".to_owned(),
        });
    }
    File::open(path).map_err(|error| local(&shown, &error))
}
