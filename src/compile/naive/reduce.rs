//! Reductions over axes, CumSum.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::binary::integer;
use super::convert::saturate;
use super::moves::list;
use super::shape::{axes, axis, each, flat, strides};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => reduce,
        "CumSum" => cum_sum,
        _ => return None,
    })
}

/// The positions of `x` that fall together when `over` are reduced, group by group, and the kept dimensions.
fn groups(x: &Constant, over: &[usize]) -> Result<(Vec<usize>, Vec<Vec<usize>>), String> {
    let kept: Vec<usize> = (0..x.rank()).filter(|i| !over.contains(i)).collect();
    let dims: Vec<usize> = kept.iter().map(|&i| x.dims[i]).collect();
    let outer = strides(&dims);
    let mut groups = vec![vec![]; dims.iter().product()];
    let mut position = 0;
    each(&x.dims, |at| {
        let group: usize = kept.iter().zip(&outer).map(|(&i, stride)| at[i] * stride).sum();
        groups[group].push(position);
        position += 1;
        Ok(())
    })?;
    Ok((dims, groups))
}

fn reduce(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let named = list(spec, args, "axes", 1)?.unwrap_or_default();
    if named.is_empty() && spec.int("noop_with_empty_axes", 0) == 1 {
        return noop(spec, x);
    }
    let over = if named.is_empty() { (0..x.rank()).collect() } else { axes(&named, x.rank())? };
    let (mut dims, groups) = groups(x, &over)?;
    if spec.int("keepdims", 1) == 1 {
        dims = (0..x.rank()).map(|i| if over.contains(&i) { 1 } else { x.dims[i] }).collect();
    }
    finish(spec, x, &dims, &groups)
}

/// Without axes the function still holds for each element alone.
fn noop(spec: &Spec, x: &Constant) -> Outputs {
    let alone: Vec<Vec<usize>> = (0..x.len()).map(|i| vec![i]).collect();
    finish(spec, x, &x.dims, &alone)
}

fn finish(spec: &Spec, x: &Constant, dims: &[usize], groups: &[Vec<usize>]) -> Outputs {
    let op = spec.op.as_str();
    let values = match &x.values {
        Values::Float(v) => {
            let of = |group: &Vec<usize>| reduced(op, &group.iter().map(|&i| f64::from(v[i])).collect::<Vec<_>>());
            Values::Float(groups.iter().map(|group| x.elem.round(of(group) as f32)).collect())
        }
        Values::Int(v) => {
            let of = |group: &Vec<usize>| {
                whole(op, x.elem, &group.iter().map(|&i| integer(x.elem, v[i])).collect::<Vec<_>>())
            };
            Values::Int(groups.iter().map(of).collect())
        }
        Values::Text(_) => return Err("a value of strings".into()),
    };
    Ok(vec![Constant::new(x.elem, dims, values)?])
}

/// The largest, or the smallest if `least`; NaN if there is one, an infinity of nothing.
pub(super) fn extreme(v: &[f64], least: bool) -> f64 {
    let start = if least { f64::INFINITY } else { f64::NEG_INFINITY };
    v.iter().fold(start, |best, &v| {
        let better = if least { v < best } else { v > best };
        if better || v.is_nan() { v } else { best }
    })
}

fn reduced(op: &str, v: &[f64]) -> f64 {
    let sum = |f: fn(f64) -> f64| v.iter().map(|&v| f(v)).sum::<f64>();
    match op {
        "ReduceSum" => sum(|v| v),
        "ReduceMean" => sum(|v| v) / v.len() as f64,
        "ReduceMax" => extreme(v, false),
        "ReduceMin" => extreme(v, true),
        "ReduceProd" => v.iter().product(),
        "ReduceL1" => sum(f64::abs),
        "ReduceL2" => sum(|v| v * v).sqrt(),
        "ReduceSumSquare" => sum(|v| v * v),
        "ReduceLogSum" => libm::log(sum(|v| v)),
        _ => {
            let top = extreme(v, false);
            if !top.is_finite() {
                return top;
            }
            top + libm::log(v.iter().map(|v| libm::exp(v - top)).sum())
        }
    }
}

fn whole(op: &str, elem: Elem, v: &[i128]) -> i64 {
    let (low, high) = if elem == Elem::U64 { (0, i128::from(u64::MAX)) } else { widened(elem.bounds()) };
    let y = match op {
        "ReduceSum" => v.iter().sum(),
        "ReduceMean" => v.iter().sum::<i128>().checked_div(v.len() as i128).unwrap_or(0),
        "ReduceMax" => v.iter().copied().max().unwrap_or(low),
        "ReduceMin" => v.iter().copied().min().unwrap_or(high),
        "ReduceProd" => v.iter().fold(1, |product: i128, &v| product.wrapping_mul(v)),
        "ReduceL1" => v.iter().map(|v| v.abs()).sum(),
        "ReduceSumSquare" => v.iter().fold(0, |sum: i128, &v| sum.wrapping_add(v.wrapping_mul(v))),
        _ => return saturate(elem, reduced(op, &v.iter().map(|&v| v as f64).collect::<Vec<_>>())),
    };
    elem.wrap(y as i64)
}

