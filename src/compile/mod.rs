//! ONNX -> plan, on the build machine: tract parses and types the graph, this room lowers it to
//! steps of [`crate::engine::plan`], and [`Oracle`] gives what the plan's outputs are checked
//! against. No file system and no threads, so that it also builds as a wasm of its own.

mod assemble;
mod calibrator;
mod check;
mod compare;
mod dense;
mod elementwise;
mod fold;
mod forest;
mod fuse;
mod graph;
mod lower;
mod moves;
mod naive;
mod norms;
mod ops;
mod oracle;
mod paths;
mod problems;
mod register;
mod scores;
mod spec;

pub use assemble::{Report, Tamper, compile_onnx, compile_spec};
pub use calibrator::{CalibratorForm, recognise_calibrator};
pub use check::{InputHints, check_inputs, check_rows};
pub use compare::{Comparison, compare};
pub use oracle::Oracle;
pub use spec::Spec;

use crate::engine::plan::Plan;
use crate::engine::tensor::Tensors;
use crate::error::{Error, ErrorKind, Result};
use problems::Problems;
use std::collections::BTreeMap;

/// A lowered graph.
#[derive(Debug)]
pub struct Lowered {
    /// The steps.
    pub plan: Plan,
    /// The plan's weights and tree arrays by name.
    pub tensors: Tensors,
    /// What was done otherwise than the graph says, one sentence each.
    pub warnings: Vec<String>,
    pub(crate) oracle: Oracle,
}

impl Lowered {
    /// The graph itself, to check the plan against.
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }
}

/// Lowers ONNX bytes to a plan. `prefix` precedes every tensor name (`plan.0.`); `dims` binds
/// symbols of input shapes other than the leading dimension, which is the number of candidates.
///
/// # Errors
/// `model_unsupported` lists every node that cannot be lowered, each with the change that would help.
pub fn lower(onnx: &[u8], prefix: &str, dims: &BTreeMap<String, i64>) -> Result<Lowered> {
    // tract panics on some malformed graphs (an index outside its axis, for one).
    std::panic::catch_unwind(|| lower_graph(onnx, prefix, dims)).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<&str>().copied();
        Err(panicked(said.or_else(|| payload.downcast_ref::<String>().map(String::as_str))))
    })
}

/// What a panic of the analysis is to the graph's author.
pub(crate) fn panicked(said: Option<&str>) -> Error {
    // What follows the first line is a backtrace, if the environment asks for one.
    let said = said.and_then(|said| said.lines().next()).unwrap_or("a panic without words");
    let message = format!("the graph is malformed: its analysis stopped at \"{said}\"; check it with onnx.checker");
    Error::new(ErrorKind::ModelUnsupported, message)
}

fn lower_graph(onnx: &[u8], prefix: &str, dims: &BTreeMap<String, i64>) -> Result<Lowered> {
    let mut problems = Problems::default();
    let prepared = graph::prepare(onnx, dims, &mut problems)?;
    let graph = graph::Graph::build(&prepared)?;
    let mut lowering = lower::lower(&graph, &prepared, prefix, problems);
    lowering.problems.check()?;
    fuse::fuse(&mut lowering);
    Ok(Lowered {
        plan: lowering.plan,
        tensors: lowering.tensors,
        warnings: lowering.problems.warnings,
        oracle: Oracle::new(prepared),
    })
}
