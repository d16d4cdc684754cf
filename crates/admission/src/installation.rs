//! The objects that make an API server ask this webhook: a MutatingWebhookConfiguration and a
//! ValidatingWebhookConfiguration, their rules made from the walker's own table.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use thiserror::Error;

use crate::images::{Kinds, Rule};

mod definition;
mod workload;

pub use definition::policy_definition;
pub use workload::{Workload, made_by_the_webhook, object_path, objects};

/// Namespaces that are never asked about: with `failurePolicy: Fail`, a cluster that restarts with no webhook running
/// must be able to start what the webhook needs (kyverno#16177).
pub const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// What the configurations say.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Name of both objects; also the first label of the webhooks' names.
    pub name: String,
    /// How the API server reaches the webhook.
    pub target: Target,
    /// [`crate::Server::ca_bundle_pem`]; none where the webhook itself puts it there. Until
    /// then the API server trusts nobody who answers as the webhook, and refuses.
    pub ca_bundle_pem: Option<String>,
    /// The kinds whose images are looked at.
    pub kinds: Kinds,
    /// Namespaces that are not asked about, beside [`SYSTEM_NAMESPACES`] and the service's own.
    pub excluded_namespaces: Vec<String>,
    /// How long the API server waits, 1 to 30 seconds.
    pub timeout_seconds: u8,
}

/// How the API server reaches the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Service of the cluster.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
    /// An address outside of it: `https://host:port`, without path.
    Url(String),
}

/// Why no configuration can be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InstallationError {
    /// The API server refuses such a timeout.
    #[error("expected a timeout of 1 to 30 seconds, got {seconds}")]
    Timeout {
        /// What was given.
        seconds: u8,
    },
    /// The API server calls `https` only, and takes neither a query nor user information.
    #[error("expected an address like https://host:port, got \"{url}\"")]
    Url {
        /// What was given.
        url: String,
    },
    /// What runs in the cluster is reached by a Service.
    #[error("expected a Service of the cluster, not an address outside of it")]
    NoService,
    /// Without authorities the API server would use those of its system.
    #[error("the bundle of authorities has no certificate")]
    NoBundle,
    /// Not a name that Kubernetes takes.
    #[error("\"{name}\" is not a name for an object; expected lower-case letters, digits and '-'")]
    Name {
        /// What was given.
        name: String,
    },
}

impl Installation {
    /// The usual configuration: ten seconds, system namespaces left out.
    #[must_use]
    pub fn new(target: Target, ca_bundle_pem: String) -> Self {
        Self {
            ca_bundle_pem: Some(ca_bundle_pem),
            ..Self::self_registering(target)
        }
    }

    /// The same without authorities: the webhook puts its own there.
    #[must_use]
    pub fn self_registering(target: Target) -> Self {
        Self {
            name: "proofmark-admission".to_owned(),
            target,
            ca_bundle_pem: None,
            kinds: Kinds::default(),
            excluded_namespaces: Vec::new(),
            timeout_seconds: 10,
        }
    }
}

/// The two objects, in the order in which they should be applied: the validating one last, so that it never sees tags
/// that the mutating one would have pinned.
pub fn webhook_configuration(installation: &Installation) -> Result<[Value; 2], InstallationError> {
    let seconds = installation.timeout_seconds;
    if !(1..=30).contains(&seconds) {
        return Err(InstallationError::Timeout { seconds });
    }
    if let Some(bundle) = &installation.ca_bundle_pem
        && !bundle.contains("-----BEGIN CERTIFICATE-----")
    {
        return Err(InstallationError::NoBundle);
    }
    let name = &installation.name;
    let is_label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 63 || !name.bytes().all(is_label) || name.starts_with('-') || name.ends_with('-')
    {
        return Err(InstallationError::Name { name: name.clone() });
    }
    let mutating = webhook(installation, "mutate", pod_rules(&installation.kinds))?;
    let validating = webhook(installation, "validate", installation.kinds.rules())?;
    Ok([
        object(
            "MutatingWebhookConfiguration",
            installation,
            with_reinvocation(mutating),
        ),
        object("ValidatingWebhookConfiguration", installation, validating),
    ])
}

