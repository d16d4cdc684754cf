//! Requests to registries as values, and the one function that sends them: authentication, throttling, redirects,
//! timeouts and counting happen here and nowhere else.

pub(crate) mod address;
mod brakes;
mod redirect;
pub(crate) mod response;
mod retry;
pub(crate) mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::AUTHORIZATION;
use proofmark_types::RegistryHost;
use url::Url;

use self::brakes::Brakes;
pub(crate) use self::response::Response;
use self::retry::Patience;
pub(crate) use self::wire::{Body, Outgoing, Wire};
use crate::RegistryError;
use crate::auth::{Access, Auth};
use crate::counts::Operation;
use crate::credentials::CredentialStore;
use crate::limits::{MAX_AUTH_ROUNDS, MAX_HOLD};

/// One request to a registry.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) access: Access,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// What is asked for, as an error says it.
    pub(crate) what: String,
}

/// Where a request goes: always the registry of [`Call::access`].
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A path after the host, with its query.
    Path(String),
    /// A location that the registry gave for an upload, checked by [`Transport::upload_location`].
    Upload(Url),
}

impl Call {
    pub(crate) fn get(operation: Operation, access: Access, path: String, what: String) -> Self {
        Self {
            operation,
            method: Method::GET,
            target: Target::Path(path),
            access,
            headers: HeaderMap::new(),
            body: Body::Empty,
            what,
        }
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

/// Sends calls.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) wire: Wire,
    pub(crate) auth: Arc<Auth>,
    /// For hosts where plain HTTP is what a failure of TLS left: nobody's credentials.
    nobody: Arc<Auth>,
    schemes: Arc<Schemes>,
    /// Where requests wait for each other's "later".
    brakes: Option<Arc<Brakes>>,
}

/// Which registries are spoken to without TLS.
#[derive(Debug, Default)]
pub(crate) struct Schemes {
    /// Plain HTTP wherever TLS does not work.
    pub(crate) allow_http: bool,
    /// TLS even on loopback.
    pub(crate) require_https: bool,
    /// Plain HTTP for these at once.
    pub(crate) plain_hosts: Vec<RegistryHost>,
    /// What was found out where `allow_http` applies; true is plain.
    pub(crate) found: Mutex<HashMap<RegistryHost, bool>>,
}

impl Schemes {
    /// True: plain. False: TLS. None: to be found out.
    fn plain(&self, registry: &RegistryHost) -> Option<bool> {
        if self.plain_hosts.contains(registry) {
            return Some(true);
        }
        if self.require_https {
            return Some(false);
        }
        if registry.is_loopback() {
            return Some(true);
        }
        if !self.allow_http {
            return Some(false);
        }
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(registry).copied()
    }

    fn learn(&self, registry: &RegistryHost, plain: bool) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.insert(registry.clone(), plain);
    }

    /// Whether plain HTTP is spoken to this host only because TLS failed: whoever is on the way can make it fail.
    fn fell_back(&self, registry: &RegistryHost) -> bool {
        !self.plain_hosts.contains(registry) && !registry.is_loopback() && self.plain(registry) == Some(true)
    }

    fn may_be_plain(&self, registry: &RegistryHost) -> bool {
        self.plain(registry).unwrap_or(true)
    }
}

impl Transport {
    pub(crate) fn new(wire: Wire, auth: Arc<Auth>, schemes: Arc<Schemes>) -> Self {
        let nobody = Arc::new(auth.with_credentials(CredentialStore::anonymous()));
        Self {
            wire,
            auth,
            nobody,
            schemes,
            brakes: None,
        }
    }

    /// The same connections and counters with other credentials.
    pub(crate) fn with_credentials(&self, credentials: CredentialStore) -> Self {
        let auth = Arc::new(self.auth.with_credentials(credentials));
        Self {
            brakes: self.brakes.clone(),
            ..Self::new(self.wire.clone(), auth, Arc::clone(&self.schemes))
        }
    }

    /// The same, and what a registry says to one request holds for the others.
    pub(crate) fn with_brakes(&self) -> Self {
        Self {
            brakes: Some(Arc::default()),
            ..self.with_fresh_counts()
        }
    }

    /// The same connections and credentials, counted from zero.
    pub(crate) fn with_fresh_counts(&self) -> Self {
        Self {
            wire: self.wire.with_fresh_counts(),
            auth: Arc::clone(&self.auth),
            nobody: Arc::clone(&self.nobody),
            schemes: Arc::clone(&self.schemes),
            brakes: self.brakes.clone(),
        }
    }

