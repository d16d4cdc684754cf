//! A trust repository in one file, for machines without a network: a tar file with the layout of a mirror, so that any
//! TUF client can also use it unpacked.

use std::collections::BTreeMap;
use std::io::Read as _;

use thiserror::Error;

use crate::tuf::Repository;

/// Bounds on what is read: the public instance has 16 roots, and all its files together 200 KB.
const MAX_FILES: usize = 1_024;
const MAX_FILE_BYTES: u64 = 5_000_000;
const MAX_TOTAL_BYTES: u64 = 64 * 1024 * 1024;

/// Names the mirror that the files were taken from.
const MIRROR: &str = "mirror.txt";

/// Packs the files of a mirror, by their paths below it.
pub(crate) fn write_archive(mirror: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, ArchiveError> {
    let mut archive = tar::Builder::new(Vec::new());
    let name = format!("{mirror}\n").into_bytes();
    for (path, bytes) in [(MIRROR, &name)]
        .into_iter()
        .chain(files.iter().map(|(path, bytes)| (path.as_str(), bytes)))
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        header.set_mtime(0);
        archive
            .append_data(&mut header, path, bytes.as_slice())
            .map_err(|source| ArchiveError::Tar { source })?;
    }
    archive.into_inner().map_err(|source| ArchiveError::Tar { source })
}

/// Reads an archive: the mirror that it says it was taken from, and its files as a repository. Nothing in it is believed
/// yet, and nothing is written.
pub fn read_archive(bytes: &[u8]) -> Result<(Option<String>, Repository), ArchiveError> {
    let failed = |source| ArchiveError::Tar { source };
    let mut files = BTreeMap::new();
    let mut left = MAX_TOTAL_BYTES;
    let mut archive = tar::Archive::new(bytes);
    for (count, entry) in archive.entries().map_err(failed)?.enumerate() {
        let entry = entry.map_err(failed)?;
        if count >= MAX_FILES {
            return Err(ArchiveError::TooMany { limit: MAX_FILES });
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let mut content = Vec::new();
        let limit = MAX_FILE_BYTES.min(left);
        entry.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        if size > limit {
            return Err(ArchiveError::TooLarge { name, limit });
        }
        left -= size;
        files.insert(name, content);
    }
    let mirror = files
        .remove(MIRROR)
        .and_then(|text| String::from_utf8(text).ok())
        .map(|text| text.trim().to_owned());
    Ok((mirror, Repository::files(files)))
}

/// Why there is no archive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Not a tar file, or one that ends early.
    #[error("the archive cannot be read or written")]
    Tar {
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// More files than a repository has.
    #[error("the archive has more than {limit} files")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A file larger than any of a repository.
    #[error("\"{name}\" in the archive has more than {limit} bytes")]
    TooLarge {
        /// The file.
        name: String,
        /// The limit.
        limit: u64,
    },
}

impl ArchiveError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Tar { .. } => "trust-archive-malformed",
            Self::TooMany { .. } | Self::TooLarge { .. } => "trust-archive-too-large",
        }
    }
}
