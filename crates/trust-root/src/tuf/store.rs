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
    folder: PathBuf,
}

impl Store {
    /// The folder is made with the first file.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The metadata of a role, if it is there and can be read; what cannot be read is as good as absent, since it will
    /// be fetched again.
    #[must_use]
    pub fn metadata(&self, role: &str) -> Option<Vec<u8>> {
        read(&self.folder.join(format!("{}.json", file_name(role))))
    }

    /// A root by its version.
    #[must_use]
    pub fn root(&self, version: u64) -> Option<Vec<u8>> {
        read(&self.folder.join("root_history").join(format!("{version}.root.json")))
    }

    pub(super) fn put_metadata(&self, role: &str, bytes: &[u8]) -> Result<(), StoreError> {
        replace(&self.folder.join(format!("{}.json", file_name(role))), bytes)
    }

    pub(super) fn put_root(&self, version: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let name = format!("{version}.root.json");
        replace(&self.folder.join("root_history").join(name), bytes)?;
        self.put_metadata("root", bytes)
    }
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
    fs::create_dir_all(folder).map_err(failed)?;
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
