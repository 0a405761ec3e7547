//! Walks the graph once and writes the plan. Every value is a row for each candidate or one row
//! for all; an operator that would mix rows is refused, as is anything the plan has no step for,
//! with the change that would help. Nothing stops at the first problem.

use super::graph::{Dim, Fact, Graph, Node, NodeKind, Prepared};
use super::moves;
use super::norms::Affine;
use super::problems::Problems;
use super::register::{Kept, Spec};
use crate::engine::plan::{DType, Op, Plan, Port, Rows, Step, Value};
use crate::engine::tensor::{Data, Tensor, Tensors};
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::{DatumType, OutletId, Symbol, Tensor as Constant};

/// The widest row that the engine takes.
const MAX_WIDTH: usize = 1 << 16;

/// A value of the graph while it is lowered.
#[derive(Debug, Clone)]
pub(super) enum Val {
    /// Known at compile time.
    Constant(Arc<Constant>),
    /// Computed by the plan; `shape` is ONNX's.
    Run { value: u32, shape: Vec<Dim> },
    /// Given by a node that is refused: what depends on it is passed over in silence.
    Refused,
}

/// A node of the graph with its operands.
pub(super) struct Call<'a> {
    pub spec: &'a Spec,
    pub kept: &'a Kept,
    /// By ONNX position; none for an optional input left out.
    pub inputs: Vec<Option<Val>>,
    pub outputs: Vec<Option<Fact>>,
}

/// What a node gives, or what is wrong with it and would help.
pub(super) type Lowered = Result<Vec<Val>, String>;

/// The plan being written.
pub(super) struct Lowering {
    pub plan: Plan,
    pub tensors: Tensors,
    pub problems: Problems,
    /// Batch normalisations, for [`super::fuse`].
    pub affines: Vec<Affine>,
    /// The symbol of the number of candidates.
    pub rows: Symbol,
    prefix: String,
    /// Name of the node being lowered.
    node: String,
}

/// Lowers the whole graph.
pub(super) fn lower(graph: &Graph, prepared: &Prepared, prefix: &str, problems: Problems) -> Lowering {
    let mut lowering = Lowering {
        plan: Plan::default(),
        tensors: Tensors::new(),
        problems,
        affines: vec![],
        rows: graph.rows.0.clone(),
        prefix: prefix.into(),
        node: String::new(),
    };
    let mut values: HashMap<OutletId, Val> = HashMap::new();
    for (name, fact) in &prepared.inputs {
        let val = lowering.input(name, fact);
        if let Some(outlet) = graph.inputs.get(name) {
            values.insert(*outlet, val);
        }
    }
    for node in &graph.nodes {
        lowering.node(graph, node, &mut values);
    }
    for (outlet, name) in graph.outputs.iter().zip(&prepared.outputs) {
        if let Some(val) = values.get(outlet).cloned() {
            lowering.output(name, val, graph.facts.get(outlet));
        }
    }
    lowering
}

impl Lowering {
    fn node(&mut self, graph: &Graph, node: &Node, values: &mut HashMap<OutletId, Val>) {
        let (spec, problem, kept) = match &node.kind {
            NodeKind::Source => return,
            NodeKind::Constant(tensor) => {
                values.insert(OutletId::new(node.id, 0), Val::Constant(tensor.clone()));
                return;
            }
            NodeKind::Op { spec, problem, kept } => (spec, problem, kept),
            NodeKind::Foreign(name) => {
                self.problems.add(name, name, "this step is not ONNX's");
                return;
            }
        };
        let mut given = node.inputs.iter().map(|outlet| values.get(outlet).cloned().unwrap_or(Val::Refused));
        let inputs: Vec<Option<Val>> =
            spec.present.iter().map(|&present| if present { given.next() } else { None }).collect();
        let outputs: Vec<Option<Fact>> =
            (0..spec.outputs).map(|slot| graph.facts.get(&OutletId::new(node.id, slot)).cloned()).collect();
        let refused = inputs.iter().any(|input| matches!(input, Some(Val::Refused)));
        self.node = spec.name.clone();
        let result = match problem {
            Some(problem) => Err(format!("{problem}; {}", super::ops::instead(&spec.op))),
            None if refused => Ok(vec![]),
            None => {
                let call = Call { spec, kept, inputs, outputs };
                super::ops::lower(self, &call)
            }
        };
        let given = result.unwrap_or_else(|problem| {
            self.problems.add(&spec.name, &spec.op, problem);
            vec![]
        });
        let mut given = given.into_iter();
        for slot in 0..spec.outputs {
            values.insert(OutletId::new(node.id, slot), given.next().unwrap_or(Val::Refused));
        }
    }

    fn input(&mut self, name: &str, fact: &Fact) -> Val {
        match (self.dtype(fact.dtype), layout(&fact.shape)) {
            (Ok(dtype), Ok((rows, inner))) => {
                let value = self.value(dtype, rows, inner.iter().product());
                self.plan.inputs.push(Port { name: name.into(), value, dims: dims(&fact.shape) });
                Val::Run { value, shape: fact.shape.clone() }
            }
            (Err(problem), _) | (_, Err(problem)) => {
                self.problems.add(name, "input", problem);
                Val::Refused
            }
        }
    }

