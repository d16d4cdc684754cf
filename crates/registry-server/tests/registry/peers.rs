//! Real clients against this registry, and images copied between it and docker-registry.

use proofmark_registry_server::Htpasswd;
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, Layer, debian_like};
use proofmark_testkit::peers::{CRANE, DockerRegistry, OCI_CONFORMANCE, ORAS, SKOPEO};
use reqwest::StatusCode;
use serde_json::Value;

use crate::world::{World, expect, header};

/// An index of two images that share a layer, the larger part of it incompressible.
fn index() -> Built {
    let noise: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let shared = Layer::gzip().file("usr/share/noise", noise);
    let image = |platform: &str| {
        Built::image(
            platform,
            &[shared.clone(), Layer::gzip().file("platform", platform)],
            |_| {},
        )
    };
    Built::index(vec![image("linux/amd64"), image("linux/arm64/v8")])
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pushes_pulls_lists_and_deletes() {
    let Some(skopeo) = SKOPEO.or_skip() else { return };
    let world = World::start().await;
    let registry = format!("docker://{}", world.server.address());
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| sandbox.run(&skopeo, ["--insecure-policy"].iter().chain(arguments));
    index().write_layout(&sandbox.path().join("in"), "1.0");
    let one = format!("{registry}/team/app:1.0");
    let to = ["copy", "--all", "--dest-tls-verify=false"];
    run(&[&to[..], &["oci:in:1.0", &one]].concat()).expect_success();
    // The second copy finds each blob in the first repository and mounts it.
    let between = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"];
    let two = format!("{registry}/team/copy:2.0");
    run(&[&between[..], &[&one, &two]].concat()).expect_success();
    run(&["copy", "--all", "--src-tls-verify=false", &two, "oci:out:1.0"]).expect_success();
    let blobs = |folder: &str| crate::world::files(&sandbox.path().join(folder).join("blobs"));
    assert_eq!(blobs("out"), blobs("in"));
    // Docker's schema 2, converted by skopeo.
    let docker = format!("{registry}/team/docker:1");
    run(&[
        "copy",
        "--format=v2s2",
        "--dest-tls-verify=false",
        "oci:in:1.0",
        &docker,
    ])
    .expect_success();
    let inspected = run(&["inspect", "--tls-verify=false", &docker]);
    let inspected: Value = serde_json::from_str(&inspected.expect_success().stdout).unwrap();
    assert_eq!(inspected["RepoTags"], serde_json::json!(["1"]));
    let listed = run(&["list-tags", "--tls-verify=false", &format!("{registry}/team/app")]);
    assert!(listed.expect_success().stdout.contains("\"1.0\""));
    run(&["delete", "--tls-verify=false", &one]).expect_success();
    assert!(world.tags("team/app").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn crane_pushes_pulls_lists_and_deletes() {
    let Some(crane) = CRANE.or_skip() else { return };
    let world = World::start().await;
    let registry = world.server.address().to_string();
    let sandbox = Sandbox::new();
    let run = |arguments: &[&str]| sandbox.run(&crane, ["--insecure"].iter().chain(arguments));
    let index = index();
    index.write_layout(&sandbox.path().join("in"), "1.0");
    let image = format!("{registry}/team/app:1.0");
    run(&["push", "--index", "in", &image]).expect_success();
    let digest = run(&["digest", &image]);
    // crane wraps a layout in an index of its own.
    let pulled = run(&[
        "manifest",
        &format!("{registry}/team/app@{}", digest.expect_success().stdout.trim()),
    ]);
    assert!(pulled.expect_success().stdout.contains(&index.digest().to_string()));
    run(&["copy", &image, &format!("{registry}/team/copy:2")]).expect_success();
    run(&["pull", "--format=oci", &image, "out"]).expect_success();
    run(&["tag", &image, "other"]).expect_success();
    assert_eq!(
        run(&["ls", &format!("{registry}/team/app")]).expect_success().stdout,
        "1.0\nother\n"
    );
    assert_eq!(
        run(&["catalog", &registry]).expect_success().stdout,
        "team/app\nteam/copy\n"
    );
    run(&["validate", "--remote", &format!("{registry}/team/copy:2"), "--fast"]).expect_success();
    run(&["delete", &format!("{registry}/team/app:other")]).expect_success();
    assert_eq!(world.tags("team/app").await, ["1.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn oras_attaches_and_discovers() {
    let Some(oras) = ORAS.or_skip() else { return };
    for referrers_api in [true, false] {
        let world = World::with(|config| config.referrers_api = referrers_api).await;
        debian_like().push(world.server.address(), "team/app", "1.0").await;
        let image = format!("{}/team/app:1.0", world.server.address());
        let sandbox = Sandbox::new();
        std::fs::write(sandbox.path().join("note.txt"), "a note").unwrap();
        let run = |arguments: &[&str]| sandbox.run(&oras, arguments);
        run(&[
            "attach",
            "--plain-http",
            "--artifact-type=application/x.note",
            &image,
            "note.txt",
        ])
        .expect_success();
        let found = run(&[
            "discover",
            "--plain-http",
            "--format=json",
            "--artifact-type=application/x.note",
            &image,
        ]);
        let stdout = &found.expect_success().stdout;
        assert!(stdout.contains("application/x.note"), "{stdout}");
        let tags = world.tags("team/app").await;
        // Without the API the client keeps the list itself, under a tag.
        assert_eq!(tags.len(), if referrers_api { 1 } else { 2 }, "{tags:?}");
        let path = format!("/v2/team/app/referrers/{}", debian_like().digest());
        let status = if referrers_api {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        expect(world.get(&path).send().await.unwrap(), status).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_copied_to_and_from_docker_registry() {
    let Some(skopeo) = SKOPEO.or_skip() else { return };
    let Some(docker) = DockerRegistry::start_or_skip() else {
        return;
    };
    let world = World::start().await;
    let sandbox = Sandbox::new();
    let index = index();
    index.push(docker.address(), "team/app", "1.0").await;
    let copy = |from: String, to: String| {
        let options = [
            "--insecure-policy",
            "copy",
            "--all",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
        ];
        let (from, to) = (format!("docker://{from}"), format!("docker://{to}"));
        sandbox
            .run(&skopeo, options.iter().copied().chain([from.as_str(), to.as_str()]))
            .expect_success();
    };
    let ours = world.server.address();
    copy(
        format!("{}/team/app:1.0", docker.address()),
        format!("{ours}/team/app:1.0"),
    );
    copy(
        format!("{ours}/team/app:1.0"),
        format!("{}/team/back:1.0", docker.address()),
    );
    let response = world.get("/v2/team/app/manifests/1.0").send().await.unwrap();
    assert_eq!(header(&response, "docker-content-digest"), index.digest().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_log_in() {
    let Some(skopeo) = SKOPEO.or_skip() else { return };
    let world = World::with(|config| config.htpasswd = Some(Htpasswd::single("alice", "secret").unwrap())).await;
    let sandbox = Sandbox::new();
    debian_like().write_layout(&sandbox.path().join("in"), "1.0");
    let image = format!("docker://{}/team/app:1.0", world.server.address());
    let push = |credentials: &str| {
        let options = [
            "--insecure-policy",
            "copy",
            "--dest-tls-verify=false",
            "--dest-creds",
            credentials,
            "oci:in:1.0",
        ];
        sandbox.run(&skopeo, options.iter().copied().chain([image.as_str()]))
    };
    assert!(!push("alice:wrong").succeeded());
    push("alice:secret").expect_success();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_specifications_own_test_passes() {
    let Some(test) = OCI_CONFORMANCE.or_skip() else { return };
    let world = World::start().await;
    let sandbox = Sandbox::new()
        .with("OCI_REGISTRY", &world.server.address().to_string())
        .with("OCI_TLS", "disabled")
        .with("OCI_VERSION", "1.1")
        .with("OCI_LOG", "warn")
        // What the specification leaves open and this registry does.
        .with("OCI_API_BLOBS_DIGEST_HEADER", "true")
        .with("OCI_API_MANIFESTS_DIGEST_HEADER", "true")
        .with("OCI_API_BLOBS_UPLOAD_CANCEL", "true");
    let outcome = sandbox.run(&test, [] as [&str; 0]);
    let junit = std::fs::read_to_string(sandbox.path().join("results/junit.xml")).unwrap_or_default();
    let suite = junit
        .lines()
        .find(|line| line.contains("<testsuite "))
        .unwrap_or_default();
    println!("{}", suite.trim());
    let failed: Vec<&str> = junit
        .split("<testcase ")
        .filter(|case| case.contains("<failure"))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    outcome.expect_success();
}
