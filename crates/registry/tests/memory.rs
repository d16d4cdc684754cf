//! How much memory hostile answers can make the client use. In a process of its own: the measure is the process's peak.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Read as _;
use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use proofmark_oci::Descriptor;
use proofmark_registry::{Client, ImageSource};
use proofmark_types::{Digest, ImageRef, MediaType};

#[path = "registry/hostile.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod hostile;

use hostile::{Hostile, Reply};

/// What all of this may add to the peak: the largest document accepted (4 MiB) as bytes and as parsed JSON, twice.
const ALLOWED: u64 = 48 * 1024 * 1024;

fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

#[tokio::test]
async fn hostile_answers_do_not_fill_the_memory() {
    let piece = 64 * 1024;
    // 160 MiB of anything that is asked for, in the shape of what is asked for.
    let hostile = Hostile::start(move |seen| {
        let reply = Reply::stream(piece, 2560, Duration::ZERO);
        if seen.path.contains("/referrers/") {
            reply.header("content-type", "application/vnd.oci.image.index.v1+json")
        } else {
            reply
        }
    })
    .await;
    let client = Client::builder().build().unwrap();
    let repository = hostile.repository();
    let digest = Digest::sha256_of(b"x");
    let _ = client.resolve(&hostile.image("warm/up:1")).await;
    let before = peak();

    let tagged = ImageRef::parse(&format!("{repository}:1")).unwrap();
    assert_eq!(client.resolve(&tagged).await.unwrap_err().code(), "too-large");
    assert_eq!(
        client.referrers(&repository, &digest).await.unwrap_err().code(),
        "too-large"
    );
    assert_eq!(client.tags(&repository).await.unwrap_err().code(), "too-large");
    assert_eq!(
        client.evidence(&repository, &digest).await.unwrap_err().code(),
        "too-large"
    );
    let mut blob = Descriptor::of(MediaType::parse("application/octet-stream").unwrap(), b"");
    blob.digest = digest;
    blob.size = 160 * 1024 * 1024;
    // A layer as large as it says, and wrong: streamed to a reader that is slow at first.
    let mut reader = client.open_blob(&repository, &blob).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(200));
        std::io::copy(&mut reader, &mut std::io::sink())
    });
    assert!(read.await.unwrap().unwrap_err().to_string().contains("hashes to"));
    let grown = peak() - before;
    assert!(grown < ALLOWED, "{} MiB", grown / 1024 / 1024);

    bomb();
    let grown = peak() - before;
    assert!(grown < ALLOWED, "{} MiB", grown / 1024 / 1024);
}

/// A `docker save` archive whose layer is 256 MiB of zeros, compressed to almost nothing.
fn bomb() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.tar.gz");
    let mut encoder = GzEncoder::new(std::fs::File::create(&path).unwrap(), Compression::fast());
    let size = 256 * 1024 * 1024_u64;
    let mut builder = tar::Builder::new(&mut encoder);
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    let zeros = std::io::repeat(0).take(size);
    builder.append_data(&mut header, "layer.tar", zeros).unwrap();
    let mut header = tar::Header::new_gnu();
    let listed = br#"[{"Config":"layer.tar","RepoTags":[],"Layers":["layer.tar"]}]"#;
    header.set_size(listed.len() as u64);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, "manifest.json", listed.as_slice())
        .unwrap();
    builder.finish().unwrap();
    drop(builder);
    encoder.flush().unwrap();
    encoder.finish().unwrap();
    assert_eq!(ImageSource::open(&path, None).unwrap_err().code(), "too-large");
}