    /// Sends a call and returns the answer, whatever its status except 401, 403, 429, 503 and refused redirects, which
    /// are errors.
    ///
    /// 1. Choose the scheme: TLS, or plain HTTP where that is allowed. Where it is spoken because TLS failed, no
    ///    credentials are shown: a failure is within the power of anyone on the way.
    /// 2. Send, with what is known to be wanted as authorization (nothing at first).
    /// 3. 401: learn what is asked for, authorize, repeat; bounded.
    /// 4. 429 and 503: wait as told, repeat; bounded in number and time. Where requests think of each other, the others
    ///    to the same registry wait as well; one that would have to wait longer than it may is throttled unasked.
    /// 5. Redirect (GET and HEAD): follow without authorization, by the rules of [`redirect`]; bounded.
    pub(crate) async fn send(&self, mut call: Call) -> Result<Response, RegistryError> {
        let registry = call.access.repository.registry().clone();
        let mut rounds = 0;
        let mut patience = Patience::new(self.wire.timeouts().throttle);
        let mut plain = self.schemes.plain(&registry);
        let mut auth = self.auth_for(&registry);
        let mut authorization = auth.authorize(&self.wire, &call.access, None).await?;
        loop {
            let url = self.url(&call, plain.unwrap_or(false))?;
            let mut outgoing = Outgoing::new(call.operation, call.method.clone(), url);
            outgoing.headers = call.headers.clone();
            if let Some(header) = &authorization.header {
                outgoing.headers.insert(AUTHORIZATION, header.clone());
            }
            let replayable = call.body.is_replayable();
            outgoing.body = call.body.take();
            outgoing.retried = rounds > 0 || patience.attempts() > 0;
            self.hold_back(&mut patience, &registry).await?;
            let response = match self.wire.send(outgoing).await {
                // Step 1, where plain HTTP is allowed and it is not known whether the host has TLS. A certificate that
                // does not hold is TLS: who can present one must not get the request in the clear instead.
                Err(RegistryError::Unreachable { reason, .. })
                    if plain.is_none() && replayable && !reason.contains("certificate") =>
                {
                    plain = Some(true);
                    self.schemes.learn(&registry, true);
                    auth = self.auth_for(&registry);
                    authorization = auth.authorize(&self.wire, &call.access, None).await?;
                    continue;
                }
                other => other?,
            };
            if plain.is_none() {
                plain = Some(false);
                self.schemes.learn(&registry, false);
            }
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED {
                let plain_http = response.url().scheme() == "http";
                let (headers, public) = (response.headers(), response.is_public());
                let known = auth.learn(&registry, headers, plain_http, public)?;
                if !known || rounds >= MAX_AUTH_ROUNDS || !replayable {
                    let described = self.described(&registry, authorization.described);
                    return Err(unauthorized(response, &registry, &call.what, &described).await);
                }
                let rejected = authorization.header.as_ref();
                let next = auth.authorize(&self.wire, &call.access, rejected).await?;
                // Nothing new to show: the answer would be the same.
                if next.header.is_none() || next.header == authorization.header {
                    let described = self.described(&registry, next.described);
                    return Err(unauthorized(response, &registry, &call.what, &described).await);
                }
                authorization = next;
                rounds += 1;
                continue;
            }
            let repeat = replayable && (retry::is_throttle(status) || is_read(&call.method));
            self.take_note(&response, &registry);
            let Some(response) = pause(&mut patience, response, repeat, &registry).await? else {
                continue;
            };
            if status == StatusCode::FORBIDDEN {
                return Err(response.refusal(&registry, &call.what).await);
            }
            if !status.is_server_error() {
                self.wire.counters().answer();
            }
            return self.follow(&call, &registry, response).await;
        }
    }

    /// What a registry says to one request holds for the others.
    fn take_note(&self, response: &Response, registry: &RegistryHost) {
        if response.status() == StatusCode::TOO_MANY_REQUESTS
            && let Some(wait) = retry::retry_after(response.headers())
            && let Some(brakes) = &self.brakes
        {
            brakes.pull(registry, wait.min(MAX_HOLD));
        }
    }

