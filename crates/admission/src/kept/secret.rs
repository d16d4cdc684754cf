//! The secret that records are sealed with. Whoever can write where records are kept must not be able to read it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;

use super::KeepingError;

/// Of the secret, drawn at random; as long as the hash.
const BYTES: usize = 32;

/// The largest secret read.
const MAX_BYTES: u64 = 4096;

/// What the key is for: another use of the same file would be another key.
const PURPOSE: &[u8] = b"proofmark admission, kept evidence, 1";

pub(crate) struct Secret(hmac::Key);

impl Secret {
    /// Reads the secret, or makes it. It may not lie in the folder of the records.
    pub(crate) fn open(path: &Path, records: Option<&Path>) -> Result<Self, KeepingError> {
        let unusable = |reason: &str| KeepingError::Secret {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(failed("read", path)(error)),
        };
        if bytes.len() < BYTES || bytes.len() as u64 > MAX_BYTES {
            return Err(unusable(&format!(
                "expected {BYTES} to {MAX_BYTES} bytes, it has {}",
                bytes.len()
            )));
        }
        if is_open_to_others(path).map_err(failed("read", path))? {
            return Err(unusable("others may read or write it; expected mode 0600"));
        }
        let within = |records: &Path| {
            let (file, folder) = (path.canonicalize().ok()?, records.canonicalize().ok()?);
            Some(file.starts_with(folder))
        };
        if records.is_some_and(|records| within(records).unwrap_or(true)) {
            return Err(unusable("it lies in the folder of the evidence; expected it elsewhere"));
        }
        Ok(Self::of(&bytes))
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let outer = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let derived = hmac::sign(&outer, PURPOSE);
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    pub(crate) fn sign(&self, content: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, content).as_ref().to_vec()
    }

    /// Whether `seal` was made by this secret over `content`; takes the same time for every wrong one.
    pub(crate) fn is_mine(&self, content: &[u8], seal: &[u8]) -> bool {
        hmac::verify(&self.0, content, seal).is_ok()
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Draws a secret and stores it, unless another process was quicker: then its secret is the one.
fn make(path: &Path) -> Result<Vec<u8>, KeepingError> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeepingError::Secret {
        path: path.to_owned(),
        reason: "no randomness".to_owned(),
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
    }
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    write_private(&temporary, &bytes).map_err(failed("write", &temporary))?;
    // A hard link, unlike a rename, fails when the target exists.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(failed("remove", &temporary))?;
    match linked {
        Ok(()) => Ok(bytes.to_vec()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path).map_err(failed("read", path)),
        Err(error) => Err(failed("create", path)(error)),
    }
}

/// Writes a file that only its owner can read, through to the disk.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    // A Secret of Kubernetes is mounted with the group's right to read where `fsGroup` is set; others never.
    Ok(fs::metadata(path)?.permissions().mode() & 0o027 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> std::io::Result<bool> {
    Ok(false)
}

pub(super) fn failed<'p>(verb: &'static str, path: &'p Path) -> impl FnOnce(std::io::Error) -> KeepingError + 'p {
    move |source| KeepingError::File {
        verb,
        path: PathBuf::from(path),
        source,
    }
}
