//! Operators that compare elements along an axis: ArgMax, ArgMin, TopK, Hardmax.

use super::super::constant::{Constant, Elem, Values};
use super::super::node::Spec;
use super::binary::integer;
use super::shape::{axis, each, pick, size, strides};
use super::{Args, Evaluator, Outputs};
use std::cmp::Ordering;

pub(super) fn find(op: &str) -> Option<Evaluator> {
    Some(match op {
        "ArgMax" | "ArgMin" => arg,
        "TopK" => top_k,
        "Hardmax" => hardmax,
        _ => return None,
    })
}

/// Order of two elements of `x` by position. NaN stands below everything, and equal to itself.
fn order(x: &Constant) -> Result<Box<dyn Fn(usize, usize) -> Ordering + '_>, String> {
    Ok(match &x.values {
        Values::Float(v) => {
            Box::new(|i, j| v[i].partial_cmp(&v[j]).unwrap_or_else(|| v[j].is_nan().cmp(&v[i].is_nan())))
        }
        Values::Int(v) => Box::new(|i, j| integer(x.elem, v[i]).cmp(&integer(x.elem, v[j]))),
        Values::Text(_) => return Err("a value of strings".into()),
    })
}

/// Along one axis: the positions of each line of `x`, in the order of the other axes.
pub(super) fn lines(dims: &[usize], along: usize) -> Result<Vec<Vec<usize>>, String> {
    let own = strides(dims);
    let mut outer = dims.to_vec();
    outer[along] = 1;
    let mut lines = vec![];
    each(&outer, |at| {
        let start = super::shape::flat(at, &own);
        lines.push((0..dims[along]).map(|i| start + i * own[along]).collect());
        Ok(())
    })?;
    Ok(lines)
}

fn arg(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let along = axis(spec.int("axis", 0), x.rank())?;
    let (least, last) = (spec.op == "ArgMin", spec.int("select_last_index", 0) == 1);
    // As ONNX Runtime compares: NaN is neither above nor below anything, so that it stays where it stands first.
    let order = |i: usize, j: usize| match &x.values {
        Values::Float(v) => v[i].partial_cmp(&v[j]),
        Values::Int(v) => Some(integer(x.elem, v[i]).cmp(&integer(x.elem, v[j]))),
        Values::Text(_) => None,
    };
    let mut y = vec![];
    for line in lines(&x.dims, along)? {
        let mut best = 0;
        for i in 1..line.len() {
            let compared = order(line[i], line[best]);
            let compared = compared.map(|order| if least { order.reverse() } else { order });
            if compared.is_some_and(|order| order.is_gt() || (last && order.is_eq())) {
                best = i;
            }
        }
        if line.is_empty() {
            return Err("an empty axis".into());
        }
        y.push(best as i64);
    }
    let mut dims = x.dims.clone();
    dims[along] = 1;
    if spec.int("keepdims", 1) != 1 {
        dims.remove(along);
    }
    Ok(vec![Constant::new(Elem::I64, &dims, Values::Int(y))?])
}

/// Sorted even where that is not asked for; of equals the first comes first.
fn top_k(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let along = axis(spec.int("axis", -1), x.rank())?;
    let k = size(if spec.opset < 10 { spec.int("k", 0) } else { args.int(1)? })?;
    if k > x.dims[along] {
        return Err(format!("{k} elements of an axis of size {}", x.dims[along]));
    }
    let largest = spec.int("largest", 1) == 1;
    let order = order(x)?;
    let lines: Vec<Vec<usize>> = lines(&x.dims, along)?;
    let mut dims = x.dims.clone();
    dims[along] = k;
    let own = strides(&dims);
    let mut outer = dims.clone();
    outer[along] = 1;
    let mut positions = vec![0; dims.iter().product()];
    let mut indices = vec![0; positions.len()];
    let mut line = lines.iter();
    each(if k == 0 { &[0] } else { &outer }, |at| {
        let line = line.next().ok_or("no such line")?;
        let mut sorted: Vec<usize> = (0..line.len()).collect();
        sorted.sort_by(|&i, &j| {
            let compared = order(line[i], line[j]);
            if largest { compared.reverse() } else { compared }
        });
        for (place, &i) in sorted[..k].iter().enumerate() {
            let out = super::shape::flat(at, &own) + place * own[along];
            positions[out] = line[i];
            indices[out] = i as i64;
        }
        Ok(())
    })?;
    Ok(vec![pick(x, &dims, &positions)?, Constant::i64(&dims, indices)])
}

/// 1 at the first largest element. Before opset 13 all axes from `axis` on are one.
fn hardmax(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let (dims, along) = super::norms::softmax_axis(spec, x)?;
    let order = order(x)?;
    let mut y = vec![0; x.len()];
    for line in lines(&dims, along)? {
        if let Some(&first) = line.first() {
            let best = line.iter().fold(first, |best, &i| if order(i, best).is_gt() { i } else { best });
            y[best] = 1;
        }
    }
    Ok(vec![super::convert::cast(&Constant::i64(&x.dims, y), x.elem)?])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};

    #[test]
    fn the_first_or_last_of_equals() {
        let x = f32s(&[2, 3], &[1.0, 5.0, 5.0, -1.0, -1.0, 0.0]);
        assert_eq!(node("ArgMax").int("axis", 1).run1(&[&x]), i64s(&[2, 1], &[1, 2]));
        let last = node("ArgMax").int("axis", 1).int("select_last_index", 1).int("keepdims", 0);
        assert_eq!(last.run1(&[&x]), i64s(&[2], &[2, 2]));
        assert_eq!(node("ArgMin").run1(&[&x]), i64s(&[1, 3], &[1, 1, 1]));
        let nan = f32s(&[3], &[f32::NAN, 2.0, 1.0]);
        assert_eq!(node("ArgMax").run1(&[&nan]).ints().unwrap(), &[0]);
        let later = f32s(&[3], &[1.0, f32::NAN, 2.0]);
        assert_eq!(node("ArgMax").run1(&[&later]).ints().unwrap(), &[2]);
    }

    #[test]
    fn the_best_come_first() {
        let x = f32s(&[2, 3], &[1.0, 5.0, 5.0, 3.0, -1.0, 0.0]);
        let outputs = node("TopK").run(&[Some(&x), Some(&i64s(&[1], &[2]))]).unwrap();
        assert_eq!(outputs, [f32s(&[2, 2], &[5.0, 5.0, 3.0, 0.0]), i64s(&[2, 2], &[1, 2, 0, 2])]);
        let least = node("TopK").int("largest", 0).int("axis", 0).run(&[Some(&x), Some(&i64s(&[1], &[1]))]).unwrap();
        assert_eq!(least, [f32s(&[1, 3], &[1.0, -1.0, 0.0]), i64s(&[1, 3], &[0, 1, 1])]);
        let old = node("TopK").opset(1).int("k", 1).run(&[Some(&x)]).unwrap();
        assert_eq!(old[1].ints().unwrap(), &[1, 0]);
        assert!(node("TopK").run(&[Some(&x), Some(&i64s(&[1], &[4]))]).is_err());
    }

    #[test]
    fn hardmax_marks_the_first_largest() {
        let x = f32s(&[2, 2, 1], &[1.0, 3.0, 3.0, 3.0]);
        assert_eq!(node("Hardmax").int("axis", 1).run1(&[&x]).floats().unwrap(), &[0.0, 1.0, 1.0, 0.0]);
        assert_eq!(node("Hardmax").opset(11).int("axis", 0).run1(&[&x]).floats().unwrap(), &[0.0, 1.0, 0.0, 0.0]);
    }
}
