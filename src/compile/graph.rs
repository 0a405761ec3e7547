//! ONNX bytes -> the graph that both the lowering and the oracle walk. tract decodes the protobuf
//! and no more; what is malformed is refused here, so that nobody behind has to doubt it.

use super::constant::{Constant, Elem};
use super::node::Node;
use super::problems::Problems;
use super::{functions, initial};
use crate::error::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as DimValue};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto};
use tract_onnx::prelude::Framework;

/// Symbols that mean the number of candidates where no input has a symbol for its leading axis.
const ROWS_SYMBOLS: [&str; 3] = ["n", "candidates", "num_candidates"];

/// One dimension of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dim {
    /// The number of candidates.
    Rows,
    /// A size.
    Fixed(usize),
}

impl Dim {
    /// The size where there are `rows` candidates.
    pub fn size(self, rows: usize) -> usize {
        match self {
            Dim::Rows => rows,
            Dim::Fixed(size) => size,
        }
    }
}

/// An input of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// Its name.
    pub name: String,
    /// F32, I32, I64 or Bool; any other stands among the problems.
    pub elem: Elem,
    /// Its shape.
    pub dims: Vec<Dim>,
}

/// A graph without functions, Constant nodes and what no output needs.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    /// Every input in the graph's order, those that no output needs included.
    pub inputs: Vec<Input>,
    /// Names of the outputs.
    pub outputs: Vec<String>,
    /// Initialisers and Constant nodes by the name of their value.
    pub constants: BTreeMap<String, Constant>,
    /// In the graph's order, in which every value is given before it is read.
    pub nodes: Vec<Node>,
}

/// Versions of operator sets by domain.
pub(super) type Opsets = BTreeMap<String, i64>;

pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ModelUnsupported, message)
}

/// Decodes and validates. `dims` binds symbols of input shapes; a leading dimension without a size is
/// the number of candidates, and so is any other that carries the same symbol.
///
/// # Errors
/// `model_unsupported` where the graph is malformed; what its author can mend goes to `problems`.
pub(crate) fn read(onnx: &[u8], dims: &BTreeMap<String, i64>, problems: &mut Problems) -> Result<Graph> {
    let proto = tract_onnx::onnx()
        .proto_model_for_read(&mut &onnx[..])
        .map_err(|_| unsupported("the file is not an ONNX model: its protobuf cannot be decoded"))?;
    from_proto(proto, dims, problems)
}

/// A text of the model's metadata.
pub(super) fn metadata(onnx: &[u8], name: &str) -> Option<String> {
    let proto = tract_onnx::onnx().proto_model_for_read(&mut &onnx[..]).ok()?;
    proto.metadata_props.into_iter().find(|entry| entry.key == name).map(|entry| entry.value)
}

fn from_proto(proto: ModelProto, dims: &BTreeMap<String, i64>, problems: &mut Problems) -> Result<Graph> {
    let opsets = functions::opsets(&proto.opset_import);
    let bodies = functions::Bodies::new(proto.functions);
    let Some(mut graph) = proto.graph else {
        return Err(unsupported("the file is not an ONNX model: it holds no graph"));
    };
    drop_string_labels(&mut graph, problems);
    // LightGBM's exporter declares [1] where it gives [N]: no declared output is believed.
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    if outputs.is_empty() {
        return Err(unsupported("the graph has no output"));
    }
    let nodes = bodies.inline(std::mem::take(&mut graph.node), &opsets)?;
    let mut needed: BTreeSet<String> = outputs.iter().cloned().collect();
    let nodes = keep_needed(nodes, &mut needed);
    let initial = initial::Initial::read(&graph, &needed)?;
    let inputs = read_inputs(&graph, &initial, dims, problems)?;

    let mut given: BTreeSet<String> = inputs.iter().map(|input| input.name.clone()).collect();
    if let Some(name) = initial.constants.keys().find(|name| given.contains(*name)) {
        return Err(unsupported(format!("the value `{name}` is given twice")));
    }
    given.extend(initial.constants.keys().cloned());
    let mut read = Graph { inputs, outputs, constants: initial.constants, nodes: vec![] };
    for node in nodes {
        read.add(node, &mut given, problems)?;
    }
    match read.outputs.iter().find(|output| !given.contains(*output)) {
        Some(output) => Err(unsupported(format!("output `{output}` is given by no node"))),
        None => Ok(read),
    }
}

