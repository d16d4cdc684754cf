//! A trust server on loopback, in a folder of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use proofmark_sign::token::IdentityToken;
use proofmark_sign::{KeylessSession, Options, Password, SignError, SigningKey};
use proofmark_trust_root::{SigningConfig, load_signing_config, load_trust_root};
use proofmark_trust_server::{CiClaims, Config, DevIssuer, InitOptions, Server, init};
use proofmark_types::{Digest, UnixTime};
use proofmark_verify::{KeyAlgorithm, TrustRoot};
use reqwest::Url;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) const WORKFLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main";
pub(crate) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) issuer: DevIssuer,
    pub(crate) trust_root: Arc<TrustRoot>,
    pub(crate) config: SigningConfig,
    _server: Server,
}

impl World {
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
        init(&home, &options).unwrap();
        let server = Server::start_on(Config::new(&home, address), listener).await.unwrap();
        Self {
            issuer: DevIssuer::open(&home).unwrap(),
            trust_root: Arc::new(load_trust_root(&home.join("trusted_root.json")).unwrap()),
            config: load_signing_config(&home.join("signing_config.json")).unwrap(),
            folder,
            _server: server,
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            trust_root: Some(Arc::clone(&self.trust_root)),
            ..Options::default()
        }
    }

    pub(crate) fn ci_token(&self) -> IdentityToken {
        let claims = CiClaims {
            repository: "acme/app",
            workflow: ".github/workflows/release.yml",
            reference: "refs/heads/main",
            sha: SHA,
            run_id: 7,
        };
        IdentityToken::parse(&self.issuer.mint_ci(&claims, now()).unwrap()).unwrap()
    }

    pub(crate) async fn ci_session(&self) -> Result<KeylessSession, SignError> {
        KeylessSession::begin(&self.config, self.ci_token(), self.options()).await
    }
}

pub(crate) fn now() -> UnixTime {
    UnixTime::from_system(SystemTime::now())
}

pub(crate) fn image() -> Digest {
    Digest::sha256_of(b"an image")
}

/// A key of the fixtures, made by cosign; a new one of the kinds that are not among them.
pub(crate) fn fixture_key(name: &str) -> SigningKey {
    let made = match name {
        "p521" => Some(KeyAlgorithm::EcdsaP521),
        "rsa3072" => Some(KeyAlgorithm::Rsa3072),
        "rsa4096" => Some(KeyAlgorithm::Rsa4096),
        _ => None,
    };
    if let Some(algorithm) = made {
        return SigningKey::generate(algorithm).unwrap();
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/cosign/keys")
        .join(name);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let password = Password::new(read("password.txt").trim_end());
    SigningKey::from_pem(&read("cosign.key"), Some(&password)).unwrap()
}

/// The result of a future that waits for nothing, as signing with a key in memory does.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits for something"),
    }
}
