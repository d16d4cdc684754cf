//! What other scanners found: Trivy's JSON (schema 2) and Grype's, read into the same findings that [`matching`](crate::matching)
//! makes, so that one gate judges them all.
//!
//! A result is about one image. Which, it says itself, by the digest of the manifest or by the uncompressed digests of its layers;
//! [`Results::check_subject`] holds that against the image at hand, and without it nothing may be judged. What a result says of
//! itself that makes the absence of findings mean nothing (a distribution without support, a filter, findings that were
//! suppressed) is a [doubt](Results::doubts). A filter that it does not tell of cannot be seen: Trivy's does not say that it
//! was told to leave out what has no fix.
//!
//! Deliberately not done: nothing is fetched or verified. Who made the file is decided before it comes here.
//!
//! Formats: Trivy `pkg/types/report.go` (SchemaVersion 2), Grype `grype/presenter/models` (as of 0.116).

mod grype;
mod trivy;

use std::collections::BTreeMap;

use proofmark_types::{Digest, Purl, UnixTime};
use thiserror::Error;

use crate::feeds::{Epss, EpssScores, KnownExploited};
use crate::matching::{Finding, Scan, worst_first};
use crate::severity::{Rating, Severity};

/// The largest results read. Trivy's of an image with 3,000 packages and 5,000 findings has some 30 MB.
pub const MAX_RESULTS_BYTES: usize = 256 * 1024 * 1024;
/// The most findings. The worst images seen have some 10,000.
const MAX_FINDINGS: usize = 500_000;

/// What a scanner found in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// The scanner, with its version where it says one.
    pub scanner: String,
    /// When it was made.
    pub made: Option<UnixTime>,
    /// When the scanner's database was built.
    pub database_built: Option<UnixTime>,
    /// Why the absence of a finding may mean nothing: stable names and words.
    pub doubts: Vec<(&'static str, String)>,
    /// Whether it looked up packages of a distribution.
    pub covers_system: bool,
    /// Whether it says what is known to be exploited.
    pub has_exploited: bool,
    /// Whether it has EPSS scores.
    pub has_scores: bool,
    digests: Vec<Digest>,
    diff_ids: Vec<Digest>,
    found: Vec<Found>,
}

/// The doubt over what a scanner left out because it was told to.
fn suppressed(count: usize) -> Option<(&'static str, String)> {
    let text = || format!("{count} findings were suppressed by its own rules");
    (count > 0).then(|| ("results-suppressed", text()))
}

/// A finding in a scanner's words.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    id: String,
    aliases: Vec<String>,
    name: String,
    version: String,
    purl: Option<Purl>,
    paths: Vec<String>,
    summary: String,
    severity: Severity,
    told_by: String,
    fixed: Option<String>,
    exploited: Option<[String; 3]>,
    ransomware: bool,
    epss: Option<Epss>,
    published: Option<UnixTime>,
}

/// A package that findings are about and that is none of those at hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Stranger<'r> {
    /// Its name.
    pub name: &'r str,
    /// Its version.
    pub version: &'r str,
    /// Its package URL.
    pub purl: Option<&'r Purl>,
    /// Where the scanner saw it.
    pub paths: Vec<&'r str>,
}

impl Results {
    /// Reads a result of either scanner, which it says itself by its keys.
    pub fn parse(bytes: &[u8]) -> Result<Self, ResultsError> {
        if bytes.len() > MAX_RESULTS_BYTES {
            return Err(ResultsError::TooLarge { bytes: bytes.len() });
        }
        #[derive(serde::Deserialize)]
        struct Kind {
            #[serde(rename = "SchemaVersion")]
            trivy: Option<u64>,
            matches: Option<serde::de::IgnoredAny>,
            descriptor: Option<serde::de::IgnoredAny>,
        }
        let kind: Kind = serde_json::from_slice(bytes).map_err(|source| ResultsError::Malformed { source })?;
        let results = match kind {
            Kind { trivy: Some(2), .. } => trivy::read(bytes)?,
            Kind {
                trivy: Some(version), ..
            } => return Err(ResultsError::TrivySchema { version }),
            Kind {
                matches: Some(_),
                descriptor: Some(_),
                ..
            } => grype::read(bytes)?,
            _ => return Err(ResultsError::UnknownFormat),
        };
        match results.found.len() {
            0..=MAX_FINDINGS => Ok(results),
            count => Err(ResultsError::TooMany { count }),
        }
    }

    /// Adds what is known of exploits to what the scanner does not say.
    pub fn enrich(&mut self, exploited: Option<&KnownExploited>, scores: Option<&EpssScores>) {
        for found in &mut self.found {
            let names = || std::iter::once(&found.id).chain(&found.aliases);
            if let Some(entry) = exploited.and_then(|feed| names().find_map(|name| feed.entries.get(name))) {
                found.exploited = Some([entry.cve.clone(), entry.date_added.clone(), entry.due_date.clone()]);
                found.ransomware |= entry.ransomware;
            }
            let score = scores.and_then(|feed| names().filter_map(|name| feed.scores.get(name)).max().copied());
            found.epss = found.epss.max(score);
        }
        self.has_exploited |= exploited.is_some();
        self.has_scores |= scores.is_some();
    }

