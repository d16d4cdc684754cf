//! A package's header as rpm's database holds it (rpm's `docs/manual/format_header.md`, without magic): two lengths,
//! an index of tags, and the values.

use super::super::MAX_FACTS;
use super::super::number::{be32, size, slice};

/// The tags read (rpm's `rpmtag.h`).
pub(super) mod tag {
    pub(crate) const NAME: u32 = 1000;
    pub(crate) const VERSION: u32 = 1001;
    pub(crate) const RELEASE: u32 = 1002;
    pub(crate) const EPOCH: u32 = 1003;
    pub(crate) const SUMMARY: u32 = 1004;
    pub(crate) const VENDOR: u32 = 1011;
    pub(crate) const LICENSE: u32 = 1014;
    pub(crate) const PACKAGER: u32 = 1015;
    pub(crate) const URL: u32 = 1020;
    pub(crate) const ARCH: u32 = 1022;
    pub(crate) const SOURCERPM: u32 = 1044;
    pub(crate) const PROVIDENAME: u32 = 1047;
    pub(crate) const REQUIRENAME: u32 = 1049;
    pub(crate) const DIRINDEXES: u32 = 1116;
    pub(crate) const BASENAMES: u32 = 1117;
    pub(crate) const DIRNAMES: u32 = 1118;
    pub(crate) const MODULARITYLABEL: u32 = 5096;
}

/// The most tags of a header: rpm's own bound (`hdrchkTags`).
const MAX_TAGS: usize = 0xffff;

/// The bytes of a tag in the index: number, type, offset, count.
const INDEX_ENTRY: usize = 16;

/// The two lengths.
const LENGTHS: usize = 8;

const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// A header of which the lengths are right; values are looked at when they are asked for.
pub(super) struct Header<'b> {
    index: &'b [u8],
    values: &'b [u8],
}

impl<'b> Header<'b> {
    /// Nothing if the lengths lead out of the bytes.
    pub(super) fn parse(bytes: &'b [u8]) -> Option<Self> {
        let tags = size(be32(bytes, 0)?).filter(|tags| (1..=MAX_TAGS).contains(tags))?;
        let index = slice(bytes, LENGTHS, tags * INDEX_ENTRY)?;
        let values = slice(bytes, LENGTHS + index.len(), size(be32(bytes, 4)?)?)?;
        Some(Self { index, values })
    }

    /// A text of one line.
    pub(super) fn string(&self, tag: u32) -> Option<String> {
        let (kind, _, value) = self.find(tag)?;
        matches!(kind, STRING | STRING_ARRAY | I18N_STRING).then_some(())?;
        strings(value).next()
    }

    /// A list of texts; empty if there is none.
    pub(super) fn strings(&self, tag: u32) -> impl Iterator<Item = String> + use<'b> {
        let (count, value) = match self.find(tag) {
            Some((STRING_ARRAY | I18N_STRING, count, value)) => (count, value),
            _ => (0, Default::default()),
        };
        strings(value).take(count.min(MAX_FACTS))
    }

    /// A number.
    pub(super) fn number(&self, tag: u32) -> Option<u32> {
        self.numbers(tag).next()
    }

    /// A list of numbers; empty if there is none.
    pub(super) fn numbers(&self, tag: u32) -> impl Iterator<Item = u32> + use<'b> {
        let (count, value) = match self.find(tag) {
            Some((INT32, count, value)) => (count, value),
            _ => (0, Default::default()),
        };
        let numbers = value.chunks_exact(4).filter_map(|chunk| be32(chunk, 0));
        numbers.take(count.min(MAX_FACTS))
    }

    /// Type, count and the bytes from the value on. What rpm adds when it installs comes last and goes before.
    fn find(&self, wanted: u32) -> Option<(u32, usize, &'b [u8])> {
        let entries = self.index.chunks_exact(INDEX_ENTRY);
        let entry = entries.rev().find(|entry| be32(entry, 0) == Some(wanted))?;
        let value = self.values.get(size(be32(entry, 8)?)?..)?;
        Some((be32(entry, 4)?, size(be32(entry, 12)?)?, value))
    }
}

/// Texts that end with a zero; one that does not is none.
fn strings(mut bytes: &[u8]) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        let (text, rest) = bytes.split_at_checked(end)?;
        bytes = rest.get(1..).unwrap_or_default();
        Some(String::from_utf8_lossy(text).into_owned())
    })
}
