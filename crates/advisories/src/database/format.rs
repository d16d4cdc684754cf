//! What the builder writes and the reader reads: the header and the widths of the tables.

use std::collections::BTreeMap;

use proofmark_types::{Digest, UnixTime};
use serde::{Deserialize, Serialize};

pub(super) const MAGIC: &[u8; 8] = b"PMADVDB\n";
pub(super) const VERSION: u32 = 1;
/// Magic, version, length, digest.
pub(super) const PREFIX: usize = 48;
/// Thirty sections and a hundred sources take some 20 KiB.
pub(super) const MAX_HEADER: usize = 4 * 1024 * 1024;

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// When it was built.
    pub built: UnixTime,
    /// One per ecosystem, by name.
    pub sections: Vec<SectionHeader>,
    /// Whose records are in it, and under which licences.
    pub sources: Vec<SourceRecords>,
    /// The files that it was built from.
    pub files: Vec<SourceFile>,
    /// CISA's catalogue, if it was there.
    pub exploited: Option<ExploitedFeed>,
    /// EPSS scores, if they were there.
    pub scores: Option<ScoresFeed>,
    /// What was in the files and is not in the database.
    pub left_out: LeftOut,
    /// What should be in it and could not be fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<LackingFeed>,
}

/// A publisher's file that could not be fetched when the database was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LackingFeed {
    /// Which: an ecosystem, or the name of the file.
    pub feed: String,
    /// The stable name of the reason.
    pub code: String,
    /// Why, for a person.
    pub reason: String,
    /// When the copy that is in the database instead was fetched; without one there is nothing of it in the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_from: Option<UnixTime>,
}

/// Where an ecosystem's section is and what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SectionHeader {
    /// OSV's name of it, without a release.
    pub ecosystem: String,
    /// How many bytes it has. Sections follow one another in the header's order.
    pub length: u64,
    /// The digest of these bytes.
    pub digest: Digest,
    /// How many packages are known.
    pub packages: u64,
    /// How many advisories.
    pub advisories: u64,
    /// How many rows there are of each release of a distribution.
    pub releases: BTreeMap<String, u64>,
}

/// How many records a database of advisories contributed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceRecords {
    /// Its name.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// How many of its records are in.
    pub records: u64,
    /// When the newest of them was changed.
    pub newest: Option<UnixTime>,
}

/// A file that the database was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceFile {
    /// Its name or address.
    pub name: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was fetched from its publisher, or last said there to be unchanged; absent if it came by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<UnixTime>,
    /// How new its contents are, by their own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<UnixTime>,
}

impl SourceFile {
    /// The moment that its age counts from: when it was fetched, else what it says of itself.
    #[must_use]
    pub fn fresh_at(&self) -> Option<UnixTime> {
        self.fetched.or(self.as_of)
    }
}

/// The catalogue of known exploited vulnerabilities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExploitedFeed {
    /// When it was released.
    pub released: UnixTime,
    /// How many entries it has.
    pub entries: u64,
}

/// The EPSS scores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoresFeed {
    /// Their day.
    pub date: UnixTime,
    /// How many there are.
    pub entries: u64,
}

/// What was read and left out, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeftOut {
    /// Records that their authors withdrew.
    pub withdrawn: u64,
    /// Records that name no package, or none of an ecosystem that is known here.
    pub without_packages: u64,
    /// AlmaLinux' bug fixes and enhancements that name no vulnerability.
    pub not_security: u64,
    /// Older records of an identifier that came again.
    pub superseded: u64,
    /// Ranges of commits.
    pub git_ranges: u64,
    /// Affected entries by ecosystem that is not known here.
    pub ecosystems: BTreeMap<String, u64>,
    /// Affected entries about releases that no image can be said to be of (Red Hat's extended streams).
    pub releases: u64,
    /// Records by the name of the database whose licence forbids taking them.
    pub refused: BTreeMap<String, u64>,
    /// Ranges whose bounds are no versions of their ecosystem; their rows are kept, and said to be undecidable.
    pub unplaced_ranges: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Affected entries of ecosystems that were not taken, by ecosystem: an advisory about npm and PyPI is in npm's file
    /// too, which does not make that PyPI's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<String, u64>,
}

/// Widths of the tables in numbers of four bytes.
pub(super) mod width {
    pub(in crate::database) const PACKAGE: usize = 4;
    pub(in crate::database) const ROW: usize = 14;
    pub(in crate::database) const INTERVAL: usize = 5;
    pub(in crate::database) const TEXT: usize = 2;
    pub(in crate::database) const ADVISORY: usize = 23;
}

/// The tables of a section, in their order; the texts' bytes follow them.
pub(super) const TABLES: [usize; 6] = [
    width::PACKAGE,
    width::ROW,
    width::INTERVAL,
    width::TEXT,
    width::ADVISORY,
    width::TEXT,
];

/// How an interval ends.
pub(super) mod end {
    pub(in crate::database) const OPEN: u32 = 0;
    pub(in crate::database) const FIXED: u32 = 1;
    pub(in crate::database) const LAST_AFFECTED: u32 = 2;
    pub(in crate::database) const LIMIT: u32 = 3;
}

pub(super) const NO_SCORE: u32 = 255;
pub(super) const UNPLACED: u32 = 1;
pub(super) const EXPLOITED: u32 = 1;
pub(super) const RANSOMWARE: u32 = 2;
