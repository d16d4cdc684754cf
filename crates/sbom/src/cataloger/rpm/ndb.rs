//! ndb, the database of SUSE's rpm (rpm's `lib/backend/ndb/rpmpkg.c`): pages of slots, each of which leads to a blob.

use super::super::number::{le32, size, slice};
use super::{Each, Unreadable, malformed};

const MAGIC: &[u8] = b"RpmP";
const SLOT: &[u8] = b"Slot";
const BLOB: &[u8] = b"BlbS";

const PAGE: usize = 4096;
/// A slot, a blob's header, and the unit in which blobs' places are counted.
const BLOCK: usize = 16;

/// The most pages of slots, as go-rpmdb has it: half a million packages.
const MAX_SLOT_PAGES: usize = 2048;

/// Hands each header of the database to `each`.
pub(super) fn packages(bytes: &[u8], each: Each<'_>) -> Result<(), Unreadable> {
    if !bytes.starts_with(MAGIC) || le32(bytes, 4) != Some(0) {
        return Err(malformed("it does not start as an ndb database of version 0"));
    }
    let pages = le32(bytes, 12).and_then(size).unwrap_or_default();
    if !(1..=MAX_SLOT_PAGES).contains(&pages) {
        return Err(malformed(format!("it has {pages} pages of slots")));
    }
    let slots = slice(bytes, 0, pages * PAGE).ok_or_else(|| malformed("its pages of slots are cut off"))?;
    let mut budget = bytes.len();
    // The file's header takes the place of two slots.
    for slot in slots.chunks_exact(BLOCK).skip(2) {
        if !slot.starts_with(SLOT) {
            return Err(malformed("a slot has not its mark"));
        }
        let package = le32(slot, 4);
        if package == Some(0) {
            continue;
        }
        let blob = blob(bytes, slot).unwrap_or_default();
        // Two slots of one blob would make much of little.
        budget = budget
            .checked_sub(blob.len())
            .ok_or_else(|| malformed("its blobs are longer than itself"))?;
        each(blob);
    }
    Ok(())
}

fn blob<'b>(bytes: &'b [u8], slot: &[u8]) -> Option<&'b [u8]> {
    let at = size(le32(slot, 8)?)?.checked_mul(BLOCK)?;
    let header = slice(bytes, at, BLOCK)?;
    let is_of_slot = header.starts_with(BLOB) && le32(header, 4) == le32(slot, 4);
    is_of_slot.then(|| slice(bytes, at + BLOCK, size(le32(header, 12)?)?))?
}
