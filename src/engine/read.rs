//! Reading a plan from the manifest's JSON; it is written by serde's derive in `plan`.

use super::plan::{
    Aggregate, Binary, BinaryScores, DType, Op, Over, Plan, Port, PostTransform, Product, Reduce, Rows, Step, Trees,
    Unary, Value,
};
use crate::json::{Notes, Read, read_names, read_struct, read_variants};
use serde_json::Value as Json;

read_names!(DType { "f32" => F32, "i32" => I32, "i64" => I64, "bool" => Bool });
read_names!(Rows { "shared" => Shared, "candidate" => Candidate, "pair" => Pair });
read_names!(Binary {
    "add" => Add, "sub" => Sub, "mul" => Mul, "div" => Div, "pow" => Pow, "mod" => Mod, "fmod" => Fmod, "min" => Min,
    "max" => Max, "prelu" => Prelu, "less" => Less, "less_or_equal" => LessOrEqual, "greater" => Greater,
    "greater_or_equal" => GreaterOrEqual, "equal" => Equal, "and" => And, "or" => Or, "xor" => Xor,
});
read_names!(Reduce {
    "sum" => Sum, "mean" => Mean, "prod" => Prod, "max" => Max, "min" => Min, "arg_max" => ArgMax, "arg_min" => ArgMin,
    "arg_max_last" => ArgMaxLast, "arg_min_last" => ArgMinLast,
});
read_names!(PostTransform {
    "none" => None, "softmax" => Softmax, "softmax_zero" => SoftmaxZero, "logistic" => Logistic, "probit" => Probit,
});
read_names!(Aggregate { "sum" => Sum, "average" => Average, "min" => Min, "max" => Max });
read_names!(BinaryScores { "probability" => Probability, "margin" => Margin });
read_names!(Over { "row" => Row, "scores" => Scores, "mix" => Mix, "pool" => Pool });
read_struct!(Value { dtype, rows, width });
read_struct!(Port { name, value, dims });
read_struct!(Product { over, batch, m, k, n, a, b });
read_struct!(Trees {
    roots, feature, threshold, mode, yes, no, leaf_start, target, weight, base, columns, targets, aggregate; shared = None
});
read_struct!(Step { op, node, inputs, output });
read_struct!(Plan { inputs, outputs, values, steps });

read_variants!(Unary, "a function that this runtime does not know", Unary::Identity;
    ;
    "leaky_relu" => LeakyRelu { alpha },
    "elu" => Elu { alpha },
    "selu" => Selu { alpha, gamma },
    "celu" => Celu { alpha },
    "hard_sigmoid" => HardSigmoid { alpha, beta },
    "swish" => Swish { alpha },
    "clip" => Clip { low, high },
    "thresholded_relu" => ThresholdedRelu { alpha },
    "shrink" => Shrink { lambda, bias },
    ;
    "identity" => Identity,
    "relu" => Relu,
    "sigmoid" => Sigmoid,
    "hard_swish" => HardSwish,
    "gelu" => Gelu,
    "gelu_tanh" => GeluTanh,
    "mish" => Mish,
    "softplus" => Softplus,
    "softsign" => Softsign,
    "tanh" => Tanh,
    "erf" => Erf,
    "exp" => Exp,
    "log" => Log,
    "sqrt" => Sqrt,
    "reciprocal" => Reciprocal,
    "neg" => Neg,
    "abs" => Abs,
    "floor" => Floor,
    "ceil" => Ceil,
    "round" => Round,
    "sign" => Sign,
);

read_variants!(Op, "a plan op that this runtime does not know", Op::Concat;
    "product" => Product,
    "unary" => Unary,
    "trees" => Trees,
    ;
    "dense" => Dense { weights, scales, bias, start, inputs, outputs, activation },
    "pack" => Pack { groups, inputs, outputs },
    "constant" => Constant { tensor },
    "binary" => Binary { f, each },
    "select" => Select { columns, fill },
    "take" => Take { size, block },
    "softmax" => Softmax { group, inner, log },
    "reduce" => Reduce { f, group, inner },
    "reduce_rows" => ReduceRows { f },
    "cum_sum" => CumSum { group, inner, exclusive, reverse },
    "top_k" => TopK { group, k, largest },
    "layer_norm" => LayerNorm { scale, bias, group, epsilon },
    "row_at" => RowAt { index },
    "pair" => Pair { pre, post, every },
    "post_transform" => PostTransform { f, group },
    "binary_scores" => BinaryScores { mode, post },
    "label" => Label { labels, group, threshold },
    ;
    "where" => Where,
    "concat" => Concat,
    "cast" => Cast,
    "position" => Position,
    "count" => Count,
);

