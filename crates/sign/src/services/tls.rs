//! TLS with timestamp authorities that want to know who asks, or are known by another name.

use std::fmt;
use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Identity, Url};

use crate::error::{Service, SignError};
use crate::http::{Http, HttpError};

/// TLS with timestamp authorities: cosign's `--timestamp-client-*` and `--timestamp-server-name`.
#[derive(Clone, Default)]
pub struct TimestampTls {
    /// `--timestamp-client-cacert`, PEM: whom to believe, and nobody else.
    pub authorities: Option<Vec<u8>>,
    /// `--timestamp-client-cert` and `--timestamp-client-key`, PEM: who we are.
    pub identity: Option<ClientIdentity>,
    /// `--timestamp-server-name`: the name that the server's certificate must have.
    pub server_name: Option<String>,
}

/// A TLS client's certificate and key, PEM. Not shown.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate, perhaps with its chain.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: zeroize::Zeroizing<Vec<u8>>,
}

impl TimestampTls {
    /// The client for the authority at `url`: `usual`, unless something is said here.
    pub(crate) fn client(&self, usual: &Http, url: &Url, roots: &[Vec<u8>]) -> Result<Http, SignError> {
        if self.authorities.is_none() && self.identity.is_none() && self.server_name.is_none() {
            return Ok(usual.clone());
        }
        let broken = |error: reqwest::Error| SignError::Http {
            service: Service::TimestampAuthority,
            source: HttpError::client(&error),
        };
        let mut builder = Http::builder();
        match &self.authorities {
            Some(pem) => {
                builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(broken)?);
            }
            None => {
                for pem in roots {
                    builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(broken)?);
                }
            }
        }
        if let Some(identity) = &self.identity {
            let mut pem = zeroize::Zeroizing::new(identity.certificate.clone());
            pem.push(b'\n');
            pem.extend_from_slice(&identity.key);
            builder = builder.identity(Identity::from_pem(&pem).map_err(broken)?);
        }
        if let Some(name) = &self.server_name {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            builder = builder.dns_resolver(Renamed { host }).no_proxy();
            return Ok(usual.with_client(builder.build().map_err(broken)?, Some(name.clone())));
        }
        Ok(usual.with_client(builder.build().map_err(broken)?, None))
    }
}

/// Finds the machine by the address of the configuration, whatever name its certificate has.
struct Renamed {
    host: String,
}

impl Resolve for Renamed {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for TimestampTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimestampTls")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .finish()
    }
}
