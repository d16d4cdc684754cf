//! C2SP tlog-checkpoint: origin, size and root of a log in a signed note.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::hash::{TreeHash, empty_root};
use crate::note::{NoteError, NoteKey, NoteSigner, SignedNote};

/// The most extension lines read; the specification knows none yet, old logs write one or two.
const MAX_EXTENSIONS: usize = 16;

/// What a log states about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: TreeHash,
    extensions: Vec<String>,
}

/// A [`Checkpoint`] as it was received, its signatures not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: SignedNote,
    checkpoint: Checkpoint,
}

/// Why a checkpoint was not read or not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The first line is missing or empty.
    #[error("the checkpoint has no origin")]
    Origin,
    /// The second line is not a decimal number in its one spelling.
    #[error("the size of the checkpoint is not a decimal number: \"{seen}\"")]
    Size {
        /// The line, shortened.
        seen: String,
    },
    /// The third line is not the base64 of a 32-byte hash, or not the root that an empty tree has.
    #[error("the root of the checkpoint is not the base64 of a tree hash: \"{seen}\"")]
    Root {
        /// The line, shortened.
        seen: String,
    },
    /// An empty extension line, or more of them than are read.
    #[error("the extension lines of the checkpoint are malformed")]
    Extensions,
    /// Signed, but by or for another log.
    #[error("the checkpoint is of \"{seen}\", not of \"{expected}\"")]
    OriginMismatch {
        /// The log asked for.
        expected: String,
        /// The log named.
        seen: String,
    },
}

impl CheckpointError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Note(error) => error.code(),
            Self::Origin => "checkpoint-origin",
            Self::Size { .. } => "checkpoint-size",
            Self::Root { .. } => "checkpoint-root",
            Self::Extensions => "checkpoint-extensions",
            Self::OriginMismatch { .. } => "checkpoint-origin-mismatch",
        }
    }
}

impl Checkpoint {
    /// States a tree; `origin` must be a single line that is not empty.
    pub fn new(origin: &str, size: u64, root: TreeHash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.chars().any(char::is_control) {
            return Err(CheckpointError::Origin);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// Reads the text of a note.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let origin = lines
            .next()
            .filter(|line| !line.is_empty())
            .ok_or(CheckpointError::Origin)?;
        let size_line = lines.next().unwrap_or_default();
        let size = decimal(size_line).ok_or_else(|| CheckpointError::Size { seen: short(size_line) })?;
        let root_line = lines.next().unwrap_or_default();
        let root = STANDARD
            .decode(root_line)
            .ok()
            .and_then(|bytes| TreeHash::from_slice(&bytes))
            .filter(|root| size != 0 || *root == empty_root())
            .ok_or_else(|| CheckpointError::Root { seen: short(root_line) })?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.len() > MAX_EXTENSIONS || extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Extensions);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions,
        })
    }

    /// Signs it.
    #[must_use]
    pub fn sign(self, signers: &[&NoteSigner]) -> SignedCheckpoint {
        let note = SignedNote::sign(self.text(), signers);
        SignedCheckpoint { note, checkpoint: self }
    }

    /// Which log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree of that size.
    #[must_use]
    pub fn root(&self) -> &TreeHash {
        &self.root
    }

    /// Further lines, kept as they are.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl SignedCheckpoint {
    /// Reads a signed note with a checkpoint in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { note, checkpoint })
    }

    /// The checkpoint, once `key` is found to have signed it. The signature covers the origin; whether it is the
    /// expected one is a separate question, as Rekor v1 writes more than its name there (`host - tree id`).
    pub fn verify(&self, key: &NoteKey) -> Result<&Checkpoint, CheckpointError> {
        self.note.verify(key)?;
        Ok(&self.checkpoint)
    }

    /// The checkpoint, once `key` is found to have signed it and its origin is exactly `origin`.
    pub fn verify_origin(&self, key: &NoteKey, origin: &str) -> Result<&Checkpoint, CheckpointError> {
        let checkpoint = self.verify(key)?;
        if checkpoint.origin == origin {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::OriginMismatch {
                expected: origin.to_owned(),
                seen: short(&checkpoint.origin),
            })
        }
    }

    /// What it claims, before any verification: to choose a key, never to decide.
    #[must_use]
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note with all of its signature lines.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// The checkpoint as it is sent.
    #[must_use]
    pub fn encode(&self) -> String {
        self.note.encode()
    }
}

/// Decimal digits without sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| canonical && digits)
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
