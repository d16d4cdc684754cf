//! One request, one answer: connections, timeouts and counting. No authentication, no redirects, no repetition.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::Method;
use reqwest::redirect::Policy;
use url::Url;

use super::address::{ONLY_PRIVATE, PublicOnly};
use super::response::Response;
use crate::RegistryError;
use crate::counts::{Counters, Operation};
use crate::limits::Timeouts;

/// Idle connections kept for one host: as many as are used at once.
const MAX_IDLE_CONNECTIONS: usize = crate::limits::EVIDENCE_CONCURRENCY;

/// One request as it goes out.
pub(crate) struct Outgoing {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// Connect to public addresses only.
    pub(crate) public_only: bool,
    /// It repeats another request.
    pub(crate) retried: bool,
    /// It follows a redirect.
    pub(crate) redirected: bool,
}

impl Outgoing {
    pub(crate) fn new(operation: Operation, method: Method, url: Url) -> Self {
        Self {
            operation,
            method,
            url,
            headers: HeaderMap::new(),
            body: Body::Empty,
            public_only: false,
            retried: false,
            redirected: false,
        }
    }

    pub(crate) fn with_bytes(mut self, bytes: Bytes) -> Self {
        self.body = Body::Bytes(bytes);
        self
    }
}

/// What a request carries.
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    /// A body that can be sent once.
    Stream(Stream),
}

/// A body that is produced while it is sent.
pub(crate) struct Stream {
    pub(crate) body: reqwest::Body,
    pub(crate) length: u64,
    /// When its source last gave something: an upload is alive as long as this moves.
    pub(crate) pulse: Pulse,
    /// Why its source failed, if it did: the connection's error would not say.
    pub(crate) fault: Fault,
}

/// Why the source of a streamed body failed.
pub(crate) type Fault = Arc<Mutex<Option<RegistryError>>>;

impl Body {
    pub(crate) fn is_replayable(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    /// The body to send now: a copy where there can be another attempt.
    pub(crate) fn take(&mut self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
            Self::Stream(_) => std::mem::replace(self, Self::Empty),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(stream) => write!(f, "Stream({})", stream.length),
        }
    }
}

/// A sign of life, shared between a streamed body and the one who waits for the answer.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(crate) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections and their rules; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Shared {
    timeouts: Timeouts,
    user_agent: String,
    trust: TlsTrust,
    /// Made when first needed: reading the system's certificate store takes longer than a verification.
    plain: OnceLock<reqwest::Client>,
    tls: OnceLock<reqwest::Client>,
    tls_public: OnceLock<reqwest::Client>,
}

/// Whom TLS believes, and who we are in it.
#[derive(Debug, Default)]
pub(crate) struct TlsTrust {
    /// Authorities beside the system's.
    pub(crate) roots: Vec<reqwest::Certificate>,
    /// Certificate and key of ours.
    pub(crate) identity: Option<reqwest::Identity>,
    /// Any certificate will do.
    pub(crate) anyone: bool,
}

impl Wire {
    pub(crate) fn new(timeouts: Timeouts, user_agent: String, trust: TlsTrust) -> Self {
        Self {
            shared: Arc::new(Shared {
                timeouts,
                user_agent,
                trust,
                plain: OnceLock::new(),
                tls: OnceLock::new(),
                tls_public: OnceLock::new(),
            }),
            counters: Arc::default(),
        }
    }

