//! What was accepted, in a folder: the bytes as they came, each file replaced at once.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::names::file_name;

/// The largest file kept: metadata has at most 5 MB, targets less.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The folder of one repository: `root.json`, `timestamp.json`, …, and every root since the first in `root_history`.
#[derive(Clone, Debug)]
pub struct Store {
    /// None keeps nothing.
    folder: Option<PathBuf>,
}

impl Store {
    /// The folder is made with the first file.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// The folder, if anything is kept.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Keeps nothing: for a repository that is read again as a whole each time.
    pub(crate) fn nowhere() -> Self {
        Self { folder: None }
    }

    /// The metadata of a role, if it is there and can be read; what cannot be read is as good as absent, since it will
    /// be fetched again.
    #[must_use]
    pub fn metadata(&self, role: &str) -> Option<Vec<u8>> {
        read(&self.folder.as_ref()?.join(metadata_name(role)))
    }

    /// A root by its version.
    #[must_use]
    pub fn root(&self, version: u64) -> Option<Vec<u8>> {
        read(&self.folder.as_ref()?.join(root_name(version)))
    }

    pub(super) fn put_metadata(&self, role: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match &self.folder {
            Some(folder) => replace(&folder.join(metadata_name(role)), bytes),
            None => Ok(()),
        }
    }

    pub(super) fn put_root(&self, version: u64, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(folder) = &self.folder {
            replace(&folder.join(root_name(version)), bytes)?;
        }
        self.put_metadata("root", bytes)
    }
}

fn metadata_name(role: &str) -> String {
    format!("{}.json", file_name(role))
}

fn root_name(version: u64) -> PathBuf {
    Path::new("root_history").join(format!("{version}.root.json"))
}

/// Makes a folder, and those above it, for this user alone: what is in it decides whom this machine trusts.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Reads a file of at most [`MAX_BYTES`].
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
    u64::try_from(bytes.len())
        .is_ok_and(|size| size <= MAX_BYTES)
        .then_some(bytes)
}

/// Replaces a file: whoever opens it sees all of the old or all of the new one, also after a crash.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = |source: io::Error| StoreError {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    make_folder(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A file that could not be written.
#[derive(Debug, Error)]
#[error("cannot write {}", path.display())]
pub struct StoreError {
    path: PathBuf,
    #[source]
    source: io::Error,
}
