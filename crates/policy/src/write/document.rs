//! A whole policy, and its rules.

use serde_json::{Map, Value, json};

use super::{ConvertError, Writer, conditions, filter, filters};
use crate::image_pattern::ImagePattern;
use crate::model::{Policy, Rule};
use crate::question::{Mode, OnUnreachable};
use crate::scope::{Filter, Filters};

/// The policy as a document of our format.
pub(crate) fn document(writer: &Writer<'_>, policy: &Policy) -> Result<Value, ConvertError> {
    let mut spec = Map::new();
    if policy.on_unreachable != OnUnreachable::Deny {
        spec.insert("onUnreachable".to_owned(), json!(policy.on_unreachable));
    }
    if !policy.sources.is_empty() {
        let sources: Vec<String> = policy.sources.iter().map(ToString::to_string).collect();
        spec.insert("sources".to_owned(), json!(sources));
    }
    if !policy.image_places.is_empty() {
        let places: Vec<Value> = policy
            .image_places
            .iter()
            .map(|place| json!({"kind": place.kind, "path": place.path}))
            .collect();
        spec.insert("imagePlaces".to_owned(), json!(places));
    }
    let mut rules = Vec::new();
    for one in &policy.rules {
        let mut fields = rule(writer, one)?;
        fields.insert("name".to_owned(), json!(one.name));
        rules.push(Value::Object(fields));
    }
    spec.insert("rules".to_owned(), json!(rules));
    // A namespace and a name are one name here; objects have no slash in theirs.
    let name = policy.name.replace('/', ".");
    Ok(json!({
        "apiVersion": "proofmark.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": { "name": name },
        "spec": spec,
    }))
}

fn rule(writer: &Writer<'_>, rule: &Rule) -> Result<Map<String, Value>, ConvertError> {
    let mut fields = Map::from_iter([("match".to_owned(), Value::Object(selection(rule)))]);
    if rule.mode != Mode::Enforce {
        fields.insert("mode".to_owned(), json!(rule.mode));
    }
    if !rule.modes.is_empty() {
        let modes: Vec<Value> = rule
            .modes
            .iter()
            .map(|(over, mode)| json!({ "mode": mode, "where": filter(over) }))
            .collect();
        fields.insert("modes".to_owned(), json!(modes));
    }
    fields.insert("pin".to_owned(), json!(rule.pin));
    for check in &rule.checks {
        writer.check(check, &mut fields)?;
    }
    Ok(fields)
}

fn selection(rule: &Rule) -> Map<String, Value> {
    let list = |patterns: &[ImagePattern]| patterns.iter().map(ImagePattern::written).collect::<Vec<_>>();
    let mut fields = Map::from_iter([("images".to_owned(), json!(list(&rule.images.include)))]);
    if !rule.images.exclude.is_empty() {
        fields.insert("exclude".to_owned(), json!(list(&rule.images.exclude)));
    }
    if let Some(within) = &rule.scope.within {
        fields.insert("within".to_owned(), json!(within));
    }
    match &rule.scope.include {
        None => {}
        Some(Filters::Any(one)) if only(one, true).is_some() => {
            let Some(filter) = only(one, true) else { return fields };
            for (name, list) in [("kinds", &filter.kinds), ("namespaces", &filter.namespaces)] {
                if !list.is_empty() {
                    fields.insert(name.to_owned(), json!(list));
                }
            }
        }
        Some(other) => {
            fields.insert("objects".to_owned(), filters(other));
        }
    }
    match &rule.scope.exclude {
        None => {}
        Some(Filters::Any(one)) if only(one, false).is_some() => {
            let Some(filter) = only(one, false) else { return fields };
            fields.insert("excludeNamespaces".to_owned(), json!(filter.namespaces));
        }
        Some(other) => {
            fields.insert("exceptObjects".to_owned(), filters(other));
        }
    }
    if !rule.scope.preconditions.is_empty() {
        fields.insert("preconditions".to_owned(), conditions(&rule.scope.preconditions));
    }
    fields
}

/// The one filter, if it has namespaces (and kinds) alone.
fn only(filters: &[Filter], kinds: bool) -> Option<&Filter> {
    let [one] = filters else { return None };
    let others = one.names.is_empty()
        && one.operations.is_empty()
        && one.labels.is_empty()
        && one.annotations.is_empty()
        && one.namespace_labels.is_empty()
        && one.subjects.is_empty();
    let mine = if kinds {
        true
    } else {
        one.kinds.is_empty() && !one.namespaces.is_empty()
    };
    (others && mine).then_some(one)
}