/// Nodes that an output needs, with all that they read added to `needed`.
fn keep_needed(mut nodes: Vec<functions::Call>, needed: &mut BTreeSet<String>) -> Vec<functions::Call> {
    let mut keep = vec![false; nodes.len()];
    for (keep, call) in keep.iter_mut().zip(&nodes).rev() {
        if call.node.output.iter().any(|name| needed.contains(name)) {
            *keep = true;
            needed.extend(call.node.input.iter().filter(|name| !name.is_empty()).cloned());
        }
    }
    let mut keep = keep.into_iter();
    nodes.retain(|_| keep.next().unwrap_or(false));
    nodes
}

impl Graph {
    fn add(&mut self, call: functions::Call, given: &mut BTreeSet<String>, problems: &mut Problems) -> Result<()> {
        let functions::Call { node, opset } = call;
        let refuse = |problem: String| unsupported(format!("node `{}` ({}) {problem}", label(&node), node.op_type));
        if let Some(name) = node.input.iter().find(|name| !name.is_empty() && !given.contains(*name)) {
            return Err(refuse(format!("reads `{name}`, which nothing before it gives")));
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !given.insert(name.clone()) {
                return Err(refuse(format!("gives `{name}`, which is given already")));
            }
        }
        check_attributes(&node).map_err(refuse)?;
        let spec = super::node::Spec::new(&node, opset);
        if spec.is_control_flow() {
            problems.add(
                &spec.name,
                &spec.op,
                "control flow: export the model with its condition decided, so that one branch is left",
            );
        }
        if spec.op == "Constant" && spec.domain.is_empty() {
            let name = node.output.first().cloned().unwrap_or_default();
            self.constants.insert(name, initial::constant_node(&spec).map_err(refuse)?);
            return Ok(());
        }
        let named = |names: &[String]| names.iter().map(|name| (!name.is_empty()).then(|| name.clone())).collect();
        let (inputs, outputs) = (named(&node.input), named(&node.output[..spec.outputs]));
        self.nodes.push(Node { spec: std::sync::Arc::new(spec), inputs, outputs });
        Ok(())
    }
}

fn label(node: &NodeProto) -> &str {
    if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name }
}

/// Axes lie within any rank there is, permutations are such, tensors fill their shapes: tract counts
/// up to an axis that does not exist, and everybody else may index without a second look.
fn check_attributes(node: &NodeProto) -> Result<(), String> {
    for attribute in &node.attribute {
        if let Some(tensor) = &attribute.t {
            Constant::from_onnx(tensor).map_err(|problem| format!("holds a tensor that {problem}"))?;
        }
        if !matches!(attribute.name.as_str(), "axis" | "axes" | "perm") {
            continue;
        }
        if std::iter::once(&attribute.i).chain(&attribute.ints).any(|axis| !(-16..=16).contains(axis)) {
            return Err(format!("has an attribute `{}` that is out of range", attribute.name));
        }
        let mut order = attribute.ints.clone();
        order.sort_unstable();
        if attribute.name == "perm" && !order.iter().zip(0..).all(|(&axis, i)| axis == i) {
            return Err("has an attribute `perm` that is no permutation".into());
        }
    }
    Ok(())
}

