//! Walks the graph once and writes the plan. Shapes are inferred here, with one size open: the number of candidates.
//! What depends on constants alone is computed at once, by the engine itself; what the plan has no step for is refused
//! with the change that would help. Nothing stops at the first problem.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem, Values};
use super::domain::Domains;
use super::graph::{self, Graph};
use super::node::Node;
use super::problems::Problems;
use super::shape::{self, Dim, Sizes};
use super::split::Origin;
use super::table::Table;
use crate::engine::plan::{Binary, DType, Op, Plan, Port, Rows, Step, Value};
use crate::engine::tensor::{Data, Tensor, Tensors};
use crate::engine::{Buffer, Interpreter};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// The plan being written.
pub(super) struct Lowering {
    pub plan: Plan,
    pub tensors: Tensors,
    pub problems: Problems,
    /// What values were made of, for [`super::split`].
    pub origins: HashMap<u32, Origin>,
    /// Columns of the one input that are the same for all candidates of a request.
    shared: Vec<bool>,
    /// What inputs may be, where that is limited.
    pub domains: Domains,
    /// By value: whether it follows from constants alone.
    known: Vec<bool>,
    /// By value: whether it depends on an input that all candidates share.
    of_request: Vec<bool>,
    /// Steps by what they do, so that none is done twice.
    done: BTreeMap<String, u32>,
    prefix: String,
    /// Name of the node being lowered.
    node: String,
}

/// The plan's type of elements for ONNX's.
pub(super) fn dtype(elem: Elem) -> Result<DType, String> {
    match elem {
        Elem::F16 | Elem::BF16 | Elem::F32 | Elem::F64 => Ok(DType::F32),
        Elem::Bool => Ok(DType::Bool),
        Elem::I8 | Elem::U8 | Elem::I16 | Elem::U16 | Elem::I32 => Ok(DType::I32),
        Elem::U32 | Elem::I64 | Elem::U64 => Ok(DType::I64),
        Elem::Text => Err("values that are texts: encode them in the schema, or train with integers".into()),
    }
}

/// Lowers the whole graph.
pub(super) fn lower(graph: &Graph, prefix: &str, problems: Problems, shared: &[bool]) -> Lowering {
    let mut lowering = Lowering {
        plan: Plan::default(),
        tensors: Tensors::new(),
        problems,
        origins: HashMap::new(),
        shared: shared.to_vec(),
        domains: Domains::new(),
        known: vec![],
        of_request: vec![],
        done: BTreeMap::new(),
        prefix: prefix.into(),
        node: String::new(),
    };
    let mut values: HashMap<String, Val> = HashMap::new();
    for (name, constant) in &graph.constants {
        values.insert(name.clone(), Val::Constant(Rc::new(constant.clone())));
    }
    for input in &graph.inputs {
        let val = lowering.input(input);
        values.insert(input.name.clone(), val);
    }
    lowering.share_columns(graph);
    for node in &graph.nodes {
        lowering.lower_node(node, &mut values);
    }
    for name in &graph.outputs {
        let val = values.get(name).cloned().unwrap_or(Val::Refused);
        lowering.output(name, val);
    }
    lowering
}

impl Lowering {
    fn lower_node(&mut self, node: &Node, values: &mut HashMap<String, Val>) {
        let get = |name: &Option<String>| name.as_ref().map(|n| values.get(n).cloned().unwrap_or(Val::Refused));
        let call = Call { spec: &node.spec, inputs: node.inputs.iter().map(get).collect() };
        self.node = node.spec.name.clone();
        let refused = call.inputs.iter().flatten().any(|input| matches!(input, Val::Refused));
        let given = if refused { Ok(vec![]) } else { super::ops::lower(self, &call) };
        let given = given.and_then(|given| self.fold(given)).unwrap_or_else(|problem| {
            self.problems.add(&node.spec.name, &node.spec.op, problem);
            vec![]
        });
        let mut given = given.into_iter();
        for name in &node.outputs {
            let val = given.next().unwrap_or(Val::Refused);
            if let Some(name) = name {
                values.insert(name.clone(), val);
            }
        }
    }

