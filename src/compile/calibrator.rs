//! Recognises the forms of calibrators that `calibration` computes itself, in f64, by following
//! the lowered plan of a graph `[N, 1] -> [N, 1]` as algebra. What is not one of them stays a plan.

use super::{Lowered, lower};
use crate::engine::plan::{Binary, Op, Plan, Unary};
use crate::engine::tensor::{Data, Tensor};
use crate::error::Result;
use std::collections::{BTreeMap, HashMap};

/// A calibrator's form.
#[derive(Debug, Clone, PartialEq)]
pub enum CalibratorForm {
    /// Linear between knots, constant outside.
    Isotonic {
        /// Ascending.
        x: Vec<f64>,
        /// At the same places.
        y: Vec<f64>,
    },
    /// sigmoid(a s + b).
    Platt {
        /// Slope.
        a: f64,
        /// Intercept.
        b: f64,
    },
    /// sigmoid(logit(p) / t).
    Temperature {
        /// Above 0.
        t: f64,
    },
    /// sigmoid(a ln p - b ln(1 - p) + c).
    Beta {
        /// Weight of ln p.
        a: f64,
        /// Weight of -ln(1 - p).
        b: f64,
        /// Intercept.
        c: f64,
    },
    /// Any other graph.
    Plan,
}

/// The form of a calibrator's ONNX graph.
///
/// # Errors
/// `model_unsupported` if the graph cannot be lowered at all.
pub fn recognise_calibrator(onnx: &[u8]) -> Result<CalibratorForm> {
    let lowered = lower(onnx, "", &BTreeMap::new())?;
    Ok(recognise(&lowered).unwrap_or(CalibratorForm::Plan))
}

/// c0 + c1 x + c2 ln x + c3 ln(1 - x).
type Sum = [f64; 4];

/// What is known of a value of width 1 or K.
#[derive(Debug, Clone, PartialEq)]
enum Form {
    Constant(Vec<f64>),
    Sum(Sum),
    /// x / (1 - x).
    Odds,
    /// exp of a sum, and one plus it.
    Exp(Sum),
    OnePlusExp(Sum),
    Sigmoid(Sum),
    /// x - lower, max(x - lower, 0), min(max(x - lower, 0), width).
    Above(Vec<f64>),
    Clipped(Vec<f64>),
    Segments(Vec<f64>, Vec<f64>),
    Piecewise {
        lower: Vec<f64>,
        width: Vec<f64>,
        slope: Vec<f64>,
        y0: f64,
    },
}

fn recognise(lowered: &Lowered) -> Option<CalibratorForm> {
    let plan: &Plan = &lowered.plan;
    let ([input], [output]) = (plan.inputs.as_slice(), plan.outputs.as_slice()) else { return None };
    let mut forms: HashMap<u32, Form> = HashMap::from([(input.value, Form::Sum([0.0, 1.0, 0.0, 0.0]))]);
    for step in &plan.steps {
        let of = |i: usize| step.inputs.get(i).and_then(|value| forms.get(value)).cloned();
        let wide = |name: &String| lowered.tensors.get(name).and_then(elements);
        let form = match &step.op {
            Op::Constant { tensor } => Form::Constant(wide(tensor)?),
            Op::Unary(f) => unary(*f, of(0)?)?,
            Op::Binary { f, each: [1, 1] } => binary(*f, of(0)?, of(1)?)?,
            Op::Dense { weights: Some(weights), bias, activation, start: false, .. } => {
                let bias = match bias {
                    Some(name) => wide(name)?,
                    None => vec![0.0],
                };
                unary(*activation, dense(of(0)?, wide(weights)?, &bias)?)?
            }
            _ => return None,
        };
        forms.insert(step.output, form);
    }
    match forms.remove(&output.value)? {
        Form::Sigmoid([b, a, 0.0, 0.0]) => Some(CalibratorForm::Platt { a, b }),
        Form::Sigmoid([c, 0.0, a, b]) if a == -b && c == 0.0 && a > 0.0 => {
            Some(CalibratorForm::Temperature { t: 1.0 / a })
        }
        Form::Sigmoid([c, 0.0, a, b]) => Some(CalibratorForm::Beta { a, b: -b, c }),
        Form::Piecewise { lower, width, slope, y0 } => knots(&lower, &width, &slope, y0),
        _ => None,
    }
}

fn elements(tensor: &Tensor) -> Option<Vec<f64>> {
    match &tensor.data {
        Data::F32(v) => Some(v.iter().map(|&f| f64::from(f)).collect()),
        _ => None,
    }
}

fn scale(sum: Sum, by: f64) -> Sum {
    sum.map(|c| c * by)
}

fn add(a: Sum, b: Sum) -> Sum {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
}

const X: Sum = [0.0, 1.0, 0.0, 0.0];
const ONE_MINUS_X: Sum = [1.0, -1.0, 0.0, 0.0];

