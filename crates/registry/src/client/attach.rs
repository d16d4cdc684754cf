//! Hanging evidence on an image.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use proofmark_evidence::layout::fallback_tag;
use proofmark_oci::{Descriptor, ImageManifest, Index, Manifest};
use proofmark_types::{Digest, Repository, Tag};

use super::Client;
use super::fallback::{Change, Merge};
use super::manifests::Resolved;
use super::referrers::{index_of, list_of};
use crate::RegistryError;
use crate::limits::COPY_CONCURRENCY;

/// How long a registry is given to list what it has just stored, the first time; doubled each time. Replicated
/// registries need up to a second.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// How often the referrers API is asked for what was stored.
const MAX_LISTING_LOOKS: u32 = 5;

impl Client {
    /// Stores `manifest`, whose subject is `subject`, with its blobs, where evidence for `repository` is kept, and sees
    /// that it is listed.
    ///
    /// 1. Blobs, then the manifest by digest.
    /// 2. The registry says that it noted the subject (`OCI-Subject`): done.
    /// 3. It does not say so, but has the referrers API: done once that lists the manifest.
    /// 4. Otherwise the manifest's descriptor, with its artifact type and annotations, is added to the index under the
    ///    fallback tag (distribution-spec 1.1, "Pushing Manifests with Subject").
    pub async fn attach(
        &self,
        repository: &Repository,
        subject: &Descriptor,
        manifest: &ImageManifest,
        blobs: &[Bytes],
    ) -> Result<Digest, RegistryError> {
        let home = self.evidence_home(repository);
        if manifest.subject.as_ref().map(|named| &named.digest) != Some(&subject.digest) {
            return Err(RegistryError::Malformed {
                what: format!("the manifest to attach to {}", subject.digest),
                reason: "it names another subject".to_owned(),
            });
        }
        self.push_blobs(home, blobs).await?;
        self.put_referrer(home, &subject.digest, manifest.to_json().into())
            .await
    }

    /// Stores the bytes of a manifest about `subject`, whose blobs are there, and sees that it is listed.
    pub(super) async fn put_referrer(
        &self,
        home: &Repository,
        subject: &Digest,
        bytes: Bytes,
    ) -> Result<Digest, RegistryError> {
        let manifest = Manifest::parse(None, &bytes).map_err(|error| RegistryError::Malformed {
            what: format!("the manifest to attach to {subject}"),
            reason: error.to_string(),
        })?;
        let mut entry = Descriptor::of(manifest.media_type().clone(), &bytes);
        let digest = entry.digest.clone();
        let noted = self
            .put_manifest(home, None, &digest, manifest.media_type(), bytes)
            .await?;
        if noted || self.is_listed_by_api(home, subject, &digest).await? {
            return Ok(digest);
        }
        // distribution-spec: "artifactType MUST be set to the artifactType of the manifest, or the config's media type
        // where that is empty"; annotations are copied.
        entry.artifact_type = match &manifest {
            Manifest::Image(image) => Some(image.artifact_type.as_ref().unwrap_or(&image.config.media_type).clone()),
            Manifest::Index(_) => manifest.artifact_type().cloned(),
        };
        entry.annotations.clone_from(manifest.annotations());
        let mut merge = Listed {
            subject,
            wanted: BTreeMap::from([(digest.clone(), entry)]),
        };
        self.settle(home, &fallback_tag(subject), &digest, &mut merge).await?;
        Ok(digest)
    }

    /// Adds layers, with their blobs, to the image under one of cosign's tags (`.sig`, `.att`), keeping those that are
    /// there, where evidence for `repository` is kept.
    pub async fn append_legacy(
        &self,
        repository: &Repository,
        tag: &Tag,
        layers: &[(Descriptor, Bytes)],
    ) -> Result<(), RegistryError> {
        let home = self.evidence_home(repository);
        let blobs: Vec<Bytes> = layers.iter().map(|(_, blob)| blob.clone()).collect();
        self.push_blobs(home, &blobs).await?;
        self.append_layers(home, tag, layers.iter().map(|(layer, _)| layer.clone()).collect())
            .await
    }

