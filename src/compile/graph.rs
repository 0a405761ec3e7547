//! ONNX bytes -> a validated protobuf -> tract's typed graph -> the small view of it that the
//! lowering walks.

use super::problems::Problems;
use super::register::{self, Kept, KeptTyped, Spec};
use crate::error::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use tract_onnx::Onnx;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as DimValue};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, type_proto};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::konst::Const;

/// The symbol of the number of candidates.
pub(super) const ROWS: &str = "N";

/// Stands between a node's name and its number; no exporter writes it.
pub(super) const NODE_MARK: char = '\u{a7}';

/// A graph that both the lowering and the oracle can parse.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub proto: ModelProto,
    /// Every input in the graph's order, those that no output needs included.
    pub inputs: Vec<(String, Fact)>,
    pub outputs: Vec<String>,
}

/// One dimension as the lowering knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dim {
    /// The number of candidates.
    Rows,
    Fixed(usize),
    /// Neither: an expression of the number of candidates.
    Other,
}

/// What is known of a value; nothing where analysis failed.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub dtype: DatumType,
    pub shape: Vec<Dim>,
}

/// A node of the view.
pub(super) struct Node {
    pub kind: NodeKind,
    pub inputs: Vec<OutletId>,
    pub id: usize,
}

pub(super) enum NodeKind {
    Source,
    Constant(Arc<Tensor>),
    Op {
        spec: Arc<Spec>,
        problem: Option<String>,
        kept: Box<Kept>,
    },
    /// Something of tract's own, which the lowering never makes.
    Foreign(String),
}

/// The view: nodes in order of evaluation.
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub facts: HashMap<OutletId, Fact>,
    /// The sources that analysis kept, by input name.
    pub inputs: HashMap<String, OutletId>,
    pub outputs: Vec<OutletId>,
    /// The symbol of the number of candidates, and the scope without which it means nothing.
    pub rows: (Symbol, SymbolScope),
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ModelUnsupported, message)
}

/// Decodes and validates: what tract would panic on or guess is refused or made explicit here.
pub(super) fn prepare(onnx: &[u8], dims: &BTreeMap<String, i64>, problems: &mut Problems) -> Result<Prepared> {
    let mut proto = tract_onnx::onnx()
        .proto_model_for_read(&mut &onnx[..])
        .map_err(|_| unsupported("the file is not an ONNX model: its protobuf cannot be decoded"))?;
    let Some(mut graph) = proto.graph.take() else {
        return Err(unsupported("the file is not an ONNX model: it holds no graph"));
    };
    check_tensors(&graph)?;
    check_axes(&graph)?;
    drop_string_labels(&mut graph, problems);
    keep_reachable(&mut graph)?;
    name_nodes(&mut graph);
    let constants: HashSet<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
    let mut inputs = vec![];
    for input in &mut graph.input {
        if constants.contains(&input.name) {
            continue;
        }
        let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|t| t.value.as_mut()) else {
            return Err(unsupported(format!("input `{}` is not a tensor", input.name)));
        };
        let dtype = DataType::try_from(tensor.elem_type).unwrap_or(DataType::Undefined);
        if !matches!(dtype, DataType::Float | DataType::Int32 | DataType::Int64 | DataType::Bool) {
            problems.add(
                &input.name,
                "input",
                format!("its type is {dtype:?}: declare it as float32, int32, int64 or bool"),
            );
        }
        let Some(shape) = tensor.shape.as_mut() else {
            return Err(unsupported(format!("input `{}` declares no shape: export with [N, width]", input.name)));
        };
        for (axis, dim) in shape.dim.iter_mut().enumerate() {
            bind(&input.name, axis, dim, dims, problems);
        }
        let sizes = shape.dim.iter().map(|dim| match &dim.value {
            Some(DimValue::DimValue(size)) => Dim::Fixed(*size as usize),
            _ => Dim::Rows,
        });
        let fact = Fact { dtype: DatumType::try_from(dtype).unwrap_or(DatumType::F32), shape: sizes.collect() };
        inputs.push((input.name.clone(), fact));
    }
    // LightGBM's exporter declares [1] where it gives [N]: no declared output is believed.
    for output in &mut graph.output {
        output.r#type = None;
    }
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    if outputs.is_empty() {
        return Err(unsupported("the graph has no output"));
    }
    proto.graph = Some(graph);
    Ok(Prepared { proto, inputs, outputs })
}