fn unary(f: Unary, x: Form) -> Option<Form> {
    Some(match (f, x) {
        (Unary::Identity, x) => x,
        (Unary::Neg, Form::Sum(s)) => Form::Sum(scale(s, -1.0)),
        (Unary::Sigmoid, Form::Sum(s)) => Form::Sigmoid(s),
        (Unary::Log, Form::Sum(X)) => Form::Sum([0.0, 0.0, 1.0, 0.0]),
        (Unary::Log, Form::Sum(ONE_MINUS_X)) => Form::Sum([0.0, 0.0, 0.0, 1.0]),
        (Unary::Log, Form::Odds) => Form::Sum([0.0, 0.0, 1.0, -1.0]),
        (Unary::Exp, Form::Sum(s)) => Form::Exp(s),
        (Unary::Reciprocal, Form::OnePlusExp(s)) => Form::Sigmoid(scale(s, -1.0)),
        (Unary::Relu, Form::Above(lower)) => Form::Clipped(lower),
        (Unary::Clip { low: 0.0, high }, Form::Above(lower)) if high >= f32::MAX => Form::Clipped(lower),
        _ => return None,
    })
}

fn binary(f: Binary, a: Form, b: Form) -> Option<Form> {
    use Form::{Above, Clipped, Constant, Exp, Odds, OnePlusExp, Segments, Sigmoid, Sum};
    let one = |list: &[f64]| if let [c] = list { Some(*c) } else { None };
    Some(match (f, a, b) {
        (Binary::Sub, Sum(X), Constant(lower)) if lower.len() > 1 => Above(lower),
        (Binary::Max, Above(lower), Constant(zero)) | (Binary::Max, Constant(zero), Above(lower))
            if zero.iter().all(|&z| z == 0.0) =>
        {
            Clipped(lower)
        }
        (Binary::Min, Clipped(lower), Constant(width)) | (Binary::Min, Constant(width), Clipped(lower)) => {
            Segments(lower, width)
        }
        (Binary::Add, Form::Piecewise { lower, width, slope, y0 }, Constant(c))
        | (Binary::Add, Constant(c), Form::Piecewise { lower, width, slope, y0 }) => {
            Form::Piecewise { lower, width, slope, y0: y0 + one(&c)? }
        }
        (Binary::Add, Sum(s), Constant(c)) | (Binary::Add, Constant(c), Sum(s)) => {
            Sum(add(s, [one(&c)?, 0.0, 0.0, 0.0]))
        }
        (Binary::Sub, Sum(s), Constant(c)) => Sum(add(s, [-one(&c)?, 0.0, 0.0, 0.0])),
        (Binary::Sub, Constant(c), Sum(s)) => Sum(add(scale(s, -1.0), [one(&c)?, 0.0, 0.0, 0.0])),
        (Binary::Mul, Sum(s), Constant(c)) | (Binary::Mul, Constant(c), Sum(s)) => Sum(scale(s, one(&c)?)),
        (Binary::Div, Sum(s), Constant(c)) => Sum(scale(s, 1.0 / one(&c)?)),
        (Binary::Div, Sum(X), Sum(ONE_MINUS_X)) => Odds,
        (Binary::Add, Sum(s), Sum(t)) => Sum(add(s, t)),
        (Binary::Sub, Sum(s), Sum(t)) => Sum(add(s, scale(t, -1.0))),
        (Binary::Add, Exp(s), Constant(c)) | (Binary::Add, Constant(c), Exp(s)) if c == [1.0] => OnePlusExp(s),
        (Binary::Div, Constant(c), OnePlusExp(s)) if c == [1.0] => Sigmoid(scale(s, -1.0)),
        _ => return None,
    })
}

fn dense(x: Form, weights: Vec<f64>, bias: &[f64]) -> Option<Form> {
    let ([y0], _) = (bias, ()) else { return None };
    match (x, weights.as_slice()) {
        (Form::Sum(s), [w]) => Some(Form::Sum(add(scale(s, *w), [*y0, 0.0, 0.0, 0.0]))),
        (Form::Segments(lower, width), _) => Some(Form::Piecewise { lower, width, slope: weights, y0: *y0 }),
        _ => None,
    }
}

/// Knots of y0 + sum of slope_k min(max(x - lower_k, 0), width_k), whose segments follow one another.
fn knots(lower: &[f64], width: &[f64], slope: &[f64], y0: f64) -> Option<CalibratorForm> {
    let n = lower.len();
    let width: Vec<f64> = if width.len() == 1 { vec![width[0]; n] } else { width.to_vec() };
    if n == 0 || width.len() != n || slope.len() != n {
        return None;
    }
    let (mut x, mut y) = (vec![], vec![]);
    let mut level = y0;
    for k in 0..n {
        if !(lower[k].is_finite() && width[k].is_finite() && slope[k].is_finite()) || width[k] < 0.0 {
            return None;
        }
        // Bounds were rounded to f32, so that one segment's end and the next one's start may differ by that.
        let near = |end: f64| (end - lower[k]).abs() <= 1e-6 * if end.abs() > 1.0 { end.abs() } else { 1.0 };
        match x.last().copied() {
            Some(end) if near(end) => {}
            Some(end) if end > lower[k] => return None,
            _ => {
                x.push(lower[k]);
                y.push(level);
            }
        }
        if width[k] > 0.0 {
            level += slope[k] * width[k];
            let end = lower[k] + width[k];
            if x.last().is_some_and(|&last| end > last) {
                x.push(end);
                y.push(level);
            }
        }
    }
    Some(CalibratorForm::Isotonic { x, y })
}
