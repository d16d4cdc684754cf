//! `validate` over images: `pattern` (which registries, which tags, in which lists) and `deny` with `images.*`. Nothing
//! else of an object is looked at.
//!
//! Anchors as far as they say something about images: `=(x)` if it is there, `X(x)` it must not be there, `^(x)` one of
//! the list is enough. `+(x)` changes objects, and `(x)` and `<(x)` make other fields depend on the image: refused.

use super::{Action, action, conditions, verify_images};
use crate::error::PolicyError;
use crate::image_pattern::ImagePattern;
use crate::model::{Check, Choice, ImageSelector, Policy};
use crate::read::node::{Node, Object};

const OTHER: &str = "only patterns over the images of containers are read";

pub(super) fn read(
    node: &Node<'_>,
    policy: &mut Policy,
) -> Result<(Option<Action>, Vec<Check>, ImageSelector), PolicyError> {
    const UNSUPPORTED: [(&str, &str); 6] = [
        (
            "anyPattern",
            "it wants all containers to match one and the same pattern; write the choices into one pattern, as in \"a/* | b/*\"",
        ),
        (
            "cel",
            "CEL over the object is not read; an ImageValidatingPolicy has it",
        ),
        ("podSecurity", OTHER),
        ("foreach", OTHER),
        ("manifests", OTHER),
        ("assert", OTHER),
    ];
    const FIELDS: [&str; 5] = ["message", "pattern", "deny", "failureAction", "allowExistingViolations"];
    node.object(&FIELDS, &UNSUPPORTED, |validate| {
        validate.ignore(&["allowExistingViolations"]);
        let own = validate.get("failureAction").map(|node| action(&node)).transpose()?;
        let message = validate.string("message")?.map(ToOwned::to_owned);
        let checks = match validate.get("deny") {
            Some(deny) => vec![self::deny(&deny, message, policy)?],
            None => pod_pattern(
                &validate.required("pattern", "a pattern over images, or deny")?,
                message,
                policy,
            )?,
        };
        Ok((own, checks, everything(node)?))
    })
}

/// `deny`: what must not hold of the image, or of the request.
fn deny(node: &Node<'_>, message: Option<String>, policy: &mut Policy) -> Result<Check, PolicyError> {
    let blocks = node.object(&["conditions"], &[], |deny| {
        let conditions = deny.required("conditions", "any and all")?;
        let blocks = conditions::over_request(&conditions)?;
        conditions::over_images(&conditions, &blocks)?;
        Ok(blocks)
    })?;
    policy.note(
        "deny: asked about each image on its own, wherever it stands, and about all of the object together; what cannot be evaluated denies",
    );
    Ok(Check::ImageDenied { blocks, message })
}

const SPEC: [&str; 2] = ["spec", "=(spec)"];

/// Down to the PodSpec, of a Pod or of what makes Pods.
fn pod_pattern(node: &Node<'_>, message: Option<String>, policy: &mut Policy) -> Result<Vec<Check>, PolicyError> {
    let found = spec_of(node, SPEC.len())?;
    let mut checks = Vec::new();
    if let Some((text, image)) = found.every {
        let choices = choices(&text, &image, policy)?;
        policy.note(
            "the pattern over containers holds for every image of the object: init and ephemeral containers and image volumes too",
        );
        checks.push(Check::ImageAllowed {
            choices,
            message: message.clone(),
        });
    }
    for (list, text, image) in found.some {
        let choices = choices(&text, &image, policy)?;
        checks.push(Check::SomeIn {
            list,
            choices,
            message: message.clone(),
        });
    }
    checks.extend(found.none.into_iter().map(|list| Check::NoneIn {
        list,
        message: message.clone(),
    }));
    if checks.is_empty() {
        return Err(PolicyError::Missing {
            place: node.place(),
            expected: "containers".to_owned(),
        });
    }
    Ok(checks)
}

/// What a pattern says of the lists of a Pod.
#[derive(Default)]
struct Lists<'a> {
    /// The one pattern that every image must match.
    every: Option<(String, Node<'a>)>,
    /// Lists one of whose images must match.
    some: Vec<(&'static str, String, Node<'a>)>,
    /// Lists that must not be there.
    none: Vec<&'static str>,
}

