//! Records as values: read from the compact form, and written in it.

use super::form::{Bytes, Frame, Read, frame};
use crate::context::{Context, Suppression};
use crate::engine::NUMERICS;
use crate::features::Request;
use crate::policy::CONSTRAINTS;
use crate::ranker::form::{Cells, Form, Kind, bits32, bits64};
use crate::ranker::record::{ItemView, View, flag};
use crate::ranker::{Digests, HeadValue, Level};

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
    /// Calibrated value of the primary head; NaN in server order.
    pub score: f64,
    /// In the order of [`Record::heads`].
    pub heads: Vec<HeadValue>,
    /// U; NaN in server order.
    pub utility: f64,
    /// P(this choice at this position).
    pub propensity: f64,
    /// Its logarithm.
    pub log_propensity: f64,
    /// Dismissed or snoozed.
    pub suppressed: Option<Suppression>,
    /// Bits named by [`crate::policy::CONSTRAINTS`].
    pub constraints: u32,
    /// The feature row as the model saw it; empty where the record holds none.
    pub features: Vec<f32>,
    /// Of the feature row: a changed bit shows in it though the model may not see it.
    pub row_hash: u32,
}

impl Item {
    /// The names of the constraints that placed it.
    pub fn constraint_names(&self) -> Vec<&'static str> {
        let all = CONSTRAINTS.iter().enumerate();
        all.filter(|(bit, _)| self.constraints >> bit & 1 == 1).map(|(_, name)| *name).collect()
    }
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
    /// Of exploration.
    pub seed: Option<u64>,
    /// Number of the arithmetic; 0 where there was no engine.
    pub numerics: u32,
    /// What decided; None where no bundle could be opened.
    pub digests: Option<Digests>,
    /// Milliseconds since the epoch; NaN below level full.
    pub now: f64,
    /// Names of the heads that are recorded.
    pub heads: Vec<String>,
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
            Kind::Decision => {
                let record = decision(&mut body)?;
                record.check()?;
                Recorded::Decision(Box::new(record))
            }
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
    let seed = if has(flag::SEED) { Some(bytes.real()?.to_bits()) } else { None };
    let numerics = narrow(bytes.varint()?, "number of an arithmetic")?;
    let digests = match has(flag::DIGESTS) {
        true => Some(Digests { bundle: bytes.hex()?, schema: bytes.hex()?, policy: bytes.hex()? }),
        false => None,
    };
    let now = if level == Level::Full { bytes.real()? } else { f64::NAN };
    let heads = bytes.count(MAX_HEADS)?;
    let heads = (0..heads).map(|_| bytes.text().map(str::to_owned)).collect::<Read<Vec<String>>>()?;
    let n = bytes.count(MAX_ITEMS)?;
    let width = bytes.count(MAX_WIDTH)?;
    let mut record = Record {
        level,
        withheld: has(flag::WITHHELD),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        decision_id,
        list_id,
        surface,
        seed,
        numerics,
        digests,
        now,
        heads,
        items: Vec::new(),
    };
    items(bytes, &mut record, n, width)?;
    Ok(record)
}

