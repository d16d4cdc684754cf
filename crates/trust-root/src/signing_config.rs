//! `signing_config.json` v0.2 (protobuf-specs, `sigstore_trustroot.proto`, `SigningConfig`): which services a signer
//! asks, and how many of each kind.
//!
//! Unknown fields are errors, as in the trust root: a misspelt `validFor` would be a service valid for ever.

use std::collections::BTreeMap;
use std::fmt;

use proofmark_evidence::json::{self, JsonError};
use proofmark_types::UnixTime;
use proofmark_verify::Validity;
use serde::Deserialize;
use thiserror::Error;
use url::{Host, Url};

use self::wire::{Wire, WireSelector, WireService, selector};

mod wire;

/// The only media type there is.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

/// The public instance's has 1 KB.
const MAX_BYTES: u64 = 256 * 1024;

/// The most services of one kind. The public instance lists two; one shard every six months for a decade is twenty.
pub const MAX_SERVICES: usize = 64;

/// Which services a signer asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningConfig {
    authorities: Vec<Service>,
    issuers: Vec<Service>,
    logs: Vec<Service>,
    log_selector: Selector,
    timestamp_authorities: Vec<Service>,
    timestamp_selector: Selector,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its address: the base for authorities and logs, the whole address for timestamp authorities.
    pub url: Url,
    /// The major version of its interface.
    pub major_api_version: u32,
    /// When it may be used, bounds included.
    pub validity: Validity,
    /// Who runs it; services of one operator stand for each other.
    pub operator: String,
}

impl Service {
    /// A service that is valid from `start` on.
    #[must_use]
    pub fn new(url: Url, major_api_version: u32, start: UnixTime, operator: &str) -> Self {
        Self {
            url,
            major_api_version,
            validity: Validity {
                start: Some(start),
                end: None,
            },
            operator: operator.to_owned(),
        }
    }

    /// The address of `path` (with its leading slash) under this service; a prefix in the base address is kept.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        url
    }

    /// Whether what is sent can be read on the way: plain HTTP to another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let loopback = match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.url.scheme() != "https" && !loopback
    }
}

/// How many services of a kind are used, each of another operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// One of them.
    Any,
    /// Every operator's.
    All,
    /// This many; fewer is an error.
    Exact(u32),
}

/// The kinds of services, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// Certificate authorities.
    Authority,
    /// Identity providers.
    Issuer,
    /// Transparency logs.
    Log,
    /// Timestamp authorities.
    TimestampAuthority,
}

impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "certificate authority",
            Self::Issuer => "identity provider",
            Self::Log => "transparency log",
            Self::TimestampAuthority => "timestamp authority",
        })
    }
}

