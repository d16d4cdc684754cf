//! The services of a signing configuration, chosen once, and what they say of a signature: log entries and timestamps.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use proofmark_evidence::bundle::LogEntry;
use proofmark_evidence::legacy::LegacyLogBundle;
use proofmark_trust_root::SigningConfig;
use proofmark_types::UnixTime;
use proofmark_verify::TrustRoot;
use reqwest::Url;
use thiserror::Error;
use url::Host;

use crate::error::{Service, SignError};
use crate::http::{Http, Timing};
use crate::rekor::{self, Signed, Version};
use crate::timestamp;
use crate::token::AUDIENCE;

/// How to sign, beyond what the signing configuration says.
#[derive(Clone)]
pub struct Options {
    /// Whom to believe when what was signed is verified before it is handed out. Without one, keyless signatures are
    /// not verified: nobody says yet whom to believe.
    pub trust_root: Option<Arc<TrustRoot>>,
    /// Certificates (PEM) that are believed for TLS beside the system's.
    pub tls_roots: Vec<Vec<u8>>,
    /// How long services may take, and how often they are asked.
    pub timing: Timing,
    /// For whom the authority wants tokens: `--oidc-client-id`.
    pub audience: String,
    /// TLS with timestamp authorities, where it is not as with all others.
    pub timestamp_tls: TimestampTls,
    /// Hears of services that were passed over; a person should see it.
    pub warn: Arc<dyn Fn(&Warning) + Send + Sync>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> UnixTime + Send + Sync>,
}

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

/// What went wrong without being a failure yet.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Warning {
    /// A service did not answer, and the signing configuration allows another in its place.
    #[error("the {service} at {url} was passed over: {reason}; asking {next}")]
    PassedOver {
        /// What it is.
        service: Service,
        /// Which did not answer.
        url: Url,
        /// Why.
        reason: String,
        /// Which is asked now.
        next: Url,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trust_root: None,
            tls_roots: Vec::new(),
            timing: Timing::default(),
            audience: AUDIENCE.to_owned(),
            timestamp_tls: TimestampTls::default(),
            warn: Arc::new(|warning| tracing::warn!("{warning}")),
            clock: Arc::new(|| UnixTime::from_system(SystemTime::now())),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("trust_root", &self.trust_root.is_some())
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

impl Options {
    pub(crate) fn now(&self) -> UnixTime {
        (self.clock)()
    }
}

/// The logs and timestamp authorities in use.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    http: Http,
    log_version: Version,
    logs: Vec<Url>,
    timestamp_authorities: Vec<Url>,
    trust_root: Option<Arc<TrustRoot>>,
}

/// What logs and timestamp authorities said of a signature.
#[derive(Default)]
pub(crate) struct Witnessed {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) timestamps: Vec<Vec<u8>>,
}

/// The same in a legacy layout.
#[derive(Default)]
pub(crate) struct LegacyWitnessed {
    pub(crate) log_bundle: Option<LegacyLogBundle>,
    pub(crate) timestamp: Option<Vec<u8>>,
}

impl Services {
    /// Chooses the services that are valid now. Logs are all of one version, the highest that has as many as are asked
    /// for: the rule of the signing configuration (sigstore-go, `SelectServices`).
    pub(crate) fn choose(config: &SigningConfig, options: &Options) -> Result<Self, SignError> {
        let now = options.now();
        let (log_version, logs) = match config.logs(&[2], now) {
            Ok(logs) => (Version::V2, logs),
            Err(error) => (Version::V1, config.logs(&[1], now).map_err(|_| error)?),
        };
        Ok(Self {
            http: Http::new(options.timing.clone(), &options.tls_roots).map_err(SignError::Client)?,
            log_version,
            logs: logs.into_iter().map(|log| log.endpoint("")).collect(),
            timestamp_authorities: config
                .timestamp_authorities(now)?
                .into_iter()
                .map(|authority| authority.url.clone())
                .collect(),
            trust_root: options.trust_root.clone(),
        })
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// How many logs and timestamp authorities there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.logs.len(), self.timestamp_authorities.len())
    }

    /// How many of them a legacy layout has room for.
    pub(crate) fn legacy_count(&self) -> (usize, usize) {
        let (logs, authorities) = self.count();
        (if self.logs_version_1() { logs.min(1) } else { 0 }, authorities.min(1))
    }

    /// Whether something says the time of a signature: a timestamp authority, or Rekor v1's promise.
    pub(crate) fn say_time(&self) -> bool {
        !self.timestamp_authorities.is_empty() || self.logs_version_1()
    }

    /// Whether signatures are logged by Rekor v1. It verifies envelopes with SHA-256 whatever the curve, and its
    /// promises are what the legacy layouts have room for.
    pub(crate) fn logs_version_1(&self) -> bool {
        self.log_version == Version::V1 && !self.logs.is_empty()
    }

    /// Whether signatures are logged by Rekor v2.
    pub(crate) fn logs_version_2(&self) -> bool {
        self.log_version == Version::V2 && !self.logs.is_empty()
    }

    /// Logs the signature and has it timestamped, at the same time.
    pub(crate) async fn witness(&self, signed: &Signed<'_>) -> Result<Witnessed, SignError> {
        let (entries, timestamps) = tokio::try_join!(self.log(signed), self.timestamp(signed.signature))?;
        Ok(Witnessed { entries, timestamps })
    }

    /// For a legacy layout, which has room for one entry with a promise and one timestamp, the latter over
    /// `timestamped`.
    pub(crate) async fn witness_legacy(
        &self,
        signed: &Signed<'_>,
        timestamped: &[u8],
    ) -> Result<LegacyWitnessed, SignError> {
        let entry = async {
            match self.logs.first() {
                Some(log) if self.logs_version_1() => self.write(log, signed).await.map(Some),
                _ => Ok(None),
            }
        };
        let (entry, timestamps) = tokio::try_join!(entry, self.timestamp(timestamped))?;
        Ok(LegacyWitnessed {
            log_bundle: entry.and_then(log_bundle),
            timestamp: timestamps.into_iter().next(),
        })
    }

    /// One timestamp of each authority over these bytes.
    pub(crate) async fn timestamp(&self, message: &[u8]) -> Result<Vec<Vec<u8>>, SignError> {
        let mut timestamps = Vec::new();
        for authority in &self.timestamp_authorities {
            timestamps.push(timestamp::request(&self.http, authority, message).await?);
        }
        Ok(timestamps)
    }

    async fn log(&self, signed: &Signed<'_>) -> Result<Vec<LogEntry>, SignError> {
        let mut entries = Vec::new();
        for log in &self.logs {
            entries.push(self.write(log, signed).await?);
        }
        Ok(entries)
    }

    async fn write(&self, log: &Url, signed: &Signed<'_>) -> Result<LogEntry, SignError> {
        rekor::write(&self.http, log, self.log_version, signed, self.trust_root.as_deref()).await
    }
}

/// An entry as the legacy layouts have it: the promise without the proof.
fn log_bundle(entry: LogEntry) -> Option<LegacyLogBundle> {
    Some(LegacyLogBundle {
        set: entry.inclusion_promise?,
        body: entry.canonicalized_body,
        integrated_time: entry.integrated_time?,
        log_index: entry.log_index,
        log_id: entry.log_id,
    })
}

/// Whether an address is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
