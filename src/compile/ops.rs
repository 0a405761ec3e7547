//! Which operator is lowered where, and what helps where none is.

use super::fold;
use super::lower::{Call, Lowered, Lowering, Val};
use super::{dense, elementwise, moves, norms, scores};

/// Lowers one node.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Lowered {
    if let Some(folded) = fold::constants(call)? {
        return Ok(folded.into_iter().map(|tensor| Val::Constant(tensor.into())).collect());
    }
    match call.spec.op.as_str() {
        "Identity" | "Dropout" | "ZipMap" => Ok(vec![call.need(0)?.clone()]),
        "Cast" | "CastLike" => elementwise::cast(lowering, call),
        "Gemm" => dense::gemm(lowering, call),
        "MatMul" => dense::matmul(lowering, call),
        "LinearRegressor" => dense::linear_regressor(lowering, call),
        "BatchNormalization" => norms::batch_norm(lowering, call),
        "LayerNormalization" => norms::layer_norm(lowering, call),
        "Softmax" | "LogSoftmax" => norms::softmax(lowering, call),
        "Normalizer" => norms::normalizer(lowering, call),
        "Scaler" => norms::scaler(lowering, call),
        op if op.starts_with("Reduce") => norms::reduce(lowering, call),
        "TreeEnsembleRegressor" | "TreeEnsembleClassifier" => scores::trees(lowering, call),
        "LinearClassifier" => scores::linear_classifier(lowering, call),
        "ArgMax" => scores::arg_max(lowering, call),
        "ArrayFeatureExtractor" | "Gather" => match scores::looked_up(lowering, call) {
            Some(label) => label,
            None => moves::lower(lowering, call),
        },
        "Concat" | "Slice" | "Split" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Expand"
        | "Tile" => moves::lower(lowering, call),
        op => elementwise::lower(lowering, call).unwrap_or_else(|| Err(instead(op))),
    }
}

/// What to do about an operator that has no lowering.
pub(super) fn instead(op: &str) -> String {
    match op {
        "Imputer" => "replace missing values in the schema (`missing = ...` of a feature) and leave the Imputer out of the exported pipeline",
        "Where" | "IsNaN" | "IsInf" => "replace missing values in the schema (`missing = ...` of a feature) instead of selecting in the graph",
        "OneHotEncoder" | "LabelEncoder" | "CategoryMapper" | "OneHot" | "DictVectorizer" | "StringNormalizer" | "TfIdfVectorizer" => {
            "encode in the schema (a categorical feature with a vocabulary) and export the model behind the encoder"
        }
        "LSTM" | "GRU" | "RNN" | "Scan" | "Loop" | "If" => "control flow and recurrence have no plan step: export the unrolled or distilled network",
        "Attention" | "MultiHeadAttention" | "TopK" | "NonZero" | "CumSum" => "it mixes candidates or positions, for which the plan has no step yet",
        "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool" => "a ranker of rows has no images: replace it by dense layers",
        "SVMRegressor" | "SVMClassifier" | "TreeEnsemble" => "export with ai.onnx.ml opset 3 as TreeEnsembleRegressor or TreeEnsembleClassifier, or distil into dense layers",
        "QLinearMatMul" | "MatMulInteger" | "DequantizeLinear" | "QuantizeLinear" | "DynamicQuantizeLinear" => "export the float model",
        _ => "express it by dense layers, elementwise functions, reductions over the last axis, moves of columns or tree ensembles",
    }
    .to_string()
}
