//! `layer_listing` of `src/inside.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proofmark_fuzz::layer_listing(data));
