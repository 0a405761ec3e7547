//! Values that a graph holds ready: initialisers and Constant nodes.

use super::constant::{Constant, Elem, Values};
use super::graph::unsupported;
use super::node::Spec;
use crate::error::Result;
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::GraphProto;

/// The initialisers of a graph.
pub(super) struct Initial {
    /// Those that somebody needs.
    pub constants: BTreeMap<String, Constant>,
    /// All names: an input that an initialiser gives is no input.
    pub names: BTreeSet<String>,
}

impl Initial {
    /// Reads those that are `needed`; every one has as many elements as its shape says.
    pub fn read(graph: &GraphProto, needed: &BTreeSet<String>) -> Result<Self> {
        let mut initial = Initial { constants: BTreeMap::new(), names: BTreeSet::new() };
        for tensor in &graph.initializer {
            let refuse = |problem: String| unsupported(format!("tensor `{}` {problem}", tensor.name));
            if !initial.names.insert(tensor.name.clone()) {
                return Err(refuse("is given twice".into()));
            }
            let constant = Constant::from_onnx(tensor).map_err(refuse)?;
            if needed.contains(&tensor.name) {
                initial.constants.insert(tensor.name.clone(), constant);
            }
        }
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse.values.as_ref().map_or("", |values| values.name.as_str());
            return Err(unsupported(format!("tensor `{name}` is sparse: store it dense")));
        }
        Ok(initial)
    }
}

/// What a Constant node gives; the message says what it lacks.
pub(super) fn constant_node(spec: &Spec) -> Result<Constant, String> {
    if let Some(tensor) = spec.tensor("value") {
        return Ok(tensor);
    }
    let floats = spec.floats("value_floats");
    let texts = spec.strings("value_strings");
    if spec.has("value_float") {
        Ok(Constant::f32(&[], vec![spec.float("value_float", 0.0)]))
    } else if spec.has("value_int") {
        Ok(Constant::i64(&[], vec![spec.int("value_int", 0)]))
    } else if spec.has("value_floats") {
        Ok(Constant::f32(&[floats.len()], floats.to_vec()))
    } else if let Some(ints) = spec.ints("value_ints") {
        Ok(Constant::i64(&[ints.len()], ints.to_vec()))
    } else if let Some(text) = spec.string("value_string") {
        Constant::new(Elem::Text, &[], Values::Text(vec![text]))
    } else if spec.has("value_strings") {
        Constant::new(Elem::Text, &[texts.len()], Values::Text(texts))
    } else {
        Err("has no dense value: store it as a tensor".into())
    }
}
