//! Identities: which issuers are believed, how their tokens are verified, and what a certificate says of them.

mod config;
mod discovery;
mod extensions;
mod fetch;
mod jwt;
mod template;

pub use config::{CiProvider, IssuerConfig, IssuerConfigError, IssuerType, ProviderTemplates};
pub(crate) use discovery::Issuers;
pub(crate) use jwt::{KeySet, MAX_TOKEN_BYTES};
pub use template::TemplateError;

use serde_json::{Map, Value};
use thiserror::Error;

use config::{Issuer, IssuerKind};

/// Who a token is about, as a certificate will say it.
#[derive(Debug)]
pub(crate) struct Principal {
    pub(crate) subject: Subject,
    /// Fulcio's extensions 1.3.6.1.4.1.57264.1.N in ascending order.
    pub(crate) extensions: Vec<(u64, String)>,
    /// What a proof of possession may be made over.
    pub(crate) challenges: Vec<String>,
}

/// The one subject alternative name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Email(String),
    Uri(String),
}

/// Why a token is not believed. The class is told to the bearer of the token, who can read all of it anyway.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// No token in the request.
    #[error("there is no identity token in the request")]
    Missing,
    /// Longer than any legitimate token.
    #[error("the token has {seen} bytes, more than the {limit} that are read")]
    TooLong {
        /// The bound.
        limit: usize,
        /// Its length.
        seen: usize,
    },
    /// Not three parts of base64url with JSON objects in the first two.
    #[error("the token is not a JSON web token")]
    Malformed,
    /// `none`, HMAC, or one that does not fit the key.
    #[error("the token's algorithm {algorithm} is not accepted")]
    Algorithm {
        /// The algorithm named.
        algorithm: String,
    },
    /// The header wants something understood that is not.
    #[error("the token has critical header fields, which are not understood")]
    Critical,
    /// The issuer is not configured.
    #[error("the issuer {issuer} is not configured here")]
    UnknownIssuer {
        /// The issuer named.
        issuer: String,
    },
    /// The token is for another service.
    #[error("the token is for {seen}, not for {expected}")]
    Audience {
        /// The configured client id.
        expected: String,
        /// What the token has.
        seen: String,
    },
    /// It was valid once.
    #[error("the token expired at {expired_at}")]
    Expired {
        /// Seconds since 1970.
        expired_at: i64,
    },
    /// It is not valid yet; perhaps a clock is wrong.
    #[error("the token is not valid before {not_before}")]
    NotYetValid {
        /// Seconds since 1970.
        not_before: i64,
    },
    /// No key of the issuer made the signature.
    #[error("the signature of the token is not by a key of its issuer")]
    Signature,
    /// The issuer's keys could not be had.
    #[error("the keys of the issuer cannot be fetched: {reason}")]
    IssuerUnavailable {
        /// Why not.
        reason: String,
    },
    /// A claim that the issuer's type needs is missing or of another kind.
    #[error("the token's claim {claim} is missing or malformed")]
    Claim {
        /// Which one.
        claim: String,
    },
    /// The identity provider has not verified the address.
    #[error("the e-mail address in the token is not verified")]
    EmailNotVerified,
    /// The subject is outside of what the issuer may speak for.
    #[error("the token's subject {subject} is not within {domain}")]
    SubjectDomain {
        /// The subject.
        subject: String,
        /// The configured domain.
        domain: String,
    },
}

impl TokenError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::TooLong { .. } => "token-too-long",
            Self::Malformed => "token-malformed",
            Self::Algorithm { .. } => "token-algorithm",
            Self::Critical => "token-critical-header",
            Self::UnknownIssuer { .. } => "token-issuer-unknown",
            Self::Audience { .. } => "token-audience",
            Self::Expired { .. } => "token-expired",
            Self::NotYetValid { .. } => "token-not-yet-valid",
            Self::Signature => "token-signature",
            Self::IssuerUnavailable { .. } => "token-issuer-unavailable",
            Self::Claim { .. } => "token-claim",
            Self::EmailNotVerified => "token-email-not-verified",
            Self::SubjectDomain { .. } => "token-subject-domain",
        }
    }
}