    /// The same connections, counted from zero.
    pub(crate) fn with_fresh_counts(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            counters: Arc::default(),
        }
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.shared.timeouts
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sends one request and waits for the head of its answer.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<Response, RegistryError> {
        self.counters.request(outgoing.operation);
        if outgoing.retried {
            self.counters.retry();
        }
        if outgoing.redirected {
            self.counters.redirect();
        }
        let host = host_of(&outgoing.url);
        let client = self.client(outgoing.url.scheme() == "http", outgoing.public_only)?;
        let mut request = client.request(outgoing.method, outgoing.url).headers(outgoing.headers);
        let mut pulse = Pulse::new();
        let mut fault = None;
        match outgoing.body {
            Body::Empty => {}
            Body::Bytes(bytes) => request = request.body(bytes),
            Body::Stream(stream) => {
                pulse = stream.pulse;
                fault = Some(stream.fault);
                request = request
                    .header(http::header::CONTENT_LENGTH, stream.length)
                    .body(stream.body);
            }
        }
        match alive(request.send(), &pulse, self.head_timeout()).await {
            Some(Ok(response)) => Ok(Response::new(response, self.shared.timeouts)),
            Some(Err(error)) => {
                let cause = fault.and_then(|fault| fault.lock().unwrap_or_else(PoisonError::into_inner).take());
                Err(cause.unwrap_or_else(|| self.failure(&host, &error)))
            }
            None => Err(RegistryError::Timeout {
                registry: host,
                stage: "answer",
                after: self.shared.timeouts.first_byte,
            }),
        }
    }

    /// Connecting has its own, shorter limit; this one must not strike first.
    fn head_timeout(&self) -> Duration {
        self.shared
            .timeouts
            .first_byte
            .max(self.shared.timeouts.connect + Duration::from_millis(50))
    }

    fn failure(&self, host: &str, error: &reqwest::Error) -> RegistryError {
        let reason = causes(error);
        if reason.contains(ONLY_PRIVATE) {
            return RegistryError::RedirectRefused {
                from: "a public registry".to_owned(),
                to: host.to_owned(),
                reason: ONLY_PRIVATE,
            };
        }
        if error.is_timeout() {
            return RegistryError::Timeout {
                registry: host.to_owned(),
                stage: "accept the connection",
                after: self.shared.timeouts.connect,
            };
        }
        RegistryError::Unreachable {
            registry: host.to_owned(),
            reason,
        }
    }

    fn client(&self, plain: bool, public_only: bool) -> Result<&reqwest::Client, RegistryError> {
        let slot = match (plain, public_only) {
            (true, _) => &self.shared.plain,
            (false, false) => &self.shared.tls,
            (false, true) => &self.shared.tls_public,
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let made = self
            .make(plain, public_only)
            .map_err(|error| RegistryError::Setup { reason: causes(&error) })?;
        Ok(slot.get_or_init(|| made))
    }

    fn make(&self, plain: bool, public_only: bool) -> Result<reqwest::Client, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.shared.user_agent)
            .redirect(Policy::none())
            // Proxies are configuration, and a proxy for a registry on loopback is never meant.
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.shared.timeouts.connect)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            // Docker's registry closes idle connections after 60 seconds; a connection is not kept so long.
            .pool_idle_timeout(Duration::from_secs(45))
            .http1_max_headers(128);
        if public_only {
            builder = builder.dns_resolver(Arc::new(PublicOnly));
        }
        builder = if plain {
            builder.tls_certs_only([])
        } else {
            let trust = &self.shared.trust;
            let builder = builder
                .https_only(true)
                .tls_certs_merge(trust.roots.clone())
                .tls_danger_accept_invalid_certs(trust.anyone);
            match &trust.identity {
                // Shown to registries and to nobody that they lead to.
                Some(identity) if !public_only => builder.identity(identity.clone()),
                _ => builder,
            }
        };
        builder.build()
    }
}

/// Waits for an answer for as long as the body moves, and `limit` after it stopped.
async fn alive<T>(future: impl Future<Output = T>, pulse: &Pulse, limit: Duration) -> Option<T> {
    pulse.beat();
    tokio::pin!(future);
    loop {
        let deadline = pulse.last() + limit;
        match tokio::time::timeout_at(deadline.into(), &mut future).await {
            Ok(output) => return Some(output),
            Err(_) if pulse.last() + limit > Instant::now() => {}
            Err(_) => return None,
        }
    }
}

/// An error with its causes; the address is left out, it may be signed.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if parts.last() != Some(&text) {
            parts.push(text);
        }
        source = cause.source();
    }
    if parts.is_empty() {
        parts.push("the request could not be sent".to_owned());
    }
    parts.join(": ")
}

/// `host` or `host:port` of an address.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
