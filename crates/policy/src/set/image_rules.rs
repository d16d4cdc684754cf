//! Rules over the reference itself, and over where in a Pod it stands: no evidence is needed for them.

use proofmark_types::ImageRef;
use serde_json::{Map, Value, json};

use super::evaluate::{Finding, with_message};
use crate::condition::{self, Block};
use crate::model::Choice;
use crate::pod::pod_spec;
use crate::question::Question;
use crate::scope::request_data;

pub(super) fn allowed(choices: &[Choice], message: Option<&str>, question: &Question<'_>) -> Finding {
    if choices.iter().any(|choice| choice.allows(question.image)) {
        return Finding::default();
    }
    let facts = format!("expected an image of {}, got {}", describe(choices), question.image);
    Finding::problem("image-not-allowed", with_message(message, &facts))
}

/// Denies by conditions over `images.*`.
///
/// 1. The image on its own, as if it stood in every list of the Pod: what the conditions say of any image of a list holds
///    for it, wherever it stands, in an image volume too.
/// 2. All images of the Pod together, as Kyverno has them: two conditions may be met by two of its images, and some count
///    them. Without the Pod nobody can say that they are not met.
pub(super) fn denied(blocks: &[Block], message: Option<&str>, question: &Question<'_>) -> Finding {
    let holds = |images: Value| {
        let mut data = request_data(question.context);
        if let Some(fields) = data.as_object_mut() {
            fields.insert("images".to_owned(), images);
        }
        condition::holds(blocks, &data, Some(question.now))
    };
    let facts = format!("{} meets the conditions under which the policy denies", question.image);
    let denial = || Finding::problem("image-denied", with_message(message, &facts));
    // 1.
    let alone = [false, true].map(|short| {
        let info = describe_image(question.image, short);
        let lists = crate::pod::LISTS.map(|list| (list.to_owned(), json!({ "image": info })));
        holds(Value::Object(lists.into_iter().collect()))
    });
    if alone.iter().any(Result::is_ok) {
        return denial();
    }
    // 2.
    let Some(spec) = question.context.object.and_then(pod_spec) else {
        let what = "the policy is about all images of a Pod, and the object is not known here, or holds none";
        return Finding::undecided("object-unknown", what.to_owned());
    };
    for short in [false, true] {
        match holds(images_of(spec, short)) {
            Ok(()) => return denial(),
            Err(unmet) if unmet.code == condition::FALSE => {}
            Err(unmet) => {
                let facts = format!("expected to find out whether {}, got {}", unmet.expected, unmet.actual);
                return Finding::problem("condition-error", with_message(message, &facts));
            }
        }
    }
    Finding::default()
}

/// The images of a Pod by list and name; what is no reference is refused for that.
fn images_of(spec: &Value, short: bool) -> Value {
    let list = |name: &str| {
        let items = spec.get(name).and_then(Value::as_array).into_iter().flatten();
        let infos = items.enumerate().filter_map(|(position, item)| {
            let image = ImageRef::parse(item.get("image")?.as_str()?).ok()?;
            let name = item.get("name").and_then(Value::as_str);
            let name = name.map_or_else(|| position.to_string(), ToOwned::to_owned);
            Some((name, describe_image(&image, short)))
        });
        (name.to_owned(), Value::Object(infos.collect()))
    };
    Value::Object(crate::pod::LISTS.into_iter().map(list).collect::<Map<_, _>>())
}

/// What Kyverno calls an image (`pkg/utils/image/infos.go`). An image of Docker Hub is `library/nginx` to some and, `short`,
/// `nginx` to others: both are asked about.
fn describe_image(image: &ImageRef, short: bool) -> Value {
    let repository = image.repository();
    let registry = repository.registry().as_str();
    let path = match repository.path().strip_prefix("library/") {
        Some(rest) if short && registry.ends_with("docker.io") => rest,
        _ => repository.path(),
    };
    let digest = image.digest().map(ToString::to_string).unwrap_or_default();
    let tag = match image.tag() {
        Some(tag) => tag.to_string(),
        None if digest.is_empty() => "latest".to_owned(),
        None => String::new(),
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let reference = if digest.is_empty() {
        format!("{registry}/{path}:{tag}")
    } else {
        format!("{registry}/{path}@{digest}")
    };
    json!({
        "registry": registry, "path": path, "name": name, "tag": tag, "digest": digest,
        "reference": reference, "referenceWithTag": format!("{registry}/{path}:{tag}"),
    })
}

/// `X(initContainers)`.
pub(super) fn none_in(list: &str, message: Option<&str>, question: &Question<'_>) -> Finding {
    match items(list, question) {
        Err(finding) => finding,
        Ok([]) => Finding::default(),
        Ok(items) => {
            let facts = format!("expected no {list}, got {}", items.len());
            Finding::problem("list-not-allowed", with_message(message, &facts))
        }
    }
}

/// `^(containers)`: one of them is enough, and it need not be this image.
pub(super) fn some_in(list: &str, choices: &[Choice], message: Option<&str>, question: &Question<'_>) -> Finding {
    let items = match items(list, question) {
        Err(finding) => return finding,
        Ok(items) => items,
    };
    let images = items.iter().filter_map(|item| item.get("image")?.as_str());
    let mut references = images.filter_map(|image| ImageRef::parse(image).ok());
    if references.any(|image| choices.iter().any(|choice| choice.allows(&image))) {
        return Finding::default();
    }
    let facts = format!(
        "expected at least one of {list} to be an image of {}",
        describe(choices)
    );
    Finding::problem("image-missing", with_message(message, &facts))
}

/// The elements of a list of the Pod.
fn items<'a>(list: &str, question: &Question<'a>) -> Result<&'a [Value], Finding> {
    let unknown = |what: &str| {
        let message = format!("the policy is about {list} of a Pod, and {what}");
        Err(Finding::undecided("object-unknown", message))
    };
    let Some(object) = question.context.object else {
        return unknown("the object is not known here");
    };
    let Some(spec) = pod_spec(object) else {
        return unknown("the object holds none");
    };
    match spec.get(list) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => unknown("it is no list there"),
    }
}

fn describe(choices: &[Choice]) -> String {
    let allowed: Vec<String> = choices
        .iter()
        .map(|choice| {
            let all = choice.all.iter().map(ToString::to_string);
            let none = choice.none.iter().map(|pattern| format!("not {pattern}"));
            all.chain(none).collect::<Vec<_>>().join(" and ")
        })
        .collect();
    allowed.join(" or ")
}
