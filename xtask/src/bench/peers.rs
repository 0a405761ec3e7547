//! The peers that the benchmark builds: tract as a native program, rten as wasm, and the bare loop's module. They stay in
//! `target/ranklet/peers`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{AtPath, Failure, Result};
use crate::process::must;
use crate::stamp::{Stamp, fresh, keep};
use crate::toolchain;
use crate::workspace::{Workspace, cargo};

/// What was built, or why a peer takes no part.
pub struct Peers {
    pub tract: std::result::Result<PathBuf, String>,
    pub rten: std::result::Result<PathBuf, String>,
}

/// The first time takes minutes: tract is large.
pub fn build(work: &Workspace) -> Peers {
    let native = build_one(work, "bench-tract", &["--release"], "");
    let wasm = build_one(
        work,
        "bench-rten",
        &["--profile", "wasm", "--target", "wasm32-unknown-unknown"],
        "-Ctarget-feature=+simd128",
    );
    Peers {
        tract: native.map(|target| target.join("release").join(format!("bench-tract{}", std::env::consts::EXE_SUFFIX))),
        rten: wasm.map(|target| target.join("wasm32-unknown-unknown/wasm/bench_rten.wasm")),
    }
}

/// Gives cargo's target folder. A peer that does not build here is left out and named, as one that cannot run a model.
fn build_one(work: &Workspace, name: &str, how: &[&str], flags: &str) -> std::result::Result<PathBuf, String> {
    let target = work.made().join("peers");
    let mut command = cargo();
    command
        .args(["build", "--locked", "--package", name])
        .args(how)
        .current_dir(work.root.join("xtask/bench/peers"))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", flags);
    let built = must(&mut command, name, "check that the crate registry can be reached");
    built.map(|_| target).map_err(|failure| {
        eprintln!("left out: {failure}");
        format!("does not build here: {failure}")
    })
}

/// The version of a crate that the peers' own lock file names.
pub fn version(work: &Workspace, name: &str) -> Result<String> {
    let path = work.root.join("xtask/bench/peers/Cargo.lock");
    let bad = |what: String| Failure::new(what, path.display(), "run `cargo update` beside it");
    let lock: toml::Table = fs::read_to_string(&path).at(&path)?.parse().map_err(|error| bad(format!("{error}")))?;
    let packages = lock.get("package").and_then(toml::Value::as_array).into_iter().flatten();
    let mut named = packages.filter(|package| package.get("name").and_then(toml::Value::as_str) == Some(name));
    named
        .next()
        .and_then(|package| package.get("version")?.as_str().map(str::to_owned))
        .ok_or_else(|| bad(format!("{name} is not locked")))
}

/// Assembles `tile.mjs`'s text into `tile.wasm` of the benchmark's folder.
pub fn tile(work: &Workspace, folder: &Path) -> Result<()> {
    let script = work.root.join("xtask/bench/tile.mjs");
    let module = folder.join("tile.wasm");
    let stamp = Stamp::of("bench tile 1").path(&script)?.value();
    let record = folder.join("tile.stamp");
    if fresh(&record, &stamp, std::slice::from_ref(&module)) {
        return Ok(());
    }
    let mut print = toolchain::node()?;
    print.args(["--input-type=module", "--eval", "console.log((await import(process.argv[1])).wat())"]).arg(&script);
    let text = must(&mut print, "the bare loop's text", "see its message above")?;
    let source = folder.join("tile.wat");
    fs::write(&source, text).at(&source)?;
    let assembler = toolchain::wasm_opt(work)?.with_file_name("wasm-as");
    if !assembler.is_file() {
        return Err(Failure::new("binaryen has no wasm-as", assembler.display(), "check xtask/tools/package.json"));
    }
    let mut assemble: Command = toolchain::node()?;
    assemble.arg(assembler).arg(&source).args(["--enable-simd", "-o"]).arg(&module);
    must(&mut assemble, "the bare loop", "see its message above")?;
    keep(&record, &stamp)
}
