//! Every image that an object would make a cluster run: one walker over one table of places.
//!
//! The same table makes the rules of the webhook configuration ([`Kinds::rules`]), so that a place that is read is
//! also a place that the API server asks about; Kubewarden, Kyverno and Portieris have each missed ephemeral
//! containers or image volumes because those were two lists. Not looked for: images inside annotations, environment
//! variables or config maps, which the kubelet does not pull.

use std::collections::BTreeMap;
use std::sync::Arc;

use proofmark_policy::ImagePlace;
use serde_json::Value;
use thiserror::Error;

use crate::review::{Operation, Request};

/// The most images of one object: the API server's 3 MiB hold some 40,000, a Pod that a node can run has far below
/// this many. Bounds the registry requests that one review can cause.
pub const MAX_IMAGES: usize = 512;

/// The deepest `List` inside `List`: the API server stores none at all, `kubectl get -o yaml` writes one level.
const MAX_LIST_DEPTH: usize = 2;

/// Places of images below a PodSpec (core/v1): `*` stands for each element of a list. In the order in which the
/// kubelet needs them. `volumes[].image` is KEP-4639.
const POD_SPEC_IMAGES: [&[&str]; 4] = [
    &["volumes", "*", "image", "reference"],
    &["initContainers", "*", "image"],
    &["containers", "*", "image"],
    &["ephemeralContainers", "*", "image"],
];

/// A built-in kind that has a PodSpec.
struct Workload {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    resource: &'static str,
    /// Sub-resources that carry the whole object and can change its images.
    sub_resources: &'static [&'static str],
    /// Where the PodSpec is.
    pod_spec: &'static [&'static str],
}

/// All built-in kinds of Kubernetes 1.36 that hold a PodSpec.
const WORKLOADS: [Workload; 9] = [
    Workload {
        group: "",
        version: "v1",
        kind: "Pod",
        resource: "pods",
        sub_resources: &["ephemeralcontainers"],
        pod_spec: &["spec"],
    },
    workload("", "ReplicationController", "replicationcontrollers", TEMPLATE),
    workload("", "PodTemplate", "podtemplates", &["template", "spec"]),
    workload("apps", "Deployment", "deployments", TEMPLATE),
    workload("apps", "ReplicaSet", "replicasets", TEMPLATE),
    workload("apps", "StatefulSet", "statefulsets", TEMPLATE),
    workload("apps", "DaemonSet", "daemonsets", TEMPLATE),
    workload("batch", "Job", "jobs", TEMPLATE),
    workload(
        "batch",
        "CronJob",
        "cronjobs",
        &["spec", "jobTemplate", "spec", "template", "spec"],
    ),
];

const TEMPLATE: &[&str] = &["spec", "template", "spec"];

const fn workload(
    group: &'static str,
    kind: &'static str,
    resource: &'static str,
    pod_spec: &'static [&'static str],
) -> Workload {
    Workload {
        group,
        version: "v1",
        kind,
        resource,
        sub_resources: &[],
        pod_spec,
    }
}

/// A custom resource that names images, as the operator of the webhook describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomKind {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Resource, plural and lower case.
    pub resource: String,
    /// Places of image strings, `/spec/steps/*/image`: JSON pointers in which `*` stands for each element of a list
    /// or each value of an object.
    pub images: Vec<ImagePath>,
}

/// A JSON pointer with `*` for "each".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePath(Vec<String>);

impl ImagePath {
    /// Reads `/spec/steps/*/image`; `~0` and `~1` as in RFC 6901.
    pub fn parse(text: &str) -> Result<Self, WalkError> {
        let malformed = || WalkError::Path { path: text.to_owned() };
        let segments: Vec<String> = text
            .strip_prefix('/')
            .ok_or_else(malformed)?
            .split('/')
            .map(unescape)
            .collect();
        if segments.iter().any(String::is_empty) {
            return Err(malformed());
        }
        Ok(Self(segments))
    }
}

/// The kinds whose images are looked at: the built-in ones and those configured.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    custom: Arc<[CustomKind]>,
    /// Places that policies name, of whatever version.
    places: Arc<[Place]>,
}

/// A place of images that a policy names.
#[derive(Clone, Debug)]
struct Place {
    /// Any, where the policy names the kind alone.
    group: Option<String>,
    kind: String,
    path: ImagePath,
}

impl Place {
    fn is_of(&self, group: &str, kind: &str) -> bool {
        self.kind == kind && self.group.as_ref().is_none_or(|own| own == group)
    }
}

/// One image of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'o> {
    /// JSON pointer (RFC 6901) to the string.
    pub pointer: String,
    /// The image as written: neither normalised nor known to be a reference.
    pub image: &'o str,
}

/// One rule of a webhook configuration: what the API server has to ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// `pods`, `pods/ephemeralcontainers`, …
    pub resources: Vec<String>,
}

