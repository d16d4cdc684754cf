//! A trust repository in one file, for machines without a network: a tar file with the layout of a mirror, so that any
//! TUF client can also use it unpacked.

use std::collections::BTreeMap;
use std::io::Read as _;

use aws_lc_rs::digest::{SHA256, digest};
use proofmark_evidence::json;
use serde_json::Value;
use thiserror::Error;

use crate::home::{Place, SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2, TRUSTED_ROOT};
use crate::tuf::Repository;

/// Bounds on what is read: the public instance has 16 roots, and all its files together 200 KB.
const MAX_FILES: usize = 1_024;
const MAX_FILE_BYTES: u64 = 5_000_000;
const MAX_TOTAL_BYTES: u64 = 64 * 1024 * 1024;

/// Names the mirror that the files were taken from.
const MIRROR: &str = "mirror.txt";

/// Writes what is kept of a mirror.
pub fn export_archive(place: &Place) -> Result<Vec<u8>, ArchiveError> {
    let absent = || ArchiveError::NothingKept {
        mirror: place.mirror().to_owned(),
    };
    let store = place.store();
    let mut files: Vec<(String, Vec<u8>)> = vec![(MIRROR.to_owned(), format!("{}\n", place.mirror()).into_bytes())];
    let root = store.metadata("root").ok_or_else(absent)?;
    let consistent = signed(&root)?
        .get("consistent_snapshot")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    let last = version(&root)?;
    for number in 1..=last {
        // The roots before the pinned one are not kept: nobody here started from them.
        if let Some(bytes) = store.root(number) {
            files.push((format!("{number}.root.json"), bytes));
        }
    }
    files.push((
        "timestamp.json".to_owned(),
        store.metadata("timestamp").ok_or_else(absent)?,
    ));
    for role in ["snapshot", "targets"] {
        let bytes = store.metadata(role).ok_or_else(absent)?;
        let name = if consistent {
            format!("{}.{role}.json", version(&bytes)?)
        } else {
            format!("{role}.json")
        };
        files.push((name, bytes));
    }
    for name in [TRUSTED_ROOT, SIGNING_CONFIG, SIGNING_CONFIG_REKOR_V2] {
        let Some(bytes) = place.target(name) else { continue };
        let path = if consistent {
            format!("targets/{}.{name}", hex::encode(digest(&SHA256, &bytes)))
        } else {
            format!("targets/{name}")
        };
        files.push((path, bytes));
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        header.set_mtime(0);
        archive
            .append_data(&mut header, &name, bytes.as_slice())
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

fn signed(bytes: &[u8]) -> Result<Value, ArchiveError> {
    let value = json::parse(bytes, MAX_FILE_BYTES).map_err(|_| ArchiveError::Metadata)?;
    value.get("signed").cloned().ok_or(ArchiveError::Metadata)
}

fn version(bytes: &[u8]) -> Result<u64, ArchiveError> {
    let version = signed(bytes)?.get("version").and_then(Value::as_u64);
    version
        .filter(|version| *version < 1_000_000)
        .ok_or(ArchiveError::Metadata)
}

/// Why there is no archive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Nothing was ever fetched from this mirror.
    #[error("nothing of {mirror} is kept on this machine")]
    NothingKept {
        /// The mirror.
        mirror: String,
    },
    /// The metadata kept here is damaged.
    #[error("the metadata kept here is damaged")]
    Metadata,
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
            Self::NothingKept { .. } => "trust-nothing-kept",
            Self::Metadata => "tuf-malformed",
            Self::Tar { .. } => "trust-archive-malformed",
            Self::TooMany { .. } | Self::TooLarge { .. } => "trust-archive-too-large",
        }
    }
}
