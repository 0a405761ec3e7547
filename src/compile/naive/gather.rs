//! Elements chosen by indices: Gather and its kin, Scatter, OneHot.

use super::super::constant::{Constant, Values};
use super::super::node::Spec;
use super::shape::{axis, broadcast, chain, each, flat, index, pick, rearrange, size, strides};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "Gather" => gather,
        "GatherElements" => gather_elements,
        "GatherND" => gather_nd,
        "ScatterElements" => scatter_elements,
        "ScatterND" => scatter_nd,
        "OneHot" => one_hot,
        _ => return None,
    })
}

fn gather(spec: &Spec, args: &Args) -> Outputs {
    let (x, at) = (args.get(0)?, args.get(1)?);
    let along = axis(spec.int("axis", 0), x.rank())?;
    let indices = at.ints()?;
    let (own, inner) = (strides(&x.dims), strides(&at.dims));
    let dims = [&x.dims[..along], &at.dims[..], &x.dims[along + 1..]].concat();
    let y = rearrange(x, &dims, |out| {
        let (before, rest) = out.split_at(along);
        let (chosen, after) = rest.split_at(at.rank());
        let i = index(indices[flat(chosen, &inner)], x.dims[along])?;
        Ok(flat(before, &own) + i * own[along] + flat(after, &own[along + 1..]))
    })?;
    Ok(vec![y])
}

fn gather_elements(spec: &Spec, args: &Args) -> Outputs {
    let (x, at) = (args.get(0)?, args.get(1)?);
    let along = axis(spec.int("axis", 0), x.rank())?;
    element_positions(x, at, along).and_then(|positions| Ok(vec![pick(x, &at.dims, &positions)?]))
}

/// For every index, the position in `x` that it names along one axis.
fn element_positions(x: &Constant, at: &Constant, along: usize) -> Result<Vec<usize>, String> {
    let fits = x.rank() == at.rank() && (0..x.rank()).all(|i| i == along || at.dims[i] <= x.dims[i]);
    if !fits {
        return Err(format!("indices of shape {:?} into a value of shape {:?}", at.dims, x.dims));
    }
    let (indices, own) = (at.ints()?, strides(&x.dims));
    let mut positions = vec![];
    each(&at.dims, |out| {
        let i = index(indices[positions.len()], x.dims[along])?;
        positions.push(flat(out, &own) - out[along] * own[along] + i * own[along]);
        Ok(())
    })?;
    Ok(positions)
}

/// A list of tuples of indices, each naming a slice of `x` behind `batch` shared axes.
struct Tuples {
    /// First element of each slice.
    starts: Vec<usize>,
    /// Shape and number of elements of a slice.
    dims: Vec<usize>,
    len: usize,
}

fn tuples(x: &Constant, at: &Constant, batch: usize) -> Result<Tuples, String> {
    let width = *at.dims.last().ok_or("indices of rank 0")?;
    let deep = batch + width;
    if deep > x.rank() || batch >= at.rank() || x.dims[..batch] != at.dims[..batch] {
        return Err(format!("indices of shape {:?} into a value of shape {:?}", at.dims, x.dims));
    }
    let (indices, own) = (at.ints()?, strides(&x.dims));
    let mut starts = vec![];
    each(&at.dims[..at.rank() - 1], |out| {
        let tuple = &indices[starts.len() * width..][..width];
        let mut start = flat(&out[..batch], &own);
        for (i, &v) in tuple.iter().enumerate() {
            start += index(v, x.dims[batch + i])? * own[batch + i];
        }
        starts.push(start);
        Ok(())
    })?;
    let dims = x.dims[deep..].to_vec();
    Ok(Tuples { starts, len: dims.iter().product(), dims })
}

fn gather_nd(spec: &Spec, args: &Args) -> Outputs {
    let (x, at) = (args.get(0)?, args.get(1)?);
    let slices = tuples(x, at, size(spec.int("batch_dims", 0))?)?;
    let dims = [&at.dims[..at.rank() - 1], &slices.dims[..]].concat();
    let positions: Vec<usize> = slices.starts.iter().flat_map(|&start| start..start + slices.len).collect();
    Ok(vec![pick(x, &dims, &positions)?])
}

fn scatter_elements(spec: &Spec, args: &Args) -> Outputs {
    let (x, at, updates) = (args.get(0)?, args.get(1)?, args.get(2)?);
    let along = axis(spec.int("axis", 0), x.rank())?;
    if at.dims != updates.dims {
        return Err(format!("updates of shape {:?} for indices of shape {:?}", updates.dims, at.dims));
    }
    scatter(spec, x, &element_positions(x, at, along)?, updates)
}

