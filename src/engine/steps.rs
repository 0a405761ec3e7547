//! What each step does, on rows that lie before it.

use super::elementwise::{self, Operand};
use super::plan::{BinaryScores, DType, Over, PostTransform, Product, Rows, Step, Unary};
use super::ready::{Axis, Cells, Ready, Weights};
use super::run::Context;
use super::values::Slice;
use super::{over_axis, reduce};
use ranklet_kernels::dense::Start;
use ranklet_kernels::moves::copy_rows;
use ranklet_kernels::{dense, int8, math, matmul};

/// Elements to read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Floats(&'a [f32]),
    Ints(&'a [i64]),
}

impl<'a> Cell<'a> {
    pub fn of(cells: &'a Cells, from: usize, to: usize) -> Self {
        match cells {
            Cells::Floats(v) => Cell::Floats(&v[from..to]),
            Cells::Ints(v) => Cell::Ints(&v[from..to]),
        }
    }

    pub fn slice(self) -> Slice<'a> {
        match self {
            Cell::Floats(v) => Slice::F32(v),
            Cell::Ints(v) => Slice::I64(v),
        }
    }

    /// The check at open guarantees the type where it is asked for.
    pub fn floats(self) -> &'a [f32] {
        if let Cell::Floats(v) = self { v } else { &[] }
    }

    pub fn ints(self) -> &'a [i64] {
        if let Cell::Ints(v) = self { v } else { &[] }
    }
}

