//! Merkle trees of transparency logs: RFC 6962 (RFC 9162) hashing and proofs, C2SP tiles, signed notes, checkpoints.
//!
//! Pure arithmetic on bytes. Nothing here stores a tree, reads a clock or trusts a key: keys are parameters, and a
//! proof says nothing until the root it was checked against came out of a verified [`Checkpoint`].

#![warn(clippy::as_conversions, clippy::indexing_slicing)]

mod checkpoint;
mod hash;
mod note;
mod proof;
pub mod tile;
mod tree;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use hash::{HASH_LENGTH, TreeHash, empty_root, leaf_hash, node_hash};
pub use note::{
    MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, NoteError, NoteKey, NoteKeyError, NoteSignature, NoteSigner, SignedNote,
};
pub use proof::{
    MAX_PROOF_HASHES, ProofError, prove_consistency, prove_inclusion, subtree_root, verify_consistency,
    verify_inclusion,
};
pub use tree::{CompactRange, MemoryTree, NodeSource};
