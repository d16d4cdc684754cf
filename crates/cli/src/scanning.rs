//! What is known to be wrong with what is inside, and whether it may pass: what `scan`, `release` and `sbom diff` share.

mod authority;
pub(crate) mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use proofmark_advisories::Database;
use proofmark_advisories::feeds::{EpssScores, KnownExploited};
use proofmark_advisories::gate::{Evidence, Gate, PackageFacts, Policy, Ruling, Verdict};
use proofmark_advisories::matching::{Distribution, Finding, Scan, Subject, scan};
use proofmark_advisories::results::{Results, Stranger};
use proofmark_advisories::vex::{Document, Standings, hear};
use proofmark_sbom::{Bill, Licence, Uncertainty};
use proofmark_types::{Digest, UnixTime};

pub(crate) use self::authority::Authority;
use crate::advisories::{open, place, refused};
use crate::context::{Context, read_file, read_text};
use crate::failure::{Exit, Failure, chain};
use crate::output::{Output, counted};

/// What decides whether something may pass.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct JudgeArgs {
    /// The rules (YAML, docs/scan.md); without it what is critical, known to be exploited and fixable is stopped
    #[arg(long, value_name = "FILE")]
    pub(crate) gate: Option<PathBuf>,

    /// What the makers say: OpenVEX, CSAF or CycloneDX. It is believed: verify it first
    #[arg(long, value_name = "FILE")]
    pub(crate) vex: Vec<PathBuf>,

    /// The database (default: in the cache folder, or PROOFMARK_DB)
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,

    /// Be undecided where the newest advisory of the database is older than this
    #[arg(long, value_name = "DAYS")]
    pub(crate) max_db_age: Option<u64>,
}

impl JudgeArgs {
    /// Reads all that decides, before anything is fetched.
    pub(crate) fn judge(&self) -> Result<Judge, Failure> {
        let path = place(self.db.as_deref())?;
        let database = open(&path)?;
        self.judge_by(Known::Database { path, database })
    }

    fn judge_by(&self, known: Known) -> Result<Judge, Failure> {
        let (policy, policy_source) = self.policy()?;
        let (documents, vex_sources) = self.documents()?.into_iter().unzip();
        Ok(Judge {
            policy,
            policy_source,
            documents,
            vex_sources,
            known,
            max_db_age: self.max_db_age,
        })
    }

    fn policy(&self) -> Result<(Policy, Option<Source>), Failure> {
        let Some(path) = &self.gate else {
            return Ok((Policy::default(), None));
        };
        let text = read_text(path)?;
        let policy = Policy::parse(&text)
            .map_err(|error| Failure::usage(error.code(), format!("{}: {}", path.display(), chain(&error))))?;
        Ok((policy, Some(Source::of(path, text.as_bytes()))))
    }

    fn documents(&self) -> Result<Vec<(Document, Source)>, Failure> {
        let read = |path: &PathBuf| {
            let bytes = read_file(path)?;
            let document = Document::parse(&bytes, &path.display().to_string())
                .map_err(|error| Failure::usage(error.code(), format!("{}: {}", path.display(), chain(&error))))?;
            Ok((document, Source::of(path, &bytes)))
        };
        self.vex.iter().map(read).collect()
    }

    /// Whether somebody asked for a decision, so that there must be one.
    pub(crate) fn is_demanded(&self) -> bool {
        self.gate.is_some() || !self.vex.is_empty() || self.db.is_some() || self.max_db_age.is_some()
    }
}

/// What another scanner found, to be judged in the place of what the database knows.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ResultsArgs {
    /// Judge what Trivy (--format json) or Grype (-o json) found in the same image, without a database of our own. It is believed: verify it first
    #[arg(long, value_name = "FILE", conflicts_with = "db")]
    results: Option<PathBuf>,

    /// CISA's catalogue of known exploited vulnerabilities, which Trivy does not know
    #[arg(long, value_name = "FILE", requires = "results")]
    kev: Option<PathBuf>,

    /// EPSS scores (CSV, uncompressed)
    #[arg(long, value_name = "FILE", requires = "results")]
    epss: Option<PathBuf>,
}

impl ResultsArgs {
    /// Whether there are such.
    pub(crate) fn is_given(&self) -> bool {
        self.results.is_some()
    }

