//! What runs the webhook in a cluster, and nothing beside: namespace, service account, the least RBAC, a Service, three
//! replicas and their disruption budget. The webhook configurations come last, when there is somebody to ask.

use serde_json::{Value, json};

use super::{Installation, InstallationError, Target, labels, policy_definition, webhook_configuration};
use crate::cluster::policies::POLICY_KINDS;

/// Where the container listens.
const PORT: u16 = 8443;

/// What runs in the cluster.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The image of this program.
    pub image: String,
    /// How many replicas.
    pub replicas: u8,
    /// Whether an image that no policy concerns may run.
    pub allow_unmatched: bool,
    /// Whether the pull secrets of Pods and of their service accounts are used to fetch evidence: the webhook may then
    /// read every secret of the cluster.
    pub pull_secrets: bool,
}

impl Workload {
    /// Three replicas that let nothing run that no policy concerns and read no secrets of others.
    #[must_use]
    pub fn new(image: String) -> Self {
        Self {
            image,
            replicas: 3,
            allow_unmatched: false,
            pull_secrets: false,
        }
    }
}

/// Every object, in the order in which they are to be applied: what others refer to first, the webhook configurations
/// last. Removing them in the opposite order never leaves a configuration that nobody answers.
pub fn objects(installation: &Installation, workload: &Workload) -> Result<Vec<Value>, InstallationError> {
    let Target::Service { namespace, name, .. } = &installation.target else {
        return Err(InstallationError::NoService);
    };
    let place = Place { namespace, name };
    let configurations = webhook_configuration(installation)?;
    let mut objects = vec![
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": namespace, "labels": with(&labels(), &[
                // The container needs nothing that this forbids.
                ("pod-security.kubernetes.io/enforce", "restricted"),
            ]) },
        }),
        policy_definition(),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": place.metadata() }),
    ];
    objects.extend(permissions(&place, installation, workload));
    objects.extend([
        service(&place),
        budget(&place),
        deployment(&place, installation, workload),
    ]);
    objects.extend(configurations);
    Ok(objects)
}

/// Where the API server has an object of those above, and the collection that it is in.
#[must_use]
pub fn object_path(object: &Value) -> Option<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (api_version, kind, name) = (text("/apiVersion")?, text("/kind")?, text("/metadata/name")?);
    // True of every kind above, and of not every kind there is.
    let plural = format!("{}s", kind.to_ascii_lowercase());
    let root = if api_version.contains('/') { "apis" } else { "api" };
    let namespace = text("/metadata/namespace").map(|namespace| format!("/namespaces/{namespace}"));
    Some(format!(
        "/{root}/{api_version}{}/{plural}/{name}",
        namespace.unwrap_or_default()
    ))
}

/// What the webhook makes itself, which goes with the rest: the secret that the replicas share.
#[must_use]
pub fn made_by_the_webhook(installation: &Installation) -> Option<String> {
    match &installation.target {
        Target::Service { namespace, name, .. } => {
            let place = Place { namespace, name };
            Some(format!("/api/v1/namespaces/{namespace}/secrets/{}", place.tls_secret()))
        }
        Target::Url(_) => None,
    }
}

struct Place<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl Place<'_> {
    fn metadata(&self) -> Value {
        json!({ "name": self.name, "namespace": self.namespace, "labels": labels() })
    }

    fn selector(&self) -> Value {
        json!({ "app.kubernetes.io/name": "proofmark", "app.kubernetes.io/instance": self.name })
    }

    /// Of the secret that the replicas share.
    fn tls_secret(&self) -> String {
        format!("{}-tls", self.name)
    }
}

