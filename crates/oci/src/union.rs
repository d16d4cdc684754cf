//! What a container sees: the layers of an image laid over each other, as a stream of events about visible files.
//!
//! Layers are read from the top down, so that one pass tells whether a file is visible: whatever an upper layer holds,
//! whites out or makes opaque hides what is below. Each layer is inflated and its blob hashed on a second thread while
//! this one hashes the tar, walks it and shows files to a [`Visitor`]; nothing is written to disk and no file is held
//! in memory. Memory holds the names of the files seen and a few chunks.
//!
//! Hard links whose content a visitor asks for and has not been shown under the first name are read in a second pass
//! over the layers concerned, which is why a [`LayerSource`] can be opened again.
//!
//! Bytes are shown to the visitor before the digest at the end of the layer is known. What a visitor has gathered is
//! worth something only if [`walk`] returns `Ok`.
//!
//! Deliberately not done: folders that are symbolic links in a lower layer are not followed when an upper layer puts
//! files below their name (both names are reported); sparse files are refused.
//!
//! Specifications: OCI image-spec, layer.md ("Whiteouts", "Hardlinks"); POSIX pax; RFC 1952; RFC 8878.

mod content;
mod error;
mod inflate;
mod links;
mod path;
mod tar;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::thread;

use proofmark_types::Digest;

use crate::descriptor::Descriptor;
pub use content::Content;
use content::{lend, show};
pub use error::{LayerError, UnionError};
use inflate::{Inflated, inflate};
pub use links::MAX_PENDING;
use links::Pending;
use tar::Tar;
pub use tar::{Header, Kind};
use tree::{Placement, Tree};

/// A layer's compressed bytes, which can be read again.
pub trait LayerSource: Sync {
    /// Opens them from the start.
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>>;
}

impl<F> LayerSource for F
where
    F: Fn() -> io::Result<Box<dyn Read + Send>> + Sync,
{
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        self()
    }
}

/// A layer of an image: what the manifest and the config say of it, and where its bytes come from.
#[derive(Clone, Copy)]
pub struct Layer<'l> {
    /// The manifest's descriptor: digest and size of the compressed bytes.
    pub descriptor: &'l Descriptor,
    /// The config's digest of the uncompressed tar.
    pub diff_id: &'l Digest,
    /// The compressed bytes. Their format is told by their first bytes, as containerd does, not by the media type.
    pub source: &'l dyn LayerSource,
}

/// How much of a foreign image is read before it is refused.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most tar entries of all layers.
    pub entries: u64,
    /// The most names held in memory, at about 100 bytes each; longer ones count as several.
    pub names: usize,
    /// The most bytes of a compressed layer.
    pub layer_bytes: u64,
    /// The most bytes of all layers inflated.
    pub inflated_bytes: u64,
    /// How many times larger than its compressed bytes a layer may be, once it is past `inflated_free_bytes`.
    pub inflation: u64,
    /// How far a layer may inflate before `inflation` counts.
    pub inflated_free_bytes: u64,
}

impl Default for Limits {
    /// The largest images in use have about a million files and 20 GB. Layers of files compress 3 to 10 times; deflate
    /// ends at 1,032 times, and only runs of one byte get there.
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            names: 2_000_000,
            layer_bytes: 32 << 30,
            inflated_bytes: 64 << 30,
            inflation: 200,
            inflated_free_bytes: 256 << 20,
        }
    }
}

/// A visible file, or a name that will have its content.
#[derive(Clone, Debug)]
pub struct Entry<'e> {
    /// Its path from the root, without leading slash; bytes that are not UTF-8 are replaced.
    pub path: &'e str,
    /// Other names (hard links) under which the same content is visible and was asked for. Only in the second pass.
    pub also: &'e [String],
    /// Its length in bytes; 0 for a link whose target has not been met.
    pub size: u64,
    /// Its permission bits.
    pub mode: u32,
    /// The layer that brought it: an index into the layers walked.
    pub layer: usize,
}

impl Header {
    fn entry<'e>(&self, path: &'e str, layer: usize) -> Entry<'e> {
        Entry {
            path,
            also: &[],
            size: self.size,
            mode: self.mode,
            layer,
        }
    }
}

/// What a visitor wants of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// To read it.
    pub content: bool,
    /// To be told its SHA-256.
    pub digest: bool,
}

