//! Dead Simple Signing Envelope 1.0 (secure-systems-lab/dsse, protocol.md and envelope.md).

use serde::Serialize;
use thiserror::Error;

use crate::encoding::base64_encode;
use crate::fields::{FieldError, Fields};
use crate::json::{self, JsonError};
use crate::{MAX_EVIDENCE_BYTES, predicate};

/// The payload type of in-toto statements.
pub const IN_TOTO_PAYLOAD_TYPE: &str = predicate::IN_TOTO_PAYLOAD_TYPE;

/// The most signatures read from one envelope. Sigstore allows one; old in-toto tooling writes one per functionary.
pub const MAX_SIGNATURES: usize = 16;

/// A payload, what it is, and signatures over both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload, decoded.
    pub payload: Vec<u8>,
    /// At least one signature over [`Envelope::pae`].
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// A hint about the key; unauthenticated, possibly empty.
    pub keyid: String,
    /// The signature, decoded.
    pub sig: Vec<u8>,
}

impl Envelope {
    /// Reads an envelope from JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let value = json::parse(bytes, MAX_EVIDENCE_BYTES)?;
        Self::from_fields(Fields::root("envelope", value)?)
    }

    pub(crate) fn from_fields(mut fields: Fields) -> Result<Self, EnvelopeError> {
        let payload_type = fields.required_text("payloadType")?;
        let payload = fields.bytes("payload")?;
        let mut signatures = Vec::new();
        for mut entry in fields.objects("signatures", MAX_SIGNATURES)? {
            let signature = Signature {
                keyid: entry.text("keyid")?.unwrap_or_default(),
                sig: entry.bytes("sig")?,
            };
            if signature.sig.is_empty() {
                return Err(EnvelopeError::EmptySignature);
            }
            signatures.push(signature);
        }
        if signatures.is_empty() {
            return Err(EnvelopeError::NoSignature);
        }
        Ok(Self {
            payload_type,
            payload,
            signatures,
        })
    }

    /// The bytes that the signatures are over.
    #[must_use]
    pub fn pae(&self) -> Vec<u8> {
        pae(&self.payload_type, &self.payload)
    }

    /// Writes the envelope as cosign writes a layer of an `.att` image: fields in Go's order, empty `keyid` included.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Written<'e> {
            #[serde(rename = "payloadType")]
            payload_type: &'e str,
            payload: String,
            signatures: Vec<WrittenSignature<'e>>,
        }
        #[derive(Serialize)]
        struct WrittenSignature<'e> {
            keyid: &'e str,
            sig: String,
        }
        let written = Written {
            payload_type: &self.payload_type,
            payload: base64_encode(&self.payload),
            signatures: self
                .signatures
                .iter()
                .map(|signature| WrittenSignature {
                    keyid: &signature.keyid,
                    sig: base64_encode(&signature.sig),
                })
                .collect(),
        };
        json::write(&written)
    }
}

/// The pre-authentication encoding: `DSSEv1 SP len(type) SP type SP len(body) SP body`.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

/// Why bytes are not an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not JSON, or JSON that evidence may not be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A field is not what the format says.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The list of signatures is empty.
    #[error("the envelope has no signature")]
    NoSignature,
    /// A signature of zero bytes.
    #[error("the envelope has an empty signature")]
    EmptySignature,
}

impl EnvelopeError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Field(error) => error.code(),
            Self::NoSignature => "envelope-no-signature",
            Self::EmptySignature => "envelope-empty-signature",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pae_is_the_specification_s_example() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("é", b""), "DSSEv1 2 é 0 ".as_bytes());
    }

    #[test]
    fn round_trips_in_cosigns_bytes() {
        let text = r#"{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"","sig":"AQI="}]}"#;
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        assert_eq!(envelope.payload, b"{}");
        assert_eq!(envelope.to_json(), text.as_bytes());
    }

    #[test]
    fn each_bad_envelope_has_its_reason() {
        let code = |text: &str| Envelope::parse(text.as_bytes()).unwrap_err().code();
        assert_eq!(code(r#"{"payloadType":"t","payload":"e30="}"#), "envelope-no-signature");
        assert_eq!(
            code(r#"{"payloadType":"t","payload":"e30=","signatures":[{"sig":""}]}"#),
            "envelope-empty-signature"
        );
        assert_eq!(
            code(r#"{"payload":"e30=","signatures":[{"sig":"AQ"}]}"#),
            "field-missing"
        );
        assert_eq!(
            code(r#"{"payloadType":"t","payload":"e30=","payload":"e30=","signatures":[{"sig":"AQ"}]}"#),
            "json-duplicate-key"
        );
        assert_eq!(code("[]"), "field-type");
        let many = format!(
            r#"{{"payloadType":"t","signatures":[{}{{"sig":"AQ"}}]}}"#,
            r#"{"sig":"AQ"},"#.repeat(MAX_SIGNATURES)
        );
        assert_eq!(code(&many), "field-too-many");
    }
}
