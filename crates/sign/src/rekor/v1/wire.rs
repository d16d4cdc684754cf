//! The answer of Rekor v1 (rekor `openapi.yaml`, `LogEntry`).

use std::collections::BTreeMap;

use proofmark_types::{Digest, DigestAlgorithm};
use serde::Deserialize;

/// Entries by their id.
pub(super) type Answered = BTreeMap<String, Logged>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Logged {
    pub(super) body: String,
    pub(super) integrated_time: i64,
    #[serde(rename = "logID")]
    pub(super) log_id: String,
    /// Over all shards.
    pub(super) log_index: u64,
    pub(super) verification: Verification,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verification {
    pub(super) inclusion_proof: Proof,
    pub(super) signed_entry_timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proof {
    pub(super) checkpoint: String,
    pub(super) hashes: Vec<String>,
    /// Within this shard.
    pub(super) log_index: u64,
    pub(super) root_hash: String,
    pub(super) tree_size: u64,
}

/// A SHA-256 in hex.
pub(super) fn sha256(text: &str) -> Option<Vec<u8>> {
    let digest = Digest::from_hex(DigestAlgorithm::Sha256, text).ok()?;
    Some(digest.as_bytes().to_vec())
}
