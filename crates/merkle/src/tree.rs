//! Growing trees: the compact range that a log needs to append, and a whole tree in memory for tests and small logs.

use crate::hash::{TreeHash, empty_root, node_hash};

/// Where proofs take the hashes of complete subtrees from: memory, tiles, a database.
pub trait NodeSource {
    /// The hash of the complete subtree of 2^`level` leaves that begins at leaf `index` × 2^`level`, if it is known.
    fn node(&self, level: u32, index: u64) -> Option<TreeHash>;
}

/// The roots of the complete subtrees that a tree of some size consists of, largest first: all that appending needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    roots: Vec<TreeHash>,
}

impl CompactRange {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The range of the first `size` leaves of a tree whose nodes are known; nothing if one is not.
    #[must_use]
    pub fn load(size: u64, nodes: &impl NodeSource) -> Option<Self> {
        let mut roots = Vec::new();
        let mut begin = 0_u64;
        for level in (0..u64::BITS).rev() {
            if (size >> level) & 1 == 1 {
                roots.push(nodes.node(level, begin >> level)?);
                begin |= 1 << level;
            }
        }
        Some(Self { size, roots })
    }

    /// Adds a leaf's hash and reports every subtree that it completes as (level, index, hash), the leaf first.
    pub fn append(&mut self, leaf: TreeHash, mut completed: impl FnMut(u32, u64, TreeHash)) {
        let index = self.size;
        let mut hash = leaf;
        completed(0, index, hash);
        let levels = self.size.trailing_ones();
        for level in 1..=levels {
            // A tree of this size ends in as many complete subtrees as its size has trailing ones.
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(&left, &hash);
            completed(level, index >> level, hash);
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut roots = self.roots.iter().rev();
        roots.next().map_or_else(empty_root, |last| {
            roots.fold(*last, |right, left| node_hash(left, &right))
        })
    }
}

/// A tree with all of its nodes in memory, 64 bytes a leaf.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    range: CompactRange,
    levels: Vec<Vec<TreeHash>>,
}

impl MemoryTree {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a leaf's hash and returns its index.
    pub fn append(&mut self, leaf: TreeHash) -> u64 {
        let index = self.range.size();
        let levels = &mut self.levels;
        self.range.append(leaf, |level, _, hash| {
            let level = usize::try_from(level).unwrap_or(usize::MAX);
            match levels.get_mut(level) {
                Some(row) => row.push(hash),
                // Levels complete from the bottom up, so a new one is always the next.
                None => levels.push(vec![hash]),
            }
        });
        index
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.range.size()
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        self.range.root()
    }
}

impl NodeSource for MemoryTree {
    fn node(&self, level: u32, index: u64) -> Option<TreeHash> {
        let row = self.levels.get(usize::try_from(level).ok()?)?;
        row.get(usize::try_from(index).ok()?).copied()
    }
}
