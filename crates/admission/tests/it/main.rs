//! The webhook as an API server sees it: over HTTPS, with a real registry behind it and images that are really signed.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, helpers included"
)]

mod bad_input;
mod cluster;
mod decision_log;
mod decisions;
mod exceptions;
mod fixtures;
mod gatekeeper;
mod kept;
mod kept_trust;
mod object_policies;
mod pinning;
mod recorded;
mod tag_policies;
mod transport;
mod unreachable;
mod world;
