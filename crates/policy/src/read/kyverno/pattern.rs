//! `validate.pattern` over images: which registries, which tags. Nothing else of an object is looked at.

use super::{Action, action, verify_images};
use crate::error::PolicyError;
use crate::image_pattern::ImagePattern;
use crate::model::{Check, Choice, ImageSelector};
use crate::read::node::{Node, Object};

const OTHER: &str = "only patterns over the images of containers are read";

pub(super) fn read(
    node: &Node<'_>,
    notes: &mut Vec<String>,
) -> Result<(Option<Action>, Check, ImageSelector), PolicyError> {
    const UNSUPPORTED: [(&str, &str); 7] = [
        ("anyPattern", "write the choices into one pattern, as in \"a/* | b/*\""),
        ("deny", "conditions over the object are not read in this version"),
        ("cel", "CEL over the object is not read in this version"),
        ("podSecurity", OTHER),
        ("foreach", OTHER),
        ("manifests", OTHER),
        ("assert", OTHER),
    ];
    const FIELDS: [&str; 4] = ["message", "pattern", "failureAction", "allowExistingViolations"];
    node.object(&FIELDS, &UNSUPPORTED, |validate| {
        validate.ignore(&["allowExistingViolations"]);
        let own = validate.get("failureAction").map(|node| action(&node)).transpose()?;
        let message = validate.string("message")?.map(ToOwned::to_owned);
        let pattern = validate.required("pattern", "a pattern over images")?;
        let (text, node) = pattern.object(&["spec"], &[], |object| {
            object.required("spec", "containers")?.object(&LISTS, &[], images)
        })?;
        let choices = choices(&text, &node, notes)?;
        notes.push(
            "the pattern over containers holds for every image of the object: init and ephemeral containers and image volumes too"
                .to_owned(),
        );
        let check = Check::ImageAllowed { choices, message };
        Ok((own, check, everything(&node)?))
    })
}

/// The lists of a Pod that have images, and the same "if it is there".
const LISTS: [&str; 6] = [
    "containers",
    "=(containers)",
    "initContainers",
    "=(initContainers)",
    "ephemeralContainers",
    "=(ephemeralContainers)",
];

/// The one pattern that all lists have.
fn images<'a>(spec: &Object<'a>) -> Result<(String, Node<'a>), PolicyError> {
    let mut found: Option<(String, Node<'a>)> = None;
    for list in LISTS.iter().filter_map(|name| spec.get(name)) {
        let items = list.list()?;
        let [item] = items.as_slice() else {
            return Err(list.wrong("a list of one pattern, which holds for every container"));
        };
        // `name: "*"` and the like are what people copy; they ask for nothing.
        let image = item.object(&["image", "=(image)", "name"], &[], |container| {
            if let Some(name) = container.get("name").filter(|name| name.value() != "*") {
                return Err(name.unsupported(OTHER));
            }
            match container.get("=(image)") {
                Some(node) => Ok(node),
                None => container.required("image", "a pattern over images"),
            }
        })?;
        let text = image.string()?.to_owned();
        match &found {
            Some((first, _)) if *first != text => {
                return Err(image.unsupported("one pattern must hold for all lists of containers"));
            }
            _ => found = Some((text, image)),
        }
    }
    found.ok_or_else(|| PolicyError::Missing {
        place: spec.place(),
        expected: "containers".to_owned(),
    })
}

/// `a | b` are choices, `a & b` must both match, `!a` must not.
fn choices(text: &str, node: &Node<'_>, notes: &mut Vec<String>) -> Result<Vec<Choice>, PolicyError> {
    let mut choices = Vec::new();
    for part in text.split('|') {
        let mut choice = Choice::default();
        for term in part.split('&').map(str::trim) {
            let (wanted, pattern) = match term.strip_prefix('!') {
                Some(pattern) => (false, pattern.trim()),
                None => (true, term),
            };
            let pattern = ImagePattern::kyverno(pattern).map_err(|source| node.pattern(source))?;
            verify_images::note_pattern(&pattern, notes);
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
