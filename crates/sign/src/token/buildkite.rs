//! Buildkite: the agent's interface (buildkite.com/docs, "OIDC with Buildkite"; agent `api/oidc.go`).

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::detect::{Asked, Sources, ask, service_address};
use super::{IdentityToken, Provider, TokenError};

const FROM: &str = "Buildkite";
const SECRET: &str = "BUILDKITE_AGENT_ACCESS_TOKEN";
const JOB: &str = "BUILDKITE_JOB_ID";
const ENDPOINT: &str = "BUILDKITE_AGENT_ENDPOINT";

/// Where agents ask unless they are told another address.
const PUBLIC_ENDPOINT: &str = "https://agent.buildkite.com/v3";

/// Whether this is a job of an agent.
pub(super) fn is_here(sources: &Sources<'_>) -> bool {
    sources.variable(SECRET).is_some()
}

/// POSTs the audience to the job's address with the agent's secret.
pub(super) async fn token(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    #[derive(Deserialize)]
    struct Answer {
        token: String,
    }
    let missing = |missing| TokenError::NotHere {
        provider: Provider::Buildkite,
        missing,
    };
    let secret = sources
        .variable(SECRET)
        .ok_or_else(|| missing("BUILDKITE_AGENT_ACCESS_TOKEN is not set"))?;
    let job = sources
        .variable(JOB)
        .ok_or_else(|| missing("BUILDKITE_JOB_ID is not set"))?;
    let endpoint = sources.variable(ENDPOINT).unwrap_or_else(|| PUBLIC_ENDPOINT.to_owned());
    let mut url = service_address(ENDPOINT, &endpoint)?;
    url.path_segments_mut()
        .map_err(|()| TokenError::Address { name: ENDPOINT })?
        .pop_if_empty()
        .extend(["jobs", &job, "oidc", "tokens"]);
    let mut authorization = HeaderValue::from_str(&format!("Token {secret}"))
        .map_err(|_| missing("BUILDKITE_AGENT_ACCESS_TOKEN is not text"))?;
    authorization.set_sensitive(true);
    let http = sources.http(FROM)?;
    let asked = Asked {
        request: http
            .post(&url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(json!({"audience": sources.audience()}).to_string()),
        shown: &url,
        from: FROM,
        secret: &secret,
    };
    let answer: Answer = ask(&http, asked).await?;
    IdentityToken::parse(&answer.token)
}
