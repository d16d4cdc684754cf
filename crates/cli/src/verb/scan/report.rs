//! What a scan says: a table, JSON, SARIF, cosign's predicate.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proofmark_advisories::Rating;
use proofmark_advisories::gate::Verdict;
use proofmark_advisories::matching::Finding;
use proofmark_types::UnixTime;
use serde_json::{Value, json};

use super::Findings;
use crate::advisories::{notices, summary};

/// For a person.
pub(super) fn text(findings: &Findings<'_>, now: UnixTime) -> String {
    let mut text = String::new();
    let mut rows: Vec<[String; 6]> = Vec::new();
    let mut shown: Vec<(usize, &Finding<'_>)> = findings.scan.findings.iter().enumerate().collect();
    shown.sort_by_key(|(place, finding)| (std::cmp::Reverse((finding.rating, finding.exploited)), *place));
    for (place, finding) in shown {
        let package = findings.bill.packages.get(finding.package);
        let (name, version) = package.map_or(("?", "?"), |p| (p.name.as_str(), p.version.as_deref().unwrap_or("?")));
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
    let (scan, gate) = (findings.scan, findings.gate);
    let _ = writeln!(
        text,
        "{} findings in {} packages; {} looked up, {} not",
        scan.findings.len(),
        findings.bill.packages.len(),
        scan.looked_up,
        scan.not_looked_up.len()
    );
    for (reason, count) in reasons(findings) {
        let _ = writeln!(text, "  not looked up: {count} ({reason})");
    }
    for condition in &scan.conditions {
        let _ = writeln!(text, "  {condition} [{}]", condition.code());
    }
    text.push_str(&database(findings, now));
    let verdict = match gate.verdict {
        Verdict::Pass => "pass",
        Verdict::Stop => "stop",
        Verdict::Undecided => "undecided",
    };
    let _ = writeln!(
        text,
        "gate: {verdict}; {} stopped, {} for review, {} held back",
        gate.stopped.len(),
        gate.review.len(),
        gate.held_back.len()
    );
    for stale in &gate.stale {
        let _ = writeln!(text, "  {}: {}", stale.rule, stale.reason);
    }
    text
}

/// Which database it was, and what is to be known of it.
fn database(findings: &Findings<'_>, now: UnixTime) -> String {
    let database = findings.database;
    let mut text = format!("database {} built {}\n", database.digest(), database.header().built);
    for notice in notices(database, now) {
        let _ = writeln!(text, "  {} [{}]", notice.text, notice.code);
    }
    text
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
    let gate = findings.gate;
    let lists = [
        ("stopped", &gate.stopped),
        ("review", &gate.review),
        ("held back", &gate.held_back),
    ];
    lists.into_iter().find_map(|(word, list)| {
        let ruling = list.iter().find(|ruling| ruling.finding == Some(place))?;
        Some((word, ruling.rule.as_str()))
    })
}

/// For a script: everything.
pub(super) fn json(findings: &Findings<'_>, now: UnixTime) -> Value {
    let scan = findings.scan;
    let package = |at: usize| findings.bill.packages.get(at);
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
        "image": findings.image,
        "digest": findings.digest,
        "database": summary(findings.database, now),
        "packages": findings.bill.packages.len(),
        "lookedUp": scan.looked_up,
        "notLookedUp": not_looked_up,
        "conditions": conditions,
        "unread": findings.bill.notes,
        "findings": scan.findings.iter().enumerate().map(|(at, f)| finding(findings, at, f)).collect::<Vec<_>>(),
        "unmatchedVex": findings.standings.unmatched,
        "gate": findings.gate,
    })
}

fn finding(findings: &Findings<'_>, place: usize, finding: &Finding<'_>) -> Value {
    let package = findings.bill.packages.get(finding.package);
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
        "package": package.map(|package| &package.name),
        "version": package.and_then(|package| package.version.as_ref()),
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
    let package = findings.bill.packages.get(finding.package);
    let locations = package.into_iter().flat_map(|package| &package.locations);
    locations.map(|location| location.path.as_str()).collect()
}

/// SARIF 2.1.0: a rule per vulnerability, a result per finding. What is held back is there, suppressed.
pub(super) fn sarif(findings: &Findings<'_>, now: UnixTime) -> Value {
    let mut rules: BTreeMap<&str, Value> = BTreeMap::new();
    let mut results = Vec::new();
    for (place, finding) in findings.scan.findings.iter().enumerate() {
        rules.entry(finding.id).or_insert_with(|| {
            let words = if finding.summary.is_empty() {
                finding.id
            } else {
                finding.summary
            };
            let mut rule = json!({ "id": finding.id, "shortDescription": { "text": words } });
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
        let package = findings.bill.packages.get(finding.package);
        let name = package.map_or("?", |package| package.name.as_str());
        let version = package.and_then(|package| package.version.as_deref()).unwrap_or("?");
        let fix = finding
            .fixed
            .map_or_else(|| "no fix is known".to_owned(), |fix| format!("fixed in {fix}"));
        let uri = paths(findings, finding).first().copied().unwrap_or(findings.image);
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
                "toolExecutionNotifications": notifications(findings, now),
            }],
        }],
    })
}

/// What makes the result less than a pass, and what is to be known of the database.
fn notifications(findings: &Findings<'_>, now: UnixTime) -> Vec<Value> {
    let undecided = findings
        .gate
        .undecided
        .iter()
        .map(|(code, text)| ("error", code.clone(), text.clone()));
    let notices = notices(findings.database, now);
    let notices = notices
        .into_iter()
        .map(|notice| ("warning", notice.code.to_owned(), notice.text));
    undecided
        .chain(notices)
        .map(|(level, code, text)| json!({ "level": level, "descriptor": { "id": code }, "message": { "text": text } }))
        .collect()
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
pub(super) fn cosign_vuln(findings: &Findings<'_>, now: UnixTime) -> Value {
    json!({
        "invocation": { "parameters": [findings.image], "uri": "", "event_id": "", "builder.id": "" },
        "scanner": {
            "uri": format!("pkg:generic/proofmark@{}", env!("CARGO_PKG_VERSION")),
            "version": env!("CARGO_PKG_VERSION"),
            "db": {
                "uri": findings.database.digest(),
                "version": findings.database.header().built,
            },
            "result": json(findings, now),
        },
        "metadata": { "scanStartedOn": now, "scanFinishedOn": now },
    })
}
