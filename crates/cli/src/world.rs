//! Registry, trust services and admission webhook in one process, on loopback: what `demo` and `up` start.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use proofmark_admission::TlsConfig;
use proofmark_registry::Client;
use proofmark_trust_root::SigningConfig;
use proofmark_trust_server::{DevIssuer, InitOptions};
use proofmark_types::RegistryHost;
use proofmark_verify::TrustRoot;
use serde::Deserialize;
use tokio::net::TcpListener;
use url::Url;

use crate::context::{Context, read_text, unwritable};
use crate::failure::{Exit, Failure, chain};

/// What is to be started. Port 0 takes a free one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) registry: u16,
    pub(crate) trust: u16,
    pub(crate) admission: u16,
}

/// The servers that run, and the folder that they keep everything in.
pub(crate) struct World {
    folder: PathBuf,
    registry: proofmark_registry_server::Server,
    trust: proofmark_trust_server::Server,
    admission: Option<proofmark_admission::Server>,
}

impl World {
    /// Starts registry and trust services; a folder without a trust domain gets one, with the development issuer.
    pub(crate) async fn start(folder: &Path, ports: Ports) -> Result<Self, Failure> {
        fs::create_dir_all(folder.join("policies")).map_err(|error| unwritable(folder, &error))?;
        let registry = proofmark_registry_server::Server::start(proofmark_registry_server::Config::new(
            folder.join("registry"),
            loopback(ports.registry),
        ))
        .await
        .map_err(|error| {
            let taken = matches!(error, proofmark_registry_server::StartError::Listen { .. });
            not_started("registry", "registry-not-started", &error, taken)
        })?;
        let trust = start_trust(&folder.join("trust"), ports.trust).await?;
        Ok(Self {
            folder: folder.to_owned(),
            registry,
            trust,
            admission: None,
        })
    }

    /// Starts the webhook, with the policies that are in the folder by now.
    pub(crate) async fn start_admission(&mut self, port: u16, client: Client) -> Result<(), Failure> {
        let tls = TlsConfig::new(
            self.folder.join("tls"),
            vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        );
        let mut config = proofmark_admission::Config::new(loopback(port), tls, self.policies(), client);
        config.trust_root = Some(proofmark_admission::TrustSource::File(self.trusted_root_file()));
        config.open_keys = Some(crate::keys::open_keys());
        let server = proofmark_admission::Server::start(config).await.map_err(|error| {
            let taken = matches!(error, proofmark_admission::StartError::Listen { .. });
            not_started("admission", error.code(), &error, taken)
        })?;
        self.admission = Some(server);
        Ok(())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of policies.
    pub(crate) fn policies(&self) -> PathBuf {
        self.folder.join("policies")
    }

    pub(crate) fn trusted_root_file(&self) -> PathBuf {
        self.folder.join("trust").join("trusted_root.json")
    }

    pub(crate) fn signing_config_file(&self) -> PathBuf {
        self.folder.join("trust").join("signing_config.json")
    }

    pub(crate) fn registry_host(&self) -> Result<RegistryHost, Failure> {
        Ok(RegistryHost::parse(&self.registry.address().to_string()).map_err(anyhow::Error::from)?)
    }

    pub(crate) fn trust_address(&self) -> SocketAddr {
        self.trust.address()
    }

    /// Where the webhook answers, and the authority of its certificate (PEM).
    pub(crate) fn admission(&self) -> Result<(SocketAddr, String), Failure> {
        let server = self
            .admission
            .as_ref()
            .context("the admission webhook is not started")?;
        Ok((server.address(), server.ca_bundle_pem()))
    }

    pub(crate) fn trust_root(&self) -> Result<Arc<TrustRoot>, Failure> {
        let root = proofmark_trust_root::load_trust_root(&self.trusted_root_file()).map_err(anyhow::Error::from)?;
        Ok(Arc::new(root))
    }

    pub(crate) fn signing_config(&self) -> Result<SigningConfig, Failure> {
        Ok(proofmark_trust_root::load_signing_config(&self.signing_config_file()).map_err(anyhow::Error::from)?)
    }

    /// The issuer that vouches for anything.
    pub(crate) fn development_issuer(&self) -> Result<DevIssuer, Failure> {
        Ok(DevIssuer::open(&self.folder.join("trust")).map_err(anyhow::Error::from)?)
    }

    pub(crate) async fn stop(self) {
        if let Some(admission) = self.admission {
            admission.stop().await;
        }
        self.trust.stop().await;
        self.registry.stop().await;
    }
}

/// The port is taken before the trust domain is made: its documents name it.
async fn start_trust(folder: &Path, port: u16) -> Result<proofmark_trust_server::Server, Failure> {
    let made = folder.join("trust.yaml");
    let port = if made.exists() { port_of(&made, port)? } else { port };
    let listener = TcpListener::bind(loopback(port)).await.map_err(|error| {
        let error = std::io::Error::new(error.kind(), format!("cannot listen on {}: {error}", loopback(port)));
        not_started("trust", "trust-listen", &error, true)
    })?;
    let address = listener.local_addr().context("the trust services have no address")?;
    if !made.exists() {
        let options = InitOptions {
            origin: Url::parse(&format!("http://{address}")).map_err(anyhow::Error::from)?,
            operator: "proofmark development".to_owned(),
            issuers: Vec::new(),
            dev_issuer: true,
            now: Context::now(),
        };
        proofmark_trust_server::init(folder, &options)
            .map_err(|error| Failure::new(Exit::Undecided, error.code(), chain(&error)))?;
    }
    let config = proofmark_trust_server::Config::new(folder, address);
    proofmark_trust_server::Server::start_on(config, listener)
        .await
        .map_err(|error| not_started("trust", error.code(), &error, false))
}

/// The port that the documents of a trust domain name. On another one nobody would find it, so no other may be asked for.
fn port_of(made: &Path, asked: u16) -> Result<u16, Failure> {
    #[derive(Deserialize)]
    struct Origin {
        origin: String,
    }
    let unusable = |reason: String| Failure::usage("trust-origin", format!("{}: {reason}", made.display()));
    let Origin { origin } = serde_saphyr::from_str(&read_text(made)?).map_err(|error| unusable(error.to_string()))?;
    let port = Url::parse(&origin)
        .ok()
        .and_then(|origin| origin.port_or_known_default())
        .ok_or_else(|| unusable(format!("the origin {origin} has no port")))?;
    if asked != 0 && asked != port {
        return Err(unusable(format!(
            "the trust domain here is {origin}, and port {asked} is asked for"
        ))
        .with_hint(format!("give --trust-port {port}, or another --dir")));
    }
    Ok(port)
}

/// Why one of the servers does not run; `taken` where another port would help.
fn not_started(what: &str, code: &str, error: &dyn std::error::Error, taken: bool) -> Failure {
    let failure = Failure::new(Exit::Undecided, code, chain(error));
    if taken {
        failure.with_hint(format!("is it running already? another port: --{what}-port"))
    } else {
        failure
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
