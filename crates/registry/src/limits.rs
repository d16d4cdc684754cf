//! Every bound of this crate, in one place, each with the source of its number.

use std::time::Duration;

/// Pages of a tag or referrer listing followed. Registries give 100 to 10,000 entries a page.
pub const MAX_PAGES: u32 = 100;

/// Bytes of one page of a listing: an index is a manifest, and the specification lets registries refuse manifests
/// over 4 MiB (distribution-spec, "Pushing Manifests").
pub const MAX_PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// Tags of one repository returned; nightly builds over ten years make under 5,000.
pub const MAX_TAGS: usize = 100_000;

/// Referrers of one digest returned by [`crate::Client::referrers`]; further ones are reported as cut short.
pub const MAX_REFERRERS: usize = 4096;

/// Referrer manifests opened when evidence is gathered. A release leaves three to five; a pipeline that signs again
/// on every run for a year leaves under 400. One request and up to 4 MiB of manifest each.
pub const MAX_REFERRERS_CONSIDERED: usize = 512;

/// How deep evidence about evidence is followed: a signature on a bill on an image is two.
pub const MAX_REFERRER_DEPTH: usize = 4;

/// Files of a layout folder that are looked into for manifests about an image; `cosign save` does not list referrers in
/// `index.json`. The largest layouts seen, with twenty images of thirty layers, have about 1,000.
pub const MAX_LAYOUT_FILES: usize = 10_000;

/// Layers of one evidence manifest that are opened: each is one signature or attestation. cosign's own cap on the
/// signatures of an image is 1,000 (CVE-2023-46737); real `.sig` images have under 20.
pub const MAX_EVIDENCE_LAYERS: usize = 256;

/// Bytes of evidence held for one digest, all pieces together: four of the largest, twenty SBOMs of 6 MB.
pub const MAX_EVIDENCE_TOTAL_BYTES: u64 = 128 * 1024 * 1024;

/// Bytes of evidence that a gathering takes without waiting for a place ([`crate::Space`]): signatures and provenance have
/// kilobytes, the bill of a usual image under a megabyte.
pub const SMALL_EVIDENCE_BYTES: u64 = 1024 * 1024;

/// Requests in flight when evidence of one digest is gathered; browsers use 6 a host, containerd 3 for layers.
pub const EVIDENCE_CONCURRENCY: usize = 16;

/// Blobs in flight when an image is copied; Docker's client uses 5 for uploads.
pub const COPY_CONCURRENCY: usize = 4;

/// Children of an index, nested ones included, that a copy follows; the largest official images have about 30.
pub const MAX_INDEX_CHILDREN: usize = 512;

/// How deep indexes may nest; nothing known nests more than once.
pub const MAX_INDEX_DEPTH: usize = 4;

/// Redirects followed for one request. Registries use one, to their storage; `registry.k8s.io` two.
pub const MAX_REDIRECTS: u32 = 5;

/// Bytes of an error body read for its message.
pub const MAX_ERROR_BODY_BYTES: usize = 16 * 1024;

/// Bytes of a token server's answer; tokens of Docker Hub are about 3 KiB, of ECR and Azure under 10 KiB.
pub const MAX_TOKEN_BODY_BYTES: u64 = 64 * 1024;

/// Bytes of one `WWW-Authenticate` value that are looked at; real ones have under 300.
pub const MAX_CHALLENGE_BYTES: usize = 4096;

/// Tokens kept; one for each repository and action. Past this the cache starts afresh.
pub const MAX_CACHED_TOKENS: usize = 4096;

/// Authentication attempts for one request: without, with what is cached, with a fresh token.
pub const MAX_AUTH_ROUNDS: u32 = 2;

/// Requests repeated because the registry asked to slow down.
pub const MAX_THROTTLE_RETRIES: u32 = 5;

/// The longest that a registry is left alone after it said "later": Docker Hub's windows are hours, and an answer that
/// means a day, by a fault or on purpose, must not outlast whoever could mend it.
pub const MAX_HOLD: Duration = Duration::from_secs(300);

/// Requests (GET and HEAD only) repeated after 500, 502 or 504.
pub const MAX_SERVER_ERROR_RETRIES: u32 = 2;

/// Times that the list behind a fallback tag is written before giving up. With eight writers at once the slowest
/// needed 3 in our test, on either registry.
pub const MAX_FALLBACK_WRITES: u32 = 16;

/// Bytes of an authentication file; the largest seen, with tokens for twenty registries, have under 100 KiB.
pub const MAX_AUTH_FILE_BYTES: u64 = 1024 * 1024;

/// How long a login waits for another one to finish: twice what a credential helper may take.
pub const LOGIN_LOCK_TIME: Duration = Duration::from_secs(30);

/// Bytes that a credential helper may print; the protocol's answer is one JSON object with a token.
pub const MAX_HELPER_OUTPUT_BYTES: u64 = 64 * 1024;

/// How long a credential helper may take; cloud helpers fetch a token over the network in one to three seconds.
pub const HELPER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a helper's answer is used before it is asked again; the shortest-lived cloud token lives 15 minutes.
pub const HELPER_CACHE_TIME: Duration = Duration::from_secs(300);

/// Pieces of a blob waiting for a blocking reader; a piece is at most one read of the connection, under 512 KiB.
pub const BLOB_READER_PIECES: usize = 8;

/// Bytes of a `docker save` archive's or layout's small documents (`manifest.json`, `index.json`, `oci-layout`).
pub const MAX_LOCAL_DOCUMENT_BYTES: u64 = 4 * 1024 * 1024;

/// Entries of a `docker save` archive: three a layer, 127 layers an image, tens of images.
pub const MAX_ARCHIVE_ENTRIES: usize = 100_000;

/// Bytes of a compressed archive when unpacked: beyond any image, short of a disk of zeros.
pub const MAX_ARCHIVE_BYTES: u64 = 256 * 1024 * 1024 * 1024;

/// How long to wait for the other side, at each stage.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// From the request until the head of the answer.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub idle: Duration,
    /// For a whole document (manifest, listing, token, piece of evidence), retries not included.
    pub document: Duration,
    /// Waiting that throttling may add to one request, all retries together.
    pub throttle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            document: Duration::from_secs(60),
            throttle: Duration::from_secs(30),
        }
    }
}