    /// [`Client::append_legacy`] of layers whose blobs are there.
    pub(super) async fn append_layers(
        &self,
        home: &Repository,
        tag: &Tag,
        wanted: Vec<Descriptor>,
    ) -> Result<(), RegistryError> {
        let Some(first) = wanted.first().map(|layer| layer.digest.clone()) else {
            return Ok(());
        };
        self.settle(home, tag, &first, &mut Appended { wanted }).await
    }

    /// Whether the referrers API lists a manifest; false when there is no such API. One that is there and does not list
    /// it, even after a while, is an error: readers believe the API and would not look at a fallback tag.
    async fn is_listed_by_api(
        &self,
        repository: &Repository,
        subject: &Digest,
        manifest: &Digest,
    ) -> Result<bool, RegistryError> {
        let mut wait = FIRST_WAIT;
        for _ in 0..MAX_LISTING_LOOKS {
            let Some(listed) = self.referrers_by_api(repository, subject).await? else {
                return Ok(false);
            };
            if listed.descriptors.iter().any(|listed| listed.digest == *manifest) {
                return Ok(true);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Err(RegistryError::NotListed {
            manifest: manifest.clone(),
            place: "the referrers API".to_owned(),
            attempts: MAX_LISTING_LOOKS,
        })
    }

    async fn push_blobs(&self, repository: &Repository, blobs: &[Bytes]) -> Result<(), RegistryError> {
        let mut pushes = stream::iter(blobs.iter().cloned())
            .map(|blob| self.push_blob(repository, blob))
            .buffer_unordered(COPY_CONCURRENCY);
        while let Some(pushed) = pushes.next().await {
            pushed?;
        }
        Ok(())
    }
}

/// The fallback index lists these.
struct Listed<'s> {
    /// What they are about.
    subject: &'s Digest,
    /// What must be listed: ours, and all that was ever seen there.
    wanted: BTreeMap<Digest, Descriptor>,
}

impl Merge for Listed<'_> {
    fn merge(&mut self, current: Option<&Resolved>) -> Result<Option<Change>, RegistryError> {
        let mut index = match current {
            // `cosign copy` leaves the subject itself there. It loses a name that it should not have, as with cosign.
            Some(resolved) if resolved.descriptor.digest == *self.subject && list_of(resolved)?.is_none() => {
                Index::of(Vec::new())
            }
            Some(resolved) => index_of(resolved)?,
            None => Index::of(Vec::new()),
        };
        let mut changed = false;
        for (digest, entry) in &self.wanted {
            if !index.manifests.iter().any(|listed| listed.digest == *digest) {
                index.manifests.push(entry.clone());
                changed = true;
            }
        }
        for listed in &index.manifests {
            self.wanted
                .entry(listed.digest.clone())
                .or_insert_with(|| listed.clone());
        }
        Ok(changed.then(|| Change {
            media_type: index.media_type.clone(),
            manifest: index.to_json().into(),
            config: None,
        }))
    }
}

/// The image under a legacy tag has these layers.
struct Appended {
    /// What must be there: ours, and all that was ever seen there.
    wanted: Vec<Descriptor>,
}

impl Merge for Appended {
    fn merge(&mut self, current: Option<&Resolved>) -> Result<Option<Change>, RegistryError> {
        let mut layers = current.map(layers_of).transpose()?.unwrap_or_default();
        let before = layers.len();
        for layer in &self.wanted {
            if !layers.contains(layer) {
                layers.push(layer.clone());
            }
        }
        let changed = layers.len() > before;
        self.wanted.clone_from(&layers);
        Ok(changed.then(|| Change::legacy(layers)))
    }
}

pub(super) fn layers_of(resolved: &Resolved) -> Result<Vec<Descriptor>, RegistryError> {
    match resolved.parse()? {
        Manifest::Image(image) => Ok(image.layers),
        Manifest::Index(_) => Err(RegistryError::Malformed {
            what: format!("the signature image {}", resolved.descriptor.digest),
            reason: "it is an index, expected an image manifest".to_owned(),
        }),
    }
}
