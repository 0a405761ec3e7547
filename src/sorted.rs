//! One sort for the whole runtime: a generic one is compiled anew for every type, and a page pays for each.

use std::cmp::Ordering;

/// The indices `0..n` in the order of `compare`, equal ones by index.
#[inline(never)]
pub(crate) fn sorted(n: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..n).collect();
    // With the index as the last key nothing is equal, so an unstable sort gives one order.
    indices.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
    indices
}
