//! The crate from outside: comparison vectors, databases made of real records, and what is found with them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which fail by panicking"
)]

mod database;
mod gate;
mod matching;
mod order;
mod results;
mod world;
