//! Specification and ONNX files -> bundle bytes. Files come through a closure: no file system here.

use super::check::rows_axis;
use super::compare::judge;
use super::golden::telling_rows;
use super::inputs::{check_values, hints, parts};
use super::lower::same_bits;
use super::pack;
use super::spec::{HeadSpec, Spec};
use super::training;
use super::weights::{self, Seen};
use super::{
    CalibratorForm, Comparison, InputHints, Lowered, SmallWeights, Storage, WeightForm, check_inputs, check_rows,
    lower, lower_with, recognise_calibrator,
};
use crate::bundle::{FORMAT, read_tensors, sha256_hex, write};
use crate::calibration::{Calibrator, CalibratorSpec};
use crate::engine::{Buffer, Data, Interpreter, NUMERICS, Plan, Tensor, Tensors, slice};
use crate::error::{Error, ErrorKind, Result};
use crate::features::Encoder;
use crate::json::portable;
use crate::ranker::privacy::is_local_only;
use crate::ranker::{Golden, Head, Manifest, Provenance, SourceDigest, SurfaceCalibrator};
use std::collections::BTreeMap;

/// Golden rows that a bundle carries: every step runs on each, and two tiles of rows are full. A page runs them before its
/// engine has optimised anything. The least of nine opens in Chromium on a busy machine, 32 rows and then 8, with the other
/// changes of 2026-11-24: larger MLP 8.6 and 7.8 ms, smaller 4.2 and 3.7.
const GOLDEN_ROWS: usize = 8;
/// Golden scores of a calibrator.
const CALIBRATOR_ROWS: usize = 33;
/// Seed of the generated inputs: the same sources give the same bundle.
const SEED: u64 = 0x72616e6b;

/// What compile did, for people.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Length of the bundle, bytes.
    pub bytes: usize,
    /// Steps of the plan.
    pub steps: usize,
    /// Rows on which the plan was compared with its oracle.
    pub checked_rows: usize,
    /// Rows compared with ONNX Runtime's outputs.
    pub golden_rows: usize,
    /// Largest |plan - expected| / max(1, |expected|) seen.
    pub largest_difference: f64,
    /// Form of each calibrator.
    pub calibrators: Vec<String>,
    /// What smaller weights than f32 do, where they were asked for.
    pub weights: Option<SmallWeights>,
    /// Things worth knowing that stop nothing.
    pub warnings: Vec<String>,
}

impl Report {
    /// Says how many elements differ, and why they may.
    fn note(&mut self, seen: &Comparison, against: &str) {
        if seen.flipped > 0 {
            self.warnings.push(format!(
                "{} of {} elements differ from {against} behind a step that jumps (a rounding, a comparison, a split) at a computed value",
                seen.flipped, seen.elements
            ));
        }
        if seen.unsteady > 0 {
            self.warnings.push(format!(
                "{} of {} elements differ from {against} by more than 1e-5, by no more than the graph's own answer moves with the last digit of its operands",
                seen.unsteady, seen.elements
            ));
        }
    }
}

/// Lets a test alter the plan between lowering and checking, to see that the check refuses it.
pub type Tamper<'a> = &'a dyn Fn(&mut Lowered);

