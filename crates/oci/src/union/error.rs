//! Why the layers of an image cannot be read.

use std::io;

use proofmark_types::Digest;
use thiserror::Error;

/// Why the union of an image's layers cannot be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnionError {
    /// More layers than a kernel can stack.
    #[error("{seen} layers are more than the {limit} that can be stacked")]
    TooManyLayers {
        /// The bound.
        limit: usize,
        /// How many there are.
        seen: usize,
    },
    /// One layer cannot be read.
    #[error("layer {layer} ({digest}): {error}")]
    Layer {
        /// Its index, the lowest being 0.
        layer: usize,
        /// The digest that the manifest says it has.
        digest: Digest,
        /// What is wrong with it; part of the text.
        error: LayerError,
    },
}

impl UnionError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooManyLayers { .. } => "too-many-layers",
            Self::Layer { error, .. } => error.code(),
        }
    }

    /// Whether the bytes could not be had, so that nothing is known of them: a verdict is undecided, not a failure.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Layer {
                error: LayerError::Read(_) | LayerError::Stopped,
                ..
            }
        )
    }
}

/// What is wrong with a layer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The bytes could not be had: the registry, the network or the disk.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The thread that reads it is gone; a fault of this program.
    #[error("the reader stopped before the end")]
    Stopped,
    /// The descriptor announces more bytes than are accepted.
    #[error("{seen} bytes are more than the {limit} accepted")]
    TooLarge {
        /// The bound.
        limit: u64,
        /// The size announced.
        seen: u64,
    },
    /// Shorter or longer than the manifest says; `seen` stops one byte past `expected`.
    #[error("expected {expected} bytes, got {}{seen}", if seen > expected { "at least " } else { "" })]
    Size {
        /// The manifest's size.
        expected: u64,
        /// The bytes read.
        seen: u64,
    },
    /// Not the bytes that the manifest names.
    #[error("expected the digest {expected}, got {seen}")]
    BlobDigest {
        /// The manifest's digest.
        expected: Digest,
        /// The digest of the bytes read.
        seen: Digest,
    },
    /// The manifest names a layer that inflates to another tar than the config says.
    #[error("expected the diffID {expected}, got {seen}")]
    DiffId {
        /// The config's diffID.
        expected: Digest,
        /// The digest of the tar read.
        seen: Digest,
    },
    /// Damaged gzip or zstd.
    #[error("the {format} data is corrupt: {reason}")]
    Corrupt {
        /// gzip or zstd.
        format: &'static str,
        /// What does not fit.
        reason: String,
    },
    /// The blob is the manifest's, but its gzip, zstd or tar ends in the middle.
    #[error("ends in the middle of {within}")]
    Truncated {
        /// Of what.
        within: &'static str,
    },
    /// Bytes after the end of the compressed data or the tar, which some readers would take for content.
    #[error("has other bytes after the end of the {after}")]
    TrailingData {
        /// After what.
        after: &'static str,
    },
    /// Inflates far more than files do: a decompression bomb.
    #[error("inflates to {inflated} bytes and more from {compressed}, over {limit} times: a decompression bomb")]
    Bomb {
        /// Bytes read.
        compressed: u64,
        /// Bytes made of them.
        inflated: u64,
        /// The bound.
        limit: u64,
    },
    /// All layers together inflate to more than is accepted.
    #[error("the layers inflate to more than the {limit} bytes accepted")]
    InflatedTooLarge {
        /// The bound.
        limit: u64,
    },
    /// A tar header that does not parse, or whose checksum is wrong.
    #[error("the tar header at byte {offset} is malformed: {reason}")]
    Header {
        /// Where it starts in the inflated tar.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// Headers that different readers understand differently.
    #[error("the tar header at byte {offset} is ambiguous: {reason}")]
    AmbiguousHeader {
        /// Where it starts in the inflated tar.
        offset: u64,
        /// What differs.
        reason: &'static str,
    },
    /// A kind of entry that layers have no use for, such as a sparse file.
    #[error("the entry \"{path}\" is of the unsupported kind '{kind}'")]
    UnsupportedEntry {
        /// Its path, shortened.
        path: String,
        /// The tar type flag.
        kind: char,
    },
    /// A path that leaves the root (`..`).
    #[error("the path \"{path}\" leaves the image's root")]
    PathEscape {
        /// The path, shortened.
        path: String,
    },
    /// A path longer or deeper than a kernel takes.
    #[error(
        "a path of {length} bytes and {depth} folders is over the {max_length} bytes and {max_depth} folders accepted"
    )]
    PathTooLong {
        /// Its length.
        length: usize,
        /// Its depth.
        depth: usize,
        /// The bound on the length.
        max_length: usize,
        /// The bound on the depth.
        max_depth: usize,
    },
    /// An empty name, or one with a NUL byte.
    #[error("\"{path}\" is no path of a file")]
    PathMalformed {
        /// The path, shortened.
        path: String,
    },
    /// A whiteout of nothing, of `.` or of `..`.
    #[error("\"{path}\" whites out no name")]
    WhiteoutMalformed {
        /// The path, shortened.
        path: String,
    },
    /// More tar entries than are accepted.
    #[error("the layers have more than the {limit} entries accepted")]
    TooManyEntries {
        /// The bound.
        limit: u64,
    },
    /// More distinct names than are held in memory.
    #[error("the layers have more than the {limit} names accepted")]
    TooManyNames {
        /// The bound.
        limit: usize,
    },
    /// More hard links to packages than are followed.
    #[error("more than the {limit} hard links accepted have to be followed")]
    TooManyLinks {
        /// The bound.
        limit: usize,
    },
}

impl LayerError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(_) | Self::Stopped => "layer-unreadable",
            Self::TooLarge { .. } => "layer-too-large",
            Self::Size { .. } => "layer-size-mismatch",
            Self::BlobDigest { .. } => "layer-digest-mismatch",
            Self::DiffId { .. } => "layer-diff-id-mismatch",
            Self::Corrupt { .. } => "layer-corrupt",
            Self::Truncated { .. } => "layer-truncated",
            Self::TrailingData { .. } => "layer-trailing-data",
            Self::Bomb { .. } => "layer-bomb",
            Self::InflatedTooLarge { .. } => "layers-inflate-too-large",
            Self::Header { .. } => "layer-tar-malformed",
            Self::AmbiguousHeader { .. } => "layer-tar-ambiguous",
            Self::UnsupportedEntry { .. } => "layer-entry-unsupported",
            Self::PathEscape { .. } => "layer-path-escape",
            Self::PathTooLong { .. } => "layer-path-too-long",
            Self::PathMalformed { .. } => "layer-path-malformed",
            Self::WhiteoutMalformed { .. } => "layer-whiteout-malformed",
            Self::TooManyEntries { .. } => "layer-too-many-entries",
            Self::TooManyNames { .. } => "layer-too-many-names",
            Self::TooManyLinks { .. } => "layer-too-many-links",
        }
    }
}