    /// Reads all that decides: by these results, or else by the database.
    pub(crate) fn judge(&self, arguments: &JudgeArgs) -> Result<Judge, Failure> {
        let Some(path) = &self.results else {
            return arguments.judge();
        };
        let failed = |path: &Path, code: &str, error: &dyn std::error::Error| {
            Failure::usage(code, format!("{}: {}", path.display(), chain(error)))
        };
        let bytes = read_file(path)?;
        let mut results = Results::parse(&bytes).map_err(|error| failed(path, error.code(), &error))?;
        let exploited = self
            .kev
            .as_ref()
            .map(|path| KnownExploited::parse(&read_file(path)?).map_err(|error| failed(path, error.code(), &error)));
        let scores = self
            .epss
            .as_ref()
            .map(|path| EpssScores::parse(&read_text(path)?).map_err(|error| failed(path, error.code(), &error)));
        results.enrich(exploited.transpose()?.as_ref(), scores.transpose()?.as_ref());
        let source = Source::of(path, &bytes);
        arguments.judge_by(Known::Results { results, source })
    }
}

/// A file that decides, as a statement about the decision names it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its name without folders: where it lies on this machine is nobody's business.
    pub(crate) name: String,
    pub(crate) digest: Digest,
}

impl Source {
    fn of(path: &Path, bytes: &[u8]) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self {
            name: name.to_string_lossy().into_owned(),
            digest: Digest::sha256_of(bytes),
        }
    }
}

/// What is known to be wrong with packages.
enum Known {
    Database { path: PathBuf, database: Database<'static> },
    Results { results: Results, source: Source },
}

/// Policy, VEX documents and what is known.
pub(crate) struct Judge {
    policy: Policy,
    pub(crate) policy_source: Option<Source>,
    documents: Vec<Document>,
    pub(crate) vex_sources: Vec<Source>,
    known: Known,
    pub(crate) max_db_age: Option<u64>,
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'f> {
    /// As the command line names it.
    pub(crate) name: &'f str,
    /// The image's, or what a document says to be it.
    pub(crate) digest: Option<&'f Digest>,
    pub(crate) bill: &'f Bill,
    /// Why the bill may not have all: stable names and words.
    pub(crate) lacking: &'f [(&'static str, String)],
}

/// All that a report tells of.
pub(crate) struct Findings<'f> {
    pub(crate) of: Judged<'f>,
    pub(crate) authority: Authority<'f>,
    pub(crate) scan: Scan<'f>,
    /// Packages that are not in the bill and that another scanner found something about: behind those of the bill in number.
    pub(crate) strangers: Vec<Stranger<'f>>,
    pub(crate) standings: Standings<'f>,
    pub(crate) gate: Gate,
    pub(crate) started: UnixTime,
}

impl Judge {
    /// Looks everything up, hears what the makers say to it, and decides.
    pub(crate) fn judge<'f>(&'f self, of: Judged<'f>) -> Result<Findings<'f>, Failure> {
        let now = Context::now();
        // 1. What is known of the packages.
        let subjects = subjects(of.bill);
        let (authority, scan, strangers) = self.look_up(of, &subjects, now)?;
        // 2. What the makers say to that.
        let mut purls: Vec<_> = subjects.iter().map(|subject| subject.purl).collect();
        purls.extend(strangers.iter().map(|stranger| stranger.purl));
        let standings = hear(&self.documents, &scan.findings, &purls, of.digest);
        // 3. Whether it may pass.
        let mut gate = self.decide(of.bill, &scan, &standings, &strangers, now);
        // Its packages are not in the bill: nobody looked them up.
        let unread = of.bill.notes.iter().filter(|note| note.may_hide_packages());
        let unread = unread.map(|note| (note.code, format!("{}: {}", note.path, note.reason)));
        let lacking = of.lacking.iter().cloned();
        let doubts = self.doubts(of.bill).into_iter().chain(self.too_old(authority, now));
        for (code, text) in unread.chain(lacking).chain(doubts) {
            gate.undecided.push((code.to_owned(), text));
            if gate.verdict == Verdict::Pass {
                gate.verdict = Verdict::Undecided;
            }
        }
        if !strangers.is_empty() {
            let named: Vec<String> = strangers
                .iter()
                .take(5)
                .map(|of| format!("{} {}", of.name, of.version))
                .collect();
            let text = format!(
                "findings are about {} packages that were not seen here: {}",
                strangers.len(),
                named.join(", ")
            );
            gate.warned.push(("results-other-packages".to_owned(), text));
        }
        Ok(Findings {
            of,
            authority,
            scan,
            strangers,
            standings,
            gate,
            started: now,
        })
    }