/// Elements to write.
#[derive(Debug)]
pub(super) enum CellMut<'a> {
    Floats(&'a mut [f32]),
    Ints(&'a mut [i64]),
}

/// Runs a step. With `in_place` the output holds what the first input did.
#[inline(never)]
pub(super) fn run(
    ready: &mut Ready,
    scratch: &mut [i16],
    cx: &Context<'_>,
    step: &Step,
    out: CellMut<'_>,
    in_place: bool,
) {
    match out {
        CellMut::Floats(y) => floats(ready, scratch, cx, step, y, in_place),
        CellMut::Ints(y) => ints(ready, cx, step, y),
    }
}

/// Operand `i` with what a loop over rows needs to know of it.
fn operand<'a, T>(cx: &Context<'_>, step: &Step, i: usize, each: usize, data: &'a [T]) -> Operand<'a, T> {
    let value = cx.value(step.inputs[i]);
    let width = value.width as usize * if value.rows == Rows::Pair { cx.rows } else { 1 };
    Operand { data, shared: value.rows == Rows::Shared, width, each }
}

fn row_width(cx: &Context<'_>, value: u32) -> usize {
    let value = cx.value(value);
    value.width as usize * if value.rows == Rows::Pair { cx.rows } else { 1 }
}

fn group(axis: Axis, cx: &Context<'_>) -> usize {
    if axis.group == 0 { cx.rows } else { axis.group }
}

/// Steps whose output is f32.
#[inline(never)]
fn floats(ready: &mut Ready, scratch: &mut [i16], cx: &Context<'_>, step: &Step, y: &mut [f32], in_place: bool) {
    let arg = |i: usize| cx.cell(step.inputs[i], false).floats();
    let is_shared = |i: usize| cx.value(step.inputs[i]).rows == Rows::Shared;
    let width = row_width(cx, step.output);
    if in_place {
        return overwrite(ready, cx, y);
    }
    match ready {
        Ready::Dense { weights, bias, inputs, outputs, activation, skip } => {
            let computed = if let Weights::Computed = weights { arg(1) } else { &[] };
            let from = 1 + usize::from(matches!(weights, Weights::Computed));
            let mut begin = Start { rows: &[], shift: bias };
            if from + 1 < step.inputs.len() {
                begin.shift = arg(from + 1);
            }
            if from < step.inputs.len() {
                // One start for all candidates: of one group it is a bias.
                let shared = is_shared(from) && width == *outputs;
                *(if shared { &mut begin.shift } else { &mut begin.rows }) = arg(from);
            }
            dense_rows(
                arg(0),
                weights,
                scratch,
                computed,
                begin,
                *inputs,
                *outputs,
                *activation,
                *skip,
                cx.columns,
                width,
                y,
            );
        }
        // The scale of a layer's weights, and what it is multiplied with and added to.
        Ready::Pack { groups, inputs, outputs, .. } if step.inputs.len() == 3 => {
            dense::pack_scaled(arg(0), arg(1), arg(2), *groups, *inputs, *outputs, y);
        }
        Ready::Binary { f, each } => {
            let (a, b) = (operand(cx, step, 0, each[0], arg(0)), operand(cx, step, 1, each[1], arg(1)));
            elementwise::binary(*f, a, b, width, y);
        }
        Ready::Trees(forest) => {
            if cx.first == 0 {
                forest.begin(arg(0));
            }
            forest.score(arg(0), y);
        }
        Ready::Unary(_) | Ready::Softmax { .. } | Ready::LayerNorm { .. } | Ready::PostTransform { .. } => {
            y.copy_from_slice(arg(0));
            overwrite(ready, cx, y);
        }
        other => seldom(other, cx, step, y),
    }
}

/// The rest of them: V8 compiles a function when it is first called, and all of it.
#[inline(never)]
fn seldom(ready: &mut Ready, cx: &Context<'_>, step: &Step, y: &mut [f32]) {
    let arg = |i: usize| cx.cell(step.inputs[i], false).floats();
    let whole = |i: usize| cx.cell(step.inputs[i], true).floats();
    let width = row_width(cx, step.output);
    match ready {
        Ready::Pack { groups: 1, inputs, outputs, .. } => dense::pack(arg(0), *inputs, *outputs, y),
        Ready::Pack { groups, inputs, outputs, rows } => {
            let part = *outputs / *groups;
            for (i, from) in arg(0).chunks_exact(part).enumerate() {
                let (group, row) = (i / *inputs, i % *inputs);
                let at = row * *outputs + group * part;
                rows[at..at + part].copy_from_slice(from);
            }
            dense::pack(rows, *inputs, *outputs, y);
        }
        Ready::Product(product) => multiply(product, cx, step, y),
        Ready::Reduce { f, axis } => reduce::floats(*f, arg(0), group(*axis, cx), axis.inner, y),
        Ready::ReduceRows(f) => reduce::floats(*f, whole(0), cx.rows, width, y),
        Ready::CumSum { axis, exclusive, reverse } => {
            let x = if axis.group == 0 { whole(0) } else { arg(0) };
            reduce::cum_sum(x, group(*axis, cx), axis.inner, *exclusive, *reverse, y, |a, b| a + b);
        }
        Ready::BinaryScores { mode, post } => {
            for (score, pair) in arg(0).iter().zip(y.chunks_exact_mut(2)) {
                binary_scores(*score, *mode, *post, pair);
            }
        }
        Ready::Cast => match cx.cell(step.inputs[0], false) {
            Cell::Floats(x) => y.copy_from_slice(x),
            Cell::Ints(x) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = x as f32),
        },
        moving => {
            let fill = if let Ready::Select { fill, .. } = moving { *fill } else { f32::NAN };
            move_rows(moving, cx, step, width, fill, &|i, all| cx.cell(step.inputs[i], all).floats(), y);
        }
    }
}

/// Steps that work where their input lies.
#[inline(never)]
fn overwrite(ready: &Ready, cx: &Context<'_>, y: &mut [f32]) {
    match ready {
        Ready::Unary(f) => elementwise::unary(*f, y),
        Ready::Softmax { axis, log } => over_axis::softmax(y, group(*axis, cx), axis.inner, *log),
        Ready::LayerNorm { scale, bias, epsilon } => over_axis::layer_norm(y, scale, bias, *epsilon),
        Ready::PostTransform { f, group } => over_axis::post_transform(*f, y, *group),
        _ => {}
    }
}

