//! Manifests: checked, written, found, deleted, and the list of those that refer to another.

use std::path::{Path, PathBuf};

use proofmark_oci::{Descriptor, Manifest};
use proofmark_types::{Digest, MediaType, Tag};
use serde::{Deserialize, Serialize};

use super::{Page, Store, StoreError, files};
use crate::name::{Reference, RepositoryName};

/// The largest referrers answer, in bytes: distribution-spec 1.1 lets clients stop reading a manifest at 4 MiB, and the
/// answer is an index. What does not fit follows on the next page (`Link`). The room left is for the frame around it.
const MAX_REFERRERS_PAGE_BYTES: usize = 4 * 1024 * 1024 - 1024;

/// A manifest as it was pushed, byte for byte.
pub(crate) struct StoredManifest {
    pub(crate) media_type: MediaType,
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

/// What a push achieved.
pub(crate) struct AcceptedManifest {
    pub(crate) digest: Digest,
    pub(crate) subject: Option<Digest>,
}

/// What `_manifests/<algorithm>/<hex>` holds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Link {
    media_type: MediaType,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Digest>,
}

impl Store {
    /// Accepts a manifest, in an order that a crash cannot spoil:
    ///
    /// 1. its digest is the one asked for, if one was;
    /// 2. it is JSON of a known kind, and of the kind declared;
    /// 3. under the repository's lock, so that nothing it names can go away meanwhile: all that it names is here, of the
    ///    size it says (a subject may be missing: distribution-spec 1.1, "Pushing Manifests with Subject");
    /// 4. the tag is free to move;
    /// 5. the bytes are written, then its place among its subject's referrers, which readers ignore until there is a link;
    /// 6. the link: from now on the manifest exists;
    /// 7. the tag.
    pub(crate) fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        declared: Option<&MediaType>,
        bytes: &[u8],
    ) -> Result<AcceptedManifest, StoreError> {
        // 1.
        let digest = match reference {
            Reference::Tag(_) => Digest::sha256_of(bytes),
            Reference::Digest(expected) => {
                let seen = Digest::of(expected.algorithm(), bytes);
                if seen != *expected {
                    return Err(StoreError::DigestMismatch {
                        expected: expected.clone(),
                        seen,
                    });
                }
                seen
            }
        };
        // 2.
        let manifest = Manifest::parse(declared, bytes)?;
        let subject = manifest.subject().map(|subject| subject.digest.clone());
        // 3.
        let _repository = self.lock_repository(name);
        let _content = self.adding_content();
        self.check_references(name, &manifest)?;
        // 4.
        if let Reference::Tag(tag) = reference {
            self.check_tag_may_be(name, tag, &digest)?;
        }
        // 5.
        let write = |path: &Path, bytes: &[u8]| {
            self.write_file(path, bytes)
                .map_err(StoreError::io("writing a manifest"))
        };
        write(&self.blob_path(&digest), bytes)?;
        if let Some(subject) = &subject {
            let entry = serde_json::to_vec(&referrer(&manifest, &digest, bytes.len())).unwrap_or_default();
            write(&self.referrer_entry(name, subject, &digest), &entry)?;
        }
        // 6.
        let link = Link {
            media_type: manifest.media_type().clone(),
            size: bytes.len() as u64,
            subject: subject.clone(),
        };
        write(
            &self.manifest_link(name, &digest),
            &serde_json::to_vec(&link).unwrap_or_default(),
        )?;
        self.remember(name);
        // 7.
        if let Reference::Tag(tag) = reference {
            self.set_tag(name, tag, &digest)?;
        }
        Ok(AcceptedManifest { digest, subject })
    }

    /// The manifest that a tag or digest names; its bytes are hashed again, so that a damaged disk is not passed on.
    pub(crate) fn manifest(&self, name: &RepositoryName, reference: &Reference) -> Result<StoredManifest, StoreError> {
        let unknown = || StoreError::ManifestUnknown(reference.clone());
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => self.tag_digest(name, tag)?.ok_or_else(unknown)?,
        };
        let link = self.read_link(name, &digest)?.ok_or_else(unknown)?;
        let bytes = files::read(&self.blob_path(&digest))
            .map_err(StoreError::io("reading a manifest"))?
            .ok_or_else(unknown)?;
        if !digest.matches(&bytes) {
            return Err(StoreError::Damaged(digest));
        }
        Ok(StoredManifest {
            media_type: link.media_type,
            digest,
            bytes,
        })
    }

    /// Takes a manifest from a repository: first the tags that name it, then its link, then its place as a referrer.
    pub(crate) fn delete_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        let _repository = self.lock_repository(name);
        let link = self
            .read_link(name, digest)?
            .ok_or_else(|| StoreError::ManifestUnknown(Reference::Digest(digest.clone())))?;
        let tags = self.tags_of(name, digest)?;
        for tag in &tags {
            self.check_tag_may_go(name, tag)?;
        }
        self.check_not_held(name, digest)?;
        for tag in &tags {
            self.remove_tag(name, tag)?;
        }
        let _content = self.removing_content();
        let remove = |path: &Path| files::remove(path).map_err(StoreError::io("deleting a manifest"));
        remove(&self.manifest_link(name, digest))?;
        if let Some(subject) = &link.subject {
            remove(&self.referrer_entry(name, subject, digest))?;
        }
        self.reclaim(digest)
    }

    /// The descriptors, as JSON, of the manifests that have `subject` as their subject, by digest, after `last`.
    ///
    /// A subject that is not here, or a repository that is not, has no referrers; that is no error (distribution-spec
    /// 1.1, "Listing Referrers").
    pub(crate) fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        wanted: Option<&MediaType>,
        last: Option<&Digest>,
    ) -> Result<Page<String>, StoreError> {
        let folder = self.referrers_folder(name, subject);
        let mut page = Page::default();
        let mut size = 0;
        let after = last.map(Digest::tag_form);
        for entry in files::names(&folder).map_err(StoreError::io("listing referrers"))? {
            if after.as_ref().is_some_and(|after| entry <= *after) {
                continue;
            }
            let Some(digest) = digest_of_entry(&entry).filter(|digest| self.manifest_link(name, digest).exists())
            else {
                continue;
            };
            let Some(bytes) = files::read(&folder.join(&entry)).map_err(StoreError::io("reading a referrer"))? else {
                continue;
            };
            let json = String::from_utf8(bytes).map_err(|_| StoreError::Damaged(digest.clone()))?;
            if let Some(wanted) = wanted
                && artifact_type(&json).as_ref() != Some(wanted)
            {
                continue;
            }
            size += json.len() + 1;
            if size > MAX_REFERRERS_PAGE_BYTES && !page.items.is_empty() {
                page.more = true;
                return Ok(page);
            }
            page.last = Some(digest.to_string());
            page.items.push(json);
        }
        Ok(page)
    }

    pub(super) fn referrers_folder(&self, name: &RepositoryName, subject: &Digest) -> PathBuf {
        self.link(name, "_referrers", subject)
    }

    fn referrer_entry(&self, name: &RepositoryName, subject: &Digest, digest: &Digest) -> PathBuf {
        self.referrers_folder(name, subject).join(digest.tag_form())
    }

    fn read_link(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Link>, StoreError> {
        let bytes = files::read(&self.manifest_link(name, digest)).map_err(StoreError::io("reading a manifest"))?;
        bytes
            .map(|bytes| serde_json::from_slice(&bytes).map_err(|_| StoreError::Damaged(digest.clone())))
            .transpose()
    }

    fn check_references(&self, name: &RepositoryName, manifest: &Manifest) -> Result<(), StoreError> {
        let check = |what, descriptor: &Descriptor| match self.size_of(name, &descriptor.digest) {
            None => Err(StoreError::ReferenceUnknown {
                what,
                digest: descriptor.digest.clone(),
            }),
            Some(stored) if stored != descriptor.size => Err(StoreError::ReferenceSize {
                what,
                digest: descriptor.digest.clone(),
                claimed: descriptor.size,
                stored,
            }),
            Some(_) => Ok(()),
        };
        match manifest {
            Manifest::Image(image) => {
                check("the config", &image.config)?;
                let mut layers = image
                    .layers
                    .iter()
                    .filter(|layer| !is_kept_elsewhere(&layer.media_type));
                layers.try_for_each(|layer| check("the layer", layer))
            }
            Manifest::Index(index) => index
                .manifests
                .iter()
                .try_for_each(|child| check("the manifest", child)),
        }
    }
}

