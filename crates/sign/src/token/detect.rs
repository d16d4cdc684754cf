//! Where identity tokens come from.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::{IdentityToken, MAX_TOKEN_BYTES, TokenError};
use crate::http::{Http, Timing};
use crate::services::is_loopback;

/// Environment variables, injected.
pub trait Environment {
    /// The value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn variable(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// Where to look.
pub struct Sources<'s> {
    /// The value of `--identity-token`: a token, or the path of a file that has one.
    pub given: Option<&'s str>,
    /// The environment.
    pub environment: &'s dyn Environment,
    /// For whom the token must be; [`super::AUDIENCE`] unless the authority wants another.
    pub audience: &'s str,
    /// How long the CI's token service may take.
    pub timing: Timing,
}

/// Finds a token, in this order:
///
/// 1. `--identity-token`, a token or a file;
/// 2. `SIGSTORE_ID_TOKEN`, which GitLab sets where the job has `id_tokens: SIGSTORE_ID_TOKEN`;
/// 3. GitHub Actions' token service, where the job has `permissions: id-token: write`.
pub async fn detect(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    // 1.
    if let Some(given) = sources.given {
        return match IdentityToken::parse(given) {
            Ok(token) => Ok(token),
            Err(error) => from_file(given, error),
        };
    }
    let variable = |name: &str| sources.environment.variable(name).filter(|value| !value.is_empty());
    // 2.
    if let Some(text) = variable("SIGSTORE_ID_TOKEN") {
        return IdentityToken::parse(&text);
    }
    // 3.
    match (
        variable("ACTIONS_ID_TOKEN_REQUEST_URL"),
        variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
    ) {
        (Some(url), Some(secret)) => from_github(&url, &secret, sources).await,
        _ => Err(TokenError::NotFound {
            hint: if variable("GITHUB_ACTIONS").is_some() {
                Some("this is GitHub Actions, whose job needs `permissions: id-token: write`")
            } else if variable("GITLAB_CI").is_some() {
                Some("this is GitLab CI, whose job needs `id_tokens: { SIGSTORE_ID_TOKEN: { aud: sigstore } }`")
            } else {
                None
            },
        }),
    }
}

/// What does not look like a token may be a file; `error` is what it is as a token.
fn from_file(given: &str, error: TokenError) -> Result<IdentityToken, TokenError> {
    // A mistyped token must not be repeated in a message as if it were a path.
    let looks_like_a_token =
        given.len() > 255 || (given.matches('.').count() == 2 && !given.contains('/') && given.starts_with("ey"));
    if looks_like_a_token {
        return Err(error);
    }
    let failed = |reason: std::io::Error| TokenError::File {
        path: given.to_owned(),
        reason: reason.to_string(),
    };
    let limit = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    let file = File::open(Path::new(given)).map_err(failed)?;
    // A token and whitespace; one byte over the limit is enough to be refused by the parser.
    file.take(limit + 2).read_to_string(&mut text).map_err(failed)?;
    IdentityToken::parse(&text)
}

/// docs.github.com, "OpenID Connect reference": GET the address with an audience and the job's secret.
async fn from_github(url: &str, secret: &str, sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let mut url = Url::parse(url).map_err(|_| TokenError::RequestUrl)?;
    if url.scheme() != "https" && !is_loopback(&url) {
        return Err(TokenError::RequestUrl);
    }
    url.query_pairs_mut().append_pair("audience", sources.audience);
    let http = Http::new(sources.timing.clone(), &[]).map_err(TokenError::Http)?;
    let request = http
        .get(&url)
        .header(AUTHORIZATION, format!("bearer {secret}"))
        .header(ACCEPT, "application/json");
    // The address carries no secret, but run ids; messages show it without its query.
    let mut shown = url.clone();
    shown.set_query(None);
    let answer = http
        .send(request, &shown, http.timing().certificate, 2 * MAX_TOKEN_BYTES)
        .await
        .and_then(|answer| answer.expect(&shown, &[StatusCode::OK]))
        .map_err(TokenError::Http)?;
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| TokenError::Answer)?;
    IdentityToken::parse(&answer.value)
}
