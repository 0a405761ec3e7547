//! Arithmetic of two rows, element by element, in lanes.

use crate::lanes::{F4, WIDTH};

/// What is done to two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a * b
    Mul,
    /// a / b
    Div,
}

/// An operand that is the same for every element, or has one for each.
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a> {
    /// The same for all.
    One(f32),
    /// As long as the output.
    Each(&'a [f32]),
}

impl Operand<'_> {
    #[inline(always)]
    fn lanes(&self, from: usize) -> F4 {
        match self {
            Operand::One(x) => F4::splat(*x),
            Operand::Each(x) => F4::load_some(&x[from..(from + WIDTH).min(x.len())]),
        }
    }
}

#[inline(always)]
fn zip(a: Operand<'_>, b: Operand<'_>, y: &mut [f32], f: impl Fn(F4, F4) -> F4) {
    let (whole, rest) = y.as_chunks_mut::<WIDTH>();
    let done = whole.len() * WIDTH;
    match (a, b) {
        (Operand::Each(a), Operand::Each(b)) => {
            let (a, b) = (a.as_chunks::<WIDTH>().0, b.as_chunks::<WIDTH>().0);
            for ((y, a), b) in whole.iter_mut().zip(a).zip(b) {
                f(F4::load(a), F4::load(b)).store(y);
            }
        }
        (Operand::Each(a), Operand::One(b)) => {
            let b = F4::splat(b);
            for (y, a) in whole.iter_mut().zip(a.as_chunks::<WIDTH>().0) {
                f(F4::load(a), b).store(y);
            }
        }
        (Operand::One(a), Operand::Each(b)) => {
            let a = F4::splat(a);
            for (y, b) in whole.iter_mut().zip(b.as_chunks::<WIDTH>().0) {
                f(a, F4::load(b)).store(y);
            }
        }
        (Operand::One(a), Operand::One(b)) => {
            let one = f(F4::splat(a), F4::splat(b));
            whole.iter_mut().for_each(|y| one.store(y));
        }
    }
    if !rest.is_empty() {
        let n = rest.len();
        rest.copy_from_slice(&f(a.lanes(done), b.lanes(done)).lanes()[..n]);
    }
}

/// `y[i] = a[i] op b[i]`.
///
/// # Panics
/// If an operand that has an element for each is not as long as `y`.
// Not inlined: built for speed here, and not for size where it is called.
#[inline(never)]
pub fn arithmetic(op: Arithmetic, a: Operand<'_>, b: Operand<'_>, y: &mut [f32]) {
    for operand in [a, b] {
        if let Operand::Each(x) = operand {
            assert_eq!(x.len(), y.len());
        }
    }
    match op {
        Arithmetic::Add => zip(a, b, y, F4::plus),
        Arithmetic::Sub => zip(a, b, y, F4::minus),
        Arithmetic::Mul => zip(a, b, y, F4::times),
        Arithmetic::Div => zip(a, b, y, F4::over),
    }
}

/// `sums[i] += x[i]`.
///
/// # Panics
/// If the lengths differ.
#[inline(never)]
pub fn accumulate(sums: &mut [f32], x: &[f32]) {
    assert_eq!(sums.len(), x.len());
    let (whole, rest) = sums.as_chunks_mut::<WIDTH>();
    let (x, tail) = x.as_chunks::<WIDTH>();
    for (sum, x) in whole.iter_mut().zip(x) {
        F4::load(sum).plus(F4::load(x)).store(sum);
    }
    for (sum, x) in rest.iter_mut().zip(tail) {
        *sum += x;
    }
}

/// `x[i] op one`, in place.
#[inline(never)]
pub fn arithmetic_with(op: Arithmetic, x: &mut [f32], one: f32) {
    let lanes = F4::splat(one);
    let f = |a: F4| match op {
        Arithmetic::Add => a.plus(lanes),
        Arithmetic::Sub => a.minus(lanes),
        Arithmetic::Mul => a.times(lanes),
        Arithmetic::Div => a.over(lanes),
    };
    let (whole, rest) = x.as_chunks_mut::<WIDTH>();
    whole.iter_mut().for_each(|x| f(F4::load(x)).store(x));
    if !rest.is_empty() {
        let n = rest.len();
        rest.copy_from_slice(&f(F4::load_some(rest)).lanes()[..n]);
    }
}

/// The naive twin of [`arithmetic`].
pub fn arithmetic_naive(op: Arithmetic, a: Operand<'_>, b: Operand<'_>, y: &mut [f32]) {
    let at = |operand: &Operand<'_>, i: usize| match operand {
        Operand::One(x) => *x,
        Operand::Each(x) => x[i],
    };
    for (i, y) in y.iter_mut().enumerate() {
        let (a, b) = (at(&a, i), at(&b, i));
        *y = match op {
            Arithmetic::Add => a + b,
            Arithmetic::Sub => a - b,
            Arithmetic::Mul => a * b,
            Arithmetic::Div => a / b,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_equal_the_naive_twin_bit_for_bit(
            pairs in prop::collection::vec((any::<f32>(), any::<f32>()), 0..20), one: f32, a_one: bool, b_one: bool,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let operand = |list, single| if single { Operand::One(one) } else { Operand::Each(list) };
            let (x, z) = (operand(&a[..], a_one), operand(&b[..], b_one));
            for op in [Arithmetic::Add, Arithmetic::Sub, Arithmetic::Mul, Arithmetic::Div] {
                let (mut fast, mut naive) = (vec![0.0; a.len()], vec![0.0; a.len()]);
                arithmetic(op, x, z, &mut fast);
                arithmetic_naive(op, x, z, &mut naive);
                let bits = |v: &[f32]| v.iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).collect::<Vec<_>>();
                prop_assert_eq!(bits(&fast), bits(&naive));
                let (mut in_place, mut naive) = (a.clone(), vec![0.0; a.len()]);
                arithmetic_with(op, &mut in_place, one);
                arithmetic_naive(op, Operand::Each(&a), Operand::One(one), &mut naive);
                prop_assert_eq!(bits(&in_place), bits(&naive));
                let (mut sums, mut naive) = (a.clone(), vec![0.0; a.len()]);
                accumulate(&mut sums, &b);
                arithmetic_naive(Arithmetic::Add, Operand::Each(&a), Operand::Each(&b), &mut naive);
                prop_assert_eq!(bits(&sums), bits(&naive));
            }
        }
    }
}
