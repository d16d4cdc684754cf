//! Request bodies: read piece by piece, bounded, and not for ever.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::error::{ApiError, Code};
use crate::store::Writing;

use super::off_thread;

/// How long a client may send nothing: a minute covers a stalled link, and frees the upload from a dead client.
const IDLE: Duration = Duration::from_secs(60);

/// How much is gathered before it is written: large enough that handing it to another thread costs little, small enough
/// that a thousand uploads at once hold half a gigabyte at most.
const PIECE: usize = 512 * 1024;

/// How many frames are gathered at most: a client that sends single bytes must not fill memory with their bookkeeping.
const MAX_FRAMES: usize = 1024;

/// A body's frames, each awaited for [`IDLE`] at most.
pub(super) struct Frames(axum::body::BodyDataStream);

impl Frames {
    pub(super) fn of(body: Body) -> Self {
        Self(body.into_data_stream())
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let interrupted = |message: &str| {
            ApiError::new(Code::BlobUploadInvalid, message.to_owned()).with_status(StatusCode::REQUEST_TIMEOUT)
        };
        match tokio::time::timeout(IDLE, self.0.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(frame))) => Ok(Some(frame)),
            Ok(Some(Err(_))) => Err(interrupted("the request's body broke off")),
            Err(_) => Err(interrupted("nothing arrived for a minute")),
        }
    }
}

/// The whole body, where it is at most `limit` bytes.
pub(super) async fn whole(body: Body, headers: &HeaderMap, limit: u64) -> Result<Vec<u8>, ApiError> {
    let too_large = || {
        ApiError::new(
            Code::SizeInvalid,
            format!("the body is larger than the {limit} bytes accepted"),
        )
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    if content_length(headers).is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut frames = Frames::of(body);
    let mut bytes = Vec::new();
    while let Some(frame) = frames.next().await? {
        if (bytes.len() + frame.len()) as u64 > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}

/// Why a body did not become part of an upload.
pub(super) enum Interrupted {
    /// The client or the disk failed; what was written stays.
    Failed(ApiError),
    /// More came than was announced or is allowed; the writing is handed back, to be taken back.
    TooMuch(Box<Writing>),
}

/// Writes a body to an upload until the upload would be longer than `limit`.
pub(super) async fn receive(mut writing: Writing, body: Body, limit: u64) -> Result<Writing, Interrupted> {
    let mut frames = Frames::of(body);
    let mut gathered = Vec::new();
    let mut size = 0;
    loop {
        let frame = frames.next().await.map_err(Interrupted::Failed)?;
        let ended = frame.is_none();
        if let Some(frame) = frame {
            size += frame.len();
            gathered.push(frame);
        }
        if writing.offset() + size as u64 > limit {
            return Err(Interrupted::TooMuch(Box::new(writing)));
        }
        if size >= PIECE || gathered.len() >= MAX_FRAMES || (ended && size > 0) {
            let pieces = std::mem::take(&mut gathered);
            size = 0;
            // If this request is dropped meanwhile, the closure still ends, and the upload's state is right.
            let written = off_thread(move || writing.write(&pieces).map(|()| writing)).await;
            writing = written
                .and_then(|written| written.map_err(ApiError::from))
                .map_err(Interrupted::Failed)?;
        }
        if ended {
            return Ok(writing);
        }
    }
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers.get(CONTENT_LENGTH))?.parse().ok()
}

/// A header's value, where it is text.
pub(super) fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value.and_then(|value| value.to_str().ok())
}