    /// Outputs that follow from constants become constants: their steps are run by the engine, at once.
    fn fold(&mut self, given: Vec<Val>) -> Lowered {
        let folds = |val: &Val| match val {
            Val::Run { value, shape, .. } => self.known[*value as usize] && shape::candidates(shape) == 0,
            _ => false,
        };
        if !given.iter().any(folds) {
            return Ok(given);
        }
        let mut folded = Vec::with_capacity(given.len());
        for val in given.iter() {
            folded.push(match val {
                Val::Run { value, elem, shape } if folds(val) => {
                    Val::Constant(Rc::new(self.evaluate(*value, *elem, shape)?))
                }
                other => other.clone(),
            });
        }
        Ok(folded)
    }

    /// Runs the steps that a known value follows from.
    fn evaluate(&self, value: u32, elem: Elem, shape: &[Dim]) -> Result<Constant, String> {
        let mut wanted = vec![false; self.plan.values.len()];
        wanted[value as usize] = true;
        let mut steps: Vec<Step> = vec![];
        for step in self.plan.steps.iter().rev() {
            if wanted[step.output as usize] {
                step.inputs.iter().for_each(|&input| wanted[input as usize] = true);
                steps.push(step.clone());
            }
        }
        steps.reverse();
        let sizes = shape::fixed(shape).ok_or("the number of candidates in a constant")?;
        let dims = sizes.iter().map(|&size| size as i64).collect();
        let outputs = vec![Port { name: "constant".into(), value, dims }];
        let mut plan = Plan { inputs: vec![], outputs, values: self.plan.values.clone(), steps };
        super::fuse::renumber(&mut plan);
        let run = Interpreter::new(plan, &self.tensors).and_then(|mut engine| engine.run_all(&[], 0));
        let values = match run.map_err(|e| e.message().to_owned())?.pop() {
            Some(Buffer::F32(v)) => Values::Float(v),
            Some(Buffer::I32(v)) => Values::Int(v.into_iter().map(i64::from).collect()),
            Some(Buffer::I64(v)) => Values::Int(v),
            Some(Buffer::Bool(v)) => Values::Int(v.into_iter().map(i64::from).collect()),
            None => return Err("nothing was computed".into()),
        };
        Ok(Constant { elem, dims: sizes, values })
    }

    fn input(&mut self, input: &graph::Input) -> Val {
        let shape: Vec<Dim> = input
            .dims
            .iter()
            .map(|dim| match dim {
                graph::Dim::Rows => Dim::N,
                graph::Dim::Fixed(size) => Dim::Fixed(*size),
            })
            .collect();
        let front = shape.iter().take_while(|dim| !dim.is_rows()).all(|dim| *dim == Dim::Fixed(1));
        let problem = match shape::candidates(&shape) {
            0 => None,
            1 if front => None,
            1 => Some("the candidates stand behind another axis: transpose the input in the graph, not before it"),
            _ => Some("two axes are the number of candidates: give one value for each candidate"),
        };
        let width = shape::width(&shape);
        match (dtype(input.elem), problem) {
            (Ok(dtype), None) if width > 0 => {
                let rows = if shape::candidates(&shape) == 0 { Rows::Shared } else { Rows::Candidate };
                let value = self.value(dtype, rows, width, false);
                self.of_request[value as usize] = rows == Rows::Shared;
                self.plan.inputs.push(Port { name: input.name.clone(), value, dims: port_dims(&shape) });
                Val::Run { value, elem: input.elem, shape }
            }
            (Err(problem), _) => self.refuse(&input.name, problem),
            (_, Some(problem)) => self.refuse(&input.name, problem),
            _ => self.refuse(&input.name, "it has no elements"),
        }
    }

