//! What a scan says: a table, JSON, SARIF, CycloneDX, GitLab's report, cosign's predicate.

mod gitlab;
mod statement;
mod vdr;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proofmark_advisories::Rating;
use proofmark_advisories::gate::{Ruling, Verdict};
use proofmark_advisories::matching::Finding;
use serde_json::{Value, json};

use super::{Authority, Findings};
use crate::context::Context;
use crate::output::counted;

pub(crate) use self::gitlab::gitlab;
pub(crate) use self::statement::{GATE, cosign_vuln_of_index, gate_statement, together};
pub(crate) use self::vdr::vdr;

/// For a person.
pub(crate) fn text(findings: &Findings<'_>) -> String {
    let mut text = table(findings);
    text.push_str(&licence_lines(findings));
    let (scan, gate) = (&findings.scan, &findings.gate);
    let (found, packages) = (scan.findings.len(), findings.of.bill.packages.len());
    let looked_up = match findings.authority {
        Authority::Database(_) => format!("{} looked up, {} not", scan.looked_up, scan.not_looked_up.len()),
        Authority::Results(..) => "which of them were looked up, the results do not say".to_owned(),
    };
    let (found, packages) = (counted(found, "finding"), counted(packages, "package"));
    let _ = writeln!(text, "{found} in {packages}; {looked_up}");
    for (reason, count) in reasons(findings) {
        let _ = writeln!(text, "  not looked up: {count} ({reason})");
    }
    text.push_str(&database(findings));
    let verdict = verdict(findings);
    let _ = writeln!(
        text,
        "gate: {verdict}; {} stopped, {} for review, {} held back",
        gate.stopped.len(),
        gate.review.len(),
        gate.held_back.len()
    );
    for (code, reason) in &gate.undecided {
        let _ = writeln!(text, "  undecided: {reason} [{code}]");
    }
    for stale in &gate.stale {
        let _ = writeln!(text, "  {}: {}", stale.rule, stale.reason);
    }
    text
}

