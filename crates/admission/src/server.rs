//! The HTTPS server: `/validate`, `/mutate`, `/warm`, `/gatekeeper`, `/metrics`, `/healthz`, `/readyz` on one port.
//!
//! It bounds what it is sent (connections, bytes in memory, time), answers in the time that the API server gives, and
//! turns whatever goes wrong inside into a denial with the request's uid. It does not authenticate the API server:
//! answers are about images and carry no secret; who may reach the port is a matter of the network.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::admit::Admission;
use crate::basis::{BasisError, Looked, with_causes};
use crate::certificates::{Certificates, TlsError};
use crate::cluster::policies::PolicyObjects;
use crate::cluster::share::{Share, ShareError};
use crate::cluster::status;
use crate::config::{Clock, Config, Limits, TrustSource};
use crate::kept::KeepingError;

mod gatekeeper;
mod http;
mod trust;

/// Connections open at once: an API server keeps some tens to a webhook, and a cluster has few API servers.
const MAX_CONNECTIONS: usize = 1024;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may wait for the head of its next request. Longer than Go's `IdleConnTimeout` of 90 s, so that it
/// is always the API server that closes: a connection closed by us just as it is used again is a failed admission.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long to leave off accepting when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a change of policies is left to become whole: `kubectl apply` of a folder is many requests.
const SETTLING: Duration = Duration::from_millis(100);

/// How often metrics are folded.
const UPKEEP: Duration = Duration::from_secs(5);

/// A running webhook.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    certificates: Arc<Certificates>,
    stopping: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    background: JoinSet<()>,
}