/// Steps whose output is whole numbers or booleans.
#[inline(never)]
fn ints(ready: &Ready, cx: &Context<'_>, step: &Step, y: &mut [i64]) {
    let arg = |i: usize| cx.cell(step.inputs[i], false);
    let whole = |i: usize| cx.cell(step.inputs[i], true);
    let out = cx.value(step.output);
    let width = row_width(cx, step.output);
    match ready {
        Ready::Binary { f, each } => match (arg(0), arg(1)) {
            (Cell::Floats(a), Cell::Floats(b)) => {
                let (a, b) = (operand(cx, step, 0, each[0], a), operand(cx, step, 1, each[1], b));
                elementwise::compare(*f, a, b, width, y);
            }
            (a, b) => {
                let (a, b) = (operand(cx, step, 0, each[0], a.ints()), operand(cx, step, 1, each[1], b.ints()));
                elementwise::whole(*f, a, b, width, out.dtype, y);
            }
        },
        Ready::Reduce { f, axis } => match arg(0) {
            Cell::Floats(x) => reduce::index(*f, x, group(*axis, cx), axis.inner, y),
            Cell::Ints(x) => reduce::ints(*f, x, group(*axis, cx), axis.inner, out.dtype, y),
        },
        Ready::ReduceRows(f) => match whole(0) {
            Cell::Floats(x) => reduce::index(*f, x, cx.rows, width, y),
            Cell::Ints(x) => reduce::ints(*f, x, cx.rows, width, out.dtype, y),
        },
        Ready::CumSum { axis, exclusive, reverse } => {
            let x = if axis.group == 0 { whole(0) } else { arg(0) };
            reduce::cum_sum(x.ints(), group(*axis, cx), axis.inner, *exclusive, *reverse, y, i64::wrapping_add);
            // The low bits of a sum depend on low bits alone.
            y.iter_mut().for_each(|v| *v = elementwise::wrap(*v, out.dtype));
        }
        Ready::TopK { group, k, largest } => reduce::top_k(arg(0).floats(), *group, *k, *largest, y),
        Ready::Cast => elementwise::cast(arg(0), out.dtype, y),
        Ready::Position => (cx.first..).zip(y).for_each(|(i, y)| *y = i as i64),
        Ready::Count => y.fill(cx.rows as i64),
        Ready::Label { labels, group, threshold } => {
            for (slot, row) in y.iter_mut().zip(arg(0).floats().chunks_exact(*group)) {
                *slot = label(row, labels, *threshold);
            }
        }
        moving => {
            let fill = if let Ready::Select { fill, .. } = moving { *fill as i64 } else { 0 };
            move_rows(moving, cx, step, width, fill, &|i, all| cx.cell(step.inputs[i], all).ints(), y);
        }
    }
}

