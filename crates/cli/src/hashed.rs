//! Bytes hashed and counted on their way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use proofmark_types::{Digest, Hasher};

/// Hashes and counts what is written.
pub(crate) struct Hashed<W> {
    writer: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Hashed<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self {
            writer,
            hasher: Hasher::sha256(),
            size: 0,
        }
    }

    /// How many bytes were written.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The writer, and the digest and number of bytes that went through.
    pub(crate) fn finish(self) -> (W, Digest, u64) {
        (self.writer, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.writer.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.size += u64::try_from(length).unwrap_or(u64::MAX);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The digest and number of all bytes that are left, read in pieces.
pub(crate) fn all(mut reader: impl Read) -> io::Result<(Digest, u64)> {
    // `io::copy` alone reads 8 KiB at a time.
    let mut sink = io::BufWriter::with_capacity(256 * 1024, Hashed::new(io::sink()));
    io::copy(&mut reader, &mut sink)?;
    let (_, digest, size) = sink.into_inner()?.finish();
    Ok((digest, size))
}

/// The digest and size of a file.
pub(crate) fn file(path: &Path) -> io::Result<(Digest, u64)> {
    all(File::open(path)?)
}
