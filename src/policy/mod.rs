//! The policy: calibrated heads become a utility, utilities and constraints an order.
//!
//! One greedy pass over positions; what is not a constraint is a comparison of utilities.

use crate::json::read_struct;
use crate::sorted::sorted;
use serde::Serialize;
use std::cmp::Ordering;

/// Names of the bits of [`Placed::constraints`], lowest first.
pub const CONSTRAINTS: [&str; 2] = ["frozen", "suppressed"];
/// The item stands where the caller froze it.
pub const FROZEN: u32 = 1;
/// The item was dismissed or snoozed, and goes behind those that were not.
pub const SUPPRESSED: u32 = 2;

/// Weights of the utility: the `policy` section of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PolicySpec {
    /// Event types after which a list is due for a re-rank.
    pub due: Vec<crate::context::EventKind>,
    /// Of each head, in the order of the heads.
    pub weights: Vec<Weight>,
}

/// A head's weight, by surface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weight {
    /// Where no surface says otherwise.
    pub default: f64,
    /// By surface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub surfaces: Vec<SurfaceWeight>,
}

/// A weight for one surface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SurfaceWeight {
    /// Where.
    pub surface: String,
    /// How much.
    pub weight: f64,
}

impl Weight {
    /// The weight on `surface`.
    pub fn on(&self, surface: Option<&str>) -> f64 {
        let own = self.surfaces.iter().find(|w| Some(w.surface.as_str()) == surface);
        own.map_or(self.default, |w| w.weight)
    }
}

read_struct!(SurfaceWeight { surface, weight });
read_struct!(Weight { default; surfaces = Vec::new() });
read_struct!(PolicySpec { ; due = Vec::new(), weights = Vec::new() });

/// U = sum over heads of w p v, plus the caller's boost; v and boost as given, 1 and 0 when missing.
pub fn utility(weights: &[f64], calibrated: &[f64], value: f64, boost: f64) -> f64 {
    let value = if value.is_nan() { 1.0 } else { value };
    let boost = if boost.is_nan() { 0.0 } else { boost };
    weights.iter().zip(calibrated).fold(0.0, |sum, (w, p)| sum + w * p * value) + boost
}

/// By position: the row that must stand there, if any; positions beyond its end are free.
pub type Standing = [Option<usize>];

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

    #[test]
    fn utility_adds_objectives_and_boost() {
        assert_eq!(utility(&[2.0, 0.5], &[0.25, 0.5], f64::NAN, f64::NAN), 0.75);
        assert_eq!(utility(&[2.0, 0.5], &[0.25, 0.5], 10.0, -1.0), 6.5);
    }

    #[test]
    fn weights_differ_by_surface() {
        let weight =
            Weight { default: 1.0, surfaces: vec![SurfaceWeight { surface: "assistant".to_owned(), weight: 0.5 }] };
        assert_eq!((weight.on(None), weight.on(Some("assistant")), weight.on(Some("x"))), (1.0, 0.5, 1.0));
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
