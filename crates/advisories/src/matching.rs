//! Matches packages against a database.
//!
//! The rules, in the order in which they are applied to each package:
//! 1. A package whose files an operating-system package owns is judged through that package alone: the distribution
//!    mends without changing upstream's version. If the distribution has no advisories at all of that one (a vendor's own
//!    package, say), nobody speaks for what is in it, and it is looked up by itself too.
//! 2. What has no package URL, no version, or a version that its ecosystem cannot order, is *not looked up*, and counted so;
//!    where advisories name such a package in whatever version, that is said of it.
//! 3. A distribution's package is looked up in its own release of its own distribution, by its source package where the
//!    advisories name those. A distribution that is unknown, whose release the database has nothing of, or whose support has ended,
//!    is a [`Condition`]: the absence of findings means nothing then.
//! 4. Advisories that are one vulnerability under several names become one finding.
//!
//! Nothing is decided here about what is bad enough: that is [`crate::gate`]'s.

mod fold;
mod place;
mod support;

use std::collections::BTreeMap;

use proofmark_types::{Purl, UnixTime};

use crate::database::{Advisory, Affects, Database, DatabaseError, Entry};
use crate::feeds::Epss;
use crate::severity::Rating;

pub use place::{Place, Reason};
pub use support::Support;

/// More packages than any image has; what is beyond is refused by the caller's own limits.
const MAX_FINDINGS_A_PACKAGE: usize = 20_000;

/// A package to look up. Texts are as the package's own metadata write them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// Its package URL.
    pub purl: Option<&'a Purl>,
    /// Its version.
    pub version: Option<&'a str>,
    /// The source package that it was built from.
    pub source: Option<&'a str>,
    /// That one's version, where it differs.
    pub source_version: Option<&'a str>,
    /// The operating-system package that its files belong to: a place in the list of subjects.
    pub owned_by: Option<usize>,
    /// Why its identity may be wrong.
    pub uncertain: Option<&'a str>,
    /// Whether an operating system's package manager installed it, which its package URL may be missing to say.
    pub system: bool,
}

/// The distribution of an image, as os-release(5) has it.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'a> {
    /// `ID`.
    pub id: &'a str,
    /// `VERSION_ID`.
    pub version: Option<&'a str>,
}

/// What was found, and what could not be.
#[derive(Debug)]
pub struct Scan<'d> {
    /// The findings, by package, the worst first.
    pub findings: Vec<Finding<'d>>,
    /// How many packages were looked up, those judged through their owner included.
    pub looked_up: usize,
    /// Those that were not, and why, by their place in the list of subjects.
    pub not_looked_up: BTreeMap<usize, Reason>,
    /// What makes the absence of findings mean nothing.
    pub conditions: Vec<Condition>,
}

/// An advisory that affects a package.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding<'d> {
    /// The package: a place in the list of subjects.
    pub package: usize,
    /// The name to call it by: the CVE if there is one, else the advisory's.
    pub id: &'d str,
    /// The advisories that say so.
    pub advisories: Vec<&'d str>,
    /// All other names.
    pub aliases: Vec<&'d str>,
    /// One line.
    pub summary: &'d str,
    /// How bad, the worst of what the advisories say.
    pub rating: Rating,
    /// The CVSS score in tenths.
    pub score: Option<u8>,
    /// The CVSS vector.
    pub vector: Option<&'d str>,
    /// Which record the severity is of.
    pub told_by: &'d str,
    /// The version that mends it.
    pub fixed: Option<&'d str>,
    /// Whether it is known to be exploited.
    pub exploited: bool,
    /// Whether ransomware uses it.
    pub ransomware: bool,
    /// Which vulnerability is exploited, since when it is known, and by when agencies must have acted.
    pub exploited_detail: [&'d str; 3],
    /// The probability that it is exploited.
    pub epss: Option<Epss>,
    /// When it was published.
    pub published: Option<UnixTime>,
    /// The source package through which it was found, if not by the package's own name.
    pub via_source: Option<String>,
    /// Why it may be about another package.
    pub uncertain: Option<String>,
}