/// Compiles a specification. `read` gives the bytes of a path in it; `golden` overrides the specification's.
///
/// # Errors
/// `spec_invalid`, `model_unsupported` (every unsupported node at once), `golden_mismatch`, `schema_mismatch`.
pub fn compile_spec(
    spec: &Spec,
    read: &dyn Fn(&str) -> Result<Vec<u8>>,
    golden: Option<Vec<u8>>,
    tamper: Option<Tamper<'_>>,
) -> Result<(Vec<u8>, Report)> {
    let onnx = read(&spec.model.onnx)?;
    let golden = match (golden, &spec.model.golden) {
        (Some(bytes), _) => Some(bytes),
        (None, Some(path)) => Some(read(path)?),
        (None, None) => None,
    };
    let training = spec.model.training.as_deref().map(read).transpose()?;
    let context = spec.context();
    let encoder = Encoder::with_inputs(&spec.features, &spec.inputs, &context)?;
    let schema_digest = spec.schema_digest();
    training::check_digest(spec, &schema_digest, &onnx, golden.as_deref(), training.as_deref())?;
    let shared = if spec.inputs.is_empty() { encoder.shared_columns() } else { Vec::new() };
    let ready = |lowered: &Lowered| {
        let parts = parts(&lowered.plan, &encoder, spec.model.input.as_deref())?;
        check_values(lowered, &spec.features, &encoder, &parts)?;
        Ok(hints(&spec.features, &encoder, &parts))
    };
    let source_of = Source { onnx: &onnx, dims: &spec.model.dims, shared: &shared, hints: &ready };
    let build = Build::model(source_of, golden, spec.model.storage()?, tamper);
    let mut build = build.map_err(|e| e.at(&spec.model.onnx))?;
    let mut sources = vec![source("model", &onnx)];
    let mut heads = Vec::new();
    for (i, head) in spec.heads.iter().enumerate() {
        heads.push(build.head(i, head, read, &mut sources)?);
    }
    let policy = spec.policy();
    let named = policy.diversity.iter().filter_map(|d| d.similarity.output.as_ref());
    for name in named {
        if build.plan.outputs.iter().all(|port| port.name != *name) {
            let what = format!("policy.diversity.similarity.output: the model has no output {name:?}");
            return Err(Error::new(ErrorKind::SpecInvalid, what));
        }
    }
    let alike = policy.diversity.iter().flat_map(|d| &d.similarity.features);
    for feature in alike.filter_map(|name| spec.features.features.iter().find(|f| f.name == *name)) {
        if is_local_only(feature, &context) {
            let what = format!(
                "policy.diversity.similarity.features: {:?} reads a signal that never leaves the device, and a record holds \
                 these vectors",
                feature.name
            );
            return Err(Error::new(ErrorKind::SpecInvalid, what));
        }
    }
    let statistics = training.map(|bytes| training::statistics(&bytes, spec, &encoder)).transpose()?;
    let training = statistics.map(|(training, tensors)| {
        build.tensors.extend(tensors);
        training
    });
    let manifest = build.manifest(sources);
    let manifest = Manifest {
        name: spec.name.clone(),
        version: spec.version,
        surfaces: spec.surfaces.clone(),
        minor: manifest.minor.max(spec.is_of_minor_1().into()),
        input: spec.inputs.is_empty().then_some(0),
        inputs: spec.inputs.clone(),
        heads,
        schema_digest,
        schema: spec.features.clone(),
        context,
        policy_digest: sha256_hex(json(&policy).as_bytes()),
        policy,
        training,
        ..manifest
    };
    Ok(build.finish(&manifest))
}

/// Compiles an ONNX file alone to a bundle that scores and does not rank.
///
/// # Errors
/// As [`compile_spec`].
pub fn compile_onnx(
    name: &str,
    onnx: &[u8],
    dims: &BTreeMap<String, i64>,
    golden: Option<Vec<u8>>,
    storage: Storage,
    tamper: Option<Tamper<'_>>,
) -> Result<(Vec<u8>, Report)> {
    let source_of = Source { onnx, dims, shared: &[], hints: &|_| Ok(InputHints::default()) };
    let build = Build::model(source_of, golden, storage, tamper)?;
    let sources = vec![source("model", onnx)];
    let manifest = Manifest { name: name.to_owned(), version: 1, ..build.manifest(sources) };
    Ok(build.finish(&manifest))
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    // Through `Value`, whose maps are sorted: the text depends on the content alone.
    let value = serde_json::to_value(value).expect("the manifest holds only strings, numbers and lists");
    sorted(&value).to_string()
}

/// The same value with every map in key order, whatever order serde_json was built to keep, and every float in
/// a form that the page reads exactly.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<&String, &Value> = map.iter().collect();
            Value::Object(ordered.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Number(n) if n.is_f64() => n.as_f64().map_or(Value::Null, portable),
        other => other.clone(),
    }
}

fn source(role: &str, bytes: &[u8]) -> SourceDigest {
    SourceDigest { role: role.to_owned(), sha256: sha256_hex(bytes) }
}

/// A graph and what a specification tells of its inputs.
struct Source<'a> {
    onnx: &'a [u8],
    dims: &'a BTreeMap<String, i64>,
    /// Columns that are the same for all candidates.
    shared: &'a [bool],
    /// What is known of the inputs' values, once it is known what the inputs are.
    hints: &'a dyn Fn(&Lowered) -> Result<InputHints>,
}

