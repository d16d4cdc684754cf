//! Builds a database from records and feeds.

mod homes;
mod intervals;
mod section;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proofmark_types::{Digest, UnixTime};
use thiserror::Error;

use super::format::{ExploitedFeed, Header, LeftOut, MAGIC, MAX_HEADER, PREFIX, ScoresFeed, SectionHeader, VERSION};
use super::format::{LackingFeed, SourceFile, SourceRecords};
use super::open::DatabaseError;
use crate::aliases::Relations;
use crate::ecosystem::{self, Ecosystem};
use crate::feeds::{EpssScores, KnownExploited, is_cve};
use crate::licence::Origin;
use crate::osv::{Affected, Record, RecordError, Score, Specific, Text};
use crate::severity::{Rating, Severity};

use homes::Homes;
use intervals::Interval;

/// Sections and texts are addressed by 32 bits. All of OSV takes less than 100 MB.
const MAX_SECTION: usize = 2_000_000_000;
/// One line of a finding; the longest summaries seen are 300 bytes.
const MAX_SUMMARY: usize = 240;

/// Takes records and feeds in any order; what comes twice is kept once, the later changed.
#[derive(Debug, Default)]
pub struct Builder {
    names: Names,
    records: BTreeMap<u32, Kept>,
    /// When: an earlier record of the same identifier, in another file, stays away.
    withdrawn: BTreeMap<u32, UnixTime>,
    files: Vec<SourceFile>,
    exploited: Option<KnownExploited>,
    scores: Option<EpssScores>,
    left_out: LeftOut,
    lacking: Vec<LackingFeed>,
    homes: Homes,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Added {
    /// It is in.
    Taken,
    /// It was withdrawn.
    Withdrawn,
    /// It names no package of an ecosystem that is known here.
    WithoutPackages,
    /// It is about no vulnerability.
    NotSecurity,
    /// A newer one of the same identifier is in.
    Superseded,
    /// The licence of its database forbids it.
    Refused {
        /// Whose it is.
        origin: Origin,
    },
}

/// Texts by number.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // 4 billion texts do not fit into memory.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }

    fn text(&self, number: u32) -> &str {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.texts.get(at).map_or("", String::as_str)
    }
}

/// A record as far as it matters.
#[derive(Debug)]
struct Kept {
    modified: UnixTime,
    published: Option<UnixTime>,
    summary: u32,
    aliases: Vec<u32>,
    upstream: Vec<u32>,
    severity: Severity,
    rows: Vec<Row>,
}

/// What it says of one package in one release.
#[derive(Debug)]
struct Row {
    ecosystem: &'static Ecosystem,
    name: u32,
    release: u32,
    severity: Severity,
    intervals: Vec<Interval>,
    versions: Vec<u32>,
    unplaced: bool,
}

impl Builder {
    /// One with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that what is added comes from this file.
    pub fn add_file(&mut self, file: SourceFile) {
        self.files.push(file);
    }

    /// Says that a feed could not be fetched.
    pub fn add_lacking(&mut self, feed: LackingFeed) {
        self.lacking.push(feed);
    }

    /// Takes these ecosystems and no others, whatever the records name.
    pub fn take_only(&mut self, ecosystems: impl IntoIterator<Item = &'static Ecosystem>) {
        let names: BTreeSet<&'static str> = ecosystems.into_iter().map(|ecosystem| ecosystem.name).collect();
        self.homes.only(names);
    }

    /// Says that the records that follow, to [`Builder::end_bulk`], are one of OSV's bulk files: only the ecosystem that all
    /// of them name is taken, for of the others there are but the advisories that they share with it.
    pub fn begin_bulk(&mut self) {
        self.homes.begin_bulk();
    }

    /// Ends a bulk file.
    pub fn end_bulk(&mut self) {
        self.homes.end_bulk();
    }