/// Both objects as one YAML stream for `kubectl apply -f -`.
pub fn webhook_configuration_yaml(installation: &Installation) -> Result<String, InstallationError> {
    webhook_configuration(installation).map(|objects| objects_yaml(&objects))
}

/// Objects as one YAML stream for `kubectl apply -f -`. JSON is YAML, and kubectl reads it as such.
#[must_use]
pub fn objects_yaml(objects: &[Value]) -> String {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        yaml(object, 0, &mut text);
    }
    text
}

/// What every object of the installation has.
pub(crate) fn labels() -> Value {
    json!({ "app.kubernetes.io/name": "proofmark", "app.kubernetes.io/component": "admission" })
}

fn object(kind: &str, installation: &Installation, webhook: Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "name": installation.name,
            "labels": labels(),
        },
        "webhooks": [webhook],
    })
}

fn webhook(installation: &Installation, path: &str, rules: Vec<Rule>) -> Result<Value, InstallationError> {
    let mut excluded: Vec<&str> = SYSTEM_NAMESPACES.to_vec();
    if let Target::Service { namespace, .. } = &installation.target {
        excluded.push(namespace);
    }
    excluded.extend(installation.excluded_namespaces.iter().map(String::as_str));
    excluded.sort_unstable();
    excluded.dedup();
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|rule| {
            json!({
                "apiGroups": [rule.group],
                "apiVersions": [rule.version],
                "operations": ["CREATE", "UPDATE"],
                "resources": rule.resources,
                "scope": "*",
            })
        })
        .collect();
    Ok(json!({
        "name": format!("{path}.{}.proofmark.dev", installation.name),
        "admissionReviewVersions": ["v1"],
        "clientConfig": client_config(installation, path)?,
        // Unverified images must not run because the webhook is down; system namespaces are left out instead.
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {
            "matchExpressions": [
                { "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": excluded },
            ],
        },
        "rules": rules,
        "sideEffects": "None",
        "timeoutSeconds": installation.timeout_seconds,
    }))
}

fn client_config(installation: &Installation, path: &str) -> Result<Value, InstallationError> {
    let mut config = match &installation.target {
        Target::Service { namespace, name, port } => json!({
            "service": { "namespace": namespace, "name": name, "port": port, "path": format!("/{path}") },
        }),
        Target::Url(url) => {
            let rest = url
                .strip_prefix("https://")
                .map(|rest| rest.strip_suffix('/').unwrap_or(rest));
            match rest {
                Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@']) => {
                    json!({ "url": format!("https://{host}/{path}") })
                }
                _ => return Err(InstallationError::Url { url: url.clone() }),
            }
        }
    };
    if let Some(bundle) = &installation.ca_bundle_pem {
        config["caBundle"] = STANDARD.encode(bundle).into();
    }
    Ok(config)
}

/// Only Pods are pinned.
fn pod_rules(kinds: &Kinds) -> Vec<Rule> {
    let is_pod = |resource: &String| resource == "pods" || resource.starts_with("pods/");
    kinds
        .rules()
        .into_iter()
        .filter(|rule| rule.group.is_empty())
        .map(|mut rule| {
            rule.resources.retain(is_pod);
            rule
        })
        .collect()
}

/// Asked again when a webhook after this one adds containers: an injected sidecar is pinned like the rest.
fn with_reinvocation(mut webhook: Value) -> Value {
    if let Some(fields) = webhook.as_object_mut() {
        fields.insert("reinvocationPolicy".to_owned(), "IfNeeded".into());
    }
    webhook
}

/// Block style for the objects above: every scalar is a JSON scalar, which YAML 1.2 reads as the same value.
fn yaml(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                text.push_str(&format!("{indent}{name}:"));
                nested(member, depth + 1, text);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                let mut block = String::new();
                nested(element, depth + 1, &mut block);
                let block = block.trim_start_matches(['\n', ' ']);
                text.push_str(&format!("{indent}- {block}"));
            }
        }
        scalar => text.push_str(&format!("{indent}{scalar}\n")),
    }
}

fn nested(value: &Value, depth: usize, text: &mut String) {
    let block = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        _ => false,
    };
    if block {
        text.push('\n');
        yaml(value, depth, text);
    } else {
        text.push_str(&format!(" {value}\n"));
    }
}

#[cfg(test)]
mod tests;
