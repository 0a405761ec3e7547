//! Elementwise operators with ONNX's broadcasting, and casts.

use super::fold::origins;
use super::graph::Dim;
use super::lower::{Call, Lowered, Lowering, Val, floats};
use crate::engine::plan::{Binary, DType, Op, Rows, Unary};

/// The plan's function for a unary operator, or what is wrong with its attributes.
pub(super) fn unary_of(call: &Call) -> Option<Result<Unary, String>> {
    let spec = call.spec;
    Some(Ok(match spec.op.as_str() {
        "Relu" => Unary::Relu,
        "LeakyRelu" => Unary::LeakyRelu { alpha: spec.float("alpha", 0.01) },
        "Elu" => Unary::Elu { alpha: spec.float("alpha", 1.0) },
        "Celu" => match spec.float("alpha", 1.0) {
            1.0 => Unary::Elu { alpha: 1.0 },
            _ => return Some(Err("alpha other than 1: use Elu".into())),
        },
        "Selu" => Unary::Selu { alpha: spec.float("alpha", 1.673_263_2), gamma: spec.float("gamma", 1.050_701) },
        "Sigmoid" => Unary::Sigmoid,
        "HardSigmoid" => Unary::HardSigmoid { alpha: spec.float("alpha", 0.2), beta: spec.float("beta", 0.5) },
        "HardSwish" => Unary::HardSwish,
        "Swish" => match spec.float("alpha", 1.0) {
            1.0 => Unary::Silu,
            _ => return Some(Err("alpha other than 1: write x * sigmoid(alpha x)".into())),
        },
        "Gelu" => match spec.string("approximate").as_deref() {
            None | Some("none") => Unary::Gelu,
            Some("tanh") => Unary::GeluTanh,
            Some(other) => return Some(Err(format!("approximate `{other}`: use none or tanh"))),
        },
        "Softplus" => Unary::Softplus,
        "Softsign" => Unary::Softsign,
        "Tanh" => Unary::Tanh,
        "Erf" => Unary::Erf,
        "Exp" => Unary::Exp,
        "Log" => Unary::Log,
        "Sqrt" => Unary::Sqrt,
        "Reciprocal" => Unary::Reciprocal,
        "Neg" => Unary::Neg,
        "Abs" => Unary::Abs,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        "Sign" => Unary::Sign,
        _ => return None,
    }))
}

/// The plan's function for an operator of two (or more) inputs, and whether it is a comparison.
pub(super) fn binary_of(op: &str) -> Option<(Binary, bool)> {
    Some(match op {
        "Add" | "Sum" => (Binary::Add, false),
        "Sub" => (Binary::Sub, false),
        "Mul" => (Binary::Mul, false),
        "Div" => (Binary::Div, false),
        "Pow" => (Binary::Pow, false),
        "Min" => (Binary::Min, false),
        "Max" => (Binary::Max, false),
        "Less" => (Binary::Less, true),
        "LessOrEqual" => (Binary::LessOrEqual, true),
        "Greater" => (Binary::Greater, true),
        "GreaterOrEqual" => (Binary::GreaterOrEqual, true),
        "Equal" => (Binary::Equal, true),
        _ => return None,
    })
}

/// Lowers an elementwise operator; none if it is not one.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    if let Some(f) = unary_of(call) {
        return Some(f.and_then(|f| unary(lowering, call, f)));
    }
    match call.spec.op.as_str() {
        "Clip" => Some(clip(lowering, call)),
        "PRelu" => Some(prelu(lowering, call)),
        "Mean" => Some(mean(lowering, call)),
        op => binary_of(op).map(|(f, comparison)| variadic(lowering, call, f, comparison)),
    }
}

fn float_only(lowering: &mut Lowering, call: &Call) -> Result<(), String> {
    for val in call.given() {
        if let Val::Run { value, .. } = val
            && lowering.plan.values[*value as usize].dtype != DType::F32
        {
            return Err("arithmetic on integers or booleans: cast to float32 first".into());
        }
    }
    Ok(())
}

fn unary(lowering: &mut Lowering, call: &Call, f: Unary) -> Lowered {
    float_only(lowering, call)?;
    let (x, shape) = lowering.operand(call.need(0)?)?;
    let width = lowering.plan.values[x as usize].width as usize;
    let value = lowering.float_step(Op::Unary(f), &[x], width);
    Ok(vec![Val::Run { value, shape }])
}

/// Sum, Max and Min take any number of inputs, from left to right.
fn variadic(lowering: &mut Lowering, call: &Call, f: Binary, comparison: bool) -> Lowered {
    float_only(lowering, call)?;
    call.layout(0)?;
    let shape = call.output(0)?.shape.clone();
    let operands: Vec<Val> = call.given().cloned().collect();
    let (first, rest) = operands.split_first().ok_or("it has no input")?;
    if f == Binary::Pow
        && let [Val::Constant(exponent)] = rest
        && floats(exponent)?.iter().all(|&e| e == 2.0)
    {
        // ONNX Runtime squares by one multiplication.
        let x = broadcast(lowering, first, &shape)?;
        return Ok(vec![run(lowering, Binary::Mul, x, x, &shape)]);
    }
    let mut value = broadcast(lowering, first, &shape)?;
    for operand in rest {
        let other = broadcast(lowering, operand, &shape)?;
        let Val::Run { value: next, .. } = run(lowering, f, value, other, &shape) else { continue };
        value = next;
    }
    if comparison {
        value = lowering.cast(value, DType::Bool);
    }
    Ok(vec![Val::Run { value, shape }])
}

