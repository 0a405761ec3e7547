//! From a plan, which is data from outside, into steps that cannot fail.
//!
//! Every index, width, dtype and tensor is verified here, once; the interpreter relies on it.

use super::BLOCK;
use super::plan::{Binary, DType, Op, Plan, Rows, Value};
use super::ready::{Axis, Ready};
use crate::bundle::tensor::{Tensor, Tensors};
use crate::error::{Error, ErrorKind, Result, detail};
use ranklet_kernels::bytes::Words;
use ranklet_kernels::dense;

/// Elements of one row of a value; a larger plan is refused.
pub const MAX_WIDTH: u32 = 1 << 24;
/// Steps and values of a plan.
pub const MAX_STEPS: usize = 1 << 14;

/// Elements of working memory, all values together. Biases, constants and columns are as wide as the values they go to.
const MAX_MEMORY: u64 = 1 << 26;

/// Nodes and leaves' values of all forests, those of one tensor counted for each step that has it: each step packs its own. A
/// file has no more of them.
const MAX_FOREST: u64 = 1 << 25;

#[cold]
#[inline(never)]
pub(super) fn bad(node: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::BundleCorrupt, format!("plan step {node}: {what}; compile the bundle again"))
}

pub(super) struct Scope<'a> {
    pub plan: &'a Plan,
    /// The steps before this one.
    pub done: &'a [Ready],
    tensors: &'a Tensors,
    pub node: &'a str,
}

impl<'a> Scope<'a> {
    #[inline(never)]
    fn value(&self, index: u32) -> Result<Value> {
        self.plan.values.get(index as usize).copied().ok_or_else(|| bad(self.node, format!("no value {index}")))
    }

