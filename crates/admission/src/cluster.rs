//! The API server as we ask it: a handful of requests over JSON, each bounded in time and size.
//!
//! No generated types: policies are read by the policy room from the same JSON that a file would hold, and what is
//! written (status, events, reports) has a few fields. Nothing of this is on the path of a review except pull secrets,
//! and those only when they are asked for ([`crate::Config::pull_secrets`]).

use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use proofmark_types::innermost;
use serde_json::Value;
use thiserror::Error;

use crate::text::{one_line, shortened};

pub(crate) mod denied;
mod dry_run;
pub(crate) mod policies;
pub(crate) mod share;
pub(crate) mod status;
pub(crate) mod watch;

pub use self::dry_run::{Resource, Trial};

/// The largest answer: a page of 250 policies; etcd takes 1.5 MiB for one object.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// The longest line of a watch: one object.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who writes what is written by server-side apply.
pub(crate) const FIELD_MANAGER: &str = "proofmark-admission";

/// A connection to an API server. Clones share it.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
}

/// Why the API server did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// There is no kubeconfig, and this is no Pod with a service account; or one that cannot be used.
    #[error("no cluster can be told from the kubeconfig or the service account: {reason}")]
    Settings {
        /// What is missing.
        reason: String,
    },
    /// It did not answer.
    #[error("{what}: the API server does not answer: {reason}")]
    Unreachable {
        /// The request.
        what: String,
        /// What the connection said.
        reason: String,
    },
    /// It answered, and not with what was asked for.
    #[error("{what}: the API server says {status}: {message}")]
    Refused {
        /// The request.
        what: String,
        /// HTTP status.
        status: u16,
        /// Its message, shortened.
        message: String,
    },
    /// Its answer cannot be read.
    #[error("{what}: the API server's answer cannot be read: {reason}")]
    Answer {
        /// The request.
        what: String,
        /// Why.
        reason: String,
    },
}

impl ClusterError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "cluster-unknown",
            Self::Unreachable { .. } => "cluster-unreachable",
            Self::Refused { status: 401 | 403, .. } => "cluster-forbidden",
            Self::Refused { status: 404, .. } => "cluster-not-found",
            Self::Refused { .. } => "cluster-refused",
            Self::Answer { .. } => "cluster-answer",
        }
    }

    /// HTTP status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether there is no such object.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.status() == Some(404)
    }
}

