//! Turns a plan, which is data from outside, into steps that cannot fail.
//!
//! Every index, width, dtype and tensor is verified here, once; the interpreter relies on it.

use super::BLOCK;
use super::plan::{Aggregate, Binary, BinaryScores, DType, Op, Plan, PostTransform, Reduce, Rows, Trees, Unary, Value};
use crate::bundle::tensor::{Tensor, Tensors};
use crate::error::{Error, ErrorKind, Result, detail};
use ranklet_kernels::{
    dense,
    trees::{Forest, Node},
};

/// Elements of one row of a value; a larger plan is refused.
pub const MAX_WIDTH: u32 = 1 << 16;
/// Steps and values of a plan.
pub const MAX_STEPS: usize = 1 << 14;

/// Elements of working memory, all values together.
const MAX_MEMORY: u64 = 1 << 25;

/// A forest that owns its arrays.
#[derive(Debug)]
pub(super) struct OwnedForest {
    pub roots: Vec<i32>,
    pub nodes: Vec<Node>,
    pub leaf_start: Vec<i32>,
    pub target: Vec<i32>,
    pub weight: Vec<f32>,
    pub base: Vec<f32>,
    pub aggregate: Aggregate,
}

impl OwnedForest {
    pub fn view(&self) -> Forest<'_> {
        Forest {
            roots: &self.roots,
            nodes: &self.nodes,
            leaf_start: &self.leaf_start,
            target: &self.target,
            weight: &self.weight,
        }
    }
}

/// An operation with its weights packed.
#[derive(Debug)]
pub(super) enum Ready {
    Dense { packed: Vec<f32>, bias: Vec<f32>, inputs: usize, activation: Unary },
    Constant(Tensor),
    Unary(Unary),
    Binary(Binary),
    Concat,
    Select(Vec<u32>),
    Softmax { group: usize, log: bool },
    Reduce { f: Reduce, group: usize },
    LayerNorm { scale: Vec<f32>, bias: Vec<f32>, epsilon: f32 },
    Cast,
    Trees(OwnedForest),
    PostTransform(PostTransform),
    BinaryScores { mode: BinaryScores, post: PostTransform },
    Label { labels: Vec<i64>, threshold: f32 },
}

#[cold]
#[inline(never)]
fn bad(node: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::BundleCorrupt, format!("plan step {node}: {what}; compile the bundle again"))
}

struct Scope<'a> {
    plan: &'a Plan,
    tensors: &'a Tensors,
    node: &'a str,
}

impl<'a> Scope<'a> {
    #[inline(never)]
    fn value(&self, index: u32) -> Result<Value> {
        self.plan.values.get(index as usize).copied().ok_or_else(|| bad(self.node, format!("no value {index}")))
    }

