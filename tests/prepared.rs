//! What a list keeps changes no bit: prepared equals cold for every choice of what is kept, and a row's bits depend on
//! neither the number of rows nor its place.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use proptest::prelude::*;
use ranklet::compile::lower;
use ranklet::engine::{Buffer, DType, Interpreter, Op, Plan, Port, Rows, Slice, Step, Value};
use std::collections::BTreeMap;

fn engine(fixture: &str) -> Interpreter {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
    let lowered = lower(&std::fs::read(path).unwrap(), "plan.", &BTreeMap::new()).unwrap();
    Interpreter::new(lowered.plan, &lowered.tensors).unwrap()
}

/// splitmix64 (Steele, Lea and Flood 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 27)
    }
    fn floats(&mut self, n: usize) -> Buffer {
        Buffer::F32((0..n).map(|_| (self.next() >> 40) as f32 / (1u64 << 22) as f32 - 2.0).collect())
    }
}

/// context, items, id, history of the fixture `din_gate`.
fn inputs(rows: usize, seed: u64) -> [Buffer; 4] {
    let mut draw = Draw(seed);
    let ids = (0..rows).map(|_| (draw.next() % 9) as i64).collect();
    [draw.floats(5), draw.floats(rows * 3), Buffer::I64(ids), draw.floats(24)]
}

