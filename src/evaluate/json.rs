//! Records as JSON: `pkg/schema/record.json` says what stands where. A number that JSON lacks is a text (`"inf"`, `"-inf"`,
//! and `"-0"`, whose sign JavaScript does not write); a value that is missing is null.

use super::record::{Exposure, Item, Outcome, Record, Recorded, names};
use crate::context::Suppression;
use crate::json::{Notes, Read, field, field_or, from_value, value};
use crate::policy::{CONSTRAINTS, Candidate, Choice, Decision, Input, NONE};
use crate::ranker::{Digests, Level};
use ranklet_kernels::hash::hash64;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A number as it is written.
struct Real(f64);

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            x if x.is_nan() => serializer.serialize_none(),
            x if x.is_infinite() => serializer.serialize_str(if x > 0.0 { "inf" } else { "-inf" }),
            x if x == 0.0 && x.is_sign_negative() => serializer.serialize_str("-0"),
            x => serializer.serialize_f64(x),
        }
    }
}

impl Read for Real {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        Real(match value {
            Value::Null => f64::NAN,
            Value::String(text) if text == "inf" => f64::INFINITY,
            Value::String(text) if text == "-inf" => f64::NEG_INFINITY,
            Value::String(text) if text == "-0" => -0.0,
            Value::Number(x) => x.as_f64().unwrap_or(f64::NAN),
            _ => {
                notes.wrong("a number was expected");
                f64::NAN
            }
        })
    }
    const OPTIONAL: bool = true;
}

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Recorded::Decision(record) => record.serialize(serializer),
            Recorded::Exposure(Exposure { decision_id, key, position, visible_ms }) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("kind", "exposure")?;
                map.serialize_entry("decision_id", decision_id)?;
                map.serialize_entry("key", key)?;
                map.serialize_entry("position", position)?;
                map.serialize_entry("visible_ms", &Real(*visible_ms))?;
                map.end()
            }
            Recorded::Outcome(Outcome { decision_id, key, kind, delay }) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("kind", "outcome")?;
                map.serialize_entry("decision_id", decision_id)?;
                map.serialize_entry("key", key)?;
                map.serialize_entry("type", kind)?;
                map.serialize_entry("delay", Outcome::DELAYS.get(*delay).unwrap_or(&"later"))?;
                map.end()
            }
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "decision")?;
        map.serialize_entry("level", if self.level == Level::Full { "full" } else { "aggregate" })?;
        map.serialize_entry("source", if self.reason.is_none() { "model" } else { "server" })?;
        map.serialize_entry("reason", &self.reason)?;
        map.serialize_entry("decision_id", &self.decision_id)?;
        map.serialize_entry("list_id", &self.list_id)?;
        // What a double does not hold is a text.
        match self.decided.as_ref().and_then(|(input, _)| input.seed) {
            Some(seed) if seed >= 1 << 53 => map.serialize_entry("seed", &seed.to_string())?,
            seed => map.serialize_entry("seed", &seed)?,
        }
        if self.level == Level::Full {
            map.serialize_entry("now", &Real(self.now))?;
        }
        map.serialize_entry("surface", &self.surface)?;
        map.serialize_entry("numerics", &(self.numerics != 0).then_some(self.numerics))?;
        map.serialize_entry("digests", &self.digests)?;
        map.serialize_entry("withheld", &self.withheld.then_some("local_only"))?;
        if let Some((input, decision)) = &self.decided {
            map.serialize_entry("heads", &self.heads)?;
            map.serialize_entry("types", &input.kinds)?;
            map.serialize_entry("scored", &input.scored)?;
            map.serialize_entry("degraded", &decision.degraded)?;
            map.serialize_entry("explored", &decision.explored)?;
            map.serialize_entry("log_propensity", &Real(decision.log_propensity))?;
        }
        if !self.shared.is_empty() {
            map.serialize_entry("shared", &hex(&self.shared))?;
        }
        let items: Vec<Placed<'_>> = (0..self.items.len()).map(|i| Placed(self, i)).collect();
        map.serialize_entry("items", &items)?;
        map.end()
    }
}

/// An item of a record, at its place.
struct Placed<'a>(&'a Record, usize);

