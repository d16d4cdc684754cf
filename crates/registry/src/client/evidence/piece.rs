//! Evidence as the registry gave it, for those who keep it: bytes whose hash was checked, and what the list said of them.

use bytes::Bytes;
use proofmark_evidence::legacy::read_layer;
use proofmark_evidence::{EvidenceSet, Incomplete, Item, ItemContent, Origin};
use proofmark_oci::Descriptor;
use proofmark_types::Digest;

/// Everything that was found hanging on one digest, before it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Pieces {
    /// The digest it was looked up for.
    pub subject: Digest,
    /// What was found, in the order it was found.
    pub pieces: Vec<Piece>,
    /// Places that should have been read and could not be.
    pub incomplete: Vec<Incomplete>,
}

/// One piece and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Where it was found.
    pub origin: Origin,
    /// What was found there.
    pub content: PieceContent,
}

/// What was found at one place.
#[derive(Clone, Debug, PartialEq)]
pub enum PieceContent {
    /// A layer of an evidence manifest; the bytes hash to what the layer says.
    Layer {
        /// The layer as its manifest describes it; legacy layouts keep signatures in its annotations.
        layer: Descriptor,
        /// Its bytes.
        blob: Bytes,
    },
    /// Something that says it is evidence and could not be had for certain: rejected evidence.
    Unreadable {
        /// The stable code of the error.
        code: &'static str,
        /// The error in words.
        reason: String,
    },
}

impl Pieces {
    /// Nothing yet about `subject`.
    #[must_use]
    pub fn new(subject: Digest) -> Self {
        Self {
            subject,
            pieces: Vec::new(),
            incomplete: Vec::new(),
        }
    }

    /// All of it, read.
    #[must_use]
    pub fn evidence(&self) -> EvidenceSet {
        EvidenceSet {
            subject: self.subject.clone(),
            items: self.pieces.iter().map(Piece::read).collect(),
            incomplete: self.incomplete.clone(),
        }
    }
}

impl Piece {
    /// What it is.
    #[must_use]
    pub fn read(&self) -> Item {
        let content = match &self.content {
            PieceContent::Layer { layer, blob } => read_layer(layer, blob),
            PieceContent::Unreadable { code, reason } => ItemContent::Unreadable {
                code,
                reason: reason.clone(),
            },
        };
        Item {
            origin: self.origin.clone(),
            content,
        }
    }
}
