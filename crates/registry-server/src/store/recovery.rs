//! What a start does: clears what a crash left, learns the repositories, finds the uploads that can go on.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::PoisonError;

use proofmark_types::{Digest, DigestAlgorithm};

use super::manifests::digest_of_entry;
use super::uploads::{MAX_UPLOADS, Session};
use super::{Store, files};
use crate::name::{RepositoryName, UploadId};

/// How deep the folders of repositories go: a name of 255 bytes has at most 128 components.
const MAX_DEPTH: usize = 128;

impl Store {
    /// Runs before anyone else has the store, so it takes no locks but those that the language asks for.
    pub(super) fn recover(&mut self) -> io::Result<()> {
        for folder in ["tmp", "uploads", "blobs", "repositories"] {
            files::make_folder(&self.root.join(folder))?;
        }
        for name in files::names(&self.root.join("tmp"))? {
            fs::remove_file(self.root.join("tmp").join(name))?;
        }
        let repositories = self.find_repositories()?;
        let mut linked = HashSet::new();
        for name in &repositories {
            linked.extend(self.linked(name, "_blobs")?);
            linked.extend(self.linked(name, "_manifests")?);
            self.remove_dangling_referrers(name)?;
        }
        *self.repositories.write().unwrap_or_else(PoisonError::into_inner) = repositories;
        self.remove_unlinked_content(&linked)?;
        self.find_uploads()
    }

    fn find_repositories(&self) -> io::Result<BTreeSet<RepositoryName>> {
        let mut found = BTreeSet::new();
        let mut pending: Vec<(String, usize)> = vec![(String::new(), 0)];
        while let Some((path, depth)) = pending.pop() {
            let folder = self.root.join("repositories").join(&path);
            for entry in files::names(&folder)? {
                if entry == "_manifests" || entry == "_blobs" {
                    found.extend(RepositoryName::parse(&path));
                } else if !entry.starts_with('_') && depth < MAX_DEPTH {
                    let below = if path.is_empty() {
                        entry
                    } else {
                        format!("{path}/{entry}")
                    };
                    pending.push((below, depth + 1));
                }
            }
        }
        Ok(found)
    }

    fn linked(&self, name: &RepositoryName, kind: &str) -> io::Result<Vec<Digest>> {
        let folder = self.repository_folder(name).join(kind);
        let mut found = Vec::new();
        for algorithm in files::names(&folder)? {
            found.extend(digests(&folder.join(&algorithm), &algorithm)?);
        }
        Ok(found)
    }

    /// A crash between a referrer's entry and its link, or between the removal of the two, leaves an entry alone.
    fn remove_dangling_referrers(&self, name: &RepositoryName) -> io::Result<()> {
        for subject in self.linked(name, "_referrers")? {
            let folder = self.referrers_folder(name, &subject);
            for entry in files::names(&folder)? {
                let lives = digest_of_entry(&entry).is_some_and(|digest| self.manifest_link(name, &digest).exists());
                if !lives {
                    fs::remove_file(folder.join(entry))?;
                }
            }
        }
        Ok(())
    }

    fn remove_unlinked_content(&self, linked: &HashSet<Digest>) -> io::Result<()> {
        let blobs = self.root.join("blobs");
        let mut removed = 0_u64;
        for algorithm in files::names(&blobs)? {
            for shard in files::names(&blobs.join(&algorithm))? {
                for digest in digests(&blobs.join(&algorithm).join(shard), &algorithm)? {
                    if !linked.contains(&digest) {
                        fs::remove_file(self.blob_path(&digest))?;
                        removed += 1;
                    }
                }
            }
        }
        if removed > 0 {
            tracing::info!(removed, "content of unfinished requests was removed");
        }
        Ok(())
    }

    fn find_uploads(&self) -> io::Result<()> {
        let folder = self.root.join("uploads");
        for (count, entry) in files::names(&folder)?.into_iter().enumerate() {
            let path = folder.join(&entry);
            let repository = files::read(&path.join("repository"))?
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(|text| RepositoryName::parse(&text).ok());
            match (entry.parse::<UploadId>(), repository) {
                (Ok(id), Some(repository)) if count < MAX_UPLOADS => {
                    self.adopt_upload(id, Session::resumed(repository, path));
                }
                _ => fs::remove_dir_all(&path)?,
            }
        }
        Ok(())
    }
}

/// The digests whose hex are the names in a folder; other names were not written by us, and stay.
fn digests(folder: &Path, algorithm: &str) -> io::Result<Vec<Digest>> {
    let Ok(algorithm) = DigestAlgorithm::parse(algorithm) else {
        return Ok(Vec::new());
    };
    let names = files::names(folder)?;
    Ok(names
        .iter()
        .filter_map(|hex| Digest::from_hex(algorithm, hex).ok())
        .collect())
}
