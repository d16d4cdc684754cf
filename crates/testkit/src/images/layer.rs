//! Layers from lists of files.

use std::io::Write as _;

use flate2::{Compression as Level, GzBuilder};
use proofmark_oci::media_types;
use tar::{Builder, EntryType, Header};

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// A bare tar archive.
    None,
    /// gzip.
    Gzip,
}

/// One layer: entries in the order in which they were added, which is the order in the archive.
#[derive(Clone, Debug)]
pub struct Layer {
    compression: Compression,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    path: String,
    kind: EntryType,
    mode: u32,
    target: Option<String>,
    content: Vec<u8>,
}

impl Layer {
    /// An empty layer, to be compressed with gzip.
    #[must_use]
    pub fn gzip() -> Self {
        Self {
            compression: Compression::Gzip,
            entries: Vec::new(),
        }
    }

    /// An empty layer, not to be compressed.
    #[must_use]
    pub fn uncompressed() -> Self {
        Self {
            compression: Compression::None,
            entries: Vec::new(),
        }
    }

    /// Adds a file, executable by all.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(path, EntryType::Regular, None, content.as_ref())
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(self, path: &str) -> Self {
        self.entry(path, EntryType::Directory, None, b"")
    }

    /// Adds a symbolic link to `target`.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Symlink, Some(target), b"")
    }

    /// Adds another name of the file `target`.
    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Link, Some(target), b"")
    }

    /// Says that `path` of the layers below is gone (image-spec, layer.md, "Whiteouts").
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let separator = if folder.is_empty() { "" } else { "/" };
        self.file(&format!("{folder}{separator}.wh.{name}"), "")
    }

    /// Says that what the layers below have in the folder `path` is gone ("Opaque Whiteout").
    #[must_use]
    pub fn opaque(self, path: &str) -> Self {
        self.file(&format!("{path}/.wh..wh..opq"), "")
    }

    /// The uncompressed archive.
    ///
    /// # Panics
    ///
    /// If a path or target is longer than a plain tar header holds, 100 bytes.
    #[must_use]
    pub fn tar(&self) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for entry in &self.entries {
            let mut header = Header::new_ustar();
            // Names are written as they are, also those that the library would refuse: layers that escape are a test.
            write_name(&mut header.as_old_mut().name, &entry.path);
            write_name(
                &mut header.as_old_mut().linkname,
                entry.target.as_deref().unwrap_or_default(),
            );
            header.set_entry_type(entry.kind);
            header.set_mode(entry.mode);
            header.set_size(entry.content.len() as u64);
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_cksum();
            archive
                .append(&header, entry.content.as_slice())
                .expect("writing to memory");
        }
        archive.into_inner().expect("writing to memory")
    }

    /// The layer as a registry holds it.
    ///
    /// # Panics
    ///
    /// As [`Layer::tar`].
    #[must_use]
    pub fn blob(&self) -> Vec<u8> {
        let tar = self.tar();
        match self.compression {
            Compression::None => tar,
            Compression::Gzip => {
                let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Level::fast());
                encoder.write_all(&tar).expect("writing to memory");
                encoder.finish().expect("writing to memory")
            }
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        match self.compression {
            Compression::None => media_types::OCI_LAYER,
            Compression::Gzip => media_types::OCI_LAYER_GZIP,
        }
    }

    fn entry(mut self, path: &str, kind: EntryType, target: Option<&str>, content: &[u8]) -> Self {
        self.entries.push(Entry {
            path: path.to_owned(),
            kind,
            mode: 0o755,
            target: target.map(str::to_owned),
            content: content.to_vec(),
        });
        self
    }
}

fn write_name(field: &mut [u8; 100], name: &str) {
    let place = field.get_mut(..name.len()).expect("a name of at most 100 bytes");
    place.copy_from_slice(name.as_bytes());
}
