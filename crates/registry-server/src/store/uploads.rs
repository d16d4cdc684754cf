//! Uploads: bytes that arrive in one or many requests and become a blob when their digest is known and right.
//!
//! What arrived is on disk, so an upload goes on after a restart. The hash is kept beside it in memory; where it was
//! lost, the bytes are read again.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proofmark_types::{Digest, DigestAlgorithm, Hasher};

use super::{Store, StoreError, files};
use crate::error::ApiError;
use crate::name::{RepositoryName, UploadId};

/// How many uploads may be open: a client opens one a layer, at most ten or so at once, and each costs a folder.
pub(crate) const MAX_UPLOADS: usize = 4096;

/// How much is read at once where a file is hashed again.
const READ_BYTES: usize = 256 * 1024;

/// One upload, between its requests.
pub(super) struct Session {
    repository: RepositoryName,
    folder: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// A request is writing. Two at once would mix their bytes.
    busy: bool,
    offset: u64,
    /// The hash of the first `offset` bytes; none after a restart.
    hasher: Option<Hasher>,
    last_used: Instant,
}

impl Session {
    pub(super) fn resumed(repository: RepositoryName, folder: PathBuf) -> Self {
        let offset = fs::metadata(folder.join("data")).map_or(0, |data| data.len());
        Self::new(repository, folder, offset, None)
    }

    fn new(repository: RepositoryName, folder: PathBuf, offset: u64, hasher: Option<Hasher>) -> Self {
        Self {
            repository,
            folder,
            state: Mutex::new(State {
                busy: false,
                offset,
                hasher,
                last_used: Instant::now(),
            }),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one request that writes to an upload. However it ends, also by the client going away, what was written counts.
pub(crate) struct Writing {
    id: UploadId,
    session: Arc<Session>,
    file: File,
    hasher: Hasher,
    offset: u64,
}

/// A place in an upload to go back to.
pub(crate) struct Mark {
    hasher: Hasher,
    offset: u64,
}

impl Writing {
    fn begin(id: UploadId, session: Arc<Session>) -> Result<Self, StoreError> {
        let (hasher, offset) = {
            let mut state = session.lock();
            if state.busy {
                return Err(StoreError::UploadBusy);
            }
            state.busy = true;
            (state.hasher.take(), state.offset)
        };
        match Self::open(&session.data(), hasher, offset) {
            Ok((file, hasher)) => Ok(Self {
                id,
                session,
                file,
                hasher,
                offset,
            }),
            Err(error) => {
                session.lock().busy = false;
                Err(StoreError::io("opening an upload")(error))
            }
        }
    }

    fn open(data: &Path, hasher: Option<Hasher>, offset: u64) -> io::Result<(File, Hasher)> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(false).read(true).write(true).open(data)?;
        // What counts is what was hashed. More is the rest of a write that failed and could not be taken back; less
        // must never be put in the place of the whole.
        if file.metadata()?.len() < offset {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        file.set_len(offset)?;
        let hasher = match hasher {
            Some(hasher) => hasher,
            None => hash(&mut file, offset, DigestAlgorithm::Sha256)?,
        };
        file.seek(SeekFrom::Start(offset))?;
        Ok((file, hasher))
    }

    /// How many bytes have arrived.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            hasher: self.hasher.clone(),
            offset: self.offset,
        }
    }

    /// Forgets what was written since `mark`.
    pub(crate) fn roll_back(&mut self, mark: Mark) -> Result<(), StoreError> {
        let truncate = |file: &mut File| {
            file.set_len(mark.offset)?;
            file.seek(SeekFrom::Start(mark.offset))
        };
        truncate(&mut self.file).map_err(StoreError::io("taking back a chunk"))?;
        self.hasher = mark.hasher;
        self.offset = mark.offset;
        self.report();
        Ok(())
    }

    /// Lets others see how far this is.
    fn report(&self) {
        self.session.lock().offset = self.offset;
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, pieces: &[Bytes]) -> Result<(), StoreError> {
        let mark = self.mark();
        for piece in pieces {
            if let Err(error) = self.file.write_all(piece) {
                // Part of the piece may be in the file: what counts must be what was hashed.
                self.roll_back(mark)?;
                return Err(StoreError::io("writing an upload")(error));
            }
            self.hasher.update(piece);
            self.offset += piece.len() as u64;
        }
        self.report();
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        state.busy = false;
        state.offset = self.offset;
        state.hasher = Some(self.hasher.clone());
        state.last_used = Instant::now();
    }
}

impl Store {
    /// Opens an upload into a repository.
    pub(crate) fn start_upload(&self, name: &RepositoryName) -> Result<UploadId, ApiError> {
        let id = UploadId::random()?;
        let folder = self.root.join("uploads").join(id.as_str());
        let session = Session::new(name.clone(), folder.clone(), 0, Some(Hasher::sha256()));
        {
            let mut uploads = self.lock_uploads();
            if uploads.len() >= MAX_UPLOADS {
                return Err(StoreError::TooManyUploads { limit: MAX_UPLOADS }.into());
            }
            uploads.insert(id.clone(), Arc::new(session));
        }
        // No sync: after a power cut the client is told that the upload is unknown, and starts again.
        let written = fs::create_dir(&folder).and_then(|()| fs::write(folder.join("repository"), name.as_str()));
        if let Err(error) = written {
            self.lock_uploads().remove(&id);
            return Err(StoreError::io("starting an upload")(error).into());
        }
        Ok(id)
    }

