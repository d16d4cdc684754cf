//! Whole processes beside cosign 3 on the same image and registry, in turn: `verify` with 1, 10 and 100 bundles by key and
//! keyless, one good signature among 200 referrers of others, `sign` and `attest`.
//!
//! `cargo bench -p proofmark [-- RUNS]` prints a table. Registry and trust services run in this process, on the same
//! cores. Processor time is in ticks of 10 ms, so that only its mean over many runs says something.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and may fail; it uses part of the tests' world"
)]

#[path = "../tests/it/world.rs"]
mod world;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proofmark_oci::{Descriptor, ImageManifest, Manifest};
use proofmark_testkit::command::Sandbox;
use proofmark_testkit::images::{Built, debian_like};
use proofmark_testkit::peers::COSIGN3;
use proofmark_types::MediaType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use world::{PROOFMARK, Registry, Trust, WORKFLOW, flags, home};

const BUNDLES: [usize; 3] = [1, 10, 100];
const JUNK: usize = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let runs = std::env::args()
        .filter_map(|word| word.parse().ok())
        .next()
        .unwrap_or(20);
    let cosign = COSIGN3.find().map(|path| path.display().to_string());
    if cosign.is_none() {
        println!("cosign 3 not found (PROOFMARK_COSIGN3): measured without a peer");
    }
    println!(
        "load average {}",
        fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    println!(
        "| command | who | wall, median | wall, p95 | processor, mean | peak memory | requests |\n|---|---|---|---|---|---|---|"
    );
    let bench = Bench {
        home: home(),
        runs,
        cosign,
    };
    let registry = Registry::start().await;
    let trust = Trust::start().await;
    for count in BUNDLES {
        bench.by_key(&registry, count).await;
    }
    for count in BUNDLES {
        bench.keyless(&registry, &trust, count).await;
    }
    bench.junk(&registry).await;
    bench.signing(&registry).await;
}

struct Bench {
    home: Sandbox,
    runs: usize,
    cosign: Option<String>,
}

impl Bench {
    async fn by_key(&self, registry: &Registry, count: usize) {
        let image = registry
            .push(&debian_like_numbered(count), &format!("key-{count}"))
            .await;
        for _ in 0..count {
            self.ok(&["sign", "--key", "cosign.key", "--tlog-upload=false", &image]);
        }
        let check = |image: &str| words(&["verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", image]);
        self.both(&format!("verify, key, {count} bundles"), &image, check).await;
    }

    async fn keyless(&self, registry: &Registry, trust: &Trust, count: usize) {
        let image = registry
            .push(&debian_like_numbered(1000 + count), &format!("keyless-{count}"))
            .await;
        for _ in 0..count {
            let signing = trust.signing();
            self.ok(&flags(&["sign", "-y", &image], &signing));
        }
        let (root, issuer) = (trust.file("trusted_root.json"), trust.issuer());
        let check = |image: &str| {
            words(&[
                "verify",
                "--trusted-root",
                &root,
                "--certificate-identity",
                WORKFLOW,
                "--certificate-oidc-issuer",
                &issuer,
                "--use-signed-timestamps",
                image,
            ])
        };
        self.both(&format!("verify, keyless, {count} bundles"), &image, check)
            .await;
    }

    async fn junk(&self, registry: &Registry) {
        let built = debian_like_numbered(2000);
        let image = registry.push(&built, "junk").await;
        for number in 0..JUNK {
            let junk = referrer(built.descriptor(), number);
            junk.push(registry.address(), "app", &format!("junk-{number}")).await;
        }
        self.ok(&["sign", "--key", "cosign.key", "--tlog-upload=false", &image]);
        let check = |image: &str| words(&["verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", image]);
        self.both(&format!("verify, key, 1 bundle among {JUNK} referrers"), &image, check)
            .await;
    }

