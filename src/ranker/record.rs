//! The decision record: what was decided, in the compact form, from which it can be replayed.
//!
//! A page makes bytes and nothing else; `evaluate` and the package's JavaScript read them.

use super::form::{Cells, Form, Kind, bits32, bits64};
use super::list::{List, Ranking};
use super::open::Ranker;
use crate::context::Suppression;
use crate::engine::NUMERICS;
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
    pub seed: Option<u64>,
    pub numerics: u32,
    pub digests: Option<&'a Digests>,
    pub now: f64,
    pub heads: Vec<&'a str>,
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
    pub heads: &'a [HeadValue],
    pub utility: f64,
    pub propensity: f64,
    pub log_propensity: f64,
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
        let full = self.level == Level::Full;
        let texts = [self.decision_id, self.list_id, self.surface];
        let mut flags = 0;
        for (text, bit) in texts.iter().zip([flag::DECISION_ID, flag::LIST_ID, flag::SURFACE]) {
            flags |= if text.is_some() { bit } else { 0 };
        }
        flags |= if self.seed.is_some() { flag::SEED } else { 0 };
        flags |= if self.digests.is_some() { flag::DIGESTS } else { 0 };
        flags |= if self.withheld { flag::WITHHELD } else { 0 };
        form.varint(self.level as u64);
        form.varint(flags);
        form.text(self.reason);
        for text in texts.into_iter().flatten() {
            form.text(text);
        }
        if let Some(seed) = self.seed {
            form.bytes(&seed.to_le_bytes());
        }
        form.varint(u64::from(self.numerics));
        if let Some(digests) = self.digests {
            for digest in [&digests.bundle, &digests.schema, &digests.policy] {
                form.hex(digest);
            }
        }
        if full {
            form.real(self.now);
        }
        form.varint(self.heads.len() as u64);
        for head in &self.heads {
            form.text(head);
        }
        form.varint(self.items.len() as u64);
        form.varint(self.width as u64);
        self.write_items(&mut form);
        form.finish()
    }

    fn write_items(&self, form: &mut Form) {
        let items = &self.items;
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
        const NAN: f64 = f64::NAN;
        let n = items.len();
        form.column(n, Cells::Varint, u64::MAX, &|i| items[i].row as u64);
        for h in 0..self.heads.len() {
            let head = |i: usize| items[i].heads[h];
            form.column(n, Cells::Bits32, u64::from(bits32(f32::NAN)), &|i| u64::from(bits32(head(i).raw)));
            form.column(n, Cells::Bits64, bits64(NAN), &|i| bits64(head(i).calibrated));
        }
        form.column(n, Cells::Bits64, bits64(NAN), &|i| bits64(items[i].utility));
        form.column(n, Cells::Bits64, bits64(1.0), &|i| bits64(items[i].propensity));
        form.column(n, Cells::Bits64, bits64(0.0), &|i| bits64(items[i].log_propensity));
        form.column(n, Cells::Varint, 0, &|i| match items[i].suppressed {
            None => 0,
            Some(Suppression::Dismissed) => 1,
            Some(Suppression::Snoozed) => 2,
        });
        form.column(n, Cells::Varint, 0, &|i| u64::from(items[i].constraints));
        if self.width > 0 {
            form.column(n, Cells::Bits32, 0, &|i| u64::from(row_hash(items[i].features)));
            form.rows(n, self.width, &|i| items[i].features);
        }
    }
}

impl Ranker {
    /// The record of `list`'s last ranking, in the compact form.
    #[inline(never)]
    pub fn record(&self, list: &List, ranking: &Ranking, now: f64, level: Level) -> Vec<u8> {
        let table = list.table();
        let model = ranking.is_model();
        let rows = level == Level::Full && model;
        let items = ranking.entries.iter().map(|e| ItemView {
            id: table.id(e.row),
            key: table.key(e.row),
            row: e.row,
            heads: &e.heads,
            utility: e.utility,
            propensity: 1.0,
            log_propensity: 0.0,
            suppressed: e.suppressed,
            constraints: e.constraints,
            features: if rows { list.row(e.row) } else { &[] },
        });
        let request = list.request();
        let view = View {
            level,
            withheld: false,
            reason: ranking.reason.map_or("", |r| r.code()),
            decision_id: request.decision_id.as_deref(),
            list_id: request.list_id.as_deref(),
            surface: request.surface.as_deref(),
            seed: None,
            numerics: NUMERICS,
            digests: Some(self.digests()),
            now,
            heads: if model { self.manifest().heads.iter().map(|h| h.name.as_str()).collect() } else { Vec::new() },
            width: if rows { self.encoder().width() } else { 0 },
            items: items.collect(),
        };
        view.write()
    }
}
