#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ranklet_fuzz::manifest_json(data));