impl<'d> Finding<'d> {
    /// The line that says what it is, or its name where nobody wrote one.
    #[must_use]
    pub fn words(&self) -> &'d str {
        if self.summary.is_empty() { self.id } else { self.summary }
    }
}

/// Why a result without findings is no good news.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Condition {
    /// Distribution packages of a distribution that is not known here, or of none.
    DistributionUnknown {
        /// Its name, as far as it says one.
        name: String,
    },
    /// The database has nothing of this release.
    ReleaseNotInDatabase {
        /// The distribution.
        ecosystem: &'static str,
        /// The release.
        release: String,
    },
    /// An advisory of a package that is there has bounds that are no versions.
    AdvisoryUndecidable {
        /// The advisory.
        id: String,
    },
    /// The database has nothing of an ecosystem that packages are of.
    EcosystemNotInDatabase {
        /// The ecosystem.
        ecosystem: &'static str,
    },
    /// The distribution publishes no advisories for the release any more.
    Expired {
        /// The distribution.
        ecosystem: &'static str,
        /// The release.
        release: String,
        /// The last day of support.
        ended: &'static str,
    },
    /// The licence of the distribution's advisories forbids their use.
    LicenceForbids {
        /// The distribution.
        name: String,
    },
}

impl Condition {
    /// The stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::DistributionUnknown { .. } => "distribution-unknown",
            Self::ReleaseNotInDatabase { .. } => "distribution-not-in-database",
            Self::AdvisoryUndecidable { .. } => "advisory-undecidable",
            Self::EcosystemNotInDatabase { .. } => "ecosystem-not-in-database",
            Self::Expired { .. } => "distribution-expired",
            Self::LicenceForbids { .. } => "distribution-licence",
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DistributionUnknown { name } => {
                write!(
                    f,
                    "no advisories are known of the distribution {name}: its packages were not looked up"
                )
            }
            Self::ReleaseNotInDatabase { ecosystem, release } => write!(
                f,
                "the database has no advisories of {ecosystem} {release}: its packages were not looked up"
            ),
            Self::AdvisoryUndecidable { id } => {
                write!(
                    f,
                    "{id} is about a package that is here, and says of no version that could be compared"
                )
            }
            Self::EcosystemNotInDatabase { ecosystem } => write!(
                f,
                "the database has no advisories of {ecosystem}: its packages were not looked up"
            ),
            Self::Expired {
                ecosystem,
                release,
                ended,
            } => write!(
                f,
                "support of {ecosystem} {release} ended on {ended}: later vulnerabilities have no advisories"
            ),
            Self::LicenceForbids { name } => {
                write!(
                    f,
                    "the licence of {name}'s advisories forbids their use: its packages were not looked up"
                )
            }
        }
    }
}

