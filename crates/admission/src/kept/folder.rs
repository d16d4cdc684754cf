//! Records in a folder: one file each, there whole or not at all, the oldest removed when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::secret::{failed, write_private};
use super::{KeepingError, MAX_RECORD_BYTES};
use crate::hold::Bounds;

const EXTENSION: &str = "evidence";

/// Of a file while it is written; what a crash leaves of them is removed at the next start.
const TEMPORARY: &str = "part";

pub(super) struct Folder {
    path: PathBuf,
    bounds: Bounds,
    index: Mutex<Index>,
    written: AtomicU64,
}

/// What is there, without its content.
#[derive(Default)]
struct Index {
    files: HashMap<String, (u64, u64)>,
    /// Names by when they were written.
    order: BTreeMap<u64, String>,
    ticks: u64,
    bytes: u64,
}

impl Folder {
    /// Makes the folder if need be, for its owner alone, and looks at what is there.
    pub(super) fn open(path: &Path, bounds: Bounds) -> Result<Self, KeepingError> {
        fs::create_dir_all(path).map_err(failed("create", path))?;
        restrict(path).map_err(failed("restrict", path))?;
        let mut found: Vec<(SystemTime, String, u64)> = Vec::new();
        for entry in fs::read_dir(path).map_err(failed("read", path))? {
            let entry = entry.map_err(failed("read", path))?;
            let name = entry.file_name();
            let Some((stem, extension)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
            let Ok(metadata) = entry.metadata() else { continue };
            match extension {
                // Another process may be writing it; a minute is longer than that takes.
                TEMPORARY if is_older_than_a_minute(&metadata) => drop(fs::remove_file(entry.path())),
                EXTENSION if metadata.is_file() => {
                    let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    found.push((written, stem.to_owned(), metadata.len()));
                }
                _ => {}
            }
        }
        found.sort();
        let folder = Self {
            path: path.to_owned(),
            bounds,
            index: Mutex::default(),
            written: AtomicU64::new(0),
        };
        for (_, name, bytes) in found {
            folder.enter(&name, bytes);
        }
        Ok(folder)
    }

    /// The bytes under `name`, bounded, or why not.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, &'static str> {
        let file = match fs::File::open(self.file(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err("cannot be opened"),
        };
        let limit = MAX_RECORD_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(|_| "cannot be read")?;
        Ok(Some(bytes))
    }

    /// Puts `bytes` under `name`, in place of what was there.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let temporary = self
            .path
            .join(format!("{name}-{}-{number}.{TEMPORARY}", std::process::id()));
        let written = write_private(&temporary, bytes).and_then(|()| fs::rename(&temporary, self.file(name)));
        if written.is_err() {
            // What is left of it would only take room.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        for gone in self.enter(name, bytes.len() as u64) {
            match fs::remove_file(self.file(&gone)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%error, "a kept record cannot be removed"),
            }
        }
        Ok(())
    }

    /// Takes note of a file, and names those that have to go for it.
    fn enter(&self, name: &str, bytes: u64) -> Vec<String> {
        let index = &mut *self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.remove(name);
        index.ticks += 1;
        index.order.insert(index.ticks, name.to_owned());
        index.files.insert(name.to_owned(), (index.ticks, bytes));
        index.bytes += bytes;
        let mut gone = Vec::new();
        while index.files.len() > self.bounds.entries || index.bytes > self.bounds.bytes as u64 {
            let Some((_, oldest)) = index.order.pop_first() else {
                break;
            };
            index.remove(&oldest);
            gone.push(oldest);
        }
        gone
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.{EXTENSION}"))
    }
}

impl Index {
    fn remove(&mut self, name: &str) {
        if let Some((tick, bytes)) = self.files.remove(name) {
            self.order.remove(&tick);
            self.bytes -= bytes;
        }
    }
}

fn is_older_than_a_minute(metadata: &fs::Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > 60)
}

#[cfg(unix)]
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> std::io::Result<()> {
    Ok(())
}
