//! Reading a plan from the manifest's JSON; it is written by serde's derive in `plan`.

use super::plan::{
    Aggregate, Binary, BinaryScores, DType, Op, Plan, Port, PostTransform, Reduce, Rows, Step, Trees, Unary, Value,
};
use crate::json::{Notes, Read, field, read_names, read_struct, variant};
use serde_json::Value as Json;

read_names!(DType { "f32" => F32, "i32" => I32, "i64" => I64, "bool" => Bool });
read_names!(Rows { "shared" => Shared, "candidate" => Candidate });
read_names!(Binary {
    "add" => Add, "sub" => Sub, "mul" => Mul, "div" => Div, "pow" => Pow, "min" => Min, "max" => Max,
    "less" => Less, "less_or_equal" => LessOrEqual, "greater" => Greater, "greater_or_equal" => GreaterOrEqual,
    "equal" => Equal,
});
read_names!(Reduce { "sum" => Sum, "mean" => Mean, "max" => Max, "min" => Min });
read_names!(PostTransform {
    "none" => None, "softmax" => Softmax, "softmax_zero" => SoftmaxZero, "logistic" => Logistic, "probit" => Probit,
});
read_names!(Aggregate { "sum" => Sum, "average" => Average, "min" => Min, "max" => Max });
read_names!(BinaryScores { "probability" => Probability, "margin" => Margin });
read_struct!(Value { dtype, rows, width });
read_struct!(Port { name, value, dims });
read_struct!(Trees { roots, feature, threshold, mode, yes, no, leaf_start, target, weight, base, targets, aggregate });
read_struct!(Step { op, node, inputs, output });
read_struct!(Plan { inputs, outputs, values, steps });

impl Read for Unary {
    #[inline(never)]
    fn read(value: &Json, notes: &mut Notes) -> Self {
        let (name, v) = variant(value);
        match name {
            "identity" => Unary::Identity,
            "relu" => Unary::Relu,
            "leaky_relu" => Unary::LeakyRelu { alpha: field(v, "alpha", notes) },
            "elu" => Unary::Elu { alpha: field(v, "alpha", notes) },
            "selu" => Unary::Selu { alpha: field(v, "alpha", notes), gamma: field(v, "gamma", notes) },
            "sigmoid" => Unary::Sigmoid,
            "hard_sigmoid" => Unary::HardSigmoid { alpha: field(v, "alpha", notes), beta: field(v, "beta", notes) },
            "hard_swish" => Unary::HardSwish,
            "silu" => Unary::Silu,
            "gelu" => Unary::Gelu,
            "gelu_tanh" => Unary::GeluTanh,
            "softplus" => Unary::Softplus,
            "softsign" => Unary::Softsign,
            "tanh" => Unary::Tanh,
            "erf" => Unary::Erf,
            "exp" => Unary::Exp,
            "log" => Unary::Log,
            "sqrt" => Unary::Sqrt,
            "reciprocal" => Unary::Reciprocal,
            "neg" => Unary::Neg,
            "abs" => Unary::Abs,
            "floor" => Unary::Floor,
            "ceil" => Unary::Ceil,
            "sign" => Unary::Sign,
            "clip" => Unary::Clip { low: field(v, "low", notes), high: field(v, "high", notes) },
            _ => {
                notes.wrong("a function that this runtime does not know");
                Unary::Identity
            }
        }
    }
}