/// Steps that only move elements, of either type.
#[inline(never)]
fn move_rows<'a, T: Copy + Default>(
    ready: &Ready,
    cx: &Context<'a>,
    step: &Step,
    width: usize,
    fill: T,
    arg: &dyn Fn(usize, bool) -> &'a [T],
    y: &mut [T],
) {
    let strided = |i: usize| {
        let w = row_width(cx, step.inputs[i]);
        (w, if cx.value(step.inputs[i]).rows == Rows::Shared { 0 } else { w })
    };
    let out_shared = cx.value(step.output).rows == Rows::Shared;
    match ready {
        Ready::Concat => {
            let (mut at, y_rows) = (0, y.len() / width);
            for i in 0..step.inputs.len() {
                let ((w, stride), x) = (strided(i), arg(i, false));
                copy_rows(x, stride, &mut y[at..], width, w, y_rows);
                at += w;
            }
        }
        Ready::Slice(_) | Ready::Select { .. } => {
            // To shared: of the first candidate, if there is one.
            let first = out_shared && cx.value(step.inputs[0]).rows != Rows::Shared;
            if first && cx.rows == 0 {
                return y.fill(T::default());
            }
            let ((w, stride), x) = (strided(0), arg(0, first));
            if let Ready::Slice(from) = ready {
                return copy_rows(&x[*from..], stride, y, width, width, y.len() / width);
            }
            for (r, row) in y.chunks_exact_mut(width).enumerate() {
                let x = &x[r * stride..r * stride + w];
                if let Ready::Select { columns, .. } = ready {
                    for (slot, &c) in row.iter_mut().zip(columns) {
                        *slot = x.get(c as usize).copied().unwrap_or(fill);
                    }
                }
            }
        }
        Ready::Take { size, block } => {
            let ((_, table_stride), table) = (strided(0), arg(0, false));
            let ((_, index_stride), indices) = (strided(1), cx.cell(step.inputs[1], false).ints());
            for (r, row) in y.chunks_exact_mut(width).enumerate() {
                let indices = &indices[r * index_stride..];
                for (to, &index) in row.chunks_exact_mut(*block).zip(indices) {
                    let index = if index < 0 { index + *size as i64 } else { index };
                    match usize::try_from(index) {
                        Ok(i) if i < *size => {
                            let from = r * table_stride + i * block;
                            copy_rows(&table[from..], 0, to, 0, *block, 1);
                        }
                        _ => to.fill(fill),
                    }
                }
            }
        }
        Ready::Where => {
            let condition = cx.cell(step.inputs[0], false).ints();
            let at = |i: usize| {
                let (w, stride) = strided(i);
                (stride, usize::from(w > 1))
            };
            let [(cr, cc), (ar, ac), (br, bc)] = [at(0), at(1), at(2)];
            let (a, b) = (arg(1, false), arg(2, false));
            for (r, row) in y.chunks_exact_mut(width).enumerate() {
                let (condition, a, b) = (&condition[r * cr..], &a[r * ar..], &b[r * br..]);
                for (c, slot) in row.iter_mut().enumerate() {
                    *slot = if condition[c * cc] != 0 { a[c * ac] } else { b[c * bc] };
                }
            }
        }
        Ready::RowAt(index) => {
            let index = if *index < 0 { index + cx.rows as i64 } else { *index };
            match usize::try_from(index) {
                Ok(i) if i < cx.rows => y.copy_from_slice(&arg(0, true)[i * width..(i + 1) * width]),
                _ => y.fill(T::default()),
            }
        }
        Ready::Pair { pre, post, every } => {
            let x = arg(0, *every);
            let w = pre * post;
            for (r, row) in y.chunks_exact_mut(width).enumerate() {
                for (p, part) in row.chunks_exact_mut(cx.rows * post).enumerate() {
                    for (other, to) in part.chunks_exact_mut(*post).enumerate() {
                        let from = (if *every { other } else { r }) * w + p * post;
                        to.copy_from_slice(&x[from..from + post]);
                    }
                }
            }
        }
        _ => {}
    }
}

/// A dense layer over every group of every row, or over what is read of it: some groups of one column of a row, or some
/// columns of the one group; neither starts at rows.
#[inline(never)]
#[allow(clippy::too_many_arguments, reason = "a layer's parts")]
fn dense_rows(
    x: &[f32],
    weights: &Weights,
    scratch: &mut [i16],
    computed: &[f32],
    mut start: Start<'_>,
    inputs: usize,
    outputs: usize,
    activation: Unary,
    skip: bool,
    columns: Option<[usize; 2]>,
    width: usize,
    y: &mut [f32],
) {
    let (fused, after) = match activation {
        Unary::Relu => (dense::Activation::Relu, Unary::Identity),
        Unary::LeakyRelu { alpha } if 0.0 < alpha && alpha <= 1.0 => {
            (dense::Activation::LeakyRelu(alpha), Unary::Identity)
        }
        other => (dense::Activation::None, other),
    };
    if y.is_empty() {
        return;
    }
    // Rows to start at are as many as the output's, or one for all candidates.
    let mut many = if start.rows.is_empty() { y.len() } else { start.rows.len() };
    let ([mut first, mut last], [mut from, mut to]) = ([0, many / outputs], [0, outputs]);
    match columns {
        Some(some) if width == outputs => {
            [from, to] = some;
            start.shift = start.shift.get(from..to).unwrap_or_default();
        }
        Some(some) => ([first, last], many) = (some, width),
        None => {}
    }
    for (x, y) in x.chunks_exact(many / outputs * inputs).zip(y.chunks_exact_mut(many)) {
        let (x, y, rows) = (&x[first * inputs..last * inputs], &mut y[first * outputs + from..], last - first);
        let packed = match weights {
            Weights::Integers { packed, scales } => {
                int8::dense8(x, inputs, packed, scales, start, inputs, outputs, fused, y, outputs, rows, scratch);
                continue;
            }
            Weights::Packed(packed) => packed,
            Weights::Computed => computed,
        };
        // Panels of columns that are cut are whole; of all columns the last may be filled up.
        let end = if to == outputs { packed.len() } else { to * inputs };
        let packed = &packed[from * inputs..end];
        dense::dense(x, inputs, packed, start, inputs, to - from, fused, y, outputs, rows, skip);
    }
    elementwise::unary(after, y);
}

