//! What a Kubernetes API server would ask the webhook: AdmissionReviews over HTTPS, its authority trusted and no other.

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::ImageRef;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

/// The API server's side of the webhook.
pub(super) struct Cluster {
    http: Client,
    webhook: String,
}

/// What became of a Pod.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    pub(super) allowed: bool,
    /// The image of the Pod after the mutating webhook.
    pub(super) image: String,
    /// What the user is told.
    pub(super) message: String,
}

impl Cluster {
    pub(super) fn new(webhook: &std::net::SocketAddr, authority_pem: &str) -> anyhow::Result<Self> {
        let authority = Certificate::from_pem(authority_pem.as_bytes()).context("the webhook's authority is no PEM")?;
        let http = Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .timeout(std::time::Duration::from_secs(30))
            .build()?;
        Ok(Self {
            http,
            webhook: format!("https://{webhook}"),
        })
    }

    /// Creates a Pod with this image: first the mutating webhook, then the validating one with what came out.
    pub(super) async fn create_pod(&self, name: &str, image: &ImageRef) -> anyhow::Result<Admitted> {
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "namespace": "production" },
            "spec": { "containers": [{ "name": "app", "image": image.to_string() }] },
        });
        let answer = self.ask("mutate", name, &pod).await?;
        if let Some(patch) = answer["patch"].as_str() {
            apply(&mut pod, &serde_json::from_slice(&STANDARD.decode(patch)?)?)?;
        }
        let mut verdict = answer;
        if verdict["allowed"] == json!(true) {
            verdict = self.ask("validate", name, &pod).await?;
        }
        Ok(Admitted {
            allowed: verdict["allowed"] == json!(true),
            image: pod["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            message: verdict["status"]["message"].as_str().unwrap_or_default().to_owned(),
        })
    }

    async fn ask(&self, path: &str, name: &str, object: &Value) -> anyhow::Result<Value> {
        let uid = format!("demo-{path}-{name}");
        let review = json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": uid,
                "kind": { "group": "", "version": "v1", "kind": "Pod" },
                "resource": { "group": "", "version": "v1", "resource": "pods" },
                "name": name,
                "namespace": "production",
                "operation": "CREATE",
                "userInfo": { "username": "demo" },
                "object": object,
                "oldObject": null,
                "dryRun": false,
            },
        });
        let answer: Value = self
            .http
            .post(format!("{}/{path}?timeout=10s", self.webhook))
            .json(&review)
            .send()
            .await
            .with_context(|| format!("the webhook does not answer at {}", self.webhook))?
            .error_for_status()?
            .json()
            .await?;
        let response = answer["response"].clone();
        if response["uid"] != json!(uid) {
            return Err(anyhow!("the webhook answered another request: {response}"));
        }
        Ok(response)
    }
}

/// Applies the two operations of a JSON patch (RFC 6902) that a pin consists of.
fn apply(object: &mut Value, patch: &Value) -> anyhow::Result<()> {
    for operation in patch.as_array().context("the patch is no list")? {
        let path = operation["path"].as_str().context("an operation without path")?;
        match operation["op"].as_str() {
            Some("test") if object.pointer(path) == Some(&operation["value"]) => {}
            Some("replace") => {
                *object.pointer_mut(path).with_context(|| format!("nothing at {path}"))? = operation["value"].clone();
            }
            other => return Err(anyhow!("unexpected operation {other:?} at {path}")),
        }
    }
    Ok(())
}