/// Why the images of an object cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WalkError {
    /// A string, list or object was expected: the API server would not store such an object.
    #[error("{pointer}: expected {expected}, got {seen}")]
    Shape {
        /// Where.
        pointer: String,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        seen: &'static str,
    },
    /// More than [`MAX_IMAGES`].
    #[error("the object names more than {MAX_IMAGES} images")]
    TooMany,
    /// A list in a list in a list.
    #[error("lists are nested deeper than {MAX_LIST_DEPTH} levels")]
    TooDeep,
    /// A configured path that is no pointer.
    #[error("\"{path}\" is not a path of images; expected something like /spec/steps/*/image")]
    Path {
        /// The path.
        path: String,
    },
}

impl WalkError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "object-malformed",
            Self::TooMany => "too-many-images",
            Self::TooDeep => "object-too-deep",
            Self::Path { .. } => "image-path-malformed",
        }
    }
}

impl Kinds {
    /// The built-in kinds and `custom`.
    #[must_use]
    pub fn with_custom(custom: Vec<CustomKind>) -> Self {
        Self {
            custom: custom.into(),
            places: Arc::default(),
        }
    }

    /// These kinds, and the places that policies name (`imageExtractors`). The API server must be asked about those kinds:
    /// [`Kinds::rules`] cannot say so, because no policy names their resource.
    #[must_use]
    pub fn with_places(&self, places: &[ImagePlace]) -> Self {
        let place = |place: &ImagePlace| {
            let mut parts = place.kind.rsplit('/');
            let kind = parts.next()?.to_owned();
            // `group/version/Kind`; `version/Kind` alone says nothing that is told apart here.
            let group = parts.nth(1).map(ToOwned::to_owned);
            let path = ImagePath::parse(&place.path).ok()?;
            Some(Place { group, kind, path })
        };
        if places.is_empty() {
            return self.clone();
        }
        Self {
            custom: Arc::clone(&self.custom),
            places: places.iter().filter_map(place).collect(),
        }
    }

    /// Whether objects of this kind have places for images. Versions are not told apart: a group's PodSpec is the same
    /// in all of them.
    #[must_use]
    pub fn knows(&self, group: &str, kind: &str) -> bool {
        is_list(group, kind)
            || workload_of(group, kind).is_some()
            || self
                .custom
                .iter()
                .any(|custom| custom.group == group && custom.kind == kind)
            || self.places.iter().any(|place| place.is_of(group, kind))
    }

    /// Every image of `object`, in the order of the object's places. A kind that is not known has none.
    ///
    /// A missing, `null` or empty image is none (a template may leave it to others to fill in); anything else that is
    /// not a string is an error rather than skipped.
    pub fn images<'o>(&self, group: &str, kind: &str, object: &'o Value) -> Result<Vec<Found<'o>>, WalkError> {
        let mut walk = Walk::default();
        self.walk_object(group, kind, object, &mut walk, 0)?;
        Ok(walk.found)
    }

    /// The PodSpec of an object of a built-in kind.
    #[must_use]
    pub(crate) fn pod_spec<'o>(&self, group: &str, kind: &str, object: &'o Value) -> Option<&'o Value> {
        let path = workload_of(group, kind)?.pod_spec;
        path.iter().try_fold(object, |value, name| value.get(name))
    }

    /// The images that a request adds: all of a new object; of a changed one those strings that occur more often than in
    /// the stored object, so that moving a container changes nothing and adding one does. None, where nothing runs because
    /// of the request, or no places are known.
    pub fn added<'r>(&self, request: &'r Request) -> Result<Vec<Found<'r>>, WalkError> {
        let (group, kind) = (&request.kind.group, &request.kind.kind);
        let runs = operation_runs(request.operation) && sub_resource_has_images(request.sub_resource.as_deref());
        let Some(object) = request.object.as_ref().filter(|_| runs) else {
            return Ok(Vec::new());
        };
        let images = self.images(group, kind, object)?;
        let mut stored: BTreeMap<&str, usize> = BTreeMap::new();
        if request.operation == Operation::Update
            && let Some(old) = &request.old_object
            // What is stored and cannot be walked excuses nothing.
            && let Ok(old) = self.images(group, kind, old)
        {
            for found in old {
                *stored.entry(found.image).or_default() += 1;
            }
        }
        let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
        for found in &images {
            *wanted.entry(found.image).or_default() += 1;
        }
        Ok(images
            .into_iter()
            .filter(|found| wanted.get(found.image) > stored.get(found.image))
            .collect())
    }

    /// What the API server has to ask about for every place above to be seen.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut add = |group: &str, version: &str, resource: String| match rules
            .iter_mut()
            .find(|rule| rule.group == group && rule.version == version)
        {
            Some(rule) => rule.resources.push(resource),
            None => rules.push(Rule {
                group: group.to_owned(),
                version: version.to_owned(),
                resources: vec![resource],
            }),
        };
        for workload in &WORKLOADS {
            add(workload.group, workload.version, workload.resource.to_owned());
            for sub_resource in workload.sub_resources {
                add(
                    workload.group,
                    workload.version,
                    format!("{}/{sub_resource}", workload.resource),
                );
            }
        }
        for custom in self.custom.iter() {
            add(&custom.group, &custom.version, custom.resource.clone());
        }
        rules
    }

    fn walk_object<'o>(
        &self,
        group: &str,
        kind: &str,
        object: &'o Value,
        walk: &mut Walk<'o>,
        depth: usize,
    ) -> Result<(), WalkError> {
        if is_list(group, kind) {
            return self.walk_list(object, walk, depth);
        }
        if let Some(workload) = workload_of(group, kind) {
            for path in POD_SPEC_IMAGES {
                let path: Vec<&str> = workload.pod_spec.iter().chain(path).copied().collect();
                walk.follow(object, &path)?;
            }
        }
        for custom in self.custom.iter() {
            if custom.group == group && custom.kind == kind {
                for path in &custom.images {
                    let path: Vec<&str> = path.0.iter().map(String::as_str).collect();
                    walk.follow(object, &path)?;
                }
            }
        }
        for place in self.places.iter().filter(|place| place.is_of(group, kind)) {
            let path: Vec<&str> = place.path.0.iter().map(String::as_str).collect();
            walk.follow(object, &path)?;
        }
        Ok(())
    }

    /// `v1/List` as kubectl writes it: each item says its own kind.
    fn walk_list<'o>(&self, list: &'o Value, walk: &mut Walk<'o>, depth: usize) -> Result<(), WalkError> {
        if depth == MAX_LIST_DEPTH {
            return Err(WalkError::TooDeep);
        }
        let Some(items) = list.get("items") else { return Ok(()) };
        let items = items.as_array().ok_or_else(|| walk.shape(items, "a list"))?;
        for (position, item) in items.iter().enumerate() {
            let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
            let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
            let length = walk.pointer.len();
            walk.push("items");
            walk.push(&position.to_string());
            self.walk_object(group, text("kind"), item, walk, depth + 1)?;
            walk.pointer.truncate(length);
        }
        Ok(())
    }
}