impl Serialize for Placed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Placed(record, i) = self;
        let item = &record.items[i];
        let choice = record.decided.as_ref().map(|(_, decision)| &decision.choices[i]);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &item.id)?;
        map.serialize_entry("key", &item.key)?;
        map.serialize_entry("rank", &(i + 1))?;
        map.serialize_entry("server_rank", &(item.row + 1))?;
        map.serialize_entry("score", &Real(item.score))?;
        map.serialize_entry("heads", &Heads(record, item.row))?;
        map.serialize_entry("utility", &Real(choice.map_or(f64::NAN, |c| c.utility)))?;
        map.serialize_entry("propensity", &Real(choice.map_or(1.0, |c| c.propensity)))?;
        map.serialize_entry("log_propensity", &Real(choice.map_or(0.0, |c| c.log_propensity)))?;
        map.serialize_entry("suppressed", &item.suppressed)?;
        map.serialize_entry("constraints", &item.constraint_names())?;
        if let Some((input, decision)) = &record.decided {
            let relaxed = decision.choices[i].relaxed;
            if relaxed != 0 {
                map.serialize_entry("relaxed", &names(relaxed))?;
            }
            candidate(&mut map, input, item.row)?;
        }
        if !item.features.is_empty() {
            map.serialize_entry("features", &hex(&item.features))?;
            map.serialize_entry("row_hash", &format!("{:08x}", item.row_hash))?;
        }
        map.end()
    }
}

/// What the policy knew of a candidate; what is missing is left out.
fn candidate<M: SerializeMap>(map: &mut M, input: &Input, row: usize) -> Result<(), M::Error> {
    let candidate = &input.candidates[row];
    if let Some(kind) = input.kinds.get(candidate.kind as usize) {
        map.serialize_entry("type", kind)?;
    }
    for (name, x) in [
        ("value", candidate.value),
        ("boost", candidate.boost),
        ("spend_effect", candidate.spend_effect),
        ("benefit_lower", candidate.benefit_lower),
    ] {
        if !x.is_nan() {
            map.serialize_entry(name, &Real(x))?;
        }
    }
    for (name, x) in [
        ("pin", candidate.pin),
        ("target", candidate.target.wrapping_add(1)),
        ("cooldown", candidate.cooldown),
        ("fatigue", candidate.fatigue),
    ] {
        if x != 0 {
            map.serialize_entry(name, &x)?;
        }
    }
    if input.width > 0 {
        map.serialize_entry("vector", &hex(&input.vectors[row * input.width..(row + 1) * input.width]))?;
    }
    Ok(())
}

/// The heads of a row by name; none where it was not scored.
struct Heads<'a>(&'a Record, usize);

impl Serialize for Heads<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some((input, _)) = self.0.decided.as_ref().filter(|(input, _)| self.1 < input.scored) {
            for (h, name) in self.0.heads.iter().enumerate() {
                let at = self.1 * input.heads + h;
                map.serialize_entry(name, &Head(input.raw[at], input.calibrated[at]))?;
            }
        }
        map.end()
    }
}

struct Head(f32, f64);

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        // As a double, so that every reader rounds it to the same f32.
        map.serialize_entry("raw", &Real(f64::from(self.0)))?;
        map.serialize_entry("calibrated", &Real(self.1))?;
        map.end()
    }
}

impl Read for Head {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let (Real(raw), Real(calibrated)) = (field(value, "raw", notes), field(value, "calibrated", notes));
        Head(raw as f32, calibrated)
    }
}

/// The bits of the names at `name`.
fn bits(value: &Value, name: &str, notes: &mut Notes) -> u32 {
    let names: Vec<String> = field(value, name, notes);
    names.iter().fold(0, |bits, name| match CONSTRAINTS.iter().position(|n| n == name) {
        Some(bit) => bits | 1 << bit,
        None => {
            notes.wrong(&format!("`{name}` is not known"));
            bits
        }
    })
}

/// A row's bits: 8 hex digits a column, the highest first.
fn hex(row: &[f32]) -> String {
    row.iter().fold(String::with_capacity(row.len() * 8), |mut text, x| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{:08x}", x.to_bits());
        text
    })
}

