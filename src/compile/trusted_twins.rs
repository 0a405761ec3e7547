//! tract's trusted operators beside their naive twins.

use super::constant::Constant;
use super::naive;
use super::naive::testing::{NodeBuilder, f32s, i64s, node};
use super::trusted::{self, TRUSTED};

/// Numbers between -4 and 4 from a seed (Knuth's multiplier), without a dependency.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 24) as f32) * 8.0 - 4.0
    };
    (0..n).map(|_| next()).collect()
}

fn random(dims: &[usize], seed: u64) -> Constant {
    Constant::f32(dims, numbers(dims.iter().product(), seed))
}

fn positive(dims: &[usize], seed: u64) -> Constant {
    Constant::f32(dims, numbers(dims.iter().product(), seed).iter().map(|v| v.abs() + 0.1).collect())
}

/// What kernels get wrong first.
fn extremes() -> Constant {
    let list = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        -2.5,
        20.0,
        -20.0,
        88.0,
        -88.0,
        104.0,
        -104.0,
        1e-30,
        -1e-30,
        1e-40,
        1e30,
        -1e30,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    Constant::f32(&[2, 12], list.to_vec())
}

/// An element of an answer, or what is wrong with it.
fn differ(ours: &Constant, theirs: &Constant) -> Option<String> {
    if (ours.elem, &ours.dims) != (theirs.elem, &theirs.dims) {
        return Some(format!("{:?} {:?} for {:?} {:?}", theirs.elem, theirs.dims, ours.elem, ours.dims));
    }
    let (Ok(a), Ok(b)) = (ours.floats(), theirs.floats()) else {
        return (ours != theirs).then(|| format!("{theirs:?} for {ours:?}"));
    };
    let bound = |v: f32| 2e-6 * if v.abs() > 1.0 { v.abs() } else { 1.0 };
    let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= bound(a);
    let i = (0..a.len()).find(|&i| !same(a[i], b[i]))?;
    Some(format!("element {i} is {} for {}", b[i], a[i]))
}

/// Compares one call; true if tract answered.
fn check(node: &NodeBuilder, inputs: &[&Constant], found: &mut Vec<String>) -> bool {
    let inputs: Vec<Option<&Constant>> = inputs.iter().copied().map(Some).collect();
    let outputs = if node.proto.op_type == "Split" { 2 } else { 1 };
    let spec = node.spec(&inputs, outputs);
    let Some(theirs) = trusted::evaluate(&spec, &inputs) else { return false };
    let ours = naive::evaluate(&spec, &inputs).unwrap_or_else(|e| panic!("{node:?}: {e}"));
    for (ours, theirs) in ours.iter().zip(&theirs).take(outputs) {
        if let Some(what) = differ(ours, theirs) {
            found.push(format!("{} (opset {}): {what}", node.proto.op_type, node.opset));
        }
    }
    true
}

