//! Attention over a padded history computes no score that a mask hides, and gives the bits of a plan that computes them all.
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use proptest::prelude::*;
use ranklet::engine::plan::{Binary, Unary};
use ranklet::engine::{Buffer, DType, Interpreter, Op, Plan, Port, Rows, Slice, Step, Tensor, Tensors, Value};
use std::collections::BTreeMap;

/// Inputs of a candidate.
const DEPTH: u32 = 6;

#[derive(Debug, Clone)]
struct Case {
    /// Length of the history, and hidden units for each of it.
    sizes: (u32, u32),
    /// Weights that a history scales, or constant ones.
    computed: bool,
    /// Whether the mask holds for what is read.
    holds: bool,
    activation: Unary,
    rows: usize,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = prop_oneof![Just((16, 3)), Just((8, 6)), Just((4, 4)), Just((12, 4)), Just((5, 16)), Just((32, 5))];
    let activation = prop_oneof![Just(Unary::LeakyRelu { alpha: 0.25 }), Just(Unary::Identity), Just(Unary::Tanh)];
    (sizes, any::<[bool; 2]>(), activation, 1usize..90, any::<u64>()).prop_map(
        |(sizes, [computed, holds], activation, rows, seed)| Case { sizes, computed, holds, activation, rows, seed },
    )
}

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn floats(&mut self, n: u32) -> Vec<f32> {
        (0..n).map(|_| self.next() as f32 / (1u32 << 30) as f32 - 1.0).collect()
    }
    /// Padding at either end, at both, in between, everywhere or nowhere.
    fn mask(&mut self, n: u32) -> Vec<f32> {
        let (from, to) = (self.next() as u32 % (n + 1), self.next() as u32 % (n + 1));
        let sparse = self.next().is_multiple_of(3);
        (0..n)
            .map(|i| if i >= from && i < to && !(sparse && self.next().is_multiple_of(2)) { 1.0 } else { 0.0 })
            .collect()
    }
}

fn port(plan: &Plan, name: &str, value: u32) -> Port {
    let Value { rows, width, .. } = plan.values[value as usize];
    let dims = vec![if rows == Rows::Shared { 1 } else { -1 }, i64::from(width)];
    Port { name: name.into(), value, dims }
}

