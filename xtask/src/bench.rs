//! `cargo xtask bench`: ranklet beside onnxruntime-web and onnxruntime native, on the same models and rows, in turns.

use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::failure::{AtPath, Failure, Result};
use crate::process::{answer, must};
use crate::stamp::{Stamp, empty_folder, fresh, keep};
use crate::workspace::Workspace;
use crate::{native, package, python, size, toolchain};

/// The engines' names in the document.
const RANKLET: &str = "ranklet";
const WEB: &str = "onnxruntime-web";
const NATIVE: &str = "onnxruntime";

/// What a browser loads for onnxruntime-web's wasm entry.
const WEB_FILES: [&str; 2] = ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"];

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Fewer rounds: a minute instead of several, and noisier
    #[arg(long)]
    quick: bool,
    /// Write the document to benches/record/DATE-CPU.json
    #[arg(long)]
    record: bool,
}

/// What is measured. Times are in ms, sizes in bytes; names as the file spells them.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    date: String,
    /// The commit measured, `-dirty` if the clone held changes.
    #[serde(default)]
    commit: String,
    quick: bool,
    machine: Machine,
    versions: BTreeMap<String, String>,
    /// Brotli bytes that a browser loads, by engine.
    #[serde(default)]
    brotli: BTreeMap<String, usize>,
    /// In one Node process.
    models: Vec<Model>,
    /// The same in a page, where this machine has a Chromium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    page: Option<Page>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    /// Of Chromium.
    version: String,
    models: Vec<Model>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    cpu: String,
    cores: usize,
    memory: u64,
    platform: String,
    /// Processes that ran or wanted to, averaged over the minute before: above `cores` the times are noisy.
    load_before: f64,
    load_after: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    name: String,
    title: String,
    columns: usize,
    /// Of one row; none for trees.
    multiply_adds: Option<f64>,
    /// By engine.
    cold: BTreeMap<String, Cold>,
    lists: Vec<List>,
}

/// Bytes in memory to the first scores of 100 rows, in a process of its own.
#[derive(Debug, Serialize, Deserialize)]
struct Cold {
    ms: f64,
    /// Linear memory after lists of 1000 rows; Node alone can watch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<f64>,
}