/// A leading dimension without a size is the number of candidates; every other must have one.
fn bind(input: &str, axis: usize, dim: &mut Dimension, dims: &BTreeMap<String, i64>, problems: &mut Problems) {
    let symbol = match &dim.value {
        Some(DimValue::DimValue(size)) if *size > 0 => None,
        Some(DimValue::DimParam(symbol)) if !symbol.is_empty() => Some(symbol.clone()),
        _ => Some(String::new()),
    };
    let Some(symbol) = symbol else {
        if axis == 0 && dim.value != Some(DimValue::DimValue(1)) {
            problems.add(input, "input", "its leading dimension has a fixed size above 1: export it with a dynamic batch axis, or 1 for what candidates share");
        }
        return;
    };
    let size = dims.get(&symbol).copied();
    dim.value = match size {
        Some(size) if size > 0 => Some(DimValue::DimValue(size)),
        _ if axis == 0 => Some(DimValue::DimParam(ROWS.into())),
        _ if symbol.is_empty() => {
            problems.add(input, "input", format!("axis {axis} has neither size nor name: export it with a fixed size"));
            Some(DimValue::DimValue(1))
        }
        _ => {
            problems.add(
                input,
                "input",
                format!("axis {axis} is the symbol `{symbol}`: bind it with --dim {symbol}=VALUE"),
            );
            Some(DimValue::DimValue(1))
        }
    };
}

/// Every stored tensor has as many bytes as its shape and type need.
fn check_tensors(graph: &GraphProto) -> Result<()> {
    let attributes = graph.node.iter().flat_map(|node| node.attribute.iter().filter_map(|a| a.t.as_ref()));
    for tensor in graph.initializer.iter().chain(attributes) {
        check_tensor(tensor).map_err(|problem| unsupported(format!("tensor `{}` {problem}", tensor.name)))?;
    }
    Ok(())
}

/// Axes lie within any rank there is: tract counts up to one that does not.
fn check_axes(graph: &GraphProto) -> Result<()> {
    for node in &graph.node {
        for attribute in node.attribute.iter().filter(|a| matches!(a.name.as_str(), "axis" | "axes" | "perm")) {
            if std::iter::once(&attribute.i).chain(&attribute.ints).any(|axis| !(-16..=16).contains(axis)) {
                let message = format!("node `{}` ({}): `{}` is out of range", node.name, node.op_type, attribute.name);
                return Err(unsupported(message));
            }
            let mut order = attribute.ints.clone();
            order.sort_unstable();
            if attribute.name == "perm" && !order.iter().zip(0..).all(|(&axis, i)| axis == i) {
                return Err(unsupported(format!("node `{}` ({}): `perm` is no permutation", node.name, node.op_type)));
            }
        }
    }
    Ok(())
}

fn check_tensor(tensor: &TensorProto) -> std::result::Result<(), String> {
    if tensor.data_location == Some(DataLocation::External as i32) {
        return Err(
            "lies outside the file: save the model with its weights inside (save_as_external_data=False)".into()
        );
    }
    let dtype = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
    let (size, listed) = match dtype {
        DataType::Float => (4, tensor.float_data.len()),
        DataType::Double => (8, tensor.double_data.len()),
        DataType::Int64 => (8, tensor.int64_data.len()),
        DataType::Int32 => (4, tensor.int32_data.len()),
        DataType::Float16 | DataType::Int16 | DataType::Uint16 => (2, tensor.int32_data.len()),
        DataType::Bool | DataType::Int8 | DataType::Uint8 => (1, tensor.int32_data.len()),
        DataType::String => (0, tensor.string_data.len()),
        other => return Err(format!("has the type {other:?}: store it as float32 or int64")),
    };
    let mut count: usize = 1;
    for &dim in &tensor.dims {
        let dim = usize::try_from(dim).map_err(|_| format!("has the dimension {dim}"))?;
        count = count.checked_mul(dim).filter(|&n| n < 1 << 30).ok_or("is too large")?;
    }
    let whole =
        if tensor.raw_data.is_empty() { listed == count } else { size > 0 && tensor.raw_data.len() == count * size };
    if whole { Ok(()) } else { Err("does not hold as many elements as its shape says".into()) }
}

