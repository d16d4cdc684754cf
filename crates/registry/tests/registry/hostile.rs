//! A server that answers as a test says, whatever that is, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::Response;
use futures::StreamExt as _;
use futures::stream;
use proofmark_types::{ImageRef, Repository};
use tokio::net::TcpListener;

/// What the server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) accept: Vec<String>,
    pub(crate) body: Vec<u8>,
}

/// What it answers.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Content,
}

enum Content {
    Bytes(Vec<u8>),
    /// Pieces of this size, so many of them, so far apart.
    Stream {
        piece: usize,
        count: u64,
        pause: Duration,
    },
    /// This, and then nothing more, the connection open.
    Stall(Vec<u8>),
    /// No answer at all.
    Never,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Content::Bytes(body.into()),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn json(body: impl ToString) -> Self {
        Self::new(200, body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn manifest(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body).header("content-type", "application/vnd.oci.image.manifest.v1+json")
    }

    pub(crate) fn index(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body).header("content-type", "application/vnd.oci.image.index.v1+json")
    }

    pub(crate) fn redirect(to: impl ToString) -> Self {
        Self::new(307, "").header("location", to)
    }

    pub(crate) fn challenge(challenge: impl ToString) -> Self {
        Self::new(401, "").header("www-authenticate", challenge)
    }

    pub(crate) fn stream(piece: usize, count: u64, pause: Duration) -> Self {
        Self {
            body: Content::Stream { piece, count, pause },
            ..Self::new(200, "")
        }
    }

    pub(crate) fn stall(first: impl Into<Vec<u8>>) -> Self {
        Self {
            body: Content::Stall(first.into()),
            ..Self::new(200, "")
        }
    }

    pub(crate) fn never() -> Self {
        Self {
            body: Content::Never,
            ..Self::new(200, "")
        }
    }
}

/// A running server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Hostile {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    sent: Arc<AtomicU64>,
}

impl Hostile {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_knowing(move |_, seen| answer(seen)).await
    }

    /// The function is told the server's own address as well.
    pub(crate) async fn start_knowing(answer: impl Fn(SocketAddr, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hostile = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            sent: Arc::default(),
        };
        let state = hostile.clone();
        let answer = Arc::new(answer);
        let router = Router::new().fallback(move |request: Request| {
            let (state, answer) = (state.clone(), Arc::clone(&answer));
            async move {
                let seen = see(request).await;
                let reply = answer(state.address, &seen);
                state.seen.lock().unwrap().push(seen);
                state.respond(reply).await
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        hostile
    }

    pub(crate) fn image(&self, name: &str) -> ImageRef {
        ImageRef::parse(&format!("{}/{name}", self.address)).unwrap()
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::parse(&format!("{}/team/app", self.address)).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Bytes of streamed bodies that were taken off our hands.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    async fn respond(&self, reply: Reply) -> Response<Body> {
        let mut response = Response::builder().status(reply.status);
        for (name, value) in reply.headers {
            response = response.header(name, value);
        }
        let body = match reply.body {
            Content::Bytes(bytes) => Body::from(bytes),
            Content::Stream { piece, count, pause } => {
                let sent = Arc::clone(&self.sent);
                let piece = Bytes::from(vec![b' '; piece]);
                Body::from_stream(stream::iter(0..count).then(move |_| {
                    let (sent, piece) = (Arc::clone(&sent), piece.clone());
                    async move {
                        tokio::time::sleep(pause).await;
                        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                        Ok::<_, std::io::Error>(piece)
                    }
                }))
            }
            Content::Stall(first) => {
                let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(first))]);
                Body::from_stream(first.chain(stream::pending()))
            }
            Content::Never => std::future::pending().await,
        };
        response.body(body).unwrap()
    }
}

async fn see(request: Request) -> Seen {
    let (head, body) = request.into_parts();
    let text = |name: &str| {
        let values = head.headers.get_all(name).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut seen = Seen {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        authorization: text("authorization").pop(),
        accept: text("accept"),
        body: Vec::new(),
    };
    if let Ok(body) = to_bytes(body, 64 * 1024 * 1024).await {
        seen.body = body.to_vec();
    }
    seen
}
