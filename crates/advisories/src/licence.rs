//! Whose advisories a record is, and under which licence they may be kept and passed on.
//!
//! The licences are those that OSV's list of data sources and the databases' own repositories name. A database whose
//! licence forbids what we do with it is refused record by record, whichever file it comes in.

/// A database of advisories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// How its identifiers begin.
    pub prefix: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its licence as an SPDX identifier, or in words where there is none.
    pub licence: &'static str,
    /// Whether records may be taken into a database that is passed on.
    pub allowed: bool,
}

const fn allowed(prefix: &'static str, name: &'static str, licence: &'static str) -> Origin {
    Origin {
        prefix,
        name,
        licence,
        allowed: true,
    }
}

const fn refused(prefix: &'static str, name: &'static str, licence: &'static str) -> Origin {
    Origin {
        prefix,
        name,
        licence,
        allowed: false,
    }
}

/// A record that begins like none of these is taken, its licence said to be not known.
const ORIGINS: [Origin; 31] = [
    allowed("GHSA-", "GitHub Advisory Database", "CC-BY-4.0"),
    allowed("GO-", "Go vulnerability database", "CC-BY-4.0"),
    allowed("PYSEC-", "PyPA advisory database", "CC-BY-4.0"),
    allowed("PSF-", "Python Software Foundation advisory database", "CC-BY-4.0"),
    allowed("RUSTSEC-", "RustSec advisory database", "CC0-1.0"),
    allowed("HSEC-", "Haskell security advisories", "CC0-1.0"),
    allowed("RSEC-", "R Consortium advisory database", "Apache-2.0"),
    allowed("BIT-", "Bitnami vulnerability database", "Apache-2.0"),
    allowed("MAL-", "OpenSSF malicious packages", "Apache-2.0"),
    allowed("ALSA-", "AlmaLinux OSV database", "MIT"),
    allowed("ALBA-", "AlmaLinux OSV database", "MIT"),
    allowed("ALEA-", "AlmaLinux OSV database", "MIT"),
    allowed("RLSA-", "Rocky Linux advisories", "BSD (rockylinux.org/licensing)"),
    allowed("RXSA-", "Rocky Linux advisories", "BSD (rockylinux.org/licensing)"),
    allowed("RHSA-", "Red Hat security data", "CC-BY-4.0"),
    allowed("RHBA-", "Red Hat security data", "CC-BY-4.0"),
    allowed("RHEA-", "Red Hat security data", "CC-BY-4.0"),
    allowed(
        "DSA-",
        "Debian security tracker",
        "public data of the Debian security tracker",
    ),
    allowed(
        "DLA-",
        "Debian security tracker",
        "public data of the Debian security tracker",
    ),
    allowed(
        "DTSA-",
        "Debian security tracker",
        "public data of the Debian security tracker",
    ),
    allowed(
        "DEBIAN-",
        "Debian security tracker",
        "public data of the Debian security tracker",
    ),
    allowed("ALPINE-", "Alpine SecDB", "public data of Alpine's secdb"),
    // Share-alike: a database with these in it is passed on under the same licence.
    allowed("USN-", "Ubuntu security notices", "CC-BY-SA-4.0"),
    allowed("LSN-", "Ubuntu security notices", "CC-BY-SA-4.0"),
    allowed("UBUNTU-", "Ubuntu security notices", "CC-BY-SA-4.0"),
    allowed("openSUSE-", "SUSE security data", "CC-BY-4.0"),
    allowed("SUSE-", "SUSE security data", "CC-BY-4.0"),
    // For commercial scanners, no derivatives, not for a competing offering.
    refused(
        "CGA-",
        "Wolfi and Chainguard advisories",
        "Chainguard licence for scanners and CC-BY-NC-ND-4.0",
    ),
    refused("SFTY-", "Safety database", "CC-BY-NC-4.0"),
    refused("PVE-", "Safety database", "CC-BY-NC-4.0"),
    refused("pyup.io-", "Safety database", "CC-BY-NC-4.0"),
];

/// Whose a record is that begins like none that is known here.
const UNKNOWN_ORIGIN: Origin = allowed("", "other databases", "not known");

impl Origin {
    /// Whose the record of the given identifier is.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let found = ORIGINS.iter().find(|origin| id.starts_with(origin.prefix));
        found.copied().unwrap_or(UNKNOWN_ORIGIN)
    }

    /// The licence by which records about an ecosystem are refused, if they are.
    #[must_use]
    pub fn refused_for(ecosystem: &str) -> Option<Self> {
        matches!(ecosystem, "Wolfi" | "Chainguard").then(|| Self::of("CGA-"))
    }
}
