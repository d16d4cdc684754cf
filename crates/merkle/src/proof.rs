//! Inclusion and consistency proofs: made from a [`NodeSource`], checked as in RFC 9162 sections 2.1.3.2 and 2.1.4.2.
//!
//! Checking is strict: a proof has exactly the hashes that its sizes call for, no more and no fewer.

use thiserror::Error;

use crate::hash::{TreeHash, empty_root, node_hash};
use crate::tree::NodeSource;

/// The most hashes that a proof may have: a tree of 2^64 leaves has 64 levels, and a consistency proof one hash more.
pub const MAX_PROOF_HASHES: usize = 65;

/// Why a proof was not made or not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf lies outside of the tree; index and size probably come from different trees.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexOutOfRange {
        /// The leaf asked for.
        index: u64,
        /// The leaves of the tree.
        size: u64,
    },
    /// The tree shrank: an older checkpoint was given as the newer one, or the log went back.
    #[error("a tree of {old} leaves cannot be a beginning of one of {new} leaves")]
    SizesReversed {
        /// The size that should be the older.
        old: u64,
        /// The size that should be the newer.
        new: u64,
    },
    /// Too few or too many hashes for the sizes.
    #[error("the proof has {seen} hashes, not the {expected} that its sizes call for")]
    Length {
        /// How many hashes the sizes call for.
        expected: usize,
        /// How many there are.
        seen: usize,
    },
    /// The hashes lead to another root: the leaf, the proof or the root was altered.
    #[error("the proof leads to root {computed}, not to {expected}")]
    RootMismatch {
        /// The root that was to be proven.
        expected: TreeHash,
        /// The root that the proof gives.
        computed: TreeHash,
    },
    /// The store of nodes has a hole.
    #[error("node {index} of level {level} is not stored")]
    MissingNode {
        /// The level, leaves being 0.
        level: u32,
        /// The index in the level.
        index: u64,
    },
}

impl ProofError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::IndexOutOfRange { .. } => "proof-index-out-of-range",
            Self::SizesReversed { .. } => "proof-sizes-reversed",
            Self::Length { .. } => "proof-length",
            Self::RootMismatch { .. } => "proof-root-mismatch",
            Self::MissingNode { .. } => "proof-node-missing",
        }
    }
}

