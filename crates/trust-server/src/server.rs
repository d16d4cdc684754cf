//! Starting and stopping: the folder is opened and locked, the services are put together, connections are bounded.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use der::{Decode, Encode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use proofmark_merkle::{NoteKeyError, NoteSigner};
use proofmark_types::UnixTime;
use serde_json::json;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use url::Url;

use crate::authority::Authority;
use crate::clock::{Clock, IssuingClock};
use crate::dev_issuer::{self, DevIssuer};
use crate::folder::{self, FolderError};
use crate::init::{StoredConfig, files, log_name};
use crate::key::{self, EcdsaKey, KeyFileError, from_pem};
use crate::log::{Log, OpenLogError};
use crate::oidc::{IssuerConfigError, Issuers};
use crate::service::{Service, router};
use crate::timestamp::TimestampAuthority;
use crate::tuf::{self, PublishError};

/// The most connections at a time; each holds a few kilobytes, and at most one body of 4 MiB while it is read.
const MAX_CONNECTIONS: usize = 1024;
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Which folder to serve, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// A folder that [`crate::init()`] made.
    pub directory: PathBuf,
    /// Where to listen. Clients use the origin that `init` was given, which should lead here.
    pub listen: SocketAddr,
    /// The time to issue at.
    pub clock: Clock,
}

impl Config {
    /// Serves `directory` at `listen` with the system's clock.
    pub fn new(directory: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            directory: directory.into(),
            listen,
            clock: Clock::system(),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A file of the folder, or its lock.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A key of the folder.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The log.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// The issuers in the configuration.
    #[error(transparent)]
    Issuer(#[from] IssuerConfigError),
    /// The TUF repository.
    #[error(transparent)]
    Tuf(#[from] PublishError),
    /// The configuration itself.
    #[error("the configuration {path} is malformed: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        reason: String,
    },
    /// Not the certificates that belong to the keys.
    #[error("{path} is not the certificate chain of the key beside it")]
    Chain {
        /// The file.
        path: PathBuf,
    },
    /// The development issuer on a public origin: its folder was made by an older version, or its origin changed.
    #[error(
        "{origin} is a public address, and the folder has the INSECURE development issuer, which vouches for anything"
    )]
    PublicDevelopmentIssuer {
        /// The origin.
        origin: String,
    },
    /// The host of the origin cannot name a log.
    #[error(transparent)]
    LogName(#[from] NoteKeyError),
    /// The address is taken or not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

impl ServerError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Issuer(_) => "trust-issuer",
            Self::Tuf(error) => error.code(),
            Self::Config { .. } => "trust-config",
            Self::Chain { .. } => "trust-chain",
            Self::PublicDevelopmentIssuer { .. } => "trust-development-issuer-public",
            Self::LogName(_) => "trust-log-name",
            Self::Listen { .. } => "trust-listen",
        }
    }
}

/// The trust services of one folder, running.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Opens the folder and listens.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let address = config.listen;
        let listen = |source| ServerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        Self::start_on(config, listener).await
    }

    /// Opens the folder and serves it on a listener that is there already: for a port that had to be known before
    /// `init`.
    pub async fn start_on(config: Config, listener: TcpListener) -> Result<Self, ServerError> {
        let listen = |source| ServerError::Listen {
            address: config.listen,
            source,
        };
        let address = listener.local_addr().map_err(listen)?;
        let (directory, clock) = (config.directory.clone(), config.clock.clone());
        let opened = tokio::task::spawn_blocking(move || open(&config.directory, config.clock)).await;
        let (service, lock) = match opened {
            Ok(opened) => opened?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let service = Arc::new(service);
        let app = router(Arc::clone(&service));
        let renewing = tokio::spawn(renew(directory, clock));
        let (stop, stopped) = oneshot::channel();
        tracing::info!(%address, "trust services listen");
        let accepting = tokio::spawn(async move {
            serve(listener, app, stopped).await;
            renewing.abort();
            // All connections are closed, so that this is the last holder but for a request that outlived its time.
            if let Some(service) = Arc::into_inner(service) {
                let closed = tokio::task::spawn_blocking(move || service.log.close()).await;
                if closed.is_err() {
                    tracing::error!("the log did not close in order");
                }
            }
            drop(lock);
        });
        Ok(Self {
            address,
            stop,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what is open, makes the log's high-water mark durable, and gives the folder back.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        if self.accepting.await.is_err() {
            tracing::error!("the server did not stop in order");
        }
    }
}

async fn serve(listener: TcpListener, app: Router, mut stopped: oneshot::Receiver<()>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    loop {
        // A closed semaphore is the only error, and nobody closes it.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            break;
        };
        let accepted: std::io::Result<(TcpStream, SocketAddr)> = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: connections that end give some back.
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Answers are small: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(app.clone());
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    drop(app);
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that did not end in time are dropped");
    }
}

/// Keeps the TUF repository from expiring while the server runs.
async fn renew(directory: PathBuf, clock: Clock) {
    loop {
        tokio::time::sleep(tuf::LOOK).await;
        let (directory, now) = (directory.clone(), clock.now());
        match tokio::task::spawn_blocking(move || tuf::publish(&directory, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %error, "the TUF repository could not be renewed"),
            Err(error) => tracing::error!(error = %error, "the TUF repository could not be renewed"),
        }
    }
}

