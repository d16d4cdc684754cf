//! Every target in one program, chosen by `PROOFMARK_FUZZ`: what `fuzz/run` builds, since linking 35 programs takes longer
//! than a smoke run. With `PROOFMARK_FUZZ=seed` it writes the seeds and ends.

#![no_main]

use std::sync::OnceLock;

use proofmark_fuzz::{TARGETS, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("PROOFMARK_FUZZ").unwrap_or_default();
        if name == "seed" {
            proofmark_fuzz::seed::write().expect("seeds can be written");
            std::process::exit(0);
        }
        let found = TARGETS.iter().find(|(target, _)| *target == name);
        found.unwrap_or_else(|| panic!("PROOFMARK_FUZZ={name} is no target")).1
    });
    chosen(data);
});
