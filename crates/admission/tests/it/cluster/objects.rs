//! Objects of every kind, made around a PodSpec.

use serde_json::{Value, json};

/// Kind, group, resource.
pub(crate) const KINDS: [(&str, &str, &str); 9] = [
    ("Pod", "", "pods"),
    ("ReplicationController", "", "replicationcontrollers"),
    ("PodTemplate", "", "podtemplates"),
    ("Deployment", "apps", "deployments"),
    ("ReplicaSet", "apps", "replicasets"),
    ("StatefulSet", "apps", "statefulsets"),
    ("DaemonSet", "apps", "daemonsets"),
    ("Job", "batch", "jobs"),
    ("CronJob", "batch", "cronjobs"),
];

pub(crate) fn pod(name: &str, spec: &Value) -> Value {
    object("Pod", name, spec)
}

/// A Pod with these images, one container each.
pub(crate) fn pod_of(name: &str, images: &[&str]) -> Value {
    pod(name, &spec_of(images))
}

pub(crate) fn spec_of(images: &[&str]) -> Value {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(position, image)| json!({ "name": format!("c{position}"), "image": image }))
        .collect();
    json!({ "containers": containers })
}

pub(crate) fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let (_, group, _) = known(kind);
    let api_version = if group.is_empty() {
        "v1".to_owned()
    } else {
        format!("{group}/v1")
    };
    let labels = json!({ "app": name });
    let mut spec = spec.clone();
    if ["Job", "CronJob"].contains(&kind) {
        spec["restartPolicy"] = "Never".into();
    }
    let template = json!({ "metadata": { "labels": labels }, "spec": spec });
    let selector = json!({ "matchLabels": labels });
    let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name } });
    match kind {
        "Pod" => object["spec"] = spec,
        "PodTemplate" => object["template"] = template,
        "ReplicationController" => object["spec"] = json!({ "selector": labels, "template": template }),
        "Job" => object["spec"] = json!({ "template": template }),
        "CronJob" => {
            object["spec"] = json!({ "schedule": "@yearly", "jobTemplate": { "spec": { "template": template } } });
        }
        "StatefulSet" => {
            object["spec"] = json!({ "selector": selector, "template": template, "serviceName": "none" });
        }
        _ => object["spec"] = json!({ "selector": selector, "template": template }),
    }
    object
}

/// Where the PodSpec of an object is.
pub(crate) fn spec_pointer(kind: &str) -> &'static str {
    match kind {
        "Pod" => "/spec",
        "PodTemplate" => "/template/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    }
}

/// Where objects like this one are in the API.
pub(crate) fn path(object: &Value, namespace: &str) -> String {
    let api_version = object["apiVersion"].as_str().unwrap();
    let kind = object["kind"].as_str().unwrap();
    let plural = KINDS.iter().find(|(known, _, _)| *known == kind).map_or_else(
        || format!("{}s", kind.to_lowercase()),
        |(_, _, plural)| (*plural).to_owned(),
    );
    let root = if api_version.contains('/') { "apis" } else { "api" };
    format!("/{root}/{api_version}/namespaces/{namespace}/{plural}")
}

fn known(kind: &str) -> (&'static str, &'static str, &'static str) {
    *KINDS.iter().find(|(known, _, _)| *known == kind).unwrap()
}
