//! The catalogers and what they have in common. To add one: a file in this folder, a line in [`registry`].

mod alpm;
mod apk;
mod binary;
mod codes;
mod composer;
mod conda;
mod dotnet;
mod dpkg;
mod elf_note;
mod executable;
mod gem;
mod go_binary;
mod java;
mod java_runtime;
mod kernel;
mod lock;
mod npm;
mod number;
mod os_release;
mod outline;
mod python;
mod rpm;
mod rust_binary;
mod text;
mod wheel;
mod xml;
mod zip;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::bill::{Distribution, FileHash, PackageFile, PackageKind, Source, Uncertainty};

pub(crate) use binary::Search;
pub(crate) use dpkg::doc_link;
pub(crate) use go_binary::Scanner as GoScanner;
pub(crate) use java::{RepositoryName, name_archive, repository_name};
pub(crate) use npm::package_folder;
pub(crate) use python::site_folder;
pub(crate) use rust_binary::Scanner as RustScanner;

/// The largest metadata file read, in bytes. The largest dpkg status seen (a full desktop) has 8 MB.
pub(crate) const MAX_METADATA_BYTES: u64 = 32 * 1024 * 1024;

/// The largest executable held in memory while its sections are read. Most are below 10 MB; larger Go programs are
/// scanned as they pass, and other larger ones noted.
pub(crate) const MAX_EXECUTABLE_BYTES: u64 = 48 * 1024 * 1024;

/// The most facts of one file: a full desktop has some 5,000 packages, the largest list of files 100,000 lines.
pub(crate) const MAX_FACTS: usize = 1_000_000;

/// How much memory the paths of one database may take. Some databases name a folder once for many files, so that a few
/// bytes could say as many paths as they like; a full desktop's take 20 MB.
pub(crate) struct PathBudget(usize);

impl PathBudget {
    /// The longest path kept (Linux, `PATH_MAX`).
    const MAX_PATH: usize = 4096;

    fn new() -> Self {
        Self(64 * 1024 * 1024)
    }

    /// A folder and a name as one path, if it may still be kept.
    fn path(&mut self, folder: &str, name: &str) -> Option<Box<str>> {
        let length = folder.len().checked_add(name.len())?;
        if length > Self::MAX_PATH {
            return None;
        }
        self.0 = self.0.checked_sub(length + size_of::<Box<str>>())?;
        Some(format!("{folder}{name}").into())
    }
}

/// One kind of package: which files tell of it, and what they say.
pub(crate) trait Cataloger: Sync {
    /// Whether the file tells of packages, by its path alone.
    fn wants(&self, path: &str) -> bool;

    /// The largest file read, in bytes; larger ones are noted.
    fn max_bytes(&self) -> u64 {
        MAX_METADATA_BYTES
    }

    /// The folders in which a distribution keeps what is installed, if that is what it reads.
    fn system_folders(&self) -> &'static [&'static str] {
        &[]
    }

    /// Of these, the files that the distribution's own tools open by name.
    fn system_files(&self) -> &'static [&'static str] {
        &[]
    }

    /// What the file says.
    fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable>;
}

/// Whether a file is where a distribution keeps what is installed. A note of a bill about such a file means that packages
/// may be missing from it.
pub(crate) fn is_system_database(path: &str) -> bool {
    registry()
        .iter()
        .flat_map(|cataloger| cataloger.system_folders())
        .any(|folder| path.starts_with(folder))
}

/// The files by which distributions know what is installed.
pub(crate) fn system_files() -> impl Iterator<Item = &'static &'static str> {
    registry().iter().flat_map(|cataloger| cataloger.system_files())
}

/// The catalogers that tell by path.
pub(crate) fn registry() -> &'static [&'static dyn Cataloger] {
    &[
        &os_release::OsRelease,
        &dpkg::Dpkg,
        &apk::Apk,
        &rpm::Rpm,
        &alpm::Alpm,
        &python::Python,
        &wheel::Wheel,
        &conda::Conda,
        &npm::Npm,
        &java::Java,
        &java_runtime::JavaRuntime,
        &gem::Gem,
        &composer::Composer,
        &dotnet::DotNet,
        &lock::Lock,
        &kernel::Kernel,
    ]
}

/// What executables say: what build tools put into them, and versions that stand in those of well-known names.
pub(crate) fn read_executable(path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
    let mut facts = executable_facts(path, bytes)?;
    name_programs(&mut facts, path, || FileHash::sha512_of(bytes));
    Ok(facts)
}

/// Gives the packages that are the program itself its name and hash.
pub(crate) fn name_programs(facts: &mut [Fact], path: &str, hash: impl FnOnce() -> FileHash) {
    let programs = facts.iter_mut().filter_map(|fact| match fact {
        Fact::Package(draft) if draft.file.is_some() => Some(draft),
        _ => None,
    });
    let programs: Vec<&mut Box<Draft>> = programs.collect();
    if programs.is_empty() {
        return;
    }
    let hash = hash();
    for draft in programs {
        if let Some(file) = &mut draft.file {
            file.name_after(path);
        }
        draft.hashes.push(hash.clone());
    }
}

