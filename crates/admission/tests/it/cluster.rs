//! The webhook registered with a real kube-apiserver: what people do to a cluster, and what is stored afterwards.
//!
//! One API server serves all tests; each has a namespace, webhook configurations that ask about that namespace alone, and
//! a webhook of its own. There are no controllers, so nothing but the tests makes objects.

use std::path::Path;
use std::time::Duration;

use proofmark_admission::{Cluster, ClusterError, Installation, Kinds, Target, webhook_configuration};
use proofmark_testkit::peers::KubeApiServer;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::world::{Webhook, World};

mod chart;
mod objects;
mod outage;
mod policies;
mod pulling;
mod rotation;
mod schema;
mod sharing;
mod workloads;

/// The label by which the webhook configurations of a test know its namespace.
const LABEL: &str = "proofmark.test/namespace";

/// The server that the tests share. It ends with the process.
async fn shared() -> Option<&'static KubeApiServer> {
    static SHARED: OnceCell<Option<KubeApiServer>> = OnceCell::const_new();
    SHARED.get_or_init(KubeApiServer::start_or_skip).await.as_ref()
}

/// An administrator of the API server, and a namespace.
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
}

impl Site {
    /// One on the shared server; none where there is no server.
    pub(crate) async fn new(namespace: &str) -> Option<Self> {
        let server = shared().await?;
        Some(Self::on(&server.kubeconfig(), namespace).await)
    }

    pub(crate) async fn on(kubeconfig: &Path, namespace: &str) -> Self {
        let cluster = Cluster::connect(Some(kubeconfig)).await.unwrap();
        let site = Self {
            cluster,
            namespace: namespace.to_owned(),
        };
        site.make_namespace(namespace).await;
        site
    }

    /// With the service account that a controller would make.
    pub(crate) async fn make_namespace(&self, name: &str) {
        let made = json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { LABEL: self.namespace } } });
        self.cluster.create("/api/v1/namespaces", &made).await.unwrap();
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } });
        let path = format!("/api/v1/namespaces/{name}/serviceaccounts");
        self.cluster.create(&path, &account).await.unwrap();
    }

    /// The webhook's configurations as `install` makes them, narrowed to this test's namespaces.
    pub(crate) fn configurations(&self, webhook: &Webhook, kinds: &Kinds) -> [Value; 2] {
        let address = format!("https://{}", webhook.server.address());
        let mut installation = Installation::new(Target::Url(address), webhook.server.ca_bundle_pem());
        installation.name = format!("proofmark-{}", self.namespace);
        installation.kinds = kinds.clone();
        let mut objects = webhook_configuration(&installation).unwrap();
        for object in &mut objects {
            let selector = &mut object["webhooks"][0]["namespaceSelector"]["matchExpressions"];
            let own = json!({ "key": LABEL, "operator": "In", "values": [self.namespace] });
            selector.as_array_mut().unwrap().push(own);
        }
        objects
    }

    /// Registers the webhook and waits until the API server asks it.
    pub(crate) async fn register(&self, webhook: &Webhook, kinds: &Kinds) {
        for object in self.configurations(webhook, kinds) {
            self.apply_configuration(&object).await;
        }
        self.until_asked(webhook).await;
    }

    pub(crate) async fn apply_configuration(&self, object: &Value) {
        let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{name}");
        self.cluster.apply(&path, object).await.unwrap();
    }

    pub(crate) async fn unregister(&self) {
        for plural in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
            let path = format!(
                "/apis/admissionregistration.k8s.io/v1/{plural}/proofmark-{}",
                self.namespace
            );
            assert!(self.cluster.delete(&path).await.unwrap());
        }
    }

    /// The API server learns of webhook configurations a moment after they are stored. A dry run of a Pod that no policy
    /// lets run says when it has.
    pub(crate) async fn until_asked(&self, webhook: &Webhook) {
        let asked = async |path: &str| {
            webhook
                .metric(&format!("proofmark_admission_reviews_total{{path=\"{path}\""))
                .await
        };
        let before = (asked("mutate").await, asked("validate").await);
        until("the webhook is asked", async || {
            let pod = objects::pod_of("probe", &["nowhere.invalid/x"]);
            let refused = self.try_create(&pod, true).await.is_err();
            refused && asked("mutate").await > before.0 && asked("validate").await > before.1
        })
        .await;
    }

    pub(crate) fn path(&self, object: &Value) -> String {
        objects::path(object, &self.namespace)
    }

    pub(crate) async fn try_create(&self, object: &Value, dry_run: bool) -> Result<Value, ClusterError> {
        let query = if dry_run { "?dryRun=All" } else { "" };
        self.cluster
            .create(&format!("{}{query}", self.path(object)), object)
            .await
    }

    pub(crate) async fn create(&self, object: &Value) -> Value {
        self.try_create(object, false)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The object as it is stored, if it is.
    pub(crate) async fn stored(&self, object: &Value) -> Option<Value> {
        match self.cluster.get(&self.named(object)).await {
            Ok(stored) => Some(stored),
            Err(error) if error.is_absent() => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn named(&self, object: &Value) -> String {
        format!("{}/{}", self.path(object), object["metadata"]["name"].as_str().unwrap())
    }
}

/// A denial by the webhook for this reason: 403, its name in front, the code in brackets.
pub(crate) fn assert_denied(answer: Result<Value, ClusterError>, code: &str) {
    let error = answer.expect_err(&format!("expected a denial because of {code}"));
    assert_eq!(error.status(), Some(403), "{error}");
    let text = error.to_string();
    assert!(text.contains("denied the request: proofmark: "), "{text}");
    assert!(text.contains(&format!("[{code}]")), "expected [{code}] in:\n{text}");
}

/// Waits for something that happens in the background.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not happen within half a minute: {what}");
}

/// A world with a policy that wants a signature, a webhook over it, and a site that asks the webhook.
pub(crate) async fn guarded(namespace: &str) -> Option<(Site, World, Webhook)> {
    let site = Site::new(namespace).await?;
    let world = World::new().await;
    let webhook = world.webhook(&[world.policy("release", "")], |_| ()).await;
    site.register(&webhook, &Kinds::default()).await;
    Some((site, world, webhook))
}
