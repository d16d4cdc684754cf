//! Proving who we are to a registry: `Basic`, or a bearer token fetched from the token server that the registry names
//! (distribution, "Token Authentication Specification" and its OAuth 2 variant).
//!
//! Nothing is sent before the registry has asked for it. What it asked for is remembered for the host, and a token for
//! the repository and the actions it is for, until shortly before it expires.

mod challenge;
mod realm;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use proofmark_types::{RegistryHost, Repository};
use serde::Deserialize;
use url::Url;

use self::challenge::Challenge;
use crate::RegistryError;
use crate::counts::Operation;
use crate::credentials::{Credential, CredentialStore, Secret};
use crate::limits::{MAX_CACHED_TOKENS, MAX_TOKEN_BODY_BYTES};
use crate::transport::wire::{Outgoing, Wire};

/// Token specification: "if omitted, this defaults to 60 seconds".
const DEFAULT_TOKEN_LIFE: Duration = Duration::from_secs(60);

/// A token is not used for longer than this whatever it says, so that a revoked account stops working.
const MAX_TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// A scope that a registry asks for beyond ours, such as `aws`, is repeated up to this length.
const MAX_FOREIGN_SCOPE: usize = 512;

/// Reads `WWW-Authenticate`, for fuzzing.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_challenge(headers: &HeaderMap) -> bool {
    Challenge::from_headers(headers).is_some()
}

/// What a request is allowed to do, and where: one token is for exactly one value of this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Access {
    pub(crate) repository: Repository,
    pub(crate) push: bool,
    pub(crate) delete: bool,
    /// Another repository of the same registry that is read as well, for a mount.
    pub(crate) also_pull: Option<Repository>,
}

impl Access {
    pub(crate) fn pull(repository: &Repository) -> Self {
        Self {
            repository: repository.clone(),
            push: false,
            delete: false,
            also_pull: None,
        }
    }

    pub(crate) fn push(repository: &Repository) -> Self {
        Self {
            push: true,
            ..Self::pull(repository)
        }
    }

    pub(crate) fn delete(repository: &Repository) -> Self {
        Self {
            delete: true,
            ..Self::push(repository)
        }
    }

    pub(crate) fn mount(repository: &Repository, from: &Repository) -> Self {
        Self {
            push: true,
            also_pull: Some(from.clone()),
            ..Self::pull(repository)
        }
    }

    fn scopes(&self) -> Vec<String> {
        let actions = match (self.delete, self.push) {
            (true, _) => "pull,push,delete",
            (false, true) => "pull,push",
            (false, false) => "pull",
        };
        let mut scopes = vec![format!("repository:{}:{actions}", self.repository.path())];
        if let Some(other) = &self.also_pull {
            scopes.push(format!("repository:{}:pull", other.path()));
        }
        scopes
    }
}

/// Credentials, and what registries have asked for so far.
#[derive(Debug)]
pub(crate) struct Auth {
    credentials: CredentialStore,
    trusted_realms: Vec<(RegistryHost, String)>,
    schemes: Mutex<HashMap<RegistryHost, Scheme>>,
    tokens: Mutex<HashMap<Access, TokenSlot>>,
}

/// One token and the lock under which it is fetched, so that sixteen requests at once fetch one token.
type TokenSlot = Arc<tokio::sync::Mutex<Option<Token>>>;

#[derive(Clone, Debug)]
enum Scheme {
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
        foreign_scope: Option<String>,
        /// The registry was reached at a public address, so its token server must be too.
        public: bool,
    },
}

#[derive(Clone, Debug)]
struct Token {
    header: HeaderValue,
    expires: Instant,
}

/// What came of looking for something to send.
pub(crate) struct Authorization {
    /// The header's value; none means an anonymous request.
    pub(crate) header: Option<HeaderValue>,
    /// In words for an error, without any secret: `no credentials were found`, `as user "x"`.
    pub(crate) described: String,
}

