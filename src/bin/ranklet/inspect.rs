//! `ranklet inspect`.

use crate::{cli, files, signing};
use anstyle::Style;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::HumanBytes;
use ranklet::Result;
use ranklet::bundle::{Bundle, Sealed};
use ranklet::calibration::CalibratorSpec;
use ranklet::context::catalogue;
use ranklet::engine::{Data, Op, Plan, Tensors};
use ranklet::policy::PLATFORM;
use ranklet::ranker::{POINTS, Ranker, STATISTICS};
use ranklet::signing::signers;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

pub fn run(args: &cli::Inspect) -> Result<ExitCode> {
    let bytes = files::bundle(&args.bundle)?;
    let ranker = files::open_bytes(&args.bundle, &bytes)?;
    let tensors = Bundle::read(&bytes)?.tensors;
    let signers = signers(&bytes)?;
    let content = Sealed::content_digest(&bytes)?;
    let weights = weights(&ranker.manifest().plan, &tensors);
    let manifest = ranker.manifest();
    if args.signals {
        files::print(&signals(&ranker));
    } else if args.json {
        let mut document = serde_json::to_value(manifest).expect("a manifest holds only strings, numbers and lists");
        document["digests"] = json!(ranker.digests());
        document["digests"]["content"] = json!(content);
        document["signature"] =
            signers.map_or(Value::Null, |[a, b]| json!({ "ed25519": a.to_string(), "p256": b.to_string() }));
        let forms = weights.iter().map(|(form, [n, bytes])| json!({ "form": form, "tensors": n, "bytes": bytes }));
        document["weights"] = forms.collect();
        document["size_bytes"] = json!(ranker.size());
        document["columns"] = json!(manifest.schema.column_names());
        let statistics = statistics(&ranker, &tensors);
        document["training"]["statistics"] = match statistics.is_empty() {
            true => Value::Null,
            false => statistics.iter().map(|(name, row)| json!({ "feature": name, "missing": row[0], "mean": row[1], "std": row[2], "points": row[3..] })).collect(),
        };
        document["signals"] = json!(catalogue(&manifest.context));
        files::print(&format!("{document:#}"));
    } else {
        let signed = signers.as_ref().map_or_else(|| "  signed        no".to_owned(), signing::by);
        print(&ranker, &weights, &tensors, &[format!("  content       {content}"), signed]);
    }
    Ok(ExitCode::SUCCESS)
}

/// Matrices of dense layers and constant tables by the form in which they are stored: how many, and their bytes.
type Weights = BTreeMap<&'static str, [usize; 2]>;

fn weights(plan: &Plan, tensors: &Tensors) -> Weights {
    let named = plan.steps.iter().filter_map(|step| match &step.op {
        Op::Dense { weights, .. } => weights.as_ref(),
        Op::Constant { tensor } => Some(tensor),
        _ => None,
    });
    let mut weights = Weights::new();
    // Each once, however many steps read it.
    for tensor in named.collect::<BTreeSet<_>>().into_iter().filter_map(|name| tensors.get(name)) {
        let (form, bytes) = match &tensor.data {
            Data::F32(v) => ("f32", 4 * v.len()),
            Data::F16(v) => ("f16", 2 * v.len()),
            Data::BF16(v) => ("bf16", 2 * v.len()),
            Data::I8(v) => ("int8", v.len()),
            _ => continue,
        };
        let [count, total] = weights.entry(form).or_default();
        *count += 1;
        *total += bytes;
    }
    weights
}

/// What is stored of each feature's training values: the share of missing ones, mean, standard deviation, and 17 even ranks.
fn statistics<'a>(ranker: &'a Ranker, tensors: &'a Tensors) -> Vec<(&'a str, &'a [f32])> {
    let manifest = ranker.manifest();
    let stored = manifest.training.as_ref().and_then(|training| tensors.get(&training.features)?.as_f32());
    let rows = stored.unwrap_or_default().chunks_exact(STATISTICS);
    manifest.schema.features.iter().map(|f| f.name.as_str()).zip(rows).collect()
}

/// What the policy holds an order to, a line each.
fn policy(ranker: &Ranker) -> Vec<String> {
    let spec = ranker.policy().spec();
    let value = serde_json::to_value(spec).expect("a policy holds only strings, numbers and lists");
    let names = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "weights");
    let mut lines: Vec<String> = names.map(|(name, value)| format!("  policy        {name} = {value}")).collect();
    if let Some(cap) = spec.platform_cap {
        let weights = spec.weights.iter().zip(&ranker.manifest().heads).filter(|(_, head)| head.name == PLATFORM);
        lines.extend(weights.map(|(w, _)| format!("  {PLATFORM}      weight {} of at most {cap}", w.default)));
    }
    lines
}

/// The catalogue of local signals, as wide as a terminal of 100 columns holds.
fn signals(ranker: &Ranker) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["signal", "unit", "privacy", "meaning"]);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(100);
    for info in catalogue(&ranker.manifest().context) {
        table.add_row([&info.name, info.unit, info.privacy.name(), &info.doc]);
    }
    table.to_string()
}

