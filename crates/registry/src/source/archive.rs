//! An image in a tar archive as `docker save`, `podman save` and skopeo's `docker-archive:` write it.
//!
//! Since version 25 Docker puts an OCI layout into the same archive: then the image's own manifest, and with it its
//! digest in a registry, is there and is used. Older archives have no manifest; one is made from the config and the
//! layers, always the same for the same archive.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proofmark_oci::docker_archive::{ArchivedImage, DockerArchiveError, MANIFEST_FILE, parse, select};
use proofmark_oci::layout::{INDEX_FILE, blob_path, parse_index};
use proofmark_oci::{
    Descriptor, ImageConfig, ImageManifest, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, Manifest, media_types,
};
use proofmark_types::{Digest, Hasher, ImageRef, MediaType};

use super::layout::parse_verified;
use super::tar_table::Table;
use super::verified::{Verified, local, read_all};
use crate::RegistryError;
use crate::client::Resolved;
use crate::limits::MAX_LOCAL_DOCUMENT_BYTES;

/// One image of an archive.
#[derive(Clone, Debug)]
pub struct ArchiveImage {
    table: Arc<Table>,
    manifest: Resolved,
    /// Where the blobs of a made manifest are; those of an OCI layout are found by their digest.
    places: Arc<BTreeMap<Digest, String>>,
}

impl ArchiveImage {
    /// Opens an archive. `name` is a name that the image was saved under; without one there must be a single image.
    /// Reads the table of contents, and for layers that are compressed their content.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self, RegistryError> {
        let table = Table::read(path)?;
        let listed = read_member(&table, MANIFEST_FILE, MAX_LOCAL_DOCUMENT_BYTES)?;
        let malformed = |reason: String| RegistryError::Malformed {
            what: format!("the archive {}", path.display()),
            reason,
        };
        let images = parse(&listed).map_err(|error| malformed(error.to_string()))?;
        let image = choose(&images, name).map_err(|error| match error {
            DockerArchiveError::NoSuchName { .. } => RegistryError::NotFound {
                what: format!("{} in the archive {}", name.unwrap_or_default(), path.display()),
            },
            DockerArchiveError::NotOne { .. } => RegistryError::NameNeeded {
                place: path.display().to_string(),
                reason: error.to_string(),
            },
            _ => malformed(error.to_string()),
        })?;
        let config = read_member(&table, &image.config, MAX_CONFIG_BYTES)?;
        let mut places = BTreeMap::new();
        let manifest = match own_manifest(&table, &config)? {
            Some(manifest) => manifest,
            None => made_manifest(&table, image, &config, &mut places)?,
        };
        Ok(Self {
            table: Arc::new(table),
            manifest,
            places: Arc::new(places),
        })
    }

    pub(super) fn resolve(&self) -> Result<Resolved, RegistryError> {
        Ok(self.manifest.clone())
    }

    pub(super) fn manifest(&self, digest: &Digest) -> Result<Resolved, RegistryError> {
        if self.manifest.descriptor.digest == *digest {
            return Ok(self.manifest.clone());
        }
        let bytes = read_member(&self.table, &blob_path(digest), MAX_MANIFEST_BYTES)?;
        parse_verified(bytes, digest, &shown(&self.table, &blob_path(digest)))
    }

    pub(super) fn blob(&self, blob: &Descriptor, limit: u64) -> Result<Bytes, RegistryError> {
        let mut reader = self.open_blob(blob)?;
        read_all(&mut reader, blob, limit, &shown(&self.table, &blob.digest.to_string()))
    }

    pub(super) fn open_blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>, RegistryError> {
        let place = self.places.get(&blob.digest).cloned();
        let place = place.unwrap_or_else(|| blob_path(&blob.digest));
        let shown = shown(&self.table, &place);
        let reader = self.table.open(&place).map_err(|error| local(&shown, &error))?;
        Ok(Box::new(Verified::new(reader, shown, blob)))
    }
}

/// The image meant: the only one, or the one of that name. Docker writes short names as they were typed, so both sides
/// are compared in full.
fn choose<'a>(images: &'a [ArchivedImage], name: Option<&str>) -> Result<&'a ArchivedImage, DockerArchiveError> {
    if let Some(Ok(wanted)) = name.map(ImageRef::parse) {
        let same = |tag: &String| ImageRef::parse(tag).is_ok_and(|tag| tag == wanted);
        if let Some(image) = images.iter().find(|image| image.repo_tags.iter().any(same)) {
            return Ok(image);
        }
    }
    select(images, name)
}

