//! `image_reference` of `src/targets.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proofmark_fuzz::image_reference(data));