    fn look_up<'f>(
        &'f self,
        of: Judged<'f>,
        subjects: &[Subject<'_>],
        now: UnixTime,
    ) -> Result<(Authority<'f>, Scan<'f>, Vec<Stranger<'f>>), Failure> {
        match &self.known {
            Known::Database { path, database } => {
                let distribution = of.bill.distribution.as_ref().map(|distribution| Distribution {
                    id: &distribution.id,
                    version: distribution.version_id.as_deref(),
                });
                let scan = scan(database, subjects, distribution, now).map_err(|error| refused(path, &error))?;
                Ok((Authority::Database(database), scan, Vec::new()))
            }
            Known::Results { results, source } => {
                let diff_ids: Vec<_> = of.bill.layers.iter().map(|layer| &layer.diff_id).collect();
                results.check_subject(of.digest, &diff_ids).map_err(|error| {
                    Failure::usage(error.code(), format!("{}: {}", source.name, chain(&error)))
                        .with_hint("results count for the image that they were made of, and for no other")
                })?;
                let packages: Vec<_> = of
                    .bill
                    .packages
                    .iter()
                    .map(|package| (package.purl.as_ref(), package.name.as_str(), package.version.as_deref()))
                    .collect();
                let (scan, strangers) = results.scan(&packages);
                Ok((Authority::Results(results, source), scan, strangers))
            }
        }
    }

    /// Why another scanner's results may not tell everything.
    fn doubts(&self, bill: &Bill) -> Vec<(&'static str, String)> {
        let Known::Results { results, .. } = &self.known else {
            return Vec::new();
        };
        let mut doubts = results.doubts.clone();
        if !results.covers_system && bill.packages.iter().any(|package| package.kind.is_system()) {
            let text = format!("{} did not look up the packages of the distribution", results.scanner);
            doubts.push(("results-without-system-packages", text));
        }
        doubts
    }

    fn too_old(&self, authority: Authority<'_>, now: UnixTime) -> Option<(&'static str, String)> {
        let most = self.max_db_age?;
        let old = authority.age_days(now).is_none_or(|days| days > most);
        let text = || format!("the newest advisory of the database is older than {most} days");
        old.then(|| ("database-old", text()))
    }

    fn decide(
        &self,
        bill: &Bill,
        scan: &Scan<'_>,
        standings: &Standings<'_>,
        strangers: &[Stranger<'_>],
        now: UnixTime,
    ) -> Gate {
        let packages = || bill.packages.iter();
        let paths: Vec<Vec<&str>> = packages()
            .map(|package| package.locations.iter().map(|place| place.path.as_str()).collect())
            .collect();
        let licences: Vec<Vec<&str>> = packages()
            .map(|package| {
                let said = package.licences.iter();
                said.map(|licence| licence.expression().unwrap_or_else(|| licence.text()))
                    .collect()
            })
            .collect();
        let mut facts: Vec<PackageFacts<'_>> = packages()
            .zip(paths.iter().zip(&licences))
            .map(|(package, (paths, licences))| PackageFacts {
                purl: package.purl.as_ref(),
                name: &package.name,
                paths,
                licences,
                licence_unknown: licences.is_empty() || package.licences.iter().any(has_no_expression),
                uncertain: package.uncertain.is_some(),
            })
            .collect();
        facts.extend(strangers.iter().map(|stranger| PackageFacts {
            purl: stranger.purl,
            name: stranger.name,
            paths: &stranger.paths,
            licence_unknown: true,
            ..PackageFacts::default()
        }));
        let (has_exploited, has_scores) = match &self.known {
            Known::Database { database, .. } => {
                let header = database.header();
                (header.exploited.is_some(), header.scores.is_some())
            }
            Known::Results { results, .. } => (results.has_exploited, results.has_scores),
        };
        let evidence = Evidence {
            scan,
            packages: &facts,
            standings: &standings.of,
            has_exploited,
            has_scores,
        };
        self.policy.decide(&evidence, now)
    }
}

impl Findings<'_> {
    /// Says what a person should know and what the result itself does not show.
    pub(crate) fn warn(&self, output: Output) {
        let hint = match self.authority {
            Authority::Database(_) => "; see proofmark db status",
            Authority::Results(..) => "",
        };
        for notice in self.authority.notices(self.started) {
            output.warn(&format!("{} [{}]{hint}", notice.text, notice.code));
        }
        for (code, text) in &self.gate.warned {
            output.warn(&format!("{text} [{code}]"));
        }
        for (document, statement) in &self.standings.unmatched {
            output.warn(&format!("VEX {document}: statement {statement} matched no finding"));
        }
    }