impl Read for Op {
    #[inline(never)]
    fn read(value: &Json, notes: &mut Notes) -> Self {
        let (name, v) = variant(value);
        match name {
            "dense" => Op::Dense {
                weights: field(v, "weights", notes),
                bias: field(v, "bias", notes),
                activation: field(v, "activation", notes),
            },
            "constant" => Op::Constant { tensor: field(v, "tensor", notes) },
            "unary" => Op::Unary(Unary::read(v, notes)),
            "binary" => Op::Binary { f: field(v, "f", notes) },
            "concat" => Op::Concat,
            "select" => Op::Select { columns: field(v, "columns", notes) },
            "softmax" => Op::Softmax { group: field(v, "group", notes), log: field(v, "log", notes) },
            "reduce" => Op::Reduce { f: field(v, "f", notes), group: field(v, "group", notes) },
            "layer_norm" => Op::LayerNorm {
                scale: field(v, "scale", notes),
                bias: field(v, "bias", notes),
                group: field(v, "group", notes),
                epsilon: field(v, "epsilon", notes),
            },
            "cast" => Op::Cast,
            "trees" => Op::Trees(Trees::read(v, notes)),
            "post_transform" => Op::PostTransform { f: field(v, "f", notes) },
            "binary_scores" => Op::BinaryScores { mode: field(v, "mode", notes), post: field(v, "post", notes) },
            "label" => Op::Label { labels: field(v, "labels", notes), threshold: field(v, "threshold", notes) },
            _ => {
                notes.wrong("a plan op that this runtime does not know");
                Op::Concat
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::from_value;
    use serde::Serialize;

    fn round_trips<T: Serialize + Read + PartialEq + std::fmt::Debug>(all: impl IntoIterator<Item = T>) {
        for one in all {
            let written = serde_json::to_value(&one).expect("plans serialise");
            assert_eq!(from_value::<T>(&written).as_ref(), Ok(&one), "{written}");
        }
    }

    #[test]
    fn every_function_and_name_reads_as_it_is_written() {
        use Unary::*;
        let (alpha, beta, gamma) = (0.25, 0.5, 2.0);
        round_trips([
            Identity,
            Relu,
            LeakyRelu { alpha },
            Elu { alpha },
            Selu { alpha, gamma },
            Sigmoid,
            HardSigmoid { alpha, beta },
            HardSwish,
            Silu,
            Gelu,
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
            Clip { low: f32::NEG_INFINITY, high: 6.0 },
            Clip { low: -1.5, high: f32::INFINITY },
        ]);
        round_trips([
            Binary::Add,
            Binary::Sub,
            Binary::Mul,
            Binary::Div,
            Binary::Pow,
            Binary::Min,
            Binary::Max,
            Binary::Less,
            Binary::LessOrEqual,
            Binary::Greater,
            Binary::GreaterOrEqual,
            Binary::Equal,
        ]);
        round_trips([Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min]);
        round_trips([DType::F32, DType::I32, DType::I64, DType::Bool]);
        round_trips([Rows::Shared, Rows::Candidate]);
        round_trips([Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max]);
        round_trips([BinaryScores::Probability, BinaryScores::Margin]);
        use PostTransform as P;
        round_trips([P::None, P::Softmax, P::SoftmaxZero, P::Logistic, P::Probit]);
    }

    #[test]
    fn every_op_reads_as_it_is_written() {
        let name = || "t".to_owned();
        let trees = Trees {
            roots: name(),
            feature: name(),
            threshold: name(),
            mode: name(),
            yes: name(),
            no: name(),
            leaf_start: name(),
            target: name(),
            weight: name(),
            base: Some(name()),
            targets: 3,
            aggregate: Aggregate::Average,
        };
        let ops = [
            Op::Dense { weights: name(), bias: Some(name()), activation: Unary::Elu { alpha: 0.5 } },
            Op::Dense { weights: name(), bias: None, activation: Unary::Identity },
            Op::Constant { tensor: name() },
            Op::Unary(Unary::Tanh),
            Op::Binary { f: Binary::Pow },
            Op::Concat,
            Op::Select { columns: vec![2, 0] },
            Op::Softmax { group: 4, log: true },
            Op::Reduce { f: Reduce::Mean, group: 2 },
            Op::LayerNorm { scale: name(), bias: None, group: 2, epsilon: 0.125 },
            Op::Cast,
            Op::Trees(trees),
            Op::PostTransform { f: PostTransform::Probit },
            Op::BinaryScores { mode: BinaryScores::Margin, post: PostTransform::Logistic },
            Op::Label { labels: vec![-1, i64::MAX], threshold: 0.5 },
        ];
        round_trips(ops.clone());
        let steps = ops.into_iter().map(|op| Step { op, node: name(), inputs: vec![0], output: 1 }).collect();
        let value = Value { dtype: DType::F32, rows: Rows::Candidate, width: 7 };
        let port = Port { name: name(), value: 0, dims: vec![-1, 7] };
        round_trips([Plan { inputs: vec![port.clone()], outputs: vec![port], values: vec![value], steps }]);
    }
}
