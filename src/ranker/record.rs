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

/// A head's score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadValue {
    /// What the model gave.
    pub raw: f32,
    /// After link and calibrator.
    pub calibrated: f64,
}

/// How much a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the policy decided from, and what it decided: replays the policy.
    Aggregate = 1,
    /// Also the time and the feature rows as the model saw them: replays the scores.
    Full = 2,
}

/// Bits of a decision's flags: what is there.
pub(crate) mod flag {
    pub const DECISION_ID: u64 = 1;
    pub const LIST_ID: u64 = 2;
    pub const SURFACE: u64 = 4;
    pub const SEED: u64 = 8;
    pub const DIGESTS: u64 = 16;
    /// The rows stay on the device: the model reads signals that are for the device alone.
    pub const WITHHELD: u64 = 32;
    /// What the policy decided from, and what it decided.
    pub const DECIDED: u64 = 64;
    /// Something could have been drawn otherwise.
    pub const EXPLORED: u64 = 128;
    /// Feature rows.
    pub const ROWS: u64 = 256;
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

/// A hash of a feature row in which a change of any one bit shows: FNV-1a over its columns' bits (every step is
/// one to one). A model need not tell two rows apart: a tree's split is at one value.
pub(crate) fn row_hash(row: &[f32]) -> u32 {
    row.iter().fold(0x811c_9dc5, |hash: u32, &x| (hash ^ bits32(x)).wrapping_mul(0x0100_0193))
}

impl View<'_> {
    /// The compact form.
    #[inline(never)]
    pub fn write(&self) -> Vec<u8> {
        let mut form = Form::new(Kind::Decision);
        let input = self.decided.map(|(input, _)| input);
        let seed = input.and_then(|input| input.seed);
        let explored = self.decided.is_some_and(|(_, decision)| decision.explored);
        let texts = [self.decision_id, self.list_id, self.surface];
        let present = [
            texts[0].is_some(),
            texts[1].is_some(),
            texts[2].is_some(),
            seed.is_some(),
            self.digests.is_some(),
            self.withheld,
            input.is_some(),
            explored,
            self.width > 0,
        ];
        form.varint(self.level as u64);
        form.varint(present.iter().rev().fold(0, |flags, &there| flags << 1 | u64::from(there)));
        form.text(self.reason);
        for text in texts.into_iter().flatten() {
            form.text(text);
        }
        if let Some(seed) = seed {
            form.bytes(&seed.to_le_bytes());
        }
        form.varint(u64::from(self.numerics));
        if let Some(digests) = self.digests {
            for digest in [&digests.bundle, &digests.schema, &digests.policy] {
                form.hex(digest);
            }
        }
        if self.level == Level::Full {
            form.real(self.now);
        }
        let items = &self.items;
        let n = items.len();
        form.varint(n as u64);
        for item in items {
            form.text(item.id);
            match item.key == item.id {
                // Its length and 1, so that 0 is left for the same as the id.
                true => form.varint(0),
                false => {
                    form.varint(item.key.len() as u64 + 1);
                    form.bytes(item.key.as_bytes());
                }
            }
        }
        form.column(n, Cells::Varint, u64::MAX, &|i| items[i].row as u64);
        form.column(n, Cells::Varint, 0, &|i| match items[i].suppressed {
            None => 0,
            Some(Suppression::Dismissed) => 1,
            Some(Suppression::Snoozed) => 2,
        });
        form.column(n, Cells::Varint, 0, &|i| u64::from(items[i].constraints));
        if let Some((input, decision)) = self.decided {
            self.write_decided(&mut form, input, decision);
        }
        if self.width > 0 {
            form.varint(self.width as u64);
            form.column(n, Cells::Bits32, 0, &|i| u64::from(row_hash(items[i].features)));
            form.rows(n, self.width, &|i| items[i].features);
        }
        form.finish()
    }

    fn write_decided(&self, form: &mut Form, input: &Input, decision: &Decision) {
        let n = self.items.len();
        form.varint(input.scored as u64);
        form.varint(self.heads.len() as u64);
        for (h, name) in self.heads.iter().enumerate() {
            form.text(name);
            // Rows that were not scored have none.
            let at = |i: usize| self.items[i].row * input.heads + h;
            let raw = |i: usize| input.raw.get(at(i)).copied().unwrap_or(f32::NAN);
            let calibrated = |i: usize| input.calibrated.get(at(i)).copied().unwrap_or(f64::NAN);
            form.column(n, Cells::Bits32, u64::from(bits32(f32::NAN)), &|i| u64::from(bits32(raw(i))));
            form.column(n, Cells::Bits64, bits64(f64::NAN), &|i| bits64(calibrated(i)));
        }
        form.real(decision.log_propensity);
        let choice = &decision.choices;
        let reals: [(fn(&Choice) -> f64, f64); 3] =
            [(|c| c.utility, f64::NAN), (|c| c.propensity, 1.0), (|c| c.log_propensity, 0.0)];
        for (get, absent) in reals {
            form.column(n, Cells::Bits64, bits64(absent), &|i| bits64(get(&choice[i])));
        }
        form.column(n, Cells::Varint, 0, &|i| u64::from(choice[i].relaxed));
        let candidate = |i: usize| &input.candidates[self.items[i].row];
        let reals: [fn(&Candidate) -> f64; 4] = [|c| c.value, |c| c.boost, |c| c.spend_effect, |c| c.benefit_lower];
        for get in reals {
            form.column(n, Cells::Bits64, bits64(f64::NAN), &|i| bits64(get(candidate(i))));
        }
        // What is none is 0 here.
        let wholes: [fn(&Candidate) -> u32; 4] =
            [|c| c.pin, |c| c.target.wrapping_add(1), |c| c.cooldown, |c| c.fatigue];
        for get in wholes {
            form.column(n, Cells::Varint, 0, &|i| u64::from(get(candidate(i))));
        }
        form.varint(input.kinds.len() as u64);
        for kind in &input.kinds {
            form.text(kind);
        }
        form.column(n, Cells::Varint, 0, &|i| u64::from(candidate(i).kind.wrapping_add(1)));
        form.varint(input.width as u64);
        if input.width > 0 {
            form.rows(n, input.width, &|i| {
                let row = self.items[i].row;
                &input.vectors[row * input.width..(row + 1) * input.width]
            });
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
        let withheld = level == Level::Full && self.reads_local_only();
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
        let decided = self.decided(list, ranking);
        let view = View {
            level,
            withheld,
            reason: ranking.reason.map_or("", |r| r.code()),
            decision_id: request.decision_id.as_deref(),
            list_id: request.list_id.as_deref(),
            surface: request.surface.as_deref(),
            numerics: NUMERICS,
            digests: Some(self.digests()),
            now,
            heads: manifest.heads.iter().map(|h| h.name.as_str()).collect(),
            decided: decided.as_ref().map(|(input, decision)| (input, decision)),
            width: if rows { self.encoder().width() } else { 0 },
            items: items.collect(),
        };
        view.write()
    }
}