/// A classifier's string labels cannot be a tensor of numbers: such an output is left out.
fn drop_string_labels(graph: &mut GraphProto, problems: &mut Problems) {
    let labels: BTreeSet<&String> = graph
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

/// The graph's inputs but those that an initialiser gives.
fn read_inputs(
    graph: &GraphProto,
    initial: &initial::Initial,
    dims: &BTreeMap<String, i64>,
    problems: &mut Problems,
) -> Result<Vec<Input>> {
    let mut declared = vec![];
    for input in graph.input.iter().filter(|input| !initial.names.contains(&input.name)) {
        let (elem, shape) = declaration(input)?;
        declared.push((input.name.clone(), elem, shape));
    }
    let symbols = Symbols::new(declared.iter().map(|(.., shape)| shape.as_slice()), dims);
    let mut inputs: Vec<Input> = vec![];
    for (name, code, shape) in declared {
        if inputs.iter().any(|input| input.name == name) {
            return Err(unsupported(format!("the value `{name}` is given twice")));
        }
        let elem = Elem::from_onnx(code);
        if !matches!(elem, Ok(Elem::F32 | Elem::I32 | Elem::I64 | Elem::Bool)) {
            let found = elem.as_ref().map_or_else(String::clone, |elem| format!("{elem:?}"));
            problems.add(&name, "input", format!("its type is {found}: declare it as float32, int32, int64 or bool"));
        }
        let dims = shape.iter().enumerate().map(|(axis, dim)| symbols.bind(&name, axis, dim, problems)).collect();
        inputs.push(Input { name, elem: elem.unwrap_or(Elem::F32), dims });
    }
    Ok(inputs)
}

/// Type number and dimensions of an input.
fn declaration(input: &ValueInfoProto) -> Result<(i32, Vec<Dimension>)> {
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(unsupported(format!("input `{}` is not a tensor", input.name)));
    };
    match &tensor.shape {
        Some(shape) => Ok((tensor.elem_type, shape.dim.clone())),
        None => Err(unsupported(format!("input `{}` declares no shape: export with [N, width]", input.name))),
    }
}

/// What the symbols of the inputs' shapes mean.
struct Symbols<'a> {
    bound: &'a BTreeMap<String, i64>,
    rows: BTreeSet<String>,
    /// An input's leading dimension is the number of candidates.
    leading: bool,
}

impl<'a> Symbols<'a> {
    fn new<'s>(shapes: impl Iterator<Item = &'s [Dimension]>, bound: &'a BTreeMap<String, i64>) -> Self {
        let mut symbols = Symbols { bound, rows: BTreeSet::new(), leading: false };
        for first in shapes.filter_map(|shape| shape.first()) {
            if let Err(symbol) = symbols.size(first) {
                symbols.leading = true;
                symbols.rows.insert(symbol);
            }
        }
        symbols.rows.remove("");
        symbols
    }

    /// The size, or the symbol (empty if there is none) that stands for it.
    fn size(&self, dim: &Dimension) -> Result<usize, String> {
        let positive = |size: i64| usize::try_from(size).ok().filter(|&size| size > 0);
        match &dim.value {
            Some(DimValue::DimValue(size)) => positive(*size).ok_or_else(String::new),
            Some(DimValue::DimParam(symbol)) => {
                self.bound.get(symbol).and_then(|&size| positive(size)).ok_or_else(|| symbol.clone())
            }
            None => Err(String::new()),
        }
    }

    fn bind(&self, input: &str, axis: usize, dim: &Dimension, problems: &mut Problems) -> Dim {
        let symbol = match self.size(dim) {
            Ok(size) => return Dim::Fixed(size),
            Err(symbol) => symbol,
        };
        let named = || ROWS_SYMBOLS.contains(&symbol.to_ascii_lowercase().as_str());
        if axis == 0 || self.rows.contains(&symbol) || (!self.leading && named()) {
            return Dim::Rows;
        }
        let help = if symbol.is_empty() {
            format!("axis {axis} has neither size nor name: export it with a fixed size")
        } else {
            format!("axis {axis} is the symbol `{symbol}`: bind it with --dim {symbol}=VALUE")
        };
        problems.add(input, "input", help);
        Dim::Fixed(1)
    }
}

#[cfg(test)]
#[path = "graph_tests.rs"]
pub(super) mod tests;
