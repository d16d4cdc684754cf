//! The readers: files to documents, documents to policies.
//!
//! YAML is read into plain values first, under limits, and then field by field ([`node`]), so that every error names the
//! field by its path, and a field that no reader asks for is an error and never a rule that is silently not enforced.

mod cluster_image_policy;
mod import;
mod kyverno;
mod native;
mod node;
mod signers;

pub use import::import_policies;
use proofmark_verify::PublicKey;
use serde_json::Value;

use crate::error::{Place, PolicyError};
use crate::keys::Keys;
use crate::model::{Format, Policy};
use crate::validating::{Excepted, Exception, ObjectPolicy};
use node::{Node, describe};

/// A policy is text that people write and review; etcd, which Kubernetes keeps objects in, takes 1.5 MiB.
const MAX_FILE_BYTES: usize = 1_500_000;

/// Nesting of YAML; the deepest field of the formats read here is at twelve.
const MAX_DEPTH: usize = 48;

/// Documents in one file, and items in one list.
const MAX_DOCUMENTS: usize = 1000;

/// Different keys in all policies: what `proofmark_verify::Verifier` tries on one signature.
pub(crate) const MAX_KEYS: usize = 64;

/// Values in one file; a policy of 1.5 MB has fewer.
const MAX_NODES: usize = 200_000;

/// What files of policies hold.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) policies: Vec<Policy>,
    pub(crate) objects: Vec<ObjectPolicy>,
    pub(crate) exceptions: Vec<Exception>,
}

/// One document.
enum Document {
    Policy(Policy),
    Object(Box<ObjectPolicy>),
    Exception(Exception),
}

pub(crate) fn policies(files: &[(&str, &[u8])], keys: &Keys<'_>) -> Result<Read, PolicyError> {
    let mut all = Read::default();
    for (file, bytes) in files {
        for document in documents(file, bytes, keys)? {
            let node = Node::root(&document, file, keys);
            match read_document(&node)? {
                Document::Policy(mut policy) => {
                    policy.note_tags();
                    all.single(policy.format.kind(), &policy.name, file)?;
                    all.policies.push(policy);
                }
                Document::Object(policy) => {
                    all.single(policy.format.kind(), &policy.name, file)?;
                    all.objects.push(*policy);
                }
                Document::Exception(exception) => {
                    all.single(EXCEPTION, &exception.name, file)?;
                    all.exceptions.push(exception);
                }
            }
            bound_keys(&all, file, node.place().policy)?;
        }
    }
    note_exceptions(&mut all);
    Ok(all)
}

const EXCEPTION: &str = "PolicyException";

impl Read {
    /// Refuses a second document of the same kind and name.
    fn single(&self, kind: &'static str, name: &str, file: &str) -> Result<(), PolicyError> {
        let policies = self
            .policies
            .iter()
            .map(|known| (known.format.kind(), &known.name, &known.file));
        let objects = self
            .objects
            .iter()
            .map(|known| (known.format.kind(), &known.name, &known.file));
        let exceptions = self
            .exceptions
            .iter()
            .map(|known| (EXCEPTION, &known.name, &known.file));
        let mut all = policies.chain(objects).chain(exceptions);
        match all.find(|(known, other, _)| *known == kind && *other == name) {
            None => Ok(()),
            Some((_, _, first)) => Err(PolicyError::DuplicateName {
                kind,
                first: first.clone(),
                place: Place {
                    file: file.to_owned(),
                    policy: name.to_owned(),
                    path: String::new(),
                },
            }),
        }
    }
}

/// Says of each exception which policy of this set it is from: one that is from none may be misspelled.
fn note_exceptions(all: &mut Read) {
    let objects: Vec<_> = all
        .objects
        .iter()
        .map(|policy| (policy.format, policy.name.clone()))
        .collect();
    let rules: Vec<String> = all
        .policies
        .iter()
        .filter(|policy| matches!(policy.format, Format::Kyverno | Format::KyvernoNamespaced))
        .map(|policy| policy.name.clone())
        .collect();
    for exception in &mut all.exceptions {
        let unknown: Vec<String> = match &exception.to {
            Excepted::Rules { rules: named, .. } => named
                .iter()
                .map(|(name, _)| name.clone())
                .filter(|name| !rules.contains(name))
                .collect(),
            Excepted::Objects(detail) => {
                let missing = detail.policies.iter().filter(|policy| !objects.contains(policy));
                missing
                    .map(|(format, name)| format!("{} {name}", format.kind()))
                    .collect()
            }
        };
        let notes = unknown
            .iter()
            .map(|name| format!("it is from {name}, which is not among these policies"));
        exception.notes.extend(notes);
    }
}