    /// A stop is a no; what could not be looked at is no yes.
    pub(crate) fn outcome(&self) -> Result<(), Failure> {
        let gate = &self.gate;
        match gate.verdict {
            Verdict::Pass => Ok(()),
            Verdict::Stop => {
                let mut details: Vec<String> = gate.stopped.iter().map(|ruling| self.line(ruling)).collect();
                details.dedup();
                let message = format!(
                    "the gate stops {}: {}",
                    self.of.name,
                    counted(gate.stopped.len(), "reason")
                );
                Err(Failure::new(Exit::Refused, "gate-refused", message).with_details(details))
            }
            Verdict::Undecided => {
                let details = gate.undecided.iter().map(|(code, text)| format!("{text} [{code}]"));
                let message = "not everything that the gate asks could be looked at: this is no pass";
                Err(Failure::new(Exit::Undecided, "scan-undecided", message).with_details(details))
            }
        }
    }

    /// The package that something is about: its name and its version.
    pub(crate) fn named(&self, package: usize) -> (&str, Option<&str>) {
        let known = self.of.bill.packages.get(package);
        let known = known.map(|package| (package.name.as_str(), package.version.as_deref()));
        let stranger = || {
            let stranger = self.strangers.get(package.checked_sub(self.of.bill.packages.len())?)?;
            Some((stranger.name, Some(stranger.version)))
        };
        known.or_else(stranger).unwrap_or(("?", None))
    }

    /// What a ruling is about: a finding, and the place of a package.
    pub(crate) fn about(&self, ruling: &Ruling) -> (Option<&Finding<'_>>, Option<usize>) {
        let finding = ruling.finding.and_then(|at| self.scan.findings.get(at));
        (finding, finding.map(|finding| finding.package).or(ruling.package))
    }

    /// A ruling in words: what it is about, by which rule, why.
    fn line(&self, ruling: &Ruling) -> String {
        let (finding, package) = self.about(ruling);
        let package = package.map(|at| self.named(at));
        let mut about: Vec<&str> = finding.map(|finding| finding.id).into_iter().collect();
        about.extend(package.map(|(name, _)| name));
        about.extend(package.and_then(|(_, version)| version));
        let about = about.join(" ");
        let space = if about.is_empty() { "" } else { ": " };
        format!("{about}{space}{} ({})", ruling.reason, ruling.rule)
    }
}

/// The packages, in the bill's order.
fn subjects(bill: &Bill) -> Vec<Subject<'_>> {
    let places: BTreeMap<_, _> = bill
        .packages
        .iter()
        .enumerate()
        .map(|(at, package)| (&package.id, at))
        .collect();
    bill.packages
        .iter()
        .map(|package| Subject {
            purl: package.purl.as_ref(),
            version: package.version.as_deref(),
            source: package.source.as_ref().map(|source| source.name.as_str()),
            source_version: package.source.as_ref().and_then(|source| source.version.as_deref()),
            // An owner that is not in the bill speaks for nobody: a place that is not there.
            owned_by: package
                .owned_by
                .as_ref()
                .map(|owner| places.get(owner).copied().unwrap_or(usize::MAX)),
            uncertain: package.uncertain.map(Uncertainty::reason),
            system: package.kind.is_system(),
        })
        .collect()
}

fn has_no_expression(licence: &Licence) -> bool {
    licence.expression().is_none()
}
