//! The bill of materials: facts, in an order that depends on nothing but the image.

use std::fmt;

use proofmark_types::{Digest, Purl};
use serde::Serialize;

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PackageKind {
    /// Alpine and its relatives.
    Apk,
    /// A Rust crate.
    Cargo,
    /// Debian and its relatives.
    Deb,
    /// A Go module.
    Golang,
    /// A Node.js package.
    Npm,
    /// A Python distribution.
    Pypi,
}

impl PackageKind {
    /// The type in package URLs.
    #[must_use]
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Cargo => "cargo",
            Self::Deb => "deb",
            Self::Golang => "golang",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
        }
    }

    /// Whether the operating system's package manager installed it.
    #[must_use]
    pub fn is_system(self) -> bool {
        matches!(self, Self::Apk | Self::Deb)
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
    /// Its name, as its own metadata write it.
    pub name: String,
    /// Its version, as its own metadata write it.
    pub version: Option<String>,
    /// Its package URL.
    pub purl: Option<Purl>,
    /// The source package that it was built from (deb, apk).
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
}

/// A source package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// The layer that brought the package: an index into the bill's layers.
    pub layer: usize,
}

/// Why a package's identity may be wrong. Matching it against advisories by name alone could mistake it for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Uncertainty {
    /// It says no version.
    NoVersion,
    /// A development build that says no version (Go's `(devel)`).
    DevelopmentVersion,
    /// From a local folder or a repository, not from the registry that its package URL means.
    NotFromRegistry,
}

impl Uncertainty {
    /// The reason in words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoVersion => "it says no version",
            Self::DevelopmentVersion => "a development build without a version",
            Self::NotFromRegistry => "built from a local folder or a repository, not from the public registry",
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
