//! Indices: shapes, axes, broadcasting, and constants made by picking elements of others.

use super::super::constant::{Constant, Values, count};

/// An axis counted from either end.
pub fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&counted| counted < rank)
        .ok_or_else(|| format!("axis {axis} of a value of rank {rank}"))
}

/// Several axes, each at most once, in the order given.
pub fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let counted = list.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    match (1..counted.len()).any(|i| counted[..i].contains(&counted[i])) {
        true => Err(format!("the axes {list:?} name one twice")),
        false => Ok(counted),
    }
}

/// An element's position counted from either end of an axis.
pub fn index(index: i64, size: usize) -> Result<usize, String> {
    let counted = if index < 0 { index.checked_add(size as i64).unwrap_or(-1) } else { index };
    usize::try_from(counted)
        .ok()
        .filter(|&counted| counted < size)
        .ok_or_else(|| format!("index {index} of an axis of size {size}"))
}

/// A dimension that an input or attribute gives.
pub fn size(v: i64) -> Result<usize, String> {
    usize::try_from(v).map_err(|_| format!("the dimension {v}"))
}

/// Row-major distances between neighbours along each axis.
pub fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// Position of an element in row-major order.
pub fn flat(at: &[usize], strides: &[usize]) -> usize {
    at.iter().zip(strides).map(|(i, stride)| i * stride).sum()
}

/// Calls `f` with every index of a shape, in row-major order; stops at its first error.
pub fn each(dims: &[usize], mut f: impl FnMut(&[usize]) -> Result<(), String>) -> Result<(), String> {
    let n = count(dims)?;
    let mut at = vec![0; dims.len()];
    for _ in 0..n {
        f(&at)?;
        for axis in (0..dims.len()).rev() {
            at[axis] += 1;
            if at[axis] < dims[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    Ok(())
}

/// The shape that all the shapes broadcast to (numpy's rule).
pub fn broadcast<'a>(shapes: impl IntoIterator<Item = &'a [usize]>) -> Result<Vec<usize>, String> {
    let mut joint: Vec<usize> = vec![];
    for shape in shapes {
        if joint.len() < shape.len() {
            joint.splice(0..0, std::iter::repeat_n(1, shape.len() - joint.len()));
        }
        let skip = joint.len() - shape.len();
        for (have, &want) in joint[skip..].iter_mut().zip(shape) {
            match (*have, want) {
                (have, want) if have == want => {}
                (_, 1) => {}
                (1, want) => *have = want,
                (have, want) => return Err(format!("dimensions {have} and {want} do not broadcast")),
            }
        }
    }
    Ok(joint)
}

/// Strides of `dims` as seen from the shape `wide` that it broadcasts to: 0 along repeated axes.
pub fn broadcast_strides(dims: &[usize], wide: &[usize]) -> Result<Vec<usize>, String> {
    if broadcast([dims, wide])? != wide {
        return Err(format!("the shape {dims:?} does not broadcast to {wide:?}"));
    }
    let own = strides(dims).into_iter().zip(dims).map(|(stride, &dim)| if dim == 1 { 0 } else { stride });
    Ok(std::iter::repeat_n(0, wide.len() - dims.len()).chain(own).collect())
}

/// For every element of `wide`, the position of the element of `dims` that broadcasting puts there.
pub fn broadcast_positions(dims: &[usize], wide: &[usize]) -> Result<Vec<usize>, String> {
    let strides = broadcast_strides(dims, wide)?;
    let mut positions = vec![];
    each(wide, |at| {
        positions.push(flat(at, &strides));
        Ok(())
    })?;
    Ok(positions)
}

/// The tensor of shape `dims` whose elements lie at `positions` of `x`.
pub fn pick(x: &Constant, dims: &[usize], positions: &[usize]) -> Result<Constant, String> {
    let values = match &x.values {
        Values::Float(v) => Values::Float(positions.iter().map(|&i| v[i]).collect()),
        Values::Int(v) => Values::Int(positions.iter().map(|&i| v[i]).collect()),
        Values::Text(v) => Values::Text(positions.iter().map(|&i| v[i].clone()).collect()),
    };
    Constant::new(x.elem, dims, values)
}

/// The tensor of shape `dims` whose element at an index lies where `source` says in `x`.
pub fn rearrange(
    x: &Constant,
    dims: &[usize],
    mut source: impl FnMut(&[usize]) -> Result<usize, String>,
) -> Result<Constant, String> {
    let mut positions = vec![];
    each(dims, |at| {
        positions.push(source(at)?);
        Ok(())
    })?;
    pick(x, dims, &positions)
}

/// Constants of one type laid one after the other, as a vector.
pub fn chain(parts: &[&Constant]) -> Result<Constant, String> {
    let first = parts.first().ok_or("no inputs")?;
    if let Some(other) = parts.iter().find(|part| part.elem != first.elem) {
        return Err(format!("inputs of the types {:?} and {:?}", first.elem, other.elem));
    }
    let mut values = match first.values {
        Values::Float(_) => Values::Float(vec![]),
        Values::Int(_) => Values::Int(vec![]),
        Values::Text(_) => Values::Text(vec![]),
    };
    for part in parts {
        match (&mut values, &part.values) {
            (Values::Float(all), Values::Float(v)) => all.extend(v),
            (Values::Int(all), Values::Int(v)) => all.extend(v),
            (Values::Text(all), Values::Text(v)) => all.extend(v.iter().cloned()),
            _ => return Err("inputs of different types".into()),
        }
    }
    let n = parts.iter().map(|part| part.len()).sum();
    Constant::new(first.elem, &[n], values)
}

/// The same elements under another shape.
pub fn reshaped(x: &Constant, dims: Vec<usize>) -> Result<Constant, String> {
    Constant::new(x.elem, &dims, x.values.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        assert_eq!(broadcast([&[3, 1][..], &[4][..]]), Ok(vec![3, 4]));
        assert_eq!(broadcast([&[][..], &[2, 0][..]]), Ok(vec![2, 0]));
        assert!(broadcast([&[3][..], &[2][..]]).is_err());
        assert_eq!(broadcast_positions(&[2, 1], &[2, 3]), Ok(vec![0, 0, 0, 1, 1, 1]));
        assert!(broadcast_positions(&[2, 3], &[3]).is_err());
    }

    #[test]
    fn axes_count_from_either_end() {
        assert_eq!(axis(-1, 3), Ok(2));
        assert!(axis(3, 3).is_err());
        assert!(axis(-4, 3).is_err());
        assert!(axes(&[0, -3], 3).is_err());
        assert_eq!(index(-2, 5), Ok(3));
        assert!(index(i64::MIN, 5).is_err());
    }
}
