//! One sort for the whole runtime, this crate included: a generic one is compiled anew for every type, and a page pays for each.

use std::cmp::Ordering;

/// The indices `0..n` in the order of `compare`, equal ones by index: a bottom-up merge sort. The standard
/// library's, compiled for the page, is eight times the code.
#[inline(never)]
pub fn sorted(n: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut from: Vec<usize> = (0..n).collect();
    let mut to = from.clone();
    let mut run = 1;
    while run < n {
        let (mut left, mut right, mut end) = (0, 0, 0);
        for (i, slot) in to.iter_mut().enumerate() {
            if i % (2 * run) == 0 {
                (left, right) = (i, (i + run).min(n));
                end = (i + 2 * run).min(n);
            }
            let middle = (i / (2 * run) * 2 * run + run).min(n);
            let take_right = right < end && (left == middle || compare(from[right], from[left]) == Ordering::Less);
            let next = if take_right { &mut right } else { &mut left };
            *slot = from[*next];
            *next += 1;
        }
        std::mem::swap(&mut from, &mut to);
        run *= 2;
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorts_as_the_standard_library_does(values in prop::collection::vec(0u8..20, 0..70)) {
            let mut naive: Vec<usize> = (0..values.len()).collect();
            naive.sort_by_key(|&i| values[i]);
            prop_assert_eq!(sorted(values.len(), &|a, b| values[a].cmp(&values[b])), naive);
        }
    }

    #[test]
    fn equal_indices_keep_their_order() {
        let values = [2, 1, 2, 1, 0];
        assert_eq!(sorted(5, &|a, b| values[a].cmp(&values[b])), [4, 1, 3, 0, 2]);
    }
}
