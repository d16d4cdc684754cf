//! The certificate authority: a token's identity and a client's key become a certificate for ten minutes.

mod sct;

use proofmark_types::UnixTime;
use thiserror::Error;

use crate::asn1;
use crate::clock::{self, IssuingClock};
use crate::key::{EcdsaKey, KeyFileError};
use crate::oidc::{Principal, Subject};
use crate::x509::{self, Certificate, Issuer};

/// Fulcio's certificates are valid for ten minutes (certificate-specification.md).
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(600);

/// Why no certificate was issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum IssueError {
    #[error("the clock went back, and nothing is issued until it has caught up")]
    Clock,
    #[error("the certificate authority has expired")]
    Expired,
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

/// The issuing intermediate, and the CT log in the same process.
pub(crate) struct Authority {
    pub(crate) key: EcdsaKey,
    /// The DER of its subject.
    pub(crate) name: Vec<u8>,
    pub(crate) not_after: UnixTime,
    /// The intermediate and the root, DER.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) ct_key: EcdsaKey,
}

impl Authority {
    /// The certificate's DER. The SCT signs the to-be-signed part without it (RFC 6962 section 3.2): the key of the
    /// log is here, so no precertificate leaves the process.
    pub(crate) fn issue(
        &self,
        principal: &Principal,
        spki: &[u8],
        clock: &IssuingClock,
    ) -> Result<Vec<u8>, IssueError> {
        let milliseconds = clock.issue().ok_or(IssueError::Clock)?;
        let not_before = clock::seconds(milliseconds);
        let not_after = not_before.plus(LIFETIME);
        // No certificate outlives its issuer.
        if not_after > self.not_after {
            return Err(IssueError::Expired);
        }
        let issuer = Issuer {
            key: &self.key,
            name: self.name.clone(),
        };
        let mut certificate = Certificate {
            serial: x509::random_serial()?,
            not_before,
            not_after,
            subject: x509::empty_name(),
            spki,
            extensions: extensions(principal, spki, self.key.spki()),
        };
        let tbs = certificate.tbs(&issuer);
        let list = sct::embedded(&self.ct_key, self.key.spki(), &tbs, milliseconds)?;
        certificate.extensions.push(list);
        Ok(certificate.sign(&issuer)?)
    }
}

/// The extensions in Fulcio's order: what Go's x509 writes, then Fulcio's own by number.
fn extensions(principal: &Principal, spki: &[u8], issuer_spki: &[u8]) -> Vec<Vec<u8>> {
    let mut extensions = vec![
        x509::usage_signature(),
        x509::purpose(x509::CODE_SIGNING, false),
        x509::subject_key_id(spki),
        x509::authority_key_id(issuer_spki),
        subject_alternative_name(&principal.subject),
    ];
    for (number, value) in &principal.extensions {
        // The first six are the bare text, later ones a DER UTF8String (fulcio docs/oid-info.md).
        let value = if *number <= 6 {
            value.as_bytes().to_vec()
        } else {
            asn1::utf8(value)
        };
        extensions.push(x509::extension(&[1, 3, 6, 1, 4, 1, 57264, 1, *number], false, &value));
    }
    extensions
}

/// Exactly one name, critical because the subject is empty (RFC 5280 section 4.2.1.6).
fn subject_alternative_name(subject: &Subject) -> Vec<u8> {
    let name = match subject {
        Subject::Email(address) => asn1::implicit(1, address.as_bytes()),
        Subject::Uri(uri) => asn1::implicit(6, uri.as_bytes()),
    };
    x509::extension(&[2, 5, 29, 17], true, &asn1::sequence(&[&name]))
}

#[cfg(test)]
mod tests;