    /// Waits while the registry is to be left alone, for as long as this request may wait.
    async fn hold_back(&self, patience: &mut Patience, registry: &RegistryHost) -> Result<(), RegistryError> {
        while let Some(wait) = self.brakes.as_ref().and_then(|brakes| brakes.wait(registry)) {
            if !patience.spend(wait) {
                return Err(RegistryError::Throttled {
                    registry: registry.to_string(),
                    status: StatusCode::TOO_MANY_REQUESTS.as_u16(),
                    attempts: patience.attempts(),
                    retry_after: Some(wait),
                });
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn auth_for(&self, registry: &RegistryHost) -> &Auth {
        if self.schemes.fell_back(registry) {
            &self.nobody
        } else {
            &self.auth
        }
    }

    fn described(&self, registry: &RegistryHost, described: String) -> String {
        if self.schemes.fell_back(registry) {
            return "TLS does not work there, and credentials are not shown over the plain HTTP that was tried instead"
                .to_owned();
        }
        described
    }

    /// Step 5 of [`Transport::send`].
    async fn follow(&self, call: &Call, registry: &RegistryHost, first: Response) -> Result<Response, RegistryError> {
        let mut response = first;
        let mut hops = 0;
        while response.status().is_redirection() && response.status() != StatusCode::NOT_MODIFIED {
            hops += 1;
            let rules = redirect::Rules {
                read: is_read(&call.method),
                plain_allowed: self.schemes.may_be_plain(registry),
                hops,
            };
            let next = redirect::next(&response, &rules)?;
            let mut outgoing = Outgoing::new(call.operation, call.method.clone(), next);
            // Everything that was for the registry alone stays behind; Accept and Range do not identify anybody.
            for name in [http::header::ACCEPT, http::header::RANGE] {
                for value in call.headers.get_all(&name) {
                    outgoing.headers.append(name.clone(), value.clone());
                }
            }
            outgoing.public_only = response.is_public();
            outgoing.redirected = true;
            response = self.wire.send(outgoing).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
                return Err(response.refusal(registry, &call.what).await);
            }
            if retry::is_throttle(status) {
                return Err(RegistryError::Throttled {
                    registry: response.host(),
                    status: status.as_u16(),
                    attempts: 1,
                    retry_after: retry::retry_after(response.headers()),
                });
            }
        }
        Ok(response)
    }

    /// Where an upload goes on, from the `Location` of the answer that opened it.
    ///
    /// The specification allows a location anywhere ("does not necessarily need to be provided by the registry itself").
    /// The registries in use answer with a path or with their own host (GHCR, Azure, Harbor, Zot, ECR, Docker Hub), and a
    /// client that followed another host with its credentials had to be fixed (GHSA-jxpm-75mh-9fp7, oras-go). So: the same
    /// host and port, or an error. Our own scheme is kept: a registry behind a TLS proxy often says `http`.
    pub(crate) fn upload_location(&self, opened: &Response) -> Result<Url, RegistryError> {
        redirect::upload_location(opened)
    }

    fn url(&self, call: &Call, plain: bool) -> Result<Url, RegistryError> {
        match &call.target {
            Target::Upload(url) => Ok(url.clone()),
            Target::Path(path) => {
                let scheme = if plain { "http" } else { "https" };
                let endpoint = call.access.repository.registry().endpoint();
                Url::parse(&format!("{scheme}://{endpoint}{path}")).map_err(|error| RegistryError::Setup {
                    reason: format!("{endpoint}{path} is not an address: {error}"),
                })
            }
        }
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Step 4 of [`Transport::send`]: none after having waited, the answer where there is nothing to wait for.
async fn pause(
    patience: &mut Patience,
    response: Response,
    repeat: bool,
    registry: &RegistryHost,
) -> Result<Option<Response>, RegistryError> {
    let status = response.status();
    if !retry::is_throttle(status) && !retry::is_server_error(status) {
        return Ok(Some(response));
    }
    match patience.next_wait(status, response.headers()).filter(|_| repeat) {
        Some(wait) => {
            drop(response);
            tokio::time::sleep(wait).await;
            Ok(None)
        }
        None if retry::is_throttle(status) => Err(RegistryError::Throttled {
            registry: registry.to_string(),
            status: status.as_u16(),
            attempts: patience.attempts(),
            retry_after: retry::retry_after(response.headers()),
        }),
        None => Ok(Some(response)),
    }
}

async fn unauthorized(response: Response, registry: &RegistryHost, what: &str, described: &str) -> RegistryError {
    match response.refusal(registry, what).await {
        RegistryError::Unauthorized { registry, what, reason } => RegistryError::Unauthorized {
            registry,
            what,
            reason: format!("{described}; the registry said: {reason}"),
        },
        other => other,
    }
}
