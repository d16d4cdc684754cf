//! `PolicyException`: of `kyverno.io/v2` from rules of `ClusterPolicy`, of `policies.kyverno.io` from policies in CEL.
//!
//! An exception lets something through. So it is read narrowly, and each one that applies is reported.

use proofmark_types::UnixTime;
use serde_json::Value;

use super::image_validating::{conditions, entries};
use super::matching;
use crate::error::PolicyError;
use crate::image_pattern::ImagePattern;
use crate::model::{Format, Policy};
use crate::read::native::metadata_of;
use crate::read::node::{Node, Object};
use crate::validating::{Excepted, Exception, ObjectException};

const ROOT: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// From rules of `ClusterPolicy`.
pub(in crate::read) fn rules(node: &Node<'_>) -> Result<Exception, PolicyError> {
    const UNSUPPORTED: [(&str, &str); 2] = [
        ("conditions", "conditions over the object are not read in this version"),
        ("podSecurity", "only exceptions from policies over images are read"),
    ];
    exception(node, |spec, _, exception| {
        spec.object(&["exceptions", "match", "background"], &UNSUPPORTED, |spec| {
            spec.ignore(&["background"]);
            let mut rules = Vec::new();
            for item in entries(&spec.required("exceptions", "policies and their rules")?)? {
                rules.push(item.object(&["policyName", "ruleNames"], &[], |item| {
                    let policy = item
                        .required("policyName", "the name of a policy")?
                        .string()?
                        .to_owned();
                    let names = item.required("ruleNames", "the names of rules")?.strings()?;
                    Ok((policy, names.into_iter().map(ToOwned::to_owned).collect()))
                })?);
            }
            // As an `exclude`: what is not known of an object does not make the exception apply.
            let mut notes = Policy::new(String::new(), Format::Kyverno, String::new());
            let objects = matching::filters(&spec.required("match", "the objects")?, None, &mut notes)?;
            exception.notes.append(&mut notes.notes);
            exception.to = Excepted::Rules { rules, objects };
            Ok(())
        })
    })
}

/// From policies in CEL.
pub(in crate::read) fn objects(node: &Node<'_>) -> Result<Exception, PolicyError> {
    const FIELDS: [&str; 8] = [
        "policyRefs",
        "matchConditions",
        "images",
        "allowedValues",
        "expiresAt",
        "reportResult",
        "properties",
        "evaluationMode",
    ];
    exception(node, |spec, own, exception| {
        spec.object(&FIELDS, &[], |spec| {
            spec.ignore(&["properties", "evaluationMode"]);
            if let Some(node) = spec.get("reportResult") {
                node.word(&[("skip", ()), ("pass", ())])?;
            }
            exception.expires = spec.get("expiresAt").map(|node| time(&node)).transpose()?;
            let detail = detail(spec, own, &mut exception.notes)?;
            if detail.conditions.is_empty() {
                exception
                    .notes
                    .push("it has no matchConditions: every object is meant".to_owned());
            }
            if !detail.images.is_empty() {
                exception
                    .notes
                    .push("images: only these are left alone; Kyverno leaves the whole object alone".to_owned());
            }
            if exception.expires.is_none() {
                exception
                    .notes
                    .push("it has no expiresAt, and holds for ever".to_owned());
            }
            exception.to = Excepted::Objects(Box::new(detail));
            Ok(())
        })
    })
}

fn exception(
    node: &Node<'_>,
    read: impl FnOnce(&Node<'_>, Option<&str>, &mut Exception) -> Result<(), PolicyError>,
) -> Result<Exception, PolicyError> {
    node.object(&ROOT, &[], |root| {
        root.ignore(&["apiVersion", "kind", "status"]);
        let name = metadata_of(root, true)?;
        let namespace = node.value().pointer("/metadata/namespace").and_then(Value::as_str);
        let mut exception = Exception {
            name: namespace.map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}")),
            file: node.place().file,
            to: Excepted::Objects(Box::new(ObjectException {
                policies: Vec::new(),
                conditions: Vec::new(),
                images: Vec::new(),
                allowed_values: Vec::new(),
            })),
            expires: None,
            notes: Vec::new(),
        };
        let spec = root.required("spec", "what the exception is from")?;
        read(&spec, namespace, &mut exception)?;
        Ok(exception)
    })
}

/// Kyverno's other policies in CEL: they say nothing about images, and an exception from them means nothing here.
const OTHERS: [&str; 8] = [
    "ValidatingPolicy",
    "NamespacedValidatingPolicy",
    "MutatingPolicy",
    "NamespacedMutatingPolicy",
    "GeneratingPolicy",
    "NamespacedGeneratingPolicy",
    "DeletingPolicy",
    "NamespacedDeletingPolicy",
];

fn detail(
    spec: &Object<'_>,
    own_namespace: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<ObjectException, PolicyError> {
    let mut policies = Vec::new();
    for item in entries(&spec.required("policyRefs", "the policies")?)? {
        policies.extend(item.object(&["name", "kind"], &[], |reference| {
            let name = reference.required("name", "the name of a policy")?.string()?;
            let kind = reference.required("kind", "the kind of the policy")?;
            if OTHERS.contains(&kind.string()?) {
                notes.push(format!(
                    "it is from {} {name}, which says nothing about images",
                    kind.string()?
                ));
                return Ok(None);
            }
            let format = kind.word(&[
                ("ImageValidatingPolicy", Format::ImageValidating),
                ("NamespacedImageValidatingPolicy", Format::NamespacedImageValidating),
            ])?;
            Ok(Some(match (format, own_namespace) {
                // An exception is from a policy of its own namespace; it does not reach into others.
                (Format::NamespacedImageValidating, Some(namespace)) => (format, format!("{namespace}/{name}")),
                (Format::NamespacedImageValidating, None) => {
                    return Err(kind.unsupported("an exception without a namespace names no policy of one"));
                }
                _ => (format, name.to_owned()),
            }))
        })?);
    }
    let list = |name: &str| spec.get(name).map_or(Ok(Vec::new()), |node| entries(&node));
    let images = list("images")?;
    let pattern = |node: &Node<'_>| ImagePattern::kyverno(node.string()?).map_err(|error| node.pattern(error));
    let values = list("allowedValues")?;
    Ok(ObjectException {
        policies,
        conditions: match spec.get("matchConditions") {
            Some(node) => conditions(&node)?,
            None => Vec::new(),
        },
        images: images.iter().map(pattern).collect::<Result<_, _>>()?,
        allowed_values: values
            .iter()
            .map(|node| Ok(node.string()?.to_owned()))
            .collect::<Result<_, _>>()?,
    })
}

fn time(node: &Node<'_>) -> Result<UnixTime, PolicyError> {
    UnixTime::parse(node.string()?).map_err(|_| node.wrong("a time such as 2026-12-31T00:00:00Z"))
}
