//! Attention of opsets 23 and 24 by its parts: products, masks, a softmax.

use super::call::{Call, Lowered, Val};
use super::constant::{Constant, Elem};
use super::elementwise::{binary, chosen_by};
use super::lower::Lowering;
use super::matrix::product;
use super::moves::{joined, moved, permuted, reshaped, table_of};
use super::norms::{reduced, softmaxed, unary};
use super::shape::{self, Dim};
use crate::engine::plan::{Binary, DType, Op, Reduce, Rows, Unary};
use std::rc::Rc;

/// Lowers Attention; none if it is another operator.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Option<Lowered> {
    (call.spec.op == "Attention" && call.spec.domain.is_empty()).then(|| attention(lowering, call))
}

fn scalar(x: f32) -> Val {
    Val::Constant(Rc::new(Constant::f32(&[], vec![x])))
}

fn whole(x: i64) -> Val {
    Val::Constant(Rc::new(Constant::i64(&[], vec![x])))
}

fn hidden() -> Val {
    scalar(f32::NEG_INFINITY)
}

/// A value as `[batch, heads, length, width]`; of rank 3 the heads lie side by side on the last axis.
fn heads(lowering: &mut Lowering, x: &Val, heads: i64) -> Result<Val, String> {
    let heads = usize::try_from(heads).unwrap_or(0);
    match x.shape()[..] {
        [_, _, _, _] => Ok(x.clone()),
        [batch, length, Dim::Fixed(width)] if heads > 0 && width % heads == 0 => {
            let apart = reshaped(x, vec![batch, length, Dim::Fixed(heads), Dim::Fixed(width / heads)])?;
            permuted(lowering, &apart, &[0, 2, 1, 3])
        }
        _ => Err(format!("a value of the shape {} for {heads} heads", shape::text(&x.shape()))),
    }
}

/// Places along an axis, `[size, 1...]` or `[size]`.
fn places(lowering: &mut Lowering, dim: Dim, behind: usize) -> Result<Val, String> {
    match dim {
        Dim::Fixed(size) => {
            let mut dims = vec![size];
            dims.resize(1 + behind, 1);
            Ok(Val::Constant(Rc::new(Constant::i64(&dims, (0..size as i64).collect()))))
        }
        Dim::N => {
            let place = lowering.push(Op::Position, &[], DType::I64, Rows::Candidate, 1);
            let mut dims = vec![Dim::N];
            dims.resize(1 + behind, Dim::Fixed(1));
            Ok(lowering.run(place, Elem::I64, dims))
        }
        Dim::Rows { .. } => Err("keys joined from candidates and another axis".into()),
    }
}

struct Scores {
    /// As they were multiplied, capped, and with the masks.
    raw: Val,
    capped: Val,
    masked: Val,
    /// Whether a query may see no key at all.
    blind: bool,
}

