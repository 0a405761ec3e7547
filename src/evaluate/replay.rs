//! Recorded decisions, made again: the heads from the recorded rows, the policy from the heads.

use super::compare::{Comparison, Place};
use super::record::{Item, Record, Recorded};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::{self, Decision, FROZEN, Input};
use crate::ranker::record::row_hash;
use crate::ranker::{Level, Ranker};
use std::collections::BTreeMap;

pub use super::compare::Difference;

/// Why a record was not replayed, or not as far as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// Nothing in it is computed.
    Exposure,
    /// Nothing in it is computed.
    Outcome,
}

/// What was replayed.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Decisions whose scores and policy were computed again.
    pub scores: u64,
    /// Decisions whose policy alone was, by why.
    pub policy_alone: BTreeMap<&'static str, u64>,
    /// Decisions in the server's order.
    pub server: u64,
    /// Feature rows that the model was run for.
    pub rows: u64,
    /// Values that were compared.
    pub compared: u64,
    /// Bits in which they differ.
    pub differing: u64,
    /// Decisions that differ.
    pub differ: u64,
    /// Records that hold nothing to compute.
    pub skipped: BTreeMap<Skipped, u64>,
}

impl Summary {
    /// All decisions.
    pub fn decisions(&self) -> u64 {
        self.scores + self.server + self.policy_alone.values().sum::<u64>()
    }
}

/// Replays records of one bundle.
#[derive(Debug)]
pub struct Replay {
    ranker: Ranker,
    level: Level,
    /// So far.
    pub summary: Summary,
}

