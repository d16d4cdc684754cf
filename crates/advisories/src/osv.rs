//! Advisories in the OSV schema (ossf.github.io/osv-schema), read from foreign bytes: bounded, texts borrowed.
//!
//! What is read is what matching and a finding need; details, references and credits stay in the source's file.
//! Ranges of commits (`GIT`) are not evaluated: an image does not say which commit a file is of. They are counted.

use std::borrow::Cow;

use proofmark_types::UnixTime;
use serde::Deserialize;
use thiserror::Error;

use crate::ecosystem::{self, Ecosystem};

/// The largest records in OSV's exports are of Linux kernels, some 6 MiB.
pub const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// The longest affected lists seen (kernels over every flavour and release of Ubuntu) have some 4,000 entries.
const MAX_AFFECTED: usize = 50_000;
/// Versions and events of one affected entry; the longest seen (Chromium, kernels) have some 10,000.
const MAX_VERSIONS: usize = 100_000;
/// Aliases, upstream and related names; the longest seen (kernels) have some 2,500.
const MAX_NAMES: usize = 10_000;
/// Identifiers, names and versions: longer is none.
const MAX_TEXT: usize = 1_024;

/// A text of the record, borrowed where JSON writes it without escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Text<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Record<'a> {
    /// Its identifier.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// When it was last changed.
    #[serde(borrow)]
    pub modified: Text<'a>,
    /// When it was first published.
    #[serde(borrow, default)]
    pub published: Option<Text<'a>>,
    /// Set when the record should not be believed any more.
    #[serde(borrow, default)]
    pub withdrawn: Option<Text<'a>>,
    /// Other names of the same vulnerability.
    #[serde(borrow, default)]
    pub aliases: Option<Vec<Text<'a>>>,
    /// Vulnerabilities that this record is about, in other databases; the reverse does not hold.
    #[serde(borrow, default)]
    pub upstream: Option<Vec<Text<'a>>>,
    /// Vulnerabilities that have something to do with it. Not the same ones.
    #[serde(borrow, default)]
    pub related: Option<Vec<Text<'a>>>,
    /// One line.
    #[serde(borrow, default)]
    pub summary: Option<Text<'a>>,
    /// How bad, for all that is affected.
    #[serde(borrow, default)]
    pub severity: Option<Vec<Score<'a>>>,
    /// What is affected.
    #[serde(borrow, default)]
    pub affected: Option<Vec<Affected<'a>>>,
    /// What the database has beyond the schema.
    #[serde(borrow, default)]
    pub database_specific: Option<Specific<'a>>,
}

/// A severity as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Score<'a> {
    /// `CVSS_V2`, `CVSS_V3`, `CVSS_V4`, `Ubuntu`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// A vector or a word.
    #[serde(borrow)]
    pub score: Text<'a>,
}

/// Fields outside the schema that say how bad it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Specific<'a> {
    /// GitHub's word.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub severity: Option<Text<'a>>,
    /// Debian's word.
    #[serde(borrow, default, deserialize_with = "lenient")]
    pub urgency: Option<Text<'a>>,
}

/// One package and which of its versions are affected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Affected<'a> {
    /// The package; absent where only commits are named.
    #[serde(borrow, default)]
    pub package: Option<PackageName<'a>>,
    /// How bad for this package, in place of the record's.
    #[serde(borrow, default)]
    pub severity: Option<Vec<Score<'a>>>,
    /// Ranges of versions.
    #[serde(borrow, default)]
    pub ranges: Option<Vec<Range<'a>>>,
    /// Versions one by one.
    #[serde(borrow, default)]
    pub versions: Option<Vec<Text<'a>>>,
    /// What the ecosystem has beyond the schema.
    #[serde(borrow, default)]
    pub ecosystem_specific: Option<Specific<'a>>,
    /// What the database has beyond the schema.
    #[serde(borrow, default)]
    pub database_specific: Option<Specific<'a>>,
}

/// A package by ecosystem and name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PackageName<'a> {
    /// `Debian:12`, `PyPI`.
    #[serde(borrow)]
    pub ecosystem: Text<'a>,
    /// The name as the ecosystem has it.
    #[serde(borrow)]
    pub name: Text<'a>,
}

