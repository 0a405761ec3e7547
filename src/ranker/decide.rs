//! The decision: scores and context become what the policy decides from, and its order a ranking.

use super::list::{Entry, Frozen, List, Ranking};
use super::open::Ranker;
use super::record::HeadValue;
use crate::context::Suppression;
use crate::error::ErrorKind;
use crate::features::Layout;
use crate::policy::{self, Item, Placed, Standing};

impl Ranker {
    pub(super) fn decide(
        &mut self,
        list: &List,
        frozen: &Standing,
        suppressed: &[Option<Suppression>],
        rows_run: usize,
    ) -> Result<Ranking, ErrorKind> {
        let n = list.table.len();
        let surface = list.identity.surface.as_deref();
        let weights: Vec<f64> = self.manifest().policy.weights.iter().map(|w| w.on(surface)).collect();
        let mut values = Vec::with_capacity(n);
        let mut items = Vec::with_capacity(n);
        for (row, suppression) in suppressed.iter().enumerate() {
            let raw = &list.raw[row * self.heads.len()..(row + 1) * self.heads.len()];
            let heads: Vec<HeadValue> = self
                .heads
                .iter_mut()
                .zip(raw)
                .map(|(head, &raw)| HeadValue { raw, calibrated: head.calibrated(raw, surface) })
                .collect();
            let calibrated: Vec<f64> = heads.iter().map(|h| h.calibrated).collect();
            let (value, boost) = (list.table.number(Layout::VALUE, row), list.table.number(Layout::BOOST, row));
            let utility = policy::utility(&weights, &calibrated, value, boost);
            if !utility.is_finite() || calibrated.iter().any(|p| !p.is_finite()) {
                return Err(ErrorKind::ScoreNotFinite);
            }
            items.push(Item { utility, primary: raw[0], suppressed: suppression.is_some() });
            values.push(heads);
        }
        let placed = policy::order(&items, frozen);
        let entry = |p: &Placed| Entry {
            row: p.row,
            score: values[p.row].first().map_or(f64::NAN, |h| h.calibrated),
            utility: items[p.row].utility,
            heads: values[p.row].clone(),
            suppressed: suppressed[p.row],
            constraints: p.constraints,
        };
        Ok(Ranking { reason: None, entries: placed.iter().map(entry).collect(), rows_run })
    }
}

impl List {
    /// Position to row of what is frozen in the order last shown (the server's before the first ranking).
    pub(super) fn frozen_positions(&self, frozen: &Frozen) -> Vec<Option<usize>> {
        let n = self.table.len();
        let at = |position: usize| self.order.as_ref().map_or(position, |o| o[position]);
        let mut wanted = vec![false; n];
        match frozen {
            Frozen::Count(count) => return (0..(*count).min(n)).map(|p| Some(at(p))).collect(),
            Frozen::Rows(rows) => rows.iter().filter(|&&r| r < n).for_each(|&r| wanted[r] = true),
        }
        (0..n).map(at).map(|row| wanted[row].then_some(row)).collect()
    }

    /// The server's order with its reason. Before the first model ranking nothing can stand elsewhere than
    /// where the server put it, so frozen items change nothing then.
    pub(super) fn server_order(
        &self,
        reason: ErrorKind,
        frozen: &Standing,
        suppressed: &[Option<Suppression>],
    ) -> Ranking {
        let placed = policy::server_order(self.table.len(), frozen, |row| suppressed[row].is_some());
        let entry = |p: &Placed| Entry {
            row: p.row,
            score: f64::NAN,
            utility: f64::NAN,
            heads: Vec::new(),
            suppressed: suppressed[p.row],
            constraints: p.constraints,
        };
        Ranking { reason: Some(reason), entries: placed.iter().map(entry).collect(), rows_run: 0 }
    }
}
