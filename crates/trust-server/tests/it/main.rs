//! The trust services as their clients see them: over HTTP, killed under load, and with real peers.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test binary: its helpers fail the test, and its figures go to the person who runs it"
)]

mod api;
mod issuers;
mod kill;
mod peers;
mod world;
