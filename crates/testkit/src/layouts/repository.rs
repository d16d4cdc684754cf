//! One layout folder as a repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Found, Layout};
use crate::manifest::Shape;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What `index.json` says, kept as loosely as it was written: strictness is for the code under test.
pub(super) struct Repository {
    folder: PathBuf,
    shape: Shape,
    /// Digest to descriptor.
    manifests: BTreeMap<String, Map<String, Value>>,
    /// Tag to digest.
    tags: BTreeMap<String, String>,
}

impl Repository {
    pub(super) fn open(layout: &Layout) -> Self {
        let path = layout.folder.join("index.json");
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let index: Value = serde_json::from_slice(&bytes).expect("index.json is JSON");
        let mut manifests = BTreeMap::new();
        let mut tags = BTreeMap::new();
        for descriptor in index["manifests"].as_array().expect("a list of manifests") {
            let descriptor = descriptor.as_object().expect("a descriptor").clone();
            if let Some(tag) = descriptor.get("annotations").and_then(|all| all[REF_NAME].as_str()) {
                let digest = descriptor["digest"].as_str().expect("a digest");
                tags.insert(tag.to_owned(), digest.to_owned());
            }
            add(&mut manifests, descriptor);
        }
        let mut repository = Self {
            folder: layout.folder.clone(),
            shape: layout.shape,
            manifests,
            tags,
        };
        repository.add_children();
        repository
    }

    /// Layouts as skopeo writes them name the children of an index in the index alone.
    fn add_children(&mut self) {
        let named: Vec<String> = self.manifests.keys().cloned().collect();
        for digest in named {
            let bytes = self.read(&digest).unwrap_or_default();
            let index: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            for child in index["manifests"].as_array().into_iter().flatten() {
                let known = child["digest"]
                    .as_str()
                    .is_none_or(|digest| self.manifests.contains_key(digest));
                if let (false, Some(child)) = (known, child.as_object()) {
                    add(&mut self.manifests, child.clone());
                }
            }
        }
    }

    pub(super) fn manifest(&self, reference: &str) -> Option<Found> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        let descriptor = self.manifests.get(digest)?;
        Some(Found {
            media_type: descriptor["mediaType"].as_str()?.to_owned(),
            digest: Some(digest.to_owned()),
            bytes: self.read(digest)?,
        })
    }

    pub(super) fn blob(&self, digest: &str) -> Option<Found> {
        Some(Found {
            media_type: "application/octet-stream".to_owned(),
            digest: Some(digest.to_owned()),
            bytes: self.read(digest)?,
        })
    }

    pub(super) fn tags(&self, name: &str) -> Found {
        let tags: Vec<&String> = self.tags.keys().collect();
        Found {
            media_type: "application/json".to_owned(),
            digest: None,
            bytes: json!({"name": name, "tags": tags}).to_string().into_bytes(),
        }
    }

    pub(super) fn referrers(&self, subject: &str) -> Option<Found> {
        if self.shape == Shape::FallbackTag {
            return None;
        }
        let listed: Vec<Value> = self
            .manifests
            .iter()
            .filter_map(|(digest, descriptor)| self.referrer(digest, descriptor, subject))
            .collect();
        Some(Found {
            media_type: INDEX.to_owned(),
            digest: None,
            bytes: json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})
                .to_string()
                .into_bytes(),
        })
    }

    /// The descriptor of a manifest that says it has `subject`.
    fn referrer(&self, digest: &str, descriptor: &Map<String, Value>, subject: &str) -> Option<Value> {
        let manifest: Value = serde_json::from_slice(&self.read(digest)?).ok()?;
        (manifest["subject"]["digest"] == subject).then_some(())?;
        let mut listed = descriptor.clone();
        let kind = match &manifest["artifactType"] {
            Value::Null => &manifest["config"]["mediaType"],
            kind => kind,
        };
        if !kind.is_null() {
            listed.insert("artifactType".to_owned(), kind.clone());
        }
        if manifest["annotations"].is_object() {
            listed.insert("annotations".to_owned(), manifest["annotations"].clone());
        }
        Some(Value::Object(listed))
    }

    fn read(&self, digest: &str) -> Option<Vec<u8>> {
        let (algorithm, hex) = digest.split_once(':')?;
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (plain(algorithm) && plain(hex)).then_some(())?;
        fs::read(self.folder.join("blobs").join(algorithm).join(hex)).ok()
    }
}

fn add(manifests: &mut BTreeMap<String, Map<String, Value>>, mut descriptor: Map<String, Value>) {
    let digest = descriptor["digest"].as_str().expect("a digest").to_owned();
    // The annotations here are the index's; those of the manifest are in the manifest.
    descriptor.remove("annotations");
    manifests.insert(digest, descriptor);
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}
