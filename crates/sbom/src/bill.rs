//! The bill of materials: facts, in an order that depends on nothing but the image.

use std::fmt;

use proofmark_types::{Digest, DigestAlgorithm, Hasher, Purl};
use serde::{Deserialize, Serialize};

use crate::cataloger::is_system_database;
use crate::licence::Licence;

/// What is inside an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// The operating-system distribution, if the image says one.
    pub distribution: Option<Distribution>,
    /// The layers, lowest first.
    pub layers: Vec<LayerRecord>,
    /// The packages, by kind, name and version.
    pub packages: Vec<Package>,
    /// Which package needs which.
    pub relationships: Vec<Relationship>,
    /// What could not be read, and why: a bill with notes may be incomplete.
    pub notes: Vec<Note>,
    /// How many regular files the image shows.
    pub files: u64,
    /// The SHA-256 of every visible file by path, if it was asked for; empty otherwise.
    pub file_digests: Vec<(String, Digest)>,
}

impl Bill {
    /// The package of the given identity.
    #[must_use]
    pub fn package(&self, id: &PackageId) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == *id)
    }

    /// How many packages there are of a kind.
    #[must_use]
    pub fn count(&self, kind: PackageKind) -> usize {
        self.packages.iter().filter(|package| package.kind == kind).count()
    }
}

/// The distribution that an image is made of (os-release(5)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`: `debian`, `alpine`.
    pub id: String,
    /// `VERSION_ID`: `12`, `3.20.1`; absent on rolling distributions.
    pub version_id: Option<String>,
    /// `PRETTY_NAME` or `NAME`, for people.
    pub name: Option<String>,
    /// `VERSION_CODENAME`.
    pub codename: Option<String>,
}

impl Distribution {
    /// `debian-12`, as package URLs carry it.
    #[must_use]
    pub fn qualifier(&self) -> String {
        match &self.version_id {
            Some(version) => format!("{}-{version}", self.id),
            None => self.id.clone(),
        }
    }
}

/// A layer of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerRecord {
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// The digest of the tar.
    pub diff_id: Digest,
    /// The number of compressed bytes.
    pub size: u64,
}

/// A package's identity in a bill: made from what the package is, so that it is the same in every run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PackageId(String);

impl PackageId {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text: letters, digits, dots and dashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which package manager or build tool a package is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PackageKind {
    /// Arch Linux and its relatives.
    Alpm,
    /// Alpine and its relatives.
    Apk,
    /// A Rust crate.
    Cargo,
    /// A PHP package.
    Composer,
    /// A C or C++ package of Conan.
    Conan,
    /// A package of Conda, of any language.
    Conda,
    /// Debian and its relatives.
    Deb,
    /// A Ruby gem.
    Gem,
    /// A program or library that no package manager tells of: known by the version that its bytes say.
    Generic,
    /// A Go module.
    Golang,
    /// A Java archive.
    Maven,
    /// A Node.js package.
    Npm,
    /// A .NET package.
    Nuget,
    /// A Dart package.
    Pub,
    /// A Python distribution.
    Pypi,
    /// Red Hat, SUSE and their relatives.
    Rpm,
    /// A Swift package.
    Swift,
    /// Of a kind that is not known here, which only documents of others tell of: its version has no order, and no
    /// advisories are matched.
    Unknown,
}

impl PackageKind {
    /// All but [`Self::Unknown`].
    pub const KNOWN: [Self; 17] = [
        Self::Alpm,
        Self::Apk,
        Self::Cargo,
        Self::Composer,
        Self::Conan,
        Self::Conda,
        Self::Deb,
        Self::Gem,
        Self::Generic,
        Self::Golang,
        Self::Maven,
        Self::Npm,
        Self::Nuget,
        Self::Pub,
        Self::Pypi,
        Self::Rpm,
        Self::Swift,
    ];

    /// The type in package URLs.
    #[must_use]
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Alpm => "alpm",
            Self::Apk => "apk",
            Self::Cargo => "cargo",
            Self::Composer => "composer",
            Self::Conan => "conan",
            Self::Conda => "conda",
            Self::Deb => "deb",
            Self::Gem => "gem",
            Self::Generic => "generic",
            Self::Golang => "golang",
            Self::Maven => "maven",
            Self::Npm => "npm",
            Self::Nuget => "nuget",
            Self::Pub => "pub",
            Self::Pypi => "pypi",
            Self::Rpm => "rpm",
            Self::Swift => "swift",
            Self::Unknown => "unknown",
        }
    }

    /// The kind that a package URL's type means; [`Self::Unknown`] if none here.
    #[must_use]
    pub fn of_purl_type(purl_type: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|kind| kind.purl_type() == purl_type);
        known.unwrap_or(Self::Unknown)
    }

    /// Whether the operating system's package manager installed it.
    #[must_use]
    pub fn is_system(self) -> bool {
        matches!(self, Self::Alpm | Self::Apk | Self::Deb | Self::Rpm)
    }
}

