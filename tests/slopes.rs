//! A LeakyRelu of any slope behind a dense layer, whether or not the kernel applies it where it stores.
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use ranklet::engine::plan::Unary;
use ranklet::engine::{DType, Data, Interpreter, Op, Plan, Port, Rows, Slice, Step, Tensor, Tensors, Value};

const INPUTS: u32 = 6;
const ROWS: usize = 11;

/// A layer over candidates, by weights of 32 bits or of 8.
fn engine(outputs: u32, small: bool, activation: Unary) -> Interpreter {
    let count = (INPUTS * outputs) as usize;
    let dims = [INPUTS as usize, outputs as usize];
    let integer = |i: usize| (i * 83 % 255) as i8;
    let mut tensors = Tensors::from([(
        "b".to_owned(),
        Tensor::f32(&dims[1..], (0..outputs).map(|i| i as f32 / 8.0 - 1.0).collect()),
    )]);
    if small {
        tensors.insert("w".into(), Tensor { dims: dims.to_vec(), data: Data::I8((0..count).map(integer).collect()) });
        tensors.insert("s".into(), Tensor::f32(&dims[1..], (0..outputs).map(|i| (i + 1) as f32 / 64.0).collect()));
    } else {
        tensors.insert("w".into(), Tensor::f32(&dims, (0..count).map(|i| f32::from(integer(i)) / 64.0).collect()));
    }
    let value = |width| Value { dtype: DType::F32, rows: Rows::Candidate, width };
    let port = |name: &str, value, width| Port { name: name.into(), value, dims: vec![-1, i64::from(width)] };
    let op = Op::Dense {
        weights: Some("w".into()),
        scales: small.then(|| "s".into()),
        bias: Some("b".into()),
        start: false,
        inputs: INPUTS,
        outputs,
        activation,
    };
    let plan = Plan {
        values: vec![value(INPUTS), value(outputs)],
        inputs: vec![port("x", 0, INPUTS)],
        steps: vec![Step { op, node: "n".into(), inputs: vec![0], output: 1 }],
        outputs: vec![port("y", 1, outputs)],
    };
    Interpreter::new(plan, &tensors).unwrap()
}

#[test]
fn any_slope_is_that_of_the_definition() {
    let mut x: Vec<f32> = (0..ROWS * INPUTS as usize).map(|i| (i * 37 % 101) as f32 / 25.0 - 2.0).collect();
    for (row, special) in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 3e38, -1e-41, 0.0].into_iter().enumerate() {
        x[row * INPUTS as usize..][..INPUTS as usize].fill(special);
    }
    let bits = |x: f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
    let scores = |outputs, small, activation| -> Vec<f32> {
        let y = engine(outputs, small, activation).run_all(&[Slice::F32(&x)], ROWS).unwrap();
        y[0].slice().f32().to_vec()
    };
    for (outputs, small) in [(1, false), (7, false), (24, false), (7, true)] {
        let sums = scores(outputs, small, Unary::Identity);
        assert!(sums.iter().any(|x| *x < 0.0) && sums.iter().any(|x| *x > 0.0));
        for alpha in [0.01, 1.0, 1.5, 0.0, -0.0, -0.5, 1e-42, f32::MAX] {
            let expected: Vec<u32> = sums.iter().map(|&x| bits(if x < 0.0 { alpha * x } else { x })).collect();
            let seen: Vec<u32> = scores(outputs, small, Unary::LeakyRelu { alpha }).into_iter().map(bits).collect();
            assert_eq!(seen, expected, "{outputs} outputs, 8 bits: {small}, slope {alpha}");
        }
    }
}
