//! The scan within a release: what was read for the SBOM is looked up, and what may not pass is not signed.

use std::fmt::Write as _;

use proofmark_advisories::gate::Verdict;
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::statement::Statement;
use serde_json::{Value, json};

use super::Plan;
use crate::bills::Inside;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::scanning::{Findings, Judge, JudgeArgs, Judged, report};

/// What decides, if anything is to. Where nobody asked for it and there is no database, that is said aloud: silence would read
/// as "nothing found".
pub(super) fn judge(context: &Context, arguments: &JudgeArgs, skip: bool) -> Result<Option<Judge>, Failure> {
    if skip {
        context
            .output
            .warn("nothing was scanned for known vulnerabilities: --skip-scan");
        return Ok(None);
    }
    match arguments.judge() {
        Ok(judge) => Ok(Some(judge)),
        Err(failure) if failure.code == "database-missing" && !arguments.is_demanded() => {
            let hint = failure.hint.unwrap_or_default();
            let text = format!(
                "nothing was scanned for known vulnerabilities: {} ({hint})",
                failure.message
            );
            context.output.warn(&text);
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// Looks up what is inside each image, and ends the release where one may not pass. An index is what its images are.
pub(super) fn decide<'p>(output: Output, plan: &'p Plan, insides: &'p [Inside]) -> Result<Vec<Findings<'p>>, Failure> {
    let Some(judge) = &plan.judge else {
        return Ok(Vec::new());
    };
    let mut scans = Vec::new();
    for inside in insides.iter().filter(|inside| !inside.is_of_index()) {
        scans.push(judge.judge(Judged {
            name: &plan.name,
            digest: Some(inside.digest()),
            bill: &inside.bill,
            lacking: &[],
        })?);
    }
    for findings in &scans {
        findings.warn(output);
    }
    // A stop is a no whatever else could not be looked at.
    let of = |verdict: Verdict| scans.iter().find(move |findings| findings.gate.verdict == verdict);
    if let Some(findings) = of(Verdict::Stop).or_else(|| of(Verdict::Undecided)) {
        findings.outcome().map_err(|failure| {
            let digest = findings.of.digest.map(ToString::to_string).unwrap_or_default();
            Failure {
                message: format!("{digest}: {}", failure.message),
                ..failure
            }
            .with_hint("nothing was signed. `proofmark scan` shows all findings; --gate and --vex say what is lived with, --skip-scan releases without a scan")
        })?;
    }
    Ok(scans)
}

/// The scan and the gate's decision, as they are stated about one manifest.
pub(super) fn statements(
    judge: &Judge,
    plan: &Plan,
    inside: &Inside,
    scans: &[Findings<'_>],
) -> Vec<(&'static str, Statement)> {
    let own: Vec<&Findings<'_>> = scans
        .iter()
        .filter(|findings| findings.of.digest == Some(inside.digest()))
        .collect();
    let (images, scan) = match own.as_slice() {
        [one] => (own.clone(), report::cosign_vuln(one)),
        _ => {
            let all: Vec<&Findings<'_>> = scans.iter().collect();
            let scan = report::cosign_vuln_of_index(&all);
            (all, scan)
        }
    };
    let about = |type_name: &str, predicate: Value| {
        let predicate_type =
            PredicateType::resolve(type_name).unwrap_or_else(|_| unreachable!("a short name, and a URI"));
        Statement::attestation(
            &plan.image.repository().to_string(),
            inside.digest(),
            predicate_type,
            predicate,
        )
    };
    vec![
        ("scan", about("vuln", scan)),
        ("gate", about(report::GATE, report::gate_statement(judge, &images))),
    ]
}

/// One image's scan for a script.
pub(super) fn summary(findings: &Findings<'_>) -> Value {
    json!({
        "digest": findings.of.digest,
        "verdict": report::together(&[findings]),
        "database": findings.authority.digest(),
        "packages": findings.of.bill.packages.len(),
        "notLookedUp": findings.scan.not_looked_up.len(),
        "findings": findings.scan.findings.len(),
        "review": findings.gate.review.len(),
        "heldBack": findings.gate.held_back.len(),
    })
}

/// The same for a person.
pub(super) fn text(scans: &[Value]) -> String {
    let mut text = String::new();
    if scans.is_empty() {
        text.push_str("  scanned     no\n");
    }
    for scan in scans {
        let _ = writeln!(
            text,
            "  scanned     {}: gate {}; {} findings, {} for review, {} held back, {} packages not looked up",
            scan["digest"].as_str().unwrap_or_default(),
            scan["verdict"].as_str().unwrap_or_default(),
            scan["findings"],
            scan["review"],
            scan["heldBack"],
            scan["notLookedUp"]
        );
    }
    text
}
