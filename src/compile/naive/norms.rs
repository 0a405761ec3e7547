//! Normalisations: BatchNormalization, LayerNormalization, RMSNormalization, LpNormalization, Softmax and
//! LogSoftmax.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::elementwise::rounded;
use super::order::lines;
use super::shape::{axis, broadcast_positions, each};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "BatchNormalization" => batch,
        "LayerNormalization" => layer,
        "RMSNormalization" => rms,
        "LpNormalization" => lp,
        "Softmax" | "LogSoftmax" => softmax,
        _ => return None,
    })
}

fn doubles(x: &Constant) -> Result<Vec<f64>, String> {
    Ok(x.floats()?.iter().map(|&v| f64::from(v)).collect())
}

/// With running statistics, as at inference; channels lie on axis 1.
fn batch(spec: &Spec, args: &Args) -> Outputs {
    if spec.int("training_mode", 0) == 1 || (spec.opset < 7 && spec.int("is_test", 0) == 0) {
        return Err("it is in training mode: export the model in evaluation mode".into());
    }
    let x = args.get(0)?;
    let channels = if x.rank() < 2 { 1 } else { x.dims[1] };
    let parameter = |i: usize| -> Result<Vec<f64>, String> {
        let list = doubles(args.get(i)?)?;
        if list.len() == channels {
            Ok(list)
        } else {
            Err(format!("{} parameters for {channels} channels", list.len()))
        }
    };
    let (scale, bias, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
    let epsilon = f64::from(spec.float("epsilon", 1e-5));
    let v = doubles(x)?;
    let mut y = vec![];
    each(&x.dims, |at| {
        let c = at.get(1).copied().unwrap_or(0);
        y.push((v[y.len()] - mean[c]) / (variance[c] + epsilon).sqrt() * scale[c] + bias[c]);
        Ok(())
    })?;
    Ok(vec![rounded(x.elem, &x.dims, y)?])
}

/// Rows of the elements from `axis` on, each with its place among the parameters.
struct Rows {
    values: Vec<f64>,
    width: usize,
    /// Shape of the statistics: normalised axes have size 1.
    outer: Vec<usize>,
    inner: Vec<usize>,
}

fn rows(spec: &Spec, x: &Constant) -> Result<Rows, String> {
    let along = axis(spec.int("axis", -1), x.rank())?;
    let inner = x.dims[along..].to_vec();
    let outer = (0..x.rank()).map(|i| if i < along { x.dims[i] } else { 1 }).collect();
    Ok(Rows { values: doubles(x)?, width: inner.iter().product(), outer, inner })
}

/// A parameter as one value for each element of a row.
fn spread(parameter: Option<&Constant>, inner: &[usize], default: f64) -> Result<Vec<f64>, String> {
    let n = inner.iter().product();
    let Some(parameter) = parameter else { return Ok(vec![default; n]) };
    let v = doubles(parameter)?;
    Ok(broadcast_positions(&parameter.dims, inner)?.into_iter().map(|i| v[i]).collect())
}

fn layer(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let Rows { values, width, outer, inner } = rows(spec, x)?;
    let (scale, bias) = (spread(args.optional(1), &inner, 1.0)?, spread(args.optional(2), &inner, 0.0)?);
    let epsilon = f64::from(spec.float("epsilon", 1e-5));
    let (mut y, mut means, mut inverses) = (vec![], vec![], vec![]);
    for row in values.chunks(width.max(1)) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / width as f64;
        let inverse = 1.0 / (variance + epsilon).sqrt();
        y.extend((0..width).map(|i| (row[i] - mean) * inverse * scale[i] + bias[i]));
        means.push(mean);
        inverses.push(inverse);
    }
    Ok(vec![rounded(x.elem, &x.dims, y)?, rounded(Elem::F32, &outer, means)?, rounded(Elem::F32, &outer, inverses)?])
}

fn rms(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let Rows { values, width, inner, .. } = rows(spec, x)?;
    let scale = spread(args.optional(1), &inner, 1.0)?;
    let epsilon = f64::from(spec.float("epsilon", 1e-5));
    let mut y = vec![];
    for row in values.chunks(width.max(1)) {
        let square = row.iter().map(|v| v * v).sum::<f64>() / width as f64;
        let inverse = 1.0 / (square + epsilon).sqrt();
        y.extend((0..width).map(|i| row[i] * inverse * scale[i]));
    }
    Ok(vec![rounded(x.elem, &x.dims, y)?])
}

