//! Why there is no usable identity token.

use std::time::Duration;

use proofmark_types::UnixTime;
use thiserror::Error;

use crate::http::HttpError;

/// Why there is no usable identity token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No source gave one.
    #[error(
        "no identity token: looked at --identity-token{}{}",
        if *ambient { ", SIGSTORE_ID_TOKEN, /var/run/sigstore/cosign/oidc-token, GitHub Actions, Buildkite, CircleCI, SPIFFE and Google" } else { "" },
        hint.map(|hint| format!("; {hint}")).unwrap_or_default()
    )]
    NotFound {
        /// Whether the surroundings were looked at.
        ambient: bool,
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
        source: Box<HttpError>,
    },
    /// A program that makes tokens failed.
    #[error("{program} gave no identity token: {reason}")]
    Command {
        /// Which.
        program: &'static str,
        /// How.
        reason: String,
    },
    /// The address of the SPIFFE agent is not a socket of this machine.
    #[error("SPIFFE_ENDPOINT_SOCKET is \"{seen}\", expected unix:// and the absolute path of a socket")]
    Socket {
        /// What stood there.
        seen: String,
    },
    /// The SPIFFE agent is not there, or not ready.
    #[error("the SPIFFE agent at {path} does not answer: {reason}")]
    Agent {
        /// Its socket.
        path: String,
        /// What happened.
        reason: String,
    },
    /// The SPIFFE agent said no: perhaps no entry of the server is about this process.
    #[error("the SPIFFE agent gave no identity token: {message} (gRPC status {status})")]
    Spiffe {
        /// The status of gRPC.
        status: String,
        /// What it says.
        message: String,
    },
    /// The issuer cannot be asked.
    #[error("the identity provider {issuer} cannot be used: {reason}")]
    Issuer {
        /// Which.
        issuer: String,
        /// Why not.
        reason: &'static str,
    },
    /// Somebody speaks for another issuer than was asked.
    #[error("the identity provider calls itself \"{seen}\", expected \"{expected}\"")]
    IssuerMismatch {
        /// Who was asked.
        expected: String,
        /// Who answers.
        seen: String,
    },
    /// The redirect is not of the login that was begun here: another page started one (GHSA-hm8f-75xx-w2vr).
    #[error(
        "the browser came back from another login than the one begun here (its state is not ours); nothing was sent"
    )]
    State,
    /// The token is not of the login that was begun here.
    #[error("the identity token is of another login than the one begun here (its nonce is not ours)")]
    Nonce,
    /// The issuer said no, or the person did.
    #[error(
        "the identity provider said no: {error}{}",
        description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
    )]
    Denied {
        /// The name of the reason (RFC 6749 §5.2).
        error: String,
        /// In words.
        description: Option<String>,
    },
    /// Nobody entered the code in time.
    #[error("nobody logged in before the code ran out; begin again")]
    CodeExpired,
    /// Nobody came back from the browser.
    #[error("nobody logged in within {} s; on a machine without a browser, --fulcio-auth-flow device shows a code", after.as_secs())]
    NobodyCame {
        /// The limit.
        after: Duration,
    },
    /// A redirect to somewhere else than this machine.
    #[error("--oidc-redirect-url is {seen}, expected http:// and this machine (localhost, 127.0.0.1)")]
    Redirect {
        /// What was given.
        seen: String,
    },
    /// No port to come back to.
    #[error("cannot listen on port {port} of this machine for the browser to come back: {reason}")]
    Listen {
        /// The port; 0 is any.
        port: u16,
        /// The system's reason.
        reason: String,
    },
    /// A program cannot ask for itself without a secret.
    #[error("the flow client_credentials needs --oidc-client-secret-file")]
    NoSecret,
    /// The cryptographic library or the system's randomness failed.
    #[error("the cryptographic library failed")]
    Engine,
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
            Self::Command { .. } => "token-command",
            Self::Socket { .. } => "spiffe-socket",
            Self::Agent { .. } => "spiffe-unreachable",
            Self::Spiffe { .. } => "spiffe-refused",
            Self::Issuer { .. } => "oidc-issuer-unusable",
            Self::IssuerMismatch { .. } => "oidc-issuer-mismatch",
            Self::State => "oidc-state-mismatch",
            Self::Nonce => "oidc-nonce-mismatch",
            Self::Denied { .. } => "oidc-denied",
            Self::CodeExpired => "oidc-code-expired",
            Self::NobodyCame { .. } => "oidc-nobody-came",
            Self::Redirect { .. } => "oidc-redirect",
            Self::Listen { .. } => "oidc-listen",
            Self::NoSecret => "oidc-no-client-secret",
            Self::Engine => "key-engine",
        }
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.is_unreachable(),
            Self::Agent { .. } => true,
            _ => false,
        }
    }
}