    #[inline(never)]
    pub fn tensor(&self, name: &str) -> Result<&'a Tensor> {
        self.tensors.get(name).ok_or_else(|| bad(self.node, format!("tensor {name} is missing")))
    }

    /// Elements of f32, whatever they are stored as.
    #[inline(never)]
    pub fn f32s(&self, name: &str) -> Result<Words<f32>> {
        self.tensor(name)?.decoded().ok_or_else(|| bad(self.node, format!("tensor {name} is not f32")))
    }

    #[inline(never)]
    pub fn f32s_or_none(&self, name: Option<&String>) -> Result<Vec<f32>> {
        name.map_or(Ok(Vec::new()), |name| Ok(self.f32s(name)?.to_vec()))
    }

    #[inline(never)]
    pub fn i32s(&self, name: &str) -> Result<&'a [i32]> {
        self.tensor(name)?.as_i32().ok_or_else(|| bad(self.node, format!("tensor {name} is not i32")))
    }

    #[inline(never)]
    pub fn u8s(&self, name: &str) -> Result<&'a [u8]> {
        self.tensor(name)?.as_u8().ok_or_else(|| bad(self.node, format!("tensor {name} is not u8")))
    }

    #[inline(never)]
    pub fn need(&self, holds: bool, what: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(bad(self.node, what)) }
    }

    /// What an operation demands of its operands' types, before anything else.
    #[inline(never)]
    fn types(&self, op: &Op, inputs: &[Value], out: Value) -> Result<()> {
        let float = |v: &Value| v.dtype == DType::F32;
        let whole = |v: &Value| v.dtype != DType::F32;
        let fits = match op {
            Op::Constant { .. } | Op::Cast => true,
            Op::Concat | Op::Select { .. } | Op::RowAt { .. } | Op::Pair { .. } | Op::CumSum { .. } => {
                inputs.iter().all(|v| v.dtype == out.dtype)
            }
            Op::Binary { f, .. } => {
                let alike = inputs.iter().all(|v| v.dtype == inputs[0].dtype);
                let result = if f.compares() { out.dtype == DType::Bool } else { out.dtype == inputs[0].dtype };
                let float_only = matches!(f, Binary::Prelu);
                let whole_only = matches!(f, Binary::And | Binary::Or | Binary::Xor);
                alike && result && !(float_only && whole(&inputs[0])) && !(whole_only && float(&inputs[0]))
            }
            Op::Where => inputs.len() == 3 && whole(&inputs[0]) && inputs[1..].iter().all(|v| v.dtype == out.dtype),
            Op::Take { .. } => inputs.len() == 2 && inputs[0].dtype == out.dtype && whole(&inputs[1]),
            Op::Reduce { f, .. } | Op::ReduceRows { f } => {
                inputs.iter().all(|v| if f.gives_index() { out.dtype == DType::I64 } else { v.dtype == out.dtype })
            }
            Op::TopK { .. } => inputs.iter().all(float) && out.dtype == DType::I64,
            Op::Position | Op::Count => out.dtype == DType::I64,
            Op::Label { .. } => inputs.iter().all(float) && out.dtype == DType::I64,
            _ => inputs.iter().all(float) && float(&out),
        };
        self.need(fits, detail("operands of other types"))
    }

    #[inline(never)]
    fn ready(&self, op: &Op, inputs: &[Value], out: Value) -> Result<Ready> {
        let arity = match op {
            Op::Constant { .. } | Op::Position | Op::Count => 0..=0,
            Op::Binary { .. } | Op::Take { .. } | Op::Product(_) => 2..=2,
            Op::Where => 3..=3,
            Op::Concat => 1..=inputs.len().max(1),
            Op::Dense { .. } => 1..=4,
            Op::Pack { .. } if inputs.len() == 3 => 3..=3,
            _ => 1..=1,
        };
        self.need(arity.contains(&inputs.len()), detail("wrong number of inputs"))?;
        self.types(op, inputs, out)?;
        let x = inputs.first().copied().unwrap_or(out);
        let same_rows = x.rows == out.rows;
        let alike = same_rows && x.width == out.width;
        let pairs = out.rows == Rows::Pair;
        Ok(match op {
            Op::Dense { .. } => self.dense(op, inputs, out)?,
            Op::Constant { tensor } => Ready::Constant(self.constant(tensor, out)?),
            Op::Unary(f) => {
                self.need(alike, detail("widths differ"))?;
                Ready::Unary(*f)
            }
            Op::Binary { f, each } => {
                let fits = inputs.iter().zip(each).all(|(v, &each)| {
                    // Of pairs an operand is a pair as wide, or one element.
                    let whole = v.rows == out.rows && v.width == out.width && each == 1;
                    let one = v.width == 1 && v.rows != Rows::Pair;
                    let size = each.checked_mul(v.width).unwrap_or(0);
                    let regular = !pairs && size > 0 && out.width.is_multiple_of(size) && v.rows != Rows::Pair;
                    each > 0 && (whole || one || regular)
                });
                self.need(fits, detail("operands do not spread over the width"))?;
                Ready::Binary { f: *f, each: each.map(|e| e as usize) }
            }
            Op::Trees(trees) => {
                let scores = |width: u32| u64::from(width / trees.columns.max(1)) * u64::from(trees.targets);
                let fits = trees.columns > 0
                    && x.width.is_multiple_of(trees.columns)
                    && scores(x.width) == u64::from(out.width);
                self.need(fits && same_rows && !pairs, detail("targets do not fit the width"))?;
                Ready::Trees(Box::new(self.forest(trees, trees.columns)?))
            }
            op => self.seldom(op, inputs, out)?,
        })
    }

    /// Operations that most plans lack: V8 compiles a function when it is first called, and all of it.
    #[inline(never)]
    fn seldom(&self, op: &Op, inputs: &[Value], out: Value) -> Result<Ready> {
        let x = inputs.first().copied().unwrap_or(out);
        let same_rows = x.rows == out.rows;
        let alike = same_rows && x.width == out.width;
        let pairs = out.rows == Rows::Pair;
        let spreads = |v: &Value| v.width == out.width || v.width == 1;
        Ok(match op {
            Op::Pack { groups, inputs: k, outputs } => {
                let (groups, k, n) = (*groups as usize, *k as usize, *outputs as usize);
                let scaled = inputs.len() == 3;
                let elements = |columns: usize| k as u64 * columns as u64;
                let part = elements(n / groups.max(1));
                let parts = if scaled { [elements(groups), part, part] } else { [elements(n); 3] };
                // Of three parts none tells how large their product is.
                let fits = groups > 0
                    && n.is_multiple_of(groups)
                    && elements(n) < 1 << 29
                    && inputs.iter().zip(parts).all(|(v, part)| u64::from(v.width) == part && v.rows == Rows::Shared)
                    && out.width as usize == dense::packed_len(k, n)
                    && out.rows == Rows::Shared;
                self.need(fits, detail("weights do not fit the widths"))?;
                let rows = vec![0.0; if groups > 1 && !scaled { k * n } else { 0 }];
                Ready::Pack { groups, inputs: k, outputs: n, rows }
            }
            Op::Product(product) => {
                self.product(product, x, inputs[1], out)?;
                Ready::Product(product.clone())
            }
            Op::Where => {
                let fits = |v: &Value| {
                    spreads(v) && if pairs { v.rows == Rows::Pair || v.width == 1 } else { v.rows != Rows::Pair }
                };
                self.need(inputs.iter().all(fits), detail("widths neither agree nor are 1"))?;
                Ready::Where
            }
            Op::Concat => {
                let total: u64 = inputs.iter().map(|v| u64::from(v.width)).sum();
                let rows = !pairs && inputs.iter().all(|v| v.rows != Rows::Pair);
                self.need(total == u64::from(out.width) && rows, detail("widths do not add up"))?;
                Ready::Concat
            }
            Op::Select { columns, fill } => {
                let columns = self.i32s(columns)?;
                let inside = columns.iter().all(|&c| i64::from(c) < i64::from(x.width));
                let rows = x.rows != Rows::Pair && !pairs;
                self.need(inside && rows && columns.len() == out.width as usize, detail("columns do not fit"))?;
                let first = columns[0];
                match usize::try_from(first) {
                    Ok(from) if columns.iter().zip(first..).all(|(&c, i)| c == i) => Ready::Slice(from),
                    _ => Ready::Select { columns: columns.to_vec(), fill: *fill },
                }
            }
            Op::Take { size, block } => {
                let (size, block) = (*size, *block);
                let fits = size > 0
                    && block > 0
                    && u64::from(size) * u64::from(block) == u64::from(x.width)
                    && u64::from(inputs[1].width) * u64::from(block) == u64::from(out.width);
                self.need(fits && !pairs && x.rows != Rows::Pair, detail("the table does not fit"))?;
                Ready::Take { size: size as usize, block: block as usize }
            }
            Op::Softmax { group, inner, log } => {
                self.need(alike, detail("widths differ"))?;
                Ready::Softmax { axis: self.axis(x, *group, *inner)?, log: *log }
            }
            Op::Reduce { f, group, inner } => {
                let axis = self.axis(x, *group, *inner)?;
                let fits = if *group == 0 {
                    out.rows == Rows::Candidate && out.width == x.width
                } else {
                    same_rows && out.width == x.width / group
                };
                self.need(fits, detail("the group does not fit"))?;
                Ready::Reduce { f: *f, axis }
            }
            Op::ReduceRows { f } => {
                let fits = x.rows == Rows::Candidate && out.rows == Rows::Shared && x.width == out.width;
                self.need(fits, detail("it reduces candidates to one row"))?;
                Ready::ReduceRows(*f)
            }
            Op::CumSum { group, inner, exclusive, reverse } => {
                self.need(alike && !pairs, detail("widths differ"))?;
                let axis = match group {
                    0 => {
                        self.need(x.rows == Rows::Candidate, detail("it sums over candidates"))?;
                        Axis { group: 0, inner: x.width as usize }
                    }
                    _ => self.axis(x, *group, *inner)?,
                };
                Ready::CumSum { axis, exclusive: *exclusive, reverse: *reverse }
            }
            Op::TopK { group, k, largest } => {
                self.axis(x, *group, 1)?;
                let fits = same_rows && *k > 0 && k <= group && out.width == x.width / group * k;
                self.need(fits && !pairs, detail("the group does not fit"))?;
                Ready::TopK { group: *group as usize, k: *k as usize, largest: *largest }
            }
            Op::LayerNorm { scale, bias, group, epsilon } => {
                let scale = self.f32s(scale)?.to_vec();
                let bias = self.f32s_or_none(bias.as_ref())?;
                self.axis(x, *group, 1)?;
                let fits = alike && *group > 0 && scale.len() == *group as usize;
                self.need(fits && (bias.is_empty() || bias.len() == scale.len()), detail("the group does not fit"))?;
                Ready::LayerNorm { scale, bias, epsilon: *epsilon }
            }
            Op::Cast => {
                self.need(alike && !pairs, detail("widths differ"))?;
                Ready::Cast
            }
            Op::Position => {
                self.need(out.rows == Rows::Candidate && out.width == 1, detail("one number for each candidate"))?;
                Ready::Position
            }
            Op::Count => {
                self.need(out.rows == Rows::Shared && out.width == 1, detail("one number"))?;
                Ready::Count
            }
            Op::RowAt { index } => {
                let fits = x.rows == Rows::Candidate && out.rows == Rows::Shared && x.width == out.width;
                self.need(fits, detail("it takes one of the candidates' rows"))?;
                Ready::RowAt(*index)
            }
            Op::Pair { pre, post, every } => {
                let fits = (x.rows, out.rows) == (Rows::Candidate, Rows::Pair)
                    && x.width == out.width
                    && pre.checked_mul(*post) == Some(x.width);
                self.need(fits, detail("candidates do not fit their pairs"))?;
                Ready::Pair { pre: *pre as usize, post: *post as usize, every: *every }
            }
            Op::PostTransform { f, group } => {
                self.axis(x, *group, 1)?;
                self.need(alike && !pairs, detail("widths differ"))?;
                Ready::PostTransform { f: *f, group: *group as usize }
            }
            Op::BinaryScores { mode, post } => {
                let fits = u64::from(x.width) * 2 == u64::from(out.width) && same_rows && !pairs;
                self.need(fits, detail("one score in, two out"))?;
                Ready::BinaryScores { mode: *mode, post: *post }
            }
            Op::Label { labels, group, threshold } => {
                self.axis(x, *group, 1)?;
                let fits = labels.len() == *group as usize || (*group == 1 && labels.len() == 2);
                let rows = !pairs && same_rows && out.width == x.width / group;
                self.need(fits && rows, detail("labels do not fit the scores"))?;
                Ready::Label { labels: labels.clone(), group: *group as usize, threshold: *threshold }
            }
            // The caller's.
            Op::Dense { .. } | Op::Constant { .. } | Op::Unary(_) | Op::Binary { .. } | Op::Trees(_) => {
                return Err(bad(self.node, detail("an operation in another's place")));
            }
        })
    }
}

