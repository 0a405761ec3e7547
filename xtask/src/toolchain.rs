//! The tools of a build: checked, installed where the user's own clients can, else named with the line that gets them.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::{AtPath, Failure, Result};
use crate::process::{answer, must, on_path};
use crate::stamp::{Stamp, copy_tree, empty_folder};
use crate::workspace::{Workspace, cargo};

const WASM_TARGET: &str = "wasm32-unknown-unknown";
const APT_LINE: &str = "apt-get update && apt-get install -y chromium python3-venv";
const OLDEST_NODE: u32 = 20;

/// Installs rustc's wasm target, from the network or from the offline copy beside the clone.
pub fn wasm_target(work: &Workspace) -> Result<()> {
    if has_wasm_target(work) {
        return Ok(());
    }
    let line = format!("rustup target add {WASM_TARGET}");
    if on_path("rustup").is_some() {
        // Its failure is not the end: the offline copy may serve.
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", WASM_TARGET]).current_dir(&work.root);
        if must(&mut rustup, &line, "see its output above").is_ok() && has_wasm_target(work) {
            return Ok(());
        }
    }
    if let (Some(archive), Some(sysroot)) = (offline_copy(work), sysroot(work)) {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&sysroot).arg("-xJf").arg(&archive);
        must(&mut tar, "wasm32 standard library from the offline copy", "check that `tar` and `xz` are installed")?;
        if has_wasm_target(work) {
            return Ok(());
        }
    }
    Err(Failure::new(format!("rustc has no {WASM_TARGET} standard library"), "rustc", format!("run `{line}`")))
}

fn sysroot(work: &Workspace) -> Option<PathBuf> {
    answer(Command::new("rustc").args(["--print", "sysroot"]).current_dir(&work.root)).map(PathBuf::from)
}

fn has_wasm_target(work: &Workspace) -> bool {
    sysroot(work).is_some_and(|root| {
        let folder = root.join("lib/rustlib").join(WASM_TARGET).join("lib");
        fs::read_dir(folder).is_ok_and(|entries| entries.flatten().next().is_some())
    })
}

fn offline_copy(work: &Workspace) -> Option<PathBuf> {
    let version = answer(Command::new("rustc").arg("--version").current_dir(&work.root))?;
    let version = version.split(' ').nth(1)?;
    let file = work.root.parent()?.join(format!("shared/toolchain/rust-std-{version}-{WASM_TARGET}.tar.xz"));
    file.is_file().then_some(file)
}

/// The `wasm-bindgen` of exactly the version in `Cargo.lock`: any other refuses the module.
pub fn wasm_bindgen(work: &Workspace) -> Result<PathBuf> {
    let version = locked_version(work, "wasm-bindgen")?;
    let home = work.cache.join(format!("wasm-bindgen-{version}"));
    let program = home.join("bin").join(format!("wasm-bindgen{}", std::env::consts::EXE_SUFFIX));
    if answer(Command::new(&program).arg("--version")).is_some_and(|said| said.ends_with(&version)) {
        return Ok(program);
    }
    let scratch = work.cache.join(format!("wasm-bindgen-{version}-build"));
    empty_folder(&scratch)?;
    let mut install = cargo();
    // Without --locked: the lock file in the published crate names versions that are gone.
    install
        .args(["install", "wasm-bindgen-cli", "--version", &version, "--bin", "wasm-bindgen", "--force", "--root"])
        .arg(&home)
        .env("CARGO_TARGET_DIR", &scratch)
        .current_dir(&work.root);
    eprintln!("wasm-bindgen {version} is built once for this user; it takes two to three minutes");
    let built = must(&mut install, &format!("wasm-bindgen {version}"), "check that the crate registry can be reached");
    fs::remove_dir_all(&scratch).at(&scratch)?;
    built.map(|_| program)
}

fn locked_version(work: &Workspace, name: &str) -> Result<String> {
    let path = work.root.join("Cargo.lock");
    let bad = |what: String| Failure::new(what, path.display(), "run `cargo update -p wasm-bindgen`");
    let lock: toml::Table = fs::read_to_string(&path).at(&path)?.parse().map_err(|error| bad(format!("{error}")))?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    packages
        .into_iter()
        .flatten()
        .find(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))
        .and_then(|package| package.get("version")?.as_str().map(str::to_owned))
        .ok_or_else(|| bad(format!("{name} is not locked")))
}

/// binaryen's `wasm-opt`, as pinned in `xtask/tools/package-lock.json`.
pub fn wasm_opt(work: &Workspace) -> Result<PathBuf> {
    let tools = work.root.join("xtask/tools");
    let stamp = Stamp::of("tools").path_without(&tools, &["node_modules"])?.value();
    let home = work.cache.join(format!("tools-{stamp}"));
    let program = home.join("node_modules/binaryen/bin/wasm-opt");
    if program.is_file() {
        return Ok(program);
    }
    empty_folder(&home)?;
    copy_tree(&tools, &home, &["node_modules"])?;
    let mut install = npm()?;
    install.args(["ci", "--no-audit", "--no-fund"]).current_dir(&home);
    must(&mut install, "npm ci (binaryen)", "check that the npm registry can be reached")?;
    Ok(program)
}

/// Node, at least version 20.
pub fn node() -> Result<Command> {
    let mend = format!(
        "install Node.js {OLDEST_NODE} or later, `apt-get update && apt-get install -y nodejs npm` or your own way"
    );
    let version = answer(Command::new("node").arg("--version"))
        .ok_or_else(|| Failure::new("Node.js is missing", "search path", mend.as_str()))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST_NODE) {
        return Err(Failure::new(format!("Node.js {version} is too old"), "search path", mend));
    }
    Ok(Command::new("node"))
}

/// npm, quiet and without its own notices.
pub fn npm() -> Result<Command> {
    node()?;
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    on_path(program).ok_or_else(|| {
        Failure::new("npm is missing", "search path", "run `apt-get update && apt-get install -y npm`")
    })?;
    let mut npm = Command::new(program);
    npm.env("npm_config_update_notifier", "false").env("NO_COLOR", "1").env_remove("FORCE_COLOR");
    Ok(npm)
}

/// Python, at least version 3.10, that can make virtual environments.
pub fn python() -> Result<OsString> {
    let check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    ["python3", "python"]
        .into_iter()
        .find(|name| answer(Command::new(name).args(["-c", check])).is_some())
        .map(OsString::from)
        .ok_or_else(|| Failure::new("no Python 3.10 or later with venv", "search path", format!("run `{APT_LINE}`")))
}

/// A Chromium for the page's tests, installed where we may; nothing where this machine has none.
pub fn chromium() -> Option<PathBuf> {
    if let Some(found) = installed_chromium() {
        return Some(found);
    }
    if is_root_on_debian() {
        let mut apt = Command::new("sh");
        apt.args(["-c", "apt-get update && apt-get install -y --no-install-recommends chromium"])
            .env("DEBIAN_FRONTEND", "noninteractive");
        // A failure leaves the page's tests skipped and named; its output is already shown.
        let _ = must(&mut apt, "apt-get install chromium", APT_LINE);
    }
    installed_chromium()
}

/// The line for whoever has to install Debian's packages by hand.
pub fn apt_line() -> &'static str {
    APT_LINE
}

fn installed_chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM_PATH").map(PathBuf::from).filter(|path| path.is_file()) {
        return Some(named);
    }
    ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"].into_iter().find_map(on_path)
}

fn is_root_on_debian() -> bool {
    PathBuf::from("/etc/debian_version").exists() && answer(Command::new("id").arg("-u")).as_deref() == Some("0")
}
