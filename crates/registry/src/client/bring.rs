//! Copying what hangs on an image into a registry, beside the image, byte for byte.

use futures::StreamExt as _;
use futures::stream;
use proofmark_oci::Manifest;
use proofmark_types::{Repository, Tag};

use super::Client;
use super::copy::plan;
use crate::RegistryError;
use crate::attachment::{Attachment, Place};
use crate::limits::COPY_CONCURRENCY;
use crate::source::ImageSource;

/// What became of an attachment in its new place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Brought {
    /// It is there now.
    Copied,
    /// It was there already.
    Present,
    /// The tag named other layers, which are still there; these were added.
    Merged {
        /// How many layers were not there before.
        added: usize,
    },
    /// The tag names something else that cannot be merged, and was left as it is.
    Kept {
        /// The tag.
        tag: Tag,
    },
}

impl Client {
    /// Copies an attachment with its blobs into `repository`, which must be where evidence is looked for there, and makes
    /// it hang on the same digest. A referrer is listed; a tag that names other signatures or attestations keeps those
    /// too; another bill is replaced only with `force`. Running it again does what is missing.
    pub async fn bring(
        &self,
        source: &ImageSource,
        attachment: &Attachment,
        repository: &Repository,
        force: bool,
    ) -> Result<Brought, RegistryError> {
        let resolved = &attachment.resolved;
        let digest = &resolved.descriptor.digest;
        let Some(tag) = attachment.place.tag(&attachment.subject) else {
            let listed = self.referrers(repository, &attachment.subject).await?;
            if listed.descriptors.iter().any(|listed| listed.digest == *digest)
                && self.manifest_exists(repository, digest).await?
            {
                return Ok(Brought::Present);
            }
            self.bring_content(source, attachment, repository).await?;
            self.put_referrer(repository, &attachment.subject, resolved.bytes.clone())
                .await?;
            return Ok(Brought::Copied);
        };
        let current = match self.tagged(repository, &tag).await {
            Ok(current) if current.descriptor.digest == *digest => return Ok(Brought::Present),
            Ok(current) => Some(current),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        match (current, resolved.parse()?) {
            (Some(_), _) if attachment.place == Place::Bill && !force => Ok(Brought::Kept { tag }),
            (Some(current), Manifest::Image(image)) if attachment.place != Place::Bill => {
                let there = match current.parse()? {
                    Manifest::Image(there) => there.layers,
                    Manifest::Index(_) => Vec::new(),
                };
                let added = image.layers.iter().filter(|layer| !there.contains(layer)).count();
                if added == 0 {
                    return Ok(Brought::Present);
                }
                self.bring_content(source, attachment, repository).await?;
                self.append_layers(repository, &tag, image.layers).await?;
                Ok(Brought::Merged { added })
            }
            _ => {
                self.bring_content(source, attachment, repository).await?;
                let descriptor = &resolved.descriptor;
                self.put_manifest(
                    repository,
                    Some(&tag),
                    digest,
                    &descriptor.media_type,
                    resolved.bytes.clone(),
                )
                .await?;
                Ok(Brought::Copied)
            }
        }
    }

    /// What the attachment's manifest names, children and their blobs included; not the manifest itself.
    async fn bring_content(
        &self,
        source: &ImageSource,
        attachment: &Attachment,
        repository: &Repository,
    ) -> Result<(), RegistryError> {
        let root = &attachment.resolved.descriptor.digest;
        let (order, blobs) = plan(source, attachment.resolved.clone()).await?;
        let mut pushes = stream::iter(blobs)
            .map(|blob| self.copy_blob(source, repository, blob))
            .buffer_unordered(COPY_CONCURRENCY);
        while let Some(pushed) = pushes.next().await {
            pushed?;
        }
        drop(pushes);
        for each in order {
            let descriptor = &each.descriptor;
            if descriptor.digest != *root {
                self.put_manifest(repository, None, &descriptor.digest, &descriptor.media_type, each.bytes)
                    .await?;
            }
        }
        Ok(())
    }
}
