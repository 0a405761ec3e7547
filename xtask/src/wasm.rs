//! The page's module: rustc, panics silenced, wasm-bindgen, wasm-opt, and the glue wrapped into a factory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{AtPath, Failure, Result};
use crate::process::must;
use crate::stamp::{Stamp, empty_folder, fresh, keep};
use crate::variant::Variant;
use crate::workspace::{Workspace, cargo};
use crate::{glue, panics, toolchain};

/// Changes when this file makes something else of the same inputs.
const STEP: &str = "wasm 1";

/// What the engine's part of the package is made of.
pub struct Engine {
    pub wasm: PathBuf,
    pub script: PathBuf,
    pub types: PathBuf,
}

impl Engine {
    pub fn files(&self) -> [&Path; 3] {
        [&self.wasm, &self.script, &self.types]
    }
}

/// Builds the runtime in cargo's target folder; nothing is done that was done before.
pub fn build(work: &Workspace) -> Result<Engine> {
    let variant = Variant::runtime(&work.root)?;
    toolchain::wasm_target(work)?;
    let raw = compile(work, &variant)?;
    let home = work.made().join("engine");
    let engine = Engine {
        wasm: home.join(format!("{}.wasm", variant.name)),
        script: home.join("engine.js"),
        types: home.join("engine.d.ts"),
    };
    let stamp = Stamp::of(STEP)
        .path(&raw)?
        .path(&work.root.join("wasm-pack.toml"))?
        .path(&work.root.join("Cargo.lock"))?
        .path(&work.root.join("xtask/tools/package-lock.json"))?
        .path(&work.root.join("xtask/src/glue.rs"))?
        .path(&work.root.join("xtask/src/panics.rs"))?
        .value();
    let record = work.made().join("engine.stamp");
    if fresh(&record, &stamp, &engine.files().map(Path::to_path_buf)) {
        return Ok(engine);
    }
    let next = work.made().join("engine-next");
    empty_folder(&next)?;
    bind(work, &raw, &next)?;
    optimise(work, &variant, &next)?;
    wrap(&next)?;
    check(&next, &variant)?;
    if home.exists() {
        fs::remove_dir_all(&home).at(&home)?;
    }
    fs::rename(&next, &home).at(&home)?;
    keep(&record, &stamp)?;
    Ok(engine)
}

/// rustc's module, as it comes.
fn compile(work: &Workspace, variant: &Variant) -> Result<PathBuf> {
    // No path of this machine may stand in a panic's location: it would be shipped, and differ from clone to clone.
    let mut flags = vec![format!("-Ctarget-feature={}", variant.rustc_features())];
    flags.push(format!("--remap-path-prefix={}=ranklet", work.root.display()));
    for crates in registries() {
        flags.push(format!("--remap-path-prefix={}=", crates.display()));
    }
    let mut command = cargo();
    command
        .args(["rustc", "--package", "ranklet", "--lib", "--crate-type", "cdylib", "--profile", "wasm"])
        .args([
            "--target",
            "wasm32-unknown-unknown",
            "--no-default-features",
            "--features",
            &variant.features.join(","),
        ])
        .current_dir(&work.root)
        // The variant decides, not the caller's environment.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    must(&mut command, "ranklet for wasm", "mend the compiler's first error above")?;
    let built = work.target.join("wasm32-unknown-unknown/wasm/ranklet.wasm");
    if built.is_file() {
        return Ok(built);
    }
    Err(Failure::new("cargo left no wasm", built.display(), "check the profile `wasm` in Cargo.toml"))
}

/// The folders in which cargo unpacks crates, one a registry.
fn registries() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let sources = home.map(|home| home.join("registry/src"));
    let entries = sources.and_then(|folder| fs::read_dir(folder).ok());
    let mut found: Vec<PathBuf> = entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn bind(work: &Workspace, raw: &Path, next: &Path) -> Result<()> {
    let program = toolchain::wasm_bindgen(work)?;
    let module = fs::read(raw).at(raw)?;
    let silent = panics::silence(&module)
        .map_err(|what| Failure::new(what, raw.display(), "adapt xtask/src/panics.rs to this version of Rust"))?;
    let module = next.join("silent.wasm");
    fs::write(&module, silent).at(&module)?;
    let mut command = Command::new(program);
    command
        .args(["--target", "web", "--omit-default-module-path", "--out-name", "engine", "--out-dir"])
        .arg(next.join("bound"))
        .arg(&module);
    must(&mut command, "wasm-bindgen", "see its output above")?;
    fs::remove_file(&module).at(&module)
}

fn optimise(work: &Workspace, variant: &Variant, next: &Path) -> Result<()> {
    let program = toolchain::wasm_opt(work)?;
    let mut command = toolchain::node()?;
    command
        .arg(program)
        .arg(next.join("bound/engine_bg.wasm"))
        .arg("--mvp-features")
        .args(&variant.optimise)
        .args(variant.binaryen_flags())
        .args(["--strip-debug", "--strip-producers", "--strip-target-features", "-o"])
        .arg(next.join(format!("{}.wasm", variant.name)));
    must(&mut command, "wasm-opt", "see its output above").map(drop)
}

fn wrap(next: &Path) -> Result<()> {
    let mend = "adapt xtask/src/glue.rs to this version of wasm-bindgen";
    for (from, to, turn) in [
        ("engine.js", "engine.js", glue::wrap_script as fn(&str) -> std::result::Result<String, String>),
        ("engine.d.ts", "engine.d.ts", glue::wrap_types),
    ] {
        let path = next.join("bound").join(from);
        let text = fs::read_to_string(&path).at(&path)?;
        let wrapped = turn(&text).map_err(|what| Failure::new(what, path.display(), mend))?;
        let path = next.join(to);
        fs::write(&path, wrapped).at(&path)?;
    }
    let bound = next.join("bound");
    fs::remove_dir_all(&bound).at(&bound)
}

/// Loads what was made in Node: the module compiles there, and two instances share no memory.
fn check(next: &Path, variant: &Variant) -> Result<()> {
    let script = format!(
        "import {{ readFileSync }} from 'node:fs';\n\
         const {{ makeInstance }} = await import('./engine.js');\n\
         const module = new WebAssembly.Module(readFileSync('./{}.wasm'));\n\
         const [a, b] = [makeInstance(module), makeInstance(module)];\n\
         if (a.Engine === b.Engine) throw new Error('two instances share their classes');\n",
        variant.name
    );
    let mut command = toolchain::node()?;
    command.args(["--input-type=module", "--eval", &script]).current_dir(next);
    // The folder has no package.json: the glue is a module all the same.
    let package = next.join("package.json");
    fs::write(&package, "{\"type\":\"module\"}").at(&package)?;
    must(&mut command, "the module loads in Node", "check wasm-pack.toml's target features")?;
    fs::remove_file(&package).at(&package)
}
