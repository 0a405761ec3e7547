//! Pad, in all its modes.

use super::super::constant::Constant;
use super::super::node::Spec;
use super::moves::list;
use super::shape::{axes, chain, flat, rearrange, size, strides};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    (op == "Pad").then_some(pad as Evaluator)
}

fn pad(spec: &Spec, args: &Args) -> Outputs {
    let x = args.get(0)?;
    let pads = list(spec, args, "pads", 1)?.ok_or("no pads are given")?;
    let along = match args.ints(3)? {
        Some(list) => axes(list, x.rank())?,
        None => (0..x.rank()).collect(),
    };
    if pads.len() != 2 * along.len() {
        return Err(format!("{} pads for {} axes", pads.len(), along.len()));
    }
    let mut begins = vec![0; x.rank()];
    let mut dims = x.dims.clone();
    for (i, &at) in along.iter().enumerate() {
        let (begin, end) = (pads[i], pads[i + along.len()]);
        begins[at] = begin;
        dims[at] = size(begin.saturating_add(end).saturating_add(x.dims[at] as i64))?;
    }
    let mode = spec.string("mode").unwrap_or_else(|| "constant".into());
    let fill = match args.optional(2) {
        Some(value) if value.len() == 1 => super::shape::reshaped(value, vec![1])?,
        Some(value) => return Err(format!("a value of shape {:?}", value.dims)),
        None if x.elem.is_float() => super::elementwise::rounded(x.elem, &[1], [f64::from(spec.float("value", 0.0))])?,
        None => super::convert::cast(&Constant::i64(&[1], vec![0]), x.elem)?,
    };
    let own = strides(&x.dims);
    // The value stands behind the elements, for what is outside.
    let y = rearrange(&chain(&[x, &fill])?, &dims, |at| {
        let mut source = vec![0; at.len()];
        for (axis, &i) in at.iter().enumerate() {
            match place(&mode, i as i64 - begins[axis], x.dims[axis] as i64)? {
                Some(place) => source[axis] = place as usize,
                None => return Ok(x.len()),
            }
        }
        Ok(flat(&source, &own))
    })?;
    Ok(vec![y])
}

/// The element of an axis that stands at position `i`, which may lie outside; none if it is the value.
fn place(mode: &str, i: i64, dim: i64) -> Result<Option<i64>, String> {
    if (0..dim).contains(&i) {
        return Ok(Some(i));
    }
    if dim == 0 && mode != "constant" {
        return Err("an empty axis has nothing to repeat".into());
    }
    Ok(match mode {
        "constant" => None,
        "edge" => Some(i.clamp(0, dim - 1)),
        "wrap" => Some(i.rem_euclid(dim)),
        "reflect" if dim == 1 => Some(0),
        "reflect" => {
            let period = 2 * (dim - 1);
            let i = i.rem_euclid(period);
            Some(if i < dim { i } else { period - i })
        }
        other => return Err(format!("the mode `{other}`")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, i64s, node};

    #[test]
    fn every_mode_fills_its_own_way() {
        let x = f32s(&[1, 3], &[1.0, 2.0, 3.0]);
        let run = |mode: &str| {
            let y = node("Pad").string("mode", mode).run1(&[&x, &i64s(&[4], &[0, 2, 0, 1])]);
            assert_eq!(y.dims, [1, 6]);
            y.floats().unwrap().to_vec()
        };
        assert_eq!(run("constant"), [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]);
        assert_eq!(run("edge"), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(run("reflect"), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
        assert_eq!(run("wrap"), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    }

    #[test]
    fn pads_come_as_attributes_or_inputs_and_may_crop() {
        let x = f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let old = node("Pad").opset(2).ints("pads", &[0, 1, 0, -1]).float("value", 9.0).run1(&[&x]);
        assert_eq!(old, f32s(&[2, 2], &[9.0, 1.0, 9.0, 3.0]));
        let (pads, value, axes) = (i64s(&[2], &[1, 0]), f32s(&[], &[7.0]), i64s(&[1], &[-2]));
        let y = node("Pad").run1(&[&x, &pads, &value, &axes]);
        assert_eq!(y, f32s(&[3, 2], &[7.0, 7.0, 1.0, 2.0, 3.0, 4.0]));
    }
}
