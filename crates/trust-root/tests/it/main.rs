//! Whole updates against repositories that are made here, good ones and bad ones.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed, helpers included"
)]

mod advisories;
mod embedded;
mod homes;
mod updates;
mod world;
