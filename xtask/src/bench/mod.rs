//! `cargo xtask bench`: ranklet beside onnxruntime-web, rten, onnxruntime native and tract, on the same models and inputs,
//! in turns.

mod context;
mod document;
mod edge;
mod goals;
mod models;
mod paint;
mod peers;
mod record;
mod rerank;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{AtPath, Failure, Result};
use crate::process::{answer, must};
use crate::stamp::{Stamp, fresh, keep};
use crate::workspace::Workspace;
use crate::{native, package, python, size, toolchain};

use document::{Document, NATIVE, RANKLET, RTEN, TRACT, WEB};
use paint::Paint;
use peers::Peers;

/// What a browser loads for onnxruntime-web's wasm entry.
const WEB_FILES: [&str; 2] = ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"];

/// What there is to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The engine beside its peers
    Engine,
    /// The whole re-rank by stage
    Rerank,
    /// Behind HTTP in workerd and Node, under wrk; only when asked for
    Edge,
}

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only these parts; by default engine and rerank
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Fewer rounds: two minutes instead of eight, and noisier
    #[arg(long)]
    quick: bool,
    /// The context layer alone: a million events in 200 sessions
    #[arg(long, conflicts_with_all = ["full", "record"])]
    context: bool,
    /// A million calls of the memory check beside the rest
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    /// Write the document and its plot to benches/record/DATE-CPU.{json,svg}
    #[arg(long)]
    record: bool,
}

impl Options {
    /// The flag of `bench.mjs`, if any.
    fn mode(&self) -> Option<&'static str> {
        if self.quick { Some("--quick") } else { self.full.then_some("--full") }
    }

    fn wants(&self, part: Part) -> bool {
        (self.parts.is_empty() && part != Part::Edge) || self.parts.contains(&part)
    }
}

/// Builds everything, measures, prints.
pub fn run(work: &Workspace, options: &Options) -> Result<()> {
    if options.context {
        return context::run(work, options);
    }
    if options.wants(Part::Edge) {
        edge::run(work, options)?;
        if options.parts.iter().all(|&part| part == Part::Edge) {
            return Ok(());
        }
    }
    package::build(work)?;
    native::build(work)?;
    let rerank = if options.wants(Part::Rerank) { Some(rerank::measure(work, options.quick)?) } else { None };
    if options.wants(Part::Engine) {
        return engine(work, options, rerank);
    }
    if let Some(measured) = &rerank {
        if options.record {
            record::write_rerank(work, measured)?;
        }
        if options.json {
            println!("{}", record::text(measured)?);
        } else {
            print!("{}", rerank::table(measured, &Paint::of_stdout()));
        }
    }
    Ok(())
}

/// The engine beside its peers, and what else was measured in the same document.
fn engine(work: &Workspace, options: &Options, rerank: Option<rerank::Rerank>) -> Result<()> {
    let scripts = work.root.join("xtask/bench");
    package::install(&scripts, "xtask/bench")?;
    let peers = peers::build(work);
    let folder = models::make(work, &peers)?;
    peers::tile(work, &folder)?;
    let mut document = measure(work, &scripts, &folder, &peers, options.mode())?;
    document.commit = commit(work);
    for (name, package) in [(RTEN, "rten"), (TRACT, "tract-onnx")] {
        document.versions.insert(name.into(), peers::version(work, package)?);
    }
    document.brotli.insert(RANKLET.into(), size::measure(work)?.total);
    document.brotli.insert(goals::SCORER.into(), size::measure_scorer(work)?.total);
    let dist = scripts.join("node_modules/onnxruntime-web/dist");
    document.brotli.insert(WEB.into(), brotli(work, WEB, &WEB_FILES.map(|name| dist.join(name)))?);
    if let Ok(wasm) = &peers.rten {
        document.brotli.insert(RTEN.into(), brotli(work, RTEN, std::slice::from_ref(wasm))?);
    }
    document.goals = goals::answers(&document);
    document.rerank = rerank;
    if options.record {
        record::write(work, &document, &scripts)?;
    }
    if options.json {
        println!("{}", record::text(&document)?);
    } else {
        print!("{}", table::table(&document, &Paint::of_stdout()));
    }
    Ok(())
}

fn measure(work: &Workspace, scripts: &Path, folder: &Path, peers: &Peers, mode: Option<&str>) -> Result<Document> {
    let out = folder.join("result.json");
    // The native peers are started by Node, which asks them for their turns: Python gets the same environment as any here.
    let mut python = python::command(work)?;
    python.args(["-m", "ranklet_models.bench.peer"]).arg(folder);
    let mut commands = BTreeMap::from([(NATIVE, words(&python))]);
    if let Ok(program) = &peers.tract {
        let mut tract = Command::new(program);
        tract.arg(folder);
        commands.insert(TRACT, words(&tract));
    }
    let commands =
        serde_json::to_string(&commands).map_err(|error| Failure::new(error.to_string(), "bench", "report this"))?;
    let mut node = toolchain::node()?;
    node.arg(scripts.join("bench.mjs")).arg(folder).arg(&out).args(mode);
    node.current_dir(work.models()).env("BENCH_PEERS", commands);
    for (name, value) in python.get_envs() {
        match value {
            Some(value) => node.env(name, value),
            None => node.env_remove(name),
        };
    }
    must(&mut node, "ranklet and its peers in turns", "see its message above")?;
    let text = fs::read_to_string(&out).at(&out)?;
    serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string(), out.display(), "report this"))
}

fn words(command: &Command) -> Vec<String> {
    let line = std::iter::once(command.get_program()).chain(command.get_args());
    line.map(|part| part.to_string_lossy().into_owned()).collect()
}

/// Brotli bytes of a peer's files, each by itself. Half a minute for onnxruntime-web, done once.
fn brotli(work: &Workspace, name: &str, files: &[PathBuf]) -> Result<usize> {
    let mut stamp = Stamp::of("bench brotli 1");
    for file in files {
        stamp = stamp.path(file)?;
    }
    let stamp = stamp.value();
    let kept = work.made().join(format!("bench-brotli-{name}"));
    let record = kept.with_extension("stamp");
    if fresh(&record, &stamp, std::slice::from_ref(&kept)) {
        let known = fs::read_to_string(&kept).at(&kept)?;
        if let Ok(size) = known.parse() {
            return Ok(size);
        }
    }
    // Node's brotli, not the crate's: it takes half the time.
    let mut node = toolchain::node()?;
    node.arg(work.root.join("xtask/bench/brotli.mjs")).args(files);
    let printed = must(&mut node, &format!("{name} in brotli, once"), "see its message above")?;
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
