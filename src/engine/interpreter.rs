//! Runs a checked plan over any number of candidates.

use super::BLOCK;
use super::check::{Ready, check};
use super::elementwise::{self, Operand};
use super::plan::{Aggregate, BinaryScores, DType, Plan, PostTransform, Rows, Value};
use crate::bundle::tensor::{Data, Tensors};
use crate::error::{Error, ErrorKind, Result};
use ranklet_kernels::{
    dense::{self, Start},
    math,
};

/// Borrowed elements, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slice<'a> {
    /// f32.
    F32(&'a [f32]),
    /// i32.
    I32(&'a [i32]),
    /// i64.
    I64(&'a [i64]),
    /// 0 or 1.
    Bool(&'a [u8]),
}

impl<'a> Slice<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Slice::F32(v) => v.len(),
            Slice::I32(v) => v.len(),
            Slice::I64(v) => v.len(),
            Slice::Bool(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Element type.
    pub fn dtype(self) -> DType {
        match self {
            Slice::F32(_) => DType::F32,
            Slice::I32(_) => DType::I32,
            Slice::I64(_) => DType::I64,
            Slice::Bool(_) => DType::Bool,
        }
    }

    #[inline(never)]
    fn range(self, from: usize, to: usize) -> Slice<'a> {
        match self {
            Slice::F32(v) => Slice::F32(&v[from..to]),
            Slice::I32(v) => Slice::I32(&v[from..to]),
            Slice::I64(v) => Slice::I64(&v[from..to]),
            Slice::Bool(v) => Slice::Bool(&v[from..to]),
        }
    }

    /// The elements as f32. The check at open guarantees the dtype where the engine calls it.
    pub fn f32(self) -> &'a [f32] {
        if let Slice::F32(v) = self { v } else { &[] }
    }
}

/// Owned elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Buffer {
    /// f32.
    F32(Vec<f32>),
    /// i32.
    I32(Vec<i32>),
    /// i64.
    I64(Vec<i64>),
    /// 0 or 1.
    Bool(Vec<u8>),
}

impl Buffer {
    /// `len` zeros of `dtype`.
    pub fn zeros(dtype: DType, len: usize) -> Buffer {
        match dtype {
            DType::F32 => Buffer::F32(vec![0.0; len]),
            DType::I32 => Buffer::I32(vec![0; len]),
            DType::I64 => Buffer::I64(vec![0; len]),
            DType::Bool => Buffer::Bool(vec![0; len]),
        }
    }

    /// All elements.
    pub fn slice(&self) -> Slice<'_> {
        match self {
            Buffer::F32(v) => Slice::F32(v),
            Buffer::I32(v) => Slice::I32(v),
            Buffer::I64(v) => Slice::I64(v),
            Buffer::Bool(v) => Slice::Bool(v),
        }
    }

    /// Copies `from` to element `at` and after. A different dtype copies nothing.
    #[inline(never)]
    pub fn write(&mut self, at: usize, from: Slice<'_>) {
        match (self, from) {
            (Buffer::F32(to), Slice::F32(from)) => to[at..at + from.len()].copy_from_slice(from),
            (Buffer::I32(to), Slice::I32(from)) => to[at..at + from.len()].copy_from_slice(from),
            (Buffer::I64(to), Slice::I64(from)) => to[at..at + from.len()].copy_from_slice(from),
            (Buffer::Bool(to), Slice::Bool(from)) => to[at..at + from.len()].copy_from_slice(from),
            _ => {}
        }
    }
}

/// Elements of all outputs of one call of [`Interpreter::run_all`].
const MAX_ELEMENTS: usize = 1 << 26;

#[derive(Debug, Clone, Copy)]
enum Place {
    Input(usize),
    Buffer,
}

/// A plan that is ready to run. Not shared between threads: it owns its working memory.
#[derive(Debug)]
pub struct Interpreter {
    plan: Plan,
    steps: Vec<Ready>,
    buffers: Vec<Buffer>,
    places: Vec<Place>,
}

