//! Writes an ecosystem's section, and joins to each advisory what others know of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::format::{EXPLOITED, NO_SCORE, RANSOMWARE, UNPLACED};
use super::{Builder, Kept, Row};
use crate::aliases::Relations;
use crate::ecosystem::Ecosystem;
use crate::feeds::{Epss, Exploited};
use crate::severity::Severity;

pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    pub(super) packages: u64,
    pub(super) advisories: u64,
    pub(super) releases: BTreeMap<String, u64>,
}

/// What other records and the feeds say, by record.
pub(super) struct Joined {
    groups: BTreeMap<u32, Vec<u32>>,
    upstream: BTreeMap<u32, BTreeSet<u32>>,
}

impl Joined {
    pub(super) fn new(builder: &Builder, relations: &mut Relations) -> Self {
        let groups = relations.groups();
        let mut upstream = BTreeMap::new();
        for id in builder.records.keys() {
            let above = relations.upstream_of(*id);
            if !above.is_empty() {
                upstream.insert(*id, above);
            }
        }
        Self { groups, upstream }
    }

    /// Its aliases near and far; those of a group that is none are those that it names itself.
    fn aliases(&self, id: u32, record: &Kept) -> Vec<u32> {
        let group = self.groups.get(&id).unwrap_or(&record.aliases);
        group.iter().copied().filter(|alias| *alias != id).collect()
    }

    /// Itself, its aliases, what it is about and the aliases of that.
    fn all(&self, id: u32, record: &Kept) -> Vec<u32> {
        let mut all = vec![id];
        all.extend(self.aliases(id, record));
        for above in self.upstream.get(&id).into_iter().flatten() {
            all.push(*above);
            all.extend(self.groups.get(above).into_iter().flatten());
        }
        all
    }
}

/// Texts of a section, each once.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    places: HashMap<String, (u32, u32)>,
}

impl Texts {
    fn place(&mut self, text: &str) -> (u32, u32) {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = (count(self.bytes.len()), count(text.len()));
        self.bytes.extend_from_slice(text.as_bytes());
        self.places.insert(text.to_owned(), place);
        place
    }
}

/// Sections beyond 32 bits are refused after they were written, by their length.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Tables {
    packages: Vec<u32>,
    rows: Vec<u32>,
    intervals: Vec<u32>,
    versions: Vec<u32>,
    advisories: Vec<u32>,
    names: Vec<u32>,
}

pub(super) fn write(builder: &Builder, joined: &Joined, ecosystem: &'static Ecosystem) -> Written {
    let text = |number: u32| builder.names.text(number);
    // By the texts, not by their numbers, which depend on the order of reading.
    let mut packages: BTreeMap<&str, Vec<(&str, &str, u32, &Row)>> = BTreeMap::new();
    let mut advisories: BTreeMap<&str, u32> = BTreeMap::new();
    let mut releases: BTreeMap<String, u64> = BTreeMap::new();
    for (id, record) in &builder.records {
        for row in record.rows.iter().filter(|row| row.ecosystem == ecosystem) {
            let rows = packages.entry(text(row.name)).or_default();
            rows.push((text(row.release), text(*id), *id, row));
            advisories.insert(text(*id), *id);
            if ecosystem.released {
                *releases.entry(text(row.release).to_owned()).or_default() += 1;
            }
        }
    }
    let mut texts = Texts::default();
    let mut tables = Tables::default();
    let mut places: HashMap<u32, u32> = HashMap::new();
    for (place, (_, id)) in advisories.iter().enumerate() {
        places.insert(*id, count(place));
        if let Some(record) = builder.records.get(id) {
            write_advisory(builder, joined, *id, record, &mut tables, &mut texts);
        }
    }
    let known = packages.len();
    for (name, mut rows) in packages {
        rows.sort_by_key(|(release, id, ..)| (*release, *id));
        let (offset, length) = texts.place(name);
        let first = count(tables.rows.len() / super::super::format::width::ROW);
        tables.packages.extend([offset, length, first, count(rows.len())]);
        for (_, _, id, row) in rows {
            let place = places.get(&id).copied().unwrap_or(u32::MAX);
            write_row(builder, joined, id, place, row, &mut tables, &mut texts);
        }
    }
    Written {
        bytes: tables.into_bytes(&texts),
        packages: u64::from(count(known)),
        advisories: u64::from(count(advisories.len())),
        releases,
    }
}

impl Tables {
    fn into_bytes(self, texts: &Texts) -> Vec<u8> {
        let tables = [
            self.packages,
            self.rows,
            self.intervals,
            self.versions,
            self.advisories,
            self.names,
        ];
        let mut bytes = Vec::new();
        for (table, width) in tables.iter().zip(super::super::format::TABLES) {
            bytes.extend_from_slice(&count(table.len() / width).to_le_bytes());
        }
        for number in tables.iter().flatten() {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&texts.bytes);
        bytes
    }

    fn push_name(&mut self, place: (u32, u32)) {
        self.names.extend([place.0, place.1]);
    }
}

