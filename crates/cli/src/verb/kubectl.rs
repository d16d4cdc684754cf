//! `kubectl`: what a cluster would do with a manifest, and why a workload does not get its Pods. Called by the name
//! `kubectl-proofmark` the program is kubectl's plugin: `kubectl proofmark try`, `kubectl proofmark why`.
//!
//! The cluster is asked itself, by dry runs: its policies and its webhook decide, as they are now, and nothing is stored.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proofmark_admission::{Cluster, ClusterError, Kinds, Resource, Trial};
use serde_json::{Value, json};

use crate::context::{Context, read_text};
use crate::failure::{Exit, Failure, chain};
use crate::output::counted;
use crate::verb::manifest;

/// The name of kubectl's plugin.
const PLUGIN: &str = "kubectl-proofmark";

/// Events that are looked through; an API server keeps them for an hour.
const MAX_EVENTS: usize = 500;

/// Past denials that are shown.
const MAX_SHOWN: usize = 3;

/// What a cluster lets run, and why not: `kubectl proofmark`
#[derive(Subcommand, Debug)]
pub(crate) enum Kubectl {
    /// Ask the cluster what would become of manifests, without storing anything
    Try(Try),
    /// Ask why a workload does not get its Pods: what was denied lately, and what would be now
    Why(Why),
}

/// Which cluster, and where in it.
#[derive(Args, Debug)]
struct Where {
    /// Namespace of what says none (default: that of the kubeconfig)
    #[arg(long, short = 'n', value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The kubeconfig (default: KUBECONFIG, or ~/.kube/config)
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// Ask the cluster what would become of manifests, without storing anything
#[derive(Args, Debug)]
pub(crate) struct Try {
    /// File, or folder of files (.yaml, .yml, .json; may be repeated)
    #[arg(long = "filename", short = 'f', required = true, value_name = "FILE|FOLDER")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    place: Where,
}

/// Ask why a workload does not get its Pods
#[derive(Args, Debug)]
pub(crate) struct Why {
    /// What kubectl calls it: deployment/web, deploy/web, job/migrate, pod/web, …
    #[arg(value_name = "KIND/NAME")]
    object: String,

    #[command(flatten)]
    place: Where,
}

/// The command line, as it is meant: kubectl's plugin has one group of verbs.
pub(crate) fn as_plugin(mut words: Vec<OsString>) -> Vec<OsString> {
    let program = words.first().map(Path::new).and_then(Path::file_stem);
    if program == Some(OsStr::new(PLUGIN)) {
        words.insert(1, "kubectl".into());
    }
    words
}

impl Kubectl {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Try(verb) => verb.run(context).await,
            Self::Why(verb) => verb.run(context).await,
        }
    }
}

impl Where {
    async fn open(&self) -> Result<(Cluster, String), Failure> {
        let cluster = Cluster::connect(self.kubeconfig.as_deref()).await.map_err(failure)?;
        let namespace = match &self.namespace {
            Some(namespace) => plain_name(namespace, "a namespace")?.to_owned(),
            None => cluster.default_namespace().to_owned(),
        };
        Ok((cluster, namespace))
    }
}

impl Try {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut objects = Vec::new();
        for path in manifest::files(&self.files)? {
            for document in manifest::documents(&path, &read_text(&path)?)? {
                objects.extend(members(document));
            }
        }
        if objects.is_empty() {
            return Err(Failure::usage(
                "no-objects",
                "no object is in the files that were named",
            ));
        }
        let (cluster, namespace) = self.place.open().await?;
        let mut told = Vec::new();
        for object in &objects {
            told.push(Told::of(&cluster, &namespace, object).await?);
        }
        let text: String = told.iter().map(Told::text).collect();
        let values: Vec<Value> = told.iter().map(Told::json).collect();
        context.output.result(&text, &json!({ "objects": values }));
        denied(told.iter().filter(|told| told.is_denied()).count(), "object")
    }
}

