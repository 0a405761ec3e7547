//! What tract is told about ONNX operators.
//!
//! Two registers stand on tract's own. The *oracle's* has those of tract's operators that are trusted
//! and our naive ones (see [`super::naive`]) for what is missing or too coarse there. The
//! *lowering's* wraps every operator in [`Kept`]: tract infers types and shapes with its own
//! rules, but the operator stays whole, with its ONNX attributes, in the typed graph. So the
//! lowering reads ONNX's operators instead of guessing them back from what tract makes of them,
//! and no weight passes through tract's arithmetic.

use std::sync::{Arc, OnceLock};
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

use super::graph::NODE_MARK;
use super::naive;

/// Operators whose result on constants holds the same elements, only moved or converted: these
/// may be folded by tract, since no arithmetic takes place.
const MOVES: &[&str] = &[
    "Cast",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Range",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Operators of tract's that were compared with ONNX Runtime, extremes included, and agree with it.
/// Others are refused even where a lowering would be possible: a plan without an oracle is not
/// checked. (Not here, for one: ReduceLogSumExp, which tract computes without taking out the
/// largest element.)
const TRUSTED: &[&str] = &[
    "Abs",
    "Add",
    "ArgMax",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "Greater",
    "GreaterOrEqual",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "LinearRegressor",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Selu",
    "Shape",
    "Sign",
    "Size",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Swish",
    "Tanh",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "ConstantOfShape",
];

/// The trusted part of tract's register with our naive operators.
pub(super) fn oracle() -> &'static OnnxOpRegister {
    static REGISTER: OnceLock<OnnxOpRegister> = OnceLock::new();
    REGISTER.get_or_init(|| {
        let mut register = tract_onnx::onnx().op_register;
        register.0.retain(|name, _| TRUSTED.contains(&name.as_str()));
        naive::register(&mut register);
        register
    })
}

/// Every operator that a graph names, known or not, kept whole.
pub(super) fn lowering<'a>(names: impl Iterator<Item = &'a str>) -> OnnxOpRegister {
    OnnxOpRegister(names.map(|name| (name.to_string(), keep as _)).collect())
}

fn keep(ctx: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let own = match node.domain.as_str() {
        "" | "ai.onnx" | "ai.onnx.ml" => true,
        "com.microsoft" => node.op_type == "Gelu",
        _ => false,
    };
    let builder = oracle().0.get(&node.op_type).filter(|_| own);
    if let (Some(builder), "Constant") = (builder, node.op_type.as_str()) {
        return builder(ctx, node);
    }
    let spec = Arc::new(Spec::new(node, ctx.onnx_operator_set_version));
    let (inner, problem) = match builder.map(|builder| builder(ctx, node)) {
        Some(Ok((inner, closures))) if closures.is_empty() => (Some(inner), None),
        Some(Ok(_)) => (None, Some("it reads values of the graph around it".to_string())),
        Some(Err(error)) => (None, Some(error.root_cause().to_string())),
        None if !own => (None, Some(format!("the domain `{}` is not ONNX's", node.domain))),
        None => (None, Some("it has no lowering".to_string())),
    };
    Ok((Box::new(Kept { spec, inner, problem }), vec![]))
}

/// An ONNX node as the lowering reads it.
#[derive(Debug)]
pub(super) struct Spec {
    /// Name in the graph.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Version of the default operator set.
    pub opset: i64,
    /// Which inputs are given: `present[i]` is false for an optional input left out.
    pub present: Vec<bool>,
    /// Number of outputs.
    pub outputs: usize,
    attributes: Vec<AttributeProto>,
}