impl Wants {
    /// Nothing more.
    pub const NOTHING: Self = Self {
        content: false,
        digest: false,
    };
    /// To read it.
    pub const CONTENT: Self = Self {
        content: true,
        digest: false,
    };
    /// To be told its SHA-256.
    pub const DIGEST: Self = Self {
        content: false,
        digest: true,
    };

    fn any(self) -> bool {
        self.content || self.digest
    }
}

/// Is told of every visible file.
pub trait Visitor {
    /// A regular file is visible; says what is wanted of it.
    fn entry(&mut self, entry: &Entry<'_>) -> Wants;

    /// A hard link is visible, another name of `target`. `target_shown` says that `target` is visible too and this
    /// visitor was told of it; asking for content then gives it a second time, under this name.
    fn hard_link(&mut self, entry: &Entry<'_>, target: &str, target_shown: bool) -> Wants {
        let _ = (entry, target, target_shown);
        Wants::NOTHING
    }

    /// A symbolic link is visible.
    fn symlink(&mut self, entry: &Entry<'_>, target: &str) {
        let _ = (entry, target);
    }

    /// The content of a file that was wanted; what is not read is skipped. Of a hard link to a file that its layer has
    /// several times, the last that is given counts.
    fn content(&mut self, entry: &Entry<'_>, content: &mut Content<'_>) {
        let _ = (entry, content);
    }

    /// The SHA-256 of a file of which it was wanted.
    fn digest(&mut self, entry: &Entry<'_>, digest: &Digest) {
        let _ = (entry, digest);
    }

    /// A path told of before is not there after all: the same layer replaces it further on.
    fn retract(&mut self, path: &str) {
        let _ = path;
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The tar entries of all layers.
    pub entries: u64,
    /// The bytes of all layers inflated.
    pub inflated_bytes: u64,
    /// Hard links whose content was wanted and whose target no layer has: name and target.
    pub dangling_links: Vec<(String, String)>,
}

/// The most layers walked: overlayfs takes 500 lower folders (Linux, `OVL_MAX_STACK`).
pub const MAX_UNION_LAYERS: usize = 500;

/// Shows the visible files of an image to `visitor`, in these steps for each layer, from the top:
///
/// 1. the compressed bytes are bounded by the descriptor's size and hashed as they are read;
/// 2. they are inflated under the limits;
/// 3. the tar is hashed as it is read, then parsed; every header is checked before it is believed;
/// 4. names are normalised, and those that leave the root refused;
/// 5. whiteouts are noted, hidden entries passed over, visible ones shown;
/// 6. at the end of the layer size, digest and diffID must be what manifest and config say, or all is an error.
///
/// Then the content of hard links that is still wanted is read in a second pass over the layers that may have it.
pub fn walk(layers: &[Layer<'_>], limits: &Limits, visitor: &mut dyn Visitor) -> Result<Summary, UnionError> {
    let mut union = Union::new(layers.len(), limits)?;
    for (index, layer) in layers.iter().enumerate().rev() {
        union.next_layer();
        let already = union.summary.inflated_bytes;
        let inflated = read_tar_of(layer, index, limits, already, &mut |tar, header| {
            let wants = union.place(&header, index, visitor)?;
            if wants.any() {
                let path = String::from_utf8_lossy(&header.path);
                show(tar, &header.entry(&path, index), wants, visitor)?;
            }
            Ok(())
        })?;
        union.inflated(index, layer.descriptor, inflated)?;
    }
    union.finish(layers, visitor)
}

/// Shows the entries of one layer as its tar has them, whiteouts too, each with its content, and verifies it as [`walk`]
/// does; returns how many bytes it inflates to. What was shown is worth something only if this returns `Ok`. Entries are not
/// counted against [`Limits::entries`]: who keeps them must, and an entry that is not kept costs its 512 bytes of
/// [`Limits::inflated_bytes`] and no memory.
pub fn read_layer(
    layer: &Layer<'_>,
    index: usize,
    limits: &Limits,
    on_entry: &mut dyn FnMut(&Header, &mut Content<'_>) -> Result<(), LayerError>,
) -> Result<u64, UnionError> {
    read_tar_of(layer, index, limits, 0, &mut |tar, header| {
        lend(tar, |content| on_entry(&header, content))
    })
}

/// Reads one layer again for the content of its hard links (name and target, which is resolved within the layer); those
/// whose target it does not have are passed over.
pub fn read_linked(
    layer: &Layer<'_>,
    limits: &Limits,
    links: impl IntoIterator<Item = (String, String)>,
    visitor: &mut dyn Visitor,
) -> Result<(), UnionError> {
    let pending = links.into_iter().map(|(path, target)| Pending {
        path,
        target,
        wants: Wants::CONTENT,
        layer: 0,
        search: 0,
    });
    links::deliver(&[*layer], limits, visitor, pending.collect()).map(|_| ())
}

/// What is visible, entry by entry: layers from the top down, whose entries come from a tar or from a record of one.
pub struct Union {
    limits: Limits,
    tree: Tree,
    summary: Summary,
    /// The hard links of the current layer, to their targets.
    links: HashMap<Vec<u8>, Vec<u8>>,
    /// As how many names they count.
    link_names: usize,
    /// The links to read in the second pass, by name.
    pending: BTreeMap<String, Pending>,
}

impl Union {
    /// Of so many layers.
    pub fn new(layers: usize, limits: &Limits) -> Result<Self, UnionError> {
        if layers > MAX_UNION_LAYERS {
            return Err(UnionError::TooManyLayers {
                limit: MAX_UNION_LAYERS,
                seen: layers,
            });
        }
        Ok(Self {
            limits: limits.clone(),
            tree: Tree::new(limits.names),
            summary: Summary::default(),
            links: HashMap::new(),
            link_names: 0,
            pending: BTreeMap::new(),
        })
    }

    /// Goes on to the next lower layer, at first to the top.
    pub fn next_layer(&mut self) {
        self.tree.next_layer();
        self.links.clear();
        self.link_names = 0;
    }

    /// Takes the next entry of the current layer, and tells `visitor` of it if it is visible. What is returned is what
    /// the visitor wants of a file that has content of its own.
    pub fn place(&mut self, header: &Header, layer: usize, visitor: &mut dyn Visitor) -> Result<Wants, LayerError> {
        self.summary.entries += 1;
        if self.summary.entries > self.limits.entries {
            return Err(LayerError::TooManyEntries {
                limit: self.limits.entries,
            });
        }
        match path::classify(&header.path)? {
            path::Class::Ignored => {}
            path::Class::Opaque(folder) => self.tree.make_opaque(folder)?,
            path::Class::Whiteout(folder, name) => self.tree.white_out(folder, name)?,
            path::Class::Plain(path) => return self.place_plain(header, path, layer, visitor),
        }
        Ok(Wants::NOTHING)
    }

    /// Whether more entries or names have been placed than these limits allow, which may be less than its own.
    #[must_use]
    pub fn is_past(&self, limits: &Limits) -> bool {
        self.summary.entries >= limits.entries || self.tree.names() >= limits.names || self.link_names >= limits.names
    }

    /// Counts what a layer has inflated to.
    pub fn inflated(&mut self, layer: usize, descriptor: &Descriptor, bytes: u64) -> Result<(), UnionError> {
        self.summary.inflated_bytes = self.summary.inflated_bytes.saturating_add(bytes);
        if self.summary.inflated_bytes > self.limits.inflated_bytes {
            return Err(UnionError::Layer {
                layer,
                digest: descriptor.digest.clone(),
                error: LayerError::InflatedTooLarge {
                    limit: self.limits.inflated_bytes,
                },
            });
        }
        Ok(())
    }

    /// Reads what is wanted of hard links, from the layers that may have it.
    pub fn finish(self, layers: &[Layer<'_>], visitor: &mut dyn Visitor) -> Result<Summary, UnionError> {
        let mut summary = self.summary;
        let pending = self.pending.into_values().collect();
        summary.dangling_links = links::deliver(layers, &self.limits, visitor, pending)?;
        Ok(summary)
    }

    fn place_plain(
        &mut self,
        header: &Header,
        path: &[u8],
        layer: usize,
        visitor: &mut dyn Visitor,
    ) -> Result<Wants, LayerError> {
        if header.kind == Kind::HardLink {
            self.link_names += tree::weight(path.len() + header.link.len());
            if self.link_names > self.limits.names {
                return Err(LayerError::TooManyNames {
                    limit: self.limits.names,
                });
            }
            self.links.insert(path.to_vec(), header.link.clone());
        }
        match self.tree.place(path, header.kind == Kind::Folder)? {
            Placement::Hidden => return Ok(Wants::NOTHING),
            Placement::Visible => {}
            Placement::Replaces(gone) => {
                for path in gone {
                    let path = String::from_utf8_lossy(&path);
                    self.pending.remove(path.as_ref());
                    visitor.retract(&path);
                }
            }
        }
        let text = String::from_utf8_lossy(path);
        let entry = header.entry(&text, layer);
        match header.kind {
            Kind::File => return Ok(visitor.entry(&entry)),
            Kind::Symlink => visitor.symlink(&entry, &String::from_utf8_lossy(&header.link)),
            Kind::HardLink => self.hard_link(&entry, &header.link, visitor)?,
            Kind::Folder | Kind::Special => {}
        }
        Ok(Wants::NOTHING)
    }

    fn hard_link(&mut self, entry: &Entry<'_>, target: &[u8], visitor: &mut dyn Visitor) -> Result<(), LayerError> {
        let target = self.resolved(target);
        let shown = self.tree.is_file_of_this_layer(&target);
        let target = String::from_utf8_lossy(&target).into_owned();
        let wants = visitor.hard_link(entry, &target, shown);
        if wants.any() {
            if self.pending.len() >= MAX_PENDING {
                return Err(LayerError::TooManyLinks { limit: MAX_PENDING });
            }
            let link = Pending {
                path: entry.path.to_owned(),
                target,
                wants,
                layer: entry.layer,
                search: entry.layer,
            };
            self.pending.insert(entry.path.to_owned(), link);
        }
        Ok(())
    }

    /// Follows links to links within the layer; no writer nests them more than once.
    fn resolved(&self, target: &[u8]) -> Vec<u8> {
        let mut target = target;
        for _ in 0..links::MAX_ROUNDS {
            match self.links.get(target) {
                Some(next) => target = next,
                None => break,
            }
        }
        target.to_vec()
    }
}

/// Is given each entry of a layer, with the tar standing at its content.
type OnEntry<'v> = dyn FnMut(&mut Tar<'_>, Header) -> Result<(), LayerError> + 'v;

/// Reads one layer: blob, compression and tar, all verified; returns how many bytes it inflates to, where other layers
/// have had `already` of what all may.
fn read_tar_of(
    layer: &Layer<'_>,
    index: usize,
    limits: &Limits,
    already: u64,
    on_entry: &mut OnEntry<'_>,
) -> Result<u64, UnionError> {
    let at_layer = |error| UnionError::Layer {
        layer: index,
        digest: layer.descriptor.digest.clone(),
        error,
    };
    if layer.descriptor.size > limits.layer_bytes {
        return Err(at_layer(LayerError::TooLarge {
            limit: limits.layer_bytes,
            seen: layer.descriptor.size,
        }));
    }
    let source = layer.source.open().map_err(|e| at_layer(LayerError::Read(e)))?;
    thread::scope(|scope| {
        let (outlet, inlet) = inflate::pipe(limits, already);
        let worker = scope.spawn(move || inflate(source, layer.descriptor, outlet));
        let mut inflated = Inflated::new(inlet, layer.diff_id.algorithm());
        let walked = read_tar(&mut inflated, on_entry);
        let (seen, length) = inflated.finish();
        // The blob's own fault explains all that follows from it, so it is told first.
        let blob = worker.join().unwrap_or(Err(LayerError::Stopped));
        match (blob, walked) {
            (Err(error), _) | (Ok(()), Err(error)) => Err(at_layer(error)),
            (Ok(()), Ok(())) if seen != *layer.diff_id => Err(at_layer(LayerError::DiffId {
                expected: layer.diff_id.clone(),
                seen,
            })),
            (Ok(()), Ok(())) => Ok(length),
        }
    })
}

fn read_tar(inflated: &mut Inflated, on_entry: &mut OnEntry<'_>) -> Result<(), LayerError> {
    let mut tar = Tar::new(inflated);
    while let Some(header) = tar.next_entry()? {
        on_entry(&mut tar, header)?;
    }
    tar.expect_end()
}
