//! Attention of opsets 23 and 24: several heads, grouped keys, masks, a cache of earlier keys. In f64.

use super::super::constant::{Constant, Values};
use super::super::node::Spec;
use super::elementwise::rounded;
use super::moves::transposed;
use super::norms::softmax_of;
use super::shape::{broadcast_strides, chain, reshaped, size};
use super::{Args, Evaluator, Outputs};

pub(super) fn find(op: &str) -> Option<Evaluator> {
    (op == "Attention").then_some(attention as Evaluator)
}

/// A value as `[batch, heads, length, width]`; of rank 3 the heads lie side by side on the last axis.
fn heads(x: &Constant, heads: usize) -> Result<Constant, String> {
    match x.dims[..] {
        [_, _, _, _] => Ok(x.clone()),
        [batch, length, width] if heads > 0 && width % heads == 0 => {
            transposed(&reshaped(x, vec![batch, length, heads, width / heads])?, &[0, 2, 1, 3])
        }
        _ => Err(format!("a value of shape {:?} for {heads} heads", x.dims)),
    }
}

/// Earlier keys or values before the new ones.
fn after(past: Option<&Constant>, new: Constant) -> Result<Constant, String> {
    let Some(past) = past else { return Ok(new) };
    let fits = past.rank() == 4 && past.dims[..2] == new.dims[..2] && past.dims[3] == new.dims[3];
    if !fits {
        return Err(format!("a cache of shape {:?} before a value of shape {:?}", past.dims, new.dims));
    }
    // With the length first, one follows the other.
    let both = [transposed(past, &[2, 0, 1, 3])?, transposed(&new, &[2, 0, 1, 3])?];
    let length = past.dims[2] + new.dims[2];
    let joined = reshaped(&chain(&[&both[0], &both[1]])?, vec![length, new.dims[0], new.dims[1], new.dims[3]])?;
    transposed(&joined, &[1, 2, 0, 3])
}

/// What is added to a score: nothing, a number, or minus infinity.
struct Mask<'a> {
    values: Option<(&'a Constant, Vec<usize>)>,
    /// Positions of the mask's last axis; keys behind them are hidden.
    length: usize,
    /// A query at `i` stands at the key `i + offset`.
    offset: i64,
    /// How many keys before and behind its own a query sees; none for all.
    window: [Option<i64>; 2],
    /// Keys of each batch row that are not padding.
    unpadded: Option<&'a [i64]>,
}

impl<'a> Mask<'a> {
    fn new(
        spec: &Spec,
        args: &Args<'a>,
        [batch, heads, queries, keys]: [usize; 4],
        past: usize,
    ) -> Result<Self, String> {
        let unpadded = args.ints(6)?;
        if unpadded.is_some_and(|list| list.len() != batch) {
            return Err("the numbers of keys that are not padding are not one for each batch row".into());
        }
        let [left, right] =
            ["left_window_size", "right_window_size"].map(|name| Some(spec.int(name, -1)).filter(|&n| n >= 0));
        let mut mask = Mask {
            values: None,
            length: keys,
            offset: past as i64,
            window: [left, if spec.int("is_causal", 0) == 1 { Some(0) } else { right }],
            unpadded,
        };
        if let Some(values) = args.optional(3) {
            let width = *values.dims.last().ok_or("a mask of rank 0")?;
            mask.length = if width == 1 { keys } else { width.min(keys) };
            let length = mask.length;
            mask.values = Some((values, broadcast_strides(&values.dims, &[batch, heads, queries, length])?));
        }
        Ok(mask)
    }

    fn bias(&self, [b, h, i, j]: [usize; 4], queries: usize) -> f64 {
        let own = i as i64 + self.unpadded.map_or(self.offset, |keys| keys[b] - queries as i64);
        let [left, right] = self.window;
        let hidden = j >= self.length
            || left.is_some_and(|left| (j as i64) < own - left)
            || right.is_some_and(|right| j as i64 > own + right)
            || self.unpadded.is_some_and(|keys| j as i64 >= keys[b]);
        if hidden {
            return f64::NEG_INFINITY;
        }
        let Some((values, strides)) = &self.values else { return 0.0 };
        let position = super::shape::flat(&[b, h, i, j], strides);
        match &values.values {
            Values::Float(v) => f64::from(v[position]),
            Values::Int(v) if v[position] == 0 => f64::NEG_INFINITY,
            _ => 0.0,
        }
    }
}

