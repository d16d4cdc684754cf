//! CycloneDX: `vulnerabilities[].analysis`, about components of the same document or by their package URLs.

use std::collections::BTreeMap;

use proofmark_types::UnixTime;
use serde_json::Value;

use super::openvex::list;
use super::{Document, Product, Statement, Status, VexError, product};

/// Components within components; deeper than any is.
const MAX_DEPTH: usize = 32;

pub(super) fn read(value: &Value, name: &str) -> Result<Document, VexError> {
    let mut components = BTreeMap::new();
    if let Some(root) = value.pointer("/metadata/component") {
        collect(root, &mut components, MAX_DEPTH);
    }
    for component in list(value, "components") {
        collect(component, &mut components, MAX_DEPTH);
    }
    let said = value.pointer("/metadata/timestamp").and_then(Value::as_str);
    let mut statements = Vec::new();
    for (place, vulnerability) in list(value, "vulnerabilities").iter().enumerate() {
        // Without an analysis it is a finding, and says nothing.
        let Some(state) = vulnerability.pointer("/analysis/state").and_then(Value::as_str) else {
            continue;
        };
        let expected = |expected: &'static str| VexError::Statement { place, expected };
        let status = match state {
            "not_affected" | "false_positive" => Status::NotAffected,
            "resolved" | "resolved_with_pedigree" => Status::Fixed,
            "exploitable" => Status::Affected,
            "in_triage" => Status::UnderInvestigation,
            _ => return Err(expected("a state of analysis that CycloneDX has")),
        };
        let id = vulnerability
            .get("id")
            .and_then(Value::as_str)
            .ok_or_else(|| expected("an id"))?;
        let references = list(vulnerability, "references").iter();
        let aliases = references.filter_map(|reference| reference.get("id").and_then(Value::as_str));
        let analysis = |key: &str| vulnerability.pointer(key).and_then(Value::as_str).map(str::to_owned);
        let updated = analysis("/analysis/lastUpdated").or_else(|| said.map(str::to_owned));
        let affects = list(vulnerability, "affects").iter();
        statements.push(Statement {
            vulnerabilities: std::iter::once(id).chain(aliases).map(str::to_owned).collect(),
            products: affects
                .filter_map(|affected| affected.get("ref").and_then(Value::as_str))
                .map(|reference| resolve(reference, &components))
                .collect(),
            status,
            justification: analysis("/analysis/justification").or_else(|| analysis("/analysis/detail")),
            at: updated.and_then(|text| UnixTime::parse(&text).ok()),
        });
    }
    let serial = value.get("serialNumber").and_then(Value::as_str);
    Ok(Document {
        id: serial.unwrap_or(name).to_owned(),
        statements,
    })
}

/// Package URLs by `bom-ref`.
fn collect<'v>(component: &'v Value, found: &mut BTreeMap<&'v str, &'v str>, depth: usize) {
    let text = |key: &str| component.get(key).and_then(Value::as_str);
    if let (Some(reference), Some(purl)) = (text("bom-ref"), text("purl")) {
        found.insert(reference, purl);
    }
    if depth > 0 {
        for inner in list(component, "components") {
            collect(inner, found, depth - 1);
        }
    }
}

/// A reference is a `bom-ref` here, one in another document (`urn:cdx:SERIAL/VERSION#REF`), or a package URL itself.
fn resolve(reference: &str, components: &BTreeMap<&str, &str>) -> Product {
    if let Some(purl) = components.get(reference) {
        return product(purl);
    }
    match reference.strip_prefix("urn:cdx:").and_then(|rest| rest.split_once('#')) {
        Some((_, fragment)) => product(components.get(fragment).copied().unwrap_or(fragment)),
        None => product(reference),
    }
}