/// A classifier's string labels cannot be a tensor of numbers: such an output is left out.
fn drop_string_labels(graph: &mut GraphProto, problems: &mut Problems) {
    let labels: HashSet<&String> = graph
        .node
        .iter()
        .filter(|node| {
            node.op_type.ends_with("Classifier")
                && node.attribute.iter().any(|a| a.name == "classlabels_strings" && !a.strings.is_empty())
        })
        .filter_map(|node| node.output.first())
        .collect();
    let (dropped, kept): (Vec<_>, Vec<_>) =
        graph.output.iter().cloned().partition(|output| labels.contains(&output.name));
    if !kept.is_empty() {
        for output in dropped {
            problems.warn(format!(
                "output `{}` gives string labels and is left out; train with integer labels to keep it",
                output.name
            ));
        }
        graph.output = kept;
    }
}

/// Drops nodes that no output needs, and refuses values that nothing gives.
fn keep_reachable(graph: &mut GraphProto) -> Result<()> {
    let mut needed: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut keep = vec![false; graph.node.len()];
    for (i, node) in graph.node.iter().enumerate().rev() {
        if node.output.iter().any(|name| needed.contains(name)) {
            keep[i] = true;
            needed.extend(node.input.iter().filter(|name| !name.is_empty()).cloned());
        }
    }
    let mut keep = keep.into_iter();
    graph.node.retain(|_| keep.next().unwrap_or(false));
    let mut given: HashSet<&String> =
        graph.initializer.iter().map(|t| &t.name).chain(graph.input.iter().map(|i| &i.name)).collect();
    for node in &graph.node {
        if let Some(name) = node.input.iter().find(|name| !name.is_empty() && !given.contains(*name)) {
            return Err(unsupported(format!(
                "node `{}` ({}) reads `{name}`, which nothing before it gives",
                node.name, node.op_type
            )));
        }
        given.extend(node.output.iter());
    }
    match graph.output.iter().find(|output| !given.contains(&output.name)) {
        Some(output) => Err(unsupported(format!("output `{}` is given by no node", output.name))),
        None => Ok(()),
    }
}

/// tract names what it makes of a node NODE.SOMETHING, and needs every name once: each node gets a
/// number behind a mark, which [`Spec`] takes off again.
fn name_nodes(graph: &mut GraphProto) {
    for (i, node) in graph.node.iter_mut().enumerate() {
        if node.name.is_empty() {
            node.name = node.output.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        }
        node.name = format!("{}{NODE_MARK}{i}", node.name);
    }
}

/// tract's inference model with the given register.
pub(super) fn parse(
    prepared: &Prepared,
    op_register: tract_onnx::model::OnnxOpRegister,
) -> TractResult<InferenceModel> {
    let onnx = Onnx { op_register, ignore_value_info: true, ..tract_onnx::onnx() };
    let parsed = onnx.parse(&prepared.proto, None)?;
    Ok(parsed.model)
}

