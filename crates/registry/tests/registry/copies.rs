//! Pushing, mounting and copying, with our registry on the other side.

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use proofmark_oci::{Descriptor, Index, Manifest, media_types};
use proofmark_registry::{
    Client, Credential, CredentialStore, Direction, ImageSource, Progress, Secret, SkipReason, Transfer,
};
use proofmark_registry_server::Htpasswd;
use proofmark_types::{ImageRef, RegistryHost};

use crate::hostile::{Hostile, Reply};
use crate::world::{OurRegistry, client, code, index_of, media_type, push, small_image, tag};

#[tokio::test]
async fn what_was_pushed_is_read_back() {
    let registry = OurRegistry::start(true).await;
    let repository = registry.repository("team/app");
    let client = client();
    let image = small_image("x");
    let pinned = push(&client, &repository, &image, Some("1.0")).await;
    let tagged = ImageRef::tagged(repository.clone(), tag("1.0"));
    for reference in [&pinned, &tagged] {
        let resolved = client.resolve(reference).await.unwrap();
        assert_eq!(
            (resolved.bytes, resolved.descriptor),
            (image.bytes.clone(), image.descriptor.clone())
        );
        let head = client.head(reference).await.unwrap();
        assert_eq!(
            (head.digest, head.size),
            (image.descriptor.digest.clone(), Some(image.descriptor.size))
        );
    }
    let layer = &image.manifest.layers[0];
    assert_eq!(client.blob(&repository, layer, 100).await.unwrap(), "x");
    assert_eq!(client.tags(&repository).await.unwrap(), [tag("1.0")]);
    let absent = ImageRef::tagged(repository.clone(), tag("2.0"));
    assert!(client.resolve(&absent).await.unwrap_err().is_not_found());
    assert_eq!(code(client.head(&absent).await), "not-found");
    assert!(
        client
            .manifest_exists(&repository, &image.descriptor.digest)
            .await
            .unwrap()
    );
    assert!(!client.manifest_exists(&repository, &layer.digest).await.unwrap());
}

