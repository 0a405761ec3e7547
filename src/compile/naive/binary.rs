//! Functions of two or more tensors that broadcast: arithmetic, comparison, logic, Where.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::shape::{broadcast, broadcast_positions};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" => arithmetic,
        "Min" | "Max" | "Sum" | "Mean" => variadic,
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" => comparison,
        "And" | "Or" | "Xor" => logic,
        "Where" => choose,
        _ => return None,
    })
}

/// The number that an integer's carrier stands for (U64 is carried by its bits).
pub(super) fn integer(elem: Elem, v: i64) -> i128 {
    if elem == Elem::U64 { i128::from(v as u64) } else { i128::from(v) }
}

/// The joint shape and, for each of its elements, the positions in either input.
struct Pairs {
    dims: Vec<usize>,
    at: Vec<(usize, usize)>,
}

fn pairs(spec: &Spec, x: &Constant, y: &Constant) -> Result<Pairs, String> {
    let y_dims = legacy_dims(spec, x, y);
    let dims = broadcast([&x.dims[..], &y_dims[..]])?;
    let (a, b) = (broadcast_positions(&x.dims, &dims)?, broadcast_positions(&y_dims, &dims)?);
    Ok(Pairs { dims, at: a.into_iter().zip(b).collect() })
}

/// Before opset 7 the second input stands at `axis` of the first, and broadcasts from there.
fn legacy_dims(spec: &Spec, x: &Constant, y: &Constant) -> Vec<usize> {
    let mut dims = y.dims.clone();
    if spec.opset < 7 && spec.int("broadcast", 0) == 1 && spec.has("axis") {
        let axis = spec.int("axis", 0);
        let start = usize::try_from(if axis < 0 { axis + x.rank() as i64 } else { axis }).unwrap_or(0);
        let behind = x.rank().saturating_sub(start + y.rank());
        dims.extend(std::iter::repeat_n(1, behind));
    }
    dims
}

fn same_type(x: &Constant, y: &Constant) -> Result<(), String> {
    if x.elem == y.elem { Ok(()) } else { Err(format!("inputs of the types {:?} and {:?}", x.elem, y.elem)) }
}

fn arithmetic(spec: &Spec, args: &Args) -> Outputs {
    let (x, y) = (args.get(0)?, args.get(1)?);
    if spec.op != "Pow" {
        same_type(x, y)?;
    }
    let Pairs { dims, at } = pairs(spec, x, y)?;
    let op = spec.op.as_str();
    let truncated = spec.int("fmod", 0) == 1;
    let values = match (&x.values, &y.values) {
        (Values::Float(a), Values::Float(b)) => {
            let f = |a: f32, b: f32| match op {
                "Add" => a + b,
                "Sub" => a - b,
                "Mul" => a * b,
                "Div" => a / b,
                "Mod" if truncated => a % b,
                "Mod" => floored(a, b),
                _ => libm::pow(f64::from(a), f64::from(b)) as f32,
            };
            Values::Float(at.iter().map(|&(i, j)| x.elem.round(f(a[i], b[j]))).collect())
        }
        (Values::Float(a), Values::Int(b)) => {
            let f = |a: f32, b: i64| libm::pow(f64::from(a), integer(y.elem, b) as f64) as f32;
            Values::Float(at.iter().map(|&(i, j)| x.elem.round(f(a[i], b[j]))).collect())
        }
        (Values::Int(a), Values::Float(b)) => {
            let f = |a: i64, b: f32| libm::pow(integer(x.elem, a) as f64, f64::from(b));
            Values::Int(at.iter().map(|&(i, j)| x.elem.wrap(f(a[i], b[j]) as i64)).collect())
        }
        (Values::Int(a), Values::Int(b)) => {
            let f = |&(i, j): &(usize, usize)| {
                let y = whole(op, truncated, integer(x.elem, a[i]), integer(y.elem, b[j]))?;
                Ok(x.elem.wrap(y as i64))
            };
            Values::Int(at.iter().map(f).collect::<Result<_, String>>()?)
        }
        _ => return Err("inputs of strings".into()),
    };
    Ok(vec![Constant::new(x.elem, &dims, values)?])
}

/// The remainder with the sign of the divisor, as numpy has it for floats.
fn floored(a: f32, b: f32) -> f32 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
}

fn whole(op: &str, truncated: bool, a: i128, b: i128) -> Result<i128, String> {
    Ok(match op {
        // ONNX leaves it open and ONNX Runtime stops its process: ranklet's definition, here and in the plan.
        "Div" | "Mod" if b == 0 => 0,
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a.wrapping_mul(b),
        "Div" => a / b,
        "Mod" if truncated => a % b,
        // The sign of the divisor.
        "Mod" => ((a % b) + b) % b,
        _ if b < 0 => match a {
            1 => 1,
            -1 => 1 - 2 * (b % 2).abs(),
            0 => return Err("a negative power of zero".into()),
            _ => 0,
        },
        _ => power(a, b),
    })
}

