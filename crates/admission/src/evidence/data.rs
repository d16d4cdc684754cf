//! What policies may ask about an image beside its evidence: manifest, configuration, and the parts of its reference, in
//! the names that Kyverno has for them (`getImageData`).

use proofmark_oci::Manifest;
use proofmark_registry::{Client, RegistryError};
use proofmark_types::{Digest, ImageRef};
use serde_json::{Map, Value, json};

/// The largest configuration read; those of images with a hundred layers have some 30 KiB.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

pub(super) async fn fetch(client: &Client, image: &ImageRef, digest: &Digest) -> Result<Value, RegistryError> {
    let repository = image.repository();
    let manifest = client.manifest(repository, digest).await?;
    // Its bytes were hashed: what is no JSON here was pushed so, and has no parts to ask for.
    let parsed: Value = serde_json::from_slice(&manifest.bytes).unwrap_or(Value::Null);
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    let host = repository.registry().as_str();
    set("image", json!(image.to_string()));
    set("resolvedImage", json!(image.with_digest(digest.clone()).to_string()));
    set(
        "registry",
        json!(if host == "docker.io" { "index.docker.io" } else { host }),
    );
    set("repository", json!(repository.path()));
    let tag = image.digest().is_none().then(|| image.tag_or_latest().to_string());
    set("identifier", json!(tag.clone().unwrap_or_else(|| digest.to_string())));
    set("tag", json!(tag.unwrap_or_default()));
    set("digest", json!(digest.to_string()));
    match manifest.parse()? {
        Manifest::Index(_) => set("imageIndex", parsed),
        Manifest::Image(image) => {
            let config = client.blob(repository, &image.config, MAX_CONFIG_BYTES).await?;
            set("config", serde_json::from_slice(&config).unwrap_or(Value::Null));
            set("manifest", parsed)
        }
    };
    Ok(Value::Object(fields))
}
