//! For tests: a node lowered and run by the engine against its naive twin, on the same values.

use super::constant::{Constant, Elem, Values};
use super::graph::{Dim, Graph, Input};
use super::naive::testing::NodeBuilder;
use super::node::Node;
use super::problems::Problems;
use super::{fuse, lower};
use crate::engine::{Buffer, Interpreter, Slice};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a value reaches the node.
#[derive(Clone)]
pub(super) enum Given {
    /// An input of the graph, a row for each candidate.
    Each(Constant),
    /// An input of the graph, the same for all candidates.
    Shared(Constant),
    /// An initialiser.
    Known(Constant),
    /// Left out.
    Absent,
}

use Given::{Absent, Each, Known, Shared};

impl Given {
    fn value(&self) -> Option<&Constant> {
        match self {
            Each(c) | Shared(c) | Known(c) => Some(c),
            Absent => None,
        }
    }
}

fn elements(c: &Constant) -> Buffer {
    match (&c.values, c.elem) {
        (Values::Float(v), _) => Buffer::F32(v.clone()),
        (Values::Int(v), Elem::Bool) => Buffer::Bool(v.iter().map(|&v| v as u8).collect()),
        (Values::Int(v), Elem::I32) => Buffer::I32(v.iter().map(|&v| v as i32).collect()),
        (Values::Int(v), _) => Buffer::I64(v.clone()),
        (Values::Text(_), _) => panic!("no plan has texts"),
    }
}

/// The node's outputs, as the plan gives them; the message says why it is refused.
pub(super) fn planned(node: &NodeBuilder, given: &[Given], outputs: usize) -> Result<Vec<Buffer>, String> {
    let values: Vec<Option<&Constant>> = given.iter().map(Given::value).collect();
    let spec = Arc::new(node.spec(&values, outputs));
    let name = |i: usize| format!("v{i}");
    let mut graph = Graph {
        inputs: vec![],
        outputs: (0..outputs).map(|i| format!("y{i}")).collect(),
        constants: BTreeMap::new(),
        nodes: vec![Node {
            spec,
            inputs: given.iter().enumerate().map(|(i, g)| g.value().map(|_| name(i))).collect(),
            outputs: (0..outputs).map(|i| Some(format!("y{i}"))).collect(),
        }],
    };
    let (mut rows, mut buffers) = (1, vec![]);
    for (i, one) in given.iter().enumerate() {
        match one {
            Known(c) => drop(graph.constants.insert(name(i), c.clone())),
            Each(c) | Shared(c) => {
                let mut dims: Vec<Dim> = c.dims.iter().map(|&size| Dim::Fixed(size)).collect();
                if matches!(one, Each(_)) {
                    (rows, dims[0]) = (c.dims[0], Dim::Rows);
                }
                graph.inputs.push(Input { name: name(i), elem: c.elem, dims });
                buffers.push(elements(c));
            }
            Absent => {}
        }
    }
    let mut lowering = lower::lower(&graph, "t.", Problems::default(), &[]);
    lowering.problems.check().map_err(|e| e.message().to_owned())?;
    fuse::fuse(&mut lowering)?;
    let mut engine = Interpreter::new(lowering.plan, &lowering.tensors).map_err(|e| e.message().to_owned())?;
    let slices: Vec<Slice<'_>> = buffers.iter().map(Buffer::slice).collect();
    engine.run_all(&slices, rows).map_err(|e| e.message().to_owned())
}

/// Why the node is refused.
pub(super) fn refusal(node: &NodeBuilder, given: &[Given]) -> String {
    planned(node, given, 1).expect_err("it is lowered")
}

/// Runs both and compares `outputs` outputs: whole numbers to the last, floats to 1e-5 relative to what is 1 or above.
pub(super) fn agree(node: &NodeBuilder, given: &[Given], outputs: usize) {
    let values: Vec<Option<&Constant>> = given.iter().map(Given::value).collect();
    let spec = node.spec(&values, outputs);
    let expected = super::naive::evaluate(&spec, &values).unwrap();
    let got = planned(node, given, outputs).unwrap();
    for (i, (want, have)) in expected.iter().zip(&got).enumerate() {
        match (&want.values, have) {
            (Values::Float(want), Buffer::F32(have)) => {
                assert_eq!(want.len(), have.len(), "{} output {i}", spec.op);
                for (at, (w, h)) in want.iter().zip(have).enumerate() {
                    let bound = if w.abs() > 1.0 { 1e-5 * w.abs() } else { 1e-5 };
                    let near = (w - h).abs() <= bound || w == h || (w.is_nan() && h.is_nan());
                    assert!(near, "{} output {i}, element {at}: {h} for {w}", spec.op);
                }
            }
            (Values::Int(want), Buffer::I64(have)) => assert_eq!(want, have, "{} output {i}", spec.op),
            (Values::Int(want), Buffer::I32(have)) => {
                assert!(want.iter().copied().eq(have.iter().map(|&v| i64::from(v))), "{} output {i}", spec.op);
            }
            (Values::Int(want), Buffer::Bool(have)) => {
                assert!(want.iter().copied().eq(have.iter().map(|&v| i64::from(v))), "{} output {i}", spec.op);
            }
            (want, have) => panic!("{} output {i}: {have:?} for {want:?}", spec.op),
        }
    }
}

/// Floats of no pattern between -2 and 2.
pub(super) fn noise(dims: &[usize], seed: u32) -> Constant {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let draw = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    Constant::f32(dims, (0..dims.iter().product()).map(draw).collect())
}

/// Whole numbers of no pattern, `low..high`.
pub(super) fn numbers(dims: &[usize], low: i64, high: i64, seed: u32) -> Constant {
    let floats = noise(dims, seed);
    let list = floats.floats().unwrap_or(&[]);
    let size = (high - low) as f32;
    Constant::i64(dims, list.iter().map(|v| low + (((v + 2.0) / 4.0 * size) as i64).min(high - low - 1)).collect())
}
