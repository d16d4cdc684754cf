//! A signature in a file of its own, with what came beside it: what `cosign verify-blob --signature` and
//! `verify-blob-attestation` read before bundles, and cosign's own bundle format of that time.

use serde::Serialize;

use super::{LegacyError, LegacyLogBundle};
use crate::bundle::MAX_CHAIN;
use crate::dsse::Envelope;
use crate::encoding::{base64_decode, base64_encode, pem_decode_all, pem_encode};
use crate::fields::{FieldError, Fields};
use crate::{MAX_EVIDENCE_BYTES, json};

/// The largest signature read: that of RSA-8192 has a kilobyte.
const MAX_SIGNATURE_BYTES: usize = 16 * 1024;

/// The largest file of certificates read: a chain of ten with RSA-4096 keys.
const MAX_PEM_BYTES: usize = 256 * 1024;

/// The largest timestamp read, in base64 or not; the verify room has a narrower bound.
const MAX_TIMESTAMP_BYTES: u64 = 256 * 1024;

/// A signature over a file or an attestation about one, and what came beside it in further files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// What is signed, and the signature.
    pub content: DetachedContent,
    /// The leaf certificate, DER.
    pub certificate: Option<Vec<u8>>,
    /// The rest of the chain, DER; may contain the root, which is not to be trusted for being there.
    pub chain: Vec<Vec<u8>>,
    /// The log's promise.
    pub log_bundle: Option<LegacyLogBundle>,
    /// An RFC 3161 timestamp, DER `TimeStampResp`: over the signature, of an attestation over its file.
    pub timestamp: Option<Vec<u8>>,
}

/// What a detached signature is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetachedContent {
    /// A bare signature over the file.
    Signature(Vec<u8>),
    /// A statement about the file in an envelope.
    Attestation {
        /// The envelope.
        envelope: Envelope,
        /// Its file, byte by byte: legacy timestamps of attestations are over it.
        raw: Vec<u8>,
    },
}

impl Detached {
    /// Takes the signature alone, in base64 (as `sign-blob` wrote it) or as it is.
    pub fn signature(file: &[u8]) -> Result<Self, LegacyError> {
        check_signature_size(file)?;
        let text = std::str::from_utf8(file).ok().map(str::trim);
        let signature = text.and_then(base64_decode).unwrap_or_else(|| file.to_vec());
        if signature.is_empty() {
            return Err(LegacyError::NoSignatureGiven);
        }
        Ok(Self::of(DetachedContent::Signature(signature)))
    }

    /// Takes an attestation: the envelope, or base64 of it.
    pub fn attestation(file: &[u8]) -> Result<Self, LegacyError> {
        let text = std::str::from_utf8(file).ok().map(str::trim);
        let raw = match text.filter(|text| !text.starts_with('{')).and_then(base64_decode) {
            Some(decoded) => decoded,
            None => file.to_vec(),
        };
        let envelope = Envelope::parse(&raw)?;
        Ok(Self::of(DetachedContent::Attestation { envelope, raw }))
    }

    /// Takes cosign's bundle from before Sigstore's, `{"base64Signature", "cert", "rekorBundle"}`, about a file.
    pub fn signature_bundle(json: &[u8]) -> Result<Self, LegacyError> {
        let bundle = LocalBundle::parse(json)?;
        check_signature_size(&bundle.signed)?;
        let content = DetachedContent::Signature(bundle.signed.clone());
        bundle.into_detached(content)
    }

    /// The same with an envelope in the place of the signature, as `attest-blob --bundle` wrote it.
    pub fn attestation_bundle(json: &[u8]) -> Result<Self, LegacyError> {
        let bundle = LocalBundle::parse(json)?;
        let content = DetachedContent::Attestation {
            envelope: Envelope::parse(&bundle.signed)?,
            raw: bundle.signed.clone(),
        };
        bundle.into_detached(content)
    }

    /// Whether a file is cosign's bundle from before Sigstore's: those have a `mediaType`, this has none.
    #[must_use]
    pub fn is_bundle(json: &[u8]) -> bool {
        let Ok(Ok(mut fields)) = json::parse(json, MAX_EVIDENCE_BYTES).map(|value| Fields::root("bundle", value))
        else {
            return false;
        };
        let mut has = |name| matches!(fields.take(name), Ok(Some(_)));
        !has("mediaType") && has("base64Signature")
    }

    /// Adds the certificate: PEM, base64 of PEM (as `sign-blob --output-certificate` wrote it), or DER. Further
    /// certificates of the file are taken as the chain.
    pub fn with_certificate(mut self, file: &[u8]) -> Result<Self, LegacyError> {
        let mut certificates = certificates(file, "certificate")?;
        if certificates.is_empty() {
            return Err(LegacyError::Certificates { what: "certificate" });
        }
        self.certificate = Some(certificates.remove(0));
        self.chain.extend(certificates);
        Ok(self)
    }

    /// Adds the intermediates that came along, in PEM.
    pub fn with_chain(mut self, file: &[u8]) -> Result<Self, LegacyError> {
        self.chain.extend(certificates(file, "chain")?);
        Ok(self)
    }

