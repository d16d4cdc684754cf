//! Looks for a token: what was given, the surroundings, a person.

use std::path::Path;

use proofmark_types::{UnixTime, is_loopback};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{
    Flow, IdentityToken, MAX_TOKEN_BYTES, Provider, TokenError, TokenOptions, browser, buildkite, circleci,
    client_credentials, device, file, github, google, spiffe,
};
use crate::http::{Answer, Http, Timing};

/// The largest answer of a token service: a token, and a few words around it.
pub(super) const MAX_ANSWER_BYTES: usize = 3 * MAX_TOKEN_BYTES;

/// Environment variables, injected.
pub trait Environment: Sync {
    /// The value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String> + Sync> Environment for F {
    fn variable(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// The person who signs, for the ways to log in that need one.
pub trait Person: Sync {
    /// Opens an address in a browser; says whether one was started.
    fn browse(&self, address: &Url) -> bool;
    /// Shows a line.
    fn tell(&self, text: &str);
}

/// Where to look.
pub struct Sources<'s> {
    /// The value of `--identity-token`: a token, or the path of a file that has one.
    pub given: Option<&'s str>,
    /// The other flags.
    pub options: &'s TokenOptions,
    /// The environment.
    pub environment: &'s dyn Environment,
    /// The root of the file system, below which projected tokens are: `/`, or another in tests.
    pub root: &'s Path,
    /// Whom to ask to log in; none where nobody can be asked.
    pub person: Option<&'s dyn Person>,
    /// How long token services may take.
    pub timing: Timing,
    /// The time, to say early that a token has expired.
    pub now: UnixTime,
}

impl Sources<'_> {
    /// For whom the token must be.
    pub(super) fn audience(&self) -> &str {
        &self.options.client_id
    }

    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.environment.variable(name).filter(|value| !value.is_empty())
    }

    /// A client for the token service of `from`.
    pub(super) fn http(&self, from: &'static str) -> Result<Http, TokenError> {
        Http::new(self.timing.clone(), &[]).map_err(|error| TokenError::Http {
            from,
            source: Box::new(error),
        })
    }
}

/// Finds a token, in this order, and checks that it is for the audience and has not expired:
///
/// 1. `--identity-token`, a token or a file;
/// 2. the surroundings, in the order of [`Provider::ALL`]: the first that is here is asked, and what it says counts. The
///    next is not tried when it fails, since a signature under another identity than the expected one is no help;
/// 3. a program's own secret, or a person, as `--fulcio-auth-flow` says; nobody is asked where nobody is there.
pub async fn detect(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    let token = find(sources).await?;
    token.check(sources.audience(), sources.now)?;
    Ok(token)
}

/// Each source of the surroundings, and whether it is here. No token is asked for.
pub async fn providers(sources: &Sources<'_>) -> Vec<(Provider, bool)> {
    let mut seen = Vec::new();
    for provider in Provider::ALL {
        seen.push((provider, is_here(provider, sources).await));
    }
    seen
}

async fn find(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    // 1.
    if let Some(given) = sources.given {
        return file::given(given);
    }
    // 2.
    if let Some(provider) = sources.options.provider {
        return ambient(provider, sources).await;
    }
    if !sources.options.no_ambient {
        for provider in Provider::ALL {
            if is_here(provider, sources).await {
                return ambient(provider, sources).await;
            }
        }
    }
    // 3.
    match (sources.options.flow, sources.person) {
        (Some(Flow::ClientCredentials), _) => client_credentials::token(sources).await,
        (Some(Flow::Device), Some(person)) => device::token(sources, person).await,
        (None | Some(Flow::Browser), Some(person)) => browser::token(sources, person).await,
        (Some(Flow::Token), _) | (_, None) => Err(TokenError::NotFound {
            ambient: !sources.options.no_ambient,
            hint: hint(sources),
        }),
    }
}

