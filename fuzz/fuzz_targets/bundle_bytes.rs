#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ranklet_fuzz::bundle_bytes(data));