    fn output(&mut self, name: &str, val: Val, fact: Option<&Fact>) {
        self.node = name.to_string();
        let (value, shape) = match (&val, fact) {
            (Val::Refused, _) => {
                self.problems.lost(name);
                return;
            }
            (Val::Run { value, shape }, _) => (Ok(*value), shape.clone()),
            (Val::Constant(tensor), _) => {
                (self.constant(tensor), tensor.shape().iter().map(|&d| Dim::Fixed(d)).collect())
            }
        };
        match value {
            Ok(mut value) => {
                // Rows that are all alike are only written out where a caller sees them.
                let one = self.plan.values[value as usize];
                if shape.contains(&Dim::Rows) && one.rows == Rows::Shared {
                    let columns = (0..one.width).collect();
                    let repeated = Value { rows: Rows::Candidate, ..one };
                    value = self.push(Op::Select { columns }, vec![value], repeated);
                }
                self.plan.outputs.push(Port { name: name.into(), value, dims: dims(&shape) });
            }
            Err(problem) => self.problems.add(name, "output", problem),
        }
    }

    /// The plan's type of elements for ONNX's.
    pub fn dtype(&mut self, dtype: DatumType) -> Result<DType, String> {
        match dtype {
            DatumType::F32 => Ok(DType::F32),
            DatumType::I32 => Ok(DType::I32),
            DatumType::I64 | DatumType::TDim => Ok(DType::I64),
            DatumType::Bool => Ok(DType::Bool),
            DatumType::F64 | DatumType::F16 => {
                let warning = format!("`{}` computes in {dtype:?}; the plan computes it in float32", self.node);
                if !self.problems.warnings.contains(&warning) {
                    self.problems.warn(warning);
                }
                Ok(DType::F32)
            }
            other => Err(format!("values of type {other:?}: cast to float32 or int64")),
        }
    }

    /// A new value.
    pub fn value(&mut self, dtype: DType, rows: Rows, width: usize) -> u32 {
        self.plan.values.push(Value { dtype, rows, width: u32::try_from(width).unwrap_or(u32::MAX) });
        (self.plan.values.len() - 1) as u32
    }

    /// A step with a new value for its output.
    pub fn push(&mut self, op: Op, inputs: Vec<u32>, output: Value) -> u32 {
        let output = self.value(output.dtype, output.rows, output.width as usize);
        self.plan.steps.push(Step { op, node: self.node.clone(), inputs, output });
        output
    }

    /// Rows of a step over these inputs.
    pub fn rows_of(&self, inputs: &[u32]) -> Rows {
        let candidate = inputs.iter().any(|&i| self.plan.values[i as usize].rows == Rows::Candidate);
        if candidate { Rows::Candidate } else { Rows::Shared }
    }

    /// An f32 step: rows as its inputs have them.
    pub fn float_step(&mut self, op: Op, inputs: &[u32], width: usize) -> u32 {
        let rows = self.rows_of(inputs);
        self.push(op, inputs.to_vec(), Value { dtype: DType::F32, rows, width: width as u32 })
    }

    /// Stores a tensor under a fresh name.
    pub fn tensor(&mut self, role: &str, tensor: Tensor) -> String {
        let name = format!("{}{:04}.{role}", self.prefix, self.tensors.len());
        self.tensors.insert(name.clone(), tensor);
        name
    }

    /// A value holding a constant.
    pub fn constant(&mut self, tensor: &Constant) -> Result<u32, String> {
        let dtype = self.dtype(tensor.datum_type())?;
        let data = match dtype {
            DType::F32 => Data::F32(floats(tensor)?),
            DType::I64 => Data::I64(integers(tensor)?),
            DType::I32 => Data::I32(integers(tensor)?.into_iter().map(|i| i as i32).collect()),
            DType::Bool => Data::U8(integers(tensor)?.into_iter().map(|i| u8::from(i != 0)).collect()),
        };
        let width = tensor.len();
        let name = self.tensor("constant", Tensor { dims: vec![width], data });
        Ok(self.push(Op::Constant { tensor: name }, vec![], Value { dtype, rows: Rows::Shared, width: width as u32 }))
    }

    /// A constant row of f32.
    pub fn constant_row(&mut self, row: Vec<f32>) -> u32 {
        let width = row.len();
        let tensor = self.tensor("constant", Tensor::f32(&[width], row));
        self.push(Op::Constant { tensor }, vec![], Value { dtype: DType::F32, rows: Rows::Shared, width: width as u32 })
    }

    /// The operand as a value of the plan.
    pub fn operand(&mut self, val: &Val) -> Result<(u32, Vec<Dim>), String> {
        match val {
            Val::Run { value, shape } => Ok((*value, shape.clone())),
            Val::Constant(tensor) => {
                Ok((self.constant(tensor)?, tensor.shape().iter().map(|&d| Dim::Fixed(d)).collect()))
            }
            Val::Refused => Err("an operand is refused".into()),
        }
    }

