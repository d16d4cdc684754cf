//! Pushing blobs: at once, in a stream or in chunks; or mounting them from another repository.

use axum::body::Body;
use axum::http::header::{CONTENT_RANGE, LOCATION, RANGE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode};
use proofmark_types::Digest;

use super::body::{self, Interrupted};
use super::{App, DOCKER_CONTENT_DIGEST, DOCKER_UPLOAD_UUID, empty, off_thread};
use crate::error::{ApiError, Code};
use crate::name::{RepositoryName, UploadId, parse_digest};
use crate::range::ChunkRange;
use crate::route::query_value;
use crate::store::Writing;

/// `POST /v2/<name>/blobs/uploads/`: mounts (`mount`, `from`), takes the whole blob (`digest`), or opens an upload.
pub(super) async fn start(
    app: &App,
    name: RepositoryName,
    request: &Parts,
    content: Body,
) -> Result<Response<Body>, ApiError> {
    let query = request.uri.query();
    if let Some(mount) = query_value(query, "mount")? {
        let digest = parse_digest(&mount)?;
        let from = query_value(query, "from")?.filter(|from| !from.is_empty());
        let from = from.map(|from| RepositoryName::parse(&from)).transpose()?;
        let (target, wanted) = (name.clone(), digest.clone());
        let mounted = app
            .on_store(move |store| store.mount_blob(&target, from.as_ref(), &wanted))
            .await?;
        if mounted {
            return Ok(created(&name, &digest));
        }
        // Not there: the client is told to upload, as the specification wants.
        let id = open(app, &name).await?;
        return Ok(progress(StatusCode::ACCEPTED, &name, &id, 0));
    }
    let digest = query_value(query, "digest")?
        .map(|text| parse_digest(&text))
        .transpose()?;
    let id = open(app, &name).await?;
    match digest {
        None => Ok(progress(StatusCode::ACCEPTED, &name, &id, 0)),
        Some(digest) => {
            let completed = complete(app, name.clone(), id.clone(), &digest, &request.headers, content).await;
            if completed.is_err() {
                // The client does not know the upload's id, so it cannot go on with it. Most often it is gone already.
                let _ = app.on_store(move |store| store.cancel_upload(&name, &id)).await;
            }
            completed
        }
    }
}

