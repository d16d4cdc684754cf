//! Requests to signing services: bounded answers, no redirects, retries with a growing pause.
//!
//! Redirects are not followed: what is posted (tokens, digests) is for the configured host and no other.

use std::time::{Duration, Instant, SystemTime};

use proofmark_types::{innermost, is_loopback};
use reqwest::header::{HOST, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url, redirect};
use thiserror::Error;
use url::Host;

/// The most bytes of an error's body that are repeated.
const MAX_QUOTED_BODY: usize = 300;

/// The longest pause that is kept when a server asks for it; one that wants a longer one is not asked again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long services may take, and how often they are asked.
#[derive(Clone, Debug)]
pub struct Timing {
    /// For a certificate or a token. Certificate authorities wait for their log; go clients allow 30 s.
    pub certificate: Duration,
    /// For a log entry. The Rekor v2 client specification asks for at least 20 s: answers come with the next checkpoint.
    pub log: Duration,
    /// For a timestamp. sigstore-python allows 5 s; a loaded authority needs more.
    pub timestamp: Duration,
    /// How often a request is made in all.
    pub attempts: u32,
    /// The pause after the first failure; doubled after each further one.
    pub pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            certificate: Duration::from_secs(30),
            log: Duration::from_secs(30),
            timestamp: Duration::from_secs(15),
            attempts: 4,
            pause: Duration::from_millis(250),
        }
    }
}

/// The client for signing services.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    /// For plain http on this machine and its link. A proxy of the environment would see what is sent there, tokens
    /// included.
    direct: Client,
    timing: Timing,
    /// Nothing is waited for beyond this: the end of the certificate that is signed with.
    end: Option<Instant>,
    /// The name that servers are asked under instead of their own.
    name: Option<String>,
}

/// An answer that was read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Http {
    /// `roots` are certificates (PEM) believed beside the system's.
    pub(crate) fn new(timing: Timing, roots: &[Vec<u8>]) -> Result<Self, HttpError> {
        let broken = |error: reqwest::Error| HttpError::client(&error);
        let direct = Self::builder().no_proxy().tls_certs_only([]).build().map_err(broken)?;
        let mut builder = Self::builder();
        for pem in roots {
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(broken)?);
        }
        Ok(Self {
            client: builder.build().map_err(broken)?,
            direct,
            timing,
            end: None,
            name: None,
        })
    }

    /// What all clients here have in common.
    pub(crate) fn builder() -> ClientBuilder {
        Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("proofmark/", env!("CARGO_PKG_VERSION")))
    }

    /// The same with another client, which asks servers under another name than their address.
    pub(crate) fn with_client(&self, client: Client, name: Option<String>) -> Self {
        Self {
            client,
            name,
            ..self.clone()
        }
    }

    /// The same, waiting for nothing that would come later than `left` from now.
    pub(crate) fn ending_in(self, left: Duration) -> Self {
        Self {
            end: Instant::now().checked_add(left),
            ..self
        }
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(crate) fn get(&self, url: &Url) -> RequestBuilder {
        self.client_for(url).get(url.clone())
    }

    pub(crate) fn post(&self, url: &Url) -> RequestBuilder {
        let client = self.client_for(url);
        let mut renamed = url.clone();
        match &self.name {
            // The request is for the server's own name still.
            Some(name) if url.scheme() == "https" && renamed.set_host(Some(name)).is_ok() => {
                client.post(renamed).header(HOST, url.authority())
            }
            _ => client.post(url.clone()),
        }
    }

    /// To this machine or its own network, past any proxy.
    pub(crate) fn get_direct(&self, url: &Url) -> RequestBuilder {
        self.direct.get(url.clone())
    }

    fn client_for(&self, url: &Url) -> &Client {
        if url.scheme() == "http" && (is_loopback(url) || is_link_local(url)) {
            &self.direct
        } else {
            &self.client
        }
    }

    pub(crate) fn put(&self, url: &Url) -> RequestBuilder {
        self.client_for(url).put(url.clone())
    }

    /// Sends the request once: for what must not be done twice, and for callers with their own idea of "later".
    pub(crate) async fn send_once(
        &self,
        request: RequestBuilder,
        url: &Url,
        timeout: Duration,
        limit: usize,
    ) -> Result<Answer, HttpError> {
        once(request, url, timeout, limit).await
    }

    /// Sends the request until it is answered with other than "later": connection failures, time-outs, 429 and 5xx
    /// are tried again. Every request here may be repeated: certificates and timestamps are merely made twice, a log
    /// says that it has the entry already.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        url: &Url,
        timeout: Duration,
        limit: usize,
    ) -> Result<Answer, HttpError> {
        self.send_until(request, url, timeout, limit, is_later).await
    }

    /// The same, with what counts as "later" said by `later`.
    pub(crate) async fn send_until(
        &self,
        request: RequestBuilder,
        url: &Url,
        timeout: Duration,
        limit: usize,
        later: fn(StatusCode) -> bool,
    ) -> Result<Answer, HttpError> {
        let mut pause = self.timing.pause;
        let mut attempt = 1;
        loop {
            let again = request.try_clone().ok_or_else(|| HttpError::Client {
                reason: "the request cannot be repeated".to_owned(),
            })?;
            let outcome = once(again, url, timeout, limit).await;
            let wait = match &outcome {
                Ok(answer) if later(answer.status) => {
                    asked_pause(&answer.headers, SystemTime::now()).unwrap_or_else(|| jittered(pause))
                }
                Ok(_) => return outcome,
                Err(error) if error.may_pass() => jittered(pause),
                Err(_) => return outcome,
            };
            if attempt >= self.timing.attempts {
                return outcome;
            }
            if wait > MAX_RETRY_AFTER {
                return Err(HttpError::Busy { url: url.clone(), wait });
            }
            if self.end.is_some_and(|end| Instant::now() + wait >= end) {
                return Err(HttpError::Outlived { url: url.clone(), wait });
            }
            tracing::debug!(url = %url, attempt, wait_ms = wait.as_millis(), "asking the service again");
            tokio::time::sleep(wait).await;
            attempt += 1;
            pause = pause.saturating_mul(2);
        }
    }
}

