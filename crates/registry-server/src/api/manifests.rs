//! Pulling, pushing and deleting manifests.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use proofmark_oci::MAX_MANIFEST_BYTES;
use proofmark_types::MediaType;

use super::{App, DOCKER_CONTENT_DIGEST, OCI_SUBJECT, body, empty, set};
use crate::error::{ApiError, Code};
use crate::name::{Reference, RepositoryName};

/// `GET` and `HEAD /v2/<name>/manifests/<reference>`. For `HEAD` hyper leaves the body out and keeps its length.
///
/// `Accept` is not negotiated: the bytes of a digest are what they are, and a client that cannot read them says so.
pub(super) async fn pull(app: &App, name: RepositoryName, reference: Reference) -> Result<Response<Body>, ApiError> {
    let manifest = app.on_store(move |store| store.manifest(&name, &reference)).await?;
    let length = manifest.bytes.len();
    let mut response = Response::new(Body::from(manifest.bytes));
    set(&mut response, CONTENT_TYPE, manifest.media_type.as_str());
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    set(&mut response, DOCKER_CONTENT_DIGEST, &manifest.digest.to_string());
    Ok(response)
}

/// `PUT /v2/<name>/manifests/<reference>`.
pub(super) async fn push(
    app: &App,
    name: RepositoryName,
    reference: Reference,
    request: &Parts,
    content: Body,
) -> Result<Response<Body>, ApiError> {
    let declared = match request.headers.get(CONTENT_TYPE) {
        None => None,
        value => {
            let media_type = body::text(value).and_then(|text| MediaType::parse(text).ok());
            Some(media_type.ok_or_else(|| ApiError::new(Code::ManifestInvalid, "Content-Type is no media type"))?)
        }
    };
    let bytes = body::whole(content, &request.headers, MAX_MANIFEST_BYTES).await?;
    let target = name.clone();
    let accepted = app
        .on_store(move |store| store.put_manifest(&target, &reference, declared.as_ref(), &bytes))
        .await?;
    let mut response = empty(
        StatusCode::CREATED,
        [
            (LOCATION, format!("/v2/{name}/manifests/{}", accepted.digest)),
            (DOCKER_CONTENT_DIGEST, accepted.digest.to_string()),
        ],
    );
    if let Some(subject) = accepted.subject.filter(|_| app.0.referrers_api) {
        set(&mut response, OCI_SUBJECT, &subject.to_string());
    }
    Ok(response)
}

/// `DELETE /v2/<name>/manifests/<reference>`: by tag the tag goes, by digest the manifest and every tag that names it.
pub(super) async fn delete(app: &App, name: RepositoryName, reference: Reference) -> Result<Response<Body>, ApiError> {
    app.on_store(move |store| match &reference {
        Reference::Tag(tag) => store.delete_tag(&name, tag),
        Reference::Digest(digest) => store.delete_manifest(&name, digest),
    })
    .await?;
    Ok(empty(StatusCode::ACCEPTED, []))
}
