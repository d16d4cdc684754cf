//! What is on disk, and in which order it gets there.
//!
//! ```text
//! lock                                              held by the one process that writes; says the version
//! blobs/<algorithm>/<2 hex>/<hex>                   all bytes, blobs and manifests, by digest
//! repositories/<name>/_blobs/<algorithm>/<hex>      empty: this repository has that blob
//! repositories/<name>/_manifests/<algorithm>/<hex>  JSON: its media type, size and subject
//! repositories/<name>/_referrers/<algorithm>/<hex of the subject>/<algorithm>-<hex>   JSON: the referrer's descriptor
//! repositories/<name>/_tags/<tag>                   the digest
//! uploads/<id>/{repository,data}                    what has arrived of an upload
//! tmp/                                              files on their way; emptied at the start
//! ```
//!
//! Every file appears by rename, after its bytes were synced, and its folder is synced before the client hears 201. A
//! repository sees content only through its links, and a link is made last: a crash leaves bytes that nobody sees, which
//! the next start removes, but never a name without its content. Folders with `_` cannot collide with repositories,
//! whose components start with a letter or digit.

mod blobs;
mod error;
mod files;
mod manifests;
mod recovery;
mod tags;
mod uploads;

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use proofmark_types::Digest;
use regex::Regex;
use thiserror::Error;

use crate::name::{RepositoryName, UploadId};

pub(crate) use error::StoreError;
pub(crate) use tags::Page;
pub(crate) use uploads::{Mark, Writing};

/// What the lock file holds.
const FORMAT: &str = "proofmark registry 1\n";

/// Repositories share this many locks; two that share one wait for each other, nothing else.
const STRIPES: usize = 64;

/// The folder of one registry, opened by one process.
pub(crate) struct Store {
    root: PathBuf,
    immutable_tags: Vec<Regex>,
    repositories: RwLock<BTreeSet<RepositoryName>>,
    uploads: Mutex<HashMap<UploadId, Arc<uploads::Session>>>,
    /// Held while a repository's manifests and tags change. Taken before `content`.
    stripes: [Mutex<()>; STRIPES],
    /// Shared while bytes and the link to them appear; exclusive while bytes that no link names are removed, so that
    /// nobody links what is going away.
    content: RwLock<()>,
    temporary: AtomicU64,
    // Released when the file closes, also by a kill.
    _lock: File,
}

impl Store {
    /// Opens or makes the folder, removes what a crash left, and finds the uploads that can go on.
    pub(crate) fn open(root: &Path, immutable_tags: &[String]) -> Result<Self, OpenError> {
        let immutable_tags = immutable_tags
            .iter()
            .map(|pattern| anchored(pattern))
            .collect::<Result<_, _>>()?;
        let failed = |source| OpenError::Folder {
            root: root.to_owned(),
            source,
        };
        std::fs::create_dir_all(root).map_err(failed)?;
        let mut options = OpenOptions::new();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { root: root.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        check_format(&mut lock, root)?;
        let mut store = Self {
            root: root.to_owned(),
            immutable_tags,
            repositories: RwLock::default(),
            uploads: Mutex::default(),
            stripes: [const { Mutex::new(()) }; STRIPES],
            content: RwLock::default(),
            temporary: AtomicU64::new(0),
            _lock: lock,
        };
        store.recover().map_err(failed)?;
        Ok(store)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let shard = hex.get(..2).unwrap_or_default();
        self.root
            .join("blobs")
            .join(digest.algorithm().name())
            .join(shard)
            .join(&hex)
    }

    fn repository_folder(&self, name: &RepositoryName) -> PathBuf {
        self.root.join("repositories").join(name.as_str())
    }

    fn blob_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.link(name, "_blobs", digest)
    }

    fn manifest_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.link(name, "_manifests", digest)
    }

    fn link(&self, name: &RepositoryName, kind: &str, digest: &Digest) -> PathBuf {
        let folder = self.repository_folder(name).join(kind);
        folder.join(digest.algorithm().name()).join(digest.hex())
    }

    /// A path in `tmp/` that nothing else has.
    fn temporary_path(&self) -> PathBuf {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(number.to_string())
    }

    fn write_file(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        files::write_atomically(&self.temporary_path(), target, bytes)
    }

    fn knows(&self, name: &RepositoryName) -> bool {
        self.read_repositories().contains(name)
    }

    fn remember(&self, name: &RepositoryName) {
        if !self.knows(name) {
            let mut repositories = self.repositories.write().unwrap_or_else(PoisonError::into_inner);
            repositories.insert(name.clone());
        }
    }

    fn read_repositories(&self) -> RwLockReadGuard<'_, BTreeSet<RepositoryName>> {
        self.repositories.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_repository(&self, name: &RepositoryName) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
        let stripe = usize::try_from(hash % STRIPES as u64).unwrap_or_default();
        // The guarded state is on disk and whole after each step, so a panic of another holder spoils nothing.
        self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn adding_content(&self) -> RwLockReadGuard<'_, ()> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn removing_content(&self) -> RwLockWriteGuard<'_, ()> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any repository has `digest`, as a blob or as a manifest.
    fn is_linked(&self, digest: &Digest) -> bool {
        self.read_repositories()
            .iter()
            .any(|name| self.blob_link(name, digest).exists() || self.manifest_link(name, digest).exists())
    }
}

/// The lock file says which layout the folder has, so that a later version knows what it finds.
fn check_format(lock: &mut File, root: &Path) -> Result<(), OpenError> {
    let mut format = String::new();
    let read = (&mut *lock).take(FORMAT.len() as u64 + 1).read_to_string(&mut format);
    let written = read.and_then(|_| match format.is_empty() {
        // A start empties these two, so that a folder of something else must not be taken for a new one.
        true if ["tmp", "uploads"]
            .iter()
            .any(|folder| files::names(&root.join(folder)).map_or(true, |names| !names.is_empty())) =>
        {
            Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it is no registry's folder, and has something in tmp or uploads",
            ))
        }
        true => lock.write_all(FORMAT.as_bytes()).and_then(|()| lock.sync_all()),
        false => Ok(()),
    });
    written.map_err(|source| OpenError::Folder {
        root: root.to_owned(),
        source,
    })?;
    if format.is_empty() || format == FORMAT {
        Ok(())
    } else {
        Err(OpenError::Format { root: root.to_owned() })
    }
}

fn anchored(pattern: &str) -> Result<Regex, OpenError> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|source| OpenError::Pattern {
        pattern: pattern.to_owned(),
        source: Box::new(source),
    })
}

/// Why a registry's folder could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process serves the same folder; two writers would lose each other's tags.
    #[error("the folder {} is in use by another registry process", root.display())]
    Locked {
        /// The folder.
        root: PathBuf,
    },
    /// It was written by another version, or is no registry's folder.
    #[error("the folder {} is not a registry of this version", root.display())]
    Format {
        /// The folder.
        root: PathBuf,
    },
    /// The folder cannot be made, read or written.
    #[error("cannot use the folder {}: {source}", root.display())]
    Folder {
        /// The folder.
        root: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A pattern for immutable tags is no regular expression.
    #[error("\"{pattern}\" is not a regular expression for tags: {source}")]
    Pattern {
        /// The pattern as configured.
        pattern: String,
        /// Where it breaks.
        source: Box<regex::Error>,
    },
}
