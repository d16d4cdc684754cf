//! Policies of other products, once: as documents of our own format, which are then read as any other.
//!
//! Not live formats: the webhook does not read them, `policy convert` does. What cannot be kept (Notary, GPG, certificates
//! of one's own authority) is an error with its place, never a rule that is left out.

mod connaisseur;
mod kubewarden;
mod portieris;
mod ratify;

use serde_json::{Map, Value, json};

use super::documents;
use super::node::Node;
use crate::error::PolicyError;
use crate::image_pattern::ImagePattern;
use crate::keys::{KeyPlaces, Keys};

/// The policies of a file of Connaisseur, Kubewarden, Ratify or Portieris in our own format; `None` if it is of none of
/// them.
pub fn import_policies(file: &str, bytes: &[u8]) -> Result<Option<Vec<Value>>, PolicyError> {
    let keys = Keys::new(KeyPlaces::Local, None);
    let documents = documents(file, bytes, &keys)?;
    let mut found = Vec::new();
    for (position, document) in documents.iter().enumerate() {
        let node = Node::root(document, file, &keys);
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let imported = if document.pointer("/application/policy").is_some() {
            connaisseur::read(&node)?
        } else if version.starts_with("policies.kubewarden.io/")
            || kind.is_empty() && document.get("signatures").is_some()
        {
            kubewarden::read(&node)?
        } else if version.starts_with("config.ratify.sh/") {
            ratify::read(&node)?
        } else if version.starts_with("portieris.cloud.ibm.com/") {
            portieris::read(&node)?
        } else if position == 0 {
            return Ok(None);
        } else {
            // A file is of one product; what else stands in it would be left out.
            return Err(PolicyError::Kind {
                place: node.place(),
                api_version: version.to_owned(),
                kind: kind.to_owned(),
            });
        };
        found.push(imported);
    }
    Ok(Some(found))
}

/// A policy of our own with these rules.
fn document(name: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": super::native::API_VERSION,
        "kind": "ImagePolicy",
        "metadata": { "name": name },
        "spec": { "rules": rules },
    })
}

/// A pattern in which `*` crosses slashes, as most products have it, and the text that it was written as.
struct Wild {
    text: String,
}

impl Wild {
    fn read(node: &Node<'_>) -> Result<Self, PolicyError> {
        let text = node.string()?;
        ImagePattern::kyverno(text).map_err(|source| node.pattern(source))?;
        Ok(Self { text: text.to_owned() })
    }

    fn written(&self) -> Value {
        json!({ "kyverno": self.text })
    }

    /// Whether everything that `other` matches is matched by this one too, as texts.
    fn covers(&self, other: &Self) -> bool {
        self.text != other.text && crate::text::wildcard(&self.text, &other.text)
    }
}

/// `match` for a product in which the most specific pattern wins: without what a more specific one is about. Where two
/// patterns overlap and none is within the other, both hold here.
fn most_specific(position: usize, patterns: &[Wild]) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(own) = patterns.get(position) {
        fields.insert("images".to_owned(), json!([own.written()]));
        let within: Vec<Value> = patterns
            .iter()
            .filter(|other| own.covers(other))
            .map(Wild::written)
            .collect();
        if !within.is_empty() {
            fields.insert("exclude".to_owned(), json!(within));
        }
    }
    fields
}

#[cfg(test)]
mod tests;
