//! The services of a signing configuration, chosen once, and what they say of a signature: log entries and timestamps.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use proofmark_evidence::bundle::LogEntry;
use proofmark_evidence::legacy::LegacyLogBundle;
use proofmark_trust_root::SigningConfig;
use proofmark_types::UnixTime;
use proofmark_verify::TrustRoot;

use crate::error::{Service, SignError};
use crate::http::{Http, Timing};
use crate::key::SigningKey;
use crate::rekor::{self, Signed, Version};
use crate::timestamp;
use crate::token::AUDIENCE;

mod pool;
mod tls;

pub use pool::Warning;
pub(crate) use pool::{Listener, Pool};
pub use tls::{ClientIdentity, TimestampTls};

/// How to sign, beyond what the signing configuration says.
#[derive(Clone)]
pub struct Options {
    /// Whom to believe when what was signed is verified before it is handed out. Only a key that asks no service signs
    /// without one.
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
    logs: Pool,
    timestamp_authorities: Pool,
    timestamp_tls: TimestampTls,
    trust_root: Arc<TrustRoot>,
    tls_roots: Vec<Vec<u8>>,
    warn: Listener,
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
    /// for: the rule of the signing configuration (sigstore-go, `SelectServices`). What they say is verified as soon as
    /// it is there, so that somebody must say whom to believe.
    pub(crate) fn choose(config: &SigningConfig, options: &Options) -> Result<Self, SignError> {
        let now = options.now();
        let trust_root = options.trust_root.clone().ok_or(SignError::NoTrustRoot)?;
        let (log_version, logs) = match config.log_choice(&[2], now) {
            Ok(logs) => (Version::V2, logs),
            Err(error) => (Version::V1, config.log_choice(&[1], now).map_err(|_| error)?),
        };
        let timestamps = config.timestamp_choice(now)?;
        Ok(Self {
            http: Http::new(options.timing.clone(), &options.tls_roots).map_err(SignError::Client)?,
            log_version,
            logs: Pool::of(Service::Log, &logs, |log| log.endpoint("")),
            timestamp_authorities: Pool::of(Service::TimestampAuthority, &timestamps, |authority| {
                authority.url.clone()
            }),
            timestamp_tls: options.timestamp_tls.clone(),
            trust_root,
            tls_roots: options.tls_roots.clone(),
            warn: Listener(Arc::clone(&options.warn)),
        })
    }

    /// Whether these logs take envelopes by the key: Rekor v1 by every kind, Rekor v2 none that are not pre-hashed.
    /// Files are, so that both take them.
    pub(crate) fn take_envelopes_of(&self, key: &SigningKey) -> Result<(), SignError> {
        if self.logs_version_2() && key.log_hash().is_none() {
            return Err(SignError::NotLoggable {
                algorithm: key.public_key().algorithm().name(),
            });
        }
        Ok(())
    }

    /// Nothing is waited for beyond the end of the certificate, `left` from now.
    pub(crate) fn ending_in(mut self, left: std::time::Duration) -> Self {
        self.http = self.http.ending_in(left);
        self
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// How many logs and timestamp authorities there are to be.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.logs.wanted, self.timestamp_authorities.wanted)
    }

    /// How many of them a legacy layout has room for.
    pub(crate) fn legacy_count(&self) -> (usize, usize) {
        let (logs, authorities) = self.count();
        (if self.logs_version_1() { logs.min(1) } else { 0 }, authorities.min(1))
    }

    /// Whether something says the time of a signature: a timestamp authority, or Rekor v1's promise.
    pub(crate) fn say_time(&self) -> bool {
        self.timestamp_authorities.wanted > 0 || self.logs_version_1()
    }

    /// Whether signatures are logged by Rekor v1. It verifies envelopes with SHA-256 whatever the curve, and its
    /// promises are what the legacy layouts have room for.
    pub(crate) fn logs_version_1(&self) -> bool {
        self.log_version == Version::V1 && self.logs.wanted > 0
    }

    /// Whether signatures are logged by Rekor v2.
    pub(crate) fn logs_version_2(&self) -> bool {
        self.log_version == Version::V2 && self.logs.wanted > 0
    }

    /// Logs the signature and has it timestamped, at the same time.
    pub(crate) async fn witness(&self, signed: &Signed<'_>) -> Result<Witnessed, SignError> {
        let (entries, timestamps) = tokio::try_join!(self.log(signed, usize::MAX), self.timestamp(signed.signature))?;
        Ok(Witnessed { entries, timestamps })
    }

    /// For a legacy layout, which has room for one entry with a promise and one timestamp, the latter over
    /// `timestamped`.
    pub(crate) async fn witness_legacy(
        &self,
        signed: &Signed<'_>,
        timestamped: &[u8],
    ) -> Result<LegacyWitnessed, SignError> {
        let (logs, _) = self.legacy_count();
        let (entries, timestamps) = tokio::try_join!(self.log(signed, logs), self.timestamps(timestamped, 1))?;
        Ok(LegacyWitnessed {
            log_bundle: entries.into_iter().next().and_then(log_bundle),
            timestamp: timestamps.into_iter().next(),
        })
    }

    /// One timestamp of each authority over these bytes.
    pub(crate) async fn timestamp(&self, message: &[u8]) -> Result<Vec<Vec<u8>>, SignError> {
        self.timestamps(message, usize::MAX).await
    }

    async fn timestamps(&self, message: &[u8], at_most: usize) -> Result<Vec<Vec<u8>>, SignError> {
        self.timestamp_authorities
            .gather(at_most, &self.warn, |url| {
                Box::pin(async move {
                    let client = self.timestamp_tls.client(&self.http, &url, &self.tls_roots)?;
                    timestamp::request(&client, &url, message).await
                })
            })
            .await
    }

    async fn log(&self, signed: &Signed<'_>, at_most: usize) -> Result<Vec<LogEntry>, SignError> {
        self.logs
            .gather(at_most, &self.warn, |url| {
                Box::pin(
                    async move { rekor::write(&self.http, &url, self.log_version, signed, &self.trust_root).await },
                )
            })
            .await
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
