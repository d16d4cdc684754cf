//! From bytes back to a listing: whatever they are, bounded by their own length, and refused as a whole.

use std::collections::BTreeMap;

use proofmark_oci::union::{Header, Kind};
use proofmark_types::Digest;
use thiserror::Error;

use super::encode::{HAS_DIGEST, HAS_FACTS, KINDS, MAGIC};
use super::{CATALOG_VERSION, Listing};
use crate::cataloger::Fact;

/// The longest path kept: what the walk over a layer accepts (Linux, `PATH_MAX`).
const MAX_PATH: usize = 4096;

/// Why bytes are no listing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListingError {
    /// Something else altogether.
    #[error("it does not begin as a layer's listing")]
    Magic,
    /// Another release of this program made it, whose catalogers read files otherwise.
    #[error("expected the listing of catalogers {expected}, got {seen}")]
    Version {
        /// This program's.
        expected: &'static str,
        /// The listing's.
        seen: String,
    },
    /// Cut short, or lengths that lead out of it.
    #[error("it is damaged at byte {at}")]
    Damaged {
        /// Where.
        at: usize,
    },
    /// What a file is said to tell is nothing that catalogers tell.
    #[error("the facts of {path:?} are none")]
    Facts {
        /// The file.
        path: String,
        /// What does not fit.
        #[source]
        reason: serde_json::Error,
    },
    /// A listing was given for a layer that it is not of.
    #[error("expected the listing of {expected}, got that of {seen}")]
    Layer {
        /// The layer's digest.
        expected: Digest,
        /// The listing's.
        seen: Digest,
    },
}

impl ListingError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Magic => "layer-listing-unknown",
            Self::Version { .. } => "layer-listing-version",
            Self::Damaged { .. } => "layer-listing-damaged",
            Self::Facts { .. } => "layer-listing-facts",
            Self::Layer { .. } => "layer-listing-other-layer",
        }
    }
}

/// An entry of a layer and what its file tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event<'l> {
    pub(crate) header: Header,
    pub(crate) digest: Option<Digest>,
    /// As [`facts_of`] reads them; none where there are none.
    pub(crate) facts: Option<&'l [u8]>,
}

impl Listing {
    /// Reads what [`Listing::encode`] of the same program wrote. Facts are looked at when they are used, or by
    /// [`Listing::check`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ListingError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(ListingError::Magic)?;
        let mut input = Input {
            rest,
            length: bytes.len(),
        };
        let version = input.text()?;
        if version != CATALOG_VERSION.as_bytes() {
            let seen: String = String::from_utf8_lossy(version).chars().take(64).collect();
            return Err(ListingError::Version {
                expected: CATALOG_VERSION,
                seen,
            });
        }
        let mut listing = Self {
            digest: input.digest()?,
            diff_id: input.digest()?,
            size: input.number()?,
            inflated: input.number()?,
            file_digests: match input.number()? {
                0 => false,
                1 => true,
                _ => return Err(input.damaged()),
            },
            dropped: input.number()?,
            left_out: input.number()?,
            events: input.text()?.to_vec(),
            links: BTreeMap::new(),
        };
        for _ in 0..input.number()? {
            let path = input.string()?;
            let facts = input.text()?.to_vec();
            listing.links.insert(path, facts);
        }
        if !input.rest.is_empty() {
            return Err(input.damaged());
        }
        Ok(listing)
    }

    /// Reads all of it, as [`crate::Squash`] would; returns the number of entries.
    pub fn check(&self) -> Result<usize, ListingError> {
        let mut count = 0;
        for event in self.events() {
            let event = event?;
            let path = String::from_utf8_lossy(&event.header.path).into_owned();
            facts_of(&path, event.facts.unwrap_or_default())?;
            count += 1;
        }
        for (path, facts) in &self.links {
            facts_of(path, facts)?;
        }
        Ok(count)
    }

    /// The entries, in the order of the tar.
    pub(crate) fn events(&self) -> impl Iterator<Item = Result<Event<'_>, ListingError>> {
        let mut input = Input {
            rest: &self.events,
            length: self.events.len(),
        };
        let mut path = Vec::new();
        std::iter::from_fn(move || {
            if input.rest.is_empty() {
                return None;
            }
            let event = event(&mut input, &mut path);
            if event.is_err() {
                input.rest = &[];
            }
            Some(event)
        })
    }
}

/// The facts of a file; no bytes are none.
pub(crate) fn facts_of(path: &str, bytes: &[u8]) -> Result<Vec<Fact>, ListingError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(bytes).map_err(|reason| ListingError::Facts {
        path: path.to_owned(),
        reason,
    })
}

fn event<'l>(input: &mut Input<'l>, path: &mut Vec<u8>) -> Result<Event<'l>, ListingError> {
    let flags = input.byte()?;
    let kind = KINDS
        .get(usize::from(flags & !(HAS_FACTS | HAS_DIGEST)))
        .ok_or_else(|| input.damaged())?;
    let same = input.length()?;
    let rest = input.text()?;
    if same > path.len() || same.saturating_add(rest.len()) > MAX_PATH {
        return Err(input.damaged());
    }
    path.truncate(same);
    path.extend_from_slice(rest);
    let mode = u32::try_from(input.number()?).map_err(|_| input.damaged())?;
    let (mut size, mut link) = (0, Vec::new());
    match kind {
        Kind::File => size = input.number()?,
        Kind::HardLink | Kind::Symlink => link = input.text()?.to_vec(),
        Kind::Folder | Kind::Special => {}
    }
    let header = Header {
        path: path.clone(),
        kind: *kind,
        size,
        mode,
        link,
    };
    Ok(Event {
        header,
        digest: (flags & HAS_DIGEST != 0).then(|| input.digest()).transpose()?,
        facts: (flags & HAS_FACTS != 0).then(|| input.text()).transpose()?,
    })
}

struct Input<'b> {
    rest: &'b [u8],
    length: usize,
}

impl<'b> Input<'b> {
    fn damaged(&self) -> ListingError {
        ListingError::Damaged {
            at: self.length - self.rest.len(),
        }
    }

    fn byte(&mut self) -> Result<u8, ListingError> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, ListingError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            if low.leading_zeros() < shift {
                break;
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damaged())
    }

    fn length(&mut self) -> Result<usize, ListingError> {
        let number = self.number()?;
        usize::try_from(number).map_err(|_| self.damaged())
    }

    fn text(&mut self) -> Result<&'b [u8], ListingError> {
        let length = self.length()?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(text)
    }

    fn string(&mut self) -> Result<String, ListingError> {
        let text = std::str::from_utf8(self.text()?);
        text.map(str::to_owned).map_err(|_| self.damaged())
    }

    fn digest(&mut self) -> Result<Digest, ListingError> {
        let text = self.string()?;
        Digest::parse(&text).map_err(|_| self.damaged())
    }
}
