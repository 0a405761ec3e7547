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
    /// One row for each candidate, and in it `width` elements for each candidate again: attention over the list.
    Pair,
}

/// A value of the plan: `[rows, width]`, row-major (`[rows, width * candidates]` for pairs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Value {
    /// Element type.
    pub dtype: DType,
    /// One row, or one a candidate.
    pub rows: Rows,
    /// Elements in a row: the product of all dimensions but the candidates', which comes first in memory wherever
    /// it stands in ONNX's shape.
    pub width: u32,
}

/// A named input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The graph's own name for it.
    pub name: String,
    /// Index into [`Plan::values`].
    pub value: u32,
    /// Run-time shape; -1 stands for the number of candidates. It may stand anywhere in an input or output only where
    /// the elements lie in memory as they do with it in front.
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

/// Function of one element of f32.
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
    Celu {
        alpha: f32,
    },
    Sigmoid,
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    HardSwish,
    /// x * sigmoid(alpha x): Silu where alpha is 1.
    Swish {
        alpha: f32,
    },
    /// The exact form, with erf.
    Gelu,
    /// The tanh approximation.
    GeluTanh,
    Mish,
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
    /// To the nearest whole number, halves to the even one.
    Round,
    Sign,
    /// NaN stays NaN.
    Clip {
        #[serde(serialize_with = "extended")]
        low: f32,
        #[serde(serialize_with = "extended")]
        high: f32,
    },
    ThresholdedRelu {
        alpha: f32,
    },
    Shrink {
        lambda: f32,
        bias: f32,
    },
}

/// Function of two elements of one type: f32, or whole numbers (i32 wraps to 32 bits; booleans are 0 and 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the arithmetic operators")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// Whole numbers: towards zero; by zero gives 0.
    Div,
    Pow,
    /// Remainder with the divisor's sign (whole numbers; by zero gives 0).
    Mod,
    /// Remainder with the dividend's sign.
    Fmod,
    /// NaN if either is NaN (ONNX Runtime).
    Min,
    /// NaN if either is NaN (ONNX Runtime).
    Max,
    /// x, or slope * x where x < 0.
    Prelu,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    And,
    Or,
    Xor,
}

impl Binary {
    /// Whether the result is a boolean whatever the operands are.
    pub const fn compares(self) -> bool {
        matches!(self, Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual | Binary::Equal)
    }
}

/// Reduction of elements to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the reductions of ONNX")]
pub enum Reduce {
    Sum,
    Mean,
    Prod,
    Max,
    Min,
    /// Index of the largest, the first of equals.
    ArgMax,
    /// Index of the smallest, the first of equals.
    ArgMin,
    /// Index of the largest, the last of equals.
    ArgMaxLast,
    /// Index of the smallest, the last of equals.
    ArgMinLast,
}

impl Reduce {
    /// Whether the result is an index, i64.
    pub const fn gives_index(self) -> bool {
        matches!(self, Reduce::ArgMax | Reduce::ArgMin | Reduce::ArgMaxLast | Reduce::ArgMinLast)
    }
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
    /// u8 `[columns of the input]`: 1 for a column that is the same in all rows of a request.
    pub shared: Option<TensorName>,
    /// Columns of a row that the trees read: each so many elements of the input are scored.
    pub columns: u32,
    /// Number of targets; what each row of scores has.
    pub targets: u32,
    /// Sum (boosting), average, min or max over trees.
    pub aggregate: Aggregate,
}

/// What a matrix product goes over. `a` and `b` are its two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// A product in each row: `[batch, m, k] x [batch, k, n]`.
    Row,
    /// Each row of `a` (`[batch, k]`) with every row of `b` (`[batch, k]`): pairs `[batch, candidates]`; m and n are 1.
    Scores,
    /// Pairs `a` (`[batch, candidates]`) times the rows of `b` (`[batch, n]`): `[batch, n]`; m is 1, k the candidates.
    Mix,
    /// Summed over the candidates: `a` `[batch, m]` and `b` `[batch, n]` of each give one `[batch, m, n]`.
    Pool,
}