struct Build {
    plan: Plan,
    tensors: Tensors,
    /// Whether weights are stored as a page reads them.
    packed: bool,
    golden: Golden,
    oracle: String,
    report: Report,
}

impl Build {
    fn model(
        Source { onnx, dims, shared, hints }: Source<'_>,
        golden: Option<Vec<u8>>,
        storage: Storage,
        tamper: Option<Tamper<'_>>,
    ) -> Result<Build> {
        let mut lowered = lower_with(onnx, "plan.", dims, shared)?;
        if let Some(tamper) = tamper {
            tamper(&mut lowered);
        }
        let mut engine = Interpreter::new(lowered.plan.clone(), &lowered.tensors)?;
        let mut report =
            Report { steps: lowered.plan.steps.len(), warnings: lowered.warnings.clone(), ..Report::default() };
        let inputs = check_inputs(&lowered, &hints(&lowered)?, SEED);
        let rows = check_rows(&inputs, &lowered.plan);
        let expected = lowered.oracle.run(&inputs, rows)?;
        let got: Tensors = engine.score(|name| inputs.get(name))?.into_iter().collect();
        let checked =
            judge(&lowered, &inputs, &expected, &got).map_err(|e| e.at("against the graph's own definition"))?;
        report.checked_rows = rows;
        report.largest_difference = checked.largest_difference;
        report.note(&checked, "the graph's own definition");
        let mut seen = vec![Seen { inputs, outputs: got }];
        let mut oracle = "graph".to_owned();
        if let Some(bytes) = golden {
            let given = read_tensors(&bytes).map_err(|e| e.at("golden"))?;
            let got: Tensors = engine.score(|name| given.get(name)).map_err(|e| e.at("golden"))?.into_iter().collect();
            let missing = lowered.plan.outputs.iter().find(|p| !given.contains_key(&p.name));
            if let Some(port) = missing {
                let message = format!("golden: it holds no output {:?}; store every output under its name", port.name);
                return Err(Error::new(ErrorKind::SpecInvalid, message));
            }
            let checked = judge(&lowered, &given, &given, &got).map_err(|e| e.at("against ONNX Runtime's outputs"))?;
            report.note(&checked, "ONNX Runtime's outputs");
            report.golden_rows = check_rows(&given, &lowered.plan);
            if checked.largest_difference > report.largest_difference {
                report.largest_difference = checked.largest_difference;
            }
            seen.push(Seen { inputs: given, outputs: got });
            oracle = "graph, onnxruntime".to_owned();
        }
        if storage.form != WeightForm::F32 {
            let (small, weights) = weights::store(&mut lowered, storage, &seen)?;
            engine = small;
            report.weights = Some(weights);
        }
        let Lowered { plan, mut tensors, .. } = lowered;
        let packed = pack::pack(&plan, &mut tensors);
        if packed {
            let mut next = Interpreter::new(plan.clone(), &tensors)?;
            for rows in &seen {
                let [before, after] = [&mut engine, &mut next].map(|engine| engine.score(|name| rows.inputs.get(name)));
                if !before?.iter().zip(&after?).all(|((_, before), (_, after))| same_bits(before, after)) {
                    let message = "packed weights give other scores than the graph's: this is a defect of ranklet; report the model";
                    return Err(Error::new(ErrorKind::GoldenMismatch, message));
                }
            }
            engine = next;
        }
        let mut build = Build { plan, tensors, packed, golden: Golden::default(), oracle, report };
        if let Some(last) = seen.last() {
            build.store_golden(&mut engine, &last.inputs)?;
        }
        Ok(build)
    }

