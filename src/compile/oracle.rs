//! The oracle: the graph evaluated node by node on concrete values, by tract where its operator is
//! trusted and by [`super::naive`] elsewhere. It shares the protobuf with the plan, and nothing else.

use super::constant::{Constant, Elem, Values};
use super::graph::Graph;
use super::node::Node;
use super::{naive, trusted};
use crate::engine::tensor::{Data, Tensor, Tensors};
use crate::error::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Operators that sum, or approximate a function: their last digits depend on who computes them.
const ROUNDING: &[&str] = &[
    "Attention",
    "BatchNormalization",
    "BiasGelu",
    "CumSum",
    "Einsum",
    "Erf",
    "Exp",
    "FastGelu",
    "GRU",
    "Gelu",
    "Gemm",
    "LSTM",
    "LayerNormalization",
    "LinearClassifier",
    "LinearRegressor",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MatMul",
    "Mish",
    "Normalizer",
    "Pow",
    "RMSNormalization",
    "RNN",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMean",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Swish",
    "Tanh",
];

/// Evaluates a graph.
#[derive(Debug, Clone)]
pub struct Oracle {
    graph: Arc<Graph>,
}

fn refuse(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::ModelUnsupported, format!("the graph cannot be run to check its plan: {message}"))
}

impl Oracle {
    pub(crate) fn new(graph: Arc<Graph>) -> Self {
        Oracle { graph }
    }

    /// Every output for `rows` candidates. Inputs by name, `[rows, ...]` or, if shared, `[1, ...]`.
    ///
    /// # Errors
    /// `model_unsupported` if a node cannot be evaluated on these inputs.
    pub fn run(&self, inputs: &Tensors, rows: usize) -> Result<Tensors> {
        self.walk(inputs, rows, None)
    }

    /// As [`run`](Self::run), with what enters and leaves every operator that sums or approximates moved by a unit in the
    /// last place, up or down at random: the answer of an engine with other roundings.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_shaken(&self, inputs: &Tensors, rows: usize, seed: u64) -> Result<Tensors> {
        let mut state = seed;
        self.walk(inputs, rows, Some(&mut state))
    }

    fn walk(&self, inputs: &Tensors, rows: usize, mut shake: Option<&mut u64>) -> Result<Tensors> {
        let graph = &*self.graph;
        let mut values: BTreeMap<&str, Cow<Constant>> = BTreeMap::new();
        for (name, constant) in &graph.constants {
            values.insert(name, Cow::Borrowed(constant));
        }
        for input in &graph.inputs {
            let tensor = inputs.get(&input.name).ok_or_else(|| refuse(format!("input `{}` is missing", input.name)))?;
            let constant =
                from_tensor(tensor, input.elem).map_err(|e| refuse(format!("input `{}`: {e}", input.name)))?;
            let expected: Vec<usize> = input.dims.iter().map(|dim| dim.size(rows)).collect();
            if constant.dims != expected {
                return Err(refuse(format!(
                    "input `{}` has the shape {:?}, not {expected:?}",
                    input.name, constant.dims
                )));
            }
            values.insert(&input.name, Cow::Owned(constant));
        }
        // A value is dropped after its last reader, so that memory stays that of the widest cut of the graph.
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, node) in graph.nodes.iter().enumerate() {
            last.extend(node.inputs.iter().flatten().map(|name| (name.as_str(), i)));
        }
        last.extend(graph.outputs.iter().map(|name| (name.as_str(), graph.nodes.len())));
        for (i, node) in graph.nodes.iter().enumerate() {
            let outputs = evaluate(node, &values, shake.as_deref_mut())?;
            for (name, output) in node.outputs.iter().zip(outputs) {
                if let Some(name) = name {
                    values.insert(name, Cow::Owned(output));
                }
            }
            for name in node.inputs.iter().chain(&node.outputs).flatten() {
                if last.get(name.as_str()).is_none_or(|&last| last <= i) {
                    values.remove(name.as_str());
                }
            }
        }
        let mut named = Tensors::new();
        for name in &graph.outputs {
            let value =
                values.get(name.as_str()).ok_or_else(|| refuse(format!("output `{name}` is given by no node")))?;
            named.insert(name.clone(), to_tensor(value).map_err(|e| refuse(format!("output `{name}`: {e}")))?);
        }
        Ok(named)
    }
}

/// The outputs of a node. tract's error is not the last word: the naive operator may know better.
fn evaluate(node: &Node, values: &BTreeMap<&str, Cow<Constant>>, shake: Option<&mut u64>) -> Result<Vec<Constant>> {
    let spec = &node.spec;
    let problem = |message: String| refuse(format!("node `{}` ({}): {message}", spec.name, spec.op));
    let mut inputs: Vec<Option<&Constant>> = vec![];
    for name in &node.inputs {
        inputs.push(match name {
            Some(name) => {
                Some(values.get(name.as_str()).ok_or_else(|| problem(format!("`{name}` is not there")))?.as_ref())
            }
            None => None,
        });
    }
    let run = |inputs: &[Option<&Constant>]| match trusted::evaluate(spec, inputs) {
        Some(outputs) => Ok(outputs),
        None => naive::evaluate(spec, inputs).map_err(problem),
    };
    let Some(state) = shake.filter(|_| ROUNDING.contains(&spec.op.as_str())) else { return run(&inputs) };
    let shaken: Vec<Option<Constant>> = inputs.iter().map(|input| Some(shaken(*input.as_ref()?, state))).collect();
    let outputs = run(&shaken.iter().map(Option::as_ref).collect::<Vec<_>>())?;
    Ok(outputs.iter().map(|output| self::shaken(output, state)).collect())
}

