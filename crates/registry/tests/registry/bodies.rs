//! Answers that hang, lie, never end, or are no success.

use std::time::Duration;
use std::time::Instant;

use proofmark_oci::{Descriptor, media_types};
use proofmark_types::Digest;

use crate::hostile::{Hostile, Reply};
use crate::world::{client, code, impatient, media_type, small_image};

#[tokio::test]
async fn statuses_have_their_codes() {
    for (status, expected, requests) in [
        (404, "not-found", 1),
        (403, "denied", 1),
        (400, "unexpected-status", 1),
        (500, "unexpected-status", 3),
        (502, "unexpected-status", 3),
        (204, "unexpected-status", 1),
    ] {
        let body = r#"{"errors":[{"code":"SAID","message":"by the registry"}]}"#;
        let hostile = Hostile::start(move |_| Reply::new(status, body)).await;
        let error = client().resolve(&hostile.image("team/app:1")).await.unwrap_err();
        assert_eq!(error.code(), expected, "{status}");
        assert_eq!(hostile.seen().len(), requests, "{status}");
        if status == 403 || status == 400 {
            assert!(error.to_string().contains("SAID by the registry"), "{error}");
        }
        assert_eq!(error.is_unreachable(), status >= 500, "{status}");
    }
}

#[tokio::test]
async fn exactly_the_four_manifest_types_are_asked_for() {
    let image = small_image("x");
    let bytes = image.bytes.clone();
    let hostile = Hostile::start(move |_| Reply::manifest(bytes.clone())).await;
    let resolved = client().resolve(&hostile.image("team/app:1")).await.unwrap();
    assert_eq!(resolved.descriptor, image.descriptor);
    let seen = hostile.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "/v2/team/app/manifests/1");
    assert_eq!(seen[0].accept, media_types::ACCEPTED_MANIFESTS);
    assert_eq!(seen[0].authorization, None);
}

