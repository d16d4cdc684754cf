//! Writes `corpus/<target>/` from the fixtures.

fn main() -> std::io::Result<()> {
    proofmark_fuzz::seed::write()
}