/// The manifest of the OCI layout in the archive whose config is `config`, if there is one.
fn own_manifest(table: &Table, config: &[u8]) -> Result<Option<Resolved>, RegistryError> {
    if table.size(INDEX_FILE).is_none() {
        return Ok(None);
    }
    let index = read_member(table, INDEX_FILE, MAX_LOCAL_DOCUMENT_BYTES)?;
    let index = parse_index(&index).map_err(|error| RegistryError::Malformed {
        what: shown(table, INDEX_FILE),
        reason: error.to_string(),
    })?;
    let config = Digest::sha256_of(config);
    // An entry may be an index with the image in it; one level is what Docker writes.
    let mut entries = index.manifests;
    for _ in 0..2 {
        let mut children = Vec::new();
        for entry in entries {
            let path = blob_path(&entry.digest);
            // Docker saves one platform of an index and leaves the other entries dangling.
            if table.size(&path).is_none_or(|size| size > MAX_MANIFEST_BYTES) {
                continue;
            }
            let bytes = read_member(table, &path, MAX_MANIFEST_BYTES)?;
            let resolved = parse_verified(bytes, &entry.digest, &shown(table, &path))?;
            match resolved.parse()? {
                Manifest::Image(image) if image.config.digest == config => return Ok(Some(resolved)),
                Manifest::Image(_) => {}
                Manifest::Index(index) => children.extend(index.manifests),
            }
        }
        entries = children;
    }
    Ok(None)
}

/// A manifest for an archive without one. The digest of a layer stored uncompressed is its diffID, which the config
/// names and reading verifies; one stored compressed is hashed here.
fn made_manifest(
    table: &Table,
    image: &ArchivedImage,
    config: &Bytes,
    places: &mut BTreeMap<Digest, String>,
) -> Result<Resolved, RegistryError> {
    let malformed = |reason: String| RegistryError::Malformed {
        what: shown(table, &image.config),
        reason,
    };
    let parsed = ImageConfig::parse(config).map_err(|error| malformed(error.to_string()))?;
    if parsed.diff_ids.len() != image.layers.len() {
        return Err(malformed(format!(
            "it names {} layers, the archive has {}",
            parsed.diff_ids.len(),
            image.layers.len()
        )));
    }
    let config_descriptor = Descriptor::of(MediaType::of_constant(media_types::OCI_CONFIG), config);
    places.insert(config_descriptor.digest.clone(), image.config.clone());
    let mut layers = Vec::with_capacity(image.layers.len());
    for (path, diff_id) in image.layers.iter().zip(parsed.diff_ids) {
        let layer = layer_descriptor(table, path, diff_id)?;
        places.insert(layer.digest.clone(), path.clone());
        layers.push(layer);
    }
    let manifest = ImageManifest {
        media_type: MediaType::of_constant(media_types::OCI_MANIFEST),
        artifact_type: None,
        config: config_descriptor,
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = Bytes::from(manifest.to_json());
    Ok(Resolved {
        descriptor: Descriptor::of(manifest.media_type, &bytes),
        bytes,
    })
}

fn layer_descriptor(table: &Table, path: &str, diff_id: Digest) -> Result<Descriptor, RegistryError> {
    let shown = shown(table, path);
    let failed = |error: std::io::Error| local(&shown, &error);
    let size = table
        .size(path)
        .ok_or_else(|| RegistryError::NotFound { what: shown.clone() })?;
    let mut reader = table.open(path).map_err(failed)?;
    let mut magic = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut magic).map_err(failed)?;
    let (kind, compressed) = match magic.as_slice() {
        [0x1f, 0x8b, ..] => (media_types::OCI_LAYER_GZIP, true),
        [0x28, 0xb5, 0x2f, 0xfd] => (media_types::OCI_LAYER_ZSTD, true),
        _ => (media_types::OCI_LAYER, false),
    };
    let digest = if compressed {
        let mut hasher = Hasher::sha256();
        hasher.update(&magic);
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let length = reader.read(&mut buffer).map_err(failed)?;
            match buffer.get(..length) {
                Some([]) | None => break,
                Some(piece) => hasher.update(piece),
            }
        }
        hasher.finish()
    } else {
        diff_id
    };
    let mut layer = Descriptor::of(MediaType::of_constant(kind), b"");
    layer.digest = digest;
    layer.size = size;
    Ok(layer)
}

fn read_member(table: &Table, name: &str, limit: u64) -> Result<Bytes, RegistryError> {
    let shown = shown(table, name);
    let size = table
        .size(name)
        .ok_or_else(|| RegistryError::NotFound { what: shown.clone() })?;
    if size > limit {
        return Err(RegistryError::TooLarge {
            what: shown,
            limit,
            unit: "bytes",
        });
    }
    let mut bytes = Vec::new();
    let mut reader = table.open(name).map_err(|error| local(&shown, &error))?;
    reader.read_to_end(&mut bytes).map_err(|error| local(&shown, &error))?;
    Ok(bytes.into())
}

fn shown(table: &Table, member: &str) -> String {
    format!("{member} in {}", table.path().display())
}