    /// Knows the one input for what its columns are: some shared, the others each candidate's own.
    fn share_columns(&mut self, graph: &Graph) {
        let [port] = &self.plan.inputs[..] else { return self.shared.clear() };
        let (value, whole) = (port.value, self.plan.values[port.value as usize]);
        let matrix = matches!(port.dims[..], [-1, _]) && whole.dtype == DType::F32;
        let several = self.shared.iter().any(|&s| s) && !self.shared.iter().all(|&s| s);
        if graph.inputs.len() != 1 || !matrix || whole.width as usize != self.shared.len() || !several {
            return self.shared.clear();
        }
        let columns = |shared: bool| -> Vec<i32> {
            self.shared.iter().enumerate().filter(|(_, s)| **s == shared).map(|(c, _)| c as i32).collect()
        };
        let (alike, own) = (columns(true), columns(false));
        let mut part = |columns: Vec<i32>, rows: Rows, lead: Dim| {
            let shape = vec![lead, Dim::Fixed(columns.len())];
            let value = self.select_into(value, columns, 0.0, rows);
            Val::Run { value, elem: Elem::F32, shape }
        };
        let parts = [
            (part(alike.clone(), Rows::Shared, Dim::Fixed(1)), alike),
            (part(own.clone(), Rows::Candidate, Dim::N), own),
        ];
        self.origins.insert(value, Origin::Columns(parts.to_vec()));
    }

    /// Whether a row of the plan sees other rows.
    pub fn is_list_wise(&self) -> bool {
        self.plan.steps.iter().any(|step| {
            matches!(step.op, Op::Position | Op::Count) || (0..step.inputs.len()).any(|i| step.op.reads_whole(i))
        })
    }

    /// For the columns of a value, whether they are the same for all candidates; none where that is not known.
    pub fn shared_columns(&self, value: u32) -> Option<&[bool]> {
        let input = self.plan.inputs.first().filter(|port| port.value == value);
        input.filter(|_| !self.shared.is_empty()).map(|_| &self.shared[..])
    }

    fn refuse(&mut self, input: &str, problem: impl std::fmt::Display) -> Val {
        self.problems.add(input, "input", problem);
        Val::Refused
    }

    fn output(&mut self, name: &str, val: Val) {
        self.node = name.to_string();
        if matches!(val, Val::Refused) {
            self.problems.lost(name);
            return;
        }
        let result = self.operand(&val).and_then(|(value, shape)| {
            let front = shape.iter().take_while(|dim| !dim.is_rows()).all(|dim| *dim == Dim::Fixed(1));
            let leads = shape.iter().all(|dim| !matches!(dim, Dim::Rows { before: 2.., .. }));
            if shape::candidates(&shape) > 0 && !(front && leads) {
                return Err("the candidates stand behind another axis: transpose it so that they come first".into());
            }
            if shape::width(&shape) == 0 {
                return Err("it has no elements".to_owned());
            }
            Ok((self.spread(value, &shape)?, shape))
        });
        match result {
            Ok((value, shape)) => {
                self.plan.outputs.push(Port { name: name.into(), value, dims: port_dims(&shape) });
            }
            Err(problem) => self.problems.add(name, "output", problem),
        }
    }

    /// Rows that are all alike are only written out where somebody needs each: an output, or a step over all of them.
    pub fn spread(&mut self, value: u32, shape: &[Dim]) -> Result<u32, String> {
        let from = self.plan.values[value as usize];
        match (shape::candidates(shape), from.rows) {
            (1, Rows::Shared) => {
                let columns = (0..from.width as i32).collect();
                Ok(self.select_into(value, columns, 0.0, Rows::Candidate))
            }
            (2, Rows::Shared | Rows::Candidate) => Err("rows alike for each pair of candidates".into()),
            _ => Ok(value),
        }
    }

    /// A new value.
    fn value(&mut self, dtype: DType, rows: Rows, width: usize, known: bool) -> u32 {
        self.plan.values.push(Value { dtype, rows, width: u32::try_from(width).unwrap_or(u32::MAX) });
        self.known.push(known);
        self.of_request.push(false);
        (self.plan.values.len() - 1) as u32
    }

