//! GitHub Actions: the job's own token service (docs.github.com, "OpenID Connect reference").

use reqwest::header::ACCEPT;
use serde::Deserialize;

use super::detect::{Asked, Sources, ask, service_address};
use super::{IdentityToken, Provider, TokenError};

const FROM: &str = "GitHub";
const ADDRESS: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const SECRET: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Whether the job may have tokens (`permissions: id-token: write`).
pub(super) fn is_here(sources: &Sources<'_>) -> bool {
    sources.variable(ADDRESS).is_some() && sources.variable(SECRET).is_some()
}

/// GETs the address with an audience and the job's secret.
pub(super) async fn token(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let (Some(address), Some(secret)) = (sources.variable(ADDRESS), sources.variable(SECRET)) else {
        return Err(TokenError::NotHere {
            provider: Provider::GitHub,
            missing: "the job needs `permissions: id-token: write`",
        });
    };
    let mut url = service_address(ADDRESS, &address)?;
    url.query_pairs_mut().append_pair("audience", sources.audience());
    // The address carries no secret, but run ids; messages show it without its query.
    let mut shown = url.clone();
    shown.set_query(None);
    let http = sources.http(FROM)?;
    let asked = Asked {
        request: http.get(&url).bearer_auth(&secret).header(ACCEPT, "application/json"),
        shown: &shown,
        from: FROM,
        secret: &secret,
    };
    let answer: Answer = ask(&http, asked).await?;
    IdentityToken::parse(&answer.value)
}