impl<const N: usize> Read for [u32; N] {
    fn read(value: &Json, notes: &mut Notes) -> Self {
        let list: Vec<u32> = Read::read(value, notes);
        list.try_into().unwrap_or_else(|_| {
            notes.wrong("another number of elements was expected");
            [0; N]
        })
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
            Identity, Relu, Sigmoid, HardSwish, Gelu, GeluTanh, Mish, Softplus, Softsign, Tanh, Erf, Exp, Log, Sqrt,
            Reciprocal, Neg, Abs, Floor, Ceil, Round, Sign,
        ]);
        round_trips([
            LeakyRelu { alpha },
            Elu { alpha },
            Selu { alpha, gamma },
            Celu { alpha },
            HardSigmoid { alpha, beta },
            Swish { alpha },
            ThresholdedRelu { alpha },
            Shrink { lambda: alpha, bias: beta },
            Clip { low: f32::NEG_INFINITY, high: 6.0 },
            Clip { low: -1.5, high: f32::INFINITY },
        ]);
        use Binary as B;
        round_trips([
            B::Add,
            B::Sub,
            B::Mul,
            B::Div,
            B::Pow,
            B::Mod,
            B::Fmod,
            B::Min,
            B::Max,
            B::Prelu,
            B::Less,
            B::LessOrEqual,
            B::Greater,
            B::GreaterOrEqual,
            B::Equal,
            B::And,
            B::Or,
            B::Xor,
        ]);
        use Reduce as R;
        round_trips([R::Sum, R::Mean, R::Prod, R::Max, R::Min, R::ArgMax, R::ArgMin, R::ArgMaxLast, R::ArgMinLast]);
        round_trips([DType::F32, DType::I32, DType::I64, DType::Bool]);
        round_trips([Rows::Shared, Rows::Candidate, Rows::Pair]);
        round_trips([Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max]);
        round_trips([BinaryScores::Probability, BinaryScores::Margin]);
        round_trips([Over::Row, Over::Scores, Over::Mix, Over::Pool]);
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
            shared: Some(name()),
            columns: 4,
            targets: 3,
            aggregate: Aggregate::Average,
        };
        let dense = |weights, activation| Op::Dense {
            weights,
            scales: Some(name()),
            bias: Some(name()),
            start: true,
            inputs: 3,
            outputs: 5,
            activation,
        };
        let product =
            Product { over: Over::Mix, batch: vec![[2, 3, 4], [5, 6, 7]], m: 1, k: 8, n: 9, a: [1, 2], b: [3, 4] };
        let ops = [
            dense(Some(name()), Unary::Elu { alpha: 0.5 }),
            dense(None, Unary::Identity),
            Op::Pack { groups: 1, inputs: 2, outputs: 3 },
            Op::Product(product),
            Op::Constant { tensor: name() },
            Op::Unary(Unary::Tanh),
            Op::Binary { f: Binary::Pow, each: [1, 4] },
            Op::Where,
            Op::Concat,
            Op::Select { columns: name(), fill: -0.5 },
            Op::Take { size: 7, block: 3 },
            Op::Softmax { group: 4, inner: 2, log: true },
            Op::Reduce { f: Reduce::Mean, group: 2, inner: 1 },
            Op::ReduceRows { f: Reduce::ArgMax },
            Op::CumSum { group: 0, inner: 3, exclusive: true, reverse: false },
            Op::TopK { group: 9, k: 3, largest: true },
            Op::LayerNorm { scale: name(), bias: None, group: 2, epsilon: 0.125 },
            Op::Cast,
            Op::Position,
            Op::Count,
            Op::RowAt { index: -1 },
            Op::Pair { pre: 2, post: 3, every: true },
            Op::Trees(trees),
            Op::PostTransform { f: PostTransform::Probit, group: 3 },
            Op::BinaryScores { mode: BinaryScores::Margin, post: PostTransform::Logistic },
            Op::Label { labels: vec![-1, i64::MAX], group: 1, threshold: 0.5 },
        ];
        round_trips(ops.clone());
        let steps = ops.into_iter().map(|op| Step { op, node: name(), inputs: vec![0], output: 1 }).collect();
        let value = Value { dtype: DType::F32, rows: Rows::Candidate, width: 7 };
        let port = Port { name: name(), value: 0, dims: vec![-1, 7] };
        round_trips([Plan { inputs: vec![port.clone()], outputs: vec![port], values: vec![value], steps }]);
    }
}