/// Checks that `leaf` is leaf number `index` of the tree of `size` leaves with this root.
pub fn verify_inclusion(
    leaf: &TreeHash,
    index: u64,
    size: u64,
    proof: &[TreeHash],
    root: &TreeHash,
) -> Result<(), ProofError> {
    let expected = inclusion_length(index, size)?;
    if proof.len() != expected {
        return Err(ProofError::Length {
            expected,
            seen: proof.len(),
        });
    }
    // RFC 9162 section 2.1.3.2; names as there.
    let (mut fnode, mut snode) = (index, size - 1);
    let mut computed = *leaf;
    for sibling in proof {
        if fnode & 1 == 1 || fnode == snode {
            computed = node_hash(sibling, &computed);
            skip_right_edge(&mut fnode, &mut snode);
        } else {
            computed = node_hash(&computed, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    same_root(root, computed)
}

/// Checks that the tree of `old_size` leaves is the beginning of the tree of `new_size` leaves.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[TreeHash],
    old_root: &TreeHash,
    new_root: &TreeHash,
) -> Result<(), ProofError> {
    let expected = consistency_length(old_size, new_size)?;
    if proof.len() != expected {
        return Err(ProofError::Length {
            expected,
            seen: proof.len(),
        });
    }
    if old_size == 0 {
        return same_root(old_root, empty_root());
    }
    if old_size == new_size {
        return same_root(new_root, *old_root);
    }
    // RFC 9162 section 2.1.4.2; an old tree that is one complete subtree is its own first hash.
    let (mut fnode, mut snode) = (old_size - 1, new_size - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let mut hashes = proof.iter();
    let first = if old_size.is_power_of_two() {
        Some(old_root)
    } else {
        hashes.next()
    };
    let Some(first) = first else {
        return Err(ProofError::Length {
            expected,
            seen: proof.len(),
        });
    };
    let (mut old, mut new) = (*first, *first);
    for hash in hashes {
        if fnode & 1 == 1 || fnode == snode {
            old = node_hash(hash, &old);
            new = node_hash(hash, &new);
            skip_right_edge(&mut fnode, &mut snode);
        } else {
            new = node_hash(&new, hash);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    same_root(old_root, old)?;
    same_root(new_root, new)
}

/// Makes the proof that leaf `index` is in the tree of the first `size` leaves.
pub fn prove_inclusion(index: u64, size: u64, nodes: &impl NodeSource) -> Result<Vec<TreeHash>, ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    let (mut begin, mut end) = (0, size);
    let mut path = Vec::new();
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(subtree_root(middle, end, nodes)?);
            end = middle;
        } else {
            path.push(subtree_root(begin, middle, nodes)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Makes the proof that the first `old` leaves are the beginning of the first `new` leaves.
pub fn prove_consistency(old: u64, new: u64, nodes: &impl NodeSource) -> Result<Vec<TreeHash>, ProofError> {
    if old > new {
        return Err(ProofError::SizesReversed { old, new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut begin, mut end) = (0, new);
    let mut path = Vec::new();
    // Down to the subtree that the old tree ends with.
    while old < end {
        let middle = begin + split(end - begin);
        if old <= middle {
            path.push(subtree_root(middle, end, nodes)?);
            end = middle;
        } else {
            path.push(subtree_root(begin, middle, nodes)?);
            begin = middle;
        }
    }
    // The checker knows the old root already when that subtree is the whole old tree.
    if begin != 0 {
        path.push(subtree_root(begin, end, nodes)?);
    }
    path.reverse();
    Ok(path)
}

/// The root of the leaves from `begin` to before `end`, where `begin` is a multiple of the power of two next above the
/// number of leaves, as every node of an RFC 6962 tree is.
pub fn subtree_root(begin: u64, end: u64, nodes: &impl NodeSource) -> Result<TreeHash, ProofError> {
    let size = end.saturating_sub(begin);
    let mut at = begin;
    let mut complete = Vec::new();
    for level in (0..u64::BITS).rev() {
        if (size >> level) & 1 == 1 {
            let index = at >> level;
            complete.push(
                nodes
                    .node(level, index)
                    .ok_or(ProofError::MissingNode { level, index })?,
            );
            at += 1 << level;
        }
    }
    let mut from_right = complete.iter().rev();
    Ok(from_right.next().map_or_else(empty_root, |last| {
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }))
}

/// The largest power of two smaller than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

fn inclusion_length(index: u64, size: u64) -> Result<usize, ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfRange { index, size });
    }
    // Below the point where the paths to the leaf and to the last leaf part, each level has a sibling; above it, only
    // where the leaf's side is a right child.
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let border = (index.checked_shr(inner).unwrap_or(0)).count_ones();
    Ok(usize::try_from(inner + border).unwrap_or(usize::MAX))
}

fn consistency_length(old: u64, new: u64) -> Result<usize, ProofError> {
    if old > new {
        return Err(ProofError::SizesReversed { old, new });
    }
    if old == 0 || old == new {
        return Ok(0);
    }
    // The path of the last old leaf, without the levels inside the complete subtree that ends the old tree.
    let level = old.trailing_zeros();
    let path = inclusion_length((old - 1) >> level, ((new - 1) >> level) + 1)?;
    Ok(path + usize::from(!old.is_power_of_two()))
}

fn skip_right_edge(fnode: &mut u64, snode: &mut u64) {
    while *fnode & 1 == 0 && *fnode != 0 {
        *fnode >>= 1;
        *snode >>= 1;
    }
}

fn same_root(expected: &TreeHash, computed: TreeHash) -> Result<(), ProofError> {
    if *expected == computed {
        Ok(())
    } else {
        Err(ProofError::RootMismatch {
            expected: *expected,
            computed,
        })
    }
}

#[cfg(test)]
mod tests;
