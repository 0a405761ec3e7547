//! The decision record: what was decided, in the compact form, from which it can be replayed.
//!
//! A page makes bytes and nothing else; `evaluate` and the package's JavaScript read them.

use super::form::{Cells, Form, Kind, bits32, bits64};
use super::list::{List, Ranking};
use super::open::Ranker;
use crate::context::Suppression;
use crate::engine::NUMERICS;
use crate::error::ErrorKind;
use crate::policy::{Candidate, Choice, Decision, Input, NONE};
use serde::Serialize;

/// SHA-256 digests, hex.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// Of the bundle's file.
    pub bundle: String,
    /// Of its schema and context sections.
    pub schema: String,
    /// Of its policy section.
    pub policy: String,
}

/// How much a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the policy decided from, and what it decided: replays the policy.
    Aggregate = 1,
    /// Also the time and the feature rows as the model saw them: replays the scores.
    Full = 2,
}

/// Numbers of a decision's fields. None is ever used for another thing.
pub(crate) mod of {
    pub const LEVEL: u64 = 1;
    pub const REASON: u64 = 2;
    /// Of every record.
    pub const DECISION_ID: u64 = 3;
    pub const LIST_ID: u64 = 4;
    pub const SURFACE: u64 = 5;
    pub const SEED: u64 = 6;
    pub const NOW: u64 = 7;
    pub const NUMERICS: u64 = 8;
    pub const BUNDLE: u64 = 9;
    pub const SCHEMA: u64 = 10;
    pub const POLICY: u64 = 11;
    pub const WITHHELD: u64 = 12;
    /// This and the next: of the model's order alone.
    pub const EXPLORED: u64 = 13;
    pub const SCORED: u64 = 14;
    pub const LOG_PROPENSITY: u64 = 15;
    pub const HEADS: u64 = 16;
    pub const TYPES: u64 = 17;
    /// The features that all candidates share: 32 bits a column, the highest byte first.
    pub const SHARED: u64 = 18;
}

/// Numbers of an item's fields.
pub(crate) mod each {
    pub const ID: u64 = 1;
    pub const KEY: u64 = 2;
    pub const SERVER_RANK: u64 = 3;
    pub const SUPPRESSED: u64 = 4;
    pub const CONSTRAINTS: u64 = 5;
    /// Utility, propensity, its logarithm.
    pub const UTILITY: u64 = 6;
    pub const RELAXED: u64 = 9;
    /// Value, boost, spend effect, lower bound of benefit.
    pub const VALUE: u64 = 10;
    /// Pin, target, cooldown, fatigue.
    pub const PIN: u64 = 14;
    pub const TYPE: u64 = 18;
    pub const VECTOR: u64 = 19;
    pub const FEATURES: u64 = 20;
    pub const ROW_HASH: u64 = 21;
    /// Of the first head the raw value, then the calibrated one; then those of the next.
    pub const HEADS: u64 = 32;
}

/// A decision as the writer wants it.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub level: Level,
    pub withheld: bool,
    /// Empty: the model's order.
    pub reason: &'a str,
    pub decision_id: Option<&'a str>,
    pub list_id: Option<&'a str>,
    pub surface: Option<&'a str>,
    pub numerics: u32,
    pub digests: Option<&'a Digests>,
    pub now: f64,
    /// Names of the heads.
    pub heads: Vec<&'a str>,
    /// Of the model's order alone.
    pub decided: Option<(&'a Input, &'a Decision)>,
    /// Columns of the feature rows; 0: there are none.
    pub width: usize,
    /// The features that all candidates share in inputs of their own; empty where a model has one input.
    pub shared: &'a [f32],
    /// In final order.
    pub items: Vec<ItemView<'a>>,
}

/// One item of it.
#[derive(Debug)]
pub(crate) struct ItemView<'a> {
    pub id: &'a str,
    pub key: &'a str,
    pub row: usize,
    pub suppressed: Option<Suppression>,
    pub constraints: u32,
    pub features: &'a [f32],
}