impl fmt::Display for PackageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.purl_type())
    }
}

/// A package that the image holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its identity in this bill.
    pub id: PackageId,
    /// What kind of package it is.
    pub kind: PackageKind,
    /// What its name counts within: a Maven group, a Swift package's host and owner. The names of other kinds are whole.
    pub group: Option<String>,
    /// Its name, as its own metadata write it.
    pub name: String,
    /// Its version, as its own metadata write it; of an RPM with its epoch, if it has one (`1:2.3-4`).
    pub version: Option<String>,
    /// The RPM module that it is of (`nodejs:18:8090020240101:a1b2c3d4`): another stream of equal name and version is
    /// another package to advisories.
    pub modularity: Option<String>,
    /// Hashes of its one file, if it is one file: a Java archive.
    pub hashes: Vec<FileHash>,
    /// Its package URL.
    pub purl: Option<Purl>,
    /// The source package that it was built from (deb, apk, rpm).
    pub source: Option<Source>,
    /// The licences that it declares; several mean all of them.
    pub licences: Vec<Licence>,
    /// Who answers for it: maintainer or author, as its metadata write it.
    pub supplier: Option<String>,
    /// Its home page.
    pub homepage: Option<String>,
    /// A line of description.
    pub description: Option<String>,
    /// Where it was found, and which layer brought it there.
    pub locations: Vec<Location>,
    /// The operating-system package that its files belong to, which is what its advisories are matched through.
    pub owned_by: Option<PackageId>,
    /// Why its identity may be wrong, if it may.
    pub uncertain: Option<Uncertainty>,
    /// Whether the bill's relationships say all that it needs.
    pub needs: Completeness,
    /// The file that it is, if it is one file: an archive, a program.
    pub file: Option<PackageFile>,
}

/// Whether what is said of the packages that a package needs is all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Completeness {
    /// It says what it needs, and each of that is in the bill.
    Complete,
    /// It needs more than is in the bill, or may.
    Incomplete,
    /// It does not say what it needs.
    #[default]
    Unknown,
}

impl Completeness {
    /// The word that documents have for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Unknown => "unknown",
        }
    }
}

/// What a package that is one file is like (BSI TR-03183-2, 5.2.2): its SHA-512 is among the package's hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageFile {
    /// Its name without folder.
    pub name: String,
    /// Whether it has code that runs: a program, a library, an archive of bytecode.
    pub executable: bool,
    /// Whether it holds other files.
    pub archive: bool,
    /// Whether what it is made of can still be told apart.
    pub structured: bool,
}

impl PackageFile {
    /// An executable of the operating system, or a library. Who finds it in the bytes does not know its name, which
    /// [`Self::name_after`] gives.
    pub(crate) fn program() -> Self {
        Self {
            name: String::new(),
            executable: true,
            archive: false,
            structured: false,
        }
    }

    /// An archive of bytecode.
    pub(crate) fn bytecode(path: &str) -> Self {
        Self {
            name: file_name(path),
            executable: true,
            archive: true,
            structured: true,
        }
    }

    /// Named after where it is.
    pub(crate) fn name_after(&mut self, path: &str) {
        self.name = file_name(path);
    }

    /// BSI's properties by name, beside the file's name (tr-03183-cyclonedx-property-taxonomy).
    pub(crate) fn properties(&self) -> [(&'static str, &'static str); 3] {
        let word = |is, yes, no| if is { yes } else { no };
        [
            (
                "bsi:component:executable",
                word(self.executable, "executable", "non-executable"),
            ),
            ("bsi:component:archive", word(self.archive, "archive", "no archive")),
            (
                "bsi:component:structured",
                word(self.structured, "structured", "unstructured"),
            ),
        ]
    }
}

fn file_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

/// The hash of a package's file, by which registries know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawFileHash")]
pub struct FileHash {
    algorithm: FileHashAlgorithm,
    hex: String,
}

/// As it is kept, before it is checked.
#[derive(Deserialize)]
struct RawFileHash {
    algorithm: FileHashAlgorithm,
    hex: String,
}

impl TryFrom<RawFileHash> for FileHash {
    type Error = &'static str;

    fn try_from(raw: RawFileHash) -> Result<Self, Self::Error> {
        Self::parse(raw.algorithm, &raw.hex).ok_or("a hash has not the length of its algorithm")
    }
}

impl FileHash {
    /// From hexadecimal text of either case; nothing if it has not the algorithm's length.
    #[must_use]
    pub fn parse(algorithm: FileHashAlgorithm, hex: &str) -> Option<Self> {
        (hex.len() == algorithm.hex_length() && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Self {
            algorithm,
            hex: hex.to_ascii_lowercase(),
        })
    }