/// Layers that by their licence are not pushed but fetched from where they come from (image-spec, "Non-Distributable
/// Layers"; Docker's foreign layers).
fn is_kept_elsewhere(media_type: &MediaType) -> bool {
    let essence = media_type.essence();
    essence.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || essence == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
}

/// The descriptor under which a manifest is listed (distribution-spec 1.1, "Listing Referrers").
fn referrer(manifest: &Manifest, digest: &Digest, size: usize) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type().clone(),
        digest: digest.clone(),
        size: size as u64,
        artifact_type: manifest.artifact_type().cloned(),
        platform: None,
        annotations: manifest.annotations().clone(),
    }
}

fn artifact_type(descriptor: &str) -> Option<MediaType> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        artifact_type: Option<MediaType>,
    }
    serde_json::from_str::<Typed>(descriptor).ok()?.artifact_type
}

/// Undoes [`Digest::tag_form`].
pub(super) fn digest_of_entry(entry: &str) -> Option<Digest> {
    let (algorithm, hex) = entry.split_once('-')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

impl Store {
    /// The tags that name `digest`.
    fn tags_of(&self, name: &RepositoryName, digest: &Digest) -> Result<Vec<Tag>, StoreError> {
        let mut found = Vec::new();
        for tag in self.all_tags(name)? {
            if self.tag_digest(name, &tag)?.as_ref() == Some(digest) {
                found.push(tag);
            }
        }
        Ok(found)
    }
}
