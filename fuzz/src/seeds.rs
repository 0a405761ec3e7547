//! Seeds, as files that lie in the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a target's seeds lie.
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target)
}

/// A target's seeds by name, in order. Those of `compile_onnx` are the tests' own graphs.
pub fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = if target == "compile_onnx" { fixtures() } else { folder(target) };
    let read = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let wanted =
        |path: &PathBuf| target != "compile_onnx" || (small(path) && path.extension().is_some_and(|e| e == "onnx"));
    let mut paths: Vec<PathBuf> = read.filter_map(Result::ok).map(|entry| entry.path()).filter(wanted).collect();
    paths.sort();
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    };
    paths.iter().map(named).collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// A fuzzer learns little from a large file.
fn small(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() < 10_000)
}
