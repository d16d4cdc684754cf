//! Reads a section of a database: looks up packages in its tables.

use proofmark_types::UnixTime;

use super::format::{EXPLOITED, NO_SCORE, RANSOMWARE, SectionHeader, TABLES, UNPLACED, end, width};
use super::open::{DatabaseError, number_at};
use crate::ecosystem::Ecosystem;
use crate::feeds::Epss;
use crate::order::Scheme;
use crate::severity::Rating;

#[derive(Clone, Copy, Debug)]
struct Table<'d> {
    bytes: &'d [u8],
    width: usize,
}

impl<'d> Table<'d> {
    fn len(self) -> usize {
        self.bytes.len() / (self.width * 4)
    }

    fn get(self, row: usize) -> Option<&'d [u8]> {
        let size = self.width.checked_mul(4)?;
        let at = row.checked_mul(size)?;
        self.bytes.get(at..at.checked_add(size)?)
    }
}

/// The advisories of one ecosystem.
#[derive(Clone, Copy, Debug)]
pub struct Section<'d> {
    header: &'d SectionHeader,
    ecosystem: &'static Ecosystem,
    packages: Table<'d>,
    rows: Table<'d>,
    intervals: Table<'d>,
    versions: Table<'d>,
    advisories: Table<'d>,
    names: Table<'d>,
    texts: &'d [u8],
}

impl<'d> Section<'d> {
    pub(super) fn new(
        header: &'d SectionHeader,
        body: &'d [u8],
        ecosystem: &'static Ecosystem,
    ) -> Result<Self, DatabaseError> {
        let malformed = || DatabaseError::Malformed {
            ecosystem: ecosystem.name,
            what: "tables",
        };
        let mut rest = body.get(TABLES.len() * 4..).ok_or_else(malformed)?;
        let mut tables = [Table { bytes: &[], width: 1 }; TABLES.len()];
        for (place, (table, width)) in tables.iter_mut().zip(TABLES).enumerate() {
            let rows = number_at(body, place).and_then(|rows| usize::try_from(rows).ok());
            let size = rows
                .and_then(|rows| rows.checked_mul(width * 4))
                .ok_or_else(malformed)?;
            let (bytes, after) = rest.split_at_checked(size).ok_or_else(malformed)?;
            *table = Table { bytes, width };
            rest = after;
        }
        let [packages, rows, intervals, versions, advisories, names] = tables;
        Ok(Self {
            header,
            ecosystem,
            packages,
            rows,
            intervals,
            versions,
            advisories,
            names,
            texts: rest,
        })
    }

