//! Records as values: read from the compact form, and written in it.

use super::form::{Bytes, Fields, Frame, Read, frame};
use crate::context::{Context, Suppression};
use crate::engine::NUMERICS;
use crate::features::Request;
use crate::policy::{CONSTRAINTS, Candidate, Choice, Decision, FROZEN, Input};
use crate::ranker::form::{Cells, Form, Kind, bits32, bits64};
use crate::ranker::record::{ItemView, View, each, of};
use crate::ranker::{Digests, Level};
use ranklet_kernels::hash::hash64;

/// Items at most: a page may hold more than it ranks.
const MAX_ITEMS: u64 = 1 << 20;

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
    /// The features that all candidates share in inputs of their own, as the model saw them.
    pub shared: Vec<f32>,
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
            Kind::Exposure => {
                let fields = body.fields(1)?;
                Recorded::Exposure(Exposure {
                    decision_id: fields.text(of::DECISION_ID),
                    key: fields.text(joined::KEY).ok_or("it has no key")?,
                    position: fields.wholes(joined::POSITION)?[0],
                    visible_ms: fields.reals(joined::VISIBLE_MS, f64::NAN)[0],
                })
            }
            Kind::Outcome => {
                let fields = body.fields(1)?;
                let delay = fields.number(joined::DELAY).unwrap_or(0) as usize;
                if delay >= Outcome::DELAYS.len() {
                    return Err(format!("there is no delay {delay}"));
                }
                Recorded::Outcome(Outcome {
                    decision_id: fields.text(of::DECISION_ID),
                    key: fields.text(joined::KEY).ok_or("it has no key")?,
                    kind: fields.text(joined::TYPE).ok_or("it has no type")?,
                    delay,
                })
            }
        };
        body.end()?;
        Ok(recorded)
    }

    /// The compact form.
    pub fn write(&self) -> Vec<u8> {
        let mut form = Form::default();
        match self {
            Recorded::Decision(record) => record.write(),
            Recorded::Exposure(Exposure { decision_id, key, position, visible_ms }) => {
                form.text(joined::KEY, Some(key));
                form.number(joined::POSITION, Cells::Whole, u64::from(*position));
                form.text(of::DECISION_ID, decision_id.as_deref());
                form.number(joined::VISIBLE_MS, Cells::Real, bits64(*visible_ms));
                form.varint(0);
                form.finish(Kind::Exposure)
            }
            Recorded::Outcome(Outcome { decision_id, key, kind, delay }) => {
                form.text(joined::KEY, Some(key));
                form.text(joined::TYPE, Some(kind));
                form.text(of::DECISION_ID, decision_id.as_deref());
                form.number(joined::DELAY, Cells::Whole, *delay as u64);
                form.varint(0);
                form.finish(Kind::Outcome)
            }
        }
    }
}

/// Numbers of the fields of exposures and outcomes, besides that of the decision's id.
mod joined {
    pub const KEY: u64 = 1;
    pub const POSITION: u64 = 2;
    pub const TYPE: u64 = 2;
    pub const VISIBLE_MS: u64 = 4;
    pub const DELAY: u64 = 4;
}

fn decision(bytes: &mut Bytes<'_>) -> Read<Record> {
    let whole = bytes.fields(1)?;
    let n = bytes.varint()?;
    if n > MAX_ITEMS {
        return Err(format!("{n} items"));
    }
    let own = bytes.fields(n as usize)?;
    let level = match whole.number(of::LEVEL) {
        Some(1) => Level::Aggregate,
        Some(2) => Level::Full,
        level => return Err(format!("level {level:?}; there are 1 and 2")),
    };
    let digests = whole.hex(of::BUNDLE).map(|bundle| Digests {
        bundle,
        schema: whole.hex(of::SCHEMA).unwrap_or_default(),
        policy: whole.hex(of::POLICY).unwrap_or_default(),
    });
    let mut record = Record {
        level,
        withheld: whole.number(of::WITHHELD).is_some(),
        reason: whole.text(of::REASON),
        decision_id: whole.text(of::DECISION_ID),
        list_id: whole.text(of::LIST_ID),
        surface: whole.text(of::SURFACE),
        numerics: whole.wholes(of::NUMERICS)?[0],
        digests,
        now: whole.reals(of::NOW, f64::NAN)[0],
        heads: whole.list(of::HEADS),
        shared: whole.cells(of::SHARED),
        decided: None,
        items: items(&own, n as usize)?,
    };
    record.check()?;
    if let Some(scored) = whole.number(of::SCORED) {
        let scored = usize::try_from(scored).ok().filter(|&m| m <= record.items.len());
        let input = Input {
            seed: whole.number(of::SEED),
            scored: scored.ok_or("more are scored than there are")?,
            kinds: whole.list(of::TYPES),
            heads: record.heads.len(),
            ..Input::default()
        };
        let decision = Decision {
            choices: Vec::new(),
            log_propensity: whole.reals(of::LOG_PROPENSITY, 0.0)[0],
            explored: whole.number(of::EXPLORED).unwrap_or(0) != 0,
            degraded: input.scored < record.items.len(),
        };
        decided(&own, &mut record, input, decision)?;
    }
    Ok(record)
}

