//! One good signature among referrers of other things: where it is found, what that costs, and what may not be concluded
//! from what was not read.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use proofmark_evidence::Origin;
use proofmark_evidence::layout::{is_bundle_media_type, is_evidence};
use proofmark_oci::{Descriptor, ImageManifest, Manifest};
use proofmark_registry::Client;
use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::Built;
use proofmark_types::{Digest, ImageRef, MediaType};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Registry, fails, home, json, run, write};

/// Stands before a registry, writes down what is asked, and answers 429 where it is told to.
struct Between {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Between {
    async fn before(registry: SocketAddr, throttled: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, throttled) = (Arc::clone(&asked), Arc::new(throttled));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, throttled) = (Arc::clone(&seen), Arc::clone(&throttled));
                tokio::spawn(async move { one(client, registry, &seen, &*throttled).await });
            }
        });
        Self { address, asked }
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// One GET, and the connection ends.
async fn one(
    mut client: TcpStream,
    registry: SocketAddr,
    asked: &Mutex<Vec<String>>,
    throttled: &(dyn Fn(&str) -> bool + Send + Sync),
) {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        match client.read(&mut buffer).await {
            Ok(count @ 1..) => head.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    asked.lock().unwrap().push(line.clone());
    let answer = if throttled(&line) {
        b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 3600\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            .to_vec()
    } else {
        let mut server = TcpStream::connect(registry).await.unwrap();
        let asked_once = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        server.write_all(asked_once.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await.unwrap();
        answer
    };
    client.write_all(&answer).await.ok();
    client.shutdown().await.ok();
}

const NOTE: &str = "application/vnd.example.note.v1";

fn image_manifest(bytes: &[u8]) -> ImageManifest {
    match Manifest::parse(None, bytes).unwrap() {
        Manifest::Image(manifest) => manifest,
        Manifest::Index(_) => panic!("expected an image manifest"),
    }
}

/// Something that hangs on an image and is listed as `kind`.
async fn junk(registry: &Registry, subject: &Descriptor, kind: &str, number: usize) -> Digest {
    let plain = Built::image("linux/amd64", &[], |_| ());
    let mut manifest = image_manifest(plain.manifest());
    manifest.subject = Some(subject.clone());
    manifest.artifact_type = Some(MediaType::parse(kind).unwrap());
    manifest.annotations.insert("number".to_owned(), number.to_string());
    let built = Built::artifact(&manifest, plain.blobs().to_vec());
    built.push(registry.address(), "app", &format!("junk-{number}")).await;
    built.digest().clone()
}

/// As what a list names something.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Listed {
    Evidence,
    Anything,
    SomethingElse,
}

/// Signs or attests a copy of `built` in a registry of its own, and hangs the result on the image in `registry`, listed
/// in this way.
async fn hang(registry: &Registry, home: &Sandbox, built: &Built, command: &[&str], listed: Listed) -> Digest {
    let elsewhere = Registry::start().await;
    let image = elsewhere.push(built, "1").await;
    run(home, command.iter().copied().chain(["-y", &image])).expect_success();
    let client = Client::builder().build().unwrap();
    let repository = ImageRef::parse(&image).unwrap().repository().clone();
    let referrers = client.referrers(&repository, built.digest()).await.unwrap();
    let [found] = referrers.descriptors.as_slice() else {
        panic!("expected one referrer, found {referrers:?}")
    };
    let resolved = client.manifest(&repository, &found.digest).await.unwrap();
    let mut manifest = image_manifest(&resolved.bytes);
    let bundle = client.blob(&repository, &manifest.layers[0], 1 << 20).await.unwrap();
    assert!(is_bundle_media_type(&manifest.layers[0].media_type) && is_evidence(&manifest));
    if listed != Listed::Evidence {
        manifest.annotations.clear();
        manifest.artifact_type = (listed == Listed::SomethingElse).then(|| MediaType::parse(NOTE).unwrap());
    }
    let again = Built::artifact(&manifest, vec![b"{}".to_vec(), bundle.to_vec()]);
    again.push(registry.address(), "app", "signature").await;
    again.digest().clone()
}

const SIGN: [&str; 4] = ["sign", "--key", "cosign.key", "--tlog-upload=false"];

fn verify(home: &Sandbox, key: &str, image: &str) -> Outcome {
    run(home, ["verify", "--key", key, "--insecure-ignore-tlog", image])
}

/// The reference, the list, the two tags, the signature's manifest and its bundle: junk costs nothing until the answer
/// would be no.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_among_two_hundred_others_costs_six_requests() {
    let home = home();
    let registry = Registry::start().await;
    let built = Built::image("linux/amd64", &[], |_| ());
    registry.push(&built, "1").await;
    for number in 0..200 {
        junk(&registry, built.descriptor(), NOTE, number).await;
    }
    let signature = hang(&registry, &home, &built, &SIGN, Listed::Evidence).await;
    let between = Between::before(registry.address(), |_| false).await;
    let image = between.image("app:1");
    let found = json(
        &home,
        ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", &image],
    );
    let asked = between.take();
    assert_eq!(asked.len(), 6, "{asked:#?}");
    assert_eq!(
        found[0]["signatures"][0]["origin"],
        json!(Origin::Referrer { manifest: signature }.to_string())
    );
    // What was not read is said, in the result and to a person.
    assert_eq!(found[0]["notRead"][0]["code"], json!("not-read"));
    let reason = found[0]["notRead"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("200 "), "{reason}");
    let said = verify(&home, "cosign.pub", &image);
    assert!(
        said.expect_success().stderr.contains("200 were not opened"),
        "{}",
        said.stderr
    );

    // Another key: everything is read before the answer is no.
    between.take();
    fails(&verify(&home, "other.pub", &image), 12, "no-acceptable-signature");
    assert_eq!(between.take().len(), 206);
}

