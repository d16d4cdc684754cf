//! Real programs on the other side: docker-registry 2.8, which has no referrers API, and skopeo.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use proofmark_registry::{ImageSource, ReferrersSource};
use proofmark_testkit::peers::{DockerRegistry, SKOPEO};
use proofmark_types::{ImageRef, Repository};

use crate::evidence::eight_writers;
use crate::world::{BUNDLE, OurRegistry, bundle, client, media_type, push, referrer, small_image, tag};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_registry_takes_and_lists_what_we_push() {
    let Some(registry) = DockerRegistry::start_or_skip() else {
        return;
    };
    let repository = Repository::parse(&format!("{}/team/app", registry.address())).unwrap();
    let base = Repository::parse(&format!("{}/team/base", registry.address())).unwrap();
    let client = client();
    let image = small_image("x");
    push(&client, &repository, &image, Some("1.0")).await;
    let large: Vec<u8> = (0..6_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3])
        .collect();
    let digest = client.push_blob(&base, Bytes::from(large)).await.unwrap();
    assert!(client.mount_blob(&repository, &base, &digest).await.unwrap());
    assert!(client.blob_exists(&repository, &digest).await.unwrap());
    assert_eq!(client.tags(&repository).await.unwrap(), [tag("1.0")]);

    let tagged = ImageRef::tagged(repository.clone(), tag("1.0"));
    let reader = client.with_fresh_counts();
    let resolved = reader.resolve(&tagged).await.unwrap();
    assert_eq!(resolved.descriptor, image.descriptor);
    let (manifest, blobs) = referrer(&image.descriptor, BUNDLE, bundle(9).as_bytes());
    client
        .attach(&repository, &image.descriptor, &manifest, &blobs)
        .await
        .unwrap();
    let found = client.referrers(&repository, &image.descriptor.digest).await.unwrap();
    assert!(matches!(found.source, ReferrersSource::FallbackTag(_)));
    assert_eq!(found.descriptors[0].artifact_type, Some(media_type(BUNDLE)));

    let other = small_image("y");
    push(&client, &repository, &other, Some("2.0")).await;
    eight_writers(&repository, &other.descriptor).await;
    let set = client.evidence(&repository, &other.descriptor.digest).await.unwrap();
    assert_eq!((set.items.len(), set.incomplete.len()), (8, 0));
}

fn skopeo(program: &Path, arguments: &[&str]) {
    let output = Command::new(program)
        .args(["--insecure-policy", "copy", "--quiet"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_reads_what_we_copy_and_we_read_what_it_writes() {
    let Some(program) = SKOPEO.or_skip() else { return };
    let registry = OurRegistry::start(true).await;
    let repository = registry.repository("team/app");
    let built = proofmark_testkit::images::Built::image("linux/amd64", &[], |_| {});
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    built.write_layout(&layout, "1.0");
    let source = ImageSource::open(&layout, Some("1.0")).unwrap();
    let client = client();
    client
        .copy_image(&source, &repository, Some(&tag("1.0")))
        .await
        .unwrap();

    let here = format!("docker://{repository}:1.0");
    let again = format!("oci:{}:2.0", folder.path().join("again").display());
    let archive = folder.path().join("image.tar");
    let saved = format!("docker-archive:{}:example.com/app:1.0", archive.display());
    skopeo(&program, &["--src-tls-verify=false", &here, &again]);
    skopeo(&program, &["--src-tls-verify=false", &here, &saved]);
    let again = ImageSource::open(&folder.path().join("again"), Some("2.0")).unwrap();
    assert_eq!(again.resolve().await.unwrap().descriptor.digest, *built.digest());
    let archived = ImageSource::open(&archive, Some("example.com/app:1.0")).unwrap();
    let copied = client
        .copy_image(&archived, &repository, Some(&tag("saved")))
        .await
        .unwrap();
    let back = ImageSource::registry(&client, &ImageRef::tagged(repository, tag("saved")));
    assert_eq!(back.resolve().await.unwrap().descriptor, copied.descriptor);
}
