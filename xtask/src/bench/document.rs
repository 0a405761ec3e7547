//! What the benchmark measures, as it is written to `benches/record/`. Times are in ms, sizes in bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::goals::Answer;
use super::rerank::Rerank;

/// The engines' names in the document.
pub const RANKLET: &str = "ranklet";
pub const WEB: &str = "onnxruntime-web";
pub const NATIVE: &str = "onnxruntime";
pub const TRACT: &str = "tract";
pub const RTEN: &str = "rten";

#[derive(Debug, Serialize, Deserialize)]
pub struct Document {
    pub date: String,
    /// The commit measured, `-dirty` if the clone held changes.
    #[serde(default)]
    pub commit: String,
    /// `quick`, `normal` or `full`.
    pub mode: String,
    pub machine: Machine,
    pub versions: BTreeMap<String, String>,
    /// Brotli bytes that a browser loads, by engine.
    #[serde(default)]
    pub brotli: BTreeMap<String, usize>,
    /// Set beside what the project wants to show.
    #[serde(default)]
    pub goals: Vec<Answer>,
    /// In one Node process.
    pub models: Vec<Model>,
    /// ranklet's linear memory over many calls.
    #[serde(default)]
    pub flat: Vec<Flat>,
    /// The same in a page, where this machine has a Chromium.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
    /// The whole re-rank by stage, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank: Option<Rerank>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    /// Of Chromium.
    pub version: String,
    pub models: Vec<Model>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory: u64,
    pub platform: String,
    /// Processes that ran or wanted to, averaged over the minute before: above `cores` the times are noisy.
    pub load_before: f64,
    pub load_after: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    pub name: String,
    pub title: String,
    /// None for trees.
    pub multiply_adds: Option<MultiplyAdds>,
    /// Context inputs that change on a prepared list.
    #[serde(default)]
    pub prepared_inputs: Vec<String>,
    /// Engines that cannot run it, and why.
    #[serde(default)]
    pub absent: BTreeMap<String, String>,
    /// By engine.
    pub cold: BTreeMap<String, Cold>,
    pub lists: Vec<List>,
    /// ranklet on a prepared list beside the peers' full runs, an element of the context changed before every call.
    #[serde(default)]
    pub prepared: Vec<List>,
    /// ranklet with weights of 8 bits beside the peers' f32; the difference is that of the weights.
    #[serde(default)]
    pub integers: Vec<List>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct MultiplyAdds {
    /// Of one candidate, as the graph stands.
    pub unsplit: f64,
    /// Of one candidate, when what is shared is done once.
    pub candidate: f64,
    /// Of what is shared, once a request.
    pub request: f64,
}

/// Bytes in memory to the first scores of 100 rows, in a process of its own.
#[derive(Debug, Serialize, Deserialize)]
pub struct Cold {
    pub ms: f64,
    /// Linear memory after lists of 1000 rows; Node alone can watch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
}

/// One length of list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    pub rows: usize,
    /// The largest |d| / max(1, |y|) of any engine from ONNX Runtime's native outputs.
    pub difference: f64,
    pub rounds: usize,
    /// Median and quartiles of one call, by engine.
    pub engines: BTreeMap<String, Times>,
    /// Median and quartiles, by peer, of how many times as long as ranklet it took in the same round.
    pub ratios: BTreeMap<String, Ratio>,
    /// The bare 4 x 8 loop on each dense layer, in the same rounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bare: Vec<Bare>,
    /// The bare loop's time over all layers by ranklet's whole call, round by round: 1 is as fast as the loop alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bare_share: Option<Ratio>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Times {
    pub ms: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Ratio {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// A bare loop over one layer's shape.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bare {
    pub inputs: usize,
    pub outputs: usize,
    /// Of the whole list, a last panel of eight columns counted full.
    pub multiply_adds: f64,
    pub ms: f64,
    pub low: f64,
    pub high: f64,
}

/// Linear memory before and after many calls of one model.
#[derive(Debug, Serialize, Deserialize)]
pub struct Flat {
    pub model: String,
    pub rows: usize,
    pub calls: usize,
    pub before: usize,
    pub after: usize,
}

impl Bare {
    /// Of the panel, whose columns all cost the same.
    pub fn gflops(&self) -> f64 {
        2e-6 * self.multiply_adds / self.ms
    }
}

impl List {
    /// ranklet's GFLOP/s on a model of this many multiply-adds.
    pub fn gflops(&self, count: &MultiplyAdds) -> Option<f64> {
        let own = self.engines.get(RANKLET)?;
        Some(2e-6 * (self.rows as f64 * count.candidate + count.request) / own.ms)
    }

    /// The bare loop's GFLOP/s over all layers: each layer's own columns at the speed of its panels.
    pub fn bare_gflops(&self) -> Option<f64> {
        let (mut work, mut ms) = (0.0, 0.0);
        for layer in &self.bare {
            let own = (self.rows * layer.inputs * layer.outputs) as f64;
            work += own;
            ms += 2e-6 * own / layer.gflops();
        }
        (ms > 0.0).then(|| 2e-6 * work / ms)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A small model measured in Node at one length.
    pub fn document() -> Document {
        serde_json::from_str(
            r#"{ "date": "2026-01-01", "mode": "quick", "versions": { "node": "20" }, "brotli": { "ranklet": 100000 },
                "machine": { "cpu": "AMD EPYC", "cores": 2, "memory": 1, "platform": "", "loadBefore": 3, "loadAfter": 0 },
                "flat": [{ "model": "m", "rows": 1000, "calls": 20, "before": 65536, "after": 131072 }],
                "models": [{ "name": "mlp-64-128-64-1", "title": "MLP 64-128-64-1", "cold": {},
                  "absent": { "rten": "no such operator" },
                  "multiplyAdds": { "unsplit": 16448, "candidate": 16448, "request": 0 },
                  "lists": [{ "rows": 100, "difference": 0, "rounds": 9,
                    "engines": { "ranklet": { "ms": 0.1, "low": 0.1, "high": 0.1 },
                      "onnxruntime-web": { "ms": 0.275, "low": 0.2, "high": 0.3 } },
                    "ratios": { "onnxruntime-web": { "median": 2.75, "low": 2, "high": 3 } },
                    "bareShare": { "median": 0.82, "low": 0.8, "high": 0.85 },
                    "bare": [
                      { "inputs": 64, "outputs": 128, "multiplyAdds": 819200, "ms": 0.04096, "low": 0, "high": 0 },
                      { "inputs": 128, "outputs": 64, "multiplyAdds": 819200, "ms": 0.04096, "low": 0, "high": 0 },
                      { "inputs": 64, "outputs": 1, "multiplyAdds": 51200, "ms": 0.00256, "low": 0, "high": 0 }] }] }] }"#,
        )
        .unwrap()
    }

    #[test]
    fn a_last_column_alone_is_counted_at_the_speed_of_its_panel() {
        let document = document();
        let list = &document.models[0].lists[0];
        assert!((list.bare_gflops().unwrap() - 40.0).abs() < 1e-9);
        assert!((list.gflops(&document.models[0].multiply_adds.unwrap()).unwrap() - 32.896).abs() < 1e-9);
    }
}