/// Looks up every subject.
pub fn scan<'d>(
    database: &'d Database<'_>,
    subjects: &[Subject<'_>],
    distribution: Option<Distribution<'_>>,
    now: UnixTime,
) -> Result<Scan<'d>, DatabaseError> {
    let mut scan = Scan {
        findings: Vec::new(),
        looked_up: 0,
        not_looked_up: BTreeMap::new(),
        conditions: Vec::new(),
    };
    let mut owned = Vec::new();
    for (package, subject) in subjects.iter().enumerate() {
        // 1. Through its owner: later, when it is known whether that was looked up.
        if let Some(owner) = subject.owned_by {
            owned.push((package, owner));
            continue;
        }
        // 2. and 3. Where to look.
        let place = match Place::of(subject, distribution) {
            Ok(place) => place,
            Err(reason) => {
                let reason = by_name(database, subject, distribution, reason)?;
                scan.conditions.extend(place::condition(&reason));
                scan.not_looked_up.insert(package, reason);
                continue;
            }
        };
        match look_up(database, package, subject, &place, now, &mut scan)? {
            None => scan.looked_up += 1,
            Some(reason) => {
                scan.conditions.extend(place::condition(&reason));
                scan.not_looked_up.insert(package, reason);
            }
        }
    }
    let mut known_owners = BTreeMap::new();
    for (package, owner) in owned {
        // An owner that is owned itself, or is not in the list, was not looked up.
        let judged = subjects
            .get(owner)
            .filter(|judged| judged.owned_by.is_none() && !scan.not_looked_up.contains_key(&owner));
        let Some(judged) = judged else {
            scan.not_looked_up.insert(package, Reason::OwnerNotLookedUp);
            continue;
        };
        scan.looked_up += 1;
        let subject = subjects.get(package).copied().unwrap_or_default();
        let known = match known_owners.get(&owner) {
            Some(known) => *known,
            None => {
                let known = is_known(database, judged, distribution)?;
                known_owners.insert(owner, known);
                known
            }
        };
        if known {
            continue;
        }
        // A language that the database lacks is no condition here: the owner was looked up.
        if let Ok(place) = Place::of(&subject, distribution)
            && let Some(reason @ Reason::AdvisoryUndecidable { .. }) =
                look_up(database, package, &subject, &place, now, &mut scan)?
        {
            scan.conditions.extend(place::condition(&reason));
        }
    }
    scan.conditions.sort();
    scan.conditions.dedup();
    worst_first(&mut scan.findings);
    Ok(scan)
}