#[tokio::test]
async fn silence_is_a_timeout() {
    for reply in [Reply::never, || Reply::stall("{")] {
        let hostile = Hostile::start(move |_| reply()).await;
        let began = Instant::now();
        let error = impatient()
            .build()
            .unwrap()
            .resolve(&hostile.image("a/b:1"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "timeout");
        assert!(error.is_unreachable());
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_document_that_drips_is_a_timeout() {
    // Always before the idle limit, for ever.
    let hostile = Hostile::start(|_| Reply::stream(1, 100_000, Duration::from_millis(100))).await;
    let error = impatient()
        .build()
        .unwrap()
        .resolve(&hostile.image("a/b:1"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "timeout");
    assert!(error.to_string().contains("finish its answer"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let image = format!("{address}/a/b:1").parse().unwrap();
    let error = client().resolve(&image).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(error.is_unreachable() && !error.is_not_found());
}

#[tokio::test]
async fn tls_to_a_plain_server_is_unreachable_with_a_hint() {
    let hostile = Hostile::start(|_| Reply::new(200, "")).await;
    let client = impatient().require_https(true).build().unwrap();
    let error = client.resolve(&hostile.image("a/b:1")).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
    assert!(error.hint().unwrap().contains("plain HTTP"), "{error}");
    assert!(hostile.seen().is_empty());
}

#[tokio::test]
async fn a_manifest_of_100_mb_is_not_read() {
    let piece = 64 * 1024;
    let hostile = Hostile::start(move |seen| {
        let reply = Reply::stream(piece, 1600, Duration::ZERO);
        if seen.path.ends_with("declared") {
            reply.header("content-length", 1600 * piece)
        } else {
            reply
        }
    })
    .await;
    let client = client();
    assert_eq!(code(client.resolve(&hostile.image("a/b:declared")).await), "too-large");
    assert!(hostile.sent() < 8 * 1024 * 1024, "{}", hostile.sent());
    assert_eq!(code(client.resolve(&hostile.image("a/b:chunked")).await), "too-large");
    // Four mebibytes, and what the connection's buffers hold twice over.
    assert!(hostile.sent() < 32 * 1024 * 1024, "{}", hostile.sent());
}

#[tokio::test]
async fn other_bytes_than_asked_for_are_refused() {
    let (asked, other) = (small_image("asked"), small_image("other"));
    let (bytes, digest) = (other.bytes.clone(), asked.descriptor.digest.to_string());
    let named = digest.clone();
    let hostile = Hostile::start(move |seen| {
        let reply = Reply::manifest(bytes.clone());
        // By tag, the digest in the header is not that of the body.
        if seen.path.ends_with("lying") {
            reply.header("docker-content-digest", &named)
        } else {
            reply
        }
    })
    .await;
    let client = client();
    let pinned = hostile.image(&format!("a/b:1@{digest}"));
    assert_eq!(code(client.resolve(&pinned).await), "digest-mismatch");
    assert_eq!(
        code(client.resolve(&hostile.image("a/b:lying")).await),
        "digest-mismatch"
    );
    let honest = client.resolve(&hostile.image("a/b:honest")).await.unwrap();
    assert_eq!(honest.descriptor, other.descriptor);
    assert_eq!(code(client.head(&pinned).await), "digest-mismatch");
}

#[tokio::test]
async fn what_is_no_manifest_is_malformed() {
    for body in [
        "",
        "{}",
        "<html>",
        "[]",
        r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#,
    ] {
        let hostile = Hostile::start(move |_| Reply::manifest(body)).await;
        assert_eq!(
            code(client().resolve(&hostile.image("a/b:1")).await),
            "malformed",
            "{body}"
        );
    }
    // The type of the answer and that in the content must agree.
    let bytes = small_image("x").bytes;
    let hostile = Hostile::start(move |_| Reply::index(bytes.clone())).await;
    assert_eq!(code(client().resolve(&hostile.image("a/b:1")).await), "malformed");
}

#[tokio::test]
async fn blobs_that_lie_are_refused() {
    let good = vec![7_u8; 100_000];
    let content = good.clone();
    let hostile = Hostile::start(move |seen| match seen.path.split('/').nth(2).unwrap() {
        "good" => Reply::new(200, content.clone()),
        "short" => Reply::new(200, content[1..].to_vec()),
        "long" => Reply::new(200, [content.as_slice(), b"x"].concat()),
        "other" => Reply::new(200, vec![8_u8; 100_000]),
        // Longer without saying so beforehand.
        "endless" => Reply::stream(64 * 1024, 100_000, Duration::ZERO),
        // Says the right length and breaks off.
        "cut" => Reply::stall(content[..10].to_vec()).header("content-length", 100_000),
        _ => Reply::new(404, ""),
    })
    .await;
    let client = impatient().build().unwrap();
    let blob = Descriptor::of(media_type("application/octet-stream"), &good);
    let repository = |name: &str| hostile.image(&format!("{name}/app")).repository().clone();
    assert_eq!(client.blob(&repository("good"), &blob, 200_000).await.unwrap(), good);
    for (name, expected) in [
        ("short", "size-mismatch"),
        ("long", "size-mismatch"),
        ("other", "digest-mismatch"),
        ("endless", "size-mismatch"),
        ("cut", "timeout"),
        ("absent", "not-found"),
    ] {
        let result = client.blob(&repository(name), &blob, 200_000).await;
        assert_eq!(code(result), expected, "{name}");
    }
    let requests = hostile.seen().len();
    assert_eq!(code(client.blob(&repository("good"), &blob, 99_999).await), "too-large");
    assert_eq!(
        hostile.seen().len(),
        requests,
        "what is too large by its descriptor is not asked for"
    );
    assert!(hostile.sent() < 16 * 1024 * 1024, "{}", hostile.sent());
}

#[tokio::test]
async fn a_blocking_reader_ends_with_the_verdict() {
    use std::io::Read as _;
    let good = vec![7_u8; 300_000];
    let content = good.clone();
    let hostile = Hostile::start(move |seen| match seen.path.split('/').nth(2).unwrap() {
        "good" => Reply::new(200, content.clone()),
        _ => Reply::new(200, vec![8_u8; 300_000]),
    })
    .await;
    let blob = Descriptor::of(media_type("application/octet-stream"), &good);
    for name in ["good", "other"] {
        let repository = hostile.image(&format!("{name}/app")).repository().clone();
        let mut reader = client().open_blob(&repository, &blob).await.unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        match (name, read.await.unwrap()) {
            ("good", Ok(bytes)) => assert_eq!(bytes, good),
            ("other", Err(error)) => assert!(error.to_string().contains("hashes to"), "{error}"),
            (name, result) => panic!("{name}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_registry_that_says_later_is_heeded_within_limits() {
    let image = small_image("x");
    let bytes = image.bytes.clone();
    let count = std::sync::atomic::AtomicU32::new(0);
    let hostile = Hostile::start(
        move |_| match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Reply::new(429, "").header("retry-after", 0),
            1 => Reply::new(503, ""),
            _ => Reply::manifest(bytes.clone()),
        },
    )
    .await;
    let client = client();
    client.resolve(&hostile.image("a/b:1")).await.unwrap();
    assert_eq!((client.counts().manifests, client.counts().retries), (3, 2));
    assert_eq!(client.counts().total(), 3);

    let hostile = Hostile::start(|_| Reply::new(429, "").header("retry-after", 3600)).await;
    let began = Instant::now();
    let error = impatient()
        .build()
        .unwrap()
        .resolve(&hostile.image("a/b:1"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "throttled");
    assert!(error.is_unreachable());
    assert!(began.elapsed() < Duration::from_secs(1), "an hour is not waited for");
    assert_eq!(hostile.seen().len(), 1);

    let hostile = Hostile::start(|_| Reply::new(429, "")).await;
    let error = impatient()
        .build()
        .unwrap()
        .resolve(&hostile.image("a/b:1"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "throttled");
    assert!(hostile.seen().len() <= 6);
}

/// What one request is told holds for all of them, and for no other registry.
#[tokio::test]
async fn while_a_registry_wants_to_be_left_alone_nobody_asks_it() {
    let hostile = Hostile::start(|_| Reply::new(429, "").header("retry-after", 3600)).await;
    let other = Hostile::start(|_| Reply::new(404, "")).await;
    let client = impatient().build().unwrap().with_shared_patience();
    assert_eq!(code(client.resolve(&hostile.image("a/b:1")).await), "throttled");
    for number in 0..20 {
        let asked = client.with_fresh_counts();
        let error = asked
            .resolve(&hostile.image(&format!("a/b:{number}")))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "throttled");
        assert!(error.is_unreachable());
        assert_eq!(asked.counts().total(), 0);
    }
    assert_eq!(hostile.seen().len(), 1);
    assert_eq!(code(client.resolve(&other.image("a/b:1")).await), "not-found");
}

/// A short wait is sat out, by those who were not told as well.
#[tokio::test]
async fn a_short_wait_is_sat_out_by_all() {
    let (told, first) = (std::sync::atomic::AtomicBool::new(false), Instant::now());
    let early = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = early.clone();
    let hostile = Hostile::start(move |_| {
        use std::sync::atomic::Ordering;
        if !told.swap(true, Ordering::SeqCst) {
            return Reply::new(429, "").header("retry-after", 1);
        }
        if first.elapsed() < Duration::from_secs(1) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Reply::new(404, "")
    })
    .await;
    let client = client().with_shared_patience();
    let image = hostile.image("a/b:1");
    let late = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.resolve(&image).await
    };
    let (one, two) = tokio::join!(client.resolve(&image), late);
    assert_eq!((code(one), code(two)), ("not-found", "not-found"));
    assert_eq!(early.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(hostile.seen().len(), 3);
}

#[tokio::test]
async fn error_bodies_are_bounded_and_harmless() {
    let hostile = Hostile::start(|_| Reply::new(400, format!("\x1b[31m{}", "A".repeat(1_000_000)))).await;
    let error = client().resolve(&hostile.image("a/b:1")).await.unwrap_err().to_string();
    assert!(error.len() < 600 && !error.contains('\x1b'), "{error}");
}

#[tokio::test]
async fn a_registry_that_stores_something_else_is_caught() {
    let other = Digest::sha256_of(b"other");
    let hostile = Hostile::start(move |_| Reply::new(201, "").header("docker-content-digest", &other)).await;
    let image = small_image("x");
    let pushed = client()
        .push_manifest(&hostile.repository(), None, &image.manifest.media_type, image.bytes)
        .await;
    assert_eq!(code(pushed), "digest-mismatch");
}
