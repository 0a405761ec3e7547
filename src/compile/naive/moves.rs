//! Elements under another shape or order: Reshape, Transpose, Concat, Expand, Tile, Trilu and the like.

use super::super::constant::{Constant, count};
use super::super::node::Spec;
use super::shape::{axes, axis, broadcast, broadcast_positions, chain, flat, pick, rearrange, reshaped, size, strides};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Squeeze" => squeeze,
        "Unsqueeze" => unsqueeze,
        "Transpose" => transpose,
        "Expand" => expand,
        "Tile" => tile,
        "Concat" => concat,
        "Trilu" => trilu,
        _ => return None,
    })
}

/// A list that is an attribute in old operator sets and input `i` in new ones.
pub(super) fn list(spec: &Spec, args: &Args, name: &str, i: usize) -> Result<Option<Vec<i64>>, String> {
    Ok(match args.ints(i)? {
        Some(ints) => Some(ints.to_vec()),
        None => spec.ints(name).map(<[i64]>::to_vec),
    })
}

fn reshape(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let wanted = list(spec, args, "shape", 1)?.ok_or("no shape is given")?;
    let keep_zero = spec.int("allowzero", 0) == 1;
    let mut dims = vec![];
    let mut open = None;
    for (i, &v) in wanted.iter().enumerate() {
        dims.push(match v {
            -1 if open.replace(i).is_some() => return Err("two dimensions are -1".into()),
            -1 => 1,
            0 if !keep_zero => *x.dims.get(i).ok_or("a dimension of 0 stands for one that is not there")?,
            v => size(v)?,
        });
    }
    if let Some(open) = open {
        let rest = count(&dims)?;
        if rest == 0 || x.len() % rest != 0 {
            return Err(format!("the shape {:?} cannot become {wanted:?}", x.dims));
        }
        dims[open] = x.len() / rest;
    }
    Ok(vec![reshaped(x, dims)?])
}

fn flatten(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let at = axis(spec.int("axis", 1), x.rank() + 1).map(|counted| {
        // A negative axis counts from the rank, not from the place behind it.
        if spec.int("axis", 1) < 0 { counted.saturating_sub(1) } else { counted }
    })?;
    let dims = vec![x.dims[..at].iter().product(), x.dims[at..].iter().product()];
    Ok(vec![reshaped(x, dims)?])
}

fn squeeze(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let drop = match list(spec, args, "axes", 1)? {
        Some(list) => axes(&list, x.rank())?,
        None => (0..x.rank()).filter(|&i| x.dims[i] == 1).collect(),
    };
    if let Some(&i) = drop.iter().find(|&&i| x.dims[i] != 1) {
        return Err(format!("axis {i} has size {}", x.dims[i]));
    }
    let dims = (0..x.rank()).filter(|i| !drop.contains(i)).map(|i| x.dims[i]).collect();
    Ok(vec![reshaped(x, dims)?])
}

fn unsqueeze(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let wanted = list(spec, args, "axes", 1)?.ok_or("no axes are given")?;
    let new = axes(&wanted, x.rank() + wanted.len())?;
    let mut old = x.dims.iter();
    let dims = (0..x.rank() + new.len())
        .map(|i| if new.contains(&i) { 1 } else { old.next().copied().unwrap_or(1) })
        .collect();
    Ok(vec![reshaped(x, dims)?])
}

fn transpose(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let reversed: Vec<i64> = (0..x.rank() as i64).rev().collect();
    let perm = axes(spec.ints("perm").unwrap_or(&reversed), x.rank())?;
    if perm.len() != x.rank() {
        return Err(format!("{} axes of a value of rank {}", perm.len(), x.rank()));
    }
    Ok(vec![transposed(x, &perm)?])
}

/// Axis `i` of the result is axis `perm[i]` of `x`.
pub(super) fn transposed(x: &Constant, perm: &[usize]) -> Result<Constant, String> {
    let own = strides(&x.dims);
    let dims: Vec<usize> = perm.iter().map(|&i| x.dims[i]).collect();
    let moved: Vec<usize> = perm.iter().map(|&i| own[i]).collect();
    rearrange(x, &dims, |at| Ok(flat(at, &moved)))
}

fn expand(_: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let wanted = args.get(1)?.ints()?.iter().map(|&v| size(v)).collect::<Result<Vec<_>, _>>()?;
    let dims = broadcast([&x.dims[..], &wanted[..]])?;
    Ok(vec![pick(x, &dims, &broadcast_positions(&x.dims, &dims)?)?])
}

fn tile(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let mut repeats = vec![1; x.rank()];
    if spec.opset < 6 {
        repeats[axis(args.int(2)?, x.rank())?] = size(args.int(1)?)?;
    } else {
        repeats = args.get(1)?.ints()?.iter().map(|&v| size(v)).collect::<Result<Vec<_>, _>>()?;
    }
    if repeats.len() != x.rank() {
        return Err(format!("{} repeats of a value of rank {}", repeats.len(), x.rank()));
    }
    let dims: Vec<usize> = x.dims.iter().zip(&repeats).map(|(dim, n)| dim * n).collect();
    let own = strides(&x.dims);
    let y = rearrange(x, &dims, |at| Ok((0..at.len()).map(|i| at[i] % x.dims[i] * own[i]).sum()))?;
    Ok(vec![y])
}

