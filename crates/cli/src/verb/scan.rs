//! `scan`: what is known to be wrong with what is inside an image, and whether it may pass.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use proofmark_advisories::Database;
use proofmark_advisories::gate::{Evidence, Gate, PackageFacts, Policy, Verdict};
use proofmark_advisories::matching::{Distribution, Scan, Subject, scan};
use proofmark_advisories::vex::{Document, Standings, hear};
use proofmark_sbom::{Bill, Note, Uncertainty};
use proofmark_types::Digest;

use crate::advisories::{age_days, notices, open, place, refused};
use crate::args::RegistryArgs;
use crate::bills::look_inside;
use crate::context::{Context, read_file, read_text};
use crate::failure::{Exit, Failure, chain};
use crate::images::descend;
use crate::verb::sbom::{image_source, pick};

mod report;

/// Known vulnerabilities of what is inside an image, and whether it may pass
#[derive(Args, Debug)]
pub(crate) struct ScanVerb {
    /// An image in a registry, an OCI layout folder (oci:FOLDER or oci:FOLDER:TAG), or a `docker save` archive (docker-archive:FILE)
    image: String,

    /// The document to write; without it a table is printed, or JSON with -o json
    #[arg(long, short = 'f', value_enum)]
    format: Option<ReportFormat>,

    /// The rules (YAML, docs/scan.md); without it what is critical, known to be exploited and fixable is stopped
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,

    /// What the makers say: OpenVEX, CSAF or CycloneDX. It is believed: verify it first
    #[arg(long, value_name = "FILE")]
    vex: Vec<PathBuf>,

    /// The database (default: in the cache folder, or PROOFMARK_DB)
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// Be undecided where the newest advisory of the database is older than this
    #[arg(long, value_name = "DAYS")]
    max_db_age: Option<u64>,

    /// Which image of an index, e.g. linux/arm64 (default: this machine's)
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// The formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// The same as -o json
    Json,
    /// SARIF 2.1.0, for code hosts
    Sarif,
    /// The predicate of cosign's vulnerability attestations
    CosignVuln,
}

/// All that a report tells of.
pub(crate) struct Findings<'f> {
    pub(crate) image: &'f str,
    pub(crate) digest: &'f Digest,
    pub(crate) bill: &'f Bill,
    pub(crate) database: &'f Database<'f>,
    pub(crate) scan: &'f Scan<'f>,
    pub(crate) standings: &'f Standings<'f>,
    pub(crate) gate: &'f Gate,
}