/// Checks a configuration without using it.
pub(crate) fn check(issuers: &[IssuerConfig]) -> Result<(), IssuerConfigError> {
    config::check_all(issuers).map(drop)
}

/// Reads the identity out of verified claims, as the issuer's type says.
fn principal(issuer: &Issuer, claims: &Map<String, Value>) -> Result<Principal, TokenError> {
    let subject_claim = text(claims, "sub")?;
    let (subject, extra) = match &issuer.kind {
        IssuerKind::Email => (email(claims)?, Vec::new()),
        IssuerKind::Uri { subject_domain } => (uri(subject_claim, subject_domain)?, Vec::new()),
        IssuerKind::Kubernetes => (kubernetes(claims)?, Vec::new()),
        IssuerKind::CiProvider => {
            let templates = issuer.templates.as_ref().ok_or(TokenError::Malformed)?;
            templates.evaluate(claims)?
        }
    };
    let mut extensions = vec![
        (1, issuer.url.clone()),
        (8, issuer.url.clone()),
        (24, subject_claim.to_owned()),
    ];
    extensions.extend(extra);
    extensions.sort();
    let mut challenges = vec![subject_claim.to_owned()];
    if claims.get("email_verified") == Some(&Value::Bool(true))
        && let Ok(address) = text(claims, "email")
    {
        challenges.push(address.to_owned());
    }
    Ok(Principal {
        subject,
        extensions,
        challenges,
    })
}

fn text<'c>(claims: &'c Map<String, Value>, claim: &str) -> Result<&'c str, TokenError> {
    claims
        .get(claim)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| TokenError::Claim {
            claim: claim.to_owned(),
        })
}

fn email(claims: &Map<String, Value>) -> Result<Subject, TokenError> {
    let address = text(claims, "email")?;
    if claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(TokenError::EmailNotVerified);
    }
    // An rfc822Name is ASCII (RFC 5280 section 4.2.1.6).
    let parts: Vec<&str> = address.split('@').collect();
    let plain = address.bytes().all(|b| b.is_ascii_graphic());
    match parts.as_slice() {
        [local, domain] if plain && !local.is_empty() && !domain.is_empty() => Ok(Subject::Email(address.to_owned())),
        _ => Err(TokenError::Claim {
            claim: "email".to_owned(),
        }),
    }
}

/// The subject is a URI with the scheme and host that the issuer may speak for.
fn uri(subject: &str, domain: &url::Url) -> Result<Subject, TokenError> {
    let outside = || TokenError::SubjectDomain {
        subject: subject.to_owned(),
        domain: domain.to_string(),
    };
    let parsed = url::Url::parse(subject).map_err(|_| outside())?;
    let same = parsed.scheme() == domain.scheme()
        && parsed.host_str() == domain.host_str()
        && parsed.port_or_known_default() == domain.port_or_known_default();
    // The parser lets spaces, tabs and line breaks pass, and drops them; the certificate would have them.
    let graphic = subject.bytes().all(|b| b.is_ascii_graphic());
    if same && parsed.username().is_empty() && parsed.password().is_none() && graphic {
        Ok(Subject::Uri(subject.to_owned()))
    } else {
        Err(outside())
    }
}

fn kubernetes(claims: &Map<String, Value>) -> Result<Subject, TokenError> {
    let missing = |claim: &str| TokenError::Claim {
        claim: claim.to_owned(),
    };
    let all = claims.get("kubernetes.io").and_then(Value::as_object);
    let all = all.ok_or_else(|| missing("kubernetes.io"))?;
    let namespace = text(all, "namespace").map_err(|_| missing("kubernetes.io/namespace"))?;
    let account = all.get("serviceaccount").and_then(Value::as_object);
    let account = account
        .and_then(|account| text(account, "name").ok())
        .ok_or_else(|| missing("kubernetes.io/serviceaccount/name"))?;
    // DNS labels and subdomains: nothing that could leave its place in the path.
    for name in [namespace, account] {
        if !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':'))
        {
            return Err(missing("kubernetes.io"));
        }
    }
    Ok(Subject::Uri(format!(
        "https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"
    )))
}

#[cfg(test)]
mod tests;
