//! An answer: its head at once, its body piece by piece and never more than asked for.

use std::time::Instant;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use proofmark_types::RegistryHost;
use serde::Deserialize;
use url::Url;

use super::address::is_private;
use super::retry;
use super::wire::{causes, host_of};
use crate::RegistryError;
use crate::limits::{MAX_ERROR_BODY_BYTES, Timeouts};

/// The longest message of a registry repeated in an error, in characters.
const MAX_MESSAGE: usize = 300;

/// An answer whose body has not been read.
#[derive(Debug)]
pub(crate) struct Response {
    inner: reqwest::Response,
    timeouts: Timeouts,
    deadline: Option<Instant>,
}

impl Response {
    pub(super) fn new(inner: reqwest::Response, timeouts: Timeouts) -> Self {
        Self {
            inner,
            timeouts,
            deadline: None,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    pub(crate) fn url(&self) -> &Url {
        self.inner.url()
    }

    /// `host` or `host:port` that answered.
    pub(crate) fn host(&self) -> String {
        host_of(self.url())
    }

    /// Whether the answer came from a public address.
    pub(crate) fn is_public(&self) -> bool {
        self.inner
            .remote_addr()
            .is_some_and(|address| !is_private(address.ip()))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The length announced, if it was.
    pub(crate) fn announced_length(&self) -> Option<u64> {
        self.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The whole body, of at most `limit` bytes, within the time for a document.
    pub(crate) async fn document(mut self, limit: u64, what: &str) -> Result<Bytes, RegistryError> {
        let too_large = || RegistryError::TooLarge {
            what: what.to_owned(),
            limit,
            unit: "bytes",
        };
        let announced = self.announced_length();
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        self.deadline = Some(Instant::now() + self.timeouts.document);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // What is announced is not reserved: a lie would cost memory before the first byte.
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if piece.len() > limit.saturating_sub(body.len()) {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// The next piece of the body; none at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let mut limit = self.timeouts.idle;
        if let Some(deadline) = self.deadline {
            limit = limit.min(deadline.saturating_duration_since(Instant::now()));
        }
        match tokio::time::timeout(limit, self.inner.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(RegistryError::Unreachable {
                registry: self.host(),
                reason: format!("the answer broke off: {}", causes(&error)),
            }),
            Err(_) => Err(RegistryError::Timeout {
                registry: self.host(),
                stage: if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    "finish its answer"
                } else {
                    "send more data"
                },
                after: if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    self.timeouts.document
                } else {
                    self.timeouts.idle
                },
            }),
        }
    }

    /// What a status that is no success means. Reads the message in the body, bounded.
    pub(crate) async fn refusal(mut self, registry: &RegistryHost, what: &str) -> RegistryError {
        let status = self.status();
        let what = what.to_owned();
        let host = self.host();
        let registry = if host == registry.endpoint() {
            registry.to_string()
        } else {
            host
        };
        let retry_after = retry::retry_after(self.headers());
        let reason = self.message().await;
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound { what },
            StatusCode::UNAUTHORIZED => RegistryError::Unauthorized { registry, what, reason },
            StatusCode::FORBIDDEN => RegistryError::Denied { registry, what, reason },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => RegistryError::Throttled {
                registry,
                status: status.as_u16(),
                attempts: 1,
                retry_after,
            },
            _ => RegistryError::UnexpectedStatus {
                registry,
                what,
                status: status.as_u16(),
                reason,
            },
        }
    }

    /// The registry's own words (distribution-spec, "Error Codes"), or the beginning of whatever it sent.
    async fn message(&mut self) -> String {
        self.deadline = Some(Instant::now() + self.timeouts.idle);
        let mut body = BytesMut::new();
        while body.len() < MAX_ERROR_BODY_BYTES {
            match self.piece().await {
                Ok(Some(piece)) => {
                    let room = MAX_ERROR_BODY_BYTES - body.len();
                    body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
                }
                Ok(None) | Err(_) => break,
            }
        }
        let text = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(parsed) if !parsed.errors.is_empty() => parsed
                .errors
                .iter()
                .take(3)
                .map(|error| format!("{} {}", error.code, error.message).trim().to_owned())
                .collect::<Vec<_>>()
                .join("; "),
            _ => String::from_utf8_lossy(&body).trim().to_owned(),
        };
        if text.is_empty() {
            return "it gave no reason".to_owned();
        }
        // Control characters from elsewhere do not reach a terminal.
        text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}
