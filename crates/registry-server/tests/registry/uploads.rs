//! Blobs: each way to push them, each way to read them, and what is refused.

use proofmark_types::{Digest, DigestAlgorithm};
use reqwest::{Method, StatusCode};

use crate::world::{World, expect, files, header, refused};

const REPOSITORY: &str = "team/app";

#[tokio::test]
async fn a_blob_pushed_at_once_is_read_back() {
    let world = World::start().await;
    for (count, content) in [b"".as_slice(), b"content", &[7; 3_000_000]].into_iter().enumerate() {
        let digest = Digest::sha256_of(content);
        let blob = format!("/v2/{REPOSITORY}/blobs/{digest}");
        refused(world.get(&blob), 404, "BLOB_UNKNOWN").await;
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={digest}");
        let response = world.post(&path).body(content.to_vec()).send().await.unwrap();
        let response = expect(response, StatusCode::CREATED).await;
        assert_eq!(header(&response, "location"), blob);
        assert_eq!(header(&response, "docker-content-digest"), digest.to_string());
        let response = expect(world.head(&blob).send().await.unwrap(), StatusCode::OK).await;
        assert_eq!(header(&response, "content-length"), content.len().to_string());
        let response = expect(world.get(&blob).send().await.unwrap(), StatusCode::OK).await;
        assert_eq!(header(&response, "content-type"), "application/octet-stream");
        assert_eq!(response.bytes().await.unwrap(), content);
        assert_eq!(files(&world.folder.path().join("blobs")).len(), count + 1);
    }
    assert!(files(&world.folder.path().join("uploads")).is_empty());
    assert!(files(&world.folder.path().join("tmp")).is_empty());
}

