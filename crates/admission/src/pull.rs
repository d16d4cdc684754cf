//! Pull secrets: evidence about a private image is fetched with what the Pod would pull it with.
//!
//! As the kubelet does it: the secrets that the Pod names, then those of its service account, each for the hosts that it
//! says and no others; then the webhook's own credentials. What is fetched and held with one secret's content is held
//! apart from everything else ([`Lookups`] of its own): whoever does not have that secret is never answered with it, and
//! whoever has the same content could have read the same. Secrets are kept for seconds and tokens as long as the registry
//! says they live; nothing of either is written down.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_registry::{Client, CredentialStore};
use proofmark_types::{Digest, Hasher, Repository};
use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError};
use crate::config::{Clock, Limits};
use crate::evidence::{Deadline, Lookups};
use crate::hold::{Bounds, Store};
use crate::metrics::Metrics;
use crate::text::{one_line, shortened};

/// Secrets of one Pod that are looked at; the kubelet tries each, and a Pod has one or two.
const MAX_SECRETS: usize = 16;

/// Different contents of secrets for which something is held.
const MAX_TENANTS: usize = 32;

/// What is held for each.
const HELD: Bounds = Bounds {
    entries: 500,
    bytes: 1024 * 1024,
};

/// How long a secret or a service account is believed; the kubelet's own copy is up to a minute old.
const KEPT: Duration = Duration::from_secs(20);

/// Secrets and service accounts kept.
const MAX_KEPT: Bounds = Bounds {
    entries: 4096,
    bytes: 8 * 1024 * 1024,
};

/// An object that is kept, or that there is none.
type Kept = (Option<Arc<Value>>, Instant);

/// Finds pull secrets and what is held with them.
pub(crate) struct PullSecrets {
    cluster: Cluster,
    client: Client,
    clock: Clock,
    limits: Limits,
    metrics: Arc<Metrics>,
    objects: Store<String, Kept>,
    tenants: Store<Digest, Arc<Lookups>>,
}

/// The secrets of one Pod.
#[derive(Default)]
pub(crate) struct Keyring {
    stores: Vec<(Digest, CredentialStore)>,
    /// Why not all of them could be read.
    trouble: Option<String>,
}

impl Keyring {
    /// What a refusal of the registry may be due to.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

impl PullSecrets {
    pub(crate) fn new(cluster: Cluster, client: Client, clock: Clock, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            cluster,
            client,
            clock,
            limits: Limits { held: HELD, ..limits },
            metrics,
            objects: Store::new(MAX_KEPT),
            tenants: Store::new(Bounds {
                entries: MAX_TENANTS,
                bytes: usize::MAX,
            }),
        }
    }

    /// The secrets that `pod_spec` names in `namespace`, then those of its service account. One that is not there is none,
    /// as for the kubelet; what cannot be read is remembered for the denial.
    pub(crate) async fn keyring(&self, namespace: &str, pod_spec: &Value, deadline: Deadline) -> Keyring {
        let mut keyring = Keyring::default();
        let reading = self.read(namespace, pod_spec, &mut keyring);
        if tokio::time::timeout_at(deadline.0, reading).await.is_err() {
            keyring.trouble = Some("the API server did not answer in time".to_owned());
        }
        keyring
    }

    /// What is looked up with each secret of the keyring that has something for the repository.
    pub(crate) async fn lookups(&self, keyring: &Keyring, repository: &Repository) -> Vec<Arc<Lookups>> {
        let mut found = Vec::new();
        for (content, store) in &keyring.stores {
            // A secret has no helpers, so this asks nobody.
            if let Ok(Some(_)) = store.lookup(repository).await {
                found.push(self.tenant(content, store));
            }
        }
        found
    }

    fn tenant(&self, content: &Digest, store: &CredentialStore) -> Arc<Lookups> {
        if let Some(lookups) = self.tenants.get(content) {
            return lookups;
        }
        let client = self.client.with_credentials(store.clone());
        // What one tenant's secrets have fetched is kept in memory alone, and for that tenant.
        let lookups = Arc::new(Lookups::new(
            &client,
            self.clock.clone(),
            self.limits,
            self.metrics.clone(),
            None,
        ));
        self.tenants.put(content.clone(), lookups.clone(), 0);
        lookups
    }

    async fn read(&self, namespace: &str, pod_spec: &Value, keyring: &mut Keyring) {
        let mut names = names(pod_spec);
        let account = pod_spec["serviceAccountName"]
            .as_str()
            .filter(|name| !name.is_empty())
            .unwrap_or("default");
        match self.object(namespace, "serviceaccounts", account).await {
            Ok(Some(account)) => names.extend(self::names(&account)),
            Ok(None) => {}
            Err(error) => keyring.trouble = Some(error.to_string()),
        }
        let mut seen = Vec::new();
        for name in names {
            if seen.contains(&name) || seen.len() == MAX_SECRETS {
                continue;
            }
            match self.object(namespace, "secrets", &name).await {
                Ok(Some(secret)) => match credentials(&name, &secret) {
                    Ok(Some(read)) => keyring.stores.push(read),
                    Ok(None) => {}
                    Err(reason) => keyring.trouble = Some(reason),
                },
                Ok(None) => {}
                Err(error) => keyring.trouble = Some(error.to_string()),
            }
            seen.push(name);
        }
    }