/// A hash of the shared features and a row in which a change of any one bit shows: FNV-1a over their columns' bits (every
/// step is one to one). A model need not tell two rows apart: a tree's split is at one value.
pub(crate) fn row_hash(shared: &[f32], row: &[f32]) -> u32 {
    shared.iter().chain(row).fold(0x811c_9dc5, |hash: u32, &x| (hash ^ bits32(x)).wrapping_mul(0x0100_0193))
}

impl View<'_> {
    /// The compact form.
    #[inline(never)]
    pub fn write(&self) -> Vec<u8> {
        let mut form = Form::default();
        form.number(of::LEVEL, Cells::Whole, self.level as u64);
        form.text(of::REASON, Some(self.reason).filter(|reason| !reason.is_empty()));
        form.text(of::DECISION_ID, self.decision_id);
        form.text(of::LIST_ID, self.list_id);
        form.text(of::SURFACE, self.surface);
        if self.level == Level::Full {
            form.number(of::NOW, Cells::Real, bits64(self.now));
        }
        if self.numerics > 0 {
            form.number(of::NUMERICS, Cells::Whole, u64::from(self.numerics));
        }
        if let Some(digests) = self.digests {
            form.hex(of::BUNDLE, &digests.bundle);
            form.hex(of::SCHEMA, &digests.schema);
            form.hex(of::POLICY, &digests.policy);
        }
        if self.withheld {
            form.number(of::WITHHELD, Cells::Whole, 1);
        }
        if let Some((input, decision)) = self.decided {
            if let Some(seed) = input.seed {
                form.number(of::SEED, Cells::Long, seed);
            }
            form.number(of::EXPLORED, Cells::Whole, u64::from(decision.explored));
            form.number(of::SCORED, Cells::Whole, input.scored as u64);
            form.number(of::LOG_PROPENSITY, Cells::Real, bits64(decision.log_propensity));
            form.texts(of::HEADS, self.heads.iter().copied());
            form.texts(of::TYPES, input.kinds.iter().map(String::as_str));
        }
        if !self.shared.is_empty() {
            let bytes: Vec<u8> = self.shared.iter().flat_map(|&x| bits32(x).to_be_bytes()).collect();
            form.bytes(of::SHARED, &bytes);
        }
        form.varint(0);
        let items = &self.items;
        let n = items.len();
        form.varint(n as u64);
        form.each_text(each::ID, items.iter().map(|item| item.id));
        if items.iter().any(|item| item.key != item.id) {
            form.each_text(each::KEY, items.iter().map(|item| item.key));
        }
        form.column(n, each::SERVER_RANK, Cells::Whole, 0, &|i| items[i].row as u64 + 1);
        form.column(n, each::SUPPRESSED, Cells::Whole, 0, &|i| match items[i].suppressed {
            None => 0,
            Some(Suppression::Dismissed) => 1,
            Some(Suppression::Snoozed) => 2,
        });
        form.column(n, each::CONSTRAINTS, Cells::Names, 0, &|i| u64::from(items[i].constraints));
        if let Some((input, decision)) = self.decided {
            self.write_decided(&mut form, input, decision);
        }
        form.rows(each::FEATURES, self.width, &self.bits(self.width, &|item| item.features));
        let hashes: Vec<u32> = items.iter().map(|item| row_hash(self.shared, item.features)).collect();
        form.rows(each::ROW_HASH, usize::from(self.width > 0), &hashes);
        form.varint(0);
        form.finish(Kind::Decision)
    }

    /// Of each item a row of so many columns.
    fn bits<'a>(&'a self, width: usize, row: &dyn Fn(&'a ItemView<'a>) -> &'a [f32]) -> Vec<u32> {
        let mut bits = Vec::with_capacity(width * self.items.len());
        for item in &self.items {
            bits.extend(row(item)[..width].iter().map(|&x| bits32(x)));
        }
        bits
    }

    fn write_decided(&self, form: &mut Form, input: &Input, decision: &Decision) {
        type Of<T, N> = fn(&T) -> N;
        const NAN: f64 = f64::NAN;
        let n = self.items.len();
        let choices = &decision.choices;
        let reals: [(Of<Choice, f64>, f64); 3] =
            [(|c| c.utility, NAN), (|c| c.propensity, 1.0), (|c| c.log_propensity, 0.0)];
        for ((get, absent), field) in reals.into_iter().zip(each::UTILITY..) {
            form.column(n, field, Cells::Real, bits64(absent), &|i| bits64(get(&choices[i])));
        }
        form.column(n, each::RELAXED, Cells::Names, 0, &|i| u64::from(choices[i].relaxed));
        let candidate = |i: usize| &input.candidates[self.items[i].row];
        let reals: [Of<Candidate, f64>; 4] = [|c| c.value, |c| c.boost, |c| c.spend_effect, |c| c.benefit_lower];
        for (get, field) in reals.into_iter().zip(each::VALUE..) {
            form.column(n, field, Cells::Real, bits64(NAN), &|i| bits64(get(candidate(i))));
        }
        // None is 0 here, and the first is 1.
        let wholes: [(Of<Candidate, u32>, u64); 5] = [
            (|c| c.pin, each::PIN),
            (|c| c.target.wrapping_add(1), each::PIN + 1),
            (|c| c.cooldown, each::PIN + 2),
            (|c| c.fatigue, each::PIN + 3),
            (|c| c.kind.wrapping_add(1), each::TYPE),
        ];
        for (get, field) in wholes {
            form.column(n, field, Cells::Whole, 0, &|i| u64::from(get(candidate(i))));
        }
        let vectors = self.bits(input.width, &|item| &input.vectors[item.row * input.width..][..input.width]);
        form.rows(each::VECTOR, input.width, &vectors);
        for h in 0..self.heads.len() {
            // Rows that were not scored have none.
            let at = |i: usize| self.items[i].row * input.heads + h;
            let raw = |i: usize| input.raw.get(at(i)).copied().unwrap_or(f32::NAN);
            let calibrated = |i: usize| input.calibrated.get(at(i)).copied().unwrap_or(NAN);
            let field = each::HEADS + 2 * h as u64;
            form.column(n, field, Cells::Single, u64::from(bits32(f32::NAN)), &|i| u64::from(bits32(raw(i))));
            form.column(n, field + 1, Cells::Real, bits64(NAN), &|i| bits64(calibrated(i)));
        }
    }
}

