//! What can go wrong in the store, as facts; `ApiError` says them to clients.

use std::io;

use axum::http::StatusCode;
use proofmark_oci::ManifestError;
use proofmark_types::{Digest, Tag};
use thiserror::Error;

use crate::error::{ApiError, Code};
use crate::name::{Reference, RepositoryName};

#[derive(Debug, Error)]
pub(crate) enum StoreError {
    #[error("storage failed while {doing}")]
    Io {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("no repository {0}")]
    RepositoryUnknown(RepositoryName),
    #[error("no blob {0} in this repository")]
    BlobUnknown(Digest),
    #[error("no manifest {0} in this repository")]
    ManifestUnknown(Reference),
    #[error("the content has digest {seen}, expected {expected}")]
    DigestMismatch { expected: Digest, seen: Digest },
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    #[error("the manifest names {what} {digest}, which this repository does not have; push it first")]
    ReferenceUnknown { what: &'static str, digest: Digest },
    #[error("the manifest says that {what} {digest} has {claimed} bytes, it has {stored}")]
    ReferenceSize {
        what: &'static str,
        digest: Digest,
        claimed: u64,
        stored: u64,
    },
    #[error("the tag {tag} is immutable here and already names {digest}; push under a new tag")]
    TagImmutable { tag: Tag, digest: Digest },
    #[error("{digest} belongs to the image of the tag {tag}, which is immutable here")]
    ContentHeld { digest: Digest, tag: Tag },
    #[error("no such upload; it ended, expired or belongs to another repository")]
    UploadUnknown,
    #[error("another request is writing to this upload")]
    UploadBusy,
    #[error("{limit} uploads are open already; finish or cancel some, or wait until they expire")]
    TooManyUploads { limit: usize },
    #[error("the stored bytes of {0} are damaged")]
    Damaged(Digest),
}

impl StoreError {
    /// For `map_err`: names what was being done when the system failed.
    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Io { doing, source } if source.kind() == io::ErrorKind::StorageFull => {
                Self::internal(doing, &source).with_status(StatusCode::INSUFFICIENT_STORAGE)
            }
            StoreError::Io { doing, source } => Self::internal(doing, &source),
            StoreError::Damaged(_) => Self::internal("reading content", &error),
            StoreError::RepositoryUnknown(_) => Self::new(Code::NameUnknown, message),
            StoreError::BlobUnknown(_) => Self::new(Code::BlobUnknown, message),
            StoreError::ManifestUnknown(_) => Self::new(Code::ManifestUnknown, message),
            StoreError::DigestMismatch { .. } => Self::new(Code::DigestInvalid, message),
            StoreError::Manifest(ManifestError::TooLarge { .. }) => {
                Self::new(Code::SizeInvalid, message).with_status(StatusCode::PAYLOAD_TOO_LARGE)
            }
            StoreError::Manifest(_) | StoreError::ReferenceSize { .. } => Self::new(Code::ManifestInvalid, message),
            StoreError::ReferenceUnknown { .. } => Self::new(Code::ManifestBlobUnknown, message),
            StoreError::TagImmutable { .. } | StoreError::ContentHeld { .. } => Self::new(Code::Denied, message),
            StoreError::UploadUnknown => Self::new(Code::BlobUploadUnknown, message),
            StoreError::UploadBusy => Self::new(Code::BlobUploadInvalid, message).with_status(StatusCode::CONFLICT),
            StoreError::TooManyUploads { .. } => Self::new(Code::TooManyRequests, message),
        }
    }
}
