//! The ways into ranklet, each a function of any bytes that must return: no panic, no hang, no allocation over the caps.
//!
//! A target that only threw bytes at a digest would test the digest. So each starts behind what bytes alone do not pass: the digest
//! is made right again, the rest of a file is there, or a compiled bundle is changed number by number.

#![forbid(unsafe_code)]

mod bundles;
mod mutate;
#[cfg(feature = "compile")]
mod onnx;
mod plans;
pub mod seeds;
mod sessions;

use std::sync::OnceLock;

pub use bundles::{bundle_bytes, header_parses, manifest_json, parses, with_manifest};
pub use mutate::{number, number_of_a_seed};
#[cfg(feature = "compile")]
pub use onnx::{compile_onnx, forgive_the_reader};
pub use plans::plan_execution;
pub use sessions::{event_stream, request_json};

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target that is built.
pub const TARGETS: &[Target] = &[
    ("bundle_bytes", bundle_bytes),
    ("manifest_json", manifest_json),
    ("request_json", request_json),
    ("event_stream", event_stream),
    ("plan_execution", plan_execution),
    #[cfg(feature = "compile")]
    ("compile_onnx", compile_onnx),
];

/// A bug that the fuzzer must find: `cargo xtask fuzz --plant`, which sets the variable. No seed meets the condition, and a few
/// mutations do.
fn planted(condition: impl FnOnce() -> bool) {
    static PLANTED: OnceLock<bool> = OnceLock::new();
    if *PLANTED.get_or_init(|| std::env::var_os("RANKLET_FUZZ_PLANT").is_some()) {
        assert!(!condition(), "the planted bug");
    }
}