    /// Holds what it says that it is about against an image: the digest of its manifest, and its layers' uncompressed ones.
    pub fn check_subject(&self, digest: Option<&Digest>, diff_ids: &[&Digest]) -> Result<(), ResultsError> {
        let by_digest = digest.is_some_and(|digest| self.digests.contains(digest));
        let by_layers = !diff_ids.is_empty() && self.diff_ids.iter().eq(diff_ids.iter().copied());
        if by_digest || by_layers {
            return Ok(());
        }
        let said: Vec<String> = self.digests.iter().take(3).map(ToString::to_string).collect();
        Err(ResultsError::OtherSubject {
            expected: digest.map_or_else(|| "an image without a digest".to_owned(), ToString::to_string),
            seen: match (said.is_empty(), self.diff_ids.len()) {
                (false, _) => said.join(", "),
                (true, 0) => "nothing that would tell the image".to_owned(),
                (true, layers) => format!("{layers} other layers"),
            },
        })
    }

    /// The findings, each of the package at hand that it is about. Those about none of them are about strangers, who come behind
    /// the packages in number.
    pub fn scan<'r>(&'r self, packages: &[(Option<&Purl>, &str, Option<&str>)]) -> (Scan<'r>, Vec<Stranger<'r>>) {
        let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (at, (purl, name, version)) in packages.iter().enumerate() {
            let version = version.or_else(|| purl.and_then(Purl::version)).unwrap_or_default();
            let keys = [purl.map(bare), Some((*name).to_owned())];
            for key in keys.into_iter().flatten() {
                places.entry((key, without_epoch(version).to_owned())).or_insert(at);
            }
        }
        let mut strangers: Vec<Stranger<'r>> = Vec::new();
        let mut findings = Vec::new();
        for found in &self.found {
            let version = without_epoch(&found.version);
            let keys = [
                found.purl.as_ref().map(bare),
                found.purl.is_none().then(|| found.name.clone()),
            ];
            let known = keys
                .into_iter()
                .flatten()
                .find_map(|key| places.get(&(key, version.to_owned())).copied());
            let package = known.unwrap_or_else(|| {
                let same = |stranger: &Stranger<'_>| stranger.name == found.name && stranger.version == found.version;
                let at = strangers.iter().position(same).unwrap_or_else(|| {
                    strangers.push(Stranger {
                        name: &found.name,
                        version: &found.version,
                        purl: found.purl.as_ref(),
                        paths: found.paths.iter().map(String::as_str).collect(),
                    });
                    strangers.len() - 1
                });
                packages.len() + at
            });
            findings.push(found.finding(package));
        }
        worst_first(&mut findings);
        findings.dedup();
        let scan = Scan {
            findings,
            // Which packages the scanner knew of, it does not say.
            looked_up: 0,
            not_looked_up: BTreeMap::new(),
            conditions: Vec::new(),
        };
        (scan, strangers)
    }
}

impl Found {
    fn finding(&self, package: usize) -> Finding<'_> {
        let detail = self.exploited.as_ref();
        Finding {
            package,
            id: &self.id,
            advisories: vec![&self.id],
            aliases: self.aliases.iter().map(String::as_str).collect(),
            summary: &self.summary,
            rating: self.severity.rating,
            score: self.severity.score,
            vector: self.severity.vector.as_deref(),
            told_by: &self.told_by,
            fixed: self.fixed.as_deref(),
            exploited: detail.is_some(),
            ransomware: self.ransomware,
            exploited_detail: detail.map_or(["", "", ""], |[cve, since, due]| [cve, since, due]),
            epss: self.epss,
            published: self.published,
            via_source: None,
            uncertain: None,
        }
    }
}

/// The scanner's own word, and that of the score where it has none.
fn rated(word: &str, scored: Severity) -> Severity {
    let rating = Rating::parse(word).unwrap_or(scored.rating);
    Severity { rating, ..scored }
}

/// A package URL without version and qualifiers.
fn bare(purl: &Purl) -> String {
    let namespace = purl.namespace().unwrap_or_default();
    format!("pkg:{}/{namespace}/{}", purl.kind(), purl.name())
}

/// Some write the epoch beside the version.
fn without_epoch(version: &str) -> &str {
    match version.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => version,
    }
}

/// The digest behind the `@` of a reference, or by itself.
fn digest_of(text: &str) -> Option<Digest> {
    Digest::parse(text.rsplit_once('@').map_or(text, |(_, digest)| digest)).ok()
}

/// Why a file cannot be judged by.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// Larger than any is.
    #[error("results of {bytes} bytes are larger than the {MAX_RESULTS_BYTES} accepted")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// More findings than any image has.
    #[error("the results have {count} findings, at most {MAX_FINDINGS} are read")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// No JSON, or a field of the wrong type.
    #[error("the results are no well-formed JSON of Trivy or Grype")]
    Malformed {
        /// Where and what.
        source: serde_json::Error,
    },
    /// JSON of another kind.
    #[error("expected Trivy's JSON (\"SchemaVersion\": 2) or Grype's (\"matches\" and \"descriptor\")")]
    UnknownFormat,
    /// Trivy's of another version.
    #[error("expected Trivy's schema 2, found {version}")]
    TrivySchema {
        /// Which.
        version: u64,
    },
    /// The results of something else.
    #[error("expected results about {expected}, found {seen}")]
    OtherSubject {
        /// The image at hand.
        expected: String,
        /// What they are about.
        seen: String,
    },
}

impl ResultsError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::TooMany { .. } => "results-too-large",
            Self::Malformed { .. } => "results-malformed",
            Self::UnknownFormat | Self::TrivySchema { .. } => "results-unknown-format",
            Self::OtherSubject { .. } => "results-other-subject",
        }
    }
}