/// A matrix product whose factors are both computed. Strides count elements inside a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// What it goes over.
    pub over: Over,
    /// Batch dimensions, the outermost first: size, stride in `a`, stride in `b`.
    pub batch: Vec<[u32; 3]>,
    /// Rows of the product.
    pub m: u32,
    /// Terms of each sum.
    pub k: u32,
    /// Columns of the product.
    pub n: u32,
    /// Strides of `a`: from row to row, from term to term.
    pub a: [u32; 2],
    /// Strides of `b`: from term to term, from column to column.
    pub b: [u32; 2],
}

/// One operation. Inputs and outputs are indices into [`Plan::values`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// `y = act(x W + start)` on each `inputs` consecutive elements of a row: x `[groups, inputs]`, W
    /// `[inputs, outputs]`, y `[groups, outputs]`. Inputs of the step: x, then the packed weights if they are
    /// computed, then the start if it is, then, to rows of a start, a shared `[outputs]` that is added to each.
    Dense {
        /// f32, f16, bf16 or i8 `[inputs, outputs]`, row-major, or, of rank 1 (since format 1.2), no i8 and in the order of
        /// [`ranklet_kernels::dense::pack`], used where it lies: finite then, and no bias -0, so that products with 0 may be
        /// left out; none: the second input is [`Op::Pack`]'s output.
        weights: Option<TensorName>,
        /// f32 `[outputs]`: weights are i8 times these. Products are then whole numbers: see [`ranklet_kernels::int8`].
        scales: Option<TensorName>,
        /// f32 `[outputs]`, or none.
        bias: Option<TensorName>,
        /// Whether the last input is where the sums start: as wide as the output.
        start: bool,
        /// Elements of a group.
        inputs: u32,
        /// Outputs of a group.
        outputs: u32,
        /// Applied in the store.
        activation: Unary,
    },
    /// Computed weights (shared), `[groups, inputs, outputs / groups]`, in the order in which a dense layer reads
    /// `[inputs, outputs]`. Of one input it is the matrix; of three, s `[groups, inputs]`, w and v
    /// `[inputs, outputs / groups]`, it is `s[g, k] * w[k, o] + v[k, o]`.
    Pack {
        /// Matrices beside each other.
        groups: u32,
        /// Rows of the matrix.
        inputs: u32,
        /// Columns of the matrix.
        outputs: u32,
    },
    /// A product of two computed matrices.
    Product(Product),
    /// A constant `[1, width]`.
    Constant {
        /// f32, f16, bf16, i32, i64 or bytes, `[width]`.
        tensor: TensorName,
    },
    /// Elementwise, f32.
    Unary(Unary),
    /// Elementwise on two inputs of one type. Element c of the output reads element `(c / each) % width` of an operand.
    Binary {
        /// The function.
        f: Binary,
        /// By operand.
        each: [u32; 2],
    },
    /// Elementwise: the second input where the first (boolean) holds, else the third. All as wide as the output, or 1.
    Where,
    /// Concatenation along the row; any number of inputs of one dtype.
    Concat,
    /// The named columns of the row, in order, repeats allowed (Slice, Split, Gather, Transpose, Expand, Pad of
    /// constants). From candidates to shared: of the first row, for columns that are the same in all.
    Select {
        /// i32 `[width]`: columns of the input; below 0: `fill`.
        columns: TensorName,
        /// What stands where no column does.
        #[serde(serialize_with = "extended")]
        fill: f32,
    },
    /// Rows of a table by computed indices: input `[size, block]` and whole numbers `[count]` give `[count, block]`.
    /// Negative indices count from the end; one outside gives NaN (0 in whole numbers).
    Take {
        /// Rows of the table.
        size: u32,
        /// Elements of a row of it.
        block: u32,
    },
    /// Softmax over the middle one of `[outer, group, inner]`.
    Softmax {
        /// Group length; 0: the candidates of a pair.
        group: u32,
        /// Elements between neighbours of a group.
        inner: u32,
        /// LogSoftmax instead.
        log: bool,
    },
    /// Reduces the middle one of `[outer, group, inner]`.
    Reduce {
        /// The function.
        f: Reduce,
        /// Group length; 0: the candidates of a pair.
        group: u32,
        /// Elements between neighbours of a group.
        inner: u32,
    },
    /// Reduces over the candidates, element by element, in their order.
    ReduceRows {
        /// The function.
        f: Reduce,
    },
    /// Running sums over the middle one of `[outer, group, inner]`.
    CumSum {
        /// Group length; 0: over the candidates.
        group: u32,
        /// Elements between neighbours of a group.
        inner: u32,
        /// Without the element itself.
        exclusive: bool,
        /// From the end.
        reverse: bool,
    },
    /// Indices, i64, of the `k` first of each `group` in order: largest or smallest first, equals by index.
    TopK {
        /// Group length.
        group: u32,
        /// How many.
        k: u32,
        /// Or the smallest.
        largest: bool,
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
    /// The candidate's row number, i64, from 0.
    Position,
    /// The number of candidates, i64.
    Count,
    /// Row `index` of the candidates (from the end if negative; 0 without it).
    RowAt {
        /// Which.
        index: i64,
    },
    /// Candidates `[pre, post]` as pairs `[pre, candidates, post]`: each row repeated, or every row in each.
    Pair {
        /// Elements before the second candidate.
        pre: u32,
        /// Elements behind it.
        post: u32,
        /// Every row in each, instead of each row repeated.
        every: bool,
    },
    /// Sum of leaves, f32 `[rows, targets]`, in ONNX tree order per row; no post transform.
    Trees(Trees),
    /// Post transform over each row of scores (as ONNX Runtime computes it).
    PostTransform {
        /// Which.
        f: PostTransform,
        /// Scores of a row.
        group: u32,
    },
    /// Each score -> two, for a binary classifier with one score, post transform included.
    BinaryScores {
        /// Probability or margin.
        mode: BinaryScores,
        /// Applied as ONNX Runtime does for two classes.
        post: PostTransform,
    },
    /// Class labels, i64, of each row of scores: of the largest (the first of equals), or, of
    /// one score, `labels[1]` when it is above `threshold`, else `labels[0]`.
    Label {
        /// Labels by class.
        labels: Vec<i64>,
        /// Scores of a row: as many as labels, or 1 for two.
        group: u32,
        /// For one score.
        threshold: f32,
    },
}

