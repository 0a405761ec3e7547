//! A node of the graph as its protobuf states it.

use super::constant::Constant;
use std::sync::Arc;
use tract_onnx::pb::{AttributeProto, NodeProto, SparseTensorProto};

/// A node and the names of the values it joins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Operator and attributes.
    pub spec: Arc<Spec>,
    /// One for each input of the operator; none for an optional input left out.
    pub inputs: Vec<Option<String>>,
    /// One for each output of the operator; none for an output that nobody asked for.
    pub outputs: Vec<Option<String>>,
}

/// An operator of ONNX with its attributes, which are read by type.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Name of the node in the graph, or of its first output where it has none.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Its domain; empty for ONNX's own.
    pub domain: String,
    /// Version of that domain's operator set.
    pub opset: i64,
    /// Number of outputs, up to the last that is asked for.
    pub outputs: usize,
    pub(super) proto: NodeProto,
}

impl Spec {
    /// The spec of a node under version `opset` of its domain.
    pub fn new(node: &NodeProto, opset: i64) -> Self {
        let name =
            if node.name.is_empty() { node.output.iter().find(|name| !name.is_empty()) } else { Some(&node.name) };
        Spec {
            name: name.cloned().unwrap_or_default(),
            op: node.op_type.clone(),
            domain: own_domain(&node.domain).to_string(),
            opset,
            outputs: node.output.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1),
            proto: node.clone(),
        }
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.proto.attribute.iter().find(|attribute| attribute.name == name)
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
    /// A tensor attribute, if given; it was checked when the graph was read.
    pub fn tensor(&self, name: &str) -> Option<Constant> {
        self.attribute(name)?.t.as_ref().and_then(|tensor| Constant::from_onnx(tensor).ok())
    }
    /// A sparse tensor attribute, if given.
    pub fn sparse(&self, name: &str) -> Option<&SparseTensorProto> {
        self.attribute(name)?.sparse_tensor.as_ref()
    }
    /// Whether the attribute stands in the node.
    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }
    /// Whether the operator runs a graph of its own (If, Loop, Scan).
    pub fn is_control_flow(&self) -> bool {
        self.proto.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty())
    }
}

/// ONNX's own domain has two spellings.
pub(super) fn own_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}
