//! The table `Packages` of an SQLite database, read without SQLite (sqlite.org, "Database File Format"): table
//! b-trees with overflow pages. Nothing else of the database is looked at.

use super::super::number::{be16, be32, size, slice};
use super::{Each, Unreadable, malformed};

const MAGIC: &[u8] = b"SQLite format 3\0";

/// The file's header, which stands before the first page's own.
const FILE_HEADER: usize = 100;

const INTERIOR: u8 = 0x05;
const LEAF: u8 = 0x0d;

/// Hands each header of the database to `each`.
pub(super) fn packages(bytes: &[u8], each: Each<'_>) -> Result<(), Unreadable> {
    let database = Database::open(bytes)?;
    let mut root = None;
    database.rows(1, &mut |record| {
        let columns = columns(record);
        let text = |at: usize| columns.get(at).map(|(_, bytes)| *bytes);
        if text(0) == Some(b"table") && text(1) == Some(b"Packages") {
            root = columns.get(3).and_then(|(_, bytes)| integer(bytes));
        }
    })?;
    let root = root.ok_or_else(|| malformed("it has no table Packages"))?;
    database.rows(root, &mut |record| {
        // The number is the row's own; the second column is the header.
        let blob = columns(record).into_iter().nth(1);
        each(blob.map(|(_, bytes)| bytes).unwrap_or_default());
    })
}

struct Database<'b> {
    bytes: &'b [u8],
    page_size: usize,
    /// What of a page holds content: extensions may reserve its end.
    usable: usize,
}

impl<'b> Database<'b> {
    fn open(bytes: &'b [u8]) -> Result<Self, Unreadable> {
        if !bytes.starts_with(MAGIC) {
            return Err(malformed("it does not start as an SQLite database"));
        }
        let page_size = match be16(bytes, 16) {
            Some(1) => 65536,
            Some(page_size) if page_size.is_power_of_two() && page_size >= 512 => usize::from(page_size),
            page_size => return Err(malformed(format!("its page size is {page_size:?}"))),
        };
        let reserved = bytes.get(20).copied().unwrap_or_default();
        let usable = page_size - usize::from(reserved);
        // The format's own bound.
        if usable < 480 {
            return Err(malformed(format!("{reserved} bytes of each page are reserved")));
        }
        Ok(Self {
            bytes,
            page_size,
            usable,
        })
    }

    /// Walks a table. Each page is read once at most in a sound table, and so is each byte of the file: more is a
    /// circle, or a bomb.
    fn rows(&self, root: u32, each: &mut dyn FnMut(&[u8])) -> Result<(), Unreadable> {
        let mut pages = self.bytes.len() / self.page_size;
        let mut budget = self.bytes.len();
        let mut next = vec![root];
        while let Some(number) = next.pop() {
            pages = pages
                .checked_sub(1)
                .ok_or_else(|| malformed("its pages lead in a circle"))?;
            let (page, header) = self.page(number).ok_or_else(|| missing(number))?;
            let broken = || malformed(format!("page {number} is not a table's"));
            let cells = usize::from(be16(page, header + 3).ok_or_else(broken)?);
            match page.get(header) {
                Some(&INTERIOR) => {
                    next.push(be32(page, header + 8).ok_or_else(broken)?);
                    // Backwards, so that rows come in order.
                    for cell in (0..cells).rev() {
                        let at = be16(page, header + 12 + 2 * cell).ok_or_else(broken)?;
                        next.push(be32(page, usize::from(at)).ok_or_else(broken)?);
                        if next.len() > self.bytes.len() / self.page_size {
                            return Err(malformed("its pages lead in a circle"));
                        }
                    }
                }
                Some(&LEAF) => {
                    for cell in 0..cells {
                        let at = be16(page, header + 8 + 2 * cell).ok_or_else(broken)?;
                        let cell = page.get(usize::from(at)..).ok_or_else(broken)?;
                        let record = self.payload(cell, &mut budget)?;
                        each(&record);
                    }
                }
                _ => return Err(broken()),
            }
        }
        Ok(())
    }

    /// A page, and where in it its header is.
    fn page(&self, number: u32) -> Option<(&'b [u8], usize)> {
        let index = size(number)?.checked_sub(1)?;
        let page = slice(self.bytes, index.checked_mul(self.page_size)?, self.page_size)?;
        Some((page, if index == 0 { FILE_HEADER } else { 0 }))
    }

    /// A row: its start on the page, the rest in a chain of overflow pages ("B-tree Cell Format").
    fn payload(&self, cell: &[u8], budget: &mut usize) -> Result<Vec<u8>, Unreadable> {
        let broken = || malformed("a row leads out of its page");
        let (length, cell) = varint(cell).ok_or_else(broken)?;
        let (_, cell) = varint(cell).ok_or_else(broken)?;
        let length = size(length).ok_or_else(broken)?;
        *budget = budget
            .checked_sub(length)
            .ok_or_else(|| malformed("its rows are longer than itself"))?;
        let most = self.usable - 35;
        let least = (self.usable - 12) * 32 / 255 - 23;
        let local = if length <= most {
            length
        } else {
            let fitting = least + (length - least) % (self.usable - 4);
            if fitting <= most { fitting } else { least }
        };
        let mut payload = slice(cell, 0, local).ok_or_else(broken)?.to_vec();
        let mut following = be32(cell, local);
        while payload.len() < length {
            let number = following.ok_or_else(broken)?;
            let (page, _) = self.page(number).ok_or_else(|| missing(number))?;
            let wanted = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(slice(page, 4, wanted).ok_or_else(broken)?);
            following = be32(page, 0);
        }
        Ok(payload)
    }
}

fn missing(number: u32) -> Unreadable {
    malformed(format!("it has no page {number}"))
}

/// "Record Format": the types of all columns, then their bytes. Four are as many as are looked at.
fn columns(record: &[u8]) -> Vec<(u64, &[u8])> {
    const MAX_COLUMNS: usize = 8;
    let mut columns = Vec::new();
    let Some((header, mut types)) = varint(record) else {
        return columns;
    };
    let Some(mut at) = size(header) else {
        return columns;
    };
    let consumed = record.len() - types.len();
    types = types.get(..at.saturating_sub(consumed)).unwrap_or_default();
    while let Some((kind, rest)) = varint(types) {
        types = rest;
        let length = match kind {
            0 | 8..=11 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            _ => (kind - 12) / 2,
        };
        let Some(value) = size(length).and_then(|length| slice(record, at, length)) else {
            break;
        };
        at += value.len();
        columns.push((kind, value));
        if columns.len() == MAX_COLUMNS {
            break;
        }
    }
    columns
}

/// A page's number: whole, highest byte first, in as few bytes as it takes.
fn integer(bytes: &[u8]) -> Option<u32> {
    if bytes.len() > 8 {
        return None;
    }
    let number = bytes.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    u32::try_from(number).ok()
}

/// Seven bits a byte, highest first; the ninth byte has eight.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some(((number << 8) | u64::from(*byte), bytes.get(9..)?));
        }
        number = (number << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}
