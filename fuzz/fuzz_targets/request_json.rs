#![no_main]
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| ranklet_fuzz::request_json(data));
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    ranklet_fuzz::number(data, size, max_size, seed).unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