fn executable_facts(path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
    let Some(executable) = executable::Executable::parse(bytes) else {
        return Ok(Vec::new());
    };
    let mut facts = rust_binary::read(&executable)?;
    if facts.is_empty() {
        facts = go_binary::read(&executable)?;
    }
    let mut search = Search::new(path);
    search.feed(bytes);
    facts.extend(search.finish());
    match elf_note::read(&executable) {
        Ok(noted) => facts.extend(noted),
        Err(problem) => facts.push(Fact::Problem(problem)),
    }
    Ok(facts)
}

/// Whether the name or the mode make a file one that may be an executable or a library.
pub(crate) fn may_be_executable(path: &str, mode: u32, size: u64) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let library = [".so", ".node", ".dll", ".exe", ".dylib"]
        .iter()
        .any(|end| name.ends_with(end))
        || name.contains(".so.");
    size >= executable::MIN_BYTES && (mode & 0o111 != 0 || library)
}

/// Whether a file starts as an executable does.
pub(crate) fn is_executable(start: &[u8]) -> bool {
    executable::has_magic(start)
}

/// One thing that one file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fact {
    /// There is a package.
    Package(Box<Draft>),
    /// The image is of this distribution.
    Distribution(Distribution),
    /// A package of the system has these files.
    Owned {
        /// Of which package manager.
        kind: PackageKind,
        /// Its name, with `:architecture` where dpkg writes it so.
        package: String,
        /// The files, without leading slash.
        files: Vec<Box<str>>,
    },
    /// A Debian package's copyright file names these licences.
    DebianLicences {
        /// The folder's name in `usr/share/doc`.
        package: String,
        /// The licences.
        licences: Vec<String>,
    },
    /// Part of the file cannot be read; what else it says stands beside this.
    Problem(Unreadable),
}

/// A package as one file tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    pub(crate) kind: PackageKind,
    pub(crate) group: Option<String>,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) modularity: Option<String>,
    pub(crate) hashes: Vec<FileHash>,
    pub(crate) architecture: Option<String>,
    pub(crate) source: Option<Source>,
    pub(crate) licences: Vec<String>,
    pub(crate) supplier: Option<String>,
    pub(crate) homepage: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) uncertain: Option<Uncertainty>,
    /// Whether it is only named to be installed: left out if what is installed tells of it.
    pub(crate) locked: bool,
    /// Whether it is an application's own description: left out unless what it needs is installed beside it.
    pub(crate) application: bool,
    /// Where in the file it is, if that holds others: `WEB-INF/lib/a.jar`.
    pub(crate) inside: Option<String>,
    /// Names under which others may need it, beside its own.
    pub(crate) provides: Vec<String>,
    /// What it needs.
    pub(crate) needs: Vec<Need>,
    /// Whether that is all: its metadata say what it needs, as opposed to being silent.
    pub(crate) says_needs: bool,
    /// The file that it is, if it is one.
    pub(crate) file: Option<PackageFile>,
}

/// What a package needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Need {
    /// A package by name; the first installed of several satisfies it.
    AnyOf(Vec<String>),
    /// A package of the same file, by its position there.
    Sibling(usize),
}

impl Draft {
    /// Cuts texts for people, which some packages fill with all they have.
    pub(crate) fn shorten(&mut self) {
        /// The most characters of such a text that are of use.
        const MAX_TEXT: usize = 2_000;
        let texts = [&mut self.supplier, &mut self.homepage, &mut self.description];
        for text in texts.into_iter().flatten().chain(&mut self.licences) {
            if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
                text.truncate(end);
                text.shrink_to_fit();
            }
        }
    }

    /// The bytes of its texts.
    pub(crate) fn text_bytes(&self) -> usize {
        let one = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let all = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        let needs = self.needs.iter().map(|need| match need {
            Need::AnyOf(names) => all(names),
            Need::Sibling(_) => 0,
        });
        self.name.len()
            + [
                &self.group,
                &self.version,
                &self.modularity,
                &self.architecture,
                &self.inside,
            ]
            .into_iter()
            .chain([&self.supplier, &self.homepage, &self.description])
            .map(one)
            .sum::<usize>()
            + all(&self.licences)
            + all(&self.provides)
            + self.file.as_ref().map_or(0, |file| file.name.len())
            + needs.sum::<usize>()
    }

    pub(crate) fn new(kind: PackageKind, name: &str, version: Option<&str>) -> Self {
        Self {
            kind,
            group: None,
            name: name.to_owned(),
            version: version.map(str::to_owned),
            modularity: None,
            hashes: Vec::new(),
            architecture: None,
            source: None,
            licences: Vec::new(),
            supplier: None,
            homepage: None,
            description: None,
            uncertain: version.is_none().then_some(Uncertainty::NoVersion),
            locked: false,
            application: false,
            inside: None,
            provides: Vec::new(),
            needs: Vec::new(),
            says_needs: false,
            file: None,
        }
    }
}

/// Why a file that should tell of packages does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unreadable {
    /// A stable name, one of those in [`codes`].
    pub(crate) code: &'static str,
    /// In words.
    pub(crate) reason: String,
}

impl Unreadable {
    pub(crate) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        debug_assert!(
            codes::known(code).is_some(),
            "{code} is to be listed in cataloger/codes.rs"
        );
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// What the rest of the file says, this beside it; where it says nothing, this alone.
    pub(crate) fn beside(self, mut facts: Vec<Fact>) -> Result<Vec<Fact>, Self> {
        if facts.is_empty() {
            return Err(self);
        }
        facts.push(Fact::Problem(self));
        Ok(facts)
    }
}
