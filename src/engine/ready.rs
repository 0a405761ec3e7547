//! Steps that were checked: weights packed, sizes in hand.

use super::forest::OwnedForest;
use super::plan::{Binary, BinaryScores, PostTransform, Product, Reduce, Unary};
use ranklet_kernels::bytes::Words;
use std::sync::Arc;

/// Elements of f32, or whole numbers and booleans.
#[derive(Debug)]
pub(super) enum Cells {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

/// Elements that no step writes.
#[derive(Debug)]
pub(super) enum Constant {
    Floats(Words<f32>),
    Ints(Vec<i64>),
}

/// Weights of a dense layer; a copy is the same ones.
#[derive(Debug, Clone)]
pub(super) enum Weights {
    /// As `dense::pack` lays them out.
    Packed(Words<f32>),
    /// As `int8::pack8` does, and a scale for each output.
    Integers { packed: Arc<Vec<i16>>, scales: Words<f32> },
    /// The step's second input.
    Computed,
}

/// The steps of a plan.
#[derive(Debug)]
pub(super) struct Steps {
    pub ready: Vec<Ready>,
    /// Room for the quantised rows of any one step.
    pub scratch: Vec<i16>,
}

/// The middle axis of `[outer, group, inner]`; a group of 0 stands for the candidates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub group: usize,
    pub inner: usize,
}

/// An operation with its weights packed.
#[derive(Debug)]
pub(super) enum Ready {
    Dense {
        weights: Weights,
        bias: Vec<f32>,
        inputs: usize,
        outputs: usize,
        activation: Unary,
        /// Weights as compile packed them: it has seen that products with 0 may be left out.
        skip: bool,
    },
    Pack {
        groups: usize,
        inputs: usize,
        outputs: usize,
        rows: Vec<f32>,
    },
    Product(Product),
    Constant(Constant),
    Unary(Unary),
    Binary {
        f: Binary,
        each: [usize; 2],
    },
    Where,
    Concat,
    /// Consecutive columns from here on.
    Slice(usize),
    Select {
        columns: Vec<i32>,
        fill: f32,
    },
    Take {
        size: usize,
        block: usize,
    },
    Softmax {
        axis: Axis,
        log: bool,
    },
    Reduce {
        f: Reduce,
        axis: Axis,
    },
    ReduceRows(Reduce),
    CumSum {
        axis: Axis,
        exclusive: bool,
        reverse: bool,
    },
    TopK {
        group: usize,
        k: usize,
        largest: bool,
    },
    LayerNorm {
        scale: Vec<f32>,
        bias: Vec<f32>,
        epsilon: f32,
    },
    Cast,
    Position,
    Count,
    RowAt(i64),
    Pair {
        pre: usize,
        post: usize,
        every: bool,
    },
    Trees(Box<OwnedForest>),
    PostTransform {
        f: PostTransform,
        group: usize,
    },
    BinaryScores {
        mode: BinaryScores,
        post: PostTransform,
    },
    Label {
        labels: Vec<i64>,
        group: usize,
        threshold: f32,
    },
}