fn bits(outputs: &[Buffer]) -> Vec<u32> {
    outputs.iter().flat_map(|b| b.slice().f32().iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect()
}

/// The named rows of each candidates' input.
fn rows_of(inputs: &[Buffer; 4], rows: &[usize]) -> [Buffer; 4] {
    let [context, items, ids, history] = inputs.clone();
    let (Buffer::F32(items), Buffer::I64(ids)) = (items, ids) else { unreachable!("as drawn") };
    let items = rows.iter().flat_map(|&r| items[r * 3..r * 3 + 3].to_vec()).collect();
    [context, Buffer::F32(items), Buffer::I64(rows.iter().map(|&r| ids[r]).collect()), history]
}

fn cold(engine: &mut Interpreter, inputs: &[Buffer; 4], rows: usize) -> Vec<u32> {
    let slices: Vec<Slice<'_>> = inputs.iter().map(Buffer::slice).collect();
    bits(&engine.run_all(&slices, rows).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_kept_the_bits_are_those_of_a_cold_run(rows in 1usize..140, kept in 0u8..16, seed: u64) {
        let mut engine = engine("din_gate.onnx");
        let first = inputs(rows, seed);
        let keeps = |i: usize| kept >> i & 1 == 1;
        let given: Vec<Option<Slice<'_>>> = (0..4).map(|i| keeps(i).then(|| first[i].slice())).collect();
        let mut prepared = engine.prepare(&given, Some(rows)).unwrap();
        // Twice with other open inputs: nothing of the first run stays.
        for turn in 1..3 {
            let next = inputs(rows, seed ^ turn);
            let whole: [Buffer; 4] = std::array::from_fn(|i| if keeps(i) { first[i].clone() } else { next[i].clone() });
            let open: Vec<Slice<'_>> = prepared.open().iter().map(|&i| whole[i].slice()).collect();
            let mut outputs = Vec::new();
            engine.run_into(Some(&mut prepared), &open, rows, &mut outputs).unwrap();
            prop_assert_eq!(bits(&outputs), cold(&mut engine, &whole, rows));
        }
    }

    #[test]
    fn buffers_of_a_longer_list_serve_a_shorter_one(rows in 1usize..140, fewer in 0usize..140, seed: u64) {
        let mut engine = engine("din_gate.onnx");
        let mut outputs = Vec::new();
        for rows in [rows, fewer.min(rows)] {
            let whole = inputs(rows, seed ^ rows as u64);
            let slices: Vec<Slice<'_>> = whole.iter().map(Buffer::slice).collect();
            engine.run_into(None, &slices, rows, &mut outputs).unwrap();
            let len = engine.output(0).width as usize * rows;
            let read = [Buffer::F32(outputs[0].slice().range(0, len).f32().to_vec())];
            prop_assert_eq!(bits(&read), cold(&mut engine, &whole, rows));
        }
    }

    #[test]
    fn a_row_does_not_see_how_many_there_are_or_where_it_stands(rows in 1usize..140, seed: u64) {
        let mut engine = engine("din_gate.onnx");
        let whole = inputs(rows, seed);
        let all = cold(&mut engine, &whole, rows);
        let backwards: Vec<usize> = (0..rows).rev().collect();
        let mut turned = cold(&mut engine, &rows_of(&whole, &backwards), rows);
        turned.reverse();
        prop_assert_eq!(&turned, &all);
        let at = (seed % rows as u64) as usize;
        prop_assert_eq!(cold(&mut engine, &rows_of(&whole, &[at]), 1)[0], all[at]);
    }
}

#[test]
fn a_prepared_list_leaves_out_what_follows_from_what_it_keeps() {
    let mut engine = engine("din_gate.onnx");
    let whole = inputs(64, 1);
    let given = [Some(whole[0].slice()), Some(whole[1].slice()), Some(whole[2].slice()), None];
    let prepared = engine.prepare(&given, Some(64)).unwrap();
    assert_eq!(prepared.open(), [3]);
    assert_eq!(prepared.rows(), Some(64));
}

/// Attention over the list, softmax over it and its mean: candidates see each other, and each as often as it stands there.
#[test]
fn a_list_wise_plan_turns_its_scores_with_its_rows() {
    let mut engine = engine("list_attention.onnx");
    for rows in [1, 2, 63, 64, 65, 200] {
        let x = Draw(rows as u64).floats(rows * 6);
        let Buffer::F32(cells) = &x else { unreachable!("as drawn") };
        let scores = engine.run_all(&[x.slice()], rows).unwrap();
        let turned: Vec<f32> = (0..rows).rev().flat_map(|r| cells[r * 6..r * 6 + 6].to_vec()).collect();
        let back = engine.run_all(&[Slice::F32(&turned)], rows).unwrap();
        let (scores, back) = (scores[0].slice().f32(), back[0].slice().f32());
        for r in 0..rows {
            // Sums over the list are taken in its order, so only nearly the same.
            let d = (scores[r] - back[rows - 1 - r]).abs();
            assert!(d <= 1e-5, "row {r} of {rows}: {} and {}", scores[r], back[rows - 1 - r]);
        }
    }
}

/// How many candidates there are is known with the first input that has a row for each: not when the context alone is kept.
#[test]
fn counts_and_places_wait_for_the_candidates() {
    let value = |dtype, rows| Value { dtype, rows, width: 1 };
    let port = |name: &str, value, rows| Port { name: name.into(), value, dims: vec![rows, 1] };
    let step = |op, inputs: &[u32], output| Step { op, node: String::new(), inputs: inputs.to_vec(), output };
    let plan = Plan {
        inputs: vec![port("context", 0, 1), port("items", 1, -1)],
        outputs: vec![port("count", 4, 1), port("place", 5, -1)],
        values: vec![
            value(DType::F32, Rows::Shared),
            value(DType::F32, Rows::Candidate),
            value(DType::I64, Rows::Shared),
            value(DType::I64, Rows::Candidate),
            value(DType::F32, Rows::Shared),
            value(DType::F32, Rows::Candidate),
        ],
        steps: vec![
            step(Op::Count, &[], 2),
            step(Op::Position, &[], 3),
            step(Op::Cast, &[2], 4),
            step(Op::Cast, &[3], 5),
        ],
    };
    let mut engine = Interpreter::new(plan, &Default::default()).unwrap();
    let mut prepared = engine.prepare(&[Some(Slice::F32(&[1.0])), None], None).unwrap();
    for rows in [1, 3, 70] {
        let items = vec![0.0; rows];
        let mut outputs = Vec::new();
        engine.run_into(Some(&mut prepared), &[Slice::F32(&items)], rows, &mut outputs).unwrap();
        let places: Vec<f32> = (0..rows).map(|row| row as f32).collect();
        assert_eq!(outputs[0].slice().f32(), [rows as f32]);
        assert_eq!(outputs[1].slice().f32(), places);
    }
}

/// What a request adds to a layer over candidates, and the scale of weights that follow from it, take no pass of their own.
#[test]
fn shared_rows_are_added_where_layers_begin() {
    let engine = engine("din_gate.onnx");
    let steps = &engine.plan().steps;
    let begins =
        |step: &Step| matches!(&step.op, Op::Dense { weights: Some(_), start: true, .. }) && step.inputs.len() == 3;
    assert!(steps.iter().any(begins), "no layer starts at rows and a shared row");
    assert!(steps.iter().any(|step| matches!(step.op, Op::Pack { .. }) && step.inputs.len() == 3));
}
