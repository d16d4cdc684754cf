//! How many requests went out, by what they were for: the budget of a verification is stated in requests.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// Reading a manifest or index, or asking whether one is there.
    Manifest,
    /// Reading a blob, or asking whether one is there.
    Blob,
    /// Starting, filling, mounting or finishing an upload.
    Upload,
    /// Storing a manifest.
    PushManifest,
    /// Listing tags.
    Tags,
    /// Listing referrers by the API.
    Referrers,
    /// Asking a token server.
    Token,
}

/// Requests sent so far, by purpose. Repetitions and redirects are requests too and are counted where they belong;
/// `redirects` and `retries` say how many of the total they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestCounts {
    /// Manifests and indexes read or asked for, fallback and legacy tags included.
    pub manifests: u64,
    /// Blobs read or asked for.
    pub blobs: u64,
    /// Requests of blob uploads and mounts.
    pub uploads: u64,
    /// Manifests stored.
    pub pushed_manifests: u64,
    /// Pages of tags.
    pub tags: u64,
    /// Pages of the referrers API.
    pub referrers: u64,
    /// Tokens fetched.
    pub tokens: u64,
    /// Of all these, how many followed a redirect.
    pub redirects: u64,
    /// Of all these, how many repeated a throttled, failed or unauthenticated request.
    pub retries: u64,
    /// How many were answered to the point: with what was asked for, or that it is not there. A registry that answers is
    /// neither down nor out of reach, however long all of it takes.
    pub answers: u64,
}

impl RequestCounts {
    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.manifests + self.blobs + self.uploads + self.pushed_manifests + self.tags + self.referrers + self.tokens
    }
}

/// The counters behind [`RequestCounts`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    manifests: AtomicU64,
    blobs: AtomicU64,
    uploads: AtomicU64,
    pushed_manifests: AtomicU64,
    tags: AtomicU64,
    referrers: AtomicU64,
    tokens: AtomicU64,
    redirects: AtomicU64,
    retries: AtomicU64,
    answers: AtomicU64,
}

impl Counters {
    pub(crate) fn request(&self, operation: Operation) {
        let counter = match operation {
            Operation::Manifest => &self.manifests,
            Operation::Blob => &self.blobs,
            Operation::Upload => &self.uploads,
            Operation::PushManifest => &self.pushed_manifests,
            Operation::Tags => &self.tags,
            Operation::Referrers => &self.referrers,
            Operation::Token => &self.tokens,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn redirect(&self) {
        self.redirects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> RequestCounts {
        RequestCounts {
            manifests: self.manifests.load(Ordering::Relaxed),
            blobs: self.blobs.load(Ordering::Relaxed),
            uploads: self.uploads.load(Ordering::Relaxed),
            pushed_manifests: self.pushed_manifests.load(Ordering::Relaxed),
            tags: self.tags.load(Ordering::Relaxed),
            referrers: self.referrers.load(Ordering::Relaxed),
            tokens: self.tokens.load(Ordering::Relaxed),
            redirects: self.redirects.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            answers: self.answers.load(Ordering::Relaxed),
        }
    }
}
