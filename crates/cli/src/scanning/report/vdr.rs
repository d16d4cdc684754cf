//! CycloneDX 1.6 with vulnerabilities: the image's SBOM, what is known to be wrong with its components, and what VEX documents,
//! exceptions and the gate say to that.

use std::collections::BTreeMap;

use proofmark_advisories::Rating;
use proofmark_advisories::matching::Finding;
use proofmark_advisories::vex::Status;
use proofmark_sbom::{DocumentInfo, Format};
use serde_json::{Value, json};

use super::{decision, link, verdict};
use crate::failure::Failure;
use crate::scanning::Findings;

/// The justifications of OpenVEX in CycloneDX's words.
const JUSTIFICATIONS: [(&str, &str); 5] = [
    ("component_not_present", "code_not_present"),
    ("vulnerable_code_not_present", "code_not_present"),
    ("vulnerable_code_not_in_execute_path", "code_not_reachable"),
    (
        "vulnerable_code_cannot_be_controlled_by_adversary",
        "protected_by_mitigating_control",
    ),
    ("inline_mitigations_already_exist", "protected_by_mitigating_control"),
];

pub(crate) fn vdr(findings: &Findings<'_>, info: &DocumentInfo) -> Result<Value, Failure> {
    let format = Format::CyclonedxJson(proofmark_sbom::CyclonedxVersion::V1_6);
    let bytes = format.write(findings.of.bill, info);
    let mut document: Value = serde_json::from_slice(&bytes).map_err(anyhow::Error::from)?;
    // One vulnerability in several packages is one entry that affects them all, if all is said of it in the same words.
    let mut entries: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for (place, finding) in findings.scan.findings.iter().enumerate() {
        let entry = vulnerability(findings, place, finding);
        let package = findings.of.bill.packages.get(finding.package);
        let affects = package.map(|package| match &package.version {
            Some(version) => json!({ "ref": package.id, "versions": [{ "version": version, "status": "affected" }] }),
            None => json!({ "ref": package.id }),
        });
        let (_, list) = entries.entry(entry.to_string()).or_insert_with(|| (entry, Vec::new()));
        if let Some(one) = affects.filter(|one| !list.contains(one)) {
            list.push(one);
        }
    }
    let mut vulnerabilities: Vec<Value> = entries
        .into_values()
        .map(|(mut entry, affects)| {
            if let Some(entry) = entry.as_object_mut() {
                entry.insert("affects".to_owned(), Value::Array(affects));
            }
            entry
        })
        .collect();
    vulnerabilities.sort_by_key(|entry| entry.get("id").map(ToString::to_string));
    if let Some(document) = document.as_object_mut() {
        document.insert("vulnerabilities".to_owned(), Value::Array(vulnerabilities));
        said_of_all(document, findings);
    }
    Ok(document)
}

/// What counts for the whole: with which database, and whether it is a pass.
fn said_of_all(document: &mut serde_json::Map<String, Value>, findings: &Findings<'_>) {
    let property = |name: &str, value: String| json!({ "name": format!("proofmark:{name}"), "value": value });
    let mut properties = vec![
        property("gate", verdict(findings).to_owned()),
        property("database", findings.authority.digest()),
    ];
    properties.extend(
        findings
            .authority
            .built()
            .map(|built| property("database:built", built.to_string())),
    );
    for (level, code, text) in super::said_of_all(findings) {
        properties.push(property(level, format!("{text} [{code}]")));
    }
    document.insert("properties".to_owned(), Value::Array(properties));
}

fn vulnerability(findings: &Findings<'_>, place: usize, finding: &Finding<'_>) -> Value {
    let source = |name: &str| json!({ "name": origin(name), "url": link(name) });
    let names = finding.advisories.iter().chain(&finding.aliases);
    let mut references: Vec<&str> = names.copied().filter(|name| *name != finding.id).collect();
    references.sort_unstable();
    references.dedup();
    let mut rating = json!({ "severity": severity(finding.rating), "source": { "name": finding.told_by } });
    if let (Some(tenths), Some(rating)) = (finding.score, rating.as_object_mut()) {
        rating.insert("score".to_owned(), json!(f64::from(tenths) / 10.0));
    }
    if let (Some(vector), Some(rating)) = (finding.vector, rating.as_object_mut()) {
        rating.insert("method".to_owned(), json!(method(vector)));
        rating.insert("vector".to_owned(), json!(vector));
    }
    let mut properties = Vec::new();
    let mut property = |name: &str, value: String| {
        properties.push(json!({ "name": format!("proofmark:{name}"), "value": value }));
    };
    if finding.exploited {
        property("exploited:since", finding.exploited_detail[1].to_owned());
    }
    if let Some(epss) = finding.epss {
        property("epss", epss.score().to_string());
    }
    if let Some(source) = &finding.via_source {
        property("viaSource", source.clone());
    }
    if let Some(why) = &finding.uncertain {
        property("uncertain", why.clone());
    }
    if let Some((word, rule)) = decision(findings, place) {
        property("decision", format!("{word}: {rule}"));
    }
    let mut entry = json!({
        "id": finding.id,
        "source": source(finding.id),
        "references": references.iter().map(|name| json!({ "id": name, "source": source(name) })).collect::<Vec<_>>(),
        "ratings": [rating],
        "properties": properties,
    });
    let Some(fields) = entry.as_object_mut() else {
        return entry;
    };
    if !finding.summary.is_empty() {
        fields.insert("description".to_owned(), json!(finding.summary));
    }
    if let Some(at) = finding.published {
        fields.insert("published".to_owned(), json!(at));
    }
    if let Some(fix) = finding.fixed {
        fields.insert("recommendation".to_owned(), json!(format!("Upgrade to {fix}")));
    }
    if let Some(analysis) = analysis(findings, place) {
        fields.insert("analysis".to_owned(), analysis);
    }
    entry
}

/// What the makers say. An exception of the gate is no statement about the vulnerability: it is among the properties.
fn analysis(findings: &Findings<'_>, place: usize) -> Option<Value> {
    let standing = findings.standings.of.get(place).copied().flatten()?;
    let state = match standing.status {
        Status::NotAffected => "not_affected",
        Status::Affected => "exploitable",
        Status::Fixed => "resolved",
        Status::UnderInvestigation => "in_triage",
    };
    let mut analysis = json!({ "state": state, "detail": format!("{} ({})", standing.reason(), standing.document) });
    let said = JUSTIFICATIONS
        .iter()
        .find(|(word, _)| Some(*word) == standing.justification);
    if let (Some((_, word)), Status::NotAffected, Some(fields)) = (said, standing.status, analysis.as_object_mut()) {
        fields.insert("justification".to_owned(), json!(word));
    }
    Some(analysis)
}

fn origin(name: &str) -> &'static str {
    if name.starts_with("CVE-") {
        return "NVD";
    }
    proofmark_advisories::Origin::of(name).name
}

fn method(vector: &str) -> &'static str {
    match vector.split('/').next().unwrap_or_default() {
        "CVSS:4.0" => "CVSSv4",
        "CVSS:3.1" => "CVSSv31",
        "CVSS:3.0" => "CVSSv3",
        _ => "CVSSv2",
    }
}

fn severity(rating: Rating) -> &'static str {
    match rating {
        Rating::Critical => "critical",
        Rating::High => "high",
        Rating::Medium => "medium",
        Rating::Low => "low",
        Rating::Negligible => "info",
        Rating::Unknown => "unknown",
    }
}