fn concat(spec: &Spec, args: &Args) -> Outputs {
    let parts = args.all()?;
    let first = parts.first().ok_or("no inputs")?;
    let along = axis(spec.int("axis", 1), first.rank())?;
    let mut dims = first.dims.clone();
    dims[along] = 0;
    // Where each part begins along the axis, and among the elements of all.
    let mut starts = vec![];
    let mut elements = 0;
    for part in &parts {
        let fits = part.rank() == first.rank() && (0..dims.len()).all(|i| i == along || part.dims[i] == dims[i]);
        if !fits {
            return Err(format!("the shapes {:?} and {:?} do not fit together", first.dims, part.dims));
        }
        starts.push((dims[along], elements, strides(&part.dims)));
        dims[along] += part.dims[along];
        elements += part.len();
    }
    let y = rearrange(&chain(&parts)?, &dims, |at| {
        let part = starts.iter().rev().find(|part| part.0 <= at[along]).ok_or("no such part")?;
        Ok(part.1 + flat(at, &part.2) - part.0 * part.2[along])
    })?;
    Ok(vec![y])
}

fn trilu(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    if x.rank() < 2 {
        return Err(format!("a value of rank {}", x.rank()));
    }
    let k = if args.optional(1).is_some() { args.int(1)? } else { 0 };
    let upper = spec.int("upper", 1) == 1;
    // A zero stands behind the elements, for what is cut off.
    let zero = super::convert::cast(&Constant::i64(&[1], vec![0]), x.elem)?;
    let (own, rank) = (strides(&x.dims), x.rank());
    let y = rearrange(&chain(&[x, &zero])?, &x.dims, |at| {
        let right = (at[rank - 1] as i64).saturating_sub(at[rank - 2] as i64);
        let kept = if upper { right >= k } else { right <= k };
        Ok(if kept { flat(at, &own) } else { x.len() })
    })?;
    Ok(vec![y])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};
    use super::*;

    fn ramp(dims: &[usize]) -> Constant {
        i64s(dims, &(0..dims.iter().product::<usize>() as i64).collect::<Vec<_>>())
    }

    #[test]
    fn shapes_change_as_onnx_says() {
        let x = ramp(&[2, 3, 4]);
        let dims = |y: Constant| y.dims;
        assert_eq!(dims(node("Reshape").run1(&[&x, &i64s(&[3], &[0, -1, 2])])), [2, 6, 2]);
        let none = ramp(&[0, 3]);
        assert_eq!(dims(node("Reshape").int("allowzero", 1).run1(&[&none, &i64s(&[2], &[3, 0])])), [3, 0]);
        assert!(node("Reshape").run(&[Some(&x), Some(&i64s(&[1], &[5]))]).is_err());
        assert_eq!(dims(node("Flatten").run1(&[&x])), [2, 12]);
        assert_eq!(dims(node("Flatten").int("axis", 0).run1(&[&x])), [1, 24]);
        assert_eq!(dims(node("Flatten").int("axis", -1).run1(&[&x])), [6, 4]);
        assert_eq!(dims(node("Flatten").int("axis", 3).run1(&[&x])), [24, 1]);
        assert_eq!(dims(node("Unsqueeze").run1(&[&x, &i64s(&[2], &[0, -1])])), [1, 2, 3, 4, 1]);
        assert_eq!(dims(node("Unsqueeze").opset(11).ints("axes", &[1]).run1(&[&x])), [2, 1, 3, 4]);
        assert_eq!(dims(node("Squeeze").run1(&[&ramp(&[1, 3, 1])])), [3]);
        assert_eq!(dims(node("Squeeze").run1(&[&ramp(&[1, 3, 1]), &i64s(&[1], &[-1])])), [1, 3]);
    }

    #[test]
    fn elements_move_as_onnx_says() {
        let x = ramp(&[2, 3]);
        assert_eq!(node("Transpose").run1(&[&x]), i64s(&[3, 2], &[0, 3, 1, 4, 2, 5]));
        let cube = node("Transpose").ints("perm", &[1, 2, 0]).run1(&[&ramp(&[2, 2, 2])]);
        assert_eq!(cube, i64s(&[2, 2, 2], &[0, 4, 1, 5, 2, 6, 3, 7]));
        assert_eq!(node("Expand").run1(&[&i64s(&[2, 1], &[7, 8]), &i64s(&[1], &[2])]), i64s(&[2, 2], &[7, 7, 8, 8]));
        assert_eq!(
            node("Tile").run1(&[&i64s(&[1, 2], &[7, 8]), &i64s(&[2], &[2, 2])]).ints().unwrap(),
            &[7, 8, 7, 8, 7, 8, 7, 8]
        );
        let joined = node("Concat").int("axis", -1).run1(&[&x, &i64s(&[2, 0], &[]), &i64s(&[2, 1], &[8, 9])]);
        assert_eq!(joined, i64s(&[2, 4], &[0, 1, 2, 8, 3, 4, 5, 9]));
        assert!(node("Concat").int("axis", 0).run(&[Some(&x), Some(&f32s(&[1, 3], &[0.0; 3]))]).is_err());
    }

    #[test]
    fn triangles_keep_their_diagonal() {
        let x = i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(node("Trilu").run1(&[&x]).ints().unwrap(), &[1, 2, 3, 0, 5, 6]);
        assert_eq!(node("Trilu").int("upper", 0).run1(&[&x]).ints().unwrap(), &[1, 0, 0, 4, 5, 0]);
        assert_eq!(node("Trilu").run1(&[&x, &i64s(&[], &[1])]).ints().unwrap(), &[0, 2, 3, 0, 0, 6]);
    }
}
