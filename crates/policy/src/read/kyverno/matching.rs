//! `match` and `exclude`: which objects a rule concerns.

use crate::error::PolicyError;
use crate::model::{Filter, Filters, Scope};
use crate::question::Operation;
use crate::read::node::{Node, Object};

/// Kyverno applies rules for Pods to what makes Pods as well (autogen), unless an annotation says otherwise.
pub(super) struct Autogen(Vec<String>);

const CONTROLLERS: [&str; 7] = [
    "DaemonSet",
    "Deployment",
    "Job",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
    "CronJob",
];

impl Autogen {
    pub(super) fn of(node: &Node<'_>) -> Self {
        let annotation = node
            .value()
            .pointer("/metadata/annotations/pod-policies.kyverno.io~1autogen-controllers")
            .and_then(serde_json::Value::as_str);
        Self(match annotation {
            None | Some("all") => CONTROLLERS.map(ToOwned::to_owned).to_vec(),
            Some("none") => Vec::new(),
            Some(list) => list.split(',').map(|kind| kind.trim().to_owned()).collect(),
        })
    }
}

pub(super) fn scope(rule: &Object<'_>, autogen: &Autogen) -> Result<Scope, PolicyError> {
    let include = filters(
        &rule.required("match", "the objects that the rule concerns")?,
        Some(autogen),
    )?;
    let exclude = rule.get("exclude").map(|node| filters(&node, None)).transpose()?;
    Ok(Scope {
        include: Some(include),
        exclude,
    })
}

/// By whom is not asked here.
const BY_WHOM: [(&str, &str); 3] = [
    (
        "subjects",
        "who makes the object is not asked: an image is signed or not, whoever runs it",
    ),
    (
        "roles",
        "who makes the object is not asked: an image is signed or not, whoever runs it",
    ),
    (
        "clusterRoles",
        "who makes the object is not asked: an image is signed or not, whoever runs it",
    ),
];

fn filters(node: &Node<'_>, autogen: Option<&Autogen>) -> Result<Filters, PolicyError> {
    node.object(&["any", "all", "resources"], &BY_WHOM, |object| {
        match (object.get("any"), object.get("all"), object.get("resources")) {
            (Some(any), None, None) => Ok(Filters::Any(list(&any, autogen)?)),
            (None, Some(all), None) => Ok(Filters::All(list(&all, autogen)?)),
            (None, None, Some(resources)) => Ok(Filters::All(vec![filter(&resources, autogen)?])),
            _ => Err(node.wrong("exactly one of any, all and resources")),
        }
    })
}

fn list(node: &Node<'_>, autogen: Option<&Autogen>) -> Result<Vec<Filter>, PolicyError> {
    let read = |item: &Node<'_>| {
        item.object(&["resources"], &BY_WHOM, |object| {
            filter(&object.required("resources", "kinds")?, autogen)
        })
    };
    node.list()?.iter().map(read).collect()
}

fn filter(node: &Node<'_>, autogen: Option<&Autogen>) -> Result<Filter, PolicyError> {
    const BY_LABEL: &str = "labels and annotations can be set by whoever makes the object; select by namespace";
    const UNSUPPORTED: [(&str, &str); 3] = [
        ("selector", BY_LABEL),
        ("annotations", BY_LABEL),
        (
            "namespaceSelector",
            "labels of namespaces are not looked up; put the selector into the webhook's own configuration",
        ),
    ];
    const FIELDS: [&str; 5] = ["kinds", "namespaces", "names", "name", "operations"];
    node.object(&FIELDS, &UNSUPPORTED, |object| {
        let texts = |name: &str| -> Result<Vec<String>, PolicyError> {
            let found = object.get(name).map_or(Ok(Vec::new()), |node| node.strings())?;
            Ok(found.into_iter().map(ToOwned::to_owned).collect())
        };
        let written = object.get("kinds").map_or(Ok(Vec::new()), |node| node.list())?;
        let mut kinds = written
            .iter()
            .map(|node| kind(node, autogen.is_none()))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(Autogen(controllers)) = autogen
            && kinds.iter().any(|kind| kind == "Pod")
        {
            kinds.extend(controllers.iter().cloned());
        }
        let mut names = texts("names")?;
        names.extend(object.string("name")?.map(ToOwned::to_owned));
        let operations = object.get("operations").map_or(Ok(Vec::new()), |node| {
            let word = |item: &Node<'_>| {
                item.word(&[
                    ("CREATE", Operation::Create),
                    ("UPDATE", Operation::Update),
                    ("DELETE", Operation::Delete),
                    ("CONNECT", Operation::Connect),
                ])
            };
            node.list()?.iter().map(word).collect()
        })?;
        let filter = Filter {
            kinds,
            namespaces: texts("namespaces")?,
            names,
            operations,
        };
        if filter.kinds.is_empty() && filter.namespaces.is_empty() && filter.names.is_empty() {
            return Err(node.wrong("kinds, namespaces or names"));
        }
        Ok(filter)
    })
}

/// The kind of `Pod`, `v1/Pod`, `apps/v1/Deployment` and `Pod/ephemeralcontainers`. Sub-resources are not told apart, so
/// that one cannot be excluded: that would exclude all of the kind.
fn kind(node: &Node<'_>, excluded: bool) -> Result<String, PolicyError> {
    let text = node.string()?;
    let named = |part: &str| part.starts_with(|c: char| c.is_ascii_uppercase() || c == '*' || c == '?');
    let parts: Vec<&str> = text.split('/').collect();
    let upper = |part: &&str| part.starts_with(|c: char| c.is_ascii_uppercase());
    let position = parts
        .iter()
        .rposition(upper)
        .unwrap_or_else(|| parts.len().saturating_sub(1));
    if excluded && position + 1 < parts.len() {
        return Err(node.unsupported("a sub-resource cannot be excluded on its own"));
    }
    let plain = |part: &&&str| named(part) && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '*' || c == '?');
    let found = parts.get(position).filter(plain);
    // A kind that there is not would be a rule that is not enforced.
    found
        .map(|kind| (*kind).to_owned())
        .ok_or_else(|| node.wrong("a kind such as Pod, v1/Pod or apps/v1/Deployment"))
}
