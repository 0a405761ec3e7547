#![no_main]
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| -> Corpus {
    ranklet_fuzz::manifest_json(data);
    if ranklet_fuzz::parses(data) { Corpus::Keep } else { Corpus::Reject }
});
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    ranklet_fuzz::number_of_a_seed("manifest_json", data, size, max_size, seed)
        .unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
