//! Certificate paths (RFC 5280 section 6), on rustls-webpki: from a leaf to an anchor of the trust root at one time.
//!
//! What webpki leaves open is closed here: the window in which an authority is believed, the validity of the anchor's
//! own certificate, and that the leaf has the extended key usage (webpki asks the path).

use std::time::Duration;

use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode};
use proofmark_types::UnixTime;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::ExtendedKeyUsage;

/// Certificates of one chain, anchor and leaf included (sigstore-go and webpki both stop well before).
pub(crate) const MAX_CHAIN: usize = 10;

/// A certificate of Fulcio has 1.8 KB, one with an RSA-4096 key and long names 4 KB.
pub(crate) const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3, DER value.
pub(crate) const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];

/// id-kp-timeStamping, 1.3.6.1.5.5.7.3.8, DER value.
pub(crate) const TIME_STAMPING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x08];

/// Everything but SHA-1 and ring's absent curves; RSA from 2048 bits.
static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::aws_lc_rs::ECDSA_P256_SHA256,
    webpki::aws_lc_rs::ECDSA_P256_SHA384,
    webpki::aws_lc_rs::ECDSA_P256_SHA512,
    webpki::aws_lc_rs::ECDSA_P384_SHA256,
    webpki::aws_lc_rs::ECDSA_P384_SHA384,
    webpki::aws_lc_rs::ECDSA_P384_SHA512,
    webpki::aws_lc_rs::ECDSA_P521_SHA256,
    webpki::aws_lc_rs::ECDSA_P521_SHA384,
    webpki::aws_lc_rs::ECDSA_P521_SHA512,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA384,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA512,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    webpki::aws_lc_rs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    webpki::aws_lc_rs::ED25519,
];

/// The certificates of one authority, read once.
#[derive(Clone, Debug)]
pub(crate) struct PreparedAuthority {
    certificates: Vec<Vec<u8>>,
    anchor: TrustAnchor<'static>,
    anchor_window: Window,
    anchor_spki: Vec<u8>,
    /// The leaf of a timestamp authority is among them; webpki skips what does not fit.
    intermediates: Vec<CertificateDer<'static>>,
    intermediate_windows: Vec<Window>,
    subject: String,
}

impl PreparedAuthority {
    /// Takes DER certificates, the anchor last.
    pub(crate) fn new(certificates: Vec<Vec<u8>>) -> Result<Self, String> {
        if certificates.len() > MAX_CHAIN {
            return Err(format!(
                "at most {MAX_CHAIN} certificates are accepted, there are {}",
                certificates.len()
            ));
        }
        Self::of(certificates)
    }

    /// Takes an anchor and what may lie below it, DER; the caller bounds how many.
    pub(crate) fn anchored(mut intermediates: Vec<Vec<u8>>, anchor: Vec<u8>) -> Result<Self, String> {
        intermediates.push(anchor);
        Self::of(intermediates)
    }

    fn of(certificates: Vec<Vec<u8>>) -> Result<Self, String> {
        let mut parsed = Vec::with_capacity(certificates.len());
        for der in &certificates {
            parsed.push(parse(der)?);
        }
        let (Some(last), Some((anchor_der, below))) = (parsed.last(), certificates.split_last()) else {
            return Err("there is no certificate".to_owned());
        };
        let anchor = anchor_from_trusted_cert(&CertificateDer::from(anchor_der.as_slice()))
            .map_err(|error| format!("the last certificate is not usable as an anchor: {error}"))?
            .to_owned();
        Ok(Self {
            anchor,
            anchor_window: Window::of(last)?,
            anchor_spki: spki(last)?,
            intermediates: below.iter().map(|der| CertificateDer::from(der.clone())).collect(),
            intermediate_windows: parsed.iter().map(Window::of).collect::<Result<_, _>>()?,
            subject: last.tbs_certificate.subject.to_string(),
            certificates,
        })
    }

    pub(crate) fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// Finds a path from the leaf to this anchor, every certificate of it valid at `at` (CVE-2026-24122: intermediates
    /// and the anchor too). `offered` are intermediates from the evidence, where the user allowed that.
    pub(crate) fn path(
        &self,
        leaf: &CertificateDer<'_>,
        offered: &[CertificateDer<'_>],
        at: UnixTime,
        usage: &'static [u8],
    ) -> Result<Path, ChainFailure> {
        self.anchor_window.check(at)?;
        let entity = EndEntityCert::try_from(leaf).map_err(|error| ChainFailure::of(&error))?;
        let time = u64::try_from(at.seconds()).map_err(|_| ChainFailure::Untrusted("before 1970".to_owned()))?;
        let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(time));
        let together: Vec<CertificateDer<'_>>;
        let intermediates = if offered.is_empty() {
            self.intermediates.as_slice()
        } else {
            together = self
                .intermediates
                .iter()
                .chain(offered.iter().take(MAX_CHAIN))
                .cloned()
                .collect();
            together.as_slice()
        };
        let anchors = std::slice::from_ref(&self.anchor);
        let path = entity
            .verify_for_usage(ALGORITHMS, anchors, intermediates, time, Usage(usage), None, None)
            .map_err(|error| ChainFailure::of(&error))?;
        let issuer_spki = match path.intermediate_certificates().next() {
            Some(issuer) => issuer.subject_public_key_info().as_ref().to_vec(),
            None => self.anchor_spki.clone(),
        };
        let mut window = self.anchor_window;
        for certificate in path.intermediate_certificates() {
            window = window.and(self.window_of(&certificate.der())?);
        }
        Ok(Path { issuer_spki, window })
    }

