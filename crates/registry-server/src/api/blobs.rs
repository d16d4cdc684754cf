//! Pulling and deleting blobs.

use axum::body::Body;
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode};
use proofmark_types::Digest;
use std::io::{Seek as _, SeekFrom};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{App, DOCKER_CONTENT_DIGEST, body, empty, off_thread, set};
use crate::error::{ApiError, Code};
use crate::name::RepositoryName;
use crate::range::Wanted;

/// How much of a blob is read at once, and so what one download holds in memory.
const READ_BYTES: usize = 256 * 1024;

/// `GET` and `HEAD /v2/<name>/blobs/<digest>`, whole or one range of it.
pub(super) async fn pull(
    app: &App,
    name: RepositoryName,
    digest: Digest,
    request: &Parts,
) -> Result<Response<Body>, ApiError> {
    let wanted = digest.clone();
    let blob = app.on_store(move |store| store.open_blob(&name, &wanted)).await?;
    let range = Wanted::parse(body::text(request.headers.get(RANGE)), blob.size);
    let (start, length) = match range {
        Wanted::All => (0, blob.size),
        Wanted::Part { start, length } => (start, length),
        Wanted::Unsatisfiable => {
            let message = format!("the blob has {} bytes", blob.size);
            return Err(ApiError::new(Code::RangeInvalid, message)
                .with_header(CONTENT_RANGE, &format!("bytes */{}", blob.size)));
        }
    };
    let mut response = Response::new(Body::empty());
    if matches!(range, Wanted::Part { .. }) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = start + length - 1;
        set(
            &mut response,
            CONTENT_RANGE,
            &format!("bytes {start}-{last}/{}", blob.size),
        );
    }
    set(&mut response, CONTENT_TYPE, "application/octet-stream");
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, DOCKER_CONTENT_DIGEST, &digest.to_string());
    if request.method == Method::GET {
        let mut file = blob.file;
        let file = off_thread(move || file.seek(SeekFrom::Start(start)).map(|_| file))
            .await?
            .map_err(|error| ApiError::internal("reading a blob", &error))?;
        let reader = tokio::fs::File::from_std(file).take(length);
        *response.body_mut() = Body::from_stream(ReaderStream::with_capacity(reader, READ_BYTES));
    }
    Ok(response)
}

/// `DELETE /v2/<name>/blobs/<digest>`.
pub(super) async fn delete(app: &App, name: RepositoryName, digest: Digest) -> Result<Response<Body>, ApiError> {
    app.on_store(move |store| store.delete_blob(&name, &digest)).await?;
    Ok(empty(StatusCode::ACCEPTED, []))
}
