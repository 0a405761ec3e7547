//! What the package costs who takes it: the tarball that npm fetches, and what importing each entry loads and takes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::Serialize;
use serde_json::Value;

use crate::failure::{AtPath, Failure, Result};
use crate::size::{Bytes, compressed, static_modules};
use crate::toolchain;
use crate::workspace::Workspace;

/// Imports of which the middle one counts, each in a Node of its own.
const TIMES: usize = 5;

/// Of the package as it is released.
#[derive(Debug, Serialize)]
pub struct Cost {
    /// Bytes of the tarball, gzip as npm makes it.
    pub tarball: u64,
    pub unpacked: u64,
    pub files: usize,
    /// By entry: what a static import of it loads in a browser. No wasm is among it: that is fetched when something is made.
    pub imports: BTreeMap<String, Bytes>,
    /// Milliseconds that `import("ranklet")` takes in Node, its own start left out; the middle one of five.
    pub import_ms: f64,
}

pub fn measure(work: &Workspace) -> Result<Cost> {
    let mut command = toolchain::npm()?;
    command.args(["pack", "--dry-run", "--json", "--silent"]).current_dir(work.pkg());
    let listed: Value = json(&output(&mut command, "npm pack")?)?;
    let number = |name: &str| listed[0][name].as_u64().unwrap_or_default();
    Ok(Cost {
        tarball: number("size"),
        unpacked: number("unpackedSize"),
        files: listed[0]["files"].as_array().map_or(0, Vec::len),
        imports: imports(work)?,
        import_ms: import_ms(work)?,
    })
}

/// Every entry that has a module for browsers, by its name in `exports`; those that name a platform say nothing new.
fn imports(work: &Workspace) -> Result<BTreeMap<String, Bytes>> {
    let path = work.pkg().join("package.json");
    let package: Value = json(&fs::read_to_string(&path).at(&path)?)?;
    let mut found = BTreeMap::new();
    for (name, conditions) in package["exports"].as_object().into_iter().flatten() {
        let file = ["browser", "default"].iter().find_map(|condition| conditions[condition].as_str());
        let platform = ["/browser", "/node", "/workerd", "/edge-light"].iter().any(|end| name.ends_with(end));
        let Some(file) = file.filter(|file| file.ends_with(".js") && !platform) else { continue };
        let mut sum = Bytes { brotli: 0, raw: 0 };
        for module in static_modules(&work.pkg().join(file))? {
            let bytes = compressed(&module, &work.made().join("brotli"))?;
            sum = Bytes { brotli: sum.brotli + bytes.brotli, raw: sum.raw + bytes.raw };
        }
        found.insert(format!("ranklet{}", name.trim_start_matches('.')), sum);
    }
    Ok(found)
}

fn import_ms(work: &Workspace) -> Result<f64> {
    let script =
        "const start = performance.now(); await import(process.argv[1]); console.log(performance.now() - start)";
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let mut command = toolchain::node()?;
        command.args(["--input-type=module", "-e", script]).arg(work.dist().join("node.js"));
        times.push(json(&output(&mut command, "import(\"ranklet\")")?)?.as_f64().unwrap_or(f64::NAN));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[TIMES / 2])
}

fn output(command: &mut Command, what: &str) -> Result<String> {
    let mend = "build it with `cargo xtask build` and run it by hand";
    let ended = command.output().map_err(|error| Failure::new(error.to_string(), what, mend))?;
    if !ended.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&ended.stderr).trim().to_owned(), what, mend));
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Failure::new(error.to_string(), "the package's cost", "report this"))
}

/// A table for people.
pub fn table(cost: &Cost) -> String {
    let mut table = format!("{:<24} {:>9} {:>9}\n", "import", "brotli", "raw");
    for (name, bytes) in &cost.imports {
        table += &format!("{name:<24} {:>9} {:>9}\n", bytes.brotli, bytes.raw);
    }
    table += &format!("{:<24} {:>9.1} ms in Node\n\n", "import(\"ranklet\")", cost.import_ms);
    table + &format!("tarball {} bytes, {} unpacked, {} files\n", cost.tarball, cost.unpacked, cost.files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tarball_stands_on_the_last_line() {
        let imports = BTreeMap::from([("ranklet/records".to_owned(), Bytes { brotli: 7, raw: 9 })]);
        let text = table(&Cost { tarball: 5, unpacked: 6, files: 2, imports, import_ms: 1.25 });
        assert!(text.contains("\nranklet/records                  7         9\n"), "{text}");
        assert!(text.ends_with("\n\ntarball 5 bytes, 6 unpacked, 2 files\n"), "{text}");
    }
}
