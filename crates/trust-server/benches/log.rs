//! How many durable entries the log takes a second, and how long one takes.
//!
//! `cargo bench -p proofmark-trust-server --bench log [-- SECONDS]`: the server runs as a process of its own with its
//! log in a temporary folder on disk; the clients share the machine with it, and make their signatures beforehand.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and may fail"
)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_trust_server::{Config, InitOptions, Server, init};
use proofmark_types::{Digest, UnixTime};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FOLDER: &str = "PROOFMARK_BENCH_TRUST_FOLDER";
const CLIENTS: usize = 64;
/// What a CI provider's extensions, an SCT and a chain's names add to a certificate: entries are as long as real ones.
const EXTENSION_BYTES: usize = 1100;

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(folder) = std::env::var(FOLDER) {
        let listen = std::env::var("PROOFMARK_BENCH_TRUST_LISTEN").unwrap().parse().unwrap();
        runtime.block_on(async {
            let _server = Server::start(Config::new(folder, listen)).await.unwrap();
            std::future::pending::<()>().await;
        });
    }
    let seconds = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next()
        .unwrap_or(5);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("trust");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    let options = InitOptions {
        origin: format!("http://{address}").parse().unwrap(),
        operator: "bench".to_owned(),
        issuers: Vec::new(),
        dev_issuer: false,
        now: UnixTime::from_system(SystemTime::now()),
    };
    init(&directory, &options).unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .env(FOLDER, &directory)
        .env("PROOFMARK_BENCH_TRUST_LISTEN", &address)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while std::net::TcpStream::connect(&address).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!(
        "load average {}",
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    let idle = Requests::make(400);
    report(
        "idle, 1 client",
        &runtime.block_on(run(&address, 1, idle.0, Duration::from_secs(60))),
        &server,
    );
    let busy = Requests::make(usize::try_from(seconds).unwrap() * 16_000);
    let taken = runtime.block_on(run(&address, CLIENTS, busy.0, Duration::from_secs(seconds)));
    report(&format!("{CLIENTS} clients"), &taken, &server);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Requests ready to be sent, each a whole HTTP message.
struct Requests(Vec<Vec<u8>>);

impl Requests {
    fn make(count: usize) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der()).unwrap();
        let mut certificate = rcgen::CertificateParams::default();
        let extension =
            rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 99], vec![0; EXTENSION_BYTES]);
        certificate.custom_extensions = vec![extension];
        let certificate = STANDARD.encode(certificate.self_signed(&key).unwrap().der());
        let random = SystemRandom::new();
        let request = |number: usize| {
            let message = number.to_be_bytes();
            let body = json!({"hashedRekordRequestV002": {
                "digest": STANDARD.encode(Digest::sha256_of(&message).as_bytes()),
                "signature": {
                    "content": STANDARD.encode(pair.sign(&random, &message).unwrap()),
                    "verifier": {"x509Certificate": {"rawBytes": certificate}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"},
                },
            }});
            let body = body.to_string();
            let length = body.len();
            format!("POST /api/v2/log/entries HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
                .into_bytes()
        };
        Self((0..count).map(request).collect())
    }
}

struct Taken {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

/// Every client sends its share, one request after the other, until they are used up or the time is.
async fn run(address: &str, clients: usize, requests: Vec<Vec<u8>>, limit: Duration) -> Taken {
    let began = Instant::now();
    let mut tasks = Vec::new();
    let share = requests.len().div_ceil(clients);
    for chunk in requests.chunks(share) {
        let (chunk, address) = (chunk.to_vec(), address.to_owned());
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut latencies = Vec::new();
            for request in chunk {
                if began.elapsed() > limit {
                    break;
                }
                let sent = Instant::now();
                stream.write_all(&request).await.unwrap();
                read_created(&mut stream).await;
                latencies.push(sent.elapsed());
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let elapsed = began.elapsed();
    latencies.sort();
    Taken { latencies, elapsed }
}

async fn read_created(stream: &mut TcpStream) {
    let mut buffer = Vec::with_capacity(8192);
    loop {
        assert!(
            stream.read_buf(&mut buffer).await.unwrap() > 0,
            "the server closed the connection"
        );
        let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            continue;
        };
        let head = str::from_utf8(&buffer[..end]).unwrap();
        assert!(head.starts_with("HTTP/1.1 201"), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        if buffer.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}

fn report(name: &str, taken: &Taken, server: &Child) {
    let count = taken.latencies.len();
    let at = |share: f64| taken.latencies[((count - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let rate = count as f64 / taken.elapsed.as_secs_f64();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    let memory = |field: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0) / 1024.0
    };
    println!(
        "{name}: {count} entries, {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, RSS {:.1} MB (peak {:.1})",
        at(0.5),
        at(0.99),
        at(1.0),
        memory("VmRSS:"),
        memory("VmHWM:"),
    );
}
