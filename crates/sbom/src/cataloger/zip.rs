//! Zip archives in memory (PKWARE's APPNOTE.TXT): the list of files at the end, and the files it names.
//!
//! Names are shown, never used as paths. What the list says of lengths is held against what there is.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::DeflateDecoder;
use thiserror::Error;

use super::number::{le16, le32, size, slice};

const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LISTED: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

const END_LENGTH: usize = 22;
const LISTED_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;

/// The longest comment behind the end record.
const MAX_COMMENT: usize = 0xffff;

/// The most files of an archive; the largest jars in use have 60,000.
const MAX_ENTRIES: usize = 300_000;

/// An archive of which the list of files was found.
pub(super) struct Archive<'b> {
    bytes: &'b [u8],
    list: &'b [u8],
    count: usize,
    /// How many bytes stand before the archive: a shell script, in Spring's executable jars.
    shift: usize,
}

/// A file of the list.
pub(super) struct Entry {
    /// Its name, as it stands there.
    pub(super) name: String,
    encrypted: bool,
    method: u16,
    compressed: usize,
    at: usize,
}

/// Why an archive or a file in it cannot be read.
#[derive(Debug, Error)]
pub(super) enum ZipError {
    #[error("it is no zip archive")]
    NoEnd,
    #[error("its list of files leads out of it")]
    List,
    #[error("a file's place leads out of the archive")]
    Place,
    #[error("it is encrypted")]
    Encrypted,
    #[error("compression method {0} is not read")]
    Method(u16),
    #[error("it does not inflate")]
    Inflate(#[source] std::io::Error),
    #[error("it is longer than the {0} bytes that may be read here")]
    TooLarge(usize),
}

impl ZipError {
    pub(super) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge(_))
    }
}

impl<'b> Archive<'b> {
    pub(super) fn open(bytes: &'b [u8]) -> Result<Self, ZipError> {
        let tail_start = bytes.len().saturating_sub(END_LENGTH + MAX_COMMENT);
        let tail = bytes.get(tail_start..).unwrap_or_default();
        let end = tail
            .windows(END_LENGTH)
            .rposition(|window| window.starts_with(&END))
            .map(|at| tail_start + at)
            .ok_or(ZipError::NoEnd)?;
        let record = bytes.get(end..).ok_or(ZipError::NoEnd)?;
        let (count, length, offset, list_end) = match Self::end_64(bytes, end) {
            Some(end_64) => end_64,
            None => (
                le16(record, 10).map_or(0, usize::from),
                le32(record, 12).and_then(size).ok_or(ZipError::List)?,
                le32(record, 16).and_then(size).ok_or(ZipError::List)?,
                end,
            ),
        };
        let start = list_end.checked_sub(length).ok_or(ZipError::List)?;
        let shift = start.checked_sub(offset).ok_or(ZipError::List)?;
        Ok(Self {
            bytes,
            list: slice(bytes, start, length).ok_or(ZipError::List)?,
            count: count.min(MAX_ENTRIES),
            shift,
        })
    }

    /// The larger record, if there is one right before the end record: count, length, offset, and where the list ends.
    fn end_64(bytes: &[u8], end: usize) -> Option<(usize, usize, usize, usize)> {
        const LOCATOR: usize = 20;
        const RECORD: usize = 56;
        let locator = slice(bytes, end.checked_sub(LOCATOR)?, LOCATOR)?;
        locator.starts_with(b"PK\x06\x07").then_some(())?;
        let at = end.checked_sub(LOCATOR + RECORD)?;
        let record = slice(bytes, at, RECORD)?;
        record.starts_with(&END_64).then_some(())?;
        // The upper halves are for archives larger than what is read.
        let low = |at: usize| (le32(record, at + 4)? == 0).then(|| le32(record, at).and_then(size))?;
        Some((low(32)?, low(40)?, low(48)?, at))
    }

    /// The files, in the list's order.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<Entry, ZipError>> + use<'b> {
        let mut rest = self.list;
        let mut left = self.count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let entry = Entry::read(&mut rest).ok_or(ZipError::List);
            if entry.is_err() {
                left = 0;
            }
            Some(entry)
        })
    }

    /// A file's bytes, if they are not more than `limit`.
    pub(super) fn content(&self, entry: &Entry, limit: usize) -> Result<Cow<'b, [u8]>, ZipError> {
        if entry.encrypted {
            return Err(ZipError::Encrypted);
        }
        let at = entry.at.checked_add(self.shift).ok_or(ZipError::Place)?;
        let header = slice(self.bytes, at, LOCAL_LENGTH).ok_or(ZipError::Place)?;
        if !header.starts_with(&LOCAL) {
            return Err(ZipError::Place);
        }
        let lengths = [26, 28].map(|at| le16(header, at).map_or(0, usize::from));
        let start = at + LOCAL_LENGTH + lengths.iter().sum::<usize>();
        let data = slice(self.bytes, start, entry.compressed).ok_or(ZipError::Place)?;
        match entry.method {
            0 if data.len() > limit => Err(ZipError::TooLarge(limit)),
            0 => Ok(Cow::Borrowed(data)),
            8 => {
                let mut inflated = Vec::new();
                let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
                DeflateDecoder::new(data)
                    .take(bound)
                    .read_to_end(&mut inflated)
                    .map_err(ZipError::Inflate)?;
                if inflated.len() > limit {
                    return Err(ZipError::TooLarge(limit));
                }
                Ok(Cow::Owned(inflated))
            }
            method => Err(ZipError::Method(method)),
        }
    }
}

impl Entry {
    fn read(list: &mut &[u8]) -> Option<Self> {
        let header = slice(list, 0, LISTED_LENGTH)?;
        header.starts_with(&LISTED).then_some(())?;
        let length = |at| le16(header, at).map_or(0, usize::from);
        let name = slice(list, LISTED_LENGTH, length(28))?;
        *list = list.get(LISTED_LENGTH + length(28) + length(30) + length(32)..)?;
        Some(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            encrypted: le16(header, 8)? & 1 != 0,
            method: le16(header, 10)?,
            compressed: size(le32(header, 20)?)?,
            at: size(le32(header, 42)?)?,
        })
    }
}
