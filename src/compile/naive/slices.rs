//! Parts along axes: Slice and Split.

use super::super::constant::Constant;
use super::super::node::Spec;
use super::moves::list;
use super::shape::{axes, axis, flat, rearrange, size, strides};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "Slice" => slice,
        "Split" => split,
        _ => return None,
    })
}

fn slice(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let starts = list(spec, args, "starts", 1)?.ok_or("no starts are given")?;
    let ends = list(spec, args, "ends", 2)?.ok_or("no ends are given")?;
    let along = list(spec, args, "axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = args.ints(4)?.map_or_else(|| vec![1; starts.len()], <[i64]>::to_vec);
    if [ends.len(), along.len(), steps.len()].iter().any(|&n| n != starts.len()) {
        return Err("starts, ends, axes and steps differ in length".into());
    }
    let mut dims = x.dims.clone();
    // First element and step along each axis.
    let mut cuts: Vec<(i64, i64)> = vec![(0, 1); x.rank()];
    for (i, &at) in axes(&along, x.rank())?.iter().enumerate() {
        let (start, n) = cut(starts[i], ends[i], steps[i], x.dims[at] as i64)?;
        dims[at] = n;
        cuts[at] = (start, steps[i]);
    }
    let own = strides(&x.dims);
    let y = rearrange(x, &dims, |at| {
        let source = at.iter().zip(&cuts).map(|(&i, (start, step))| (start + i as i64 * step) as usize);
        Ok(flat(&source.collect::<Vec<_>>(), &own))
    })?;
    Ok(vec![y])
}

/// The first position and the number of positions of `start..end` by `step`, by numpy's rule.
fn cut(start: i64, end: i64, step: i64, dim: i64) -> Result<(i64, usize), String> {
    let counted = |v: i64| if v < 0 { v.saturating_add(dim) } else { v };
    let (start, end, n) = match step {
        0 => return Err("a step of zero".into()),
        step if step > 0 => {
            let (start, end) = (counted(start).clamp(0, dim), counted(end).clamp(0, dim));
            (start, end, i128::from(end - start))
        }
        _ => {
            let (start, end) = (counted(start).clamp(-1, dim - 1), counted(end).clamp(-1, dim - 1));
            (start, end, i128::from(start - end))
        }
    };
    debug_assert!(start <= dim && end <= dim);
    let step = i128::from(step).abs();
    Ok((start, ((n + step - 1) / step).max(0) as usize))
}

fn split(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let along = axis(spec.int("axis", 0), x.rank())?;
    let dim = x.dims[along];
    let sizes = match list(spec, args, "split", 1)? {
        Some(sizes) => sizes.iter().map(|&v| size(v)).collect::<Result<Vec<_>, _>>()?,
        None => {
            let parts = size(spec.int("num_outputs", spec.outputs as i64))?.max(1);
            let even = dim.div_ceil(parts);
            if dim % parts != 0 && !spec.has("num_outputs") {
                return Err(format!("{dim} elements do not split into {parts} equal parts"));
            }
            // Only the last part may be smaller.
            (0..parts).map(|i| even.min(dim.saturating_sub(i * even))).collect()
        }
    };
    if sizes.iter().sum::<usize>() != dim {
        return Err(format!("parts of sizes {sizes:?} of an axis of size {dim}"));
    }
    let own = strides(&x.dims);
    let mut start = 0;
    let mut parts: Vec<Constant> = vec![];
    for part in sizes {
        let mut dims = x.dims.clone();
        dims[along] = part;
        parts.push(rearrange(x, &dims, |at| Ok(flat(at, &own) + start * own[along]))?);
        start += part;
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{i64s, node};

    #[test]
    fn slices_follow_numpy() {
        let x = i64s(&[2, 4], &[0, 1, 2, 3, 4, 5, 6, 7]);
        let run = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]| {
            let list = |v: &[i64]| i64s(&[v.len()], v);
            node("Slice").run1(&[&x, &list(starts), &list(ends), &list(axes), &list(steps)])
        };
        assert_eq!(run(&[1], &[i64::MAX], &[1], &[2]), i64s(&[2, 2], &[1, 3, 5, 7]));
        assert_eq!(run(&[-1], &[i64::MIN], &[1], &[-2]), i64s(&[2, 2], &[3, 1, 7, 5]));
        assert_eq!(run(&[-1, 0], &[2, -1], &[0, 1], &[1, 1]), i64s(&[1, 3], &[4, 5, 6]));
        assert_eq!(run(&[3], &[1], &[1], &[1]).dims, [2, 0]);
        assert_eq!(run(&[10], &[0], &[1], &[-1]), i64s(&[2, 3], &[3, 2, 1, 7, 6, 5]));
        let old = node("Slice").opset(9).ints("starts", &[1]).ints("ends", &[3]).ints("axes", &[1]).run1(&[&x]);
        assert_eq!(old, i64s(&[2, 2], &[1, 2, 5, 6]));
    }

    #[test]
    fn splits_are_even_unless_said_otherwise() {
        let x = i64s(&[5], &[0, 1, 2, 3, 4]);
        let parts = node("Split").run(&[Some(&x), Some(&i64s(&[2], &[1, 4]))]).unwrap();
        assert_eq!(parts, [i64s(&[1], &[0]), i64s(&[4], &[1, 2, 3, 4])]);
        let parts = node("Split").int("num_outputs", 2).run(&[Some(&x)]).unwrap();
        assert_eq!(parts, [i64s(&[3], &[0, 1, 2]), i64s(&[2], &[3, 4])]);
        let old = node("Split").opset(11).ints("split", &[2, 3]).run(&[Some(&x)]).unwrap();
        assert_eq!(old, [i64s(&[2], &[0, 1]), i64s(&[3], &[2, 3, 4])]);
        assert!(node("Split").run(&[Some(&x), Some(&i64s(&[2], &[1, 1]))]).is_err());
    }
}
