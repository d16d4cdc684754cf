//! What refers to a digest: the referrers API, or the fallback tag where the registry does not have it
//! (distribution-spec 1.1, "Listing Referrers" and "Unavailable Referrers API").
//!
//! Never filtered by artifact type: registries and cosign's own fallback index get it wrong (sigstore/cosign 4641).

use std::collections::BTreeSet;

use http::HeaderValue;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use proofmark_evidence::layout::fallback_tag;
use proofmark_oci::{Descriptor, Index, Manifest, media_types};
use proofmark_types::{Digest, Repository, Tag};

use super::Client;
use super::manifests::Resolved;
use super::paging::next_page;
use crate::RegistryError;
use crate::auth::Access;
use crate::counts::Operation;
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGES, MAX_REFERRERS};
use crate::transport::{Call, Response};

/// What was found to refer to a digest.
#[derive(Clone, Debug)]
pub struct Referrers {
    /// The manifests listed, each once, in the registry's order.
    pub descriptors: Vec<Descriptor>,
    /// Where the list is from.
    pub source: ReferrersSource,
    /// Why it is not the whole list, if it is not.
    pub cut_short: Option<RegistryError>,
}

/// Where a list of referrers is from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferrersSource {
    /// The referrers API.
    Api,
    /// The index under this tag; the registry has no referrers API. An absent tag is an empty list.
    FallbackTag(Tag),
}

impl Client {
    /// Everything that refers to `digest` in `repository`, up to a limit; [`Referrers::cut_short`] says when there is
    /// more, or when a later page could not be had.
    pub async fn referrers(&self, repository: &Repository, digest: &Digest) -> Result<Referrers, RegistryError> {
        match self.referrers_by_api(repository, digest).await? {
            Some(referrers) => Ok(referrers),
            None => self.referrers_by_tag(repository, digest).await,
        }
    }

