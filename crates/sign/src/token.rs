//! OIDC identity tokens: what they claim, and whether sending them makes sense.
//!
//! A token is a bearer secret until it expires, so it is masked wherever it is shown. Its signature is not checked
//! here: that is for the certificate authority; here it is only read, to say early and clearly why it would be refused.
//!
//! [`detect`] is the one way to get one. Each source is a file of its own beside this one.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proofmark_evidence::json;
use proofmark_types::UnixTime;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

mod browser;
mod buildkite;
mod circleci;
mod client_credentials;
mod detect;
mod device;
mod error;
mod file;
mod github;
mod google;
mod oauth;
mod options;
mod spiffe;

pub use detect::{Environment, Person, Sources, detect, providers};
pub use error::TokenError;
pub use options::{Flow, PUBLIC_ISSUER, Provider, TokenOptions};

/// The audience that Sigstore's certificate authorities ask for.
pub const AUDIENCE: &str = "sigstore";

/// The largest token taken: GitHub's have 2 KB; headers of HTTP servers end at 8 to 16 KB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token must live this much longer for a certificate to be worth asking for.
const LEAST_LIFE: Duration = Duration::from_secs(5);

/// How far clocks may differ before a token counts as from the future (go-oidc allows five minutes).
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// An identity token. Shown masked, wiped when dropped.
#[derive(Clone)]
pub struct IdentityToken {
    text: Zeroizing<String>,
    claims: Claims,
}

impl IdentityToken {
    /// Reads a token; whitespace around it is ignored.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge {
                limit: MAX_TOKEN_BYTES,
                seen: text.len(),
            });
        }
        let mut parts = text.split('.');
        let (header, payload, signature) = (parts.next(), parts.next(), parts.next());
        let (Some(header), Some(payload), Some(signature), None) = (header, payload, signature, parts.next()) else {
            return Err(TokenError::Malformed);
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty());
        decode(header).ok_or(TokenError::Malformed)?;
        decode(signature).ok_or(TokenError::Malformed)?;
        let payload = decode(payload).ok_or(TokenError::Malformed)?;
        let limit = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX);
        match json::parse(&payload, limit) {
            Ok(Value::Object(map)) => Ok(Self {
                text: Zeroizing::new(text.to_owned()),
                claims: Claims(map),
            }),
            _ => Err(TokenError::Malformed),
        }
    }

    /// What it claims.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Says why a certificate authority would refuse it, before it is sent.
    pub fn check(&self, audience: &str, now: UnixTime) -> Result<(), TokenError> {
        let claims = &self.claims;
        claims.text("iss").ok_or(TokenError::NoClaim { claim: "iss" })?;
        claims.text("sub").ok_or(TokenError::NoClaim { claim: "sub" })?;
        let expiry = claims.time("exp").ok_or(TokenError::NoClaim { claim: "exp" })?;
        if expiry <= now.plus(LEAST_LIFE) {
            return Err(TokenError::Expired { expiry, now });
        }
        if let Some(from) = claims.time("nbf").or_else(|| claims.time("iat"))
            && from > now.plus(CLOCK_SKEW)
        {
            return Err(TokenError::NotYetValid { from, now });
        }
        let audiences = claims.audiences();
        if !audiences.iter().any(|seen| seen == audience) {
            return Err(TokenError::Audience {
                expected: audience.to_owned(),
                seen: audiences.join(", "),
            });
        }
        Ok(())
    }

    pub(crate) fn secret(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for IdentityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityToken(***)")
    }
}

impl fmt::Display for IdentityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The claims of a token, not verified by anyone yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Claims from elsewhere than a token: tests, and a CI that gives them as JSON.
    #[must_use]
    pub fn new(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// The issuer; empty if absent.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.0.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    /// The subject; empty if absent.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.get("sub").and_then(Value::as_str).unwrap_or_default()
    }

    /// A claim as text: numbers and booleans written out, as Fulcio does; absent if empty or of another kind.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let text = match self.0.get(name)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A claim that is seconds since 1970.
    #[must_use]
    pub fn time(&self, name: &str) -> Option<UnixTime> {
        let value = self.0.get(name)?;
        // Some providers write fractions; the whole seconds count.
        let seconds = value
            .as_i64()
            .or_else(|| value.to_string().split('.').next()?.parse().ok())?;
        UnixTime::from_seconds(seconds).ok()
    }

    /// The audiences: `aud` is a text or a list of them (RFC 7519 §4.1.3).
    #[must_use]
    pub fn audiences(&self) -> Vec<String> {
        match self.0.get("aud") {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// The verified e-mail address: of a person's token.
    #[must_use]
    pub fn verified_email(&self) -> Option<&str> {
        let verified = match self.0.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        let email = self.0.get("email").and_then(Value::as_str)?;
        (verified && !email.is_empty()).then_some(email)
    }

    /// What to sign to prove possession of the key, likeliest first: sigstore-go signs the e-mail whenever there is
    /// one, Fulcio checks it for e-mail issuers and the subject for all others.
    #[must_use]
    pub fn possession_claims(&self) -> Vec<&str> {
        let subject = Some(self.subject()).filter(|subject| !subject.is_empty());
        self.verified_email().into_iter().chain(subject).collect()
    }
}

#[cfg(test)]
mod tests;
