//! Listing tags.

use std::collections::BTreeSet;

use http::StatusCode;
use proofmark_types::{Repository, Tag};
use serde::Deserialize;

use super::Client;
use super::paging::next_page;
use crate::RegistryError;
use crate::auth::Access;
use crate::counts::Operation;
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGES, MAX_TAGS};
use crate::transport::Call;

#[derive(Deserialize)]
struct Page {
    /// Some registries send `null` for a repository without tags.
    tags: Option<Vec<String>>,
}

impl Client {
    /// All tags of a repository, sorted, each once. A listing that does not end is an error, not a part of it.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, RegistryError> {
        let what = format!("the tags of {repository}");
        let too_large = |limit: u64, unit| RegistryError::TooLarge {
            what: what.clone(),
            limit,
            unit,
        };
        let mut tags = BTreeSet::new();
        let mut path = format!("/v2/{}/tags/list", repository.path());
        let mut seen = BTreeSet::new();
        for _ in 0..MAX_PAGES {
            if !seen.insert(path.clone()) {
                return Err(RegistryError::Malformed {
                    what,
                    reason: "the listing leads back to a page that was read".to_owned(),
                });
            }
            let call = Call::get(Operation::Tags, Access::pull(repository), path, what.clone());
            let response = self.transport.send(call).await?;
            if response.status() != StatusCode::OK {
                return Err(response.refusal(repository.registry(), &what).await);
            }
            let next = next_page(&response)?;
            let body = response.document(MAX_PAGE_BYTES, &what).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| RegistryError::Malformed {
                what: what.clone(),
                reason: format!("not the JSON expected: {error}"),
            })?;
            for text in page.tags.unwrap_or_default() {
                // A name that is no tag cannot be asked for either.
                if let Ok(tag) = Tag::parse(&text) {
                    tags.insert(tag);
                }
            }
            if tags.len() > MAX_TAGS {
                return Err(too_large(MAX_TAGS as u64, "entries"));
            }
            match next {
                Some(next) => path = next,
                None => return Ok(tags.into_iter().collect()),
            }
        }
        Err(too_large(u64::from(MAX_PAGES), "pages"))
    }
}
