//! Requests to key services: tried again only where asking twice changes nothing.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::KmsError;
use crate::http::{Answer, Http, HttpError, Timing, is_later, retry_after};

/// The largest answer read. A key with hundreds of versions in Vault comes to 200 KB, everything else to 10 KB.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// How long instance metadata may take: it is on the same machine, or absent.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// How often instance metadata is asked.
const METADATA_ATTEMPTS: u32 = 2;

/// The connections of one key.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    http: Http,
}

impl Wire {
    /// `roots` are certificates (PEM) believed beside the system's.
    pub(super) fn new(timing: &Timing, roots: &[Vec<u8>]) -> Result<Self, KmsError> {
        for pem in roots {
            // An empty bundle would be no error and no trust; better said here than as a failed handshake.
            if Certificate::from_pem_bundle(pem).is_ok_and(|found| found.is_empty()) {
                return Err(KmsError::Http(HttpError::Client {
                    reason: "the file of certificates has none".to_owned(),
                }));
            }
        }
        Ok(Self {
            http: Http::new(timing.clone(), roots).map_err(KmsError::Http)?,
        })
    }

    /// Begins a request.
    pub(super) fn request(&self, method: &Method, url: &Url) -> RequestBuilder {
        let http = &self.http;
        match *method {
            Method::GET => http.get(url),
            Method::PUT => http.put(url),
            _ => http.post(url),
        }
    }

    /// Asks for something that may be asked again. `make` is called for each attempt, so that what has a time in it
    /// is made anew; `later` says which answers beside 429 and 5xx ask to come again.
    pub(super) async fn ask(
        &self,
        url: &Url,
        later: fn(&Answer) -> bool,
        make: impl Fn() -> Result<RequestBuilder, KmsError>,
    ) -> Result<Answer, KmsError> {
        let timing = self.http.timing();
        self.attempts(url, later, make, timing.certificate, timing.attempts)
            .await
    }

    /// Asks instance metadata, which is near or absent.
    pub(super) async fn ask_metadata(
        &self,
        url: &Url,
        make: impl Fn() -> Result<RequestBuilder, KmsError>,
    ) -> Result<Answer, KmsError> {
        let timeout = METADATA_TIMEOUT.min(self.http.timing().certificate);
        self.attempts(url, |_| false, make, timeout, METADATA_ATTEMPTS).await
    }

    /// Posts a form that asks for a token: asking twice changes nothing.
    pub(super) async fn post_form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Answer, KmsError> {
        let body = form(fields);
        let request = || {
            Ok(self
                .request(&Method::POST, url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body.as_bytes().to_vec()))
        };
        self.ask(url, |_| false, request).await
    }

    /// Does something that must not be done twice.
    pub(super) async fn once(&self, url: &Url, request: RequestBuilder) -> Result<Answer, KmsError> {
        let http = &self.http;
        http.send_once(request, &shown(url), http.timing().certificate, MAX_ANSWER_BYTES)
            .await
            .map_err(KmsError::Http)
    }

    async fn attempts(
        &self,
        url: &Url,
        later: fn(&Answer) -> bool,
        make: impl Fn() -> Result<RequestBuilder, KmsError>,
        timeout: Duration,
        attempts: u32,
    ) -> Result<Answer, KmsError> {
        let http = &self.http;
        let shown = shown(url);
        let mut pause = http.timing().pause;
        let mut attempt = 1;
        loop {
            let outcome = http.send_once(make()?, &shown, timeout, MAX_ANSWER_BYTES).await;
            let wait = match &outcome {
                Ok(answer) if is_later(answer.status) || later(answer) => retry_after(&answer.headers).unwrap_or(pause),
                Err(error) if error.is_unreachable() => pause,
                _ => return outcome.map_err(KmsError::Http),
            };
            if attempt >= attempts {
                return outcome.map_err(KmsError::Http);
            }
            tracing::debug!(url = %shown, attempt, wait_ms = wait.as_millis(), "asking the key service again");
            sleep(wait).await;
            attempt += 1;
            pause = pause.saturating_mul(2);
        }
    }
}

/// The fields as a form. There are secrets among them, so that it is wiped.
pub(super) fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    Zeroizing::new(
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish(),
    )
}

/// Reads an answer that must be JSON of one shape.
pub(super) fn json<T: DeserializeOwned>(answer: &Answer, url: &Url) -> Result<T, KmsError> {
    serde_json::from_slice(&answer.body).map_err(|error| KmsError::Answer {
        url: place(url),
        // The text of serde may quote values of the answer, and some answers are secrets.
        reason: format!(
            "not the JSON that is documented (line {}, column {})",
            error.line(),
            error.column()
        ),
    })
}

/// Whether it is a success; the others are for each service to read.
pub(super) fn is_success(answer: &Answer) -> bool {
    matches!(
        answer.status,
        StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT
    )
}

/// An address without its query, for messages.
pub(super) fn shown(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}

/// The same as text, for errors.
pub(super) fn place(url: &Url) -> String {
    shown(url).to_string()
}
