//! What one layer holds, in the order of its tar: the entries, and the facts that its files tell. It does not depend on
//! the layers above, so that a layer that several images share need be read only once.
//!
//! A [`Listing`] is made from verified bytes only ([`Listing::read`]) and knows of which: digest, size and diffID. As bytes
//! it can be kept and read again ([`Listing::encode`], [`Listing::decode`]). Whoever keeps it answers for it: nothing in it
//! proves that it was not made up.
//!
//! Deliberately not decided here: what is visible. [`crate::Squash`] does, from the listings of all layers.

mod decode;
mod encode;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use proofmark_oci::union::{
    Content, Entry, Header, Kind, Layer, LayerError, Limits, MAX_PENDING, Visitor, Wants, read_layer, read_linked,
};
use proofmark_types::Digest;

use crate::catalog::{Options, SbomError};
use crate::cataloger::{self, Fact, Unreadable, is_system_database};
use crate::reader::{Reader, is_wanted};
pub use decode::ListingError;
pub(crate) use decode::facts_of;
use encode::Events;

/// Names the catalogers of this program: what others have listed is read anew.
pub const CATALOG_VERSION: &str = env!("PROOFMARK_CATALOG_VERSION");

/// The most bytes that the facts of a layer may take: some 20 times what a full desktop has.
const MAX_FACT_BYTES: usize = 256 * 1024 * 1024;

/// What of it is kept for the databases of distributions: others must not crowd them out.
const RESERVED_BYTES: usize = 64 * 1024 * 1024;

/// The most bytes that the facts of one file may take.
const MAX_FILE_FACT_BYTES: usize = 96 * 1024 * 1024;

/// How many bytes of a listing a name may take: what a name in memory is reckoned at.
const NAME_BYTES: usize = 100;

/// The longest target of a symbolic link that a kernel follows (Linux, `PATH_MAX`).
const MAX_SYMLINK: usize = 4096;

/// What one layer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    digest: Digest,
    diff_id: Digest,
    size: u64,
    inflated: u64,
    file_digests: bool,
    /// How many files' facts there was no room for.
    dropped: u64,
    /// How many entries were not kept because there are too many.
    left_out: u64,
    events: Vec<u8>,
    /// What is told under the names of hard links to files of the layer, as JSON.
    links: BTreeMap<String, Vec<u8>>,
}

impl Listing {
    /// Reads a layer, verified on the way, in these steps:
    ///
    /// 1. blob, compression and tar are read and verified, each entry bounded and checked ([`read_layer`]);
    /// 2. files that catalogers want, and executables, are read, bounded, each once, into one buffer;
    /// 3. what a file says is kept beside its entry; what cannot be read is a fact too; where there are more entries than
    ///    are kept, those that tell of packages or hide others still are, and the rest is counted;
    /// 4. hard links that catalogers want by their own names are read in a second pass, if the layer has their target.
    pub fn read(layer: &Layer<'_>, index: usize, options: &Options) -> Result<Self, SbomError> {
        let mut lister = Lister {
            options,
            reader: Reader::default(),
            events: Events::default(),
            wanted_links: BTreeMap::new(),
            budget: Budget::default(),
            kept: 0,
            left_out: 0,
        };
        let inflated = read_layer(layer, index, &options.limits, &mut |header, content| {
            lister.entry(header, content)
        })?;
        let Lister {
            reader,
            events,
            wanted_links,
            budget,
            left_out,
            ..
        } = lister;
        let mut linked = Linked {
            reader,
            budget,
            found: BTreeMap::new(),
        };
        if !wanted_links.is_empty() {
            read_linked(layer, &options.limits, wanted_links, &mut linked)?;
        }
        Ok(Self {
            digest: layer.descriptor.digest.clone(),
            diff_id: layer.diff_id.clone(),
            size: layer.descriptor.size,
            inflated,
            file_digests: options.file_digests,
            dropped: linked.budget.dropped,
            left_out,
            events: events.into_bytes(),
            links: linked.found,
        })
    }

    /// Whether it is of this layer, with all that is asked for.
    #[must_use]
    pub fn is_of(&self, layer: &Layer<'_>, options: &Options) -> bool {
        self.digest == layer.descriptor.digest
            && self.size == layer.descriptor.size
            && self.diff_id == *layer.diff_id
            && self.file_digests == options.file_digests
    }

    /// The number of bytes that the layer inflates to.
    #[must_use]
    pub fn inflated(&self) -> u64 {
        self.inflated
    }

    /// How many bytes of memory it takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let links = self.links.iter().map(|(path, facts)| path.len() + facts.len());
        self.events.len() + links.sum::<usize>()
    }

    /// Refuses another layer's listing.
    pub(crate) fn expect_layer(&self, layer: &Layer<'_>, options: &Options) -> Result<(), ListingError> {
        if self.is_of(layer, options) {
            return Ok(());
        }
        Err(ListingError::Layer {
            expected: layer.descriptor.digest.clone(),
            seen: self.digest.clone(),
        })
    }

    pub(crate) fn has_digests(&self) -> bool {
        self.file_digests
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many entries were not kept because there are too many.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What the layer's own files say under the name of a hard link.
    pub(crate) fn linked(&self, path: &str) -> Option<&[u8]> {
        self.links.get(path).map(Vec::as_slice)
    }
}

