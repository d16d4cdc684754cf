//! `matchConstraints`: which requests a policy is about (`admissionregistration.k8s.io`, `MatchResources`), and what
//! Kyverno makes of a policy over Pods for what makes Pods (autogen).

use proofmark_types::ImageRef;
use serde_json::Value;

use crate::question::{Operation, RequestContext};
use crate::scope::{Filter, Known, known};
use crate::text::wildcard;

/// Which requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constraints {
    /// Any of these.
    pub(crate) rules: Vec<ResourceRule>,
    /// None of these.
    pub(crate) exclude: Vec<ResourceRule>,
    /// Labels of the namespace and of the object.
    pub(crate) selectors: Filter,
    /// Kinds whose templates are read as the Pods that they make.
    pub(crate) controllers: Vec<Controller>,
}

/// One resource rule; every list that is not empty must match.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceRule {
    pub(crate) groups: Vec<String>,
    pub(crate) versions: Vec<String>,
    /// `pods`, `pods/ephemeralcontainers`, `*`, `*/*`.
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    /// None for all.
    pub(crate) operations: Option<Vec<Operation>>,
    pub(crate) scope: Scoped,
}

/// Objects of namespaces, of the cluster, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scoped {
    #[default]
    Any,
    Namespaced,
    Cluster,
}

/// A kind that makes Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Controller {
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) resource: &'static str,
    /// Where its template is.
    pub(crate) template: &'static str,
}

const fn controller(group: &'static str, kind: &'static str, resource: &'static str) -> Controller {
    Controller {
        group,
        kind,
        resource,
        template: "/spec/template",
    }
}

impl Controller {
    /// The kinds that Kyverno generates rules for.
    pub(crate) const ALL: [Self; 6] = [
        controller("apps", "DaemonSet", "daemonsets"),
        controller("apps", "Deployment", "deployments"),
        controller("apps", "ReplicaSet", "replicasets"),
        controller("apps", "StatefulSet", "statefulsets"),
        controller("batch", "Job", "jobs"),
        Self {
            template: "/spec/jobTemplate/spec/template",
            ..controller("batch", "CronJob", "cronjobs")
        },
    ];
}

/// What is asked about, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked<'a> {
    group: Option<&'a str>,
    version: Option<&'a str>,
    resource: Option<&'a str>,
    sub_resource: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// From the request, and where there is none, from the object or its kind.
    pub(super) fn of(context: &RequestContext<'a>) -> Self {
        let text = |pointer: &str| context.request.and_then(|request| request.pointer(pointer)?.as_str());
        if let Some(resource) = text("/resource/resource") {
            return Self {
                group: Some(text("/resource/group").unwrap_or_default()),
                version: text("/resource/version"),
                resource: Some(resource),
                sub_resource: text("/subResource").filter(|name| !name.is_empty()),
            };
        }
        let api_version = context.object.and_then(|object| object.get("apiVersion")?.as_str());
        let (group, version) = match api_version.map(|text| text.split_once('/')) {
            Some(Some((group, version))) => (Some(group), Some(version)),
            Some(None) => (Some(""), api_version),
            None => (None, None),
        };
        let kind = kind(context);
        let core = |name: &str, resource: &'static str| (kind == Some(name)).then_some((resource, ""));
        let built_in = core("Pod", "pods")
            .or_else(|| core("ReplicationController", "replicationcontrollers"))
            .or_else(|| core("PodTemplate", "podtemplates"))
            .or_else(|| {
                let found = Controller::ALL
                    .iter()
                    .find(|controller| kind == Some(controller.kind))?;
                Some((found.resource, found.group))
            });
        Self {
            group: group.or_else(|| built_in.map(|(_, group)| group)),
            version,
            resource: built_in.map(|(resource, _)| resource),
            sub_resource: None,
        }
    }

    /// The controller that it is, if it is one.
    fn controller(&self) -> Option<&'static Controller> {
        Controller::ALL
            .iter()
            .find(|known| self.resource == Some(known.resource) && self.group.is_none_or(|group| group == known.group))
    }
}

/// The kind of the object.
pub(super) fn kind<'a>(context: &RequestContext<'a>) -> Option<&'a str> {
    let of_object = || context.object.and_then(|object| object.get("kind")?.as_str());
    context.kind.or_else(of_object)
}

/// How the object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Itself,
    /// As the Pod that it makes.
    Template(&'static str),
}

