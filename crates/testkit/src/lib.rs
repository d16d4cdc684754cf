//! What tests need around them: the repository's fixtures and a registry that serves them, images made in memory, the
//! real programs to compare with, and a clean environment to run programs in.
//!
//! For tests only: it panics where a test would, and nothing that ships depends on it. It knows the lower crates alone,
//! so that any crate can use it in its tests.

pub mod command;
pub mod https;
pub mod images;
pub mod key_services;
pub mod kubernetes;
pub mod layouts;
pub mod manifest;
pub mod peers;
