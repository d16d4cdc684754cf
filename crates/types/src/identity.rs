//! Who signed: the subject of a certificate and the issuer that vouched for it.
//!
//! These are facts read from a verified certificate; patterns over them belong to policies.

use std::fmt;

use serde::Serialize;

/// A subject alternative name, with its kind: the same text as an e-mail and as a URI are different subjects
/// (Fulcio certificate specification, "Subject Alternative Name").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SubjectName {
    /// `rfc822Name`.
    Email(String),
    /// `uniformResourceIdentifier`.
    Uri(String),
    /// `dNSName`.
    Dns(String),
    /// `iPAddress`, in its text form.
    Ip(String),
    /// `otherName` of type 1.3.6.1.4.1.57264.1.7: a user name, `name!domain`.
    OtherName(String),
}

impl SubjectName {
    /// The text without the kind.
    #[must_use]
    pub fn value(&self) -> &str {
        match self {
            Self::Email(value) | Self::Uri(value) | Self::Dns(value) | Self::Ip(value) | Self::OtherName(value) => {
                value
            }
        }
    }

    /// The kind in words, as messages say it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Uri(_) => "URI",
            Self::Dns(_) => "DNS name",
            Self::Ip(_) => "IP address",
            Self::OtherName(_) => "user name",
        }
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.value())
    }
}

/// Who a keyless signature speaks for: all subjects of its certificate, and the OIDC issuer (absent in certificates
/// of one's own authority).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Identity {
    /// The subject alternative names, in certificate order; at least one in a Fulcio certificate.
    pub subjects: Vec<SubjectName>,
    /// The OIDC issuer, from the extension 1.3.6.1.4.1.57264.1.8 (or .1.1).
    pub issuer: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subjects.split_first() {
            Some((first, [])) => write!(f, "{first}")?,
            Some((first, more)) => write!(f, "{first} (and {} more)", more.len())?,
            None => f.write_str("no subject")?,
        }
        if let Some(issuer) = &self.issuer {
            write!(f, " (issuer {issuer})")?;
        }
        Ok(())
    }
}