impl Why {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let (workload, name) = Workload::parse(&self.object)?;
        let (cluster, namespace) = self.place.open().await?;
        let resource = cluster
            .resource(workload.version, workload.kind)
            .await
            .map_err(failure)?;
        let path = format!("{}/{name}", resource.path(&namespace));
        let object = cluster.get(&path).await.map_err(failure)?;
        let events = denials(&cluster, &namespace, name).await?;
        let pod = pod_of(&object, workload, name).ok_or_else(|| {
            Failure::new(
                Exit::Undecided,
                "object-malformed",
                format!("{path} has no template of a Pod"),
            )
        })?;
        let now = Told::of(&cluster, &namespace, &pod).await?;
        let mut text = format!("{} {namespace}/{name}\n", workload.kind);
        for event in &events {
            let _ = writeln!(text, "denied at {} ({} {})", event.at, event.kind, event.name);
            indent(&mut text, &event.message);
        }
        if events.is_empty() {
            text.push_str("no denial is among the events that the cluster keeps\n");
        }
        text.push_str("a Pod of it, now:\n");
        indent(&mut text, &now.text());
        let past: Vec<Value> = events.iter().map(Event::json).collect();
        let value =
            json!({ "kind": workload.kind, "namespace": namespace, "name": name, "denials": past, "now": now.json() });
        context.output.result(&text, &value);
        denied(usize::from(now.is_denied()), "Pod")
    }
}

fn denied(count: usize, what: &str) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    let message = format!("the cluster denies {}", counted(count, what));
    let mut failure = Failure::new(Exit::Refused, "admission-denied", message);
    failure.told = true;
    Err(failure)
}

/// The objects of a list, or the one object.
fn members(document: Value) -> Vec<Value> {
    match document {
        Value::Null => Vec::new(),
        Value::Object(mut fields) if fields.get("kind").is_some_and(|kind| kind == "List") => {
            match fields.remove("items") {
                Some(Value::Array(items)) => items.into_iter().flat_map(members).collect(),
                _ => Vec::new(),
            }
        }
        other => vec![other],
    }
}

/// What the cluster says to one object.
struct Told {
    title: String,
    trial: Trial,
    /// Images that would be stored otherwise than they are written.
    pinned: Vec<(String, String)>,
}

impl Told {
    async fn of(cluster: &Cluster, default_namespace: &str, object: &Value) -> Result<Self, Failure> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        if version.is_empty() || kind.is_empty() {
            return Err(Failure::usage(
                "malformed-manifest",
                "an object without apiVersion or kind: expected a Kubernetes manifest",
            ));
        }
        let resource: Resource = cluster.resource(version, kind).await.map_err(failure)?;
        let namespace = match text("/metadata/namespace") {
            "" => default_namespace,
            named => plain_name(named, "a namespace")?,
        };
        let name = match (text("/metadata/name"), text("/metadata/generateName")) {
            ("", "") => {
                let message = format!("a {kind} without a name");
                return Err(Failure::usage("malformed-manifest", message));
            }
            ("", start) => format!("{start}…"),
            (name, _) => plain_name(name, "a name")?.to_owned(),
        };
        let title = if resource.namespaced {
            format!("{kind} {namespace}/{name}")
        } else {
            format!("{kind} {name}")
        };
        let trial = cluster.dry_run(&resource, namespace, object).await.map_err(failure)?;
        let pinned = match &trial {
            Trial::Allowed { object: stored, .. } => changed_images(version, kind, object, stored),
            _ => Vec::new(),
        };
        Ok(Self { title, trial, pinned })
    }

    fn is_denied(&self) -> bool {
        !matches!(self.trial, Trial::Allowed { .. })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        match &self.trial {
            Trial::Allowed { warnings, .. } => {
                let _ = writeln!(text, "{}: allowed", self.title);
                for (from, to) in &self.pinned {
                    let _ = writeln!(text, "  {from} becomes {to}");
                }
                for warning in warnings {
                    indent(&mut text, &format!("warning: {warning}"));
                }
            }
            Trial::Denied { webhook, message } => {
                let _ = writeln!(text, "{}: denied by {webhook}", self.title);
                indent(&mut text, message);
            }
            // None other is known here, and what is not known is no yes.
            other => {
                let _ = writeln!(text, "{}: {other:?}", self.title);
            }
        }
        text
    }

    fn json(&self) -> Value {
        let pinned: Vec<Value> = self
            .pinned
            .iter()
            .map(|(from, to)| json!({ "from": from, "to": to }))
            .collect();
        match &self.trial {
            Trial::Allowed { warnings, .. } => {
                json!({ "object": self.title, "allowed": true, "warnings": warnings, "pinned": pinned })
            }
            Trial::Denied { webhook, message } => {
                json!({ "object": self.title, "allowed": false, "webhook": webhook, "message": message })
            }
            other => json!({ "object": self.title, "allowed": false, "message": format!("{other:?}") }),
        }
    }
}