/// By package, the worst of each first.
pub(crate) fn worst_first(findings: &mut [Finding<'_>]) {
    findings.sort_by(|a, b| (a.package, b.rating, b.score, a.id).cmp(&(b.package, a.rating, a.score, b.id)));
}

/// Whether the distribution has advisories of a package, or of its source, for whatever release.
fn is_known(
    database: &Database<'_>,
    subject: &Subject<'_>,
    distribution: Option<Distribution<'_>>,
) -> Result<bool, DatabaseError> {
    let Ok(place) = Place::of(subject, distribution) else {
        return Ok(false);
    };
    let Some(section) = database.section(place.ecosystem.name)? else {
        return Ok(false);
    };
    for (name, ..) in place.names() {
        if section.has(&name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is to be said of a package that has no version to compare: whether advisories name it at all.
fn by_name(
    database: &Database<'_>,
    subject: &Subject<'_>,
    distribution: Option<Distribution<'_>>,
    reason: Reason,
) -> Result<Reason, DatabaseError> {
    if !matches!(reason, Reason::NoVersion | Reason::VersionMalformed { .. }) {
        return Ok(reason);
    }
    let place = match Place::unversioned(subject, distribution) {
        Ok(place) => place,
        Err(reason) => return Ok(reason),
    };
    let Some(section) = database.section(place.ecosystem.name)? else {
        return Ok(place.absent());
    };
    let release = place.release.as_str();
    if place.ecosystem.released && !section.header().releases.contains_key(release) {
        return Ok(place.absent());
    }
    let mut advisories = 0;
    for (name, _, _) in place.names() {
        advisories += section.entries(&name, release)?.len();
    }
    Ok(match advisories {
        0 => reason,
        advisories => Reason::VersionUnknown { advisories },
    })
}

/// Adds the findings of one package; the reason if it could not be judged after all.
fn look_up<'d>(
    database: &'d Database<'_>,
    package: usize,
    subject: &Subject<'_>,
    place: &Place<'_>,
    now: UnixTime,
    scan: &mut Scan<'d>,
) -> Result<Option<Reason>, DatabaseError> {
    let Some(section) = database.section(place.ecosystem.name)? else {
        return Ok(Some(place.absent()));
    };
    let release = place.release.as_str();
    if place.ecosystem.released && !section.header().releases.contains_key(release) {
        return Ok(Some(place.absent()));
    }
    if let Some(Support::Ended { on }) = place
        .ecosystem
        .released
        .then(|| support::of(place.ecosystem.name, release, now))
    {
        scan.conditions.push(Condition::Expired {
            ecosystem: place.ecosystem.name,
            release: release.to_owned(),
            ended: on,
        });
    }
    let mut hits = Vec::new();
    let mut judged: Vec<&str> = Vec::new();
    // What other advisories say of the package holds nevertheless.
    let mut undecidable = None;
    for (name, version, by_source) in place.names() {
        let mut entries = BTreeMap::<&str, (Advisory<'d>, Vec<Entry<'d>>)>::new();
        for entry in section
            .entries(&name, release)?
            .into_iter()
            .take(MAX_FINDINGS_A_PACKAGE)
        {
            let advisory = entry.advisory()?;
            entries
                .entry(advisory.id)
                .or_insert((advisory, Vec::new()))
                .1
                .push(entry);
        }
        for (id, (advisory, entries)) in entries {
            // What an advisory says of the package by its own name holds; the source's name adds what it does not name.
            if judged.contains(&id) {
                continue;
            }
            judged.push(id);
            match affected(&entries, &version, place)? {
                Verdict::Affected { entry, fixed } => {
                    let via_source = by_source.then(|| name.to_string());
                    let entry = entries.get(entry);
                    hits.extend(entry.map(|entry| finding(package, subject, &advisory, entry, fixed, via_source)));
                }
                Verdict::Unplaced => undecidable = Some(Reason::AdvisoryUndecidable { id: id.to_owned() }),
                Verdict::Not => {}
            }
        }
    }
    scan.findings.extend(fold::fold(hits, place.ecosystem.scheme));
    Ok(undecidable)
}

/// The entry is a place in the list.
enum Verdict<'d> {
    Affected { entry: usize, fixed: Option<&'d str> },
    Not,
    Unplaced,
}

/// One advisory may have several rows for a package: other streams, or other builds of the same fix. A version that is one of
/// its fixes is not affected, whatever the others say.
fn affected<'d>(entries: &[Entry<'d>], version: &str, place: &Place<'_>) -> Result<Verdict<'d>, DatabaseError> {
    let scheme = place.ecosystem.scheme;
    let mut verdict = Verdict::Not;
    for (at, entry) in entries.iter().enumerate() {
        match entry.affects(version)? {
            Affects::Yes { fixed } if fixed.is_some_and(|fix| place.is_other_stream(version, fix)) => {}
            Affects::Yes { fixed } => {
                // Of several fixes the one that is furthest: with less, some row would still say affected.
                let further = match (&verdict, fixed) {
                    (Verdict::Affected { fixed: Some(there), .. }, Some(fix)) => scheme.compare(fix, there).is_gt(),
                    (Verdict::Affected { fixed: Some(_), .. }, None) => false,
                    _ => true,
                };
                if further {
                    verdict = Verdict::Affected { entry: at, fixed };
                }
            }
            Affects::Unplaced if matches!(verdict, Verdict::Not) => verdict = Verdict::Unplaced,
            Affects::Unplaced => {}
            Affects::No if place.ecosystem.released && entry.is_fix(version)? => return Ok(Verdict::Not),
            Affects::No => {}
        }
    }
    Ok(verdict)
}

fn finding<'d>(
    package: usize,
    subject: &Subject<'_>,
    advisory: &Advisory<'d>,
    entry: &Entry<'d>,
    fixed: Option<&'d str>,
    via_source: Option<String>,
) -> Finding<'d> {
    Finding {
        package,
        id: fold::name(advisory),
        advisories: vec![advisory.id],
        aliases: advisory.aliases.iter().chain(&advisory.upstream).copied().collect(),
        summary: advisory.summary,
        rating: entry.rating,
        score: entry.score,
        vector: entry.vector,
        told_by: entry.told_by,
        fixed,
        exploited: advisory.exploited,
        ransomware: advisory.ransomware,
        exploited_detail: [advisory.exploited_cve, advisory.exploited_since, advisory.exploited_due],
        epss: advisory.epss,
        published: advisory.published,
        via_source,
        uncertain: subject.uncertain.map(str::to_owned),
    }
}