/// A key beyond what the verifier tries would be refused as a stranger, with nothing to say why.
fn bound_keys(all: &Read, file: &str, policy: String) -> Result<(), PolicyError> {
    let of_objects = all.objects.iter().flat_map(|policy| &policy.keys);
    let mut fingerprints: Vec<_> = all
        .policies
        .iter()
        .flat_map(|policy| &policy.keys)
        .chain(of_objects)
        .map(PublicKey::fingerprint)
        .collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    if fingerprints.len() <= MAX_KEYS {
        return Ok(());
    }
    Err(PolicyError::TooManyKeys {
        place: Place {
            file: file.to_owned(),
            policy,
            path: String::new(),
        },
        seen: fingerprints.len(),
        limit: MAX_KEYS,
    })
}

/// The documents of a file, those of lists taken out.
fn documents(file: &str, bytes: &[u8], keys: &Keys<'_>) -> Result<Vec<Value>, PolicyError> {
    let place = || Place {
        file: file.to_owned(),
        ..Place::default()
    };
    let yaml = |reason: String| PolicyError::Yaml { place: place(), reason };
    if bytes.len() > MAX_FILE_BYTES {
        return Err(PolicyError::TooLarge {
            place: place(),
            size: bytes.len(),
            limit: MAX_FILE_BYTES,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| yaml(format!("not UTF-8: {error}")))?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: MAX_DOCUMENTS,
            max_nodes: MAX_NODES,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    let roots: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| yaml(error.to_string()))?;
    let mut found = Vec::new();
    for root in roots {
        if root.get("kind").and_then(Value::as_str) == Some("List") {
            let node = Node::root(&root, file, keys);
            let items = node.object(&["apiVersion", "kind", "metadata", "items"], &[], |list| {
                list.ignore(&["apiVersion", "kind", "metadata"]);
                Ok(list
                    .required("items", "a list of policies")?
                    .list()?
                    .into_iter()
                    .map(|item| item.value().clone())
                    .collect::<Vec<_>>())
            })?;
            found.extend(items);
        } else if !root.is_null() {
            found.push(root);
        }
    }
    if found.is_empty() {
        return Err(PolicyError::Empty { place: place() });
    }
    Ok(found)
}

fn read_document(node: &Node<'_>) -> Result<Document, PolicyError> {
    let word = |name: &str| {
        let value = node.value().get(name);
        value.map_or_else(
            || format!("no {name}"),
            |value| value.as_str().map_or_else(|| describe(value), ToOwned::to_owned),
        )
    };
    let (api_version, kind) = (word("apiVersion"), word("kind"));
    match (api_version.as_str(), kind.as_str()) {
        (native::API_VERSION, "ImagePolicy") => native::read(node).map(Document::Policy),
        ("kyverno.io/v1" | "kyverno.io/v2beta1", "ClusterPolicy") => {
            kyverno::read(node, Format::Kyverno).map(Document::Policy)
        }
        ("kyverno.io/v1" | "kyverno.io/v2beta1", "Policy") => {
            kyverno::read(node, Format::KyvernoNamespaced).map(Document::Policy)
        }
        (kyverno::CEL_V1 | kyverno::CEL_V1BETA1 | kyverno::CEL_V1ALPHA1, "ImageValidatingPolicy") => {
            kyverno::image_validating(node, false)
                .map(Box::new)
                .map(Document::Object)
        }
        (kyverno::CEL_V1 | kyverno::CEL_V1BETA1 | kyverno::CEL_V1ALPHA1, "NamespacedImageValidatingPolicy") => {
            kyverno::image_validating(node, true)
                .map(Box::new)
                .map(Document::Object)
        }
        (kyverno::CEL_V1 | kyverno::CEL_V1BETA1 | kyverno::CEL_V1ALPHA1, EXCEPTION) => {
            kyverno::object_exception(node).map(Document::Exception)
        }
        ("kyverno.io/v2" | "kyverno.io/v2beta1", EXCEPTION) => kyverno::rule_exception(node).map(Document::Exception),
        ("policy.sigstore.dev/v1beta1" | "policy.sigstore.dev/v1alpha1", "ClusterImagePolicy") => {
            cluster_image_policy::read(node).map(Document::Policy)
        }
        ("v1", "ConfigMap") if word_of(node, "/metadata/name") == Some("config-policy-controller") => {
            cluster_image_policy::controller_config(node).map(Document::Policy)
        }
        _ => Err(PolicyError::Kind {
            place: node.place(),
            api_version,
            kind,
        }),
    }
}

fn word_of<'a>(node: &Node<'a>, pointer: &str) -> Option<&'a str> {
    node.value().pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