fn indent(text: &mut String, lines: &str) {
    for line in lines.lines() {
        let space = if line.is_empty() { "" } else { "  " };
        let _ = writeln!(text, "{space}{line}");
    }
}

/// The images at the same places before and after, where they differ.
fn changed_images(version: &str, kind: &str, written: &Value, stored: &Value) -> Vec<(String, String)> {
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let kinds = Kinds::default();
    let before = kinds.images(group, kind, written).unwrap_or_default();
    let after = kinds.images(group, kind, stored).unwrap_or_default();
    let at = |pointer: &str| after.iter().find(|found| found.pointer == pointer);
    before
        .iter()
        .filter_map(|found| Some((found.image.to_owned(), at(&found.pointer)?.image.to_owned())))
        .filter(|(from, to)| from != to)
        .collect()
}

/// A kind whose Pods can be asked about.
#[derive(Clone, Copy, Debug)]
struct Workload {
    kind: &'static str,
    version: &'static str,
    /// What kubectl calls it, beside its kind.
    names: &'static [&'static str],
    /// Where its Pods' template is.
    template: &'static str,
}

const WORKLOADS: [Workload; 8] = [
    Workload {
        kind: "Pod",
        version: "v1",
        names: &["pods", "po"],
        template: "",
    },
    Workload {
        kind: "Deployment",
        version: "apps/v1",
        names: &["deployments", "deploy"],
        template: "/spec/template",
    },
    Workload {
        kind: "ReplicaSet",
        version: "apps/v1",
        names: &["replicasets", "rs"],
        template: "/spec/template",
    },
    Workload {
        kind: "StatefulSet",
        version: "apps/v1",
        names: &["statefulsets", "sts"],
        template: "/spec/template",
    },
    Workload {
        kind: "DaemonSet",
        version: "apps/v1",
        names: &["daemonsets", "ds"],
        template: "/spec/template",
    },
    Workload {
        kind: "Job",
        version: "batch/v1",
        names: &["jobs"],
        template: "/spec/template",
    },
    Workload {
        kind: "CronJob",
        version: "batch/v1",
        names: &["cronjobs", "cj"],
        template: "/spec/jobTemplate/spec/template",
    },
    Workload {
        kind: "ReplicationController",
        version: "v1",
        names: &["replicationcontrollers", "rc"],
        template: "/spec/template",
    },
];

impl Workload {
    fn parse(text: &str) -> Result<(Self, &str), Failure> {
        let (kind, name) = text.split_once('/').unwrap_or(("pod", text));
        let known = WORKLOADS.into_iter().find(|workload| {
            let names = workload.names.iter().copied().chain([workload.kind]);
            names.into_iter().any(|known| known.eq_ignore_ascii_case(kind))
        });
        match known {
            Some(workload) => Ok((workload, plain_name(name, "a name")?)),
            None => {
                let kinds: Vec<String> = WORKLOADS
                    .iter()
                    .map(|workload| workload.kind.to_ascii_lowercase())
                    .collect();
                let message = format!(
                    "\"{text}\" is no workload: expected KIND/NAME, the kind one of {}",
                    kinds.join(", ")
                );
                Err(Failure::usage("workload-unknown", message))
            }
        }
    }
}

/// What becomes part of an address (Kubernetes, "Object Names and IDs").
fn plain_name<'n>(name: &'n str, what: &str) -> Result<&'n str, Failure> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':');
    if !name.is_empty() && name.len() <= 253 && !name.starts_with('.') && name.bytes().all(plain) {
        return Ok(name);
    }
    Err(Failure::usage(
        "name-malformed",
        format!("\"{name}\" is not {what} in Kubernetes"),
    ))
}

/// A Pod as the workload's controller makes it; of a Pod, one more.
fn pod_of(object: &Value, workload: Workload, name: &str) -> Option<Value> {
    let template = object.pointer(workload.template)?;
    let mut spec = template.get("spec")?.clone();
    if let Some(fields) = spec.as_object_mut() {
        // Where the scheduler has put it.
        fields.remove("nodeName");
    }
    let mut metadata = json!({ "generateName": format!("{name}-") });
    for field in ["labels", "annotations"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    Some(json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }))
}

