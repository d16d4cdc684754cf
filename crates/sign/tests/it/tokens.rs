//! Where tokens come from: each source against a local server, socket or program that speaks as the real one does, and
//! checks what it is asked.

mod circleci;
mod login;
mod services;
mod spiffe;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proofmark_sign::Timing;
use proofmark_sign::token::{IdentityToken, Person, Sources, TokenError, TokenOptions, detect};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::now;

/// What no message may repeat.
const SECRET: &str = "the-secret-of-the-job";

fn claims() -> Value {
    let exp = now().plus(Duration::from_secs(600)).seconds();
    json!({"iss": "https://i.test", "sub": "job", "aud": "sigstore", "exp": exp})
}

fn jwt(claims: &Value) -> String {
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part("{}".into()),
        part(claims.to_string()),
        part("s".into())
    )
}

fn good() -> String {
    jwt(&claims())
}

fn with(claim: &str, value: Value) -> String {
    let mut claims = claims();
    claims[claim] = value;
    jwt(&claims)
}

type Answering = dyn Fn(&Parts, &[u8]) -> Response + Send + Sync;

/// A server that answers by a function, and counts.
#[derive(Clone)]
struct Fake {
    url: Url,
    asked: Arc<AtomicUsize>,
    answer: Arc<Answering>,
}

impl Fake {
    async fn start(answer: impl Fn(&Parts, &[u8]) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            url: Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap(),
            asked: Arc::default(),
            answer: Arc::new(answer),
        };
        let app = Router::new().fallback(handle).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        fake
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn handle(State(fake): State<Fake>, request: axum::extract::Request) -> Response {
    fake.asked.fetch_add(1, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20)
        .await
        .unwrap_or_else(|_| Bytes::new());
    let response = (fake.answer)(&parts, &body);
    // A test that wants a server to hang says so in the status.
    if response.status() == 299 {
        std::future::pending::<()>().await;
    }
    response
}

fn hang() -> Response {
    http::StatusCode::from_u16(299).unwrap().into_response()
}

fn form(body: &[u8]) -> BTreeMap<String, String> {
    let url = Url::parse(&format!("http://h/?{}", std::str::from_utf8(body).unwrap())).unwrap();
    url.query_pairs()
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}

/// What surrounds a job.
struct Job {
    environment: BTreeMap<String, String>,
    root: PathBuf,
    options: TokenOptions,
    timing: Timing,
}

impl Job {
    fn new(environment: &[(&str, String)]) -> Self {
        let short = Duration::from_millis(500);
        Self {
            environment: environment
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
            root: Path::new("/nowhere").to_owned(),
            options: TokenOptions::default(),
            timing: Timing {
                certificate: short,
                attempts: 3,
                pause: Duration::from_millis(5),
                ..Timing::default()
            },
        }
    }

    async fn token(&self) -> Result<IdentityToken, TokenError> {
        self.token_of(None).await
    }

    async fn token_of(&self, person: Option<&dyn Person>) -> Result<IdentityToken, TokenError> {
        let environment = |name: &str| self.environment.get(name).cloned();
        let found = detect(&Sources {
            given: None,
            options: &self.options,
            environment: &environment,
            root: &self.root,
            person,
            timing: self.timing.clone(),
            now: now(),
        })
        .await;
        if let Err(error) = &found {
            assert!(!error.to_string().contains(SECRET), "{error}");
            assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
        }
        found
    }

    async fn code(&self) -> &'static str {
        self.token().await.unwrap_err().code()
    }
}
