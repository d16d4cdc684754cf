//! From the layers of an image to what is visible in it, and from that to a bill.

mod elsewhere;
mod gathered;

use std::collections::BTreeMap;

use proofmark_oci::union::{Content, Entry, Layer, LayerError, Limits, Union, UnionError, Visitor, Wants};
use proofmark_types::Digest;
use thiserror::Error;

use crate::assemble::assemble;
use crate::bill::{Bill, LayerRecord};
use crate::cataloger::{self, Fact};
use crate::listing::{Listing, ListingError, facts_of, matters, names_of, with_reserve};
use crate::reader::{Reader, is_wanted};
use elsewhere::Symlinks;
use gathered::Gathered;

/// How an image is read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether the SHA-256 of every visible file is listed in the bill.
    pub file_digests: bool,
    /// How much of a foreign image is read before it is refused.
    pub limits: Limits,
}

/// Reads the layers of an image, lowest first, and returns what is inside, in these steps:
///
/// 1. each layer is read and verified ([`Listing::read`]), from the top down;
/// 2. the listings are laid over each other ([`Squash`]): what is hidden is not in the bill;
/// 3. when all has ended well, and only then, the facts are put together into packages.
///
/// Whoever can read layers side by side, or has kept their listings, takes these steps itself.
pub fn catalog(layers: &[Layer<'_>], options: &Options) -> Result<Bill, SbomError> {
    let mut squash = Squash::new(layers.len(), options)?;
    for (index, layer) in layers.iter().enumerate().rev() {
        squash.add(index, layer, &Listing::read(layer, index, options)?)?;
    }
    squash.finish(layers)
}

/// Lays the listings of an image's layers over each other, from the top down.
pub struct Squash<'o> {
    options: &'o Options,
    union: Union,
    collector: Collector,
}

impl<'o> Squash<'o> {
    /// Of so many layers.
    pub fn new(layers: usize, options: &'o Options) -> Result<Self, SbomError> {
        Ok(Self {
            options,
            union: Union::new(layers, &with_reserve(&options.limits))?,
            collector: Collector::default(),
        })
    }

    /// Adds the next lower layer, at first the top one. `index` is its place in the image, the lowest being 0.
    pub fn add(&mut self, index: usize, layer: &Layer<'_>, listing: &Listing) -> Result<(), SbomError> {
        let at_listing = |error| SbomError::Listing { layer: index, error };
        listing.expect_layer(layer, self.options).map_err(at_listing)?;
        self.union.next_layer();
        let mut left_out = listing.left_out();
        for event in listing.events() {
            let event = event.map_err(at_listing)?;
            let path = String::from_utf8_lossy(&event.header.path);
            if self.union.is_past(&self.options.limits) && !matters(&event.header, &path) {
                left_out += 1;
                continue;
            }
            self.collector.told.clear();
            self.collector.told.extend_from_slice(event.facts.unwrap_or_default());
            self.collector.digest = event.digest;
            let mut shown = Shown {
                collector: &mut self.collector,
                listing,
                failure: None,
            };
            let placed = self.union.place(&event.header, index, &mut shown);
            if let Some(error) = shown.failure {
                return Err(at_listing(error));
            }
            match placed {
                // Also of those that matter there are too many.
                Err(LayerError::TooManyEntries { .. } | LayerError::TooManyNames { .. }) => left_out += 1,
                placed => drop(placed.map_err(|error| at_layer(index, layer, error))?),
            }
        }
        self.collector.gathered.dropped(index, listing.dropped());
        self.collector
            .gathered
            .left_out(index, &layer.descriptor.digest, left_out);
        self.union.inflated(index, layer.descriptor, listing.inflated())?;
        Ok(())
    }