    /// A step with a new value for its output, or the value of the same step done before.
    pub fn push(&mut self, op: Op, inputs: &[u32], dtype: DType, rows: Rows, width: usize) -> u32 {
        let key = format!("{op:?}{inputs:?}{dtype:?}{rows:?}{width}");
        if let Some(&value) = self.done.get(&key) {
            return value;
        }
        let independent = !matches!(op, Op::Position | Op::Count);
        let known = independent && inputs.iter().all(|&i| self.known[i as usize]);
        let of_request = inputs.iter().any(|&i| self.of_request[i as usize]);
        let output = self.value(dtype, rows, width, known);
        self.of_request[output as usize] = of_request;
        self.plan.steps.push(Step { op, node: self.node.clone(), inputs: inputs.to_vec(), output });
        self.done.insert(key, output);
        output
    }

    /// Rows of a step over these inputs, candidate by candidate.
    pub fn rows_of(&self, inputs: &[u32]) -> Rows {
        let has = |rows: Rows| inputs.iter().any(|&i| self.plan.values[i as usize].rows == rows);
        match (has(Rows::Pair), has(Rows::Candidate)) {
            (true, _) => Rows::Pair,
            (_, true) => Rows::Candidate,
            _ => Rows::Shared,
        }
    }

    /// A step whose rows are its inputs'.
    pub fn step(&mut self, op: Op, inputs: &[u32], dtype: DType, width: usize) -> u32 {
        let rows = self.rows_of(inputs);
        self.push(op, inputs, dtype, rows, width)
    }

    /// An f32 step whose rows are its inputs'.
    pub fn float_step(&mut self, op: Op, inputs: &[u32], width: usize) -> u32 {
        self.step(op, inputs, DType::F32, width)
    }

    /// Width of a value's row.
    pub fn width(&self, value: u32) -> usize {
        self.plan.values[value as usize].width as usize
    }

    /// Type of a value.
    pub fn dtype_of(&self, value: u32) -> DType {
        self.plan.values[value as usize].dtype
    }

    /// Stores a tensor, or finds the same one stored before.
    pub fn tensor(&mut self, role: &str, tensor: Tensor) -> String {
        let found = self.tensors.iter().find(|(_, known)| same_bits(known, &tensor));
        if let Some((name, _)) = found {
            return name.clone();
        }
        let name = format!("{}{:04}.{role}", self.prefix, self.tensors.len());
        self.tensors.insert(name.clone(), tensor);
        name
    }

    /// A value holding a constant.
    pub fn constant(&mut self, constant: &Constant) -> Result<u32, String> {
        let dtype = dtype(constant.elem)?;
        let width = constant.len();
        if width == 0 {
            return Err("a constant without elements".into());
        }
        let data = match (&constant.values, dtype) {
            (Values::Float(v), _) => Data::F32(v.clone().into()),
            (Values::Int(v), DType::I64) => Data::I64(v.clone()),
            (Values::Int(v), DType::Bool) => Data::U8(v.iter().map(|&i| u8::from(i != 0)).collect()),
            (Values::Int(v), _) => Data::I32(v.iter().map(|&i| i as i32).collect()),
            (Values::Text(_), _) => return Err("texts".into()),
        };
        let tensor = self.tensor("constant", Tensor { dims: vec![width], data });
        Ok(self.push(Op::Constant { tensor }, &[], dtype, Rows::Shared, width))
    }

    /// A constant row of f32.
    pub fn constant_row(&mut self, row: Vec<f32>) -> u32 {
        let width = row.len();
        let tensor = self.tensor("constant", Tensor::f32(&[width], row));
        self.push(Op::Constant { tensor }, &[], DType::F32, Rows::Shared, width)
    }

    /// A constant row of whole numbers.
    pub fn constant_ints(&mut self, row: Vec<i64>) -> u32 {
        let width = row.len();
        let tensor = self.tensor("constant", Tensor::i64(&[width], row));
        self.push(Op::Constant { tensor }, &[], DType::I64, Rows::Shared, width)
    }