const _: () = assert!(NONE == u32::MAX, "a column writes none as 0, one less than the first");

impl Ranker {
    /// The record of `list`'s last ranking, in the compact form.
    #[inline(never)]
    pub fn record(&self, list: &List, ranking: &Ranking, now: f64, level: Level) -> Vec<u8> {
        let table = list.table();
        let manifest = self.manifest();
        let withheld = level == Level::Full && self.local_only;
        // Of a score that is not finite the rows are kept too: they show it.
        let rows =
            level == Level::Full && matches!(ranking.reason, None | Some(ErrorKind::ScoreNotFinite)) && !withheld;
        let items = ranking.entries.iter().map(|e| ItemView {
            id: table.id(e.row),
            key: table.key(e.row),
            row: e.row,
            suppressed: e.suppressed,
            constraints: e.constraints,
            features: if rows { list.row(e.row) } else { &[] },
        });
        let request = list.request();
        let decided = ranking.decided.as_deref();
        let view = View {
            level,
            withheld,
            reason: ranking.reason.map_or("", |r| r.code()),
            // That of this decision: a list that is ranked again decides again.
            decision_id: decided
                .map(|d| d.input.decision_id.as_str())
                .filter(|id| !id.is_empty())
                .or(request.decision_id.as_deref()),
            list_id: request.list_id.as_deref(),
            surface: request.surface.as_deref(),
            numerics: NUMERICS,
            digests: Some(self.digests()),
            now,
            heads: manifest.heads.iter().map(|h| h.name.as_str()).collect(),
            decided: decided.map(|d| (&d.input, &d.decision)),
            shared: if rows { list.shared_row() } else { &[] },
            width: if rows { self.encoder().width() } else { 0 },
            items: items.collect(),
        };
        view.write()
    }
}
