//! OpenVEX 0.2.0.

use proofmark_types::{Purl, UnixTime};
use serde_json::{Value, json};

use super::{Document, Product, Statement, Status, VexError, product};

pub(super) fn read(value: &Value, name: &str) -> Result<Document, VexError> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let time = |value: &Value| {
        let texts = [text(value, "last_updated"), text(value, "timestamp")];
        texts.into_iter().flatten().find_map(|text| UnixTime::parse(&text).ok())
    };
    let mut statements = Vec::new();
    for (place, statement) in list(value, "statements").iter().enumerate() {
        let expected = |expected: &'static str| VexError::Statement { place, expected };
        let status = text(statement, "status").and_then(|status| Status::parse(&status));
        let status =
            status.ok_or_else(|| expected("a status: not_affected, affected, fixed or under_investigation"))?;
        // 0.0.x wrote the name alone.
        let vulnerability = statement
            .get("vulnerability")
            .ok_or_else(|| expected("a vulnerability"))?;
        let mut vulnerabilities: Vec<String> = match vulnerability.as_str() {
            Some(name) => vec![name.to_owned()],
            None => text(vulnerability, "name").into_iter().collect(),
        };
        vulnerabilities.extend(strings(vulnerability, "aliases"));
        if vulnerabilities.is_empty() {
            return Err(expected("a vulnerability with a name"));
        }
        let justification = text(statement, "justification").or_else(|| text(statement, "impact_statement"));
        if status == Status::NotAffected && justification.is_none() {
            return Err(expected("a justification or an impact_statement of not_affected"));
        }
        statements.push(Statement {
            vulnerabilities,
            products: list(statement, "products").iter().map(read_product).collect(),
            status,
            justification,
            at: time(statement).or_else(|| time(value)),
        });
    }
    Ok(Document {
        id: text(value, "@id").unwrap_or_else(|| name.to_owned()),
        statements,
    })
}

fn read_product(value: &Value) -> Product {
    if let Some(id) = value.as_str() {
        return product(id);
    }
    let id = value.get("@id").and_then(Value::as_str).unwrap_or_default();
    let mut found = product(id);
    if found.purl.is_none() {
        let purl = value.pointer("/identifiers/purl").and_then(Value::as_str);
        if let Some(Ok(purl)) = purl.map(Purl::parse) {
            found = product(&purl.to_string());
        }
    }
    // The hash of a package's file is no image.
    if found.digest.is_none() && found.purl.as_ref().is_none_or(|purl| purl.kind() == "oci") {
        let hash = value.pointer("/hashes/sha-256").and_then(Value::as_str);
        found.digest = hash.and_then(|hash| proofmark_types::Digest::parse(&format!("sha256:{hash}")).ok());
    }
    for part in list(value, "subcomponents") {
        let id = part.as_str().or_else(|| part.get("@id").and_then(Value::as_str));
        let purl = part.pointer("/identifiers/purl").and_then(Value::as_str);
        let parsed = [id, purl].into_iter().flatten().find_map(|text| Purl::parse(text).ok());
        match parsed {
            Some(purl) => found.parts.push(purl),
            // A part that is named in words narrows to something unknown: the product means nothing then.
            None => {
                return Product {
                    name: Some(id.unwrap_or("(nameless)").chars().take(200).collect()),
                    ..Product::default()
                };
            }
        }
    }
    found
}

pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    list(value, key)
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Writes a document in OpenVEX.
#[must_use]
pub fn write(document: &Document, author: &str, at: UnixTime) -> Vec<u8> {
    let statements: Vec<Value> = document.statements.iter().map(write_statement).collect();
    let value = json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": document.id,
        "author": author,
        "timestamp": at,
        "version": 1,
        "statements": statements,
    });
    // A value made of texts can always be written.
    serde_json::to_vec_pretty(&value).unwrap_or_default()
}

/// OpenVEX 0.2.0, "Status Justifications".
const LABELS: [&str; 5] = [
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
];

fn write_statement(statement: &Statement) -> Value {
    let products: Vec<Value> = statement.products.iter().map(write_product).collect();
    let (first, aliases) = match statement.vulnerabilities.split_first() {
        Some((first, aliases)) => (first.as_str(), aliases),
        None => ("", &[][..]),
    };
    let mut value = json!({
        "vulnerability": { "name": first },
        "products": products,
        "status": statement.status.name(),
    });
    let mut set = |pointer: &str, key: &str, new: Value| {
        if let Some(Value::Object(object)) = value.pointer_mut(pointer) {
            object.insert(key.to_owned(), new);
        }
    };
    if !aliases.is_empty() {
        set("/vulnerability", "aliases", json!(aliases));
    }
    if let Some(why) = &statement.justification {
        let key = if LABELS.contains(&why.as_str()) {
            "justification"
        } else {
            "impact_statement"
        };
        set("", key, json!(why));
    }
    if let Some(at) = statement.at {
        set("", "timestamp", json!(at));
    }
    value
}

fn write_product(product: &Product) -> Value {
    let id = product.purl.as_ref().map(ToString::to_string);
    let id = id.or_else(|| product.digest.as_ref().map(ToString::to_string));
    let mut value = json!({ "@id": id.or_else(|| product.name.clone()) });
    if let (Some(digest), Value::Object(object)) = (&product.digest, &mut value) {
        object.insert("hashes".to_owned(), json!({ "sha-256": digest.hex() }));
    }
    if let (false, Value::Object(object)) = (product.parts.is_empty(), &mut value) {
        let parts: Vec<Value> = product.parts.iter().map(|part| json!({ "@id": part })).collect();
        object.insert("subcomponents".to_owned(), json!(parts));
    }
    value
}
