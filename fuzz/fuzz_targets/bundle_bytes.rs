#![no_main]
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| -> Corpus {
    ranklet_fuzz::bundle_bytes(data);
    if ranklet_fuzz::header_parses(data) { Corpus::Keep } else { Corpus::Reject }
});
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    ranklet_fuzz::number_of_a_seed("bundle_bytes", data, size, max_size, seed)
        .unwrap_or_else(|| fuzzer_mutate(data, size, max_size))
});
