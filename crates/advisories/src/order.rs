//! Which of two versions is newer: one file per ecosystem's rules.
//!
//! Nothing is allocated for versions of usual length: versions are compared where they stand, numbers of any length as
//! digits. Every order here is total over the versions that the scheme [accepts](Scheme::accepts); for other texts the
//! answer means nothing, and a caller must say that it could not compare rather than that a package is not affected.

mod apk;
mod dpkg;
mod lists;
mod maven;
mod packagist;
mod pep440;
mod rpm;
mod rubygems;
mod semver;

use std::cmp::Ordering;

/// Longer than any version seen in a registry (the longest of the comparison vectors has 86 bytes); what is longer is
/// no version, and comparing it would take time for nothing.
const MAX_LENGTH: usize = 512;

/// The rules by which an ecosystem orders versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Debian, Ubuntu: deb-version(7).
    Dpkg,
    /// Alpine and its relatives: apk-package(5).
    Apk,
    /// Red Hat, AlmaLinux, SUSE and their relatives: rpm-version(7), with epoch and release.
    Rpm,
    /// npm, crates.io, Go and others: Semantic Versioning, read loosely (a leading `v`, any number of numbers).
    Semver,
    /// NuGet: Semantic Versioning with four numbers, letters without case.
    NuGet,
    /// Dart's pub: Semantic Versioning in which build identifiers count.
    Pub,
    /// Python: PEP 440, what is not PEP 440 below it as setuptools once ordered it.
    Pep440,
    /// Maven's `ComparableVersion`.
    Maven,
    /// RubyGems' `Gem::Version`.
    RubyGems,
    /// Packagist: PHP's `version_compare`, as composer uses it.
    Packagist,
    /// CRAN: lists of numbers, `-` as good as `.`.
    Cran,
    /// Hackage: lists of numbers.
    Hackage,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Dpkg,
        Self::Apk,
        Self::Rpm,
        Self::Semver,
        Self::NuGet,
        Self::Pub,
        Self::Pep440,
        Self::Maven,
        Self::RubyGems,
        Self::Packagist,
        Self::Cran,
        Self::Hackage,
    ];

    /// Whether `a` is older than, as new as, or newer than `b`. Meaningful if both are [accepted](Self::accepts).
    #[must_use]
    pub fn compare(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Dpkg => dpkg::compare(a, b),
            Self::Apk => apk::compare(a, b),
            Self::Rpm => rpm::compare(a, b),
            Self::Semver => semver::compare(a, b, semver::Flavour::Plain),
            Self::NuGet => semver::compare(a, b, semver::Flavour::NoCase),
            Self::Pub => semver::compare(a, b, semver::Flavour::BuildCounts),
            Self::Pep440 => pep440::compare(a, b),
            Self::Maven => maven::compare(a, b),
            Self::RubyGems => rubygems::compare(a, b),
            Self::Packagist => packagist::compare(a, b),
            Self::Cran | Self::Hackage => lists::compare(a, b),
        }
    }

    /// Whether `version` is one that this scheme can place. Where the ecosystem itself takes any text (Maven,
    /// Packagist, Python's legacy versions), that is any short printable text without spaces.
    #[must_use]
    pub fn accepts(self, version: &str) -> bool {
        let printable = !version.is_empty()
            && version.len() <= MAX_LENGTH
            && !version.contains(|c: char| c.is_control() || c.is_whitespace());
        printable
            && match self {
                Self::Dpkg => dpkg::accepts(version),
                Self::Apk => apk::accepts(version),
                Self::Rpm => rpm::accepts(version),
                Self::Semver | Self::NuGet | Self::Pub => semver::accepts(version),
                Self::RubyGems => rubygems::accepts(version),
                Self::Cran | Self::Hackage => lists::accepts(version),
                Self::Pep440 | Self::Maven | Self::Packagist => version.contains(|c: char| c.is_ascii_alphanumeric()),
            }
    }
}

/// Compares two runs of decimal digits of any length by their value; an empty run is zero.
fn compare_digits(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Compares numbers with dots between them one by one; those that are absent are zero. Alpine's and the lists' rules differ.
fn compare_dotted(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (one, two) = (a.next(), b.next());
        if one.is_none() && two.is_none() {
            return Ordering::Equal;
        }
        let order = compare_digits(one.unwrap_or_default(), two.unwrap_or_default());
        if order.is_ne() {
            return order;
        }
    }
}

/// Whether `text` is digits and nothing else, and not empty.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Splits off the longest beginning whose bytes are all `wanted`, which must be ASCII.
fn take(text: &str, wanted: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|b| !(b.is_ascii() && wanted(b)))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn take_digits(text: &str) -> (&str, &str) {
    take(text, |b| b.is_ascii_digit())
}

/// Compares without regard to ASCII case.
fn compare_no_case(a: &str, b: &str) -> Ordering {
    let lower = |text: &str| {
        text.bytes()
            .map(|b| b.to_ascii_lowercase())
            .collect::<smallvec::SmallVec<[u8; 32]>>()
    };
    lower(a).cmp(&lower(b))
}
