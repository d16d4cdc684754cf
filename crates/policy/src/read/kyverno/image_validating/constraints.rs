//! `matchConstraints` and `autogen`: which requests, and which kinds are read as the Pods that they make.

use super::entries;
use crate::error::PolicyError;
use crate::question::Operation;
use crate::read::kyverno::matching;
use crate::read::node::{Node, Object};
use crate::scope::Filter;
use crate::validating::{Constraints, Controller, ResourceRule, Scoped};

pub(super) fn read(spec: &Object<'_>, notes: &mut Vec<String>) -> Result<Constraints, PolicyError> {
    const FIELDS: [&str; 5] = [
        "resourceRules",
        "excludeResourceRules",
        "matchPolicy",
        "namespaceSelector",
        "objectSelector",
    ];
    let node = spec.required(
        "matchConstraints",
        "resourceRules: the resources that the policy is about",
    )?;
    let mut found = node.object(&FIELDS, &[], |object| {
        if let Some(node) = object.get("matchPolicy") {
            node.word(&[("Equivalent", ()), ("Exact", ())])?;
        }
        let selector = |name: &str| match object.get(name) {
            // An empty selector is one for everything.
            Some(node) if node.value().as_object().is_some_and(serde_json::Map::is_empty) => Ok(Vec::new()),
            Some(node) => matching::selector(&node),
            None => Ok(Vec::new()),
        };
        let list = |node: Node<'_>| entries(&node)?.iter().map(rule).collect::<Result<Vec<_>, _>>();
        Ok(Constraints {
            rules: list(object.required("resourceRules", "a list of rules")?)?,
            exclude: object.get("excludeResourceRules").map_or(Ok(Vec::new()), list)?,
            selectors: Filter {
                namespace_labels: selector("namespaceSelector")?,
                labels: selector("objectSelector")?,
                ..Filter::default()
            },
            controllers: Vec::new(),
        })
    })?;
    let wanted = autogen(spec)?;
    if can_generate(&found) {
        found.controllers = wanted.unwrap_or_else(|| Controller::ALL.to_vec());
    }
    note(&found, notes);
    Ok(found)
}

fn note(found: &Constraints, notes: &mut Vec<String>) {
    if !found.selectors.namespace_labels.is_empty() {
        notes.push("namespaceSelector: where the labels of the namespace are not known, the policy applies".to_owned());
    }
    if !found.selectors.labels.is_empty() {
        notes.push(
            "objectSelector: whoever makes an object chooses its labels, and so whether this policy is about it"
                .to_owned(),
        );
    }
    let pods = |rule: &&ResourceRule| rule.resources.iter().any(|name| name == "pods");
    if found.rules.iter().any(|rule| pods(&rule)) {
        notes.push("a rule over pods is about their ephemeral containers too (kyverno#16275)".to_owned());
    }
    let creates_only = |rule: &&ResourceRule| {
        rule.operations
            .as_ref()
            .is_some_and(|all| !all.contains(&Operation::Update))
    };
    if found.rules.iter().any(|rule| pods(&rule) && creates_only(&rule)) {
        notes.push(
            "operations: without UPDATE, the image of a container of a stored object can be changed without a check"
                .to_owned(),
        );
    }
}

/// The kinds that `autogen` names; none, if it names none.
fn autogen(spec: &Object<'_>) -> Result<Option<Vec<Controller>>, PolicyError> {
    let Some(node) = spec.get("autogen") else {
        return Ok(None);
    };
    node.object(&["podControllers"], &[], |object| {
        let Some(pods) = object.get("podControllers") else {
            return Ok(None);
        };
        pods.object(&["controllers"], &[], |pods| {
            let Some(list) = pods.get("controllers") else {
                return Ok(None);
            };
            // An empty list is how generation is turned off.
            if list.value().as_array().is_some_and(Vec::is_empty) {
                return Ok(Some(Vec::new()));
            }
            let words: Vec<(&str, Controller)> = Controller::ALL.iter().map(|known| (known.resource, *known)).collect();
            let kinds = entries(&list)?;
            kinds
                .iter()
                .map(|kind| kind.word(&words))
                .collect::<Result<Vec<_>, _>>()
                .map(Some)
        })
    })
}

/// Kyverno generates rules for controllers from a policy over Pods alone.
fn can_generate(found: &Constraints) -> bool {
    let one = |list: &[String], wanted: &str| list.len() == 1 && list.iter().all(|name| name == wanted);
    let [rule] = found.rules.as_slice() else {
        return false;
    };
    found.exclude.is_empty()
        && found.selectors.labels.is_empty()
        && rule.names.is_empty()
        && one(&rule.groups, "")
        && one(&rule.versions, "v1")
        && one(&rule.resources, "pods")
}

fn rule(node: &Node<'_>) -> Result<ResourceRule, PolicyError> {
    const FIELDS: [&str; 6] = [
        "apiGroups",
        "apiVersions",
        "operations",
        "resourceNames",
        "resources",
        "scope",
    ];
    node.object(&FIELDS, &[], |object| {
        let texts = |node: &Node<'_>| -> Result<Vec<String>, PolicyError> {
            let text = |item: &Node<'_>| {
                item.value()
                    .as_str()
                    .map(ToOwned::to_owned)
                    .ok_or_else(|| item.wrong("a text"))
            };
            entries(node)?.iter().map(text).collect()
        };
        let required = |name: &str| texts(&object.required(name, "a list")?);
        let operations = object.required("operations", "a list of operations")?;
        let words = [
            ("CREATE", Some(Operation::Create)),
            ("UPDATE", Some(Operation::Update)),
            ("DELETE", Some(Operation::Delete)),
            ("CONNECT", Some(Operation::Connect)),
            ("*", None),
        ];
        let named: Vec<Option<Operation>> = entries(&operations)?
            .iter()
            .map(|item| item.word(&words))
            .collect::<Result<_, _>>()?;
        let scope = [
            ("*", Scoped::Any),
            ("Namespaced", Scoped::Namespaced),
            ("Cluster", Scoped::Cluster),
        ];
        Ok(ResourceRule {
            groups: required("apiGroups")?,
            versions: required("apiVersions")?,
            resources: required("resources")?,
            names: object
                .get("resourceNames")
                .map_or(Ok(Vec::new()), |node| texts(&node))?,
            // One "*" makes it all of them.
            operations: named.into_iter().collect(),
            scope: object.get("scope").map_or(Ok(Scoped::Any), |node| node.word(&scope))?,
        })
    })
}
