//! What a browser loads, in the bytes that travel, and whether it grew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cost::Cost;
use crate::failure::{AtPath, Failure, Result};
use crate::stamp::{Stamp, keep};
use crate::variant::Variant;
use crate::workspace::Workspace;

/// Brotli's best, and its largest standard window: what a static host precompresses with.
const QUALITY: u32 = 11;
const WINDOW: u32 = 22;

/// A file may grow by this part of what the snapshot says before somebody has to look and say so.
const SLACK: f64 = 0.01;

/// A file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    pub brotli: usize,
    pub raw: usize,
}

/// Brotli bytes of one entry of the package; raw ones beside them.
#[derive(Debug, Serialize)]
pub struct Size {
    /// The package's export, `.` for the page's own.
    pub export: String,
    pub wasm: usize,
    pub js: usize,
    pub total: usize,
    pub raw: Raw,
    pub budget: usize,
    /// By name, as they lie in `pkg/dist`.
    pub files: BTreeMap<String, Bytes>,
}

#[derive(Debug, Serialize)]
pub struct Raw {
    pub wasm: usize,
    pub js: usize,
}

/// The page's size, and that of the package's other entries.
#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    page: &'a Size,
    others: &'a [Size],
    package: &'a Cost,
}

/// Measures what a browser loads for `createReranker`.
pub fn measure(work: &Workspace) -> Result<Size> {
    of(work, &Variant::runtime(&work.root)?)
}

/// Measures the entry for scores alone.
pub fn measure_scorer(work: &Workspace) -> Result<Size> {
    of(work, &Variant::named(&work.root, "scorer")?)
}

/// Measures every entry of the whole package, the page's first.
pub fn measure_all(work: &Workspace) -> Result<Vec<Size>> {
    Variant::all(&work.root)?.iter().map(|variant| of(work, variant)).collect()
}

fn of(work: &Workspace, variant: &Variant) -> Result<Size> {
    let wasm = work.dist().join(format!("{}.wasm", variant.name));
    let mut files = BTreeMap::new();
    for file in static_modules(&entry(work, &variant.export)?)?.iter().chain([&wasm]) {
        let name = file.strip_prefix(work.dist()).unwrap_or(file).display().to_string();
        files.insert(name, compressed(file, &work.made().join("brotli"))?);
    }
    let sum = |wasm: bool, part: fn(&Bytes) -> usize| -> usize {
        files.iter().filter(|(name, _)| name.ends_with(".wasm") == wasm).map(|(_, bytes)| part(bytes)).sum()
    };
    let raw = Raw { wasm: sum(true, |bytes| bytes.raw), js: sum(false, |bytes| bytes.raw) };
    let (wasm, js) = (sum(true, |bytes| bytes.brotli), sum(false, |bytes| bytes.brotli));
    Ok(Size { export: variant.export.clone(), wasm, js, total: wasm + js, raw, budget: variant.budget, files })
}

/// The module that a bundler for browsers takes, by the package's own exports.
fn entry(work: &Workspace, export: &str) -> Result<PathBuf> {
    let path = work.pkg().join("package.json");
    let text = fs::read_to_string(&path).at(&path)?;
    let package: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(error.to_string(), path.display(), "mend the JSON"))?;
    let conditions = &package["exports"][export];
    ["browser", "import", "default"]
        .iter()
        .find_map(|name| conditions[name].as_str())
        .map(|file| work.pkg().join(file))
        .ok_or_else(|| {
            let mend = format!("name one in exports[{export:?}].browser");
            Failure::new(format!("{export} has no browser entry"), path.display(), mend)
        })
}

/// The entry and all it imports statically, each once: each is a request of its own.
pub fn static_modules(entry: &Path) -> Result<BTreeSet<PathBuf>> {
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

/// The compile module takes a minute to compress: what these very bytes came to before is kept in `kept`.
pub fn compressed(path: &Path, kept: &Path) -> Result<Bytes> {
    let bytes = fs::read(path).at(path)?;
    let record = kept.join(Stamp::of(&format!("brotli {QUALITY} {WINDOW}")).path(path)?.value());
    let known = fs::read_to_string(&record).ok().and_then(|text| text.parse().ok());
    let brotli = match known {
        Some(brotli) => brotli,
        None => {
            let brotli = brotli(&bytes).map_err(|what| Failure::new(what, path.display(), "see what it holds"))?;
            keep(&record, &brotli.to_string())?;
            brotli
        }
    };
    Ok(Bytes { brotli, raw: bytes.len() })
}

/// Bytes that a browser pays for these.
pub fn brotli(bytes: &[u8]) -> std::result::Result<usize, String> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 1 << 16, QUALITY, WINDOW);
    writer.write_all(bytes).map_err(|error| error.to_string())?;
    Ok(writer.into_inner().len())
}

/// Fails above a budget of `wasm-pack.toml`.
pub fn within_budget(sizes: &[Size]) -> Result<()> {
    match sizes.iter().find(|size| size.total >= size.budget) {
        None => Ok(()),
        Some(Size { export, total, budget, .. }) => Err(Failure::new(
            format!("{total} brotli bytes are over the budget of {budget}"),
            format!("pkg/dist, export {export:?}"),
            "find what grew with `cargo xtask size`, against the last commit",
        )),
    }
}

