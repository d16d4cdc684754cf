//! Small images made in memory, byte for byte the same each time; written as a layout folder or pushed to a registry.

pub mod http;
mod layer;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use proofmark_oci::{Descriptor, ImageConfig, ImageManifest, Index, Platform, media_types};
use proofmark_types::{Digest, MediaType};

pub use layer::{Compression, Layer};

/// An image or an index with all the content that belongs to it.
#[derive(Clone, Debug)]
pub struct Built {
    descriptor: Descriptor,
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
    children: Vec<Self>,
}

impl Built {
    /// An image of `layers`, lowest first, whose config says what `platform` and `change` say.
    ///
    /// # Panics
    ///
    /// If `platform` is none.
    #[must_use]
    pub fn image(platform: &str, layers: &[Layer], change: impl FnOnce(&mut ImageConfig)) -> Self {
        let platform = Platform::parse(platform).expect("a platform such as linux/amd64");
        let mut config = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            diff_ids: layers.iter().map(|layer| Digest::sha256_of(&layer.tar())).collect(),
            ..ImageConfig::default()
        };
        change(&mut config);
        let config = config.to_json();
        let mut blobs = vec![config.clone()];
        let mut descriptors = Vec::new();
        for layer in layers {
            let blob = layer.blob();
            descriptors.push(Descriptor::of(media_type(layer.media_type()), &blob));
            blobs.push(blob);
        }
        let manifest = ImageManifest {
            media_type: media_type(media_types::OCI_MANIFEST),
            artifact_type: None,
            config: Descriptor::of(media_type(media_types::OCI_CONFIG), &config),
            layers: descriptors,
            subject: None,
            annotations: Default::default(),
        };
        let mut built = Self::artifact(&manifest, blobs);
        built.descriptor.platform = Some(platform);
        built
    }

    /// Any manifest with the blobs that it names.
    #[must_use]
    pub fn artifact(manifest: &ImageManifest, blobs: Vec<Vec<u8>>) -> Self {
        let bytes = manifest.to_json();
        Self {
            descriptor: Descriptor::of(manifest.media_type.clone(), &bytes),
            manifest: bytes,
            blobs,
            children: Vec::new(),
        }
    }

    /// An index of `children`.
    #[must_use]
    pub fn index(children: Vec<Self>) -> Self {
        let index = Index::of(children.iter().map(|child| child.descriptor.clone()).collect());
        let bytes = index.to_json();
        Self {
            descriptor: Descriptor::of(index.media_type, &bytes),
            manifest: bytes,
            blobs: Vec::new(),
            children,
        }
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    /// What an index would say of it.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Its manifest's bytes.
    #[must_use]
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// The config and the layers of an image, in this order.
    #[must_use]
    pub fn blobs(&self) -> &[Vec<u8>] {
        &self.blobs
    }

    /// The images of an index.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        &self.children
    }

    /// Writes it as an OCI image layout with one entry, named `tag`.
    ///
    /// # Panics
    ///
    /// If the folder cannot be written.
    pub fn write_layout(&self, folder: &Path, tag: &str) {
        self.write_blobs(folder);
        let mut entry = self.descriptor.clone();
        entry
            .annotations
            .insert("org.opencontainers.image.ref.name".to_owned(), tag.to_owned());
        fs::write(folder.join("index.json"), Index::of(vec![entry]).to_json()).expect("a writable folder");
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a writable folder");
    }

    fn write_blobs(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a writable folder");
        for bytes in self.blobs.iter().chain([&self.manifest]) {
            fs::write(blobs.join(Digest::sha256_of(bytes).hex()), bytes).expect("a writable folder");
        }
        for child in &self.children {
            child.write_blobs(folder);
        }
    }

    /// Pushes it, content first, to a registry that speaks plain HTTP.
    ///
    /// # Panics
    ///
    /// If the registry refuses anything.
    pub async fn push(&self, registry: SocketAddr, repository: &str, tag: &str) {
        for child in &self.children {
            // An index has images as children, and images have none, so this is one level deep.
            Box::pin(child.push(registry, repository, &child.digest().to_string())).await;
        }
        for blob in &self.blobs {
            http::push_blob(registry, repository, blob).await;
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        let media_type = self.descriptor.media_type.as_str();
        let response = http::request(registry, "PUT", &path, Some(media_type), &self.manifest).await;
        response.expect("the registry answers").expect_status(201);
    }
}

/// A small Debian-like image: an operating system's release file, dpkg's list of two packages, and a program.
#[must_use]
pub fn debian_like() -> Built {
    let status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b7\n\n\
                  Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9+deb12u8\n\n";
    let release =
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";
    let base = Layer::gzip()
        .folder("etc/")
        .file("etc/os-release", release)
        .file("var/lib/dpkg/status", status);
    let app = Layer::gzip().file("usr/local/bin/app", "#!/bin/sh\necho hello\n");
    Built::image("linux/amd64", &[base, app], |config| {
        config.config.entrypoint = vec!["/usr/local/bin/app".to_owned()];
    })
}

fn media_type(text: &str) -> MediaType {
    MediaType::parse(text).expect("a media type")
}

#[cfg(test)]
mod tests;
