//! Records as values: read from the compact form, and written in it.

use super::form::{Bytes, Frame, Read, frame};
use crate::context::{Context, Suppression};
use crate::engine::NUMERICS;
use crate::features::Request;
use crate::policy::{CONSTRAINTS, Candidate, Choice, Decision, FROZEN, Input};
use crate::ranker::form::{Cells, Form, Kind, bits32, bits64};
use crate::ranker::record::{ItemView, View, flag};
use crate::ranker::{Digests, Level};
use ranklet_kernels::hash::hash64;

/// Items at most: a page may hold more than it ranks.
const MAX_ITEMS: usize = 1 << 20;
/// Columns of a feature row at most.
const MAX_WIDTH: usize = 1 << 16;
/// Heads at most.
const MAX_HEADS: usize = 1 << 10;

/// One item of a decision.
#[derive(Debug, Clone)]
pub struct Item {
    /// Row id.
    pub id: String,
    /// Stable identity.
    pub key: String,
    /// Row in the server's order, from 0.
    pub row: usize,
    /// Calibrated value of the primary head; NaN in server order, and where it was not scored.
    pub score: f64,
    /// Dismissed or snoozed.
    pub suppressed: Option<Suppression>,
    /// Bits named by [`CONSTRAINTS`].
    pub constraints: u32,
    /// The feature row as the model saw it; empty where the record holds none.
    pub features: Vec<f32>,
    /// Of the feature row: a changed bit shows in it though the model may not see it.
    pub row_hash: u32,
}

impl Default for Item {
    fn default() -> Self {
        Item {
            id: String::new(),
            key: String::new(),
            row: 0,
            score: f64::NAN,
            suppressed: None,
            constraints: 0,
            features: Vec::new(),
            row_hash: 0,
        }
    }
}

impl Item {
    /// The names of the constraints that placed it.
    pub fn constraint_names(&self) -> Vec<&'static str> {
        names(self.constraints)
    }
}

/// The names of the set bits.
pub(super) fn names(bits: u32) -> Vec<&'static str> {
    CONSTRAINTS.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name).collect()
}

/// A decision.
#[derive(Debug, Clone)]
pub struct Record {
    /// How much it holds.
    pub level: Level,
    /// Whether feature rows were withheld: the model reads signals that are for the device alone.
    pub withheld: bool,
    /// Why not the model; None: the model decided.
    pub reason: Option<String>,
    /// The caller's.
    pub decision_id: Option<String>,
    /// The caller's.
    pub list_id: Option<String>,
    /// Where it was shown.
    pub surface: Option<String>,
    /// Number of the arithmetic; 0 where there was no engine.
    pub numerics: u32,
    /// What decided; None where no bundle could be opened.
    pub digests: Option<Digests>,
    /// Milliseconds since the epoch; NaN below level full.
    pub now: f64,
    /// Names of the heads, in the bundle's order; empty in server order.
    pub heads: Vec<String>,
    /// What the policy decided from, and what it decided; None in server order.
    pub decided: Option<(Input, Decision)>,
    /// In final order.
    pub items: Vec<Item>,
}

/// An item that was seen.
#[derive(Debug, Clone)]
pub struct Exposure {
    /// Of the decision that placed it.
    pub decision_id: Option<String>,
    /// Stable identity of the item.
    pub key: String,
    /// From 1.
    pub position: u32,
    /// How long, in ms; NaN: not known.
    pub visible_ms: f64,
}

/// What came of an item.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of the decision that placed it.
    pub decision_id: Option<String>,
    /// Stable identity of the item.
    pub key: String,
    /// Type of the event.
    pub kind: String,
    /// Number in [`Outcome::DELAYS`].
    pub delay: usize,
}

impl Outcome {
    /// Names of the buckets of the time from decision to event: up to so long.
    pub const DELAYS: [&str; 7] = ["1s", "10s", "1m", "10m", "1h", "1d", "later"];
}

/// One of the three records.
#[derive(Debug, Clone)]
pub enum Recorded {
    /// An order.
    Decision(Box<Record>),
    /// An item that was seen.
    Exposure(Exposure),
    /// What came of an item.
    Outcome(Outcome),
}

impl Recorded {
    /// The decision that it is or belongs to.
    pub fn decision_id(&self) -> Option<&str> {
        match self {
            Recorded::Decision(record) => record.decision_id.as_deref(),
            Recorded::Exposure(exposure) => exposure.decision_id.as_deref(),
            Recorded::Outcome(outcome) => outcome.decision_id.as_deref(),
        }
    }