fn snapshot_path(work: &Workspace) -> PathBuf {
    work.pkg().join("size.json")
}

/// Fails where a file grew past the committed snapshot, or where the two do not speak of the same files.
pub fn within_snapshot(work: &Workspace, sizes: &[Size]) -> Result<()> {
    let path = snapshot_path(work);
    let text = fs::read_to_string(&path).at(&path)?;
    let mend = "look at what changed, then commit the file that `cargo xtask size --update` writes";
    let kept: BTreeMap<String, Bytes> =
        serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string(), path.display(), mend))?;
    let found = differences(&kept, &files(sizes));
    if found.is_empty() { Ok(()) } else { Err(Failure::new(found.join("; "), work.show(&path), mend)) }
}

/// Writes the snapshot.
pub fn update(work: &Workspace, sizes: &[Size]) -> Result<()> {
    let path = snapshot_path(work);
    fs::write(&path, json(&path, &files(sizes), true)? + "\n").at(&path)
}

fn files(sizes: &[Size]) -> BTreeMap<String, Bytes> {
    sizes.iter().flat_map(|size| size.files.clone()).collect()
}

fn differences(kept: &BTreeMap<String, Bytes>, now: &BTreeMap<String, Bytes>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, bytes) in now {
        match kept.get(name) {
            None => found.push(format!("{name} is new")),
            Some(before) if bytes.brotli as f64 > before.brotli as f64 * (1.0 + SLACK) => {
                found.push(format!("{name} grew from {} to {} brotli bytes", before.brotli, bytes.brotli));
            }
            Some(_) => {}
        }
    }
    found.extend(kept.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("{name} is gone")));
    found
}

/// One JSON document for programs: the page's own size, the other entries under `others`, what the whole costs under `package`.
pub fn document(sizes: &[Size], package: &Cost) -> Result<String> {
    let (page, others) =
        sizes.split_first().ok_or_else(|| Failure::new("nothing was measured", "size", "report this"))?;
    json(Path::new("size"), &Document { page, others, package }, false)
}

fn json<T: Serialize>(place: &Path, value: &T, pretty: bool) -> Result<String> {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    text.map_err(|error| Failure::new(error.to_string(), place.display(), "report this"))
}

/// A table for people.
pub fn table(sizes: &[Size]) -> String {
    let mut table = format!("{:<24} {:>9} {:>9}\n", "bytes", "brotli", "raw");
    for size in sizes {
        for (name, bytes) in &size.files {
            table += &format!("{name:<24} {:>9} {:>9}\n", bytes.brotli, bytes.raw);
        }
        let name = format!("ranklet{}", size.export.trim_start_matches('.'));
        table += &format!("{name:<24} {:>9} {:>9}\n", size.total, size.raw.wasm + size.raw.js);
        table += &format!("{:<24} {:>9}\n\n", "  budget", size.budget);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(export: &str, total: usize) -> Size {
        let raw = Raw { wasm: 0, js: 0 };
        let files = BTreeMap::from([("a.wasm".to_owned(), Bytes { brotli: total, raw: 0 })]);
        Size { export: export.into(), wasm: total, js: 0, total, raw, budget: 1000, files }
    }

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
        assert!(within_budget(&[size(".", 999), size("./scorer", 999)]).is_ok());
        let message = within_budget(&[size(".", 999), size("./scorer", 1000)]).unwrap_err().to_string();
        assert!(message.starts_with("1000 brotli bytes") && message.contains("./scorer"), "{message}");
    }

    #[test]
    fn a_file_that_grew_or_is_not_known_differs_from_the_snapshot() {
        let one = |name: &str, brotli| BTreeMap::from([(name.to_owned(), Bytes { brotli, raw: 0 })]);
        assert!(differences(&one("a.js", 1000), &one("a.js", 1010)).is_empty());
        assert!(differences(&one("a.js", 1000), &one("a.js", 1)).is_empty());
        assert_eq!(differences(&one("a.js", 1000), &one("a.js", 1011)), ["a.js grew from 1000 to 1011 brotli bytes"]);
        assert_eq!(differences(&one("a.js", 1), &one("b.js", 1)), ["b.js is new", "a.js is gone"]);
    }

    #[test]
    fn the_document_has_the_page_at_its_top() {
        let cost = Cost { tarball: 3, unpacked: 4, files: 1, imports: BTreeMap::new(), import_ms: 1.0 };
        let text = document(&[size(".", 7), size("./scorer", 5)], &cost).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&document["total"], &document["others"][0]["total"]), (&7.into(), &5.into()));
        assert_eq!(document["package"]["tarball"], 3);
    }

    #[test]
    fn brotli_is_at_its_best_setting_and_remembers_bytes_alone() {
        let folder = std::env::temp_dir().join(format!("ranklet-size-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, kept) = (folder.join("file"), folder.join("kept"));
        let sizes = |text: &str| {
            fs::write(&file, text).unwrap();
            let sizes = compressed(&file, &kept).unwrap();
            assert_eq!(compressed(&file, &kept).unwrap(), sizes);
            sizes
        };
        let long = sizes(&"rank ".repeat(1000));
        assert_eq!(long.raw, 5000);
        assert!(long.brotli < 30, "{}", long.brotli);
        assert_eq!(sizes("rank").raw, 4);
        fs::remove_dir_all(&folder).unwrap();
    }
}