/// A verified plan.
pub(super) struct Checked {
    pub steps: Vec<Ready>,
    /// Columns of the one input that the plan takes to be the same in all rows of a run.
    pub alike: Vec<u32>,
}

/// Columns of its input that a step takes to be the same in all rows.
fn alike_columns(op: &Op, input: Value, output: Value, tensors: &Tensors) -> Vec<u32> {
    let tensor = |name: &String| tensors.get(name);
    match op {
        Op::Select { columns, .. } if (input.rows, output.rows) == (Rows::Candidate, Rows::Shared) => {
            let columns = tensor(columns).and_then(Tensor::as_i32).unwrap_or(&[]);
            columns.iter().filter_map(|&c| u32::try_from(c).ok()).collect()
        }
        Op::Trees(trees) => {
            let shared = trees.shared.as_ref().and_then(tensor).and_then(Tensor::as_u8).unwrap_or(&[]);
            (0..).zip(shared).filter(|(_, shared)| **shared != 0).map(|(c, _)| c).collect()
        }
        _ => Vec::new(),
    }
}

/// Nodes and leaves' values of a forest, before anything of it is made.
fn forest_size(op: &Op, tensors: &Tensors) -> u64 {
    let Op::Trees(trees) = op else { return 0 };
    let size =
        |name: &String| tensors.get(name).map_or(0, |tensor| tensor.dims.iter().map(|&dim| dim as u64).product());
    size(&trees.feature) + size(&trees.weight)
}

