//! What a browser loads for `createReranker`, in the bytes that travel.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::failure::{AtPath, Failure, Result};
use crate::variant::Variant;
use crate::workspace::Workspace;

/// Brotli's best, and its largest standard window: what a static host precompresses with.
const QUALITY: u32 = 11;
const WINDOW: u32 = 22;

/// Brotli bytes; raw ones beside them.
#[derive(Debug, Serialize)]
pub struct Size {
    pub wasm: usize,
    pub js: usize,
    pub total: usize,
    pub raw: Raw,
    pub budget: usize,
}

#[derive(Debug, Serialize)]
pub struct Raw {
    pub wasm: usize,
    pub js: usize,
}

/// Measures the assembled package.
pub fn measure(work: &Workspace) -> Result<Size> {
    let variant = Variant::runtime(&work.root)?;
    let (wasm, raw_wasm) = compressed(&work.dist().join(format!("{}.wasm", variant.name)))?;
    let (mut js, mut raw_js) = (0, 0);
    for file in static_modules(&entry(work)?)? {
        let (small, raw) = compressed(&file)?;
        js += small;
        raw_js += raw;
    }
    let raw = Raw { wasm: raw_wasm, js: raw_js };
    Ok(Size { wasm, js, total: wasm + js, raw, budget: variant.budget })
}

/// The module that a bundler for browsers takes, by the package's own exports.
fn entry(work: &Workspace) -> Result<PathBuf> {
    let path = work.pkg().join("package.json");
    let text = fs::read_to_string(&path).at(&path)?;
    let package: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(error.to_string(), path.display(), "mend the JSON"))?;
    let conditions = &package["exports"]["."];
    ["browser", "import", "default"]
        .iter()
        .find_map(|name| conditions[name].as_str())
        .map(|file| work.pkg().join(file))
        .ok_or_else(|| Failure::new("no browser entry", path.display(), "name one in exports[\".\"].browser"))
}

/// The entry and all it imports statically, each once: each is a request of its own.
fn static_modules(entry: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![entry.to_path_buf()];
    while let Some(file) = open.pop() {
        if found.insert(file.clone()) {
            let text = fs::read_to_string(&file).at(&file)?;
            let folder = file.parent().unwrap_or(Path::new("."));
            open.extend(static_imports(&text).into_iter().map(|name| folder.join(name.trim_start_matches("./"))));
        }
    }
    Ok(found)
}

/// Relative specifiers after `from` or a bare `import`; `import(...)` loads later or never.
fn static_imports(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for keyword in ["from", "import"] {
        for (at, _) in text.match_indices(keyword) {
            let rest = text[at + keyword.len()..].trim_start();
            let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
            if let Some(name) = rest[1..].split(quote).next().filter(|name| name.starts_with("./")) {
                names.push(name);
            }
        }
    }
    names
}

fn compressed(path: &Path) -> Result<(usize, usize)> {
    let bytes = fs::read(path).at(path)?;
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 1 << 16, QUALITY, WINDOW);
    writer.write_all(&bytes).at(path)?;
    Ok((writer.into_inner().len(), bytes.len()))
}

/// Fails above the budget of `wasm-pack.toml`.
pub fn within_budget(size: &Size) -> Result<()> {
    if size.total < size.budget {
        return Ok(());
    }
    Err(Failure::new(
        format!("{} brotli bytes are over the budget of {}", size.total, size.budget),
        "pkg/dist",
        "find what grew with `cargo xtask size`, against the last commit",
    ))
}

impl Size {
    /// A table for people.
    pub fn table(&self) -> String {
        let row = |name: &str, small: usize, raw: usize| format!("{name:<14} {small:>9} {raw:>9}\n");
        let mut table = format!("{:<14} {:>9} {:>9}\n", "bytes", "brotli", "raw");
        table.push_str(&row("ranklet.wasm", self.wasm, self.raw.wasm));
        table.push_str(&row("JavaScript", self.js, self.raw.js));
        table.push_str(&row("total", self.total, self.raw.wasm + self.raw.js));
        table.push_str(&format!("{:<14} {:>9}\n", "budget", self.budget));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_imports_are_counted_and_dynamic_ones_are_not() {
        let text = "import{a}from\"./a.js\";import './b.js';export * from './c.js';\
                    const d=()=>import(\"./d.js\");import n from 'node:fs';";
        let mut names = static_imports(text);
        names.sort_unstable();
        assert_eq!(names, ["./a.js", "./b.js", "./c.js"]);
    }

    #[test]
    fn a_total_at_the_budget_is_too_much() {
        let size = |total| Size { wasm: total, js: 0, total, raw: Raw { wasm: 0, js: 0 }, budget: 100 };
        assert!(within_budget(&size(99)).is_ok());
        assert!(within_budget(&size(100)).unwrap_err().to_string().starts_with("100 brotli bytes"));
    }

    #[test]
    fn brotli_is_at_its_best_setting() {
        let file = std::env::temp_dir().join(format!("ranklet-size-{}", std::process::id()));
        fs::write(&file, "rank ".repeat(1000)).unwrap();
        let (small, raw) = compressed(&file).unwrap();
        assert_eq!(raw, 5000);
        assert!(small < 30, "{small}");
        fs::remove_file(&file).unwrap();
    }
}
