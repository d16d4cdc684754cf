//! The proof for an entry that a log has already, put together from its checkpoint and tiles (C2SP tlog-tiles).
//!
//! Nothing read here is believed: the proof must lead to the checkpoint's root, and whether the checkpoint is the
//! log's is verified with the finished bundle.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proofmark_evidence::bundle::{InclusionProof, LogEntry};
use proofmark_merkle::tile::{TileKind, TilePath, parse_entries, parse_hashes};
use proofmark_merkle::{
    MAX_NOTE_BYTES, NodeSource, SignedCheckpoint, TreeHash, leaf_hash, node_hash, prove_inclusion, verify_inclusion,
};
use proofmark_verify::TrustRoot;
use reqwest::{StatusCode, Url};

use super::super::unusable;
use super::{Entry, failed, under};
use crate::error::SignError;
use crate::http::Http;

/// A full tile.
const TILE_BYTES: usize = 256 * 32;

/// A full bundle of entries of full length.
const BUNDLE_BYTES: usize = 256 * (2 + 65_535);

/// The levels of a tile.
const TILE_HEIGHT: u32 = 8;

/// A proof touches at most two tiles of each of the eight levels that 63 bits of index have.
const MAX_TILES: usize = 16;

pub(super) async fn read(
    http: &Http,
    log: &Url,
    index: u64,
    entry: &Entry<'_>,
    trust_root: &TrustRoot,
) -> Result<LogEntry, SignError> {
    let bad = |reason: &str| {
        unusable(
            log,
            format!("an equal entry is said to be at index {index}, but {reason}"),
        )
    };
    // 1. The checkpoint; it must be one that has the entry, which comes with the next one at the latest.
    let checkpoint = checkpoint(http, log, index).await?.map_err(bad)?;
    let (size, root) = (checkpoint.unverified().size(), *checkpoint.unverified().root());
    // 2. The entry itself.
    let body = entry.body();
    let path = tile(TileKind::Entries, index >> TILE_HEIGHT, size).ok_or_else(|| bad("there is no such bundle"))?;
    let bundle = fetch(http, log, &path.path(), BUNDLE_BYTES).await?;
    let entries = parse_entries(&bundle).map_err(|error| bad(&error.to_string()))?;
    let at = usize::try_from(index & 0xff).unwrap_or(usize::MAX);
    if entries.get(at).is_none_or(|held| **held != *body) {
        return Err(bad("another entry is there"));
    }
    // 3. Its proof: tried until no tile is missing.
    let tiles = Tiles::new(size);
    let hashes = loop {
        if let Ok(hashes) = prove_inclusion(index, size, &tiles) {
            break hashes;
        }
        let missing = tiles.take_missing();
        if missing.is_empty() || tiles.count() + missing.len() > MAX_TILES {
            return Err(bad("its proof cannot be put together"));
        }
        for (level, number) in missing {
            let path = tile(TileKind::Hashes { level }, number, size >> (TILE_HEIGHT * level))
                .ok_or_else(|| bad("there is no such tile"))?;
            let bytes = fetch(http, log, &path.path(), TILE_BYTES).await?;
            tiles.insert(
                level,
                number,
                parse_hashes(&bytes).map_err(|error| bad(&error.to_string()))?,
            );
        }
    };
    verify_inclusion(&leaf_hash(&body), index, size, &hashes, &root).map_err(|error| bad(&error.to_string()))?;
    // 4. The log's full id, which tiles do not say: the trust root's log that signed the checkpoint.
    let log_id = trust_root
        .logs()
        .iter()
        .map(|known| known.log_id())
        .find(|id| signed_by(&checkpoint, id))
        .ok_or_else(|| bad("no log of the trust root signed its checkpoint"))?;
    Ok(LogEntry {
        log_index: index,
        log_id: log_id.to_vec(),
        kind: "hashedrekord".to_owned(),
        kind_version: "0.0.2".to_owned(),
        integrated_time: None,
        inclusion_promise: None,
        inclusion_proof: Some(InclusionProof {
            log_index: index,
            tree_size: size,
            root_hash: root.as_bytes().to_vec(),
            hashes: hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
            checkpoint: checkpoint.encode(),
        }),
        canonicalized_body: body,
    })
}

/// A checkpoint that has the entry, which is the next one at the latest.
async fn checkpoint(http: &Http, log: &Url, index: u64) -> Result<Result<SignedCheckpoint, &'static str>, SignError> {
    let mut attempt = 1;
    loop {
        let envelope = fetch(http, log, "checkpoint", MAX_NOTE_BYTES).await?;
        let Ok(checkpoint) = SignedCheckpoint::parse(&envelope) else {
            return Ok(Err("the checkpoint is malformed"));
        };
        if index < checkpoint.unverified().size() {
            return Ok(Ok(checkpoint));
        }
        if attempt >= http.timing().attempts {
            return Ok(Err("the checkpoint does not have it yet"));
        }
        tokio::time::sleep(http.timing().pause.saturating_mul(1 << attempt.min(5))).await;
        attempt += 1;
    }
}

/// A log's id begins with the key id of its checkpoints' signatures.
fn signed_by(checkpoint: &SignedCheckpoint, log_id: &[u8]) -> bool {
    checkpoint
        .note()
        .signatures()
        .iter()
        .any(|signature| log_id.starts_with(&signature.key_id()))
}

/// The tile `number` as it is in a tree with `width` nodes at its lowest level: partial at the right edge.
fn tile(kind: TileKind, number: u64, nodes: u64) -> Option<TilePath> {
    let first = number << TILE_HEIGHT;
    let width = nodes.checked_sub(first)?.min(256);
    TilePath::new(kind, number, u16::try_from(width).ok()?)
}

async fn fetch(http: &Http, log: &Url, path: &str, limit: usize) -> Result<Vec<u8>, SignError> {
    let url = under(log, &format!("/api/v2/{path}"));
    let answer = http
        .send(http.get(&url), &url, http.timing().log, limit)
        .await
        .and_then(|answer| answer.expect(&url, &[StatusCode::OK]))
        .map_err(failed)?;
    Ok(answer.body)
}

/// The tiles fetched so far, and those that were asked for in vain.
struct Tiles {
    size: u64,
    held: RefCell<BTreeMap<(u32, u64), Vec<TreeHash>>>,
    missing: RefCell<BTreeSet<(u32, u64)>>,
}

impl Tiles {
    fn new(size: u64) -> Self {
        Self {
            size,
            held: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    fn insert(&self, level: u32, number: u64, hashes: Vec<TreeHash>) {
        self.held.borrow_mut().insert((level, number), hashes);
    }

    fn take_missing(&self) -> BTreeSet<(u32, u64)> {
        self.missing.take()
    }

    fn count(&self) -> usize {
        self.held.borrow().len()
    }
}

impl NodeSource for Tiles {
    fn node(&self, level: u32, index: u64) -> Option<TreeHash> {
        // Only complete subtrees are in tiles.
        let end = index.checked_add(1)?.checked_mul(1_u64.checked_shl(level)?)?;
        if end > self.size {
            return None;
        }
        let (tile_level, height) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let first = index << height;
        let key = (tile_level, first >> TILE_HEIGHT);
        let held = self.held.borrow();
        let Some(hashes) = held.get(&key) else {
            self.missing.borrow_mut().insert(key);
            return None;
        };
        let start = usize::try_from(first & 0xff).ok()?;
        let mut row = hashes.get(start..start + (1_usize << height))?.to_vec();
        while row.len() > 1 {
            row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        row.first().copied()
    }
}
