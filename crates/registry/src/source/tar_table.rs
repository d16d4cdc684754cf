//! The table of contents of a tar archive, and reading a member again later. Nothing is unpacked.
//!
//! Formats: POSIX ustar and pax, GNU long names. Extended headers are bounded before they are read, which the usual tar
//! readers do not do.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;
use std::path::PathBuf;

use flate2::bufread::MultiGzDecoder;

use super::layout::open_file;
use super::verified::local;
use crate::RegistryError;
use crate::limits::{MAX_ARCHIVE_BYTES, MAX_ARCHIVE_ENTRIES};

const BLOCK: u64 = 512;

/// The longest extended header read: a path and a few attributes; Linux paths have at most 4,096 bytes.
const MAX_EXTENDED_HEADER: u64 = 64 * 1024;

/// Links followed to reach a member. Docker's old archives link a repeated layer once.
const MAX_LINKS: usize = 4;

/// Where the members of an archive are.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    compressed: bool,
    /// The file's own length.
    length: u64,
    members: BTreeMap<String, Member>,
}

#[derive(Clone, Debug)]
enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

impl Table {
    /// Reads the headers of an archive.
    pub(super) fn read(path: &Path) -> Result<Self, RegistryError> {
        let shown = path.display().to_string();
        let mut file = open_file(path)?;
        let mut magic = [0; 2];
        let compressed = match file.read_exact(&mut magic) {
            Ok(()) => magic == [0x1f, 0x8b],
            Err(_) => false,
        };
        let mut table = Self {
            path: path.to_owned(),
            compressed,
            length: file.metadata().map_err(|error| local(&shown, &error))?.len(),
            members: BTreeMap::new(),
        };
        let mut reader = table.start().map_err(|error| local(&shown, &error))?;
        table.scan(&mut reader).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
                RegistryError::Malformed {
                    what: format!("the archive {shown}"),
                    reason: error.to_string(),
                }
            }
            _ => local(&shown, &error),
        })?;
        Ok(table)
    }

    /// The size of a member, links followed.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.find(name).map(|(_, size)| size)
    }

    /// Reads a member from its beginning.
    pub(super) fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let (offset, size) = self.find(name).ok_or(io::ErrorKind::NotFound)?;
        let mut reader = self.start()?;
        reader.skip(offset)?;
        Ok(Box::new(reader.take(size)))
    }

    /// The path of the archive.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        let mut name = normalised(name)?;
        for _ in 0..=MAX_LINKS {
            match self.members.get(&name)? {
                Member::File { offset, size } => return Some((*offset, *size)),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    fn start(&self) -> io::Result<Source> {
        let file = File::open(&self.path)?;
        Ok(if self.compressed {
            let decoder = MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, file));
            Source::Gzip(Box::new(decoder.take(MAX_ARCHIVE_BYTES)))
        } else {
            Source::Plain(file)
        })
    }

    fn scan(&mut self, reader: &mut Source) -> io::Result<()> {
        let mut offset = 0;
        let mut extended = Extended::default();
        loop {
            let mut block = [0_u8; 512];
            if !read_block(reader, &mut block)? {
                return Ok(());
            }
            offset += BLOCK;
            // The end is two blocks of zeros; writers that leave the second out are forgiven.
            if block.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            let header = Header::parse(&block)?;
            let size = extended.size.unwrap_or(header.size);
            let padded = size
                .checked_next_multiple_of(BLOCK)
                .filter(|padded| *padded <= MAX_ARCHIVE_BYTES)
                .ok_or_else(|| invalid("a member has an impossible size"))?;
            // Skipping by seeking would not notice the end.
            if !self.compressed && offset + size > self.length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match header.kind {
                b'x' | b'L' | b'K' => {
                    let content = read_extended(reader, size, padded)?;
                    extended.add(header.kind, &content)?;
                }
                kind => {
                    let name = extended.path.take().unwrap_or(header.name);
                    let link = extended.link.take().unwrap_or(header.link);
                    extended = Extended::default();
                    let member = match kind {
                        b'0' | 0 | b'7' => Some(Member::File { offset, size }),
                        b'1' => normalised(&link).map(Member::Link),
                        b'2' => beside(&name, &link).map(Member::Link),
                        _ => None,
                    };
                    if let (Some(name), Some(member)) = (normalised(&name), member) {
                        self.members.insert(name, member);
                    }
                    if self.members.len() > MAX_ARCHIVE_ENTRIES {
                        return Err(invalid("it has more than 100000 members"));
                    }
                    reader.skip(padded)?;
                }
            }
            offset += padded;
        }
    }
}

