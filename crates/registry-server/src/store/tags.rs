//! Tags: one file each, holding a digest. Some may be made immutable.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proofmark_oci::Manifest;
use proofmark_types::{Digest, Tag};

use super::{Store, StoreError, files};
use crate::name::{Reference, RepositoryName};

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// What the next page starts after.
    pub(crate) last: Option<String>,
    /// Whether there is a next page.
    pub(crate) more: bool,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            last: None,
            more: false,
        }
    }
}

impl Page<String> {
    fn of(mut names: impl Iterator<Item = String>, count: usize) -> Self {
        let items: Vec<String> = names.by_ref().take(count).collect();
        Self {
            last: items.last().cloned(),
            more: !items.is_empty() && names.next().is_some(),
            items,
        }
    }
}

impl Store {
    /// The tags after `last`, sorted by their bytes, at most `count`.
    pub(crate) fn tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        count: usize,
    ) -> Result<Page<String>, StoreError> {
        if !self.knows(name) {
            return Err(StoreError::RepositoryUnknown(name.clone()));
        }
        let tags = files::names(&self.tags_folder(name)).map_err(StoreError::io("listing tags"))?;
        let after = tags
            .into_iter()
            .filter(|tag| last.is_none_or(|last| tag.as_str() > last));
        Ok(Page::of(after, count))
    }

    /// The repositories after `last` that hold a manifest, sorted by their bytes, at most `count`.
    pub(crate) fn catalog(&self, last: Option<&str>, count: usize) -> Page<String> {
        let repositories = self.read_repositories();
        let names = repositories.iter().map(RepositoryName::as_str);
        // `last` need not name a repository that is, or could be, here.
        let after = names.filter(|name| last.is_none_or(|last| *name > last));
        let filled = after.filter(|name| self.has_manifests(name)).map(str::to_owned);
        Page::of(filled, count)
    }

    /// Takes a tag away; the manifest stays.
    pub(crate) fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StoreError> {
        let _repository = self.lock_repository(name);
        self.check_tag_may_go(name, tag)?;
        if self.remove_tag(name, tag)? {
            Ok(())
        } else {
            Err(StoreError::ManifestUnknown(Reference::Tag(tag.clone())))
        }
    }

    pub(super) fn tag_digest(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<Digest>, StoreError> {
        let bytes = files::read(&self.tag_path(name, tag)).map_err(StoreError::io("reading a tag"))?;
        // Anything but a digest was not written by us: no manifest then, rather than a guess.
        Ok(bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| Digest::parse(text.trim()).ok()))
    }

    pub(super) fn set_tag(&self, name: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<(), StoreError> {
        if self.tag_digest(name, tag)?.as_ref() == Some(digest) {
            return Ok(());
        }
        self.write_file(&self.tag_path(name, tag), digest.to_string().as_bytes())
            .map_err(StoreError::io("writing a tag"))
    }

    pub(super) fn remove_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<bool, StoreError> {
        files::remove(&self.tag_path(name, tag)).map_err(StoreError::io("deleting a tag"))
    }

    pub(super) fn all_tags(&self, name: &RepositoryName) -> Result<Vec<Tag>, StoreError> {
        let names = files::names(&self.tags_folder(name)).map_err(StoreError::io("listing tags"))?;
        Ok(names.iter().filter_map(|tag| Tag::parse(tag).ok()).collect())
    }

    /// Refuses to move an immutable tag to another digest. The caller holds the repository's lock.
    pub(super) fn check_tag_may_be(&self, name: &RepositoryName, tag: &Tag, wanted: &Digest) -> Result<(), StoreError> {
        match self.tag_digest(name, tag)? {
            Some(digest) if digest != *wanted && self.is_immutable(tag) => Err(StoreError::TagImmutable {
                tag: tag.clone(),
                digest,
            }),
            _ => Ok(()),
        }
    }

    /// Refuses to delete an immutable tag. The caller holds the repository's lock.
    pub(super) fn check_tag_may_go(&self, name: &RepositoryName, tag: &Tag) -> Result<(), StoreError> {
        match self.tag_digest(name, tag)? {
            Some(digest) if self.is_immutable(tag) => Err(StoreError::TagImmutable {
                tag: tag.clone(),
                digest,
            }),
            _ => Ok(()),
        }
    }

    /// Refuses to delete what the image behind an immutable tag consists of: a tag that keeps its digest and loses its
    /// content keeps nothing. The caller holds the repository's lock.
    pub(super) fn check_not_held(&self, name: &RepositoryName, digest: &Digest) -> Result<(), StoreError> {
        if self.immutable_tags.is_empty() {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        for tag in self.all_tags(name)? {
            if !self.is_immutable(&tag) {
                continue;
            }
            let mut waiting: Vec<Digest> = self.tag_digest(name, &tag)?.into_iter().collect();
            // Ends, because each manifest is opened once, and all of them were accepted here.
            while let Some(next) = waiting.pop() {
                if !seen.insert(next.clone()) {
                    continue;
                }
                let held = match self.manifest(name, &Reference::Digest(next)) {
                    Ok(held) => held,
                    // A child that an index names and nobody pushed (sparse indexes), or that went before this rule.
                    Err(StoreError::ManifestUnknown(_)) => continue,
                    Err(error) => return Err(error),
                };
                let parts = parts(&Manifest::parse(Some(&held.media_type), &held.bytes)?);
                if parts.blobs.contains(digest) || parts.manifests.contains(digest) {
                    return Err(StoreError::ContentHeld {
                        digest: digest.clone(),
                        tag,
                    });
                }
                waiting.extend(parts.manifests);
            }
        }
        Ok(())
    }

    fn is_immutable(&self, tag: &Tag) -> bool {
        let text = tag.to_string();
        self.immutable_tags.iter().any(|pattern| pattern.is_match(&text)) && !is_evidence_tag(&text)
    }

    fn has_manifests(&self, name: &str) -> bool {
        let folder = self.root.join("repositories").join(name).join("_manifests");
        files::names(&folder).is_ok_and(|algorithms| {
            algorithms
                .iter()
                .any(|algorithm| files::names(&folder.join(algorithm)).is_ok_and(|links| !links.is_empty()))
        })
    }

    fn tag_path(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tags_folder(name).join(tag.to_string())
    }

    fn tags_folder(&self, name: &RepositoryName) -> PathBuf {
        self.repository_folder(name).join("_tags")
    }
}

/// What a manifest consists of.
#[derive(Default)]
struct Parts {
    blobs: Vec<Digest>,
    manifests: Vec<Digest>,
}

fn parts(manifest: &Manifest) -> Parts {
    match manifest {
        Manifest::Image(image) => Parts {
            blobs: std::iter::once(&image.config)
                .chain(&image.layers)
                .map(|blob| blob.digest.clone())
                .collect(),
            manifests: Vec::new(),
        },
        Manifest::Index(index) => Parts {
            blobs: Vec::new(),
            manifests: index.manifests.iter().map(|child| child.digest.clone()).collect(),
        },
    }
}

/// `sha256-<hex>`, alone (the referrers fallback) or with cosign's endings: lists of evidence that grow by moving the tag.
fn is_evidence_tag(tag: &str) -> bool {
    let base = [".sig", ".att", ".sbom"]
        .iter()
        .find_map(|ending| tag.strip_suffix(ending))
        .unwrap_or(tag);
    super::manifests::digest_of_entry(base).is_some()
}
