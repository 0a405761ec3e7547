//! Which operator is lowered where, and what helps where none is.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem};
use super::lower::Lowering;
use super::{
    attention, einsum, elementwise, encode, lookup, marks, matrix, moves, norms, order, quantise, recurrent, repeat,
    scatter, scores, trigonometry,
};
use std::rc::Rc;

/// Lowers one node.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Lowered {
    if !matches!(call.spec.domain.as_str(), "" | "ai.onnx.ml" | "com.microsoft") {
        return Err(format!("the domain `{}` is not ONNX's", call.spec.domain));
    }
    let families = [
        elementwise::lower,
        moves::lower,
        repeat::lower,
        matrix::lower,
        norms::lower,
        scores::lower,
        lookup::lower,
        scatter::lower,
        marks::lower,
        order::lower,
        encode::lower,
        recurrent::lower,
        quantise::lower,
        einsum::lower,
        attention::lower,
        trigonometry::lower,
    ];
    match call.spec.op.as_str() {
        "Identity" | "ZipMap" => Ok(vec![call.need(0)?.clone()]),
        "Dropout" => dropout(lowering, call),
        op => families
            .iter()
            .find_map(|family| family(lowering, call))
            .unwrap_or_else(|| Err(format!("it has no lowering; {}", instead(op)))),
    }
}

/// Nothing is dropped at inference: the mask is all ones.
fn dropout(lowering: &mut Lowering, call: &Call) -> Lowered {
    let x = call.need(0)?;
    let mut given = vec![x.clone()];
    if call.spec.outputs > 1 {
        let one = Val::Constant(Rc::new(Constant::f32(&vec![1; x.shape().len()], vec![1.0])));
        let one = elementwise::cast_to(lowering, &one, if call.spec.opset < 10 { x.elem() } else { Elem::Bool })?;
        given.push(repeat::expanded(lowering, &one, x.shape())?);
    }
    Ok(given)
}

/// What to do about an operator that has no lowering.
fn instead(op: &str) -> &'static str {
    match op {
        "CategoryMapper" | "DictVectorizer" | "StringNormalizer" | "TfIdfVectorizer" => {
            "encode in the schema (a categorical feature with a vocabulary) and export the model behind the encoder"
        }
        "Scan" | "Loop" | "If" => "export the network without control flow (unrolled, or with the branch chosen)",
        "NonZero" | "Unique" | "Compress" => "its length depends on the data: mask by multiplication or Where instead",
        "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool" => {
            "a ranker of rows has no images: replace it by dense layers"
        }
        "SVMRegressor" | "SVMClassifier" => "distil it into trees or dense layers",
        _ => {
            "express it by dense layers, elementwise functions, reductions, look-ups, moves of elements or tree ensembles"
        }
    }
}