/// `GET /v2/<name>/blobs/uploads/<id>`: how much has arrived.
pub(super) async fn status(app: &App, name: RepositoryName, id: UploadId) -> Result<Response<Body>, ApiError> {
    let (target, upload) = (name.clone(), id.clone());
    let offset = app.on_store(move |store| store.upload_offset(&target, &upload)).await?;
    Ok(progress(StatusCode::NO_CONTENT, &name, &id, offset))
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`: a chunk with `Content-Range`, or a stream without.
pub(super) async fn chunk(
    app: &App,
    name: RepositoryName,
    id: UploadId,
    request: &Parts,
    content: Body,
) -> Result<Response<Body>, ApiError> {
    let writing = resume(app, &name, &id).await?;
    let writing = append(app, &name, &id, writing, &request.headers, content).await?;
    let offset = writing.offset();
    drop(writing);
    Ok(progress(StatusCode::ACCEPTED, &name, &id, offset))
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=…`: the end, with the last bytes or all of them, or with none.
pub(super) async fn finish(
    app: &App,
    name: RepositoryName,
    id: UploadId,
    request: &Parts,
    content: Body,
) -> Result<Response<Body>, ApiError> {
    let digest = query_value(request.uri.query(), "digest")?
        .ok_or_else(|| ApiError::new(Code::DigestInvalid, "the query parameter digest is missing"))?;
    let digest = parse_digest(&digest)?;
    complete(app, name, id, &digest, &request.headers, content).await
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`.
pub(super) async fn cancel(app: &App, name: RepositoryName, id: UploadId) -> Result<Response<Body>, ApiError> {
    app.on_store(move |store| store.cancel_upload(&name, &id)).await?;
    Ok(empty(StatusCode::NO_CONTENT, []))
}

async fn open(app: &App, name: &RepositoryName) -> Result<UploadId, ApiError> {
    let (store, name) = (std::sync::Arc::clone(&app.0.store), name.clone());
    off_thread(move || store.start_upload(&name)).await?
}

async fn resume(app: &App, name: &RepositoryName, id: &UploadId) -> Result<Writing, ApiError> {
    let (name, id) = (name.clone(), id.clone());
    app.on_store(move |store| store.resume_upload(&name, &id)).await
}

async fn complete(
    app: &App,
    name: RepositoryName,
    id: UploadId,
    digest: &Digest,
    headers: &HeaderMap,
    content: Body,
) -> Result<Response<Body>, ApiError> {
    let writing = resume(app, &name, &id).await?;
    let writing = append(app, &name, &id, writing, headers, content).await?;
    let expected = digest.clone();
    app.on_store(move |store| store.finish_upload(writing, &expected))
        .await?;
    Ok(created(&name, digest))
}

/// Adds a request's body to an upload: where it says that it belongs, as long as it says that it is, or not at all.
async fn append(
    app: &App,
    name: &RepositoryName,
    id: &UploadId,
    writing: Writing,
    headers: &HeaderMap,
    content: Body,
) -> Result<Writing, ApiError> {
    let offset = writing.offset();
    let announced = match headers.get(CONTENT_RANGE) {
        None => body::content_length(headers),
        value => {
            let range = body::text(value).and_then(ChunkRange::parse);
            let range = range.ok_or_else(|| {
                ApiError::new(
                    Code::BlobUploadInvalid,
                    "Content-Range is not <start>-<end>, the end inclusive",
                )
            })?;
            if range.start != offset {
                return Err(out_of_order(name, id, range.start, offset));
            }
            if body::content_length(headers).is_some_and(|length| length != range.length) {
                return Err(ApiError::new(
                    Code::SizeInvalid,
                    "Content-Length and Content-Range differ",
                ));
            }
            Some(range.length)
        }
    };
    let largest = app.0.max_blob_bytes;
    let too_large = || {
        ApiError::new(
            Code::SizeInvalid,
            format!("blobs of more than {largest} bytes are not accepted"),
        )
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let end = announced.map_or(largest, |length| offset.saturating_add(length));
    if end > largest {
        return Err(too_large());
    }
    let mark = writing.mark();
    match body::receive(writing, content, end).await {
        Ok(writing) if announced.is_some() && writing.offset() < end => {
            take_back(writing, mark).await?;
            Err(ApiError::new(Code::SizeInvalid, "the chunk is shorter than announced"))
        }
        Ok(writing) => Ok(writing),
        Err(Interrupted::Failed(error)) => Err(error),
        Err(Interrupted::TooMuch(writing)) => {
            take_back(*writing, mark).await?;
            match announced {
                Some(_) => Err(ApiError::new(Code::SizeInvalid, "the chunk is longer than announced")),
                None => Err(too_large()),
            }
        }
    }
}

async fn take_back(mut writing: Writing, mark: crate::store::Mark) -> Result<(), ApiError> {
    off_thread(move || writing.roll_back(mark))
        .await?
        .map_err(ApiError::from)
}

fn out_of_order(name: &RepositoryName, id: &UploadId, start: u64, offset: u64) -> ApiError {
    let message = format!("the chunk starts at {start}, the next byte wanted is {offset}");
    ApiError::new(Code::RangeInvalid, message)
        .with_header(LOCATION, &location(name, id))
        .with_header(RANGE, &arrived(offset))
        .with_header(DOCKER_UPLOAD_UUID, id.as_str())
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    empty(
        StatusCode::CREATED,
        [
            (LOCATION, format!("/v2/{name}/blobs/{digest}")),
            (DOCKER_CONTENT_DIGEST, digest.to_string()),
        ],
    )
}

fn progress(status: StatusCode, name: &RepositoryName, id: &UploadId, offset: u64) -> Response<Body> {
    empty(
        status,
        [
            (LOCATION, location(name, id)),
            (RANGE, arrived(offset)),
            (DOCKER_UPLOAD_UUID, id.as_str().to_owned()),
        ],
    )
}

fn location(name: &RepositoryName, id: &UploadId) -> String {
    format!("/v2/{name}/blobs/uploads/{}", id.as_str())
}

/// The last byte that arrived, inclusive; nothing is written `0-0` too (docker's registry does, clients expect it).
fn arrived(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}