    #[inline(never)]
    fn tensor(&self, name: &str) -> Result<&'a Tensor> {
        self.tensors.get(name).ok_or_else(|| bad(self.node, format!("tensor {name} is missing")))
    }

    #[inline(never)]
    fn f32s(&self, name: &str) -> Result<&'a [f32]> {
        self.tensor(name)?.as_f32().ok_or_else(|| bad(self.node, format!("tensor {name} is not f32")))
    }

    #[inline(never)]
    fn i32s(&self, name: &str) -> Result<&'a [i32]> {
        self.tensor(name)?.as_i32().ok_or_else(|| bad(self.node, format!("tensor {name} is not i32")))
    }

    #[inline(never)]
    fn need(&self, holds: bool, what: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(bad(self.node, what)) }
    }

    #[inline(never)]
    fn forest(&self, trees: &Trees, width: u32) -> Result<OwnedForest> {
        let (feature, threshold) = (self.i32s(&trees.feature)?, self.f32s(&trees.threshold)?);
        let mode = self.tensor(&trees.mode)?.as_u8().ok_or_else(|| bad(self.node, "branch modes are not u8"))?;
        let (yes, no) = (self.i32s(&trees.yes)?, self.i32s(&trees.no)?);
        let n = feature.len();
        self.need(
            [threshold.len(), mode.len(), yes.len(), no.len()] == [n; 4],
            "node arrays of a forest differ in length",
        )?;
        let nodes = (0..n)
            .map(|i| Node {
                threshold: threshold[i],
                // A negative column becomes a huge one, which the check below refuses.
                feature: feature[i] as u32,
                yes: yes[i],
                no: no[i],
                mode: mode[i],
            })
            .collect();
        let base = match &trees.base {
            Some(name) => self.f32s(name)?.to_vec(),
            None => Vec::new(),
        };
        self.need(
            base.is_empty() || base.len() == trees.targets as usize,
            detail("base values do not fit the targets"),
        )?;
        let forest = OwnedForest {
            roots: self.i32s(&trees.roots)?.to_vec(),
            nodes,
            leaf_start: self.i32s(&trees.leaf_start)?.to_vec(),
            target: self.i32s(&trees.target)?.to_vec(),
            weight: self.f32s(&trees.weight)?.to_vec(),
            base,
            aggregate: trees.aggregate,
        };
        forest
            .view()
            .check(width as usize, trees.targets as usize)
            .map_err(|defect| bad(self.node, format!("the forest is malformed: {}", defect.what())))?;
        // One parent each: shared nodes would let a small file ask for endless walks.
        let mut parents = vec![false; forest.nodes.len()];
        let children = forest.nodes.iter().flat_map(|node| [node.yes, node.no]);
        for child in forest.roots.iter().copied().chain(children).filter(|&c| c >= 0) {
            self.need(
                !std::mem::replace(&mut parents[child as usize], true),
                detail("a node of a forest has two parents"),
            )?;
        }
        Ok(forest)
    }

    #[inline(never)]
    fn ready(&self, op: &Op, inputs: &[Value], out: Value) -> Result<Ready> {
        let arity = match op {
            Op::Constant { .. } => 0..=0,
            Op::Binary { .. } => 2..=2,
            Op::Concat => 1..=inputs.len().max(1),
            _ => 1..=1,
        };
        self.need(arity.contains(&inputs.len()), detail("wrong number of inputs"))?;
        let float = |v: &Value| v.dtype == DType::F32;
        // Only these touch other types than f32.
        if !matches!(op, Op::Constant { .. } | Op::Concat | Op::Select { .. } | Op::Cast | Op::Label { .. }) {
            self.need(inputs.iter().all(float) && float(&out), detail("inputs and output must be f32"))?;
        }
        let x = inputs.first().copied();
        let same_width = x.is_none_or(|x| x.width == out.width);
        Ok(match op {
            Op::Dense { weights, bias, activation } => {
                let x = x.ok_or_else(|| bad(self.node, "no input"))?;
                let (inputs, outputs) = (x.width as usize, out.width as usize);
                let w = self.f32s(weights)?;
                // In 64 bits: 65,536 x 65,536 is 0 in a page's 32.
                let elements = u64::from(x.width) * u64::from(out.width);
                self.need(w.len() as u64 == elements, detail("weights do not fit the widths"))?;
                let bias = match bias {
                    Some(name) => self.f32s(name)?.to_vec(),
                    None => Vec::new(),
                };
                self.need(bias.is_empty() || bias.len() == outputs, detail("bias does not fit the width"))?;
                let mut packed = vec![0.0; dense::packed_len(inputs, outputs)];
                dense::pack(w, inputs, outputs, &mut packed);
                Ready::Dense { packed, bias, inputs, activation: *activation }
            }
            Op::Constant { tensor } => {
                let tensor = self.tensor(tensor)?.clone();
                let elements: usize = tensor.dims.iter().product();
                self.need(
                    tensor.dtype() == Some(out.dtype) && elements == out.width as usize && out.rows == Rows::Shared,
                    detail("a constant does not fit its value"),
                )?;
                Ready::Constant(tensor)
            }
            Op::Unary(f) => {
                self.need(same_width, detail("widths differ"))?;
                Ready::Unary(*f)
            }
            Op::Binary { f } => {
                self.need(
                    inputs.iter().all(|v| v.width == out.width || v.width == 1),
                    detail("widths neither agree nor are 1"),
                )?;
                Ready::Binary(*f)
            }
            Op::Concat => {
                let total: u64 = inputs.iter().map(|v| u64::from(v.width)).sum();
                self.need(total == u64::from(out.width), detail("widths do not add up"))?;
                self.need(inputs.iter().all(|v| v.dtype == out.dtype), detail("dtypes differ"))?;
                Ready::Concat
            }
            Op::Select { columns } => {
                let fits = x.is_some_and(|x| x.dtype == out.dtype && columns.iter().all(|&c| c < x.width));
                self.need(fits && columns.len() == out.width as usize, detail("columns do not fit"))?;
                Ready::Select(columns.clone())
            }
            Op::Softmax { group, log } => {
                self.need(
                    same_width && *group > 0 && out.width.is_multiple_of(*group),
                    detail("the group does not fit"),
                )?;
                Ready::Softmax { group: *group as usize, log: *log }
            }
            Op::Reduce { f, group } => {
                let fits =
                    x.is_some_and(|x| *group > 0 && x.width.is_multiple_of(*group) && x.width / group == out.width);
                self.need(fits, detail("the group does not fit"))?;
                Ready::Reduce { f: *f, group: *group as usize }
            }
            Op::LayerNorm { scale, bias, group, epsilon } => {
                let scale = self.f32s(scale)?.to_vec();
                let bias = match bias {
                    Some(name) => self.f32s(name)?.to_vec(),
                    None => Vec::new(),
                };
                let fits =
                    same_width && *group > 0 && out.width.is_multiple_of(*group) && scale.len() == *group as usize;
                self.need(fits && (bias.is_empty() || bias.len() == scale.len()), detail("the group does not fit"))?;
                Ready::LayerNorm { scale, bias, epsilon: *epsilon }
            }
            Op::Cast => {
                self.need(same_width, detail("widths differ"))?;
                Ready::Cast
            }
            Op::Trees(trees) => {
                self.need(trees.targets == out.width && out.width > 0, detail("targets do not fit the width"))?;
                Ready::Trees(self.forest(trees, x.map_or(0, |x| x.width))?)
            }
            Op::PostTransform { f } => {
                self.need(same_width && out.width > 0, detail("widths differ"))?;
                Ready::PostTransform(*f)
            }
            Op::BinaryScores { mode, post } => {
                self.need(x.is_some_and(|x| x.width == 1) && out.width == 2, detail("one score in, two out"))?;
                Ready::BinaryScores { mode: *mode, post: *post }
            }
            Op::Label { labels, threshold } => {
                let width = x.map_or(0, |x| x.width as usize);
                let fits = labels.len() == width || (width == 1 && labels.len() == 2);
                let types = x.is_some_and(|x| float(&x)) && out.dtype == DType::I64 && out.width == 1;
                self.need(fits && types && width > 0, detail("labels do not fit the scores"))?;
                Ready::Label { labels: labels.clone(), threshold: *threshold }
            }
        })
    }
}

