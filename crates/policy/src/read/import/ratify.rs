//! Ratify's `Executor` (config.ratify.sh/v2alpha1): verifiers of cosign, under a threshold.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::document;
use crate::error::PolicyError;
use crate::read::native::metadata_of;
use crate::read::node::{Node, Object};

pub(super) fn read(node: &Node<'_>) -> Result<Value, PolicyError> {
    node.object(&["apiVersion", "kind", "metadata", "spec", "status"], &[], |root| {
        root.ignore(&["apiVersion", "status"]);
        let kind = root.required("kind", "Executor or NamespacedExecutor")?;
        let namespaced = kind.word(&[("Executor", false), ("NamespacedExecutor", true)])?;
        let name = metadata_of(root, namespaced)?;
        let home = node.value().pointer("/metadata/namespace").filter(|_| namespaced);
        const FIELDS: [&str; 5] = ["scopes", "verifiers", "stores", "policyEnforcer", "concurrency"];
        let rule = root
            .required("spec", "scopes and verifiers")?
            .object(&FIELDS, &[], |spec| {
                // Where evidence is read from, and how much at once, is the server's own.
                spec.ignore(&["stores", "concurrency"]);
                let images: Vec<String> = spec
                    .required("scopes", "a list of registries and repositories")?
                    .list()?
                    .iter()
                    .map(scope)
                    .collect::<Result<_, _>>()?;
                let mut verifiers = BTreeMap::new();
                for item in spec.required("verifiers", "a list of verifiers")?.list()? {
                    let (name, signers) = verifier(&item)?;
                    verifiers.insert(name, signers);
                }
                let demand = match spec.get("policyEnforcer") {
                    None => json!({ "allOf": verifiers.values().collect::<Vec<_>>() }),
                    Some(enforcer) => enforced(&enforcer, &verifiers)?,
                };
                let mut selection = Map::from_iter([("images".to_owned(), json!(images))]);
                if let Some(home) = home {
                    selection.insert("within".to_owned(), home.clone());
                }
                Ok(json!({ "name": "executor", "match": selection, "demand": [demand] }))
            })?;
        Ok(document(&name, &[rule]))
    })
}

/// A registry is all of it, a repository itself; `*.example.com` a registry below a domain.
fn scope(node: &Node<'_>) -> Result<String, PolicyError> {
    let text = node.string()?;
    if text.contains(':') && text.contains('/') || text.contains('@') {
        return Err(node.wrong("a registry or a repository"));
    }
    Ok(if text.contains('/') {
        text.to_owned()
    } else {
        format!("{text}/**")
    })
}

/// A verifier and what it demands.
fn verifier(node: &Node<'_>) -> Result<(String, Value), PolicyError> {
    node.object(&["name", "type", "parameters"], &[], |object| {
        let name = object.required("name", "a name")?.string()?.to_owned();
        let kind = object.required("type", "cosign")?;
        if kind.string()? != "cosign" {
            return Err(kind.unsupported("only verifiers of cosign signatures are read; Notation's are not verified"));
        }
        let parameters = object.required("parameters", "trustPolicies")?;
        let policies = parameters.object(&["trustPolicies"], &[], |parameters| {
            parameters
                .required("trustPolicies", "a list of keys and identities")?
                .list()
        })?;
        let [policy] = policies.as_slice() else {
            return Err(parameters.unsupported(
                "several trust policies of one verifier: write a verifier and an Executor for each scope",
            ));
        };
        Ok((name, json!({ "signatures": { "signers": [signer(policy)?] } })))
    })
}

fn signer(node: &Node<'_>) -> Result<Value, PolicyError> {
    const UNSUPPORTED: [(&str, &str); 2] = [
        (
            "keyProvider",
            "write the public key itself into an ImagePolicy, or where it lives",
        ),
        (
            "trustRoot",
            "the trust root of the server decides which authorities are trusted",
        ),
    ];
    const FIELDS: [&str; 8] = [
        "scopes",
        "key",
        "certificateIdentity",
        "certificateIdentityRegex",
        "certificateOIDCIssuer",
        "certificateOIDCIssuerRegex",
        "ignoreTLog",
        "ignoreCTLog",
    ];
    node.object(&FIELDS, &UNSUPPORTED, |policy: &Object<'_>| {
        // The scopes of the Executor are those of its one policy.
        policy.ignore(&["scopes"]);
        let mut keyless = Map::new();
        for (theirs, ours) in [
            ("certificateIdentity", "subject"),
            ("certificateIdentityRegex", "subjectRegExp"),
            ("certificateOIDCIssuer", "issuer"),
            ("certificateOIDCIssuerRegex", "issuerRegExp"),
        ] {
            // Empty is absent there.
            if let Some(node) = policy.get(theirs).filter(|node| node.value() != "") {
                keyless.insert(ours.to_owned(), json!(node.string()?));
            }
        }
        let mut signer = match policy.get("key") {
            Some(key) if keyless.is_empty() => Map::from_iter([("key".to_owned(), json!(key.string()?))]),
            Some(key) => return Err(key.unsupported("an identity stands beside it")),
            None => Map::from_iter([("keyless".to_owned(), Value::Object(keyless))]),
        };
        for (theirs, ours) in [("ignoreTLog", "requireLog"), ("ignoreCTLog", "requireSct")] {
            if policy.boolean(theirs, false)? {
                signer.insert(ours.to_owned(), json!(false));
            }
        }
        Ok(Value::Object(signer))
    })
}

/// `threshold-policy`: so many rules, which may nest; without a threshold all.
fn enforced(node: &Node<'_>, verifiers: &BTreeMap<String, Value>) -> Result<Value, PolicyError> {
    node.object(&["type", "parameters"], &[], |enforcer| {
        let kind = enforcer.required("type", "threshold-policy")?;
        kind.word(&[("threshold-policy", ())])?;
        let parameters = enforcer.required("parameters", "policy")?;
        parameters.object(&["policy"], &[], |parameters| {
            threshold(&parameters.required("policy", "rules")?, verifiers, 0)
        })
    })
}

fn threshold(node: &Node<'_>, verifiers: &BTreeMap<String, Value>, depth: usize) -> Result<Value, PolicyError> {
    if depth > 4 {
        return Err(node.wrong("rules nested at most four deep"));
    }
    node.object(&["threshold", "rules", "verifierName"], &[], |object| {
        if let Some(name) = object.get("verifierName") {
            let known = verifiers.get(name.string()?);
            return known
                .cloned()
                .ok_or_else(|| name.wrong("the name of a verifier that there is"));
        }
        let list = object.required("rules", "a list of rules")?.list()?;
        let parts: Vec<Value> = list
            .iter()
            .map(|item| threshold(item, verifiers, depth + 1))
            .collect::<Result<_, _>>()?;
        let wanted = match object.get("threshold") {
            None => parts.len(),
            // 0 is all there.
            Some(node) if node.value() == 0 => parts.len(),
            Some(node) => node.count()?,
        };
        if wanted == parts.len() {
            Ok(json!({ "allOf": parts }))
        } else if wanted == 1 {
            Ok(json!({ "anyOf": parts }))
        } else {
            Err(object.get("threshold").unwrap_or_else(|| node.clone()).unsupported(
                "some of several verifiers: an ImagePolicy counts signers of one list; write them into one",
            ))
        }
    })
}