fn row_of(text: &str, notes: &mut Notes) -> Vec<f32> {
    let column = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.len() == 8 && !d.starts_with('+'))?;
        u32::from_str_radix(digits, 16).ok().map(f32::from_bits)
    };
    let row: Option<Vec<f32>> = text.as_bytes().chunks(8).map(column).collect();
    row.unwrap_or_else(|| {
        notes.wrong("features: 8 hex digits a column were expected");
        Vec::new()
    })
}

/// An item as it stands in the text.
struct ReadItem {
    item: Item,
    rank: usize,
    heads: BTreeMap<String, Head>,
    choice: Choice,
    candidate: Candidate,
    kind: Option<String>,
    vector: Vec<f32>,
}

impl Read for ReadItem {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let real = |name: &str, notes: &mut Notes| field::<Real>(value, name, notes).0;
        let whole = |name: &str, notes: &mut Notes| field_or::<u32>(value, name, 0, notes);
        let row: usize = field(value, "server_rank", notes);
        let features: Option<String> = field(value, "features", notes);
        let row_hash: Option<String> = field(value, "row_hash", notes);
        let vector: Option<String> = field(value, "vector", notes);
        let item = Item {
            id: field(value, "id", notes),
            key: field(value, "key", notes),
            row: row.wrapping_sub(1),
            score: real("score", notes),
            suppressed: mark(value, notes),
            constraints: bits(value, "constraints", notes),
            row_hash: row_hash.map_or(0, |text| match row_of(&text, notes)[..] {
                [hash] => hash.to_bits(),
                _ => 0,
            }),
            features: features.map_or_else(Vec::new, |text| row_of(&text, notes)),
        };
        ReadItem {
            rank: field(value, "rank", notes),
            heads: field(value, "heads", notes),
            choice: Choice {
                row: item.row,
                utility: real("utility", notes),
                constraints: item.constraints,
                relaxed: if value.get("relaxed").is_some() { bits(value, "relaxed", notes) } else { 0 },
                propensity: real("propensity", notes),
                log_propensity: real("log_propensity", notes),
                prefix_log_propensity: 0.0,
            },
            candidate: Candidate {
                id: hash64(&item.id),
                value: real("value", notes),
                boost: real("boost", notes),
                spend_effect: real("spend_effect", notes),
                benefit_lower: real("benefit_lower", notes),
                pin: whole("pin", notes),
                kind: NONE,
                target: whole("target", notes).wrapping_sub(1),
                suppressed: item.suppressed.is_some(),
                cooldown: whole("cooldown", notes),
                fatigue: whole("fatigue", notes),
            },
            kind: field(value, "type", notes),
            vector: vector.map_or_else(Vec::new, |text| row_of(&text, notes)),
            item,
        }
    }
}

fn mark(value: &Value, notes: &mut Notes) -> Option<Suppression> {
    match value.get("suppressed").and_then(Value::as_str) {
        None => None,
        Some("dismissed") => Some(Suppression::Dismissed),
        Some("snoozed") => Some(Suppression::Snoozed),
        Some(other) => {
            notes.wrong(&format!("suppressed: `{other}` is not known"));
            None
        }
    }
}

fn digests(value: &Value, notes: &mut Notes) -> Digests {
    Digests {
        bundle: field(value, "bundle", notes),
        schema: field(value, "schema", notes),
        policy: field(value, "policy", notes),
    }
}

impl Read for Record {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let level = match value.get("level").and_then(Value::as_str) {
            Some("full") => Level::Full,
            Some("aggregate") => Level::Aggregate,
            _ => {
                notes.wrong("level: full or aggregate was expected");
                Level::Aggregate
            }
        };
        let seed = match value.get("seed") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.parse::<u64>().is_ok() => text.parse().ok(),
            Some(_) => Some(field(value, "seed", notes)),
        };
        let read: Vec<ReadItem> = field(value, "items", notes);
        if let Some(i) = read.iter().enumerate().position(|(i, read)| read.rank != i + 1) {
            notes.wrong(&format!("items[{i}].rank: {}, at place {}", read[i].rank, i + 1));
        }
        let reason: Option<String> = field(value, "reason", notes);
        let source = if reason.is_none() { "model" } else { "server" };
        if value.get("source").and_then(Value::as_str) != Some(source) {
            notes.wrong("source: it does not go with the reason");
        }
        let shared: Option<String> = field(value, "shared", notes);
        let mut record = Record {
            level,
            withheld: value.get("withheld").is_some_and(Value::is_string),
            decision_id: field(value, "decision_id", notes),
            list_id: field(value, "list_id", notes),
            surface: field(value, "surface", notes),
            numerics: field_or::<Option<u32>>(value, "numerics", None, notes).unwrap_or(0),
            digests: value.get("digests").filter(|d| !d.is_null()).map(|d| digests(d, notes)),
            now: field::<Real>(value, "now", notes).0,
            heads: field_or(value, "heads", Vec::new(), notes),
            shared: shared.map_or_else(Vec::new, |text| row_of(&text, notes)),
            decided: None,
            items: read.iter().map(|read| read.item.clone()).collect(),
            reason,
        };
        if let Err(wrong) = record.check() {
            notes.wrong(&wrong);
        } else if record.reason.is_none() {
            record.decided = decided(value, &record.heads, &read, seed, notes);
            record.complete();
        }
        record
    }
}

