//! Values that a graph holds ready: initialisers and Constant nodes.

use super::constant::{Constant, Elem, Values};
use super::graph::unsupported;
use super::node::Spec;
use crate::error::Result;
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::{GraphProto, SparseTensorProto};

/// Elements of a sparse tensor written out, at most: a few bytes of a file must not ask for gigabytes.
const MAX_DENSE: usize = 1 << 26;

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
        for sparse in &graph.sparse_initializer {
            let name = sparse.values.as_ref().map_or("", |values| values.name.as_str());
            let refuse = |problem: String| unsupported(format!("tensor `{name}` {problem}"));
            if !initial.names.insert(name.to_string()) {
                return Err(refuse("is given twice".into()));
            }
            let constant = dense(sparse).map_err(refuse)?;
            if needed.contains(name) {
                initial.constants.insert(name.to_string(), constant);
            }
        }
        Ok(initial)
    }
}

/// What a Constant node gives; the message says what it lacks.
pub(super) fn constant_node(spec: &Spec) -> Result<Constant, String> {
    if let Some(tensor) = spec.tensor("value") {
        return Ok(tensor);
    }
    if let Some(sparse) = spec.sparse("sparse_value") {
        return dense(sparse);
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
        Err("has no value".into())
    }
}

/// A sparse tensor with its zeros written out. An index is a position in row-major order, or one for each axis.
fn dense(sparse: &SparseTensorProto) -> Result<Constant, String> {
    let (Some(values), Some(indices)) = (&sparse.values, &sparse.indices) else {
        return Err("is sparse and lacks values or indices".into());
    };
    let (values, indices) = (Constant::from_onnx(values)?, Constant::from_onnx(indices)?);
    let dims = sparse.dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
    let dims = dims.map_err(|_| "is sparse and has a negative dimension")?;
    let count = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_DENSE);
    let count = count.ok_or_else(|| format!("is sparse and has more than {MAX_DENSE} elements"))?;
    let each = indices.len() / values.len().max(1);
    if each * values.len() != indices.len() || (each != 1 && each != dims.len() && values.len() > 0) {
        return Err(format!("is sparse with {} indices for {} values", indices.len(), values.len()));
    }
    let mut places = vec![];
    for index in indices.ints()?.chunks(each.max(1)) {
        let sizes = if each == 1 { &[count][..] } else { &dims };
        let place = index.iter().zip(sizes).try_fold(0, |place, (&at, &size)| {
            usize::try_from(at).ok().filter(|&at| at < size).map(|at| place * size + at)
        });
        places.push(place.ok_or("is sparse and has an index outside its shape")?);
    }
    fn spread<T: Copy + Default>(values: &[T], places: &[usize], count: usize) -> Vec<T> {
        let mut all = vec![T::default(); count];
        places.iter().zip(values).for_each(|(&place, &value)| all[place] = value);
        all
    }
    let all = match &values.values {
        Values::Float(v) => Values::Float(spread(v, &places, count)),
        Values::Int(v) => Values::Int(spread(v, &places, count)),
        Values::Text(_) => return Err("is sparse and made of strings".into()),
    };
    Constant::new(values.elem, &dims, all)
}
