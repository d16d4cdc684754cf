//! What layers contain, kept in a folder of this user: a layer is read once on this machine, whatever images have it.
//!
//! An entry is named by the digest of the layer's verified bytes and by the catalogers that read it, and begins with a
//! checksum. That finds damage; it does not stop whoever may write to the folder from making an entry up. So a folder or
//! a file that another user could have written is not used, and `release`, which signs what it says, never reads any.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proofmark_oci::union::Layer;
use proofmark_sbom::{Listing, ListingError, Options, listing};
use proofmark_types::Digest;

use crate::context::{Context, cache_folder};
use crate::failure::chain;
use crate::output::Output;

/// Where entries are, if not in the user's cache folder; empty for nowhere.
const FOLDER: &str = "PROOFMARK_LAYER_CACHE";

/// What an entry begins with; the checksum of the rest follows.
const MAGIC: &[u8] = b"proofmark layer cache 1\n";

/// The most bytes of one entry: a layer of 93,000 files has 10 MB, of a full desktop 40.
const MAX_ENTRY_BYTES: u64 = 256 << 20;

/// The most bytes of all entries: those of a hundred large images.
const MAX_BYTES: u64 = 1 << 30;

/// What is left of them when there are more, so that not every entry that is added lists the folder in vain.
const LEFT_BYTES: u64 = MAX_BYTES / 4 * 3;

/// When an entry was last used is written down this often.
const USED_EVERY: Duration = Duration::from_secs(3600);

/// A file that was being written for this long is left over from a process that was ended.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(3600);

/// How temporary files begin.
const NEW: &str = ".new-";

/// The folder, and what may be done with it.
#[derive(Clone, Debug)]
pub(crate) struct LayerCache {
    /// None where nothing is kept.
    folder: Option<PathBuf>,
    reads: bool,
    output: Output,
}

impl LayerCache {
    /// For verbs that look: reads and keeps, unless `--no-cache` forbids both.
    pub(crate) fn of(context: &Context) -> Self {
        match context.no_cache {
            true => Self::nowhere(context.output),
            false => Self::new(folder(), true, context.output),
        }
    }

    /// Keeps nothing.
    pub(crate) fn nowhere(output: Output) -> Self {
        Self {
            folder: None,
            reads: false,
            output,
        }
    }

    /// For a verb that signs what it finds: keeps what it has read itself, and reads nothing that was kept.
    pub(crate) fn kept_only(output: Output) -> Self {
        Self::new(folder(), false, output)
    }

    /// The same, without reading.
    pub(crate) fn unread(&self) -> Self {
        Self {
            reads: false,
            ..self.clone()
        }
    }

    fn new(folder: Option<PathBuf>, reads: bool, output: Output) -> Self {
        let unsafe_folder = folder.as_deref().and_then(|path| match fs::metadata(path) {
            Ok(metadata) => stranger(&metadata),
            // It is made when something is kept.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(format!("cannot be read: {error}")),
        });
        let folder = match (folder, unsafe_folder) {
            (Some(path), Some(reason)) => {
                output.warn(&format!(
                    "the layer cache {} is not used: it {reason} [layer-cache-unsafe]",
                    path.display()
                ));
                None
            }
            (folder, _) => folder,
        };
        Self { folder, reads, output }
    }

    /// What is kept of a layer, if there is something and nothing is wrong with it.
    pub(crate) fn get(&self, layer: &Layer<'_>, options: &Options) -> Option<Listing> {
        let path = self.path(&layer.descriptor.digest).filter(|_| self.reads)?;
        let read = match read(&path) {
            Ok(Some(bytes)) => open(&bytes),
            Ok(None) => return None,
            Err(reason) => Err(reason),
        };
        match read {
            Ok(listing) if listing.is_of(layer, options) => {
                used(&path);
                Some(listing)
            }
            // The same bytes with another diffID or size: the layer itself will tell which is true.
            Ok(_) => None,
            Err(reason) => {
                self.damaged(&path, &reason);
                None
            }
        }
    }

    /// What was kept of a layer passed for whole, and is not.
    pub(crate) fn refuse(&self, layer: &Layer<'_>, error: &ListingError) {
        if let Some(path) = self.path(&layer.descriptor.digest) {
            self.damaged(&path, &format!("is damaged: {}", chain(error)));
        }
    }

    fn damaged(&self, path: &Path, reason: &str) {
        self.output.warn(&format!(
            "{}: {reason}; the layer is read anew [layer-cache-damaged]",
            path.display()
        ));
        // What cannot be removed will be replaced.
        let _ = fs::remove_file(path);
    }

    /// Keeps what a layer contains. That something cannot be kept is not the image's fault, and only said.
    pub(crate) fn keep(&self, layer: &Layer<'_>, listing: &Listing) {
        let (Some(path), Some(folder)) = (self.path(&layer.descriptor.digest), &self.folder) else {
            return;
        };
        if let Err(error) = write(&path, folder, listing) {
            self.output.warn(&format!(
                "what a layer contains cannot be kept in {}: {error} [layer-cache-unwritable]",
                folder.display()
            ));
        }
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        let name = format!("{}.{}", digest.to_string().replace(':', "-"), listing::CATALOG_VERSION);
        Some(self.folder.as_ref()?.join(name))
    }
}

