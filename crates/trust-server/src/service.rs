//! The HTTP surface: every path of the four services on one origin.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_merkle::tile::TilePath;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::clock::IssuingClock;
use crate::dev_issuer::{self, DevIssuer};
use crate::documents;
use crate::error::{ApiError, REQUEST_ID};
use crate::key::pem;
use crate::log::{Log, Proven};
use crate::oidc::{Issuers, MAX_TOKEN_BYTES, TokenError};
use crate::signing_request::{Possession, PossessionError, SigningRequest};
use crate::timestamp::{Query, TimestampAuthority};
use crate::tuf;

/// The largest request body, of Fulcio and rekor-tiles: 4 MiB. An entry is far smaller; a DSSE request carries its
/// whole payload.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// How long a request may take, its body included: the two documents of an issuer may take ten seconds each, and a client
/// that sends its body byte by byte must not hold one of the connections for ever.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that requests need.
pub(crate) struct Service {
    pub(crate) directory: PathBuf,
    pub(crate) authority: Authority,
    pub(crate) issuers: Issuers,
    pub(crate) configuration: Value,
    pub(crate) log: Log,
    pub(crate) timestamps: TimestampAuthority,
    pub(crate) clock: IssuingClock,
    pub(crate) dev_issuer: Option<DevIssuer>,
    pub(crate) trusted_root: Bytes,
    pub(crate) signing_config: Bytes,
    pub(crate) trust_config: Bytes,
}

type Shared = State<Arc<Service>>;

/// All routes.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(healthz))
        .route("/ping", get(async || "ok"))
        // Fulcio
        .route("/api/v2/signingCert", post(signing_certificate))
        .route("/api/v2/trustBundle", get(trust_bundle))
        .route("/api/v2/configuration", get(configuration))
        .route("/api/v1/signingCert", post(gone))
        .route("/api/v1/rootCert", get(gone))
        // Rekor
        .route("/api/v2/log/entries", post(create_entry))
        .route("/api/v2/checkpoint", get(checkpoint))
        .route("/api/v2/tile/{*path}", get(tile))
        .route("/api/v1/log/entries", post(gone))
        // Timestamps
        .route("/api/v1/timestamp", post(timestamp))
        .route("/api/v1/timestamp/certchain", get(timestamp_chain))
        // Documents
        .route("/trusted_root.json", get(trusted_root))
        .route("/signing_config.json", get(signing_config))
        .route("/trust_config.json", get(trust_config))
        .route("/tuf/{*path}", get(tuf_file));
    if service.dev_issuer.is_some() {
        for path in [dev_issuer::CI_PATH, dev_issuer::EMAIL_PATH] {
            router = router
                .route(
                    &format!("{path}/.well-known/openid-configuration"),
                    get(move |state| discovery(path, state)),
                )
                .route(&format!("{path}/jwks"), get(jwks));
        }
    }
    router
        .fallback(async || ApiError::not_found())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(identify))
        .with_state(service)
}

/// Gives each request an id, writes the body of refusals, and logs once.
async fn identify(request: Request, next: Next) -> Response {
    let mut id = [0; 8];
    // An id without randomness is still an id.
    let _ = getrandom::fill(&mut id);
    let id = hex::encode(id);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = Instant::now();
    let mut response = match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("the request took more than {} seconds", REQUEST_TIMEOUT.as_secs());
            let error = ApiError::bad_request("request-timeout", message);
            error.with_status(StatusCode::REQUEST_TIMEOUT).into_response()
        }
    };
    let reason = response.extensions_mut().remove::<ApiError>();
    if let Some(error) = &reason {
        response = error.render(&id);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let path: String = path.chars().take(MAX_LOGGED_PATH).collect();
    match reason {
        Some(error) => tracing::info!(
            request.id = id, %method, path, status, duration_ms, reason = error.reason, message = error.message,
            "refused"
        ),
        None => tracing::debug!(request.id = id, %method, path, status, duration_ms, "answered"),
    }
    response
}

/// The most of a foreign path that is logged.
const MAX_LOGGED_PATH: usize = 200;

async fn healthz() -> Response {
    axum::Json(json!({"status": "SERVING"})).into_response()
}

/// Paths of services that are not spoken here, but asked for by old clients.
async fn gone() -> ApiError {
    let message = "this server speaks Fulcio v2 (/api/v2/signingCert) and Rekor v2 (/api/v2/log/entries): point the \
                   client at /signing_config.json"
        .to_owned();
    ApiError::bad_request("api-version-gone", message).with_status(StatusCode::GONE)
}