impl Op {
    /// Inputs of a step that are read for all candidates at once, by position: what gives them must have run for
    /// the whole list.
    pub fn reads_whole(&self, input: usize) -> bool {
        match self {
            Op::ReduceRows { .. } | Op::RowAt { .. } | Op::CumSum { group: 0, .. } | Op::Pair { every: true, .. } => {
                true
            }
            Op::Product(product) => match product.over {
                Over::Row => false,
                Over::Scores | Over::Mix => input == 1,
                Over::Pool => true,
            },
            _ => false,
        }
    }

    /// Names of the tensors that it reads.
    pub fn tensors(&self) -> Vec<&TensorName> {
        match self {
            Op::Dense { weights, scales, bias, .. } => weights.iter().chain(scales).chain(bias).collect(),
            Op::Constant { tensor } => vec![tensor],
            Op::Select { columns, .. } => vec![columns],
            Op::LayerNorm { scale, bias, .. } => std::iter::once(scale).chain(bias).collect(),
            Op::Trees(t) => {
                [&t.roots, &t.feature, &t.threshold, &t.mode, &t.yes, &t.no, &t.leaf_start, &t.target, &t.weight]
                    .into_iter()
                    .chain(&t.base)
                    .chain(&t.shared)
                    .collect()
            }
            _ => vec![],
        }
    }
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
