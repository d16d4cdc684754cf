//! Tar headers (POSIX ustar and pax, GNU long names), checked before they are believed.
//!
//! Read here rather than by a library, because of what layers must not do: hold a long name of any size in memory, or
//! mean different files to different readers (CVE-2025-62518). Where the formats leave a choice, this one is Go's
//! `archive/tar`, which is what extracts layers.

use super::error::LayerError;
use super::inflate::Inflated;
use super::path::{normalise, shortened};

const BLOCK: usize = 512;

/// The largest extended header or long name, in bytes: Go's `maxSpecialFileSize`.
const MAX_SPECIAL_BYTES: u64 = 1024 * 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// Another name of a file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A device or a pipe.
    Special,
}

/// An entry's header, its extensions applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The path, normalised: no leading slash, no empty component, no `.` and no `..`.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The bytes of content that follow.
    pub size: u64,
    /// The permission bits.
    pub mode: u32,
    /// A hard link's target, normalised, or a symbolic link's, as it is.
    pub link: Vec<u8>,
}

/// A tar being read.
pub(super) struct Tar<'i> {
    source: &'i mut Inflated,
    offset: u64,
    content: u64,
    padding: u64,
}

/// What extended headers say about the entry that follows.
#[derive(Default)]
struct Extended {
    pax_path: Option<Vec<u8>>,
    pax_link: Option<Vec<u8>>,
    pax_size: Option<u64>,
    gnu_path: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    sparse: bool,
}

impl<'i> Tar<'i> {
    pub(super) fn new(source: &'i mut Inflated) -> Self {
        Self {
            source,
            offset: 0,
            content: 0,
            padding: 0,
        }
    }

    /// The next entry, past what is left of the one before; `None` at the end.
    pub(super) fn next_entry(&mut self) -> Result<Option<Header>, LayerError> {
        let mut extended = Extended::default();
        loop {
            self.skip()?;
            let start = self.offset;
            let Some(block) = self.block()? else {
                // Go takes the end of the data between two entries for the end of the tar.
                return Ok(None);
            };
            if block.iter().all(|b| *b == 0) {
                return match self.block()? {
                    Some(second) if second.iter().any(|b| *b != 0) => Err(LayerError::Header {
                        offset: start,
                        reason: "one block of zeros alone",
                    }),
                    _ => Ok(None),
                };
            }
            let raw = Raw { block: &block, start };
            raw.check_sum()?;
            match raw.flag() {
                b'x' => {
                    let body = self.special(&raw)?;
                    extended.read_pax(&body, start)?;
                }
                b'g' => {
                    let body = self.special(&raw)?;
                    refuse_global(&body, start)?;
                }
                b'L' => extended.gnu_path = Some(until_nul(&self.special(&raw)?).to_vec()),
                b'K' => extended.gnu_link = Some(until_nul(&self.special(&raw)?).to_vec()),
                _ => return self.entry(&raw, extended).map(Some),
            }
        }
    }

