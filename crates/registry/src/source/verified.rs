//! A reader that checks what it reads.

use std::io;
use std::io::Read;

use bytes::Bytes;
use proofmark_oci::Descriptor;

use crate::RegistryError;
use crate::client::Check;

/// Passes bytes on and compares them with a descriptor: too many is an error at once, too few or the wrong ones an error
/// in place of the end.
pub(super) struct Verified<R> {
    inner: R,
    check: Check,
    finished: bool,
}

impl<R: Read> Verified<R> {
    pub(super) fn new(inner: R, what: String, blob: &Descriptor) -> Self {
        Self {
            inner,
            check: Check::new(what, blob),
            finished: false,
        }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.finished || buffer.is_empty() {
            return Ok(0);
        }
        let length = self.inner.read(buffer)?;
        match buffer.get(..length) {
            Some([]) | None => {
                self.check.finish().map_err(io::Error::other)?;
                self.finished = true;
            }
            Some(piece) => self.check.update(piece).map_err(io::Error::other)?,
        }
        Ok(length)
    }
}

/// Reads a whole blob of at most `limit` bytes through a verifying reader.
pub(super) fn read_all(
    reader: &mut dyn Read,
    blob: &Descriptor,
    limit: u64,
    what: &str,
) -> Result<Bytes, RegistryError> {
    if blob.size > limit {
        return Err(RegistryError::TooLarge {
            what: what.to_owned(),
            limit,
            unit: "bytes",
        });
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|error| local(what, &error))?;
    Ok(bytes.into())
}

/// The error behind an I/O error: our own where it wraps one.
pub(crate) fn local(path: &str, error: &io::Error) -> RegistryError {
    if let Some(ours) = error.get_ref().and_then(|inner| inner.downcast_ref::<RegistryError>()) {
        return ours.clone();
    }
    if error.kind() == io::ErrorKind::NotFound {
        return RegistryError::NotFound { what: path.to_owned() };
    }
    RegistryError::Local {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
