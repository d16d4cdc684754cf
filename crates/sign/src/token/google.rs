//! Google: the metadata server of a machine, a service account's key, and another account by impersonation
//! (cloud.google.com, "Get an ID token"; google-auth's AIP-4110 and following).

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::detect::{Asked, Secret, Sources, answer, ask, service_address};
use super::{IdentityToken, Provider, TokenError};
use crate::http::Answer;

mod account;

use self::account::Credentials;

const FROM: &str = "Google";
const TARGET: &str = "GOOGLE_SERVICE_ACCOUNT_NAME";
const CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Where the metadata server is, if not where it always is (Google's own libraries read it).
const METADATA: &str = "GCE_METADATA_HOST";
/// Another address of the service that makes tokens for other accounts (gcloud reads it).
const IAM: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";

const METADATA_HOST: &str = "169.254.169.254";
const IAM_ENDPOINT: &str = "https://iamcredentials.googleapis.com/";
/// What the BIOS of Google's machines says (`k8s.io/kubernetes/pkg/credentialprovider/gcp`).
const PRODUCT: &str = "sys/class/dmi/id/product_name";
const PRODUCTS: [&str; 2] = ["Google", "Google Compute Engine"];

/// The metadata server is on the machine: it answers at once or is not there.
const PROBE: Duration = Duration::from_secs(1);

/// The largest file of credentials: a key in JSON has 2.4 KB.
const MAX_CREDENTIALS_BYTES: u64 = 64 * 1024;

/// Whether an account to impersonate is named.
pub(super) fn impersonates(sources: &Sources<'_>) -> bool {
    sources.variable(TARGET).is_some()
}

/// Whether this is a machine of Google's with a service account. A key in the environment is no sign of one: it may be
/// there for pushing images.
pub(super) async fn is_here(sources: &Sources<'_>) -> bool {
    let product = std::fs::read_to_string(sources.root.join(PRODUCT)).unwrap_or_default();
    if sources.variable(METADATA).is_none() && !PRODUCTS.contains(&product.trim()) {
        return false;
    }
    let Ok(url) = metadata_address(sources, "email") else {
        return false;
    };
    let probe = metadata(sources, &url);
    matches!(tokio::time::timeout(PROBE, probe).await, Ok(Ok(_)))
}

/// The identity of this machine, or of the account whose key is in `GOOGLE_APPLICATION_CREDENTIALS`.
pub(super) async fn token(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    match credentials(sources)? {
        Some(Credentials::ServiceAccount(account)) => {
            let text = account.identity_token(sources).await?;
            IdentityToken::parse(&text)
        }
        Some(Credentials::Person(_)) => Err(TokenError::NotHere {
            provider: Provider::Google,
            missing: "GOOGLE_APPLICATION_CREDENTIALS is a person's, who has no identity token; name an account to impersonate in GOOGLE_SERVICE_ACCOUNT_NAME",
        }),
        None => {
            let mut url = metadata_address(sources, "identity")?;
            url.query_pairs_mut()
                .append_pair("audience", sources.audience())
                .append_pair("format", "full");
            let answer = metadata(sources, &url).await?;
            let text = String::from_utf8(answer.body).map_err(|_| unusable("it is not text"))?;
            IdentityToken::parse(&text)
        }
    }
}

/// The identity of the account in `GOOGLE_SERVICE_ACCOUNT_NAME`, made by the service that is asked with our own.
pub(super) async fn impersonated(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    #[derive(Deserialize)]
    struct Made {
        token: String,
    }
    let target = sources.variable(TARGET).ok_or(TokenError::NotHere {
        provider: Provider::GoogleImpersonate,
        missing: "GOOGLE_SERVICE_ACCOUNT_NAME is not set",
    })?;
    let access = access_token(sources).await?;
    let endpoint = sources.variable(IAM).unwrap_or_else(|| IAM_ENDPOINT.to_owned());
    let mut url = service_address(IAM, &endpoint)?;
    url.path_segments_mut()
        .map_err(|()| TokenError::Address { name: IAM })?
        .pop_if_empty()
        .extend(["v1", "projects", "-", "serviceAccounts"])
        .push(&format!("{target}:generateIdToken"));
    let http = sources.http(FROM)?;
    let asked = Asked {
        request: http
            .post(&url)
            .bearer_auth(&*access)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(json!({"audience": sources.audience(), "includeEmail": true}).to_string()),
        shown: &url,
        from: FROM,
        secret: &access,
    };
    let made: Made = ask(&http, asked).await?;
    IdentityToken::parse(&made.token)
}

/// Our own access token, with which another account's token is asked for.
async fn access_token(sources: &Sources<'_>) -> Result<Secret, TokenError> {
    match credentials(sources)? {
        Some(Credentials::ServiceAccount(account)) => account.access_token(sources).await,
        Some(Credentials::Person(person)) => person.access_token(sources).await,
        None => {
            let url = metadata_address(sources, "token")?;
            let answer = metadata(sources, &url).await?;
            account::access_token_of(&answer.body)
        }
    }
}

fn credentials(sources: &Sources<'_>) -> Result<Option<Credentials>, TokenError> {
    let Some(path) = sources.variable(CREDENTIALS) else {
        return Ok(None);
    };
    let failed = |reason: String| TokenError::File {
        path: path.clone(),
        reason,
    };
    let mut text = Zeroizing::new(String::new());
    let file = File::open(Path::new(&path)).map_err(|error| failed(error.to_string()))?;
    file.take(MAX_CREDENTIALS_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    Credentials::parse(&text)
        .map(Some)
        .map_err(|reason| failed(reason.to_owned()))
}

fn metadata_address(sources: &Sources<'_>, what: &str) -> Result<Url, TokenError> {
    let host = sources.variable(METADATA).unwrap_or_else(|| METADATA_HOST.to_owned());
    let path = "computeMetadata/v1/instance/service-accounts/default";
    Url::parse(&format!("http://{host}/{path}/{what}"))
        .ok()
        .filter(|url| url.username().is_empty() && url.query().is_none())
        .ok_or(TokenError::Address { name: METADATA })
}

/// Asks the metadata server. It is in plain http by its nature, and no secret is sent to it; no proxy is asked, and an
/// answer that does not say what it is comes from somebody else.
async fn metadata(sources: &Sources<'_>, url: &Url) -> Result<Answer, TokenError> {
    let http = sources.http(FROM)?;
    let asked = Asked {
        request: http.get_direct(url).header("Metadata-Flavor", "Google"),
        shown: url,
        from: FROM,
        secret: "",
    };
    let answer = answer(&http, asked, &[StatusCode::OK]).await?;
    let flavor = answer.headers.get("metadata-flavor").map(|value| value.as_bytes());
    match flavor {
        Some(b"Google") => Ok(answer),
        _ => Err(unusable("it does not come from a metadata server")),
    }
}

fn unusable(reason: &'static str) -> TokenError {
    TokenError::Answer { from: FROM, reason }
}