impl Spec {
    fn new(node: &NodeProto, opset: i64) -> Self {
        Spec {
            name: node.name.rsplit_once(NODE_MARK).map_or(node.name.as_str(), |(name, _)| name).to_string(),
            op: node.op_type.clone(),
            opset,
            present: node.input.iter().map(|name| !name.is_empty()).collect(),
            outputs: node.output.iter().filter(|name| !name.is_empty()).count(),
            attributes: node.attribute.clone(),
        }
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
    /// An integer attribute or its default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }
    /// A float attribute or its default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |attribute| attribute.f)
    }
    /// A list of integers, if given.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }
    /// A list of floats, empty if not given.
    pub fn floats(&self, name: &str) -> &[f32] {
        self.attribute(name).map_or(&[], |attribute| attribute.floats.as_slice())
    }
    /// A string attribute, if given.
    pub fn string(&self, name: &str) -> Option<String> {
        self.attribute(name).map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }
    /// A list of strings, empty if not given.
    pub fn strings(&self, name: &str) -> Vec<String> {
        self.attribute(name)
            .map(|attribute| attribute.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
            .unwrap_or_default()
    }
    /// Whether the attribute stands in the node.
    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// The spec of a protobuf node outside a parse.
    pub fn of(node: &NodeProto) -> Self {
        Spec::new(node, 0)
    }
}

/// An operator of ONNX with tract's inference and none of its arithmetic.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub spec: Arc<Spec>,
    inner: Option<Box<dyn InferenceOp>>,
    /// Why tract could not build the operator.
    pub problem: Option<String>,
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.spec, &other.spec)
    }
}
impl Eq for Kept {}

impl Kept {
    /// The result on constants where it is exact: whole numbers, and moves of anything.
    pub fn fold(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        let exact = MOVES.contains(&self.spec.op.as_str()) || inputs.iter().all(|t| !t.datum_type().is_float());
        match &self.inner {
            Some(inner) if exact => inner.eval_out_of_plan(inputs),
            _ => Ok(None),
        }
    }
}

impl Op for Kept {
    fn name(&self) -> StaticName {
        self.spec.op.clone().into()
    }
    not_a_typed_op!();
}

impl EvalOp for Kept {
    fn eval_out_of_plan(&self, inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        self.fold(inputs)
    }
}

impl InferenceOp for Kept {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        // tract's LayerNormalization counts for ever from an axis before the first.
        if let (Some(axis), Some(rank)) = (
            self.spec.attribute("axis").map(|attribute| attribute.i),
            inputs.first().and_then(|fact| fact.shape.rank().concretize()),
        ) {
            let end = if self.spec.op == "Flatten" { rank + 1 } else { rank };
            if !(-rank..end).contains(&axis) {
                bail!("axis {axis} of a value of rank {rank}");
            }
        }
        match &mut self.inner {
            Some(inner) => inner.infer_facts(inputs, outputs, observed),
            None => Ok((
                inputs.into_iter().cloned().collect(),
                outputs.into_iter().cloned().collect(),
                observed.into_iter().cloned().collect(),
            )),
        }
    }

    fn observe_outlets(&self, model: &InferenceModel, node: &InferenceNode) -> TractResult<Vec<OutletId>> {
        self.inner.as_ref().map_or(Ok(vec![]), |inner| inner.observe_outlets(model, node))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.inner.as_ref().map_or(Ok(self.spec.outputs), |inner| inner.nboutputs())
    }

    fn as_op(&self) -> &dyn Op {
        self
    }
    fn as_op_mut(&mut self) -> &mut dyn Op {
        self
    }

    fn to_typed(
        &self,
        _source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let facts = node.outputs.iter().map(|o| TypedFact::try_from(&o.fact)).collect::<TractResult<TVec<_>>>()?;
        let inputs: TVec<OutletId> = node.inputs.iter().map(|i| mapping[i]).collect();
        target.wire_node(&node.name, KeptTyped { kept: self.clone(), facts }, &inputs)
    }
}

/// [`Kept`] in the typed graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptTyped {
    pub kept: Kept,
    facts: TVec<TypedFact>,
}

impl Op for KeptTyped {
    fn name(&self) -> StaticName {
        self.kept.spec.op.clone().into()
    }
    op_as_typed_op!();
}

impl EvalOp for KeptTyped {
    not_out_of_plan!();
}

impl TypedOp for KeptTyped {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.facts.clone())
    }
    as_op!();
}