/// Lists the entries of one layer.
struct Lister<'o> {
    options: &'o Options,
    reader: Reader,
    events: Events,
    /// The hard links to read in the second pass, to their targets.
    wanted_links: BTreeMap<String, String>,
    budget: Budget,
    kept: u64,
    left_out: u64,
}

impl Lister<'_> {
    fn entry(&mut self, header: &Header, content: &mut Content<'_>) -> Result<(), LayerError> {
        let path = String::from_utf8_lossy(&header.path);
        let limits = &self.options.limits;
        let names = self.events.bytes_of_names() / NAME_BYTES;
        let is_past = |limits: &Limits| self.kept >= limits.entries || names >= limits.names;
        if (is_past(limits) && !matters(header, &path)) || is_past(&with_reserve(limits)) {
            self.left_out += 1;
            return Ok(());
        }
        self.kept += 1;
        let mut facts = Vec::new();
        let mut digest = None;
        match header.kind {
            Kind::File => {
                if self.options.file_digests {
                    content.start_digest();
                }
                if is_wanted(&path) || cataloger::may_be_executable(&path, header.mode, header.size) {
                    let tell = &mut |_: &str, told| facts.extend::<Vec<Fact>>(told);
                    self.reader.read(&[&path], header.size, content, tell);
                }
                digest = content.digest();
            }
            Kind::HardLink if is_wanted(&path) && self.wanted_links.len() < MAX_PENDING => {
                let target = String::from_utf8_lossy(&header.link).into_owned();
                self.wanted_links.insert(path.clone().into_owned(), target);
            }
            Kind::HardLink | Kind::Folder | Kind::Symlink | Kind::Special => {}
        }
        let facts = self.budget.pay(&path, &facts);
        if header.kind == Kind::Symlink && header.link.len() > MAX_SYMLINK {
            let header = Header {
                link: Vec::new(),
                ..header.clone()
            };
            self.events.push(&header, &facts, digest.as_ref());
        } else {
            self.events.push(header, &facts, digest.as_ref());
        }
        Ok(())
    }
}

/// Whether an entry is kept where there are too many: it tells of packages, or says what is not there.
pub(crate) fn matters(header: &Header, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_whiteout = name.starts_with(".wh.");
    is_whiteout
        || match header.kind {
            Kind::File => is_wanted(path) || cataloger::may_be_executable(path, header.mode, header.size),
            // A link may lead to what tells of packages, or be it.
            Kind::HardLink | Kind::Symlink => true,
            Kind::Folder | Kind::Special => false,
        }
}

/// What of entries and names there may be in all, so that those that matter are kept beside a crowd of others.
pub(crate) fn with_reserve(limits: &Limits) -> Limits {
    Limits {
        entries: limits.entries.saturating_add(limits.entries / 4),
        names: limits.names.saturating_add(limits.names / 4),
        ..limits.clone()
    }
}

/// Lists what stands under the names of hard links.
struct Linked {
    reader: Reader,
    budget: Budget,
    found: BTreeMap<String, Vec<u8>>,
}

impl Visitor for Linked {
    fn entry(&mut self, _: &Entry<'_>) -> Wants {
        Wants::NOTHING
    }

    fn content(&mut self, entry: &Entry<'_>, content: &mut Content<'_>) {
        let names: Vec<&str> = names_of(entry).collect();
        let mut told: BTreeMap<String, Vec<Fact>> = BTreeMap::new();
        self.reader.read(&names, entry.size, content, &mut |name, facts| {
            told.entry(name.to_owned()).or_default().extend(facts);
        });
        for name in names {
            // Also where it says nothing: then nothing is left to look for.
            let facts = told.remove(name).unwrap_or_default();
            let facts = self.budget.pay(name, &facts);
            self.found.insert(name.to_owned(), facts);
        }
    }
}

/// All names of what is shown.
pub(crate) fn names_of<'e>(entry: &'e Entry<'_>) -> impl Iterator<Item = &'e str> {
    std::iter::once(entry.path).chain(entry.also.iter().map(String::as_str))
}

/// How much of the facts of a layer is kept.
#[derive(Default)]
struct Budget {
    used: usize,
    dropped: u64,
}

impl Budget {
    /// The facts as they are kept; where there is no room for them, that they were left out.
    fn pay(&mut self, path: &str, facts: &[Fact]) -> Vec<u8> {
        if facts.is_empty() {
            return Vec::new();
        }
        let limit = match is_system_database(path) {
            true => MAX_FACT_BYTES,
            false => MAX_FACT_BYTES - RESERVED_BYTES,
        };
        let bytes = encode::facts(facts);
        let room = limit.saturating_sub(self.used).min(MAX_FILE_FACT_BYTES);
        if bytes.len() <= room {
            self.used += bytes.len();
            return bytes;
        }
        let reason = format!("what it says takes {} bytes, and there is room for {room}", bytes.len());
        let instead = encode::facts(&[Fact::Problem(Unreadable::new("facts-too-many", reason))]);
        if self.used + instead.len() > MAX_FACT_BYTES {
            self.dropped += 1;
            return Vec::new();
        }
        self.used += instead.len();
        instead
    }
}