/// Calls `each` with the offsets in `a`, `b` and the output for every combination of the batch dimensions.
#[inline(never)]
fn batches(product: &Product, each: &mut dyn FnMut(usize, usize, usize)) {
    let count: usize = product.batch.iter().map(|dim| dim[0] as usize).product();
    for i in 0..count {
        let (mut rest, mut a, mut b) = (i, 0, 0);
        for &[size, a_stride, b_stride] in product.batch.iter().rev() {
            let at = rest % size as usize;
            rest /= size as usize;
            a += at * a_stride as usize;
            b += at * b_stride as usize;
        }
        each(a, b, i);
    }
}

#[inline(never)]
fn multiply(p: &Product, cx: &Context<'_>, step: &Step, y: &mut [f32]) {
    let value = |i: usize| cx.value(step.inputs[i]);
    let arg = |i: usize, whole: bool| cx.cell(step.inputs[i], whole).floats();
    let stride = |i: usize| if value(i).rows == Rows::Shared { 0 } else { value(i).width as usize };
    let [m, k, n] = [p.m, p.k, p.n].map(|size| size as usize);
    let [[a_row, a_depth], [b_depth, b_column]] = [p.a, p.b].map(|s| s.map(|s| s as usize));
    let width = row_width(cx, step.output);
    match p.over {
        Over::Row => {
            let (x, z) = (arg(0, false), arg(1, false));
            let (x_row, z_row) = (stride(0), stride(1));
            if m == 1 {
                // The candidates' rows are the product's: of one matrix for all, or each with its own.
                return batches(p, &mut |a, b, i| {
                    let y = &mut y[i * n..];
                    matmul::matmul(&x[a..], x_row, a_depth, &z[b..], z_row, b_depth, b_column, cx.n, k, n, y, width);
                });
            }
            for (r, y) in y.chunks_exact_mut(width).enumerate() {
                batches(p, &mut |a, b, i| {
                    let (x, z, y) = (&x[r * x_row + a..], &z[r * z_row + b..], &mut y[i * m * n..]);
                    matmul::matmul(x, a_row, a_depth, z, 0, b_depth, b_column, m, k, n, y, n);
                });
            }
        }
        Over::Scores => {
            let (x, z) = (arg(0, false), arg(1, true));
            batches(p, &mut |a, b, i| {
                let y = &mut y[i * cx.rows..];
                matmul::matmul(&x[a..], stride(0), a_depth, &z[b..], 0, b_depth, stride(1), cx.n, k, cx.rows, y, width);
            });
        }
        Over::Mix => {
            let (x, z) = (arg(0, false), arg(1, true));
            let x_row = value(0).width as usize * cx.rows;
            batches(p, &mut |a, b, i| {
                let y = &mut y[i * n..];
                let x = &x[a * cx.rows..];
                matmul::matmul(x, x_row, 1, &z[b..], 0, stride(1), b_column, cx.n, cx.rows, n, y, width);
            });
        }
        Over::Pool => {
            let (x, z) = (arg(0, true), arg(1, true));
            if cx.rows == 0 {
                return y.fill(0.0);
            }
            batches(p, &mut |a, b, i| {
                let y = &mut y[i * m * n..];
                matmul::matmul(&x[a..], a_row, stride(0), &z[b..], 0, stride(1), b_column, m, cx.rows, n, y, n);
            });
        }
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
        over_axis::post_transform(post, pair, 2);
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

/// The type that whole numbers wrap to.
pub(super) const fn is_narrow(dtype: DType) -> bool {
    matches!(dtype, DType::I32)
}
