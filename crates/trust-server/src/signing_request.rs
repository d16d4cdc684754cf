//! Proof of possession: the key in a request belongs to whoever sends the token.
//!
//! Either a signature over the token's subject, or a certificate signing request that is signed by its own key, of
//! which nothing but key and signature is looked at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode, Encode};
use proofmark_verify::PublicKey;
use serde::Deserialize;
use thiserror::Error;

use crate::key;

/// The request of Fulcio's `CreateSigningCertificate`; unknown fields are let pass, as its gateway does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SigningRequest {
    #[serde(default)]
    credentials: Option<Credentials>,
    #[serde(default, alias = "public_key_request")]
    public_key_request: Option<PublicKeyRequest>,
    #[serde(default, alias = "certificate_signing_request")]
    certificate_signing_request: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    #[serde(default, alias = "oidc_identity_token")]
    oidc_identity_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest {
    #[serde(default, alias = "public_key")]
    public_key: Option<RequestKey>,
    #[serde(default, alias = "proof_of_possession")]
    proof_of_possession: Option<String>,
}

#[derive(Deserialize)]
struct RequestKey {
    #[serde(default)]
    content: Option<String>,
}

/// Why a request proves nothing.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum PossessionError {
    #[error("the request is not a CreateSigningCertificateRequest")]
    Malformed,
    #[error("the request has neither or both of publicKeyRequest and certificateSigningRequest")]
    Kind,
    #[error("the public key supplied in the request could not be parsed")]
    PublicKey,
    #[error("the certificate signing request could not be parsed")]
    SigningRequest,
    #[error("the signature supplied in the request could not be verified")]
    Signature,
}

impl PossessionError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "request-malformed",
            Self::Kind => "request-kind",
            Self::PublicKey => "public-key-malformed",
            Self::SigningRequest => "csr-malformed",
            Self::Signature => "possession-not-proven",
        }
    }
}

/// A key and the signature that should prove it.
pub(crate) struct Possession {
    key: PublicKey,
    proof: Proof,
}

enum Proof {
    OverSubject(Vec<u8>),
    OverItself { info: Vec<u8>, signature: Vec<u8> },
}

impl SigningRequest {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, PossessionError> {
        serde_json::from_slice(body).map_err(|_| PossessionError::Malformed)
    }

    /// The token in the body, which goes before the one in the header.
    pub(crate) fn token(&self) -> Option<&str> {
        let token = self.credentials.as_ref()?.oidc_identity_token.as_deref()?;
        (!token.is_empty()).then_some(token)
    }

    pub(crate) fn possession(&self) -> Result<Possession, PossessionError> {
        match (&self.public_key_request, &self.certificate_signing_request) {
            (Some(request), None) => request.possession(),
            (None, Some(encoded)) => csr(encoded).ok_or(PossessionError::SigningRequest),
            (None, None) | (Some(_), Some(_)) => Err(PossessionError::Kind),
        }
    }
}

impl PublicKeyRequest {
    fn possession(&self) -> Result<Possession, PossessionError> {
        let content = self.public_key.as_ref().and_then(|key| key.content.as_deref());
        let content = content.ok_or(PossessionError::PublicKey)?;
        let key = if content.trim_start().starts_with("-----") {
            PublicKey::from_pem(content)
        } else {
            // DER in a JSON string: base64, as protobuf's bytes would be.
            STANDARD
                .decode(content)
                .map_err(|_| PossessionError::PublicKey)
                .map(|der| PublicKey::from_spki_der(&der))?
        };
        let key = key.map_err(|_| PossessionError::PublicKey)?;
        let proof = self.proof_of_possession.as_deref().unwrap_or_default();
        let signature = STANDARD.decode(proof).map_err(|_| PossessionError::Signature)?;
        Ok(Possession {
            key,
            proof: Proof::OverSubject(signature),
        })
    }
}

fn csr(encoded: &str) -> Option<Possession> {
    let text = STANDARD.decode(encoded).ok()?;
    let der = key::from_pem("CERTIFICATE REQUEST", str::from_utf8(&text).ok()?)?;
    let request = x509_cert::request::CertReq::from_der(&der).ok()?;
    let key = PublicKey::from_spki_der(&request.info.public_key.to_der().ok()?).ok()?;
    let signature = request.signature.as_bytes()?.to_vec();
    let info = request.info.to_der().ok()?;
    Some(Possession {
        key,
        proof: Proof::OverItself { info, signature },
    })
}

impl Possession {
    /// The DER of the key's SubjectPublicKeyInfo, once the proof holds for one of the names that clients sign: the
    /// claim that the issuer's type asks for, the subject, or the verified e-mail address (sigstore-go and sigstore-js
    /// sign the address whenever the token has one, whatever the type).
    pub(crate) fn verify(&self, names: &[&str]) -> Result<&[u8], PossessionError> {
        let proven = match &self.proof {
            Proof::OverSubject(signature) => names
                .iter()
                .any(|name| self.key.verify(name.as_bytes(), signature).is_ok()),
            Proof::OverItself { info, signature } => self.key.verify(info, signature).is_ok(),
        };
        if proven {
            Ok(self.key.spki_der())
        } else {
            Err(PossessionError::Signature)
        }
    }
}
