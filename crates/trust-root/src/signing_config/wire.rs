//! The JSON of a signing configuration, as it is written.

use proofmark_types::UnixTime;
use proofmark_verify::Validity;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Selector, Service, ServiceKind, SigningConfigError};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wire {
    pub(super) media_type: String,
    #[serde(default)]
    pub(super) ca_urls: Vec<WireService>,
    #[serde(default)]
    pub(super) oidc_urls: Vec<WireService>,
    #[serde(default)]
    pub(super) rekor_tlog_urls: Vec<WireService>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rekor_tlog_config: Option<WireSelector>,
    #[serde(default)]
    pub(super) tsa_urls: Vec<WireService>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tsa_config: Option<WireSelector>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WireService {
    url: String,
    #[serde(default)]
    major_api_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_for: Option<WireValidity>,
    #[serde(default)]
    operator: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireValidity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<UnixTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<UnixTime>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireSelector {
    #[serde(default)]
    selector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
}

impl WireService {
    pub(super) fn of(service: &Service) -> Self {
        // Url writes "https://host/" for "https://host"; the format's own examples have no slash.
        Self {
            url: service.url.as_str().trim_end_matches('/').to_owned(),
            major_api_version: service.major_api_version,
            valid_for: Some(WireValidity {
                start: service.validity.start,
                end: service.validity.end,
            }),
            operator: service.operator.clone(),
        }
    }

    pub(super) fn read(self, kind: ServiceKind) -> Result<Service, SigningConfigError> {
        let plain = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        let url = Url::parse(&self.url)
            .ok()
            .filter(plain)
            .ok_or_else(|| SigningConfigError::Address {
                kind,
                seen: self.url.chars().take(120).collect(),
            })?;
        let validity = self.valid_for.map_or_else(Validity::default, |window| Validity {
            start: window.start,
            end: window.end,
        });
        Ok(Service {
            url,
            major_api_version: self.major_api_version,
            validity,
            operator: self.operator,
        })
    }
}

impl WireSelector {
    pub(super) fn of(selector: Selector) -> Self {
        let (name, count) = match selector {
            Selector::Any => ("ANY", None),
            Selector::All => ("ALL", None),
            Selector::Exact(count) => ("EXACT", Some(count)),
        };
        Self {
            selector: name.to_owned(),
            count,
        }
    }
}

/// An absent selector is "all", as in sigstore-python; "undefined" is an error, as the schema asks.
pub(super) fn selector(wire: Option<WireSelector>, kind: ServiceKind) -> Result<Selector, SigningConfigError> {
    let Some(wire) = wire else {
        return Ok(Selector::All);
    };
    match (wire.selector.as_str(), wire.count) {
        ("ANY", _) => Ok(Selector::Any),
        ("ALL", _) => Ok(Selector::All),
        ("EXACT", Some(count)) if count > 0 => Ok(Selector::Exact(count)),
        (other, _) => Err(SigningConfigError::Selector {
            kind,
            seen: other.chars().take(40).collect(),
        }),
    }
}
