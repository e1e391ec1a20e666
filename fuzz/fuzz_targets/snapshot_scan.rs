#![no_main]
#![allow(unsafe_code)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vivarium_fuzz::snapshot_scan::run(data));
