//! The npm package: the engine and the TypeScript face, assembled apart and moved into place whole.

use std::fs;
use std::path::Path;

use crate::failure::{AtPath, Result};
use crate::process::must;
use crate::stamp::{Stamp, copy_tree, empty_folder, fresh, keep};
use crate::wasm::Engine;
use crate::workspace::Workspace;
use crate::{toolchain, wasm};

/// Changes when this file makes something else of the same inputs.
const STEP: &str = "package 1";

/// What is in `pkg/` but is no source of the package.
const NOT_SOURCES: [&str; 3] = ["node_modules", "dist", ".build"];

/// Builds `pkg/dist` unless it is there, made of these very inputs.
pub fn build(work: &Workspace) -> Result<()> {
    let engine = wasm::build(work)?;
    let stamp = stamp(work, &engine)?;
    let dist = work.dist();
    if !fresh(&record(work), &stamp, &[dist.join("ranklet.wasm"), dist.join("node.js"), dist.join("browser.js")]) {
        assemble(work, &engine)?;
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
    let stamp = stamp(work, &wasm::build(work)?)?;
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

fn record(work: &Workspace) -> std::path::PathBuf {
    work.pkg().join(".build/stamp")
}

fn stamp(work: &Workspace, engine: &Engine) -> Result<String> {
    let mut stamp = Stamp::of(STEP).path_without(&work.pkg(), &NOT_SOURCES)?;
    for file in engine.files() {
        stamp = stamp.path(file)?;
    }
    Ok(stamp.value())
}

/// Runs the face's own build on a copy of its sources, so that a failure leaves the last whole package where it is.
/// The copy lies inside `pkg/`, where its tools find their `node_modules` one folder up.
fn assemble(work: &Workspace, engine: &Engine) -> Result<()> {
    install(&work.pkg(), "pkg")?;
    let build = work.pkg().join(".build");
    empty_folder(&build)?;
    copy_tree(&work.pkg(), &build, &NOT_SOURCES)?;
    let next = build.join("dist");
    fs::create_dir_all(&next).at(&next)?;
    for file in engine.files() {
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