    /// Keeps the most telling of the checked rows, and the plan's own outputs for them.
    fn store_golden(&mut self, engine: &mut Interpreter, inputs: &Tensors) -> Result<()> {
        let rows = check_rows(inputs, &self.plan);
        let keep = telling_rows(&self.plan, inputs, rows, GOLDEN_ROWS);
        let mut selected = Tensors::new();
        for port in &self.plan.inputs {
            let tensor = &inputs[&port.name];
            let tensor = match rows_axis(port) {
                Some(axis) => select(tensor, rows, axis, &keep),
                None => tensor.clone(),
            };
            selected.insert(port.name.clone(), tensor);
        }
        let slices: Option<Vec<_>> = self.plan.inputs.iter().map(|p| slice(&selected[&p.name])).collect();
        let outputs = engine.run_all(&slices.unwrap_or_default(), keep.len())?;
        // Where another arithmetic moves a quantised activation to its neighbour, a score moves by more than f32's.
        let whole = self.report.weights.is_some_and(|small| small.int8 > 0);
        let tolerance = if whole { 1e-4 } else { 1e-5 };
        let mut golden = Golden { rows: keep.len(), tolerance, ..Golden::default() };
        for (i, data) in outputs.into_iter().enumerate() {
            let name = format!("golden.output.{i}");
            self.tensors.insert(name.clone(), flat(data));
            golden.outputs.push(name);
        }
        for (i, port) in self.plan.inputs.iter().enumerate() {
            let name = format!("golden.input.{i}");
            self.tensors.insert(name.clone(), selected[&port.name].clone());
            golden.inputs.push(name);
        }
        self.golden = golden;
        Ok(())
    }

    fn head(
        &mut self,
        index: usize,
        spec: &HeadSpec,
        read: &dyn Fn(&str) -> Result<Vec<u8>>,
        sources: &mut Vec<SourceDigest>,
    ) -> Result<Head> {
        let names: Vec<&str> = self.plan.outputs.iter().map(|p| p.name.as_str()).collect();
        let invalid = |what: String| Error::new(ErrorKind::SpecInvalid, format!("head {:?}: {what}", spec.name));
        let output = names
            .iter()
            .position(|n| *n == spec.output)
            .ok_or_else(|| invalid(format!("no output {:?}; the model has {}", spec.output, names.join(", "))))?;
        let value = self.plan.values[self.plan.outputs[output].value as usize];
        if spec.column >= value.width as usize || value.dtype != crate::engine::DType::F32 {
            return Err(invalid(format!("column {} is not an f32 of {:?}", spec.column, spec.output)));
        }
        let mut calibrators = Vec::new();
        for (i, file) in spec.calibrators.iter().enumerate() {
            let bytes = read(&file.onnx)?;
            sources.push(source(&format!("calibrator.{index}.{i}"), &bytes));
            let one = self.calibrator(&format!("calibrator.{index}.{i}."), &bytes).map_err(|e| e.at(&file.onnx))?;
            calibrators.push(SurfaceCalibrator { surface: file.surface.clone(), ..one });
        }
        Ok(Head { name: spec.name.clone(), output, column: spec.column, link: spec.link, calibrators })
    }

    /// Recognises a calibrator, checks it against its graph over the unit interval and beyond, stores goldens.
    fn calibrator(&mut self, prefix: &str, onnx: &[u8]) -> Result<SurfaceCalibrator> {
        let mut lowered = lower(onnx, prefix, &BTreeMap::new())?;
        let form = recognise_calibrator(onnx)?;
        let (name, spec) = self.store_form(prefix, form, &mut lowered);
        self.report.calibrators.push(name);
        let mut ready = Calibrator::new(&spec, &self.tensors)?;
        let grid: Vec<f32> = (-200..=1200).map(|i| i as f32 / 1000.0).collect();
        let port = lowered.plan.inputs.first().map(|p| p.name.clone()).unwrap_or_default();
        let inputs = Tensors::from([(port, Tensor::f32(&[grid.len(), 1], grid.clone()))]);
        let expected = lowered.oracle.run(&inputs, grid.len())?;
        let expected = expected.values().next().and_then(Tensor::as_f32).unwrap_or_default().to_vec();
        for (&x, &e) in grid.iter().zip(&expected) {
            let (got, e) = (ready.apply(x), f64::from(e));
            let agrees = (got - e).abs() <= 1e-5 || (got.is_nan() && e.is_nan());
            // Outside [0, 1] a probability's graph may be undefined; there the device sees no score either.
            if !agrees && (0.0..=1.0).contains(&x) {
                let message = format!("the calibrator gives {got} at {x}, its graph {e}");
                return Err(Error::new(ErrorKind::GoldenMismatch, message));
            }
        }
        let golden: Vec<f32> = (0..CALIBRATOR_ROWS).map(|i| i as f32 / (CALIBRATOR_ROWS - 1) as f32).collect();
        let outputs: Vec<f64> = golden.iter().map(|&x| ready.apply(x)).collect();
        let (golden_input, golden_output) = (format!("{prefix}golden.input"), format!("{prefix}golden.output"));
        self.tensors.insert(golden_input.clone(), Tensor::f32(&[golden.len()], golden));
        self.tensors.insert(golden_output.clone(), Tensor::f64(&[outputs.len()], outputs));
        Ok(SurfaceCalibrator { surface: None, calibrator: spec, golden_input, golden_output })
    }