/// Verifies the whole plan and packs its weights, step by step.
#[inline(never)]
pub(super) fn check(plan: &Plan, tensors: &Tensors) -> Result<Checked> {
    if plan.steps.len() > MAX_STEPS || plan.values.len() > MAX_STEPS {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("a plan has more than {MAX_STEPS} steps or values")));
    }
    if plan.values.iter().any(|v| v.width > MAX_WIDTH) {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("a plan's row is wider than {MAX_WIDTH}")));
    }
    if plan.values.iter().any(|v| v.width == 0) {
        return Err(bad("values", detail("a value has no columns")));
    }
    let block = |v: &Value| u64::from(v.width) * if v.rows == Rows::Shared { 1 } else { BLOCK as u64 };
    if plan.values.iter().map(block).sum::<u64>() > MAX_MEMORY {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            detail("a plan's working memory is larger than 2^26 elements"),
        ));
    }
    if plan.steps.iter().map(|step| forest_size(&step.op, tensors)).sum::<u64>() > MAX_FOREST {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            detail("a plan's forests have more than 2^25 nodes and values"),
        ));
    }
    let mut written = vec![false; plan.values.len()];
    for port in &plan.inputs {
        let slot = written.get_mut(port.value as usize).ok_or_else(|| bad(&port.name, detail("no such value")))?;
        if std::mem::replace(slot, true) {
            return Err(bad(&port.name, detail("two inputs are one value")));
        }
    }
    let is_input = |value: u32| plan.inputs.iter().any(|port| port.value == value);
    let mut steps = Vec::with_capacity(plan.steps.len());
    let given = plan.inputs.first().and_then(|port| plan.values.get(port.value as usize));
    let mut alike = vec![false; given.map_or(0, |value| value.width as usize)];
    for step in &plan.steps {
        let scope = Scope { plan, done: &steps, tensors, node: &step.node };
        let out = scope.value(step.output)?;
        let mut inputs = Vec::with_capacity(step.inputs.len());
        for (i, &index) in step.inputs.iter().enumerate() {
            let value = scope.value(index)?;
            scope.need(written[index as usize], detail("a value is read before it is written"))?;
            // Of one row for all, candidates give a reduction, or columns of an input that are alike in every row.
            let first_row = matches!(step.op, Op::Select { .. }) && is_input(index);
            let whole = step.op.reads_whole(i) && value.rows == Rows::Candidate;
            scope.need(
                out.rows != Rows::Shared || value.rows == Rows::Shared || whole || first_row,
                detail("a shared value reads candidates"),
            )?;
            inputs.push(value);
        }
        scope.need(!written[step.output as usize], detail("a value is written twice"))?;
        let ready = scope.ready(&step.op, &inputs, out)?;
        if let (Some(&input), Some(&index)) = (inputs.first(), step.inputs.first()) {
            let columns = alike_columns(&step.op, input, out, tensors);
            // Only of the rows that a caller gives can it be seen whether they are.
            let seen = is_input(index) && plan.inputs.len() == 1 && input.dtype == DType::F32;
            scope.need(columns.is_empty() || seen, detail("columns alike in all rows of more than one input"))?;
            for column in columns {
                // Of a row that steps have read a column lies within it.
                alike[column as usize] = true;
            }
        }
        steps.push(ready);
        written[step.output as usize] = true;
    }
    for port in plan.inputs.iter().chain(&plan.outputs) {
        let Some(value) = plan.values.get(port.value as usize) else { continue };
        check_port(port.dims.as_slice(), *value).map_err(|what| bad(&port.name, what))?;
    }
    for port in &plan.inputs {
        if plan.values[port.value as usize].rows == Rows::Pair {
            return Err(bad(&port.name, detail("an input of pairs")));
        }
    }
    for port in &plan.outputs {
        if !written.get(port.value as usize).copied().unwrap_or(false) {
            return Err(bad(&port.name, detail("an output is never written")));
        }
    }
    let alike: Vec<u32> = (0..).zip(&alike).filter(|(_, alike)| **alike).map(|(column, _)| column).collect();
    if is_list_wise(plan) && !alike.is_empty() {
        return Err(bad("values", detail("columns alike in all rows of a plan that compares candidates")));
    }
    Ok(Checked { steps, alike })
}

/// Whether a row of the plan sees other rows.
pub(super) fn is_list_wise(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| {
        matches!(step.op, Op::Position | Op::Count) || (0..step.inputs.len()).any(|i| step.op.reads_whole(i))
    })
}

/// Whether a port's shape names the candidates as its value has them, in front of every other size but 1.
fn check_port(dims: &[i64], value: Value) -> Result<(), &'static str> {
    let counted = dims.iter().filter(|&&d| d < 0).count();
    let expected = match value.rows {
        Rows::Shared => 0,
        Rows::Candidate => 1,
        Rows::Pair => 2,
    };
    if counted != expected {
        return Err("its shape does not name the candidates");
    }
    if counted > 0 && dims.iter().take_while(|&&d| d >= 0).any(|&d| d != 1) {
        return Err("its shape does not begin with the candidates");
    }
    let width = dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d.checked_abs()?));
    if width == Some(i64::from(value.width)) { Ok(()) } else { Err("its shape does not fit its width") }
}
