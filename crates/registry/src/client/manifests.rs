//! Manifests: by tag or by digest, always hashed before anybody sees them.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use proofmark_oci::{Descriptor, MAX_MANIFEST_BYTES, Manifest, media_types};
use proofmark_types::{Digest, DigestAlgorithm, ImageRef, MediaType, Repository, Tag};

use super::Client;
use crate::RegistryError;
use crate::auth::Access;
use crate::counts::Operation;
use crate::jitter;
use crate::transport::{Body, Call, Response};

/// The header in which registries name the digest of what they send or store.
pub(super) const CONTENT_DIGEST: &str = "docker-content-digest";

/// The header by which a registry says that it lists a manifest under its subject (distribution-spec 1.1, "Pushing
/// Manifests with Subject").
pub(super) const OCI_SUBJECT: &str = "oci-subject";

/// How long a registry is left alone that does not know the blobs it has just acknowledged, each time.
const BLOB_WAITS: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(900),
];

/// A manifest, verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Its media type, digest and size.
    pub descriptor: Descriptor,
    /// The bytes that hash to that digest.
    pub bytes: Bytes,
}

impl Resolved {
    /// Parses it.
    pub fn parse(&self) -> Result<Manifest, RegistryError> {
        Manifest::parse(Some(&self.descriptor.media_type), &self.bytes).map_err(|error| RegistryError::Malformed {
            what: format!("the manifest {}", self.descriptor.digest),
            reason: error.to_string(),
        })
    }
}

/// What a registry says of a manifest without sending it. Not verified: only [`Client::resolve`] is a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The digest it names.
    pub digest: Digest,
    /// The media type it names, if any.
    pub media_type: Option<MediaType>,
    /// The size it names, if any.
    pub size: Option<u64>,
}

impl Client {
    /// Turns a reference into a digest and the verified bytes behind it, in one request. With a tag and a digest the
    /// digest decides.
    pub async fn resolve(&self, image: &ImageRef) -> Result<Resolved, RegistryError> {
        match image.digest() {
            Some(digest) => self.manifest(image.repository(), digest).await,
            None => self.tagged(image.repository(), &image.tag_or_latest()).await,
        }
    }

    /// Asks what a reference points to now, without the bytes. For seeing whether a tag has moved.
    pub async fn head(&self, image: &ImageRef) -> Result<Head, RegistryError> {
        let name = match image.digest() {
            Some(digest) => digest.to_string(),
            None => image.tag_or_latest().to_string(),
        };
        let call = manifest_call(image.repository(), &name, image.to_string()).method(Method::HEAD);
        let response = self.transport.send(call).await?;
        if response.status() != StatusCode::OK {
            return Err(response
                .refusal(image.repository().registry(), &image.to_string())
                .await);
        }
        let digest = response.header(CONTENT_DIGEST).map(Digest::parse);
        let Some(Ok(digest)) = digest else {
            // The header is optional (distribution-spec, "Checking if content exists in the registry"); the body says.
            let resolved = self.resolve(image).await?;
            return Ok(Head {
                digest: resolved.descriptor.digest,
                media_type: Some(resolved.descriptor.media_type),
                size: Some(resolved.descriptor.size),
            });
        };
        if let Some(expected) = image.digest().filter(|expected| **expected != digest) {
            return Err(RegistryError::DigestMismatch {
                what: image.to_string(),
                expected: expected.clone(),
                seen: digest,
            });
        }
        Ok(Head {
            digest,
            media_type: content_type(&response),
            size: response.announced_length(),
        })
    }

    /// A manifest or index by digest.
    pub async fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<Resolved, RegistryError> {
        let what = format!("{repository}@{digest}");
        let response = self.get_manifest(repository, &digest.to_string(), &what).await?;
        read(response, &what, Some(digest)).await
    }

    /// A manifest or index by tag.
    pub(super) async fn tagged(&self, repository: &Repository, tag: &Tag) -> Result<Resolved, RegistryError> {
        let what = format!("{repository}:{tag}");
        let response = self.get_manifest(repository, tag.as_str(), &what).await?;
        read(response, &what, None).await
    }

