//! Elementwise operators with ONNX's broadcasting, and casts.

use super::call::{Call, Lowered, Val};
use super::constant::{Elem, Values};
use super::lower::{Lowering, dtype};
use super::shape::{self, Dim, Size, Sizes};
use super::split::Origin;
use super::table::Table;
use crate::engine::plan::{Binary, DType, Op, Rows, Unary};
use std::rc::Rc;

/// The plan's function for a unary operator.
fn unary_of(call: &Call) -> Option<Result<Unary, String>> {
    let spec = call.spec;
    let alpha = |default: f32| spec.float("alpha", default);
    Some(Ok(match spec.op.as_str() {
        "Relu" => Unary::Relu,
        "LeakyRelu" => Unary::LeakyRelu { alpha: alpha(0.01) },
        "Elu" => Unary::Elu { alpha: alpha(1.0) },
        "Celu" => Unary::Celu { alpha: alpha(1.0) },
        "Selu" => Unary::Selu { alpha: alpha(1.673_263_2), gamma: spec.float("gamma", 1.050_701) },
        "Sigmoid" => Unary::Sigmoid,
        "HardSigmoid" => Unary::HardSigmoid { alpha: alpha(0.2), beta: spec.float("beta", 0.5) },
        "HardSwish" => Unary::HardSwish,
        "Swish" | "QuickGelu" => Unary::Swish { alpha: alpha(if spec.op == "QuickGelu" { 1.702 } else { 1.0 }) },
        "Gelu" => match spec.string("approximate").as_deref() {
            None | Some("none") => Unary::Gelu,
            Some("tanh") => Unary::GeluTanh,
            Some(other) => return Some(Err(format!("approximate `{other}`: use none or tanh"))),
        },
        "FastGelu" if call.optional(1).is_none() => Unary::GeluTanh,
        "Mish" => Unary::Mish,
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
        "Round" => Unary::Round,
        "Sign" => Unary::Sign,
        "ThresholdedRelu" => Unary::ThresholdedRelu { alpha: alpha(1.0) },
        "Shrink" => Unary::Shrink { lambda: spec.float("lambd", 0.5), bias: spec.float("bias", 0.0) },
        _ => return None,
    }))
}

