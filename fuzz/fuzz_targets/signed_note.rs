//! `signed_note` of `src/targets.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proofmark_fuzz::signed_note(data));