fn scores(lowering: &mut Lowering, call: &Call, q: &Val, k: &Val, past: Option<Dim>) -> Result<Scores, String> {
    let width = q.shape()[3].inner();
    let scale = if call.spec.has("scale") { call.spec.float("scale", 1.0) } else { 1.0 / (width as f32).sqrt() };
    let turned = permuted(lowering, k, &[0, 1, 3, 2])?;
    let scaled = binary(lowering, Binary::Mul, q, &scalar(scale))?;
    let raw = product(lowering, &scaled, &turned)?;
    let cap = call.spec.float("softcap", 0.0);
    let capped = if cap > 0.0 {
        let part = binary(lowering, Binary::Div, &raw, &scalar(cap))?;
        let part = unary(lowering, Unary::Tanh, &part)?;
        binary(lowering, Binary::Mul, &part, &scalar(cap))?
    } else {
        raw.clone()
    };
    let (mut masked, mut blind) = (capped.clone(), false);
    let (queries, keys) = (q.shape()[2], k.shape()[2]);
    if let Some(mask) = call.optional(3) {
        masked = with_mask(lowering, &masked, mask, keys)?;
        blind = true;
    }
    let lengths = match call.optional(6) {
        Some(lengths) => {
            let dims = [lengths.shape(), vec![Dim::Fixed(1); 3]].concat();
            Some(reshaped(lengths, dims)?)
        }
        None => None,
    };
    let key = places(lowering, keys, 0)?;
    if let Some(lengths) = &lengths {
        let there = binary(lowering, Binary::Less, &key, lengths)?;
        masked = chosen_by(lowering, &there, &masked, &hidden())?;
        blind = true;
    }
    let bound = |name: &str| Some(call.spec.int(name, -1)).filter(|&n| n >= 0);
    let (left, mut right) = (bound("left_window_size"), bound("right_window_size"));
    if call.spec.int("is_causal", 0) == 1 {
        right = Some(0);
    }
    if left.is_some() || right.is_some() {
        let own = own_key(lowering, queries, lengths.as_ref(), past)?;
        for (bound, sign, f) in [(left, -1, Binary::GreaterOrEqual), (right, 1, Binary::LessOrEqual)] {
            let Some(bound) = bound else { continue };
            let last = binary(lowering, Binary::Add, &own, &whole(sign * bound))?;
            let seen = binary(lowering, f, &key, &last)?;
            masked = chosen_by(lowering, &seen, &masked, &hidden())?;
        }
        // Queries before the first key, or far behind the last, see none.
        let always = lengths.is_none() && past.is_none() && queries == keys;
        blind |= !always;
    }
    Ok(Scores { raw, capped, masked, blind })
}

/// The key at which each query stands, `[..., queries, 1]`.
fn own_key(lowering: &mut Lowering, queries: Dim, lengths: Option<&Val>, past: Option<Dim>) -> Result<Val, String> {
    let query = places(lowering, queries, 1)?;
    match (lengths, queries, past) {
        (Some(lengths), Dim::Fixed(count), _) => {
            let offset = binary(lowering, Binary::Sub, lengths, &whole(count as i64))?;
            binary(lowering, Binary::Add, &query, &offset)
        }
        (None, _, Some(Dim::Fixed(past))) => binary(lowering, Binary::Add, &query, &whole(past as i64)),
        (None, _, None) => Ok(query),
        _ => Err("a causal mask or window behind as many keys as there are candidates".into()),
    }
}

/// Booleans hide where they are false, floats are added; keys behind a mask's end are hidden.
fn with_mask(lowering: &mut Lowering, scores: &Val, mask: &Val, keys: Dim) -> Result<Val, String> {
    let mut mask = mask.clone();
    let shape = mask.shape();
    if let (Some(Dim::Fixed(own)), Dim::Fixed(keys)) = (shape.last().copied(), keys)
        && own > 1
        && own != keys
    {
        let axis = shape.len() - 1;
        let mut dims = shape.clone();
        if own > keys {
            dims[axis] = Dim::Fixed(keys);
            let table = table_of(&mask)?.pick(axis, &(0..keys).collect::<Vec<_>>());
            mask = moved(lowering, &mask, &table, dims)?;
        } else {
            dims[axis] = Dim::Fixed(keys - own);
            let one =
                if mask.elem().is_float() { hidden() } else { Val::Constant(Rc::new(Constant::bools(&[], [false]))) };
            let ones = reshaped(&one, vec![Dim::Fixed(1); dims.len()])?;
            let rest = super::repeat::expanded(lowering, &ones, dims)?;
            mask = joined(lowering, &[mask, rest], axis)?;
        }
    }
    if mask.elem().is_float() {
        binary(lowering, Binary::Add, scores, &mask)
    } else {
        chosen_by(lowering, &mask, scores, &hidden())
    }
}

