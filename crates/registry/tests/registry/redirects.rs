//! Redirects, upload locations and next pages: never with credentials, never anywhere.

use bytes::Bytes;
use proofmark_oci::Descriptor;
use proofmark_registry::Client;

use crate::hostile::{Hostile, Reply};
use crate::world::{code, media_type, signed_in, small_image};

/// A client with credentials for a server that wants them.
fn with_credentials(server: &Hostile) -> Client {
    let store = signed_in(&server.address.to_string());
    Client::builder().credentials(store).build().unwrap()
}

#[tokio::test]
async fn storage_gets_the_request_and_no_credentials() {
    let content = vec![1_u8; 1000];
    let stored = content.clone();
    let storage = Hostile::start(move |_| Reply::new(200, stored.clone())).await;
    let to = format!("http://{}/bucket?signature=secret", storage.address);
    let registry = Hostile::start(move |seen| match &seen.authorization {
        None => Reply::challenge("Basic realm=\"x\""),
        Some(_) => Reply::redirect(&to),
    })
    .await;
    let client = with_credentials(&registry);
    let blob = Descriptor::of(media_type("application/octet-stream"), &content);
    let bytes = client.blob(&registry.repository(), &blob, 10_000).await.unwrap();
    assert_eq!(bytes, content);
    assert!(registry.seen()[1].authorization.is_some());
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].authorization, None);
    assert_eq!(seen[0].path, "/bucket?signature=secret");
    assert_eq!(client.counts().redirects, 1);
    assert_eq!(client.counts().blobs, 3);
}