    /// Takes the next record in the compact form off `log`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(log: &mut &[u8]) -> Result<Recorded, String> {
        let Frame { kind, mut body } = frame(log)?;
        let recorded = match kind {
            Kind::Decision => Recorded::Decision(Box::new(decision(&mut body)?)),
            Kind::Exposure => Recorded::Exposure(Exposure {
                decision_id: optional(&mut body)?,
                key: body.text()?.to_owned(),
                position: narrow(body.varint()?, "position")?,
                visible_ms: body.real()?,
            }),
            Kind::Outcome => {
                let (decision_id, key) = (optional(&mut body)?, body.text()?.to_owned());
                let (kind, delay) = (body.text()?.to_owned(), body.varint()? as usize);
                if delay >= Outcome::DELAYS.len() {
                    return Err(format!("there is no delay {delay}"));
                }
                Recorded::Outcome(Outcome { decision_id, key, kind, delay })
            }
        };
        body.end()?;
        Ok(recorded)
    }

    /// The compact form.
    pub fn write(&self) -> Vec<u8> {
        match self {
            Recorded::Decision(record) => record.write(),
            Recorded::Exposure(Exposure { decision_id, key, position, visible_ms }) => {
                let mut form = Form::new(Kind::Exposure);
                write_optional(&mut form, decision_id.as_deref());
                form.text(key);
                form.varint(u64::from(*position));
                form.real(*visible_ms);
                form.finish()
            }
            Recorded::Outcome(Outcome { decision_id, key, kind, delay }) => {
                let mut form = Form::new(Kind::Outcome);
                write_optional(&mut form, decision_id.as_deref());
                form.text(key);
                form.text(kind);
                form.varint(*delay as u64);
                form.finish()
            }
        }
    }
}

fn narrow(x: u64, what: &str) -> Read<u32> {
    u32::try_from(x).map_err(|_| format!("{x} is no {what}"))
}

/// A flag, and a text where it is 1.
fn optional(bytes: &mut Bytes<'_>) -> Read<Option<String>> {
    match bytes.byte()? {
        0 => Ok(None),
        1 => Ok(Some(bytes.text()?.to_owned())),
        flag => Err(format!("a flag is {flag}")),
    }
}

fn write_optional(form: &mut Form, text: Option<&str>) {
    form.varint(u64::from(text.is_some()));
    if let Some(text) = text {
        form.text(text);
    }
}

fn decision(bytes: &mut Bytes<'_>) -> Read<Record> {
    let level = match bytes.varint()? {
        1 => Level::Aggregate,
        2 => Level::Full,
        level => return Err(format!("level {level}; there are 1 and 2")),
    };
    let flags = bytes.varint()?;
    let has = |bit: u64| flags & bit != 0;
    let reason = bytes.text()?;
    let mut text = |bit: u64| if has(bit) { bytes.text().map(|t| Some(t.to_owned())) } else { Ok(None) };
    let (decision_id, list_id, surface) = (text(flag::DECISION_ID)?, text(flag::LIST_ID)?, text(flag::SURFACE)?);
    let seed = if has(flag::SEED) { Some(bytes.fixed(8)?) } else { None };
    let numerics = narrow(bytes.varint()?, "number of an arithmetic")?;
    let digests = match has(flag::DIGESTS) {
        true => Some(Digests { bundle: bytes.hex()?, schema: bytes.hex()?, policy: bytes.hex()? }),
        false => None,
    };
    let now = if level == Level::Full { bytes.real()? } else { f64::NAN };
    let items = items(bytes)?;
    let mut record = Record {
        level,
        withheld: has(flag::WITHHELD),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        decision_id,
        list_id,
        surface,
        numerics,
        digests,
        now,
        heads: Vec::new(),
        decided: None,
        items,
    };
    record.check()?;
    if has(flag::DECIDED) {
        decided(bytes, &mut record, seed, has(flag::EXPLORED))?;
    }
    if has(flag::ROWS) {
        let (n, width) = (record.items.len(), bytes.count(MAX_WIDTH)?);
        let hashes = bytes.column(n, Cells::Bits32, 0)?;
        for ((item, row), hash) in record.items.iter_mut().zip(bytes.rows(n, width)?).zip(hashes) {
            item.features = row;
            item.row_hash = hash as u32;
        }
    }
    Ok(record)
}

