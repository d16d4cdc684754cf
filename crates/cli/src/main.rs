//! The `proofmark` binary.
fn main() {}
