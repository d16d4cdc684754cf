//! A root file system that is no image: a folder, or a tarball of one. To the catalogers it is an image of one layer.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use proofmark_oci::union::{Layer, LayerSource};
use proofmark_oci::{Descriptor, media_types};
use proofmark_sbom::{Bill, Note, Options, catalog};
use proofmark_types::{Digest, MediaType};

use crate::context::unreadable;
use crate::failure::{Exit, Failure, chain};
use crate::hashed::{self, Hashed};

/// The most entries of a folder; as many as of an image.
const MAX_ENTRIES: usize = 4_000_000;

/// The most folders inside one another: PATH_MAX leaves room for 2,048.
const MAX_DEPTH: usize = 2_048;

/// How many times larger than its compressed bytes a tarball may be, past the first 256 MiB: the bound on layers.
const MAX_INFLATION: u64 = 200;
const FREE_BYTES: u64 = 256 << 20;

/// A folder or a tarball.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Folder(PathBuf),
    Tarball(PathBuf),
}

/// Where `dir:FOLDER`, `tar:FILE` and `file:FILE` say that it is.
pub(crate) fn named(text: &str) -> Option<Place> {
    if let Some(folder) = text.strip_prefix("dir:") {
        return Some(Place::Folder(folder.into()));
    }
    let file = text.strip_prefix("tar:").or_else(|| text.strip_prefix("file:"))?;
    Some(Place::Tarball(file.into()))
}

/// What is inside. It is read twice: once to know what it is, once to look; what changes between is an error.
pub(crate) async fn bill(place: Place) -> Result<Bill, Failure> {
    let walk = move || match place {
        Place::Folder(path) => of_folder(&path),
        Place::Tarball(path) => of_tarball(path),
    };
    tokio::task::spawn_blocking(walk).await.map_err(anyhow::Error::from)?
}

fn of_folder(path: &Path) -> Result<Bill, Failure> {
    if !fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir() {
        let message = format!("{} is no folder", path.display());
        return Err(Failure::usage("local-image-unreadable", message).with_hint("tar:FILE reads a tarball"));
    }
    let mut folder = Folder {
        root: path.to_owned(),
        entries: Vec::new(),
    };
    let mut notes = Vec::new();
    folder.list(PathBuf::new(), 0, &mut notes)?;
    let mut sink = Hashed::new(io::sink());
    folder.write(&mut sink).map_err(|error| unreadable(path, &error))?;
    let (_, digest, size) = sink.finish();
    let mut bill = look(&descriptor(digest.clone(), size)?, &digest, &Piped(Arc::new(folder)))?;
    bill.notes.extend(notes);
    bill.notes.sort();
    Ok(bill)
}

fn of_tarball(path: PathBuf) -> Result<Bill, Failure> {
    let unreadable = |error| unreadable(&path, &error);
    let open = || File::open(&path).map(BufReader::new);
    let (digest, size) = hashed::file(&path).map_err(unreadable)?;
    let mut magic = Vec::new();
    let start = open().and_then(|file| file.take(4).read_to_end(&mut magic));
    start.map_err(unreadable)?;
    let diff_id = if magic.starts_with(&[0x1f, 0x8b]) {
        let mut inflated = MultiGzDecoder::new(open().map_err(unreadable)?);
        let bound = FREE_BYTES.saturating_add(size.saturating_mul(MAX_INFLATION));
        let (diff_id, written) = hashed::all(inflated.by_ref().take(bound + 1)).map_err(unreadable)?;
        if written > bound {
            let message = format!(
                "{} inflates to more than {MAX_INFLATION} times its {size} bytes",
                path.display()
            );
            return Err(Failure::new(Exit::Undecided, "malformed-layer", message));
        }
        diff_id
    } else if magic == [0x28, 0xb5, 0x2f, 0xfd] {
        let message = format!("{} is compressed with zstd", path.display());
        return Err(
            Failure::usage("local-image-unreadable", message).with_hint("decompress it first; gzip is read as it is")
        );
    } else {
        digest.clone()
    };
    let source = move || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(File::open(&path)?)) };
    look(&descriptor(digest, size)?, &diff_id, &source)
}