impl Graph {
    /// The typed view; where an operator is unknown, what analysis can tell without it.
    pub fn build(prepared: &Prepared) -> Result<Graph> {
        let operators =
            prepared.proto.graph.iter().flat_map(|graph| graph.node.iter().map(|node| node.op_type.as_str()));
        let refuse = |error: TractError| {
            unsupported(format!("the graph's types and shapes do not fit together: {}", chain(&error)))
        };
        let mut model = parse(prepared, register::lowering(operators)).map_err(refuse)?;
        let (rows, scope) = (model.symbols.sym(ROWS), model.symbols.clone());
        let owned = (rows.clone(), scope);
        if model.nodes().iter().any(|node| node.op_as::<Kept>().is_some_and(|kept| kept.problem.is_some())) {
            // The graph is refused in any case; analysis only helps to say all that is wrong.
            let _ = model.analyse(true);
            return Ok(Graph::view(&model, owned, inference_kind, |fact| {
                let (dtype, shape) = (fact.datum_type.concretize()?, fact.shape.concretize()?);
                Some(Fact { dtype, shape: shape.iter().map(|dim| classify(dim, &rows)).collect() })
            }));
        }
        let model = model.into_typed().map_err(refuse)?;
        Ok(Graph::view(&model, owned, typed_kind, |fact| {
            Some(Fact { dtype: fact.datum_type, shape: fact.shape.iter().map(|dim| classify(dim, &rows)).collect() })
        }))
    }

    fn view<F, O>(
        model: &tract_onnx::prelude::Graph<F, O>,
        rows: (Symbol, SymbolScope),
        kind: impl Fn(&tract_onnx::prelude::Node<F, O>) -> NodeKind,
        fact: impl Fn(&F) -> Option<Fact>,
    ) -> Graph
    where
        F: tract_onnx::tract_hir::tract_core::model::Fact + Clone + 'static,
        O: std::fmt::Debug + std::fmt::Display + AsRef<dyn Op> + AsMut<dyn Op> + Clone + 'static,
    {
        let order = model.eval_order().unwrap_or_else(|_| (0..model.nodes().len()).collect());
        let mut graph = Graph {
            nodes: vec![],
            facts: HashMap::new(),
            inputs: model.inputs.iter().map(|outlet| (model.nodes()[outlet.node].name.clone(), *outlet)).collect(),
            outputs: model.outputs.clone(),
            rows,
        };
        for id in order {
            let node = &model.nodes()[id];
            for (slot, output) in node.outputs.iter().enumerate() {
                if let Some(fact) = fact(&output.fact) {
                    graph.facts.insert(OutletId::new(id, slot), fact);
                }
            }
            graph.nodes.push(Node { kind: kind(node), inputs: node.inputs.clone(), id });
        }
        graph
    }
}

fn typed_kind(node: &TypedNode) -> NodeKind {
    if let Some(typed) = node.op_as::<KeptTyped>() {
        return NodeKind::Op { spec: typed.kept.spec.clone(), problem: None, kept: Box::new(typed.kept.clone()) };
    }
    match (&node.outputs[..], node.op_as::<Const>()) {
        (_, Some(constant)) => NodeKind::Constant(constant.val().clone()),
        _ if TypedModel::is_source(&node.op) => NodeKind::Source,
        _ => NodeKind::Foreign(node.op.name().to_string()),
    }
}

fn inference_kind(node: &InferenceNode) -> NodeKind {
    if let Some(kept) = node.op_as::<Kept>() {
        return NodeKind::Op { spec: kept.spec.clone(), problem: kept.problem.clone(), kept: Box::new(kept.clone()) };
    }
    match node.op_as::<Const>() {
        Some(constant) => NodeKind::Constant(constant.val().clone()),
        None => NodeKind::Source,
    }
}

fn classify(dim: &TDim, rows: &Symbol) -> Dim {
    match dim {
        TDim::Sym(symbol) if symbol == rows => Dim::Rows,
        _ => dim.to_usize().map_or(Dim::Other, Dim::Fixed),
    }
}

/// An error of tract's and its causes, in one line, without the numbers of [`name_nodes`].
pub(super) fn chain(error: &TractError) -> String {
    let whole = error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect::<Vec<_>>().join(": ");
    let mut parts = whole.split(NODE_MARK);
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |line, part| line + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}