fn items(bytes: &mut Bytes<'_>) -> Read<Vec<Item>> {
    let n = bytes.count(MAX_ITEMS)?;
    let mut items = Vec::new();
    for _ in 0..n {
        let id = bytes.text()?.to_owned();
        let key = match bytes.varint()? {
            0 => id.clone(),
            size => bytes.sized(size - 1)?.to_owned(),
        };
        items.push(Item { id, key, ..Item::default() });
    }
    let rows = bytes.column(n, Cells::Varint, u64::MAX)?;
    let marks = bytes.column(n, Cells::Varint, 0)?;
    let constraints = bytes.column(n, Cells::Varint, 0)?;
    for (i, item) in items.iter_mut().enumerate() {
        item.row = usize::try_from(rows[i]).unwrap_or(usize::MAX);
        item.constraints = narrow(constraints[i], "set of constraints")?;
        item.suppressed = match marks[i] {
            0 => None,
            1 => Some(Suppression::Dismissed),
            2 => Some(Suppression::Snoozed),
            mark => return Err(format!("there is no mark {mark}")),
        };
    }
    Ok(items)
}

/// What the policy decided from, and what it decided; `record`'s items are an order of all rows.
fn decided(bytes: &mut Bytes<'_>, record: &mut Record, seed: Option<u64>, explored: bool) -> Read<()> {
    let n = record.items.len();
    let rows: Vec<usize> = record.items.iter().map(|item| item.row).collect();
    let scored = bytes.count(n)?;
    let heads = bytes.count(MAX_HEADS)?;
    let mut input = Input { seed, scored, heads, ..Input::default() };
    let (mut raw, mut calibrated) = (Vec::new(), Vec::new());
    for _ in 0..heads {
        record.heads.push(bytes.text()?.to_owned());
        raw.push(bytes.column(n, Cells::Bits32, u64::from(bits32(f32::NAN)))?);
        calibrated.push(bytes.column(n, Cells::Bits64, bits64(f64::NAN))?);
    }
    let log_propensity = bytes.real()?;
    let mut reals = |absent: f64| -> Read<Vec<f64>> {
        Ok(bytes.column(n, Cells::Bits64, bits64(absent))?.into_iter().map(f64::from_bits).collect())
    };
    let (utility, propensity, logs) = (reals(f64::NAN)?, reals(1.0)?, reals(0.0)?);
    let relaxed = bytes.column(n, Cells::Varint, 0)?;
    let mut reals = || -> Read<Vec<f64>> {
        Ok(bytes.column(n, Cells::Bits64, bits64(f64::NAN))?.into_iter().map(f64::from_bits).collect())
    };
    let (value, boost, spend_effect, benefit_lower) = (reals()?, reals()?, reals()?, reals()?);
    let mut wholes = |what: &str| -> Read<Vec<u32>> {
        bytes.column(n, Cells::Varint, 0)?.into_iter().map(|x| narrow(x, what)).collect()
    };
    let (pin, target) = (wholes("position")?, wholes("target")?);
    let (cooldown, fatigue) = (wholes("cooldown")?, wholes("fatigue")?);
    for _ in 0..bytes.count(n)? {
        input.kinds.push(bytes.text()?.to_owned());
    }
    let kind = bytes.column(n, Cells::Varint, 0)?;
    input.width = bytes.count(MAX_WIDTH)?;
    let vectors = if input.width > 0 { bytes.rows(n, input.width)? } else { Vec::new() };

    // In the server's order, as the policy takes them.
    let mut place = vec![0; n];
    rows.iter().enumerate().for_each(|(i, &row)| place[row] = i);
    for (row, &i) in place.iter().enumerate() {
        if row < scored {
            input.raw.extend(raw.iter().map(|head| f32::from_bits(head[i] as u32)));
            input.calibrated.extend(calibrated.iter().map(|head| f64::from_bits(head[i])));
        }
        if kind[i] > input.kinds.len() as u64 {
            return Err(format!("there is no type {}", kind[i]));
        }
        input.candidates.push(Candidate {
            id: hash64(&record.items[i].id),
            value: value[i],
            boost: boost[i],
            spend_effect: spend_effect[i],
            benefit_lower: benefit_lower[i],
            pin: pin[i],
            kind: (kind[i] as u32).wrapping_sub(1),
            target: target[i].wrapping_sub(1),
            suppressed: record.items[i].suppressed.is_some(),
            cooldown: cooldown[i],
            fatigue: fatigue[i],
        });
        if let Some(vector) = vectors.get(i) {
            input.vectors.extend_from_slice(vector);
        }
    }
    let mut decision = Decision { choices: Vec::new(), log_propensity, explored, degraded: scored < n };
    for (i, item) in record.items.iter_mut().enumerate() {
        if item.row < scored {
            item.score = input.calibrated.get(item.row * heads).copied().unwrap_or(f64::NAN);
        }
        decision.choices.push(Choice {
            row: item.row,
            utility: utility[i],
            constraints: item.constraints,
            relaxed: narrow(relaxed[i], "set of constraints")?,
            propensity: propensity[i],
            log_propensity: logs[i],
            prefix_log_propensity: 0.0,
        });
    }
    record.decided = Some((input, decision));
    record.complete();
    Ok(())
}

