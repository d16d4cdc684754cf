//! Lock files: what an application was to be installed with. They tell of packages only as far as nothing that is
//! installed tells of them; `assemble` decides that.

mod cargo;
mod conan;
mod dart;
mod npm;
mod nuget;
mod pnpm;
mod python;
mod swift;
mod yarn;

use super::{Cataloger, Draft, Fact, Unreadable};
use crate::bill::{PackageKind, Uncertainty};

/// Reads lock files.
pub(super) struct Lock;

/// The largest lock file read: a large monorepo's has some 5 MB.
const MAX_LOCK_BYTES: u64 = 24 * 1024 * 1024;

/// The most packages that a lock file names; a large monorepo's names 10,000.
const MAX_LOCKED: usize = 50_000;

type Read = fn(&str) -> Result<Vec<Draft>, Unreadable>;

/// Which file is read by what.
const READERS: [(&str, Read); 14] = [
    ("Cargo.lock", cargo::read),
    ("Package.resolved", swift::read),
    ("Pipfile.lock", python::pipfile),
    ("conan.lock", conan::read),
    ("npm-shrinkwrap.json", npm::read),
    ("package-lock.json", npm::read),
    ("packages.lock.json", nuget::read),
    ("pdm.lock", python::poetry),
    ("pnpm-lock.yaml", pnpm::read),
    ("poetry.lock", python::poetry),
    ("pubspec.lock", dart::read),
    ("requirements.txt", python::requirements),
    ("uv.lock", python::poetry),
    ("yarn.lock", yarn::read),
];

fn reader(path: &str) -> Option<Read> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (_, read) = READERS.iter().find(|(file, _)| *file == name)?;
    (!is_foreign(folder)).then_some(*read)
}

/// Whether a folder is a package's: it may carry a lock file that says what its authors work with. Sources in a cache are
/// not the image's either.
pub(super) fn is_foreign(folder: &str) -> bool {
    const FOREIGN: [&str; 8] = [
        "node_modules",
        "site-packages",
        "dist-packages",
        "gems",
        "vendor",
        "registry",
        "doc",
        "examples",
    ];
    // Where Debian puts its Node.js packages there is no `node_modules`.
    folder.starts_with("usr/share/nodejs/") || folder.split('/').any(|part| FOREIGN.contains(&part))
}

impl Cataloger for Lock {
    fn wants(&self, path: &str) -> bool {
        reader(path).is_some()
    }

    fn max_bytes(&self) -> u64 {
        MAX_LOCK_BYTES
    }

    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let Some(read) = reader(path) else {
            return Ok(Vec::new());
        };
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let drafts = read(&text)?;
        if drafts.len() > MAX_LOCKED {
            let reason = format!("it names {} packages, more than {MAX_LOCKED}", drafts.len());
            return Err(Unreadable::new("lock-file-too-large", reason));
        }
        Ok(drafts.into_iter().map(|draft| Fact::Package(Box::new(draft))).collect())
    }
}

fn malformed(reason: impl ToString) -> Unreadable {
    Unreadable::new("lock-file-malformed", reason.to_string())
}

/// A package that a lock file names.
pub(super) fn locked(kind: PackageKind, name: &str, version: Option<&str>) -> Draft {
    Draft {
        uncertain: Some(Uncertainty::NotInstalled),
        locked: true,
        ..Draft::new(kind, name, version)
    }
}

/// The same, of a folder or a repository.
fn local(kind: PackageKind, name: &str, version: Option<&str>) -> Draft {
    Draft {
        uncertain: Some(Uncertainty::NotFromRegistry),
        ..locked(kind, name, version)
    }
}
