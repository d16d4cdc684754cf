//! The webhook's own certificates: an authority kept in a folder, serving certificates made from it in memory, both
//! renewed long before they end and swapped without a restart.
//!
//! The serving key is never written down: a process makes one when it starts and a new one at two thirds of the
//! certificate's life. The authority is what the webhook configuration trusts, so it lives long and overlaps: its
//! successor is made, and published in [`Certificates::ca_bundle_pem`], at two thirds of its life, and signs only
//! when the old one is about to end. Whoever installs the bundle has a third of the authority's life to renew it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use proofmark_types::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

mod folder;

use folder::Folder;
pub(crate) use folder::Stored;

/// How far back a certificate's start is dated: the API server's clock may be behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Where the certificates are and how long they live.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Holds the authority (`authority.pem`, mode 0600) and the bundle for the webhook configuration (`ca.crt`).
    pub folder: PathBuf,
    /// DNS names and addresses of the serving certificate; `service.namespace.svc` in a cluster.
    pub names: Vec<String>,
    /// Life of a serving certificate.
    pub serving_lifetime: Duration,
    /// Life of the authority.
    pub authority_lifetime: Duration,
}

impl TlsConfig {
    /// `names` with serving certificates of a week and an authority of a year.
    #[must_use]
    pub fn new(folder: PathBuf, names: Vec<String>) -> Self {
        Self {
            folder,
            names,
            serving_lifetime: Duration::from_secs(7 * 24 * 3600),
            authority_lifetime: Duration::from_secs(365 * 24 * 3600),
        }
    }
}

/// Why there is no certificate to serve with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The folder cannot be made, read or written.
    #[error("cannot {action} {path}")]
    Folder {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The authority's file is not what this program wrote; it is never overwritten.
    #[error("{path} is not an authority of this webhook: {reason}; move it away to have a new one made")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No name was given.
    #[error("the webhook has no DNS name or address to make a certificate for")]
    NoNames,
    /// A certificate lives shorter than its renewal needs, or the serving certificate longer than its authority.
    #[error("the certificate lifetimes are not usable: serving {serving:?}, authority {authority:?}")]
    Lifetimes {
        /// Serving lifetime.
        serving: Duration,
        /// Authority lifetime.
        authority: Duration,
    },
    /// A name is not a DNS name or an address, or the key could not be made.
    #[error("cannot make the certificate")]
    Make(#[source] rcgen::Error),
    /// The TLS library does not take what was made.
    #[error("cannot serve the certificate")]
    Serve(#[source] rustls::Error),
}

impl TlsError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "tls-folder",
            Self::Unreadable { .. } => "tls-authority-unreadable",
            Self::NoNames => "tls-no-names",
            Self::Lifetimes { .. } => "tls-lifetimes",
            Self::Make(_) => "tls-certificate",
            Self::Serve(_) => "tls-serve",
        }
    }
}

/// What [`Certificates::renew`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// A new serving certificate is in use.
    pub serving: bool,
    /// The bundle has a new authority: the webhook configuration should be given it.
    pub bundle: bool,
}

/// The certificates of one server; the TLS acceptor asks it at every handshake.
pub struct Certificates {
    config: TlsConfig,
    folder: Folder,
    /// Held for reading at handshakes, for writing only to swap a finished state in.
    state: RwLock<Arc<State>>,
}

struct State {
    current: Authority,
    next: Option<Authority>,
    serving: Arc<CertifiedKey>,
    serving_window: Window,
}

/// When a certificate was made and when it ends.
#[derive(Clone, Copy)]
struct Window {
    start: UnixTime,
    end: UnixTime,
}

impl Window {
    /// Two thirds gone: the rest is for noticing that renewal fails. Also when the clock was set back before the start.
    fn is_due(self, now: UnixTime) -> bool {
        now >= self.end.minus(self.end.since(self.start) / 3) || now < self.start.minus(CLOCK_SKEW)
    }
}

#[derive(Clone)]
struct Authority {
    /// Private key and certificate, PKCS#8 and X.509 in PEM, as stored.
    pem: String,
    certificate: CertificateDer<'static>,
    window: Window,
}

impl Certificates {
    /// Opens the folder, makes what is missing in it, and a serving certificate.
    pub fn open(config: TlsConfig, now: UnixTime) -> Result<Self, TlsError> {
        if config.names.is_empty() {
            return Err(TlsError::NoNames);
        }
        if config.serving_lifetime < Duration::from_secs(60) || config.authority_lifetime < 6 * config.serving_lifetime
        {
            return Err(TlsError::Lifetimes {
                serving: config.serving_lifetime,
                authority: config.authority_lifetime,
            });
        }
        let folder = Folder::open(&config.folder)?;
        let current = match folder.authority()? {
            Some(authority) if authority.window.end > now => authority,
            // An authority that has ended serves nobody; the file is replaced rather than the start refused.
            Some(_) => folder.replace_authority(Authority::make(&config, now)?)?,
            None => folder.store_authority(Authority::make(&config, now)?)?,
        };
        let next = folder.next_authority()?.filter(|authority| authority.window.end > now);
        let (serving, serving_window) = make_serving(&config, &current, now)?;
        let state = State {
            current,
            next,
            serving,
            serving_window,
        };
        let certificates = Self {
            config,
            folder,
            state: RwLock::new(Arc::new(state)),
        };
        certificates.folder.store_bundle(&certificates.ca_bundle_pem())?;
        certificates.renew(now)?;
        Ok(certificates)
    }

