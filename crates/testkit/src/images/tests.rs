use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use proofmark_oci::Manifest;

use super::*;
use crate::layouts::{Layout, LayoutServer};
use crate::manifest::Shape;
use crate::peers::DockerRegistry;

#[test]
fn an_image_is_the_same_each_time_and_parses() {
    let (one, two) = (debian_like(), debian_like());
    assert_eq!(one.digest(), two.digest());
    let Manifest::Image(manifest) = Manifest::parse(None, one.manifest()).unwrap() else {
        panic!("expected an image");
    };
    let config = ImageConfig::parse(&one.blobs()[0]).unwrap();
    assert_eq!(manifest.layers.len(), 2);
    for ((layer, blob), diff_id) in manifest.layers.iter().zip(&one.blobs()[1..]).zip(config.diff_ids) {
        assert!(layer.matches(blob));
        let mut tar = Vec::new();
        GzDecoder::new(blob.as_slice()).read_to_end(&mut tar).unwrap();
        assert!(diff_id.matches(&tar));
    }
}

#[test]
fn entries_are_what_was_asked_for() {
    let layer = Layer::uncompressed()
        .folder("a/")
        .file("a/b", "content")
        .symlink("a/c", "b")
        .hard_link("a/d", "a/b")
        .whiteout("a/gone")
        .whiteout("gone")
        .opaque("a")
        .file("../escape", "");
    let tar = layer.blob();
    let mut seen = BTreeMap::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        seen.insert(path, entry.header().entry_type());
    }
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "../escape",
            ".wh.gone",
            "a/",
            "a/.wh..wh..opq",
            "a/.wh.gone",
            "a/b",
            "a/c",
            "a/d"
        ]
    );
    assert!(seen["a/"].is_dir() && seen["a/c"].is_symlink() && seen["a/d"].is_hard_link());
}

#[tokio::test]
async fn an_index_is_written_as_a_layout_that_is_served() {
    let arm = Built::image("linux/arm64", &[Layer::gzip().file("a", "arm")], |_| {});
    let index = Built::index(vec![debian_like(), arm]);
    let folder = tempfile::tempdir().unwrap();
    index.write_layout(folder.path(), "1.0");
    let server = LayoutServer::start(vec![Layout {
        repository: "team/app".to_owned(),
        folder: folder.path().to_owned(),
        shape: Shape::ReferrersApi,
    }])
    .await;
    let response = http::request(server.address(), "GET", "/v2/team/app/manifests/1.0", None, b"")
        .await
        .unwrap();
    assert_eq!(response.expect_status(200).body, index.manifest());
    let layer = Digest::sha256_of(&index.children()[1].blobs()[1]);
    let path = format!("/v2/team/app/blobs/{layer}");
    let response = http::request(server.address(), "GET", &path, None, b"").await.unwrap();
    assert!(layer.matches(&response.expect_status(200).body));
    let child = index.children()[1].digest();
    let path = format!("/v2/team/app/manifests/{child}");
    let response = http::request(server.address(), "HEAD", &path, None, b"").await.unwrap();
    assert_eq!(
        response.expect_status(200).header("docker-content-digest"),
        Some(child.to_string().as_str())
    );
}

#[tokio::test]
async fn an_index_is_pushed_to_docker_registry() {
    let Some(registry) = DockerRegistry::start_or_skip() else {
        return;
    };
    let index = Built::index(vec![debian_like()]);
    index.push(registry.address(), "team/app", "1.0").await;
    let path = format!("/v2/team/app/manifests/{}", debian_like().digest());
    let response = http::request(registry.address(), "HEAD", &path, None, b"")
        .await
        .unwrap();
    response.expect_status(200);
}
