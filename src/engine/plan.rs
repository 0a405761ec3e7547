//! The plan: what a compiled graph is. A list of steps over values, each value one row per
//! request (*shared*) or one row per candidate, and named tensors for the weights.
//!
//! A plan is data: it is written by `compile`, stored in the bundle's manifest, and checked
//! once by [`Interpreter::new`](super::Interpreter::new) before it runs. Enums are externally tagged: reading
//! the other forms of serde costs the page several times the bytes.

use serde::Serialize;

/// Element type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// Boolean, one byte of 0 or 1.
    Bool,
}

impl DType {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::Bool => "bool",
        }
    }
}

/// How many rows a value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// One row for the whole request.
    Shared,
    /// One row for each candidate.
    Candidate,
}

/// A value of the plan: `[rows, width]`, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Value {
    /// Element type.
    pub dtype: DType,
    /// One row, or one a candidate.
    pub rows: Rows,
    /// Elements in a row (the product of all dimensions but the leading one).
    pub width: u32,
}

/// A named input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The graph's own name for it.
    pub name: String,
    /// Index into [`Plan::values`].
    pub value: u32,
    /// Run-time shape; -1 stands for the number of candidates.
    pub dims: Vec<i64>,
}

/// JSON has no infinity, and a clip without a bound has one.
fn extended<S: serde::Serializer>(x: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    match *x {
        f32::INFINITY => serializer.serialize_str("inf"),
        f32::NEG_INFINITY => serializer.serialize_str("-inf"),
        x => serializer.serialize_f32(x),
    }
}

/// Name of a tensor in the bundle.
pub type TensorName = String;

/// Function of one element.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "ONNX's own operator names; their formulas are in ONNX's specification")]
pub enum Unary {
    Identity,
    Relu,
    LeakyRelu {
        alpha: f32,
    },
    Elu {
        alpha: f32,
    },
    Selu {
        alpha: f32,
        gamma: f32,
    },
    Sigmoid,
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    HardSwish,
    Silu,
    /// The exact form, with erf.
    Gelu,
    /// The tanh approximation.
    GeluTanh,
    Softplus,
    Softsign,
    Tanh,
    Erf,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Neg,
    Abs,
    Floor,
    Ceil,
    Sign,
    /// NaN stays NaN.
    Clip {
        #[serde(serialize_with = "extended")]
        low: f32,
        #[serde(serialize_with = "extended")]
        high: f32,
    },
}

/// Function of two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the arithmetic operators")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    /// NaN if either is NaN (ONNX Runtime).
    Min,
    /// NaN if either is NaN (ONNX Runtime).
    Max,
    /// 1.0 or 0.0 of a comparison; a Cast makes it boolean.
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

/// Reduction of a row (or of each group in it) to one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the reductions of ONNX")]
pub enum Reduce {
    Sum,
    Mean,
    Max,
    Min,
}

/// What follows the sums of a tree ensemble (ai.onnx.ml `post_transform`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "ai.onnx.ml's own names")]
pub enum PostTransform {
    None,
    Softmax,
    SoftmaxZero,
    Logistic,
    Probit,
}

/// How the leaves of all trees become one score a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "ai.onnx.ml's own names")]
pub enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// How two class scores come from the one sum of a binary classifier, as ONNX Runtime does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryScores {
    /// All leaves are positive: the sum is a probability, `[1 - s, s]`, label at s > 0.5.
    Probability,
    /// The sum is a margin, `[-s, s]` (each through the post transform), label at s > 0.
    Margin,
}