fn scatter_nd(spec: &Spec, args: &Args) -> Outputs {
    let (x, at, updates) = (args.get(0)?, args.get(1)?, args.get(2)?);
    let slices = tuples(x, at, 0)?;
    let positions: Vec<usize> = slices.starts.iter().flat_map(|&start| start..start + slices.len).collect();
    if positions.len() != updates.len() {
        return Err(format!("updates of shape {:?} for {} elements", updates.dims, positions.len()));
    }
    scatter(spec, x, &positions, updates)
}

/// `x` with the updates at their positions, one after the other.
fn scatter(spec: &Spec, x: &Constant, positions: &[usize], updates: &Constant) -> Outputs {
    let how = spec.string("reduction").unwrap_or_else(|| "none".into());
    if !matches!(how.as_str(), "none" | "add" | "mul" | "max" | "min") {
        return Err(format!("the reduction `{how}`"));
    }
    let mut y = x.clone();
    match (&mut y.values, &updates.values) {
        (Values::Float(y), Values::Float(v)) => {
            for (&i, &v) in positions.iter().zip(v) {
                y[i] = x.elem.round(match how.as_str() {
                    "add" => y[i] + v,
                    "mul" => y[i] * v,
                    "max" if v < y[i] || y[i].is_nan() => y[i],
                    "min" if v > y[i] || y[i].is_nan() => y[i],
                    _ => v,
                });
            }
        }
        (Values::Int(y), Values::Int(v)) => {
            for (&i, &v) in positions.iter().zip(v) {
                y[i] = x.elem.wrap(match how.as_str() {
                    "add" => y[i].wrapping_add(v),
                    "mul" => y[i].wrapping_mul(v),
                    "max" => y[i].max(v),
                    "min" => y[i].min(v),
                    _ => v,
                });
            }
        }
        _ => return Err("updates of another type, or strings".into()),
    }
    Ok(vec![y])
}

/// Indices outside -depth..depth give a row without its mark.
fn one_hot(spec: &Spec, args: &Args) -> Outputs {
    let (at, depth, values) = (args.get(0)?, args.get(1)?, args.get(2)?);
    let whole = |x: &Constant| -> Result<Vec<i64>, String> {
        Ok(match &x.values {
            Values::Float(v) => v.iter().map(|&v| v as i64).collect(),
            _ => x.ints()?.to_vec(),
        })
    };
    let indices = whole(at)?;
    let depth = match whole(depth)?[..] {
        [depth] if depth > 0 => size(depth)?,
        _ => return Err("the depth is not one positive number".into()),
    };
    if values.len() != 2 {
        return Err(format!("values of shape {:?}", values.dims));
    }
    let along = axis(spec.int("axis", -1), at.rank() + 1)?;
    let dims = [&at.dims[..along], &[depth], &at.dims[along..]].concat();
    let own = strides(&at.dims);
    let y = rearrange(values, &dims, |out| {
        let source = [&out[..along], &out[along + 1..]].concat();
        Ok(usize::from(index(indices[flat(&source, &own)], depth) == Ok(out[along])))
    })?;
    Ok(vec![y])
}

/// The last axis replaced by the elements at the indices; a vector becomes one row (ai.onnx.ml).
pub(super) fn array_feature_extractor(_: &Spec, args: &Args) -> Outputs {
    let (x, at) = (args.get(0)?, args.get(1)?);
    let indices = at.ints()?;
    let along = x.rank().checked_sub(1).ok_or("a value of rank 0")?;
    let mut dims = if x.rank() == 1 { vec![1] } else { x.dims[..along].to_vec() };
    dims.push(indices.len());
    let width = x.dims[along];
    let y = rearrange(x, &dims, |out| {
        let row = flat(&out[..out.len() - 1], &strides(&dims[..dims.len() - 1]));
        Ok(row * width + index(indices[out[out.len() - 1]], width)?)
    })?;
    Ok(vec![y])
}

