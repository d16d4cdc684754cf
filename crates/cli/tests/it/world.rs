//! Servers in this process, and the binary under test run against them in a clean environment.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::Built;
use proofmark_testkit::manifest::fixture;
use proofmark_trust_server::{CiClaims, DevIssuer, InitOptions};
use proofmark_types::UnixTime;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

/// The binary under test.
pub(crate) const PROOFMARK: &str = env!("CARGO_BIN_EXE_proofmark");

/// What the certificate of [`Trust::token`] says.
pub(crate) const WORKFLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main";

pub(crate) const PASSWORD: &str = "a password";

/// A Debian image of 107 MB takes a debug build half a minute on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// A home with a key pair `cosign.key` and `cosign.pub`, and a stranger's `other.pub`.
pub(crate) fn home() -> Sandbox {
    let home = Sandbox::new().with("COSIGN_PASSWORD", PASSWORD).with_patience(PATIENCE);
    run(&home, ["key", "generate"]).expect_success();
    run(&home, ["key", "generate", "--output-key-prefix", "other"]).expect_success();
    home
}

/// Runs the binary to its end.
pub(crate) fn run<'a>(home: &Sandbox, arguments: impl IntoIterator<Item = &'a str>) -> Outcome {
    home.run(PROOFMARK, arguments)
}

/// The result in JSON of a run with `-o json` that ends well.
pub(crate) fn json<'a>(home: &Sandbox, arguments: impl IntoIterator<Item = &'a str>) -> Value {
    let outcome = home.run(PROOFMARK, ["-o", "json"].into_iter().chain(arguments));
    serde_json::from_str(&outcome.expect_success().stdout).expect("one JSON document on standard output")
}

/// Goes on only if the command failed with this exit code and this stable word, said on standard error and nowhere else.
pub(crate) fn fails<'o>(outcome: &'o Outcome, exit: i32, code: &str) -> &'o Outcome {
    outcome.expect_code(exit);
    let said = outcome.stderr.lines().find(|line| line.starts_with("error: "));
    assert!(
        said.is_some_and(|line| line.ends_with(&format!("[{code}]"))),
        "expected [{code}] in\n{}",
        outcome.stderr
    );
    assert_eq!(outcome.stdout, "", "a failure says nothing on standard output");
    outcome
}

/// Our registry, on a free port.
pub(crate) struct Registry {
    folder: TempDir,
    server: proofmark_registry_server::Server,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut proofmark_registry_server::Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config = proofmark_registry_server::Config::new(folder.path().join("registry"), listen);
        change(&mut config);
        Self {
            server: proofmark_registry_server::Server::start(config).await.unwrap(),
            folder,
        }
    }

    /// Where its content lies.
    pub(crate) fn blob(&self, digest: &str) -> std::path::PathBuf {
        let (algorithm, hex) = digest.split_once(':').unwrap();
        let blobs = self.folder.path().join("registry/blobs");
        blobs.join(algorithm).join(&hex[..2]).join(hex)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The full name of what is called `name` here.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// Pushes an image as `app:TAG` and names it.
    pub(crate) async fn push(&self, image: &Built, tag: &str) -> String {
        image.push(self.address(), "app", tag).await;
        self.image(&format!("app:{tag}"))
    }
}

/// Authority, log and timestamps, with the issuer that vouches for anyone.
pub(crate) struct Trust {
    folder: TempDir,
    issuer: DevIssuer,
    server: proofmark_trust_server::Server,
}

impl Trust {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("trust");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = InitOptions {
            origin: Url::parse(&format!("http://{address}")).unwrap(),
            operator: "acme".to_owned(),
            issuers: Vec::new(),
            dev_issuer: true,
            now: now(),
        };
        proofmark_trust_server::init(&home, &options).unwrap();
        let config = proofmark_trust_server::Config::new(&home, address);
        Self {
            issuer: DevIssuer::open(&home).unwrap(),
            server: proofmark_trust_server::Server::start_on(config, listener)
                .await
                .unwrap(),
            folder,
        }
    }

    /// The same folder, served anew at the same address.
    pub(crate) async fn restart(self) -> Self {
        let address = self.server.address();
        self.server.stop().await;
        let config = proofmark_trust_server::Config::new(self.folder.path().join("trust"), address);
        Self {
            server: proofmark_trust_server::Server::start(config).await.unwrap(),
            ..self
        }
    }

    /// The path of one of its documents.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join("trust").join(name).display().to_string()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn issuer(&self) -> String {
        self.issuer.ci_issuer()
    }

    /// A token as the release workflow has it.
    pub(crate) fn token(&self) -> String {
        ci_token(&self.issuer)
    }

    /// A token that says exactly this.
    pub(crate) fn token_of(&self, claims: Value) -> String {
        let claims: Map<String, Value> = serde_json::from_value(claims).unwrap();
        self.issuer.mint(&claims, now()).unwrap()
    }

    /// The flags to sign with.
    pub(crate) fn signing(&self) -> Vec<String> {
        [
            ("--signing-config", self.file("signing_config.json")),
            ("--trusted-root", self.file("trusted_root.json")),
            ("--identity-token", self.token()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    /// The flags to verify what [`Trust::signing`] signed.
    pub(crate) fn verifying(&self) -> Vec<String> {
        [
            ("--trusted-root", self.file("trusted_root.json")),
            ("--certificate-identity", WORKFLOW.to_owned()),
            ("--certificate-oidc-issuer", self.issuer()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }
}

/// A token as a GitHub job of `acme/app` has it.
pub(crate) fn ci_token(issuer: &DevIssuer) -> String {
    let claims = CiClaims {
        repository: "acme/app",
        workflow: ".github/workflows/release.yml",
        reference: "refs/heads/main",
        sha: "0123456789abcdef0123456789abcdef01234567",
        run_id: 7,
    };
    issuer.mint_ci(&claims, now()).unwrap()
}

/// Flags of both kinds in one list.
pub(crate) fn flags<'a>(fixed: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    fixed.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

pub(crate) fn now() -> UnixTime {
    UnixTime::from_system(SystemTime::now())
}

/// A file of the fixtures as text, for a command line.
pub(crate) fn fixture_path(path: &str) -> String {
    fixture(path).display().to_string()
}

pub(crate) fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// A port that nothing listens on.
pub(crate) fn closed_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