/// A line of norm zero becomes zero. Squares are of f32 as in ONNX Runtime: what underflows there is a norm of zero.
fn lp(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let along = axis(spec.int("axis", -1), x.rank())?;
    let p = spec.int("p", 2);
    let v = doubles(x)?;
    let mut y = vec![0.0; v.len()];
    for line in lines(&x.dims, along)? {
        let norm = match p {
            1 => line.iter().map(|&i| v[i].abs()).sum(),
            2 => line.iter().map(|&i| f64::from((v[i] * v[i]) as f32)).sum::<f64>().sqrt(),
            other => return Err(format!("the norm of order {other}")),
        };
        for i in line {
            y[i] = if norm == 0.0 { 0.0 } else { v[i] / norm };
        }
    }
    Ok(vec![rounded(x.elem, &x.dims, y)?])
}

/// The shape and the axis over which a softmax goes: before opset 13 the axes from `axis` on are one.
pub(super) fn softmax_axis(spec: &Spec, x: &Constant) -> Result<(Vec<usize>, usize), String> {
    if spec.opset >= 13 {
        return Ok((x.dims.clone(), axis(spec.int("axis", -1), x.rank())?));
    }
    let along = axis(spec.int("axis", 1), x.rank() + 1)?;
    let along = if spec.int("axis", 1) < 0 { along.saturating_sub(1) } else { along };
    Ok((vec![x.dims[..along].iter().product(), x.dims[along..].iter().product()], 1))
}

fn softmax(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let (dims, along) = softmax_axis(spec, x)?;
    let v = doubles(x)?;
    let mut y = vec![0.0; v.len()];
    for line in lines(&dims, along)? {
        let of_line: Vec<f64> = line.iter().map(|&i| v[i]).collect();
        let p = softmax_of(&of_line, spec.op == "LogSoftmax");
        line.iter().zip(p).for_each(|(&i, p)| y[i] = p);
    }
    Ok(vec![Constant::new(x.elem, &x.dims, Values::Float(y.iter().map(|&v| x.elem.round(v as f32)).collect()))?])
}

/// Softmax of a list, or its logarithm.
pub(super) fn softmax_of(v: &[f64], log: bool) -> Vec<f64> {
    let top = super::reduce::extreme(v, false);
    let total: f64 = v.iter().map(|v| libm::exp(v - top)).sum();
    v.iter().map(|v| if log { v - top - libm::log(total) } else { libm::exp(v - top) / total }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, node};
    use super::*;

    fn close(y: &Constant, expected: &[f32]) {
        let y = y.floats().unwrap();
        assert_eq!(y.len(), expected.len());
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-6), "{y:?} for {expected:?}");
    }

    #[test]
    fn norms_have_their_values() {
        let x = f32s(&[2, 2], &[1.0, 3.0, -1.0, 0.0]);
        let list = |v: &[f32]| f32s(&[v.len()], v);
        let y = node("BatchNormalization").float("epsilon", 0.0).run1(&[
            &x,
            &list(&[2.0, 1.0]),
            &list(&[0.5, 0.0]),
            &list(&[0.0, 1.0]),
            &list(&[4.0, 1.0]),
        ]);
        close(&y, &[1.5, 2.0, -0.5, -1.0]);
        let training = node("BatchNormalization").int("training_mode", 1);
        let one = list(&[1.0, 1.0]);
        assert!(training.run(&[Some(&x), Some(&one), Some(&one), Some(&one), Some(&one)]).is_err());
        let layered = node("LayerNormalization").float("epsilon", 0.0);
        let outputs = layered.run(&[Some(&x), Some(&list(&[1.0, 2.0])), Some(&list(&[0.0, 1.0]))]).unwrap();
        close(&outputs[0], &[-1.0, 3.0, -1.0, 3.0]);
        close(&outputs[1], &[2.0, -0.5]);
        close(&outputs[2], &[1.0, 2.0]);
        assert_eq!(outputs[1].dims, [2, 1]);
        close(
            &node("RMSNormalization").float("epsilon", 0.0).run1(&[&f32s(&[1, 2], &[3.0, 4.0]), &list(&[1.0, 1.0])]),
            &[0.848_528_1, 1.131_370_8],
        );
        close(&node("LpNormalization").run1(&[&f32s(&[2, 2], &[3.0, 4.0, 0.0, 0.0])]), &[0.6, 0.8, 0.0, 0.0]);
        close(&node("LpNormalization").int("p", 1).int("axis", 0).run1(&[&x]), &[0.5, 1.0, -0.5, 0.0]);
    }

    #[test]
    fn softmax_goes_over_one_axis_or_all_behind_it() {
        let x = f32s(&[1, 2, 2], &[0.0, 0.0, 0.0, 1000.0]);
        close(&node("Softmax").run1(&[&x]), &[0.5, 0.5, 0.0, 1.0]);
        close(&node("Softmax").int("axis", 1).run1(&[&x]), &[0.5, 0.0, 0.5, 1.0]);
        close(&node("Softmax").opset(11).run1(&[&x]), &[0.0, 0.0, 0.0, 1.0]);
        close(&node("LogSoftmax").run1(&[&f32s(&[2], &[0.0, 1000.0])]), &[-1000.0, 0.0]);
    }
}
