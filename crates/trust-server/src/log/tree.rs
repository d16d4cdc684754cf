//! The committed state of the log that requests read: nodes, where entries are, which leaf is where, the checkpoint.
//!
//! All nodes are kept in memory, 64 bytes an entry, and 10 to 20 bytes for finding duplicates; [`MAX_ENTRIES`] bounds it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use proofmark_merkle::tile::{TILE_WIDTH, TileKind, TilePath};
use proofmark_merkle::{CompactRange, NodeSource, TreeHash};

use super::wal::RecordPlace;

/// The most entries of one log: some 5.5 GB of nodes. Sigstore's public logs start a new shard at similar sizes.
pub(crate) const MAX_ENTRIES: u64 = 1 << 26;

/// What is committed; the sequencer alone writes it.
pub(crate) struct Committed {
    range: CompactRange,
    levels: Vec<Vec<TreeHash>>,
    leaves: HashTable<u64>,
    hasher: RandomState,
    records: Vec<RecordPlace>,
    checkpoint: Arc<str>,
}

/// A batch that is not durable yet: the tree after it, and the nodes that it completes.
pub(crate) struct Staged {
    range: CompactRange,
    nodes: Vec<(u32, TreeHash)>,
}

impl Staged {
    pub(crate) fn append(&mut self, leaf: TreeHash) -> u64 {
        let index = self.range.size();
        let nodes = &mut self.nodes;
        self.range.append(leaf, |level, _, hash| nodes.push((level, hash)));
        index
    }

    pub(crate) fn size(&self) -> u64 {
        self.range.size()
    }

    pub(crate) fn root(&self) -> TreeHash {
        self.range.root()
    }
}

impl Committed {
    pub(crate) fn empty() -> Self {
        Self {
            range: CompactRange::new(),
            levels: Vec::new(),
            leaves: HashTable::new(),
            hasher: RandomState::new(),
            records: Vec::new(),
            checkpoint: Arc::from(""),
        }
    }

    pub(crate) fn stage(&self) -> Staged {
        Staged {
            range: self.range.clone(),
            nodes: Vec::new(),
        }
    }

    /// Makes a durable batch visible.
    pub(crate) fn commit(&mut self, staged: Staged, place: RecordPlace) {
        let first = self.range.size();
        for (level, hash) in staged.nodes {
            let level = level as usize;
            if level >= self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(hash);
        }
        self.range = staged.range;
        self.records.push(place);
        for index in first..self.range.size() {
            self.remember(index);
        }
    }

    fn remember(&mut self, index: u64) {
        let Some(row) = self.levels.first() else { return };
        let at = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
        // The table holds numbers only: what they stand for is looked up, all 32 bytes of it (a short key once made
        // a log answer for an entry that it had not, sunlight ANT-2026-88EWBS43).
        let Some(leaf) = row.get(at(index)) else { return };
        let hasher = &self.hasher;
        self.leaves.insert_unique(hasher.hash_one(leaf), index, |other| {
            row.get(at(*other)).map_or(0, |leaf| hasher.hash_one(leaf))
        });
    }

    pub(crate) fn set_checkpoint(&mut self, checkpoint: Arc<str>) {
        self.checkpoint = checkpoint;
    }

    /// Where this leaf is, if it is logged.
    pub(crate) fn find(&self, leaf: &TreeHash) -> Option<u64> {
        let hash = self.hasher.hash_one(leaf);
        self.leaves
            .find(hash, |index| self.node(0, *index).as_ref() == Some(leaf))
            .copied()
    }

    pub(crate) fn size(&self) -> u64 {
        self.range.size()
    }

    pub(crate) fn root(&self) -> TreeHash {
        self.range.root()
    }

    pub(crate) fn checkpoint(&self) -> Arc<str> {
        Arc::clone(&self.checkpoint)
    }

    /// The hashes of a tile, if the tree has all of them.
    pub(crate) fn hashes(&self, path: &TilePath) -> Option<Vec<u8>> {
        if path.kind() == TileKind::Entries || !path.exists_in(self.size()) {
            return None;
        }
        let row = self.levels.get(path.tree_level() as usize)?;
        let first = usize::try_from(path.first()).ok()?;
        let hashes = row.get(first..first + usize::from(path.width()))?;
        Some(hashes.iter().flat_map(|hash| hash.as_bytes()).copied().collect())
    }

    /// The batches that together hold the entries of a bundle.
    pub(crate) fn places(&self, path: &TilePath) -> Option<Vec<RecordPlace>> {
        if path.kind() != TileKind::Entries || !path.exists_in(self.size()) {
            return None;
        }
        let end = path.first() + u64::from(path.width());
        debug_assert!(u64::from(path.width()) <= TILE_WIDTH, "the path's type bounds it");
        let from = self
            .records
            .partition_point(|record| record.first + u64::from(record.count) <= path.first());
        Some(
            self.records[from..]
                .iter()
                .take_while(|record| record.first < end)
                .copied()
                .collect(),
        )
    }
}

impl NodeSource for Committed {
    fn node(&self, level: u32, index: u64) -> Option<TreeHash> {
        self.levels
            .get(level as usize)?
            .get(usize::try_from(index).ok()?)
            .copied()
    }
}
