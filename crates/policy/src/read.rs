//! The readers: files to documents, documents to policies.
//!
//! YAML is read into plain values first, under limits, and then field by field ([`node`]), so that every error names the
//! field by its path, and a field that no reader asks for is an error and never a rule that is silently not enforced.

mod cluster_image_policy;
mod kyverno;
mod native;
mod node;
mod signers;

use proofmark_verify::PublicKey;
use serde_json::Value;

use crate::error::{Place, PolicyError};
use crate::keys::Keys;
use crate::model::{Format, Policy};
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

pub(crate) fn policies(files: &[(&str, &[u8])], keys: &Keys<'_>) -> Result<Vec<Policy>, PolicyError> {
    let mut all: Vec<Policy> = Vec::new();
    for (file, bytes) in files {
        for document in documents(file, bytes, keys)? {
            let node = Node::root(&document, file, keys);
            let mut policy = policy(&node)?;
            policy.note_tags();
            if let Some(first) = all
                .iter()
                .find(|known| known.format == policy.format && known.name == policy.name)
            {
                return Err(PolicyError::DuplicateName {
                    kind: policy.format.kind(),
                    first: first.file.clone(),
                    place: Place {
                        file: (*file).to_owned(),
                        policy: policy.name,
                        path: String::new(),
                    },
                });
            }
            all.push(policy);
            bound_keys(&all)?;
        }
    }
    Ok(all)
}

/// A key beyond what the verifier tries would be refused as a stranger, with nothing to say why.
fn bound_keys(all: &[Policy]) -> Result<(), PolicyError> {
    let mut fingerprints: Vec<_> = all
        .iter()
        .flat_map(|policy| &policy.keys)
        .map(PublicKey::fingerprint)
        .collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    match all.last() {
        Some(last) if fingerprints.len() > MAX_KEYS => Err(PolicyError::TooManyKeys {
            place: Place {
                file: last.file.clone(),
                policy: last.name.clone(),
                path: String::new(),
            },
            seen: fingerprints.len(),
            limit: MAX_KEYS,
        }),
        _ => Ok(()),
    }
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

fn policy(node: &Node<'_>) -> Result<Policy, PolicyError> {
    let word = |name: &str| {
        let value = node.value().get(name);
        value.map_or_else(
            || format!("no {name}"),
            |value| value.as_str().map_or_else(|| describe(value), ToOwned::to_owned),
        )
    };
    let (api_version, kind) = (word("apiVersion"), word("kind"));
    match (api_version.as_str(), kind.as_str()) {
        (native::API_VERSION, "ImagePolicy") => native::read(node),
        ("kyverno.io/v1" | "kyverno.io/v2beta1", "ClusterPolicy") => kyverno::read(node, Format::Kyverno),
        ("kyverno.io/v1" | "kyverno.io/v2beta1", "Policy") => kyverno::read(node, Format::KyvernoNamespaced),
        ("policy.sigstore.dev/v1beta1" | "policy.sigstore.dev/v1alpha1", "ClusterImagePolicy") => {
            cluster_image_policy::read(node)
        }
        _ => Err(PolicyError::Kind {
            place: node.place(),
            api_version,
            kind,
        }),
    }
}

#[cfg(test)]
mod tests;