    /// What the header says of it.
    #[must_use]
    pub fn header(&self) -> &'d SectionHeader {
        self.header
    }

    /// What is known of a package, whose name must be [normalised](Ecosystem::normalised), in a release of the distribution
    /// (empty where there are none): nothing, if no advisory names it.
    pub fn entries(&self, name: &str, release: &str) -> Result<Vec<Entry<'d>>, DatabaseError> {
        let Some(package) = self.find(name)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let (first, count) = (self.number(package, 2)?, self.number(package, 3)?);
        for place in self.span(first, count, self.rows)? {
            let entry = self.entry(place)?;
            // An advisory about a distribution as a whole is about each of its releases.
            if entry.release == release || entry.release.is_empty() {
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// Whether any advisory names a package, of whatever release.
    pub(crate) fn has(&self, name: &str) -> Result<bool, DatabaseError> {
        self.find(name).map(|package| package.is_some())
    }

    /// Packages are sorted by their names' bytes.
    fn find(&self, name: &str) -> Result<Option<&'d [u8]>, DatabaseError> {
        let (mut low, mut high) = (0, self.packages.len());
        while low < high {
            let middle = low.midpoint(high);
            let row = self.packages.get(middle).ok_or_else(|| self.malformed("packages"))?;
            match self.text(row, 0)?.cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(Some(row)),
            }
        }
        Ok(None)
    }

    fn entry(&self, place: usize) -> Result<Entry<'d>, DatabaseError> {
        let row = self.rows.get(place).ok_or_else(|| self.malformed("rows"))?;
        let score = self.number(row, 9)?;
        let score = match u8::try_from(score) {
            Ok(tenths) if tenths <= 100 => Some(tenths),
            Ok(_) if score == NO_SCORE => None,
            _ => return Err(self.malformed("score")),
        };
        Ok(Entry {
            section: *self,
            row,
            release: self.text(row, 1)?,
            rating: Rating::of_code(self.number(row, 8)?).ok_or_else(|| self.malformed("rating"))?,
            score,
            vector: Some(self.text(row, 10)?).filter(|text| !text.is_empty()),
            told_by: self.text(row, 12)?,
        })
    }

    fn advisory(&self, place: u32) -> Result<Advisory<'d>, DatabaseError> {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let row = self.advisories.get(place).ok_or_else(|| self.malformed("advisories"))?;
        let number = |at: usize| self.number(row, at);
        let names = |at: usize| -> Result<Vec<&'d str>, DatabaseError> {
            let span = self.span(number(at)?, number(at + 1)?, self.names)?;
            span.map(|place| {
                let name = self.names.get(place).ok_or_else(|| self.malformed("names"))?;
                self.text(name, 0)
            })
            .collect()
        };
        let time = |at: usize| -> Result<Option<UnixTime>, DatabaseError> {
            let (low, high) = (number(at)?.to_le_bytes(), number(at + 1)?.to_le_bytes());
            let [a, b, c, d] = low;
            let [e, f, g, h] = high;
            match i64::from_le_bytes([a, b, c, d, e, f, g, h]) {
                i64::MIN => Ok(None),
                seconds => UnixTime::from_seconds(seconds)
                    .map(Some)
                    .map_err(|_| self.malformed("time")),
            }
        };
        let flags = number(12)?;
        let epss = match (number(21)?, number(22)?) {
            (u32::MAX, _) => None,
            (score, percentile) => Some(Epss::from_parts(score, percentile).ok_or_else(|| self.malformed("EPSS"))?),
        };
        Ok(Advisory {
            id: self.text(row, 0)?,
            summary: self.text(row, 2)?,
            published: time(4)?,
            modified: time(6)?,
            aliases: names(8)?,
            upstream: names(10)?,
            exploited: flags & EXPLOITED != 0,
            ransomware: flags & RANSOMWARE != 0,
            exploited_cve: self.text(row, 13)?,
            exploited_since: self.text(row, 15)?,
            exploited_due: self.text(row, 17)?,
            epss_cve: self.text(row, 19)?,
            epss,
        })
    }

    /// Everything that can be asked, so that a malformed table is found now and not by an unlucky package later.
    pub(super) fn walk(&self) -> Result<(), DatabaseError> {
        let mut before: Option<&str> = None;
        for place in 0..self.packages.len() {
            let row = self.packages.get(place).ok_or_else(|| self.malformed("packages"))?;
            let name = self.text(row, 0)?;
            if before.is_some_and(|before| before >= name) {
                return Err(self.malformed("order of packages"));
            }
            before = Some(name);
            for row in self.span(self.number(row, 2)?, self.number(row, 3)?, self.rows)? {
                self.entry(row)?.walk()?;
            }
        }
        for place in 0..self.rows.len() {
            self.entry(place)?.advisory()?;
        }
        Ok(())
    }

    fn number(&self, row: &[u8], place: usize) -> Result<u32, DatabaseError> {
        number_at(row, place).ok_or_else(|| self.malformed("row"))
    }

    /// The text that the two numbers from `place` on point to.
    fn text(&self, row: &[u8], place: usize) -> Result<&'d str, DatabaseError> {
        let (offset, length) = (self.number(row, place)?, self.number(row, place + 1)?);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let bytes = self.texts.get(start..end).ok_or_else(|| self.malformed("text"))?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("text"))
    }

    /// Rows of a table, which must all be there.
    fn span(&self, first: u32, count: u32, table: Table<'_>) -> Result<std::ops::Range<usize>, DatabaseError> {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let end = first.checked_add(usize::try_from(count).unwrap_or(usize::MAX));
        match end {
            Some(end) if end <= table.len() => Ok(first..end),
            _ => Err(self.malformed("span")),
        }
    }

    fn malformed(&self, what: &'static str) -> DatabaseError {
        DatabaseError::Malformed {
            ecosystem: self.ecosystem.name,
            what,
        }
    }
}

/// What an advisory says of a package in one release.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'d> {
    section: Section<'d>,
    row: &'d [u8],
    release: &'d str,
    /// How bad it is.
    pub rating: Rating,
    /// The CVSS score in tenths.
    pub score: Option<u8>,
    /// The CVSS vector.
    pub vector: Option<&'d str>,
    /// Which record says so: this one, or an alias that knows more.
    pub told_by: &'d str,
}

/// Whether a version is affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affects<'d> {
    /// It is; fixed in that version, if any is.
    Yes {
        /// The nearest fix.
        fixed: Option<&'d str>,
    },
    /// It is not.
    No,
    /// The advisory's own bounds are no versions: nobody can tell.
    Unplaced,
}

