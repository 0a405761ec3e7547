//! The order without constraints.

use super::decision::{FROZEN, SUPPRESSED};
use super::input::Standing;
use crate::sorted::sorted;
use std::cmp::Ordering;

/// What the order is made from: one item, at its place in the server's order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Item {
    /// U.
    pub utility: f64,
    /// Raw output of the primary head: breaks the ties that isotonic plateaus make.
    pub primary: f32,
    /// Dismissed or snoozed.
    pub suppressed: bool,
}

/// An item at its new place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Row in the server's order.
    pub row: usize,
    /// Bits named by [`CONSTRAINTS`].
    pub constraints: u32,
}

/// Orders `items`. `frozen[position]` is the row that stands there, if any; a row stands at most once.
///
/// Order: unsuppressed before suppressed; then utility, the raw primary head, the server's order.
/// Utilities must not be NaN; a NaN would compare as equal.
pub fn order(items: &[Item], frozen: &Standing) -> Vec<Placed> {
    let rows = unfrozen(items.len(), frozen);
    let order = sorted(rows.len(), &|a, b| {
        let (x, y) = (&items[rows[a]], &items[rows[b]]);
        let descending = |x: Option<Ordering>| x.unwrap_or(Ordering::Equal).reverse();
        x.suppressed
            .cmp(&y.suppressed)
            .then(descending(x.utility.partial_cmp(&y.utility)))
            .then(descending(x.primary.partial_cmp(&y.primary)))
    });
    let free: Vec<usize> = order.iter().map(|&i| rows[i]).collect();
    place(items.len(), &free, frozen, |row| items[row].suppressed)
}

/// The server's order: frozen items where they stand, then the rest in the server's order.
pub fn server_order(n: usize, frozen: &Standing, suppressed: impl Fn(usize) -> bool) -> Vec<Placed> {
    place(n, &unfrozen(n, frozen), frozen, suppressed)
}

/// Rows that stand nowhere yet, in the server's order.
fn unfrozen(n: usize, frozen: &Standing) -> Vec<usize> {
    let mut stands = vec![false; n];
    for &row in frozen.iter().flatten() {
        stands[row] = true;
    }
    (0..n).filter(|&row| !stands[row]).collect()
}

/// Fills the positions that are not frozen with `free`, in its order.
fn place(n: usize, free: &[usize], frozen: &Standing, suppressed: impl Fn(usize) -> bool) -> Vec<Placed> {
    let mut free = free.iter().copied();
    let mut placed = Vec::with_capacity(n);
    for position in 0..n {
        let (row, bit) = match frozen.get(position) {
            Some(&Some(row)) => (Some(row), FROZEN),
            _ => (free.next(), 0),
        };
        if let Some(row) = row {
            placed.push(Placed { row, constraints: bit | if suppressed(row) { SUPPRESSED } else { 0 } });
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(placed: &[Placed]) -> Vec<usize> {
        placed.iter().map(|p| p.row).collect()
    }

    fn item(utility: f64) -> Item {
        Item { utility, primary: 0.0, suppressed: false }
    }

    #[test]
    fn ties_fall_to_the_raw_head_then_to_the_server() {
        let items = [
            Item { primary: 0.1, ..item(1.0) },
            Item { primary: 0.2, ..item(1.0) },
            Item { primary: 0.1, ..item(1.0) },
            item(2.0),
            Item { suppressed: true, ..item(9.0) },
        ];
        assert_eq!(rows(&order(&items, &[])), [3, 1, 0, 2, 4]);
    }

    proptest! {
        #[test]
        fn always_a_permutation_and_frozen_items_stand(
            utilities in prop::collection::vec(-1.0f64..1.0, 0..20), picks in prop::collection::vec((0usize..20, 0usize..20), 0..6),
        ) {
            let n = utilities.len();
            let mut frozen = vec![None; n];
            for (position, row) in picks {
                if position < n && row < n && frozen[position].is_none() && !frozen.contains(&Some(row)) {
                    frozen[position] = Some(row);
                }
            }
            let items: Vec<Item> = utilities.iter().map(|&u| item(u)).collect();
            for placed in [order(&items, &frozen), server_order(n, &frozen, |_| false)] {
                let mut sorted = rows(&placed);
                sorted.sort_unstable();
                prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
                for (position, row) in frozen.iter().enumerate().filter_map(|(p, r)| r.map(|r| (p, r))) {
                    prop_assert_eq!(placed[position].row, row);
                    prop_assert_eq!(placed[position].constraints & FROZEN, FROZEN);
                }
            }
            let free: Vec<f64> = order(&items, &[]).iter().map(|p| utilities[p.row]).collect();
            prop_assert!(free.windows(2).all(|w| w[0] >= w[1]));
        }
    }
}
