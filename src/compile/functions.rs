//! Functions of the model's own (PyTorch's exporter writes some): each call is replaced by its body.

use super::graph::{Opsets, unsupported};
use super::node::own_domain;
use crate::error::Result;
use std::collections::BTreeMap;
use tract_onnx::pb::{FunctionProto, NodeProto, OperatorSetIdProto};

/// Calls within calls; a function may not call itself, which this also ends.
const MAX_DEPTH: usize = 16;
/// Nodes after every call is replaced.
const MAX_NODES: usize = 1 << 20;

/// A node and the version of its operator.
pub(super) struct Call {
    pub node: NodeProto,
    pub opset: i64,
}

/// Bodies by (domain, name).
pub(super) struct Bodies(BTreeMap<(String, String), FunctionProto>);

/// Versions by domain, under one spelling of ONNX's own.
pub(super) fn opsets(imports: &[OperatorSetIdProto]) -> Opsets {
    imports.iter().map(|import| (own_domain(&import.domain).to_string(), import.version)).collect()
}

impl Bodies {
    pub fn new(functions: Vec<FunctionProto>) -> Self {
        let key = |f: &FunctionProto| {
            (own_domain(f.domain.as_deref().unwrap_or("")).to_string(), f.name.clone().unwrap_or_default())
        };
        Bodies(functions.into_iter().map(|f| (key(&f), f)).collect())
    }

    /// The nodes with every call replaced, in order.
    pub fn inline(&self, nodes: Vec<NodeProto>, opsets: &Opsets) -> Result<Vec<Call>> {
        let mut calls = vec![];
        for node in nodes {
            self.expand(node, opsets, 0, &mut calls)?;
        }
        Ok(calls)
    }

    fn expand(&self, node: NodeProto, opsets: &Opsets, depth: usize, calls: &mut Vec<Call>) -> Result<()> {
        let domain = own_domain(&node.domain).to_string();
        let key = (domain, node.op_type.clone());
        let Some(function) = self.0.get(&key) else {
            if calls.len() >= MAX_NODES {
                return Err(unsupported(format!("the graph has more than {MAX_NODES} nodes")));
            }
            let opset = opsets.get(&key.0).copied().unwrap_or(1);
            calls.push(Call { node, opset });
            return Ok(());
        };
        if depth >= MAX_DEPTH {
            return Err(unsupported(format!("the function `{}` calls itself, or too deeply", node.op_type)));
        }
        let mut inner = opsets.clone();
        inner.extend(self::opsets(&function.opset_import));
        let names = Names::new(function, &node);
        for body in &function.node {
            self.expand(names.instance(body), &inner, depth + 1, calls)?;
        }
        Ok(())
    }
}

/// What the names of a body mean at one call.
struct Names<'a> {
    call: &'a NodeProto,
    outer: BTreeMap<&'a str, &'a str>,
    prefix: String,
}

impl<'a> Names<'a> {
    fn new(function: &'a FunctionProto, call: &'a NodeProto) -> Self {
        let mut outer = BTreeMap::new();
        for (formal, actual) in [(&function.input, &call.input), (&function.output, &call.output)] {
            for (i, name) in formal.iter().enumerate() {
                match actual.get(i) {
                    Some(actual) if !actual.is_empty() => outer.insert(name.as_str(), actual.as_str()),
                    // An input left out stays left out; an output that nobody asked for keeps a name of its own.
                    _ if std::ptr::eq(formal, &function.input) => outer.insert(name.as_str(), ""),
                    _ => None,
                };
            }
        }
        // The name of a call's output occurs once in a graph, so what stands behind it does too.
        let prefix = call.output.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        Names { call, outer, prefix }
    }

    fn value(&self, name: &str) -> String {
        match self.outer.get(name) {
            Some(actual) => (*actual).to_string(),
            None if name.is_empty() => String::new(),
            None => format!("{}/{name}", self.prefix),
        }
    }

    /// A node of the body with the call's values and attributes.
    fn instance(&self, body: &NodeProto) -> NodeProto {
        let mut node = body.clone();
        for name in node.input.iter_mut().chain(&mut node.output) {
            *name = self.value(name);
        }
        let label = if body.name.is_empty() { &body.op_type } else { &body.name };
        let call = if self.call.name.is_empty() { &self.prefix } else { &self.call.name };
        node.name = format!("{call}/{label}");
        node.attribute.retain_mut(|attribute| {
            if attribute.ref_attr_name.is_empty() {
                return true;
            }
            let Some(actual) = self.call.attribute.iter().find(|a| a.name == attribute.ref_attr_name) else {
                return false;
            };
            let name = std::mem::take(&mut attribute.name);
            *attribute = actual.clone();
            attribute.name = name;
            true
        });
        node
    }
}
