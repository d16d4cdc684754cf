//! Writing so that a crash leaves either nothing or everything: sync, rename, sync the folder.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Makes `target` hold `bytes`, by way of `temporary`, which must be on the same file system.
pub(super) fn write_atomically(temporary: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    place(temporary, target)
}

/// Moves a synced file to its name, and makes the name last.
pub(super) fn place(temporary: &Path, target: &Path) -> io::Result<()> {
    let folder = parent(target)?;
    make_folder(folder)?;
    fs::rename(temporary, target)?;
    sync_folder(folder)
}

/// Makes an empty file that lasts; one that is there already is fine.
pub(super) fn touch(target: &Path) -> io::Result<()> {
    if target.exists() {
        return Ok(());
    }
    let folder = parent(target)?;
    make_folder(folder)?;
    File::create(target)?.sync_all()?;
    sync_folder(folder)
}

/// Removes a file and makes that last; `false` if it was not there.
pub(super) fn remove(target: &Path) -> io::Result<bool> {
    match fs::remove_file(target) {
        Ok(()) => {
            sync_folder(parent(target)?)?;
            Ok(true)
        }
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The content of a file, or nothing where there is no file.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names in a folder, sorted; none where there is no folder.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        // Names that are not UTF-8 were not written by us.
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// A file that is not there, or whose place a file or folder of another kind takes: both mean "not found" here.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Makes a folder and those above it, each lasting.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = parent(folder)?;
    make_folder(above)?;
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(above),
        // Made by another thread meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