    /// The operand as an f32 value.
    pub fn float_operand(&mut self, val: &Val) -> Result<(u32, Vec<Dim>), String> {
        let (value, shape) = self.operand(val)?;
        Ok((self.cast(value, DType::F32), shape))
    }

    /// The value in another element type.
    pub fn cast(&mut self, value: u32, dtype: DType) -> u32 {
        let from = self.plan.values[value as usize];
        if from.dtype == dtype { value } else { self.push(Op::Cast, vec![value], Value { dtype, ..from }) }
    }

    /// The named columns of a value, which is the value itself if they are all of it in order.
    pub fn select(&mut self, value: u32, columns: Vec<u32>) -> u32 {
        let from = self.plan.values[value as usize];
        if columns.len() == from.width as usize && columns.iter().enumerate().all(|(i, &c)| i == c as usize) {
            return value;
        }
        let width = columns.len() as u32;
        self.push(Op::Select { columns }, vec![value], Value { width, ..from })
    }
}

impl Call<'_> {
    /// Input `i`, which ONNX demands.
    pub fn need(&self, i: usize) -> Result<&Val, String> {
        self.inputs.get(i).and_then(Option::as_ref).ok_or_else(|| format!("input {i} is missing"))
    }
    /// Optional input `i`.
    pub fn optional(&self, i: usize) -> Option<&Val> {
        self.inputs.get(i).and_then(Option::as_ref)
    }
    /// Input `i`, which the plan needs as a constant.
    pub fn constant(&self, i: usize, what: &str) -> Result<Arc<Constant>, String> {
        match self.need(i)? {
            Val::Constant(tensor) => Ok(tensor.clone()),
            _ => Err(format!("{what} is computed: make it a constant of the graph")),
        }
    }
    /// Type and shape of output `i`.
    pub fn output(&self, i: usize) -> Result<&Fact, String> {
        self.outputs.get(i).and_then(Option::as_ref).ok_or_else(|| "its shape is not known".into())
    }
    /// All inputs that are given.
    pub fn given(&self) -> impl Iterator<Item = &Val> {
        self.inputs.iter().flatten()
    }
    /// The output's shape as plan rows and the dimensions inside a row.
    pub fn layout(&self, i: usize) -> Result<(Rows, Vec<usize>), String> {
        layout(&self.output(i)?.shape)
    }
    /// Result of an operator that only moves elements, on constants.
    pub fn moved(&self, inputs: Vec<Constant>) -> Result<Vec<Constant>, String> {
        moves::evaluate(self, inputs)
    }
}

/// Plan rows of an ONNX shape and the dimensions inside a row.
pub(super) fn layout(shape: &[Dim]) -> Result<(Rows, Vec<usize>), String> {
    let lone = shape.iter().filter(|&&dim| dim == Dim::Rows).count() == 1
        && shape.iter().all(|&dim| dim == Dim::Rows || dim == Dim::Fixed(1));
    let (rows, inner) = match shape {
        // [1, N] lies in memory as [N, 1] does; scikit-learn's label look-up gives it.
        _ if lone => return Ok((Rows::Candidate, vec![1; shape.len() - 1])),
        [Dim::Rows, inner @ ..] => (Rows::Candidate, inner),
        [Dim::Fixed(1), inner @ ..] => (Rows::Shared, inner),
        inner => (Rows::Shared, inner),
    };
    let inner: Option<Vec<usize>> =
        inner.iter().map(|dim| if let Dim::Fixed(size) = dim { Some(*size) } else { None }).collect();
    let inner =
        inner.ok_or("it moves or mixes the candidates' axis, which must stay the first: rows are scored one by one")?;
    match inner.iter().try_fold(1_usize, |n, &size| n.checked_mul(size)) {
        Some(1..=MAX_WIDTH) => {}
        Some(0) => return Err("a row without elements".into()),
        _ => return Err(format!("a row of more than {MAX_WIDTH} elements")),
    }
    Ok((rows, inner))
}

/// A port's shape: -1 for the number of candidates.
fn dims(shape: &[Dim]) -> Vec<i64> {
    shape.iter().map(|dim| if let Dim::Fixed(size) = dim { *size as i64 } else { -1 }).collect()
}

/// A constant's elements as f32.
pub(super) fn floats(tensor: &Constant) -> Result<Vec<f32>, String> {
    let cast = tensor.cast_to::<f32>().map_err(|_| "the number of candidates is used as a number".to_string())?;
    let view = cast.try_as_plain_ram().map_err(|e| e.to_string())?;
    Ok(view.as_slice::<f32>().map_err(|e| e.to_string())?.to_vec())
}

/// A constant's elements as i64.
pub(super) fn integers(tensor: &Constant) -> Result<Vec<i64>, String> {
    let cast = tensor.cast_to::<i64>().map_err(|_| "the number of candidates is used as a number".to_string())?;
    let view = cast.try_as_plain_ram().map_err(|e| e.to_string())?;
    Ok(view.as_slice::<i64>().map_err(|e| e.to_string())?.to_vec())
}
