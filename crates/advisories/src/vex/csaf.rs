//! CSAF 2.0, profile VEX: a tree of products with package URLs, and their status by vulnerability.

use std::collections::BTreeMap;

use proofmark_types::UnixTime;
use serde_json::Value;

use super::openvex::list;
use super::{Document, Product, Statement, Status, VexError, product};

/// Branches of the product tree: vendor, product, version, architecture; deeper than any is.
const MAX_DEPTH: usize = 32;

/// CSAF 2.0, 3.2.3.9: the lists of a product status that say something that we have a word for.
const LISTS: [(&str, Status); 7] = [
    ("known_not_affected", Status::NotAffected),
    ("fixed", Status::Fixed),
    ("first_fixed", Status::Fixed),
    ("known_affected", Status::Affected),
    ("first_affected", Status::Affected),
    ("last_affected", Status::Affected),
    ("under_investigation", Status::UnderInvestigation),
];

pub(super) fn read(value: &Value, name: &str) -> Result<Document, VexError> {
    let mut purls = BTreeMap::new();
    let mut parts = BTreeMap::new();
    if let Some(tree) = value.get("product_tree") {
        collect(tree, &mut purls, MAX_DEPTH);
        for relation in list(tree, "relationships") {
            let text = |pointer: &str| relation.pointer(pointer).and_then(Value::as_str);
            let combined = text("/full_product_name/product_id");
            if let (Some(combined), Some(part)) = (combined, text("/product_reference")) {
                let whole = text("/relates_to_product_reference").unwrap_or_default();
                parts.insert(combined, (part, whole));
            }
        }
    }
    let resolve = |id: &str| -> Product {
        let Some((part, whole)) = parts.get(id) else {
            return product(purls.get(id).copied().unwrap_or(id));
        };
        let (part, mut whole) = (
            product(purls.get(part).copied().unwrap_or(part)),
            product(purls.get(whole).copied().unwrap_or(whole)),
        );
        match (whole.digest.is_some(), part.purl) {
            // A package in an image.
            (true, Some(purl)) => {
                whole.parts = vec![purl];
                whole
            }
            // A package of a product line: as narrow as the package's own URL, which names version and distribution.
            (false, Some(purl)) if whole.purl.is_none() => product(&purl.to_string()),
            _ => Product {
                name: Some(id.chars().take(200).collect()),
                ..Product::default()
            },
        }
    };
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let at = text("/document/tracking/current_release_date").and_then(|text| UnixTime::parse(text).ok());
    let mut statements = Vec::new();
    for (place, vulnerability) in list(value, "vulnerabilities").iter().enumerate() {
        let ids = list(vulnerability, "ids").iter();
        let others = ids.filter_map(|id| id.get("text").and_then(Value::as_str));
        let cve = vulnerability.get("cve").and_then(Value::as_str);
        let names: Vec<String> = cve.into_iter().chain(others).map(str::to_owned).collect();
        if names.is_empty() {
            let expected = "a cve or ids";
            return Err(VexError::Statement { place, expected });
        }
        for (key, status) in LISTS {
            for id in vulnerability
                .pointer("/product_status")
                .map_or(&[][..], |lists| list(lists, key))
            {
                let Some(id) = id.as_str() else { continue };
                statements.push(Statement {
                    vulnerabilities: names.clone(),
                    products: vec![resolve(id)],
                    status,
                    justification: label(vulnerability, id),
                    at,
                });
            }
        }
    }
    Ok(Document {
        id: text("/document/tracking/id").unwrap_or(name).to_owned(),
        statements,
    })
}

/// Package URLs by product.
fn collect<'v>(branch: &'v Value, found: &mut BTreeMap<&'v str, &'v str>, depth: usize) {
    let products = list(branch, "full_product_names").iter().chain(branch.get("product"));
    for product in products {
        let text = |pointer: &str| product.pointer(pointer).and_then(Value::as_str);
        if let (Some(id), Some(purl)) = (text("/product_id"), text("/product_identification_helper/purl")) {
            found.insert(id, purl);
        }
    }
    if depth > 0 {
        for inner in list(branch, "branches") {
            collect(inner, found, depth - 1);
        }
    }
}

/// The flag that says why a product is not affected.
fn label(vulnerability: &Value, product: &str) -> Option<String> {
    let flags = list(vulnerability, "flags").iter();
    let mut about = flags.filter(|flag| list(flag, "product_ids").iter().any(|id| id == product));
    let label = about.find_map(|flag| flag.get("label").and_then(Value::as_str));
    label.map(str::to_owned)
}