impl Auth {
    pub(crate) fn new(credentials: CredentialStore, trusted_realms: Vec<(RegistryHost, String)>) -> Self {
        Self {
            credentials,
            trusted_realms,
            schemes: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// The same rules with other credentials; nothing learned with the old ones is kept.
    pub(crate) fn with_credentials(&self, credentials: CredentialStore) -> Self {
        Self::new(credentials, self.trusted_realms.clone())
    }

    /// Remembers what a 401 asks for. False when it asks for nothing that we know.
    pub(crate) fn learn(
        &self,
        registry: &RegistryHost,
        headers: &HeaderMap,
        plain_http: bool,
        public: bool,
    ) -> Result<bool, RegistryError> {
        let scheme = match Challenge::from_headers(headers) {
            None => return Ok(false),
            Some(Challenge::Basic) => Scheme::Basic,
            Some(Challenge::Bearer { realm, service, scope }) => {
                let refused = |reason| RegistryError::RealmRefused {
                    registry: registry.to_string(),
                    realm: realm.chars().take(200).collect(),
                    reason,
                };
                let url = Url::parse(&realm).map_err(|_| refused("its address is not a URL"))?;
                realm::check_address(registry, plain_http, &url).map_err(refused)?;
                Scheme::Bearer {
                    realm: url,
                    service,
                    foreign_scope: scope.filter(|s| !s.starts_with("repository:") && s.len() <= MAX_FOREIGN_SCOPE),
                    public,
                }
            }
        };
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        schemes.insert(registry.clone(), scheme);
        Ok(true)
    }

    /// What to send with a request. A token held that equals `rejected` is replaced by a new one.
    pub(crate) async fn authorize(
        &self,
        wire: &Wire,
        access: &Access,
        rejected: Option<&HeaderValue>,
    ) -> Result<Authorization, RegistryError> {
        let registry = access.repository.registry();
        let scheme = {
            let schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
            schemes.get(registry).cloned()
        };
        let Some(scheme) = scheme else {
            return Ok(Authorization {
                header: None,
                described: "nothing was sent".to_owned(),
            });
        };
        let credential = self.credentials.lookup(&access.repository).await?;
        let described = describe(credential.as_ref());
        let header = match (scheme, credential) {
            (_, Some(Credential::RegistryToken(token))) => Some(sensitive(format!("Bearer {}", token.reveal()))?),
            (Scheme::Basic, Some(Credential::Password { username, password })) => Some(basic(&username, &password)?),
            (Scheme::Basic, _) => None,
            (
                Scheme::Bearer {
                    realm,
                    service,
                    foreign_scope,
                    public,
                },
                credential,
            ) => {
                let question = Question {
                    realm: &realm,
                    service: service.as_deref(),
                    foreign_scope: foreign_scope.as_deref(),
                    public,
                    credential,
                    access,
                };
                Some(self.token(wire, &question, rejected).await?)
            }
        };
        Ok(Authorization { header, described })
    }

    /// A token from the cache or the token server.
    async fn token(
        &self,
        wire: &Wire,
        question: &Question<'_>,
        rejected: Option<&HeaderValue>,
    ) -> Result<HeaderValue, RegistryError> {
        let slot = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            if tokens.len() >= MAX_CACHED_TOKENS && !tokens.contains_key(question.access) {
                tokens.clear();
            }
            Arc::clone(tokens.entry(question.access.clone()).or_default())
        };
        let mut held = slot.lock().await;
        if let Some(token) = held.as_ref()
            && token.expires > Instant::now()
            && Some(&token.header) != rejected
        {
            return Ok(token.header.clone());
        }
        *held = None;
        let token = self.fetch(wire, question).await?;
        *held = Some(token.clone());
        Ok(token.header)
    }

    async fn fetch(&self, wire: &Wire, question: &Question<'_>) -> Result<Token, RegistryError> {
        let registry = question.access.repository.registry();
        if question.credential.is_some() && !realm::may_see_credentials(registry, question.realm, &self.trusted_realms)
        {
            return Err(RegistryError::RealmRefused {
                registry: registry.to_string(),
                realm: question.realm.as_str().chars().take(200).collect(),
                reason: "it is not of the registry's own domain, and credentials for the registry would be sent there",
            });
        }
        let outgoing = question.request()?;
        let what = format!("a token for {}", question.access.repository);
        let response = wire.send(outgoing).await?;
        let status = response.status();
        if !status.is_success() {
            let refused = response.refusal(registry, &what).await;
            return Err(match refused {
                RegistryError::Unauthorized { registry, what, reason } => RegistryError::Unauthorized {
                    registry,
                    what,
                    reason: format!(
                        "{}; the token server said: {reason}",
                        describe(question.credential.as_ref())
                    ),
                },
                other => other,
            });
        }
        let body = response.document(MAX_TOKEN_BODY_BYTES, &what).await?;
        let malformed = |reason: &str| RegistryError::Malformed {
            what: format!("the token server's answer for {}", question.access.repository),
            reason: reason.to_owned(),
        };
        // The parser's message is not passed on: it may quote the token.
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(|_| malformed("not the JSON expected"))?;
        let token = answer
            .token
            .filter(|token| !token.is_empty())
            .or(answer.access_token)
            .filter(|token| !token.is_empty())
            .ok_or_else(|| malformed("it holds no token"))?;
        let life = answer
            .expires_in
            .map_or(DEFAULT_TOKEN_LIFE, Duration::from_secs)
            .min(MAX_TOKEN_LIFE);
        Ok(Token {
            header: sensitive(format!("Bearer {token}"))?,
            // A tenth early, so that a request sent with it arrives while it is good.
            expires: Instant::now() + life.mul_f32(0.9),
        })
    }
}

/// What a token server is asked.
struct Question<'a> {
    realm: &'a Url,
    service: Option<&'a str>,
    foreign_scope: Option<&'a str>,
    public: bool,
    credential: Option<Credential>,
    access: &'a Access,
}