/// One length of list.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    rows: usize,
    /// The largest |d| / max(1, |y|) between engines.
    difference: f64,
    rounds: usize,
    /// Median and quartiles of one call, by engine.
    engines: BTreeMap<String, Times>,
    /// Median and quartiles, by peer, of how many times as long as ranklet it took in the same round.
    ratios: BTreeMap<String, Ratio>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Times {
    ms: f64,
    low: f64,
    high: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ratio {
    median: f64,
    low: f64,
    high: f64,
}

/// Builds everything, measures, prints.
pub fn run(work: &Workspace, options: &Options) -> Result<()> {
    package::build(work)?;
    native::build(work)?;
    let scripts = work.root.join("xtask/bench");
    package::install(&scripts, "xtask/bench")?;
    let folder = models(work)?;
    let mut document = measure(work, &scripts, &folder, options.quick)?;
    document.commit = commit(work);
    document.brotli.insert(RANKLET.into(), size::measure(work)?.total);
    document.brotli.insert(WEB.into(), web_size(work, &scripts)?);
    let text = serde_json::to_string_pretty(&document)
        .map_err(|error| Failure::new(error.to_string(), "bench", "report this"))?;
    if options.record {
        let path = work.root.join("benches/record").join(format!("{}-{}.json", document.date, slug(&document.machine)));
        fs::create_dir_all(work.root.join("benches/record")).at(&path)?;
        fs::write(&path, format!("{text}\n")).at(&path)?;
        eprintln!("recorded: {}", work.show(&path));
    }
    if options.json {
        println!("{text}");
    } else {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        print!("{}", table(&document, Paint(colour)));
    }
    Ok(())
}

/// The model files, their rows and their bundles, in `target/ranklet/bench`.
fn models(work: &Workspace) -> Result<PathBuf> {
    let folder = work.made().join("bench");
    let sources = work.models();
    let stamp = Stamp::of("bench models 1")
        .path(&sources.join("ranklet_models/bench/make.py"))?
        .path(&sources.join("ranklet_models/trees.py"))?
        .path(&sources.join("pyproject.toml"))?
        .value();
    let record = folder.join("models.stamp");
    if !fresh(&record, &stamp, &[folder.join("models.json")]) {
        empty_folder(&folder)?;
        let mut make = python::command(work)?;
        make.args(["-m", "ranklet_models.bench.make"]).arg(&folder);
        must(&mut make, "the benchmark's models", "see its message above")?;
        keep(&record, &stamp)?;
    }
    for entry in fs::read_dir(&folder).at(&folder)? {
        let model = entry.at(&folder)?.path();
        if model.extension().is_some_and(|ending| ending == "onnx") {
            let mut compile = Command::new(work.binary());
            compile.arg("compile").arg(&model).arg("-o").arg(model.with_extension("ranklet"));
            must(&mut compile, &format!("ranklet compile {}", work.show(&model)), "see its message above")?;
        }
    }
    Ok(folder)
}

fn measure(work: &Workspace, scripts: &Path, folder: &Path, quick: bool) -> Result<Document> {
    let out = folder.join("result.json");
    // The native peer is started by Node, which asks it for its turns: it gets the same environment as any Python here.
    let mut peer = python::command(work)?;
    peer.args(["-m", "ranklet_models.bench.peer"]).arg(folder);
    let line: Vec<_> =
        std::iter::once(peer.get_program()).chain(peer.get_args()).map(|part| part.to_string_lossy()).collect();
    let line = serde_json::to_string(&line).map_err(|error| Failure::new(error.to_string(), "bench", "report this"))?;
    let mut node = toolchain::node()?;
    node.arg(scripts.join("bench.mjs")).arg(folder).arg(&out).current_dir(work.models()).env("BENCH_PEER", line);
    for (name, value) in peer.get_envs() {
        match value {
            Some(value) => node.env(name, value),
            None => node.env_remove(name),
        };
    }
    if quick {
        node.arg("--quick");
    }
    must(&mut node, "ranklet, onnxruntime-web and onnxruntime in turns", "see its message above")?;
    let text = fs::read_to_string(&out).at(&out)?;
    serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string(), out.display(), "report this"))
}

/// Half a minute of compression, done once.
fn web_size(work: &Workspace, scripts: &Path) -> Result<usize> {
    let stamp = Stamp::of("bench web size 1").path(&scripts.join("package-lock.json"))?.value();
    let (record, kept) = (work.made().join("bench-web-size.stamp"), work.made().join("bench-web-size"));
    if fresh(&record, &stamp, std::slice::from_ref(&kept)) {
        let known = fs::read_to_string(&kept).at(&kept)?;
        if let Ok(size) = known.parse() {
            return Ok(size);
        }
    }
    let dist = scripts.join("node_modules/onnxruntime-web/dist");
    // Node's brotli, not the crate's: xtask is built without optimisation, and this is 14 MB.
    let mut node = toolchain::node()?;
    node.arg(scripts.join("brotli.mjs")).args(WEB_FILES.map(|name| dist.join(name)));
    let printed = must(&mut node, "onnxruntime-web in brotli, once", "see its message above")?;
    let total: usize = printed
        .trim()
        .parse()
        .map_err(|_| Failure::new(format!("no size: {printed}"), "xtask/bench/brotli.mjs", "report this"))?;
    fs::write(&kept, total.to_string()).at(&kept)?;
    keep(&record, &stamp)?;
    Ok(total)
}

fn commit(work: &Workspace) -> String {
    let git = |args: &[&str]| answer(Command::new("git").args(args).current_dir(&work.root));
    let name = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let sources =
        ["status", "--porcelain", "--", "src", "kernels", "pkg", "Cargo.toml", "Cargo.lock", "wasm-pack.toml"];
    let clean = git(&sources).is_none_or(|changes| changes.is_empty());
    if clean { name } else { format!("{name}-dirty") }
}

