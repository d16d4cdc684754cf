//! The payload of cosign's container signatures: simple signing (containers/image, atomic-signature.md, section "JSON
//! data format"), as `cosign sign` wrote it until v3.

use std::collections::BTreeMap;

use proofmark_types::{Digest, DigestError};
use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::fields::{FieldError, Fields, wrong};
use crate::json::{self, JsonError};

/// The largest payload read. cosign's own are some 300 bytes; annotations are given by hand.
pub const MAX_PAYLOAD_BYTES: u64 = 1024 * 1024;

/// What `critical.type` must say.
pub const TYPE: &str = "cosign container image signature";

/// This image was signed, under this name, with these annotations.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    /// The name under which it was signed; informative, since images move.
    pub docker_reference: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// Annotations; `creator` and `timestamp` of other tools too.
    pub optional: BTreeMap<String, Value>,
}

impl Payload {
    /// A payload with text annotations.
    #[must_use]
    pub fn new(docker_reference: &str, digest: &Digest, annotations: BTreeMap<String, String>) -> Self {
        Self {
            docker_reference: docker_reference.to_owned(),
            digest: digest.clone(),
            optional: annotations
                .into_iter()
                .map(|(key, value)| (key, Value::String(value)))
                .collect(),
        }
    }

    /// Reads a payload.
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadError> {
        let value = json::parse(bytes, MAX_PAYLOAD_BYTES)?;
        let mut fields = Fields::root("payload", value)?;
        let mut critical = fields.required_object("critical")?;
        let kind = critical.required_text("type")?;
        if kind != TYPE {
            return Err(PayloadError::Type {
                seen: kind.chars().take(80).collect(),
            });
        }
        let digest = critical
            .required_object("image")?
            .required_text("docker-manifest-digest")?;
        let docker_reference = match critical.object("identity")? {
            None => String::new(),
            Some(mut identity) => identity.text("docker-reference")?.unwrap_or_default(),
        };
        let optional = match fields.take("optional")? {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(other) => return Err(wrong(fields.path("optional"), "an object", &other).into()),
        };
        Ok(Self {
            docker_reference,
            digest: Digest::parse(&digest).map_err(PayloadError::Digest)?,
            optional: optional.into_iter().collect(),
        })
    }

    /// Writes the payload in cosign's bytes: Go's field order, no newline, `null` for no annotations.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        json::write(&Written {
            critical: Critical {
                identity: WrittenIdentity {
                    docker_reference: &self.docker_reference,
                },
                image: Image {
                    docker_manifest_digest: &self.digest,
                },
                kind: TYPE,
            },
            optional: (!self.optional.is_empty()).then_some(&self.optional),
        })
    }
}

#[derive(Serialize)]
struct Written<'p> {
    critical: Critical<'p>,
    optional: Option<&'p BTreeMap<String, Value>>,
}

#[derive(Serialize)]
struct Critical<'p> {
    identity: WrittenIdentity<'p>,
    image: Image<'p>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WrittenIdentity<'p> {
    docker_reference: &'p str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Image<'p> {
    docker_manifest_digest: &'p Digest,
}

/// Why bytes are not a signature payload.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Not JSON, or JSON that evidence may not be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is not what the format says.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Another kind of payload.
    #[error("the payload's type is \"{seen}\", expected \"{TYPE}\"")]
    Type {
        /// What stood there, shortened.
        seen: String,
    },
    /// The image digest is malformed.
    #[error("the payload's image digest is malformed")]
    Digest(#[source] DigestError),
}

impl PayloadError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Field(error) => error.code(),
            Self::Type { .. } => "payload-type",
            Self::Digest(_) => "payload-digest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "f7f417c3ae4d837233b1085a8c341deb5845ca59b450de1e320c4858547617b7";

    fn cosigns(optional: &str) -> String {
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"registry.alpha.test:15002/team/app"}},"image":{{"docker-manifest-digest":"sha256:{HEX}"}},"type":"cosign container image signature"}},"optional":{optional}}}"#
        )
    }

    #[test]
    fn writes_cosigns_bytes() {
        let digest = Digest::parse(&format!("sha256:{HEX}")).unwrap();
        let reference = "registry.alpha.test:15002/team/app";
        let plain = Payload::new(reference, &digest, BTreeMap::new());
        assert_eq!(plain.to_json(), cosigns("null").as_bytes());
        let annotations = BTreeMap::from([("env".to_owned(), "prod".to_owned()), ("a".to_owned(), "b".to_owned())]);
        let annotated = Payload::new(reference, &digest, annotations);
        assert_eq!(annotated.to_json(), cosigns(r#"{"a":"b","env":"prod"}"#).as_bytes());
        for payload in [plain, annotated] {
            assert_eq!(Payload::parse(&payload.to_json()).unwrap(), payload);
        }
    }

    #[test]
    fn each_bad_payload_has_its_reason() {
        let code = |text: &str| Payload::parse(text.as_bytes()).unwrap_err().code();
        assert_eq!(code(&cosigns("[]")), "field-type");
        assert_eq!(code(&cosigns("{},\"optional\":{}")), "json-duplicate-key");
        assert_eq!(
            code(&cosigns("null").replace("cosign container", "atomic container")),
            "payload-type"
        );
        assert_eq!(
            code(&cosigns("null").replace("sha256:f7", "sha256:F7")),
            "payload-digest"
        );
        assert_eq!(code(&cosigns("null").replace(HEX, "")), "payload-digest");
        assert_eq!(code("{}"), "field-missing");
        assert_eq!(code(r#"{"critical":null}"#), "field-missing");
    }

    proptest::proptest! {
        #[test]
        fn no_edit_of_a_payload_panics(at in 0_usize..300, byte in proptest::prelude::any::<u8>()) {
            let mut bytes = cosigns(r#"{"a":"b"}"#).into_bytes();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            if let Ok(payload) = Payload::parse(&bytes) {
                proptest::prop_assert_eq!(Payload::parse(&payload.to_json()).unwrap(), payload);
            }
        }
    }
}
