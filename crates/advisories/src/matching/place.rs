//! Where a package is to be looked up: ecosystem, release, names and versions; or why nowhere.

use std::borrow::Cow;
use std::fmt;

use super::{Condition, Distribution, Subject};
use crate::ecosystem::Ecosystem;
use crate::licence::Origin;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Place<'s> {
    /// The ecosystem.
    pub ecosystem: &'static Ecosystem,
    /// The release of the distribution; empty for languages.
    pub release: String,
    name: Cow<'s, str>,
    version: Cow<'s, str>,
    source: Option<(&'s str, Cow<'s, str>)>,
}

/// Why a package was not looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// It has no package URL.
    NoPurl,
    /// It says no version, or one that stands for none.
    NoVersion,
    /// Its version is none of its ecosystem.
    VersionMalformed {
        /// The version.
        version: String,
    },
    /// It says no version that could be compared, and advisories name it: it may be affected.
    VersionUnknown {
        /// How many rows of advisories name it.
        advisories: usize,
    },
    /// No advisories are read of this type of package.
    KindUnknown {
        /// The type of its package URL.
        kind: String,
    },
    /// Its distribution is not known here.
    DistributionUnknown {
        /// What it is called.
        name: String,
    },
    /// The licence of its distribution's advisories forbids their use.
    LicenceForbids {
        /// What it is called.
        name: String,
    },
    /// The database has nothing about its ecosystem.
    EcosystemNotInDatabase {
        /// The ecosystem.
        ecosystem: &'static str,
    },
    /// The database has nothing about its release of the distribution.
    ReleaseNotInDatabase {
        /// The distribution.
        ecosystem: &'static str,
        /// The release.
        release: String,
    },
    /// An advisory of the package has bounds that are no versions.
    AdvisoryUndecidable {
        /// The advisory.
        id: String,
    },
    /// The operating-system package that owns it was not looked up.
    OwnerNotLookedUp,
}

impl Reason {
    /// The stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPurl => "no-package-url",
            Self::NoVersion => "no-version",
            Self::VersionUnknown { .. } => "version-unknown",
            Self::VersionMalformed { .. } => "version-malformed",
            Self::KindUnknown { .. } => "kind-unknown",
            Self::DistributionUnknown { .. } => "distribution-unknown",
            Self::LicenceForbids { .. } => "distribution-licence",
            Self::EcosystemNotInDatabase { .. } => "ecosystem-not-in-database",
            Self::ReleaseNotInDatabase { .. } => "distribution-not-in-database",
            Self::AdvisoryUndecidable { .. } => "advisory-undecidable",
            Self::OwnerNotLookedUp => "owner-not-looked-up",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPurl => f.write_str("it has no package URL"),
            Self::NoVersion => f.write_str("it says no version"),
            Self::VersionUnknown { advisories } => write!(
                f,
                "{advisories} advisories name it, and it says no version that could be compared with theirs"
            ),
            Self::VersionMalformed { version } => write!(f, "\"{version}\" is no version of its ecosystem"),
            Self::KindUnknown { kind } => write!(f, "no advisories are known of packages of type {kind}"),
            Self::DistributionUnknown { name } => write!(f, "the distribution {name} is not known"),
            Self::LicenceForbids { name } => write!(f, "the licence of {name}'s advisories forbids their use"),
            Self::EcosystemNotInDatabase { ecosystem } => write!(f, "the database has no advisories of {ecosystem}"),
            Self::ReleaseNotInDatabase { ecosystem, release } => {
                write!(f, "the database has no advisories of {ecosystem} {release}")
            }
            Self::AdvisoryUndecidable { id } => write!(f, "{id} says of no version that could be compared with its"),
            Self::OwnerNotLookedUp => f.write_str("the package that owns its files was not looked up"),
        }
    }
}

/// Some reasons are about the whole image.
pub(super) fn condition(reason: &Reason) -> Option<Condition> {
    match reason {
        Reason::DistributionUnknown { name } => Some(Condition::DistributionUnknown { name: name.clone() }),
        Reason::LicenceForbids { name } => Some(Condition::LicenceForbids { name: name.clone() }),
        Reason::AdvisoryUndecidable { id } => Some(Condition::AdvisoryUndecidable { id: id.clone() }),
        Reason::EcosystemNotInDatabase { ecosystem } => Some(Condition::EcosystemNotInDatabase { ecosystem }),
        Reason::ReleaseNotInDatabase { ecosystem, release } => Some(Condition::ReleaseNotInDatabase {
            ecosystem,
            release: release.clone(),
        }),
        _ => None,
    }
}