fn mean(lowering: &mut Lowering, call: &Call) -> Lowered {
    let count = call.given().count() as f32;
    let shape = call.output(0)?.shape.clone();
    let sums = variadic(lowering, call, Binary::Add, false)?;
    let [Val::Run { value, .. }] = sums[..] else { return Err("it has no input".into()) };
    let divisor = lowering.constant_row(vec![count]);
    Ok(vec![run(lowering, Binary::Div, value, divisor, &shape)])
}

/// A binary step on values that are already broadcast.
fn run(lowering: &mut Lowering, f: Binary, a: u32, b: u32, shape: &[Dim]) -> Val {
    let width = |v: u32| lowering.plan.values[v as usize].width as usize;
    let width = width(a).max(width(b));
    let value = lowering.float_step(Op::Binary { f }, &[a, b], width);
    Val::Run { value, shape: shape.to_vec() }
}

/// The operand with as many columns as `shape` has inside a row, or one.
fn broadcast(lowering: &mut Lowering, val: &Val, shape: &[Dim]) -> Result<u32, String> {
    let (value, own) = lowering.float_operand(val)?;
    let sizes = |shape: &[Dim]| -> Vec<usize> {
        shape.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 }).collect()
    };
    let (from, to) = (sizes(&own), sizes(shape));
    if own.first() == Some(&Dim::Rows) && own.len() != shape.len() {
        return Err(
            "its operands' ranks differ, so that the candidates' axis meets another: unsqueeze one of them".into()
        );
    }
    let fits = |axis: usize, size: usize| {
        size == 1 || (axis + to.len()).checked_sub(from.len()).is_some_and(|i| to[i] == size)
    };
    if !from.iter().enumerate().all(|(axis, &size)| fits(axis, size)) {
        return Err(format!("an operand of the shape {from:?} does not broadcast to {to:?}"));
    }
    let elements = |sizes: &[usize]| sizes.iter().product::<usize>();
    if elements(&from) == 1 || elements(&from) == elements(&to) {
        return Ok(value);
    }
    Ok(lowering.select(value, origins(&from, &to).into_iter().map(|i| i as u32).collect()))
}

fn clip(lowering: &mut Lowering, call: &Call) -> Lowered {
    float_only(lowering, call)?;
    let bound = |i: usize, name: &str, default: f32| -> Result<f32, String> {
        match call.optional(i) {
            Some(_) => Ok(floats(&*call.constant(i, "a bound")?)?.first().copied().unwrap_or(default)),
            None => Ok(call.spec.float(name, default)),
        }
    };
    let (low, high) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
    if low.is_finite() && high.is_finite() {
        return unary(lowering, call, Unary::Clip { low, high });
    }
    let (mut x, shape) = lowering.operand(call.need(0)?)?;
    for (bound, f) in [(low, Binary::Max), (high, Binary::Min)] {
        // An infinite bound on its own side changes nothing; JSON has no infinity.
        if bound.is_finite() || bound.is_nan() || (bound > 0.0) == (f == Binary::Max) {
            let row = lowering.constant_row(vec![bound]);
            let Val::Run { value, .. } = run(lowering, f, x, row, &shape) else { continue };
            x = value;
        }
    }
    Ok(vec![Val::Run { value: x, shape }])
}

/// relu(x) - slope * relu(-x), which is LeakyRelu where there is one slope.
fn prelu(lowering: &mut Lowering, call: &Call) -> Lowered {
    let slope = call.constant(1, "the slope")?;
    if slope.len() == 1 {
        return unary(lowering, call, Unary::LeakyRelu { alpha: floats(&slope)?[0] });
    }
    let (x, shape) = lowering.float_operand(call.need(0)?)?;
    let width = lowering.plan.values[x as usize].width as usize;
    let slope = broadcast(lowering, call.need(1)?, &shape)?;
    let positive = lowering.float_step(Op::Unary(Unary::Relu), &[x], width);
    let negated = lowering.float_step(Op::Unary(Unary::Neg), &[x], width);
    let negative = lowering.float_step(Op::Unary(Unary::Relu), &[negated], width);
    let scaled = lowering.float_step(Op::Binary { f: Binary::Mul }, &[negative, slope], width);
    Ok(vec![run(lowering, Binary::Sub, positive, scaled, &shape)])
}

/// Conversion between the plan's types.
pub(super) fn cast(lowering: &mut Lowering, call: &Call) -> Lowered {
    let fact = call.output(0)?.clone();
    let dtype = lowering.dtype(fact.dtype)?;
    let (x, shape) = lowering.operand(call.need(0)?)?;
    let value = lowering.cast(x, dtype);
    debug_assert!(lowering.plan.values[value as usize].rows == Rows::Shared || shape.first() == Some(&Dim::Rows));
    Ok(vec![Val::Run { value, shape }])
}