#[tokio::test]
async fn a_file_is_pushed_and_one_that_is_there_is_not() {
    let registry = OurRegistry::start(true).await;
    let repository = registry.repository("team/app");
    let seen: Arc<Mutex<Vec<Transfer>>> = Arc::default();
    let log = Arc::clone(&seen);
    let progress = Progress::new(move |transfer| log.lock().unwrap().push(transfer.clone()));
    let client = Client::builder().progress(progress).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer");
    let content: Vec<u8> = (0..5_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    std::fs::write(&path, &content).unwrap();
    let kind = media_type(media_types::OCI_LAYER);
    let blob = client.push_blob_file(&repository, &kind, &path).await.unwrap();
    assert_eq!(blob, Descriptor::of(kind.clone(), &content));
    client.push_blob_file(&repository, &kind, &path).await.unwrap();
    assert_eq!(client.blob(&repository, &blob, 10_000_000).await.unwrap(), content);
    let seen = seen.lock().unwrap().clone();
    let advanced: u64 = seen
        .iter()
        .map(|transfer| match transfer {
            Transfer::Advanced { bytes, .. } => *bytes,
            _ => 0,
        })
        .sum();
    assert_eq!(advanced, 2 * 5_000_000, "up once, down once");
    assert!(matches!(
        &seen[0],
        Transfer::Started {
            direction: Direction::Upload,
            size: 5_000_000,
            ..
        }
    ));
    let skipped = |transfer: &&Transfer| {
        matches!(
            transfer,
            Transfer::Skipped {
                because: SkipReason::Exists,
                ..
            }
        )
    };
    assert_eq!(seen.iter().filter(skipped).count(), 1);
    let missing = client
        .push_blob_file(&repository, &kind, &folder.path().join("absent"))
        .await;
    assert_eq!(code(missing), "local-image-unreadable");
}

#[tokio::test]
async fn blobs_are_mounted_within_a_registry() {
    let registry = OurRegistry::start(true).await;
    let (from, to) = (registry.repository("team/base"), registry.repository("team/app"));
    let client = client();
    let digest = client.push_blob(&from, Bytes::from_static(b"layer")).await.unwrap();
    assert!(!client.blob_exists(&to, &digest).await.unwrap());
    assert!(client.mount_blob(&to, &from, &digest).await.unwrap());
    assert!(client.blob_exists(&to, &digest).await.unwrap());
    let absent = small_image("absent").descriptor.digest;
    assert!(!client.mount_blob(&to, &from, &absent).await.unwrap());
    // Another registry is not asked.
    let other = OurRegistry::start(true).await;
    let before = client.counts().total();
    assert!(!client.mount_blob(&other.repository("x"), &from, &digest).await.unwrap());
    assert_eq!(client.counts().total(), before);
}

#[tokio::test]
async fn an_index_is_copied_with_its_children() {
    let (left, right) = (OurRegistry::start(true).await, OurRegistry::start(true).await);
    let source = left.repository("team/app");
    let client = client();
    let (amd64, arm64) = (small_image("amd64"), small_image("arm64"));
    for image in [&amd64, &arm64] {
        push(&client, &source, image, None).await;
    }
    let (inner, inner_bytes) = index_of(&[&amd64, &arm64]);
    client
        .push_manifest(&source, None, &inner.media_type, inner_bytes)
        .await
        .unwrap();
    let outer = Index::of(vec![inner.clone(), amd64.descriptor.clone()]);
    let outer_bytes = Bytes::from(outer.to_json());
    client
        .push_manifest(&source, Some(&tag("all")), &outer.media_type, outer_bytes)
        .await
        .unwrap();
    let image = ImageSource::registry(&client, &ImageRef::tagged(source.clone(), tag("all")));
    let resolved = image.resolve().await.unwrap();

    // Within the registry: linked, not sent.
    let near = left.repository("team/copy");
    let counted = client.with_fresh_counts();
    let copied = counted.copy_image(&image, &near, Some(&tag("1"))).await.unwrap();
    assert_eq!((copied.manifests, copied.blobs), (4, 4));
    assert_eq!(counted.counts().uploads, 4, "one mount each");

    // To another one, and again.
    let far = right.repository("mirror/app");
    for round in 0..2 {
        let counted = client.with_fresh_counts();
        let copied = counted.copy_image(&image, &far, Some(&tag("1"))).await.unwrap();
        assert_eq!(copied.descriptor, resolved.descriptor);
        assert_eq!(counted.counts().uploads, if round == 0 { 8 } else { 0 });
    }
    for reference in [near, far] {
        let there = client
            .resolve(&ImageRef::tagged(reference.clone(), tag("1")))
            .await
            .unwrap();
        assert_eq!(there.bytes, resolved.bytes);
        let Manifest::Index(index) = there.parse().unwrap() else {
            panic!()
        };
        for child in &index.manifests {
            client.manifest(&reference, &child.digest).await.unwrap();
        }
        for image in [&amd64, &arm64] {
            client.blob(&reference, &image.manifest.layers[0], 100).await.unwrap();
        }
        assert_eq!(client.tags(&reference).await.unwrap(), [tag("1")]);
    }
}

#[tokio::test]
async fn indexes_without_end_are_refused() {
    // Each index has the next one as its child.
    let hostile = Hostile::start(|seen| {
        let digests: Vec<(String, Vec<u8>)> = chain(20);
        let found = digests.iter().find(|(digest, _)| seen.path.ends_with(digest));
        let found = found.or_else(|| digests.last().filter(|_| seen.path.ends_with("/deep")));
        match found {
            Some((_, bytes)) => Reply::index(bytes.clone()),
            None => Reply::new(404, ""),
        }
    })
    .await;
    let source = ImageSource::registry(&client(), &hostile.image("a/b:deep"));
    let target = OurRegistry::start(true).await;
    let copied = client().copy_image(&source, &target.repository("x"), None).await;
    assert_eq!(code(copied), "too-large");
}

fn chain(length: usize) -> Vec<(String, Vec<u8>)> {
    let mut chain: Vec<(String, Vec<u8>)> = Vec::new();
    let mut below = Descriptor::of(media_type(media_types::OCI_MANIFEST), b"bottom");
    for _ in 0..length {
        let bytes = Index::of(vec![below]).to_json();
        below = Descriptor::of(media_type(media_types::OCI_INDEX), &bytes);
        chain.push((below.digest.to_string(), bytes));
    }
    chain
}

#[tokio::test]
async fn a_protected_registry_wants_the_right_password() {
    let users = Htpasswd::single("carol", "secret").unwrap();
    let registry = OurRegistry::with(|config| config.htpasswd = Some(users)).await;
    let repository = registry.repository("team/app");
    let host = RegistryHost::parse(&registry.server.address().to_string()).unwrap();
    let with = |password: &str| {
        let credential = Credential::Password {
            username: "carol".to_owned(),
            password: Secret::new(password.to_owned()),
        };
        let store = CredentialStore::anonymous().with_host(host.clone(), credential);
        Client::builder().credentials(store).build().unwrap()
    };
    let image = small_image("x");
    let good = with("secret");
    push(&good, &repository, &image, Some("1")).await;
    let tagged = ImageRef::tagged(repository.clone(), tag("1"));
    good.resolve(&tagged).await.unwrap();
    let error = with("wrong").resolve(&tagged).await.unwrap_err();
    assert_eq!(error.code(), "unauthorized");
    assert!(
        error.to_string().contains("carol") && !error.to_string().contains("wrong\""),
        "{error}"
    );
    assert_eq!(code(client().resolve(&tagged).await), "unauthorized");
    assert_eq!(
        code(client().push_blob(&repository, Bytes::from_static(b"x")).await),
        "unauthorized"
    );
}

/// docker-registry, asked while another process finishes the same blob: it has the blob again a moment later.
#[tokio::test]
async fn a_manifest_is_sent_again_when_the_registry_forgets_a_blob_for_a_moment() {
    let unknown = r#"{"errors":[{"code":"DIGEST_INVALID"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#;
    for (refusals, status, body, expected, sent) in [
        (2, 400, unknown, None, 3),
        (9, 400, unknown, Some("unexpected-status"), 4),
        (
            9,
            400,
            r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#,
            Some("unexpected-status"),
            1,
        ),
    ] {
        let left = Mutex::new(refusals);
        let registry = Hostile::start(move |_| {
            let mut left = left.lock().unwrap();
            if *left == 0 {
                return Reply::new(201, "");
            }
            *left -= 1;
            Reply::new(status, body)
        })
        .await;
        let image = small_image("x");
        let pushed = client()
            .push_manifest(&registry.repository(), None, &image.manifest.media_type, image.bytes)
            .await;
        assert_eq!(pushed.err().map(|error| error.code()), expected);
        let puts = registry.seen().iter().filter(|seen| seen.method == "PUT").count();
        assert_eq!(puts, sent, "{body}");
    }
}
