//! Until the policy decides from an `Input`: what it would have been, from the ranking.

use super::list::{List, Ranking};
use super::open::Ranker;
use crate::features::Layout;
use crate::policy::{Candidate, Choice, Decision, FROZEN, Input, NONE};

impl Ranker {
    pub(super) fn reads_local_only(&self) -> bool {
        false
    }

    pub(super) fn decided(&self, list: &List, ranking: &Ranking) -> Option<(Input, Decision)> {
        if !ranking.is_model() {
            return None;
        }
        let (n, heads, table) = (list.len(), self.heads.len(), list.table());
        let mut input = Input {
            surface: list.request().surface.clone(),
            decision_id: list.request().decision_id.clone().unwrap_or_default(),
            scored: n,
            heads,
            raw: vec![f32::NAN; n * heads],
            calibrated: vec![f64::NAN; n * heads],
            frozen: ranking.entries.iter().map(|e| (e.constraints & FROZEN != 0).then_some(e.row)).collect(),
            ..Input::default()
        };
        for row in 0..n {
            let kind = table.candidate_type(row).map_or(NONE, |t| {
                let at = input.kinds.iter().position(|k| k == t);
                at.unwrap_or_else(|| {
                    input.kinds.push(t.to_owned());
                    input.kinds.len() - 1
                }) as u32
            });
            input.candidates.push(Candidate {
                id: ranklet_kernels::hash::hash64(table.id(row)),
                value: table.number(Layout::VALUE, row),
                boost: table.number(Layout::BOOST, row),
                kind,
                ..Candidate::default()
            });
        }
        let mut decision = Decision::default();
        for e in &ranking.entries {
            for (h, value) in e.heads.iter().enumerate() {
                input.raw[e.row * heads + h] = value.raw;
                input.calibrated[e.row * heads + h] = value.calibrated;
            }
            input.candidates[e.row].suppressed = e.suppressed.is_some();
            decision.choices.push(Choice {
                row: e.row,
                utility: e.utility,
                constraints: e.constraints,
                relaxed: 0,
                propensity: 1.0,
                log_propensity: 0.0,
                prefix_log_propensity: 0.0,
            });
        }
        Some((input, decision))
    }
}