    /// Whether a manifest is there, by digest.
    pub async fn manifest_exists(&self, repository: &Repository, digest: &Digest) -> Result<bool, RegistryError> {
        match self.head(&ImageRef::pinned(repository.clone(), digest.clone())).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores a manifest under its digest, and under `tag` if there is one. What it points to must be there already.
    ///
    /// A manifest with a subject is not added to a fallback tag here; [`Client::attach`] does that.
    pub async fn push_manifest(
        &self,
        repository: &Repository,
        tag: Option<&Tag>,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<Digest, RegistryError> {
        let digest = Digest::sha256_of(&bytes);
        self.put_manifest(repository, tag, &digest, media_type, bytes).await?;
        Ok(digest)
    }

    /// [`Client::push_manifest`] under the digest that others know it by; tells whether the registry took note of the
    /// subject.
    pub(super) async fn put_manifest(
        &self,
        repository: &Repository,
        tag: Option<&Tag>,
        digest: &Digest,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<bool, RegistryError> {
        let name = tag.map_or_else(|| digest.to_string(), ToString::to_string);
        let what = match tag {
            Some(tag) => format!("storing {repository}:{tag}"),
            None => format!("storing {repository}@{digest}"),
        };
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(RegistryError::TooLarge {
                what,
                limit: MAX_MANIFEST_BYTES,
                unit: "bytes",
            });
        }
        let media_type = HeaderValue::from_str(media_type.as_str()).map_err(|_| RegistryError::Malformed {
            what: what.clone(),
            reason: "its media type cannot be sent".to_owned(),
        })?;
        let response = self.send_manifest(repository, &name, &what, media_type, bytes).await?;
        // What it says it stored is compared when it says it; the header is required, yet not every registry sends it.
        if let Some(Ok(seen)) = response.header(CONTENT_DIGEST).map(Digest::parse)
            && seen.algorithm() == digest.algorithm()
            && seen != *digest
        {
            return Err(RegistryError::DigestMismatch {
                what,
                expected: digest.clone(),
                seen,
            });
        }
        Ok(response.header(OCI_SUBJECT).is_some())
    }

    /// Sends it, and sends it again when the registry does not know a blob that it has acknowledged: docker-registry
    /// forgets one for a moment when another process finishes storing the same blob.
    async fn send_manifest(
        &self,
        repository: &Repository,
        name: &str,
        what: &str,
        media_type: HeaderValue,
        bytes: Bytes,
    ) -> Result<Response, RegistryError> {
        let mut waits = BLOB_WAITS.into_iter();
        loop {
            let path = manifest_path(repository, name);
            let call = Call::get(Operation::PushManifest, Access::push(repository), path, what.to_owned())
                .method(Method::PUT)
                .header(CONTENT_TYPE, media_type.clone())
                .body(Body::Bytes(bytes.clone()));
            let response = self.transport.send(call).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let refusal = response.refusal(repository.registry(), what).await;
            match waits.next() {
                Some(wait) if lacks_blobs(&refusal) => tokio::time::sleep(wait + jitter::up_to(wait)).await,
                _ => return Err(refusal),
            }
        }
    }

    async fn get_manifest(&self, repository: &Repository, name: &str, what: &str) -> Result<Response, RegistryError> {
        let call = manifest_call(repository, name, what.to_owned());
        let response = self.transport.send(call).await?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(response.refusal(repository.registry(), what).await)
        }
    }
}

/// Whether the registry says that it has not a blob which the manifest names (distribution-spec, "Error Codes"). All were
/// stored before, or found there.
fn lacks_blobs(refusal: &RegistryError) -> bool {
    matches!(refusal, RegistryError::UnexpectedStatus { reason, .. } if reason.contains("BLOB_UNKNOWN"))
}

pub(super) fn manifest_path(repository: &Repository, name: &str) -> String {
    format!("/v2/{}/manifests/{name}", repository.path())
}

/// A GET with the exact list of what we read: a registry converts or answers 404 by it, and `*/*` gives schema 1.
fn manifest_call(repository: &Repository, name: &str, what: String) -> Call {
    let access = Access::pull(repository);
    let mut call = Call::get(Operation::Manifest, access, manifest_path(repository, name), what);
    for accepted in media_types::ACCEPTED_MANIFESTS {
        call = call.header(ACCEPT, HeaderValue::from_static(accepted));
    }
    call
}

/// Reads and verifies a manifest.
///
/// 1. Bound, then read.
/// 2. Hash; compare with the digest asked for. For a tag there is none, and the digest of the bytes *is* the
///    resolution: the one that the registry names in a header must agree (CVE-2022-47633: different digests for
///    checking and for pinning).
/// 3. The media type: that of the answer, else the one written inside.
async fn read(response: Response, what: &str, expected: Option<&Digest>) -> Result<Resolved, RegistryError> {
    let named = response.header(CONTENT_DIGEST).map(str::to_owned);
    let declared = content_type(&response);
    let bytes = response.document(MAX_MANIFEST_BYTES, what).await?;
    let algorithm = expected.map_or(DigestAlgorithm::Sha256, Digest::algorithm);
    let digest = Digest::of(algorithm, &bytes);
    let named = named.and_then(|named| Digest::parse(&named).ok());
    let must_be = expected.or_else(|| named.as_ref().filter(|named| named.algorithm() == algorithm));
    if let Some(must_be) = must_be
        && *must_be != digest
    {
        return Err(RegistryError::DigestMismatch {
            what: what.to_owned(),
            expected: must_be.clone(),
            seen: digest,
        });
    }
    let malformed = |reason: String| RegistryError::Malformed {
        what: what.to_owned(),
        reason,
    };
    // `application/json` and `text/plain` are what careless proxies and static hosts say.
    let usable = declared.filter(|media_type| media_types::ACCEPTED_MANIFESTS.contains(&media_type.essence()));
    let manifest = Manifest::parse(usable.as_ref(), &bytes).map_err(|error| malformed(error.to_string()))?;
    let media_type = manifest.media_type().clone();
    let mut descriptor = Descriptor::of(media_type, &bytes);
    descriptor.digest = digest;
    Ok(Resolved { descriptor, bytes })
}

fn content_type(response: &Response) -> Option<MediaType> {
    let media_type = MediaType::parse(response.header(CONTENT_TYPE.as_str())?).ok()?;
    MediaType::parse(media_type.essence()).ok()
}