fn widened((low, high): (i64, i64)) -> (i128, i128) {
    (i128::from(low), i128::from(high))
}

fn cum_sum(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let along = axis(args.int(1)?, x.rank())?;
    let (exclusive, reverse) = (spec.int("exclusive", 0) == 1, spec.int("reverse", 0) == 1);
    let (own, dim) = (strides(&x.dims), x.dims[along]);
    // Every element sums what lies before it on its own line, itself included unless `exclusive`.
    let mut lines: Vec<Vec<usize>> = vec![];
    each(&x.dims, |at| {
        let start = flat(at, &own) - at[along] * own[along];
        let (from, to) = if reverse { (at[along], dim) } else { (0, at[along] + 1) };
        let line = (from..to).filter(|&i| !(exclusive && i == at[along]));
        lines.push(line.map(|i| start + i * own[along]).collect());
        Ok(())
    })?;
    let values = match &x.values {
        Values::Float(v) => {
            let of = |line: &Vec<usize>| line.iter().map(|&i| f64::from(v[i])).sum::<f64>();
            Values::Float(lines.iter().map(|line| x.elem.round(of(line) as f32)).collect())
        }
        Values::Int(v) => {
            let of = |line: &Vec<usize>| line.iter().fold(0i64, |sum, &i| sum.wrapping_add(v[i]));
            Values::Int(lines.iter().map(|line| x.elem.wrap(of(line))).collect())
        }
        Values::Text(_) => return Err("a value of strings".into()),
    };
    Ok(vec![Constant::new(x.elem, &x.dims, values)?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};

    #[test]
    fn every_reduction_has_its_value() {
        let x = f32s(&[1, 2, 2], &[1.0, -2.0, 3.0, 4.0]);
        for (op, first, second) in [
            ("ReduceSum", -1.0, 7.0),
            ("ReduceMean", -0.5, 3.5),
            ("ReduceMax", 1.0, 4.0),
            ("ReduceMin", -2.0, 3.0),
            ("ReduceProd", -2.0, 12.0),
            ("ReduceL1", 3.0, 7.0),
            ("ReduceL2", 2.236_068, 5.0),
            ("ReduceSumSquare", 5.0, 25.0),
            ("ReduceLogSumExp", 1.048_587_3, 4.313_261_5),
        ] {
            let y = node(op).run1(&[&x, &i64s(&[1], &[-1])]);
            assert_eq!(y, f32s(&[1, 2, 1], &[first, second]), "{op}");
        }
        let y = node("ReduceLogSum").run1(&[&f32s(&[2], &[1.0, 3.0])]);
        assert_eq!(y.floats().unwrap(), &[1.386_294_4]);
        let far = node("ReduceLogSumExp").run1(&[&f32s(&[2], &[1000.0, 1000.0])]);
        assert_eq!(far.floats().unwrap(), &[1_000.693_2]);
        assert!(node("ReduceMax").run1(&[&f32s(&[2], &[f32::NAN, 1.0])]).floats().unwrap()[0].is_nan());
    }

    #[test]
    fn axes_may_be_all_some_or_none() {
        let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(node("ReduceSum").run1(&[&x]), i64s(&[1, 1], &[21]));
        assert_eq!(node("ReduceSum").int("keepdims", 0).run1(&[&x, &i64s(&[1], &[0])]), i64s(&[3], &[5, 7, 9]));
        assert_eq!(
            node("ReduceSumSquare").int("noop_with_empty_axes", 1).run1(&[&i64s(&[2], &[2, 3])]).ints().unwrap(),
            &[4, 9]
        );
        assert_eq!(node("ReduceMean").opset(13).ints("axes", &[1]).run1(&[&x]), i64s(&[2, 1], &[2, 5]));
    }

    #[test]
    fn sums_accumulate_from_either_end() {
        let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let axis = i64s(&[], &[1]);
        assert_eq!(node("CumSum").run1(&[&x, &axis]).ints().unwrap(), &[1, 3, 6, 4, 9, 15]);
        assert_eq!(node("CumSum").int("exclusive", 1).run1(&[&x, &axis]).ints().unwrap(), &[0, 1, 3, 0, 4, 9]);
        assert_eq!(node("CumSum").int("reverse", 1).run1(&[&x, &axis]).ints().unwrap(), &[6, 5, 3, 15, 11, 6]);
        let both = node("CumSum").int("reverse", 1).int("exclusive", 1).run1(&[&x, &i64s(&[], &[0])]);
        assert_eq!(both.ints().unwrap(), &[4, 5, 6, 0, 0, 0]);
    }
}