    /// Makes whatever is due at `now` and swaps it in; connections that are open keep what they have.
    pub fn renew(&self, now: UnixTime) -> Result<Renewal, TlsError> {
        let state = self.state();
        let serving_due = state.serving_window.is_due(now);
        let mut current = state.current.clone();
        let mut next = state.next.clone();
        let mut renewal = Renewal::default();
        if next.is_none() && current.window.is_due(now) {
            next = Some(self.folder.store_next_authority(Authority::make(&self.config, now)?)?);
            renewal.bundle = true;
        }
        // The old authority signs until certificates from it would outlive it; then the successor takes over.
        let handover = current.window.end.minus(2 * self.config.serving_lifetime);
        if let Some(successor) = next.take_if(|_| now >= handover) {
            current = self.folder.promote_next_authority(successor)?;
            renewal.bundle = true;
            renewal.serving = true;
        }
        renewal.serving |= serving_due;
        if renewal == Renewal::default() {
            return Ok(renewal);
        }
        let (serving, serving_window) = if renewal.serving {
            make_serving(&self.config, &current, now)?
        } else {
            (state.serving.clone(), state.serving_window)
        };
        self.swap(State {
            current,
            next,
            serving,
            serving_window,
        });
        self.folder.store_bundle(&self.ca_bundle_pem())?;
        Ok(renewal)
    }

    /// Reads the folder again: another process has put a renewed authority there.
    pub(crate) fn reload(&self, now: UnixTime) -> Result<(), TlsError> {
        let state = self.state();
        let Some(current) = self.folder.authority()? else {
            return Ok(());
        };
        let next = self
            .folder
            .next_authority()?
            .filter(|authority| authority.window.end > now);
        let (serving, serving_window) = if current.pem == state.current.pem {
            (state.serving.clone(), state.serving_window)
        } else {
            make_serving(&self.config, &current, now)?
        };
        self.swap(State {
            current,
            next,
            serving,
            serving_window,
        });
        self.folder.store_bundle(&self.ca_bundle_pem())
    }

    /// The authorities that the webhook configuration has to trust, in PEM: its `caBundle` before base64.
    #[must_use]
    pub fn ca_bundle_pem(&self) -> String {
        let state = self.state();
        let mut bundle = pem_certificate(&state.current.certificate);
        if let Some(next) = &state.next {
            bundle.push_str(&pem_certificate(&next.certificate));
        }
        bundle
    }

    /// When the serving certificate ends.
    #[must_use]
    pub fn serving_end(&self) -> UnixTime {
        self.state().serving_window.end
    }

    /// When the authority that signs ends.
    #[must_use]
    pub fn authority_end(&self) -> UnixTime {
        self.state().current.window.end
    }

    fn state(&self) -> Arc<State> {
        // Nothing panics while the lock is held; if something did, the state is still a whole one.
        self.state
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn swap(&self, state: State) {
        *self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(state);
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.state().serving.clone())
    }
}

impl Authority {
    fn make(config: &TlsConfig, now: UnixTime) -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(TlsError::Make)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(TlsError::Make)?;
        params.distinguished_name = named("proofmark admission authority");
        // No intermediate below it; it signs serving certificates only.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_window(&mut params, now, config.authority_lifetime);
        let certificate = params.self_signed(&key).map_err(TlsError::Make)?;
        let pem = format!("{}{}", key.serialize_pem(), certificate.pem());
        Self::read(pem).map_err(|reason| TlsError::Unreadable {
            path: config.folder.clone(),
            reason,
        })
    }

    /// Reads what [`Authority::make`] wrote.
    fn read(pem: String) -> Result<Self, String> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("no certificate in it ({error})"))?;
        let window = validity(&certificate)?;
        let authority = Self {
            pem,
            certificate,
            window,
        };
        authority.issuer().map_err(|error| error.to_string())?;
        Ok(authority)
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
        let key = KeyPair::from_pem(&self.pem)?;
        Issuer::from_ca_cert_der(&self.certificate, key)
    }
}

fn make_serving(
    config: &TlsConfig,
    authority: &Authority,
    now: UnixTime,
) -> Result<(Arc<CertifiedKey>, Window), TlsError> {
    let key = KeyPair::generate().map_err(TlsError::Make)?;
    let mut params = CertificateParams::new(config.names.clone()).map_err(TlsError::Make)?;
    params.distinguished_name = named("proofmark admission");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let window = set_window(&mut params, now, config.serving_lifetime);
    let issuer = authority.issuer().map_err(TlsError::Make)?;
    let certificate = params.signed_by(&key, &issuer).map_err(TlsError::Make)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&private).map_err(TlsError::Serve)?;
    let certified = CertifiedKey::new(vec![certificate.der().clone()], signing);
    Ok((Arc::new(certified), window))
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn set_window(params: &mut CertificateParams, now: UnixTime, lifetime: Duration) -> Window {
    let end = now.plus(lifetime);
    params.not_before = now.minus(CLOCK_SKEW).to_system().into();
    params.not_after = end.to_system().into();
    Window { start: now, end }
}

/// The validity of a certificate that this program made: the skew is taken back off the start.
fn validity(certificate: &CertificateDer<'_>) -> Result<Window, String> {
    use x509_cert::der::Decode;
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let validity = &parsed.tbs_certificate.validity;
    let start = UnixTime::from_system(validity.not_before.to_system_time()).plus(CLOCK_SKEW);
    let end = UnixTime::from_system(validity.not_after.to_system_time());
    Ok(Window { start, end })
}

fn pem_certificate(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // RFC 7468: lines of 64 characters; base64 is ASCII, so any cut is at a character boundary.
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// Where a path is named in errors.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Folder { action, path, source }
}

#[cfg(test)]
mod tests;
