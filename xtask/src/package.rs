//! The npm package: the engine and the TypeScript face, assembled apart and moved into place whole.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{AtPath, Result};
use crate::process::must;
use crate::stamp::{Stamp, copy_tree, empty_folder, fresh, keep};
use crate::variant::Variant;
use crate::wasm::Engine;
use crate::workspace::Workspace;
use crate::{toolchain, wasm};

/// Changes when this file makes something else of the same inputs.
const STEP: &str = "package 2";

/// What is in `pkg/` but is no source of the package.
const NOT_SOURCES: [&str; 4] = ["node_modules", "dist", ".build", "size.json"];

/// Builds `pkg/dist` unless it is there, made of these very inputs: what a page loads, and of the other variants those
/// that an earlier build made of the present sources.
pub fn build(work: &Workspace) -> Result<()> {
    with(work, &engines(work, |variant| !variant.on_demand)?)
}

/// The same with every variant, as the package is released.
pub fn build_whole(work: &Workspace) -> Result<()> {
    with(work, &engines(work, |_| true)?)
}

fn engines(work: &Workspace, asked: impl Fn(&Variant) -> bool) -> Result<Vec<Engine>> {
    let mut engines = Vec::new();
    for variant in Variant::all(&work.root)? {
        if asked(&variant) {
            engines.push(wasm::build(work, &variant)?);
        } else {
            engines.extend(wasm::built_before(work, &variant)?);
        }
    }
    Ok(engines)
}

fn with(work: &Workspace, engines: &[Engine]) -> Result<()> {
    let stamp = stamp(work, engines)?;
    let outputs: Vec<PathBuf> = engines
        .iter()
        .filter_map(|engine| engine.wasm.file_name())
        .chain(["node.js", "browser.js"].map(OsStr::new))
        .map(|name| work.dist().join(name))
        .collect();
    if !fresh(&record(work), &stamp, &outputs) {
        assemble(work, engines)?;
        keep(&record(work), &stamp)?;
    }
    Ok(())
}

/// Whether all that is missing of an otherwise fresh package is the wasm file: somebody took it away to see what happens.
pub fn lacks_only_its_wasm(work: &Workspace) -> Result<bool> {
    let dist = work.dist();
    if dist.join("ranklet.wasm").exists() || !dist.join("node.js").exists() {
        return Ok(false);
    }
    let stamp = stamp(work, &engines(work, |variant| !variant.on_demand)?)?;
    Ok(fresh(&record(work), &stamp, &[dist.join("node.js"), dist.join("browser.js")]))
}

/// The dependencies of a JavaScript folder, installed from its lock file when they are missing or another file's.
pub fn install(folder: &Path, name: &str) -> Result<()> {
    let stamp = Stamp::of("npm ci").path(&folder.join("package-lock.json"))?.value();
    let record = folder.join("node_modules/.ranklet-lock");
    if fresh(&record, &stamp, &[]) {
        return Ok(());
    }
    let mut command = toolchain::npm()?;
    command.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder);
    must(&mut command, &format!("npm ci in {name}"), "check that the npm registry can be reached")?;
    keep(&record, &stamp)
}

fn record(work: &Workspace) -> PathBuf {
    work.pkg().join(".build/stamp")
}

fn stamp(work: &Workspace, engines: &[Engine]) -> Result<String> {
    let mut stamp = Stamp::of(STEP).path_without(&work.pkg(), &NOT_SOURCES)?;
    for file in engines.iter().flat_map(Engine::files) {
        stamp = stamp.path(file)?;
    }
    Ok(stamp.value())
}

/// Runs the face's own build on a copy of its sources, so that a failure leaves the last whole package where it is.
/// The copy lies inside `pkg/`, where its tools find their `node_modules` one folder up.
fn assemble(work: &Workspace, engines: &[Engine]) -> Result<()> {
    install(&work.pkg(), "pkg")?;
    let build = work.pkg().join(".build");
    empty_folder(&build)?;
    copy_tree(&work.pkg(), &build, &NOT_SOURCES)?;
    let next = build.join("dist");
    fs::create_dir_all(&next).at(&next)?;
    for file in engines.iter().flat_map(Engine::files) {
        let target = next.join(file.file_name().unwrap_or_default());
        fs::copy(file, &target).at(&target)?;
    }
    let mut command = toolchain::npm()?;
    command.args(["run", "build"]).current_dir(&build);
    must(&mut command, "the package's TypeScript", "mend the first error above, in pkg/src")?;
    let dist = work.dist();
    if dist.exists() {
        fs::remove_dir_all(&dist).at(&dist)?;
    }
    fs::rename(&next, &dist).at(&dist)?;
    empty_folder(&build)
}
