//! What a restart, a kill and a crash leave.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proofmark_types::Digest;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{MANIFEST, World, config, descriptor, expect, files, header, refused};

const REPOSITORY: &str = "team/app";

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let world = World::start().await;
    let image = world.image(REPOSITORY, "1.0", "layer").await;
    let referrer = json!({"subject": descriptor(MANIFEST, &image, 1)});
    let referrer = world.image_manifest(REPOSITORY, "evidence", referrer).await;
    let digest = Digest::sha256_of(&referrer).to_string();
    expect(
        world.push(REPOSITORY, &digest, MANIFEST, &referrer).await,
        StatusCode::CREATED,
    )
    .await;
    let location = world.upload(REPOSITORY).await;
    expect(
        world.patch(&location).body("abc").send().await.unwrap(),
        StatusCode::ACCEPTED,
    )
    .await;
    let before = files(world.folder.path());

    let world = world.restart().await;
    assert_eq!(files(world.folder.path()), before);
    assert_eq!(world.tags(REPOSITORY).await, ["1.0"]);
    let response = world
        .get(&format!("/v2/{REPOSITORY}/manifests/1.0"))
        .send()
        .await
        .unwrap();
    assert_eq!(header(&response, "docker-content-digest"), image.to_string());
    let response = world
        .get(&format!("/v2/{REPOSITORY}/referrers/{image}"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.json::<Value>().await.unwrap()["manifests"][0]["digest"],
        digest
    );
    // The upload goes on where it was.
    let response = world.get(&location).send().await.unwrap();
    assert_eq!(header(&response, "range"), "0-2");
    let whole = Digest::sha256_of(b"abcdef");
    let response = world
        .put(&format!("{location}?digest={whole}"))
        .body("def")
        .send()
        .await
        .unwrap();
    expect(response, StatusCode::CREATED).await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_an_upload_that_can_go_on() {
    let world = World::start().await;
    let location = world.upload(REPOSITORY).await;
    let mut stream = TcpStream::connect(world.server.address()).unwrap();
    let piece = vec![b'x'; 2_000_000];
    write!(
        stream,
        "PATCH {location} HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n"
    )
    .unwrap();
    let sending = tokio::task::spawn_blocking(move || {
        stream.write_all(&piece).unwrap();
        stream
    });
    let stream = sending.await.unwrap();
    world.arrived(&location).await;
    drop(stream);
    // Until the server noticed, the upload is busy; then it says how much it kept.
    let kept = loop {
        let response = world.patch(&location).body("").send().await.unwrap();
        if response.status() == StatusCode::ACCEPTED {
            break header(&response, "range");
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let kept = kept.strip_prefix("0-").unwrap().parse::<usize>().unwrap();
    let kept = if kept == 0 { 0 } else { kept + 1 };
    assert!(kept <= 2_000_000);
    let rest = vec![b'x'; 2_000_000 - kept];
    let digest = Digest::sha256_of(&vec![b'x'; 2_000_000]);
    let response = world
        .put(&format!("{location}?digest={digest}"))
        .body(rest)
        .send()
        .await
        .unwrap();
    expect(response, StatusCode::CREATED).await;
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_removed() {
    let world = World::start().await;
    let image = world.image(REPOSITORY, "1.0", "layer").await;
    let before = files(world.folder.path());
    let crash = |path: &str, content: &str| {
        let path = world.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    // A temporary file, content that was placed but not linked, a referrer's entry without its manifest, an upload
    // whose folder was just made.
    let orphan = Digest::sha256_of(b"orphan").hex();
    crash("tmp/7", "half");
    crash(&format!("blobs/sha256/{}/{orphan}", &orphan[..2]), "orphan");
    let entry = format!(
        "repositories/{REPOSITORY}/_referrers/sha256/{}/sha256-{orphan}",
        image.hex()
    );
    crash(&entry, "{}");
    crash(&format!("uploads/{}/data", "0".repeat(32)), "x");
    let world = world.restart().await;
    assert_eq!(files(world.folder.path()), before);
    refused(
        world.get(&format!("/v2/{REPOSITORY}/blobs/sha256:{orphan}")),
        404,
        "BLOB_UNKNOWN",
    )
    .await;
}

#[tokio::test]
async fn an_entry_without_its_manifest_is_not_listed() {
    let world = World::start().await;
    let image = world.image(REPOSITORY, "1.0", "layer").await;
    let folder = format!("repositories/{REPOSITORY}/_referrers/sha256/{}", image.hex());
    let folder = world.folder.path().join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(Digest::sha256_of(b"x").tag_form()), "{}").unwrap();
    let response = world
        .get(&format!("/v2/{REPOSITORY}/referrers/{image}"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.json::<Value>().await.unwrap()["manifests"], json!([]));
}

#[tokio::test]
async fn a_damaged_manifest_is_not_passed_on() {
    let world = World::start().await;
    let hex = world.image(REPOSITORY, "1.0", "layer").await.hex();
    let path = world.folder.path().join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
    std::fs::write(path, "{}").unwrap();
    refused(world.get(&format!("/v2/{REPOSITORY}/manifests/1.0")), 500, "UNKNOWN").await;
}

/// Not a test: the registry that `killed_under_load` kills, in a process of its own.
#[tokio::test]
async fn serve_until_killed() {
    let Ok(folder) = std::env::var("PROOFMARK_TEST_SERVE") else {
        return;
    };
    let server = proofmark_registry_server::Server::start(config(folder.as_ref()))
        .await
        .unwrap();
    println!("\nlistening {}", server.address());
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_it_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<(String, Digest)> = Vec::new();
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restart::serve_until_killed", "--nocapture"])
            .env("PROOFMARK_TEST_SERVE", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("listening ").map(str::to_owned))
            .unwrap();
        let count = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|client| tokio::spawn(push_until_it_dies(address.clone(), round, client, Arc::clone(&count))))
            .collect();
        // Killed at another point of the work each time.
        while count.load(Ordering::Relaxed) < 1 + 3 * round {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for task in tasks {
            acknowledged.extend(task.await.unwrap());
        }
    }
    assert!(acknowledged.len() > 50);
    let server = proofmark_registry_server::Server::start(config(folder.path()))
        .await
        .unwrap();
    let get = async |path: String| {
        reqwest::get(format!("http://{}{path}", server.address()))
            .await
            .unwrap()
    };
    for (tag, digest) in &acknowledged {
        let response = get(format!("/v2/{REPOSITORY}/manifests/{tag}")).await;
        assert_eq!(header(&response, "docker-content-digest"), digest.to_string(), "{tag}");
    }
    // All that is visible is whole.
    let list: Value = get(format!("/v2/{REPOSITORY}/tags/list")).await.json().await.unwrap();
    let tags = list["tags"].as_array().unwrap();
    println!("{} acknowledged, {} there", acknowledged.len(), tags.len());
    for tag in tags {
        let response = get(format!("/v2/{REPOSITORY}/manifests/{}", tag.as_str().unwrap())).await;
        let manifest: Value = expect(response, StatusCode::OK).await.json().await.unwrap();
        for blob in manifest["layers"].as_array().unwrap() {
            let digest = Digest::parse(blob["digest"].as_str().unwrap()).unwrap();
            let response = get(format!("/v2/{REPOSITORY}/blobs/{digest}")).await;
            assert!(digest.matches(&response.bytes().await.unwrap()));
        }
    }
}

/// Pushes image after image, and answers those that were acknowledged.
async fn push_until_it_dies(address: String, round: u64, client: u64, count: Arc<AtomicU64>) -> Vec<(String, Digest)> {
    let http = reqwest::Client::new();
    let mut done = Vec::new();
    loop {
        let tag = format!("{round}-{client}-{}", done.len());
        let Some(digest) = push(&http, &address, &tag).await else {
            return done;
        };
        done.push((tag, digest));
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn push(http: &reqwest::Client, address: &str, tag: &str) -> Option<Digest> {
    let base = format!("http://{address}/v2/{REPOSITORY}");
    let layer = tag.repeat(20_000).into_bytes();
    for blob in [b"{}".to_vec(), layer.clone()] {
        let url = format!("{base}/blobs/uploads/?digest={}", Digest::sha256_of(&blob));
        let response = http.post(url).body(blob).send().await.ok()?;
        (response.status() == StatusCode::CREATED).then_some(())?;
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("application/json", &Digest::sha256_of(b"{}"), 2),
        "layers": [descriptor("application/json", &Digest::sha256_of(&layer), layer.len())],
    })
    .to_string();
    let request = http
        .put(format!("{base}/manifests/{tag}"))
        .header("content-type", MANIFEST);
    let response = request.body(manifest.clone()).send().await.ok()?;
    (response.status() == StatusCode::CREATED).then(|| Digest::sha256_of(manifest.as_bytes()))
}

#[tokio::test]
async fn a_folder_of_something_else_is_left_alone() {
    for taken in ["tmp/mine", "uploads/mine"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(taken);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "precious").unwrap();
        // Asked twice: the first attempt must not make it look like one of ours.
        for _ in 0..2 {
            let refused = proofmark_registry_server::Server::start(config(folder.path())).await;
            let text = refused.unwrap_err().to_string();
            assert!(text.contains("no registry's folder"), "{text}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
