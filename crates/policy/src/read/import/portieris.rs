//! Portieris' `ImagePolicy` and `ClusterImagePolicy` (portieris.cloud.ibm.com/v1): the most specific repository decides.
//! What it can verify (Notary v1, GPG) cannot be kept; its allow lists can.

use serde_json::{Value, json};

use super::{Wild, document, most_specific};
use crate::error::PolicyError;
use crate::read::native::metadata_of;
use crate::read::node::Node;

pub(super) fn read(node: &Node<'_>) -> Result<Value, PolicyError> {
    node.object(&["apiVersion", "kind", "metadata", "spec"], &[], |root| {
        root.ignore(&["apiVersion"]);
        let kind = root.required("kind", "ImagePolicy or ClusterImagePolicy")?;
        let namespaced = kind.word(&[("ImagePolicy", true), ("ClusterImagePolicy", false)])?;
        let name = metadata_of(root, namespaced)?;
        let home = node.value().pointer("/metadata/namespace").filter(|_| namespaced);
        let spec = root.required("spec", "repositories")?;
        let rules = spec.object(&["repositories"], &[], |spec| {
            let entries = spec.required("repositories", "a list of repositories")?.list()?;
            let pattern = |entry: &Node<'_>| {
                entry.object(&["name", "policy"], &[], |object| {
                    object.ignore(&["policy"]);
                    Wild::read(&object.required("name", "a pattern")?)
                })
            };
            let patterns: Vec<Wild> = entries.iter().map(pattern).collect::<Result<_, _>>()?;
            let mut rules = Vec::new();
            for (position, entry) in entries.iter().enumerate() {
                let mut selection = most_specific(position, &patterns);
                if let Some(home) = home {
                    selection.insert("within".to_owned(), home.clone());
                }
                let pass = policy(entry)?;
                rules.push(json!({
                    "name": format!("repository-{position}"),
                    "match": selection,
                    "pin": false,
                    "demand": [{ "static": if pass { "pass" } else { "fail" } }],
                }));
            }
            Ok(rules)
        })?;
        Ok(document(&name, &rules))
    })
}

/// Whether the images run; everything that is to be verified is refused.
fn policy(entry: &Node<'_>) -> Result<bool, PolicyError> {
    entry.object(&["name", "policy"], &[], |object| {
        object.ignore(&["name"]);
        let Some(policy) = object.get("policy") else {
            return Ok(true);
        };
        policy.object(&["trust", "simple", "vulnerability", "mutateImage"], &[], |policy| {
            policy.ignore(&["mutateImage"]);
            for (name, field, reason) in [
                (
                    "trust",
                    "/enabled",
                    "Notary signatures are not verified; sign with cosign or proofmark",
                ),
                (
                    "vulnerability",
                    "/ICCRVA/enabled",
                    "a scan is asked for by an attestation of the type vuln",
                ),
            ] {
                if let Some(node) = policy.get(name)
                    && node.value().pointer(field) != Some(&Value::Bool(false))
                {
                    return Err(node.unsupported(reason));
                }
            }
            let Some(simple) = policy.get("simple") else {
                return Ok(true);
            };
            simple.object(
                &["requirements"],
                &[("storeURL", GPG), ("storeSecret", GPG), ("storeConfigMap", GPG)],
                |simple| {
                    let mut pass = true;
                    for item in simple.required("requirements", "a list of requirements")?.list()? {
                        pass &= item.object(
                            &["type"],
                            &[("keySecret", GPG), ("signedIdentity", GPG), ("keySecretNamespace", GPG)],
                            |item| {
                                let kind = item.required("type", "insecureAcceptAnything or reject")?;
                                if kind.value() == "signedBy" {
                                    return Err(kind.unsupported(GPG));
                                }
                                kind.word(&[("insecureAcceptAnything", true), ("reject", false)])
                            },
                        )?;
                    }
                    Ok(pass)
                },
            )
        })
    })
}

const GPG: &str = "signatures with GPG are not verified; sign with cosign or proofmark";