impl Answer {
    /// The answer itself if its status is one of `expected`.
    pub(crate) fn expect(self, url: &Url, expected: &[StatusCode]) -> Result<Self, HttpError> {
        if expected.contains(&self.status) {
            return Ok(self);
        }
        let text: String = String::from_utf8_lossy(&self.body)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_QUOTED_BODY)
            .collect();
        Err(HttpError::Status {
            url: url.clone(),
            status: self.status.as_u16(),
            body: text.trim().to_owned(),
        })
    }
}

/// Addresses on the machine's own link, where clouds put its metadata: 169.254.0.0/16, what AWS documents for IPv6
/// (fd00:ec2::/32), and Google's name for it.
pub(crate) fn is_link_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => matches!(address.segments(), [0xfd00, 0x0ec2, ..]),
        Some(Host::Domain(name)) => name == "metadata.google.internal",
        None => false,
    }
}

/// Whether a status asks to come again.
pub(crate) fn is_later(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// The pause that a server asks for, or the longest that is kept.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    asked_pause(headers, SystemTime::now()).map(|pause| pause.min(MAX_RETRY_AFTER))
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn asked_pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

/// Half of the pause to one and a half: those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [128];
    // Without randomness it is the pause itself.
    let _ = getrandom::fill(&mut byte);
    pause / 2 + pause.saturating_mul(u32::from(byte[0])) / 256
}

async fn once(request: RequestBuilder, url: &Url, timeout: Duration, limit: usize) -> Result<Answer, HttpError> {
    let whole = async {
        let response = request.send().await.map_err(|error| failure(&error, url))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read(response, url, limit).await?;
        Ok(Answer { status, headers, body })
    };
    // One limit for connecting, answering and reading, so that a server cannot hold us with a trickle.
    tokio::time::timeout(timeout, whole).await.unwrap_or_else(|_| {
        Err(HttpError::Timeout {
            url: url.clone(),
            after: timeout,
        })
    })
}

async fn read(mut response: Response, url: &Url, limit: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error, url))? {
        if body.len() + chunk.len() > limit {
            return Err(HttpError::TooLarge {
                url: url.clone(),
                limit,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failure(error: &reqwest::Error, url: &Url) -> HttpError {
    HttpError::Connection {
        url: url.clone(),
        reason: innermost(error),
    }
}

/// Why a service gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The client could not be set up: certificates that do not parse.
    #[error("the HTTP client cannot be set up: {reason}")]
    Client {
        /// What the library says.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("cannot reach {url}: {reason}")]
    Connection {
        /// Who was asked.
        url: Url,
        /// What the system says.
        reason: String,
    },
    /// No whole answer in time.
    #[error("{url} did not answer within {} ms", after.as_millis())]
    Timeout {
        /// Who was asked.
        url: Url,
        /// The limit.
        after: Duration,
    },
    /// An answer made to fill memory.
    #[error("{url} answered with more than {limit} bytes")]
    TooLarge {
        /// Who was asked.
        url: Url,
        /// The limit.
        limit: usize,
    },
    /// It asks to come back much later.
    #[error("{url} asks to come back in {} s, more than {} s are not waited", wait.as_secs(), MAX_RETRY_AFTER.as_secs())]
    Busy {
        /// Who was asked.
        url: Url,
        /// What it asks for.
        wait: Duration,
    },
    /// The certificate would end before the service is asked again.
    #[error(
        "{url} is to be asked again in {} ms, and the certificate ends before: sign again with a fresh token, which gets a new one",
        wait.as_millis()
    )]
    Outlived {
        /// Who was asked.
        url: Url,
        /// How long it would be waited for.
        wait: Duration,
    },
    /// An answer that says no. A 3xx means that the address in the configuration is wrong.
    #[error("{url} answered {status}: {body}")]
    Status {
        /// Who was asked.
        url: Url,
        /// The status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
}

impl HttpError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Client { .. } => "http-client",
            Self::Connection { .. } => "service-unreachable",
            Self::Timeout { .. } => "service-timeout",
            Self::TooLarge { .. } => "service-answer-too-large",
            Self::Busy { .. } => "service-busy",
            Self::Outlived { .. } => "certificate-outlived",
            Self::Status { .. } => "service-refused",
        }
    }

    /// Whether the same request may succeed later: nothing was decided.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Timeout { .. } | Self::Busy { .. } | Self::Outlived { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }

    pub(crate) fn client(error: &reqwest::Error) -> Self {
        Self::Client {
            reason: innermost(error),
        }
    }

    /// The same where the service repeats a secret that it was sent.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        if let (Self::Status { body, .. }, false) = (&mut self, secret.is_empty()) {
            *body = body.replace(secret, "***");
        }
        self
    }

    fn may_pass(&self) -> bool {
        self.is_unreachable()
    }
}
