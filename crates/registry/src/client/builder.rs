//! Setting up a client.

use std::sync::Arc;

use proofmark_types::{RegistryHost, Repository};

use super::{Client, Options};
use crate::RegistryError;
use crate::auth::Auth;
use crate::credentials::CredentialStore;
use crate::limits::Timeouts;
use crate::progress::Progress;
use crate::transport::wire::TlsTrust;
use crate::transport::{Schemes, Transport, Wire};

/// What a [`Client`] is made with.
#[derive(Debug, Default)]
#[must_use]
pub struct ClientBuilder {
    credentials: CredentialStore,
    trusted_realms: Vec<(RegistryHost, String)>,
    schemes: Schemes,
    timeouts: Timeouts,
    user_agent: Option<String>,
    roots: Vec<Vec<u8>>,
    identity: Option<Vec<u8>>,
    anyone: bool,
    options: Options,
}

impl ClientBuilder {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Where credentials come from; none unless set.
    pub fn credentials(mut self, credentials: CredentialStore) -> Self {
        self.credentials = credentials;
        self
    }

    /// Lets credentials for `registry` be shown to a token server of another domain.
    pub fn trust_token_server(mut self, registry: RegistryHost, host: &str) -> Self {
        self.trusted_realms.push((registry, host.to_ascii_lowercase()));
        self
    }

    /// Falls back to plain HTTP, for any host, where TLS fails; credentials are not shown there (name the host with
    /// [`ClientBuilder::http_for`] for that). Without it plain HTTP is for loopback only.
    pub fn allow_http(mut self, allow: bool) -> Self {
        self.schemes.allow_http = allow;
        self
    }

    /// Uses plain HTTP for this host.
    pub fn http_for(mut self, registry: RegistryHost) -> Self {
        self.schemes.plain_hosts.push(registry);
        self
    }

    /// Uses TLS for every host, loopback included.
    pub fn require_https(mut self, require: bool) -> Self {
        self.schemes.require_https = require;
        self
    }

    /// How long to wait for what.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// What registries' logs call us; `proofmark/<version>` unless set.
    pub fn user_agent(mut self, user_agent: &str) -> Self {
        self.user_agent = Some(user_agent.to_owned());
        self
    }

    /// Trusts the authorities of a PEM file beside the system's.
    pub fn root_certificates(mut self, pem: &[u8]) -> Self {
        self.roots.push(pem.to_vec());
        self
    }

    /// Shows this certificate, and proves with its key, to registries that ask for one: both in one PEM text.
    pub fn client_certificate(mut self, pem: &[u8]) -> Self {
        self.identity = Some(pem.to_vec());
        self
    }

    /// Takes any TLS certificate for any host. Whoever is on the way can read and change everything then; what is
    /// asked for by digest is still checked.
    pub fn danger_accept_any_certificate(mut self, accept: bool) -> Self {
        self.anyone = accept;
        self
    }

    /// Keeps all evidence in one repository instead of beside the image (cosign's `COSIGN_REPOSITORY`). Evidence is then
    /// looked for only there, as cosign does.
    pub fn evidence_repository(mut self, repository: Option<Repository>) -> Self {
        self.options.evidence_repository = repository;
        self
    }

    /// Tells `progress` what moves.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.options.progress = Some(progress);
        self
    }

    /// Makes the client. Nothing is connected yet.
    pub fn build(self) -> Result<Client, RegistryError> {
        let mut roots = Vec::new();
        for pem in &self.roots {
            let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| RegistryError::Setup {
                reason: format!("the authorities given are not PEM certificates: {error}"),
            })?;
            if certificates.is_empty() {
                return Err(RegistryError::Setup {
                    reason: "the authorities given hold no PEM certificate".to_owned(),
                });
            }
            roots.extend(certificates);
        }
        let user_agent = self
            .user_agent
            .unwrap_or_else(|| concat!("proofmark/", env!("CARGO_PKG_VERSION")).to_owned());
        if http::HeaderValue::from_str(&user_agent).is_err() {
            return Err(RegistryError::Setup {
                reason: "the user agent has characters that no header can carry".to_owned(),
            });
        }
        let identity = self.identity.as_deref().map(reqwest::Identity::from_pem).transpose();
        let identity = identity.map_err(|error| RegistryError::Setup {
            reason: format!("the client certificate is no PEM certificate with its key: {error}"),
        })?;
        let trust = TlsTrust {
            roots,
            identity,
            anyone: self.anyone,
        };
        let wire = Wire::new(self.timeouts, user_agent, trust);
        let auth = Arc::new(Auth::new(self.credentials, self.trusted_realms));
        Ok(Client {
            transport: Arc::new(Transport::new(wire, auth, Arc::new(self.schemes))),
            options: Arc::new(self.options),
        })
    }
}
