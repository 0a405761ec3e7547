//! Reductions along one axis of `[outer, group, inner]`, in index order.

use super::elementwise::wrap;
use super::plan::{DType, Reduce};
use super::steps::is_narrow;
use ranklet_kernels::elementwise::accumulate;
use ranklet_kernels::math;

/// Folds the axis: element after element, all lines of `inner` at once.
///
/// Through a pointer, one loop for all functions of a type; the sums of rankers do not come here.
#[inline(never)]
fn fold<T: Copy>(x: &[T], group: usize, inner: usize, start: T, y: &mut [T], f: fn(T, T) -> T) {
    y.fill(start);
    if group == 0 {
        return;
    }
    for (slots, block) in y.chunks_exact_mut(inner).zip(x.chunks_exact(group * inner)) {
        for line in block.chunks_exact(inner) {
            for (slot, &v) in slots.iter_mut().zip(line) {
                *slot = f(*slot, v);
            }
        }
    }
}

/// One element of f32 for each line.
#[inline(never)]
pub(super) fn floats(f: Reduce, x: &[f32], group: usize, inner: usize, y: &mut [f32]) {
    match f {
        Reduce::Prod => fold(x, group, inner, 1.0, y, |s, v| s * v),
        Reduce::Max => fold(x, group, inner, f32::NEG_INFINITY, y, math::max),
        Reduce::Min => fold(x, group, inner, f32::INFINITY, y, math::min),
        _ => {
            if inner == 1 && group > 0 {
                for (sum, line) in y.iter_mut().zip(x.chunks_exact(group)) {
                    *sum = line.iter().fold(0.0, |s, v| s + v);
                }
            } else {
                y.fill(0.0);
                for (sums, block) in y.chunks_exact_mut(inner).zip(x.chunks_exact((group * inner).max(1))) {
                    block.chunks_exact(inner).for_each(|line| accumulate(sums, line));
                }
            }
            if f == Reduce::Mean {
                y.iter_mut().for_each(|v| *v /= group as f32);
            }
        }
    }
}

/// One whole number for each line of whole numbers; a mean is cut towards zero.
#[inline(never)]
pub(super) fn ints(f: Reduce, x: &[i64], group: usize, inner: usize, dtype: DType, y: &mut [i64]) {
    let narrow = is_narrow(dtype);
    let (low, high) = match dtype {
        DType::I64 => (i64::MIN, i64::MAX),
        _ => (i64::from(i32::MIN), i64::from(i32::MAX)),
    };
    match f {
        Reduce::Prod => fold(x, group, inner, 1, y, i64::wrapping_mul),
        Reduce::Max => fold(x, group, inner, low, y, |s, v| if v > s { v } else { s }),
        Reduce::Min => fold(x, group, inner, high, y, |s, v| if v < s { v } else { s }),
        Reduce::Sum | Reduce::Mean => fold(x, group, inner, 0, y, i64::wrapping_add),
        _ => return best(f, x, group, inner, y, |a, b| a > b, |a, b| a == b),
    }
    // Wrapped once instead of at each step: the low 32 bits of sums and products depend on low bits alone.
    if narrow {
        y.iter_mut().for_each(|v| *v = wrap(*v, dtype));
    }
    if f == Reduce::Mean && group > 0 {
        y.iter_mut().for_each(|v| *v /= group as i64);
    }
}

/// The index of the largest or smallest element of each line.
#[inline(never)]
pub(super) fn index(f: Reduce, x: &[f32], group: usize, inner: usize, y: &mut [i64]) {
    best(f, x, group, inner, y, |a, b| a > b, |a, b| a == b);
}

fn best<T: Copy>(
    f: Reduce,
    x: &[T],
    group: usize,
    inner: usize,
    y: &mut [i64],
    above: fn(T, T) -> bool,
    equal: fn(T, T) -> bool,
) {
    y.fill(0);
    let smallest = matches!(f, Reduce::ArgMin | Reduce::ArgMinLast);
    let last = matches!(f, Reduce::ArgMaxLast | Reduce::ArgMinLast);
    for (slots, block) in y.chunks_exact_mut(inner).zip(x.chunks_exact((group * inner).max(1))) {
        for (j, slot) in slots.iter_mut().enumerate() {
            let mut top = 0;
            for i in 1..group {
                let (v, t) = (block[i * inner + j], block[top * inner + j]);
                let better = if smallest { above(t, v) } else { above(v, t) };
                if better || (last && equal(v, t)) {
                    top = i;
                }
            }
            *slot = top as i64;
        }
    }
}

/// Running sums of each line.
#[inline(never)]
pub(super) fn cum_sum<T: Copy + Default>(
    x: &[T],
    group: usize,
    inner: usize,
    exclusive: bool,
    reverse: bool,
    y: &mut [T],
    add: fn(T, T) -> T,
) {
    if group == 0 {
        return;
    }
    let size = group * inner;
    for (slots, block) in y.chunks_exact_mut(size).zip(x.chunks_exact(size)) {
        for j in 0..inner {
            let mut sum = T::default();
            for i in 0..group {
                let at = (if reverse { group - 1 - i } else { i }) * inner + j;
                let next = add(sum, block[at]);
                slots[at] = if exclusive { sum } else { next };
                sum = next;
            }
        }
    }
}

/// Indices of the `k` first of each group, the best first, equals by index: insertion into a short sorted list.
#[inline(never)]
pub(super) fn top_k(x: &[f32], group: usize, k: usize, largest: bool, y: &mut [i64]) {
    for (slots, line) in y.chunks_exact_mut(k).zip(x.chunks_exact(group)) {
        for (i, &v) in line.iter().enumerate() {
            let mut at = i.min(k);
            while at > 0 {
                let before = line[slots[at - 1] as usize];
                if !(if largest { v > before } else { v < before }) {
                    break;
                }
                at -= 1;
            }
            if at < k {
                let end = (i + 1).min(k);
                slots.copy_within(at..end - 1, at + 1);
                slots[at] = i as i64;
            }
        }
    }
}