fn spec_of<'a>(node: &Node<'a>, levels: usize) -> Result<Lists<'a>, PolicyError> {
    const TEMPLATES: [&str; 4] = ["template", "=(template)", "jobTemplate", "=(jobTemplate)"];
    let known: Vec<&str> = SPEC.iter().chain(&TEMPLATES).copied().collect();
    node.object(&known, &[], |object| {
        let inner = known.iter().filter_map(|name| object.get(name)).next();
        let spec = match inner {
            Some(spec) => spec,
            None => object.required("spec", "containers")?,
        };
        let deeper = spec
            .value()
            .as_object()
            .is_some_and(|fields| TEMPLATES.iter().chain(&SPEC).any(|name| fields.contains_key(*name)));
        if deeper && levels > 0 {
            return spec_of(&spec, levels - 1);
        }
        let mut fields = Vec::new();
        for list in crate::pod::LISTS {
            fields.extend([
                list.to_owned(),
                format!("=({list})"),
                format!("^({list})"),
                format!("X({list})"),
            ]);
        }
        let known: Vec<&str> = fields.iter().map(String::as_str).collect();
        spec.object(&known, &UNSUPPORTED_ANCHORS, lists)
    })
}

const MUTATES: &str = "+() sets what is missing, which no validation does";

const UNSUPPORTED_ANCHORS: [(&str, &str); 3] = [
    ("+(containers)", MUTATES),
    ("+(initContainers)", MUTATES),
    ("+(ephemeralContainers)", MUTATES),
];

fn lists<'a>(spec: &Object<'a>) -> Result<Lists<'a>, PolicyError> {
    let mut found = Lists::default();
    for list in crate::pod::LISTS {
        for name in [list.to_owned(), format!("=({list})")] {
            let Some(node) = spec.get(&name) else { continue };
            let (text, image) = image_of(&node)?;
            match &found.every {
                Some((first, _)) if *first != text => {
                    return Err(image.unsupported("one pattern must hold for all lists of containers"));
                }
                _ => found.every = Some((text, image)),
            }
        }
        if let Some(node) = spec.get(&format!("^({list})")) {
            let (text, image) = image_of(&node)?;
            found.some.push((list, text, image));
        }
        if spec.get(&format!("X({list})")).is_some() {
            found.none.push(list);
        }
    }
    Ok(found)
}

/// The pattern over `image` in a list of one.
fn image_of<'a>(list: &Node<'a>) -> Result<(String, Node<'a>), PolicyError> {
    const DEPENDS: &str =
        "it makes other fields depend on the image; only patterns over the images of containers are read";
    const UNSUPPORTED: [(&str, &str); 3] = [("(image)", DEPENDS), ("<(image)", DEPENDS), ("+(image)", MUTATES)];
    let items = list.list()?;
    let [item] = items.as_slice() else {
        return Err(list.wrong("a list of one pattern, which holds for every container"));
    };
    // `name: "*"` and the like are what people copy; they ask for nothing.
    let image = item.object(&["image", "=(image)", "name", "(name)"], &UNSUPPORTED, |container| {
        for name in ["name", "(name)"] {
            if let Some(name) = container.get(name).filter(|name| name.value() != "*") {
                return Err(name.unsupported(OTHER));
            }
        }
        match container.get("=(image)") {
            Some(node) => Ok(node),
            None => container.required("image", "a pattern over images"),
        }
    })?;
    Ok((image.string()?.to_owned(), image))
}

/// `a | b` are choices, `a & b` must both match, `!a` must not.
fn choices(text: &str, node: &Node<'_>, policy: &mut Policy) -> Result<Vec<Choice>, PolicyError> {
    let mut choices = Vec::new();
    for part in text.split('|') {
        let mut choice = Choice::default();
        for term in part.split('&').map(str::trim) {
            let (wanted, pattern) = match term.strip_prefix('!') {
                Some(pattern) => (false, pattern.trim()),
                None => (true, term),
            };
            let pattern = ImagePattern::kyverno(pattern).map_err(|source| node.pattern(source))?;
            verify_images::note_pattern(&pattern, policy);
            if wanted {
                choice.all.push(pattern);
            } else {
                choice.none.push(pattern);
            }
        }
        choices.push(choice);
    }
    Ok(choices)
}

fn everything(node: &Node<'_>) -> Result<ImageSelector, PolicyError> {
    Ok(ImageSelector {
        include: vec![ImagePattern::kyverno("*").map_err(|source| node.pattern(source))?],
        exclude: Vec::new(),
    })
}
