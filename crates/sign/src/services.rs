//! The services of a signing configuration, chosen once, and what they say of a signature: log entries and timestamps.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use proofmark_evidence::bundle::LogEntry;
use proofmark_trust_root::SigningConfig;
use proofmark_types::{Digest, UnixTime};
use proofmark_verify::TrustRoot;
use reqwest::Url;
use url::Host;

use crate::error::SignError;
use crate::http::{Http, Timing};
use crate::key::SigningKey;
use crate::{rekor, timestamp};

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
    /// The clock.
    pub clock: Arc<dyn Fn() -> UnixTime + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trust_root: None,
            tls_roots: Vec::new(),
            timing: Timing::default(),
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
    logs: Vec<Url>,
    timestamp_authorities: Vec<Url>,
    trust_root: Option<Arc<TrustRoot>>,
}

/// What logs and timestamp authorities said of a signature.
pub(crate) struct Witnessed {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) timestamps: Vec<Vec<u8>>,
}

/// The version of the log's interface that is written.
const LOG_VERSION: u32 = 2;

impl Services {
    /// Chooses the services that are valid now.
    pub(crate) fn choose(config: &SigningConfig, options: &Options) -> Result<Self, SignError> {
        let now = options.now();
        let logs = config.logs(&[LOG_VERSION], now).map_err(|error| {
            // Say what is the matter where the reader of the error can do something about it.
            let old = config.logs(&[1], now).ok();
            match old.and_then(|old| old.first().map(|log| log.url.clone())) {
                Some(url) => SignError::LogVersion { url },
                None => SignError::from(error),
            }
        })?;
        Ok(Self {
            http: Http::new(options.timing.clone(), &options.tls_roots).map_err(SignError::Client)?,
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

    /// Logs the signature of `message` and has it timestamped, at the same time.
    pub(crate) async fn witness(
        &self,
        key: &SigningKey,
        certificate: Option<&[u8]>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Witnessed, SignError> {
        let (entries, timestamps) = tokio::try_join!(
            self.log(key, certificate, message, signature),
            self.timestamp(signature)
        )?;
        Ok(Witnessed { entries, timestamps })
    }

    /// One timestamp of each authority over these bytes.
    pub(crate) async fn timestamp(&self, message: &[u8]) -> Result<Vec<Vec<u8>>, SignError> {
        let mut timestamps = Vec::new();
        for authority in &self.timestamp_authorities {
            timestamps.push(timestamp::request(&self.http, authority, message).await?);
        }
        Ok(timestamps)
    }

    async fn log(
        &self,
        key: &SigningKey,
        certificate: Option<&[u8]>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Vec<LogEntry>, SignError> {
        if self.logs.is_empty() {
            return Ok(Vec::new());
        }
        let not_loggable = || SignError::NotLoggable {
            algorithm: key.public_key().algorithm().name(),
        };
        let hash = key.log_hash().ok_or_else(not_loggable)?;
        let entry = rekor::Entry {
            digest: Digest::of(hash, message),
            signature,
            certificate,
            public_key: key.public_key().spki_der(),
            key_details: key.log_details().ok_or_else(not_loggable)?,
        };
        let mut entries = Vec::new();
        for log in &self.logs {
            entries.push(rekor::write(&self.http, log, &entry, self.trust_root.as_deref()).await?);
        }
        Ok(entries)
    }
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
