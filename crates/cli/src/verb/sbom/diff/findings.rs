//! What became known and what is over: the findings of two scans beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proofmark_advisories::matching::Finding;
use proofmark_sbom::PackageKind;
use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};
use crate::scanning::Findings;

/// A vulnerability in a package, whatever the package's version and place.
type Key = (String, PackageKind, String);

/// What differs in what is known.
pub(super) struct Known {
    added: BTreeMap<Key, Told>,
    gone: BTreeMap<Key, Told>,
    /// What the gate stops in the second and not in the first.
    stopped: Vec<String>,
    /// Why the absence of a finding may mean nothing: which of the two, a stable name, words.
    undecided: Vec<(&'static str, String, String)>,
}

/// What is said of a finding.
struct Told {
    severity: String,
    versions: BTreeSet<String>,
    fixed: Option<String>,
}

impl Known {
    pub(super) fn between(before: &Findings<'_>, after: &Findings<'_>) -> Self {
        let (mut gone, mut added) = (keyed(before), keyed(after));
        let both: Vec<Key> = gone.keys().filter(|key| added.contains_key(*key)).cloned().collect();
        for key in &both {
            gone.remove(key);
            added.remove(key);
        }
        let old = stopped(before);
        let new = stopped(after).into_iter().filter(|line| !old.contains(line));
        let undecided = |which, findings: &Findings<'_>| {
            let said = findings.gate.undecided.iter();
            said.map(move |(code, text)| (which, code.clone(), text.clone()))
                .collect::<Vec<_>>()
        };
        Self {
            added,
            gone,
            stopped: new.collect(),
            undecided: [undecided("first", before), undecided("second", after)].concat(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.gone.is_empty() && self.undecided.is_empty()
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (sign, list) in [("+", &self.added), ("-", &self.gone)] {
            for ((id, kind, name), told) in list {
                let versions: Vec<&str> = told.versions.iter().map(String::as_str).collect();
                let fixed = told
                    .fixed
                    .as_ref()
                    .map(|fixed| format!(", fixed in {fixed}"))
                    .unwrap_or_default();
                let _ = writeln!(
                    text,
                    "{sign} {id} {} {kind} {name} {}{fixed}",
                    told.severity,
                    versions.join(", ")
                );
            }
        }
        for (which, code, words) in &self.undecided {
            let _ = writeln!(text, "? {which}: {words} [{code}]");
        }
        text
    }

    pub(super) fn add_to(&self, fields: &mut Map<String, Value>) {
        let list = |list: &BTreeMap<Key, Told>| {
            let each = list.iter().map(|((id, kind, name), told)| {
                json!({
                    "id": id, "type": kind.purl_type(), "name": name, "severity": told.severity, "versions": told.versions,
                    "fixedIn": told.fixed,
                })
            });
            Value::Array(each.collect())
        };
        fields.insert("findingsAdded".to_owned(), list(&self.added));
        fields.insert("findingsRemoved".to_owned(), list(&self.gone));
        fields.insert("newlyStopped".to_owned(), json!(self.stopped));
        let undecided = self.undecided.iter();
        let undecided = undecided.map(|(which, code, text)| json!({ "of": which, "code": code, "text": text }));
        fields.insert("undecided".to_owned(), Value::Array(undecided.collect()));
    }

    /// Where a gate was named, what it newly stops is a no. What could not be looked up is no yes in any case: a
    /// vulnerability that is missing on one side may only be unseen there.
    pub(super) fn outcome(&self, gated: bool) -> Result<(), Failure> {
        if gated && !self.stopped.is_empty() {
            let message = format!(
                "the gate stops {} things in the second that it does not in the first",
                self.stopped.len()
            );
            return Err(Failure::new(Exit::Refused, "gate-refused", message).with_details(self.stopped.iter().cloned()));
        }
        if self.undecided.is_empty() {
            return Ok(());
        }
        let details = self
            .undecided
            .iter()
            .map(|(which, code, text)| format!("{which}: {text} [{code}]"));
        let message = "not everything could be looked up on both sides: what is missing on one may be unseen there";
        Err(Failure::new(Exit::Undecided, "scan-undecided", message).with_details(details))
    }
}

fn keyed(findings: &Findings<'_>) -> BTreeMap<Key, Told> {
    let mut all: BTreeMap<Key, Told> = BTreeMap::new();
    for finding in &findings.scan.findings {
        let Some(package) = findings.of.bill.packages.get(finding.package) else {
            continue;
        };
        let name = match &package.group {
            Some(group) => format!("{group}:{}", package.name),
            None => package.name.clone(),
        };
        let told = all
            .entry((finding.id.to_owned(), package.kind, name))
            .or_insert_with(|| told(finding));
        told.versions.extend(package.version.clone());
    }
    all
}

fn told(finding: &Finding<'_>) -> Told {
    Told {
        severity: finding.rating.to_string(),
        versions: BTreeSet::new(),
        fixed: finding.fixed.map(str::to_owned),
    }
}

/// What the gate stops, in words that have no version in them: the same thing in another version is no new one.
fn stopped(findings: &Findings<'_>) -> BTreeSet<String> {
    let each = findings.gate.stopped.iter().map(|ruling| {
        let (finding, package) = findings.about(ruling);
        let package = package.and_then(|at| findings.of.bill.packages.get(at));
        let name = package.map_or("", |package| package.name.as_str());
        let id = finding.map_or("", |finding| finding.id);
        format!("{id} {name}: {} ({})", ruling.reason, ruling.rule)
            .trim_start()
            .to_owned()
    });
    each.collect()
}