    /// Reads from the layers what the listings could not say (hard links to files of lower layers), and returns the bill.
    pub fn finish(self, layers: &[Layer<'_>]) -> Result<Bill, SbomError> {
        let Self {
            union, mut collector, ..
        } = self;
        let summary = union.finish(layers, &mut collector)?;
        let Collector {
            mut gathered,
            symlinks,
            digests,
            ..
        } = collector;
        for (path, target) in summary.dangling_links {
            gathered.note(&path, "hard-link-dangling", format!("no layer has its target {target}"));
        }
        symlinks.note_databases(&mut gathered);
        let archive_names = symlinks.archive_names(&mut gathered);
        let (mut facts, notes) = gathered.into_parts();
        facts.name_archives(archive_names);
        let records = layers.iter().map(|layer| LayerRecord {
            digest: layer.descriptor.digest.clone(),
            diff_id: layer.diff_id.clone(),
            size: layer.descriptor.size,
        });
        let mut bill = assemble(facts);
        bill.layers = records.collect();
        bill.notes = notes;
        bill.file_digests = digests.into_iter().collect();
        Ok(bill)
    }
}

/// What has been shown so far.
#[derive(Default)]
struct Collector {
    gathered: Gathered,
    symlinks: Symlinks,
    digests: BTreeMap<String, Digest>,
    /// For the second pass.
    reader: Reader,
    /// What the listing has of the current entry.
    told: Vec<u8>,
    digest: Option<Digest>,
}

/// The collector beside the listing of the current layer.
struct Shown<'s> {
    collector: &'s mut Collector,
    listing: &'s Listing,
    failure: Option<ListingError>,
}

impl Shown<'_> {
    fn keep(&mut self, entry: &Entry<'_>, facts: &[u8]) {
        match facts_of(entry.path, facts) {
            Ok(facts) => self.collector.gathered.keep(entry.path, entry.layer, facts),
            Err(error) => self.failure = Some(error),
        }
    }
}

impl Visitor for Shown<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Wants {
        self.collector.gathered.file(entry.path, entry.layer);
        if let Some(digest) = self.collector.digest.take() {
            self.collector.digests.insert(entry.path.to_owned(), digest);
        }
        let told = std::mem::take(&mut self.collector.told);
        self.keep(entry, &told);
        self.collector.told = told;
        Wants::NOTHING
    }

    fn hard_link(&mut self, entry: &Entry<'_>, target: &str, target_shown: bool) -> Wants {
        self.collector.gathered.file(entry.path, entry.layer);
        let digests = &mut self.collector.digests;
        let known = digests.get(target).filter(|_| target_shown).cloned();
        let has_digests = self.listing.has_digests();
        let digest = has_digests && known.is_none();
        digests.extend(known.map(|digest| (entry.path.to_owned(), digest)));
        let content = if is_wanted(entry.path) {
            match self.listing.linked(entry.path) {
                Some(facts) => {
                    self.keep(entry, facts);
                    false
                }
                None => true,
            }
        } else {
            // What an executable says has been read under its first name, if that was shown.
            !target_shown && cataloger::may_be_executable(entry.path, entry.mode, u64::MAX)
        };
        Wants { content, digest }
    }

    fn symlink(&mut self, entry: &Entry<'_>, target: &str) {
        self.collector.symlinks.add(entry.path, target);
        if let Some((package, other)) = cataloger::doc_link(entry.path, target) {
            self.collector.gathered.doc_link(entry.path, package, other);
        }
    }

    fn retract(&mut self, path: &str) {
        self.collector.gathered.retract(path);
        self.collector.symlinks.remove(path);
        self.collector.digests.remove(path);
    }
}

/// The second pass.
impl Visitor for Collector {
    fn entry(&mut self, _: &Entry<'_>) -> Wants {
        Wants::NOTHING
    }

    fn content(&mut self, entry: &Entry<'_>, content: &mut Content<'_>) {
        let names: Vec<&str> = names_of(entry).collect();
        let Self { gathered, reader, .. } = self;
        let tell = &mut |name: &str, facts: Vec<Fact>| gathered.keep(name, entry.layer, facts);
        reader.read(&names, entry.size, content, tell);
    }

    fn digest(&mut self, entry: &Entry<'_>, digest: &Digest) {
        for path in names_of(entry) {
            self.digests.insert(path.to_owned(), digest.clone());
        }
    }
}

fn at_layer(index: usize, layer: &Layer<'_>, error: LayerError) -> UnionError {
    UnionError::Layer {
        layer: index,
        digest: layer.descriptor.digest.clone(),
        error,
    }
}

/// Why an image's bill cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SbomError {
    /// A layer cannot be read or is not what it should be.
    #[error(transparent)]
    Union(#[from] UnionError),
    /// A listing that was kept is damaged, or not this layer's: read the layer itself.
    #[error("the listing of layer {layer} cannot be used: {error}")]
    Listing {
        /// The layer's place in the image, the lowest being 0.
        layer: usize,
        /// What is wrong with it; part of the text.
        error: ListingError,
    },
}

impl SbomError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Union(error) => error.code(),
            Self::Listing { error, .. } => error.code(),
        }
    }

    /// Whether the bytes could not be had, so that nothing is known of the image.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Union(error) if error.is_unreachable())
    }
}
