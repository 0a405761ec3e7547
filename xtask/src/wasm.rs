//! A module of the package: rustc, panics silenced, wasm-bindgen, wasm-opt, and the glue wrapped into a factory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{AtPath, Failure, Result};
use crate::process::must;
use crate::stamp::{Stamp, empty_folder, fresh, keep};
use crate::variant::Variant;
use crate::workspace::{Workspace, cargo};
use crate::{arrange, glue, names, panics, size, toolchain};

/// Changes when this file makes something else of the same inputs.
const STEP: &str = "wasm 2";

/// What one variant's part of the package is made of.
pub struct Engine {
    pub wasm: PathBuf,
    pub script: PathBuf,
    pub types: PathBuf,
}

impl Engine {
    fn of(variant: &Variant, home: &Path) -> Self {
        let file = |end: &str| home.join(format!("{}.{end}", variant.name));
        Self { wasm: file("wasm"), script: file("js"), types: file("d.ts") }
    }

    pub fn files(&self) -> [&Path; 3] {
        [&self.wasm, &self.script, &self.types]
    }
}

/// Where a variant's finished files and what they were made of lie.
fn home(work: &Workspace, variant: &Variant) -> (PathBuf, PathBuf) {
    let made = work.made().join("engines");
    (made.join(&variant.name), made.join(format!("{}.stamp", variant.name)))
}

/// Builds a variant in cargo's target folder; nothing is done that was done before.
pub fn build(work: &Workspace, variant: &Variant) -> Result<Engine> {
    toolchain::wasm_target(work)?;
    // Before cargo reads them: what is written while it runs is no part of what it makes.
    let sources = sources(work, variant)?;
    let raw = compile(work, variant)?;
    let (home, record) = home(work, variant);
    let engine = Engine::of(variant, &home);
    let stamp = tools(work, variant)?.path(&raw)?.value();
    if !fresh(&record, &stamp, &engine.files().map(Path::to_path_buf)) {
        let next = home.with_extension("next");
        empty_folder(&next)?;
        bind(work, variant, &raw, &next)?;
        optimise(work, variant, &next)?;
        wrap(variant, &next)?;
        check(variant, &next)?;
        if home.exists() {
            fs::remove_dir_all(&home).at(&home)?;
        }
        fs::rename(&next, &home).at(&home)?;
        keep(&record, &stamp)?;
    }
    keep(&record.with_extension("sources"), &sources)?;
    Ok(engine)
}

/// A variant that an earlier build made of these very sources, if it did: it belongs to the package though nobody asks
/// for it this time.
pub fn built_before(work: &Workspace, variant: &Variant) -> Result<Option<Engine>> {
    let (home, record) = home(work, variant);
    let engine = Engine::of(variant, &home);
    let files = engine.files().map(Path::to_path_buf);
    Ok(fresh(&record.with_extension("sources"), &sources(work, variant)?, &files).then_some(engine))
}

/// What turns rustc's module into the package's.
fn tools(work: &Workspace, variant: &Variant) -> Result<Stamp> {
    Stamp::of(STEP)
        .text(&format!("{variant:?}"))
        .path(&work.root.join("Cargo.lock"))?
        .path(&work.root.join("xtask/tools/package-lock.json"))?
        .path(&work.root.join("xtask/src/glue.rs"))?
        .path(&work.root.join("xtask/src/slim.rs"))?
        .path(&work.root.join("xtask/src/panics.rs"))?
        .path(&work.root.join("xtask/src/arrange.rs"))?
        .path(&work.root.join("xtask/src/names.rs"))
}

/// All that a variant is made of, cargo not asked.
fn sources(work: &Workspace, variant: &Variant) -> Result<String> {
    let kernels = work.root.join("kernels");
    Ok(tools(work, variant)?
        .path_without(&work.root.join("src"), &["bin"])?
        .path(&kernels.join("src"))?
        .path(&kernels.join("Cargo.toml"))?
        .path(&work.root.join("Cargo.toml"))?
        .path(&work.root.join("rust-toolchain.toml"))?
        .value())
}