/// Rows of several inputs joined along the second axis (ai.onnx.ml); vectors are rows of one column.
pub(super) fn feature_vectorizer(_: &Spec, args: &Args) -> Outputs {
    let parts = args.all()?;
    let parts = parts.iter().map(|part| super::convert::cast(part, super::super::constant::Elem::F32));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let rows = |x: &Constant| x.dims.first().copied().unwrap_or(1);
    let n = broadcast(parts.iter().map(|part| part.dims.get(..1).unwrap_or(&[])))?.first().copied().unwrap_or(1);
    if parts.iter().any(|part| rows(part) != n) {
        return Err("inputs with different numbers of rows".into());
    }
    let widths: Vec<usize> = parts.iter().map(|part| part.dims.iter().skip(1).product()).collect();
    let mut positions = vec![];
    for row in 0..n {
        let mut start = 0;
        for (part, &width) in parts.iter().zip(&widths) {
            positions.extend((0..width).map(|i| start + row * width + i));
            start += part.len();
        }
    }
    let all = chain(&parts.iter().collect::<Vec<_>>())?;
    Ok(vec![pick(&all, &[n, widths.iter().sum()], &positions)?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};

    #[test]
    fn gathers_take_rows_columns_elements_and_slices() {
        let x = f32s(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let y = node("Gather").run1(&[&x, &i64s(&[1, 2], &[-1, 0])]);
        assert_eq!(y, f32s(&[1, 2, 2], &[5.0, 6.0, 1.0, 2.0]));
        let y = node("Gather").int("axis", 1).run1(&[&x, &i64s(&[], &[1])]);
        assert_eq!(y, f32s(&[3], &[2.0, 4.0, 6.0]));
        assert!(node("Gather").run(&[Some(&x), Some(&i64s(&[1], &[3]))]).unwrap_err().contains("index 3"));
        let y = node("GatherElements").int("axis", 1).run1(&[&x, &i64s(&[2, 1], &[1, -2])]);
        assert_eq!(y, f32s(&[2, 1], &[2.0, 3.0]));
        let cube = f32s(&[2, 2, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let y = node("GatherND").run1(&[&cube, &i64s(&[2, 2], &[0, 1, 1, 0])]);
        assert_eq!(y, f32s(&[2, 2], &[2.0, 3.0, 4.0, 5.0]));
        let y = node("GatherND").int("batch_dims", 1).run1(&[&cube, &i64s(&[2, 1], &[1, 0])]);
        assert_eq!(y, f32s(&[2, 2], &[2.0, 3.0, 4.0, 5.0]));
    }

    #[test]
    fn scatters_write_in_order() {
        let x = f32s(&[1, 3], &[1.0, 2.0, 3.0]);
        let (at, updates) = (i64s(&[1, 2], &[1, 1]), f32s(&[1, 2], &[10.0, 20.0]));
        let run =
            |how: &str| node("ScatterElements").int("axis", 1).string("reduction", how).run1(&[&x, &at, &updates]);
        assert_eq!(run("none").floats().unwrap(), &[1.0, 20.0, 3.0]);
        assert_eq!(run("add").floats().unwrap(), &[1.0, 32.0, 3.0]);
        assert_eq!(run("mul").floats().unwrap(), &[1.0, 400.0, 3.0]);
        assert_eq!(run("min").floats().unwrap(), &[1.0, 2.0, 3.0]);
        let y = node("ScatterND").run1(&[&f32s(&[2, 2], &[0.0; 4]), &i64s(&[1, 1], &[1]), &f32s(&[1, 2], &[8.0, 9.0])]);
        assert_eq!(y, f32s(&[2, 2], &[0.0, 0.0, 8.0, 9.0]));
    }

    #[test]
    fn one_hot_marks_one_place_or_none() {
        let y = node("OneHot").run1(&[&i64s(&[3], &[0, -1, 7]), &i64s(&[], &[3]), &f32s(&[2], &[0.0, 5.0])]);
        assert_eq!(y, f32s(&[3, 3], &[5.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]));
        let y = node("OneHot").int("axis", 0).run1(&[&i64s(&[2], &[1, 0]), &i64s(&[1], &[2]), &i64s(&[2], &[0, 1])]);
        assert_eq!(y, i64s(&[2, 2], &[0, 1, 1, 0]));
    }

    #[test]
    fn features_are_extracted_and_joined() {
        let ml = |op: &str| node(op).domain("ai.onnx.ml").opset(1);
        let x = f32s(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let y = ml("ArrayFeatureExtractor").run1(&[&x, &i64s(&[2], &[2, 0])]);
        assert_eq!(y, f32s(&[2, 2], &[2.0, 0.0, 5.0, 3.0]));
        let y = ml("ArrayFeatureExtractor").run1(&[&f32s(&[3], &[7.0, 8.0, 9.0]), &i64s(&[1], &[1])]);
        assert_eq!(y, f32s(&[1, 1], &[8.0]));
        let y = ml("FeatureVectorizer").run1(&[&x, &i64s(&[2], &[8, 9])]);
        assert_eq!(y, f32s(&[2, 4], &[0.0, 1.0, 2.0, 8.0, 3.0, 4.0, 5.0, 9.0]));
    }
}