/// A range.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Range<'a> {
    /// `SEMVER`, `ECOSYSTEM` or `GIT`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Where it begins and ends.
    #[serde(borrow)]
    pub events: Vec<Event<'a>>,
}

/// Where a range begins or ends: one field each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Event<'a> {
    /// Affected from here on; `0` is before every version.
    #[serde(borrow, default)]
    pub introduced: Option<Text<'a>>,
    /// Not affected from here on.
    #[serde(borrow, default)]
    pub fixed: Option<Text<'a>>,
    /// Not affected after this.
    #[serde(borrow, default)]
    pub last_affected: Option<Text<'a>>,
    /// Nothing is said from here on.
    #[serde(borrow, default)]
    pub limit: Option<Text<'a>>,
}

impl<'a> Record<'a> {
    /// Reads one record.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLarge { bytes: bytes.len() });
        }
        let record: Self = serde_json::from_slice(bytes).map_err(|source| RecordError::NotOsv { source })?;
        record.check()?;
        Ok(record)
    }

    /// When it was published, else last changed. Some databases write the year 1 for "unknown", which is none.
    #[must_use]
    pub fn published_at(&self) -> Option<UnixTime> {
        let texts = self.published.iter().chain(std::iter::once(&self.modified));
        texts
            .filter_map(|text| UnixTime::parse(text.as_str()).ok())
            .find(|time| *time > UnixTime::EPOCH)
    }

    /// What is affected.
    pub fn affected(&self) -> impl Iterator<Item = &Affected<'a>> {
        self.affected.iter().flatten()
    }

    /// Whether something of an ecosystem is affected.
    #[must_use]
    pub fn is_about(&self, ecosystem: &Ecosystem) -> bool {
        let names = self.affected().filter_map(|affected| affected.package.as_ref());
        names
            .map(|package| ecosystem::split(package.ecosystem.as_str()).0)
            .any(|name| name == ecosystem.name)
    }

    fn check(&self) -> Result<(), RecordError> {
        let id = self.id.as_str();
        if id.is_empty() || id.len() > MAX_TEXT || id.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(RecordError::Id);
        }
        let limit = |what: &'static str, count: usize, max: usize| {
            if count > max {
                return Err(RecordError::TooMany {
                    id: id.to_owned(),
                    what,
                    count,
                    max,
                });
            }
            Ok(())
        };
        let names = [&self.aliases, &self.upstream, &self.related];
        for list in names.into_iter().flatten() {
            limit("names", list.len(), MAX_NAMES)?;
        }
        limit("affected", self.affected().count(), MAX_AFFECTED)?;
        for affected in self.affected() {
            limit("versions", affected.versions.iter().flatten().count(), MAX_VERSIONS)?;
            let events = affected.ranges.iter().flatten().map(|range| range.events.len());
            limit("events", events.sum(), MAX_VERSIONS)?;
            if let Some(package) = &affected.package {
                limit("bytes of name", package.name.as_str().len(), MAX_TEXT)?;
                limit("bytes of ecosystem", package.ecosystem.as_str().len(), MAX_TEXT)?;
            }
        }
        Ok(())
    }
}

/// What is not the text that is looked for is none: these fields belong to no schema.
fn lenient<'de, 'a, D>(deserializer: D) -> Result<Option<Text<'a>>, D::Error>
where
    D: serde::Deserializer<'de>,
    'de: 'a,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().map(|text| Text(Cow::Owned(text.to_owned()))))
}

/// Why bytes are no record.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// More bytes than any record has.
    #[error("a record of {bytes} bytes is larger than the {MAX_RECORD_BYTES} accepted")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// No JSON, or not of the OSV schema.
    #[error("not an OSV record")]
    NotOsv {
        /// Where and what.
        source: serde_json::Error,
    },
    /// The identifier is empty, too long or has spaces in it.
    #[error("an OSV record needs an id without spaces")]
    Id,
    /// A list is longer than any is.
    #[error("{id} has {count} {what}, more than the {max} accepted")]
    TooMany {
        /// The record.
        id: String,
        /// Of what there is too much.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many are accepted.
        max: usize,
    },
}

impl RecordError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "advisory-too-large",
            Self::NotOsv { .. } => "advisory-not-osv",
            Self::Id => "advisory-without-id",
            Self::TooMany { .. } => "advisory-too-long",
        }
    }
}
