//! The verify room against what real programs wrote: every case of the fixtures, mutations of the good ones, and one
//! test for each advisory that this room must not repeat.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::print_stderr,
    clippy::large_enum_variant,
    reason = "tables of cases are long and their types are spelt once; a test reads its fixtures from files, and a fixture that cannot be read is a failure; how many changes were tried is said aloud"
)]

mod advisories;
mod cases;
mod certificates;
mod keys;
mod layout;
mod mutations;
mod own_authority;
mod random;
mod reasons;
mod shapes;
mod tables;
mod trust_roots;
mod world;
