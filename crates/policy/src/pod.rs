//! The Pod within an object, for rules that say something about its lists.

use serde_json::Value;

/// The lists of a Pod whose elements have an image.
pub(crate) const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Where the built-in kinds keep their PodSpec, the deepest first: a Deployment's own `spec` is none.
const PLACES: [&str; 4] = [
    "/spec/jobTemplate/spec/template/spec",
    "/spec/template/spec",
    "/template/spec",
    "/spec",
];

/// The PodSpec of a Pod, or of what makes Pods.
pub(crate) fn pod_spec(object: &Value) -> Option<&Value> {
    PLACES
        .iter()
        .filter_map(|place| object.pointer(place))
        .find(|spec| LISTS.iter().any(|list| spec.get(list).is_some()))
}
