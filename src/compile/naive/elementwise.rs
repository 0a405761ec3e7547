//! Functions of one element: activations, mathematical functions, tests, Clip.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::binary::{integer, sum};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "Abs" | "Neg" | "Sign" | "Relu" => signed,
        "Not" => not,
        "IsNaN" | "IsInf" => test,
        "Clip" => clip,
        "PRelu" => prelu,
        _ if has_function(op) => float,
        _ => return None,
    })
}

pub(super) fn find_microsoft(op: &str) -> Option<Evaluator> {
    Some(match op {
        "Gelu" | "QuickGelu" => float,
        "BiasGelu" | "FastGelu" => biased_gelu,
        _ => return None,
    })
}

fn has_function(op: &str) -> bool {
    FUNCTIONS.contains(&op)
}

const FUNCTIONS: &[&str] = &[
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Reciprocal",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Silu",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
];

/// A float tensor with `f` in f64 on every element.
pub(super) fn map(x: &Constant, f: impl Fn(f64) -> f64) -> Result<Constant, String> {
    let y = x.floats()?.iter().map(|&v| x.elem.round(f(f64::from(v)) as f32)).collect();
    Constant::new(x.elem, &x.dims, Values::Float(y))
}

fn float(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let f = function(spec)?;
    Ok(vec![map(x, f)?])
}

/// The function of a float operator with its attributes.
fn function(spec: &Spec) -> Result<Box<dyn Fn(f64) -> f64>, String> {
    let alpha = |default: f32| f64::from(spec.float("alpha", default));
    let beta = |default: f32| f64::from(spec.float("beta", default));
    Ok(match spec.op.as_str() {
        "Acos" => Box::new(libm::acos),
        "Acosh" => Box::new(libm::acosh),
        "Asin" => Box::new(libm::asin),
        "Asinh" => Box::new(libm::asinh),
        "Atan" => Box::new(libm::atan),
        "Atanh" => Box::new(libm::atanh),
        "Cos" => Box::new(libm::cos),
        "Cosh" => Box::new(libm::cosh),
        "Sin" => Box::new(libm::sin),
        "Sinh" => Box::new(libm::sinh),
        "Tan" => Box::new(libm::tan),
        "Tanh" => Box::new(libm::tanh),
        "Erf" => Box::new(libm::erf),
        "Exp" => Box::new(libm::exp),
        "Log" => Box::new(libm::log),
        "Sqrt" => Box::new(f64::sqrt),
        "Ceil" => Box::new(f64::ceil),
        "Floor" => Box::new(f64::floor),
        "Round" => Box::new(f64::round_ties_even),
        "Reciprocal" => Box::new(|v| 1.0 / v),
        "Sigmoid" => Box::new(sigmoid),
        "Softplus" => Box::new(softplus),
        "Softsign" => Box::new(|v: f64| v / (1.0 + v.abs())),
        "Mish" => Box::new(|v| v * libm::tanh(softplus(v))),
        "HardSwish" => Box::new(|v| v * unit(v / 6.0 + 0.5)),
        "HardSigmoid" => {
            let (alpha, beta) = (alpha(0.2), beta(0.5));
            Box::new(move |v| unit(alpha * v + beta))
        }
        "Silu" | "Swish" => {
            let alpha = alpha(1.0);
            Box::new(move |v| v * sigmoid(alpha * v))
        }
        "QuickGelu" => {
            let alpha = alpha(1.702);
            Box::new(move |v| v * sigmoid(alpha * v))
        }
        "Gelu" => match spec.string("approximate").as_deref() {
            None | Some("none") => Box::new(gelu),
            Some("tanh") => Box::new(gelu_tanh),
            Some(other) => return Err(format!("the approximation `{other}`")),
        },
        "Elu" => {
            let alpha = alpha(1.0);
            Box::new(move |v| if v < 0.0 { alpha * libm::expm1(v) } else { v })
        }
        "Celu" => {
            let alpha = alpha(1.0);
            Box::new(move |v| if v < 0.0 { alpha * libm::expm1(v / alpha) } else { v })
        }
        "Selu" => {
            let (alpha, gamma) = (alpha(1.673_263_2), f64::from(spec.float("gamma", 1.050_701)));
            Box::new(move |v| gamma * if v < 0.0 { alpha * libm::expm1(v) } else { v })
        }
        "LeakyRelu" => {
            let alpha = alpha(0.01);
            Box::new(move |v| if v < 0.0 { alpha * v } else { v })
        }
        "ThresholdedRelu" => {
            let alpha = alpha(1.0);
            Box::new(move |v| if v > alpha { v } else { 0.0 })
        }
        "Shrink" => {
            let (lambda, bias) = (f64::from(spec.float("lambd", 0.5)), f64::from(spec.float("bias", 0.0)));
            Box::new(move |v| match v {
                v if v < -lambda => v + bias,
                v if v > lambda => v - bias,
                _ => 0.0,
            })
        }
        other => return Err(format!("no function `{other}`")),
    })
}