    /// How many bytes of an upload have arrived.
    pub(crate) fn upload_offset(&self, name: &RepositoryName, id: &UploadId) -> Result<u64, StoreError> {
        Ok(self.session(name, id)?.lock().offset)
    }

    /// Goes on with an upload; one request at a time.
    pub(crate) fn resume_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<Writing, StoreError> {
        Writing::begin(id.clone(), self.session(name, id)?)
    }

    /// Makes an upload a blob of its repository: hash checked, bytes synced, renamed into place, linked.
    pub(crate) fn finish_upload(&self, mut writing: Writing, expected: &Digest) -> Result<(), StoreError> {
        let seen = match expected.algorithm() {
            DigestAlgorithm::Sha256 => writing.hasher.clone().finish(),
            other => hash(&mut writing.file, writing.offset, other)
                .map_err(StoreError::io("hashing an upload"))?
                .finish(),
        };
        if seen != *expected {
            self.discard(&writing);
            return Err(StoreError::DigestMismatch {
                expected: expected.clone(),
                seen,
            });
        }
        let name = &writing.session.repository;
        writing.file.sync_all().map_err(StoreError::io("syncing a blob"))?;
        let content = self.adding_content();
        let placed = files::place(&writing.session.data(), &self.blob_path(expected))
            .map_err(StoreError::io("placing a blob"))
            .and_then(|()| {
                files::touch(&self.blob_link(name, expected)).map_err(StoreError::io("linking a blob"))?;
                self.remember(name);
                Ok(())
            });
        drop(content);
        // Also when it failed: the bytes may have moved already, and an upload that goes on without them would put an
        // empty file in their place.
        self.discard(&writing);
        placed
    }

    /// Ends an upload and removes its bytes.
    pub(crate) fn cancel_upload(&self, name: &RepositoryName, id: &UploadId) -> Result<(), StoreError> {
        let writing = self.resume_upload(name, id)?;
        self.discard(&writing);
        Ok(())
    }

    /// Removes uploads that nobody wrote to for `idle`.
    pub(crate) fn expire_uploads(&self, idle: Duration) {
        let expired: Vec<UploadId> = self
            .lock_uploads()
            .iter()
            .filter(|(_, session)| {
                let state = session.lock();
                !state.busy && state.last_used.elapsed() >= idle
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            let session = self.lock_uploads().get(&id).cloned();
            // Someone may have come back in between; then it is busy and stays.
            if let Some(Ok(writing)) = session.map(|session| Writing::begin(id, session)) {
                tracing::info!(upload.id = writing.id.as_str(), "an idle upload was removed");
                self.discard(&writing);
            }
        }
    }

    pub(super) fn adopt_upload(&self, id: UploadId, session: Session) {
        self.lock_uploads().insert(id, Arc::new(session));
    }

    fn discard(&self, writing: &Writing) {
        self.lock_uploads().remove(&writing.id);
        // What cannot be removed now is found at the next start.
        let _ = fs::remove_dir_all(&writing.session.folder);
    }

    /// An upload belongs to the repository that it was opened in.
    fn session(&self, name: &RepositoryName, id: &UploadId) -> Result<Arc<Session>, StoreError> {
        self.lock_uploads()
            .get(id)
            .filter(|session| session.repository == *name)
            .cloned()
            .ok_or(StoreError::UploadUnknown)
    }

    fn lock_uploads(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes the first `length` bytes of a file.
fn hash(file: &mut File, length: u64, algorithm: DigestAlgorithm) -> io::Result<Hasher> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; READ_BYTES];
    let mut reader = file.take(length);
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher);
        }
        hasher.update(&buffer[..count]);
    }
}
