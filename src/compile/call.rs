//! What a lowering is given and what it gives: values of the graph, and a node with its operands.

use super::constant::{Constant, Elem};
use super::node::Spec;
use super::shape::{self, Dim, Size, Sizes};
use std::rc::Rc;

/// A value of the graph while it is lowered.
#[derive(Debug, Clone)]
pub(super) enum Val {
    /// Known at compile time.
    Constant(Rc<Constant>),
    /// Whole numbers that depend on the number of candidates.
    Sizes(Rc<Sizes>),
    /// Computed by the plan; `shape` is ONNX's.
    Run { value: u32, elem: Elem, shape: Vec<Dim> },
    /// Given by a node that is refused: what depends on it is passed over in silence.
    Refused,
}

impl Val {
    /// Its shape.
    pub fn shape(&self) -> Vec<Dim> {
        match self {
            Val::Constant(constant) => shape::of_sizes(&constant.dims),
            Val::Sizes(sizes) => shape::of_sizes(&sizes.dims),
            Val::Run { shape, .. } => shape.clone(),
            Val::Refused => vec![],
        }
    }

    /// Its type.
    pub fn elem(&self) -> Elem {
        match self {
            Val::Constant(constant) => constant.elem,
            Val::Sizes(sizes) => sizes.elem,
            Val::Run { elem, .. } => *elem,
            Val::Refused => Elem::F32,
        }
    }
}

/// A node of the graph with its operands.
pub(super) struct Call<'a> {
    pub spec: &'a Spec,
    /// By ONNX position; none for an optional input left out.
    pub inputs: Vec<Option<Val>>,
}

/// What a node gives, or what is wrong with it and would help.
pub(super) type Lowered = Result<Vec<Val>, String>;
impl Call<'_> {
    /// Input `i`, which ONNX demands.
    pub fn need(&self, i: usize) -> Result<&Val, String> {
        self.inputs.get(i).and_then(Option::as_ref).ok_or_else(|| format!("input {i} is missing"))
    }
    /// Optional input `i`.
    pub fn optional(&self, i: usize) -> Option<&Val> {
        self.inputs.get(i).and_then(Option::as_ref)
    }
    /// Input `i`, which the plan needs as a constant.
    pub fn constant(&self, i: usize, what: &str) -> Result<Rc<Constant>, String> {
        match self.need(i)? {
            Val::Constant(constant) => Ok(constant.clone()),
            Val::Sizes(_) => {
                Err(format!("{what} depends on the number of candidates: make it a constant of the graph"))
            }
            _ => Err(format!("{what} is computed: make it a constant of the graph")),
        }
    }
    /// Whole numbers of input `i`, which the plan needs as constants.
    pub fn ints(&self, i: usize, what: &str) -> Result<Vec<i64>, String> {
        Ok(self.constant(i, what)?.ints()?.to_vec())
    }
    /// Floats of input `i`, which the plan needs as constants.
    pub fn floats(&self, i: usize, what: &str) -> Result<Vec<f32>, String> {
        Ok(self.constant(i, what)?.floats()?.to_vec())
    }
    /// Sizes of input `i`, which may depend on the number of candidates.
    pub fn sizes(&self, i: usize, what: &str) -> Result<Vec<Size>, String> {
        match self.need(i)? {
            Val::Sizes(sizes) => Ok(sizes.list.clone()),
            _ => Ok(self.ints(i, what)?.into_iter().map(|fixed| Size { each: 0, fixed }).collect()),
        }
    }
    /// Axes: input `i` since some version of the operator, an attribute before; none if neither is given.
    pub fn axes(&self, i: usize) -> Result<Option<Vec<i64>>, String> {
        match self.optional(i) {
            Some(_) => Ok(Some(self.ints(i, "the list of axes")?)),
            None => Ok(self.spec.ints("axes").map(<[i64]>::to_vec)),
        }
    }
    /// All inputs that are given.
    pub fn given(&self) -> impl Iterator<Item = &Val> {
        self.inputs.iter().flatten()
    }
}