fn attention(lowering: &mut Lowering, call: &Call) -> Lowered {
    let spec = call.spec;
    let flat = call.need(0)?.shape().len() == 3;
    let q = heads(lowering, call.need(0)?, spec.int("q_num_heads", 0))?;
    let mut kv = vec![];
    for i in 0..2 {
        let new = heads(lowering, call.need(1 + i)?, spec.int("kv_num_heads", 0))?;
        kv.push(match call.optional(4 + i) {
            Some(past) => joined(lowering, &[past.clone(), new], 2)?,
            None => new,
        });
    }
    let past = call.optional(4).map(|past| past.shape()[2]);
    let given = [kv[0].clone(), kv[1].clone()];
    // Several heads of queries share those of keys.
    if let (Dim::Fixed(queriers), Dim::Fixed(groups)) = (q.shape()[1], kv[0].shape()[1])
        && queriers != groups
    {
        if groups == 0 || queriers % groups != 0 {
            return Err(format!("{queriers} heads of queries for {groups} of keys"));
        }
        let list: Vec<usize> = (0..queriers).map(|h| h / (queriers / groups)).collect();
        for val in &mut kv {
            let mut dims = val.shape();
            dims[1] = Dim::Fixed(queriers);
            let table = table_of(val)?.pick(1, &list);
            *val = moved(lowering, val, &table, dims)?;
        }
    }
    let scores = scores(lowering, call, &q, &kv[0], past)?;
    let mut weights = softmaxed(lowering, &scores.masked, &[3], false)?;
    if scores.blind {
        // A query that sees no key attends to nothing.
        let top = reduced(lowering, &scores.masked, Reduce::Max, &[3], true)?;
        let none = binary(lowering, Binary::Equal, &top, &hidden())?;
        weights = chosen_by(lowering, &none, &scalar(0.0), &weights)?;
    }
    let mut y = product(lowering, &weights, &kv[1])?;
    if flat {
        let [batch, Dim::Fixed(heads), length, Dim::Fixed(width)] = y.shape()[..] else {
            return Err("heads or widths that are the candidates".into());
        };
        let beside = permuted(lowering, &y, &[0, 2, 1, 3])?;
        y = reshaped(&beside, vec![batch, length, Dim::Fixed(heads * width)])?;
    }
    let shown = match spec.int("qk_matmul_output_mode", 0) {
        0 => scores.raw,
        1 => scores.capped,
        2 => scores.masked,
        _ => weights,
    };
    let [k, v] = given;
    Ok(vec![y, k, v, shown])
}

#[cfg(test)]
mod tests {
    use super::super::naive::testing::{i64s, node};
    use super::super::twins::Given::{self, Absent, Each, Known};
    use super::super::twins::{agree, noise};
    use super::Constant;

    fn of(dims: &[usize], seed: u32) -> Given {
        Each(noise(dims, seed))
    }

    #[test]
    fn heads_masks_and_caches() {
        let (q, k, v) = (of(&[3, 2, 4, 5], 1), of(&[3, 2, 6, 5], 2), of(&[3, 2, 6, 3], 3));
        let plain = [q.clone(), k.clone(), v.clone()];
        agree(&node("Attention"), &plain, 1);
        agree(&node("Attention").int("is_causal", 1).float("softcap", 1.5).float("scale", 0.3), &plain, 1);
        for mode in 0..4 {
            agree(&node("Attention").int("qk_matmul_output_mode", mode), &plain, 4);
        }
        agree(&node("Attention").int("left_window_size", 1).int("right_window_size", 2), &plain, 1);
        let with = |mask: Given| [q.clone(), k.clone(), v.clone(), mask];
        agree(&node("Attention"), &with(Known(noise(&[4, 6], 4))), 1);
        agree(&node("Attention"), &with(of(&[3, 1, 4, 5], 4)), 1);
        // The second query sees no key, and the last two keys nobody.
        let seen = (0..16).map(|i| i / 4 != 1 && i % 3 != 0);
        agree(&node("Attention"), &with(Known(Constant::bools(&[4, 4], seen))), 1);
        let cached = [q.clone(), k.clone(), v.clone(), Absent, of(&[3, 2, 2, 5], 5), of(&[3, 2, 2, 3], 6)];
        agree(&node("Attention").int("is_causal", 1), &cached, 3);
        let short = [q, k, v, Absent, Absent, Absent, Each(i64s(&[3], &[6, 2, 4]))];
        agree(&node("Attention").int("is_causal", 1), &short, 1);
    }

    #[test]
    fn heads_lie_side_by_side_and_share_keys() {
        let node = node("Attention").int("q_num_heads", 4).int("kv_num_heads", 2);
        agree(&node, &[of(&[3, 4, 12], 1), of(&[3, 6, 6], 2), of(&[3, 6, 10], 3)], 1);
    }
}
