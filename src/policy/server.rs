//! The order without a model.

use super::decision::{FROZEN, SUPPRESSED};
use super::input::Standing;

/// The server's order: frozen items where they stand, then the rest in the server's order. By position: the row, and
/// bits named by [`CONSTRAINTS`](super::CONSTRAINTS).
pub fn server_order(n: usize, frozen: &Standing, suppressed: impl Fn(usize) -> bool) -> Vec<(usize, u32)> {
    let mut stands = vec![false; n];
    for &row in frozen.iter().flatten() {
        stands[row] = true;
    }
    let mut free = (0..n).filter(|&row| !stands[row]);
    let mut placed = Vec::with_capacity(n);
    for position in 0..n {
        let (row, bit) = match frozen.get(position) {
            Some(&Some(row)) => (Some(row), FROZEN),
            _ => (free.next(), 0),
        };
        if let Some(row) = row {
            placed.push((row, bit | if suppressed(row) { SUPPRESSED } else { 0 }));
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn always_a_permutation_and_frozen_items_stand(n in 0usize..20, picks in prop::collection::vec((0usize..20, 0usize..20), 0..6)) {
            let mut frozen = vec![None; n];
            for (position, row) in picks {
                if position < n && row < n && frozen[position].is_none() && !frozen.contains(&Some(row)) {
                    frozen[position] = Some(row);
                }
            }
            let placed = server_order(n, &frozen, |row| row % 3 == 0);
            let mut rows: Vec<usize> = placed.iter().map(|p| p.0).collect();
            for (position, row) in frozen.iter().enumerate().filter_map(|(p, r)| r.map(|r| (p, r))) {
                prop_assert_eq!(placed[position].0, row);
                prop_assert_eq!(placed[position].1 & FROZEN, FROZEN);
            }
            let free = rows.iter().copied().filter(|row| !frozen.contains(&Some(*row))).collect::<Vec<_>>();
            prop_assert!(free.is_sorted());
            rows.sort_unstable();
            prop_assert_eq!(rows, (0..n).collect::<Vec<_>>());
        }
    }
}