impl ScanVerb {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        // 1. What decides: read before anything is fetched.
        let policy = self.policy()?;
        let documents = self.documents()?;
        let path = place(self.db.as_deref())?;
        let database = open(&path)?;
        // 2. What is inside.
        let source = image_source(&self.image, &self.registry)?;
        let spinner = context.output.spinner("reading layers");
        let image = pick(&descend(&source).await?, self.platform.as_deref())?;
        let inside = look_inside(&source, &image).await?;
        drop(spinner);
        for note in &inside.bill.notes {
            let text = format!("{}: {} [{}]", note.path, note.reason, note.code);
            context.output.warn(&text);
        }
        // 3. What is known of it, and what the makers say to that.
        let now = Context::now();
        let subjects = subjects(&inside.bill);
        let distribution = inside.bill.distribution.as_ref().map(|distribution| Distribution {
            id: &distribution.id,
            version: distribution.version_id.as_deref(),
        });
        let scan = scan(&database, &subjects, distribution, now).map_err(|error| refused(&path, &error))?;
        let purls: Vec<_> = subjects.iter().map(|subject| subject.purl).collect();
        let standings = hear(&documents, &scan.findings, &purls, Some(inside.digest()));
        // 4. Whether it may pass.
        let mut gate = decide(&policy, &inside.bill, &scan, &standings, &database);
        for note in inside.bill.notes.iter().filter(|note| Note::may_hide_packages(note)) {
            // Its packages are not in the bill: nobody looked them up.
            gate.undecided
                .push((note.code.to_owned(), format!("{}: {}", note.path, note.reason)));
            if gate.verdict == Verdict::Pass {
                gate.verdict = Verdict::Undecided;
            }
        }
        if let Some(most) = self.max_db_age
            && age_days(&database, now).is_none_or(|days| days > most)
            && gate.verdict != Verdict::Stop
        {
            let text = format!("the newest advisory of the database is older than {most} days");
            gate.undecided.push(("database-old".to_owned(), text));
            gate.verdict = Verdict::Undecided;
        }
        let findings = Findings {
            image: &self.image,
            digest: inside.digest(),
            bill: &inside.bill,
            database: &database,
            scan: &scan,
            standings: &standings,
            gate: &gate,
        };
        self.show(context, &findings);
        outcome(&gate)
    }

    fn show(&self, context: &Context, findings: &Findings<'_>) {
        let now = Context::now();
        for notice in notices(findings.database, now) {
            let text = format!("{} [{}]; see proofmark db status", notice.text, notice.code);
            context.output.warn(&text);
        }
        for (document, statement) in &findings.standings.unmatched {
            context
                .output
                .warn(&format!("VEX {document}: statement {statement} matched no finding"));
        }
        let document = |value: &serde_json::Value| context.output.document(value.to_string().as_bytes());
        match self.format {
            None => context
                .output
                .result(&report::text(findings, now), &report::json(findings, now)),
            Some(ReportFormat::Json) => document(&report::json(findings, now)),
            Some(ReportFormat::Sarif) => document(&report::sarif(findings, now)),
            Some(ReportFormat::CosignVuln) => document(&report::cosign_vuln(findings, now)),
        }
    }

    fn policy(&self) -> Result<Policy, Failure> {
        let Some(path) = &self.gate else {
            return Ok(Policy::default());
        };
        Policy::parse(&read_text(path)?)
            .map_err(|error| Failure::usage(error.code(), format!("{}: {}", path.display(), chain(&error))))
    }

    fn documents(&self) -> Result<Vec<Document>, Failure> {
        let read = |path: &PathBuf| {
            Document::parse(&read_file(path)?, &path.display().to_string())
                .map_err(|error| Failure::usage(error.code(), format!("{}: {}", path.display(), chain(&error))))
        };
        self.vex.iter().map(read).collect()
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
        })
        .collect()
}

fn decide(policy: &Policy, bill: &Bill, scan: &Scan<'_>, standings: &Standings<'_>, database: &Database<'_>) -> Gate {
    let paths: Vec<Vec<&str>> = bill
        .packages
        .iter()
        .map(|package| {
            package
                .locations
                .iter()
                .map(|location| location.path.as_str())
                .collect()
        })
        .collect();
    let licences: Vec<Vec<String>> = bill
        .packages
        .iter()
        .map(|package| package.licences.iter().map(ToString::to_string).collect())
        .collect();
    let licences: Vec<Vec<&str>> = licences
        .iter()
        .map(|licences| licences.iter().map(String::as_str).collect())
        .collect();
    let both = paths.iter().zip(&licences);
    let facts: Vec<PackageFacts<'_>> = bill
        .packages
        .iter()
        .zip(both)
        .map(|(package, (paths, licences))| PackageFacts {
            purl: package.purl.as_ref(),
            name: &package.name,
            paths,
            licences,
        })
        .collect();
    let evidence = Evidence {
        scan,
        packages: &facts,
        standings: &standings.of,
        has_exploited: database.header().exploited.is_some(),
        has_scores: database.header().scores.is_some(),
    };
    policy.decide(&evidence, Context::now())
}

/// A stop is a no; what could not be looked at is no yes.
fn outcome(gate: &Gate) -> Result<(), Failure> {
    match gate.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Stop => {
            let details = gate
                .stopped
                .iter()
                .map(|ruling| format!("{}: {}", ruling.rule, ruling.reason));
            let mut details: Vec<String> = details.collect();
            details.dedup();
            let message = format!("the gate stops {} findings", gate.stopped.len());
            Err(Failure::new(Exit::Refused, "gate-refused", message).with_details(details))
        }
        Verdict::Undecided => {
            let details = gate.undecided.iter().map(|(code, text)| format!("{text} [{code}]"));
            let message = "not everything that the gate asks could be looked at: this is no pass";
            Err(Failure::new(Exit::Undecided, "scan-undecided", message).with_details(details))
        }
    }
}