    /// Adds one OSV record. One that cannot be read is counted too, so that the database says so.
    pub fn add_osv(&mut self, bytes: &[u8]) -> Result<Added, RecordError> {
        let record = Record::parse(bytes).inspect_err(|_| self.left_out.unreadable += 1)?;
        let origin = Origin::of(record.id.as_str());
        let refused = std::iter::once(origin)
            .chain(record.affected().filter_map(|affected| {
                let name = affected.package.as_ref()?.ecosystem.as_str();
                Origin::refused_for(ecosystem::split(name).0)
            }))
            .find(|origin| !origin.allowed);
        if let Some(origin) = refused {
            *self.left_out.refused.entry(origin.name.to_owned()).or_default() += 1;
            return Ok(Added::Refused { origin });
        }
        self.homes.note(&record);
        let id = self.names.number(record.id.as_str());
        let modified = UnixTime::parse(record.modified.as_str()).unwrap_or(UnixTime::EPOCH);
        let there = self.records.get(&id).map(|record| record.modified);
        if let Some(there) = there.max(self.withdrawn.get(&id).copied()) {
            self.left_out.superseded += 1;
            if there >= modified {
                return Ok(Added::Superseded);
            }
            self.records.remove(&id);
        }
        if record.withdrawn.is_some() {
            self.left_out.withdrawn += 1;
            self.withdrawn.insert(id, modified);
            return Ok(Added::Withdrawn);
        }
        let upstream = upstream(&record);
        if is_no_vulnerability(&record, &upstream) {
            self.left_out.not_security += 1;
            return Ok(Added::NotSecurity);
        }
        let severity = record_severity(&record);
        let rows: Vec<Row> = record
            .affected()
            .filter_map(|affected| self.row(affected, &severity))
            .collect();
        let mut numbers = |texts: &[&str]| -> Vec<u32> { texts.iter().map(|text| self.names.number(text)).collect() };
        let aliases: Vec<&str> = record.aliases.iter().flatten().map(Text::as_str).collect();
        let kept = Kept {
            modified,
            published: record.published_at(),
            aliases: numbers(&aliases),
            upstream: numbers(&upstream),
            summary: self.names.number(&summary(&record)),
            severity,
            rows,
        };
        // One without packages still tells aliases and severities: CVE records do.
        let added = if kept.rows.is_empty() {
            self.left_out.without_packages += 1;
            Added::WithoutPackages
        } else {
            Added::Taken
        };
        self.records.insert(id, kept);
        Ok(added)
    }

    /// Adds CISA's catalogue; the newer one stays.
    pub fn add_exploited(&mut self, feed: KnownExploited) {
        if self
            .exploited
            .as_ref()
            .is_none_or(|there| there.released < feed.released)
        {
            self.exploited = Some(feed);
        }
    }

    /// Adds EPSS scores; the newer ones stay.
    pub fn add_scores(&mut self, feed: EpssScores) {
        if self.scores.as_ref().is_none_or(|there| there.date < feed.date) {
            self.scores = Some(feed);
        }
    }

    /// Whether a catalogue was added.
    #[must_use]
    pub fn has_exploited(&self) -> bool {
        self.exploited.is_some()
    }

    /// Whether scores were added.
    #[must_use]
    pub fn has_scores(&self) -> bool {
        self.scores.is_some()
    }

    /// Writes the database. What it is made from decides every byte, with the time given.
    pub fn build(&self, built: UnixTime) -> Result<Vec<u8>, BuildError> {
        let ecosystems = self.ecosystems();
        if ecosystems.is_empty() {
            return Err(BuildError::Empty);
        }
        let mut relations = Relations::default();
        for (id, record) in &self.records {
            relations.add(*id, &record.aliases, &record.upstream);
        }
        let joined = section::Joined::new(self, &mut relations);
        let mut sections = Vec::new();
        let mut bodies = Vec::new();
        for ecosystem in ecosystems.into_values() {
            let section = section::write(self, &joined, ecosystem);
            if section.bytes.len() > MAX_SECTION {
                return Err(BuildError::TooLarge {
                    ecosystem: ecosystem.name,
                    bytes: section.bytes.len(),
                });
            }
            sections.push(SectionHeader {
                ecosystem: ecosystem.name.to_owned(),
                length: u64::try_from(section.bytes.len()).unwrap_or(u64::MAX),
                digest: Digest::sha256_of(&section.bytes),
                packages: section.packages,
                advisories: section.advisories,
                releases: section.releases,
            });
            bodies.push(section.bytes);
        }
        let header = self.header(built, sections);
        assemble(&header, &bodies)
    }