pub(super) fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-v))
}

/// ln(1 + e^v), which neither overflows nor loses its tail.
pub(super) fn softplus(v: f64) -> f64 {
    let tail = libm::log1p(libm::exp(-v.abs()));
    if v > 0.0 { v + tail } else { tail }
}

/// Cut to 0..1; NaN stays.
#[allow(clippy::manual_clamp, reason = "std's clamp is banned: platforms differ on the zeros")]
fn unit(v: f64) -> f64 {
    let low = if v < 0.0 { 0.0 } else { v };
    if low > 1.0 { 1.0 } else { low }
}

/// v times the normal distribution function; the complementary form keeps the digits of its left tail.
fn gelu(v: f64) -> f64 {
    0.5 * v * libm::erfc(-v * std::f64::consts::FRAC_1_SQRT_2)
}

fn gelu_tanh(v: f64) -> f64 {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    0.5 * v * (1.0 + libm::tanh(root * (v + 0.044715 * v * v * v)))
}

/// com.microsoft: the bias along the last axis, then Gelu (exact for BiasGelu, with tanh for FastGelu).
fn biased_gelu(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let x = match args.optional(1) {
        Some(bias) => sum(&[x, bias])?,
        None => x.clone(),
    };
    Ok(vec![map(&x, if spec.op == "FastGelu" { gelu_tanh } else { gelu })?])
}

/// Functions that integers have too.
fn signed(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let op = spec.op.as_str();
    if x.elem.is_float() {
        return Ok(vec![map(x, |v| match op {
            "Abs" => v.abs(),
            "Neg" => -v,
            "Relu" if v < 0.0 => 0.0,
            "Sign" if v > 0.0 => 1.0,
            "Sign" if v < 0.0 => -1.0,
            _ => v,
        })?]);
    }
    let y = x.ints()?.iter().map(|&v| {
        let wide = integer(x.elem, v);
        let y = match op {
            "Abs" => wide.abs(),
            "Neg" => -wide,
            "Sign" => wide.signum(),
            _ => wide.max(0),
        };
        x.elem.wrap(y as i64)
    });
    Ok(vec![Constant::new(x.elem, &x.dims, Values::Int(y.collect()))?])
}

fn not(_: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    Ok(vec![Constant::bools(&x.dims, x.ints()?.iter().map(|&v| v == 0))])
}

fn test(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let (negative, positive) = (spec.int("detect_negative", 1) != 0, spec.int("detect_positive", 1) != 0);
    let nan = spec.op == "IsNaN";
    let infinite = |v: f32| v.is_infinite() && if v < 0.0 { negative } else { positive };
    Ok(vec![Constant::bools(&x.dims, x.floats()?.iter().map(|&v| if nan { v.is_nan() } else { infinite(v) }))])
}

/// Bounds are attributes before opset 11. Where they cross, the upper one holds; NaN stays NaN.
fn clip(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    if spec.opset < 11 {
        let (low, high) = (spec.float("min", f32::MIN), spec.float("max", f32::MAX));
        let bounds = (Constant::f32(&[], vec![low]), Constant::f32(&[], vec![high]));
        return Ok(vec![clipped(x, Some(&bounds.0), Some(&bounds.1))?]);
    }
    Ok(vec![clipped(x, args.optional(1), args.optional(2))?])
}

