//! A registry in a temporary folder and the requests that tests make of it.

use std::path::Path;

use proofmark_registry_server::{Config, Server};
use proofmark_types::Digest;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
    client: Client,
}

pub(crate) fn config(folder: &Path) -> Config {
    Config::new(folder, "127.0.0.1:0".parse().unwrap())
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        change(&mut config);
        Self {
            server: Server::start(config).await.unwrap(),
            folder,
            client: Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) async fn restart(self) -> Self {
        let Self { server, folder, client } = self;
        server.stop().await;
        let server = Server::start(config(folder.path())).await.unwrap();
        Self { server, folder, client }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.server.address()))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn head(&self, path: &str) -> RequestBuilder {
        self.request(Method::HEAD, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    pub(crate) fn patch(&self, path: &str) -> RequestBuilder {
        self.request(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.request(Method::DELETE, path)
    }

    /// Pushes a blob at once and answers its digest.
    pub(crate) async fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256_of(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let response = self.post(&path).body(bytes.to_vec()).send().await.unwrap();
        expect(response, StatusCode::CREATED).await;
        digest
    }

    /// Opens an upload and answers its location.
    pub(crate) async fn upload(&self, repository: &str) -> String {
        let response = self
            .post(&format!("/v2/{repository}/blobs/uploads/"))
            .send()
            .await
            .unwrap();
        let response = expect(response, StatusCode::ACCEPTED).await;
        header(&response, "location")
    }

    /// Waits until an upload has got something.
    pub(crate) async fn arrived(&self, location: &str) {
        while header(&self.get(location).send().await.unwrap(), "range") == "0-0" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn push(&self, repository: &str, reference: &str, media_type: &str, manifest: &[u8]) -> Response {
        self.put(&format!("/v2/{repository}/manifests/{reference}"))
            .header("content-type", media_type)
            .body(manifest.to_vec())
            .send()
            .await
            .unwrap()
    }

    /// Pushes an image of one layer, which holds `content`, and answers its digest.
    pub(crate) async fn image(&self, repository: &str, reference: &str, content: &str) -> Digest {
        let manifest = self.image_manifest(repository, content, json!({})).await;
        let response = self.push(repository, reference, MANIFEST, &manifest).await;
        expect(response, StatusCode::CREATED).await;
        Digest::sha256_of(&manifest)
    }

    /// An image's manifest whose config and layer are pushed already; `more` is added to its fields.
    pub(crate) async fn image_manifest(&self, repository: &str, content: &str, more: Value) -> Vec<u8> {
        let config = b"{}";
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &self.blob(repository, config).await, config.len()),
            "layers": [descriptor(LAYER, &self.blob(repository, content.as_bytes()).await, content.len())],
        });
        for (key, value) in more.as_object().unwrap() {
            manifest[key] = value.clone();
        }
        serde_json::to_vec(&manifest).unwrap()
    }

    pub(crate) async fn tags(&self, repository: &str) -> Vec<String> {
        let response = self.get(&format!("/v2/{repository}/tags/list")).send().await.unwrap();
        let list: Value = expect(response, StatusCode::OK).await.json().await.unwrap();
        serde_json::from_value(list["tags"].clone()).unwrap()
    }
}

pub(crate) fn descriptor(media_type: &str, digest: &Digest, size: usize) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
}

pub(crate) async fn expect(response: Response, status: StatusCode) -> Response {
    if response.status() != status {
        let (seen, url) = (response.status(), response.url().clone());
        panic!(
            "{url}: expected {status}, got {seen}: {}",
            response.text().await.unwrap()
        );
    }
    response
}

/// Expects a refusal with a status and a code of the specification.
pub(crate) async fn refused(request: RequestBuilder, status: u16, code: &str) -> String {
    let response = request.send().await.unwrap();
    assert_eq!(header(&response, "content-type"), "application/json");
    let response = expect(response, StatusCode::from_u16(status).unwrap()).await;
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["errors"][0]["code"], code, "{body}");
    body["errors"][0]["message"].as_str().unwrap().to_owned()
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name);
    value
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default()
}

/// The files below a folder, as paths relative to it.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