/// A processor's name as a file's: `Intel(R) Xeon(R) CPU @ 2.20GHz` is `intel-xeon-2.20ghz`.
fn slug(machine: &Machine) -> String {
    let plain = machine.cpu.replace("(R)", " ").replace("(TM)", " ");
    let words: Vec<String> = plain
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty() && !matches!(*word, "CPU" | "Processor"))
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() { "unknown".into() } else { words.join("-") }
}

/// Terminal colours, or none.
struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    /// Green where ranklet is the faster one, red where it is not.
    fn ratio(&self, ratio: Option<f64>, width: usize) -> String {
        let Some(ratio) = ratio else { return format!("{:>width$}", "–") };
        let text = format!("{:>width$}", format!("{ratio:.2}x"));
        self.with(if ratio >= 1.0 { "32" } else { "31" }, &text)
    }
}

/// For people: what one call takes, and how many times as long each peer takes.
fn table(document: &Document, paint: Paint) -> String {
    let mut text = String::new();
    for model in &document.models {
        text.push_str(&model_table(model, "Node", &paint));
    }
    for model in document.page.iter().flat_map(|page| &page.models) {
        text.push_str(&model_table(model, "Chromium", &paint));
    }
    text.push_str(&costs_table(document, &paint));
    let machine = &document.machine;
    let version = |name: &str| document.versions.get(name).map_or("?", String::as_str);
    let page = document.page.as_ref().map_or_else(String::new, |page| format!(", Chromium {}", page.version));
    text.push_str(&format!(
        "{} x{}, Node {}{page}, {WEB} {}, {NATIVE} {}, one thread each, commit {}\n",
        machine.cpu,
        machine.cores,
        version("node"),
        version(WEB),
        version(NATIVE),
        document.commit,
    ));
    text.push_str(
        &paint.dim("ms are medians of one call; x: how many times as long the peer takes, below 1 it is faster\n"),
    );
    if machine.load_before.max_of(machine.load_after) > 0.5 * machine.cores as f64 {
        text.push_str(&format!(
            "the machine was loaded ({:.1} before, {:.1} after, on {} cores): trust the ratios more than the times\n",
            machine.load_before, machine.load_after, machine.cores,
        ));
    }
    text
}

/// The native peer has no column where it took no turns.
fn model_table(model: &Model, place: &str, paint: &Paint) -> String {
    let native = model.lists.iter().any(|list| list.engines.contains_key(NATIVE));
    let beside = |text: String| if native { text } else { String::new() };
    let head = format!(
        "{:>6}  {RANKLET:>9}  {:>8}  {WEB:>15} {:>8}{}",
        "rows",
        if model.multiply_adds.is_some() { "GFLOP/s" } else { "Mrow/s" },
        "",
        beside(format!("  {NATIVE:>11} {:>8}", "")),
    );
    let title = format!("{}, {place}", model.title);
    let mut text = format!("{}\n{}\n", paint.bold(&title), paint.dim(head.trim_end()));
    for list in &model.lists {
        let ms = |name: &str| list.engines.get(name).map_or_else(|| "–".into(), |times| milliseconds(times.ms));
        let ratio = |name: &str| paint.ratio(list.ratios.get(name).map(|ratio| ratio.median), 8);
        let speed = list.engines.get(RANKLET).map_or(0.0, |own| {
            let per_row = model.multiply_adds.map_or(1e-3, |count| 2.0 * count * 1e-6);
            list.rows as f64 * per_row / own.ms
        });
        text.push_str(&format!(
            "{:>6}  {:>9}  {:>8}  {:>15} {}{}\n",
            list.rows,
            ms(RANKLET),
            paint.dim(&format!("{speed:>8.2}")),
            ms(WEB),
            ratio(WEB),
            beside(format!("  {:>11} {}", ms(NATIVE), ratio(NATIVE))),
        ));
    }
    let worst = model.lists.iter().map(|list| list.difference).fold(0.0, f64::max_of);
    text.push_str(&paint.dim(&format!("{:>6}  outputs differ by {worst:.1e} at most\n\n", "")));
    text
}