/// Whether the images of a request on this sub-resource count: the object itself, and those sub-resources that carry
/// the whole object and can add images. `status`, `scale`, `binding`, `eviction`, `resize` change none.
#[must_use]
pub(crate) fn sub_resource_has_images(sub_resource: Option<&str>) -> bool {
    sub_resource.is_none_or(|name| WORKLOADS.iter().any(|workload| workload.sub_resources.contains(&name)))
}

/// Whether the operation can make something run.
#[must_use]
pub(crate) fn operation_runs(operation: Operation) -> bool {
    matches!(operation, Operation::Create | Operation::Update)
}

fn workload_of(group: &str, kind: &str) -> Option<&'static Workload> {
    WORKLOADS
        .iter()
        .find(|workload| workload.group == group && workload.kind == kind)
}

fn is_list(group: &str, kind: &str) -> bool {
    group.is_empty() && kind == "List"
}

#[derive(Default)]
struct Walk<'o> {
    pointer: String,
    found: Vec<Found<'o>>,
}

impl<'o> Walk<'o> {
    /// Goes down `path` from `value`; depth is bounded by the length of the path.
    fn follow(&mut self, value: &'o Value, path: &[&str]) -> Result<(), WalkError> {
        let Some((&segment, rest)) = path.split_first() else {
            return self.take(value);
        };
        if value.is_null() {
            return Ok(());
        }
        let length = self.pointer.len();
        match (segment, value) {
            ("*", Value::Array(elements)) => {
                for (position, element) in elements.iter().enumerate() {
                    self.push(&position.to_string());
                    self.follow(element, rest)?;
                    self.pointer.truncate(length);
                }
            }
            ("*", Value::Object(members)) => {
                for (name, member) in members {
                    self.push(name);
                    self.follow(member, rest)?;
                    self.pointer.truncate(length);
                }
            }
            ("*", other) => return Err(self.shape(other, "a list")),
            (name, Value::Object(members)) => {
                if let Some(member) = members.get(name) {
                    self.push(name);
                    self.follow(member, rest)?;
                    self.pointer.truncate(length);
                }
            }
            (_, other) => return Err(self.shape(other, "an object")),
        }
        Ok(())
    }

    fn take(&mut self, value: &'o Value) -> Result<(), WalkError> {
        match value {
            Value::Null => Ok(()),
            Value::String(image) if image.is_empty() => Ok(()),
            Value::String(_) if self.found.len() == MAX_IMAGES => Err(WalkError::TooMany),
            Value::String(image) => {
                let pointer = self.pointer.clone();
                self.found.push(Found { pointer, image });
                Ok(())
            }
            other => Err(self.shape(other, "a string")),
        }
    }

    fn push(&mut self, segment: &str) {
        self.pointer.push('/');
        self.pointer.push_str(&escape(segment));
    }

    fn shape(&self, value: &Value, expected: &'static str) -> WalkError {
        WalkError::Shape {
            pointer: crate::text::shortened(&self.pointer, 200),
            expected,
            seen: match value {
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::String(_) => "a string",
                Value::Array(_) => "a list",
                Value::Object(_) => "an object",
            },
        }
    }
}

/// RFC 6901 §3.
fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests;
