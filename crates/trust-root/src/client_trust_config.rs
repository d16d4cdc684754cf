//! sigstore-python's trust config (`--trust-config`; protobuf-specs `ClientTrustConfig`): a trust root and a signing
//! configuration in one file.

use proofmark_evidence::json::{self, JsonError};
use proofmark_verify::{TrustRoot, TrustRootError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::signing_config::{SigningConfig, SigningConfigError};

/// The only media type there is.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

/// A trust root (at most 1 MiB) and a signing configuration.
pub(crate) const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// Whom to believe, and whom to ask when signing.
#[derive(Clone, Debug)]
pub struct ClientTrustConfig {
    /// Whom to believe.
    pub trust_root: TrustRoot,
    /// Whom to ask.
    pub signing_config: SigningConfig,
}

impl ClientTrustConfig {
    /// Reads a trust config.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClientTrustConfigError> {
        let value = json::parse(bytes, MAX_BYTES)?;
        let wire = Wire::deserialize(value).map_err(|error| ClientTrustConfigError::Malformed {
            reason: error.to_string(),
        })?;
        if wire.media_type != MEDIA_TYPE {
            return Err(ClientTrustConfigError::MediaType {
                seen: wire.media_type.chars().take(80).collect(),
            });
        }
        Ok(Self {
            trust_root: TrustRoot::parse(wire.trusted_root.to_string().as_bytes())?,
            signing_config: SigningConfig::parse(wire.signing_config.to_string().as_bytes())?,
        })
    }

    /// Writes a trust config.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let value = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes).unwrap_or_else(|error| unreachable!("own JSON always parses: {error}"))
        };
        let wire = Wire {
            media_type: MEDIA_TYPE.to_owned(),
            trusted_root: value(self.trust_root.to_json()),
            signing_config: value(self.signing_config.to_json()),
        };
        serde_json::to_vec(&wire).unwrap_or_else(|error| unreachable!("own types always serialize: {error}"))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    media_type: String,
    trusted_root: Value,
    signing_config: Value,
}

/// Why bytes are not a trust config.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientTrustConfigError {
    /// Not JSON, too large, or with a key twice.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is missing, unknown or of another type.
    #[error("not a trust config: {reason}")]
    Malformed {
        /// What the reader says.
        reason: String,
    },
    /// Another format or version.
    #[error("the trust config's media type is \"{seen}\", expected {MEDIA_TYPE}")]
    MediaType {
        /// What stood there, shortened.
        seen: String,
    },
    /// Its trust root is malformed.
    #[error(transparent)]
    TrustRoot(#[from] TrustRootError),
    /// Its signing configuration is malformed.
    #[error(transparent)]
    SigningConfig(#[from] SigningConfigError),
}

impl ClientTrustConfigError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Malformed { .. } => "trust-config-malformed",
            Self::MediaType { .. } => "trust-config-media-type",
            Self::TrustRoot(error) => error.code(),
            Self::SigningConfig(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Vec<u8> {
        let root: Value =
            serde_json::from_slice(include_bytes!("../../../fixtures/keyless/trusted_root.json")).unwrap();
        let signing: Value =
            serde_json::from_slice(include_bytes!("../../../fixtures/keyless/signing_config.json")).unwrap();
        serde_json::json!({"mediaType": MEDIA_TYPE, "trustedRoot": root, "signingConfig": signing})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn round_trips() {
        let config = ClientTrustConfig::parse(&fixture()).unwrap();
        let again = ClientTrustConfig::parse(&config.to_json()).unwrap();
        assert_eq!(again.signing_config, config.signing_config);
        assert_eq!(again.trust_root.to_json(), config.trust_root.to_json());
    }

    #[test]
    fn each_bad_trust_config_has_its_reason() {
        let text = String::from_utf8(fixture()).unwrap();
        let code = |text: &str| ClientTrustConfig::parse(text.as_bytes()).unwrap_err().code();
        assert_eq!(
            code(&text.replace("clienttrustconfig.v0.1", "clienttrustconfig.v0.2")),
            "trust-config-media-type"
        );
        assert_eq!(
            code(&text.replace("\"trustedRoot\"", "\"trustedroot\"")),
            "trust-config-malformed"
        );
        assert_eq!(
            code(&text.replace("signingconfig.v0.2", "signingconfig.v9")),
            "signing-config-media-type"
        );
        assert_eq!(code("{"), "json-syntax");
    }
}
