//! Every target in one program, chosen by `PROOFMARK_FUZZ`: what `fuzz/run` builds, since linking 35 programs takes longer
//! than a smoke run. With `PROOFMARK_FUZZ=seed` it writes the seeds and ends.

#![no_main]

use std::sync::OnceLock;

use proofmark_fuzz::{TARGETS, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("PROOFMARK_FUZZ").unwrap_or_default();
        if name == "seed" {
            proofmark_fuzz::seed::write().expect("seeds can be written");
            // Before the fuzzer begins: it takes a later exit for a finding.
            std::process::exit(0);
        }
        let found = TARGETS.iter().find(|(target, _)| *target == name);
        let (_, target) = found.unwrap_or_else(|| panic!("PROOFMARK_FUZZ={name} is no target"));
        CHOSEN.get_or_init(|| *target);
    },
    |data: &[u8]| CHOSEN.get().expect("chosen above")(data)
);
