//! Removing what hangs on an image.

use bytes::Bytes;
use http::Method;
use http::StatusCode;
use proofmark_evidence::layout::fallback_tag;
use proofmark_evidence::legacy;
use proofmark_oci::{Descriptor, Index};
use proofmark_types::{Digest, Repository, Tag};

use super::Client;
use super::attach::layers_of;
use super::fallback::{Change, Merge};
use super::manifests::{Resolved, manifest_path};
use super::referrers::{ReferrersSource, list_of};
use crate::RegistryError;
use crate::attachment::Attachment;
use crate::auth::Access;
use crate::counts::Operation;
use crate::transport::Call;

/// The annotation of the image that a tag names for a moment when it is removed.
const REMOVED: &str = "dev.proofmark.removed";

impl Client {
    /// Removes an attachment from `repository`, where it was found: from the list under the fallback tag, if there is
    /// one, then the manifest; or the tag. Blobs are the registry's to collect.
    ///
    /// False if it was gone already.
    pub async fn remove(&self, repository: &Repository, attachment: &Attachment) -> Result<bool, RegistryError> {
        let digest = &attachment.resolved.descriptor.digest;
        let Some(tag) = attachment.place.tag(&attachment.subject) else {
            // First from the list: a list that names what is not there is a gap for every reader.
            self.delist(repository, &attachment.subject, digest).await?;
            return self.delete(repository, &digest.to_string()).await;
        };
        self.untag(repository, &tag).await
    }

    /// Removes a tag, and nothing that another tag names too.
    ///
    /// distribution-spec 1.1 has deletion by tag. docker-registry up to 2.8 answers 400 or 405 to it and wants a digest,
    /// and then takes every tag that names the digest: the same bill under another image's tag. There:
    ///
    /// 1. A manifest that nobody knows is stored and deleted: whether the registry deletes at all is found out without
    ///    touching anything.
    /// 2. Another such manifest gets the tag, and is deleted with it.
    /// 3. Should that fail nevertheless, the tag gets back what it named.
    async fn untag(&self, repository: &Repository, tag: &Tag) -> Result<bool, RegistryError> {
        match self.delete(repository, tag.as_str()).await {
            Err(RegistryError::UnexpectedStatus { status: 400 | 405, .. }) => {}
            other => return other,
        }
        let before = match self.tagged(repository, tag).await {
            Ok(before) => before,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        // 1.
        let was = &before.descriptor.digest;
        let probe = self
            .push_marker(repository, None, format!("may {tag} go? {was}"))
            .await?;
        self.delete(repository, &probe.to_string()).await?;
        // 2.
        let marker = self
            .push_marker(repository, Some(tag), format!("{tag} was {was}"))
            .await?;
        let deleted = self.delete(repository, &marker.to_string()).await;
        // 3.
        if deleted.is_err() {
            self.put_manifest(repository, Some(tag), was, &before.descriptor.media_type, before.bytes)
                .await?;
        }
        deleted
    }

    /// Stores an image with nothing in it but a text, so that it is no other's.
    async fn push_marker(
        &self,
        repository: &Repository,
        tag: Option<&Tag>,
        text: String,
    ) -> Result<Digest, RegistryError> {
        let (mut manifest, config) = legacy::image(Vec::new());
        manifest.annotations.insert(REMOVED.to_owned(), text);
        self.push_blob(repository, config.into()).await?;
        self.push_manifest(repository, tag, &manifest.media_type, manifest.to_json().into())
            .await
    }

    /// Takes layers out of the image under one of cosign's tags, where evidence for `repository` is kept; the others stay.
    /// Layers that several writers remove and add at once end as the last of them left them.
    pub async fn remove_legacy(
        &self,
        repository: &Repository,
        tag: &Tag,
        layers: &[Digest],
    ) -> Result<(), RegistryError> {
        let Some(first) = layers.first() else { return Ok(()) };
        let mut merge = Dropped { layers };
        self.settle(self.evidence_home(repository), tag, first, &mut merge)
            .await
    }

    async fn delete(&self, repository: &Repository, name: &str) -> Result<bool, RegistryError> {
        let what = format!("deleting {name} from {repository}");
        let path = manifest_path(repository, name);
        let call =
            Call::get(Operation::Manifest, Access::delete(repository), path, what.clone()).method(Method::DELETE);
        let response = self.transport.send(call).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(response.refusal(repository.registry(), &what).await),
        }
    }

    /// Takes a manifest out of the index under the fallback tag; the last one takes the index with it.
    async fn delist(&self, repository: &Repository, subject: &Digest, manifest: &Digest) -> Result<(), RegistryError> {
        let listed = self.referrers(repository, subject).await?;
        if listed.source == ReferrersSource::Api {
            return Ok(());
        }
        let tag = fallback_tag(subject);
        let mut merge = Delisted { manifest };
        self.settle(repository, &tag, manifest, &mut merge).await?;
        match self.tagged(repository, &tag).await {
            Ok(resolved) if list_of(&resolved)?.is_some_and(|list| list.manifests.is_empty()) => {
                // The empty list of another image is the same manifest.
                self.untag(repository, &tag).await?;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The fallback index does not list this.
struct Delisted<'d> {
    manifest: &'d Digest,
}

impl Merge for Delisted<'_> {
    fn merge(&mut self, current: Option<&Resolved>) -> Result<Option<Change>, RegistryError> {
        let Some(current) = current else { return Ok(None) };
        let Some(before) = list_of(current)? else {
            return Ok(None);
        };
        let mut index: Index = before.clone();
        index.manifests.retain(|listed| listed.digest != *self.manifest);
        Ok((index.manifests.len() < before.manifests.len()).then(|| Change {
            media_type: index.media_type.clone(),
            manifest: Bytes::from(index.to_json()),
            config: None,
        }))
    }
}

/// The image under a legacy tag does not have these layers.
struct Dropped<'d> {
    layers: &'d [Digest],
}

impl Merge for Dropped<'_> {
    fn merge(&mut self, current: Option<&Resolved>) -> Result<Option<Change>, RegistryError> {
        let Some(current) = current else { return Ok(None) };
        let before = layers_of(current)?;
        let count = before.len();
        let left: Vec<Descriptor> = before
            .into_iter()
            .filter(|layer| !self.layers.contains(&layer.digest))
            .collect();
        Ok((left.len() < count).then(|| Change::legacy(left)))
    }
}
