//! Sending blobs: an upload is opened, then filled and finished by one `PUT`, whatever the size (distribution-spec,
//! "POST then PUT"; containerd, oras and skopeo's registries all take it). Large blobs are streamed, never held.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::PoisonError;

use bytes::Bytes;
use futures::stream;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use proofmark_oci::Descriptor;
use proofmark_types::{Digest, Hasher, MediaType, Repository};
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use url::Url;

use super::Client;
use super::blobs::{BlobStream, Check};
use crate::RegistryError;
use crate::auth::Access;
use crate::counts::Operation;
use crate::limits::BLOB_READER_PIECES;
use crate::progress::{Direction, Progress, SkipReason, Transfer};
use crate::source::local;
use crate::transport::wire::{Fault, Pulse, Stream};
use crate::transport::{Body, Call, Target};

/// Bytes read from a file or reader at a time.
const PIECE_BYTES: usize = 128 * 1024;

/// Where the bytes of an upload come from.
pub(super) enum Source {
    Bytes(Bytes),
    Reader(Box<dyn AsyncRead + Send + Unpin>),
    Blob(Box<BlobStream>),
    Blocking(mpsc::Receiver<std::io::Result<Bytes>>),
}

/// How an upload began.
enum Opened {
    /// The registry linked the blob from the other repository.
    Mounted,
    /// It waits for the bytes here.
    At(Url),
}

impl Client {
    /// Stores a blob that is at hand, unless the repository has it.
    pub async fn push_blob(&self, repository: &Repository, bytes: Bytes) -> Result<Digest, RegistryError> {
        let digest = Digest::sha256_of(&bytes);
        let blob = described(digest.clone(), bytes.len() as u64);
        self.push(repository, &blob, None, async || Ok(Source::Bytes(bytes.clone())))
            .await?;
        Ok(digest)
    }

    /// Stores a blob that is read once; its digest and size must be known. What is read is checked against them, and
    /// nothing is stored that differs.
    pub async fn push_blob_from(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        reader: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<(), RegistryError> {
        let mut reader: Option<Box<dyn AsyncRead + Send + Unpin>> = Some(Box::new(reader));
        let open = async || match reader.take() {
            Some(reader) => Ok(Source::Reader(reader)),
            None => Err(RegistryError::Setup {
                reason: "the blob's source can be read only once".to_owned(),
            }),
        };
        self.push(repository, blob, None, open).await
    }

    /// Stores a file: hashed first, then streamed and hashed again, so that one that changes meanwhile is an error.
    pub async fn push_blob_file(
        &self,
        repository: &Repository,
        media_type: &MediaType,
        path: &Path,
    ) -> Result<Descriptor, RegistryError> {
        let unreadable = |error: std::io::Error| RegistryError::Local {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let owned = path.to_owned();
        let hashed = tokio::task::spawn_blocking(move || hash_file(&owned)).await;
        let (digest, size) = hashed.map_err(std::io::Error::other).flatten().map_err(unreadable)?;
        let mut blob = described(digest, size);
        blob.media_type = media_type.clone();
        let open = async || {
            let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
            Ok(Source::Reader(Box::new(file)))
        };
        self.push(repository, &blob, None, open).await?;
        Ok(blob)
    }

    /// Links a blob from another repository of the same registry. False when the registry cannot or will not.
    pub async fn mount_blob(
        &self,
        repository: &Repository,
        from: &Repository,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        if repository.registry() != from.registry() {
            return Ok(false);
        }
        match self.open_upload(repository, Some((from, digest))).await? {
            Opened::Mounted => Ok(true),
            Opened::At(location) => {
                // The session is not wanted; a registry that cannot cancel it forgets it in time.
                let what = format!("cancelling an upload to {repository}");
                let call = upload_call(repository, Target::Upload(location), what).method(Method::DELETE);
                let _ = self.transport.send(call).await;
                Ok(false)
            }
        }
    }

    /// Stores a blob: skipped if it is there, mounted if it can be, sent otherwise.
    pub(super) async fn push(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        mount_from: Option<&Repository>,
        open: impl AsyncFnOnce() -> Result<Source, RegistryError>,
    ) -> Result<(), RegistryError> {
        let skipped = |because| {
            self.tell(&Transfer::Skipped {
                digest: blob.digest.clone(),
                size: blob.size,
                because,
            });
        };
        if self.blob_exists(repository, &blob.digest).await? {
            skipped(SkipReason::Exists);
            return Ok(());
        }
        let mount = mount_from
            .filter(|from| from.registry() == repository.registry() && *from != repository)
            .map(|from| (from, &blob.digest));
        let location = match self.open_upload(repository, mount).await? {
            Opened::Mounted => {
                skipped(SkipReason::Mounted);
                return Ok(());
            }
            Opened::At(location) => location,
        };
        self.fill(repository, blob, location, open().await?).await
    }

    async fn open_upload(
        &self,
        repository: &Repository,
        mount: Option<(&Repository, &Digest)>,
    ) -> Result<Opened, RegistryError> {
        let what = format!("opening an upload to {repository}");
        let mut path = format!("/v2/{}/blobs/uploads/", repository.path());
        let mut access = Access::push(repository);
        if let Some((from, digest)) = mount {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("mount", &digest.to_string());
            query.append_pair("from", from.path());
            path = format!("{path}?{}", query.finish());
            access = Access::mount(repository, from);
        }
        let mut call = upload_call(repository, Target::Path(path), what.clone());
        call.access = access;
        // Some registries want the length of the empty body.
        call = call.header(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        let response = self.transport.send(call).await?;
        match response.status() {
            StatusCode::CREATED if mount.is_some() => Ok(Opened::Mounted),
            // The specification has 202; a session is recognised by its location.
            status if status.is_success() => self.transport.upload_location(&response).map(Opened::At),
            _ => Err(response.refusal(repository.registry(), &what).await),
        }
    }

    async fn fill(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        mut location: Url,
        source: Source,
    ) -> Result<(), RegistryError> {
        let what = format!("uploading {repository}@{}", blob.digest);
        // The location's own query is the session; ours is added to it (distribution pull request 48).
        location
            .query_pairs_mut()
            .append_pair("digest", &blob.digest.to_string());
        self.tell(&Transfer::Started {
            digest: blob.digest.clone(),
            size: blob.size,
            direction: Direction::Upload,
        });
        let body = match source {
            Source::Bytes(bytes) if bytes.len() <= PIECE_BYTES => Body::Bytes(bytes),
            source => Body::Stream(streamed(source, blob, &what, self.options.progress.clone())),
        };
        let call = upload_call(repository, Target::Upload(location), what.clone())
            .method(Method::PUT)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
            .body(body);
        let response = self.transport.send(call).await?;
        if !response.status().is_success() {
            return Err(response.refusal(repository.registry(), &what).await);
        }
        self.tell(&Transfer::Finished {
            digest: blob.digest.clone(),
        });
        Ok(())
    }
}

fn upload_call(repository: &Repository, target: Target, what: String) -> Call {
    let mut call = Call::get(Operation::Upload, Access::push(repository), String::new(), what).method(Method::POST);
    call.target = target;
    call
}

fn described(digest: Digest, size: u64) -> Descriptor {
    let octets = MediaType::parse("application/octet-stream");
    let mut blob = Descriptor::of(octets.unwrap_or_else(|_| unreachable!("a constant")), b"");
    blob.digest = digest;
    blob.size = size;
    blob
}

/// A body that checks what it sends. A mismatch breaks the request off before its last piece, so that a registry which
/// does not check stores nothing either.
fn streamed(source: Source, blob: &Descriptor, what: &str, progress: Option<Progress>) -> Stream {
    let pulse = Pulse::new();
    let fault = Fault::default();
    let state = Sending {
        source,
        check: Check::new(what.to_owned(), blob),
        digest: blob.digest.clone(),
        what: what.to_owned(),
        held: None,
        pulse: pulse.clone(),
        fault: Arc::clone(&fault),
        progress,
        done: false,
    };
    let pieces = stream::unfold(state, |mut state| async move {
        match state.next().await {
            Ok(Some(piece)) => Some((Ok(piece), state)),
            Ok(None) => None,
            Err(error) => {
                let text = error.to_string();
                *state.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                state.done = true;
                Some((Err(std::io::Error::other(text)), state))
            }
        }
    });
    Stream {
        body: reqwest::Body::wrap_stream(pieces),
        length: blob.size,
        pulse,
        fault,
    }
}

struct Sending {
    source: Source,
    check: Check,
    digest: Digest,
    what: String,
    /// One piece is held back until the next one, or the verdict, is there.
    held: Option<Bytes>,
    pulse: Pulse,
    fault: Fault,
    progress: Option<Progress>,
    done: bool,
}

impl Sending {
    async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if self.done {
            return Ok(None);
        }
        loop {
            let piece = self.source.next(&self.what).await?;
            self.pulse.beat();
            let Some(piece) = piece else {
                self.check.finish()?;
                self.done = true;
                return Ok(self.held.take());
            };
            self.check.update(&piece)?;
            if let Some(progress) = &self.progress {
                progress.tell(&Transfer::Advanced {
                    digest: self.digest.clone(),
                    bytes: piece.len() as u64,
                });
            }
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some(before));
            }
        }
    }
}

