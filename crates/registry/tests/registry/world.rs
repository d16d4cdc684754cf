//! Clients, images and registries that several tests use.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proofmark_oci::{Descriptor, ImageManifest, Index, media_types};
use proofmark_registry::{Client, ClientBuilder, Credential, CredentialStore, RegistryError, Secret, Timeouts};
use proofmark_registry_server::{Config, Server};
use proofmark_types::{Digest, ImageRef, MediaType, RegistryHost, Repository, Tag};
use tempfile::TempDir;

pub(crate) fn media_type(text: &str) -> MediaType {
    MediaType::parse(text).unwrap()
}

pub(crate) fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

/// Waits little, so that tests of waiting are quick.
pub(crate) fn impatient() -> ClientBuilder {
    Client::builder().timeouts(Timeouts {
        connect: Duration::from_millis(500),
        first_byte: Duration::from_millis(500),
        idle: Duration::from_millis(500),
        document: Duration::from_millis(1500),
        throttle: Duration::from_millis(1000),
    })
}

pub(crate) fn client() -> Client {
    Client::builder().build().unwrap()
}

pub(crate) fn signed_in(host: &str) -> CredentialStore {
    CredentialStore::anonymous().with_host(
        RegistryHost::parse(host).unwrap(),
        Credential::Password {
            username: "alice".to_owned(),
            password: Secret::new("wonderland".to_owned()),
        },
    )
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, RegistryError>) -> &'static str {
    result.unwrap_err().code()
}

/// Our registry in a temporary folder.
pub(crate) struct OurRegistry {
    pub(crate) server: Server,
    _folder: TempDir,
}

impl OurRegistry {
    pub(crate) async fn start(referrers_api: bool) -> Self {
        Self::with(|config| config.referrers_api = referrers_api).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path(), "127.0.0.1:0".parse().unwrap());
        change(&mut config);
        Self {
            server: Server::start(config).await.unwrap(),
            _folder: folder,
        }
    }

    pub(crate) fn repository(&self, path: &str) -> Repository {
        Repository::parse(&format!("{}/{path}", self.server.address())).unwrap()
    }
}

/// A small image: its manifest, and the blobs it needs.
pub(crate) struct SmallImage {
    pub(crate) manifest: ImageManifest,
    pub(crate) bytes: Bytes,
    pub(crate) descriptor: Descriptor,
    pub(crate) blobs: Vec<Bytes>,
}

pub(crate) fn small_image(content: &str) -> SmallImage {
    let config = Bytes::from(format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::sha256_of(content.as_bytes())
    ));
    let layer = Bytes::from(content.to_owned());
    let manifest = ImageManifest {
        media_type: media_type(media_types::OCI_MANIFEST),
        artifact_type: None,
        config: Descriptor::of(media_type(media_types::OCI_CONFIG), &config),
        layers: vec![Descriptor::of(media_type(media_types::OCI_LAYER), &layer)],
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = Bytes::from(manifest.to_json());
    SmallImage {
        descriptor: Descriptor::of(manifest.media_type.clone(), &bytes),
        manifest,
        bytes,
        blobs: vec![config, layer],
    }
}

/// An index of images.
pub(crate) fn index_of(images: &[&SmallImage]) -> (Descriptor, Bytes) {
    let index = Index::of(images.iter().map(|image| image.descriptor.clone()).collect());
    let bytes = Bytes::from(index.to_json());
    (Descriptor::of(index.media_type, &bytes), bytes)
}

pub(crate) async fn push(client: &Client, repository: &Repository, image: &SmallImage, name: Option<&str>) -> ImageRef {
    for blob in &image.blobs {
        client.push_blob(repository, blob.clone()).await.unwrap();
    }
    let name = name.map(tag);
    let digest = client
        .push_manifest(
            repository,
            name.as_ref(),
            &image.manifest.media_type,
            image.bytes.clone(),
        )
        .await
        .unwrap();
    assert_eq!(digest, image.descriptor.digest);
    ImageRef::pinned(repository.clone(), digest)
}

/// A referrer of `subject` that holds `content`.
pub(crate) fn referrer(subject: &Descriptor, kind: &str, content: &[u8]) -> (ImageManifest, Vec<Bytes>) {
    let config = Bytes::from_static(b"{}");
    let manifest = ImageManifest {
        media_type: media_type(media_types::OCI_MANIFEST),
        artifact_type: Some(media_type(kind)),
        config: Descriptor::of(media_type(media_types::OCI_EMPTY), &config),
        layers: vec![Descriptor::of(media_type(kind), content)],
        subject: Some(subject.clone()),
        annotations: BTreeMap::from([("test.example/kind".to_owned(), kind.to_owned())]),
    };
    (manifest, vec![config, Bytes::copy_from_slice(content)])
}

pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A bundle that parses and proves nothing.
pub(crate) fn bundle(number: usize) -> String {
    format!(
        r#"{{"mediaType":"{BUNDLE}","verificationMaterial":{{"publicKey":{{"hint":"k{number}"}}}},"dsseEnvelope":{{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"AA=="}}]}}}}"#
    )
}
