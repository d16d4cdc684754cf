//! Why there is no usable identity token.

use proofmark_types::UnixTime;
use thiserror::Error;

use crate::http::HttpError;

/// Why there is no usable identity token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No source gave one.
    #[error(
        "no identity token: looked at --identity-token, SIGSTORE_ID_TOKEN and {looked_at}{}",
        hint.map(|hint| format!("; {hint}")).unwrap_or_default()
    )]
    NotFound {
        /// Where else.
        looked_at: &'static str,
        /// What the surroundings suggest.
        hint: Option<&'static str>,
    },
    /// Not three parts of base64url with an object in the middle (RFC 7519).
    #[error("the identity token is not a JSON Web Token")]
    Malformed,
    /// Longer than any token.
    #[error("the identity token has {seen} bytes, at most {limit} are taken")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// The length given.
        seen: usize,
    },
    /// It lacks a claim that every certificate authority needs.
    #[error("the identity token has no claim \"{claim}\"")]
    NoClaim {
        /// The claim.
        claim: &'static str,
    },
    /// It is too late.
    #[error("the identity token expired at {expiry} (it is {now}); fetch it right before signing")]
    Expired {
        /// When.
        expiry: UnixTime,
        /// The time here.
        now: UnixTime,
    },
    /// It is from the future: a clock is wrong.
    #[error("the identity token is valid from {from} only (it is {now}); is the clock right?")]
    NotYetValid {
        /// From when.
        from: UnixTime,
        /// The time here.
        now: UnixTime,
    },
    /// It is meant for someone else.
    #[error("the identity token is for \"{seen}\", expected the audience \"{expected}\"")]
    Audience {
        /// The audience needed.
        expected: String,
        /// The audiences it has.
        seen: String,
    },
    /// The file given does not exist or cannot be read.
    #[error("cannot read the identity token from {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// No such name of a source.
    #[error(
        "\"{seen}\" is no token provider; expected {}",
        super::Provider::ALL.map(super::Provider::name).join(", ")
    )]
    UnknownProvider {
        /// What stood there.
        seen: String,
    },
    /// No such way to log in.
    #[error("\"{seen}\" is no flow; expected normal, device, token or client_credentials")]
    UnknownFlow {
        /// What stood there.
        seen: String,
    },
    /// A source was asked for that is not here.
    #[error("the token provider {provider} is not here: {missing}")]
    NotHere {
        /// Which.
        provider: super::Provider,
        /// What it needs.
        missing: &'static str,
    },
    /// The address of a token service, from the surroundings, is not one that a secret may be sent to.
    #[error("{name} is not an https address")]
    Address {
        /// The variable that has it.
        name: &'static str,
    },
    /// A token service did not answer, or said no.
    #[error("{from} gave no identity token: {source}")]
    Http {
        /// Whose.
        from: &'static str,
        /// How.
        source: HttpError,
    },
    /// A token service answered something else.
    #[error("the answer of {from} to the request for an identity token is not usable: {reason}")]
    Answer {
        /// Whose.
        from: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl TokenError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "token-not-found",
            Self::Malformed => "token-malformed",
            Self::TooLarge { .. } => "token-too-large",
            Self::NoClaim { .. } => "token-claim-missing",
            Self::Expired { .. } => "token-expired",
            Self::NotYetValid { .. } => "token-not-yet-valid",
            Self::Audience { .. } => "token-audience",
            Self::File { .. } => "token-file",
            Self::UnknownProvider { .. } => "token-provider-unknown",
            Self::UnknownFlow { .. } => "token-flow-unknown",
            Self::NotHere { .. } => "token-provider-not-here",
            Self::Address { .. } => "token-request-url",
            Self::Http { source, .. } => source.code(),
            Self::Answer { .. } => "token-answer",
        }
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Http { source, .. } if source.is_unreachable())
    }
}