/// Types of package URLs and the ecosystems of their packages. The types of distributions are not here.
const KINDS: [(&str, &str); 13] = [
    ("cargo", "crates.io"),
    ("composer", "Packagist"),
    ("cran", "CRAN"),
    ("gem", "RubyGems"),
    ("golang", "Go"),
    ("hackage", "Hackage"),
    ("hex", "Hex"),
    ("maven", "Maven"),
    ("npm", "npm"),
    ("nuget", "NuGet"),
    ("pub", "Pub"),
    ("pypi", "PyPI"),
    ("swift", "SwiftURL"),
];

/// What stands for "no version" in builds that know none; a Go program built outside of a module's version says the last.
const NO_VERSIONS: [&str; 7] = [
    "",
    "(devel)",
    "unknown",
    "UNKNOWN",
    "0.0.0-unknown",
    "v0.0.0",
    "NOASSERTION",
];

impl<'s> Place<'s> {
    /// Where the subject is to be looked up.
    pub fn of(subject: &Subject<'s>, distribution: Option<Distribution<'_>>) -> Result<Self, Reason> {
        let version = subject.version.or_else(|| subject.purl?.version()).unwrap_or_default();
        let place = Self::unversioned(subject, distribution)?;
        if NO_VERSIONS.contains(&version) {
            return Err(Reason::NoVersion);
        }
        let versions = std::iter::once(&place.version).chain(place.source.as_ref().map(|(_, version)| version));
        for version in versions {
            if !place.ecosystem.scheme.accepts(version) {
                let version = version.chars().take(80).collect();
                return Err(Reason::VersionMalformed { version });
            }
        }
        Ok(place)
    }

    /// Where it is to be looked up by its name alone: its version may be none.
    pub(super) fn unversioned(subject: &Subject<'s>, distribution: Option<Distribution<'_>>) -> Result<Self, Reason> {
        let Some(purl) = subject.purl else {
            return Err(match subject.system {
                // Every such package is some distribution's; without a package URL nobody can tell which it is there.
                true => Reason::DistributionUnknown {
                    name: "(a system package without a package URL)".to_owned(),
                },
                false => Reason::NoPurl,
            });
        };
        let version = subject.version.or_else(|| purl.version()).unwrap_or_default();
        let (ecosystem, release) = match purl.kind() {
            "deb" | "apk" | "rpm" | "alpm" => system(purl, distribution)?,
            kind => (language(kind)?, String::new()),
        };
        let joined = |separator: &str| match purl.namespace() {
            Some(namespace) => Cow::Owned(format!("{namespace}{separator}{}", purl.name())),
            None => Cow::Borrowed(purl.name()),
        };
        let name = match purl.kind() {
            "deb" | "apk" | "rpm" => Cow::Borrowed(purl.name()),
            "maven" => joined(":"),
            _ => joined("/"),
        };
        let version = match (purl.kind(), purl.qualifier("epoch")) {
            ("rpm", Some(epoch)) if !version.contains(':') => Cow::Owned(format!("{epoch}:{version}")),
            ("golang", _) => Cow::Borrowed(go_version(purl.name(), version)),
            _ => Cow::Borrowed(version),
        };
        let source = subject
            .source
            .filter(|_| ecosystem.released)
            .map(|source| (source, source_version(purl.kind(), subject.source_version, &version)));
        Ok(Self {
            ecosystem,
            release,
            name,
            version,
            source,
        })
    }

    /// The names to ask for, each with its version, and whether it is the source package's. Debian, Ubuntu and Alpine
    /// name source packages only; of the others some name the packages themselves, some the source, some both.
    pub(super) fn names(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>, bool)> {
        let own = (
            self.ecosystem.normalised(&self.name),
            Cow::Borrowed(&*self.version),
            false,
        );
        let Some((source, version)) = &self.source else {
            return vec![own];
        };
        if *source == self.name {
            return vec![(own.0, Cow::Borrowed(version), false)];
        }
        let by_source = (Cow::Borrowed(*source), Cow::Borrowed(&**version), true);
        match self.ecosystem.name {
            "Debian" | "Ubuntu" | "Alpine" => vec![by_source],
            _ => vec![own, by_source],
        }
    }

    /// Red Hat and its relatives build modules beside the plain packages: a fix in one stream says nothing of the other. The
    /// build system marks every package of a module in its release.
    pub(super) fn is_other_stream(&self, version: &str, fix: &str) -> bool {
        let modular = |version: &str| version.contains(".module");
        let has_modules = matches!(self.ecosystem.name, "AlmaLinux" | "Rocky Linux" | "Red Hat");
        has_modules && modular(version) != modular(fix)
    }