    async fn signing(&self, registry: &Registry) {
        let predicate = world::write(self.home.path(), "predicate.json", br#"{"built":"here"}"#);
        let image = registry.push(&debian_like_numbered(3000), "signing").await;
        let sign = |image: &str| words(&["sign", "--key", "cosign.key", "--tlog-upload=false", "-y", image]);
        self.both("sign, key", &image, sign).await;
        let image = registry.push(&debian_like_numbered(3001), "attesting").await;
        let attest = |image: &str| {
            words(&[
                "attest",
                "--key",
                "cosign.key",
                "--tlog-upload=false",
                "-y",
                "--predicate",
                &predicate,
                image,
            ])
        };
        self.both("attest, key", &image, attest).await;
    }

    fn ok(&self, arguments: &[&str]) {
        self.home.run(PROOFMARK, arguments).expect_success();
    }

    /// Both programs in turn, the peer with the flags that it needs for the same work.
    async fn both(&self, what: &str, image: &str, arguments: impl Fn(&str) -> Vec<String>) {
        let mut ours = Figures::default();
        let mut theirs = Figures::default();
        let peer = |image: &str| {
            let mut arguments = arguments(image);
            arguments.push("--allow-http-registry".to_owned());
            if arguments.iter().any(|word| word == "--tlog-upload=false") {
                arguments.extend(words(&["--use-signing-config=false", "--new-bundle-format=true"]));
            }
            arguments
        };
        for _ in 0..self.runs {
            ours.add(self.timed(PROOFMARK, &arguments(image)));
            if let Some(cosign) = &self.cosign {
                theirs.add(self.timed(cosign, &peer(image)));
            }
        }
        let counted = Counter::before(image).await;
        ours.memory = self.memory(PROOFMARK, &arguments(&counted.image));
        ours.requests = counted.take();
        ours.print(what, "proofmark");
        if let Some(cosign) = &self.cosign {
            theirs.memory = self.memory(cosign, &peer(&counted.image));
            theirs.requests = counted.take();
            theirs.print(what, "cosign");
        }
    }

    fn timed(&self, program: &str, arguments: &[String]) -> (Duration, u64) {
        let (before, began) = (children_ticks(), Instant::now());
        let mut command = self.home.command(program);
        let status = command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let wall = began.elapsed();
        assert!(status.success(), "{program} {arguments:?}: {status}");
        (wall, children_ticks() - before)
    }

    /// Peak memory in KiB, of one run under GNU time; `None` without it.
    fn memory(&self, program: &str, arguments: &[String]) -> Option<u64> {
        let report = self.home.path().join("time.txt");
        let mut command = self.home.command("/usr/bin/time");
        if !Path::new("/usr/bin/time").exists() {
            let mut plain: Command = self.home.command(program);
            plain
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            return None;
        }
        command
            .args(["-f", "%M", "-o"])
            .arg(&report)
            .arg(program)
            .args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        fs::read_to_string(report).unwrap().lines().last()?.trim().parse().ok()
    }
}

#[derive(Default)]
struct Figures {
    walls: Vec<Duration>,
    ticks: u64,
    memory: Option<u64>,
    requests: u64,
}

impl Figures {
    fn add(&mut self, (wall, ticks): (Duration, u64)) {
        self.walls.push(wall);
        self.ticks += ticks;
    }

    fn print(mut self, what: &str, who: &str) {
        self.walls.sort();
        let at = |percent: usize| self.walls[(self.walls.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
        let processor = self.ticks * 10 / u64::try_from(self.walls.len()).unwrap();
        let memory = self
            .memory
            .map_or_else(|| "?".to_owned(), |kib| format!("{} MiB", kib / 1024));
        println!(
            "| {what} | {who} | {:.1} ms | {:.1} ms | {processor} ms | {memory} | {} |",
            at(50),
            at(95),
            self.requests
        );
    }
}

/// What children of this process have used so far, in clock ticks: fields 16 and 17 of proc_pid_stat(5).
fn children_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap()
}

/// A proxy that counts requests on their way to the registry.
struct Counter {
    image: String,
    seen: Arc<AtomicU64>,
}

impl Counter {
    async fn before(image: &str) -> Self {
        let (registry, rest) = image.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicU64::new(0));
        let (registry, counter) = (registry.to_owned(), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&registry).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                        let lines = buffer[..read]
                            .windows(11)
                            .filter(|window| *window == b" HTTP/1.1\r\n")
                            .count();
                        counter.fetch_add(u64::try_from(lines).unwrap(), Ordering::Relaxed);
                        if to_server.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self {
            image: format!("{address}/{rest}"),
            seen,
        }
    }

    fn take(&self) -> u64 {
        self.seen.swap(0, Ordering::Relaxed)
    }
}

/// An image that differs from the others, so that what hangs on them does too.
fn debian_like_numbered(number: usize) -> Built {
    let manifest = manifest();
    Built::artifact(&numbered(manifest, number), debian_like().blobs().to_vec())
}

fn manifest() -> ImageManifest {
    match Manifest::parse(None, debian_like().manifest()).unwrap() {
        Manifest::Image(manifest) => manifest,
        Manifest::Index(_) => panic!("one image"),
    }
}

fn numbered(mut manifest: ImageManifest, number: usize) -> ImageManifest {
    manifest.annotations.insert("number".to_owned(), number.to_string());
    manifest
}

/// Something else that hangs on an image.
fn referrer(subject: &Descriptor, number: usize) -> Built {
    let mut manifest = manifest();
    manifest.subject = Some(Descriptor {
        platform: None,
        ..subject.clone()
    });
    manifest.artifact_type = Some(MediaType::parse("application/vnd.example.note.v1").unwrap());
    Built::artifact(&numbered(manifest, number), debian_like().blobs().to_vec())
}

fn words(fixed: &[&str]) -> Vec<String> {
    fixed.iter().map(|word| (*word).to_owned()).collect()
}
