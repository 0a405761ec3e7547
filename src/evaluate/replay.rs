//! Recorded decisions, made again: the heads from the recorded rows, the policy from the heads.

use super::compare::{Comparison, Place};
use super::record::{Item, Record, Recorded};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::{self, CONSTRAINTS, FROZEN};
use crate::ranker::record::row_hash;
use crate::ranker::{HeadValue, Level, Ranker};
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
        let Some(heads) = self.aligned(record, found) else { return };
        let has_rows = record.items.iter().any(|item| !item.features.is_empty());
        let alone = match record.level {
            _ if self.level == Level::Aggregate => Some("asked for"),
            Level::Aggregate => Some("level aggregate"),
            _ if record.withheld => Some("rows withheld"),
            _ if !has_rows && !record.items.is_empty() => Some("no rows"),
            _ => None,
        };
        match alone {
            Some(why) => *self.summary.policy_alone.entry(why).or_default() += 1,
            None => {
                self.summary.scores += 1;
                self.scores(record, &heads, found);
            }
        }
        self.policy(record, &heads, found);
    }

    /// Each item's heads in the order of the bundle's; None where they are others.
    fn aligned(&self, record: &Record, found: &mut Comparison) -> Option<Vec<Vec<HeadValue>>> {
        let own: Vec<&String> = self.ranker.manifest().heads.iter().map(|head| &head.name).collect();
        let mut theirs: Vec<&String> = record.heads.iter().collect();
        let at: Option<Vec<usize>> = own.iter().map(|&name| record.heads.iter().position(|h| h == name)).collect();
        match at {
            Some(at) if at.len() == theirs.len() => {
                Some(record.items.iter().map(|item| at.iter().map(|&h| item.heads[h]).collect()).collect())
            }
            // A list without an item names no heads in JSON.
            _ if record.items.is_empty() => Some(Vec::new()),
            _ => {
                let mut own = own.clone();
                own.sort();
                theirs.sort();
                found.same(Place::WHOLE, "heads", (theirs, own), |names| format!("{names:?}"));
                None
            }
        }
    }

    /// The recorded rows through the plan, link and calibration.
    fn scores(&mut self, record: &Record, heads: &[Vec<HeadValue>], found: &mut Comparison) {
        let width = self.ranker.encoder().width();
        let mut rows = Vec::with_capacity(record.items.len() * width);
        for (i, item) in record.items.iter().enumerate() {
            let columns = |n: &usize| format!("{n} columns");
            found.same(place(i, item), "features", (item.features.len(), width), columns);
            found.bits(place(i, item), "features (their row_hash)", item.row_hash, row_hash(&item.features));
            rows.extend_from_slice(&item.features);
        }
        if rows.len() != record.items.len() * width {
            return;
        }
        // In the server's order, as they were run: a list-wise model reads its rows in it.
        let mut by_row: Vec<usize> = (0..record.items.len()).collect();
        by_row.sort_by_key(|&i| record.items[i].row);
        let ordered: Vec<f32> = by_row.iter().flat_map(|&i| &rows[i * width..(i + 1) * width]).copied().collect();
        let n = record.items.len();
        let Ok(raw) = self.ranker.raw_heads(&ordered, n) else {
            found.same(Place::WHOLE, "heads", (true, false), |ran| {
                if *ran { "the model ran" } else { "it does not run" }.to_owned()
            });
            return;
        };
        self.summary.rows += n as u64;
        let names: Vec<String> = self.ranker.manifest().heads.iter().map(|head| head.name.clone()).collect();
        let mut at = vec![0; n];
        by_row.iter().enumerate().for_each(|(k, &i)| at[i] = k);
        for (i, item) in record.items.iter().enumerate() {
            for (h, name) in names.iter().enumerate() {
                let (was, raw) = (heads[i][h], raw[at[i] * names.len() + h]);
                found.single(place(i, item), &format!("heads.{name}.raw"), was.raw, raw);
                let calibrated = self.ranker.calibrated(h, raw, record.surface.as_deref());
                found.real(place(i, item), &format!("heads.{name}.calibrated"), was.calibrated, calibrated);
            }
        }
    }

    /// The policy on the recorded heads.
    fn policy(&self, record: &Record, heads: &[Vec<HeadValue>], found: &mut Comparison) {
        for (i, item) in record.items.iter().enumerate() {
            let score = heads[i].first().map_or(f64::NAN, |head| head.calibrated);
            found.real(place(i, item), "score", item.score, score);
        }
    }

    /// The server's order: what is frozen stands where it stands, the rest follows.
    fn server_order(&mut self, record: &Record, found: &mut Comparison) {
        self.summary.server += 1;
        let standing: Vec<Option<usize>> =
            record.items.iter().map(|item| (item.constraints & FROZEN != 0).then_some(item.row)).collect();
        let mut suppressed = vec![false; record.items.len()];
        record.items.iter().for_each(|item| suppressed[item.row] = item.suppressed.is_some());
        let placed = policy::server_order(record.items.len(), &standing, |row| suppressed[row]);
        order(record, placed.iter().map(|p| p.row), found);
        for (i, (item, p)) in record.items.iter().zip(&placed).enumerate() {
            found.bits(place(i, item), "constraints", item.constraints, p.constraints);
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
