//! The write-ahead record: the one place where the log's entries are durable, and its commit point.
//!
//! File: a head of [`HEAD_LENGTH`] bytes (magic, log id), then records. A record is one batch: a header, the entries as
//! an entry bundle has them (so that bundles are served from here), and the signed checkpoint of the tree after it.
//!
//! ```text
//! header   "PMR1" | payload length u32 | first index u64 | entries u32 | CRC32C of payload u32 | CRC32C of header u32
//! payload  entries × (length u16 BE | entry) | checkpoint
//! ```
//!
//! The header has a sum of its own, so that a damaged length is told apart from a record that was cut short. A record
//! that the file ends within was never acknowledged, as an acknowledgement follows the sync of the whole record: it is
//! cut off. Everything else that does not add up stops the start; guessing there is how logs fork.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use proofmark_merkle::tile;
use thiserror::Error;

use crate::folder::{self, FolderError};

const FILE_MAGIC: &[u8; 8] = b"PMWAL001";
const RECORD_MAGIC: &[u8; 4] = b"PMR1";
/// Magic and log id.
const HEAD_LENGTH: u64 = 40;
const HEADER_LENGTH: usize = 28;
/// The longest payload: [`super::sequencer::MAX_BATCH_BYTES`] of entries, one more entry, and a checkpoint.
pub(crate) const MAX_PAYLOAD: usize = 8 * 1024 * 1024;

/// Why the log's record could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WalError {
    /// The folder or file itself.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Reading or writing failed: a full or failing disk.
    #[error("the log's record {path} cannot be {action}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file belongs to a log with another key.
    #[error("{path} is the record of another log")]
    OtherLog {
        /// The file.
        path: PathBuf,
    },
    /// Acknowledged data is damaged: restore the file, do not cut it.
    #[error("{path} is damaged at byte {offset} ({fault}); restore it from a copy, nothing was changed")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What does not add up.
        fault: &'static str,
    },
}

impl WalError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.code(),
            Self::Io { .. } => "log-io",
            Self::OtherLog { .. } => "log-other-key",
            Self::Corrupt { .. } => "log-corrupt",
        }
    }
}

/// The open record, at its end.
pub(crate) struct Wal {
    file: File,
    path: PathBuf,
    length: u64,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordPlace {
    /// The index of its first entry.
    pub(crate) first: u64,
    /// The number of its entries.
    pub(crate) count: u32,
    /// Where its payload begins in the file.
    pub(crate) offset: u64,
    /// The length of its entries, without the checkpoint.
    pub(crate) entries_length: u32,
}

/// One batch as it is replayed.
pub(crate) struct Replayed<'a> {
    pub(crate) place: RecordPlace,
    pub(crate) entries: Vec<&'a [u8]>,
    pub(crate) checkpoint: &'a [u8],
}

impl Wal {
    /// Opens the record, replays every batch in order, and cuts off one that was never finished.
    pub(crate) fn open(
        path: &Path,
        log_id: &[u8; 32],
        mut replay: impl FnMut(Replayed<'_>) -> Result<(), &'static str>,
    ) -> Result<Self, WalError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(folder::PRIVATE)
            .open(path)
            .map_err(io_error(path, "opened"))?;
        let size = file.metadata().map_err(io_error(path, "read"))?.len();
        // A head that is cut short is a log that never began.
        if size < HEAD_LENGTH {
            return Self::begin(file, path, log_id);
        }
        let mut reader = BufReader::with_capacity(1 << 20, &mut file);
        check_head(&mut reader, path, log_id)?;
        let mut offset = HEAD_LENGTH;
        let mut payload = Vec::new();
        while let Some(header) = next_header(&mut reader, path, offset, size)? {
            let begin = offset + HEADER_LENGTH as u64;
            let end = begin + u64::from(header.length);
            if end > size {
                break;
            }
            payload.resize(header.length as usize, 0);
            reader.read_exact(&mut payload).map_err(io_error(path, "read"))?;
            let corrupt = |fault| WalError::Corrupt {
                path: path.to_owned(),
                offset,
                fault,
            };
            let record = header.record(begin, &payload).map_err(corrupt)?;
            replay(record).map_err(corrupt)?;
            offset = end;
        }
        if offset < size {
            tracing::warn!(
                offset,
                size,
                "the log's record ends within an unfinished batch, which is cut off"
            );
            file.set_len(offset).map_err(io_error(path, "cut"))?;
        }
        // A process killed between write and sync leaves a whole record that only the page cache has. It was replayed,
        // and its checkpoint is served from now on: a power cut must not take it back, or the log would fork.
        file.sync_all().map_err(io_error(path, "synced"))?;
        file.seek(SeekFrom::Start(offset)).map_err(io_error(path, "read"))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            length: offset,
        })
    }

    fn begin(mut file: File, path: &Path, log_id: &[u8; 32]) -> Result<Self, WalError> {
        let head = [&FILE_MAGIC[..], log_id].concat();
        file.set_len(0).map_err(io_error(path, "written"))?;
        file.write_all(&head).map_err(io_error(path, "written"))?;
        file.sync_all().map_err(io_error(path, "synced"))?;
        folder::sync_parent(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            length: HEAD_LENGTH,
        })
    }

    /// Appends a batch and returns once it is durable. After an error the file's state is unknown: the caller must
    /// not append again, and a new start decides by what is there.
    pub(crate) fn append(
        &mut self,
        first: u64,
        entries: &[u8],
        count: u32,
        checkpoint: &[u8],
    ) -> Result<RecordPlace, WalError> {
        let too_long = || io_error(&self.path, "written")(io::Error::from(io::ErrorKind::FileTooLarge));
        let length = entries.len() + checkpoint.len();
        if length > MAX_PAYLOAD {
            return Err(too_long());
        }
        let length = u32::try_from(length).map_err(|_| too_long())?;
        let entries_length = u32::try_from(entries.len()).map_err(|_| too_long())?;
        let sum = crc32c::crc32c_append(crc32c::crc32c(entries), checkpoint);
        let mut record = Vec::with_capacity(HEADER_LENGTH + entries.len() + checkpoint.len());
        record.extend_from_slice(RECORD_MAGIC);
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&first.to_le_bytes());
        record.extend_from_slice(&count.to_le_bytes());
        record.extend_from_slice(&sum.to_le_bytes());
        let header_sum = crc32c::crc32c(&record);
        record.extend_from_slice(&header_sum.to_le_bytes());
        record.extend_from_slice(entries);
        record.extend_from_slice(checkpoint);
        self.file.write_all(&record).map_err(io_error(&self.path, "written"))?;
        self.file.sync_data().map_err(io_error(&self.path, "synced"))?;
        let offset = self.length + HEADER_LENGTH as u64;
        self.length = offset + u64::from(length);
        Ok(RecordPlace {
            first,
            count,
            offset,
            entries_length,
        })
    }

    /// A second handle, to read committed batches while others are appended.
    pub(crate) fn reader(&self) -> Result<WalReader, WalError> {
        let file = File::open(&self.path).map_err(io_error(&self.path, "opened"))?;
        Ok(WalReader {
            file,
            path: self.path.clone(),
        })
    }
}

