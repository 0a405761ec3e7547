//! Where everything lies: the clone, cargo's target folder, the user's cache.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::{Failure, Result};

/// Folders of one clone, absolute.
pub struct Workspace {
    pub root: PathBuf,
    /// Cargo's target folder, `CARGO_TARGET_DIR` and configuration respected.
    pub target: PathBuf,
    /// Tools and environments that outlive a clone: `$XDG_CACHE_HOME/ranklet` or `~/.cache/ranklet`.
    pub cache: PathBuf,
    /// Whether tests run in their whole length, as `RANKLET_FULL=1` tells every runner.
    pub full: bool,
}

impl Workspace {
    pub fn find() -> Result<Self> {
        // Read at run time: with a shared target folder one binary may serve a clone it was not compiled in.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().unwrap_or(&manifest).to_path_buf();
        let metadata = cargo_metadata(&root, &["--no-deps"])?;
        let target = metadata["target_directory"].as_str().map(PathBuf::from).ok_or_else(|| {
            Failure::new("cargo metadata names no target folder", root.display(), "check that `cargo metadata` runs")
        })?;
        Ok(Self { root, target, cache: cache_folder()?.join("ranklet"), full: false })
    }

    pub fn pkg(&self) -> PathBuf {
        self.root.join("pkg")
    }

    pub fn dist(&self) -> PathBuf {
        self.root.join("pkg/dist")
    }

    pub fn web_demo(&self) -> PathBuf {
        self.root.join("web-demo")
    }

    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// The native command line.
    pub fn binary(&self) -> PathBuf {
        self.target.join("release").join(format!("ranklet{}", std::env::consts::EXE_SUFFIX))
    }

    /// What xtask makes and nobody commits: bundles, logs, intermediate wasm.
    pub fn made(&self) -> PathBuf {
        self.target.join("ranklet")
    }

    /// The demo's compiled bundle.
    pub fn bundle(&self) -> PathBuf {
        self.made().join("ads-recs.ranklet")
    }

    /// The evaluation data sets, or nothing where this machine has none: `RANKLET_DATA`, else `../shared/data`.
    pub fn data(&self) -> Option<PathBuf> {
        let folder = match std::env::var_os("RANKLET_DATA") {
            Some(given) => self.root.join(given),
            None => self.root.parent()?.join("shared/data"),
        };
        folder.is_dir().then_some(folder)
    }

    /// A path as it reads from the clone's top.
    pub fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// The cargo that runs us, so that nested calls use the same toolchain.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo")))
}

/// `cargo metadata` as JSON.
pub fn cargo_metadata(root: &Path, extra: &[&str]) -> Result<Value> {
    let mend = "check that `cargo metadata` runs in the clone";
    let output = cargo()
        .args(["metadata", "--format-version", "1"])
        .args(extra)
        .current_dir(root)
        .output()
        .map_err(|error| Failure::new(format!("cargo does not start: {error}"), root.display(), mend))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
        return Err(Failure::new(text, root.display(), mend));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::new(format!("cargo metadata: {error}"), root.display(), mend))
}

fn cache_folder() -> Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .or_else(|| from("LOCALAPPDATA"))
        .ok_or_else(|| Failure::new("no cache folder is known", "environment", "set XDG_CACHE_HOME to a folder"))
}