/// A denial that the cluster has noted.
#[derive(Debug)]
struct Event {
    at: String,
    kind: String,
    name: String,
    message: String,
}

impl Event {
    fn json(&self) -> Value {
        json!({ "at": self.at, "kind": self.kind, "name": self.name, "message": self.message })
    }
}

/// The newest denials that controllers ran into for an object, or for what they made of it.
async fn denials(cluster: &Cluster, namespace: &str, name: &str) -> Result<Vec<Event>, Failure> {
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector=type%3DWarning&limit={MAX_EVENTS}");
    let list = cluster.get(&path).await.map_err(failure)?;
    let made_of = format!("{name}-");
    let mut events: Vec<Event> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| {
            let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
            let about = text("/involvedObject/name")?;
            let message = text("/message")?;
            if about != name && !about.starts_with(&made_of) || !message.contains("denied the request") {
                return None;
            }
            Some(Event {
                at: text("/lastTimestamp")
                    .or_else(|| text("/eventTime"))
                    .or_else(|| text("/metadata/creationTimestamp"))
                    .unwrap_or_default()
                    .to_owned(),
                kind: text("/involvedObject/kind").unwrap_or_default().to_owned(),
                name: about.to_owned(),
                message: message.to_owned(),
            })
        })
        .collect();
    events.sort_by(|a, b| b.at.cmp(&a.at));
    events.dedup_by(|a, b| a.message == b.message && a.name == b.name);
    events.truncate(MAX_SHOWN);
    Ok(events)
}

fn failure(error: ClusterError) -> Failure {
    let exit = match &error {
        ClusterError::Settings { .. } => Exit::Usage,
        ClusterError::Refused { status: 401 | 403, .. } => Exit::Credentials,
        ClusterError::Refused { status: 400 | 422, .. } => Exit::Usage,
        ClusterError::Refused { status: 404, .. } => Exit::NotFound,
        _ => Exit::Undecided,
    };
    Failure::new(exit, error.code(), chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_one_group_of_verbs() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (given, meant) in [
            (
                "/usr/bin/kubectl-proofmark why web",
                "/usr/bin/kubectl-proofmark kubectl why web",
            ),
            ("proofmark why web", "proofmark why web"),
            ("kubectl-proofmarks x", "kubectl-proofmarks x"),
        ] {
            assert_eq!(as_plugin(words(given)), words(meant));
        }
    }

    #[test]
    fn workloads_are_named_as_for_kubectl() {
        for (text, kind, name) in [
            ("web", "Pod", "web"),
            ("po/web", "Pod", "web"),
            ("deploy/web", "Deployment", "web"),
            ("Deployments/web", "Deployment", "web"),
            ("cj/nightly", "CronJob", "nightly"),
        ] {
            let (workload, named) = Workload::parse(text).unwrap();
            assert_eq!((workload.kind, named), (kind, name), "{text}");
        }
        for (text, code) in [
            ("secret/x", "workload-unknown"),
            ("deploy/", "name-malformed"),
            ("deploy/../../secrets", "name-malformed"),
            ("deploy/a?dryRun=", "name-malformed"),
            ("deploy/..", "name-malformed"),
        ] {
            assert_eq!(Workload::parse(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn a_pod_is_made_of_the_template() {
        let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "nodeName": "n", "containers": [] } });
        let job = json!({ "spec": { "jobTemplate": { "spec": { "template": template } } } });
        let (workload, name) = Workload::parse("cj/nightly").unwrap();
        let pod = pod_of(&job, workload, name).unwrap();
        assert_eq!(
            pod,
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "nightly-", "labels": { "a": "b" } },
                "spec": { "containers": [] } })
        );
        assert_eq!(pod_of(&json!({ "spec": {} }), workload, name), None);
    }

    #[test]
    fn lists_are_their_members() {
        let list =
            json!({ "kind": "List", "items": [{ "kind": "Pod" }, { "kind": "List", "items": [{ "kind": "Job" }] }] });
        assert_eq!(members(list), [json!({ "kind": "Pod" }), json!({ "kind": "Job" })]);
        assert!(members(Value::Null).is_empty());
    }
}