fn attention(spec: &Spec, args: &Args) -> Outputs {
    let (q, k, v) = (args.get(0)?, args.get(1)?, args.get(2)?);
    let count = |name: &str| size(spec.int(name, 0));
    let flat_heads = q.rank() == 3;
    let q = heads(q, count("q_num_heads")?)?;
    let past = args.optional(4).map_or(0, |past| past.dims.get(2).copied().unwrap_or(0));
    let k = after(args.optional(4), heads(k, count("kv_num_heads")?)?)?;
    let v = after(args.optional(5), heads(v, count("kv_num_heads")?)?)?;
    let (&[batch, queriers, queries, width], &[_, groups, keys, _]) = (&q.dims[..], &k.dims[..]) else {
        return Err("queries and keys are not of rank 3 or 4".into());
    };
    let out = *v.dims.last().ok_or("values of rank 0")?;
    let fits = k.dims == [batch, groups, keys, width] && v.dims == [batch, groups, keys, out];
    if !fits || groups == 0 || queriers % groups != 0 {
        return Err(format!("queries {:?}, keys {:?} and values {:?} do not fit together", q.dims, k.dims, v.dims));
    }
    let mask = Mask::new(spec, args, [batch, queriers, queries, keys], past)?;
    let scale = if spec.has("scale") { f64::from(spec.float("scale", 1.0)) } else { 1.0 / (width as f64).sqrt() };
    let cap = f64::from(spec.float("softcap", 0.0));
    let mode = spec.int("qk_matmul_output_mode", 0);
    let (qs, ks, vs) = (q.floats()?, k.floats()?, v.floats()?);
    let (mut y, mut shown) = (vec![], vec![]);
    for b in 0..batch {
        for h in 0..queriers {
            let group = b * groups + h / (queriers / groups);
            for i in 0..queries {
                let query = &qs[((b * queriers + h) * queries + i) * width..][..width];
                let raw: Vec<f64> = (0..keys)
                    .map(|j| {
                        let key = &ks[(group * keys + j) * width..][..width];
                        query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() * scale
                    })
                    .collect();
                let capped: Vec<f64> =
                    raw.iter().map(|&s| if cap > 0.0 { cap * libm::tanh(s / cap) } else { s }).collect();
                let bias: Vec<f64> = (0..keys).map(|j| mask.bias([b, h, i, j], queries)).collect();
                let biased: Vec<f64> = capped.iter().zip(&bias).map(|(s, b)| s + b).collect();
                // A query that sees no key attends to nothing.
                let blind = bias.iter().all(|&b| b == f64::NEG_INFINITY);
                let p = if blind { vec![0.0; keys] } else { softmax_of(&biased, false) };
                for c in 0..out {
                    y.push((0..keys).map(|j| p[j] * f64::from(vs[(group * keys + j) * out + c])).sum());
                }
                shown.extend(match mode {
                    0 => raw,
                    1 => capped,
                    2 => biased,
                    _ => p,
                });
            }
        }
    }
    let mut y = rounded(q.elem, &[batch, queriers, queries, out], y)?;
    if flat_heads {
        y = reshaped(&transposed(&y, &[0, 2, 1, 3])?, vec![batch, queries, queriers * out])?;
    }
    let shown = rounded(q.elem, &[batch, queriers, queries, keys], shown)?;
    Ok(vec![y, k, v, shown])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f32s, node};
    use super::*;

    fn close(y: &Constant, dims: &[usize], expected: &[f32]) {
        assert_eq!(y.dims, dims);
        let y = y.floats().unwrap();
        assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-6), "{y:?} for {expected:?}");
    }

    #[test]
    fn queries_average_the_values_they_see() {
        let q = f32s(&[1, 1, 2, 1], &[0.0, 2.0]);
        let k = f32s(&[1, 1, 2, 1], &[1.0, -1.0]);
        let v = f32s(&[1, 1, 2, 1], &[10.0, 20.0]);
        let y = node("Attention").run1(&[&q, &k, &v]);
        close(&y, &[1, 1, 2, 1], &[15.0, 10.179_862]);
        let y = node("Attention").int("is_causal", 1).run1(&[&q, &k, &v]);
        close(&y, &[1, 1, 2, 1], &[10.0, 10.179_862]);
        let blind = Constant::bools(&[2, 2], [false, false, false, true]);
        close(&node("Attention").run1(&[&q, &k, &v, &blind]), &[1, 1, 2, 1], &[0.0, 20.0]);
        let last = node("Attention").int("left_window_size", 0).run1(&[&q, &k, &v]);
        close(&last, &[1, 1, 2, 1], &[15.0, 20.0]);
        let first = node("Attention").int("right_window_size", 0).run1(&[&q, &k, &v]);
        close(&first, &[1, 1, 2, 1], &[10.0, 10.179_862]);
        let biased = f32s(&[1, 2], &[0.0, 1000.0]);
        close(&node("Attention").run1(&[&q, &k, &v, &biased]), &[1, 1, 2, 1], &[20.0, 20.0]);
    }

    #[test]
    fn heads_lie_side_by_side_and_share_keys() {
        let q = f32s(&[1, 1, 2], &[0.0, 2.0]);
        let k = f32s(&[1, 2, 1], &[1.0, -1.0]);
        let v = f32s(&[1, 2, 1], &[10.0, 20.0]);
        let two = node("Attention").int("q_num_heads", 2).int("kv_num_heads", 1);
        close(&two.run1(&[&q, &k, &v]), &[1, 1, 2], &[15.0, 10.179_862]);
        let past = f32s(&[1, 1, 1, 1], &[1.0]);
        let outputs = two.run(&[Some(&q), Some(&k), Some(&v), None, Some(&past), Some(&past)]).unwrap();
        close(&outputs[1], &[1, 1, 3, 1], &[1.0, 1.0, -1.0]);
        close(&outputs[0], &[1, 1, 2], &[10.333_333, 5.631_583]);
    }
}