impl Source {
    async fn next(&mut self, what: &str) -> Result<Option<Bytes>, RegistryError> {
        // A reader that checks what it reads says itself what is wrong.
        let unreadable = |error: std::io::Error| local(what, &error);
        match self {
            Self::Bytes(bytes) => {
                let length = bytes.len().min(PIECE_BYTES);
                Ok((length > 0).then(|| bytes.split_to(length)))
            }
            Self::Reader(reader) => {
                let mut buffer = vec![0; PIECE_BYTES];
                let length = reader.read(&mut buffer).await.map_err(unreadable)?;
                buffer.truncate(length);
                Ok((length > 0).then(|| Bytes::from(buffer)))
            }
            Self::Blob(stream) => stream.next().await,
            Self::Blocking(receiver) => receiver.recv().await.transpose().map_err(unreadable),
        }
    }

    /// The bytes of a reader that blocks, read on a thread of its own.
    pub(super) fn blocking(mut reader: Box<dyn Read + Send>) -> Self {
        let (sender, receiver) = mpsc::channel(BLOB_READER_PIECES);
        tokio::task::spawn_blocking(move || {
            loop {
                let mut buffer = vec![0; PIECE_BYTES];
                let message = match reader.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(length) => {
                        buffer.truncate(length);
                        Ok(Bytes::from(buffer))
                    }
                    Err(error) => Err(error),
                };
                let failed = message.is_err();
                if sender.blocking_send(message).is_err() || failed {
                    return;
                }
            }
        });
        Self::Blocking(receiver)
    }
}

fn hash_file(path: &Path) -> std::io::Result<(Digest, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Hasher::sha256();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut size = 0;
    loop {
        let length = file.read(&mut buffer)?;
        match buffer.get(..length) {
            Some([]) | None => return Ok((hasher.finish(), size)),
            Some(piece) => hasher.update(piece),
        }
        size += length as u64;
    }
}