    /// The operand as a value of the plan.
    pub fn operand(&mut self, val: &Val) -> Result<(u32, Vec<Dim>), String> {
        match val {
            Val::Run { value, shape, .. } => Ok((*value, shape.clone())),
            Val::Constant(constant) => Ok((self.constant(constant)?, val.shape())),
            Val::Sizes(sizes) => Ok((self.counted(sizes), val.shape())),
            Val::Refused => Err("an operand is refused".into()),
        }
    }

    /// Whole numbers that depend on the number of candidates, computed.
    fn counted(&mut self, sizes: &Sizes) -> u32 {
        let width = sizes.list.len();
        let count = self.push(Op::Count, &[], DType::I64, Rows::Shared, 1);
        let each = self.constant_ints(sizes.list.iter().map(|s| s.each).collect());
        let fixed = self.constant_ints(sizes.list.iter().map(|s| s.fixed).collect());
        let product = self.step(Op::Binary { f: Binary::Mul, each: [1, 1] }, &[each, count], DType::I64, width);
        let sum = self.step(Op::Binary { f: Binary::Add, each: [1, 1] }, &[product, fixed], DType::I64, width);
        self.cast(sum, dtype(sizes.elem).unwrap_or(DType::I64))
    }

    /// The operand as an f32 value.
    pub fn float_operand(&mut self, val: &Val) -> Result<(u32, Vec<Dim>), String> {
        let (value, shape) = self.operand(val)?;
        Ok((self.cast(value, DType::F32), shape))
    }

    /// The value in another element type.
    pub fn cast(&mut self, value: u32, dtype: DType) -> u32 {
        let from = self.plan.values[value as usize];
        if from.dtype == dtype { value } else { self.push(Op::Cast, &[value], dtype, from.rows, from.width as usize) }
    }

    /// Whether a value depends on an input that all candidates share.
    pub fn is_of_request(&self, value: u32) -> bool {
        self.of_request[value as usize]
    }

    /// The named columns of a value, which is the value itself if they are all of it in order; -1 is `fill`.
    pub fn select(&mut self, value: u32, columns: Vec<i32>, fill: f32) -> u32 {
        let from = self.plan.values[value as usize];
        if columns.len() == from.width as usize && columns.iter().enumerate().all(|(i, &c)| i as i32 == c) {
            return value;
        }
        self.select_into(value, columns, fill, from.rows)
    }

    fn select_into(&mut self, value: u32, columns: Vec<i32>, fill: f32, rows: Rows) -> u32 {
        let width = columns.len();
        let dtype = self.dtype_of(value);
        let columns = self.tensor("columns", Tensor::i32(&[width], columns));
        self.push(Op::Select { columns, fill }, &[value], dtype, rows, width)
    }

    /// A value's columns where a table says.
    pub fn moved(&mut self, value: u32, table: &Table) -> Result<u32, String> {
        if table.index.is_empty() {
            return Err("it has no elements".into());
        }
        if self.plan.values[value as usize].rows == Rows::Pair && !table.is_identity(self.width(value)) {
            return Err("it moves elements of pairs of candidates".into());
        }
        Ok(self.select(value, table.index.clone(), 0.0))
    }

    /// A result of the plan.
    pub fn run(&self, value: u32, elem: Elem, shape: Vec<Dim>) -> Val {
        debug_assert_eq!(self.width(value), shape::width(&shape), "{}", shape::text(&shape));
        Val::Run { value, elem, shape }
    }
}

/// The same elements to the bit.
pub(super) fn same_bits(a: &Tensor, b: &Tensor) -> bool {
    if a.dims != b.dims {
        return false;
    }
    match (&a.data, &b.data) {
        (Data::F32(x), Data::F32(y)) => x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits()),
        (a, b) => a == b,
    }
}

/// A port's shape: below 0 for so many times the number of candidates.
fn port_dims(shape: &[Dim]) -> Vec<i64> {
    shape
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(size) => *size as i64,
            Dim::Rows { .. } => -(dim.inner() as i64),
        })
        .collect()
}
