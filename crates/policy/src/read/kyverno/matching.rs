//! `match` and `exclude`: which objects a rule concerns.

use super::conditions;
use crate::error::PolicyError;
use crate::model::{Format, Policy};
use crate::question::Operation;
use crate::read::node::{Node, Object};
use crate::scope::{Filter, Filters, LabelRule, LabelTest, Scope, Subject};

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

pub(super) fn scope(rule: &Object<'_>, autogen: &Autogen, policy: &mut Policy) -> Result<Scope, PolicyError> {
    let include = filters(
        &rule.required("match", "the objects that the rule concerns")?,
        Some(autogen),
        policy,
    )?;
    let exclude = rule
        .get("exclude")
        .map(|node| filters(&node, None, policy))
        .transpose()?;
    let preconditions = match rule.get("preconditions") {
        None => Vec::new(),
        Some(node) => {
            policy.note(
                "preconditions: the rule holds wherever they cannot be evaluated, or the object is not known; Kyverno ends with an error",
            );
            conditions::over_request(&node)?
        }
    };
    Ok(Scope {
        within: None,
        include: Some(include),
        exclude,
        preconditions,
    })
}

/// The same in our own format: written out, without what Kyverno adds.
pub(in crate::read) fn objects(node: &Node<'_>, policy: &mut Policy) -> Result<Filters, PolicyError> {
    filters(node, None, policy)
}

/// One filter of it.
pub(in crate::read) fn object_filter(node: &Node<'_>, policy: &mut Policy) -> Result<Filter, PolicyError> {
    node.object(&["resources", "subjects"], &ROLES, |object| one(object, None, policy))
}

/// Roles are bound somewhere else: nobody here looks them up.
const ROLES: [(&str, &str); 2] = [
    ("roles", "bindings of roles are not looked up; name the subjects"),
    ("clusterRoles", "bindings of roles are not looked up; name the subjects"),
];

pub(super) fn filters(node: &Node<'_>, autogen: Option<&Autogen>, policy: &mut Policy) -> Result<Filters, PolicyError> {
    node.object(&["any", "all", "resources", "subjects"], &ROLES, |object| {
        match (object.get("any"), object.get("all")) {
            (Some(any), None) => Ok(Filters::Any(list(&any, autogen, policy)?)),
            (None, Some(all)) => Ok(Filters::All(list(&all, autogen, policy)?)),
            (None, None) => Ok(Filters::All(vec![one(object, autogen, policy)?])),
            (Some(_), Some(_)) => Err(node.wrong("exactly one of any, all and resources")),
        }
    })
}

fn list(node: &Node<'_>, autogen: Option<&Autogen>, policy: &mut Policy) -> Result<Vec<Filter>, PolicyError> {
    let mut found = Vec::new();
    for item in node.list()? {
        found.push(item.object(&["resources", "subjects"], &ROLES, |object| {
            one(object, autogen, policy)
        })?);
    }
    Ok(found)
}

/// `resources`, `subjects`, or both.
fn one(object: &Object<'_>, autogen: Option<&Autogen>, policy: &mut Policy) -> Result<Filter, PolicyError> {
    let subjects = object.get("subjects").map_or(Ok(Vec::new()), |node| {
        node.list()?.iter().map(subject).collect::<Result<Vec<_>, _>>()
    })?;
    let filter = match object.get("resources") {
        Some(node) => filter(&node, autogen, policy)?,
        None if !subjects.is_empty() => Filter::default(),
        None => {
            return Err(PolicyError::Missing {
                place: object.place(),
                expected: "any, all, resources or subjects".to_owned(),
            });
        }
    };
    if !subjects.is_empty() && autogen.is_none() {
        policy.note("exclude by subjects: whoever can act as one of them is not asked for signatures");
    }
    Ok(Filter { subjects, ..filter })
}

/// As in a role binding (rbac.authorization.k8s.io/v1).
fn subject(node: &Node<'_>) -> Result<Subject, PolicyError> {
    node.object(&["kind", "name", "namespace", "apiGroup"], &[], |object| {
        object.ignore(&["apiGroup"]);
        let name = object.required("name", "a name")?.string()?.to_owned();
        let kind = object.required("kind", "User, Group or ServiceAccount")?;
        match kind.string()? {
            "User" => Ok(Subject::User(name)),
            "Group" => Ok(Subject::Group(name)),
            "ServiceAccount" => {
                let namespace = object.required("namespace", "the namespace of the account")?.string()?;
                Ok(Subject::ServiceAccount(format!(
                    "system:serviceaccount:{namespace}:{name}"
                )))
            }
            _ => Err(kind.wrong("User, Group or ServiceAccount")),
        }
    })
}

