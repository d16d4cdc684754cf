//! A webhook in a process of its own, and connections to it that cost less than what they measure.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use proofmark_admission::Server;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::World;

/// Set in the environment of the child: the folder that the parent prepared.
pub(crate) const SERVE: &str = "PROOFMARK_BENCH_SERVE";

/// The child: a webhook over what the parent prepared.
pub(crate) async fn serve(folder: PathBuf) {
    let tls = proofmark_admission::TlsConfig::new(folder.join("tls"), vec!["127.0.0.1".into()]);
    let client = proofmark_registry::Client::builder().build().unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = proofmark_admission::Config::new(listen, tls, folder.join("policies"), client);
    let server = Server::start(config).await.unwrap();
    println!("{}", server.address());
    std::future::pending::<()>().await;
}

pub(crate) struct Webhook {
    child: Child,
    address: SocketAddr,
    connector: TlsConnector,
}

impl Webhook {
    pub(crate) fn start(world: &World) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(SERVE, world.folder.path())
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

    pub(crate) async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        Connection(self.connector.connect(name, stream).await.unwrap())
    }

    /// Resident memory now and at its highest, in MB.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0 / 1e6
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Processor seconds used so far.
    pub(crate) fn processor(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split_whitespace().collect();
        // Linux counts in hundredths of a second whatever the kernel's own tick is.
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }

    /// Requests that it sent to registries so far, by its own metric.
    pub(crate) async fn registry_requests(&self) -> f64 {
        let metrics = self
            .connect()
            .await
            .call(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        metrics
            .lines()
            .filter(|line| line.starts_with("proofmark_admission_registry_requests_total{"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// HTTP/1.1 by hand: the load must cost less than what it measures.
pub(crate) struct Connection(TlsStream<TcpStream>);

impl Connection {
    /// The body of the answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> String {
        self.0.write_all(request).await.unwrap();
        let mut answer = Vec::with_capacity(2048);
        loop {
            let read = self.0.read_buf(&mut answer).await.unwrap();
            assert!(read > 0, "the webhook hung up");
            let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&answer[..end]).unwrap();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if answer.len() - end - 4 == length.parse::<usize>().unwrap() {
                return String::from_utf8(answer.split_off(end + 4)).unwrap();
            }
        }
    }

    pub(crate) async fn allowed(&mut self, request: &[u8]) -> bool {
        self.call(request).await.contains("\"allowed\":true")
    }
}

/// A Pod as kube-apiserver sends it, with another image, and the time that it gives.
pub(crate) fn request(image: &str, timeout: u32) -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/admission-reviews/pod-create-one-container.json"
    );
    let review = std::fs::read_to_string(path)
        .unwrap()
        .replace("registry.alpha.test/payments/api:1.4.2", image);
    assert!(review.contains(image));
    format!(
        "POST /validate?timeout={timeout}s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{review}",
        review.len()
    )
    .into_bytes()
}