/// A tree ensemble as struct-of-arrays. Children are topologically ordered: a child's index is
/// above its parent's, which is checked at open and bounds every walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trees {
    /// i32 `[trees]`: root of each tree in ONNX tree order; `>= 0` a node, `< 0` the leaf `!root`.
    pub roots: TensorName,
    /// i32 `[nodes]`: column of the input row.
    pub feature: TensorName,
    /// f32 `[nodes]`: split value.
    pub threshold: TensorName,
    /// u8 `[nodes]`: bits 0-2 the branch mode (0 `<=`, 1 `<`, 2 `>=`, 3 `>`, 4 `==`, 5 `!=`), bit 7: NaN goes to the true child.
    pub mode: TensorName,
    /// i32 `[nodes]`: true child, encoded as a root is.
    pub yes: TensorName,
    /// i32 `[nodes]`: false child.
    pub no: TensorName,
    /// i32 `[leaves + 1]`: where each leaf's entries start in `target` and `weight`.
    pub leaf_start: TensorName,
    /// i32 `[entries]`: target (class or output column) of an entry.
    pub target: TensorName,
    /// f32 `[entries]`: what the leaf adds.
    pub weight: TensorName,
    /// f32 `[targets]`, added last.
    pub base: Option<TensorName>,
    /// Number of targets; the output's width.
    pub targets: u32,
    /// Sum (boosting), average, min or max over trees.
    pub aggregate: Aggregate,
}

/// One operation. Inputs and outputs are indices into [`Plan::values`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `y = act(x W + b)`: x `[rows, in]`, W `[in, out]` row-major, b `[out]`.
    Dense {
        /// f32 `[in, out]`.
        weights: TensorName,
        /// f32 `[out]`.
        bias: Option<TensorName>,
        /// Applied in the store.
        activation: Unary,
    },
    /// A constant `[1, width]`.
    Constant {
        /// f32 or i64 `[width]`.
        tensor: TensorName,
    },
    /// Elementwise, f32.
    Unary(Unary),
    /// Elementwise, f32, two inputs whose widths are equal or 1 and whose rows broadcast.
    Binary {
        /// The function.
        f: Binary,
    },
    /// Concatenation along the row; any number of inputs of one dtype.
    Concat,
    /// The named columns of the row, in order, repeats allowed (Slice, Split, Gather, Transpose of constants).
    Select {
        /// Columns of the input.
        columns: Vec<u32>,
    },
    /// Softmax over each `group` consecutive elements of the row.
    Softmax {
        /// Group length; the width is a multiple of it.
        group: u32,
        /// LogSoftmax instead.
        log: bool,
    },
    /// Reduces each `group` consecutive elements to one.
    Reduce {
        /// The function.
        f: Reduce,
        /// Group length.
        group: u32,
    },
    /// `(x - mean) / sqrt(var + epsilon) * scale + bias` over each `group` of the row.
    LayerNorm {
        /// f32 `[group]`.
        scale: TensorName,
        /// f32 `[group]`.
        bias: Option<TensorName>,
        /// Group length.
        group: u32,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Conversion to the output's dtype as ONNX defines it.
    Cast,
    /// Sum of leaves, f32 `[rows, targets]`, in ONNX tree order per row; no post transform.
    Trees(Trees),
    /// Post transform over each row of scores (as ONNX Runtime computes it).
    PostTransform {
        /// Which.
        f: PostTransform,
    },
    /// `[rows, 1]` -> `[rows, 2]` for a binary classifier with one score, post transform included.
    BinaryScores {
        /// Probability or margin.
        mode: BinaryScores,
        /// Applied as ONNX Runtime does for two classes.
        post: PostTransform,
    },
    /// Class labels, i64 `[rows, 1]`: of the largest of the scores (the first of equals), or, for
    /// a width of 1, `labels[1]` when the score is above `threshold`, else `labels[0]`.
    Label {
        /// Labels by class.
        labels: Vec<i64>,
        /// For one score.
        threshold: f32,
    },
}

/// A step and the ONNX node it came from, for messages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What is done.
    pub op: Op,
    /// Node name in the source graph.
    pub node: String,
    /// Values read.
    pub inputs: Vec<u32>,
    /// The value written; each is written once, before it is read.
    pub output: u32,
}

/// A whole compiled graph.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Plan {
    /// Inputs under their graph names.
    pub inputs: Vec<Port>,
    /// Outputs under their graph names.
    pub outputs: Vec<Port>,
    /// All values.
    pub values: Vec<Value>,
    /// Steps in order.
    pub steps: Vec<Step>,
}
