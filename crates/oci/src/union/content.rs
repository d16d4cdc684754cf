//! A file's bytes on their way to a visitor.

use std::io::{self, BufRead, Read};

use proofmark_types::Hasher;

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

impl Content<'_> {
    fn drained(mut self) -> Result<Option<Hasher>, LayerError> {
        while self.failure.is_none() && self.hasher.is_some() {
            match self.fill_buf().map(<[u8]>::len) {
                Ok(0) | Err(_) => break,
                Ok(length) => self.consume(length),
            }
        }
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
