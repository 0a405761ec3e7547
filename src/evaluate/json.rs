//! Records as JSON: `pkg/schema/record.json` says what stands where. A number that JSON lacks is a text (`"inf"`, `"-inf"`,
//! and `"-0"`, whose sign JavaScript does not write); a value that is missing is null.

use super::record::{Exposure, Item, Outcome, Record, Recorded};
use crate::context::Suppression;
use crate::json::{Notes, Read, field, field_or, from_value, value};
use crate::policy::CONSTRAINTS;
use crate::ranker::{Digests, HeadValue, Level};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
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
        match self.seed {
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
        let items: Vec<Named<'_>> = self.items.iter().enumerate().map(|(i, item)| Named(self, i, item)).collect();
        map.serialize_entry("items", &items)?;
        map.end()
    }
}

/// An item of a record, at its place.
struct Named<'a>(&'a Record, usize, &'a Item);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Named(record, i, item) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &item.id)?;
        map.serialize_entry("key", &item.key)?;
        map.serialize_entry("rank", &(i + 1))?;
        map.serialize_entry("server_rank", &(item.row + 1))?;
        map.serialize_entry("score", &Real(item.score))?;
        map.serialize_entry("heads", &Heads(&record.heads, &item.heads))?;
        map.serialize_entry("utility", &Real(item.utility))?;
        map.serialize_entry("propensity", &Real(item.propensity))?;
        map.serialize_entry("log_propensity", &Real(item.log_propensity))?;
        map.serialize_entry("suppressed", &item.suppressed)?;
        map.serialize_entry("constraints", &item.constraint_names())?;
        if !item.features.is_empty() {
            map.serialize_entry("features", &hex(&item.features))?;
            map.serialize_entry("row_hash", &format!("{:08x}", item.row_hash))?;
        }
        map.end()
    }
}

struct Heads<'a>(&'a [String], &'a [HeadValue]);

impl Serialize for Heads<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1).map(|(name, head)| (name, Head(*head))))
    }
}

struct Head(HeadValue);

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        // As a double, so that every reader rounds it to the same f32.
        map.serialize_entry("raw", &Real(f64::from(self.0.raw)))?;
        map.serialize_entry("calibrated", &Real(self.0.calibrated))?;
        map.end()
    }
}

impl Read for Head {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let (Real(raw), Real(calibrated)) = (field(value, "raw", notes), field(value, "calibrated", notes));
        Head(HeadValue { raw: raw as f32, calibrated })
    }
}

/// The bits of the names at `name`.
fn bits(value: &Value, name: &str, all: &[&str], notes: &mut Notes) -> u32 {
    let names: Vec<String> = field(value, name, notes);
    names.iter().fold(0, |bits, name| match all.iter().position(|n| n == name) {
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

struct ReadItem {
    item: Item,
    rank: usize,
    names: Vec<String>,
}

impl Read for ReadItem {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let heads: std::collections::BTreeMap<String, Head> = field(value, "heads", notes);
        let row: usize = field(value, "server_rank", notes);
        let features: Option<String> = field(value, "features", notes);
        let row_hash: Option<String> = field(value, "row_hash", notes);
        let real = |name: &str, notes: &mut Notes| field::<Real>(value, name, notes).0;
        let (names, heads): (Vec<String>, Vec<Head>) = heads.into_iter().unzip();
        ReadItem {
            item: Item {
                id: field(value, "id", notes),
                key: field(value, "key", notes),
                row: row.wrapping_sub(1),
                score: real("score", notes),
                heads: heads.into_iter().map(|Head(head)| head).collect(),
                utility: real("utility", notes),
                propensity: real("propensity", notes),
                log_propensity: real("log_propensity", notes),
                suppressed: match value.get("suppressed").and_then(Value::as_str) {
                    None => None,
                    Some("dismissed") => Some(Suppression::Dismissed),
                    Some("snoozed") => Some(Suppression::Snoozed),
                    Some(other) => {
                        notes.wrong(&format!("suppressed: `{other}` is not known"));
                        None
                    }
                },
                constraints: bits(value, "constraints", &CONSTRAINTS, notes),
                row_hash: row_hash.map_or(0, |text| u32::from_str_radix(&text, 16).unwrap_or(0)),
                features: features.map_or_else(Vec::new, |text| row_of(&text, notes)),
            },
            rank: field(value, "rank", notes),
            names,
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
        let (mut items, mut heads) = (Vec::with_capacity(read.len()), None);
        for (i, ReadItem { item, rank, names }) in read.into_iter().enumerate() {
            if rank != i + 1 {
                notes.wrong(&format!("items[{i}].rank: {rank}, at place {}", i + 1));
            }
            if heads.get_or_insert_with(|| names.clone()) != &names {
                notes.wrong(&format!("items[{i}]: the heads are not those of the first item"));
            }
            items.push(item);
        }
        let reason: Option<String> = field(value, "reason", notes);
        let record = Record {
            level,
            withheld: value.get("withheld").is_some_and(Value::is_string),
            reason,
            decision_id: field(value, "decision_id", notes),
            list_id: field(value, "list_id", notes),
            surface: field(value, "surface", notes),
            seed,
            numerics: field_or::<Option<u32>>(value, "numerics", None, notes).unwrap_or(0),
            digests: value.get("digests").filter(|d| !d.is_null()).map(|d| digests(d, notes)),
            now: field::<Real>(value, "now", notes).0,
            heads: heads.unwrap_or_default(),
            items,
        };
        let source = if record.reason.is_none() { "model" } else { "server" };
        if value.get("source").and_then(Value::as_str) != Some(source) {
            notes.wrong("source: it does not go with the reason");
        }
        if let Err(wrong) = record.check() {
            notes.wrong(&wrong);
        }
        record
    }
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