    /// The bytes of the entry's content at hand; empty at its end.
    pub(super) fn fill_content(&mut self) -> Result<&[u8], LayerError> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let bytes = self.source.fill()?;
        if bytes.is_empty() {
            return Err(LayerError::Truncated { within: "a file" });
        }
        let length = usize::try_from(self.content).map_or(bytes.len(), |left| left.min(bytes.len()));
        Ok(bytes.get(..length).unwrap_or(bytes))
    }

    /// Marks bytes of the content as used.
    pub(super) fn consume_content(&mut self, length: usize) {
        let used = u64::try_from(length).unwrap_or(u64::MAX).min(self.content);
        self.content -= used;
        self.offset += used;
        self.source.consume(usize::try_from(used).unwrap_or(length));
    }

    /// After the last entry: nothing but zeros until the end of the data.
    pub(super) fn expect_end(self) -> Result<(), LayerError> {
        loop {
            let bytes = self.source.fill()?;
            if bytes.is_empty() {
                return Ok(());
            }
            if bytes.iter().any(|b| *b != 0) {
                return Err(LayerError::TrailingData { after: "tar" });
            }
            let length = bytes.len();
            self.source.consume(length);
        }
    }

    fn entry(&mut self, raw: &Raw<'_>, extended: Extended) -> Result<Header, LayerError> {
        let flag = raw.flag();
        let raw_path = one_of(extended.pax_path, extended.gnu_path, raw.start)?.unwrap_or_else(|| raw.path());
        let link = one_of(extended.pax_link, extended.gnu_link, raw.start)?.unwrap_or_else(|| raw.link());
        let kind = match flag {
            0 if raw_path.ends_with(b"/") => Kind::Folder,
            0 | b'0' | b'7' if !extended.sparse => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' => Kind::Folder,
            other => {
                return Err(LayerError::UnsupportedEntry {
                    path: shortened(&raw_path),
                    kind: if extended.sparse { 'S' } else { char::from(other) },
                });
            }
        };
        let size = match kind {
            Kind::File => match extended.pax_size {
                Some(size) => size,
                None => raw.size()?,
            },
            // Go: these have no content, whatever the header says.
            Kind::Folder | Kind::HardLink | Kind::Symlink | Kind::Special => 0,
        };
        self.expect_content(size);
        let path = normalise(&raw_path)?;
        if path.is_empty() && kind != Kind::Folder {
            return Err(LayerError::PathMalformed {
                path: shortened(&raw_path),
            });
        }
        Ok(Header {
            path,
            kind,
            size,
            mode: raw.mode()?,
            link: if kind == Kind::HardLink {
                normalise(&link)?
            } else {
                link
            },
        })
    }

    fn expect_content(&mut self, size: u64) {
        self.content = size;
        self.padding = size.wrapping_neg() % 512;
    }

    fn skip(&mut self) -> Result<(), LayerError> {
        self.content += std::mem::take(&mut self.padding);
        loop {
            let length = self.fill_content()?.len();
            if length == 0 {
                return Ok(());
            }
            self.consume_content(length);
        }
    }

    /// A whole block, or nothing at the end of the data.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let bytes = self.source.fill()?;
            let length = bytes.len().min(BLOCK - filled);
            if length == 0 {
                return if filled == 0 {
                    Ok(None)
                } else {
                    Err(LayerError::Truncated { within: "a tar header" })
                };
            }
            if let (Some(to), Some(from)) = (block.get_mut(filled..filled + length), bytes.get(..length)) {
                to.copy_from_slice(from);
            }
            self.source.consume(length);
            filled += length;
        }
        self.offset += 512;
        Ok(Some(block))
    }

    /// The body of an extended header.
    fn special(&mut self, raw: &Raw<'_>) -> Result<Vec<u8>, LayerError> {
        let size = raw.size()?;
        if size > MAX_SPECIAL_BYTES {
            return Err(raw.malformed("an extended header over 1 MiB"));
        }
        self.expect_content(size);
        let mut body = Vec::new();
        loop {
            let bytes = self.fill_content()?;
            if bytes.is_empty() {
                return Ok(body);
            }
            body.extend_from_slice(bytes);
            let length = bytes.len();
            self.consume_content(length);
        }
    }
}

impl Extended {
    /// POSIX pax: records `length key=value\n`, the length counting itself.
    fn read_pax(&mut self, body: &[u8], start: u64) -> Result<(), LayerError> {
        for record in (Records { body, start }) {
            let (key, value) = record?;
            if value.is_empty() {
                // Go: an empty value leaves the header's.
                continue;
            }
            match key {
                b"path" => self.pax_path = Some(value.to_vec()),
                b"linkpath" => self.pax_link = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value)
                        .ok()
                        .and_then(|text| text.parse::<u64>().ok());
                    let size = size.filter(|size| i64::try_from(*size).is_ok());
                    self.pax_size = Some(size.ok_or(LayerError::Header {
                        offset: start,
                        reason: "the pax size is no number",
                    })?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Global headers speak of all entries that follow for some readers, of none for Go: they may hold comments only.
fn refuse_global(body: &[u8], start: u64) -> Result<(), LayerError> {
    for record in (Records { body, start }) {
        if matches!(record?.0, b"path" | b"linkpath" | b"size") {
            return Err(LayerError::AmbiguousHeader {
                offset: start,
                reason: "a global header gives a path or a size",
            });
        }
    }
    Ok(())
}

struct Records<'b> {
    body: &'b [u8],
    start: u64,
}

impl<'b> Iterator for Records<'b> {
    type Item = Result<(&'b [u8], &'b [u8]), LayerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.body.is_empty() {
            return None;
        }
        let record = split_record(self.body);
        self.body = record.map(|(_, rest)| rest).unwrap_or_default();
        Some(record.map(|(record, _)| record).ok_or(LayerError::Header {
            offset: self.start,
            reason: "a pax record is malformed",
        }))
    }
}

/// Key and value, and the rest of the body.
type Record<'b> = ((&'b [u8], &'b [u8]), &'b [u8]);

fn split_record(body: &[u8]) -> Option<Record<'_>> {
    let space = body.iter().take(10).position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(body.get(..space)?).ok()?.parse().ok()?;
    let record = body.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    let key = record.get(..equals)?;
    let value = record.get(equals + 1..)?;
    (!key.is_empty()).then_some(((key, value), body.get(length..)?))
}

