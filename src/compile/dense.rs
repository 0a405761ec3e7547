//! Gemm, MatMul and linear models: a dense layer wherever the weights are constants.

use super::graph::Dim;
use super::lower::{Call, Lowered, Lowering, Val, floats, layout};
use crate::engine::plan::{Binary, Op, Unary};
use crate::engine::tensor::Tensor;

const TWO_COMPUTED: &str =
    "both factors are computed: make one of them a constant (an attention over candidates has no plan step yet)";

/// `alpha A' B' + beta C`.
pub(super) fn gemm(lowering: &mut Lowering, call: &Call) -> Lowered {
    let spec = call.spec;
    if spec.int("transA", 0) != 0 {
        return Err("transA moves the candidates' axis: transpose the weights instead".into());
    }
    let (x, _) = lowering.float_operand(call.need(0)?)?;
    let b = match call.need(1)? {
        Val::Constant(tensor) => tensor.clone(),
        _ => return Err(TWO_COMPUTED.into()),
    };
    let [rows, columns] = b.shape() else { return Err("its weights are not a matrix".into()) };
    let mut weights = floats(&b)?;
    let (mut inputs, mut outputs) = (*rows, *columns);
    if spec.int("transB", 0) != 0 {
        weights = transpose(&weights, inputs, outputs);
        (inputs, outputs) = (outputs, inputs);
    }
    let (alpha, beta) = (spec.float("alpha", 1.0), spec.float("beta", 1.0));
    if alpha != 1.0 {
        weights.iter_mut().for_each(|w| *w *= alpha);
    }
    let shape = call.output(0)?.shape.clone();
    let mut bias = None;
    let mut added = None;
    match call.optional(2) {
        Some(Val::Constant(tensor)) => {
            let row = floats(tensor)?;
            let fits = matches!(tensor.shape(), [] | [_] | [1, _]);
            if !fits || !(row.len() == 1 || row.len() == outputs) {
                return Err(format!("its bias has the shape {:?}: make it [{outputs}]", tensor.shape()));
            }
            bias = Some((0..outputs).map(|i| row[i % row.len()] * beta).collect());
        }
        Some(val) => added = Some(lowering.float_operand(val)?),
        None => {}
    }
    let mut value = layer(lowering, x, weights, inputs, outputs, bias)?;
    if let Some((mut c, _)) = added {
        if beta != 1.0 {
            let factor = lowering.constant_row(vec![beta]);
            let width = lowering.plan.values[c as usize].width as usize;
            c = lowering.float_step(Op::Binary { f: Binary::Mul }, &[c, factor], width);
        }
        value = lowering.float_step(Op::Binary { f: Binary::Add }, &[value, c], outputs);
    }
    Ok(vec![Val::Run { value, shape }])
}

/// `x W` with constant weights `[in, out]`; each of several groups in a row by the same weights.
pub(super) fn matmul(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (Val::Run { shape: x_shape, .. }, Val::Constant(weights)) = (call.need(0)?, call.need(1)?) else {
        return Err(match call.need(0)? {
            Val::Constant(_) => "its first factor is a constant, which mixes candidates: transpose the product".into(),
            _ => TWO_COMPUTED.into(),
        });
    };
    let (inputs, outputs) = match weights.shape() {
        [inputs] => (*inputs, 1),
        [inputs, outputs] => (*inputs, *outputs),
        other => return Err(format!("its weights have the shape {other:?}: make them a matrix")),
    };
    if matches!(x_shape.as_slice(), [Dim::Rows]) {
        return Err("it sums over the candidates' axis: rows are scored one by one".into());
    }
    let (_, inner) = layout(x_shape)?;
    let groups = inner.iter().product::<usize>() / inputs.max(1);
    let (x, _) = lowering.float_operand(call.need(0)?)?;
    let shape = call.output(0)?.shape.clone();
    call.layout(0)?;
    let row = floats(weights)?;
    if groups == 1 {
        let value = layer(lowering, x, row, inputs, outputs, None)?;
        return Ok(vec![Val::Run { value, shape }]);
    }
    if groups > 256 {
        return Err(format!("the same weights over {groups} positions of a row: at most 256"));
    }
    let weights = lowering.tensor("weights", Tensor::f32(&[inputs, outputs], row));
    let layers: Vec<u32> = (0..groups)
        .map(|group| {
            let part = lowering.select(x, (0..inputs).map(|i| (group * inputs + i) as u32).collect());
            lowering.float_step(
                Op::Dense { weights: weights.clone(), bias: None, activation: Unary::Identity },
                &[part],
                outputs,
            )
        })
        .collect();
    let value = lowering.float_step(Op::Concat, &layers, groups * outputs);
    Ok(vec![Val::Run { value, shape }])
}

/// ai.onnx.ml's linear model: coefficients `[targets, features]`.
pub(super) fn linear_regressor(lowering: &mut Lowering, call: &Call) -> Lowered {
    let spec = call.spec;
    if !matches!(spec.string("post_transform").as_deref(), None | Some("NONE")) {
        return Err("a post_transform: apply it as an operator of its own".into());
    }
    let targets = spec.int("targets", 1).max(1) as usize;
    let shape = call.output(0)?.shape.clone();
    let value = linear(lowering, call, spec.floats("coefficients"), spec.floats("intercepts"), targets)?;
    Ok(vec![Val::Run { value, shape }])
}

/// A dense layer from ai.onnx.ml's coefficients and intercepts.
pub(super) fn linear(
    lowering: &mut Lowering,
    call: &Call,
    coefficients: &[f32],
    intercepts: &[f32],
    targets: usize,
) -> Result<u32, String> {
    let (x, _) = lowering.float_operand(call.need(0)?)?;
    let inputs = lowering.plan.values[x as usize].width as usize;
    if coefficients.len() != inputs * targets || !(intercepts.is_empty() || intercepts.len() == targets) {
        return Err(format!("{} coefficients for {inputs} columns and {targets} targets", coefficients.len()));
    }
    let bias = (!intercepts.is_empty()).then(|| intercepts.to_vec());
    layer(lowering, x, transpose(coefficients, targets, inputs), inputs, targets, bias)
}

fn layer(
    lowering: &mut Lowering,
    x: u32,
    weights: Vec<f32>,
    inputs: usize,
    outputs: usize,
    bias: Option<Vec<f32>>,
) -> Result<u32, String> {
    let width = lowering.plan.values[x as usize].width as usize;
    if width != inputs {
        return Err(format!("its weights take {inputs} columns, its input has {width}"));
    }
    let weights = lowering.tensor("weights", Tensor::f32(&[inputs, outputs], weights));
    let bias = bias.map(|bias| lowering.tensor("bias", Tensor::f32(&[outputs], bias)));
    Ok(lowering.float_step(Op::Dense { weights, bias, activation: Unary::Identity }, &[x], outputs))
}

/// `[rows, columns]` -> `[columns, rows]`.
pub(super) fn transpose(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| data[r * columns + c])).collect()
}