/// The findings, the worst first, in columns.
fn table(findings: &Findings<'_>) -> String {
    let mut text = String::new();
    let mut rows: Vec<[String; 6]> = Vec::new();
    let mut shown: Vec<(usize, &Finding<'_>)> = findings.scan.findings.iter().enumerate().collect();
    shown.sort_by_key(|(place, finding)| (std::cmp::Reverse((finding.rating, finding.exploited)), *place));
    for (place, finding) in shown {
        let (name, version) = findings.named(finding.package);
        let version = version.unwrap_or("?");
        let mut notes = Vec::new();
        if finding.exploited {
            notes.push("exploited".to_owned());
        }
        if let Some(source) = &finding.via_source {
            notes.push(format!("via {source}"));
        }
        notes.extend(finding.uncertain.iter().map(|why| format!("uncertain: {why}")));
        notes.extend(decision(findings, place).map(|(word, rule)| format!("{word} ({rule})")));
        rows.push([
            finding.id.to_owned(),
            finding.rating.to_string(),
            name.to_owned(),
            version.to_owned(),
            finding.fixed.unwrap_or("-").to_owned(),
            notes.join(", "),
        ]);
    }
    if !rows.is_empty() {
        let heading = ["ID", "SEVERITY", "PACKAGE", "VERSION", "FIXED IN", "NOTES"].map(str::to_owned);
        rows.insert(0, heading);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        for [id, severity, name, version, fixed, notes] in &rows {
            let [a, b, c, d, e] = widths;
            let line = format!("{id:a$}  {severity:b$}  {name:c$}  {version:d$}  {fixed:e$}  {notes}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text.push('\n');
    }
    text
}

/// What the rules about licences decided.
fn licence_lines(findings: &Findings<'_>) -> String {
    let mut text = String::new();
    for (word, ruling) in rulings(findings) {
        if let Some(package) = ruling.package.and_then(|at| findings.of.bill.packages.get(at)) {
            let licences: Vec<String> = package.licences.iter().map(ToString::to_string).collect();
            let licences = if licences.is_empty() {
                "no licence".to_owned()
            } else {
                licences.join(", ")
            };
            let _ = writeln!(text, "licence: {} {licences}: {word} ({})", package.name, ruling.rule);
        }
    }
    text
}

/// Which database it was, and what is to be known of it.
fn database(findings: &Findings<'_>) -> String {
    let mut text = format!("{}\n", findings.authority.line());
    for notice in findings.authority.notices(findings.started) {
        let _ = writeln!(text, "  {} [{}]", notice.text, notice.code);
    }
    text
}

/// The same for a script.
fn database_of(findings: &Findings<'_>) -> Value {
    findings.authority.summary(findings.started)
}

/// What a result says beside findings, each with a level of SARIF: what makes it less than a pass, what was not looked up, and
/// what is to be known of the database.
fn said_of_all(findings: &Findings<'_>) -> Vec<(&'static str, String, String)> {
    let undecided = findings.gate.undecided.iter();
    let warned = findings.gate.warned.iter();
    let notices = findings.authority.notices(findings.started).into_iter();
    undecided
        .map(|(code, text)| ("error", code.clone(), text.clone()))
        .chain(warned.map(|(code, text)| ("warning", code.clone(), text.clone())))
        .chain(notices.map(|notice| ("warning", notice.code.to_owned(), notice.text)))
        .collect()
}

/// The gate's answer in a word.
pub(crate) fn verdict(findings: &Findings<'_>) -> &'static str {
    match findings.gate.verdict {
        Verdict::Pass => "pass",
        Verdict::Stop => "stop",
        Verdict::Undecided => "undecided",
    }
}

/// Where a vulnerability of that name is told of.
fn link(id: &str) -> String {
    format!("https://osv.dev/vulnerability/{id}")
}

fn reasons(findings: &Findings<'_>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for reason in findings.scan.not_looked_up.values() {
        *counts.entry(reason.code().to_owned()).or_default() += 1;
    }
    counts
}

/// What the gate made of a finding, and by which rule.
fn decision<'f>(findings: &'f Findings<'_>, place: usize) -> Option<(&'static str, &'f str)> {
    let found = rulings(findings).find(|(_, ruling)| ruling.finding == Some(place));
    found.map(|(word, ruling)| (word, ruling.rule.as_str()))
}

/// For a script: everything.
pub(crate) fn json(findings: &Findings<'_>) -> Value {
    let scan = &findings.scan;
    let package = |at: usize| findings.of.bill.packages.get(at);
    let not_looked_up: Vec<Value> = scan
        .not_looked_up
        .iter()
        .map(|(at, reason)| {
            json!({
                "package": package(*at).map(|package| &package.name),
                "purl": package(*at).and_then(|package| package.purl.as_ref()),
                "code": reason.code(),
                "reason": reason.to_string(),
            })
        })
        .collect();
    let conditions: Vec<Value> = scan
        .conditions
        .iter()
        .map(|condition| json!({ "code": condition.code(), "text": condition.to_string() }))
        .collect();
    json!({
        "image": findings.of.name,
        "digest": findings.of.digest,
        "database": database_of(findings),
        "packages": findings.of.bill.packages.len(),
        "lookedUp": looked_up(findings),
        "notLookedUp": not_looked_up,
        "conditions": conditions,
        "unread": findings.of.bill.notes,
        "licenceDecisions": licences(findings),
        "findings": scan.findings.iter().enumerate().map(|(at, f)| finding(findings, at, f)).collect::<Vec<_>>(),
        "unmatchedVex": findings.standings.unmatched,
        "gate": findings.gate,
    })
}

/// How many packages were looked up, where that is known.
fn looked_up(findings: &Findings<'_>) -> Option<usize> {
    match findings.authority {
        Authority::Database(_) => Some(findings.scan.looked_up),
        Authority::Results(..) => None,
    }
}

/// What the rules about licences decided of packages.
fn licences(findings: &Findings<'_>) -> Vec<Value> {
    let told = |(word, ruling): (&str, &Ruling)| {
        let package = findings.of.bill.packages.get(ruling.package?)?;
        Some(json!({
            "package": package.name,
            "version": package.version,
            "purl": package.purl,
            "licences": package.licences.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "paths": package.locations.iter().map(|place| &place.path).collect::<Vec<_>>(),
            "decision": { "is": word, "rule": ruling.rule, "reason": ruling.reason },
        }))
    };
    rulings(findings).filter_map(told).collect()
}

/// All rulings of the gate, each with what it means.
fn rulings<'f>(findings: &'f Findings<'_>) -> impl Iterator<Item = (&'static str, &'f Ruling)> {
    let gate = &findings.gate;
    let named = |word| move |ruling| (word, ruling);
    let stopped = gate.stopped.iter().map(named("stopped"));
    let review = gate.review.iter().map(named("review"));
    stopped
        .chain(review)
        .chain(gate.held_back.iter().map(named("held back")))
}

fn finding(findings: &Findings<'_>, place: usize, finding: &Finding<'_>) -> Value {
    let package = findings.of.bill.packages.get(finding.package);
    let [cve, since, due] = finding.exploited_detail;
    json!({
        "id": finding.id,
        "advisories": finding.advisories,
        "aliases": finding.aliases,
        "summary": finding.summary,
        "severity": finding.rating,
        "score": finding.score.map(|tenths| f64::from(tenths) / 10.0),
        "vector": finding.vector,
        "severityFrom": finding.told_by,
        "package": findings.named(finding.package).0,
        "version": findings.named(finding.package).1,
        "purl": package.and_then(|package| package.purl.as_ref()),
        "paths": paths(findings, finding),
        "viaSource": finding.via_source,
        "fixedIn": finding.fixed,
        "exploited": finding.exploited.then(|| json!({ "cve": cve, "since": since, "due": due, "ransomware": finding.ransomware })),
        "epss": finding.epss.map(|epss| json!({ "score": epss.score(), "percentile": epss.percentile() })),
        "published": finding.published,
        "uncertain": finding.uncertain,
        "decision": decision(findings, place).map(|(word, rule)| json!({ "is": word, "rule": rule })),
    })
}

fn paths<'f>(findings: &'f Findings<'_>, finding: &Finding<'_>) -> Vec<&'f str> {
    let package = findings.of.bill.packages.get(finding.package);
    let locations = package.into_iter().flat_map(|package| &package.locations);
    locations.map(|location| location.path.as_str()).collect()
}

