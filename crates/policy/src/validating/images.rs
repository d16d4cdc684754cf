//! The images of an object, by category: those of the places that Kubernetes has, and those that a policy's own
//! expressions find. Image volumes (KEP-4639) are a category too; Kyverno does not see them.

use std::collections::BTreeMap;

use cel::{Context, Value as CelValue};
use proofmark_types::ImageRef;
use serde_json::Value;

use super::expression::{Expression, Sizes, extent};
use super::functions::{self, Variables};
use super::matching::{Controller, kind};
use super::{Fault, ObjectPolicy};
use crate::question::RequestContext;

/// The most images of one object; the webhook's walker has the same bound.
const MAX_IMAGES: usize = 512;

/// The categories of a PodSpec, and where they are in it.
const PLACES: [(&str, &[&str], &str); 4] = [
    ("containers", &["containers"], "image"),
    ("initContainers", &["initContainers"], "image"),
    ("ephemeralContainers", &["ephemeralContainers"], "image"),
    ("volumes", &["volumes"], "image/reference"),
];

/// The names of the categories that every object has.
pub(crate) fn categories<'a>() -> impl Iterator<Item = &'a str> {
    PLACES.iter().map(|(name, ..)| *name)
}

/// Images as they are written, by category.
pub(super) type Images = BTreeMap<String, Vec<String>>;

/// Finds them. What is no text where an image should be, is an error: nothing is passed over.
pub(super) fn extract(
    policy: &ObjectPolicy,
    context: &RequestContext<'_>,
    object: &Value,
    variables: &Variables,
) -> Result<Images, Fault> {
    let mut found: Images = categories().map(|name| (name.to_owned(), Vec::new())).collect();
    let spec = kind(context).and_then(pod_spec).and_then(|place| object.pointer(place));
    for (category, place, image) in PLACES {
        let list = place
            .iter()
            .try_fold(spec.unwrap_or(&Value::Null), |value, name| value.get(name));
        let images = built_in(list.unwrap_or(&Value::Null), image)?;
        found.entry(category.to_owned()).or_default().extend(images);
    }
    for extractor in &policy.extractors {
        let mut bound = Context::with_env(functions::library());
        variables.bind(&mut bound)?;
        let value = variables.evaluate(&extractor.expression, &bound)?;
        let images = texts(&value).ok_or_else(|| {
            Fault::expression(format!(
                "images.{}: expected a list of texts, got a {}",
                extractor.name,
                value.type_of()
            ))
        })?;
        found.entry(extractor.name.clone()).or_default().extend(images);
    }
    let number: usize = found.values().map(Vec::len).sum();
    if number > MAX_IMAGES {
        return Err(Fault {
            code: "too-many-images",
            message: format!("the object names {number} images, at most {MAX_IMAGES} are decided together"),
            undecided: false,
        });
    }
    Ok(found)
}

fn pod_spec(kind: &str) -> Option<&'static str> {
    const SPECS: [(&str, &str); 4] = [
        ("Pod", "/spec"),
        ("ReplicationController", "/spec/template/spec"),
        ("PodTemplate", "/template/spec"),
        ("CronJob", "/spec/jobTemplate/spec/template/spec"),
    ];
    let other = || {
        Controller::ALL
            .iter()
            .any(|known| known.kind == kind)
            .then_some("/spec/template/spec")
    };
    let named = SPECS.iter().find(|(name, _)| *name == kind).map(|(_, place)| *place);
    named.or_else(other)
}

fn built_in(list: &Value, place: &str) -> Result<Vec<String>, Fault> {
    let wrong = |what: &str| Fault {
        code: "object-malformed",
        message: format!("the images of the object cannot be told: expected {what}"),
        undecided: false,
    };
    let items = match list {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        _ => return Err(wrong("a list of containers or volumes")),
    };
    let mut images = Vec::new();
    for item in items {
        match item.pointer(&format!("/{place}")) {
            // A template may leave it to others to fill in.
            None | Some(Value::Null) => {}
            Some(Value::String(image)) if image.is_empty() => {}
            Some(Value::String(image)) => images.push(image.clone()),
            Some(_) => return Err(wrong("a text as an image")),
        }
    }
    Ok(images)
}

fn texts(value: &CelValue) -> Option<Vec<String>> {
    let CelValue::List(items) = value else { return None };
    let text = |item: &CelValue| match item {
        CelValue::String(text) => Some(text.as_ref().clone()),
        _ => None,
    };
    items.iter().map(text).collect()
}

/// The reference behind a text of an object.
pub(super) fn parsed(image: &str) -> Result<ImageRef, Fault> {
    ImageRef::parse(image).map_err(|error| Fault {
        code: "invalid-reference",
        message: format!(
            "\"{}\" is not an image reference: {error}",
            image.chars().take(200).collect::<String>()
        ),
        undecided: false,
    })
}

/// Whether an expression over a reference holds.
pub(super) fn holds(expression: &Expression, reference: &str) -> Result<bool, Fault> {
    let mut context = Context::with_env(functions::library());
    functions::add_plain(&mut context, None)?;
    let value = CelValue::from(reference);
    let (text, list) = extent(&value);
    context.add_variable_from_value("ref", value);
    let sizes = Sizes { images: 1, list, text };
    truth(expression, expression.evaluate(&context, sizes)?)
}

/// What an expression says that must be true or false.
pub(super) fn truth(expression: &Expression, value: CelValue) -> Result<bool, Fault> {
    match value {
        CelValue::Bool(truth) => Ok(truth),
        other => Err(Fault::expression(format!(
            "{} gives a {} and neither true nor false",
            expression.source(),
            other.type_of()
        ))),
    }
}
