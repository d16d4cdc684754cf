//! The policies that a cluster holds as objects: our own kind and those of the peers, followed as they change.
//!
//! What is kept here is what the API server said last. It becomes a generation of policies where files do (`basis`): all
//! of it or nothing. A collection that cannot be read any more keeps what was read before; one that was never read makes
//! no generation at all, because policies that are missing restrict nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::watch::{self, Objects, Seen};
use super::{Cluster, ClusterError};

/// A kind of policy that the policy room reads.
#[derive(Debug)]
pub(crate) struct PolicyKind {
    pub(crate) group: &'static str,
    /// Those that are read, best first.
    versions: &'static [&'static str],
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    /// Ours: its status is written.
    pub(crate) own: bool,
}

/// What is followed. The namespaced kinds of the peers are not among them, nor Kyverno's exceptions: whoever may write to a
/// namespace would otherwise say which images need no other policy there, or none at all.
pub(crate) const POLICY_KINDS: [PolicyKind; 4] = [
    PolicyKind {
        group: "proofmark.dev",
        versions: &["v1alpha1"],
        kind: "ImagePolicy",
        plural: "imagepolicies",
        own: true,
    },
    PolicyKind {
        group: "kyverno.io",
        versions: &["v1"],
        kind: "ClusterPolicy",
        plural: "clusterpolicies",
        own: false,
    },
    PolicyKind {
        group: "policies.kyverno.io",
        versions: &["v1", "v1beta1", "v1alpha1"],
        kind: "ImageValidatingPolicy",
        plural: "imagevalidatingpolicies",
        own: false,
    },
    PolicyKind {
        group: "policy.sigstore.dev",
        versions: &["v1beta1", "v1alpha1"],
        kind: "ClusterImagePolicy",
        plural: "clusterimagepolicies",
        own: false,
    },
];

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl PolicyKind {
    /// The name of its CustomResourceDefinition, and the first part of the names of its objects as files.
    pub(crate) fn definition(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }
}

/// An object and where it is.
#[derive(Clone, Debug)]
pub(crate) struct PolicyObject {
    pub(crate) kind: &'static PolicyKind,
    pub(crate) version: &'static str,
    /// `namespace/name`, or `name`.
    pub(crate) key: String,
    pub(crate) object: Value,
}

impl PolicyObject {
    /// What messages call it where they name files.
    pub(crate) fn file(&self) -> String {
        format!("{}/{}", self.kind.definition(), self.key)
    }

    /// Where the API server has it.
    pub(crate) fn path(&self) -> String {
        let (group, plural) = (self.kind.group, self.kind.plural);
        format!("/apis/{group}/{}/{plural}/{}", self.version, self.key)
    }
}