/// Modulo 2^128, of which the types here keep the lower bits.
fn power(mut base: i128, mut exponent: i128) -> i128 {
    let mut y: i128 = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            y = y.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent >>= 1;
    }
    y
}

fn variadic(spec: &Spec, args: &Args) -> Outputs {
    let inputs = args.all()?;
    match spec.op.as_str() {
        "Sum" => Ok(vec![sum(&inputs)?]),
        "Mean" => {
            let total = fold(&inputs, |a, b| a + b, |a, b| a + b)?;
            let n = inputs.len() as f64;
            let y = total.floats.iter().map(|v| total.elem.round((v / n) as f32)).collect();
            Ok(vec![Constant::new(total.elem, &total.dims, Values::Float(y))?])
        }
        op => {
            let least = op == "Min";
            let pick = move |a: f64, b: f64| match (a, b) {
                (a, _) if a.is_nan() => a,
                (_, b) if b.is_nan() => b,
                (a, b) if (b < a) == least && a != b => b,
                (a, _) => a,
            };
            Ok(vec![fold(&inputs, pick, move |a, b| if least { a.min(b) } else { a.max(b) })?.finish()?])
        }
    }
}

/// Inputs added in order, in f64.
pub(super) fn sum(inputs: &[&Constant]) -> Result<Constant, String> {
    fold(inputs, |a, b| a + b, |a, b| a + b)?.finish()
}

/// A fold of broadcast inputs before it is rounded; one of the lists is empty.
struct Folded {
    elem: Elem,
    dims: Vec<usize>,
    floats: Vec<f64>,
    ints: Vec<i128>,
}

impl Folded {
    fn finish(self) -> Result<Constant, String> {
        let values = if self.elem.is_float() {
            Values::Float(self.floats.iter().map(|&v| self.elem.round(v as f32)).collect())
        } else {
            Values::Int(self.ints.iter().map(|&v| self.elem.wrap(v as i64)).collect())
        };
        Constant::new(self.elem, &self.dims, values)
    }
}

fn fold(
    inputs: &[&Constant],
    float: impl Fn(f64, f64) -> f64,
    int: impl Fn(i128, i128) -> i128,
) -> Result<Folded, String> {
    let first = inputs.first().ok_or("no inputs")?;
    let elem = first.elem;
    let dims = broadcast(inputs.iter().map(|input| &input.dims[..]))?;
    let mut folded = Folded { elem, dims, floats: vec![], ints: vec![] };
    for (n, input) in inputs.iter().enumerate() {
        same_type(first, input)?;
        let at = broadcast_positions(&input.dims, &folded.dims)?;
        match &input.values {
            Values::Float(v) if n == 0 => folded.floats = at.iter().map(|&i| f64::from(v[i])).collect(),
            Values::Int(v) if n == 0 => folded.ints = at.iter().map(|&i| integer(elem, v[i])).collect(),
            Values::Float(v) => {
                folded.floats.iter_mut().zip(at).for_each(|(a, i)| *a = float(*a, f64::from(v[i])));
            }
            Values::Int(v) => folded.ints.iter_mut().zip(at).for_each(|(a, i)| *a = int(*a, integer(elem, v[i]))),
            Values::Text(_) => return Err("inputs of strings".into()),
        }
    }
    Ok(folded)
}

fn comparison(spec: &Spec, args: &Args) -> Outputs {
    let (x, y) = (args.get(0)?, args.get(1)?);
    same_type(x, y)?;
    let Pairs { dims, at } = pairs(spec, x, y)?;
    let op = spec.op.as_str();
    let holds = |order: Option<std::cmp::Ordering>| {
        order.is_some_and(|order| match op {
            "Equal" => order.is_eq(),
            "Less" => order.is_lt(),
            "LessOrEqual" => order.is_le(),
            "Greater" => order.is_gt(),
            _ => order.is_ge(),
        })
    };
    let y: Vec<bool> = match (&x.values, &y.values) {
        (Values::Float(a), Values::Float(b)) => at.iter().map(|&(i, j)| holds(a[i].partial_cmp(&b[j]))).collect(),
        (Values::Int(a), Values::Int(b)) => {
            at.iter().map(|&(i, j)| holds(Some(integer(x.elem, a[i]).cmp(&integer(x.elem, b[j]))))).collect()
        }
        (Values::Text(a), Values::Text(b)) if op == "Equal" => at.iter().map(|&(i, j)| a[i] == b[j]).collect(),
        _ => return Err("strings have no order".into()),
    };
    Ok(vec![Constant::bools(&dims, y)])
}

fn logic(spec: &Spec, args: &Args) -> Outputs {
    let (x, y) = (args.get(0)?, args.get(1)?);
    let Pairs { dims, at } = pairs(spec, x, y)?;
    let (a, b) = (x.ints()?, y.ints()?);
    let f = |a: bool, b: bool| match spec.op.as_str() {
        "And" => a && b,
        "Or" => a || b,
        _ => a != b,
    };
    Ok(vec![Constant::bools(&dims, at.iter().map(|&(i, j)| f(a[i] != 0, b[j] != 0)))])
}