    /// The object, at most [`KEPT`] old. Names are those of API objects, and nothing else gets into a path.
    async fn object(&self, namespace: &str, plural: &str, name: &str) -> Result<Option<Arc<Value>>, ClusterError> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= 253
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
                && !text.starts_with('.')
        };
        if !is_name(namespace) || !is_name(name) {
            return Ok(None);
        }
        let path = format!("/api/v1/namespaces/{namespace}/{plural}/{name}");
        if let Some((object, read)) = self.objects.get(&path)
            && read.elapsed() < KEPT
        {
            return Ok(object);
        }
        let object = match self.cluster.get(&path).await {
            Ok(object) => Some(Arc::new(object)),
            Err(error) if error.is_absent() => None,
            Err(error) => return Err(error),
        };
        let bytes = object.as_ref().map_or(0, |object| object.to_string().len());
        self.objects.put(path, (object.clone(), Instant::now()), bytes);
        Ok(object)
    }
}

/// The names of secrets that a PodSpec or a service account has.
fn names(object: &Value) -> Vec<String> {
    let secrets = object["imagePullSecrets"].as_array();
    let names = secrets
        .into_iter()
        .flatten()
        .filter_map(|secret| secret["name"].as_str());
    names.map(str::to_owned).collect()
}

/// The content of a pull secret, and its digest. A secret of another type is none. Messages name the secret and never
/// what is in it.
fn credentials(name: &str, secret: &Value) -> Result<Option<(Digest, CredentialStore)>, String> {
    let unusable = |reason: &str| {
        let reason = shortened(&one_line(reason), 200);
        format!(
            "the pull secret {} cannot be used: {reason}",
            shortened(&one_line(name), 100)
        )
    };
    let field = match secret["type"].as_str() {
        Some("kubernetes.io/dockerconfigjson") => ".dockerconfigjson",
        Some("kubernetes.io/dockercfg") => ".dockercfg",
        _ => return Ok(None),
    };
    let text = secret["data"][field].as_str().unwrap_or_default();
    let mut content = STANDARD
        .decode(text)
        .map_err(|_| unusable("its content is not base64"))?;
    if field == ".dockercfg" {
        // The older form is what stands under `auths` in the newer.
        let auths: Value = serde_json::from_slice(&content).map_err(|_| unusable("its content is not JSON"))?;
        content = serde_json::json!({ "auths": auths }).to_string().into_bytes();
    }
    let store = CredentialStore::from_json(name, &content).map_err(|error| unusable(&error.to_string()))?;
    let mut hasher = Hasher::sha256();
    hasher.update(b"pull secret");
    hasher.update(&content);
    Ok(Some((hasher.finish(), store)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(kind: &str, field: &str, content: &str) -> Value {
        json!({ "type": kind, "data": { field: STANDARD.encode(content) } })
    }

    const AUTHS: &str = r#"{"r.example.com":{"username":"u","password":"p"}}"#;

    #[tokio::test]
    async fn both_forms_of_a_pull_secret_are_read_and_are_for_their_host_alone() {
        let newer = format!(r#"{{"auths":{AUTHS}}}"#);
        for secret in [
            secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", &newer),
            secret("kubernetes.io/dockercfg", ".dockercfg", AUTHS),
        ] {
            let (_, store) = credentials("s", &secret).unwrap().unwrap();
            let has = async |text: &str| store.lookup(&Repository::parse(text).unwrap()).await.unwrap().is_some();
            assert!(has("r.example.com/team/app").await);
            assert!(!has("r.example.com.attacker.example/team/app").await);
            assert!(!has("other.example.com/r.example.com/app").await);
        }
    }

    #[test]
    fn other_secrets_are_none_and_broken_ones_say_so_without_their_content() {
        assert!(
            credentials("s", &secret("Opaque", ".dockerconfigjson", "{}"))
                .unwrap()
                .is_none()
        );
        for broken in [
            secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", "hunter2"),
            secret("kubernetes.io/dockercfg", ".dockercfg", "hunter2"),
        ] {
            let reason = credentials("s", &broken).unwrap_err();
            assert!(reason.starts_with("the pull secret s cannot be used"), "{reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }

    #[test]
    fn different_contents_are_different_tenants() {
        let with = |password: &str| {
            let auths = json!({ "auths": { "r.example.com": { "username": "u", "password": password } } });
            let secret = secret(
                "kubernetes.io/dockerconfigjson",
                ".dockerconfigjson",
                &auths.to_string(),
            );
            credentials("s", &secret).unwrap().unwrap().0
        };
        assert_eq!(with("a"), with("a"));
        assert_ne!(with("a"), with("b"));
    }
}
