//! Documents inside attestations: in-toto statements, DSSE envelopes, Sigstore bundles. Nothing is verified here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{self, Outline};
use super::{ReadError, Wrapping};

/// What the document is wrapped in, by its outermost keys.
pub(super) fn kind(outline: &Outline) -> Option<Wrapping> {
    if outline.has("predicateType") {
        Some(Wrapping::Statement)
    } else if outline.has("payloadType") && outline.has("payload") {
        Some(Wrapping::Envelope)
    } else if outline.has("dsseEnvelope") {
        Some(Wrapping::Bundle)
    } else {
        None
    }
}

/// The bytes of the document inside.
pub(super) fn unwrap(bytes: &[u8], kind: Wrapping) -> Result<Vec<u8>, ReadError> {
    let statement = match kind {
        Wrapping::Statement => bytes.to_vec(),
        Wrapping::Envelope => payload(&json::parse(bytes, "DSSE")?, kind)?,
        Wrapping::Bundle => payload(&json::parse::<Bundle>(bytes, "Sigstore bundle")?.dsse_envelope, kind)?,
    };
    let statement: Statement = json::parse(&statement, "in-toto")?;
    predicate(statement.predicate.get(), kind)
}

fn payload(envelope: &Envelope, kind: Wrapping) -> Result<Vec<u8>, ReadError> {
    if envelope.payload_type != "application/vnd.in-toto+json" {
        let seen = envelope.payload_type.chars().take(100).collect();
        return Err(ReadError::NoDocument { kind, seen });
    }
    STANDARD
        .decode(envelope.payload.trim())
        .map_err(|error| ReadError::NoDocument {
            kind,
            seen: format!("a payload that is not base64: {error}"),
        })
}

/// The predicate itself; cosign 1 wrote documents as text, and other predicates as `{"Data": text}`.
fn predicate(predicate: &str, kind: Wrapping) -> Result<Vec<u8>, ReadError> {
    if predicate.starts_with('"') {
        return Ok(json::parse::<String>(predicate.as_bytes(), "in-toto")?.into_bytes());
    }
    if !predicate.starts_with('{') {
        return Err(ReadError::NoDocument {
            kind,
            seen: "a predicate that is no object".to_owned(),
        });
    }
    let outline = json::outline(predicate.as_bytes())?;
    if outline.has("Data") {
        let custom: Custom = json::parse(predicate.as_bytes(), "in-toto")?;
        return predicate_data(custom.data.get());
    }
    Ok(predicate.as_bytes().to_vec())
}

fn predicate_data(data: &str) -> Result<Vec<u8>, ReadError> {
    if data.starts_with('"') {
        return Ok(json::parse::<String>(data.as_bytes(), "in-toto")?.into_bytes());
    }
    Ok(data.as_bytes().to_vec())
}

#[derive(Deserialize)]
struct Statement {
    predicate: Box<RawValue>,
}

#[derive(Deserialize)]
struct Custom {
    #[serde(rename = "Data")]
    data: Box<RawValue>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
}

#[derive(Deserialize)]
struct Bundle {
    #[serde(rename = "dsseEnvelope")]
    dsse_envelope: Envelope,
}
