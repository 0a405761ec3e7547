//! ONNX files.

use crate::planted;
use ranklet::bundle::Bundle;
use ranklet::compile::{Storage, compile_onnx as compile};
use ranklet::scorer::Scorer;
use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;

/// Compiles a file: it is refused with words, or the bundle opens.
///
/// tract reads the protobuf and is a witness; it panics on some graphs, and that is its own affair on a build machine. A panic
/// in a file of ours is a bug.
pub fn compile_onnx(data: &[u8]) {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        compile("fuzzed", data, &Default::default(), None, Storage::default(), None)
    }));
    let Ok(Ok((bytes, _))) = outcome else { return };
    let scorer = Scorer::open(&bytes).expect("what compiles opens");
    planted(|| {
        static SEEDS: OnceLock<Vec<String>> = OnceLock::new();
        let seeds =
            SEEDS.get_or_init(|| crate::seeds::of("compile_onnx").iter().map(|(_, seed)| digest(seed)).collect());
        scorer.engine.plan().steps.len() > 1 && !seeds.contains(&digest(data)) && Bundle::read(&bytes).is_ok()
    });
}

fn digest(bytes: &[u8]) -> String {
    ranklet::bundle::sha256_hex(bytes)
}

/// Lets panics of the protobuf's reader unwind instead of ending the fuzzer; those of ours still end it.
pub fn forgive_the_reader() {
    let crash = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let ours = info
            .location()
            .is_none_or(|place| !place.file().contains("/registry/") && !place.file().contains("/rustc/"));
        // The standard library's own lines (an index, an unwrap) are told by their caller's frame, where a name is there to see.
        let through = std::backtrace::Backtrace::force_capture().to_string();
        let by_tract = through
            .lines()
            .filter(|line| line.contains("::"))
            .find(|line| line.contains("tract_") || line.contains("ranklet::"));
        if ours || by_tract.is_some_and(|line| line.contains("ranklet::")) {
            crash(info);
        }
    }));
}
