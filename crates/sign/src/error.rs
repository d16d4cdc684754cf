//! Why something could not be signed.

use std::fmt;

use proofmark_types::UnixTime;
use reqwest::Url;
use thiserror::Error;

use crate::http::HttpError;
use crate::key::SigningKeyError;
use crate::token::TokenError;

/// The services that signing may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The certificate authority (Fulcio).
    Authority,
    /// The transparency log (Rekor).
    Log,
    /// The timestamp authority.
    TimestampAuthority,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "certificate authority",
            Self::Log => "transparency log",
            Self::TimestampAuthority => "timestamp authority",
        })
    }
}

/// Why something could not be signed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key failed.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// The identity token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A service did not answer, or said no.
    #[error("the {service} failed: {source}")]
    Http {
        /// Which.
        service: Service,
        /// How.
        source: HttpError,
    },
    /// The HTTP client could not be set up.
    #[error(transparent)]
    Client(HttpError),
    /// The signing configuration has no service to ask.
    #[error(transparent)]
    Selection(#[from] proofmark_trust_root::SelectionError),
    /// What services say is verified as soon as it is there, and nobody says whom to believe.
    #[error("no trusted root is given, and what signing services answer is not handed out unverified")]
    NoTrustRoot,
    /// A selection that is not empty gave nothing; it would be our mistake.
    #[error("no service answered")]
    NoAnswer,
    /// A statement about nothing: nobody could find it, and it could not be verified.
    #[error("the statement has no subject with a digest")]
    NoSubject,
    /// The certificate given beside a key is on another key.
    #[error("the certificate is on another key than the one to sign with")]
    CertificateKey,
    /// The certificate given beside a key, or its chain, is not usable.
    #[error("the certificate to sign with is not usable: {reason}")]
    Certificate {
        /// What is wrong.
        reason: String,
    },
    /// Rekor v2 says no time, so that nothing would vouch for the signature being made while the certificate lived.
    #[error(
        "the signing configuration lists neither a timestamp authority nor a log that says the time: keyless signatures could not be verified once the certificate has ended"
    )]
    NoTimestampAuthority,
    /// The token would be sent in the clear to another machine.
    #[error("{url} is not https and not on this machine: the identity token is not sent there")]
    Exposed {
        /// Where it would go.
        url: Url,
    },
    /// An answer that is not what the interface says.
    #[error("the answer of the {service} at {url} is not usable: {reason}")]
    Answer {
        /// Which.
        service: Service,
        /// Who answered.
        url: Url,
        /// What is wrong.
        reason: String,
    },
    /// The log answered with an entry that is not about what was signed.
    #[error("the entry at {url} is not the one of what was signed")]
    LogEntryOther {
        /// Where it was read.
        url: Url,
    },
    /// The log says that another host has the entry; it is not asked.
    #[error("the log at {url} says that {host} has the entry, which is another host: it is not asked")]
    LogEntryElsewhere {
        /// The log.
        url: Url,
        /// The host that it names.
        host: String,
    },
    /// The certificate ran out before everything was signed.
    #[error("the certificate expired at {not_after}, it is {at}; begin a new session with a fresh token")]
    CertificateExpired {
        /// Its end.
        not_after: UnixTime,
        /// Now.
        at: UnixTime,
    },
    /// Logs do not take signatures of this kind of key.
    #[error(
        "{algorithm} signatures of this form are taken by no transparency log; sign without a signing configuration, or with an ECDSA or RSA key"
    )]
    NotLoggable {
        /// The kind of the key.
        algorithm: &'static str,
    },
    /// What is to be signed as a statement is none.
    #[error("what is to be signed is not an in-toto statement: {0}")]
    Statement(#[from] proofmark_evidence::statement::StatementError),
    /// What was made does not verify: it is not handed out.
    #[error("the signature that was made does not verify: {reason}")]
    NotVerified {
        /// The verifier's code, or ours.
        code: &'static str,
        /// The verifier's reason.
        reason: String,
    },
}

impl SignError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Key(error) => error.code(),
            Self::Token(error) => error.code(),
            Self::Http { source, .. } | Self::Client(source) => source.code(),
            Self::Selection(error) => error.code(),
            Self::NoTimestampAuthority => "signing-config-no-timestamp-authority",
            Self::NoTrustRoot => "trusted-root-missing",
            Self::NoAnswer => "no-answer",
            Self::NoSubject => "statement-without-subject",
            Self::CertificateKey => "certificate-key-mismatch",
            Self::Certificate { .. } => "certificate-unusable",
            Self::Exposed { .. } => "authority-not-https",
            Self::Answer { service, .. } => match service {
                Service::Authority => "authority-answer",
                Service::Log => "log-answer",
                Service::TimestampAuthority => "timestamp-answer",
            },
            Self::LogEntryOther { .. } => "log-entry-other",
            Self::LogEntryElsewhere { .. } => "log-entry-elsewhere",
            Self::CertificateExpired { .. } => "certificate-expired",
            Self::NotLoggable { .. } => "key-not-loggable",
            Self::Statement(error) => error.code(),
            Self::NotVerified { .. } => "signature-not-verified",
        }
    }

    /// Whether another service may be asked in place of this one: nothing was decided, or it serves nobody now, or not us.
    /// What it says that is wrong is not passed over.
    pub(crate) fn may_be_passed_over(&self) -> bool {
        match self {
            Self::Http { source, .. } => match source {
                HttpError::Status { status, .. } => !matches!(status, 400 | 409 | 422),
                HttpError::Outlived { .. } => false,
                other => other.is_unreachable(),
            },
            _ => false,
        }
    }

    /// Whether nothing was decided and the same may succeed later (exit code 1, not a refusal).
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.is_unreachable(),
            Self::Token(error) => error.is_unreachable(),
            Self::Key(error) => error.is_unreachable(),
            _ => false,
        }
    }
}
