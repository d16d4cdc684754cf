//! Reading without believing: what a certificate or a timestamp says of itself, for people who look into evidence. Nothing
//! here was verified, and nothing here is taken as proof by any other part.

use proofmark_types::{Digest, DigestAlgorithm, Identity, UnixTime};

use crate::certificate::{self, CertificateExtensions};
use crate::chain::{self, Window};
use crate::key::PublicKey;
use crate::reason::Reason;
use crate::timestamp;

/// What a certificate says; anyone can have written it.
#[derive(Clone, Debug)]
pub struct CertificateClaims {
    /// The distinguished name of its holder, often empty.
    pub subject: String,
    /// The distinguished name of who signed it.
    pub issuer: String,
    /// The subject names and the OIDC issuer.
    pub identity: Identity,
    /// What the authority recorded from the token.
    pub extensions: CertificateExtensions,
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub not_after: UnixTime,
    /// Serial number, in hex.
    pub serial: String,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: Digest,
    /// The key that it is about, if it is of a known kind.
    pub key: Option<PublicKey>,
    /// Whether it embeds signed certificate timestamps.
    pub has_scts: bool,
}

impl CertificateClaims {
    /// Reads a DER certificate of any kind.
    pub fn read(der: &[u8]) -> Result<Self, Reason> {
        let malformed = |detail: String| Reason::CertificateMalformed { detail };
        let parsed = chain::parse(der).map_err(malformed)?;
        let window = Window::of(&parsed).map_err(malformed)?;
        let spki = chain::spki(&parsed).map_err(malformed)?;
        let (identity, extensions, has_scts) = certificate::recorded(&parsed)?;
        Ok(Self {
            subject: parsed.tbs_certificate.subject.to_string(),
            issuer: parsed.tbs_certificate.issuer.to_string(),
            identity,
            extensions,
            not_before: window.not_before,
            not_after: window.not_after,
            serial: hex::encode(parsed.tbs_certificate.serial_number.as_bytes()),
            fingerprint: Digest::sha256_of(der),
            key: PublicKey::from_spki_der(&spki).ok(),
            has_scts,
        })
    }
}

/// What a timestamp says; anyone can have written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampClaims {
    /// When.
    pub time: UnixTime,
    /// The hash function of the imprint.
    pub algorithm: DigestAlgorithm,
    /// The hash of what was stamped.
    pub imprint: Vec<u8>,
    /// The policy it was made under, an object identifier.
    pub policy: String,
    /// How many certificates came along.
    pub certificates: usize,
}

impl TimestampClaims {
    /// Reads a DER `TimeStampResp`.
    pub fn read(der: &[u8]) -> Result<Self, Reason> {
        timestamp::claims(der)
    }
}