/// Reads committed batches.
pub(crate) struct WalReader {
    file: File,
    path: PathBuf,
}

impl WalReader {
    /// The entries of a batch, as in an entry bundle.
    pub(crate) fn entries(&self, place: &RecordPlace) -> Result<Vec<u8>, WalError> {
        let mut bytes = vec![0; place.entries_length as usize];
        self.file
            .read_exact_at(&mut bytes, place.offset)
            .map_err(io_error(&self.path, "read"))?;
        Ok(bytes)
    }
}

struct Header {
    length: u32,
    first: u64,
    count: u32,
    sum: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_LENGTH]) -> Result<Self, &'static str> {
        let u32_at = |at: usize| {
            let mut field = [0; 4];
            field.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(field)
        };
        if &bytes[..4] != RECORD_MAGIC {
            return Err("no record begins here");
        }
        if crc32c::crc32c(&bytes[..24]) != u32_at(24) {
            return Err("the header's sum is wrong");
        }
        let header = Self {
            length: u32_at(4),
            first: u64::from(u32_at(8)) | u64::from(u32_at(12)) << 32,
            count: u32_at(16),
            sum: u32_at(20),
        };
        if header.length as usize > MAX_PAYLOAD {
            return Err("the record is longer than any that is written");
        }
        Ok(header)
    }

    fn record<'a>(&self, offset: u64, payload: &'a [u8]) -> Result<Replayed<'a>, &'static str> {
        if crc32c::crc32c(payload) != self.sum {
            return Err("the payload's sum is wrong");
        }
        let mut entries = Vec::new();
        let mut rest = payload;
        for _ in 0..self.count {
            let cut = "an entry is cut short";
            let (length, after) = rest.split_first_chunk::<2>().ok_or(cut)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, after) = after.split_at_checked(length).ok_or(cut)?;
            entries.push(entry);
            rest = after;
        }
        let entries_length = u32::try_from(payload.len() - rest.len()).map_err(|_| "the record is too long")?;
        let place = RecordPlace {
            first: self.first,
            count: self.count,
            offset,
            entries_length,
        };
        Ok(Replayed {
            place,
            entries,
            checkpoint: rest,
        })
    }
}

fn check_head(reader: &mut impl Read, path: &Path, log_id: &[u8; 32]) -> Result<(), WalError> {
    let mut head = [0; HEAD_LENGTH as usize];
    reader.read_exact(&mut head).map_err(io_error(path, "read"))?;
    if &head[..8] != FILE_MAGIC {
        let fault = "the file does not begin as a log's record";
        return Err(WalError::Corrupt {
            path: path.to_owned(),
            offset: 0,
            fault,
        });
    }
    if &head[8..] != log_id {
        return Err(WalError::OtherLog { path: path.to_owned() });
    }
    Ok(())
}

/// The next header, or nothing at the end of the file or within a header that was cut short.
fn next_header(reader: &mut impl Read, path: &Path, offset: u64, size: u64) -> Result<Option<Header>, WalError> {
    if offset + HEADER_LENGTH as u64 > size {
        return Ok(None);
    }
    let mut bytes = [0; HEADER_LENGTH];
    reader.read_exact(&mut bytes).map_err(io_error(path, "read"))?;
    Header::parse(&bytes).map(Some).map_err(|fault| WalError::Corrupt {
        path: path.to_owned(),
        offset,
        fault,
    })
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> WalError + use<> {
    let path = path.to_owned();
    move |source| WalError::Io { path, action, source }
}

/// Adds an entry to the entries of a batch.
pub(crate) fn push_entry(entries: &mut Vec<u8>, entry: &[u8]) -> Result<(), tile::TileError> {
    tile::append_entry(entries, entry)
}

#[cfg(test)]
impl Wal {
    /// Makes every later write fail, as a full disk would.
    pub(crate) fn refuse_writes(&mut self) {
        self.file = File::open(&self.path).expect("the record is there");
    }
}