    /// Adds a timestamp: cosign's `{"SignedRFC3161Timestamp": "<base64>"}`, or the DER `TimeStampResp` itself.
    pub fn with_timestamp(mut self, file: &[u8]) -> Result<Self, LegacyError> {
        let is_json = file.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let der = if is_json {
            let value = json::parse(file, MAX_TIMESTAMP_BYTES)?;
            Fields::root("timestamp", value)?.bytes("SignedRFC3161Timestamp")?
        } else {
            file.to_vec()
        };
        if der.is_empty() {
            return Err(FieldError::Missing {
                path: "timestamp.SignedRFC3161Timestamp".to_owned(),
            }
            .into());
        }
        self.timestamp = Some(der);
        Ok(self)
    }

    /// Adds the log's promise, as the `rekorBundle` of a legacy bundle has it.
    #[must_use]
    pub fn with_log_bundle(mut self, log_bundle: LegacyLogBundle) -> Self {
        self.log_bundle = Some(log_bundle);
        self
    }

    /// The signature: of an attestation the first of the envelope.
    #[must_use]
    pub fn raw_signature(&self) -> &[u8] {
        match &self.content {
            DetachedContent::Signature(signature) => signature,
            DetachedContent::Attestation { envelope, .. } => {
                envelope.signatures.first().map_or(&[], |signature| &signature.sig)
            }
        }
    }

    /// Writes cosign's bundle from before Sigstore's; it has no room for a timestamp or a chain.
    #[must_use]
    pub fn to_bundle_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Written {
            base64_signature: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            cert: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            rekor_bundle: Option<serde_json::Value>,
        }
        let signed = match &self.content {
            DetachedContent::Signature(signature) => signature,
            DetachedContent::Attestation { raw, .. } => raw,
        };
        json::write(&Written {
            base64_signature: base64_encode(signed),
            cert: self
                .certificate
                .as_deref()
                .map(|der| base64_encode(pem_encode("CERTIFICATE", der).as_bytes())),
            rekor_bundle: self
                .log_bundle
                .as_ref()
                .and_then(|bundle| serde_json::from_slice(&bundle.to_json()).ok()),
        })
    }

    fn of(content: DetachedContent) -> Self {
        Self {
            content,
            certificate: None,
            chain: Vec::new(),
            log_bundle: None,
            timestamp: None,
        }
    }
}

fn check_signature_size(bytes: &[u8]) -> Result<(), LegacyError> {
    if bytes.len() > MAX_SIGNATURE_BYTES {
        return Err(LegacyError::SignatureTooLarge {
            limit: MAX_SIGNATURE_BYTES,
            seen: bytes.len(),
        });
    }
    Ok(())
}

/// cosign `pkg/cosign`, `LocalSignedPayload`.
struct LocalBundle {
    signed: Vec<u8>,
    certificate: Option<Vec<u8>>,
    log_bundle: Option<LegacyLogBundle>,
}

impl LocalBundle {
    fn parse(json: &[u8]) -> Result<Self, LegacyError> {
        let value = json::parse(json, MAX_EVIDENCE_BYTES)?;
        let mut fields = Fields::root("bundle", value)?;
        let signed = fields.bytes("base64Signature")?;
        if signed.is_empty() {
            return Err(LegacyError::NoSignatureGiven);
        }
        let certificate = match fields.text("cert")?.filter(|text| !text.trim().is_empty()) {
            // Where a key signed, the field holds the public key: a hint, like that of a Sigstore bundle.
            Some(text) if is_public_key(&text) => None,
            other => other.map(String::into_bytes),
        };
        let log_bundle = fields.object("rekorBundle")?;
        Ok(Self {
            signed,
            certificate,
            log_bundle: log_bundle.map(LegacyLogBundle::of_fields).transpose()?,
        })
    }

    fn into_detached(self, content: DetachedContent) -> Result<Detached, LegacyError> {
        let mut detached = Detached::of(content);
        if let Some(certificate) = &self.certificate {
            detached = detached.with_certificate(certificate)?;
        }
        detached.log_bundle = self.log_bundle;
        Ok(detached)
    }
}

fn is_public_key(text: &str) -> bool {
    let decoded = base64_decode(text.trim());
    let text = decoded
        .as_deref()
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or(text);
    text.trim_start().starts_with("-----BEGIN PUBLIC KEY-----")
}

/// Certificates in PEM, in base64 of PEM, or one in DER.
fn certificates(file: &[u8], what: &'static str) -> Result<Vec<Vec<u8>>, LegacyError> {
    /// The tag of a SEQUENCE, with which every certificate begins.
    const SEQUENCE: u8 = 0x30;
    let unusable = LegacyError::Certificates { what };
    if file.len() > MAX_PEM_BYTES {
        return Err(unusable);
    }
    // '0' is a digit of base64 as well, but no base64 of PEM begins with it.
    if file.first() == Some(&SEQUENCE) {
        return Ok(vec![file.to_vec()]);
    }
    let text = std::str::from_utf8(file).map_err(|_| unusable.clone())?.trim();
    let decoded = base64_decode(text);
    let text = match &decoded {
        Some(bytes) => std::str::from_utf8(bytes).map_err(|_| unusable.clone())?,
        None => text,
    };
    pem_decode_all("CERTIFICATE", text)
        .filter(|found| (1..=MAX_CHAIN).contains(&found.len()))
        .ok_or(unusable)
}

#[cfg(test)]
mod tests;
