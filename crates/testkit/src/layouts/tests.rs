use std::net::SocketAddr;

use proofmark_types::Digest;
use serde_json::Value;

use super::*;
use crate::images::http;
use crate::manifest::{Expected, cases};

async fn get(address: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let response = http::request(address, "GET", path, None, b"").await.unwrap();
    (response.status, response.body)
}

#[tokio::test]
async fn every_case_is_served() {
    let server = LayoutServer::fixtures().await;
    for case in cases() {
        let (Some(repository), Some(digest)) = (&case.repo, &case.image_digest) else {
            continue;
        };
        let (status, bytes) = get(server.address(), &format!("/v2/{repository}/manifests/{digest}")).await;
        assert_eq!(status, 200, "{}", case.id);
        // The lies are the point of some cases.
        if case.expected == Expected::Accept {
            assert!(digest.matches(&bytes), "{}", case.id);
        }
        let (status, bytes) = get(server.address(), &format!("/v2/{repository}/referrers/{digest}")).await;
        match case.shape {
            Some(Shape::FallbackTag) => assert_eq!(status, 404),
            _ => {
                let index: Value = serde_json::from_slice(&bytes).unwrap();
                assert!(index["manifests"].is_array(), "{}", case.id);
            }
        }
    }
    assert!(server.requests() > 400);
}

#[tokio::test]
async fn lies_are_served_as_they_are() {
    let server = LayoutServer::fixtures().await;
    let case = cases()
        .into_iter()
        .find(|case| case.id == "manifest-digest-lie")
        .unwrap();
    let digest = case.image_digest.unwrap();
    let (_, bytes) = get(server.address(), &format!("/v2/manifest-digest-lie/manifests/{digest}")).await;
    assert_ne!(Digest::sha256_of(&bytes), digest);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = LayoutServer::fixtures().await;
    let absent = Digest::sha256_of(b"absent");
    for path in [
        "/v2/absent/manifests/1.0".to_owned(),
        "/v2/v2-sign-p256/manifests/absent".to_owned(),
        format!("/v2/v2-sign-p256/blobs/{absent}"),
        "/v2/v2-sign-p256/blobs/..:..".to_owned(),
        "/v1/".to_owned(),
    ] {
        assert_eq!(get(server.address(), &path).await.0, 404, "{path}");
    }
    let (status, tags) = get(server.address(), "/v2/v2-sign-p256/tags/list").await;
    assert_eq!(status, 200);
    assert!(String::from_utf8(tags).unwrap().contains("\"1.0\""));
}