/// Calls of an operator beyond the plain ones.
fn calls(op: &str) -> Vec<(NodeBuilder, Vec<Constant>)> {
    let x = || random(&[2, 3, 4], 1);
    let list = |v: &[i64]| i64s(&[v.len()], v);
    let n = || node(op).opset(17);
    let one = |node: NodeBuilder, inputs: Vec<Constant>| (node, inputs);
    match op {
        "Add" | "Sub" | "Mul" | "Div" | "Sum" | "Mean" | "Equal" | "Less" | "LessOrEqual" | "Greater"
        | "GreaterOrEqual" => {
            let reversed = || {
                let all = extremes();
                Constant::f32(&all.dims, all.floats().unwrap().iter().rev().copied().collect())
            };
            vec![
                one(n(), vec![x(), random(&[3, 1], 2)]),
                one(n(), vec![extremes(), reversed()]),
                one(n(), vec![extremes(), f32s(&[], &[0.5])]),
            ]
        }
        "Pow" => vec![one(n(), vec![positive(&[2, 3], 1), random(&[3], 2)]), one(n(), vec![x(), f32s(&[], &[2.0])])],
        "PRelu" => vec![one(n(), vec![x(), random(&[4], 2)]), one(n(), vec![extremes(), f32s(&[1], &[0.25])])],
        "MatMul" => vec![
            one(n(), vec![random(&[5, 7], 1), random(&[7, 3], 2)]),
            one(n(), vec![random(&[2, 1, 5, 7], 1), random(&[3, 7, 2], 2)]),
            one(n(), vec![random(&[7], 1), random(&[7, 3], 2)]),
        ],
        "Gemm" => vec![
            one(n(), vec![random(&[5, 7], 1), random(&[7, 3], 2), random(&[3], 3)]),
            one(
                n().int("transA", 1).int("transB", 1).float("alpha", 0.5).float("beta", 2.0),
                vec![random(&[7, 5], 1), random(&[3, 7], 2), random(&[5, 1], 3)],
            ),
        ],
        "BatchNormalization" => {
            let p = |seed| positive(&[3], seed);
            vec![one(n(), vec![x(), p(2), p(3), p(4), p(5)])]
        }
        "LayerNormalization" => {
            let axis = |a: i64, dims: &[usize]| one(n().int("axis", a), vec![x(), random(dims, 2), random(dims, 3)]);
            vec![axis(-1, &[4]), axis(1, &[3, 4])]
        }
        "Softmax" => [(11, 1), (13, 1), (13, -1)]
            .into_iter()
            .flat_map(|(opset, axis)| {
                let n = || node(op).opset(opset).int("axis", axis);
                let masked = f32s(&[2, 2], &[f32::NEG_INFINITY, 1.0, -1e30, 80.0]);
                [one(n(), vec![x()]), one(n(), vec![masked])]
            })
            .collect(),
        "Cast" => [1, 6, 7, 9]
            .into_iter()
            .flat_map(|to| [one(n().int("to", to), vec![x()]), one(n().int("to", to), vec![list(&[0, -3, 7])])])
            .collect(),
        "Concat" => vec![one(n().int("axis", -1), vec![x(), random(&[2, 3, 1], 2)])],
        "Expand" => vec![one(n(), vec![random(&[3, 1], 1), list(&[2, 1, 4])])],
        "Flatten" => vec![one(n(), vec![x()]), one(n().int("axis", -1), vec![x()]), one(n().int("axis", 0), vec![x()])],
        "Elu" | "LeakyRelu" => {
            vec![one(n(), vec![extremes()]), one(n().float("alpha", 0.5), vec![extremes()])]
        }
        "Range" => vec![
            one(n(), vec![i64s(&[], &[1]), i64s(&[], &[8]), i64s(&[], &[3])]),
            one(n(), vec![f32s(&[], &[0.0]), f32s(&[], &[1.0]), f32s(&[], &[0.3])]),
        ],
        "Reshape" => vec![one(n(), vec![x(), list(&[0, -1])]), one(n(), vec![x(), list(&[4, 3, 2])])],
        "Slice" => vec![
            one(n(), vec![x(), list(&[1]), list(&[i64::MAX]), list(&[2]), list(&[2])]),
            one(n(), vec![x(), list(&[-1]), list(&[i64::MIN]), list(&[1]), list(&[-1])]),
        ],
        "Split" => vec![one(n().int("axis", 2), vec![x(), list(&[1, 3])]), one(n().int("axis", -1), vec![x()])],
        "Squeeze" => vec![one(n(), vec![random(&[1, 3, 1], 1), list(&[-1])]), one(n(), vec![random(&[1, 3, 1], 1)])],
        "Unsqueeze" => vec![one(n(), vec![x(), list(&[0, -1])])],
        "Tile" => vec![one(n(), vec![random(&[2, 3], 1), list(&[2, 1])])],
        "Transpose" => vec![one(n(), vec![x()]), one(n().ints("perm", &[1, 2, 0]), vec![x()])],
        _ => vec![one(n(), vec![x()]), one(n(), vec![extremes()])],
    }
}

#[test]
fn trusted_operators_agree_with_their_naive_twins() {
    let mut found = vec![];
    for op in TRUSTED {
        let calls = calls(op);
        let answered =
            calls.iter().filter(|(node, inputs)| check(node, &inputs.iter().collect::<Vec<_>>(), &mut found));
        if answered.count() == 0 {
            found.push(format!("{op}: tract never answers"));
        }
    }
    assert!(found.is_empty(), "take these off the list, or mend the naive twin:\n{}", found.join("\n"));
}

#[test]
fn a_difference_is_seen() {
    let (a, b) = (f32s(&[2], &[1.0, f32::NAN]), f32s(&[2], &[1.0, 1.0]));
    assert!(differ(&a, &b).is_some());
    assert!(differ(&a, &a).is_none());
    assert!(differ(&i64s(&[1], &[1]), &i64s(&[1], &[2])).is_some());
}
