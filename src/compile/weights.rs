//! Small weights: layers and tables of a checked plan in fewer bits, and what that does to the scores.
//!
//! Biases, scales of normalisations, trees and calibrators stay f32: they are few, or decide where a row goes. f16 and
//! bf16 are storage alone, decoded once at open. int8 is arithmetic too: see [`ranklet_kernels::int8`]. Where that does
//! not pay, in narrow layers and in tables, the weights are then f16, whose error lies far below that of int8.

use super::Lowered;
use super::loss::{self, Loss};
use crate::engine::plan::{DType, Op, Over, Plan, Step};
use crate::engine::tensor::{Data, Tensor, Tensors};
use crate::engine::{Interpreter, Rows};
use crate::error::{Error, ErrorKind, Result};
use crate::json::read_names;
use ranklet_kernels::{half, int8};
use std::collections::{BTreeMap, BTreeSet};

/// A layer of fewer inputs or outputs runs sooner in f32: to quantise a row costs more than its few products save. In V8
/// (Node 20, simd128, 2026-11-24, 100 rows) 16 -> 64 runs at 0.95 of f32's speed, 64 -> 16 at 0.95, 32 -> 32 at 1.0,
/// 32 -> 64 at 1.15, 64 -> 128 at 1.5, 256 -> 512 at 1.87.
const NARROW: usize = 32;

/// Fewer weights are not worth their rounding.
const FEW: usize = 256;

/// The form in which weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightForm {
    /// As they are.
    #[default]
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    BF16,
    /// Integers of 8 bits with a scale for each output of a layer.
    Int8,
}

read_names!(WeightForm { "f32" => F32, "f16" => F16, "bf16" => BF16, "int8" => Int8 });

impl WeightForm {
    /// Every form.
    pub const ALL: [WeightForm; 4] = [WeightForm::F32, WeightForm::F16, WeightForm::BF16, WeightForm::Int8];

    /// As a specification and the command line spell it.
    pub const fn name(self) -> &'static str {
        match self {
            WeightForm::F32 => "f32",
            WeightForm::F16 => "f16",
            WeightForm::BF16 => "bf16",
            WeightForm::Int8 => "int8",
        }
    }

    /// The form of that name.
    ///
    /// # Errors
    /// `spec_invalid` lists the names.
    pub fn named(name: &str) -> Result<WeightForm> {
        WeightForm::ALL.into_iter().find(|form| form.name() == name).ok_or_else(|| {
            let names = WeightForm::ALL.map(WeightForm::name).join(", ");
            Error::new(ErrorKind::SpecInvalid, format!("weights {name:?}: one of these was expected: {names}"))
        })
    }
}

/// How weights are stored, and how far a score may move for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Storage {
    /// The form.
    pub form: WeightForm,
    /// Largest |score - f32 score| / max(1, |f32 score|) that is accepted.
    pub tolerance: f64,
}

impl Storage {
    /// The same, but for what is given.
    ///
    /// # Errors
    /// `spec_invalid` for a tolerance that is none.
    pub fn with(self, form: Option<WeightForm>, tolerance: Option<f64>) -> Result<Storage> {
        let storage = Storage { form: form.unwrap_or(self.form), tolerance: tolerance.unwrap_or(self.tolerance) };
        if storage.tolerance >= 0.0 {
            return Ok(storage);
        }
        let message = format!("weights_tolerance {}: a number from 0 on was expected", storage.tolerance);
        Err(Error::new(ErrorKind::SpecInvalid, message))
    }
}

impl Default for Storage {
    fn default() -> Self {
        Storage { form: WeightForm::F32, tolerance: 0.05 }
    }
}

