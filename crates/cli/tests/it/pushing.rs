//! `db push` and `db pull`: a database in a registry is believed by its signature, and takes no place that it should not.

use std::fs;

use proofmark_advisories::Builder;
use proofmark_oci::media_types::OCI_EMPTY;
use proofmark_oci::{Descriptor, ImageManifest};
use proofmark_registry::Client;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::debian_like;
use proofmark_testkit::peers::DockerRegistry;
use proofmark_types::{ImageRef, MediaType, UnixTime};
use serde_json::{Value, json};

use crate::world::{Registry, fails, fixture_path, home, json, run};

const ARTIFACT: &str = "application/vnd.proofmark.advisories.v1";
const LAYER: &str = "application/vnd.proofmark.advisories.v1+zstd";

/// A home with keys and the database of the fixtures.
fn prepared() -> Sandbox {
    let home = home();
    import(&home);
    home
}

fn import(home: &Sandbox) {
    let kev = fixture_path("advisories/known_exploited_vulnerabilities.json");
    run(
        home,
        [
            "db",
            "import",
            "--db",
            "advisories.db",
            &fixture_path("advisories/osv"),
            &kev,
        ],
    )
    .expect_success();
}

fn pull(home: &Sandbox, name: &str, more: &[&str]) -> Outcome {
    run(
        home,
        ["db", "pull", name, "--db", "pulled.db"].iter().chain(more).copied(),
    )
}

const BY_KEY: [&str; 3] = ["--key", "cosign.pub", "--insecure-ignore-tlog"];

fn sign(home: &Sandbox, name: &str) {
    run(home, ["sign", "--key", "cosign.key", "-y", name]).expect_success();
}

