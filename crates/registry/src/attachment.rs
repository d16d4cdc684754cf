//! The manifests that hang on an image, whole and in their places: what a copy takes along, what a tree shows, what a
//! clean removes. What they *say* is [`crate::Client::evidence`]'s business.

use proofmark_evidence::Incomplete;
use proofmark_evidence::layout::{att_tag, sbom_tag, sig_tag};
use proofmark_types::{Digest, Tag};

use crate::client::Resolved;

/// How something hangs on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Its `subject` is the image.
    Referrer,
    /// Under cosign's `.sig` tag.
    Signatures,
    /// Under cosign's `.att` tag.
    Attestations,
    /// Under cosign's `.sbom` tag.
    Bill,
}

impl Place {
    /// The places that are tags.
    pub(crate) const TAGS: [Self; 3] = [Self::Signatures, Self::Attestations, Self::Bill];

    /// The tag for `subject`, if the place is one.
    #[must_use]
    pub fn tag(self, subject: &Digest) -> Option<Tag> {
        match self {
            Self::Referrer => None,
            Self::Signatures => Some(sig_tag(subject)),
            Self::Attestations => Some(att_tag(subject)),
            Self::Bill => Some(sbom_tag(subject)),
        }
    }
}

/// One manifest that hangs on something.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attachment {
    /// What it hangs on: the image, or another attachment.
    pub subject: Digest,
    /// How.
    pub place: Place,
    /// The manifest, verified.
    pub resolved: Resolved,
}

/// All that hangs on an image.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Attachments {
    /// What was found, each before what hangs on it.
    pub found: Vec<Attachment>,
    /// Referrers that are listed and, the registry says, not there: garbage collectors remove what has no tag, and leave
    /// it in the list under the fallback tag.
    pub missing: Vec<Digest>,
    /// Places that should have been read and could not be: there may be more.
    pub incomplete: Vec<Incomplete>,
}