/// What is known of one kind.
#[derive(Default)]
struct Collection {
    /// None until the API server has said something.
    known: Option<(&'static str, Objects)>,
    trouble: Option<String>,
}

/// The policies of a cluster, as they were seen last.
pub(crate) struct PolicyObjects {
    cluster: Cluster,
    pause: Duration,
    collections: Mutex<BTreeMap<&'static str, Collection>>,
    pub(crate) changed: Notify,
}

impl PolicyObjects {
    /// Knows nothing yet; `pause` is how long to wait before a kind that is not installed is looked for again.
    pub(crate) fn new(cluster: Cluster, pause: Duration) -> Self {
        Self {
            cluster,
            pause,
            collections: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Every policy as a file; or why there is no telling what the policies are.
    pub(crate) fn files(&self) -> Result<Vec<(String, Vec<u8>)>, String> {
        let objects = self.objects()?;
        let files = objects
            .into_iter()
            .filter(concerns_images)
            .map(|policy| (policy.file(), document(&policy).to_string().into_bytes()));
        Ok(files.collect())
    }

    /// Every object, also of those that say nothing about images.
    pub(crate) fn objects(&self) -> Result<Vec<PolicyObject>, String> {
        let collections = self.lock();
        let mut all = Vec::new();
        for kind in &POLICY_KINDS {
            let collection = collections.get(kind.plural);
            let Some((version, objects)) = collection.and_then(|collection| collection.known.as_ref()) else {
                let trouble = collection.and_then(|collection| collection.trouble.as_deref());
                return Err(format!(
                    "{} could not be read yet: {}",
                    kind.definition(),
                    trouble.unwrap_or("the API server has not answered")
                ));
            };
            all.extend(objects.iter().map(|(key, object)| PolicyObject {
                kind,
                version,
                key: key.clone(),
                object: object.clone(),
            }));
        }
        Ok(all)
    }

    /// Why what is known may be old, one line a kind; empty when it is not.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let collections = self.lock();
        let troubles = collections
            .iter()
            .filter_map(|(plural, collection)| Some((plural, collection.trouble.as_ref()?)));
        troubles
            .map(|(plural, trouble)| format!("{plural}: {trouble}"))
            .collect()
    }

    /// Waits until the API server has answered about every kind, or `patience` is over.
    pub(crate) async fn until_known(&self, patience: Duration) {
        let known = async {
            while self.objects().is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Who starts without them says so: nothing runs until they are known.
        let _ = tokio::time::timeout(patience, known).await;
    }

    /// Follows every kind until the process ends.
    pub(crate) async fn follow(self: std::sync::Arc<Self>) {
        let mut tasks = JoinSet::new();
        for kind in &POLICY_KINDS {
            let objects = self.clone();
            tasks.spawn(async move { objects.follow_kind(kind).await });
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn follow_kind(&self, kind: &'static PolicyKind) {
        let mut pause = Duration::from_secs(1).min(self.pause);
        loop {
            match self.follow_once(kind).await {
                Ok(()) => pause = Duration::from_secs(1).min(self.pause),
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, kind = kind.kind, "policies of the cluster cannot be followed");
                    self.with(kind, |collection| collection.trouble = Some(error.to_string()));
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// 1. Asks for the definition of the kind: where there is none, there are no policies of it, and only that says so. A
    ///    list that is not found may be an API server that has not read its definitions yet.
    /// 2. Lists all objects and watches from there on.
    async fn follow_once(&self, kind: &'static PolicyKind) -> Result<(), ClusterError> {
        // 1.
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let definition = match self.cluster.get(&format!("{definitions}/{}", kind.definition())).await {
            Ok(definition) => definition,
            Err(error) if error.is_absent() => {
                self.with(kind, |collection| {
                    collection.known = Some((kind.versions.first().copied().unwrap_or_default(), Objects::new()));
                    collection.trouble = None;
                });
                tokio::time::sleep(self.pause).await;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let served = |version: &str| {
            let versions = definition["spec"]["versions"].as_array();
            versions
                .into_iter()
                .flatten()
                .any(|known| known["name"] == version && known["served"] == true)
        };
        let Some(version) = kind.versions.iter().copied().find(|version| served(version)) else {
            return Err(ClusterError::Answer {
                what: kind.definition(),
                reason: format!(
                    "none of the versions that are read is served ({})",
                    kind.versions.join(", ")
                ),
            });
        };
        // 2.
        let path = format!("/apis/{}/{version}/{}", kind.group, kind.plural);
        let mut listed = watch::list(&self.cluster, &path).await?;
        self.with(kind, |collection| {
            collection.known = Some((version, std::mem::take(&mut listed.objects)));
            collection.trouble = None;
        });
        watch::watch(&self.cluster, &path, &mut listed, |seen| {
            self.with(kind, |collection| {
                let Some((_, objects)) = &mut collection.known else {
                    return;
                };
                match seen {
                    Seen::Put(key, object) => objects.insert(key, object),
                    Seen::Gone(key) => objects.remove(&key),
                };
            });
        })
        .await
    }

    fn with(&self, kind: &'static PolicyKind, change: impl FnOnce(&mut Collection)) {
        change(self.lock().entry(kind.plural).or_default());
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Collection>> {
        self.collections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The object as somebody would have written it to a file: what the API server keeps beside it is left out, so that a
/// status that changes is no new generation.
fn document(policy: &PolicyObject) -> Value {
    let metadata: Map<String, Value> = ["name", "namespace", "annotations", "labels"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), policy.object["metadata"].get(name)?.clone())))
        .collect();
    let mut document = json!({
        "apiVersion": format!("{}/{}", policy.kind.group, policy.version),
        "kind": policy.kind.kind,
        "metadata": metadata,
    });
    // Everything else, whatever it is called: a field that is not understood must not be passed over.
    for (name, value) in policy.object.as_object().into_iter().flatten() {
        if !["apiVersion", "kind", "metadata", "status"].contains(&name.as_str()) {
            document[name] = value.clone();
        }
    }
    document
}

/// Kyverno's policies are about everything; those that say nothing about images are Kyverno's alone. Whatever might be
/// about images is read, and is an error if it cannot be.
fn concerns_images(policy: &PolicyObject) -> bool {
    let evaluation = &policy.object["spec"]["evaluation"];
    match policy.kind.kind {
        "ClusterPolicy" => {}
        // About documents that are no objects of the cluster, or about what runs already.
        "ImageValidatingPolicy" => {
            let mode = evaluation["mode"].as_str().unwrap_or("Kubernetes");
            return mode == "Kubernetes" && evaluation["admission"]["enabled"] != false;
        }
        _ => return true,
    }
    let rules = policy.object["spec"]["rules"].as_array();
    rules.is_none_or(|rules| {
        rules.iter().any(|rule| {
            rule.get("verifyImages").is_some()
                || rule
                    .get("validate")
                    .is_some_and(|validate| validate.to_string().to_ascii_lowercase().contains("image"))
        })
    })
}

#[cfg(test)]
mod tests {
    use proofmark_policy::{PolicyError, PolicySet};

    use super::*;

    fn policy(kind: &'static PolicyKind, object: Value) -> PolicyObject {
        PolicyObject {
            kind,
            version: kind.versions[0],
            key: watch::key(&object),
            object,
        }
    }

    #[test]
    fn every_kind_that_is_followed_is_one_that_is_read() {
        for kind in &POLICY_KINDS {
            for version in kind.versions {
                let document = json!({
                    "apiVersion": format!("{}/{version}", kind.group), "kind": kind.kind,
                    "metadata": { "name": "p" }, "spec": {},
                });
                let text = document.to_string();
                let error = PolicySet::load(&[("p", text.as_bytes())]).expect_err("a policy without rules");
                assert!(
                    !matches!(error, PolicyError::Kind { .. }),
                    "{} {version}: {error}",
                    kind.kind
                );
            }
        }
    }

    #[test]
    fn what_the_api_server_keeps_beside_a_policy_is_left_out_and_nothing_else() {
        let object = json!({
            "metadata": { "name": "p", "resourceVersion": "7", "uid": "u", "managedFields": [], "labels": { "a": "b" } },
            "spec": { "x": 1 }, "status": { "y": 2 }, "unheardOf": true,
        });
        let document = document(&policy(&POLICY_KINDS[0], object));
        let expected = json!({
            "apiVersion": "proofmark.dev/v1alpha1", "kind": "ImagePolicy",
            "metadata": { "name": "p", "labels": { "a": "b" } }, "spec": { "x": 1 }, "unheardOf": true,
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn a_policy_in_cel_is_left_to_kyverno_only_if_it_is_not_about_admission() {
        let with = |evaluation: Value| {
            let spec = json!({ "spec": { "evaluation": evaluation } });
            let kind = POLICY_KINDS.iter().find(|kind| kind.kind == "ImageValidatingPolicy");
            concerns_images(&policy(kind.unwrap(), spec))
        };
        assert!(with(Value::Null) && with(json!({ "mode": "Kubernetes", "background": { "enabled": false } })));
        assert!(!with(json!({ "mode": "JSON" })) && !with(json!({ "admission": { "enabled": false } })));
    }

    #[test]
    fn a_kyverno_policy_is_left_to_kyverno_only_if_it_says_nothing_about_images() {
        let with = |rule: Value| concerns_images(&policy(&POLICY_KINDS[1], json!({ "spec": { "rules": [rule] } })));
        assert!(!with(
            json!({ "name": "labels", "validate": { "pattern": { "metadata": { "labels": { "app": "?*" } } } } })
        ));
        assert!(!with(
            json!({ "name": "generate", "generate": { "kind": "NetworkPolicy" } })
        ));
        assert!(with(json!({ "name": "verify", "verifyImages": [] })));
        assert!(with(
            json!({ "validate": { "pattern": { "spec": { "=(initContainers)": [{ "image": "!*:latest" }] } } } })
        ));
        assert!(with(
            json!({ "validate": { "foreach": [{ "list": "request.object.spec.containers", "deny": {
            "conditions": [{ "key": "{{ Images.x }}" }] } }] } })
        ));
        assert!(
            concerns_images(&policy(&POLICY_KINDS[1], json!({ "spec": {} }))),
            "what is no policy is an error"
        );
    }
}
