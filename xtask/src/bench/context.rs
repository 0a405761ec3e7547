//! `cargo xtask bench --context`: the context layer at scale.

use std::fs;

use serde::Deserialize;

use crate::failure::{AtPath, Failure, Result};
use crate::process::must;
use crate::workspace::Workspace;
use crate::{native, package, toolchain};

use super::Options;

/// What `context.mjs` writes.
#[derive(Debug, Deserialize)]
struct Document {
    cpu: String,
    node: String,
    sessions: usize,
    events: usize,
    keys: usize,
    observe: serde_json::Map<String, serde_json::Value>,
    /// Of one session with all the events.
    alone: Vec<Memory>,
    memory: Vec<Memory>,
    errors: Vec<Errors>,
    evicted: f64,
    snapshots: Snapshots,
}

#[derive(Debug, Deserialize)]
struct Memory {
    /// Share of the events.
    done: f64,
    bytes: u64,
}

/// Of one signal, over the keys of some sessions, in its units.
#[derive(Debug, Deserialize)]
struct Errors {
    signal: String,
    subjects: usize,
    kept: usize,
    mass: f64,
    lost: f64,
    worst: f64,
    /// Of the hundred heaviest keys of a session.
    top: f64,
    #[serde(rename = "topLost")]
    top_lost: f64,
}

#[derive(Debug, Deserialize)]
struct Snapshots {
    differing: usize,
    bytes: f64,
    #[serde(rename = "writeMs")]
    write_ms: f64,
    #[serde(rename = "readMs")]
    read_ms: f64,
}

/// Builds what a page loads, measures, prints.
pub fn run(work: &Workspace, options: &Options) -> Result<()> {
    package::build(work)?;
    native::bundle(work)?;
    let out = work.made().join("context.json");
    let mut node = toolchain::node()?;
    node.arg(work.root.join("xtask/bench/context.mjs")).arg(work.dist()).arg(work.bundle()).arg(&out);
    node.args(options.quick.then_some("--quick"));
    must(&mut node, "the context layer at scale", "see its message above")?;
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
    let Document { cpu, node, sessions, events, keys, .. } = document;
    let mut text = format!("{cpu}, Node {node}\n\nobserve, from JavaScript call to return, microseconds\n");
    text += &format!("  {:<28} {:>8} {:>8} {:>8} {:>8}\n", "", "median", "p90", "p99", "mean");
    for (name, times) in &document.observe {
        let of = |what: &str| times[what].as_f64().unwrap_or(f64::NAN);
        let [median, p90, p99, mean] = ["median", "p90", "p99", "mean"].map(of);
        text += &format!("  {name:<28} {median:>8.2} {p90:>8.2} {p99:>8.2} {mean:>8.2}\n");
    }
    text += &format!("\n{events} events on {keys} keys in one session: linear memory\n");
    for Memory { done, bytes } in &document.alone {
        text += &format!("  {:>4.0} % {bytes:>12} bytes\n", 100.0 * done);
    }
    text += &format!("\n{events} events on {keys} keys in {sessions} sessions of one instance: linear memory\n");
    for Memory { done, bytes } in &document.memory {
        let each = *bytes as f64 / *sessions as f64 / 1024.0;
        text += &format!("  {:>4.0} % {bytes:>12} bytes, {each:>6.0} KB a session\n", 100.0 * done);
    }
    text += &format!("\nbounded counters beside unbounded ones ({:.0} subjects were forgotten)\n", document.evicted);
    let head = ["keys", "kept", "mass", "lost", "worst", "lost of top 100"];
    text += &format!(
        "  {:<16} {:>8} {:>8} {:>10} {:>8} {:>8} {:>16}\n",
        "", head[0], head[1], head[2], head[3], head[4], head[5]
    );
    for e in &document.errors {
        let share = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
        text += &format!(
            "  {:<16} {:>8} {:>8} {:>10.1} {:>6.2} % {:>8.4} {:>14.4} %\n",
            e.signal,
            e.subjects,
            e.kept,
            e.mass,
            share(e.lost, e.mass),
            e.worst,
            share(e.top_lost, e.top)
        );
    }
    let Snapshots { differing, bytes, write_ms, read_ms } = &document.snapshots;
    text += &format!(
        "\nsnapshots: {:.0} KB, written in {write_ms:.2} ms, restored in {read_ms:.2} ms; {differing} of {sessions} restored sessions differ\n",
        bytes / 1024.0
    );
    text
}
