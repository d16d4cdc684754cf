//! Blobs: read, mounted from one repository into another, deleted.

use std::fs::{self, File};

use proofmark_types::Digest;

use super::{Store, StoreError, files};
use crate::name::RepositoryName;

/// A blob ready to be read.
pub(crate) struct OpenBlob {
    pub(crate) file: File,
    pub(crate) size: u64,
}

impl Store {
    /// Opens a blob that the repository has.
    pub(crate) fn open_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<OpenBlob, StoreError> {
        if !self.blob_link(name, digest).exists() {
            return Err(StoreError::BlobUnknown(digest.clone()));
        }
        let open = || {
            let file = File::open(self.blob_path(digest))?;
            let size = file.metadata()?.len();
            Ok(OpenBlob { file, size })
        };
        match open() {
            Ok(blob) => Ok(blob),
            // Deleted between the two looks.
            Err(error) if files::is_absent(&error) => Err(StoreError::BlobUnknown(digest.clone())),
            Err(error) => Err(StoreError::io("opening a blob")(error)),
        }
    }

    /// Gives `name` a blob that another repository has: that one, or any if none is named. `false` if there is none.
    pub(crate) fn mount_blob(
        &self,
        name: &RepositoryName,
        from: Option<&RepositoryName>,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let _content = self.adding_content();
        let found = match from {
            Some(from) => self.blob_link(from, digest).exists(),
            // Only what some repository still has: bytes whose last link was deleted must not come back to someone who
            // knows no more than their digest.
            None => self
                .read_repositories()
                .iter()
                .any(|other| self.blob_link(other, digest).exists()),
        };
        if found {
            files::touch(&self.blob_link(name, digest)).map_err(StoreError::io("mounting a blob"))?;
            self.remember(name);
        }
        Ok(found)
    }

    /// Takes a blob from a repository; the bytes go when no other repository has them.
    pub(crate) fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _repository = self.lock_repository(name);
        self.check_not_held(name, digest)?;
        let _content = self.removing_content();
        let removed = files::remove(&self.blob_link(name, digest)).map_err(StoreError::io("deleting a blob"))?;
        if !removed {
            return Err(StoreError::BlobUnknown(digest.clone()));
        }
        self.reclaim(digest)
    }

    /// Removes bytes that no repository has. The caller holds `removing_content`.
    pub(super) fn reclaim(&self, digest: &Digest) -> Result<(), StoreError> {
        if !self.is_linked(digest) {
            files::remove(&self.blob_path(digest)).map_err(StoreError::io("removing content"))?;
        }
        Ok(())
    }

    /// The size of what the repository has under `digest`, as a blob or as a manifest.
    pub(super) fn size_of(&self, name: &RepositoryName, digest: &Digest) -> Option<u64> {
        let linked = self.blob_link(name, digest).exists() || self.manifest_link(name, digest).exists();
        let metadata = fs::metadata(self.blob_path(digest)).ok()?;
        linked.then_some(metadata.len())
    }
}
