//! `imageExtractors`: where custom resources name images.
//!
//! The places are said to whoever walks objects ([`crate::PolicySet::image_places`]); nothing is decided here.

use crate::error::PolicyError;
use crate::model::{ImagePlace, Policy};
use crate::read::node::Node;

pub(super) fn read(node: &Node<'_>, policy: &mut Policy) -> Result<(), PolicyError> {
    let Some(kinds) = node.value().as_object() else {
        return Err(node.wrong("a mapping of kinds to lists of places"));
    };
    let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
    node.object(&names, &[], |object| {
        for kind in &names {
            let list = object.required(kind, "a list of places")?;
            for item in list.list()? {
                let path = place(&item)?;
                policy.image_places.push(ImagePlace {
                    policy: policy.name.clone(),
                    kind: (*kind).to_owned(),
                    path,
                });
            }
        }
        Ok(())
    })
}

/// `path` to what has the image, and `value`, the field in it; `name` only names it in messages.
fn place(node: &Node<'_>) -> Result<String, PolicyError> {
    const UNSUPPORTED: [(&str, &str); 1] = [(
        "jmesPath",
        "the image must stand in the object as it is; what changes it on the way cannot be pinned",
    )];
    node.object(&["path", "value", "name", "key"], &UNSUPPORTED, |object| {
        object.ignore(&["name", "key"]);
        let written = object.required("path", "a path such as /spec/steps/*/image")?;
        let path = written.string()?.trim_end_matches('/');
        let plain = path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !part.is_empty()));
        if !plain {
            return Err(written.wrong("a path such as /spec/steps/*/image"));
        }
        Ok(match object.string("value")? {
            Some(field) => format!("{path}/{field}"),
            None => path.to_owned(),
        })
    })
}
