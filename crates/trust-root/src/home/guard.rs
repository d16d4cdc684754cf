//! Whose the cache is: what another user could have written is not read.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use super::error::HomeError;

/// The largest file read: a copy has at most three documents and the metadata of one repository.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Refuses a folder that another user owns or may write to; one that is not there is nobody's.
pub(super) fn folder(path: &Path) -> Result<(), HomeError> {
    match std::fs::metadata(path) {
        Ok(metadata) => own(path, &metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(damaged(path, &error)),
    }
}

/// Reads a file that nobody else could have written; none if it is not there. Whose it is is asked of the file that was
/// opened, not of its name.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, HomeError> {
    let file = match File::open(path) {
        Ok(file) => file,
        // A link that leads nowhere is there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => return Ok(None),
        Err(error) => return Err(damaged(path, &error)),
    };
    own(path, &file.metadata().map_err(|error| damaged(path, &error))?)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(path, &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(HomeError::Damaged {
            path: path.to_owned(),
            reason: format!("it has more than {MAX_BYTES} bytes"),
        });
    }
    Ok(Some(bytes))
}

/// Whether nobody but this user and the administrator could have written it.
#[cfg(unix)]
fn own(path: &Path, metadata: &Metadata) -> Result<(), HomeError> {
    match written_by_others(metadata) {
        None => Ok(()),
        Some(reason) => Err(HomeError::Unsafe {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// Why somebody other than this user and the administrator could have written it, if so: whose it is, or its mode.
#[cfg(unix)]
#[must_use]
pub fn written_by_others(metadata: &Metadata) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;

    /// The administrator can change this program as well.
    const ROOT: u32 = 0;
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != me && owner != ROOT {
        return Some(format!("belongs to user {owner} (this is user {me})"));
    }
    let mode = metadata.mode();
    (mode & 0o022 != 0).then(|| format!("can be written by others (mode {:04o})", mode & 0o7777))
}

#[cfg(not(unix))]
fn own(_path: &Path, _metadata: &Metadata) -> Result<(), HomeError> {
    Ok(())
}

fn damaged(path: &Path, error: &io::Error) -> HomeError {
    HomeError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
