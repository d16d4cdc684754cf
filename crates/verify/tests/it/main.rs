//! The verify room against what real programs wrote: every case of the fixtures, mutations of the good ones, and one
//! test for each advisory that this room must not repeat.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its fixtures from files, and a fixture that cannot be read is a failure"
)]

mod advisories;
mod cases;
mod certificates;
mod layout;
mod mutations;
mod world;