/// Floats each moved to a neighbour, up or down at random.
fn shaken(constant: &Constant, state: &mut u64) -> Constant {
    let mut constant = constant.clone();
    if let Values::Float(values) = &mut constant.values {
        for value in values {
            // Knuth's linear congruential generator (MMIX), its top bit.
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *value *= if *state >> 63 == 0 { 1.0 + f32::EPSILON } else { 1.0 - f32::EPSILON / 2.0 };
        }
    }
    constant
}

fn from_tensor(tensor: &Tensor, elem: Elem) -> Result<Constant, String> {
    let values = match &tensor.data {
        Data::F32(v) => Values::Float(v.to_vec()),
        Data::F64(v) => Values::Float(v.iter().map(|&v| v as f32).collect()),
        Data::I32(v) => Values::Int(v.iter().map(|&v| i64::from(v)).collect()),
        Data::I64(v) => Values::Int(v.clone()),
        Data::U8(v) => Values::Int(v.iter().map(|&v| i64::from(v != 0)).collect()),
        _ => return Err(format!("its elements are not {elem:?}")),
    };
    let matches = matches!(
        (&tensor.data, elem),
        (Data::F32(_) | Data::F64(_), Elem::F32)
            | (Data::I32(_), Elem::I32)
            | (Data::I64(_), Elem::I64)
            | (Data::U8(_), Elem::Bool)
    );
    if !matches {
        return Err(format!("its elements are not {elem:?}"));
    }
    Constant::new(elem, &tensor.dims, values)
}

fn to_tensor(constant: &Constant) -> Result<Tensor, String> {
    let data = match (&constant.values, constant.elem) {
        (Values::Float(v), _) => Data::F32(v.clone().into()),
        (Values::Int(v), Elem::Bool) => Data::U8(v.iter().map(|&v| u8::from(v != 0)).collect()),
        (Values::Int(v), Elem::I32) => Data::I32(v.iter().map(|&v| v as i32).collect()),
        (Values::Int(v), _) => Data::I64(v.clone()),
        (Values::Text(_), _) => return Err("it is made of strings".into()),
    };
    Ok(Tensor { dims: constant.dims.clone(), data })
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::{Axis, floats, input, model, node, read};
    use super::*;
    use tract_onnx::pb::NodeProto;
    use tract_onnx::pb::tensor_proto::DataType;

    /// x `[N, 2]` through a dense layer to `h`, and what `last` makes of it.
    fn oracle(last: NodeProto) -> Oracle {
        let x = input("x", DataType::Float, &[Axis::Symbol("N"), Axis::Size(2)]);
        let weights = floats("w", &[2, 1], &[1.0, 10.0]);
        let nodes = vec![node("MatMul", &["x", "w"], &["h"]), last];
        Oracle::new(Arc::new(read(model(vec![x], nodes, vec![weights], &["y", "h"]), &[]).0.unwrap()))
    }

    fn rows(dims: &[usize]) -> Tensors {
        let n: usize = dims.iter().product();
        Tensors::from([("x".to_string(), Tensor::f32(dims, (0..n).map(|i| i as f32).collect()))])
    }

    #[test]
    fn nodes_are_evaluated_in_order() {
        let outputs = oracle(node("Mish", &["h"], &["y"])).run(&rows(&[3, 2]), 3).unwrap();
        assert_eq!(outputs["h"], Tensor::f32(&[3, 1], vec![10.0, 32.0, 54.0]));
        assert_eq!(outputs["y"], Tensor::f32(&[3, 1], vec![10.0, 32.0, 54.0]));
        let outputs = oracle(node("IsNaN", &["h"], &["y"])).run(&rows(&[1, 2]), 1).unwrap();
        assert_eq!(outputs["y"], Tensor::u8(&[1, 1], vec![0]));
    }

    #[test]
    fn what_cannot_be_evaluated_is_named() {
        let unknown = oracle(node("Loess", &["h"], &["y"])).run(&rows(&[1, 2]), 1).unwrap_err().to_string();
        assert!(unknown.contains("`y` (Loess)"), "{unknown}");
        let relu = || oracle(node("Relu", &["h"], &["y"]));
        assert!(relu().run(&rows(&[2, 2]), 3).unwrap_err().to_string().contains("shape [2, 2], not [3, 2]"));
        assert!(relu().run(&Tensors::new(), 3).unwrap_err().to_string().contains("`x` is missing"));
        let ints = Tensors::from([("x".to_string(), Tensor::i64(&[1, 2], vec![0, 0]))]);
        assert!(relu().run(&ints, 1).unwrap_err().to_string().contains("F32"));
    }
}