async fn is_here(provider: Provider, sources: &Sources<'_>) -> bool {
    match provider {
        Provider::Environment => sources.variable("SIGSTORE_ID_TOKEN").is_some(),
        Provider::File => file::projected(sources.root, sources.variable(file::VARIABLE)).is_some(),
        Provider::GitHub => github::is_here(sources),
        Provider::Buildkite => buildkite::is_here(sources),
        Provider::CircleCi => circleci::is_here(sources),
        Provider::Spiffe => spiffe::is_here(sources),
        Provider::GoogleImpersonate => google::impersonates(sources),
        Provider::Google => google::is_here(sources).await,
    }
}

async fn ambient(provider: Provider, sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    let missing = |missing| TokenError::NotHere { provider, missing };
    match provider {
        Provider::Environment => {
            let text = sources.variable("SIGSTORE_ID_TOKEN");
            IdentityToken::parse(&text.ok_or_else(|| missing("SIGSTORE_ID_TOKEN is not set"))?)
        }
        Provider::File => {
            let path = file::projected(sources.root, sources.variable(file::VARIABLE));
            file::read(&path.ok_or_else(|| missing("there is no /var/run/sigstore/cosign/oidc-token"))?)
        }
        Provider::GitHub => github::token(sources).await,
        Provider::Buildkite => buildkite::token(sources).await,
        Provider::CircleCi => circleci::token(sources).await,
        Provider::Spiffe => spiffe::token(sources).await,
        Provider::GoogleImpersonate => google::impersonated(sources).await,
        Provider::Google => google::token(sources).await,
    }
}

/// What the surroundings suggest to somebody whose job has no token.
fn hint(sources: &Sources<'_>) -> Option<&'static str> {
    if sources.variable("GITHUB_ACTIONS").is_some() {
        Some("this is GitHub Actions, whose job needs `permissions: id-token: write`")
    } else if sources.variable("GITLAB_CI").is_some() {
        Some("this is GitLab CI, whose job needs `id_tokens: { SIGSTORE_ID_TOKEN: { aud: sigstore } }`")
    } else if sources.variable("CIRCLECI").is_some() {
        Some("this is CircleCI, whose job needs a context to have tokens")
    } else if sources.person.is_none() {
        Some("there is no terminal to log in at; give --identity-token, or --key for a key")
    } else {
        None
    }
}

/// A text that is wiped when it is dropped, as it comes in JSON.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl std::ops::Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A form as the body of a request.
pub(super) fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    Zeroizing::new(
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish(),
    )
}

/// The address of a token service that the variable `name` has: a secret is sent there.
pub(super) fn service_address(name: &'static str, text: &str) -> Result<Url, TokenError> {
    Url::parse(text)
        .ok()
        .filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
        .ok_or(TokenError::Address { name })
}

/// A request to a token service.
pub(super) struct Asked<'a> {
    pub(super) request: RequestBuilder,
    /// Its address, without what is not to be shown.
    pub(super) shown: &'a Url,
    /// Whose it is.
    pub(super) from: &'static str,
    /// What is sent along, and taken out of a refusal that repeats it.
    pub(super) secret: &'a str,
}

/// Asks a token service for JSON.
pub(super) async fn ask<T: DeserializeOwned>(http: &Http, asked: Asked<'_>) -> Result<T, TokenError> {
    let from = asked.from;
    let answer = answer(http, asked, &[StatusCode::OK, StatusCode::CREATED]).await?;
    serde_json::from_slice(&answer.body).map_err(|_| TokenError::Answer {
        from,
        reason: "it is not the JSON of the interface",
    })
}

/// Asks a token service.
pub(super) async fn answer(http: &Http, asked: Asked<'_>, expected: &[StatusCode]) -> Result<Answer, TokenError> {
    let Asked {
        request,
        shown,
        from,
        secret,
    } = asked;
    http.send(request, shown, http.timing().certificate, MAX_ANSWER_BYTES)
        .await
        .and_then(|answer| answer.expect(shown, expected))
        .map_err(|error| TokenError::Http {
            from,
            source: Box::new(error.without(secret)),
        })
}
