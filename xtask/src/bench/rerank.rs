//! The whole re-rank by stage: 100 candidates of 40 columns after one event, four heads of 200 trees, in Node and Chromium.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::paint::Paint;
use crate::failure::{AtPath, Failure, Result};
use crate::process::must;
use crate::stamp::{Stamp, empty_folder, fresh, keep};
use crate::workspace::Workspace;
use crate::{python, toolchain};

/// What `rerank.mjs` writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rerank {
    pub date: String,
    /// The commit measured, `-dirty` if the clone held changes.
    #[serde(default)]
    pub commit: String,
    pub cpu: String,
    /// Processes that ran or wanted to, averaged over the minute before.
    pub load_before: f64,
    pub load_after: f64,
    /// By `Node 20.1.2` or `Chromium 150.0.1`.
    pub places: BTreeMap<String, Place>,
    /// The lines of the specification's [policy] that were in force.
    #[serde(default)]
    pub policy: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    pub rounds: usize,
    /// Share of the rows for which the model ran again after an event, five seconds after the one before.
    pub rows_run: f64,
    /// Bytes of a full record, on average.
    #[serde(default)]
    pub record_bytes: f64,
    pub stages: BTreeMap<String, Stage>,
}

/// Milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stage {
    pub median: f64,
    pub p99: f64,
}

/// In the order of the table, with what each is; `stages.mjs` says how it is taken.
const STAGES: [(&str, &str); 9] = [
    ("prepare", "objects from JSON to a list"),
    ("observe", "one event"),
    ("scores", "features, model, calibration"),
    ("policy", "what the policy adds"),
    ("rerank", "both"),
    ("unchanged", "a second rerank at once: no row run"),
    ("record", "what onRecord adds, level full"),
    ("whole", "observe, rerank, onRecord"),
    ("reader", "record() as JSON, when asked for"),
];

/// Milliseconds of the median that are to be stayed below.
const GOALS: [(&str, f64); 2] = [("prepare", 0.5), ("whole", 1.0)];

const BUNDLES: [&str; 2] = ["spec", "plain"];

/// Makes what is missing or old, and measures. The package and the command line are built already.
pub fn measure(work: &Workspace, quick: bool) -> Result<Rerank> {
    let folder = make(work)?;
    let out = folder.join("result.json");
    let mut node = toolchain::node()?;
    node.arg(work.root.join("xtask/bench/rerank.mjs")).arg(&folder).arg(&out).args(quick.then_some("--quick"));
    must(&mut node, "the whole re-rank by stage", "see its message above")?;
    let text = fs::read_to_string(&out).at(&out)?;
    let mut measured: Rerank =
        serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string(), out.display(), "report this"))?;
    measured.commit = super::commit(work);
    let spec = folder.join("spec.toml");
    measured.policy = policy(&fs::read_to_string(&spec).at(&spec)?);
    Ok(measured)
}

/// The models and both bundles, in `target/ranklet/bench-rerank`. The features are the command line's: its binary counts.
fn make(work: &Workspace) -> Result<PathBuf> {
    let folder = work.made().join("bench-rerank");
    let sources = work.models().join("ranklet_models");
    let mut stamp = Stamp::of("bench rerank 1").path(&work.binary())?.path(&work.models().join("pyproject.toml"))?;
    for source in ["bench/rerank.py", "bench/rerank.toml", "calibrators.py", "native.py", "trees.py"] {
        stamp = stamp.path(&sources.join(source))?;
    }
    let (stamp, record) = (stamp.value(), folder.join("made.stamp"));
    if !fresh(&record, &stamp, &BUNDLES.map(|name| bundle(&folder, name))) {
        empty_folder(&folder)?;
        let mut make = python::command(work)?;
        make.args(["-m", "ranklet_models.bench.rerank"]).arg(&folder);
        must(&mut make, "the ranker of the whole re-rank", "see its message above")?;
        for name in BUNDLES {
            let mut compile = Command::new(work.binary());
            compile.arg("compile").arg(folder.join(name).with_extension("toml")).arg("-o").arg(bundle(&folder, name));
            must(&mut compile, "its bundle", "mend models/ranklet_models/bench/rerank.toml as the message says")?;
        }
        keep(&record, &stamp)?;
    }
    Ok(folder)
}