fn items(bytes: &mut Bytes<'_>, record: &mut Record, n: usize, width: usize) -> Read<()> {
    for _ in 0..n {
        let id = bytes.text()?.to_owned();
        let key = match bytes.varint()? {
            0 => id.clone(),
            size => bytes.sized(size - 1)?.to_owned(),
        };
        record.items.push(Item {
            id,
            key,
            row: 0,
            score: f64::NAN,
            heads: Vec::with_capacity(record.heads.len()),
            utility: f64::NAN,
            propensity: 1.0,
            log_propensity: 0.0,
            suppressed: None,
            constraints: 0,
            features: Vec::new(),
            row_hash: 0,
        });
    }
    let items = &mut record.items;
    let mut column = |bytes: &mut Bytes<'_>, cells, absent, set: &mut dyn FnMut(&mut Item, u64) -> Read<()>| {
        let values = bytes.column(n, cells, absent)?;
        items.iter_mut().zip(values).try_for_each(|(item, value)| set(item, value))
    };
    let nan = bits64(f64::NAN);
    column(bytes, Cells::Varint, u64::MAX, &mut |item, x| {
        item.row = usize::try_from(x).ok().filter(|&row| row < n).ok_or_else(|| format!("there is no row {x}"))?;
        Ok(())
    })?;
    for head in 0..record.heads.len() {
        column(bytes, Cells::Bits32, u64::from(bits32(f32::NAN)), &mut |item, x| {
            item.heads.push(HeadValue { raw: f32::from_bits(x as u32), calibrated: f64::NAN });
            Ok(())
        })?;
        column(bytes, Cells::Bits64, nan, &mut |item, x| {
            item.heads[head].calibrated = f64::from_bits(x);
            if head == 0 {
                item.score = f64::from_bits(x);
            }
            Ok(())
        })?;
    }
    let real = |set: fn(&mut Item) -> &mut f64| {
        move |item: &mut Item, x: u64| {
            *set(item) = f64::from_bits(x);
            Ok(())
        }
    };
    column(bytes, Cells::Bits64, nan, &mut real(|item| &mut item.utility))?;
    column(bytes, Cells::Bits64, bits64(1.0), &mut real(|item| &mut item.propensity))?;
    column(bytes, Cells::Bits64, bits64(0.0), &mut real(|item| &mut item.log_propensity))?;
    column(bytes, Cells::Varint, 0, &mut |item, x| {
        item.suppressed = match x {
            0 => None,
            1 => Some(Suppression::Dismissed),
            2 => Some(Suppression::Snoozed),
            _ => return Err(format!("there is no mark {x}")),
        };
        Ok(())
    })?;
    column(bytes, Cells::Varint, 0, &mut |item, x| {
        item.constraints = narrow(x, "set of constraints")?;
        Ok(())
    })?;
    if width > 0 {
        column(bytes, Cells::Bits32, 0, &mut |item, x| {
            item.row_hash = x as u32;
            Ok(())
        })?;
        for (item, row) in record.items.iter_mut().zip(bytes.rows(n, width)?) {
            item.features = row;
        }
    }
    if record.reason.is_some() {
        record.items.iter_mut().for_each(|item| item.score = f64::NAN);
    }
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
                    return Err(format!("items[{i}].server_rank: {} stands twice or is none", item.row.wrapping_add(1)));
                }
            }
        }
        let width = self.items.first().map_or(0, |item| item.features.len());
        match self.items.iter().position(|item| item.features.len() != width) {
            Some(i) => Err(format!("items[{i}].features: another width than the first item's")),
            None => Ok(()),
        }
    }

    /// The compact form.
    pub fn write(&self) -> Vec<u8> {
        let items = self.items.iter().map(|item| ItemView {
            id: &item.id,
            key: &item.key,
            row: item.row,
            heads: &item.heads,
            utility: item.utility,
            propensity: item.propensity,
            log_propensity: item.log_propensity,
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
            seed: self.seed,
            numerics: self.numerics,
            digests: self.digests.as_ref(),
            now: self.now,
            heads: self.heads.iter().map(String::as_str).collect(),
            width: self.items.first().map_or(0, |item| item.features.len()),
            items: items.collect(),
        };
        view.write()
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
        let items = request.identities().into_iter().enumerate().map(|(row, (id, key))| Item {
            suppressed: context.suppression(&key, request.now),
            id,
            key,
            row,
            score: f64::NAN,
            heads: Vec::new(),
            utility: f64::NAN,
            propensity: 1.0,
            log_propensity: 0.0,
            constraints: 0,
            features: Vec::new(),
            row_hash: 0,
        });
        Record {
            level: Level::Full,
            withheld: false,
            reason: Some(reason.to_owned()),
            decision_id: request.decision_id.clone(),
            list_id: request.list_id.clone(),
            surface: request.surface.clone(),
            seed: None,
            numerics: NUMERICS,
            digests: None,
            now: request.now,
            heads: Vec::new(),
            items: items.collect(),
        }
    }
}