/// The plan's function for an operator of two (or more) inputs.
fn binary_of(call: &Call) -> Option<Binary> {
    Some(match call.spec.op.as_str() {
        "Add" | "Sum" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Pow" => Binary::Pow,
        "Mod" if call.spec.int("fmod", 0) != 0 => Binary::Fmod,
        "Mod" => Binary::Mod,
        "Min" => Binary::Min,
        "Max" => Binary::Max,
        "PRelu" => Binary::Prelu,
        "Less" => Binary::Less,
        "LessOrEqual" => Binary::LessOrEqual,
        "Greater" => Binary::Greater,
        "GreaterOrEqual" => Binary::GreaterOrEqual,
        "Equal" => Binary::Equal,
        "And" => Binary::And,
        "Or" => Binary::Or,
        "Xor" => Binary::Xor,
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
        "Mean" => Some(mean(lowering, call)),
        "Not" => Some(not(lowering, call)),
        "IsNaN" => Some(is_nan(lowering, call)),
        "IsInf" => Some(is_inf(lowering, call)),
        "Where" => Some(select(lowering, call)),
        "Cast" | "CastLike" => Some(cast(lowering, call)),
        _ => binary_of(call).map(|f| variadic(lowering, call, f)),
    }
}

fn unary(lowering: &mut Lowering, call: &Call, f: Unary) -> Lowered {
    let val = call.need(0)?;
    let elem = val.elem();
    let (x, shape) = lowering.operand(val)?;
    if !elem.is_float() {
        let value = whole(lowering, x, f)?;
        return Ok(vec![lowering.run(value, elem, shape)]);
    }
    let width = lowering.width(x);
    let value = lowering.float_step(Op::Unary(f), &[x], width);
    Ok(vec![lowering.run(value, elem, shape)])
}

/// The few functions that ONNX has for whole numbers too.
fn whole(lowering: &mut Lowering, x: u32, f: Unary) -> Result<u32, String> {
    let (width, dtype) = (lowering.width(x), lowering.dtype_of(x));
    let zero = lowering.constant_ints(vec![0]);
    let zero = lowering.cast(zero, dtype);
    let mut of =
        |f: Binary, a: u32, b: u32, to: DType| lowering.step(Op::Binary { f, each: [1, 1] }, &[a, b], to, width);
    Ok(match f {
        Unary::Neg => of(Binary::Sub, zero, x, dtype),
        Unary::Abs => {
            let negative = of(Binary::Sub, zero, x, dtype);
            of(Binary::Max, x, negative, dtype)
        }
        Unary::Relu => of(Binary::Max, x, zero, dtype),
        Unary::Sign => {
            let above = of(Binary::Greater, x, zero, DType::Bool);
            let below = of(Binary::Less, x, zero, DType::Bool);
            let (above, below) = (lowering.cast(above, dtype), lowering.cast(below, dtype));
            lowering.step(Op::Binary { f: Binary::Sub, each: [1, 1] }, &[above, below], dtype, width)
        }
        _ => return Err("a function of floats on whole numbers: cast to float32 first".into()),
    })
}

/// Sum, Max and Min take any number of inputs, from left to right.
fn variadic(lowering: &mut Lowering, call: &Call, f: Binary) -> Lowered {
    if let Some(sizes) = on_sizes(call, f) {
        return Ok(vec![sizes]);
    }
    let operands: Vec<Val> = call.given().cloned().collect();
    let (first, rest) = operands.split_first().ok_or("it has no input")?;
    if let (Binary::Pow, [Val::Constant(exponent)]) = (f, rest) {
        // ONNX Runtime squares by one multiplication.
        let squares = exponent.floats().is_ok_and(|e| e.len() == 1 && e[0] == 2.0)
            || exponent.ints().is_ok_and(|e| e.len() == 1 && e[0] == 2);
        if squares && exponent.rank() <= first.shape().len() {
            return Ok(vec![binary(lowering, Binary::Mul, first, first)?]);
        }
    }
    if let (Binary::Prelu, [Val::Constant(slope)], true) = (f, rest, first.elem().is_float())
        && let ([alpha], true) = (slope.floats()?, slope.rank() <= first.shape().len())
    {
        let (alpha, shape) = (*alpha, first.shape());
        let (x, _) = lowering.operand(first)?;
        let width = lowering.width(x);
        let value = lowering.float_step(Op::Unary(Unary::LeakyRelu { alpha }), &[x], width);
        return Ok(vec![lowering.run(value, first.elem(), shape)]);
    }
    let mut result = first.clone();
    for operand in rest {
        result = binary(lowering, f, &result, operand)?;
    }
    Ok(vec![result])
}

/// Two operands, broadcast. Of two types (a power of floats and whole numbers) the first decides.
pub(super) fn binary(lowering: &mut Lowering, f: Binary, a: &Val, b: &Val) -> Result<Val, String> {
    let (elem, out) = (a.elem(), if f.compares() { Elem::Bool } else { a.elem() });
    if !f.compares() && elem == Elem::Bool && !matches!(f, Binary::And | Binary::Or | Binary::Xor) {
        return Err("arithmetic on booleans".into());
    }
    let shape = shape::joint(&a.shape(), &b.shape())?;
    if shape::width(&shape) == 0 {
        return Err("it has no elements".into());
    }
    let as_first = dtype(elem)?;
    let (x, each_x) = spread(lowering, a, as_first, &shape)?;
    // A power of whole numbers by a float is a power of floats, cut off.
    let (y, each_y) = spread(lowering, b, as_first, &shape)?;
    let width = shape::width(&shape);
    let value = lowering.step(Op::Binary { f, each: [each_x, each_y] }, &[x, y], dtype(out)?, width);
    if elem.is_float() && matches!(f, Binary::Add | Binary::Sub | Binary::Mul) {
        let origin = match f {
            Binary::Mul => Origin::Product(a.clone(), b.clone()),
            _ => Origin::Sum(a.clone(), b.clone(), f == Binary::Sub),
        };
        lowering.origins.insert(value, origin);
    }
    Ok(lowering.run(value, out, shape))
}

/// Arithmetic on sizes stays symbolic where it can: shapes are computed so.
fn on_sizes(call: &Call, f: Binary) -> Option<Val> {
    let symbolic = call.given().any(|val| matches!(val, Val::Sizes(_)));
    let [Some(a), Some(b)] = &call.inputs[..] else { return None };
    let of = |val: &Val| match val {
        Val::Sizes(sizes) => Some((**sizes).clone()),
        Val::Constant(constant) => Sizes::of(constant),
        _ => None,
    };
    if !symbolic {
        return None;
    }
    let (a, b) = (of(a)?, of(b)?);
    let dims = shape::fixed(&shape::joint(&shape::of_sizes(&a.dims), &shape::of_sizes(&b.dims)).ok()?)?;
    let spread = |s: &Sizes| Table::identity(&s.dims, 0).expand(&dims).apply(&s.list, &Size { each: 0, fixed: 0 });
    let list: Option<Vec<Size>> = spread(&a).into_iter().zip(spread(&b)).map(|(a, b)| size_of(f, a, b)).collect();
    let list = list?;
    let elem = if f.compares() { Elem::Bool } else { a.elem };
    let sizes = Sizes { elem, dims, list };
    Some(match sizes.constant() {
        Some(constant) => Val::Constant(Rc::new(constant)),
        None => Val::Sizes(Rc::new(sizes)),
    })
}

fn size_of(f: Binary, a: Size, b: Size) -> Option<Size> {
    let known = |fixed: i64| Some(Size { each: 0, fixed });
    match (f, a.known(), b.known()) {
        (Binary::Add, ..) => Some(Size { each: a.each + b.each, fixed: a.fixed + b.fixed }),
        (Binary::Sub, ..) => Some(Size { each: a.each - b.each, fixed: a.fixed - b.fixed }),
        (Binary::Mul, _, Some(k)) => Some(Size { each: a.each * k, fixed: a.fixed * k }),
        (Binary::Mul, Some(k), _) => Some(Size { each: b.each * k, fixed: b.fixed * k }),
        (Binary::Div, _, Some(k)) if k != 0 && a.each % k == 0 && a.fixed % k == 0 => {
            Some(Size { each: a.each / k, fixed: a.fixed / k })
        }
        (Binary::Div, _, None) if b.fixed == 0 && a.fixed == 0 && b.each != 0 && a.each % b.each == 0 => {
            known(a.each / b.each)
        }
        // A number of candidates is never a fixed one (-1 and 1 are what exporters ask for).
        (Binary::Equal, ..) if a == b => known(1),
        (Binary::Equal, None, Some(k)) | (Binary::Equal, Some(k), None) if k <= 0 => known(0),
        _ => None,
    }
}

fn mean(lowering: &mut Lowering, call: &Call) -> Lowered {
    let count = call.given().count() as f32;
    let sums = variadic(lowering, call, Binary::Add)?;
    let divisor = super::constant::Constant { elem: sums[0].elem(), dims: vec![], values: Values::Float(vec![count]) };
    Ok(vec![binary(lowering, Binary::Div, &sums[0], &Val::Constant(Rc::new(divisor)))?])
}

fn not(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (x, shape) = lowering.operand(call.need(0)?)?;
    let x = lowering.cast(x, DType::Bool);
    let value = negate(lowering, x);
    Ok(vec![lowering.run(value, Elem::Bool, shape)])
}

/// Not a boolean.
fn negate(lowering: &mut Lowering, x: u32) -> u32 {
    let one = lowering.constant_ints(vec![1]);
    let one = lowering.cast(one, DType::Bool);
    let width = lowering.width(x);
    lowering.step(Op::Binary { f: Binary::Xor, each: [1, 1] }, &[x, one], DType::Bool, width)
}

/// Only NaN differs from itself.
fn is_nan(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (x, shape) = lowering.float_operand(call.need(0)?)?;
    let width = lowering.width(x);
    let equal = lowering.step(Op::Binary { f: Binary::Equal, each: [1, 1] }, &[x, x], DType::Bool, width);
    let value = negate(lowering, equal);
    Ok(vec![lowering.run(value, Elem::Bool, shape)])
}

fn is_inf(lowering: &mut Lowering, call: &Call) -> Lowered {
    let (x, shape) = lowering.float_operand(call.need(0)?)?;
    let width = lowering.width(x);
    let mut found: Option<u32> = None;
    for (name, bound) in [("detect_positive", f32::INFINITY), ("detect_negative", f32::NEG_INFINITY)] {
        if call.spec.int(name, 1) != 0 {
            let bound = lowering.constant_row(vec![bound]);
            let one = lowering.step(Op::Binary { f: Binary::Equal, each: [1, 1] }, &[x, bound], DType::Bool, width);
            found = Some(match found {
                None => one,
                Some(other) => {
                    lowering.step(Op::Binary { f: Binary::Or, each: [1, 1] }, &[other, one], DType::Bool, width)
                }
            });
        }
    }
    let value = match found {
        Some(value) => value,
        // Nothing is less than itself.
        None => lowering.step(Op::Binary { f: Binary::Less, each: [1, 1] }, &[x, x], DType::Bool, width),
    };
    Ok(vec![lowering.run(value, Elem::Bool, shape)])
}

/// The second where the condition holds, else the third.
fn select(lowering: &mut Lowering, call: &Call) -> Lowered {
    let [condition, a, b] = [call.need(0)?, call.need(1)?, call.need(2)?];
    if let Some(val) = chosen(condition, a, b) {
        return Ok(vec![val]);
    }
    chosen_by(lowering, condition, a, b).map(|val| vec![val])
}

/// `a` where the condition holds, else `b`, broadcast.
pub(super) fn chosen_by(lowering: &mut Lowering, condition: &Val, a: &Val, b: &Val) -> Result<Val, String> {
    let elem = a.elem();
    let shape = shape::joint(&shape::joint(&condition.shape(), &a.shape())?, &b.shape())?;
    let mut operands = vec![];
    for (val, to) in [(condition, DType::Bool), (a, dtype(elem)?), (b, dtype(elem)?)] {
        operands.push(whole_width(lowering, val, to, &shape)?);
    }
    let value = lowering.step(Op::Where, &operands, dtype(elem)?, shape::width(&shape));
    Ok(lowering.run(value, elem, shape))
}

/// A choice among sizes by constants, as exporters write it for Expand.
fn chosen(condition: &Val, a: &Val, b: &Val) -> Option<Val> {
    let Val::Constant(condition) = condition else { return None };
    let of = |val: &Val| match val {
        Val::Sizes(sizes) => Some((**sizes).clone()),
        Val::Constant(constant) => Sizes::of(constant),
        _ => None,
    };
    if !matches!(a, Val::Sizes(_)) && !matches!(b, Val::Sizes(_)) {
        return None;
    }
    let (a, b, flags) = (of(a)?, of(b)?, condition.ints().ok()?);
    if a.dims != b.dims || a.dims != condition.dims {
        return None;
    }
    let list = flags.iter().zip(a.list.iter().zip(&b.list)).map(|(&c, (a, b))| if c != 0 { *a } else { *b }).collect();
    Some(Val::Sizes(Rc::new(Sizes { elem: a.elem, dims: a.dims, list })))
}

/// The operand in a type, and how many neighbouring columns of `shape` share one of its own.
pub(super) fn spread(lowering: &mut Lowering, val: &Val, to: DType, shape: &[Dim]) -> Result<(u32, u32), String> {
    let (value, own) = lowering.operand(val)?;
    let value = lowering.cast(value, to);
    let value = paired(lowering, value, &own, shape)?;
    if shape::candidates(shape) == 2 {
        return Ok((value, 1));
    }
    let (from, into) = (shape::inner(&own), shape::inner(shape));
    let width = lowering.width(value);
    if width == 1 || width == into.iter().product::<usize>() {
        return Ok((value, 1));
    }
    match regular(&from, &into) {
        Some(each) => Ok((value, each as u32)),
        None => Ok((whole_width(lowering, val, to, shape)?, 1)),
    }
}

/// If an operand of sizes `from` is read, in `to`, as `(c / each) % width`: `each`.
fn regular(from: &[usize], to: &[usize]) -> Option<usize> {
    let skip = to.len() - from.len();
    // The stretch of dimensions that it really has; it must be whole, with ones around it.
    let real: Vec<usize> = (0..from.len()).filter(|&i| from[i] > 1).collect();
    let (first, last) = (*real.first()?, *real.last()?);
    (first..=last).all(|i| from[i] == to[skip + i]).then(|| to[skip + last + 1..].iter().product())
}

/// The operand in a type, with as many columns as `shape` has inside a row, or one.
fn whole_width(lowering: &mut Lowering, val: &Val, to: DType, shape: &[Dim]) -> Result<u32, String> {
    let (value, own) = lowering.operand(val)?;
    let value = lowering.cast(value, to);
    let value = paired(lowering, value, &own, shape)?;
    let width = lowering.width(value);
    if width == 1 || width == shape::width(shape) || shape::candidates(shape) == 2 {
        return Ok(value);
    }
    let table = Table::identity(&shape::inner(&own), 0).expand(&shape::inner(shape));
    lowering.moved(value, &table)
}

/// An operand of pairs of candidates: as a pair itself, unless it is one element for all.
fn paired(lowering: &mut Lowering, value: u32, own: &[Dim], shape: &[Dim]) -> Result<u32, String> {
    if shape::candidates(shape) < 2 {
        return Ok(value);
    }
    let from = lowering.plan.values[value as usize];
    let (pre, post) = shape::around_second(shape);
    if from.rows == Rows::Pair {
        return if from.width as usize == pre * post {
            Ok(value)
        } else {
            Err("pairs of candidates that differ in their other axes: expand one of them before".into())
        };
    }
    if from.rows == Rows::Shared && from.width == 1 {
        return Ok(value);
    }
    // Which of the two candidates it has: of one for all candidates, either will do.
    let skip = shape.len() - own.len();
    let first = shape::rows_axis(shape).unwrap_or(0);
    let every = shape::rows_axis(own).is_some_and(|at| skip + at != first);
    let full: Vec<usize> =
        shape.iter().enumerate().map(|(i, dim)| if i == first || dim.is_rows() { 1 } else { dim.inner() }).collect();
    let table = Table::identity(&shape::inner(own), 0).expand(&full);
    let value = lowering.moved(value, &table)?;
    let value = if from.rows == Rows::Shared { lowering.spread(value, &[Dim::N])? } else { value };
    let to = lowering.dtype_of(value);
    let op = Op::Pair { pre: pre as u32, post: post as u32, every };
    Ok(lowering.push(op, &[value], to, Rows::Pair, pre * post))
}

fn clip(lowering: &mut Lowering, call: &Call) -> Lowered {
    let val = call.need(0)?;
    let elem = val.elem();
    let bound = |i: usize, name: &str| -> Result<Option<f32>, String> {
        match call.optional(i) {
            Some(Val::Constant(c)) if elem.is_float() => Ok(c.floats()?.first().copied()),
            Some(_) => Err(String::new()),
            None if call.spec.has(name) => Ok(Some(call.spec.float(name, 0.0))),
            None => Ok(None),
        }
    };
    if let (Ok(low), Ok(high), true) = (bound(1, "min"), bound(2, "max"), elem.is_float()) {
        // A bound left out is the largest float, not infinity (ONNX Runtime).
        let (low, high) = (low.unwrap_or(f32::MIN), high.unwrap_or(f32::MAX));
        if !low.is_nan() && !high.is_nan() {
            return unary(lowering, call, Unary::Clip { low, high });
        }
    }
    let mut result = val.clone();
    for (i, f, open) in [(1, Binary::Max, f32::MIN), (2, Binary::Min, f32::MAX)] {
        let open = Val::Constant(Rc::new(super::constant::Constant::f32(&[], vec![open])));
        match call.optional(i) {
            Some(bound) => result = binary(lowering, f, &result, bound)?,
            None if elem.is_float() => result = binary(lowering, f, &result, &open)?,
            None => {}
        }
    }
    Ok(vec![result])
}

/// Conversion between the plan's types.
fn cast(lowering: &mut Lowering, call: &Call) -> Lowered {
    let to = match (call.spec.op.as_str(), call.optional(1)) {
        ("CastLike", Some(like)) => like.elem(),
        _ => Elem::from_onnx(call.spec.int("to", 1) as i32)?,
    };
    cast_to(lowering, call.need(0)?, to).map(|val| vec![val])
}

/// The value in another of ONNX's types.
pub(super) fn cast_to(lowering: &mut Lowering, val: &Val, to: Elem) -> Result<Val, String> {
    if let (Val::Sizes(sizes), true) = (val, to.is_int() && to != Elem::Bool) {
        return Ok(Val::Sizes(Rc::new(Sizes { elem: to, ..(**sizes).clone() })));
    }
    if matches!(to, Elem::F16 | Elem::BF16) {
        let warning = format!("the graph computes in {to:?}; the plan computes it in float32");
        if !lowering.problems.warnings.contains(&warning) {
            lowering.problems.warn(warning);
        }
    }
    let (x, shape) = lowering.operand(val)?;
    let value = lowering.cast(x, dtype(to)?);
    let value = narrow(lowering, value, to)?;
    Ok(lowering.run(value, to, shape))
}

/// Whole numbers of 8 and 16 bits, which the plan holds in 32: wrapped to their own width.
fn narrow(lowering: &mut Lowering, value: u32, elem: Elem) -> Result<u32, String> {
    let (low, high) = match elem {
        Elem::I8 | Elem::U8 | Elem::I16 | Elem::U16 | Elem::U32 => elem.bounds(),
        _ => return Ok(value),
    };
    let (width, dtype) = (lowering.width(value), lowering.dtype_of(value));
    let with = |lowering: &mut Lowering, f: Binary, x: u32, by: i64| {
        let by = lowering.constant_ints(vec![by]);
        let by = lowering.cast(by, dtype);
        lowering.step(Op::Binary { f, each: [1, 1] }, &[x, by], dtype, width)
    };
    let shifted = with(lowering, Binary::Sub, value, low);
    let inside = with(lowering, Binary::Mod, shifted, high - low + 1);
    Ok(with(lowering, Binary::Add, inside, low))
}
