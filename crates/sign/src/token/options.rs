//! What people say about tokens: cosign's flags, by their names and with their words.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;

use super::{AUDIENCE, TokenError};

/// The identity provider of the public instance, where people log in unless `--oidc-issuer` says another.
pub const PUBLIC_ISSUER: &str = "https://oauth2.sigstore.dev/auth";

/// Where a token may come from. The default is what cosign's defaults are.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// `--oidc-provider`: this source of the surroundings and no other.
    pub provider: Option<Provider>,
    /// `--oidc-disable-ambient-providers`: the surroundings are not looked at; a person logs in.
    pub no_ambient: bool,
    /// `--fulcio-auth-flow`: how to log in. Without one, with a browser if there is a terminal, and else with a code.
    pub flow: Option<Flow>,
    /// `--oidc-issuer`, or the one that the signing configuration lists; [`PUBLIC_ISSUER`] if absent.
    pub issuer: Option<Url>,
    /// `--oidc-client-id`: as whom this program asks, which is the audience that the token must have.
    pub client_id: String,
    /// `--oidc-client-secret-file`, for issuers that know this program by a secret.
    pub client_secret_file: Option<PathBuf>,
    /// `--oidc-redirect-url`, where the issuer allows one address only. It must be on this machine, in plain http.
    pub redirect: Option<Url>,
    /// How long a person may take to log in with a browser.
    pub patience: Duration,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            provider: None,
            no_ambient: false,
            flow: None,
            issuer: None,
            client_id: AUDIENCE.to_owned(),
            client_secret_file: None,
            redirect: None,
            patience: Duration::from_secs(300),
        }
    }
}

/// A source of the surroundings, by the names of `--oidc-provider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provider {
    /// `envvar`: `SIGSTORE_ID_TOKEN`, which GitLab sets where the job has `id_tokens`.
    Environment,
    /// `filesystem`: a projected token in a file.
    File,
    /// `github-actions`: GitHub's token service.
    GitHub,
    /// `buildkite-agent`: the agent's interface.
    Buildkite,
    /// `circleci`: the job's token, or its command for another audience.
    CircleCi,
    /// `spiffe`: the workload API of an agent on this machine.
    Spiffe,
    /// `google-impersonate`: the account in `GOOGLE_SERVICE_ACCOUNT_NAME`.
    GoogleImpersonate,
    /// `google-workload-identity`: the service account of a machine of Google's, or of a key.
    Google,
}

impl Provider {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 8] = [
        Self::Environment,
        Self::File,
        Self::GitHub,
        Self::Buildkite,
        Self::CircleCi,
        Self::Spiffe,
        Self::GoogleImpersonate,
        Self::Google,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Environment => "envvar",
            Self::File => "filesystem",
            Self::GitHub => "github-actions",
            Self::Buildkite => "buildkite-agent",
            Self::CircleCi => "circleci",
            Self::Spiffe => "spiffe",
            Self::GoogleImpersonate => "google-impersonate",
            Self::Google => "google-workload-identity",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = TokenError;

    /// Also reads the shorter names that cosign's help has.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let full = match text {
            "gitlab" => "envvar",
            "github" => "github-actions",
            "buildkite" => "buildkite-agent",
            "google" => "google-workload-identity",
            other => other,
        };
        Self::ALL
            .into_iter()
            .find(|provider| provider.name() == full)
            .ok_or_else(|| TokenError::UnknownProvider {
                seen: text.chars().take(60).collect(),
            })
    }
}

/// How a person, or a program with a secret, gets a token: `--fulcio-auth-flow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// `normal`: log in with a browser on this machine.
    Browser,
    /// `device`: log in with a browser anywhere, by a code.
    Device,
    /// `token`: the token of `--identity-token` or the surroundings, and never a person.
    Token,
    /// `client_credentials`: with this program's own secret.
    ClientCredentials,
}

impl Flow {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Browser => "normal",
            Self::Device => "device",
            Self::Token => "token",
            Self::ClientCredentials => "client_credentials",
        }
    }
}

impl FromStr for Flow {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        [Self::Browser, Self::Device, Self::Token, Self::ClientCredentials]
            .into_iter()
            .find(|flow| flow.name() == text)
            .ok_or_else(|| TokenError::UnknownFlow {
                seen: text.chars().take(60).collect(),
            })
    }
}