impl Question<'_> {
    fn request(&self) -> Result<Outgoing, RegistryError> {
        let mut scopes = self.access.scopes();
        scopes.extend(self.foreign_scope.map(str::to_owned));
        let mut url = self.realm.clone();
        let mut outgoing = match &self.credential {
            Some(Credential::IdentityToken(token)) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", "proofmark")
                    .append_pair("scope", &scopes.join(" "))
                    .append_pair("refresh_token", token.reveal());
                if let Some(service) = self.service {
                    form.append_pair("service", service);
                }
                let mut outgoing = Outgoing::new(Operation::Token, Method::POST, url);
                outgoing.headers.insert(
                    http::header::CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                outgoing.with_bytes(form.finish().into())
            }
            other => {
                {
                    let mut query = url.query_pairs_mut();
                    if let Some(service) = self.service {
                        query.append_pair("service", service);
                    }
                    for scope in &scopes {
                        query.append_pair("scope", scope);
                    }
                }
                let mut outgoing = Outgoing::new(Operation::Token, Method::GET, url);
                if let Some(Credential::Password { username, password }) = other {
                    outgoing
                        .headers
                        .insert(http::header::AUTHORIZATION, basic(username, password)?);
                }
                outgoing
            }
        };
        outgoing.public_only = self.public;
        Ok(outgoing)
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn describe(credential: Option<&Credential>) -> String {
    match credential {
        None => "no credentials were found for it".to_owned(),
        Some(Credential::Password { username, .. }) => format!("signed in as \"{username}\""),
        Some(Credential::IdentityToken(_)) => "signed in with an identity token".to_owned(),
        Some(Credential::RegistryToken(_)) => "signed in with a registry token".to_owned(),
    }
}

fn basic(username: &str, password: &Secret) -> Result<HeaderValue, RegistryError> {
    let pair = format!("{username}:{}", password.reveal());
    sensitive(format!("Basic {}", STANDARD.encode(pair)))
}

/// A header value that is never shown by `Debug`.
fn sensitive(text: String) -> Result<HeaderValue, RegistryError> {
    let mut value = HeaderValue::from_str(&text).map_err(|_| RegistryError::Setup {
        reason: "a credential has characters that no header can carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
