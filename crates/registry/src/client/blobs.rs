//! Blobs: streamed, counted and hashed on the way.

use std::io;
use std::io::Read;

use bytes::Bytes;
use bytes::BytesMut;
use http::Method;
use http::StatusCode;
use proofmark_oci::Descriptor;
use proofmark_types::{Digest, Hasher, Repository};
use tokio::sync::mpsc;

use super::Client;
use crate::RegistryError;
use crate::auth::Access;
use crate::counts::Operation;
use crate::limits::BLOB_READER_PIECES;
use crate::progress::{Direction, Progress, Transfer};
use crate::transport::{Call, Response};

impl Client {
    /// A whole blob of at most `limit` bytes, verified.
    pub async fn blob(&self, repository: &Repository, blob: &Descriptor, limit: u64) -> Result<Bytes, RegistryError> {
        if blob.size > limit {
            return Err(RegistryError::TooLarge {
                what: format!("{repository}@{}", blob.digest),
                limit,
                unit: "bytes",
            });
        }
        let deadline = self.transport.wire.timeouts().document;
        let read = async {
            let mut stream = self.blob_stream(repository, blob).await?;
            let mut bytes = BytesMut::new();
            while let Some(piece) = stream.next().await? {
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes.freeze())
        };
        // Idle time alone would let a byte a minute through for ever.
        match tokio::time::timeout(deadline, read).await {
            Ok(result) => result,
            Err(_) => Err(RegistryError::Timeout {
                registry: repository.registry().to_string(),
                stage: "finish its answer",
                after: deadline,
            }),
        }
    }

    /// A blob piece by piece. The last piece is followed by an error if the whole is not what the descriptor says, so
    /// nothing may be believed before [`BlobStream::next`] has returned `None`.
    pub async fn blob_stream(&self, repository: &Repository, blob: &Descriptor) -> Result<BlobStream, RegistryError> {
        let what = format!("{repository}@{}", blob.digest);
        let path = blob_path(repository, &blob.digest);
        let call = Call::get(Operation::Blob, Access::pull(repository), path, what.clone());
        let response = self.transport.send(call).await?;
        if response.status() != StatusCode::OK {
            return Err(response.refusal(repository.registry(), &what).await);
        }
        if let Some(seen) = response.announced_length()
            && seen != blob.size
        {
            return Err(RegistryError::SizeMismatch {
                what,
                expected: blob.size,
                seen,
            });
        }
        let progress = self.options.progress.clone();
        if let Some(progress) = &progress {
            progress.tell(&Transfer::Started {
                digest: blob.digest.clone(),
                size: blob.size,
                direction: Direction::Download,
            });
        }
        Ok(BlobStream {
            response,
            check: Check::new(what, blob),
            progress,
            finished: false,
        })
    }

    /// A blob for a reader that blocks, such as a decompressor. It is fetched by a task of the current runtime; read it
    /// on a thread that may block (`spawn_blocking`), never on the runtime itself. A mismatch is an error of the last
    /// read.
    pub async fn open_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<BlobReader, RegistryError> {
        let mut stream = self.blob_stream(repository, blob).await?;
        let (sender, receiver) = mpsc::channel(BLOB_READER_PIECES);
        tokio::spawn(async move {
            loop {
                let message = stream.next().await;
                let last = !matches!(message, Ok(Some(_)));
                // When nobody reads any more, stop fetching.
                if sender.send(message).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(BlobReader {
            receiver,
            piece: Bytes::new(),
            verified: false,
        })
    }

    /// Whether a repository has a blob.
    pub async fn blob_exists(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
        let what = format!("{repository}@{digest}");
        let path = blob_path(repository, digest);
        let call = Call::get(Operation::Blob, Access::pull(repository), path, what.clone()).method(Method::HEAD);
        let response = self.transport.send(call).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(response.refusal(repository.registry(), &what).await),
        }
    }
}

fn blob_path(repository: &Repository, digest: &Digest) -> String {
    format!("/v2/{}/blobs/{digest}", repository.path())
}

/// Compares what comes with what a descriptor says.
#[derive(Debug)]
pub(crate) struct Check {
    what: String,
    expected: Digest,
    size: u64,
    seen: u64,
    hasher: Hasher,
}

impl Check {
    pub(crate) fn new(what: String, blob: &Descriptor) -> Self {
        Self {
            what,
            expected: blob.digest.clone(),
            size: blob.size,
            seen: 0,
            hasher: Hasher::new(blob.digest.algorithm()),
        }
    }

    /// Takes note of a piece; an error as soon as there is more than there should be.
    pub(crate) fn update(&mut self, piece: &[u8]) -> Result<(), RegistryError> {
        self.seen = self.seen.saturating_add(piece.len() as u64);
        if self.seen > self.size {
            return Err(self.wrong_size());
        }
        self.hasher.update(piece);
        Ok(())
    }

    /// The verdict at the end.
    pub(crate) fn finish(&self) -> Result<(), RegistryError> {
        if self.seen != self.size {
            return Err(self.wrong_size());
        }
        let seen = self.hasher.clone().finish();
        if seen != self.expected {
            return Err(RegistryError::DigestMismatch {
                what: self.what.clone(),
                expected: self.expected.clone(),
                seen,
            });
        }
        Ok(())
    }

    fn wrong_size(&self) -> RegistryError {
        RegistryError::SizeMismatch {
            what: self.what.clone(),
            expected: self.size,
            seen: self.seen,
        }
    }
}

/// A blob on its way; see [`Client::blob_stream`].
#[derive(Debug)]
pub struct BlobStream {
    response: Response,
    check: Check,
    progress: Option<Progress>,
    finished: bool,
}

impl BlobStream {
    /// The next piece; `None` once all of it has come and is what it should be.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if self.finished {
            return Ok(None);
        }
        if let Some(piece) = self.response.piece().await? {
            self.check.update(&piece)?;
            if let Some(progress) = &self.progress {
                progress.tell(&Transfer::Advanced {
                    digest: self.check.expected.clone(),
                    bytes: piece.len() as u64,
                });
            }
            return Ok(Some(piece));
        }
        self.check.finish()?;
        self.finished = true;
        if let Some(progress) = &self.progress {
            progress.tell(&Transfer::Finished {
                digest: self.check.expected.clone(),
            });
        }
        Ok(None)
    }
}

/// A blob as a blocking reader; see [`Client::open_blob`].
#[derive(Debug)]
pub struct BlobReader {
    receiver: mpsc::Receiver<Result<Option<Bytes>, RegistryError>>,
    piece: Bytes,
    /// The end has come, and with it the verdict.
    verified: bool,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.piece.is_empty() {
            if self.verified {
                return Ok(0);
            }
            match self.receiver.blocking_recv() {
                Some(Ok(Some(piece))) => self.piece = piece,
                Some(Ok(None)) => self.verified = true,
                Some(Err(error)) => return Err(io::Error::other(error)),
                // The fetching task is gone without a verdict: its runtime was shut down.
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let length = buffer.len().min(self.piece.len());
        let piece = self.piece.split_to(length);
        if let Some(room) = buffer.get_mut(..length) {
            room.copy_from_slice(&piece);
        }
        Ok(length)
    }
}