/// rustc's module, as it comes.
fn compile(work: &Workspace, variant: &Variant) -> Result<PathBuf> {
    // No path of this machine may stand in a panic's location: it would be shipped, and differ from clone to clone.
    let mut flags = vec![format!("-Ctarget-feature={}", variant.rustc_features())];
    flags.push(format!("--remap-path-prefix={}=ranklet", work.root.display()));
    for crates in registries() {
        flags.push(format!("--remap-path-prefix={}=", crates.display()));
    }
    flags.extend(variant.rustc_cfg());
    flags.extend(variant.rustc_llvm());
    let mut command = cargo();
    command
        .args(["rustc", "--package", "ranklet", "--lib", "--crate-type", "cdylib", "--profile", &variant.profile])
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
    must(&mut command, &format!("{}.wasm", variant.name), "mend the compiler's first error above")?;
    let built = work.target.join("wasm32-unknown-unknown").join(&variant.profile).join("ranklet.wasm");
    if built.is_file() {
        return Ok(built);
    }
    let mend = format!("check the profile `{}` in Cargo.toml", variant.profile);
    Err(Failure::new("cargo left no wasm", built.display(), mend))
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

fn bind(work: &Workspace, variant: &Variant, raw: &Path, next: &Path) -> Result<()> {
    let program = toolchain::wasm_bindgen(work)?;
    let mut module = fs::read(raw).at(raw)?;
    if !variant.words_of_panics {
        module = panics::silence(&module)
            .map_err(|what| Failure::new(what, raw.display(), "adapt xtask/src/panics.rs to this version of Rust"))?;
    }
    let given = next.join("given.wasm");
    fs::write(&given, module).at(&given)?;
    let mut command = Command::new(program);
    command
        .args(["--target", "web", "--omit-default-module-path", "--out-name", &variant.name, "--out-dir"])
        .arg(next.join("bound"))
        .arg(&given);
    must(&mut command, "wasm-bindgen", "see its output above")?;
    fs::remove_file(&given).at(&given)?;
    let paths = ["_bg.wasm", ".js"].map(|end| next.join(format!("bound/{}{end}", variant.name)));
    let (mut module, mut script) = (fs::read(&paths[0]).at(&paths[0])?, fs::read(&paths[1]).at(&paths[1])?);
    glue::number_hashes([&mut module, &mut script]);
    fs::write(&paths[0], module).at(&paths[0])?;
    fs::write(&paths[1], script).at(&paths[1])
}

fn optimise(work: &Workspace, variant: &Variant, next: &Path) -> Result<()> {
    let program = toolchain::wasm_opt(work)?;
    let mut command = toolchain::node()?;
    command
        .arg(program)
        .arg(next.join(format!("bound/{}_bg.wasm", variant.name)))
        .arg("--mvp-features")
        .args(&variant.optimise)
        .args(variant.binaryen_flags())
        .args(["--strip-debug", "--strip-producers", "--strip-target-features", "-o"])
        .arg(next.join(format!("{}.wasm", variant.name)));
    must(&mut command, "wasm-opt", "see its output above")?;
    if variant.arrange {
        let path = next.join(format!("{}.wasm", variant.name));
        let arranged = arrange::arrange(&fs::read(&path).at(&path)?, size::brotli).map_err(|what| {
            Failure::new(what, path.display(), "adapt xtask/src/arrange.rs to this version of binaryen")
        })?;
        fs::write(&path, arranged).at(&path)?;
    }
    Ok(())
}

fn wrap(variant: &Variant, next: &Path) -> Result<()> {
    let mend = "adapt xtask/src/glue.rs to this version of wasm-bindgen";
    for (end, turn) in
        [("js", glue::wrap_script as fn(&str, bool) -> std::result::Result<String, String>), ("d.ts", glue::wrap_types)]
    {
        let name = format!("{}.{end}", variant.name);
        let path = next.join("bound").join(&name);
        let text = fs::read_to_string(&path).at(&path)?;
        let wrapped =
            turn(&text, variant.instantiate_later).map_err(|what| Failure::new(what, path.display(), mend))?;
        let path = next.join(name);
        fs::write(&path, wrapped).at(&path)?;
    }
    if variant.arrange {
        let [module, script] = ["wasm", "js"].map(|end| next.join(format!("{}.{end}", variant.name)));
        let (bytes, text) = (fs::read(&module).at(&module)?, fs::read_to_string(&script).at(&script)?);
        let (bytes, text) = names::shorten(&bytes, &text).map_err(|what| Failure::new(what, script.display(), mend))?;
        fs::write(&module, bytes).at(&module)?;
        fs::write(&script, text).at(&script)?;
    }
    let bound = next.join("bound");
    fs::remove_dir_all(&bound).at(&bound)
}

/// Loads what was made in Node: the module compiles there, and two instances share no memory.
fn check(variant: &Variant, next: &Path) -> Result<()> {
    let name = &variant.name;
    let script = format!(
        "import {{ readFileSync }} from 'node:fs';\n\
         const {{ makeInstance }} = await import('./{name}.js');\n\
         const module = new WebAssembly.Module(readFileSync('./{name}.wasm'));\n\
         const [a, b] = [await makeInstance(module), await makeInstance(module)];\n\
         for (const one in a) if (a[one] === b[one]) throw new Error('two instances share their classes');\n"
    );
    let mut command = toolchain::node()?;
    command.args(["--input-type=module", "--eval", &script]).current_dir(next);
    // The folder has no package.json: the glue is a module all the same.
    let package = next.join("package.json");
    fs::write(&package, "{\"type\":\"module\"}").at(&package)?;
    must(&mut command, "the module loads in Node", "check wasm-pack.toml's target features")?;
    fs::remove_file(&package).at(&package)
}