/// SARIF 2.1.0: a rule per vulnerability, a result per finding. What is held back is there, suppressed.
pub(crate) fn sarif(findings: &Findings<'_>) -> Value {
    let mut rules: BTreeMap<&str, Value> = BTreeMap::new();
    let mut results = Vec::new();
    for (place, finding) in findings.scan.findings.iter().enumerate() {
        rules.entry(finding.id).or_insert_with(|| {
            let mut rule = json!({ "id": finding.id, "shortDescription": { "text": finding.words() } });
            // Code hosts sort by this property, a CVSS score as text.
            if let (Some(tenths), Value::Object(rule)) = (finding.score, &mut rule) {
                let score = format!("{}.{}", tenths / 10, tenths % 10);
                rule.insert(
                    "properties".to_owned(),
                    json!({ "security-severity": score, "tags": ["security"] }),
                );
            }
            rule
        });
        let (name, version) = findings.named(finding.package);
        let version = version.unwrap_or("?");
        let fix = finding
            .fixed
            .map_or_else(|| "no fix is known".to_owned(), |fix| format!("fixed in {fix}"));
        let uri = paths(findings, finding).first().copied().unwrap_or(findings.of.name);
        let suppressed = matches!(decision(findings, place), Some(("held back", _)));
        results.push(json!({
            "ruleId": finding.id,
            "level": level(finding.rating),
            "message": { "text": format!("{name} {version}: {} ({}), {fix}", finding.id, finding.rating) },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri } } }],
            "partialFingerprints": { "package": format!("{name}@{version}:{}", finding.id) },
            "suppressions": if suppressed { json!([{ "kind": "external" }]) } else { json!([]) },
        }));
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "proofmark",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            } },
            "results": results,
            "invocations": [{
                "executionSuccessful": findings.gate.verdict != Verdict::Undecided,
                "toolExecutionNotifications": said_of_all(findings).into_iter().map(|(level, code, text)| json!({
                    "level": level, "descriptor": { "id": code }, "message": { "text": text },
                })).collect::<Vec<_>>(),
            }],
        }],
    })
}

/// What nobody rated is a warning, never a note.
fn level(rating: Rating) -> &'static str {
    match rating {
        Rating::Critical | Rating::High => "error",
        Rating::Medium | Rating::Unknown => "warning",
        Rating::Low | Rating::Negligible => "note",
    }
}

/// cosign's COSIGN_VULN_ATTESTATION_SPEC.
pub(crate) fn cosign_vuln(findings: &Findings<'_>) -> Value {
    json!({
        "invocation": { "parameters": [findings.of.name], "uri": "", "event_id": "", "builder.id": "" },
        "scanner": {
            "uri": format!("pkg:generic/proofmark@{}", env!("CARGO_PKG_VERSION")),
            "version": env!("CARGO_PKG_VERSION"),
            "db": {
                "uri": findings.authority.digest(),
                "version": findings.authority.built(),
            },
            "result": json(findings),
        },
        "metadata": { "scanStartedOn": findings.started, "scanFinishedOn": Context::now() },
    })
}
