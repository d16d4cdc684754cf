//! A listing as bytes. Numbers are LEB128, a path is what it shares with the one before and the rest, facts are JSON.

use proofmark_oci::union::{Header, Kind};
use proofmark_types::Digest;

use super::{CATALOG_VERSION, Listing};
use crate::cataloger::Fact;

/// What the bytes begin with.
pub(super) const MAGIC: &[u8] = b"proofmark layer 1\n";

/// What an entry's first byte says, beside its kind.
pub(super) const HAS_FACTS: u8 = 0x10;
pub(super) const HAS_DIGEST: u8 = 0x20;

/// The kinds of entries, by the number in the first byte.
pub(super) const KINDS: [Kind; 5] = [Kind::File, Kind::Folder, Kind::HardLink, Kind::Symlink, Kind::Special];

impl Listing {
    /// As bytes, which [`Listing::decode`] of the same program reads.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        text(&mut bytes, CATALOG_VERSION.as_bytes());
        text(&mut bytes, self.digest.to_string().as_bytes());
        text(&mut bytes, self.diff_id.to_string().as_bytes());
        for value in [
            self.size,
            self.inflated,
            u64::from(self.file_digests),
            self.dropped,
            self.left_out,
        ] {
            number(&mut bytes, value);
        }
        text(&mut bytes, &self.events);
        length(&mut bytes, self.links.len());
        for (path, facts) in &self.links {
            text(&mut bytes, path.as_bytes());
            text(&mut bytes, facts);
        }
        bytes
    }
}

/// The entries of a layer.
#[derive(Default)]
pub(super) struct Events {
    bytes: Vec<u8>,
    previous: Vec<u8>,
    /// Of which so many are facts.
    facts: usize,
}

impl Events {
    pub(super) fn push(&mut self, header: &Header, facts: &[u8], digest: Option<&Digest>) {
        let kind = KINDS.iter().position(|kind| *kind == header.kind).unwrap_or_default();
        let mut flags = u8::try_from(kind).unwrap_or_default();
        if !facts.is_empty() {
            flags |= HAS_FACTS;
        }
        if digest.is_some() {
            flags |= HAS_DIGEST;
        }
        self.bytes.push(flags);
        let same = self.previous.iter().zip(&header.path).take_while(|(a, b)| a == b);
        let same = same.count();
        length(&mut self.bytes, same);
        text(&mut self.bytes, header.path.get(same..).unwrap_or_default());
        self.previous.clone_from(&header.path);
        number(&mut self.bytes, u64::from(header.mode));
        match header.kind {
            Kind::File => number(&mut self.bytes, header.size),
            Kind::HardLink | Kind::Symlink => text(&mut self.bytes, &header.link),
            Kind::Folder | Kind::Special => {}
        }
        if let Some(digest) = digest {
            text(&mut self.bytes, digest.to_string().as_bytes());
        }
        if !facts.is_empty() {
            text(&mut self.bytes, facts);
            self.facts += facts.len();
        }
    }

    /// How many bytes are not facts.
    pub(super) fn bytes_of_names(&self) -> usize {
        self.bytes.len() - self.facts
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }
}

pub(super) fn facts(facts: &[Fact]) -> Vec<u8> {
    // Strings, numbers and lists of them: nothing that JSON cannot say.
    serde_json::to_vec(facts).unwrap_or_default()
}

fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    length(bytes, text.len());
    bytes.extend_from_slice(text);
}

fn length(bytes: &mut Vec<u8>, length: usize) {
    number(bytes, u64::try_from(length).unwrap_or(u64::MAX));
}

fn number(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}