/// Everything of the folder that the services need, and the lock on it.
fn open(directory: &Path, clock: Clock) -> Result<(Service, std::fs::File), ServerError> {
    let config = stored_config(directory)?;
    let lock = folder::lock(&directory.join(files::LOCK))?;
    let origin = Url::parse(&config.origin).map_err(|error| malformed(directory, &error.to_string()))?;
    let dev_issuer = match directory.join(files::DEV_KEY).exists() {
        true => Some(DevIssuer::open(directory)?),
        false => None,
    };
    if dev_issuer.is_some() {
        if !dev_issuer::is_allowed_at(&origin) {
            return Err(ServerError::PublicDevelopmentIssuer { origin: config.origin });
        }
        tracing::warn!("the INSECURE development issuer is on: certificates of this server prove nothing");
    }
    let fixed = |issuer: &str| dev_issuer.as_ref().and_then(|dev| dev.key_set(issuer));
    let issuers = Issuers::new(&config.oidc_issuers, fixed)?;
    let authority = open_authority(directory)?;
    let timestamps = open_timestamps(directory)?;
    let seed = key::load_ed25519(&directory.join(files::LOG_KEY))?;
    let signer = NoteSigner::from_seed(&log_name(&origin), &seed)?;
    let log = Log::open(&directory.join(files::LOG), signer)?;
    let document = |name| folder::read(&directory.join(name)).map(Bytes::from);
    tuf::publish(directory, clock.now())?;
    let service = Service {
        directory: directory.to_owned(),
        authority,
        issuers,
        configuration: configuration(&config),
        log,
        timestamps,
        clock: IssuingClock::new(clock),
        dev_issuer,
        trusted_root: document(files::TRUSTED_ROOT)?,
        signing_config: document(files::SIGNING_CONFIG)?,
        trust_config: document(files::TRUST_CONFIG)?,
    };
    Ok((service, lock))
}

fn stored_config(directory: &Path) -> Result<StoredConfig, ServerError> {
    let bytes = folder::read(&directory.join(files::CONFIG))?;
    let text = String::from_utf8(bytes).map_err(|_| malformed(directory, "it is not UTF-8"))?;
    serde_saphyr::from_str(&text).map_err(|error| malformed(directory, &error.to_string()))
}

fn malformed(directory: &Path, reason: &str) -> ServerError {
    ServerError::Config {
        path: directory.join(files::CONFIG),
        reason: reason.to_owned(),
    }
}

/// The answer of Fulcio's configuration endpoint.
fn configuration(config: &StoredConfig) -> serde_json::Value {
    let issuer = |issuer: &crate::oidc::IssuerConfig| {
        json!({
            "issuerUrl": issuer.issuer_url,
            "audience": issuer.client_id,
            "challengeClaim": issuer.challenge_claim(),
            "spiffeTrustDomain": "",
            "issuerType": issuer.kind.name(),
            "subjectDomain": issuer.subject_domain.clone().unwrap_or_default(),
            "skipEmailVerification": false,
        })
    };
    let issuers: Vec<serde_json::Value> = config.oidc_issuers.iter().map(issuer).collect();
    json!({"issuers": issuers})
}

fn open_authority(directory: &Path) -> Result<Authority, ServerError> {
    let key = EcdsaKey::load(&directory.join(files::CA_KEY))?;
    let chain = Chain::read(&directory.join(files::CA_CHAIN), &key)?;
    let ct_key = EcdsaKey::load(&directory.join(files::CT_KEY))?;
    Ok(Authority {
        key,
        name: chain.subject,
        not_after: chain.not_after,
        chain: chain.certificates,
        ct_key,
    })
}

fn open_timestamps(directory: &Path) -> Result<TimestampAuthority, ServerError> {
    let key = EcdsaKey::load(&directory.join(files::TSA_KEY))?;
    let chain = Chain::read(&directory.join(files::TSA_CHAIN), &key)?;
    Ok(TimestampAuthority {
        key,
        chain: chain.certificates,
        issuer_name: chain.issuer,
        serial: chain.serial,
        not_after: chain.not_after,
    })
}

/// A chain of a signing certificate and its issuers, and what the first of them says.
struct Chain {
    certificates: Vec<Vec<u8>>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    serial: Vec<u8>,
    not_after: UnixTime,
}

impl Chain {
    fn read(path: &Path, key: &EcdsaKey) -> Result<Self, ServerError> {
        let wrong = || ServerError::Chain { path: path.to_owned() };
        let text = String::from_utf8(folder::read(path)?).map_err(|_| wrong())?;
        let mut certificates = Vec::new();
        for block in text.split_inclusive("-----END CERTIFICATE-----\n") {
            certificates.push(from_pem("CERTIFICATE", block).ok_or_else(wrong)?);
        }
        let first = certificates.first().ok_or_else(wrong)?;
        let first = x509_cert::Certificate::from_der(first)
            .map_err(|_| wrong())?
            .tbs_certificate;
        let der = |part: der::Result<Vec<u8>>| part.map_err(|_| wrong());
        if der(first.subject_public_key_info.to_der())? != key.spki() {
            return Err(wrong());
        }
        Ok(Self {
            subject: der(first.subject.to_der())?,
            issuer: der(first.issuer.to_der())?,
            serial: first.serial_number.as_bytes().to_vec(),
            not_after: UnixTime::from_system(first.validity.not_after.to_system_time()),
            certificates,
        })
    }
}