impl Record {
    /// That the items are an order of all rows, and their features of one width.
    ///
    /// # Errors
    /// Which are not.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut seen = vec![false; self.items.len()];
        for (i, item) in self.items.iter().enumerate() {
            match seen.get_mut(item.row) {
                Some(seen) if !*seen => *seen = true,
                _ => {
                    return Err(format!(
                        "items[{i}].server_rank: {} stands twice or is none",
                        item.row.wrapping_add(1)
                    ));
                }
            }
        }
        let width = self.items.first().map_or(0, |item| item.features.len());
        match self.items.iter().position(|item| item.features.len() != width) {
            Some(i) => Err(format!("items[{i}].features: another width than the first item's")),
            None => Ok(()),
        }
    }

    /// Fills in what follows from the rest: what is frozen, the sums of logarithms, what input and record share.
    pub(super) fn complete(&mut self) {
        let Some((input, decision)) = &mut self.decided else { return };
        input.surface = self.surface.clone();
        input.decision_id = self.decision_id.clone().unwrap_or_default();
        input.frozen = self.items.iter().map(|item| (item.constraints & FROZEN != 0).then_some(item.row)).collect();
        let mut sum = 0.0;
        for choice in &mut decision.choices {
            sum += choice.log_propensity;
            choice.prefix_log_propensity = sum;
        }
    }

    /// The compact form.
    pub fn write(&self) -> Vec<u8> {
        let items = self.items.iter().map(|item| ItemView {
            id: &item.id,
            key: &item.key,
            row: item.row,
            suppressed: item.suppressed,
            constraints: item.constraints,
            features: &item.features,
        });
        let view = View {
            level: self.level,
            withheld: self.withheld,
            reason: self.reason.as_deref().unwrap_or(""),
            decision_id: self.decision_id.as_deref(),
            list_id: self.list_id.as_deref(),
            surface: self.surface.as_deref(),
            numerics: self.numerics,
            digests: self.digests.as_ref(),
            now: self.now,
            heads: self.heads.iter().map(String::as_str).collect(),
            decided: self.decided.as_ref().map(|(input, decision)| (input, decision)),
            width: self.items.first().map_or(0, |item| item.features.len()),
            items: items.collect(),
        };
        view.write()
    }

    /// U of the item at a place, from 0; NaN in server order.
    pub fn utility(&self, place: usize) -> f64 {
        self.decided.as_ref().map_or(f64::NAN, |(_, decision)| decision.choices[place].utility)
    }

    /// Takes out what a record of `level` does not hold.
    pub fn lower(&mut self, level: Level) {
        if level < self.level {
            self.level = level;
            self.now = f64::NAN;
            self.withheld = false;
            for item in &mut self.items {
                item.features = Vec::new();
                item.row_hash = 0;
            }
        }
    }

    /// The record of a request that could not be ranked at all: the server's order, with a reason.
    /// Dismissed and snoozed items stay marked.
    pub fn server(request: &Request, context: &Context, reason: &str) -> Record {
        let items = request.identities().into_iter().enumerate().map(|(row, (id, key))| {
            let suppressed = context.suppression(&key, request.now);
            Item { id, key, row, suppressed, ..Item::default() }
        });
        Record {
            level: Level::Full,
            withheld: false,
            reason: Some(reason.to_owned()),
            decision_id: request.decision_id.clone(),
            list_id: request.list_id.clone(),
            surface: request.surface.clone(),
            numerics: NUMERICS,
            digests: None,
            now: request.now,
            heads: Vec::new(),
            decided: None,
            items: items.collect(),
        }
    }
}
