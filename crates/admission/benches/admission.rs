//! How many reviews a second, how fast, in how much memory.
//!
//! `cargo bench -p proofmark-admission` prints a table. The webhook runs in a process of its own (this binary again,
//! with `PROOFMARK_BENCH_SERVE` set), so that its memory is its own; registry and load are in the parent, which takes
//! part of the processor: on two cores the figures are lower bounds.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::io::BufRead;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proofmark_admission::Server;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/world.rs"]
mod world;

use world::{Wire, World};

const CONNECTIONS: usize = 32;
const PACED_RATE: u32 = 500;
/// How long each measurement lasts, in seconds, unless `PROOFMARK_BENCH_SECONDS` says otherwise.
const SECONDS: u64 = 8;
const COLD_IMAGES: usize = 120;
const COLD_AT_ONCE: usize = 4;
const LATENCY: Duration = Duration::from_millis(50);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match std::env::var("PROOFMARK_BENCH_SERVE") {
        Ok(folder) => runtime.block_on(serve(folder.into())),
        Err(_) => runtime.block_on(measure()),
    }
}

fn lasts() -> Duration {
    let named = std::env::var("PROOFMARK_BENCH_SECONDS").ok();
    Duration::from_secs(named.map_or(SECONDS, |seconds| seconds.parse().unwrap()))
}

/// The child: a webhook over what the parent prepared.
async fn serve(folder: std::path::PathBuf) {
    let tls = proofmark_admission::TlsConfig::new(folder.join("tls"), vec!["127.0.0.1".into()]);
    let client = proofmark_registry::Client::builder().build().unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = proofmark_admission::Config::new(listen, tls, folder.join("policies"), client);
    let server = Server::start(config).await.unwrap();
    println!("{}", server.address());
    std::future::pending::<()>().await;
}

struct Webhook {
    child: Child,
    address: SocketAddr,
    connector: TlsConnector,
}

impl Webhook {
    fn start(world: &World) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("PROOFMARK_BENCH_SERVE", world.folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let bundle = std::fs::read(world.folder.path().join("tls/ca.crt")).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&bundle).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            child,
            address: line.trim().parse().unwrap(),
            connector: TlsConnector::from(Arc::new(tls)),
        }
    }

    async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        Connection(self.connector.connect(name, stream).await.unwrap())
    }

    /// Resident memory now and at its highest, in MB.
    fn memory(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Processor seconds used so far.
    fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split_whitespace().collect();
        // Linux counts in hundredths of a second whatever the kernel's own tick is.
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// HTTP/1.1 by hand: the load must cost less than what it measures.
struct Connection(TlsStream<TcpStream>);

impl Connection {
    async fn allowed(&mut self, request: &[u8]) -> bool {
        self.0.write_all(request).await.unwrap();
        let mut answer = Vec::with_capacity(1024);
        loop {
            let read = self.0.read_buf(&mut answer).await.unwrap();
            assert!(read > 0, "the webhook hung up");
            let text = std::str::from_utf8(&answer).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return body.contains("\"allowed\":true");
            }
        }
    }
}

/// A Pod as kube-apiserver sends it, with another image.
fn request(image: &str) -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/admission-reviews/pod-create-one-container.json"
    );
    let review = std::fs::read_to_string(path)
        .unwrap()
        .replace("registry.alpha.test/payments/api:1.4.2", image);
    assert!(review.contains(image));
    format!(
        "POST /validate?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{review}",
        review.len()
    )
    .into_bytes()
}

async fn measure() {
    let world = World::new().await;
    world.write_policies(&[world.policy("signed", "")]);
    let (image, digest) = world.signed("app").await;
    let held = Arc::new(request(&format!("{image}@{digest}")));
    let by_tag = Arc::new(request(&image));
    println!(
        "review of {} bytes, one signature by key, {CONNECTIONS} connections",
        held.len()
    );
    {
        let webhook = Arc::new(Webhook::start(&world));
        assert!(webhook.connect().await.allowed(&held).await);
        println!("| what | figure |\n|---|---|");
        throughput("held, by digest", &webhook, &held).await;
        throughput("held, by tag (tag resolved every 3 s)", &webhook, &by_tag).await;
        paced(&webhook, &held).await;
        let (now, peak) = webhook.memory();
        println!("| resident memory after all of it | {now:.1} MB, at most {peak:.1} MB |");
    }
    cold(&world).await;
}

async fn throughput(what: &str, webhook: &Arc<Webhook>, request: &Arc<Vec<u8>>) {
    let (count, started, before) = (Arc::new(AtomicUsize::new(0)), Instant::now(), webhook.processor());
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (webhook, request, count) = (webhook.clone(), request.clone(), count.clone());
        load.spawn(async move {
            let mut connection = webhook.connect().await;
            while started.elapsed() < lasts() {
                assert!(connection.allowed(&request).await);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    load.join_all().await;
    let reviews = count.load(Ordering::Relaxed) as f64;
    let rate = reviews / started.elapsed().as_secs_f64();
    let processor = (webhook.processor() - before) * 1e6 / reviews;
    println!("| {what} | {rate:.0} reviews/s, {processor:.0} µs of processor each |");
}

/// Reviews at fixed times, whether or not the ones before were answered; latency counts from when each was due.
async fn paced(webhook: &Arc<Webhook>, request: &Arc<Vec<u8>>) {
    let start = Instant::now() + Duration::from_millis(500);
    let mut load = tokio::task::JoinSet::new();
    for lane in 0..CONNECTIONS {
        let (webhook, request) = (webhook.clone(), request.clone());
        load.spawn(async move {
            let mut connection = webhook.connect().await;
            let mut latencies = Vec::new();
            let mut number = lane;
            loop {
                let due = Duration::from_secs(1) / PACED_RATE * u32::try_from(number).unwrap();
                if due > lasts() {
                    return latencies;
                }
                tokio::time::sleep_until((start + due).into()).await;
                assert!(connection.allowed(&request).await);
                latencies.push((start + due).elapsed());
                number += CONNECTIONS;
            }
        });
    }
    let latencies = load.join_all().await.into_iter().flatten().collect();
    println!("| held, {PACED_RATE}/s | {} |", percentiles(latencies));
}

/// Images that were never seen, over a wire with latency.
async fn cold(world: &World) {
    let mut requests = Vec::new();
    for number in 0..COLD_IMAGES {
        requests.push(request(&world.signed(&format!("cold/{number}")).await.0));
    }
    world.wire.send(Wire::Slow(LATENCY)).unwrap();
    let webhook = Arc::new(Webhook::start(world));
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..COLD_AT_ONCE {
        let (webhook, requests, next) = (webhook.clone(), requests.clone(), next.clone());
        load.spawn(async move {
            let mut connection = webhook.connect().await;
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(number) else {
                    return latencies;
                };
                let sent = Instant::now();
                assert!(connection.allowed(request).await);
                latencies.push(sent.elapsed());
            }
        });
    }
    let latencies = load.join_all().await.into_iter().flatten().collect();
    let (_, peak) = webhook.memory();
    println!(
        "| cold, by tag, registry {} ms away, {COLD_AT_ONCE} at a time, {COLD_IMAGES} images | {}, at most {peak:.1} MB |",
        LATENCY.as_millis(),
        percentiles(latencies)
    );
}

fn percentiles(mut latencies: Vec<Duration>) -> String {
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    format!(
        "p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    )
}
