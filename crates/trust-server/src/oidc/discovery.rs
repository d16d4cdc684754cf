//! The issuers of a running server: their keys, fetched when first needed, and the verification of tokens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proofmark_types::UnixTime;
use proofmark_types::is_loopback;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::config::{self, Issuer, IssuerConfig, IssuerConfigError};
use super::jwt::{KeySet, Token};
use super::{Principal, TokenError, fetch, principal};

/// How long keys are used without asking again; issuers announce new keys a day or more ahead.
const FRESH: Duration = Duration::from_secs(600);
/// The least time between two fetches: tokens with invented key ids, or of an issuer that does not answer, must not make
/// this server a source of requests, and must not make each other wait.
const REFETCH: Duration = Duration::from_secs(10);
/// How long keys are used when the issuer does not answer.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// All configured issuers.
pub(crate) struct Issuers {
    issuers: Vec<Source>,
}

struct Source {
    issuer: Issuer,
    /// Keys that are known without asking: those of the development issuer in this process.
    fixed: Option<Arc<KeySet>>,
    fetched: Mutex<Fetched>,
}

/// What came of asking the issuer.
#[derive(Default)]
struct Fetched {
    /// The newest keys, and since when they are known.
    held: Option<(Arc<KeySet>, Instant)>,
    /// The end of the last fetch, whatever came of it.
    asked: Option<Instant>,
    /// Why the last fetch failed.
    reason: String,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuers {
    /// Checks the configuration. `fixed` gives the keys of issuers that live in this process.
    pub(crate) fn new(
        configs: &[IssuerConfig],
        fixed: impl Fn(&str) -> Option<Arc<KeySet>>,
    ) -> Result<Self, IssuerConfigError> {
        let issuers = config::check_all(configs)?;
        let source = |issuer: Issuer| Source {
            fixed: fixed(&issuer.url),
            issuer,
            fetched: Mutex::default(),
        };
        Ok(Self {
            issuers: issuers.into_iter().map(source).collect(),
        })
    }

    /// Who a token is about. Steps as in OpenID Connect Core 1.0 section 3.1.3.7.
    pub(crate) async fn verify(&self, token: &str, now: UnixTime) -> Result<Principal, TokenError> {
        // 1. Taken apart, bounded.
        let token = Token::parse(token)?;
        // 2. The issuer that it names must be configured, letter for letter.
        let named = token.unverified_issuer()?;
        let source = self.issuers.iter().find(|source| source.issuer.url == named);
        let source = source.ok_or_else(|| TokenError::UnknownIssuer {
            issuer: named.chars().take(200).collect(),
        })?;
        // 3. Its keys.
        let keys = source.keys(token.kid()).await?;
        // 4. Signature, issuer, audience, time.
        let issuer = &source.issuer;
        let claims = token.verify(&keys, &issuer.url, &issuer.client_id, now)?;
        // 5. The identity.
        principal(issuer, claims)
    }
}

impl Source {
    async fn keys(&self, kid: Option<&str>) -> Result<Arc<KeySet>, TokenError> {
        if let Some(keys) = &self.fixed {
            return Ok(Arc::clone(keys));
        }
        // One fetch at a time; whoever waits for it uses its result.
        let mut fetched = self.fetched.lock().await;
        let now = Instant::now();
        if let Some((keys, at)) = &fetched.held
            && now.duration_since(*at) < FRESH
            && keys.knows(kid)
        {
            return Ok(Arc::clone(keys));
        }
        if fetched.asked.is_some_and(|asked| now.duration_since(asked) < REFETCH) {
            return fetched.answer(now);
        }
        let outcome = self.fetch().await;
        // A fetch may take as long as the pause after it, so that the pause counts from its end.
        let now = Instant::now();
        fetched.asked = Some(now);
        match outcome {
            Ok(keys) => fetched.held = Some((Arc::new(keys), now)),
            Err(reason) => {
                tracing::warn!(
                    issuer = self.issuer.url,
                    reason,
                    "the keys of an issuer cannot be fetched"
                );
                fetched.reason = reason;
            }
        }
        fetched.answer(now)
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let client = fetch::client(self.issuer.ca_cert.as_deref())?;
        let base = self.issuer.url.trim_end_matches('/');
        let document = Url::parse(&format!("{base}/.well-known/openid-configuration")).map_err(|e| e.to_string())?;
        let body = fetch::get(&client, &document).await?;
        let discovery: Discovery =
            serde_json::from_slice(&body).map_err(|_| "the discovery document is malformed".to_owned())?;
        // OpenID Connect Discovery 1.0 section 4.3.
        if discovery.issuer != self.issuer.url {
            return Err(format!("the discovery document is of {}", discovery.issuer));
        }
        let keys = Url::parse(&discovery.jwks_uri).map_err(|_| "jwks_uri is not a URL".to_owned())?;
        // An issuer on another machine cannot point at this one: that would be a request to our own services.
        if is_loopback(&keys) && !is_loopback(&document) {
            return Err("jwks_uri points at this machine".to_owned());
        }
        let body = fetch::get(&client, &keys).await?;
        KeySet::parse(&body).ok_or_else(|| "the key set is malformed".to_owned())
    }
}

impl Fetched {
    /// The keys, unless they are too old.
    fn answer(&self, now: Instant) -> Result<Arc<KeySet>, TokenError> {
        match &self.held {
            Some((keys, at)) if now.duration_since(*at) < STALE => Ok(Arc::clone(keys)),
            _ => Err(TokenError::IssuerUnavailable {
                reason: self.reason.clone(),
            }),
        }
    }
}