/// Why the webhook does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS library refuses its settings.
    #[error("cannot set up TLS")]
    TlsSettings(#[source] rustls::Error),
    /// The authority that the replicas share cannot be had.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The policies or the trust root cannot be used; there is nothing to fall back to at the start.
    #[error(transparent)]
    Basis(#[from] BasisError),
    /// The authority of Gatekeeper is no certificate.
    #[error("the authority of Gatekeeper cannot be used: {reason}")]
    Gatekeeper {
        /// What is wrong with it.
        reason: String,
    },
    /// Evidence cannot be kept where it is to be kept.
    #[error(transparent)]
    Keeping(#[from] KeepingError),
    /// The folder of the queue cannot be made.
    #[error("cannot make the folder {folder}")]
    Queue {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StartError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "listen",
            Self::Tls(error) => error.code(),
            Self::TlsSettings(_) => "tls-settings",
            Self::Share(error) => error.code(),
            Self::Basis(error) => error.code(),
            Self::Gatekeeper { .. } => "gatekeeper-authority",
            Self::Keeping(error) => error.code(),
            Self::Queue { .. } => "queue-folder",
        }
    }
}

/// What every request is answered with.
struct Shared {
    admission: Admission,
    certificates: Arc<Certificates>,
    clock: Clock,
    /// KiB of request bodies that may be in memory.
    body_budget: Semaphore,
    stopping: watch::Receiver<bool>,
    /// Whether Gatekeeper may ask.
    gatekeeper: bool,
    /// Why the last attempt to refresh the trust root failed; none if it did not.
    trust_failure: RwLock<Option<String>>,
}

impl Server {
    /// Compiles the policies, makes the certificates, binds the port and answers.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let mut background = JoinSet::new();
        let objects = match &config.policies_of {
            Some(cluster) => {
                let objects = Arc::new(PolicyObjects::new(cluster.clone(), config.limits.kinds));
                background.spawn(objects.clone().follow());
                objects.until_known(config.limits.first_policies).await;
                Some(objects)
            }
            None => None,
        };
        let admission = Admission::with_objects(&config, objects.clone())?;
        let share = config
            .sharing
            .clone()
            .map(|sharing| Share::new(sharing, config.tls.clone()));
        if let Some(share) = &share {
            // Before anything is made: what the others have is what counts.
            share.settle().await?;
        }
        let certificates = Arc::new(Certificates::open(config.tls.clone(), (config.clock)())?);
        if let Some(share) = &share {
            share.round(&certificates, (config.clock)()).await;
        }
        let acceptor = acceptor(certificates.clone(), config.gatekeeper.as_deref())?;
        let listen = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stopping, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            admission,
            certificates: certificates.clone(),
            clock: config.clock.clone(),
            body_budget: Semaphore::new(http::BODY_BUDGET_KIB),
            stopping: stopped.clone(),
            gatekeeper: config.gatekeeper.is_some(),
            trust_failure: RwLock::default(),
        });
        shared.report_basis();
        background.spawn(reload(shared.clone(), objects, config.limits.reload));
        background.spawn(renew(shared.clone(), share, config.limits.renewal));
        background.spawn(upkeep(shared.clone()));
        if let Some(TrustSource::Kept(kept)) = config.trust_root
            && let Some(repository) = kept.repository
        {
            background.spawn(trust::keep_fresh(shared.clone(), kept.place, repository, config.limits));
        }
        let accepting = tokio::spawn(accept(listener, acceptor, shared, stopped, config.limits));
        tracing::info!(%address, "admission webhook is listening");
        Ok(Self {
            address,
            certificates,
            stopping,
            accepting,
            background,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authorities that a client has to trust, in PEM; goes into the webhook configuration.
    #[must_use]
    pub fn ca_bundle_pem(&self) -> String {
        self.certificates.ca_bundle_pem()
    }

    /// The certificates, for those who want to know when they end.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Takes no more connections, lets requests under way end within [`Limits::drain`], and returns when all is done.
    pub async fn stop(mut self) {
        // Nobody listening means that the accept loop has ended, which is what is wanted.
        let _ = self.stopping.send(true);
        if let Err(error) = (&mut self.accepting).await {
            tracing::error!(%error, "the accept loop ended in an internal error");
        }
        self.background.shutdown().await;
    }
}

/// API servers have no certificate to show; who shows one must have it of `gatekeeper`, the authority of Gatekeeper in PEM.
fn acceptor(certificates: Arc<Certificates>, gatekeeper: Option<&[u8]>) -> Result<TlsAcceptor, StartError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = match gatekeeper {
        Some(pem) => clients_of(pem, provider.clone())?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(StartError::TlsSettings)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificates);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

fn clients_of(pem: &[u8], provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, StartError> {
    let unusable = |reason: String| StartError::Gatekeeper { reason };
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        authorities
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if authorities.is_empty() {
        return Err(unusable("expected a certificate in PEM, found none".to_owned()));
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable(error.to_string()))
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    mut stopping: watch::Receiver<bool>,
    limits: Limits,
) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        // Ended connections are forgotten as others come, so that the set does not grow.
        while open.try_join_next().is_some() {}
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => match connections.clone().try_acquire_owned() {
                Ok(permit) => {
                    let (acceptor, shared, stopping) = (acceptor.clone(), shared.clone(), stopping.clone());
                    open.spawn(async move {
                        serve(stream, acceptor, shared, stopping).await;
                        drop(permit);
                    });
                }
                // Closed at once: the API server retries or fails closed, and memory stays bounded.
                Err(_) => shared.admission.metrics.refused(),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::warn!("requests were still under way when the time to drain was over; they are cut off");
    }
    open.shutdown().await;
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    // Small answers on kept connections: waiting to fill a segment would cost 40 ms each.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    // One that is not of Gatekeeper's authority has not come so far.
    let is_gatekeeper = stream.get_ref().1.peer_certificates().is_some();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, std::convert::Infallible>(http::respond(shared, request, is_gatekeeper).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // The guard that `wait_for` yields must not live across the next await.
    let stop = async move { drop(stopping.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn reload(shared: Arc<Shared>, objects: Option<Arc<PolicyObjects>>, period: Duration) {
    let mut said = status::Said::default();
    loop {
        if let Some(objects) = &objects {
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = objects.changed.notified() => tokio::time::sleep(SETTLING.min(period)).await,
            }
        } else {
            tokio::time::sleep(period).await;
        }
        let seen = objects.as_ref().map(|objects| status::Seen::before(objects));
        let looking = shared.clone();
        let looked = tokio::task::spawn_blocking(move || {
            looking.admission.look_at_exceptions();
            looking.admission.keeper.look()
        });
        let looked = looked.await;
        match looked {
            Ok(Looked::Unchanged) => {}
            Ok(Looked::Replaced) => {
                let basis = shared.admission.keeper.current();
                shared.admission.metrics.reload("replaced");
                tracing::info!(policies = basis.number, generation = %basis.generation, "policies and trust root reloaded");
            }
            Ok(Looked::Kept(error)) => {
                shared.admission.metrics.reload("kept-old");
                tracing::error!(
                    code = error.code(), error = %with_causes(&error),
                    "what was read cannot be used; the policies and the trust root of before stay in force"
                );
            }
            Err(error) => tracing::error!(%error, "looking at the policies ended in an internal error"),
        }
        shared.report_basis();
        if let (Some(objects), Some(seen)) = (&objects, seen) {
            status::say(&shared.admission, objects, seen, &mut said, (shared.clock)()).await;
        }
    }
}

async fn renew(shared: Arc<Shared>, share: Option<Arc<Share>>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        if let Some(share) = &share {
            share.round(&shared.certificates, (shared.clock)()).await;
        }
        let (certificates, now) = (shared.certificates.clone(), (shared.clock)());
        match tokio::task::spawn_blocking(move || certificates.renew(now)).await {
            Ok(Ok(renewal)) => {
                if renewal.serving {
                    tracing::info!(until = %shared.certificates.serving_end(), "serving certificate renewed");
                }
                if renewal.bundle {
                    tracing::warn!(
                        until = %shared.certificates.authority_end(),
                        "the bundle of authorities changed; put the new one into the webhook configuration"
                    );
                }
            }
            Ok(Err(error)) => {
                tracing::error!(code = error.code(), error = %with_causes(&error), "cannot renew certificates");
            }
            Err(error) => tracing::error!(%error, "renewing certificates ended in an internal error"),
        }
    }
}

async fn upkeep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        shared.admission.metrics.upkeep();
    }
}

impl Shared {
    fn trust_failure(&self) -> Option<String> {
        let failure = self.trust_failure.read().unwrap_or_else(PoisonError::into_inner);
        failure.clone()
    }

    fn set_trust_failure(&self, failure: Option<String>) {
        *self.trust_failure.write().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    fn report_basis(&self) {
        let keeper = &self.admission.keeper;
        self.admission
            .metrics
            .policies(keeper.current().number, keeper.failure().is_none());
    }
}
