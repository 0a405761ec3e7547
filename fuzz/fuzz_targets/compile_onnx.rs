#![no_main]
// The hook that makes a panic a crash has to let tract's own ones pass.
libfuzzer_sys::fuzz_target!(init: ranklet_fuzz::forgive_the_reader(), |data: &[u8]| ranklet_fuzz::compile_onnx(data));
