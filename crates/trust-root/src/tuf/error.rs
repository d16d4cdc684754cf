//! Why metadata or a target is not believed.

use proofmark_evidence::json::JsonError;
use proofmark_types::UnixTime;
use thiserror::Error;

use super::canonical::CanonicalError;
use super::repository::FetchError;
use super::store::StoreError;

/// Why an update or a look-up failed. What was accepted before stays accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TufError {
    /// Not JSON, too large, or with a key twice.
    #[error("the metadata of \"{role}\" cannot be read")]
    Json {
        /// Whose metadata.
        role: String,
        /// Why.
        #[source]
        source: JsonError,
    },
    /// A field is missing, of another type, or has a value that it must not have.
    #[error("the metadata of \"{role}\" is malformed: {reason}")]
    Malformed {
        /// Whose metadata.
        role: String,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be signed, so it was not.
    #[error("the metadata of \"{role}\" has no canonical form")]
    Canonical {
        /// Whose metadata.
        role: String,
        /// Why.
        #[source]
        source: CanonicalError,
    },
    /// Metadata of another role, signed by a key that may sign both.
    #[error("expected metadata of type \"{expected}\", this is \"{seen}\"")]
    Type {
        /// The type that was asked for.
        expected: &'static str,
        /// What it says.
        seen: String,
    },
    /// A threshold that no signature is needed for (CVE-2026-23992).
    #[error("the threshold of \"{role}\" is 0, expected at least 1")]
    ThresholdZero {
        /// Whose threshold.
        role: String,
    },
    /// One key named twice where each must be named once.
    #[error("\"{role}\" names the key {keyid} twice")]
    DuplicateKey {
        /// In whose keys or signatures.
        role: String,
        /// The key.
        keyid: String,
    },
    /// Too few valid signatures of different keys.
    #[error("\"{role}\" needs valid signatures of {needed} of its keys, {seen} found")]
    Threshold {
        /// Whose metadata.
        role: String,
        /// How many are needed.
        needed: u64,
        /// How many there are.
        seen: u64,
    },
    /// Another version than the one that was announced.
    #[error("expected version {expected} of \"{role}\", this is version {seen}")]
    Version {
        /// Whose metadata.
        role: String,
        /// The announced one.
        expected: u64,
        /// What it says.
        seen: u64,
    },
    /// An older version than one seen before (CVE-2022-29173).
    #[error("\"{role}\" goes back from version {trusted} to {seen}")]
    Rollback {
        /// Whose version.
        role: String,
        /// The one seen before.
        trusted: u64,
        /// The one offered.
        seen: u64,
    },
    /// A role that was listed is listed no more.
    #[error("\"{role}\" was in the snapshot and is gone")]
    RoleRemoved {
        /// The role.
        role: String,
    },
    /// Too old: a mirror that stopped, or one that is kept from showing what is new.
    #[error("the metadata of \"{role}\" expired at {expires}, it is {now}")]
    Expired {
        /// Whose metadata.
        role: String,
        /// When.
        expires: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// Another length than announced.
    #[error("{file} has {seen} bytes, expected {expected}")]
    Length {
        /// Which file.
        file: String,
        /// The announced length.
        expected: u64,
        /// Its length.
        seen: u64,
    },
    /// Another content than announced.
    #[error("{file} does not have the {algorithm} that was announced")]
    Hash {
        /// Which file.
        file: String,
        /// The hash that differs.
        algorithm: &'static str,
    },
    /// No hash that is known here: nothing says what the content is to be.
    #[error("{file} is announced without a SHA-256 or SHA-512")]
    NoKnownHash {
        /// Which file.
        file: String,
    },
    /// It must be there and is not.
    #[error("the repository has no {file}")]
    Missing {
        /// The file.
        file: String,
    },
    /// A delegated role that the snapshot does not list.
    #[error("the delegated role \"{role}\" is not in the snapshot")]
    NotInSnapshot {
        /// The role.
        role: String,
    },
    /// No role that may speak for this path lists it.
    #[error("no role lists the target \"{path}\"")]
    NoTarget {
        /// The path.
        path: String,
    },
    /// A path that leads elsewhere (CVE-2026-24137).
    #[error("\"{path}\" is no target path: it has an empty, \".\" or \"..\" segment")]
    TargetPath {
        /// The path.
        path: String,
    },
    /// A target larger than the caller reads.
    #[error("the target \"{path}\" is announced with {seen} bytes, at most {limit} are read")]
    TargetTooLarge {
        /// The path.
        path: String,
        /// What is read at most.
        limit: u64,
        /// What is announced.
        seen: u64,
    },
    /// The search met more roles than it may.
    #[error("the search for \"{path}\" met more than {limit} delegated roles")]
    TooManyRoles {
        /// The path.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// The repository did not answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file here.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TufError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json { source, .. } => source.code(),
            Self::Malformed { .. } | Self::Canonical { .. } => "tuf-malformed",
            Self::Type { .. } => "tuf-type",
            Self::ThresholdZero { .. } => "tuf-threshold-zero",
            Self::DuplicateKey { .. } => "tuf-duplicate-key",
            Self::Threshold { .. } => "tuf-threshold",
            Self::Version { .. } => "tuf-version",
            Self::Rollback { .. } => "tuf-rollback",
            Self::RoleRemoved { .. } => "tuf-role-removed",
            Self::Expired { .. } => "tuf-expired",
            Self::Length { .. } => "tuf-length",
            Self::Hash { .. } | Self::NoKnownHash { .. } => "tuf-hash",
            Self::Missing { .. } => "tuf-missing",
            Self::NotInSnapshot { .. } => "tuf-not-in-snapshot",
            Self::NoTarget { .. } => "tuf-no-target",
            Self::TargetPath { .. } => "tuf-target-path",
            Self::TargetTooLarge { .. } => "tuf-target-too-large",
            Self::TooManyRoles { .. } => "tuf-too-many-roles",
            Self::Fetch(error) => error.code(),
            Self::Store(_) => "tuf-store",
        }
    }
}
