//! Checks of the house that no other tool makes: `cargo run -p xtask -- tidy`.

mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [verb] if verb == "tidy" => tidy::run(),
        _ => {
            tidy::say("usage: cargo run -p xtask -- tidy");
            ExitCode::from(2)
        }
    }
}
