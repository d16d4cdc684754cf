//! Lists: repositories, tags, referrers; in pages, each naming the next by `Link` (RFC 5988).

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use proofmark_oci::media_types::OCI_INDEX;
use proofmark_types::{Digest, MediaType};
use serde_json::json;

use super::{App, OCI_FILTERS_APPLIED, json, set};
use crate::error::{ApiError, Code};
use crate::name::{RepositoryName, parse_digest};
use crate::route::query_value;

/// How many names a page has at most: at 128 bytes a tag this is 1.3 MB, within the 4 MiB that clients read.
const MAX_PAGE: usize = 10_000;

/// `GET /v2/_catalog`, an extension by docker's registry that clients use to list repositories.
pub(super) async fn catalog(app: &App, request: &Parts) -> Result<Response<Body>, ApiError> {
    let Paging { count, last } = Paging::of(request)?;
    let page = app
        .on_store(move |store| Ok(store.catalog(last.as_deref(), count)))
        .await?;
    let mut response = json(json!({"repositories": page.items}).to_string());
    if page.more {
        link_next(&mut response, "/v2/_catalog", count, page.last.as_deref());
    }
    Ok(response)
}

/// `GET /v2/<name>/tags/list`.
pub(super) async fn tags(app: &App, name: RepositoryName, request: &Parts) -> Result<Response<Body>, ApiError> {
    let Paging { count, last } = Paging::of(request)?;
    let wanted = name.clone();
    let page = app
        .on_store(move |store| store.tags(&wanted, last.as_deref(), count))
        .await?;
    let mut response = json(json!({"name": name.as_str(), "tags": page.items}).to_string());
    if page.more {
        let path = format!("/v2/{name}/tags/list");
        link_next(&mut response, &path, count, page.last.as_deref());
    }
    Ok(response)
}

/// `GET /v2/<name>/referrers/<digest>`: an image index of the manifests whose subject is `digest`.
pub(super) async fn referrers(
    app: &App,
    name: RepositoryName,
    subject: Digest,
    request: &Parts,
) -> Result<Response<Body>, ApiError> {
    if !app.0.referrers_api {
        return Err(
            ApiError::new(Code::Unsupported, "this registry has no referrers API").with_status(StatusCode::NOT_FOUND)
        );
    }
    let query = request.uri.query();
    let filter = query_value(query, "artifactType")?.filter(|text| !text.is_empty());
    let wanted = match &filter {
        // `+` of a media type is sent bare by most clients and is no space here; nothing else needs care.
        Some(text) => Some(MediaType::parse(text).map_err(|error| {
            ApiError::new(Code::Unsupported, error.to_string()).with_status(StatusCode::BAD_REQUEST)
        })?),
        None => None,
    };
    let last = query_value(query, "last")?
        .map(|last| parse_digest(&last))
        .transpose()?;
    let path = format!("/v2/{name}/referrers/{subject}");
    let page = app
        .on_store(move |store| store.referrers(&name, &subject, wanted.as_ref(), last.as_ref()))
        .await?;
    let mut response = json(format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#,
        page.items.join(",")
    ));
    set(&mut response, CONTENT_TYPE, OCI_INDEX);
    if filter.is_some() {
        set(&mut response, OCI_FILTERS_APPLIED, "artifactType");
    }
    if let Some(last) = page.last.filter(|_| page.more) {
        let filter = filter
            .map(|text| format!("&artifactType={}", encode(&text)))
            .unwrap_or_default();
        let link = format!("<{path}?last={}{filter}>; rel=\"next\"", encode(&last));
        set(&mut response, LINK, &link);
    }
    Ok(response)
}

struct Paging {
    count: usize,
    last: Option<String>,
}

impl Paging {
    fn of(request: &Parts) -> Result<Self, ApiError> {
        let query = request.uri.query();
        let count = match query_value(query, "n")? {
            None => MAX_PAGE,
            Some(text) => text.parse::<usize>().map_or_else(
                |_| Err(ApiError::new(Code::PaginationNumberInvalid, "n is not a number")),
                |count| Ok(count.min(MAX_PAGE)),
            )?,
        };
        let last = query_value(query, "last")?;
        Ok(Self { count, last })
    }
}

fn link_next(response: &mut Response<Body>, path: &str, count: usize, last: Option<&str>) {
    let last = encode(last.unwrap_or_default());
    set(response, LINK, &format!("<{path}?n={count}&last={last}>; rel=\"next\""));
}

/// Percent-encodes all but the characters that RFC 3986 §2.3 leaves alone.
fn encode(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match unreserved(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
