//! The trust root: which authorities, logs and timestamp authorities are believed, and when
//! (protobuf-specs, `sigstore_trustroot.proto`, `TrustedRoot` 0.1 and 0.2).
//!
//! Parsed once, with every key and certificate made ready, and shared. It is the only source of anchors: nothing that
//! comes with the evidence adds to it.

mod json;

use proofmark_types::UnixTime;
use thiserror::Error;

use crate::chain::PreparedAuthority;
use crate::key::{KeyError, PublicKey};

/// The production root of the public instance has 34 KB; ten times as much leaves room for decades of rotations.
const MAX_TRUST_ROOT_BYTES: usize = 1024 * 1024;

/// Logs or authorities of one kind: the public instance, which keeps every one ever used, has six.
const MAX_INSTANCES: usize = 64;

/// Certificates of one chain (webpki's own limit of a path is six below the anchor).
const MAX_CHAIN: usize = 10;

/// Authorities, transparency logs, certificate logs and timestamp authorities that are believed.
#[derive(Clone, Debug)]
pub struct TrustRoot {
    authorities: Vec<Authority>,
    logs: Vec<LogKey>,
    ct_logs: Vec<LogKey>,
    timestamp_authorities: Vec<Authority>,
    unsupported: Vec<String>,
}

impl TrustRoot {
    /// Reads `trusted_root.json`. Fields that the format does not have are errors: a misspelt `validFor` would
    /// otherwise be a key that is valid for ever.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustRootError> {
        json::parse(bytes)
    }

    /// Writes `trusted_root.json`, version 0.1: the one that every client reads.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::write(self)
    }

    /// The certificate authorities, oldest first.
    #[must_use]
    pub fn certificate_authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// The transparency logs.
    #[must_use]
    pub fn logs(&self) -> &[LogKey] {
        &self.logs
    }

    /// The certificate transparency logs.
    #[must_use]
    pub fn ct_logs(&self) -> &[LogKey] {
        &self.ct_logs
    }

    /// The timestamp authorities.
    #[must_use]
    pub fn timestamp_authorities(&self) -> &[Authority] {
        &self.timestamp_authorities
    }

    /// Instances that this version cannot use, in words (a key of an algorithm it does not know): they are treated
    /// like unknown ones.
    #[must_use]
    pub fn unsupported(&self) -> &[String] {
        &self.unsupported
    }
}

/// A certificate authority or a timestamp authority.
#[derive(Clone, Debug)]
pub struct Authority {
    pub(crate) uri: String,
    pub(crate) organization: String,
    pub(crate) common_name: String,
    pub(crate) operator: Option<String>,
    pub(crate) validity: Validity,
    pub(crate) prepared: PreparedAuthority,
}

impl Authority {
    /// One that the user named by its chain alone, DER, the anchor last.
    pub(crate) fn own(chain: Vec<Vec<u8>>) -> Result<Self, String> {
        let prepared = PreparedAuthority::new(chain)?;
        Ok(Self {
            uri: String::new(),
            organization: String::new(),
            common_name: prepared.subject().to_owned(),
            operator: None,
            validity: Validity::default(),
            prepared,
        })
    }

    /// Its address; informative.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Its name in words: the address, or the name where it has none.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.uri.is_empty() {
            &self.common_name
        } else {
            &self.uri
        }
    }

    /// When it is believed, bounds included.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The chain in DER, the anchor last.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        self.prepared.certificates()
    }
}

/// A log and its key.
#[derive(Clone, Debug)]
pub struct LogKey {
    pub(crate) base_url: String,
    pub(crate) log_id: Vec<u8>,
    pub(crate) key: PublicKey,
    pub(crate) key_details: String,
    pub(crate) operator: Option<String>,
    pub(crate) validity: Validity,
}

impl LogKey {
    /// One that the user named by its key alone.
    pub(crate) fn own(key: PublicKey) -> Self {
        Self {
            base_url: String::new(),
            log_id: key.fingerprint().as_bytes().to_vec(),
            key,
            key_details: String::new(),
            operator: None,
            validity: Validity::default(),
        }
    }

    /// Its address.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The host of its address without port, or the log id in hex where there is no address.
    #[must_use]
    pub fn name(&self) -> String {
        match host(&self.base_url, false) {
            Some(host) => host.to_owned(),
            None => hex::encode(&self.log_id),
        }
    }

    /// Who runs it: as the trust root says, or its name.
    #[must_use]
    pub fn operator(&self) -> String {
        self.operator.clone().unwrap_or_else(|| self.name())
    }

    /// The id that entries and SCTs name it by.
    #[must_use]
    pub fn log_id(&self) -> &[u8] {
        &self.log_id
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// When the key is believed, bounds included.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The names that its checkpoints may have: the host of its address, without and with the port
    /// (rekor-tiles is configured with a host name; a log on loopback has nothing but its port to be told by).
    pub(crate) fn origins(&self) -> impl Iterator<Item = &str> {
        [host(&self.base_url, false), host(&self.base_url, true)]
            .into_iter()
            .flatten()
    }
}

/// A time window, both ends included; an absent end is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub start: Option<UnixTime>,
    /// The last moment.
    pub end: Option<UnixTime>,
}

impl Validity {
    /// Whether `at` is inside.
    #[must_use]
    pub fn contains(&self, at: UnixTime) -> bool {
        self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }
}

/// Why bytes are not a usable trust root.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TrustRootError {
    /// More bytes than any trust root has.
    #[error("a trust root has at most {limit} bytes, this has {seen}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// The length seen.
        seen: usize,
    },
    /// Not JSON, or not of this shape; the text names the field and place.
    #[error("not a trusted_root.json: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// Another format or version.
    #[error("expected media type application/vnd.dev.sigstore.trustedroot+json;version=0.1 or 0.2, found {seen:?}")]
    MediaType {
        /// The media type seen.
        seen: String,
    },
    /// More instances than any trust root has.
    #[error("{place}: at most {limit} are accepted, there are {seen}")]
    TooMany {
        /// Which list.
        place: String,
        /// The limit.
        limit: usize,
        /// The number seen.
        seen: usize,
    },
    /// A field has a value that cannot be used.
    #[error("{place}: {detail}")]
    Field {
        /// The path of the field.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A key cannot be used.
    #[error("{place}: {source}")]
    Key {
        /// The path of the field.
        place: String,
        /// Why.
        #[source]
        source: KeyError,
    },
}

impl TrustRootError {
    /// A stable word for outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "trust-root-too-large",
            Self::Malformed { .. } => "trust-root-malformed",
            Self::MediaType { .. } => "trust-root-media-type",
            Self::TooMany { .. } => "trust-root-too-many",
            Self::Field { .. } => "trust-root-field",
            Self::Key { .. } => "trust-root-key",
        }
    }
}

/// The host of an address, with or without its port. Addresses are names here, nothing is fetched from them.
fn host(url: &str, with_port: bool) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().filter(|text| !text.is_empty())?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if with_port {
        return Some(authority);
    }
    match authority.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address, not to a port.
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => Some(host),
        _ => Some(authority),
    }
}