#[tokio::test]
async fn a_chain_that_does_not_end_is_refused() {
    let hostile = Hostile::start_knowing(|own, seen| {
        let hops = seen.path.len();
        Reply::redirect(format!("http://{own}/{}?secret=1", "x".repeat(hops)))
    })
    .await;
    let error = with_credentials(&hostile)
        .resolve(&hostile.image("a/b:1"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "redirect-refused");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(hostile.seen().len(), 6);
}

#[tokio::test]
async fn redirects_to_forbidden_places_are_not_followed() {
    for to in [
        "http://example.com/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1/x",
    ] {
        let hostile = Hostile::start(move |_| Reply::redirect(to)).await;
        let error = with_credentials(&hostile)
            .resolve(&hostile.image("a/b:1"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "redirect-refused", "{to}");
        assert!(!error.is_unreachable(), "{to}");
    }
    let hostile = Hostile::start(|_| Reply::new(302, "")).await;
    assert_eq!(
        code(with_credentials(&hostile).resolve(&hostile.image("a/b:1")).await),
        "malformed"
    );
}

#[tokio::test]
async fn a_redirected_upload_is_refused() {
    let elsewhere = Hostile::start(|_| Reply::new(202, "").header("location", "/v2/x")).await;
    let to = format!("http://{}/v2/x/blobs/uploads/", elsewhere.address);
    let registry = Hostile::start(move |seen| match seen.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        _ => Reply::redirect(&to),
    })
    .await;
    let client = with_credentials(&registry);
    let pushed = client.push_blob(&registry.repository(), Bytes::from_static(b"x")).await;
    assert_eq!(code(pushed), "redirect-refused");
    assert!(elsewhere.seen().is_empty());
}

/// GHSA-jxpm-75mh-9fp7 (oras-go): credentials and content followed the location of an upload to any host.
#[tokio::test]
async fn an_upload_does_not_leave_the_registry() {
    let thief = Hostile::start(|_| Reply::new(201, "")).await;
    let port = thief.address.port();
    for place in [
        format!("http://127.0.0.1:{port}/take"),
        format!("http://localhost:{port}/take"),
        format!("//127.0.0.1:{port}/take"),
        "http://example.com/take".to_owned(),
        "http://u:p@{own}/take".to_owned(),
    ] {
        let registry = Hostile::start_knowing(move |own, seen| match (&seen.authorization, seen.method.as_str()) {
            (None, _) => Reply::challenge("Basic realm=\"x\""),
            (_, "HEAD") => Reply::new(404, ""),
            _ => Reply::new(202, "").header("location", place.replace("{own}", &own.to_string())),
        })
        .await;
        let client = with_credentials(&registry);
        let pushed = client.push_blob(&registry.repository(), Bytes::from_static(b"x")).await;
        assert_eq!(code(pushed), "redirect-refused");
    }
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn relative_and_absolute_locations_of_the_registry_are_followed() {
    for (place, expected) in [
        (
            "/v2/team/app/blobs/uploads/1?state=s",
            "/v2/team/app/blobs/uploads/1?state=s&digest=",
        ),
        (
            "http://{own}/v2/team/app/blobs/uploads/2",
            "/v2/team/app/blobs/uploads/2?digest=",
        ),
        ("3?_state=a%3D", "/v2/team/app/blobs/uploads/3?_state=a%3D&digest="),
    ] {
        let registry = Hostile::start_knowing(move |own, seen| match seen.method.as_str() {
            "HEAD" => Reply::new(404, ""),
            "POST" => Reply::new(202, "").header("location", place.replace("{own}", &own.to_string())),
            _ => Reply::new(201, ""),
        })
        .await;
        let client = with_credentials(&registry);
        client
            .push_blob(&registry.repository(), Bytes::from_static(b"x"))
            .await
            .unwrap();
        let put = registry.seen().pop().unwrap();
        assert_eq!((put.method.as_str(), put.body.as_slice()), ("PUT", b"x".as_slice()));
        assert!(put.path.starts_with(expected), "{} {expected}", put.path);
    }
}

#[tokio::test]
async fn a_large_body_is_streamed_with_its_length() {
    let registry = Hostile::start(|seen| match seen.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        "POST" => Reply::new(202, "").header("location", "/u"),
        _ => Reply::new(201, ""),
    })
    .await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let client = with_credentials(&registry);
    client
        .push_blob(&registry.repository(), content.clone().into())
        .await
        .unwrap();
    assert_eq!(registry.seen().pop().unwrap().body, content);

    // A source that is not what it was said to be is not finished.
    let wrong = Descriptor::of(media_type("application/octet-stream"), &vec![0; 3_000_000]);
    let pushed = client
        .push_blob_from(&registry.repository(), &wrong, std::io::Cursor::new(content))
        .await;
    assert_eq!(code(pushed), "digest-mismatch");
    let longest = registry.seen().iter().map(|seen| seen.body.len()).max();
    assert_eq!(longest, Some(3_000_000), "only the first upload came to its end");
}

#[tokio::test]
async fn the_next_page_is_on_the_same_host() {
    let thief = Hostile::start(|_| Reply::json(r#"{"tags":[]}"#)).await;
    let link = format!("<http://{}/v2/x>; rel=\"next\"", thief.address);
    let registry = Hostile::start(move |seen| match &seen.authorization {
        None => Reply::challenge("Basic realm=\"x\""),
        Some(_) => Reply::json(r#"{"tags":["a"]}"#).header("link", &link),
    })
    .await;
    assert_eq!(
        code(with_credentials(&registry).tags(&registry.repository()).await),
        "redirect-refused"
    );
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn manifests_are_redirected_too() {
    let image = small_image("x");
    let bytes = image.bytes.clone();
    let mirror = Hostile::start(move |_| Reply::manifest(bytes.clone())).await;
    let to = format!("http://{}/v2/mirror/manifests/1", mirror.address);
    let registry = Hostile::start(move |_| Reply::redirect(&to)).await;
    let resolved = with_credentials(&registry)
        .resolve(&registry.image("a/b:1"))
        .await
        .unwrap();
    assert_eq!(resolved.descriptor, image.descriptor);
    assert_eq!(mirror.seen()[0].accept.len(), 4);
}
