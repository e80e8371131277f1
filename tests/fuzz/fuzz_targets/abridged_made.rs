#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hrpyc_fuzz::checks::abridged_made(input));