/// Verifies the whole plan and packs its weights, step by step.
#[inline(never)]
pub(super) fn check(plan: &Plan, tensors: &Tensors) -> Result<Vec<Ready>> {
    if plan.steps.len() > MAX_STEPS || plan.values.len() > MAX_STEPS {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("a plan has more than {MAX_STEPS} steps or values")));
    }
    if plan.values.iter().any(|v| v.width > MAX_WIDTH) {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("a plan's row is wider than {MAX_WIDTH}")));
    }
    if plan.values.iter().any(|v| v.width == 0) {
        return Err(bad("values", "a value has no columns"));
    }
    let block = |v: &Value| u64::from(v.width) * if v.rows == Rows::Shared { 1 } else { BLOCK as u64 };
    if plan.values.iter().map(block).sum::<u64>() > MAX_MEMORY {
        return Err(Error::new(ErrorKind::LimitExceeded, "a plan's working memory is larger than 2^25 elements"));
    }
    let mut written = vec![false; plan.values.len()];
    for port in &plan.inputs {
        let slot = written.get_mut(port.value as usize).ok_or_else(|| bad(&port.name, "no such value"))?;
        if std::mem::replace(slot, true) {
            return Err(bad(&port.name, "two inputs are one value"));
        }
    }
    let mut steps = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let scope = Scope { plan, tensors, node: &step.node };
        let out = scope.value(step.output)?;
        let mut inputs = Vec::with_capacity(step.inputs.len());
        for &index in &step.inputs {
            let value = scope.value(index)?;
            scope.need(written[index as usize], detail("a value is read before it is written"))?;
            scope.need(
                out.rows == Rows::Candidate || value.rows == Rows::Shared,
                detail("a shared value reads candidates"),
            )?;
            inputs.push(value);
        }
        scope.need(!written[step.output as usize], detail("a value is written twice"))?;
        steps.push(scope.ready(&step.op, &inputs, out)?);
        written[step.output as usize] = true;
    }
    for port in plan.inputs.iter().chain(&plan.outputs) {
        let Some(value) = plan.values.get(port.value as usize) else { continue };
        let inner = match (value.rows, &port.dims[..]) {
            (Rows::Candidate, [-1, inner @ ..]) => inner,
            (Rows::Shared, dims) => dims,
            _ => return Err(bad(&port.name, "its shape does not begin with the candidates")),
        };
        let width = inner.iter().try_fold(1i64, |n, &d| if d < 0 { None } else { n.checked_mul(d) });
        if width != Some(i64::from(value.width)) {
            return Err(bad(&port.name, "its shape does not fit its width"));
        }
    }
    for port in &plan.outputs {
        if !written.get(port.value as usize).copied().unwrap_or(false) {
            return Err(bad(&port.name, "an output is never written"));
        }
    }
    Ok(steps)
}
