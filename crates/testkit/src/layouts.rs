//! A read-only registry of image layout folders, each served byte for byte as it is: also where its bytes lie about
//! their digest or size, which a registry that checks content could not hold.

mod repository;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::manifest::{self, Shape};
use repository::Repository;

/// One layout and how it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Under which name.
    pub repository: String,
    /// From which folder.
    pub folder: PathBuf,
    /// As which kind of registry.
    pub shape: Shape,
}

/// A running registry of layouts; dropping it ends it.
#[derive(Debug)]
pub struct LayoutServer {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl LayoutServer {
    /// Serves all layouts of `fixtures/manifest.json`.
    ///
    /// # Panics
    ///
    /// If a fixture is missing.
    pub async fn fixtures() -> Self {
        let mut layouts = Vec::new();
        for case in manifest::cases() {
            if let (Some(repository), Some(folder), Some(shape)) = (case.repo, case.layout, case.shape) {
                let folder = manifest::fixture(&folder);
                let layout = Layout {
                    repository,
                    folder,
                    shape,
                };
                if !layouts.contains(&layout) {
                    layouts.push(layout);
                }
            }
        }
        Self::start(layouts).await
    }

    /// Serves `layouts` on a free port of loopback.
    ///
    /// # Panics
    ///
    /// If a layout cannot be read, or two have one name.
    pub async fn start(layouts: Vec<Layout>) -> Self {
        let mut repositories = BTreeMap::new();
        for layout in layouts {
            let opened = Repository::open(&layout);
            let before = repositories.insert(layout.repository.clone(), opened);
            assert!(before.is_none(), "two layouts are named {}", layout.repository);
        }
        let requests = Arc::new(AtomicU64::new(0));
        let state = Served {
            repositories: Arc::new(repositories),
            requests: Arc::clone(&requests),
        };
        let router = Router::new().fallback(answer).with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let serving = tokio::spawn(async move {
            // Ends with the task.
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            requests,
            serving,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for LayoutServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Served {
    repositories: Arc<BTreeMap<String, Repository>>,
    requests: Arc<AtomicU64>,
}

async fn answer(State(served): State<Served>, request: Request) -> Response<Body> {
    served.requests.fetch_add(1, Ordering::Relaxed);
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    }
    let path = request.uri().path().replace("%3A", ":").replace("%3a", ":");
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (name, kind, last) = match parts.as_slice() {
        ["v2"] | ["v2", ""] => return content("application/json", None, b"{}".to_vec()),
        ["v2", name @ .., kind, last] => (name.join("/"), *kind, *last),
        _ => return refusal(StatusCode::NOT_FOUND, "UNSUPPORTED"),
    };
    let Some(repository) = served.repositories.get(&name) else {
        return refusal(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    };
    let found = match kind {
        "manifests" => repository.manifest(last).ok_or("MANIFEST_UNKNOWN"),
        "blobs" => repository.blob(last).ok_or("BLOB_UNKNOWN"),
        "tags" if last == "list" => Ok(repository.tags(&name)),
        "referrers" => repository.referrers(last).ok_or("UNSUPPORTED"),
        _ => Err("UNSUPPORTED"),
    };
    match found {
        Ok(found) => content(&found.media_type, found.digest.as_deref(), found.bytes),
        Err(code) => refusal(StatusCode::NOT_FOUND, code),
    }
}

/// What a request found.
struct Found {
    media_type: String,
    digest: Option<String>,
    bytes: Vec<u8>,
}

fn content(media_type: &str, digest: Option<&str>, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::builder().header("content-type", media_type);
    if let Some(digest) = digest {
        response = response.header("docker-content-digest", digest);
    }
    response.body(Body::from(bytes)).expect("valid headers")
}

fn refusal(status: StatusCode, code: &str) -> Response<Body> {
    let body = serde_json::json!({"errors": [{"code": code, "message": code.to_lowercase(), "detail": null}]});
    let mut response = content("application/json", None, body.to_string().into_bytes());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
