//! The endpoints: from a request to the store and back. One function per endpoint of the specification's table.

mod blobs;
mod body;
mod lists;
mod manifests;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::auth::Gate;
use crate::config::Config;
use crate::error::{ApiError, Code};
use crate::route::Route;
use crate::store::{Store, StoreError};

/// The name of the content's digest, in answers (distribution-spec 1.1, "Pulling manifests").
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// By which old clients tell that this is a registry of the second version.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// The same for an upload's id; docker's client wants it.
const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// Says that a pushed manifest was listed among its subject's referrers.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Says that a list of referrers was filtered.
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What every request needs.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    gate: Option<Gate>,
    referrers_api: bool,
    max_blob_bytes: u64,
}

impl App {
    pub(crate) fn new(store: Arc<Store>, config: Config) -> Result<Self, ApiError> {
        Ok(Self(Arc::new(Shared {
            store,
            gate: config.htpasswd.map(Gate::new).transpose()?,
            referrers_api: config.referrers_api,
            max_blob_bytes: config.max_blob_bytes,
        })))
    }

    /// Runs `work` on the store where blocking is allowed.
    async fn on_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = Arc::clone(&self.0.store);
        off_thread(move || work(&store)).await?.map_err(ApiError::from)
    }
}

/// The service.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .fallback(answer)
        .with_state(app)
}

async fn answer(State(app): State<App>, request: Request) -> Response<Body> {
    let mut response = match dispatch(&app, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    response
        .headers_mut()
        .insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

async fn dispatch(app: &App, request: Request) -> Result<Response<Body>, ApiError> {
    let (parts, content) = request.into_parts();
    if let Some(gate) = &app.0.gate {
        gate.admit(&parts.headers).await?;
    }
    match (&parts.method, Route::parse(parts.uri.path())?) {
        (&Method::GET | &Method::HEAD, Route::Base) => Ok(json("{}".to_owned())),
        (&Method::GET, Route::Catalog) => lists::catalog(app, &parts).await,
        (&Method::GET, Route::Tags(name)) => lists::tags(app, name, &parts).await,
        (&Method::GET, Route::Referrers(name, subject)) => lists::referrers(app, name, subject, &parts).await,
        (&Method::GET | &Method::HEAD, Route::Manifest(name, reference)) => manifests::pull(app, name, reference).await,
        (&Method::PUT, Route::Manifest(name, reference)) => {
            manifests::push(app, name, reference, &parts, content).await
        }
        (&Method::DELETE, Route::Manifest(name, reference)) => manifests::delete(app, name, reference).await,
        (&Method::GET | &Method::HEAD, Route::Blob(name, digest)) => blobs::pull(app, name, digest, &parts).await,
        (&Method::DELETE, Route::Blob(name, digest)) => blobs::delete(app, name, digest).await,
        (&Method::POST, Route::Uploads(name)) => uploads::start(app, name, &parts, content).await,
        (&Method::GET, Route::Upload(name, id)) => uploads::status(app, name, id).await,
        (&Method::PATCH, Route::Upload(name, id)) => uploads::chunk(app, name, id, &parts, content).await,
        (&Method::PUT, Route::Upload(name, id)) => uploads::finish(app, name, id, &parts, content).await,
        (&Method::DELETE, Route::Upload(name, id)) => uploads::cancel(app, name, id).await,
        (method, route) => Err(method_not_allowed(method, &route)),
    }
}

fn method_not_allowed(method: &Method, route: &Route) -> ApiError {
    let allowed = match route {
        Route::Base => "GET, HEAD",
        Route::Catalog | Route::Tags(_) | Route::Referrers(..) => "GET",
        Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
        Route::Blob(..) => "GET, HEAD, DELETE",
        Route::Uploads(_) => "POST",
        Route::Upload(..) => "GET, PATCH, PUT, DELETE",
    };
    ApiError::new(Code::Unsupported, format!("{method} is not for this endpoint")).with_header(ALLOW, allowed)
}

/// Runs blocking work off the threads that serve connections.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ApiError::internal("working on a request", &error))
}

fn json(body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without content.
fn empty<const N: usize>(status: StatusCode, headers: [(HeaderName, String); N]) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    for (name, value) in headers {
        set(&mut response, name, &value);
    }
    response
}

/// Sets a header whose value was made from parsed names, which hold no control characters.
fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