    /// The database has nothing about it.
    pub(super) fn absent(&self) -> Reason {
        let ecosystem = self.ecosystem.name;
        if self.ecosystem.released {
            let release = self.release.clone();
            return Reason::ReleaseNotInDatabase { ecosystem, release };
        }
        Reason::EcosystemNotInDatabase { ecosystem }
    }
}

fn language(kind: &str) -> Result<&'static Ecosystem, Reason> {
    let name = KINDS.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name);
    name.and_then(Ecosystem::named).ok_or_else(|| Reason::KindUnknown {
        kind: kind.chars().take(80).collect(),
    })
}

/// Go's own library and commands: `go1.21.3`, `go1.22.1 X:boringcrypto`.
fn go_version<'v>(name: &str, version: &'v str) -> &'v str {
    if !matches!(name, "stdlib" | "toolchain") {
        return version;
    }
    let version = version.split_whitespace().next().unwrap_or(version);
    version.strip_prefix("go").unwrap_or(version)
}

/// The version of the source package. rpm's name of the source package has no epoch; the package's own is the same.
fn source_version<'v>(kind: &str, source: Option<&'v str>, own: &Cow<'v, str>) -> Cow<'v, str> {
    match (source, own.split_once(':')) {
        (None, _) => own.clone(),
        (Some(source), Some((epoch, _))) if kind == "rpm" && !source.contains(':') => {
            Cow::Owned(format!("{epoch}:{source}"))
        }
        (Some(source), _) => Cow::Borrowed(source),
    }
}

/// Distributions by `ID` of os-release(5), and how their `VERSION_ID` becomes a release of the advisories.
fn system(
    purl: &proofmark_types::Purl,
    distribution: Option<Distribution<'_>>,
) -> Result<(&'static Ecosystem, String), Reason> {
    // Documents say the distribution in each package URL: `distro=debian-12`; Trivy's of Alpine has the
    // version alone.
    let qualifier = purl.qualifier("distro").and_then(|text| match text.rsplit_once('-') {
        None if text.starts_with(|c: char| c.is_ascii_digit()) => Some((purl.namespace()?, text)),
        split => split,
    });
    // What is said of the package itself comes first: the images of an index, and lower layers, may be of other releases.
    let qualifier = qualifier.filter(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()));
    let (id, version) = match (qualifier, distribution) {
        (Some((id, version)), _) => (id, Some(version)),
        (None, Some(distribution)) => (distribution.id, distribution.version),
        (None, None) => (purl.namespace().unwrap_or("(none)"), None),
    };
    let unknown = || Reason::DistributionUnknown {
        name: format!("{id} {}", version.unwrap_or("without a version"))
            .chars()
            .take(80)
            .collect(),
    };
    if matches!(id, "wolfi" | "chainguard") {
        let origin = Origin::of("CGA-");
        let name = origin.name.to_owned();
        return Err(Reason::LicenceForbids { name });
    }
    let version = version.filter(|version| !version.is_empty()).ok_or_else(unknown)?;
    let major = version.split('.').next().unwrap_or(version);
    let (name, release, kind) = match id {
        "debian" => ("Debian", major.to_owned(), "deb"),
        "ubuntu" => ("Ubuntu", version.to_owned(), "deb"),
        "alpine" => ("Alpine", alpine_release(version).ok_or_else(unknown)?, "apk"),
        "almalinux" | "alma" => ("AlmaLinux", major.to_owned(), "rpm"),
        "rocky" => ("Rocky Linux", major.to_owned(), "rpm"),
        "rhel" | "redhat" => ("Red Hat", major.to_owned(), "rpm"),
        "opensuse-leap" => ("openSUSE", format!("Leap {version}"), "rpm"),
        "mageia" => ("Mageia", version.to_owned(), "rpm"),
        _ => return Err(unknown()),
    };
    // An rpm in a Debian image is of some other distribution.
    if purl.kind() != kind {
        return Err(unknown());
    }
    Ecosystem::named(name)
        .map(|ecosystem| (ecosystem, release))
        .ok_or_else(unknown)
}

/// `3.20.1` is of `v3.20`; `edge`'s snapshots (`3.21_alpha20240807`) are of no release.
fn alpine_release(version: &str) -> Option<String> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(major) && digits(minor)).then(|| format!("v{major}.{minor}"))
}
