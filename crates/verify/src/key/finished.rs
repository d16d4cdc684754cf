//! Ed25519ph signs and verifies a hash, and its one implementation takes a hasher.

use digest::consts::U64;
use digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update};
use proofmark_types::{Digest, DigestAlgorithm};

/// A SHA-512 that is already finished, for the one interface that takes a hasher and not a hash.
#[derive(Clone)]
pub struct FinishedSha512([u8; 64]);

impl FinishedSha512 {
    /// Takes a SHA-512; none for a digest by another algorithm.
    #[must_use]
    pub fn new(digest: &Digest) -> Option<Self> {
        let bytes = (digest.algorithm() == DigestAlgorithm::Sha512).then(|| digest.as_bytes());
        bytes?.try_into().ok().map(Self)
    }
}

impl Default for FinishedSha512 {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl HashMarker for FinishedSha512 {}

impl Update for FinishedSha512 {
    /// Nothing more goes into a finished hash; the verification never asks.
    fn update(&mut self, _data: &[u8]) {}
}

impl OutputSizeUser for FinishedSha512 {
    type OutputSize = U64;
}

impl FixedOutput for FinishedSha512 {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}