fn look(descriptor: &Descriptor, diff_id: &Digest, source: &dyn LayerSource) -> Result<Bill, Failure> {
    let layer = Layer {
        descriptor,
        diff_id,
        source,
    };
    catalog(&[layer], &Options::default()).map_err(|error| {
        Failure::new(Exit::Undecided, error.code(), chain(&error))
            .with_hint("a file that changes while it is read ends so too")
    })
}

fn descriptor(digest: Digest, size: u64) -> Result<Descriptor, Failure> {
    let media_type = MediaType::parse(media_types::OCI_LAYER).map_err(anyhow::Error::from)?;
    let mut descriptor = Descriptor::of(media_type, b"");
    descriptor.digest = digest;
    descriptor.size = size;
    Ok(descriptor)
}

/// A folder's files, links and folders, in the order of their names.
#[derive(Debug)]
struct Folder {
    root: PathBuf,
    /// Without the root; devices, sockets and pipes are no content.
    entries: Vec<PathBuf>,
}

impl Folder {
    /// Links are kept as links: nothing outside the folder is read.
    fn list(&mut self, inner: PathBuf, depth: usize, notes: &mut Vec<Note>) -> Result<(), Failure> {
        if depth > MAX_DEPTH || self.entries.len() > MAX_ENTRIES {
            let message = format!(
                "{} has more than {MAX_ENTRIES} entries, or {MAX_DEPTH} levels",
                self.root.display()
            );
            return Err(Failure::new(Exit::Undecided, "folder-too-large", message));
        }
        let folder = self.root.join(&inner);
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                notes.push(note(&inner, &error));
                return Ok(());
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = inner.join(entry.file_name());
            let kind = match entry.file_type() {
                Ok(kind) => kind,
                Err(error) => {
                    notes.push(note(&path, &error));
                    continue;
                }
            };
            if kind.is_dir() {
                self.entries.push(path.clone());
                self.list(path, depth + 1, notes)?;
            } else if kind.is_symlink() {
                self.entries.push(path);
            } else if kind.is_file() {
                match File::open(self.root.join(&path)) {
                    Ok(_) => self.entries.push(path),
                    Err(error) => notes.push(note(&path, &error)),
                }
            }
        }
        Ok(())
    }

    fn write(&self, writer: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(writer);
        tar.follow_symlinks(false);
        tar.mode(tar::HeaderMode::Deterministic);
        for path in &self.entries {
            let place = self.root.join(path);
            let metadata = fs::symlink_metadata(&place)?;
            if metadata.is_file() {
                // Opened first: its size is that of the file that is read.
                let file = File::open(&place)?;
                let metadata = file.metadata()?;
                let mut header = tar::Header::new_gnu();
                header.set_metadata_in_mode(&metadata, tar::HeaderMode::Deterministic);
                tar.append_data(&mut header, path, file.take(metadata.len()))?;
            } else {
                tar.append_path_with_name(&place, path)?;
            }
        }
        tar.into_inner()?.flush()
    }
}

/// The folder's tar, made while it is read.
struct Piped(Arc<Folder>);

impl LayerSource for Piped {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        let (reader, writer) = io::pipe()?;
        let folder = Arc::clone(&self.0);
        // Whoever stops reading ends it; what it fails with shows as a layer that is too short.
        std::thread::spawn(move || folder.write(io::BufWriter::new(writer)));
        Ok(Box::new(reader))
    }
}

fn note(path: &Path, error: &io::Error) -> Note {
    Note {
        path: path.to_string_lossy().into_owned(),
        code: "file-unreadable",
        reason: error.to_string(),
    }
}
