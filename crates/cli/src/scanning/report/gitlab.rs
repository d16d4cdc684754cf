//! GitLab's container scanning report, version 15.0.4 of its schema: a vulnerability per finding, the scan's own failings as
//! messages.
//!
//! GitLab has no place for what a gate makes of a finding: what is held back is flagged, and left in.

use proofmark_advisories::Rating;
use proofmark_advisories::matching::Finding;
use proofmark_types::{Digest, UnixTime};
use serde_json::{Value, json};

use super::{decision, link};
use crate::context::Context;
use crate::scanning::Findings;

const VERSION: &str = "15.0.4";
/// The longest texts that the schema has room for, in characters.
const MAX_NAME: usize = 255;
const MAX_SOLUTION: usize = 7_000;

pub(crate) fn gitlab(findings: &Findings<'_>) -> Value {
    let program = json!({
        "id": "proofmark", "name": "Proofmark", "version": env!("CARGO_PKG_VERSION"), "vendor": { "name": "Proofmark" },
    });
    let messages = super::said_of_all(findings).into_iter().map(|(level, code, text)| {
        let level = if level == "error" { "fatal" } else { "warn" };
        json!({ "level": level, "value": format!("{text} [{code}]") })
    });
    let each = findings.scan.findings.iter().enumerate();
    json!({
        "version": VERSION,
        "vulnerabilities": each.map(|(at, finding)| vulnerability(findings, at, finding)).collect::<Vec<_>>(),
        "scan": {
            "type": "container_scanning",
            "analyzer": program,
            "scanner": program,
            "start_time": time(findings.started),
            "end_time": time(Context::now()),
            // What could not be looked at is no success, whatever was found.
            "status": if findings.gate.undecided.is_empty() { "success" } else { "failure" },
            "messages": messages.collect::<Vec<_>>(),
        },
    })
}

fn vulnerability(findings: &Findings<'_>, place: usize, finding: &Finding<'_>) -> Value {
    let (name, version) = findings.named(finding.package);
    let version = version.unwrap_or("unknown");
    let image = match findings.of.digest {
        Some(digest) if !findings.of.name.contains('@') => format!("{}@{digest}", findings.of.name),
        _ => findings.of.name.to_owned(),
    };
    let system = findings.of.bill.distribution.as_ref();
    let system = system.map_or_else(
        || "unknown".to_owned(),
        |distribution| distribution.qualifier().replace('-', ":"),
    );
    let names = std::iter::once(finding.id)
        .chain(finding.advisories.iter().copied())
        .chain(finding.aliases.iter().copied());
    let mut identifiers: Vec<&str> = Vec::new();
    for name in names {
        if !identifiers.contains(&name) {
            identifiers.push(name);
        }
    }
    let mut told = json!({
        "id": identity(findings, finding),
        "name": format!("{} in {name}", finding.id).chars().take(MAX_NAME).collect::<String>(),
        "description": finding.words(),
        "severity": severity(finding.rating),
        "identifiers": identifiers.iter().map(|name| identifier(name)).collect::<Vec<_>>(),
        "links": [{ "url": link(finding.id) }],
        "location": {
            "dependency": { "package": { "name": name }, "version": version },
            "operating_system": system,
            "image": image,
        },
    });
    if let (Some(fix), Some(told)) = (finding.fixed, told.as_object_mut()) {
        let text: String = format!("Upgrade {name} from {version} to {fix}")
            .chars()
            .take(MAX_SOLUTION)
            .collect();
        told.insert("solution".to_owned(), json!(text));
    }
    if let (Some(("held back", rule)), Some(told)) = (decision(findings, place), told.as_object_mut()) {
        let flag = json!([{ "type": "flagged-as-likely-false-positive", "origin": "proofmark", "description": rule }]);
        told.insert("flags".to_owned(), flag);
    }
    told
}

fn identifier(name: &str) -> Value {
    let kind = match name.split('-').next().unwrap_or_default() {
        "CVE" => "cve",
        "GHSA" => "ghsa",
        "USN" => "usn",
        "RHSA" => "rhsa",
        _ => "osv",
    };
    json!({ "type": kind, "name": name, "value": name, "url": link(name) })
}

/// A UUID of version 8 (RFC 9562, 5.8) of what the finding is: the same in every scan.
fn identity(findings: &Findings<'_>, finding: &Finding<'_>) -> String {
    let (name, version) = findings.named(finding.package);
    let what = format!("{}\0{name}\0{}", finding.id, version.unwrap_or_default());
    let hex = Digest::sha256_of(what.as_bytes()).hex();
    let part = |range| hex.get(range).unwrap_or_default();
    let (a, b, c, d, e) = (part(0..8), part(8..12), part(12..15), part(15..18), part(18..30));
    format!("{a}-{b}-8{c}-8{d}-{e}")
}

fn severity(rating: Rating) -> &'static str {
    match rating {
        Rating::Critical => "Critical",
        Rating::High => "High",
        Rating::Medium => "Medium",
        Rating::Low => "Low",
        Rating::Negligible => "Info",
        Rating::Unknown => "Unknown",
    }
}

/// The schema wants no zone.
fn time(at: UnixTime) -> String {
    at.to_string().chars().take(19).collect()
}
