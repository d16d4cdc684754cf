//! A file's bytes on their way to a visitor.

use std::io::{self, BufRead, Read};

use proofmark_types::{Digest, Hasher};

use super::error::LayerError;
use super::tar::Tar;
use super::{Entry, Visitor, Wants};

/// A file's bytes, to be read once. What is left unread is skipped.
pub struct Content<'c> {
    tar: &'c mut dyn Bytes,
    hasher: Option<Hasher>,
    failure: Option<LayerError>,
}

/// The one thing asked of the tar here, without its lifetime.
trait Bytes {
    fn fill(&mut self) -> Result<&[u8], LayerError>;
    fn consume(&mut self, amount: usize);
}

impl Bytes for Tar<'_> {
    fn fill(&mut self) -> Result<&[u8], LayerError> {
        self.fill_content()
    }

    fn consume(&mut self, amount: usize) {
        self.consume_content(amount);
    }
}

/// Gives an entry's content and digest to a visitor, as it wants.
pub(super) fn show(
    tar: &mut Tar<'_>,
    entry: &Entry<'_>,
    wants: Wants,
    visitor: &mut dyn Visitor,
) -> Result<(), LayerError> {
    let mut content = Content {
        tar,
        hasher: wants.digest.then(Hasher::sha256),
        failure: None,
    };
    if wants.content {
        visitor.content(entry, &mut content);
    }
    if let Some(hasher) = content.drained()? {
        visitor.digest(entry, &hasher.finish());
    }
    Ok(())
}

/// Gives an entry's content to a function that reads of it what it likes.
pub(super) fn lend(
    tar: &mut Tar<'_>,
    reader: impl FnOnce(&mut Content<'_>) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    let mut content = Content {
        tar,
        hasher: None,
        failure: None,
    };
    let read = reader(&mut content);
    // A failure to read explains whatever the reader made of it.
    match content.failure {
        Some(failure) => Err(failure),
        None => read,
    }
}

impl Content<'_> {
    /// Hashes what is read from here on.
    pub fn start_digest(&mut self) {
        self.hasher = Some(Hasher::sha256());
    }

    /// The SHA-256 since [`Self::start_digest`] to the end, which is read; none if it was not started, or reading fails.
    pub fn digest(&mut self) -> Option<Digest> {
        self.drain();
        let hasher = self.hasher.take()?;
        self.failure.is_none().then(|| hasher.finish())
    }

    fn drain(&mut self) {
        while self.failure.is_none() && self.hasher.is_some() {
            match self.fill_buf().map(<[u8]>::len) {
                Ok(0) | Err(_) => break,
                Ok(length) => self.consume(length),
            }
        }
    }

    fn drained(mut self) -> Result<Option<Hasher>, LayerError> {
        self.drain();
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.hasher),
        }
    }
}

impl BufRead for Content<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.failure.is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match self.tar.fill() {
            Ok(bytes) => Ok(bytes),
            Err(failure) => {
                self.failure = Some(failure);
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    fn consume(&mut self, amount: usize) {
        if let (Some(hasher), Ok(bytes)) = (&mut self.hasher, self.tar.fill()) {
            hasher.update(bytes.get(..amount).unwrap_or(bytes));
        }
        self.tar.consume(amount);
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.fill_buf()?;
        let length = bytes.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}
