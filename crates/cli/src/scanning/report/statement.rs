//! The gate's decision as a statement that is signed: what was decided of which image, when, by which rules, with which
//! database. An admission policy can demand it, and how new it is, without knowing any scanner.

use proofmark_advisories::gate::{Ruling, Verdict};
use serde_json::{Value, json};

use super::{database_of, verdict};
use crate::context::Context;
use crate::scanning::{Findings, Judge};

/// The predicate's type.
pub(crate) const GATE: &str = "https://proofmark.dev/attestations/gate/v1";

/// The most rulings of one kind that are listed; they are all counted, and all in the scan's own attestation.
const MAX_LISTED: usize = 1_000;

/// The decision about one image, or about an index: what was decided of each of its images.
pub(crate) fn gate_statement(judge: &Judge, images: &[&Findings<'_>]) -> Value {
    let first = images.first();
    json!({
        "verdict": together(images),
        "decidedOn": Context::now(),
        "decidedBy": { "name": "proofmark", "version": env!("CARGO_PKG_VERSION") },
        "policy": judge.policy_source.as_ref().map_or_else(
            || json!({ "name": "default" }),
            |source| json!({ "name": source.name, "digest": source.digest }),
        ),
        "vex": judge.vex_sources.iter().map(|source| json!({ "name": source.name, "digest": source.digest })).collect::<Vec<_>>(),
        "maxDatabaseAgeDays": judge.max_db_age,
        "database": first.map(|findings| database_of(findings)),
        "images": images.iter().map(|findings| image(findings)).collect::<Vec<_>>(),
    })
}

/// A pass only where every image passes.
pub(crate) fn together(images: &[&Findings<'_>]) -> &'static str {
    let any = |wanted: Verdict| images.iter().find(|findings| findings.gate.verdict == wanted);
    let worst = any(Verdict::Stop)
        .or_else(|| any(Verdict::Undecided))
        .or_else(|| images.first());
    worst.map_or("undecided", |findings| verdict(findings))
}

/// The predicate of cosign's vulnerability attestations about an index: the results of all its images.
pub(crate) fn cosign_vuln_of_index(images: &[&Findings<'_>]) -> Value {
    let each: Vec<Value> = images.iter().map(|findings| super::cosign_vuln(findings)).collect();
    let results: Vec<Value> = each.iter().map(|one| one["scanner"]["result"].clone()).collect();
    let mut whole = each.into_iter().next().unwrap_or_default();
    if let Some(result) = whole.pointer_mut("/scanner/result") {
        *result = json!({ "images": results });
    }
    whole
}

fn image(findings: &Findings<'_>) -> Value {
    let gate = &findings.gate;
    json!({
        "digest": findings.of.digest,
        "verdict": verdict(findings),
        "packages": findings.of.bill.packages.len(),
        "lookedUp": super::looked_up(findings),
        "notLookedUp": findings.scan.not_looked_up.len(),
        "findings": findings.scan.findings.len(),
        "stopped": rulings(findings, &gate.stopped),
        "review": rulings(findings, &gate.review),
        "heldBack": rulings(findings, &gate.held_back),
        "undecided": gate.undecided.iter().map(said).collect::<Vec<_>>(),
        "warned": gate.warned.iter().map(said).collect::<Vec<_>>(),
    })
}

fn said((code, text): &(String, String)) -> Value {
    json!({ "code": code, "text": text })
}

fn rulings(findings: &Findings<'_>, rulings: &[Ruling]) -> Value {
    let listed = rulings.iter().take(MAX_LISTED).map(|ruling| {
        let (finding, package) = findings.about(ruling);
        let package = package.and_then(|at| findings.of.bill.packages.get(at));
        json!({
            "rule": ruling.rule, "reason": ruling.reason, "vulnerability": finding.map(|finding| finding.id),
            "package": package.map(|package| package.purl.as_ref().map_or_else(|| package.name.clone(), ToString::to_string)),
        })
    });
    json!({ "count": rulings.len(), "listed": listed.collect::<Vec<_>>() })
}
