//! `upload`: files into a registry, so that they can be signed and fetched like images.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use proofmark_oci::{Descriptor, Index, Platform};
use proofmark_registry::Client;
use proofmark_types::{Digest, ImageRef, MediaType};
use serde_json::json;

use crate::args::{Annotations, RegistryArgs, annotation};
use crate::context::{Context, parse_image, read_file, registry_failure};
use crate::failure::Failure;
use crate::verb::attach::one_layer;

/// Put files into a registry
#[derive(Subcommand, Debug)]
pub(crate) enum Upload {
    /// Any files: one, or one for each platform
    Blob(Blob),
    /// A WebAssembly module
    Wasm(Wasm),
}

/// Put files into a registry
#[derive(Args, Debug)]
pub(crate) struct Blob {
    /// The name they get
    image: String,

    /// A file; with several, each with the platform it is for (may be repeated)
    #[arg(short, long, required = true, value_delimiter = ',', value_name = "FILE[:OS[/ARCH]]")]
    files: Vec<String>,

    /// Its media type (default: what its first bytes look like)
    #[arg(long, value_name = "MEDIA TYPE", value_parser = MediaType::parse)]
    ct: Option<MediaType>,

    /// An annotation (may be repeated)
    #[arg(short, long, value_parser = annotation, value_name = "KEY=VALUE")]
    annotation: Vec<Annotations>,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// Put a WebAssembly module into a registry
#[derive(Args, Debug)]
pub(crate) struct Wasm {
    /// The name it gets
    image: String,

    /// The module
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// One file with what is said about it.
struct File {
    path: PathBuf,
    platform: Option<Platform>,
}

impl File {
    fn parse(text: &str) -> Result<Self, Failure> {
        let Some((path, platform)) = text.rsplit_once(':') else {
            return Ok(Self {
                path: text.into(),
                platform: None,
            });
        };
        let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
        Ok(Self {
            path: path.into(),
            platform: Some(Platform {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
                variant: None,
                os_version: None,
            }),
        })
    }
}

impl Upload {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Blob(verb) => verb.run(context).await,
            Self::Wasm(verb) => verb.run(context).await,
        }
    }
}

impl Blob {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = taggable(&self.image)?;
        let files: Vec<File> = self
            .files
            .iter()
            .map(|text| File::parse(text))
            .collect::<Result<_, _>>()?;
        if files.len() > 1
            && let Some(bare) = files.iter().find(|file| file.platform.is_none())
        {
            return Err(Failure::usage(
                "platform-missing",
                format!(
                    "each of several files is to say what it is for, and {} does not",
                    bare.path.display()
                ),
            )
            .with_hint("FILE:OS/ARCH, for instance tool-linux:linux/amd64"));
        }
        let annotations: BTreeMap<String, String> = Annotations::flatten(&self.annotation).collect();
        let client = Context::client_for(&self.registry, &[&image])?;
        let several = files.len() > 1;
        let mut uploaded = Vec::new();
        for file in &files {
            let bytes = read_file(&file.path)?;
            let media_type = self.ct.clone().unwrap_or_else(|| sniff(&bytes));
            context
                .output
                .note(&format!("Uploading {} as {media_type}", file.path.display()));
            let name = (!several).then_some(&image);
            let mut descriptor = push(&client, &image, name, &media_type, bytes, &annotations, None).await?;
            descriptor.platform.clone_from(&file.platform);
            uploaded.push(descriptor);
        }
        let digest = match uploaded.as_slice() {
            [one] => one.digest.clone(),
            _ => {
                let mut index = Index::of(uploaded);
                index.annotations = annotations;
                let tag = image.tag_or_latest();
                client
                    .push_manifest(
                        image.repository(),
                        Some(&tag),
                        &index.media_type.clone(),
                        index.to_json().into(),
                    )
                    .await
                    .map_err(registry_failure)?
            }
        };
        report(context, &image, &digest);
        Ok(())
    }
}

impl Wasm {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = taggable(&self.image)?;
        let bytes = read_file(&self.file)?;
        if !bytes.starts_with(b"\0asm") {
            return Err(Failure::usage(
                "not-wasm",
                format!(
                    "{} is no WebAssembly module: it does not begin with \\0asm",
                    self.file.display()
                ),
            ));
        }
        let media_type = |text: &str| MediaType::parse(text).map_err(|error| Failure::usage("media-type", error));
        let layer = media_type("application/vnd.wasm.content.layer.v1+wasm")?;
        let config = media_type("application/vnd.wasm.config.v1+json")?;
        let client = Context::client_for(&self.registry, &[&image])?;
        let none = BTreeMap::new();
        let pushed = push(&client, &image, Some(&image), &layer, bytes, &none, Some(config)).await?;
        report(context, &image, &pushed.digest);
        Ok(())
    }
}

/// A name that something can be put under.
pub(crate) fn taggable(text: &str) -> Result<ImageRef, Failure> {
    let image = parse_image(text)?;
    if image.digest().is_some() {
        return Err(Failure::usage(
            "name-with-digest",
            format!("{image} has a digest, which what is uploaded would have to match; give a tag"),
        ));
    }
    Ok(image)
}

async fn push(
    client: &Client,
    image: &ImageRef,
    name: Option<&ImageRef>,
    media_type: &MediaType,
    bytes: Vec<u8>,
    annotations: &BTreeMap<String, String>,
    config_type: Option<MediaType>,
) -> Result<Descriptor, Failure> {
    let (mut manifest, config) = one_layer(media_type, &bytes);
    manifest.annotations.clone_from(annotations);
    if let Some(config_type) = config_type {
        manifest.config.media_type = config_type;
    }
    for blob in [config, bytes] {
        client
            .push_blob(image.repository(), blob.into())
            .await
            .map_err(registry_failure)?;
    }
    let json = manifest.to_json();
    let descriptor = Descriptor::of(manifest.media_type.clone(), &json);
    let tag = name.map(ImageRef::tag_or_latest);
    client
        .push_manifest(image.repository(), tag.as_ref(), &manifest.media_type, json.into())
        .await
        .map_err(registry_failure)?;
    Ok(descriptor)
}

fn report(context: &Context, image: &ImageRef, digest: &Digest) {
    let name = format!("{}@{digest}", image.repository());
    context
        .output
        .result(&name, &json!({ "image": image, "digest": digest, "name": name }));
}

/// A media type by the first bytes, for the kinds that people upload; cosign asks Go's `http.DetectContentType`.
fn sniff(bytes: &[u8]) -> MediaType {
    let known: [(&[u8], &str); 6] = [
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"%PDF-", "application/pdf"),
        (b"\0asm", "application/wasm"),
        (b"<?xml", "text/xml"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
    ];
    let start = bytes.get(..512).unwrap_or(bytes);
    let found = known.iter().find(|(magic, _)| bytes.starts_with(magic));
    let text = match found {
        Some((_, media_type)) => media_type,
        // What is cut in the middle of a character is text as well.
        None if !start.contains(&0)
            && std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true) =>
        {
            "text/plain"
        }
        None => "application/octet-stream",
    };
    MediaType::of_constant(text)
}
