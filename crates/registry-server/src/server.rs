//! The listener: accepts connections, bounds how many and how slow, and ends them gracefully.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::api::{self, App};
use crate::config::Config;
use crate::patience::Patient;
use crate::store::{OpenError, Store};

/// How many connections are served at once: enough for a cluster's nodes pulling in parallel, under the usual limit of
/// 1,024 open files with one file a download.
const MAX_CONNECTIONS: usize = 512;

/// How long a client may take to send its request's head; hyper's own default.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long `stop` waits for requests under way.
const GRACE: Duration = Duration::from_secs(10);

/// How often the end of the last disk operation is looked for.
const RELEASE_PAUSE: Duration = Duration::from_millis(2);

/// How often idle uploads are looked for.
const CLEANING_INTERVAL: Duration = Duration::from_secs(60);

/// How long to wait after the system refused a connection (out of files): without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running registry. Dropping it ends it at once; [`Server::stop`] lets requests finish.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    store: Weak<Store>,
    stopping: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    cleaning: JoinHandle<()>,
}

impl Server {
    /// Opens the folder, binds the address and serves.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| StartError::Listen {
                address: config.listen,
                source,
            })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let (root, patterns) = (config.root.clone(), config.immutable_tags.clone());
        let store = tokio::task::spawn_blocking(move || Store::open(&root, &patterns))
            .await
            .map_err(|_| StartError::Interrupted)??;
        let store = Arc::new(store);
        let kept = Arc::downgrade(&store);
        let cleaning = tokio::spawn(clean(Weak::clone(&kept), config.upload_expiry));
        let app = App::new(store, config).map_err(|_| StartError::NoRandomness)?;
        let (stopping, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, api::router(app), stopped));
        Ok(Self {
            address,
            store: kept,
            stopping,
            accepting,
            cleaning,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, lets requests under way finish (ten seconds at most), and releases the folder.
    pub async fn stop(mut self) {
        self.cleaning.abort();
        self.stopping.send_replace(true);
        // The task ends by itself after the grace; a panic in it was logged by the runtime.
        let _ = (&mut self.accepting).await;
        // A request that was cut off may still be on a disk thread; the folder's lock goes with the last of them.
        let released = async {
            while self.store.strong_count() > 0 {
                tokio::time::sleep(RELEASE_PAUSE).await;
            }
        };
        let _ = tokio::time::timeout(GRACE, released).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.cleaning.abort();
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Dropping the set ends its connections.
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&slots).acquire_owned() => permit,
            () = told(&mut stopped) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stopped) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (router, stopped) = (router.clone(), stopped.clone());
                connections.spawn(async move {
                    serve(stream, router, stopped).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(router);
    let finished = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} });
    if finished.await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    // Answers are small or large, never many small pieces: waiting for more to send only costs time.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Waits until the server is told to stop, or is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn clean(store: Weak<Store>, idle: Duration) {
    let mut ticks = tokio::time::interval(CLEANING_INTERVAL.min(idle.max(Duration::from_millis(10))));
    loop {
        ticks.tick().await;
        let Some(store) = store.upgrade() else { return };
        let _ = tokio::task::spawn_blocking(move || store.expire_uploads(idle)).await;
    }
}

/// Why a registry did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is taken or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    NoRandomness,
    /// The runtime is going down.
    #[error("the start was interrupted")]
    Interrupted,
}