impl Interpreter {
    /// Checks `plan` against `tensors`, packs the weights and lays out the memory.
    ///
    /// # Errors
    /// `bundle_corrupt` names the step and what is wrong with it; `limit_exceeded` a cap.
    pub fn new(plan: Plan, tensors: &Tensors) -> Result<Self> {
        let steps = check(&plan, tensors)?;
        let mut places = vec![Place::Buffer; plan.values.len()];
        for (i, port) in plan.inputs.iter().enumerate() {
            places[port.value as usize] = Place::Input(i);
        }
        let buffers = plan
            .values
            .iter()
            .zip(&places)
            .map(|(value, place)| {
                let rows = if value.rows == Rows::Shared { 1 } else { BLOCK };
                let len = if matches!(place, Place::Input(_)) { 0 } else { rows * value.width as usize };
                Buffer::zeros(value.dtype, len)
            })
            .collect();
        Ok(Interpreter { plan, steps, buffers, places })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The value behind input `i`.
    pub fn input(&self, i: usize) -> Value {
        self.plan.values[self.plan.inputs[i].value as usize]
    }

    /// The value behind output `i`.
    pub fn output(&self, i: usize) -> Value {
        self.plan.values[self.plan.outputs[i].value as usize]
    }

    /// Runs the plan for `rows` candidates.
    ///
    /// `inputs` in the order of the plan's ports, `[rows, width]` or, if shared, `[1, width]`.
    /// `sink(output, first row, elements)` is called for each output: once a block for outputs of
    /// candidates, once in all for shared ones.
    ///
    /// # Errors
    /// `schema_mismatch` names the input that does not fit.
    pub fn run(
        &mut self,
        inputs: &[Slice<'_>],
        rows: usize,
        mut sink: impl FnMut(usize, usize, Slice<'_>),
    ) -> Result<()> {
        self.check_inputs(inputs, rows)?;
        self.steps_of(Rows::Shared, inputs, 0, 1);
        self.emit(Rows::Shared, inputs, 0, 1, &mut sink);
        let mut first = 0;
        while first < rows {
            let n = (rows - first).min(BLOCK);
            self.steps_of(Rows::Candidate, inputs, first, n);
            self.emit(Rows::Candidate, inputs, first, n, &mut sink);
            first += n;
        }
        Ok(())
    }

    /// Runs the plan and gathers every output whole: for tools and the scorer.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_all(&mut self, inputs: &[Slice<'_>], rows: usize) -> Result<Vec<Buffer>> {
        self.check_inputs(inputs, rows)?;
        let values: Vec<Value> = (0..self.plan.outputs.len()).map(|i| self.output(i)).collect();
        let elements = values.iter().map(|v| v.width as usize).sum::<usize>().checked_mul(rows);
        if elements.is_none_or(|n| n > MAX_ELEMENTS) {
            let message = format!("{rows} rows are too many for one call; at most 2^26 output elements");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let mut outputs: Vec<Buffer> = values
            .iter()
            .map(|v| Buffer::zeros(v.dtype, v.width as usize * if v.rows == Rows::Shared { 1 } else { rows }))
            .collect();
        self.run(inputs, rows, |i, row, data| outputs[i].write(row * values[i].width as usize, data))?;
        Ok(outputs)
    }

    fn check_inputs(&self, inputs: &[Slice<'_>], rows: usize) -> Result<()> {
        if inputs.len() != self.plan.inputs.len() {
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                format!("the model takes {} inputs, {} were given", self.plan.inputs.len(), inputs.len()),
            ));
        }
        for (i, (port, data)) in self.plan.inputs.iter().zip(inputs).enumerate() {
            let value = self.input(i);
            let expected = (value.width as usize).saturating_mul(if value.rows == Rows::Shared { 1 } else { rows });
            if data.dtype() != value.dtype || data.len() != expected {
                return Err(Error::new(
                    ErrorKind::SchemaMismatch,
                    format!(
                        "input {} takes {expected} elements of {}, got {} of {}",
                        port.name,
                        value.dtype.name(),
                        data.len(),
                        data.dtype().name()
                    ),
                ));
            }
        }
        Ok(())
    }

    fn emit(
        &self,
        rows: Rows,
        inputs: &[Slice<'_>],
        first: usize,
        n: usize,
        sink: &mut impl FnMut(usize, usize, Slice<'_>),
    ) {
        for (i, port) in self.plan.outputs.iter().enumerate() {
            if self.plan.values[port.value as usize].rows == rows {
                sink(i, first, self.operand(port.value, inputs, first, n));
            }
        }
    }

    #[inline(never)]
    fn operand<'a>(&'a self, value: u32, inputs: &[Slice<'a>], first: usize, n: usize) -> Slice<'a> {
        let index = value as usize;
        let Value { rows, width, .. } = self.plan.values[index];
        let width = width as usize;
        match (self.places[index], rows) {
            (Place::Input(i), Rows::Shared) => inputs[i],
            (Place::Input(i), Rows::Candidate) => inputs[i].range(first * width, (first + n) * width),
            (Place::Buffer, Rows::Shared) => self.buffers[index].slice(),
            (Place::Buffer, Rows::Candidate) => self.buffers[index].slice().range(0, n * width),
        }
    }

    fn steps_of(&mut self, rows: Rows, inputs: &[Slice<'_>], first: usize, n: usize) {
        for s in 0..self.steps.len() {
            let output = self.plan.steps[s].output as usize;
            let value = self.plan.values[output];
            if value.rows != rows {
                continue;
            }
            // The output buffer is taken out, so that the inputs can be borrowed meanwhile.
            let mut buffer = std::mem::replace(&mut self.buffers[output], Buffer::Bool(Vec::new()));
            self.step(s, inputs, first, n, value, &mut buffer);
            self.buffers[output] = buffer;
        }
    }

    #[inline(never)]
    fn step(&self, s: usize, inputs: &[Slice<'_>], first: usize, n: usize, value: Value, out: &mut Buffer) {
        let operands = &self.plan.steps[s].inputs;
        let arg = |i: usize| self.operand(operands[i], inputs, first, n);
        let shared = |i: usize| self.plan.values[operands[i] as usize].rows == Rows::Shared;
        let arg_width = |i: usize| self.plan.values[operands[i] as usize].width as usize;
        let width = value.width as usize;
        match &self.steps[s] {
            Ready::Constant(tensor) => match (&tensor.data, out) {
                (Data::F32(from), Buffer::F32(to)) => to.copy_from_slice(from),
                (Data::I32(from), Buffer::I32(to)) => to.copy_from_slice(from),
                (Data::I64(from), Buffer::I64(to)) => to.copy_from_slice(from),
                (Data::U8(from), Buffer::Bool(to)) => to.copy_from_slice(from),
                _ => {}
            },
            Ready::Concat => {
                let mut at = 0;
                for i in 0..operands.len() {
                    let w = arg_width(i);
                    let stride = if shared(i) { 0 } else { w };
                    for r in 0..n {
                        out.write(r * width + at, arg(i).range(r * stride, r * stride + w));
                    }
                    at += w;
                }
            }
            Ready::Select(columns) => {
                let stride = if shared(0) { 0 } else { arg_width(0) };
                for r in 0..n {
                    for (c, &column) in columns.iter().enumerate() {
                        let from = r * stride + column as usize;
                        out.write(r * width + c, arg(0).range(from, from + 1));
                    }
                }
            }
            Ready::Cast => cast(arg(0), if shared(0) { 0 } else { width }, width, n, out),
            Ready::Label { labels, threshold } => {
                if let Buffer::I64(to) = out {
                    let w = arg_width(0);
                    for (slot, row) in to.iter_mut().zip(arg(0).f32().chunks_exact(w)).take(n) {
                        *slot = label(row, labels, *threshold);
                    }
                }
            }
            float => {
                if let Buffer::F32(y) = out {
                    let y = &mut y[..n * width];
                    if let Ready::Binary(f) = float {
                        let operand = |i| Operand { data: arg(i).f32(), shared: shared(i), width: arg_width(i) };
                        elementwise::binary(*f, operand(0), operand(1), width, y);
                    } else {
                        // A shared input of a candidates' step is repeated; compile does not write such plans
                        // (it keeps the step shared), but a plan from outside may.
                        let w = arg_width(0);
                        let x = arg(0).f32();
                        if shared(0) && value.rows == Rows::Candidate {
                            for r in 0..n {
                                step_f32(float, x, w, &mut y[r * width..(r + 1) * width], width);
                            }
                        } else {
                            step_f32(float, x, w, y, width);
                        }
                    }
                }
            }
        }
    }
}

/// Steps with one f32 input and an f32 output.
#[inline(never)]
fn step_f32(step: &Ready, x: &[f32], x_width: usize, y: &mut [f32], width: usize) {
    match step {
        Ready::Dense { packed, bias, inputs, activation } => {
            let start = if bias.is_empty() { Start::Zero } else { Start::Bias(bias) };
            let rows = if width == 0 { 0 } else { y.len() / width };
            dense::dense(x, *inputs, packed, start, *inputs, width, dense::Activation::None, y, width, rows);
            elementwise::unary(*activation, y);
        }
        Ready::Unary(f) => {
            y.copy_from_slice(x);
            elementwise::unary(*f, y);
        }
        Ready::Softmax { group, log } => {
            y.copy_from_slice(x);
            elementwise::softmax(y, *group, *log);
        }
        Ready::Reduce { f, group } => elementwise::reduce(*f, x, *group, y),
        Ready::LayerNorm { scale, bias, epsilon } => {
            y.copy_from_slice(x);
            elementwise::layer_norm(y, scale, bias, *epsilon);
        }
        Ready::Trees(forest) => {
            for (row, sums) in x.chunks_exact(x_width).zip(y.chunks_exact_mut(width)) {
                tree_sums(forest, row, sums);
            }
        }
        Ready::PostTransform(f) => {
            y.copy_from_slice(x);
            elementwise::post_transform(*f, y, width);
        }
        Ready::BinaryScores { mode, post } => {
            for (score, pair) in x.iter().zip(y.chunks_exact_mut(2)) {
                binary_scores(*score, *mode, *post, pair);
            }
        }
        _ => {}
    }
}

fn tree_sums(forest: &super::check::OwnedForest, row: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    let view = forest.view();
    match forest.aggregate {
        Aggregate::Sum => view.add(row, sums),
        Aggregate::Average => {
            view.add(row, sums);
            let trees = forest.roots.len() as f32;
            for s in sums.iter_mut() {
                *s /= trees;
            }
        }
        Aggregate::Min | Aggregate::Max => {
            // The one step that allocates: no trainer we know of exports min / max forests.
            let combine = if forest.aggregate == Aggregate::Min { math::min } else { math::max };
            let mut seen = vec![false; sums.len()];
            view.fold(row, sums, &mut seen, combine);
        }
    }
    for (s, base) in sums.iter_mut().zip(&forest.base) {
        *s += base;
    }
}

fn binary_scores(score: f32, mode: BinaryScores, post: PostTransform, pair: &mut [f32]) {
    let (low, high) = match (mode, post) {
        (BinaryScores::Probability, _) => (1.0 - score, score),
        (BinaryScores::Margin, PostTransform::Logistic) => (math::sigmoid(-score), math::sigmoid(score)),
        (BinaryScores::Margin, _) => (-score, score),
    };
    pair[0] = low;
    pair[1] = high;
    if matches!(post, PostTransform::Softmax | PostTransform::SoftmaxZero | PostTransform::Probit) {
        elementwise::post_transform(post, pair, 2);
    }
}

fn label(row: &[f32], labels: &[i64], threshold: f32) -> i64 {
    if row.len() == 1 && labels.len() == 2 {
        return labels[usize::from(row[0] > threshold)];
    }
    let mut best = 0;
    for (i, v) in row.iter().enumerate().skip(1) {
        if *v > row[best] {
            best = i;
        }
    }
    labels[best]
}

#[inline(never)]
fn cast(from: Slice<'_>, stride: usize, width: usize, n: usize, out: &mut Buffer) {
    for r in 0..n {
        let row = from.range(r * stride, r * stride + width);
        for c in 0..width {
            let at = r * width + c;
            // Through f64, which holds every f32 and i32; i64 <-> i64 goes directly.
            match (row, &mut *out) {
                (Slice::I64(x), Buffer::I64(y)) => y[at] = x[c],
                (x, Buffer::F32(y)) => y[at] = number(x, c) as f32,
                (x, Buffer::I32(y)) => y[at] = number(x, c) as i32,
                (x, Buffer::I64(y)) => y[at] = number(x, c) as i64,
                (x, Buffer::Bool(y)) => y[at] = u8::from(number(x, c) != 0.0),
            }
        }
    }
}

fn number(x: Slice<'_>, c: usize) -> f64 {
    match x {
        Slice::F32(v) => f64::from(v[c]),
        Slice::I32(v) => f64::from(v[c]),
        Slice::I64(v) => v[c] as f64,
        Slice::Bool(v) => f64::from(v[c]),
    }
}
