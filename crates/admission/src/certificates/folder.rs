//! The folder of the authority: files appear whole or not at all, and keys are readable by their owner alone.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Authority, TlsConfig, TlsError, failed};

const AUTHORITY: &str = "authority.pem";
const NEXT_AUTHORITY: &str = "authority-next.pem";
const BUNDLE: &str = "ca.crt";

/// The largest authority file read: a P-256 key and a certificate are below 2 KiB.
const MAX_FILE_BYTES: u64 = 64 * 1024;

pub(super) struct Folder(PathBuf);

/// The authority and its successor as they are stored: private key and certificate in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) authority: Option<String>,
    pub(crate) next: Option<String>,
}

impl Stored {
    /// What is in the folder.
    pub(crate) fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let folder = Folder::open(&config.folder)?;
        Ok(Self {
            authority: folder.authority()?.map(|authority| authority.pem),
            next: folder.next_authority()?.map(|authority| authority.pem),
        })
    }

    /// Puts this into the folder in place of what is there, if it is what this program writes.
    pub(crate) fn write(&self, config: &TlsConfig) -> Result<(), TlsError> {
        let folder = Folder::open(&config.folder)?;
        for (name, pem) in [(AUTHORITY, &self.authority), (NEXT_AUTHORITY, &self.next)] {
            let target = folder.0.join(name);
            let Some(pem) = pem else {
                match fs::remove_file(&target) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("remove", &target)(error)),
                    _ => continue,
                }
            };
            let unreadable = |reason| TlsError::Unreadable {
                path: target.clone(),
                reason,
            };
            Authority::read(pem.clone()).map_err(unreadable)?;
            let temporary = folder.write_private(pem)?;
            fs::rename(&temporary, &target).map_err(failed("replace", &target))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

impl Folder {
    /// Makes the folder, for its owner alone, if it is not there.
    pub(super) fn open(path: &Path) -> Result<Self, TlsError> {
        fs::create_dir_all(path).map_err(failed("create", path))?;
        restrict(path, 0o700).map_err(failed("restrict", path))?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn authority(&self) -> Result<Option<Authority>, TlsError> {
        self.read(AUTHORITY)
    }

    pub(super) fn next_authority(&self) -> Result<Option<Authority>, TlsError> {
        self.read(NEXT_AUTHORITY)
    }

    /// Stores the first authority. When another process was quicker, its authority is the one.
    pub(super) fn store_authority(&self, authority: Authority) -> Result<Authority, TlsError> {
        self.store_first(AUTHORITY, authority)
    }

    /// Stores the successor; again the quicker process decides.
    pub(super) fn store_next_authority(&self, authority: Authority) -> Result<Authority, TlsError> {
        self.store_first(NEXT_AUTHORITY, authority)
    }

    /// Puts `authority` in place of one that has ended.
    pub(super) fn replace_authority(&self, authority: Authority) -> Result<Authority, TlsError> {
        let target = self.0.join(AUTHORITY);
        let temporary = self.write_private(&authority.pem)?;
        fs::rename(&temporary, &target).map_err(failed("replace", &target))?;
        Ok(authority)
    }

    /// Makes the successor the authority.
    pub(super) fn promote_next_authority(&self, successor: Authority) -> Result<Authority, TlsError> {
        let target = self.0.join(AUTHORITY);
        match fs::rename(self.0.join(NEXT_AUTHORITY), &target) {
            Ok(()) => Ok(successor),
            // Another process has done it.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(self.authority()?.unwrap_or(successor)),
            Err(error) => Err(failed("replace", &target)(error)),
        }
    }

    /// Writes the bundle for people and installers to read.
    pub(super) fn store_bundle(&self, pem: &str) -> Result<(), TlsError> {
        let target = self.0.join(BUNDLE);
        if fs::read(&target).is_ok_and(|stored| stored == pem.as_bytes()) {
            return Ok(());
        }
        let temporary = self.write_private(pem)?;
        restrict(&temporary, 0o644).map_err(failed("restrict", &temporary))?;
        fs::rename(&temporary, &target).map_err(failed("replace", &target))
    }

    fn read(&self, name: &str) -> Result<Option<Authority>, TlsError> {
        let path = self.0.join(name);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let unreadable = |reason: String| TlsError::Unreadable {
            path: path.clone(),
            reason,
        };
        if length > MAX_FILE_BYTES {
            return Err(unreadable(format!("it has {length} bytes")));
        }
        let pem = fs::read_to_string(&path).map_err(failed("read", &path))?;
        Authority::read(pem).map(Some).map_err(unreadable)
    }

    fn store_first(&self, name: &str, authority: Authority) -> Result<Authority, TlsError> {
        let target = self.0.join(name);
        let temporary = self.write_private(&authority.pem)?;
        // A hard link, unlike a rename, fails when the target exists.
        let linked = fs::hard_link(&temporary, &target);
        fs::remove_file(&temporary).map_err(failed("remove", &temporary))?;
        match linked {
            Ok(()) => Ok(authority),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(self.read(name)?.unwrap_or(authority)),
            Err(error) => Err(failed("create", &target)(error)),
        }
    }

    /// Writes to a new file that nobody else can read, and through to the disk.
    fn write_private(&self, text: &str) -> Result<PathBuf, TlsError> {
        static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.0.join(format!(".new-{}-{number}", std::process::id()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(failed("create", &path))?;
        file.write_all(text.as_bytes()).map_err(failed("write", &path))?;
        file.sync_all().map_err(failed("write", &path))?;
        Ok(path)
    }
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn restrict(_path: &Path, _mode: u32) -> std::io::Result<()> {
    Ok(())
}