fn bundle(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).with_extension("ranklet")
}

/// The lines between `[policy]` and the first feature that say something.
fn policy(spec: &str) -> Vec<String> {
    let lines = spec.lines().map(str::trim).skip_while(|line| *line != "[policy]").skip(1);
    let own = lines.take_while(|line| *line != "[[features]]");
    own.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// For people: the stages in columns by place, then the goals.
pub fn table(measured: &Rerank, paint: &Paint) -> String {
    let mut text =
        format!("{}\n", paint.bold("one re-rank: 100 candidates x 40 columns, 4 heads x 200 trees x 31 leaves"));
    let mut head = format!("{:<48}", "");
    for place in measured.places.keys() {
        head.push_str(&format!("  {place:>22}"));
    }
    text.push_str(&format!("{}\n", paint.dim(&head)));
    for (name, what) in STAGES {
        text.push_str(&format!("{:<48}", format!("{name}: {what}")));
        for place in measured.places.values() {
            let cell = place.stages.get(name).map(|s| format!("{:.4}, p99 {:.3}", s.median, s.p99));
            text.push_str(&format!("  {:>22}", cell.unwrap_or_else(|| "–".into())));
        }
        text.push('\n');
    }
    text.push_str(&format!("{:<48}", "rows run again, events 5 seconds apart"));
    for place in measured.places.values() {
        text.push_str(&format!("  {:>22}", format!("{:.0} %", 100.0 * place.rows_run)));
    }
    text.push_str(&format!("\n{:<48}", "bytes of a full record"));
    for place in measured.places.values() {
        text.push_str(&format!("  {:>22}", format!("{:.0}", place.record_bytes)));
    }
    text.push('\n');
    for (name, goal) in GOALS {
        let seen = measured.places.values().filter_map(|place| place.stages.get(name));
        let worst = seen.map(|stage| stage.median).fold(0.0, |a: f64, b| if b > a { b } else { a });
        let verdict = if worst < goal { paint.good("met") } else { paint.bad("missed") };
        text.push_str(&format!("goal: {name} below {goal} ms, {worst:.3} at worst: {verdict}\n"));
    }
    let policy = if measured.policy.is_empty() { "none".into() } else { measured.policy.join("; ") };
    text.push_str(&paint.dim(&format!("ms; policy in force: {policy}\n")));
    text.push_str(&paint.dim(&format!(
        "{}, load {:.1} before and {:.1} after, commit {}\n\n",
        measured.cpu, measured.load_before, measured.load_after, measured.commit
    )));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_where_the_slowest_place_meets_it() {
        let stage = |median: f64| BTreeMap::from([("whole".to_owned(), Stage { median, p99: 2.0 })]);
        let place = |median| Place { rounds: 9, rows_run: 0.5, record_bytes: 9e3, stages: stage(median) };
        let mut measured = Rerank {
            date: "2026-01-01".into(),
            commit: String::new(),
            cpu: "AMD EPYC".into(),
            load_before: 0.0,
            load_after: 0.0,
            places: BTreeMap::from([("Node 20".into(), place(0.9)), ("Chromium 150".into(), place(0.8))]),
            policy: policy("[policy]\n# why\na = 1\n\n[[features]]\nname = \"x\"\n"),
        };
        let text = table(&measured, &Paint::new(false));
        assert!(text.contains("whole below 1 ms, 0.900 at worst: met") && text.contains("50 %"), "{text}");
        assert!(text.contains("in force: a = 1\n"), "{text}");
        measured.places.insert("Node 22".into(), place(1.1));
        assert!(table(&measured, &Paint::new(false)).contains("1.100 at worst: missed"));
    }
}
