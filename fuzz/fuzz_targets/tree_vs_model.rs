#![no_main]
#![allow(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vivarium_fuzz::tree_vs_model::run(data));