/// What small weights are and do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmallWeights {
    /// The form asked for.
    pub form: WeightForm,
    /// Matrices stored as int8.
    pub int8: usize,
    /// Matrices and tables stored with 16 bits.
    pub half: usize,
    /// Matrices and tables left in f32.
    pub f32: usize,
    /// Bytes of all weights as stored, scales included.
    pub bytes: usize,
    /// Bytes of the same weights in f32.
    pub bytes_f32: usize,
    /// Largest |score - f32 score| / max(1, |f32 score|) on all rows checked.
    pub largest_error: f64,
    /// 1 - NDCG of the order by these scores, where the order by f32 scores is the truth; the worst output column. Rows
    /// form lists of at most 100; a row's gain is the share of its list that its f32 score is above.
    pub ndcg_loss: f64,
    /// Whole-number outputs (labels) that changed.
    pub labels_changed: usize,
}

impl SmallWeights {
    fn count(&mut self, weights: usize, stored: Option<&(Data, Vec<f32>)>) {
        self.bytes_f32 += 4 * weights;
        match stored {
            Some((Data::I8(_), scales)) => {
                self.int8 += 1;
                self.bytes += weights + 4 * scales.len();
            }
            Some(_) => {
                self.half += 1;
                self.bytes += 2 * weights;
            }
            None => {
                self.f32 += 1;
                self.bytes += 4 * weights;
            }
        }
    }
}

/// Rows that the plan was checked on, and the outputs that it gave for them.
pub(super) struct Seen {
    pub inputs: Tensors,
    pub outputs: Tensors,
}

/// Stores the weights of a checked plan in a smaller form; gives the interpreter of what is stored. The order of the
/// last of the rows seen is the one reported.
///
/// # Errors
/// `golden_mismatch` where a score moves further than the tolerance.
pub(super) fn store(lowered: &mut Lowered, storage: Storage, seen: &[Seen]) -> Result<(Interpreter, SmallWeights)> {
    let mut report = shrink(&mut lowered.plan, &mut lowered.tensors, storage.form);
    let mut engine = Interpreter::new(lowered.plan.clone(), &lowered.tensors)?;
    for rows in seen {
        let outputs: Tensors = engine.score(|name| rows.inputs.get(name))?.into_iter().collect();
        let Loss { error, worst, ndcg, labels_changed } = loss::measure(&lowered.plan, &rows.outputs, &outputs);
        if error > storage.tolerance {
            let form = storage.form.name();
            let message = format!(
                "weights as {form}: {}; that is {error:.3} of max(1, |score|), {} are allowed: store them in a wider \
                 form, or raise weights_tolerance",
                worst.unwrap_or_default(),
                storage.tolerance
            );
            return Err(Error::new(ErrorKind::GoldenMismatch, message));
        }
        if error > report.largest_error {
            report.largest_error = error;
        }
        report.ndcg_loss = 1.0 - ndcg;
        report.labels_changed += labels_changed;
    }
    Ok((engine, report))
}

fn shrink(plan: &mut Plan, tensors: &mut Tensors, form: WeightForm) -> SmallWeights {
    let mut report = SmallWeights {
        form,
        int8: 0,
        half: 0,
        f32: 0,
        bytes: 0,
        bytes_f32: 0,
        largest_error: 0.0,
        ndcg_loss: 0.0,
        labels_changed: 0,
    };
    let tables = tables(plan);
    // Layers may share a matrix: it is stored once in each form.
    let mut done: BTreeMap<(String, usize), Option<Small>> = BTreeMap::new();
    for step in &mut plan.steps {
        // Of a table no outputs are known, so that it is never integers.
        let (name, outputs) = match &step.op {
            Op::Dense { weights: Some(name), outputs, .. } => (name, *outputs as usize),
            Op::Constant { tensor } if tables.contains(&step.output) => (tensor, 0),
            _ => continue,
        };
        let Some(values) = tensors.get(name).and_then(Tensor::as_f32) else { continue };
        let small = match done.get(&(name.clone(), outputs)) {
            Some(small) => small.clone(),
            None => {
                let small = smaller(values, outputs, form);
                report.count(values.len(), small.as_ref());
                let dims = tensors[name].dims.clone();
                let small = small.map(|(data, scales)| put(tensors, name, dims, data, scales));
                done.insert((name.clone(), outputs), small.clone());
                small
            }
        };
        if let Some(small) = small {
            small.put_into(&mut step.op);
        }
    }
    let used: BTreeSet<String> = plan.steps.iter().flat_map(|step| step.op.tensors()).cloned().collect();
    tensors.retain(|name, _| used.contains(name));
    report
}