    /// Those that rows are of and that are taken.
    fn ecosystems(&self) -> BTreeMap<&'static str, &'static Ecosystem> {
        let rows = self.records.values().flat_map(|record| &record.rows);
        rows.map(|row| row.ecosystem)
            .filter(|ecosystem| self.homes.takes(ecosystem))
            .map(|ecosystem| (ecosystem.name, ecosystem))
            .collect()
    }

    /// What was left out, with the rows of ecosystems that are not taken.
    fn left_out(&self) -> LeftOut {
        let mut left_out = self.left_out.clone();
        for row in self.records.values().flat_map(|record| &record.rows) {
            if !self.homes.takes(row.ecosystem) {
                *left_out.elsewhere.entry(row.ecosystem.name.to_owned()).or_default() += 1;
            }
        }
        left_out
    }

    fn header(&self, built: UnixTime, sections: Vec<SectionHeader>) -> Header {
        let mut sources: BTreeMap<&str, SourceRecords> = BTreeMap::new();
        let taken = |record: &Kept| record.rows.iter().any(|row| self.homes.takes(row.ecosystem));
        for (id, record) in self.records.iter().filter(|(_, record)| taken(record)) {
            let origin = Origin::of(self.names.text(*id));
            let source = sources.entry(origin.name).or_insert_with(|| SourceRecords {
                name: origin.name.to_owned(),
                licence: origin.licence.to_owned(),
                records: 0,
                newest: None,
            });
            source.records += 1;
            source.newest = source
                .newest
                .max(Some(record.modified).filter(|time| *time > UnixTime::EPOCH));
        }
        let mut files = self.files.clone();
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        Header {
            built,
            sections,
            sources: sources.into_values().collect(),
            files,
            exploited: self.exploited.as_ref().map(|feed| ExploitedFeed {
                released: feed.released,
                entries: count(feed.entries.len()),
            }),
            scores: self.scores.as_ref().map(|feed| ScoresFeed {
                date: feed.date,
                entries: count(feed.scores.len()),
            }),
            left_out: self.left_out(),
            lacking: self.lacking.clone(),
        }
    }

    fn row(&mut self, affected: &Affected<'_>, record: &Severity) -> Option<Row> {
        let ranges = affected.ranges.iter().flatten();
        let commits = ranges.filter(|range| range.kind.as_str() == "GIT").count();
        self.left_out.git_ranges += u64::try_from(commits).unwrap_or(0);
        let package = affected.package.as_ref()?;
        let (name, suffix) = ecosystem::split(package.ecosystem.as_str());
        let Some(ecosystem) = Ecosystem::named(name) else {
            *self.left_out.ecosystems.entry(name.to_owned()).or_default() += 1;
            return None;
        };
        let Some(release) = ecosystem.release(suffix) else {
            self.left_out.releases += 1;
            return None;
        };
        let (intervals, unplaced) = intervals::of(affected, ecosystem.scheme, &mut self.names);
        if unplaced {
            self.left_out.unplaced_ranges += 1;
        }
        let versions = affected.versions.iter().flatten().map(Text::as_str);
        // What an interval covers anyway need not be listed.
        let listed: Vec<&str> = versions
            .filter(|version| {
                !intervals
                    .iter()
                    .any(|i| i.covers(version, ecosystem.scheme, &self.names))
            })
            .collect();
        let own = affected_severity(affected);
        Some(Row {
            ecosystem,
            name: self.names.number(&ecosystem.normalised(package.name.as_str())),
            release: self.names.number(&release),
            severity: if own.is_known() { own } else { record.clone() },
            versions: listed.into_iter().map(|version| self.names.number(version)).collect(),
            intervals,
            unplaced,
        })
    }
}

