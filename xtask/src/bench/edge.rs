//! `cargo xtask bench edge`: a re-rank of 100 candidates behind HTTP in workerd and Node, under wrk on loopback.

use std::fs;

use serde::Deserialize;

use crate::failure::{AtPath, Failure, Result};
use crate::process::{must, on_path};
use crate::workspace::Workspace;
use crate::{native, package, toolchain};

use super::Options;

/// What `edge.mjs` writes.
#[derive(Debug, Deserialize)]
struct Document {
    cpu: String,
    node: String,
    candidates: usize,
    #[serde(rename = "requestBytes")]
    request_bytes: usize,
    rows: Vec<Row>,
}

/// One engine in one host. Times in ms, as a client sees them.
#[derive(Debug, Deserialize)]
struct Row {
    host: String,
    name: String,
    /// What it said where it does not run there.
    failed: Option<String>,
    #[serde(flatten)]
    measured: Option<Measured>,
}

#[derive(Debug, Deserialize)]
struct Measured {
    /// From the start of the process to the first whole answer.
    #[serde(rename = "startMs")]
    start_ms: f64,
    /// Resident, after the first answer and after the load.
    #[serde(rename = "freshMB")]
    fresh_mb: f64,
    #[serde(rename = "usedMB")]
    used_mb: f64,
    /// One connection, and eight at once.
    alone: Load,
    eight: Load,
}

#[derive(Debug, Deserialize)]
struct Load {
    p50: f64,
    p99: f64,
    #[serde(rename = "perSecond")]
    per_second: f64,
}

/// Builds what a worker loads, measures, prints.
pub fn run(work: &Workspace, options: &Options) -> Result<()> {
    if on_path("wrk").is_none() {
        return Err(Failure::new("wrk is not there", "bench edge", "apt-get install wrk"));
    }
    package::build(work)?;
    native::bundle(work)?;
    let scripts = work.root.join("xtask/bench");
    package::install(&scripts, "xtask/bench")?;
    let out = work.made().join("edge.json");
    let mut node = toolchain::node()?;
    node.arg(scripts.join("edge.mjs")).arg(work.pkg()).arg(work.bundle()).arg(work.models().join("ads-recs")).arg(&out);
    node.args(options.quick.then_some("--quick"));
    must(&mut node, "the edge under load", "see its message above")?;
    let text = fs::read_to_string(&out).at(&out)?;
    if options.json {
        print!("{text}");
        return Ok(());
    }
    let document: Document =
        serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string(), out.display(), "report this"))?;
    print!("{}", table(&document));
    Ok(())
}

fn table(document: &Document) -> String {
    let Document { cpu, node, candidates, request_bytes, rows } = document;
    let mut text = format!("{cpu}, Node {node}: {candidates} candidates, a request of {request_bytes} bytes\n");
    text += "ranklet: session from a snapshot, features, model, policy; onnxruntime-web: the model alone, its matrix made before\n\n";
    text += &format!(
        "{:<8} {:<16} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
        "host", "", "start ms", "MB", "MB after", "p50 x1", "p99 x1", "p50 x8", "p99 x8", "req/s x8"
    );
    for Row { host, name, failed, measured } in rows {
        text += &format!("{host:<8} {name:<16} ");
        match measured {
            Some(Measured { start_ms, fresh_mb, used_mb, alone, eight }) => {
                text += &format!(
                    "{start_ms:>9.0} {fresh_mb:>9.0} {used_mb:>9.0} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.0}\n",
                    alone.p50, alone.p99, eight.p50, eight.p99, eight.per_second
                );
            }
            None => text += &format!("does not run: {}\n", failed.as_deref().unwrap_or("it does not say why")),
        }
    }
    text
}