/// `softmax(mask ? scores : low)`, where the scores follow from a layer over candidates; `shown`: the scores are an output too.
fn engine(case: &Case, shown: bool) -> Interpreter {
    let ((history, units), mut draw) = (case.sizes, Draw(case.seed));
    let wide = history * units;
    let mut plan = Plan::default();
    let mut tensors = Tensors::new();
    let value = |plan: &mut Plan, dtype, rows, width| {
        plan.values.push(Value { dtype, rows, width });
        plan.values.len() as u32 - 1
    };
    let step = |plan: &mut Plan, op, inputs: &[u32], output| {
        plan.steps.push(Step { op, node: "n".into(), inputs: inputs.to_vec(), output });
    };
    let shared = [("mask", history), ("history", history * DEPTH), ("start", wide)];
    let mut given: Vec<u32> =
        shared.iter().map(|&(_, width)| value(&mut plan, DType::F32, Rows::Shared, width)).collect();
    given.push(value(&mut plan, DType::F32, Rows::Candidate, DEPTH));
    for (&value, name) in given.iter().zip(["mask", "history", "start", "q"]) {
        plan.inputs.push(port(&plan, name, value));
    }
    let [mask, scale, start, q] = given[..] else { unreachable!("four of them") };
    let mut constant = |plan: &mut Plan, name: &str, width: u32, data: Vec<f32>| {
        tensors.insert(name.into(), Tensor::f32(&[data.len()], data));
        let output = value(plan, DType::F32, Rows::Shared, width);
        step(plan, Op::Constant { tensor: name.into() }, &[], output);
        output
    };
    let (w, v) = (draw.floats(DEPTH * units), draw.floats(DEPTH * units));
    let (w, v) = (constant(&mut plan, "w", DEPTH * units, w), constant(&mut plan, "v", DEPTH * units, v));
    let (zero, low) = (constant(&mut plan, "zero", 1, vec![0.0]), constant(&mut plan, "low", 1, vec![-1e9]));
    tensors.insert("dense".into(), Tensor::f32(&[DEPTH as usize, wide as usize], draw.floats(DEPTH * wide)));
    tensors.insert("last".into(), Tensor::f32(&[units as usize, 1], draw.floats(units)));
    let packed = ranklet_kernels::dense::packed_len(DEPTH as usize, wide as usize) as u32;
    let mut value = |rows, width, dtype| {
        plan.values.push(Value { dtype, rows, width });
        plan.values.len() as u32 - 1
    };
    let computed = value(Rows::Shared, packed, DType::F32);
    let hidden = value(Rows::Candidate, wide, DType::F32);
    let scores = value(Rows::Candidate, history, DType::F32);
    let condition = value(Rows::Shared, history, DType::Bool);
    let chosen = value(Rows::Candidate, history, DType::F32);
    let result = value(Rows::Candidate, history, DType::F32);
    let dense = |weights: Option<&str>, start, inputs, outputs, activation| Op::Dense {
        weights: weights.map(Into::into),
        scales: None,
        bias: None,
        start,
        inputs,
        outputs,
        activation,
    };
    if case.computed {
        step(&mut plan, Op::Pack { groups: history, inputs: DEPTH, outputs: wide }, &[scale, w, v], computed);
        step(&mut plan, dense(None, true, DEPTH, wide, case.activation), &[q, computed, start], hidden);
    } else {
        step(&mut plan, dense(Some("dense"), true, DEPTH, wide, case.activation), &[q, start], hidden);
    }
    step(&mut plan, dense(Some("last"), false, units, 1, Unary::Identity), &[hidden], scores);
    // Behind the layers: the weights have to wait for it.
    let f = if case.holds { Binary::Greater } else { Binary::Equal };
    step(&mut plan, Op::Binary { f, each: [1, 1] }, &[mask, zero], condition);
    let [yes, no] = if case.holds { [scores, low] } else { [low, scores] };
    step(&mut plan, Op::Where, &[condition, yes, no], chosen);
    step(&mut plan, Op::Softmax { group: history, inner: 1, log: false }, &[chosen], result);
    for value in [result].into_iter().chain(shown.then_some(scores)) {
        plan.outputs.push(port(&plan, &value.to_string(), value));
    }
    let used: Vec<&String> = plan.steps.iter().flat_map(|step| step.op.tensors()).collect();
    let tensors: BTreeMap<_, _> = tensors.into_iter().filter(|(name, _)| used.contains(&name)).collect();
    Interpreter::new(plan, &tensors.into_iter().collect()).unwrap()
}

fn inputs(case: &Case, seed: u64) -> [Buffer; 4] {
    let ((history, units), mut draw) = (case.sizes, Draw(seed));
    [
        Buffer::F32(draw.mask(history)),
        Buffer::F32(draw.floats(history * DEPTH)),
        Buffer::F32(draw.floats(history * units)),
        Buffer::F32(draw.floats(case.rows as u32 * DEPTH)),
    ]
}

fn bits(buffer: &Buffer) -> Vec<u32> {
    buffer.slice().f32().iter().map(|v| v.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_a_mask_hides_changes_no_bit(case in cases(), kept in 0u8..16) {
        let (mut masked, mut whole) = (engine(&case, false), engine(&case, true));
        let first = inputs(&case, case.seed);
        let keeps = |i: usize| kept >> i & 1 == 1;
        let given: Vec<Option<Slice<'_>>> = (0..4).map(|i| keeps(i).then(|| first[i].slice())).collect();
        let mut prepared = masked.prepare(&given, Some(case.rows)).unwrap();
        // More than once: what an earlier mask left is read by no later one.
        for turn in 1..5u64 {
            let next = inputs(&case, case.seed ^ turn << 40);
            let all: [Buffer; 4] = std::array::from_fn(|i| if keeps(i) { first[i].clone() } else { next[i].clone() });
            let slices: Vec<Slice<'_>> = all.iter().map(Buffer::slice).collect();
            let expected = bits(&whole.run_all(&slices, case.rows).unwrap()[0]);
            prop_assert_eq!(bits(&masked.run_all(&slices, case.rows).unwrap()[0]), expected.clone());
            let open: Vec<Slice<'_>> = prepared.open().iter().map(|&i| all[i].slice()).collect();
            let mut outputs = Vec::new();
            masked.run_into(Some(&mut prepared), &open, case.rows, &mut outputs).unwrap();
            prop_assert_eq!(bits(&outputs[0]), expected);
        }
    }
}