/// Cold start, memory and bytes.
fn costs_table(document: &Document, paint: &Paint) -> String {
    let head = format!("{:<40}  {RANKLET:>10}  {WEB:>15} {:>8}", "", "");
    let mut text = format!("{}\n{}\n", paint.bold("cold start, memory, size"), paint.dim(&head));
    let mut row = |name: String, own: Option<f64>, peer: Option<f64>, show: &dyn Fn(f64) -> String| {
        let cell = |value: Option<f64>| value.map_or_else(|| "–".into(), show);
        let ratio = own.zip(peer).map(|(own, peer)| peer / own);
        text.push_str(&format!("{name:<40}  {:>10}  {:>15} {}\n", cell(own), cell(peer), paint.ratio(ratio, 8)));
    };
    let node = document.models.iter().map(|model| (model, "Node"));
    for (model, place) in
        node.chain(document.page.iter().flat_map(|page| &page.models).map(|model| (model, "Chromium")))
    {
        let ms = |name: &str| model.cold.get(name).map(|cold| cold.ms);
        row(format!("{}, {place}", model.title), ms(RANKLET), ms(WEB), &|ms| format!("{} ms", milliseconds(ms)));
    }
    let memory = |name: &str| {
        let sizes = document.models.iter().filter_map(|model| model.cold.get(name)?.memory);
        sizes.reduce(f64::max_of)
    };
    row("linear memory, 1000 rows".into(), memory(RANKLET), memory(WEB), &|bytes| format!("{:.1} MB", bytes / 1e6));
    let brotli = |name: &str| document.brotli.get(name).map(|bytes| *bytes as f64);
    row("brotli, wasm + JavaScript".into(), brotli(RANKLET), brotli(WEB), &|bytes| format!("{:.1} KB", bytes / 1e3));
    text.push('\n');
    text
}

/// Three digits, whatever the size.
fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 0.1 => format!("{ms:.4}"),
        ms if ms < 1.0 => format!("{ms:.3}"),
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

/// The larger of two numbers, neither of them NaN.
trait MaxOf {
    fn max_of(self, other: Self) -> Self;
}

impl MaxOf for f64 {
    fn max_of(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_names_a_file() {
        let name = |cpu: &str| {
            let machine = Machine {
                cpu: cpu.into(),
                cores: 2,
                memory: 0,
                platform: String::new(),
                load_before: 0.0,
                load_after: 0.0,
            };
            slug(&machine)
        };
        assert_eq!(name("AMD EPYC"), "amd-epyc");
        assert_eq!(name("Intel(R) Xeon(R) CPU @ 2.20GHz"), "intel-xeon-2.20ghz");
        assert_eq!(name(""), "unknown");
    }

    #[test]
    fn a_table_shows_who_was_faster() {
        let document: Document = serde_json::from_str(
            r#"{ "date": "2026-01-01", "quick": true, "versions": { "node": "20" },
                "machine": { "cpu": "AMD EPYC", "cores": 2, "memory": 1, "platform": "", "loadBefore": 3, "loadAfter": 0 },
                "models": [{ "name": "m", "title": "M", "columns": 4, "multiplyAdds": 1000, "cold": {},
                  "lists": [{ "rows": 10, "difference": 0, "rounds": 9,
                    "engines": { "ranklet": { "ms": 0.02, "low": 0.01, "high": 0.03 } },
                    "ratios": { "onnxruntime-web": { "median": 2.5, "low": 2, "high": 3 } } }] }] }"#,
        )
        .unwrap();
        let text = table(&document, Paint(false));
        assert!(text.contains("2.50x"), "{text}");
        // 10 rows of 2000 operations in 20 us.
        assert!(text.contains("1.00  "), "{text}");
        assert!(text.contains("the machine was loaded"), "{text}");
        assert!(table(&document, Paint(true)).contains("\x1b[32m"));
    }
}
