//! ONNX -> plan, on the build machine: tract parses and types the graph, this room lowers it to
//! steps of [`crate::engine::plan`], and [`Oracle`] gives what the plan's outputs are checked
//! against. No file system and no threads, so that it also builds as a wasm of its own.

mod assemble;
mod attention;
mod calibrator;
mod call;
mod cells;
mod check;
mod compare;
mod constant;
mod dims;
mod domain;
mod einsum;
mod elementwise;
mod encode;
mod forest;
mod functions;
mod fuse;
mod golden;
mod graph;
mod initial;
mod inputs;
mod join;
mod lookup;
mod loss;
mod lower;
mod marks;
mod matrix;
mod moves;
mod naive;
mod node;
mod norms;
mod ops;
mod oracle;
mod order;
mod pack;
mod paths;
mod problems;
mod quantise;
mod recurrent;
mod repeat;
mod scatter;
mod scores;
mod shape;
mod spec;
mod split;
mod table;
mod training;
mod tree_ensemble;
mod trigonometry;
mod trusted;
#[cfg(test)]
mod trusted_twins;
#[cfg(test)]
mod twins;
mod two_classes;
mod weights;

pub use assemble::{Report, Tamper, compile_onnx, compile_spec};
pub use calibrator::{CalibratorForm, recognise_calibrator};
pub use check::{InputHints, check_inputs, check_rows};
pub use compare::{Comparison, compare};
pub use dims::read_dims;
pub use oracle::Oracle;
pub use spec::Spec;
pub use training::SCHEMA_KEY;
pub use weights::{SmallWeights, Storage, WeightForm};

use crate::engine::plan::Plan;
use crate::engine::tensor::Tensors;
use crate::error::{Error, ErrorKind, Result};
use problems::Problems;
use std::collections::BTreeMap;
use std::sync::Arc;

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
    pub(crate) domains: domain::Domains,
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
    lower_with(onnx, prefix, dims, &[])
}

/// As [`lower`]; `shared` tells which columns of the graph's one input are the same for all candidates of a request
/// (empty: none is), so that what depends on them alone is computed once.
///
/// # Errors
/// As [`lower`].
pub fn lower_with(onnx: &[u8], prefix: &str, dims: &BTreeMap<String, i64>, shared: &[bool]) -> Result<Lowered> {
    // tract panics on some malformed graphs (an index outside its axis, for one).
    std::panic::catch_unwind(|| lower_graph(onnx, prefix, dims, shared)).unwrap_or_else(|payload| {
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

fn lower_graph(onnx: &[u8], prefix: &str, dims: &BTreeMap<String, i64>, shared: &[bool]) -> Result<Lowered> {
    let mut problems = Problems::default();
    let graph = Arc::new(graph::read(onnx, dims, &mut problems)?);
    let mut lowering = lower::lower(&graph, prefix, problems, shared);
    lowering.problems.check()?;
    if !shared.is_empty() && lowering.is_list_wise() {
        // Rows that see each other are not run by stretches.
        return lower_graph(onnx, prefix, dims, &[]);
    }
    fuse::fuse(&mut lowering)
        .map_err(|what| Error::new(ErrorKind::ModelUnsupported, format!("its constants cannot be computed: {what}")))?;
    Ok(Lowered {
        plan: lowering.plan,
        tensors: lowering.tensors,
        warnings: lowering.problems.warnings,
        oracle: Oracle::new(graph),
        domains: lowering.domains,
    })
}