/// A bound left out is the largest float, not infinity (ONNX Runtime).
fn clipped(x: &Constant, low: Option<&Constant>, high: Option<&Constant>) -> Result<Constant, String> {
    let one = |bound: Option<&Constant>| match bound {
        Some(bound) if bound.len() != 1 => Err(format!("a bound of shape {:?}", bound.dims)),
        _ => Ok(()),
    };
    one(low)?;
    one(high)?;
    let values = match &x.values {
        Values::Float(v) => {
            let low = low.map(Constant::floats).transpose()?.map_or(f32::MIN, |list| list[0]);
            let high = high.map(Constant::floats).transpose()?.map_or(f32::MAX, |list| list[0]);
            Values::Float(
                v.iter().map(|&v| if v < low { low } else { v }).map(|v| if v > high { high } else { v }).collect(),
            )
        }
        Values::Int(v) => {
            let bound = |bound: Option<&Constant>| -> Result<Option<i128>, String> {
                Ok(bound.map(Constant::ints).transpose()?.map(|list| integer(x.elem, list[0])))
            };
            let (low, high) = (bound(low)?, bound(high)?);
            let cut = |v: i64| {
                let v = integer(x.elem, v);
                let v = low.map_or(v, |low| v.max(low));
                high.map_or(v, |high| v.min(high)) as i64
            };
            Values::Int(v.iter().map(|&v| cut(v)).collect())
        }
        Values::Text(_) => return Err("a value of strings".into()),
    };
    Constant::new(x.elem, &x.dims, values)
}

/// The slope broadcasts to the input, not the other way round.
fn prelu(_: &Spec, args: &Args) -> Outputs {
    let (x, slope) = (args.get(0)?, args.get(1)?);
    let at = super::shape::broadcast_positions(&slope.dims, &x.dims)?;
    let values = match &x.values {
        Values::Float(v) => {
            let slope = slope.floats()?;
            Values::Float(
                v.iter().zip(at).map(|(&v, i)| if v < 0.0 { x.elem.round(slope[i] * v) } else { v }).collect(),
            )
        }
        Values::Int(v) => {
            let slope = slope.ints()?;
            let y = |v: i64, i: usize| if integer(x.elem, v) < 0 { x.elem.wrap(v.wrapping_mul(slope[i])) } else { v };
            Values::Int(v.iter().zip(at).map(|(&v, i)| y(v, i)).collect())
        }
        Values::Text(_) => return Err("a value of strings".into()),
    };
    Ok(vec![Constant::new(x.elem, &x.dims, values)?])
}

/// The activation of a recurrent layer; none if it is not one of those that need no more than their name.
pub(super) fn recurrent_activation(
    name: &str,
    alpha: Option<f32>,
    beta: Option<f32>,
) -> Option<Box<dyn Fn(f64) -> f64>> {
    let or = |given: Option<f32>, default: f32| f64::from(given.unwrap_or(default));
    Some(match name.to_ascii_lowercase().as_str() {
        "sigmoid" => Box::new(sigmoid),
        "tanh" => Box::new(libm::tanh),
        "relu" => Box::new(|v| if v < 0.0 { 0.0 } else { v }),
        "softsign" => Box::new(|v: f64| v / (1.0 + v.abs())),
        "softplus" => Box::new(softplus),
        "hardsigmoid" => {
            let (alpha, beta) = (or(alpha, 0.2), or(beta, 0.5));
            Box::new(move |v| unit(alpha * v + beta))
        }
        "leakyrelu" => {
            let alpha = or(alpha, 0.01);
            Box::new(move |v| if v < 0.0 { alpha * v } else { v })
        }
        "elu" => {
            let alpha = or(alpha, 1.0);
            Box::new(move |v| if v < 0.0 { alpha * libm::expm1(v) } else { v })
        }
        "affine" => {
            let (alpha, beta) = (or(alpha, 1.0), or(beta, 0.0));
            Box::new(move |v| alpha * v + beta)
        }
        _ => return None,
    })
}

