//! The registry over HTTP, as clients meet it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its output is shown then"
)]

mod access;
mod manifests;
mod peers;
mod restart;
mod uploads;
mod world;