    fn store_form(&mut self, prefix: &str, form: CalibratorForm, lowered: &mut Lowered) -> (String, CalibratorSpec) {
        match form {
            CalibratorForm::Isotonic { x, y } => {
                let knots = x.len();
                let names = (format!("{prefix}x"), format!("{prefix}y"));
                self.tensors.insert(names.0.clone(), Tensor::f64(&[knots], x));
                self.tensors.insert(names.1.clone(), Tensor::f64(&[knots], y));
                (format!("isotonic, {knots} knots"), CalibratorSpec::Isotonic { x: names.0, y: names.1 })
            }
            CalibratorForm::Platt { a, b } => ("platt".to_owned(), CalibratorSpec::Platt { a, b }),
            CalibratorForm::Temperature { t } => ("temperature".to_owned(), CalibratorSpec::Temperature { t }),
            CalibratorForm::Beta { a, b, c } => ("beta".to_owned(), CalibratorSpec::Beta { a, b, c }),
            CalibratorForm::Plan => {
                self.tensors.append(&mut lowered.tensors);
                ("a graph of its own".to_owned(), CalibratorSpec::Plan { plan: lowered.plan.clone().into() })
            }
        }
    }

    fn manifest(&self, sources: Vec<SourceDigest>) -> Manifest {
        Manifest {
            format: FORMAT,
            minor: if self.packed { 2 } else { 0 },
            numerics: NUMERICS,
            plan: self.plan.clone().into(),
            golden: self.golden.clone(),
            provenance: Provenance {
                ranklet: env!("CARGO_PKG_VERSION").to_owned(),
                sources,
                oracle: self.oracle.clone(),
                checked_rows: self.report.checked_rows + self.report.golden_rows,
            },
            ..Manifest::default()
        }
    }

    fn finish(mut self, manifest: &Manifest) -> (Vec<u8>, Report) {
        let bytes = write(&self.tensors, Some(&json(manifest)));
        self.report.bytes = bytes.len();
        (bytes, self.report)
    }
}

/// The named rows of a tensor whose candidates are at `axis`, behind dimensions of 1.
fn select(tensor: &Tensor, rows: usize, axis: usize, keep: &[usize]) -> Tensor {
    fn pick<T: Copy>(v: &[T], rows: usize, keep: &[usize]) -> Vec<T> {
        let width = v.len() / rows.max(1);
        keep.iter().flat_map(|&r| v[r * width..(r + 1) * width].iter().copied()).collect()
    }
    let data = match &tensor.data {
        Data::F32(v) => Data::F32(pick(v, rows, keep).into()),
        Data::F64(v) => Data::F64(pick(v, rows, keep)),
        Data::I32(v) => Data::I32(pick(v, rows, keep).into()),
        Data::I64(v) => Data::I64(pick(v, rows, keep)),
        Data::U8(v) => Data::U8(pick(v, rows, keep)),
        Data::F16(v) => Data::F16(pick(v, rows, keep)),
        Data::BF16(v) => Data::BF16(pick(v, rows, keep)),
        Data::I8(v) => Data::I8(pick(v, rows, keep)),
    };
    let mut dims = tensor.dims.clone();
    if let Some(count) = dims.get_mut(axis) {
        *count = keep.len();
    }
    Tensor { dims, data }
}

fn flat(data: Buffer) -> Tensor {
    match data {
        Buffer::F32(v) => Tensor::f32(&[v.len()], v),
        Buffer::I32(v) => Tensor::i32(&[v.len()], v),
        Buffer::I64(v) => Tensor::i64(&[v.len()], v),
        Buffer::Bool(v) => Tensor::u8(&[v.len()], v),
    }
}
