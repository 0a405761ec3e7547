//! tract's operators, run one at a time on concrete values, where they are trusted.

use super::constant::{Constant, Elem, Values};
use super::node::Spec;
use std::sync::OnceLock;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::ModelProto;
use tract_onnx::tract_hir::internal::*;

/// Operators of tract's that were compared with ONNX Runtime, extremes included, and with their naive twins
/// (`trusted_twins.rs`), and agree. For all others the naive operator is the oracle: some of tract's lose NaN (Clip, Max,
/// Min, ReduceMax, ReduceMin, ArgMax, Relu, Tanh, HardSigmoid, Celu), overflow (HardSwish, Softplus, LogSoftmax),
/// are too coarse (Selu, Sigmoid, Swish, sums over long axes), or panic on an index outside its axis (Gather).
pub(super) const TRUSTED: &[&str] = &[
    "Abs",
    "Add",
    "Cast",
    "Ceil",
    "Concat",
    "Equal",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "Mul",
    "Neg",
    "PRelu",
    "Range",
    "Reciprocal",
    "Reshape",
    "Shape",
    "Sign",
    "Size",
    "Slice",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Whether tract is asked about the operator.
pub(super) fn is_trusted(spec: &Spec) -> bool {
    spec.domain.is_empty() && TRUSTED.contains(&spec.op.as_str())
}

fn onnx() -> &'static Onnx {
    static ONNX: OnceLock<Onnx> = OnceLock::new();
    ONNX.get_or_init(tract_onnx::onnx)
}

/// What tract gives; nothing where the operator is not trusted, or tract has no answer of the shape and type that ONNX asks
/// for.
pub(super) fn evaluate(spec: &Spec, inputs: &[Option<&Constant>]) -> Option<Vec<Constant>> {
    // tract divides by the size of an empty axis.
    if !is_trusted(spec) || inputs.iter().flatten().any(|input| input.len() == 0) {
        return None;
    }
    run(spec, inputs).ok().flatten()
}

fn run(spec: &Spec, inputs: &[Option<&Constant>]) -> TractResult<Option<Vec<Constant>>> {
    let framework = onnx();
    let Some(builder) = framework.op_register.0.get(&spec.op) else { return Ok(None) };
    let model = ModelProto::default();
    let context = ParsingContext {
        onnx_operator_set_version: spec.opset,
        framework,
        model: &model,
        parent_graphs: vec![],
        model_dir: None,
        template: InferenceModel::default(),
    };
    let (op, closures) = builder(&context, &spec.proto)?;
    if !closures.is_empty() {
        return Ok(None);
    }
    let mut given: TVec<TValue> = tvec!();
    for input in inputs.iter().flatten() {
        given.push(to_tract(input)?.into_tvalue());
    }
    let outputs = match op.eval_out_of_plan(given.clone())? {
        Some(outputs) => outputs,
        None => run_as_model(op, spec, given)?,
    };
    // tract leaves out the outputs that are not asked for.
    if (0..spec.outputs).any(|i| spec.proto.output[i].is_empty()) || outputs.len() < spec.outputs {
        return Ok(None);
    }
    outputs.iter().map(|output| from_tract(output)).collect::<TractResult<Vec<_>>>().map(Some)
}

/// An operator that runs only within a model: a model of it alone.
fn run_as_model(op: Box<dyn InferenceOp>, spec: &Spec, given: TVec<TValue>) -> TractResult<TVec<TValue>> {
    let mut model = InferenceModel::default();
    let facts = (0..spec.outputs).map(|_| InferenceFact::default()).collect();
    let node = model.add_node("node", op, facts)?;
    for (i, value) in given.into_iter().enumerate() {
        let constant = model.add_const(format!("input{i}"), value.into_arc_tensor())?;
        model.add_edge(constant, InletId::new(node, i))?;
    }
    let outputs: Vec<OutletId> = (0..spec.outputs).map(|i| OutletId::new(node, i)).collect();
    model.select_output_outlets(&outputs)?;
    model.into_typed()?.into_runnable()?.run(tvec!())
}

fn to_tract(constant: &Constant) -> TractResult<Tensor> {
    let dims = &constant.dims[..];
    match (&constant.values, constant.elem) {
        (Values::Float(v), Elem::F32) => Tensor::from_shape(dims, v),
        (Values::Int(v), Elem::I64) => Tensor::from_shape(dims, v),
        (Values::Int(v), Elem::I32) => Tensor::from_shape(dims, &v.iter().map(|&v| v as i32).collect::<Vec<_>>()),
        (Values::Int(v), Elem::Bool) => Tensor::from_shape(dims, &v.iter().map(|&v| v != 0).collect::<Vec<_>>()),
        // The other types are converted where nobody has compared the results.
        _ => bail!("a type that tract is not asked about"),
    }
}

fn from_tract(tensor: &Tensor) -> TractResult<Constant> {
    let plain = tensor.try_as_plain_ram()?;
    let (elem, values) = match tensor.datum_type() {
        DatumType::F32 => (Elem::F32, Values::Float(plain.as_slice::<f32>()?.to_vec())),
        DatumType::I64 => (Elem::I64, Values::Int(plain.as_slice::<i64>()?.to_vec())),
        DatumType::I32 => (Elem::I32, Values::Int(plain.as_slice::<i32>()?.iter().map(|&v| i64::from(v)).collect())),
        DatumType::Bool => (Elem::Bool, Values::Int(plain.as_slice::<bool>()?.iter().map(|&v| i64::from(v)).collect())),
        DatumType::TDim => {
            let whole = tensor.cast_to::<i64>()?;
            (Elem::I64, Values::Int(whole.try_as_plain_ram()?.as_slice::<i64>()?.to_vec()))
        }
        other => bail!("tract answers with {other:?}"),
    };
    Constant::new(elem, tensor.shape(), values).map_err(|e| format_err!("{e}"))
}