impl Cluster {
    /// The cluster of a kubeconfig file; without one, that of `KUBECONFIG`, `~/.kube/config`, or of the Pod we run in.
    pub async fn connect(kubeconfig: Option<&Path>) -> Result<Self, ClusterError> {
        let settings = |reason: String| ClusterError::Settings {
            reason: one_line(&reason),
        };
        let mut config = match kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path).map_err(|error| settings(innermost(&error)))?;
                kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| settings(innermost(&error)))?
            }
            None => kube::Config::infer()
                .await
                .map_err(|error| settings(error.to_string()))?,
        };
        config.connect_timeout = Some(PATIENCE);
        let client = kube::Client::try_from(config).map_err(|error| settings(innermost(&error)))?;
        Ok(Self { client })
    }

    /// Reads what is at `path`.
    pub async fn get(&self, path: &str) -> Result<Value, ClusterError> {
        self.ask(Method::GET, path, "application/json", None).await
    }

    /// Makes an object below `path`.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value, ClusterError> {
        self.ask(Method::POST, path, "application/json", Some(object)).await
    }

    /// Puts an object in place of the one that its `resourceVersion` names.
    pub async fn replace(&self, path: &str, object: &Value) -> Result<Value, ClusterError> {
        self.ask(Method::PUT, path, "application/json", Some(object)).await
    }

    /// Makes the object at `path` be as `object` says, by server-side apply.
    pub async fn apply(&self, path: &str, object: &Value) -> Result<Value, ClusterError> {
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        // JSON is YAML.
        self.ask(Method::PATCH, &path, "application/apply-patch+yaml", Some(object))
            .await
    }

    /// Changes what `patch` names in the object at `path` (RFC 7386).
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value, ClusterError> {
        self.ask(Method::PATCH, path, "application/merge-patch+json", Some(patch))
            .await
    }

    /// Removes what is at `path`; whether it was there.
    pub async fn delete(&self, path: &str) -> Result<bool, ClusterError> {
        match self.ask(Method::DELETE, path, "application/json", None).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Value, ClusterError> {
        let (_, answered) = self.exchange(method, path, content_type, body).await?;
        Ok(answered)
    }

    /// What it answers, with the headers.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<(HeaderMap, Value), ClusterError> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let body = body.map(Value::to_string).unwrap_or_default();
        let work = async {
            let response = self.send(method, path, content_type, body.into_bytes(), &what).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let bytes = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|error| match error.is::<LengthLimitError>() {
                    true => answer(&what, format!("more than {MAX_ANSWER_BYTES} bytes")),
                    false => unreachable(&what, error.to_string()),
                })?
                .to_bytes();
            if !status.is_success() {
                return Err(refused(&what, status, &bytes));
            }
            let read = serde_json::from_slice(&bytes).map_err(|error| answer(&what, error.to_string()));
            read.map(|answered| (headers, answered))
        };
        tokio::time::timeout(PATIENCE, work)
            .await
            .unwrap_or_else(|_| Err(unreachable(&what, format!("no answer within {} s", PATIENCE.as_secs()))))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        what: &str,
    ) -> Result<http::Response<Body>, ClusterError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .header(http::header::ACCEPT, "application/json")
            .body(Body::from(body))
            .map_err(|error| answer(what, error.to_string()))?;
        self.client
            .send(request)
            .await
            .map_err(|error| unreachable(what, innermost(&error)))
    }

    /// The lines of a watch, as they come.
    pub(crate) async fn watch(&self, path: &str) -> Result<Lines, ClusterError> {
        let what = format!("watch {}", path.split('?').next().unwrap_or(path));
        let asked = self.send(Method::GET, path, "application/json", Vec::new(), &what);
        let response = tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| unreachable(&what, format!("no answer within {} s", PATIENCE.as_secs())))??;
        let status = response.status();
        if !status.is_success() {
            let body = Limited::new(response.into_body(), MAX_LINE_BYTES).collect().await;
            let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Err(refused(&what, status, &bytes));
        }
        Ok(Lines {
            body: response.into_body(),
            rest: Vec::new(),
            what,
        })
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// JSON documents, one a line.
pub(crate) struct Lines {
    body: Body,
    rest: Vec<u8>,
    what: String,
}

impl Lines {
    /// The next one; none when the API server has ended the watch, which it does from time to time.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, ClusterError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let read = serde_json::from_slice(&line);
                return read.map(Some).map_err(|error| answer(&self.what, error.to_string()));
            }
            if self.rest.len() > MAX_LINE_BYTES {
                return Err(answer(
                    &self.what,
                    format!("a line of more than {MAX_LINE_BYTES} bytes"),
                ));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(unreachable(&self.what, error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.rest.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

fn unreachable(what: &str, reason: String) -> ClusterError {
    ClusterError::Unreachable {
        what: what.to_owned(),
        reason: shortened(&one_line(&reason), 300),
    }
}

fn answer(what: &str, reason: String) -> ClusterError {
    ClusterError::Answer {
        what: what.to_owned(),
        reason: shortened(&one_line(&reason), 300),
    }
}

fn refused(what: &str, status: StatusCode, body: &[u8]) -> ClusterError {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let message = said
        .as_ref()
        .and_then(|said| said["message"].as_str())
        .unwrap_or_default();
    ClusterError::Refused {
        what: what.to_owned(),
        status: status.as_u16(),
        message: shortened(message, crate::MAX_MESSAGE_BYTES),
    }
}