/// What the webhook may do:
///
/// 1. read policies and whether their kinds exist, write the status of ours, and post Events;
/// 2. keep its authority in one secret of its namespace, and put the authority's certificate into its own two
///    configurations;
/// 3. read secrets and service accounts, if it was told to use them.
fn permissions(place: &Place<'_>, installation: &Installation, workload: &Workload) -> Vec<Value> {
    let mut rules: Vec<Value> = POLICY_KINDS
        .iter()
        .map(|kind| json!({ "apiGroups": [kind.group], "resources": [kind.plural], "verbs": ["get", "list", "watch"] }))
        .collect();
    let definitions: Vec<String> = POLICY_KINDS.iter().map(|kind| kind.definition()).collect();
    rules.extend([
        json!({ "apiGroups": ["proofmark.dev"], "resources": ["imagepolicies/status"], "verbs": ["patch"] }),
        json!({
            "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
            "resourceNames": definitions, "verbs": ["get"],
        }),
        json!({ "apiGroups": [""], "resources": ["events"], "verbs": ["create"] }),
        json!({
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": [installation.name], "verbs": ["get", "patch"],
        }),
    ]);
    if workload.pull_secrets {
        rules.push(json!({ "apiGroups": [""], "resources": ["secrets", "serviceaccounts"], "verbs": ["get"] }));
    }
    let own = [
        // A name cannot be given to a create.
        json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["create"] }),
        json!({
            "apiGroups": [""], "resources": ["secrets"], "resourceNames": [place.tls_secret()], "verbs": ["get", "update"],
        }),
    ];
    let subjects = json!([{ "kind": "ServiceAccount", "name": place.name, "namespace": place.namespace }]);
    let reference = |kind: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": place.name });
    let whole = json!({ "name": place.name, "labels": labels() });
    let object = |kind: &str, metadata: &Value| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata });
    let role = |kind: &str, metadata: &Value, rules: Value| {
        let mut role = object(kind, metadata);
        role["rules"] = rules;
        role
    };
    let binding = |kind: &str, metadata: &Value, role: &str| {
        let mut binding = object(kind, metadata);
        binding["roleRef"] = reference(role);
        binding["subjects"] = subjects.clone();
        binding
    };
    vec![
        role("ClusterRole", &whole, rules.into()),
        binding("ClusterRoleBinding", &whole, "ClusterRole"),
        role("Role", &place.metadata(), json!(own)),
        binding("RoleBinding", &place.metadata(), "Role"),
    ]
}

fn service(place: &Place<'_>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": place.metadata(),
        "spec": {
            "selector": place.selector(),
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": "https" }],
        },
    })
}

fn budget(place: &Place<'_>) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": place.metadata(),
        "spec": { "minAvailable": 1, "selector": { "matchLabels": place.selector() } },
    })
}

fn deployment(place: &Place<'_>, installation: &Installation, workload: &Workload) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": place.metadata(),
        "spec": {
            "replicas": workload.replicas,
            "selector": { "matchLabels": place.selector() },
            // A replica that is not ready knows no policies; those of before stay until it does.
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "template": {
                "metadata": { "labels": with(&labels(), &[("app.kubernetes.io/instance", place.name)]) },
                "spec": pod(place, installation, workload),
            },
        },
    })
}

fn pod(place: &Place<'_>, installation: &Installation, workload: &Workload) -> Value {
    let service = format!("{}.{}.svc", place.name, place.namespace);
    let mut arguments = vec![
        "admission".to_owned(),
        "serve".to_owned(),
        "--from-cluster".to_owned(),
        format!("--listen=0.0.0.0:{PORT}"),
        format!("--tls-name={service}"),
        "--tls-dir=/var/lib/proofmark/tls".to_owned(),
        format!("--tls-secret={}/{}", place.namespace, place.tls_secret()),
        format!("--register={}", installation.name),
    ];
    if workload.allow_unmatched {
        arguments.push("--allow-unmatched".to_owned());
    }
    if workload.pull_secrets {
        arguments.push("--pull-secrets".to_owned());
    }
    let probe = |path: &str, period: u8| json!({ "httpGet": { "path": path, "port": "https", "scheme": "HTTPS" }, "periodSeconds": period });
    json!({
        "serviceAccountName": place.name,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        // Two replicas on one node go with it.
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": place.selector() },
        }],
        "containers": [{
            "name": "webhook",
            "image": workload.image,
            "args": arguments,
            // The trust root is kept here.
            "env": [{ "name": "TUF_ROOT", "value": "/var/lib/proofmark/trust" }],
            "ports": [{ "name": "https", "containerPort": PORT, "protocol": "TCP" }],
            "livenessProbe": probe("/healthz", 10),
            "readinessProbe": probe("/readyz", 5),
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "512Mi" } },
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [{ "name": "data", "mountPath": "/var/lib/proofmark" }],
        }],
        "volumes": [{ "name": "data", "emptyDir": { "sizeLimit": "1Gi" } }],
    })
}

fn with(labels: &Value, more: &[(&str, &str)]) -> Value {
    let mut labels = labels.clone();
    for (name, value) in more {
        labels[*name] = (*value).into();
    }
    labels
}