impl SigningConfig {
    /// Reads `signing_config.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, SigningConfigError> {
        let value = json::parse(bytes, MAX_BYTES)?;
        let wire = Wire::deserialize(value).map_err(|error| SigningConfigError::Malformed {
            reason: error.to_string(),
        })?;
        if wire.media_type != MEDIA_TYPE {
            return Err(SigningConfigError::MediaType {
                seen: wire.media_type.chars().take(80).collect(),
            });
        }
        let kind = |services: Vec<WireService>, kind| {
            if services.len() > MAX_SERVICES {
                return Err(SigningConfigError::TooMany {
                    kind,
                    limit: MAX_SERVICES,
                    seen: services.len(),
                });
            }
            services.into_iter().map(|service| service.read(kind)).collect()
        };
        Ok(Self {
            authorities: kind(wire.ca_urls, ServiceKind::Authority)?,
            issuers: kind(wire.oidc_urls, ServiceKind::Issuer)?,
            logs: kind(wire.rekor_tlog_urls, ServiceKind::Log)?,
            log_selector: selector(wire.rekor_tlog_config, ServiceKind::Log)?,
            timestamp_authorities: kind(wire.tsa_urls, ServiceKind::TimestampAuthority)?,
            timestamp_selector: selector(wire.tsa_config, ServiceKind::TimestampAuthority)?,
        })
    }

    /// A configuration without services; every selector is "any".
    #[must_use]
    pub fn empty() -> Self {
        Self {
            authorities: Vec::new(),
            issuers: Vec::new(),
            logs: Vec::new(),
            log_selector: Selector::Any,
            timestamp_authorities: Vec::new(),
            timestamp_selector: Selector::Any,
        }
    }

    /// The same with one more service, which is listed first: newest first is the order of the format.
    #[must_use]
    pub fn with(mut self, kind: ServiceKind, service: Service) -> Self {
        self.of_kind(kind).insert(0, service);
        self
    }

    /// The same without any service of a kind.
    #[must_use]
    pub fn without(mut self, kind: ServiceKind) -> Self {
        self.of_kind(kind).clear();
        self
    }

    /// Whether there is a service of a kind.
    #[must_use]
    pub fn has(&self, kind: ServiceKind) -> bool {
        !self.services(kind).is_empty()
    }

    /// All services of a kind, of whatever version and time.
    #[must_use]
    pub fn services(&self, kind: ServiceKind) -> &[Service] {
        match kind {
            ServiceKind::Authority => &self.authorities,
            ServiceKind::Issuer => &self.issuers,
            ServiceKind::Log => &self.logs,
            ServiceKind::TimestampAuthority => &self.timestamp_authorities,
        }
    }

    fn of_kind(&mut self, kind: ServiceKind) -> &mut Vec<Service> {
        match kind {
            ServiceKind::Authority => &mut self.authorities,
            ServiceKind::Issuer => &mut self.issuers,
            ServiceKind::Log => &mut self.logs,
            ServiceKind::TimestampAuthority => &mut self.timestamp_authorities,
        }
    }

    /// The same with other selectors.
    #[must_use]
    pub fn with_selectors(mut self, logs: Selector, timestamp_authorities: Selector) -> Self {
        self.log_selector = logs;
        self.timestamp_selector = timestamp_authorities;
        self
    }

    /// Writes `signing_config.json`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let wire = Wire {
            media_type: MEDIA_TYPE.to_owned(),
            ca_urls: self.authorities.iter().map(WireService::of).collect(),
            oidc_urls: self.issuers.iter().map(WireService::of).collect(),
            rekor_tlog_urls: self.logs.iter().map(WireService::of).collect(),
            rekor_tlog_config: Some(WireSelector::of(self.log_selector)),
            tsa_urls: self.timestamp_authorities.iter().map(WireService::of).collect(),
            tsa_config: Some(WireSelector::of(self.timestamp_selector)),
        };
        serde_json::to_vec(&wire).unwrap_or_else(|error| unreachable!("own types always serialize: {error}"))
    }

    /// The certificate authority to ask: API version 1 of the schema is what Fulcio calls v2.
    pub fn certificate_authority(&self, now: UnixTime) -> Result<&Service, SelectionError> {
        self.authority_choice(now)?
            .wanted()
            .first()
            .copied()
            .ok_or_else(|| SelectionError::none(ServiceKind::Authority, self.authorities.len()))
    }

    /// The certificate authorities, of which one is asked.
    pub fn authority_choice(&self, now: UnixTime) -> Result<Choice<'_>, SelectionError> {
        choose(&self.authorities, ServiceKind::Authority, &[1], Selector::Any, now)
    }

    /// The identity provider to send a person to.
    pub fn issuer(&self, now: UnixTime) -> Result<&Service, SelectionError> {
        choose(&self.issuers, ServiceKind::Issuer, &[1], Selector::Any, now)?
            .wanted()
            .first()
            .copied()
            .ok_or_else(|| SelectionError::none(ServiceKind::Issuer, self.issuers.len()))
    }

    /// The logs to write to, among those of the major versions `supported`; none if none is configured.
    pub fn logs(&self, supported: &[u32], now: UnixTime) -> Result<Vec<&Service>, SelectionError> {
        Ok(self.log_choice(supported, now)?.wanted().to_vec())
    }

    /// The same with those that may be asked in place of one that fails.
    pub fn log_choice(&self, supported: &[u32], now: UnixTime) -> Result<Choice<'_>, SelectionError> {
        choose(&self.logs, ServiceKind::Log, supported, self.log_selector, now)
    }

    /// The timestamp authorities to ask; none if none is configured.
    pub fn timestamp_authorities(&self, now: UnixTime) -> Result<Vec<&Service>, SelectionError> {
        Ok(self.timestamp_choice(now)?.wanted().to_vec())
    }

    /// The same with those that may be asked in place of one that fails.
    pub fn timestamp_choice(&self, now: UnixTime) -> Result<Choice<'_>, SelectionError> {
        choose(
            &self.timestamp_authorities,
            ServiceKind::TimestampAuthority,
            &[1],
            self.timestamp_selector,
            now,
        )
    }
}

/// The services of a kind that may be used now, each of another operator, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice<'c> {
    services: Vec<&'c Service>,
    wanted: usize,
}

impl<'c> Choice<'c> {
    /// Those to use.
    #[must_use]
    pub fn wanted(&self) -> &[&'c Service] {
        self.services.get(..self.wanted).unwrap_or_default()
    }

    /// All of them: those to use, and then those of other operators, any of which can stand for one of the former.
    #[must_use]
    pub fn services(&self) -> &[&'c Service] {
        &self.services
    }
}

