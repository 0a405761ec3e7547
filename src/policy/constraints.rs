//! What is counted while positions are filled: caps, conflicts, spacing, dependencies, cooldown, fatigue.
//!
//! A candidate's breaches at a position are bits whose order is their strength, so the least number belongs to those that
//! break the weakest. Standing items (frozen, pinned) are counted before the first position is filled: a choice makes
//! room for what comes.

use super::Policy;
use super::decision::{CAP, CONFLICT, COOLDOWN, DEPENDENCY, FATIGUE, SPACING};
use super::input::{Candidate, Input, NONE};

/// Counters of one decision.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    kinds: usize,
    targets: usize,
    /// `[caps, kinds]`: placed within the cap's positions; [`NONE`] for kinds that it does not count.
    caps: Vec<u32>,
    /// `[conflicts, targets]`: placed within its positions.
    conflicts: Vec<u32>,
    /// `[conflicts, kinds]`: whether the kind is one of the rule's.
    in_conflict: Vec<bool>,
    /// `[dependencies, targets]`: candidates that must come first and have not.
    waiting: Vec<u32>,
    /// Of each dependency: (kind that comes first, kind that waits).
    pub dependencies: Vec<(u32, u32)>,
    /// By position: the kind that stands there.
    kind_at: Vec<u32>,
    /// First position of which nothing is asked any more; dependencies are asked everywhere.
    horizon: usize,
    /// By kind: what any candidate of it would break at the position that was looked at last.
    of_kind: Vec<u32>,
}

impl Counters {
    /// Before anything is placed.
    pub fn start(&mut self, policy: &Policy, input: &Input) {
        let spec = &policy.spec;
        self.kinds = input.kinds.len();
        self.targets = input.candidates.iter().filter_map(|c| target(input, c)).max().map_or(0, |t| t + 1);
        let kind = |name: &str| input.kinds.iter().position(|k| k == name).map_or(NONE, |k| k as u32);
        self.caps.clear();
        for cap in &spec.caps {
            let counted = |k: &String| cap.kind.as_ref().is_none_or(|kind| kind == k);
            self.caps.extend(input.kinds.iter().map(|k| if counted(k) { 0 } else { NONE }));
        }
        self.in_conflict.clear();
        for rule in &spec.conflicts {
            self.in_conflict.extend(input.kinds.iter().map(|k| rule.types.contains(k)));
        }
        reset(&mut self.conflicts, spec.conflicts.len() * self.targets, 0);
        self.dependencies.clear();
        self.dependencies.extend(spec.dependencies.iter().map(|d| (kind(&d.before), kind(&d.then))));
        reset(&mut self.waiting, spec.dependencies.len() * self.targets, 0);
        reset(&mut self.kind_at, if spec.spacing.is_some() { input.candidates.len() } else { 0 }, NONE);
        let of_rows = input.candidates.iter().map(|c| c.cooldown.max(c.fatigue) as usize);
        let of_caps = spec.caps.iter().map(|c| c.first).chain(spec.conflicts.iter().map(|c| c.first));
        self.horizon = of_rows.chain(of_caps).chain(spec.spacing.iter().map(|s| s.first)).max().unwrap_or(0);
    }

    /// A candidate that others may wait for is still to come.
    pub fn expect(&mut self, input: &Input, row: usize) {
        self.wait(input, row, |waiting| *waiting += 1);
    }

    /// A candidate that others may wait for has come.
    pub fn come(&mut self, input: &Input, row: usize) {
        self.wait(input, row, |waiting| *waiting -= 1);
    }

    fn wait(&mut self, input: &Input, row: usize, change: impl Fn(&mut u32)) {
        let c = &input.candidates[row];
        let Some(target) = target(input, c) else { return };
        for (d, (before, _)) in self.dependencies.iter().enumerate() {
            if *before == c.kind && *before != NONE {
                change(&mut self.waiting[d * self.targets + target]);
            }
        }
    }

    /// `row` stands at `position`.
    pub fn place(&mut self, policy: &Policy, input: &Input, row: usize, position: usize) {
        let c = &input.candidates[row];
        let kind = c.kind as usize;
        if kind >= self.kinds {
            return;
        }
        if let Some(at) = self.kind_at.get_mut(position) {
            *at = c.kind;
        }
        for (rule, cap) in policy.spec.caps.iter().enumerate() {
            let count = &mut self.caps[rule * self.kinds + kind];
            if position < cap.first && *count != NONE {
                *count += 1;
            }
        }
        if let Some(target) = target(input, c) {
            for (rule, conflict) in policy.spec.conflicts.iter().enumerate() {
                if position < conflict.first && self.in_conflict[rule * self.kinds + kind] {
                    self.conflicts[rule * self.targets + target] += 1;
                }
            }
        }
    }

    /// Whether anything could be broken at `position`.
    pub fn asked_at(&self, position: usize) -> bool {
        position < self.horizon || !self.dependencies.is_empty()
    }

    /// Makes ready for `position`, as long as nothing more is placed.
    pub fn look(&mut self, policy: &Policy, position: usize) {
        reset(&mut self.of_kind, self.kinds, 0);
        for (rule, cap) in policy.spec.caps.iter().enumerate().filter(|(_, cap)| position < cap.first) {
            let counts = &self.caps[rule * self.kinds..(rule + 1) * self.kinds];
            for (&count, broken) in counts.iter().zip(&mut self.of_kind) {
                *broken |= if count != NONE && count >= cap.most { CAP } else { 0 };
            }
        }
        if let Some(spacing) = policy.spec.spacing.as_ref().filter(|spacing| position < spacing.first) {
            let end = spacing.first.min(self.kind_at.len()).min(position + spacing.apart + 1);
            for &kind in &self.kind_at[position.saturating_sub(spacing.apart)..end] {
                if let Some(broken) = self.of_kind.get_mut(kind as usize) {
                    *broken |= SPACING;
                }
            }
        }
    }

    /// What `row` would break at `position`, which was looked at.
    pub fn breaches(&self, policy: &Policy, input: &Input, row: usize, position: usize) -> u32 {
        let c = &input.candidates[row];
        let kind = c.kind as usize;
        let mut broken = 0;
        if position < c.cooldown as usize {
            broken |= COOLDOWN;
        }
        if position < c.fatigue as usize {
            broken |= FATIGUE;
        }
        let Some(of_kind) = self.of_kind.get(kind) else { return broken };
        broken |= of_kind;
        if let Some(target) = target(input, c) {
            for (rule, conflict) in policy.spec.conflicts.iter().enumerate() {
                let taken = || self.conflicts[rule * self.targets + target] > 0;
                if position < conflict.first && self.in_conflict[rule * self.kinds + kind] && taken() {
                    broken |= CONFLICT;
                }
            }
            for (d, (_, then)) in self.dependencies.iter().enumerate() {
                if *then == c.kind && self.waiting[d * self.targets + target] > 0 {
                    broken |= DEPENDENCY;
                }
            }
        }
        broken
    }
}

/// A target's number. More targets than candidates there cannot be: a greater one is nobody's.
pub(super) fn target(input: &Input, c: &Candidate) -> Option<usize> {
    Some(c.target as usize).filter(|&t| t < input.candidates.len())
}

fn reset(list: &mut Vec<u32>, len: usize, value: u32) {
    list.clear();
    list.resize(len, value);
}
