//! The stable names of what cannot be read: the documentation, scripts and kept listings of layers know them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Unreadable;

/// All of them.
const ALL: [&str; 33] = [
    "alpm-desc-malformed",
    "apk-installed-malformed",
    "composer-json-malformed",
    "conda-record-malformed",
    "dotnet-deps-malformed",
    "dpkg-status-malformed",
    "elf-package-note-malformed",
    "executable-too-large",
    "facts-too-many",
    "file-unreadable",
    "gem-specification-malformed",
    "go-build-info-malformed",
    "hard-link-dangling",
    "java-archive-malformed",
    "java-archive-too-deep",
    "java-archive-too-large",
    "java-archive-too-many",
    "kernel-version-malformed",
    "lock-file-malformed",
    "lock-file-too-large",
    "metadata-too-large",
    "notes-too-many",
    "npm-package-json-malformed",
    "os-release-no-id",
    "package-database-elsewhere",
    "python-metadata-empty",
    "python-metadata-no-name",
    "python-wheel-malformed",
    "rpm-database-malformed",
    "rpm-manifest-malformed",
    "rpm-write-ahead-log",
    "rust-dependency-list-malformed",
    "symlinks-too-many",
];

/// The name as this program has it.
pub(super) fn known(code: &str) -> Option<&'static str> {
    ALL.into_iter().find(|known| *known == code)
}

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// As it is kept, before it is checked.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            code: String,
            reason: String,
        }
        let raw = Raw::deserialize(deserializer)?;
        let code = known(&raw.code).ok_or_else(|| D::Error::custom("the code is no name of a reason"))?;
        Ok(Self::new(code, raw.reason))
    }
}