    fn window_of(&self, der: &[u8]) -> Result<Window, ChainFailure> {
        let known = self.intermediates.iter().zip(&self.intermediate_windows);
        match known.into_iter().find(|(certificate, _)| certificate.as_ref() == der) {
            Some((_, window)) => Ok(*window),
            None => parse(der)
                .and_then(|certificate| Window::of(&certificate))
                .map_err(ChainFailure::Untrusted),
        }
    }
}

/// What a path showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The key of the leaf's issuer, as a whole SubjectPublicKeyInfo.
    pub(crate) issuer_spki: Vec<u8>,
    /// When all certificates above the leaf are valid: at any such time it is a path.
    pub(crate) window: Window,
}

/// Why there is no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChainFailure {
    /// A certificate on it was not valid at the time.
    OutsideValidity(String),
    /// Anything else.
    Untrusted(String),
}

impl ChainFailure {
    fn of(error: &webpki::Error) -> Self {
        match error {
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                Self::OutsideValidity(format!("a certificate of the path was not valid then: {error}"))
            }
            _ => Self::Untrusted(error.to_string()),
        }
    }
}

/// `notBefore` and `notAfter`, both included (RFC 5280 section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

impl Window {
    pub(crate) fn of(certificate: &Certificate) -> Result<Self, String> {
        let validity = &certificate.tbs_certificate.validity;
        let seconds = |time: &x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs())
                .ok()
                .and_then(|seconds| UnixTime::from_seconds(seconds).ok())
                .ok_or_else(|| "its validity is out of range".to_owned())
        };
        Ok(Self {
            not_before: seconds(&validity.not_before)?,
            not_after: seconds(&validity.not_after)?,
        })
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }

    pub(crate) fn check(self, at: UnixTime) -> Result<(), ChainFailure> {
        if self.not_before <= at && at <= self.not_after {
            Ok(())
        } else {
            Err(ChainFailure::OutsideValidity(format!(
                "valid from {} to {}",
                self.not_before, self.not_after
            )))
        }
    }
}

/// Intermediates may go without extended key usages; where they have some, ours is among them (as Go and OpenSSL nest
/// them). That the leaf has it is checked where the leaf is read.
struct Usage(&'static [u8]);

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, usages: webpki::KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        KeyUsage::required_if_present(self.0).validate(usages)
    }
}

/// Reads a certificate, bounded.
pub(crate) fn parse(der: &[u8]) -> Result<Certificate, String> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(format!(
            "a certificate has at most {MAX_CERTIFICATE_BYTES} bytes, this has {}",
            der.len()
        ));
    }
    Certificate::from_der(der).map_err(|error| format!("not a DER certificate: {error}"))
}

/// The whole SubjectPublicKeyInfo in DER.
pub(crate) fn spki(certificate: &Certificate) -> Result<Vec<u8>, String> {
    certificate
        .tbs_certificate
        .subject_public_key_info
        .to_der()
        .map_err(|error| format!("its key cannot be read: {error}"))
}

/// id-kp-timeStamping.
pub(crate) const TIME_STAMPING_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8");

const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");

/// The one extended key usage of a certificate, which must be critical (RFC 3161 section 2.3).
pub(crate) fn single_critical_usage(certificate: &Certificate) -> Result<ObjectIdentifier, String> {
    let extension = extension(certificate, EXTENDED_KEY_USAGE)
        .ok_or_else(|| "its signer's certificate has no extended key usage".to_owned())?;
    let usages = ExtendedKeyUsage::from_der(extension.extn_value.as_bytes()).map_err(|error| error.to_string())?;
    match usages.0.as_slice() {
        [usage] if extension.critical => Ok(*usage),
        [_] => Err("the extended key usage of its signer's certificate is not critical".to_owned()),
        _ => Err("its signer's certificate has several extended key usages, expected one".to_owned()),
    }
}

/// The subject key identifier, if the certificate has one.
pub(crate) fn subject_key_identifier(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = parse(der).ok()?;
    let value = extension(&certificate, SUBJECT_KEY_IDENTIFIER)?.extn_value.as_bytes();
    OctetStringRef::from_der(value)
        .ok()
        .map(|identifier| identifier.as_bytes().to_vec())
}

fn extension(certificate: &Certificate, oid: ObjectIdentifier) -> Option<&Extension> {
    let extensions = certificate.tbs_certificate.extensions.as_deref()?;
    extensions.iter().find(|extension| extension.extn_id == oid)
}