/// What the policy decided from, and what it decided; `read` is an order of all rows.
fn decided(
    value: &Value,
    names: &[String],
    read: &[ReadItem],
    seed: Option<u64>,
    notes: &mut Notes,
) -> Option<(Input, Decision)> {
    let mut input = Input {
        seed,
        scored: field(value, "scored", notes),
        kinds: field(value, "types", notes),
        heads: names.len(),
        width: read.first().map_or(0, |first| first.vector.len()),
        ..Input::default()
    };
    let mut by_row: Vec<&ReadItem> = read.iter().collect();
    by_row.sort_by_key(|read| read.item.row);
    for (row, read) in by_row.into_iter().enumerate() {
        let wrong = |what: &str| format!("items[{}].{what}", read.rank.wrapping_sub(1));
        let heads: Option<Vec<&Head>> = names.iter().map(|name| read.heads.get(name)).collect();
        match heads.filter(|heads| heads.len() == read.heads.len()) {
            Some(heads) if row < input.scored => {
                input.raw.extend(heads.iter().map(|head| head.0));
                input.calibrated.extend(heads.iter().map(|head| head.1));
            }
            None if row < input.scored => notes.wrong(&wrong("heads: they are not those of the record")),
            _ => {}
        }
        if read.vector.len() != input.width {
            notes.wrong(&wrong("vector: another width than the first item's"));
        }
        input.vectors.extend_from_slice(&read.vector);
        let kind = read.kind.as_ref().map(|kind| input.kinds.iter().position(|k| k == kind));
        if kind == Some(None) {
            notes.wrong(&wrong("type: it is not among the record's"));
        }
        let kind = kind.flatten().map_or(NONE, |kind| kind as u32);
        input.candidates.push(Candidate { kind, ..read.candidate });
    }
    if input.scored > read.len() {
        notes.wrong("scored: more than there are");
    }
    let decision = Decision {
        choices: read.iter().map(|read| read.choice).collect(),
        log_propensity: field::<Real>(value, "log_propensity", notes).0,
        explored: field(value, "explored", notes),
        degraded: field(value, "degraded", notes),
    };
    Some((input, decision))
}

impl Recorded {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_json(text: &str) -> Result<Recorded, String> {
        let value = value(text)?;
        match value.get("kind").and_then(Value::as_str) {
            Some("decision") => from_value(&value).map(|record| Recorded::Decision(Box::new(record))),
            Some("exposure") => from_value(&value).map(Recorded::Exposure),
            Some("outcome") => from_value(&value).map(Recorded::Outcome),
            _ => Err("kind: decision, exposure or outcome was expected".to_owned()),
        }
    }
}

impl Read for Exposure {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        Exposure {
            decision_id: field(value, "decision_id", notes),
            key: field(value, "key", notes),
            position: field(value, "position", notes),
            visible_ms: field::<Real>(value, "visible_ms", notes).0,
        }
    }
}

impl Read for Outcome {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let delay: String = field(value, "delay", notes);
        let at = Outcome::DELAYS.iter().position(|name| *name == delay);
        if at.is_none() {
            notes.wrong(&format!("delay: `{delay}` is not known"));
        }
        Outcome {
            decision_id: field(value, "decision_id", notes),
            key: field(value, "key", notes),
            kind: field(value, "type", notes),
            delay: at.unwrap_or(0),
        }
    }
}