impl Constraints {
    /// Whether the request is one of them, and how its object is then read. What is not known does not exclude.
    pub(super) fn view(&self, context: &RequestContext<'_>) -> Option<View> {
        let asked = Asked::of(context);
        let excluded = self
            .exclude
            .iter()
            .any(|rule| rule.matches(&asked, context, false) == Known::Yes);
        if excluded || !self.selected(context) {
            return None;
        }
        let direct = |rule: &ResourceRule| rule.matches(&asked, context, true) != Known::No;
        if self.rules.iter().any(direct) {
            return Some(View::Itself);
        }
        let controller = asked.controller().filter(|known| self.controllers.contains(known))?;
        let pods = Asked {
            group: Some(""),
            version: Some("v1"),
            resource: Some("pods"),
            sub_resource: asked.sub_resource,
        };
        let generated = |rule: &ResourceRule| rule.matches(&pods, context, false) != Known::No;
        let matched = self.rules.iter().any(generated);
        matched.then_some(View::Template(controller.template))
    }

    /// Labels of a namespace that nobody looked up exclude nothing. The old object counts too, as at the API server: who
    /// takes a label away is still asked.
    fn selected(&self, context: &RequestContext<'_>) -> bool {
        let of_old = RequestContext {
            object: context.old_object,
            ..*context
        };
        let before = || context.old_object.is_some() && self.selectors.matches(&of_old) != Known::No;
        self.selectors.matches(context) != Known::No || before()
    }
}

impl ResourceRule {
    /// Whether the rule is about what is asked. With `widely`, a rule over Pods is about their ephemeral containers too,
    /// which are added by an update of a sub-resource of its own (kyverno#16275).
    fn matches(&self, asked: &Asked<'_>, context: &RequestContext<'_>, widely: bool) -> Known {
        let any = |wanted: &[String], seen: Option<&str>| match seen {
            _ if wanted.is_empty() || wanted.iter().any(|name| name == "*") => Known::Yes,
            None => Known::Unknown,
            Some(seen) => known(wanted.iter().any(|name| name == seen)),
        };
        let ephemeral = widely && asked.resource == Some("pods") && asked.sub_resource == Some("ephemeralcontainers");
        let resource = match asked.resource {
            None => Known::Unknown,
            Some(name) => known(
                self.resources
                    .iter()
                    .any(|wanted| named(wanted, name, asked.sub_resource) || ephemeral && named(wanted, name, None)),
            ),
        };
        let operation = match (&self.operations, context.operation) {
            (None, _) => Known::Yes,
            (Some(_), None) => Known::Unknown,
            (Some(wanted), Some(seen)) => {
                known(wanted.contains(&seen) || ephemeral && wanted.contains(&Operation::Create))
            }
        };
        let scope = match (self.scope, context.namespace) {
            (Scoped::Any, _) | (Scoped::Namespaced, Some(_)) => Known::Yes,
            (Scoped::Cluster, Some(_)) => Known::No,
            (_, None) => Known::Unknown,
        };
        any(&self.groups, asked.group)
            .min(any(&self.versions, asked.version))
            .min(any(&self.names, context.name))
            .min(resource)
            .min(operation)
            .min(scope)
    }
}

/// `pods` is the resource itself, `pods/status` a sub-resource; `*` is all resources themselves, `*/*` everything.
fn named(wanted: &str, resource: &str, sub_resource: Option<&str>) -> bool {
    match (wanted.split_once('/'), sub_resource) {
        (None, None) => wanted == "*" || wanted == resource,
        (None, Some(_)) => false,
        (Some(("*", "*")), _) => true,
        (Some((name, "*")), None) => name == resource,
        (Some(_), None) => false,
        (Some((name, sub)), Some(seen)) => (name == "*" || name == resource) && (sub == "*" || sub == seen),
    }
}

/// The object as the Pod that it makes: its template's metadata and specification in place of its own, which is what
/// Kyverno's rewriting of `object.spec` and `object.metadata` comes to. The namespace stays.
pub(super) fn pod_view(object: &Value, template: &str) -> Value {
    let mut view = object.clone();
    let Some(fields) = view.as_object_mut() else {
        return view;
    };
    let part = |name: &str| object.pointer(&format!("{template}/{name}")).cloned();
    let namespace = object.pointer("/metadata/namespace").cloned();
    fields.insert("spec".to_owned(), part("spec").unwrap_or(Value::Null));
    let mut metadata = part("metadata")
        .filter(Value::is_object)
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    if let (Some(namespace), Some(metadata)) = (namespace, metadata.as_object_mut()) {
        metadata.insert("namespace".to_owned(), namespace);
    }
    fields.insert("metadata".to_owned(), metadata);
    view
}

/// A Pod of nothing but one image, for questions about an image that no object names.
pub(super) fn pod_of(image: &ImageRef, context: &RequestContext<'_>) -> Value {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": context.name.unwrap_or("image"), "namespace": context.namespace.unwrap_or("default") },
        "spec": { "containers": [{ "name": "image", "image": image.to_string() }] },
    })
}

/// Whether a name is one of those that an exception gives, which may have wildcards.
pub(crate) fn listed(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| wildcard(pattern, name))
}