impl<'d> Entry<'d> {
    /// Whether a version, which the ecosystem's order must accept, is affected: listed, or in an interval.
    pub fn affects(&self, version: &str) -> Result<Affects<'d>, DatabaseError> {
        let scheme = self.section.ecosystem.scheme;
        // The nearest fix above the version, for one that is affected by being listed.
        let mut next_fix: Option<&'d str> = None;
        for place in self.intervals()? {
            let (start, last, kind) = self.interval(place)?;
            if contains(scheme, version, start, last, kind) {
                return Ok(Affects::Yes {
                    fixed: (kind == end::FIXED).then_some(last),
                });
            }
            let above = kind == end::FIXED && scheme.compare(last, version).is_gt();
            if above && next_fix.is_none_or(|fix| scheme.compare(last, fix).is_lt()) {
                next_fix = Some(last);
            }
        }
        for place in self.listed()? {
            let listed = self.listed_version(place)?;
            if listed == version || (scheme.accepts(listed) && scheme.compare(listed, version).is_eq()) {
                return Ok(Affects::Yes { fixed: next_fix });
            }
        }
        let unplaced = self.section.number(self.row, 7)? & UNPLACED != 0;
        Ok(if unplaced { Affects::Unplaced } else { Affects::No })
    }

    /// Whether the version is exactly one at which an interval ends fixed.
    pub(crate) fn is_fix(&self, version: &str) -> Result<bool, DatabaseError> {
        for place in self.intervals()? {
            let (_, last, kind) = self.interval(place)?;
            if kind == end::FIXED && self.section.ecosystem.scheme.compare(last, version).is_eq() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads all that an answer may need: what [`affects`](Self::affects) never comes to as well.
    fn walk(&self) -> Result<(), DatabaseError> {
        for place in self.intervals()? {
            self.interval(place)?;
        }
        for place in self.listed()? {
            self.listed_version(place)?;
        }
        self.section.number(self.row, 7).map(|_| ())
    }

    fn intervals(&self) -> Result<std::ops::Range<usize>, DatabaseError> {
        let (first, count) = (self.section.number(self.row, 3)?, self.section.number(self.row, 4)?);
        self.section.span(first, count, self.section.intervals)
    }

    fn listed(&self) -> Result<std::ops::Range<usize>, DatabaseError> {
        let (first, count) = (self.section.number(self.row, 5)?, self.section.number(self.row, 6)?);
        self.section.span(first, count, self.section.versions)
    }

    /// Its start, its end, and which kind of end that is.
    fn interval(&self, place: usize) -> Result<(&'d str, &'d str, u32), DatabaseError> {
        let section = &self.section;
        let row = section
            .intervals
            .get(place)
            .ok_or_else(|| section.malformed("intervals"))?;
        let kind = section.number(row, 4)?;
        if kind > end::LIMIT {
            return Err(section.malformed("kind of interval"));
        }
        Ok((section.text(row, 0)?, section.text(row, 2)?, kind))
    }

    fn listed_version(&self, place: usize) -> Result<&'d str, DatabaseError> {
        let section = &self.section;
        let row = section
            .versions
            .get(place)
            .ok_or_else(|| section.malformed("versions"))?;
        section.text(row, 0)
    }

    /// The advisory.
    pub fn advisory(&self) -> Result<Advisory<'d>, DatabaseError> {
        self.section.advisory(self.section.number(self.row, 0)?)
    }
}

fn contains(scheme: Scheme, version: &str, start: &str, last: &str, kind: u32) -> bool {
    let after_start = start.is_empty() || scheme.compare(version, start).is_ge();
    after_start
        && match kind {
            end::OPEN => true,
            end::LAST_AFFECTED => scheme.compare(version, last).is_le(),
            _ => scheme.compare(version, last).is_lt(),
        }
}

/// An advisory, with what the feeds know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory<'d> {
    /// Its identifier.
    pub id: &'d str,
    /// One line.
    pub summary: &'d str,
    /// When it was published.
    pub published: Option<UnixTime>,
    /// When it was last changed.
    pub modified: Option<UnixTime>,
    /// Other names of the same vulnerability.
    pub aliases: Vec<&'d str>,
    /// The vulnerabilities that it is about.
    pub upstream: Vec<&'d str>,
    /// Whether one of them is known to be exploited.
    pub exploited: bool,
    /// Whether ransomware uses it.
    pub ransomware: bool,
    /// Which one is exploited.
    pub exploited_cve: &'d str,
    /// The day on which that was published.
    pub exploited_since: &'d str,
    /// The day by which agencies must have acted.
    pub exploited_due: &'d str,
    /// Which one the score is of: that with the highest.
    pub epss_cve: &'d str,
    /// The probability of being exploited.
    pub epss: Option<Epss>,
}

const _: () = assert!(width::ADVISORY == 23 && width::ROW == 14);