fn print(ranker: &Ranker, weights: &Weights, tensors: &Tensors, sealed: &[String]) {
    let mut lines = Vec::new();
    let mut line = |text: String| lines.push(text);
    let manifest = ranker.manifest();
    let bold = Style::new().bold();
    line(format!("{bold}{}{bold:#} version {}", manifest.name, manifest.version));
    line(format!("  size          {}", HumanBytes(ranker.size() as u64)));
    line(format!("  bundle        {}", ranker.digests().bundle));
    sealed.iter().cloned().for_each(&mut line);
    line(format!("  format        {}.{}, numerics {}", manifest.format, manifest.minor, manifest.numerics));
    line(format!("  compiled by   ranklet {}", manifest.provenance.ranklet));
    line(format!("  checked on    {} rows ({})", manifest.provenance.checked_rows, manifest.provenance.oracle));
    line(format!("  self-test     {} rows, passed here", manifest.golden.rows));
    let forms = weights.iter().map(|(form, [n, bytes])| format!("{n} x {form} ({})", HumanBytes(*bytes as u64)));
    let forms = forms.collect::<Vec<_>>().join(", ");
    line(format!("  weights       {}", if forms.is_empty() { "none but trees'" } else { &forms }));
    let ports = |ports: &[ranklet::engine::Port]| {
        let dims = |d: &[i64]| {
            d.iter().map(|&d| if d < 0 { "N".to_owned() } else { d.to_string() }).collect::<Vec<_>>().join(", ")
        };
        ports.iter().map(|p| format!("{} [{}]", p.name, dims(&p.dims))).collect::<Vec<_>>().join(", ")
    };
    line(format!("  inputs        {}", ports(&manifest.plan.inputs)));
    line(format!("  outputs       {}", ports(&manifest.plan.outputs)));
    if !ranker.ranks() {
        line("  it scores and does not rank: it was compiled from an ONNX file alone".to_owned());
        return files::print(&lines.join("\n"));
    }
    line(format!("  surfaces      {}", manifest.surfaces.join(", ")));
    let signals = catalogue(&manifest.context);
    line(format!("  local signals {} (list them with --signals)", signals.len()));
    let mut heads = Table::new();
    heads.load_style(presets::NOTHING).set_header(["head", "output", "weight", "calibrators"]);
    for (head, weight) in manifest.heads.iter().zip(&manifest.policy.weights) {
        let calibrators = head.calibrators.iter().map(|c| {
            let form = match &c.calibrator {
                CalibratorSpec::Isotonic { .. } => "isotonic",
                CalibratorSpec::Platt { .. } => "platt",
                CalibratorSpec::Temperature { .. } => "temperature",
                CalibratorSpec::Beta { .. } => "beta",
                CalibratorSpec::Plan { .. } => "graph",
            };
            format!("{form} ({})", c.surface.as_deref().unwrap_or("every surface"))
        });
        let output = format!("{}[{}]", manifest.plan.outputs[head.output].name, head.column);
        heads.add_row([
            head.name.clone(),
            output,
            weight.default.to_string(),
            calibrators.collect::<Vec<_>>().join(", "),
        ]);
    }
    line(format!("{heads}"));
    if let Some(training) = &manifest.training {
        let requests =
            if training.requests > 0 { format!(" of {} requests", training.requests) } else { String::new() };
        line(format!("  trained on    {} candidates{requests}", training.rows));
    }
    policy(ranker).into_iter().for_each(&mut line);
    let mut features = Table::new();
    features.load_style(presets::NOTHING).set_header(["column", "feature", "from", "transforms"]);
    let mut column = 0;
    for f in &manifest.schema.features {
        let from = match &f.input {
            Some(input) => format!("{} -> {input}", f.from),
            None => f.from.clone(),
        };
        let transforms = f
            .transforms
            .iter()
            .filter_map(|t| serde_json::to_value(t).ok().and_then(|t| t["op"].as_str().map(str::to_owned)));
        features.add_row([column.to_string(), f.name.clone(), from, transforms.collect::<Vec<_>>().join(", ")]);
        column += f.width();
    }
    line(format!("{features}"));
    let statistics = statistics(ranker, tensors);
    if !statistics.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["trained on", "missing", "mean", "std", "least", "25 %", "50 %", "75 %", "greatest"]);
        for column in 1..9 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for (name, row) in statistics {
            let points = [0, 4, 8, 12, 16].map(|point| number(row[STATISTICS - POINTS + point]));
            let cells = [name.to_owned(), format!("{:.1} %", 100.0 * row[0]), number(row[1]), number(row[2])];
            table.add_row(cells.into_iter().chain(points));
        }
        line(format!("{table}"));
    }
    files::print(&lines.join("\n"));
}

/// Four significant digits, a dash for what is not there.
fn number(x: f32) -> String {
    match x {
        x if x.is_nan() => "-".to_owned(),
        x if x == 0.0 || (0.001..10_000.0).contains(&x.abs()) => {
            let digits = (0..4).find(|&digits| x.abs() >= 1000.0 / [1.0, 10.0, 100.0, 1000.0][digits]).unwrap_or(3);
            let text = format!("{x:.digits$}");
            if digits > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        x => format!("{x:.3e}"),
    }
}
