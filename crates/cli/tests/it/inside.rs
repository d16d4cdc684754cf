//! `sbom`: registries, layout folders and archives; and images that are cut short or lie.

use std::fs;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, Layer, debian_like};
use proofmark_testkit::layouts::{Layout, LayoutServer};
use proofmark_testkit::manifest::Shape;
use serde_json::{Value, json};

use crate::world::{Registry, fails, home, json, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_packages_wherever_the_image_is() {
    let registry = Registry::start().await;
    let home = Sandbox::new();
    let image = registry.push(&debian_like(), "1.0").await;
    debian_like().write_layout(&home.path().join("layout"), "1.0");
    let there = json(&home, ["sbom", &image]);
    let here = json(&home, ["sbom", "oci:layout:1.0"]);
    assert_eq!(there["packages"], here["packages"]);
    assert_eq!(there["packages"].as_array().map(Vec::len), Some(2));
    assert_eq!(there["digest"], json!(debian_like().digest().to_string()));
    let table = run(&home, ["sbom", "layout"]);
    let table = &table.expect_success().stdout;
    assert!(
        table.contains("bash") && table.contains("2 packages (2 deb)"),
        "{table}"
    );

    let document = run(&home, ["sbom", "-f", "spdx-json", &image]);
    let document: Value = serde_json::from_str(&document.expect_success().stdout).unwrap();
    assert_eq!(document["spdxVersion"], json!("SPDX-2.3"));
    let written = run(
        &home,
        ["sbom", "-f", "cyclonedx-json", "--output-file", "bom.json", &image],
    );
    assert_eq!(written.expect_success().stdout, "");
    let document: Value = serde_json::from_slice(&fs::read(home.path().join("bom.json")).unwrap()).unwrap();
    assert_eq!(document["bomFormat"], json!("CycloneDX"));
    let said = json(&home, ["sbom", "--output-file", "bom.json", &image]);
    assert_eq!(said["file"], json!("bom.json"));
    assert_eq!(said["packages"], json!(2));
    let document: Value = serde_json::from_slice(&fs::read(home.path().join("bom.json")).unwrap()).unwrap();
    assert_eq!(document["spdxVersion"], json!("SPDX-2.3"));
}

#[test]
fn a_document_is_the_same_each_time() {
    let home = Sandbox::new().with("SOURCE_DATE_EPOCH", "1700000000");
    debian_like().write_layout(&home.path().join("layout"), "1.0");
    for format in ["spdx-json", "cyclonedx-json"] {
        let make = || {
            run(&home, ["sbom", "-f", format, "layout"])
                .expect_success()
                .stdout
                .clone()
        };
        assert_eq!(make(), make());
    }
    let outcome = run(
        &Sandbox::new().with("SOURCE_DATE_EPOCH", "soon"),
        ["sbom", home.path().join("layout").to_str().unwrap()],
    );
    fails(&outcome, 2, "malformed-source-date-epoch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_is_picked_or_named() {
    let registry = Registry::start().await;
    let home = Sandbox::new();
    let arm = Layer::gzip()
        .file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")
        .file(
            "var/lib/dpkg/status",
            "Package: only-on-arm\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1\n\n",
        );
    let index = Built::index(vec![debian_like(), Built::image("linux/arm64", &[arm], |_| ())]);
    let image = registry.push(&index, "1.0").await;
    let arm = json(&home, ["sbom", "--platform", "linux/arm64", &image]);
    assert_eq!(arm["packages"][0]["name"], json!("only-on-arm"));
    let amd = json(&home, ["sbom", "--platform", "linux/amd64", &image]);
    assert_eq!(amd["packages"].as_array().map(Vec::len), Some(2));
    let outcome = run(&home, ["sbom", "--platform", "linux/s390x", &image]);
    assert!(fails(&outcome, 2, "no-such-platform").stderr.contains("linux/arm64"));
    run(&home, ["sbom", "--platform", "l/i/n/u/x", &image]).expect_code(2);
}

/// In a folder, and from a registry that serves whatever it is given.
#[tokio::test(flavor = "multi_thread")]
async fn layers_that_are_not_what_the_manifest_says() {
    let good = debian_like();
    let layer = &good.blobs()[1];
    let name = proofmark_types::Digest::sha256_of(layer);
    let mut flipped = layer.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut longer = layer.clone();
    longer.extend_from_slice(b"more");
    let other = Layer::gzip().file("etc/os-release", "ID=other\n").blob();
    let cases: [(&str, Option<&[u8]>, i32); 5] = [
        ("size-mismatch", Some(&layer[..layer.len() / 2]), 1),
        ("size-mismatch", Some(&longer), 1),
        ("size-mismatch", Some(&other), 1),
        ("digest-mismatch", Some(&flipped), 1),
        ("not-found", None, 11),
    ];
    for (code, bytes, exit) in cases {
        let home = home();
        let folder = home.path().join("layout");
        good.write_layout(&folder, "1.0");
        let path = folder.join("blobs/sha256").join(name.hex());
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let server = LayoutServer::start(vec![Layout {
            repository: "app".to_owned(),
            folder: folder.clone(),
            shape: Shape::ReferrersApi,
        }])
        .await;
        let remote = format!("{}/app:1.0", server.address());
        for image in ["layout", &remote] {
            let outcome = run(&home, ["sbom", "-f", "spdx-json", image]);
            fails(&outcome, exit, code);
        }
        // Nothing is signed for what could not be read whole.
        fails(&run(&home, ["release", "--key", "cosign.key", &remote]), exit, code);
    }
}

/// Layers whose bytes are those of the manifest, and still are no layers.
#[test]
fn layers_that_are_no_layers() {
    use proofmark_oci::{Descriptor, ImageManifest, media_types};
    use proofmark_types::{Digest, MediaType};
    let sound = Layer::gzip().file("etc/os-release", "ID=debian\n");
    let (blob, tar) = (sound.blob(), sound.tar());
    let half = &blob[..blob.len() / 2];
    let mut damaged = blob.clone();
    // In the checksum: eight bytes before the end.
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    let escape = Layer::uncompressed().file("../../etc/passwd", "root::0:0:::\n");
    let gzip = media_types::OCI_LAYER_GZIP;
    let cases: [(&str, &str, &[u8], Digest); 4] = [
        ("layer-truncated", gzip, half, Digest::sha256_of(&tar)),
        ("layer-diff-id-mismatch", gzip, &blob, Digest::sha256_of(b"another tar")),
        ("layer-corrupt", gzip, &damaged, Digest::sha256_of(&tar)),
        (
            "layer-path-escape",
            media_types::OCI_LAYER,
            &escape.blob(),
            Digest::sha256_of(&escape.tar()),
        ),
    ];
    for (code, kind, layer, diff_id) in cases {
        let home = Sandbox::new();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]},
        })
        .to_string()
        .into_bytes();
        let media_type = |text: &str| MediaType::parse(text).unwrap();
        let manifest = ImageManifest {
            media_type: media_type(media_types::OCI_MANIFEST),
            artifact_type: None,
            config: Descriptor::of(media_type(media_types::OCI_CONFIG), &config),
            layers: vec![Descriptor::of(media_type(kind), layer)],
            subject: None,
            annotations: Default::default(),
        };
        Built::artifact(&manifest, vec![config, layer.to_vec()]).write_layout(&home.path().join("layout"), "1.0");
        let outcome = run(&home, ["sbom", "layout"]);
        fails(&outcome, 1, code);
    }
}

#[test]
fn what_is_no_image() {
    let home = Sandbox::new();
    fs::create_dir(home.path().join("empty")).unwrap();
    fs::write(home.path().join("file.tar"), "no archive").unwrap();
    debian_like().write_layout(&home.path().join("layout"), "1.0");
    for (image, exit, code) in [
        ("oci:absent", 2, "file-unreadable"),
        ("docker-archive:absent.tar", 2, "file-unreadable"),
        ("empty", 2, "local-image-unreadable"),
        ("file.tar", 2, "local-image-unreadable"),
        ("oci:layout:2.0", 11, "not-found"),
    ] {
        fails(&run(&home, ["sbom", image]), exit, code);
    }
    fs::write(home.path().join("ca.pem"), "no certificate").unwrap();
    let authority = ["tree", "--registry-cacert", "ca.pem", "127.0.0.1:1/app:1.0"];
    run(&home, authority).expect_code(2);
}