/// The file of a header and the sections that it tells of.
pub(super) fn assemble(header: &Header, bodies: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, BuildError> {
    let header = serde_json::to_vec(header).map_err(|source| BuildError::Header { source })?;
    let length = u32::try_from(header.len()).ok().filter(|_| header.len() <= MAX_HEADER);
    let length = length.ok_or(BuildError::HeaderLong { bytes: header.len() })?;
    let size = bodies.iter().map(|body| body.as_ref().len()).sum::<usize>();
    let mut file = Vec::with_capacity(header.len() + size + PREFIX);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(Digest::sha256_of(&header).as_bytes());
    file.extend_from_slice(&header);
    for body in bodies {
        file.extend_from_slice(body.as_ref());
    }
    Ok(file)
}

/// AlmaLinux' errata name the vulnerabilities that they mend under `related`. Elsewhere related is not the same.
fn upstream<'r>(record: &'r Record<'_>) -> Vec<&'r str> {
    let mut upstream: Vec<&str> = record.upstream.iter().flatten().map(Text::as_str).collect();
    if is_almalinux(record.id.as_str()) {
        let related = record.related.iter().flatten().map(Text::as_str);
        upstream.extend(related.filter(|id| is_cve(id)));
    }
    upstream.sort_unstable();
    upstream.dedup();
    upstream
}

fn is_almalinux(id: &str) -> bool {
    ["ALSA-", "ALBA-", "ALEA-"].iter().any(|prefix| id.starts_with(prefix))
}

/// AlmaLinux publishes bug fixes and enhancements in the same form.
fn is_no_vulnerability(record: &Record<'_>, upstream: &[&str]) -> bool {
    let id = record.id.as_str();
    (id.starts_with("ALBA-") || id.starts_with("ALEA-")) && upstream.is_empty()
}

fn summary(record: &Record<'_>) -> String {
    let text = record.summary.as_ref().map_or("", Text::as_str);
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_SUMMARY)
        .collect();
    line.trim().to_owned()
}

fn record_severity(record: &Record<'_>) -> Severity {
    let word = record.database_specific.as_ref().and_then(word);
    // "Moderate: .NET 6.0 security, bug fix, and enhancement update".
    let prefixed = || {
        let (first, _) = record.summary.as_ref()?.as_str().split_once(':')?;
        is_almalinux(record.id.as_str()).then(|| Rating::parse(first))?
    };
    best(record.severity.iter().flatten(), word.or_else(prefixed))
}

fn affected_severity(affected: &Affected<'_>) -> Severity {
    let specific = affected.ecosystem_specific.as_ref().and_then(word);
    let word = specific.or_else(|| affected.database_specific.as_ref().and_then(word));
    best(affected.severity.iter().flatten(), word)
}

fn word(specific: &Specific<'_>) -> Option<Rating> {
    let words = specific.severity.iter().chain(&specific.urgency);
    words.filter_map(|text| Rating::parse(text.as_str())).next()
}

/// The source's own word decides the rating; the vector of the latest CVSS is kept beside it.
fn best<'s, 'a: 's>(scores: impl Iterator<Item = &'s Score<'a>>, word: Option<Rating>) -> Severity {
    let mut best = Severity::default();
    let mut word = word;
    for score in scores {
        if score.kind.as_str().starts_with("CVSS") {
            let candidate = Severity::of_vector(score.score.as_str());
            if (candidate.score.is_some(), candidate.preference()) > (best.score.is_some(), best.preference()) {
                best = candidate;
            }
        } else {
            word = word.or_else(|| Rating::parse(score.score.as_str()));
        }
    }
    if let Some(word) = word {
        best.rating = word;
    }
    best
}

/// Why no database was written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A database without an advisory would find nothing anywhere.
    #[error("none of what was read is an advisory about packages: expected OSV records")]
    Empty,
    /// An ecosystem with more than 2 GB of advisories.
    #[error("the advisories of {ecosystem} take {bytes} bytes, more than a section can have")]
    TooLarge {
        /// Which.
        ecosystem: &'static str,
        /// How many.
        bytes: usize,
    },
    /// Thousands of files.
    #[error("the header takes {bytes} bytes, more than it may; were there so many files?")]
    HeaderLong {
        /// How many.
        bytes: usize,
    },
    /// The database that was to be kept is damaged.
    #[error("the database is not sound")]
    Damaged {
        /// What is wrong with it.
        source: Box<DatabaseError>,
    },
    /// The header could not be written.
    #[error("writing the header")]
    Header {
        /// What JSON cannot say.
        source: serde_json::Error,
    },
}

impl BuildError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "no-advisories",
            Self::TooLarge { .. } => "database-too-large",
            Self::Damaged { source } => source.code(),
            Self::HeaderLong { .. } | Self::Header { .. } => "database-header",
        }
    }
}