impl Replay {
    /// A replay on `ranker`; at level aggregate the policy alone is computed again.
    ///
    /// # Errors
    /// `schema_mismatch`: the bundle scores and does not rank.
    pub fn new(ranker: Ranker, level: Level) -> Result<Replay> {
        if !ranker.ranks() {
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                "this bundle scores but does not rank: it made no decision",
            ));
        }
        Ok(Replay { ranker, level, summary: Summary::default() })
    }

    /// Replays one record; gives the first thing in which it differs.
    pub fn record(&mut self, recorded: &Recorded) -> Option<Difference> {
        let record = match recorded {
            Recorded::Decision(record) => record,
            Recorded::Exposure(_) => {
                *self.summary.skipped.entry(Skipped::Exposure).or_default() += 1;
                return None;
            }
            Recorded::Outcome(_) => {
                *self.summary.skipped.entry(Skipped::Outcome).or_default() += 1;
                return None;
            }
        };
        let mut found = Comparison::default();
        self.decision(record, &mut found);
        self.summary.compared += found.compared;
        self.summary.differing += found.differing;
        self.summary.differ += u64::from(found.first.is_some());
        found.first
    }

    fn decision(&mut self, record: &Record, found: &mut Comparison) {
        if let Some(digests) = &record.digests {
            let own = &self.ranker.digests().bundle;
            let text = |digest: &&String| format!("bundle {digest}");
            found.same(Place::WHOLE, "digests.bundle", (&digests.bundle, own), text);
        }
        if found.first.is_some() {
            // Another model, another policy: all else would differ, and say nothing.
            self.summary.server += u64::from(record.reason.is_some());
            if record.reason.is_none() {
                *self.summary.policy_alone.entry("another bundle").or_default() += 1;
            }
            return;
        }
        match &record.reason {
            Some(_) => self.server_order(record, found),
            None => self.model(record, found),
        }
    }

    fn model(&mut self, record: &Record, found: &mut Comparison) {
        let Some((input, decision)) = record.decided.as_ref().and_then(|decided| self.aligned(record, decided)) else {
            let own: Vec<&String> = self.ranker.manifest().heads.iter().map(|head| &head.name).collect();
            found.same(Place::WHOLE, "heads", (record.heads.iter().collect(), own), |names| format!("{names:?}"));
            return;
        };
        let has_rows = record.items.iter().all(|item| !item.features.is_empty());
        let alone = match record.level {
            _ if self.level == Level::Aggregate => Some("asked for"),
            Level::Aggregate => Some("level aggregate"),
            _ if record.withheld => Some("rows withheld"),
            _ if !has_rows => Some("no rows"),
            _ => None,
        };
        match alone {
            Some(why) => *self.summary.policy_alone.entry(why).or_default() += 1,
            None => {
                self.summary.scores += 1;
                self.scores(record, &input, found);
            }
        }
        self.policy(record, &input, decision, found);
    }

    /// The input with its heads in the order of the bundle's; None where they are others.
    fn aligned<'a>(&self, record: &Record, (input, decision): &'a (Input, Decision)) -> Option<(Input, &'a Decision)> {
        let own = &self.ranker.manifest().heads;
        let at: Option<Vec<usize>> =
            own.iter().map(|head| record.heads.iter().position(|name| *name == head.name)).collect();
        let at = at.filter(|at| at.len() == record.heads.len())?;
        let places = || (0..input.scored).flat_map(|row| at.iter().map(move |h| row * input.heads + h));
        let mut aligned = input.clone();
        aligned.raw = places().map(|at| input.raw[at]).collect();
        aligned.calibrated = places().map(|at| input.calibrated[at]).collect();
        Some((aligned, decision))
    }

    /// The recorded rows through the plan, link and calibration.
    fn scores(&mut self, record: &Record, input: &Input, found: &mut Comparison) {
        let Some(raw) = self.heads(record, input.scored, found) else { return };
        let names: Vec<String> = self.ranker.manifest().heads.iter().map(|head| head.name.clone()).collect();
        for (i, item) in record.items.iter().enumerate().filter(|(_, item)| item.row < input.scored) {
            for (h, name) in names.iter().enumerate() {
                let at = item.row * names.len() + h;
                found.single(place(i, item), &format!("heads.{name}.raw"), input.raw[at], raw[at]);
                let calibrated = self.ranker.calibrated(h, raw[at], record.surface.as_deref());
                found.real(place(i, item), &format!("heads.{name}.calibrated"), input.calibrated[at], calibrated);
            }
        }
    }

    /// The raw heads of the first `scored` rows, `[scored, heads]`; None where the rows do not fit the model.
    fn heads(&mut self, record: &Record, scored: usize, found: &mut Comparison) -> Option<Vec<f32>> {
        let width = self.ranker.encoder().width();
        let shared = self.ranker.encoder().shared_width();
        found.same(Place::WHOLE, "shared", (record.shared.len(), shared), |n| format!("{n} columns"));
        if record.shared.len() != shared {
            return None;
        }
        let mut rows = vec![0.0; scored * width];
        for (i, item) in record.items.iter().enumerate() {
            found.same(place(i, item), "features", (item.features.len(), width), |n| format!("{n} columns"));
            found.bits(
                place(i, item),
                "features (their row_hash)",
                item.row_hash,
                row_hash(&record.shared, &item.features),
            );
            if item.features.len() != width {
                return None;
            }
            // In the server's order, as they were run: a list-wise model reads its rows in it.
            if item.row < scored {
                rows[item.row * width..(item.row + 1) * width].copy_from_slice(&item.features);
            }
        }
        self.summary.rows += scored as u64;
        match self.ranker.raw_heads(&record.shared, &rows, scored) {
            Ok(raw) => Some(raw),
            Err(error) => {
                found.same(Place::WHOLE, "heads", ("heads".to_owned(), error.to_string()), String::clone);
                None
            }
        }
    }

    /// The policy on the recorded heads.
    fn policy(&mut self, record: &Record, input: &Input, decision: &Decision, found: &mut Comparison) {
        for (i, item) in record.items.iter().enumerate() {
            let scored = if item.row < input.scored { input.calibrated.get(item.row * input.heads) } else { None };
            found.real(place(i, item), "score", item.score, scored.copied().unwrap_or(f64::NAN));
        }
        let again = match self.ranker.decide_again(input) {
            Ok(again) => again,
            Err(reason) => {
                found.same(Place::WHOLE, "reason", (None, Some(reason)), |reason| format!("{reason:?}"));
                return;
            }
        };
        order(record, again.choices.iter().map(|choice| choice.row), found);
        // By place: what is not the same item was told above.
        for (i, (item, (was, is))) in record.items.iter().zip(decision.choices.iter().zip(&again.choices)).enumerate() {
            let at = place(i, item);
            if was.row == is.row {
                found.real(at, "utility", was.utility, is.utility);
            }
            found.real(at, "propensity", was.propensity, is.propensity);
            found.real(at, "log_propensity", was.log_propensity, is.log_propensity);
            found.bits(at, "constraints", was.constraints, is.constraints);
            found.bits(at, "relaxed", was.relaxed, is.relaxed);
        }
        found.real(Place::WHOLE, "log_propensity", decision.log_propensity, again.log_propensity);
        found.same(Place::WHOLE, "explored", (decision.explored, again.explored), bool::to_string);
        found.same(Place::WHOLE, "degraded", (decision.degraded, again.degraded), bool::to_string);
    }

    /// The server's order: what is frozen stands where it stands, the rest follows.
    fn server_order(&mut self, record: &Record, found: &mut Comparison) {
        self.summary.server += 1;
        if record.reason.as_deref() == Some(ErrorKind::ScoreNotFinite.code())
            && self.level == Level::Full
            && record.items.iter().any(|item| !item.features.is_empty())
            && let Some(raw) = self.heads(record, record.items.len(), found)
        {
            let finite = raw.iter().all(|x| x.is_finite());
            let text =
                |finite: &bool| if *finite { "every score is finite" } else { "a score is not finite" }.to_owned();
            found.same(Place::WHOLE, "reason", (false, finite), text);
        }
        let standing: Vec<Option<usize>> =
            record.items.iter().map(|item| (item.constraints & FROZEN != 0).then_some(item.row)).collect();
        let mut suppressed = vec![false; record.items.len()];
        record.items.iter().for_each(|item| suppressed[item.row] = item.suppressed.is_some());
        let placed = policy::server_order(record.items.len(), &standing, |row| suppressed[row]);
        order(record, placed.iter().map(|&(row, _)| row), found);
        for (i, (item, p)) in record.items.iter().zip(&placed).enumerate() {
            found.bits(place(i, item), "constraints", item.constraints, p.1);
        }
    }
}

fn place(i: usize, item: &Item) -> Place<'_> {
    Place { rank: i + 1, id: &item.id }
}

/// Compares the order, place by place.
fn order(record: &Record, rows: impl Iterator<Item = usize>, found: &mut Comparison) {
    let mut ids = vec![""; record.items.len()];
    record.items.iter().for_each(|item| ids[item.row] = &item.id);
    for (i, (item, row)) in record.items.iter().zip(rows).enumerate() {
        found.same(place(i, item), "order", (item.id.as_str(), ids[row]), |id| format!("item {id}"));
    }
}
