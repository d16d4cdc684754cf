//! The folder that holds one trust domain: atomic writes, private modes, one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// No file of the folder but the log comes near this: keys, certificates and configuration are a few kilobytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Files that others may read, such as the trusted root.
pub(crate) const PUBLIC: u32 = 0o644;
/// Files with keys.
pub(crate) const PRIVATE: u32 = 0o600;

/// Why a file of the folder could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The operating system's refusal.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// There is a trust domain in the folder already; `init` never overwrites keys.
    #[error("{path} is there already, and keys are never overwritten")]
    Exists {
        /// The file found.
        path: PathBuf,
    },
    /// Another process serves this folder; two would fork the log.
    #[error("{path} is locked by another process, and two on one log would fork it")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Not one of ours.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is read at most.
        limit: u64,
    },
    /// A key that others can read is no longer a secret.
    #[error("{path} has mode {mode:o}, but a key must be readable by its owner only (600)")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl FolderError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "trust-folder-io",
            Self::Exists { .. } => "trust-folder-exists",
            Self::Locked { .. } => "trust-folder-locked",
            Self::TooLarge { .. } => "trust-file-too-large",
            Self::Mode { .. } => "trust-key-mode",
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Makes a folder that only its owner can enter, with its parents.
pub(crate) fn create_private(path: &Path) -> Result<(), FolderError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FolderError::io("create", path))
}

/// Replaces a file at once: whoever opens it sees all of the old or all of the new one, also after a crash.
pub(crate) fn replace(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), FolderError> {
    let temporary = path.with_extension("tmp");
    // One that a crash left may have another mode, which the new file, perhaps a key, must not inherit.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FolderError::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(FolderError::io("create", &temporary))?;
    file.write_all(bytes).map_err(FolderError::io("write", &temporary))?;
    file.sync_all().map_err(FolderError::io("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(FolderError::io("replace", path))?;
    sync_parent(path)
}

/// Writes a file that must not be there yet.
pub(crate) fn create_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), FolderError> {
    if path.exists() {
        return Err(FolderError::Exists { path: path.to_owned() });
    }
    replace(path, mode, bytes)
}

/// Reads a whole file, bounded.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FolderError> {
    let file = File::open(path).map_err(FolderError::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(FolderError::io("read", path))?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n > MAX_FILE_BYTES) {
        return Err(FolderError::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE_BYTES,
        });
    }
    Ok(bytes)
}

/// Reads a file with a key in it, and refuses one that others can read.
pub(crate) fn read_private(path: &Path) -> Result<Vec<u8>, FolderError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(path).map_err(FolderError::io("open", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FolderError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    read(path)
}

/// Takes the folder for this process, until the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File, FolderError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
        .map_err(FolderError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FolderError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(FolderError::io("lock", path)(source)),
    }
}

/// Makes the name of a new file durable (a rename is, only once its folder is).
pub(crate) fn sync_parent(path: &Path) -> Result<(), FolderError> {
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(FolderError::io("sync", parent))
}