/// The rules of the schema:
///
/// 1. only services of a supported version, valid now;
/// 2. of each operator one: the highest version, and of these the one that began last;
/// 3. operators in the order in which they are listed;
/// 4. as many as the selector says, fewer being an error. The others are kept for when one of these fails.
fn choose<'c>(
    services: &'c [Service],
    kind: ServiceKind,
    supported: &[u32],
    selector: Selector,
    now: UnixTime,
) -> Result<Choice<'c>, SelectionError> {
    if services.is_empty() && !matches!(selector, Selector::Exact(_)) {
        return Ok(Choice {
            services: Vec::new(),
            wanted: 0,
        });
    }
    let mut order: Vec<&str> = Vec::new();
    let mut best: BTreeMap<&str, &Service> = BTreeMap::new();
    // 1.
    let usable = |service: &&Service| supported.contains(&service.major_api_version) && service.validity.contains(now);
    for service in services.iter().filter(usable) {
        let operator = service.operator.as_str();
        // 2.
        let rank = |service: &Service| (service.major_api_version, service.validity.start);
        match best.get(operator) {
            Some(held) if rank(held) >= rank(service) => {}
            Some(_) => {
                best.insert(operator, service);
            }
            None => {
                // 3.
                order.push(operator);
                best.insert(operator, service);
            }
        }
    }
    let chosen: Vec<&Service> = order
        .iter()
        .filter_map(|operator| best.get(operator).copied())
        .collect();
    // 4.
    let wanted = match selector {
        Selector::All if chosen.is_empty() => return Err(SelectionError::none(kind, services.len())),
        Selector::All => chosen.len(),
        Selector::Any => 1,
        Selector::Exact(count) => usize::try_from(count).unwrap_or(usize::MAX),
    };
    if chosen.len() < wanted {
        return Err(SelectionError::TooFew {
            kind,
            wanted,
            usable: chosen.len(),
            listed: services.len(),
        });
    }
    Ok(Choice {
        services: chosen,
        wanted,
    })
}

/// Why no services could be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// Too few operators with a service that is valid now and of a version that is supported.
    #[error(
        "the signing configuration asks for {wanted} {kind} operators, and of {listed} services listed {usable} operators have one that is valid now and of a supported version"
    )]
    TooFew {
        /// What was looked for.
        kind: ServiceKind,
        /// How many operators are asked for.
        wanted: usize,
        /// How many there are.
        usable: usize,
        /// How many services the configuration lists.
        listed: usize,
    },
}

impl SelectionError {
    fn none(kind: ServiceKind, listed: usize) -> Self {
        Self::TooFew {
            kind,
            wanted: 1,
            usable: 0,
            listed,
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooFew { kind, .. } => match kind {
                ServiceKind::Authority => "signing-config-no-authority",
                ServiceKind::Issuer => "signing-config-no-issuer",
                ServiceKind::Log => "signing-config-too-few-logs",
                ServiceKind::TimestampAuthority => "signing-config-too-few-timestamp-authorities",
            },
        }
    }
}

/// Why bytes are not a signing configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SigningConfigError {
    /// Not JSON, too large, or with a key twice.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is missing, unknown or of another type.
    #[error("not a signing configuration: {reason}")]
    Malformed {
        /// What the reader says.
        reason: String,
    },
    /// Another format or version; v0.1 has other fields and is not read by current clients either.
    #[error("the signing configuration's media type is \"{seen}\", expected {MEDIA_TYPE}")]
    MediaType {
        /// What stood there, shortened.
        seen: String,
    },
    /// A list longer than its bound.
    #[error("the signing configuration lists {seen} services as {kind}, at most {limit} are read")]
    TooMany {
        /// Which list.
        kind: ServiceKind,
        /// The bound.
        limit: usize,
        /// The length given.
        seen: usize,
    },
    /// An address that is not plain http or https.
    #[error("the {kind} \"{seen}\" is not an http or https address without credentials, query and fragment")]
    Address {
        /// Which list.
        kind: ServiceKind,
        /// What stood there, shortened.
        seen: String,
    },
    /// An unknown selector, or "exactly" without a count.
    #[error("the selector for {kind} is \"{seen}\", expected ANY, ALL or EXACT with a count above 0")]
    Selector {
        /// Which list.
        kind: ServiceKind,
        /// What stood there, shortened.
        seen: String,
    },
}

impl SigningConfigError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Malformed { .. } => "signing-config-malformed",
            Self::MediaType { .. } => "signing-config-media-type",
            Self::TooMany { .. } => "signing-config-too-many",
            Self::Address { .. } => "signing-config-address",
            Self::Selector { .. } => "signing-config-selector",
        }
    }
}

#[cfg(test)]
mod tests;
