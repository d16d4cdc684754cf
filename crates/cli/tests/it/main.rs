//! The real binary, as a person or a script runs it: exit codes, words and streams, against servers on loopback and
//! against other people's programs.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed, helpers included; what is skipped and how long it took is said aloud"
)]

mod bad_input;
mod blobs;
mod certified;
mod cluster;
mod concurrency;
mod cosign_flags;
mod cosign_name;
mod demo;
mod documents;
mod fallback;
mod fixtures;
mod folders;
mod from_cosign;
mod hanging;
mod holding;
mod inside;
mod junk;
mod key_places;
mod keyless;
mod keys;
mod kms;
mod kubectl;
mod layer_cache;
mod matrix;
mod peers;
mod policies;
mod pushing;
mod releasing;
mod scanning;
mod trusting;
mod up;
mod updating;
mod verifying;
mod version_order;
mod world;