fn folder() -> Option<PathBuf> {
    match std::env::var_os(FOLDER).map(PathBuf::from) {
        Some(folder) => Some(folder).filter(|folder| !folder.as_os_str().is_empty()),
        None => Some(cache_folder()?.join("layers")),
    }
}

/// An entry's bytes, if it is there and nobody else can have written it.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let read = || -> io::Result<Result<Vec<u8>, String>> {
        let metadata = file.metadata()?;
        if let Some(reason) = stranger(&metadata) {
            return Ok(Err(reason));
        }
        if metadata.len() > MAX_ENTRY_BYTES {
            return Ok(Err(format!("has {} bytes, over {MAX_ENTRY_BYTES}", metadata.len())));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        (&file).take(MAX_ENTRY_BYTES).read_to_end(&mut bytes)?;
        Ok(Ok(bytes))
    };
    match read() {
        Ok(read) => read.map(Some),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

fn open(bytes: &[u8]) -> Result<Listing, String> {
    let (sum, body) = bytes
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.split_at_checked(64))
        .ok_or("is no entry of a layer cache")?;
    let seen = Digest::sha256_of(body);
    if seen.hex().as_bytes() != sum {
        let expected: String = String::from_utf8_lossy(sum).chars().take(64).collect();
        return Err(format!(
            "is damaged: expected the checksum {expected}, got {}",
            seen.hex()
        ));
    }
    Listing::decode(body).map_err(|error| format!("is damaged: {error}"))
}

/// Whoever opens it sees all of the old or all of the new entry. After a crash it may be damaged, which its checksum tells.
fn write(path: &Path, folder: &Path, listing: &Listing) -> io::Result<()> {
    let body = listing.encode();
    if u64::try_from(body.len()).unwrap_or(u64::MAX) > MAX_ENTRY_BYTES / 2 {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(folder)?;
    file.write_all(MAGIC)?;
    file.write_all(Digest::sha256_of(&body).hex().as_bytes())?;
    file.write_all(&body)?;
    file.persist(path).map_err(|error| error.error)?;
    make_room(folder, MAX_BYTES, LEFT_BYTES)
}

/// Removes what was not used for the longest time, where there is more than may be. Another process may do the same at the
/// same time: what is gone is gone.
fn make_room(folder: &Path, most: u64, left: u64) -> io::Result<()> {
    let now = SystemTime::now();
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        let changed = metadata.modified().unwrap_or(now);
        if !metadata.is_file() {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(NEW) {
            if now.duration_since(changed).is_ok_and(|age| age > LEFT_OVER_AFTER) {
                let _ = fs::remove_file(entry.path());
            }
            continue;
        }
        entries.push((changed, metadata.len(), entry.path()));
    }
    let mut sum: u64 = entries.iter().map(|(_, size, _)| *size).sum();
    if sum <= most {
        return Ok(());
    }
    entries.sort();
    for (_, size, path) in entries {
        if sum <= left {
            break;
        }
        let _ = fs::remove_file(path);
        sum = sum.saturating_sub(size);
    }
    Ok(())
}

/// Notes that an entry was used, by its time.
fn used(path: &Path) {
    let now = SystemTime::now();
    let touch = || -> io::Result<()> {
        let file = File::open(path)?;
        let old = file.metadata()?.modified()?;
        if now.duration_since(old).is_ok_and(|age| age > USED_EVERY) {
            file.set_modified(now)?;
        }
        Ok(())
    };
    // On a read-only disk the oldest entries go first, used or not.
    let _ = touch();
}

/// Why somebody else could have written it, if so.
#[cfg(unix)]
fn stranger(metadata: &Metadata) -> Option<String> {
    proofmark_trust_root::written_by_others(metadata)
}

#[cfg(not(unix))]
fn stranger(_metadata: &Metadata) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(folder: &Path, name: &str, size: usize, age: u64) {
        let path = folder.join(name);
        fs::write(&path, vec![0; size]).unwrap();
        let then = SystemTime::now() - Duration::from_secs(age);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(then)
            .unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        for (name, age) in [("a", 50), ("b", 40), ("c", 30), ("d", 20)] {
            entry(folder.path(), name, 100, age);
        }
        entry(folder.path(), ".new-old", 1, 7200);
        entry(folder.path(), ".new-young", 1, 10);
        make_room(folder.path(), 400, 300).unwrap();
        assert_eq!(names(folder.path()), [".new-young", "a", "b", "c", "d"]);
        make_room(folder.path(), 399, 200).unwrap();
        assert_eq!(names(folder.path()), [".new-young", "c", "d"]);
    }

    #[test]
    fn an_entry_that_is_damaged_anywhere_is_refused() {
        assert_eq!(open(b"something").unwrap_err(), "is no entry of a layer cache");
        let body = b"no listing".as_slice();
        let whole = [MAGIC, Digest::sha256_of(body).hex().as_bytes(), body].concat();
        assert!(
            open(&whole)
                .unwrap_err()
                .contains("does not begin as a layer's listing")
        );
        for at in MAGIC.len()..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(
                open(&damaged).unwrap_err().contains("expected the checksum"),
                "byte {at}"
            );
        }
        for length in 0..whole.len() {
            open(&whole[..length]).unwrap_err();
        }
    }
}