const RESOURCES: [&str; 9] = [
    "annotationSelector",
    "kinds",
    "namespaces",
    "names",
    "name",
    "operations",
    "selector",
    "annotations",
    "namespaceSelector",
];

fn filter(node: &Node<'_>, autogen: Option<&Autogen>, policy: &mut Policy) -> Result<Filter, PolicyError> {
    node.object(&RESOURCES, &[], |object| {
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
        let mut annotations = object.get("annotations").map_or(Ok(Vec::new()), |node| labels(&node))?;
        if policy.format == Format::Native {
            // What the annotations of Kyverno are, in the words of the others.
            let more = object.get("annotationSelector");
            annotations.extend(more.map_or(Ok(Vec::new()), |node| selector(&node))?);
        }
        let filter = Filter {
            kinds,
            namespaces: texts("namespaces")?,
            names,
            operations: operations(object)?,
            labels: object.get("selector").map_or(Ok(Vec::new()), |node| selector(&node))?,
            annotations,
            namespace_labels: object
                .get("namespaceSelector")
                .map_or(Ok(Vec::new()), |node| selector(&node))?,
            subjects: Vec::new(),
        };
        note_labels(&filter, autogen.is_none(), policy);
        let by_label = [&filter.labels, &filter.annotations, &filter.namespace_labels];
        let demands = [&filter.kinds, &filter.namespaces, &filter.names]
            .iter()
            .any(|list| !list.is_empty())
            || by_label.iter().any(|rules| !rules.is_empty());
        if !demands {
            return Err(node.wrong("kinds, namespaces, names or selectors"));
        }
        Ok(filter)
    })
}

fn note_labels(filter: &Filter, excluded: bool, policy: &mut Policy) {
    if !filter.labels.is_empty() || !filter.annotations.is_empty() {
        policy.note(if excluded {
            "exclude by labels or annotations of the object: whoever makes it can set them, and is not asked for signatures then"
        } else {
            "match by labels or annotations of the object: whoever makes it can leave them away, and is not asked for signatures then"
        });
    }
    if !filter.namespace_labels.is_empty() {
        policy.note("namespaceSelector: where the labels of the namespace are not known, the rule holds");
    }
}

fn operations(object: &Object<'_>) -> Result<Vec<Operation>, PolicyError> {
    object.get("operations").map_or(Ok(Vec::new()), |node| {
        let word = |item: &Node<'_>| {
            item.word(&[
                ("CREATE", Operation::Create),
                ("UPDATE", Operation::Update),
                ("DELETE", Operation::Delete),
                ("CONNECT", Operation::Connect),
            ])
        };
        node.list()?.iter().map(word).collect()
    })
}

/// A label selector of Kubernetes; Kyverno reads wildcards in `matchLabels`.
pub(in crate::read) fn selector(node: &Node<'_>) -> Result<Vec<LabelRule>, PolicyError> {
    node.object(&["matchLabels", "matchExpressions"], &[], |object| {
        let mut rules = object.get("matchLabels").map_or(Ok(Vec::new()), |node| labels(&node))?;
        if let Some(list) = object.get("matchExpressions") {
            for item in list.list()? {
                rules.push(item.object(&["key", "operator", "values"], &[], expression)?);
            }
        }
        if rules.is_empty() {
            return Err(node.wrong("matchLabels or matchExpressions"));
        }
        Ok(rules)
    })
}

fn expression(object: &Object<'_>) -> Result<LabelRule, PolicyError> {
    let key = object.required("key", "a label")?.string()?.to_owned();
    let operator = object.required("operator", "In, NotIn, Exists or DoesNotExist")?;
    let values = || -> Result<Vec<String>, PolicyError> {
        let list = object.required("values", "a list of values")?.strings()?;
        Ok(list.into_iter().map(ToOwned::to_owned).collect())
    };
    let test = match operator.string()? {
        "In" => LabelTest::In(values()?),
        "NotIn" => LabelTest::NotIn(values()?),
        "Exists" => LabelTest::Exists,
        "DoesNotExist" => LabelTest::DoesNotExist,
        _ => return Err(operator.wrong("In, NotIn, Exists or DoesNotExist")),
    };
    Ok(LabelRule { key, test })
}

fn labels(node: &Node<'_>) -> Result<Vec<LabelRule>, PolicyError> {
    let rule = |(key, value): (&str, &str)| LabelRule {
        key: key.to_owned(),
        test: LabelTest::In(vec![value.to_owned()]),
    };
    let rules: Vec<LabelRule> = node.texts()?.into_iter().map(rule).collect();
    if rules.is_empty() {
        return Err(node.wrong("a mapping that is not empty"));
    }
    Ok(rules)
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