fn items(own: &Fields<'_>, n: usize) -> Read<Vec<Item>> {
    if n == 0 {
        return Ok(Vec::new());
    }
    let ids = own.texts(each::ID).ok_or("the items have no ids")?;
    let keys = own.texts(each::KEY).unwrap_or(ids);
    let ranks = own.numbers(each::SERVER_RANK, 0);
    let marks = own.numbers(each::SUPPRESSED, 0);
    let constraints = own.wholes(each::CONSTRAINTS)?;
    let (width, rows) = own.rows(each::FEATURES);
    let (_, hashes) = own.rows(each::ROW_HASH);
    let item = |i: usize| {
        Ok(Item {
            id: ids[i].to_owned(),
            key: keys[i].to_owned(),
            row: usize::try_from(ranks[i]).unwrap_or(0).wrapping_sub(1),
            score: f64::NAN,
            suppressed: match marks[i] {
                0 => None,
                1 => Some(Suppression::Dismissed),
                2 => Some(Suppression::Snoozed),
                mark => return Err(format!("there is no mark {mark}")),
            },
            constraints: constraints[i],
            features: rows[i * width..(i + 1) * width].iter().map(|&bits| f32::from_bits(bits)).collect(),
            row_hash: hashes.get(i).copied().unwrap_or(0),
        })
    };
    (0..n).map(item).collect()
}

/// What the policy decided from, and what it decided; `record`'s items are an order of all rows.
fn decided(own: &Fields<'_>, record: &mut Record, mut input: Input, mut decision: Decision) -> Read<()> {
    let n = record.items.len();
    let heads = |h: usize| {
        let field = each::HEADS + 2 * h as u64;
        (own.numbers(field, u64::from(bits32(f32::NAN))), own.reals(field + 1, f64::NAN))
    };
    let heads: Vec<(Vec<u64>, Vec<f64>)> = (0..input.heads).map(heads).collect();
    let [utility, propensity, logs] =
        [(0, f64::NAN), (1, 1.0), (2, 0.0)].map(|(k, absent)| own.reals(each::UTILITY + k, absent));
    let relaxed = own.wholes(each::RELAXED)?;
    let [value, boost, spend_effect, benefit_lower] = [0, 1, 2, 3].map(|k| own.reals(each::VALUE + k, f64::NAN));
    let wholes = |k: u64| own.wholes(each::PIN + k);
    let (pin, target, cooldown, fatigue, kind) = (wholes(0)?, wholes(1)?, wholes(2)?, wholes(3)?, wholes(4)?);
    let (width, vectors) = own.rows(each::VECTOR);
    input.width = width;
    // In the server's order, as the policy takes them.
    let mut place = vec![0; n];
    record.items.iter().enumerate().for_each(|(i, item)| place[item.row] = i);
    for (row, &i) in place.iter().enumerate() {
        if row < input.scored {
            input.raw.extend(heads.iter().map(|(raw, _)| f32::from_bits(raw[i] as u32)));
            input.calibrated.extend(heads.iter().map(|(_, calibrated)| calibrated[i]));
        }
        if kind[i] as usize > input.kinds.len() {
            return Err(format!("there is no type {}", kind[i]));
        }
        let item = &mut record.items[i];
        if row < input.scored {
            item.score = heads.first().map_or(f64::NAN, |(_, calibrated)| calibrated[i]);
        }
        input.candidates.push(Candidate {
            id: hash64(&item.id),
            value: value[i],
            boost: boost[i],
            spend_effect: spend_effect[i],
            benefit_lower: benefit_lower[i],
            pin: pin[i],
            kind: kind[i].wrapping_sub(1),
            target: target[i].wrapping_sub(1),
            suppressed: item.suppressed.is_some(),
            cooldown: cooldown[i],
            fatigue: fatigue[i],
        });
        input.vectors.extend(vectors[i * width..(i + 1) * width].iter().map(|&bits| f32::from_bits(bits)));
    }
    for (i, item) in record.items.iter().enumerate() {
        decision.choices.push(Choice {
            row: item.row,
            utility: utility[i],
            constraints: item.constraints,
            relaxed: relaxed[i],
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
            shared: &self.shared,
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
            self.shared = Vec::new();
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
            shared: Vec::new(),
            decided: None,
            items: items.collect(),
        }
    }
}
