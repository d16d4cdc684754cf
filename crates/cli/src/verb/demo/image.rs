//! The image of the demonstration: this very binary, or one that the user names, and siblings of it that differ in one
//! annotation, so that each has a digest of its own while the layers are pushed once.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use proofmark_oci::{Descriptor, ImageConfig, ImageManifest, Manifest, RuntimeConfig, media_types};
use proofmark_registry::{Client, ImageSource};
use proofmark_types::{Digest, ImageRef, MediaType, Repository, Tag};

use crate::context::{Context, registry_failure};
use crate::failure::Failure;

/// Tells siblings apart.
const SIBLING: &str = "dev.proofmark.demo.sibling";

/// An image in the demonstration's registry, as its manifest.
#[derive(Clone, Debug)]
pub(super) struct Base {
    media_type: MediaType,
    manifest: Manifest,
}

impl Base {
    /// Copies an image into `repository`; it is there by digest, no tag yet.
    pub(super) async fn copied(
        client: &Client,
        source: &ImageSource,
        repository: &Repository,
    ) -> Result<Self, Failure> {
        client
            .copy_image(source, repository, None)
            .await
            .map_err(registry_failure)?;
        let resolved = source.resolve().await.map_err(registry_failure)?;
        Ok(Self {
            media_type: resolved.descriptor.media_type.clone(),
            manifest: resolved.parse().map_err(registry_failure)?,
        })
    }

    /// Makes an image of one layer that holds this program, whose dependency list is embedded.
    pub(super) async fn of_this_program(client: &Client, repository: &Repository) -> Result<Self, Failure> {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let (tar_digest, layer) = tokio::task::spawn_blocking(move || layer_with(&program))
            .await
            .map_err(anyhow::Error::from)??;
        let mut config = ImageConfig {
            architecture: match std::env::consts::ARCH {
                "x86_64" => "amd64".to_owned(),
                "aarch64" => "arm64".to_owned(),
                other => other.to_owned(),
            },
            os: std::env::consts::OS.to_owned(),
            diff_ids: vec![tar_digest],
            ..ImageConfig::default()
        };
        config.config = RuntimeConfig {
            entrypoint: vec!["/usr/local/bin/proofmark".to_owned()],
            ..RuntimeConfig::default()
        };
        let config = config.to_json();
        let manifest = ImageManifest {
            media_type: media_type(media_types::OCI_MANIFEST)?,
            artifact_type: None,
            config: Descriptor::of(media_type(media_types::OCI_CONFIG)?, &config),
            layers: vec![Descriptor::of(media_type(media_types::OCI_LAYER_GZIP)?, &layer)],
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        };
        for blob in [Bytes::from(layer), Bytes::from(config)] {
            client.push_blob(repository, blob).await.map_err(registry_failure)?;
        }
        Ok(Self {
            media_type: manifest.media_type.clone(),
            manifest: Manifest::Image(manifest),
        })
    }

    /// Pushes a sibling of the image under `tag`, wherever that tag pointed before.
    pub(super) async fn push_sibling(
        &self,
        client: &Client,
        repository: &Repository,
        tag: &str,
        name: &str,
    ) -> Result<ImageRef, Failure> {
        let annotate = |annotations: &mut std::collections::BTreeMap<String, String>| {
            annotations.insert(SIBLING.to_owned(), name.to_owned());
        };
        let bytes = match self.manifest.clone() {
            Manifest::Image(mut image) => {
                annotate(&mut image.annotations);
                image.to_json()
            }
            Manifest::Index(mut index) => {
                annotate(&mut index.annotations);
                index.to_json()
            }
        };
        let tag = Tag::parse(tag).map_err(anyhow::Error::from)?;
        client
            .push_manifest(repository, Some(&tag), &self.media_type, Bytes::from(bytes))
            .await
            .map_err(registry_failure)?;
        Ok(ImageRef::tagged(repository.clone(), tag))
    }
}

/// A gzip layer with the program in it, and the digest of the tar inside.
fn layer_with(program: &Path) -> anyhow::Result<(Digest, Vec<u8>)> {
    let contents = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(contents.len())?);
    header.set_mode(0o755);
    header.set_mtime(u64::try_from(Context::now().seconds()).unwrap_or(0));
    archive.append_data(&mut header, "usr/local/bin/proofmark", contents.as_slice())?;
    let tar = archive.into_inner()?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar)?;
    Ok((Digest::sha256_of(&tar), gzip.finish()?))
}

fn media_type(text: &str) -> Result<MediaType, Failure> {
    Ok(MediaType::parse(text).map_err(anyhow::Error::from)?)
}
