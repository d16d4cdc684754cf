//! Berkeley DB's hash tables, as rpm wrote them until 2020 (libdb's `db_page.h`): pages of keys and values, long
//! values in chains of overflow pages.

use super::super::number::{be16, be32, le16, le32, size, slice};
use super::{Each, Unreadable, malformed};

const MAGIC: u32 = 0x0006_1561;

const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH_META: u8 = 8;
const HASH: u8 = 13;

const PAGE_HEADER: usize = 26;

/// The kinds of an item: its bytes, or the place of a chain of pages.
const KEY_DATA: u8 = 1;
const OFF_PAGE: u8 = 3;

/// Hands each header of the database to `each`.
pub(super) fn packages(bytes: &[u8], each: Each<'_>) -> Result<(), Unreadable> {
    let database = Database::open(bytes)?;
    let mut budget = bytes.len();
    for page in bytes.chunks_exact(database.page_size).skip(1) {
        if !matches!(page.get(25), Some(&(HASH | HASH_UNSORTED))) {
            continue;
        }
        let items = usize::from(database.number16(page, 20).unwrap_or_default());
        // Keys and values take turns.
        for value in (1..items).step_by(2) {
            let blob = database.value(page, value, &mut budget)?;
            // Under the key 0 stands the number of the package installed last.
            if blob.len() > 4 {
                each(&blob);
            }
        }
    }
    if database.is_cut_off() {
        return Err(malformed("its pages are cut off"));
    }
    Ok(())
}

struct Database<'b> {
    bytes: &'b [u8],
    page_size: usize,
    /// Written by a machine of the other byte order.
    big_endian: bool,
}

impl<'b> Database<'b> {
    fn open(bytes: &'b [u8]) -> Result<Self, Unreadable> {
        let big_endian = match (le32(bytes, 12), be32(bytes, 12)) {
            (Some(MAGIC), _) => false,
            (_, Some(MAGIC)) => true,
            _ => return Err(malformed("it does not start as a Berkeley DB hash table")),
        };
        let mut database = Self {
            bytes,
            page_size: 0,
            big_endian,
        };
        let page_size = database.number32(bytes, 20).and_then(size).unwrap_or_default();
        if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
            return Err(malformed(format!("its page size is {page_size}")));
        }
        // Encryption hides all but this page.
        if bytes.get(25) != Some(&HASH_META) || bytes.get(24) != Some(&0) {
            return Err(malformed("its first page is not a hash table's, or it is encrypted"));
        }
        database.page_size = page_size;
        Ok(database)
    }

    /// Whether it has fewer pages than its first says (`last_pgno`).
    fn is_cut_off(&self) -> bool {
        let last = self.number32(self.bytes, 32).and_then(size).unwrap_or(usize::MAX);
        last.saturating_add(1).saturating_mul(self.page_size) > self.bytes.len()
    }

    /// An item's value. Items stand at the end of the page, the first last: one ends where the one before starts.
    fn value(&self, page: &[u8], item: usize, budget: &mut usize) -> Result<Vec<u8>, Unreadable> {
        let broken = || malformed("an item leads out of its page");
        let at = usize::from(self.number16(page, PAGE_HEADER + 2 * item).ok_or_else(broken)?);
        let end = usize::from(self.number16(page, PAGE_HEADER + 2 * (item - 1)).ok_or_else(broken)?);
        let value = match page.get(at) {
            Some(&KEY_DATA) => page.get(at + 1..end).ok_or_else(broken)?.to_vec(),
            Some(&OFF_PAGE) => {
                let first = self.number32(page, at + 4).ok_or_else(broken)?;
                let length = self.number32(page, at + 8).and_then(size).ok_or_else(broken)?;
                self.chain(first, length, *budget)?
            }
            // Duplicates, which rpm does not use here.
            _ => Vec::new(),
        };
        *budget = budget
            .checked_sub(value.len())
            .ok_or_else(|| malformed("its values are longer than itself"))?;
        Ok(value)
    }

    fn chain(&self, first: u32, length: usize, budget: usize) -> Result<Vec<u8>, Unreadable> {
        if length > budget {
            return Err(malformed("its values are longer than itself"));
        }
        let mut value = Vec::new();
        let mut number = first;
        while number != 0 && value.len() < length {
            let broken = || malformed(format!("page {number} is not of a long value"));
            let start = size(number)
                .and_then(|number| number.checked_mul(self.page_size))
                .ok_or_else(broken)?;
            let page = slice(self.bytes, start, self.page_size).ok_or_else(broken)?;
            // On these pages the field says how many bytes they hold; one that holds none leads nowhere.
            let used = usize::from(self.number16(page, 22).unwrap_or_default());
            if page.get(25) != Some(&OVERFLOW) || used == 0 {
                return Err(broken());
            }
            value.extend_from_slice(slice(page, PAGE_HEADER, used).ok_or_else(broken)?);
            number = self.number32(page, 16).ok_or_else(broken)?;
        }
        if value.len() != length {
            return Err(malformed(format!("a value has {} bytes of its {length}", value.len())));
        }
        Ok(value)
    }

    fn number16(&self, bytes: &[u8], at: usize) -> Option<u16> {
        if self.big_endian {
            be16(bytes, at)
        } else {
            le16(bytes, at)
        }
    }

    fn number32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        if self.big_endian {
            be32(bytes, at)
        } else {
            le32(bytes, at)
        }
    }
}