fn write_row(
    builder: &Builder,
    joined: &Joined,
    id: u32,
    place: u32,
    row: &Row,
    tables: &mut Tables,
    texts: &mut Texts,
) {
    let text = |number: u32| builder.names.text(number);
    let release = texts.place(text(row.release));
    let first_interval = count(tables.intervals.len() / super::super::format::width::INTERVAL);
    for interval in &row.intervals {
        let start = texts.place(interval.start.map_or("", text));
        let last = texts.place(text(interval.end));
        tables
            .intervals
            .extend([start.0, start.1, last.0, last.1, interval.kind]);
    }
    let first_version = count(tables.versions.len() / super::super::format::width::TEXT);
    for version in &row.versions {
        let version = texts.place(text(*version));
        tables.versions.extend([version.0, version.1]);
    }
    let (severity, told_by) = severity(builder, joined, id, row);
    let vector = texts.place(severity.vector.as_deref().unwrap_or(""));
    let told_by = texts.place(text(told_by));
    tables.rows.extend([
        place,
        release.0,
        release.1,
        first_interval,
        count(row.intervals.len()),
        first_version,
        count(row.versions.len()),
        if row.unplaced { UNPLACED } else { 0 },
        severity.rating.code(),
        severity.score.map_or(NO_SCORE, u32::from),
        vector.0,
        vector.1,
        told_by.0,
        told_by.1,
    ]);
}

/// The row's own severity; where it has none, that of its aliases, then of what it is about: the latest CVSS, then the
/// worst. A distribution's word without a score is completed by no other's score, which would not be about this package.
fn severity<'b>(builder: &'b Builder, joined: &Joined, id: u32, row: &'b Row) -> (&'b Severity, u32) {
    if row.severity.is_known() {
        return (&row.severity, id);
    }
    let Some(record) = builder.records.get(&id) else {
        return (&row.severity, id);
    };
    let candidates = joined.all(id, record).into_iter().filter_map(|other| {
        let severity = &builder.records.get(&other)?.severity;
        severity.is_known().then_some((severity, other))
    });
    candidates
        .max_by_key(|(severity, other)| {
            let name = std::cmp::Reverse(builder.names.text(*other));
            (severity.preference(), severity.score, severity.rating, name)
        })
        .unwrap_or((&row.severity, id))
}

fn write_advisory(builder: &Builder, joined: &Joined, id: u32, record: &Kept, tables: &mut Tables, texts: &mut Texts) {
    let text = |number: u32| builder.names.text(number);
    let sorted = |numbers: Vec<u32>| -> BTreeSet<&str> { numbers.into_iter().map(text).collect() };
    let aliases = sorted(joined.aliases(id, record));
    let upstream = joined.upstream.get(&id).into_iter().flatten().copied().collect();
    let upstream = sorted(upstream);
    let all = sorted(joined.all(id, record));
    let first_alias = count(tables.names.len() / super::super::format::width::TEXT);
    for name in aliases.iter().chain(&upstream) {
        let place = texts.place(name);
        tables.push_name(place);
    }
    let exploited = worst_exploited(builder, &all);
    let scored = worst_scored(builder, &all);
    let flags = exploited.map_or(0, |entry| EXPLOITED | if entry.ransomware { RANSOMWARE } else { 0 });
    let mut place = |text: &str| texts.place(text);
    let published = record.published.map_or(i64::MIN, |time| time.seconds());
    let (id, summary) = (place(text(id)), place(text(record.summary)));
    let cve = place(exploited.map_or("", |entry| &entry.cve));
    let added = place(exploited.map_or("", |entry| &entry.date_added));
    let due = place(exploited.map_or("", |entry| &entry.due_date));
    let scored_cve = place(scored.map_or("", |(cve, _)| cve));
    let (score, percentile) = scored.map_or((u32::MAX, u32::MAX), |(_, epss)| epss.parts());
    let (published_low, published_high) = halves(published);
    let (modified_low, modified_high) = halves(record.modified.seconds());
    tables.advisories.extend([
        id.0,
        id.1,
        summary.0,
        summary.1,
        published_low,
        published_high,
        modified_low,
        modified_high,
        first_alias,
        count(aliases.len()),
        first_alias.saturating_add(count(aliases.len())),
        count(upstream.len()),
        flags,
        cve.0,
        cve.1,
        added.0,
        added.1,
        due.0,
        due.1,
        scored_cve.0,
        scored_cve.1,
        score,
        percentile,
    ]);
}

/// An advisory about several vulnerabilities is exploited if one of them is; ransomware before the earliest.
fn worst_exploited<'b>(builder: &'b Builder, all: &BTreeSet<&str>) -> Option<&'b Exploited> {
    let feed = builder.exploited.as_ref()?;
    let known = all.iter().filter_map(|name| feed.entries.get(*name));
    known.min_by_key(|entry| (!entry.ransomware, &entry.date_added, &entry.cve))
}

fn worst_scored<'n>(builder: &Builder, all: &BTreeSet<&'n str>) -> Option<(&'n str, Epss)> {
    let feed = builder.scores.as_ref()?;
    let known = all.iter().filter_map(|name| Some((*name, *feed.scores.get(*name)?)));
    known.max_by_key(|(name, epss)| (*epss, std::cmp::Reverse(*name)))
}

/// The lower and the upper half.
fn halves(value: i64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}