fn one_of(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>, start: u64) -> Result<Option<Vec<u8>>, LayerError> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err(LayerError::AmbiguousHeader {
            offset: start,
            reason: "pax and GNU extensions give different paths",
        }),
        (Some(path), _) | (None, Some(path)) => Ok(Some(path)),
        (None, None) => Ok(None),
    }
}

/// A header block's fields (POSIX ustar, "ustar Interchange Format").
struct Raw<'b> {
    block: &'b [u8; BLOCK],
    start: u64,
}

impl Raw<'_> {
    fn field(&self, at: usize, length: usize) -> &[u8] {
        self.block.get(at..at + length).unwrap_or_default()
    }

    fn flag(&self) -> u8 {
        self.field(156, 1).first().copied().unwrap_or_default()
    }

    fn path(&self) -> Vec<u8> {
        let name = until_nul(self.field(0, 100));
        let prefix = until_nul(self.field(345, 155));
        // GNU's magic is "ustar  ", and its headers have other things where ustar has the prefix.
        if self.field(257, 6) == b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    fn link(&self) -> Vec<u8> {
        until_nul(self.field(157, 100)).to_vec()
    }

    fn size(&self) -> Result<u64, LayerError> {
        number(self.field(124, 12))
            .filter(|size| i64::try_from(*size).is_ok())
            .ok_or_else(|| self.malformed("the size is no number"))
    }

    fn mode(&self) -> Result<u32, LayerError> {
        let mode = number(self.field(100, 8)).ok_or_else(|| self.malformed("the mode is no number"))?;
        Ok(u32::try_from(mode & 0o7777).unwrap_or_default())
    }

    /// The sum of all bytes, the field itself counted as blanks; some old writers sum signed bytes, as Go accepts.
    fn check_sum(&self) -> Result<(), LayerError> {
        let (mut unsigned, mut signed) = (0i64, 0i64);
        for (at, byte) in self.block.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(i8::from_ne_bytes([byte]));
        }
        let wanted = number(self.field(148, 8)).and_then(|sum| i64::try_from(sum).ok());
        if wanted.is_some_and(|wanted| wanted == unsigned || wanted == signed) {
            Ok(())
        } else {
            Err(self.malformed("the checksum does not match"))
        }
    }

    fn malformed(&self, reason: &'static str) -> LayerError {
        LayerError::Header {
            offset: self.start,
            reason,
        }
    }
}

/// Octal in text or, with the highest bit set, a big-endian number (GNU); negative ones are refused.
fn number(field: &[u8]) -> Option<u64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        let mut value = u64::from(first & 0x7f);
        for byte in rest {
            value = value.checked_mul(256)?.checked_add(u64::from(*byte))?;
        }
        return Some(value);
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    // A NUL ends the text; some writers leave old bytes behind it.
    let digits = digits.split('\0').next().unwrap_or_default().trim_end();
    if digits.is_empty() {
        return Some(0);
    }
    if digits.bytes().any(|b| !b.is_ascii_digit()) {
        return None;
    }
    u64::from_str_radix(digits, 8).ok()
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}