    /// `None` when the registry does not have the API.
    pub(super) async fn referrers_by_api(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Referrers>, RegistryError> {
        let what = format!("the referrers of {repository}@{digest}");
        let first = format!("/v2/{}/referrers/{digest}", repository.path());
        let response = self.referrers_page(repository, first.clone(), &what).await?;
        if !has_api(&response) {
            return match response.status() {
                StatusCode::OK
                | StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_ACCEPTABLE
                | StatusCode::NOT_IMPLEMENTED => Ok(None),
                _ => Err(response.refusal(repository.registry(), &what).await),
            };
        }
        let mut listing = Listing::default();
        let mut next = listing.add_page(response, &what).await?;
        let mut read = BTreeSet::from([first]);
        while let Some(path) = next.take() {
            if read.len() >= MAX_PAGES as usize {
                listing.cut_short = Some(too_many(&what, u64::from(MAX_PAGES), "pages"));
            } else if !read.insert(path.clone()) {
                listing.cut_short = Some(RegistryError::Malformed {
                    what: what.clone(),
                    reason: "the listing leads back to a page that was read".to_owned(),
                });
            }
            if listing.cut_short.is_some() {
                break;
            }
            // What the first pages hold counts even if a later one cannot be had.
            match self.later_page(repository, path, &what, &mut listing).await {
                Ok(following) => next = following,
                Err(error) => listing.cut_short = Some(error),
            }
        }
        Ok(Some(Referrers {
            descriptors: listing.descriptors,
            source: ReferrersSource::Api,
            cut_short: listing.cut_short,
        }))
    }

    async fn later_page(
        &self,
        repository: &Repository,
        path: String,
        what: &str,
        listing: &mut Listing,
    ) -> Result<Option<String>, RegistryError> {
        let response = self.referrers_page(repository, path, what).await?;
        if response.status() != StatusCode::OK {
            return Err(response.refusal(repository.registry(), what).await);
        }
        listing.add_page(response, what).await
    }

    async fn referrers_page(
        &self,
        repository: &Repository,
        path: String,
        what: &str,
    ) -> Result<Response, RegistryError> {
        let call = Call::get(Operation::Referrers, Access::pull(repository), path, what.to_owned())
            .header(ACCEPT, HeaderValue::from_static(media_types::OCI_INDEX));
        self.transport.send(call).await
    }

    async fn referrers_by_tag(&self, repository: &Repository, digest: &Digest) -> Result<Referrers, RegistryError> {
        let tag = fallback_tag(digest);
        let mut listing = Listing::default();
        match self.tagged(repository, &tag).await {
            Ok(resolved) => {
                if let Some(index) = list_of(&resolved)? {
                    listing.add(index, &resolved.descriptor.digest.to_string());
                }
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(Referrers {
            descriptors: listing.descriptors,
            source: ReferrersSource::FallbackTag(tag),
            cut_short: listing.cut_short,
        })
    }
}

/// The list behind a fallback tag, if it is one. `cosign copy` takes the tag for the name of an image and puts the image
/// itself there: that lists nothing, as cosign and oras read it. Whoever could put it there could as well put an empty
/// list. What does not parse is an error.
pub(super) fn list_of(resolved: &Resolved) -> Result<Option<Index>, RegistryError> {
    match resolved.parse()? {
        Manifest::Index(index) => Ok(Some(index)),
        Manifest::Image(_) => Ok(None),
    }
}

/// The index behind a fallback tag, for changing it: what is not one is not ours to write over (distribution-spec 1.1,
/// "Pushing Manifests with Subject": "the client SHOULD report a failure and skip the remaining steps").
pub(super) fn index_of(resolved: &Resolved) -> Result<Index, RegistryError> {
    match resolved.parse()? {
        Manifest::Index(index) => Ok(index),
        Manifest::Image(_) => Err(RegistryError::Malformed {
            what: format!("the fallback index {}", resolved.descriptor.digest),
            reason: "it is an image manifest, expected an index".to_owned(),
        }),
    }
}

/// A 200 alone is not the API: single-page web applications answer it to any path. go-containerregistry looks at the
/// content type too.
fn has_api(response: &Response) -> bool {
    response.status() == StatusCode::OK
        && response
            .header(CONTENT_TYPE.as_str())
            .is_some_and(|value| value.split(';').next().unwrap_or("").trim() == media_types::OCI_INDEX)
}

#[derive(Default)]
struct Listing {
    descriptors: Vec<Descriptor>,
    seen: BTreeSet<Digest>,
    cut_short: Option<RegistryError>,
}

impl Listing {
    /// Reads one page and says where the next one is.
    async fn add_page(&mut self, response: Response, what: &str) -> Result<Option<String>, RegistryError> {
        let next = next_page(&response);
        let body = response.document(MAX_PAGE_BYTES, what).await?;
        let malformed = |reason: String| RegistryError::Malformed {
            what: what.to_owned(),
            reason,
        };
        match Manifest::parse(None, &body).map_err(|error| malformed(error.to_string()))? {
            Manifest::Index(index) => self.add(index, what),
            Manifest::Image(_) => return Err(malformed("it is an image manifest, expected an index".to_owned())),
        }
        match next {
            Ok(next) => Ok(next.filter(|_| self.cut_short.is_none())),
            Err(error) => {
                self.cut_short = Some(error);
                Ok(None)
            }
        }
    }

    fn add(&mut self, index: Index, what: &str) {
        for descriptor in index.manifests {
            if self.seen.contains(&descriptor.digest) {
                continue;
            }
            if self.descriptors.len() >= MAX_REFERRERS {
                self.cut_short = Some(too_many(what, MAX_REFERRERS as u64, "entries"));
                return;
            }
            self.seen.insert(descriptor.digest.clone());
            self.descriptors.push(descriptor);
        }
    }
}

fn too_many(what: &str, limit: u64, unit: &'static str) -> RegistryError {
    RegistryError::TooLarge {
        what: what.to_owned(),
        limit,
        unit,
    }
}
