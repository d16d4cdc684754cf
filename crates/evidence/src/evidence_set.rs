//! All that was found hanging on one digest, before anything is believed.

use std::fmt;

use proofmark_types::{Digest, Tag};

use crate::bundle::Bundle;
use crate::legacy::{LegacyAttestation, LegacySignature};

/// Everything found that hangs on one digest, untrusted.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceSet {
    /// The digest it was looked up for. Nothing says yet that any item is about it.
    pub subject: Digest,
    /// What was found, in the order it was found.
    pub items: Vec<Item>,
    /// Places that should have been read and could not be.
    pub incomplete: Vec<Incomplete>,
}

impl EvidenceSet {
    /// A set with nothing in it yet.
    #[must_use]
    pub fn new(subject: Digest) -> Self {
        Self {
            subject,
            items: Vec::new(),
            incomplete: Vec::new(),
        }
    }

    /// Whether nothing was found, every place having been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.incomplete.is_empty()
    }
}

/// One piece of evidence and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where it was found.
    pub origin: Origin,
    /// What it is.
    pub content: ItemContent,
}

/// Where a piece of evidence was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// A manifest whose `subject` is the digest, listed by the referrers API or the fallback tag.
    Referrer {
        /// The manifest's digest.
        manifest: Digest,
    },
    /// A layer of cosign's `.sig` image.
    SignatureTag {
        /// The tag read.
        tag: Tag,
        /// The layer's digest.
        layer: Digest,
    },
    /// A layer of cosign's `.att` image.
    AttestationTag {
        /// The tag read.
        tag: Tag,
        /// The layer's digest.
        layer: Digest,
    },
    /// A file given by the user.
    Local,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Referrer { manifest } => write!(f, "referrer {manifest}"),
            Self::SignatureTag { tag, layer } => write!(f, "signature {layer} of tag {tag}"),
            Self::AttestationTag { tag, layer } => write!(f, "attestation {layer} of tag {tag}"),
            Self::Local => f.write_str("local file"),
        }
    }
}

/// What a piece of evidence is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ItemContent {
    /// A Sigstore bundle.
    Bundle(Bundle),
    /// A layer of a `.sig` image.
    LegacySignature(LegacySignature),
    /// A layer of an `.att` image.
    LegacyAttestation(LegacyAttestation),
    /// Something that says it is evidence and does not parse: rejected evidence, not a failure of the whole set.
    Unreadable {
        /// The stable code of the parse error.
        code: &'static str,
        /// The parse error in words.
        reason: String,
    },
}

/// A place that should have been read and could not be (throttled, cut short, cap reached): without a pass from
/// elsewhere the verdict is undecided, never "unsigned".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// What was to be read.
    pub place: String,
    /// A stable code.
    pub code: &'static str,
    /// What happened, in words.
    pub reason: String,
}