    /// The SHA-512 of these bytes.
    pub(crate) fn sha512_of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(DigestAlgorithm::Sha512);
        hasher.update(bytes);
        Self::sha512(hasher)
    }

    /// The SHA-512 of what the hasher, made for it, has been given.
    pub(crate) fn sha512(hasher: Hasher) -> Self {
        let digest = hasher.finish();
        debug_assert_eq!(digest.algorithm(), DigestAlgorithm::Sha512);
        Self {
            algorithm: FileHashAlgorithm::Sha512,
            hex: digest.hex(),
        }
    }

    /// What made it.
    #[must_use]
    pub fn algorithm(&self) -> FileHashAlgorithm {
        self.algorithm
    }

    /// Its digits, lower case.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

/// What makes a hash by which registries know files. SHA-1 is here to look files up, not to trust them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FileHashAlgorithm {
    /// By which Maven Central finds an archive.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl FileHashAlgorithm {
    /// As SPDX writes it (`SHA1`); CycloneDX has a dash (`SHA-1`).
    #[must_use]
    pub fn spdx_name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }

    /// As CycloneDX writes it.
    #[must_use]
    pub fn cyclonedx_name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The one with this name, with or without dash.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.spdx_name() == name.replace('-', "").to_ascii_uppercase())
    }

    fn hex_length(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A source package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its version, where it differs from the package's.
    pub version: Option<String>,
}

/// A file that tells of a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// Its path, without leading slash.
    pub path: String,
    /// The layer that brought the package: an index into the bill's layers; [`Self::UNKNOWN_LAYER`] in bills read from
    /// documents that do not say.
    pub layer: usize,
}

impl Location {
    /// No layer's index.
    pub const UNKNOWN_LAYER: usize = usize::MAX;
}

/// Why a package's identity may be wrong. Matching it against advisories by name alone could mistake it for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Uncertainty {
    /// It says no version.
    NoVersion,
    /// A development build that says no version (Go's `(devel)`).
    DevelopmentVersion,
    /// From a local folder or a repository, not from the registry that its package URL means.
    NotFromRegistry,
    /// Named in a lock file only: nothing says that it was installed.
    NotInstalled,
    /// Taken from a file's name, which anyone may choose.
    FromFileName,
    /// Its metadata do not say under which name its registry has it (a Java archive without a group).
    NoCoordinates,
    /// Taken from a version that stands in a program's bytes.
    FromContent,
}

impl Uncertainty {
    /// The one with this reason in words, which documents carry.
    #[must_use]
    pub fn of_reason(reason: &str) -> Option<Self> {
        [
            Self::NoVersion,
            Self::DevelopmentVersion,
            Self::NotFromRegistry,
            Self::NotInstalled,
            Self::FromFileName,
            Self::NoCoordinates,
            Self::FromContent,
        ]
        .into_iter()
        .find(|uncertain| uncertain.reason() == reason)
    }

    /// The reason in words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoVersion => "it says no version",
            Self::DevelopmentVersion => "a development build without a version",
            Self::NotFromRegistry => "built from a local folder or a repository, not from the public registry",
            Self::NotInstalled => "named in a lock file, not seen installed",
            Self::FromFileName => "taken from a file's name",
            Self::NoCoordinates => "it does not say under which name its registry has it",
            Self::FromContent => "taken from a version that stands in its bytes",
        }
    }
}

/// `from` needs `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relationship {
    /// The package that needs the other.
    pub from: PackageId,
    /// The package needed.
    pub to: PackageId,
}

/// Something that was there to be read and was not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// The file.
    pub path: String,
    /// A stable name of the reason.
    pub code: &'static str,
    /// The reason in words.
    pub reason: String,
}

/// What was left out because of a bound, and what could not be opened at all.
pub(crate) const LEFT_OUT: [&str; 10] = [
    "facts-too-many",
    "file-unreadable",
    "java-archive-too-deep",
    "java-archive-too-large",
    "java-archive-too-many",
    "layer-too-many-entries",
    "lock-file-too-large",
    "metadata-too-large",
    "notes-too-many",
    "symlinks-too-many",
];

impl Note {
    /// Whether packages may be missing from the bill on a scale that makes it no answer: the database of a distribution
    /// is not read as a whole, or somebody has made something so large, deep or numerous that it was left out. A single
    /// broken file of a language is not: the test data of well-known packages has such.
    #[must_use]
    pub fn may_hide_packages(&self) -> bool {
        LEFT_OUT.contains(&self.code) || is_system_database(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_purl_type_and_no_other_word() {
        for kind in PackageKind::KNOWN {
            assert_eq!(PackageKind::of_purl_type(kind.purl_type()), kind);
        }
        for other in ["unknown", "", "DEB", "swid"] {
            assert_eq!(PackageKind::of_purl_type(other), PackageKind::Unknown, "{other}");
        }
    }
}
