//! A real kube-apiserver with its etcd on loopback: no kubelet, no controllers, no scheduler. What is stored stays as it
//! was stored, which is what admission is about. Built from `interop/kube-apiserver`.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{ETCD, KUBE_APISERVER};

/// The token of someone who may do everything.
const ADMIN_TOKEN: &str = "the-token-of-an-administrator";

/// It is ready in three seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// Free ports are found by asking for one and giving it back; now and then somebody else gets it.
const ATTEMPTS: usize = 3;

/// A running API server; dropping it ends it, and so does the end of this process.
pub struct KubeApiServer {
    address: SocketAddr,
    authority: String,
    folder: TempDir,
    programs: Programs,
    /// In the order in which they have to end: an API server without etcd waits for it.
    running: Vec<Running>,
}

#[derive(Clone)]
struct Programs {
    etcd: PathBuf,
    server: PathBuf,
}

impl KubeApiServer {
    /// Starts one, or says `SKIPPED` (see [`super::Peer::or_skip`]).
    ///
    /// # Panics
    ///
    /// If it is there and does not start.
    pub async fn start_or_skip() -> Option<Self> {
        let programs = Programs {
            etcd: ETCD.or_skip()?,
            server: KUBE_APISERVER.or_skip()?,
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = write_credentials(folder.path());
        let mut server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            authority,
            folder,
            programs,
            running: Vec::new(),
        };
        server.run().await;
        Some(server)
    }

    /// Ends both programs and starts them again over the same data, perhaps at another address.
    ///
    /// # Panics
    ///
    /// If they do not start.
    pub async fn restart(&mut self) {
        self.stop();
        self.run().await;
    }

    /// Ends both programs; what was stored stays.
    pub fn stop(&mut self) {
        self.running.drain(..).for_each(drop);
    }

    /// Where it listens, with TLS.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A kubeconfig of someone who may do everything.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of("administrator", ADMIN_TOKEN)
    }

    /// A kubeconfig of whoever has `token`.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    #[must_use]
    pub fn kubeconfig_of(&self, name: &str, token: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{name}.kubeconfig"));
        let server = format!("https://{}", self.address);
        crate::kubernetes::write_kubeconfig(&path, &server, token, &self.authority);
        path
    }

    async fn run(&mut self) {
        for attempt in 1..=ATTEMPTS {
            let (client, peer, secure) = (free_port(), free_port(), free_port());
            let data = self.folder.path();
            let etcd = etcd(&self.programs.etcd, data, client, peer);
            let server = api_server(&self.programs.server, data, client, secure);
            self.address = SocketAddr::from(([127, 0, 0, 1], secure));
            self.running = vec![server, etcd];
            match self.until_ready().await {
                Ok(()) => return,
                Err(reason) => {
                    let logs = self.logs();
                    self.stop();
                    assert!(attempt < ATTEMPTS, "kube-apiserver does not start: {reason}\n{logs}");
                }
            }
        }
    }

    async fn until_ready(&mut self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            for program in &mut self.running {
                if let Ok(Some(status)) = program.process.try_wait() {
                    return Err(format!("a program ended with {status}"));
                }
            }
            let seen = match self.ask("/readyz").await {
                Ok(answer) if answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200") => return Ok(()),
                Ok(answer) => answer,
                Err(error) => error.to_string(),
            };
            if started.elapsed() > PATIENCE {
                return Err(format!("not ready within {PATIENCE:?}: {seen}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask(&self, path: &str) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        let pem = self.authority.as_bytes();
        for certificate in tokio_rustls::rustls::pki_types::pem::PemObject::pem_slice_iter(pem) {
            let certificate: CertificateDer<'static> = certificate.expect("our own certificate");
            roots.add(certificate).expect("our own certificate");
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::from(self.address.ip());
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let request = format!("GET {path} HTTP/1.0\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // Some servers close without saying so on the level of TLS.
        let _ = stream.read_to_end(&mut answer).await;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn logs(&self) -> String {
        let tail = |name: &str| {
            let mut text = String::new();
            if let Ok(mut file) = fs::File::open(self.folder.path().join(name)) {
                let _ = file.read_to_string(&mut text);
            }
            let lines: Vec<&str> = text.lines().rev().take(15).collect();
            lines.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        format!("{}\n{}", tail("etcd.log"), tail("kube-apiserver.log"))
    }
}

/// A program whose life hangs on a pipe: when this process ends, in whatever way, the shell reads the end of its input and
/// ends the program. Tests that share a server have nobody who drops it.
struct Running {
    process: Child,
}

impl Running {
    fn start(program: &Path, arguments: &[String], log: &Path) -> Self {
        // A background program of a shell has no input of its own, so the pipe is passed on as another file.
        const WATCH: &str = r#"exec 3<&0
"$@" </dev/null 3<&- & pid=$!
(read _ <&3; kill -9 $pid) & watcher=$!
wait $pid; code=$?
kill $watcher; exit $code"#;
        let log = fs::File::create(log).expect("a writable folder");
        let process = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("a shell");
        Self { process }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn etcd(program: &Path, data: &Path, client: u16, peer: u16) -> Running {
    let arguments = [
        format!("--data-dir={}", data.join("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{client}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        // What is written here is not missed by anybody.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    Running::start(program, &arguments, &data.join("etcd.log"))
}

fn api_server(program: &Path, data: &Path, etcd: u16, secure: u16) -> Running {
    let file = |name: &str| data.join(name).display().to_string();
    let arguments = [
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={secure}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        format!("--cert-dir={}", file("generated")),
        format!("--tls-cert-file={}", file("server.pem")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
        "--enable-priority-and-fairness=false".to_owned(),
        "--v=1".to_owned(),
    ];
    Running::start(program, &arguments, &data.join("kube-apiserver.log"))
}

/// Keys, certificates and tokens; the authority's certificate in PEM.
fn write_credentials(folder: &Path) -> String {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a writable folder");
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let certificate = authority.self_signed(&authority_key).expect("an authority").pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
    let server = CertificateParams::new(names).expect("names");
    let server = server.signed_by(&key, &issuer).expect("a certificate");
    write("server.pem", &server.pem());
    write("server.key", &key.serialize_pem());
    let accounts = KeyPair::generate().expect("a key");
    write("accounts.key", &accounts.serialize_pem());
    write("accounts.pub", &accounts.public_key_pem());
    write(
        "tokens.csv",
        &format!("{ADMIN_TOKEN},administrator,administrator,\"system:masters\"\n"),
    );
    certificate
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("a bound listener").port()
}
