//! A Kubernetes API server that knows secrets and nothing else, over TLS, for those who have its token: the part of the API
//! that key pairs are kept with. It speaks JSON, not protocol buffers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path as Segments, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::https::HttpsServer;

/// The token that the server takes.
pub const TOKEN: &str = "the-token-of-a-service-account";

type Answer = (StatusCode, Json<Value>);

#[derive(Clone, Default)]
struct Secrets(Arc<Mutex<BTreeMap<String, Value>>>);

impl Secrets {
    fn with<T>(&self, run: impl FnOnce(&mut BTreeMap<String, Value>) -> T) -> T {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The running server. A secret called `broken` cannot be read for a fault of the server, and one called `huge` has more
/// bytes than any secret.
pub struct KubernetesApi {
    /// Where it is, and its certificate.
    pub server: HttpsServer,
    secrets: Secrets,
}

impl KubernetesApi {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let secrets = Secrets::default();
        let version = json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"});
        let app = Router::new()
            .route("/version", get(|| async { Json(version) }))
            .route("/api/v1/namespaces/{space}/secrets", post(create))
            .route("/api/v1/namespaces/{space}/secrets/{name}", get(read))
            .with_state(secrets.clone());
        Self {
            server: HttpsServer::start(app).await,
            secrets,
        }
    }

    /// Writes a kubeconfig that leads here with the right token.
    pub fn write_kubeconfig(&self, path: &Path) {
        let server = format!("https://{}", self.server.address);
        write_kubeconfig(path, &server, TOKEN, &self.server.certificate);
    }

    /// What is kept under `namespace/name`.
    #[must_use]
    pub fn secret(&self, place: &str) -> Option<Value> {
        self.secrets.with(|secrets| secrets.get(place).cloned())
    }

    /// Keeps a secret under `namespace/name`, whatever it says of itself.
    pub fn put(&self, place: &str, secret: Value) {
        self.secrets.with(|secrets| secrets.insert(place.to_owned(), secret));
    }

    /// Keeps a secret with this data (base64) under `namespace/name`.
    pub fn put_data(&self, place: &str, data: Value) {
        let (namespace, name) = place.split_once('/').expect("namespace/name");
        self.put(
            place,
            json!({"metadata": {"namespace": namespace, "name": name}, "data": data}),
        );
    }
}

/// Writes a kubeconfig with one cluster and one user.
pub fn write_kubeconfig(path: &Path, server: &str, token: &str, authority: &str) {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{"name": "me", "user": {"token": token}}],
    });
    std::fs::write(path, config.to_string()).expect("a kubeconfig");
}

fn status(code: StatusCode, message: &str) -> Answer {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "AlreadyExists",
        StatusCode::UNAUTHORIZED => "Unauthorized",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code.as_u16(),
        "reason": reason,
    });
    (code, Json(body))
}

fn known(headers: &HeaderMap) -> bool {
    let expected = format!("Bearer {TOKEN}");
    headers
        .get("authorization")
        .is_some_and(|value| value.as_bytes() == expected.as_bytes())
}

async fn read(
    State(secrets): State<Secrets>,
    Segments((space, name)): Segments<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    if !known(&headers) {
        return status(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    match name.as_str() {
        "broken" => return status(StatusCode::INTERNAL_SERVER_ERROR, "etcdserver: request timed out"),
        "huge" => {
            let data = json!({"data": {"cosign.key": "A".repeat(3 * 1024 * 1024)}});
            return (StatusCode::OK, Json(data));
        }
        _ => {}
    }
    match secrets.with(|secrets| secrets.get(&format!("{space}/{name}")).cloned()) {
        Some(secret) => (StatusCode::OK, Json(secret)),
        None => status(StatusCode::NOT_FOUND, &format!("secrets \"{name}\" not found")),
    }
}

async fn create(
    State(secrets): State<Secrets>,
    Segments(space): Segments<String>,
    headers: HeaderMap,
    Json(mut secret): Json<Value>,
) -> Answer {
    if !known(&headers) {
        return status(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    let name = secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    secret["metadata"]["namespace"] = json!(space);
    let place = format!("{space}/{name}");
    secrets.with(|secrets| {
        if secrets.contains_key(&place) {
            return status(StatusCode::CONFLICT, &format!("secrets \"{name}\" already exists"));
        }
        secrets.insert(place.clone(), secret.clone());
        (StatusCode::CREATED, Json(secret.clone()))
    })
}