/// Names of what was stored.
#[derive(Debug, Clone)]
struct Small {
    weights: String,
    scales: Option<String>,
}

impl Small {
    fn put_into(self, op: &mut Op) {
        match op {
            Op::Dense { weights, scales, .. } => (*weights, *scales) = (Some(self.weights), self.scales),
            Op::Constant { tensor } => *tensor = self.weights,
            _ => {}
        }
    }
}

fn put(tensors: &mut Tensors, name: &str, dims: Vec<usize>, data: Data, scales: Vec<f32>) -> Small {
    let form = match data {
        Data::I8(_) => "int8",
        Data::BF16(_) => "bf16",
        _ => "f16",
    };
    let weights = format!("{name}.{form}");
    tensors.insert(weights.clone(), Tensor { dims, data });
    let scales = (!scales.is_empty()).then(|| {
        let name = format!("{name}.scales");
        tensors.insert(name.clone(), Tensor::f32(&[scales.len()], scales));
        name
    });
    Small { weights, scales }
}

/// Constants of f32 that are read as tables, or as factors of products, and not otherwise.
fn tables(plan: &Plan) -> BTreeSet<u32> {
    let is_table = |step: &Step, value: u32| {
        step.inputs.iter().enumerate().filter(|(_, input)| **input == value).all(|(i, _)| match &step.op {
            // Rows of one element may be anything (a label, a bound), rows of more are embeddings.
            Op::Take { block, .. } => i == 0 && *block > 1,
            Op::Product(product) => product.over == Over::Row,
            _ => false,
        })
    };
    let candidate = |step: &&Step| {
        let value = plan.values[step.output as usize];
        let readers = || plan.steps.iter().filter(|reader| reader.inputs.contains(&step.output));
        let output = plan.outputs.iter().any(|port| port.value == step.output);
        matches!(step.op, Op::Constant { .. })
            && (value.dtype, value.rows) == (DType::F32, Rows::Shared)
            && !output
            && readers().next().is_some()
            && readers().all(|reader| is_table(reader, step.output))
    };
    plan.steps.iter().filter(candidate).map(|step| step.output).collect()
}

/// Weights in a smaller form, and the scales of integers; none where they are better left as they are.
fn smaller(values: &[f32], outputs: usize, form: WeightForm) -> Option<(Data, Vec<f32>)> {
    if values.len() < FEW {
        return None;
    }
    match form {
        WeightForm::F32 => None,
        WeightForm::F16 | WeightForm::BF16 => rounded(values, form),
        WeightForm::Int8 => integers(values, outputs).or_else(|| rounded(values, WeightForm::F16)),
    }
}

/// Weights `[inputs, outputs]` as integers and their scales; none where they are better floats.
fn integers(values: &[f32], outputs: usize) -> Option<(Data, Vec<f32>)> {
    if outputs < NARROW || values.len() / outputs < NARROW || values.iter().any(|w| !w.is_finite()) {
        return None;
    }
    let inputs = values.len() / outputs;
    let (mut quantised, mut scales) = (vec![0; values.len()], vec![0.0; outputs]);
    int8::quantise8(values, inputs, outputs, &mut quantised, &mut scales);
    Some((Data::I8(quantised), scales))
}