#[tokio::test]
async fn a_blob_pushed_in_two_requests() {
    let world = World::start().await;
    let location = world.upload(REPOSITORY).await;
    let digest = Digest::of(DigestAlgorithm::Sha512, b"content");
    let response = world
        .put(&format!("{location}?digest={digest}"))
        .body("content")
        .send()
        .await
        .unwrap();
    expect(response, StatusCode::CREATED).await;
    let response = world
        .get(&format!("/v2/{REPOSITORY}/blobs/{digest}"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        expect(response, StatusCode::OK).await.bytes().await.unwrap(),
        b"content".as_slice()
    );
    refused(world.get(&location), 404, "BLOB_UPLOAD_UNKNOWN").await;
}

#[tokio::test]
async fn a_blob_pushed_in_chunks_and_a_stream() {
    let world = World::start().await;
    let location = world.upload(REPOSITORY).await;
    let chunk =
        |range: &'static str, body: &'static str| world.patch(&location).header("content-range", range).body(body);
    let status = async || {
        let response = expect(world.get(&location).send().await.unwrap(), StatusCode::NO_CONTENT).await;
        assert_eq!(header(&response, "location"), location);
        header(&response, "range")
    };
    assert_eq!(status().await, "0-0");
    let response = expect(chunk("0-3", "abcd").send().await.unwrap(), StatusCode::ACCEPTED).await;
    assert_eq!(header(&response, "range"), "0-3");
    assert_eq!(status().await, "0-3");

    // Out of order: again, from the start, or with a gap.
    for range in ["0-3", "3-4", "5-8"] {
        let response = chunk(range, "efgh").send().await.unwrap();
        let response = expect(response, StatusCode::RANGE_NOT_SATISFIABLE).await;
        assert_eq!(header(&response, "range"), "0-3");
    }
    // Shorter, longer or malformed.
    refused(chunk("4-9", "efgh"), 400, "SIZE_INVALID").await;
    refused(chunk("4-5", "efgh"), 400, "SIZE_INVALID").await;
    refused(chunk("4", "efgh"), 400, "BLOB_UPLOAD_INVALID").await;
    assert_eq!(status().await, "0-3");

    // The same lies without a Content-Length are taken back after they were written.
    let stream =
        |text: &'static str| reqwest::Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>(text)]));
    for range in ["4-5", "4-9"] {
        let request = world
            .patch(&location)
            .header("content-range", range)
            .body(stream("efgh"));
        refused(request, 400, "SIZE_INVALID").await;
    }
    assert_eq!(status().await, "0-3");

    expect(chunk("4-7", "efgh").send().await.unwrap(), StatusCode::ACCEPTED).await;
    let streamed = world.patch(&location).body(stream("ijkl")).send().await.unwrap();
    assert_eq!(header(&expect(streamed, StatusCode::ACCEPTED).await, "range"), "0-11");

    let digest = Digest::sha256_of(b"abcdefghijklmn");
    let last = world.put(&format!("{location}?digest={digest}"));
    let response = last.header("content-range", "12-13").body("mn").send().await.unwrap();
    expect(response, StatusCode::CREATED).await;
    let response = world
        .get(&format!("/v2/{REPOSITORY}/blobs/{digest}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.bytes().await.unwrap(), b"abcdefghijklmn".as_slice());
}

#[tokio::test]
async fn content_of_another_digest_is_refused_and_not_kept() {
    let world = World::start().await;
    let wrong = Digest::sha256_of(b"other");
    let at_once = world.post(&format!("/v2/{REPOSITORY}/blobs/uploads/?digest={wrong}"));
    refused(at_once.body("content"), 400, "DIGEST_INVALID").await;
    let location = world.upload(REPOSITORY).await;
    let message = refused(
        world.put(&format!("{location}?digest={wrong}")).body("content"),
        400,
        "DIGEST_INVALID",
    )
    .await;
    assert!(message.contains(&wrong.to_string()) && message.contains(&Digest::sha256_of(b"content").to_string()));
    refused(world.get(&location), 404, "BLOB_UPLOAD_UNKNOWN").await;
    refused(
        world.get(&format!("/v2/{REPOSITORY}/blobs/{wrong}")),
        404,
        "BLOB_UNKNOWN",
    )
    .await;
    assert_eq!(files(world.folder.path()), ["lock"]);
}

#[tokio::test]
async fn an_upload_is_ended_by_its_client_only() {
    let world = World::start().await;
    let location = world.upload(REPOSITORY).await;
    let elsewhere = location.replace(REPOSITORY, "team/other");
    refused(world.patch(&elsewhere).body("x"), 404, "BLOB_UPLOAD_UNKNOWN").await;
    refused(world.delete(&elsewhere), 404, "BLOB_UPLOAD_UNKNOWN").await;
    refused(world.put(&location).body("x"), 400, "DIGEST_INVALID").await;
    refused(world.put(&format!("{location}?digest=sha256:1")), 400, "DIGEST_INVALID").await;
    expect(world.delete(&location).send().await.unwrap(), StatusCode::NO_CONTENT).await;
    refused(world.delete(&location), 404, "BLOB_UPLOAD_UNKNOWN").await;
    refused(world.request(Method::POST, &location), 405, "UNSUPPORTED").await;
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_it_is() {
    let world = World::start().await;
    let digest = world.blob("team/one", b"content").await;
    let mount = |repository: &str, query: &str| {
        world
            .post(&format!("/v2/{repository}/blobs/uploads/?mount={digest}{query}"))
            .send()
    };
    for (repository, query) in [
        ("team/two", "&from=team/one"),
        ("team/three", "&from=team%2Ftwo"),
        ("team/four", ""),
    ] {
        let response = expect(mount(repository, query).await.unwrap(), StatusCode::CREATED).await;
        assert_eq!(
            header(&response, "location"),
            format!("/v2/{repository}/blobs/{digest}")
        );
        let response = world
            .get(&format!("/v2/{repository}/blobs/{digest}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.bytes().await.unwrap(), b"content".as_slice());
    }
    // From where it is not, an upload is opened instead.
    let response = expect(
        mount("team/five", "&from=team/none").await.unwrap(),
        StatusCode::ACCEPTED,
    )
    .await;
    let location = header(&response, "location");
    let response = world
        .put(&format!("{location}?digest={digest}"))
        .body("content")
        .send()
        .await
        .unwrap();
    expect(response, StatusCode::CREATED).await;

    // The bytes go with the last repository that has them, and then nobody can mount them by knowing the digest.
    for repository in ["one", "two", "three", "four", "five"] {
        assert_eq!(files(&world.folder.path().join("blobs")).len(), 1);
        let blob = format!("/v2/team/{repository}/blobs/{digest}");
        expect(world.delete(&blob).send().await.unwrap(), StatusCode::ACCEPTED).await;
        refused(world.get(&blob), 404, "BLOB_UNKNOWN").await;
        refused(world.delete(&blob), 404, "BLOB_UNKNOWN").await;
    }
    assert!(files(&world.folder.path().join("blobs")).is_empty());
    expect(mount("team/six", "").await.unwrap(), StatusCode::ACCEPTED).await;
}

#[tokio::test]
async fn parts_of_a_blob() {
    let world = World::start().await;
    let blob = format!("/v2/{REPOSITORY}/blobs/{}", world.blob(REPOSITORY, b"0123456789").await);
    for (range, part, said) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
    ] {
        let response = world.get(&blob).header("range", range).send().await.unwrap();
        let response = expect(response, StatusCode::PARTIAL_CONTENT).await;
        assert_eq!(header(&response, "content-range"), said);
        assert_eq!(response.text().await.unwrap(), part);
    }
    let response = world.get(&blob).header("range", "bytes=10-").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&response, "content-range"), "bytes */10");
    let response = world.get(&blob).header("range", "bytes=0-1,4-5").send().await.unwrap();
    assert_eq!(
        expect(response, StatusCode::OK).await.text().await.unwrap(),
        "0123456789"
    );
}

#[tokio::test]
async fn a_blob_may_not_be_larger_than_configured() {
    let world = World::with(|config| config.max_blob_bytes = 10).await;
    world.blob(REPOSITORY, b"0123456789").await;
    let location = world.upload(REPOSITORY).await;
    refused(world.patch(&location).body("01234567890"), 413, "SIZE_INVALID").await;
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>("0123456"), Ok("789a")]);
    refused(
        world.patch(&location).body(reqwest::Body::wrap_stream(pieces)),
        413,
        "SIZE_INVALID",
    )
    .await;
    let response = world.get(&location).send().await.unwrap();
    assert_eq!(header(&response, "range"), "0-0");
}

#[tokio::test]
async fn idle_uploads_expire() {
    let world = World::with(|config| config.upload_expiry = std::time::Duration::from_millis(50)).await;
    let location = world.upload(REPOSITORY).await;
    // Bounded by the harness's patience, not by a count: the cleaner runs on its own time.
    while world.get(&location).send().await.unwrap().status() != StatusCode::NOT_FOUND {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(files(world.folder.path()), ["lock"]);
}

#[tokio::test]
async fn two_writers_to_one_upload_do_not_mix() {
    let world = World::start().await;
    let location = world.upload(REPOSITORY).await;
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<Vec<u8>, std::io::Error>>();
    let first = tokio::spawn(world.patch(&location).body(reqwest::Body::wrap_stream(receiver)).send());
    // More than is gathered before it is written, so that the upload shows that the first has begun.
    let content = vec![b'1'; 1_000_000];
    sender.unbounded_send(Ok(content.clone())).unwrap();
    world.arrived(&location).await;
    refused(world.patch(&location).body("second"), 409, "BLOB_UPLOAD_INVALID").await;
    refused(world.delete(&location), 409, "BLOB_UPLOAD_INVALID").await;
    drop(sender);
    expect(first.await.unwrap().unwrap(), StatusCode::ACCEPTED).await;
    let digest = Digest::sha256_of(&content);
    let response = world.put(&format!("{location}?digest={digest}")).send().await.unwrap();
    expect(response, StatusCode::CREATED).await;
}

#[tokio::test]
async fn the_same_blob_from_many_clients_at_once() {
    let world = std::sync::Arc::new(World::start().await);
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let world = std::sync::Arc::clone(&world);
            tokio::spawn(async move {
                let repository = format!("team/app-{}", number % 4);
                let digest = world.blob(&repository, &[9; 700_000]).await;
                let blob = format!("/v2/{repository}/blobs/{digest}");
                expect(world.get(&blob).send().await.unwrap(), StatusCode::OK)
                    .await
                    .bytes()
                    .await
                    .unwrap()
                    .len()
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 700_000);
    }
}

/// The bytes move to their place before the link to them is made. Going on with that upload would once have put an empty
/// file there, under a digest that was checked.
#[tokio::test]
async fn an_upload_whose_end_failed_cannot_be_ended_again() {
    let world = World::start().await;
    let location = world.upload("team/app").await;
    let response = world.patch(&location).body("abc").send().await.unwrap();
    expect(response, StatusCode::ACCEPTED).await;
    // A file where the folder of links must be.
    let obstacle = world.folder.path().join("repositories/team/app/_blobs");
    std::fs::create_dir_all(obstacle.parent().unwrap()).unwrap();
    std::fs::write(&obstacle, "").unwrap();
    let digest = Digest::sha256_of(b"abc");
    let end = format!("{location}?digest={digest}");
    let response = world.put(&end).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    std::fs::remove_file(&obstacle).unwrap();
    let response = world.put(&end).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    world.blob("team/app", b"abc").await;
    let response = world.get(&format!("/v2/team/app/blobs/{digest}")).send().await.unwrap();
    assert_eq!(response.bytes().await.unwrap(), "abc");
}