/// Floats with a type, from f64.
pub(super) fn rounded(elem: Elem, dims: &[usize], v: impl IntoIterator<Item = f64>) -> Result<Constant, String> {
    Constant::new(elem, dims, Values::Float(v.into_iter().map(|v| elem.round(v as f32)).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, node};
    use super::*;

    const INPUTS: [f32; 6] = [-2.0, -0.5, 0.0, 0.5, 2.0, f32::NAN];

    /// A function's values on all of `INPUTS` but NaN, which must stay NaN unless the function's definition says zero.
    fn check(spec: &crate::compile::naive::testing::NodeBuilder, expected: [f32; 5]) {
        let y = spec.run1(&[&f32s(&[6], &INPUTS)]);
        let y = y.floats().unwrap();
        for i in 0..5 {
            assert!((y[i] - expected[i]).abs() <= 1e-6 * expected[i].abs() + 1e-9, "{spec:?} {y:?}");
        }
        let zero = matches!(spec.proto.op_type.as_str(), "ThresholdedRelu" | "Shrink");
        assert!(if zero { y[5] == 0.0 } else { y[5].is_nan() }, "{spec:?} {y:?}");
    }

    #[test]
    fn activations_have_their_published_values() {
        check(&node("Relu"), [0.0, 0.0, 0.0, 0.5, 2.0]);
        check(&node("Sigmoid"), [0.119_202_92, 0.377_540_67, 0.5, 0.622_459_35, 0.880_797_1]);
        check(&node("Tanh"), [-0.964_027_6, -0.462_117_17, 0.0, 0.462_117_17, 0.964_027_6]);
        check(&node("LeakyRelu"), [-0.02, -0.005, 0.0, 0.5, 2.0]);
        check(&node("Elu").float("alpha", 2.0), [-1.729_329_4, -0.786_938_7, 0.0, 0.5, 2.0]);
        check(&node("Celu").float("alpha", 2.0), [-1.264_241_1, -0.442_398_43, 0.0, 0.5, 2.0]);
        check(&node("Selu"), [-1.520_166_5, -0.691_758_2, 0.0, 0.525_350_5, 2.101_402]);
        check(&node("Gelu"), [-0.045_500_26, -0.154_268_77, 0.0, 0.345_731_23, 1.954_499_7]);
        check(&node("Gelu").string("approximate", "tanh"), [-0.045_402_31, -0.154_286, 0.0, 0.345_714, 1.954_597_7]);
        check(&node("Swish"), [-0.238_405_84, -0.188_770_34, 0.0, 0.311_229_67, 1.761_594_2]);
        check(&node("Mish"), [-0.252_501_5, -0.220_743_78, 0.0, 0.375_245_2, 1.943_959]);
        check(&node("HardSigmoid"), [0.1, 0.4, 0.5, 0.6, 0.9]);
        check(&node("HardSwish"), [-0.333_333_34, -0.208_333_33, 0.0, 0.291_666_66, 1.666_666_6]);
        check(&node("Softplus"), [0.126_928_01, 0.474_077, std::f32::consts::LN_2, 0.974_077, 2.126_928]);
        check(&node("Softsign"), [-0.666_666_7, -0.333_333_34, 0.0, 0.333_333_34, 0.666_666_7]);
        check(&node("ThresholdedRelu"), [0.0, 0.0, 0.0, 0.0, 2.0]);
        check(&node("Shrink").float("bias", 0.5), [-1.5, 0.0, 0.0, 0.0, 1.5]);
    }

    #[test]
    fn functions_have_their_published_values() {
        check(&node("Exp"), [0.135_335_28, 0.606_530_67, 1.0, 1.648_721_2, 7.389_056]);
        check(&node("Erf"), [-0.995_322_3, -0.520_499_9, 0.0, 0.520_499_9, 0.995_322_3]);
        check(&node("Sin"), [-0.909_297_4, -0.479_425_55, 0.0, 0.479_425_55, 0.909_297_4]);
        check(&node("Atan"), [-1.107_148_7, -0.463_647_6, 0.0, 0.463_647_6, 1.107_148_7]);
        check(&node("Sinh"), [-3.626_860_4, -0.521_095_3, 0.0, 0.521_095_3, 3.626_860_4]);
        check(&node("Asinh"), [-1.443_635_5, -0.481_211_84, 0.0, 0.481_211_84, 1.443_635_5]);
        check(&node("Sign"), [-1.0, -1.0, 0.0, 1.0, 1.0]);
        check(&node("Floor"), [-2.0, -1.0, 0.0, 0.0, 2.0]);
        check(&node("Abs"), [2.0, 0.5, 0.0, 0.5, 2.0]);
        let halves = node("Round").run1(&[&f32s(&[5], &[0.5, 1.5, 2.5, -0.5, -2.5])]);
        assert_eq!(halves.floats().unwrap(), &[0.0, 2.0, 2.0, -0.0, -2.0]);
    }

    #[test]
    fn clip_takes_bounds_from_where_the_opset_puts_them() {
        let x = f32s(&[3], &[-3.0, 0.0, 3.0]);
        let old = node("Clip").opset(6).float("max", 1.0).run1(&[&x]);
        assert_eq!(old.floats().unwrap(), &[-3.0, 0.0, 1.0]);
        let (low, high) = (f32s(&[], &[2.0]), f32s(&[], &[1.0]));
        assert_eq!(node("Clip").run1(&[&x, &low, &high]).floats().unwrap(), &[1.0, 1.0, 1.0]);
        let ints = Constant::i64(&[2], vec![-5, 5]);
        assert_eq!(node("Clip").run1(&[&ints, &Constant::i64(&[], vec![0])]).ints().unwrap(), &[0, 5]);
    }
}