/// Values with 16 bits; none where one would become infinite.
fn rounded(values: &[f32], form: WeightForm) -> Option<(Data, Vec<f32>)> {
    let mut bits = vec![0; values.len()];
    let data = if form == WeightForm::BF16 {
        half::encode_bf16(values, &mut bits);
        Data::BF16(bits)
    } else {
        half::encode_f16(values, &mut bits);
        Data::F16(bits)
    };
    let small = Tensor { dims: vec![values.len()], data };
    let stays = small.decoded()?.iter().zip(values).all(|(small, exact)| small.is_finite() || !exact.is_finite());
    stays.then_some((small.data, vec![]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Slice;
    use crate::engine::plan::{Port, Value};

    /// Rows of a table `[100, width]` by the candidates' ids.
    fn embedding(width: u32, table: Vec<f32>) -> (Plan, Tensors) {
        let value = |dtype, rows, width| Value { dtype, rows, width };
        let port = |name: &str, value, dims: Vec<i64>| Port { name: name.into(), value, dims };
        let step = |op, inputs, output| Step { op, node: "embedding".into(), inputs, output };
        let plan = Plan {
            inputs: vec![port("id", 0, vec![-1])],
            outputs: vec![port("e", 2, vec![-1, i64::from(width)])],
            values: vec![
                value(DType::I64, Rows::Candidate, 1),
                value(DType::F32, Rows::Shared, 100 * width),
                value(DType::F32, Rows::Candidate, width),
            ],
            steps: vec![
                step(Op::Constant { tensor: "table".into() }, vec![], 1),
                step(Op::Take { size: 100, block: width }, vec![1, 0], 2),
            ],
        };
        (plan, Tensors::from([("table".to_owned(), Tensor::f32(&[table.len()], table))]))
    }

    fn rows(plan: Plan, tensors: &Tensors) -> Vec<f32> {
        let ids = [0, 99, 41];
        let mut engine = Interpreter::new(plan, tensors).expect("the plan is well-formed");
        let outputs = engine.run_all(&[Slice::I64(&ids)], ids.len()).expect("the ids fit");
        outputs[0].slice().f32().to_vec()
    }

    #[test]
    fn embeddings_have_16_bits_and_are_decoded_at_open() {
        let table: Vec<f32> = (0..800).map(|i| i as f32 / 7.0 - 50.0).collect();
        for (form, step) in [(WeightForm::F16, 2e-3), (WeightForm::BF16, 16e-3), (WeightForm::Int8, 2e-3)] {
            let (mut plan, mut tensors) = embedding(8, table.clone());
            let exact = rows(plan.clone(), &tensors);
            let report = shrink(&mut plan, &mut tensors, form);
            assert_eq!((report.int8, report.half, report.f32), (0, 1, 0));
            assert_eq!((report.bytes, report.bytes_f32, tensors.len()), (1600, 3200, 1));
            let small = rows(plan, &tensors);
            assert_ne!(small, exact);
            assert!(small.iter().zip(&exact).all(|(s, e)| (s - e).abs() <= step * e.abs()), "{form:?}");
        }
    }

    #[test]
    fn rows_of_one_element_and_values_out_of_range_stay() {
        let (mut plan, mut tensors) = embedding(1, (0..100).map(|i| i as f32 + 0.1).collect());
        let before = (plan.clone(), tensors.clone());
        let report = shrink(&mut plan, &mut tensors, WeightForm::F16);
        assert_eq!((report.half, report.f32, report.bytes), (0, 0, 0));
        assert_eq!((plan, tensors), before);
        // 70,000 is no f16; as a bf16 it is.
        for (form, half) in [(WeightForm::F16, 0), (WeightForm::BF16, 1), (WeightForm::Int8, 0)] {
            let (mut plan, mut tensors) = embedding(8, [vec![70_000.0], vec![0.5; 799]].concat());
            let report = shrink(&mut plan, &mut tensors, form);
            assert_eq!((report.half, report.f32), (half, 1 - half), "{form:?}");
        }
    }

    #[test]
    fn a_form_is_found_by_its_name() {
        for form in WeightForm::ALL {
            assert_eq!(WeightForm::named(form.name()), Ok(form));
        }
        assert!(WeightForm::named("int4").is_err_and(|e| e.kind() == ErrorKind::SpecInvalid));
    }
}