fn choose(_: &Spec, args: &Args) -> Outputs {
    let (condition, x, y) = (args.get(0)?, args.get(1)?, args.get(2)?);
    let dims = broadcast([&condition.dims[..], &x.dims[..], &y.dims[..]])?;
    let at = |input: &Constant| broadcast_positions(&input.dims, &dims);
    let (yes, no, chosen) = (at(x)?, at(y)?, at(condition)?);
    let condition = condition.ints()?;
    // Both branches in one list, so that any carrier will do.
    let both = super::shape::chain(&[x, y])?;
    let positions: Vec<usize> =
        (0..chosen.len()).map(|i| if condition[chosen[i]] != 0 { yes[i] } else { x.len() + no[i] }).collect();
    Ok(vec![super::shape::pick(&both, &dims, &positions)?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};
    use super::*;

    fn ints(op: &str, a: &[i64], b: &[i64]) -> Vec<i64> {
        node(op).run1(&[&i64s(&[a.len()], a), &i64s(&[b.len()], b)]).ints().unwrap().to_vec()
    }

    #[test]
    fn integers_divide_toward_zero_and_take_the_divisors_sign() {
        assert_eq!(ints("Div", &[-7, 7, -7], &[2, -2, -2]), [-3, -3, 3]);
        assert_eq!(ints("Mod", &[-7, 7, -7, 6], &[3, -3, -3, 3]), [2, -2, -1, 0]);
        assert_eq!(ints("Pow", &[2, -3, 2, -1], &[10, 3, -1, -3]), [1024, -27, 0, -1]);
        let fmod = node("Mod").int("fmod", 1).run1(&[&f32s(&[2], &[-5.5, 5.5]), &f32s(&[1], &[2.0])]);
        assert_eq!(fmod.floats().unwrap(), &[-1.5, 1.5]);
        assert_eq!((ints("Div", &[1], &[0]), ints("Mod", &[1], &[0])), (vec![0], vec![0]));
        let floor = node("Mod").run1(&[&f32s(&[3], &[-5.5, 5.5, -1.0]), &f32s(&[3], &[2.0, -2.0, f32::INFINITY])]);
        assert_eq!(floor.floats().unwrap(), &[0.5, -0.5, f32::INFINITY]);
    }

    #[test]
    fn results_wrap_to_their_type() {
        let int32 = |v: i64| Constant::new(Elem::I32, &[1], Values::Int(vec![v])).unwrap();
        let y = node("Add").run1(&[&int32(i64::from(i32::MAX)), &int32(1)]);
        assert_eq!((y.elem, y.ints().unwrap()), (Elem::I32, &[i64::from(i32::MIN)][..]));
        let u64s = |v: u64| Constant::new(Elem::U64, &[1], Values::Int(vec![v as i64])).unwrap();
        assert_eq!(node("Div").run1(&[&u64s(u64::MAX), &u64s(2)]).ints().unwrap(), &[i64::MAX]);
    }

    #[test]
    fn inputs_broadcast() {
        let (x, y) = (f32s(&[2, 1], &[1.0, 2.0]), f32s(&[3], &[10.0, 20.0, 30.0]));
        let sum = node("Add").run1(&[&x, &y]);
        assert_eq!((&sum.dims[..], sum.floats().unwrap()), (&[2, 3][..], &[11.0, 21.0, 31.0, 12.0, 22.0, 32.0][..]));
        let old = node("Add").opset(6).int("broadcast", 1).int("axis", 0);
        let y = old.run1(&[&f32s(&[2, 2], &[0.0; 4]), &f32s(&[2], &[1.0, 2.0])]);
        assert_eq!(y.floats().unwrap(), &[1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn nan_passes_through_min_and_max_and_fails_comparisons() {
        let (x, y) = (f32s(&[2], &[f32::NAN, 1.0]), f32s(&[2], &[0.0, f32::NAN]));
        for op in ["Min", "Max"] {
            assert!(node(op).run1(&[&x, &y]).floats().unwrap().iter().all(|v| v.is_nan()), "{op}");
        }
        assert_eq!(node("GreaterOrEqual").run1(&[&x, &y]).ints().unwrap(), &[0, 0]);
        let three = [&f32s(&[1], &[3.0]), &f32s(&[1], &[-1.0]), &f32s(&[1], &[2.0])];
        assert_eq!(node("Min").run1(&three).floats().unwrap(), &[-1.0]);
        assert_eq!(node("Max").run1(&three).floats().unwrap(), &[3.0]);
        assert_eq!(node("Mean").run1(&three).floats().unwrap(), &[4.0 / 3.0]);
    }

    #[test]
    fn where_takes_from_both_sides() {
        let condition = Constant::bools(&[2, 1], [true, false]);
        let y = node("Where").run1(&[&condition, &f32s(&[2], &[1.0, 2.0]), &f32s(&[1], &[9.0])]);
        assert_eq!((&y.dims[..], y.floats().unwrap()), (&[2, 2][..], &[1.0, 2.0, 9.0, 9.0][..]));
    }
}