/// The list is believed about the order and about nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_found_whatever_it_is_listed_as() {
    let home = home();
    for (listed, requests) in [
        (Listed::Evidence, 6),
        // One that the list says nothing of beside it, and the junk that is listed as evidence before.
        (Listed::Anything, 6 + 3),
        (Listed::SomethingElse, 6 + 3 + 5),
    ] {
        let registry = Registry::start().await;
        let built = Built::image("linux/amd64", &[], |_| ());
        registry.push(&built, "1").await;
        for number in 0..5 {
            junk(&registry, built.descriptor(), NOTE, number).await;
        }
        let before = if listed == Listed::Evidence { 0 } else { 3 };
        for number in 5..5 + before {
            let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
            junk(&registry, built.descriptor(), kind, number).await;
        }
        hang(&registry, &home, &built, &SIGN, listed).await;
        let between = Between::before(registry.address(), |_| false).await;
        verify(&home, "cosign.pub", &between.image("app:1")).expect_success();
        assert_eq!(between.take().len(), requests, "{listed:?}");
        fails(
            &verify(&home, "other.pub", &between.image("app:1")),
            12,
            "no-acceptable-signature",
        );
    }
}

/// A registry that will not show the rest: a pass that was found stays one; without one nothing is decided.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_takes_no_pass_away_and_gives_no_no() {
    let home = home();
    for listed in [Listed::Evidence, Listed::Anything, Listed::SomethingElse] {
        let registry = Registry::start().await;
        let built = Built::image("linux/amd64", &[], |_| ());
        registry.push(&built, "1").await;
        let mut hidden = Vec::new();
        for (number, kind) in [
            (0, "application/vnd.dev.sigstore.bundle.v0.3+json"),
            (1, "application/vnd.oci.empty.v1+json"),
            (2, NOTE),
        ] {
            hidden.push(junk(&registry, built.descriptor(), kind, number).await.to_string());
        }
        let signature = hang(&registry, &home, &built, &SIGN, listed).await.to_string();
        let is_hidden = hidden.clone();
        let between = Between::before(registry.address(), move |line| {
            is_hidden.iter().any(|digest| line.contains(digest))
        })
        .await;
        let image = between.image("app:1");
        let passed = verify(&home, "cosign.pub", &image);
        assert!(
            passed.expect_success().stderr.contains("[throttled]"),
            "{listed:?}: {}",
            passed.stderr
        );
        let refused = verify(&home, "other.pub", &image);
        let refused = fails(&refused, 1, "evidence-incomplete");
        assert_eq!(refused.stderr.matches("[throttled]").count(), 3, "{}", refused.stderr);
        assert!(!refused.stderr.contains("not-read"), "{}", refused.stderr);

        // The signature itself is what is not shown.
        let between = Between::before(registry.address(), move |line| line.contains(&signature)).await;
        let refused = verify(&home, "cosign.pub", &between.image("app:1"));
        fails(&refused, 1, "evidence-incomplete");
    }
}

/// Attestations are the answer themselves, and all of them: one that is listed as something else is not left out because
/// another one was found first.
#[tokio::test(flavor = "multi_thread")]
async fn all_attestations_are_read() {
    let home = home();
    let registry = Registry::start().await;
    let built = Built::image("linux/amd64", &[], |_| ());
    registry.push(&built, "1").await;
    for (content, listed) in [(r#"{"a":1}"#, Listed::Evidence), (r#"{"a":2}"#, Listed::SomethingElse)] {
        let predicate = write(home.path(), "predicate.json", content);
        let attest = [
            "attest",
            "--key",
            "cosign.key",
            "--tlog-upload=false",
            "--predicate",
            &predicate,
        ];
        hang(&registry, &home, &built, &attest, listed).await;
    }
    let image = registry.image("app:1");
    let ask = [
        "verify-attestation",
        "--key",
        "cosign.pub",
        "--insecure-ignore-tlog",
        &image,
    ];
    let found = json(&home, ask);
    let attestations = found[0]["attestations"].as_array().map(Vec::len);
    assert_eq!(attestations, Some(2), "{found}");
    assert_eq!(found[0]["notRead"], Value::Array(Vec::new()));
}