enum Source {
    Plain(File),
    Gzip(Box<io::Take<MultiGzDecoder<BufReader<File>>>>),
}

impl Source {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Plain(file) => {
                let by = i64::try_from(bytes).map_err(|_| invalid("a member has an impossible size"))?;
                file.seek(SeekFrom::Current(by)).map(|_| ())
            }
            Self::Gzip(decoder) => {
                let skipped = io::copy(&mut decoder.by_ref().take(bytes), &mut io::sink())?;
                if skipped == bytes {
                    Ok(())
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                }
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
        }
    }
}

/// False at the end of the file.
fn read_block(reader: &mut impl Read, block: &mut [u8; 512]) -> io::Result<bool> {
    let mut filled = 0;
    while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
        match reader.read(room)? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => filled += length,
        }
    }
    Ok(true)
}

fn read_extended(reader: &mut Source, size: u64, padded: u64) -> io::Result<Vec<u8>> {
    if size > MAX_EXTENDED_HEADER {
        return Err(invalid("an extended header is larger than 64 KiB"));
    }
    let mut content = Vec::new();
    reader.take(size).read_to_end(&mut content)?;
    reader.skip(padded - size)?;
    Ok(content)
}

struct Header {
    name: String,
    link: String,
    size: u64,
    kind: u8,
}

impl Header {
    fn parse(block: &[u8; 512]) -> io::Result<Self> {
        let field = |from: usize, length: usize| block.get(from..from + length).unwrap_or_default();
        let said = octal(field(148, 8)).ok_or_else(|| invalid("it is no tar archive"))?;
        let spaces = 8 * u64::from(b' ');
        let outside = block.iter().map(|byte| u64::from(*byte)).sum::<u64>() + spaces;
        let inside: u64 = field(148, 8).iter().map(|byte| u64::from(*byte)).sum();
        if outside - inside != said {
            return Err(invalid("it is no tar archive, or a header is damaged"));
        }
        let mut name = text(field(0, 100));
        if field(257, 6) == b"ustar\0" && !field(345, 155).starts_with(&[0]) {
            name = format!("{}/{name}", text(field(345, 155)));
        }
        Ok(Self {
            name,
            link: text(field(157, 100)),
            size: number(field(124, 12)).ok_or_else(|| invalid("a member's size is not a number"))?,
            kind: block.get(156).copied().unwrap_or_default(),
        })
    }
}

#[derive(Default)]
struct Extended {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Extended {
    fn add(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        match kind {
            b'L' => self.path = Some(text(content)),
            b'K' => self.link = Some(text(content)),
            _ => {
                for (key, value) in pax_records(content)? {
                    match key.as_str() {
                        "path" => self.path = Some(value),
                        "linkpath" => self.link = Some(value),
                        "size" => {
                            let size = value.parse().map_err(|_| invalid("a pax size is not a number"))?;
                            self.size = Some(size);
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// `length key=value\n`, the length counting the whole record (POSIX pax).
fn pax_records(content: &[u8]) -> io::Result<Vec<(String, String)>> {
    let damaged = || invalid("a pax header is damaged");
    let mut records = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
        let length = rest.get(..space).map(text).unwrap_or_default();
        let length: usize = length.parse().map_err(|_| damaged())?;
        let record = rest.get(space + 1..length).ok_or_else(damaged)?;
        let record = record.strip_suffix(b"\n").ok_or_else(damaged)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
        let (key, value) = record.split_at(equals);
        records.push((text(key), text(value.get(1..).unwrap_or_default())));
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(records)
}

/// A field up to its first zero.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or(field)).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = text(field);
    let digits = text.trim();
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(digits, 8).ok()
}

/// Octal, or base 256 where the first bit is set (GNU).
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first() {
        Some((0x80, rest)) => rest
            .iter()
            .try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte))),
        Some((first, _)) if first & 0x80 != 0 => None,
        _ => octal(field),
    }
}

/// A member's name without `./` and `/` in front; none if it leaves the archive.
fn normalised(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The target of a symbolic link, relative to the link's own folder.
fn beside(name: &str, target: &str) -> Option<String> {
    match name.rsplit_once('/') {
        Some((folder, _)) if !target.starts_with('/') => normalised(&format!("{folder}/{target}")),
        _ => normalised(target),
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