async fn signing_certificate(State(service): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, ApiError> {
    let request = SigningRequest::parse(&body)?;
    // 1. Who asks: the token in the body goes before the one in the header.
    let token = match request.token() {
        Some(token) => token,
        None => bearer(&headers)?,
    };
    let principal = service.issuers.verify(token, service.clock.now()).await?;
    // 2. That the key is theirs.
    let possession: Possession = request.possession()?;
    let names: Vec<&str> = principal.challenges.iter().map(String::as_str).collect();
    let spki: &[u8] = possession
        .verify(&names)
        .map_err(|error: PossessionError| ApiError::from(error))?;
    // 3. The certificate.
    let leaf = service.authority.issue(&principal, spki, &service.clock)?;
    let mut certificates = vec![pem("CERTIFICATE", &leaf)];
    certificates.extend(service.authority.chain.iter().map(|der| pem("CERTIFICATE", der)));
    Ok(axum::Json(json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": certificates}}})).into_response())
}

fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let value = headers.get(header::AUTHORIZATION).ok_or(TokenError::Missing)?;
    if value.len() > MAX_TOKEN_BYTES + 16 {
        return Err(TokenError::TooLong {
            limit: MAX_TOKEN_BYTES,
            seen: value.len(),
        });
    }
    let text = value.to_str().map_err(|_| TokenError::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(TokenError::Missing)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(TokenError::Missing)
    }
}

async fn trust_bundle(State(service): Shared) -> Response {
    let certificates: Vec<String> = service
        .authority
        .chain
        .iter()
        .map(|der| pem("CERTIFICATE", der))
        .collect();
    axum::Json(json!({"chains": [{"certificates": certificates}]})).into_response()
}

async fn configuration(State(service): Shared) -> Response {
    axum::Json(&service.configuration).into_response()
}

async fn create_entry(State(service): Shared, body: Bytes) -> Result<Response, ApiError> {
    let proven = service.log.submit(&body).await?;
    Ok((
        StatusCode::CREATED,
        axum::Json(log_entry(&proven, service.log.log_id())),
    )
        .into_response())
}

/// TransparencyLogEntry, 64-bit numbers as text, every field written (protobuf's JSON with unpopulated fields).
fn log_entry(proven: &Proven, log_id: &[u8]) -> Value {
    let hashes: Vec<String> = proven.hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
    json!({
        "logIndex": proven.index.to_string(),
        "logId": {"keyId": STANDARD.encode(log_id)},
        "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
        "integratedTime": "0",
        "inclusionPromise": null,
        "inclusionProof": {
            "logIndex": proven.index.to_string(),
            "rootHash": STANDARD.encode(proven.root),
            "treeSize": proven.size.to_string(),
            "hashes": hashes,
            "checkpoint": {"envelope": &*proven.checkpoint},
        },
        "canonicalizedBody": STANDARD.encode(&proven.body),
    })
}

async fn checkpoint(State(service): Shared) -> Response {
    let text = service.log.checkpoint().to_string();
    with_type("text/plain; charset=utf-8", "no-cache", text.into())
}

async fn tile(State(service): Shared, Path(path): Path<String>) -> Result<Response, ApiError> {
    let path = TilePath::parse(&format!("tile/{path}")).map_err(|_| ApiError::not_found())?;
    // A full tile never changes; a partial one of a given width neither.
    let found = tokio::task::spawn_blocking(move || service.log.tile(&path)).await;
    let found = found.map_err(|error| ApiError::internal("log-read", &error))?;
    let found = found.map_err(|error| ApiError::internal("log-read", &error))?;
    let bytes = found.ok_or_else(ApiError::not_found)?;
    Ok(with_type(
        "application/octet-stream",
        "public, max-age=31536000, immutable",
        bytes.into(),
    ))
}

async fn timestamp(State(service): Shared, headers: HeaderMap, body: Bytes) -> Result<Response, ApiError> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let query = match media_type.split(';').next().unwrap_or_default().trim() {
        "application/timestamp-query" => Query::from_der(&body)?,
        "application/json" => Query::from_json(&body)?,
        _ => {
            let message = "expected application/timestamp-query or application/json".to_owned();
            let error = ApiError::bad_request("timestamp-media-type", message);
            return Err(error.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
    };
    let response = service.timestamps.stamp(&query, &service.clock)?;
    Ok(with_type("application/timestamp-reply", "no-store", response.into()))
}

async fn timestamp_chain(State(service): Shared) -> Response {
    let chain: String = service
        .timestamps
        .chain
        .iter()
        .map(|der| pem("CERTIFICATE", der))
        .collect();
    with_type("application/pem-certificate-chain", "no-cache", chain.into())
}

async fn trusted_root(State(service): Shared) -> Response {
    with_type(
        documents::TRUSTED_ROOT_MEDIA_TYPE,
        "no-cache",
        service.trusted_root.clone(),
    )
}

async fn signing_config(State(service): Shared) -> Response {
    with_type(
        documents::SIGNING_CONFIG_MEDIA_TYPE,
        "no-cache",
        service.signing_config.clone(),
    )
}

async fn trust_config(State(service): Shared) -> Response {
    with_type(
        documents::TRUST_CONFIG_MEDIA_TYPE,
        "no-cache",
        service.trust_config.clone(),
    )
}

/// Files of the TUF repository. What is not there must be 404: that is how clients know the newest root.
async fn tuf_file(State(service): Shared, Path(path): Path<String>) -> Result<Response, ApiError> {
    let file = tuf::path_of(&service.directory, &path).ok_or_else(ApiError::not_found)?;
    let bytes = tokio::fs::read(&file).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ApiError::not_found(),
        _ => ApiError::internal("tuf-read", &error),
    })?;
    let unchanging = path.starts_with("targets/") || path.starts_with(|c: char| c.is_ascii_digit());
    let cache = if unchanging {
        "public, max-age=86400"
    } else {
        "no-cache"
    };
    Ok(with_type("application/json", cache, bytes.into()))
}

async fn discovery(path: &'static str, State(service): Shared) -> Result<Response, ApiError> {
    let issuer = service.dev_issuer.as_ref().ok_or_else(ApiError::not_found)?;
    Ok(axum::Json(issuer.discovery(path)).into_response())
}

async fn jwks(State(service): Shared) -> Result<Response, ApiError> {
    let issuer = service.dev_issuer.as_ref().ok_or_else(ApiError::not_found)?;
    Ok(axum::Json(issuer.jwks()).into_response())
}

fn with_type(media_type: &'static str, cache: &'static str, body: Bytes) -> Response {
    let headers = [(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, cache)];
    (headers, body).into_response()
}