fn pushed(home: &Sandbox, name: &str) -> String {
    let said = json(home, ["db", "push", "--db", "advisories.db", name]);
    said["name"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_pulled_and_nothing_else() {
    let (home, registry) = (prepared(), Registry::start().await);
    let name = registry.image("security/advisories:latest");
    let pinned = pushed(&home, &name);
    assert!(
        pinned.starts_with(&registry.image("security/advisories@sha256:")),
        "{pinned}"
    );
    let there = home.path().join("pulled.db");
    // Nobody signed it, and nobody says whose signature would count.
    fails(&pull(&home, &name, &[]), 2, "no-identity");
    fails(&pull(&home, &name, &BY_KEY), 10, "no-signature");
    fails(
        &pull(&home, &name, &["--key", "cosign.pub", "--insecure-ignore-signature"]),
        2,
        "signature-ignored",
    );
    assert!(!there.exists());
    sign(&home, &pinned);
    fails(
        &pull(&home, &name, &["--key", "other.pub", "--insecure-ignore-tlog"]),
        12,
        "no-acceptable-signature",
    );
    fails(
        &pull(&home, &name, &["--key", "cosign.pub"]),
        12,
        "no-acceptable-signature",
    );
    assert!(!there.exists());
    pull(&home, &name, &BY_KEY).expect_success();
    assert_eq!(
        fs::read(&there).unwrap(),
        fs::read(home.path().join("advisories.db")).unwrap()
    );
    let status = json(&home, ["db", "status", "--db", "pulled.db"]);
    assert_eq!(status["ecosystems"].as_array().unwrap().len(), 3);
    // Without a signature it has to be said.
    fs::remove_file(&there).unwrap();
    let waived = pull(&home, &name, &["--insecure-ignore-signature"]);
    assert!(
        waived.expect_success().stderr.contains("not verified"),
        "{}",
        waived.stderr
    );

    // The tag is moved to another database: the signature is of the one that it was. Databases of the same files differ by
    // when they were built, in seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    import(&home);
    let newer = pushed(&home, &name);
    assert_ne!(newer, pinned);
    fails(&pull(&home, &name, &BY_KEY), 10, "no-signature");
    sign(&home, &newer);
    pull(&home, &name, &BY_KEY).expect_success();
    // Back to the first, signed as it is: what became known since would be hidden.
    let kept = fs::read(&there).unwrap();
    fails(&pull(&home, &pinned, &BY_KEY), 3, "database-rollback");
    assert_eq!(fs::read(&there).unwrap(), kept);
    let more = [&BY_KEY[..], &["--allow-older"]].concat();
    pull(&home, &pinned, &more).expect_success();
    assert_ne!(fs::read(&there).unwrap(), kept);

    // Bytes that the registry changed.
    let digest = layer_of(&pinned).await;
    let blob = registry.blob(&digest);
    let mut bytes = fs::read(&blob).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&blob, bytes).unwrap();
    fails(&pull(&home, &pinned, &more), 1, "digest-mismatch");
}

async fn layer_of(name: &str) -> String {
    let image = ImageRef::parse(name).unwrap();
    let client = Client::builder().build().unwrap();
    let manifest: Value = serde_json::from_slice(&client.resolve(&image).await.unwrap().bytes).unwrap();
    assert_eq!(manifest["artifactType"], json!(ARTIFACT));
    assert_eq!(manifest["config"]["mediaType"], json!(OCI_EMPTY));
    for name in [
        "org.opencontainers.image.created",
        "dev.proofmark.advisories.as-of",
        "dev.proofmark.advisories.digest",
    ] {
        assert!(manifest["annotations"][name].is_string(), "{name}: {manifest}");
    }
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}

/// A manifest as `db push` writes it, but for what is given.
async fn crafted(registry: &Registry, tag: &str, artifact: &str, layers: &[(&str, &[u8])]) -> String {
    let name = registry.image(&format!("crafted:{tag}"));
    let image = ImageRef::parse(&name).unwrap();
    let client = Client::builder().build().unwrap();
    let media_type = |text: &str| MediaType::parse(text).unwrap();
    let config = Descriptor::of(media_type(OCI_EMPTY), b"{}");
    let blobs = layers.iter().map(|(_, bytes)| bytes.to_vec()).chain([b"{}".to_vec()]);
    for blob in blobs {
        client.push_blob(image.repository(), blob.into()).await.unwrap();
    }
    let manifest = ImageManifest {
        media_type: media_type("application/vnd.oci.image.manifest.v1+json"),
        artifact_type: Some(media_type(artifact)),
        config,
        layers: layers
            .iter()
            .map(|(kind, bytes)| Descriptor::of(media_type(kind), bytes))
            .collect(),
        subject: None,
        annotations: Default::default(),
    };
    client
        .push_manifest(
            image.repository(),
            Some(&image.tag_or_latest()),
            &manifest.media_type,
            manifest.to_json().into(),
        )
        .await
        .unwrap();
    name
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

type Crafted = (
    &'static str,
    &'static str,
    Vec<(&'static str, Vec<u8>)>,
    i32,
    &'static str,
);

/// What a manifest can have instead of a database, and why it is refused.
fn bad(good: &[u8]) -> Vec<Crafted> {
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut builder = Builder::new();
    let record = fs::read(fixture_path("advisories/osv/GO-2022-0535.json")).unwrap();
    builder.add_osv(&record).unwrap();
    let future = builder.build(UnixTime::parse("2999-01-01T00:00:00Z").unwrap()).unwrap();
    let (whole, text) = (packed(good), packed(b"something else"));
    let half = whole[..whole.len() / 2].to_vec();
    let (one, two) = ((LAYER, whole.clone()), (LAYER, text.clone()));
    vec![
        (
            "type",
            "application/vnd.other.v1",
            vec![one.clone()],
            1,
            "artifact-not-database",
        ),
        (
            "layer",
            ARTIFACT,
            vec![("application/zip", whole)],
            1,
            "artifact-not-database",
        ),
        ("two", ARTIFACT, vec![one, two], 1, "artifact-not-database"),
        ("none", ARTIFACT, vec![], 1, "artifact-not-database"),
        (
            "plain",
            ARTIFACT,
            vec![(LAYER, good.to_vec())],
            1,
            "database-packed-badly",
        ),
        ("half", ARTIFACT, vec![(LAYER, half)], 1, "database-packed-badly"),
        ("text", ARTIFACT, vec![(LAYER, text)], 1, "database-not-one"),
        (
            "cut",
            ARTIFACT,
            vec![(LAYER, packed(&good[..good.len() - 1]))],
            1,
            "database-length",
        ),
        (
            "damaged",
            ARTIFACT,
            vec![(LAYER, packed(&damaged))],
            1,
            "database-damaged",
        ),
        (
            "future",
            ARTIFACT,
            vec![(LAYER, packed(&future))],
            3,
            "database-from-future",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_is_refused_though_it_is_signed() {
    let (home, registry) = (prepared(), Registry::start().await);
    let image = registry.push(&debian_like(), "1.0").await;
    sign(&home, &image);
    fails(&pull(&home, &image, &BY_KEY), 1, "artifact-not-database");
    let good = fs::read(home.path().join("advisories.db")).unwrap();
    for (tag, artifact, layers, exit, code) in bad(&good) {
        let layers: Vec<_> = layers.iter().map(|(kind, bytes)| (*kind, bytes.as_slice())).collect();
        let name = crafted(&registry, tag, artifact, &layers).await;
        sign(&home, &name);
        fails(&pull(&home, &name, &BY_KEY), exit, code);
        assert!(!home.path().join("pulled.db").exists(), "{tag}");
    }
    let name = crafted(&registry, "good", ARTIFACT, &[(LAYER, &packed(&good))]).await;
    sign(&home, &name);
    pull(&home, &name, &BY_KEY).expect_success();
    // What is damaged is not pushed either.
    fs::write(home.path().join("advisories.db"), &good[..good.len() - 1]).unwrap();
    let name = registry.image("security/advisories:bad");
    fails(
        &run(&home, ["db", "push", "--db", "advisories.db", &name]),
        1,
        "database-length",
    );
    fails(&pull(&home, &name, &BY_KEY), 11, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_registry_of_others() {
    let Some(docker) = DockerRegistry::start_or_skip() else {
        return;
    };
    let home = prepared();
    let pinned = pushed(&home, &format!("{}/advisories:1", docker.address()));
    sign(&home, &pinned);
    pull(&home, &pinned, &BY_KEY).expect_success();
}
