//! A request as it stands in files, before its columns are read.

use super::table::{invalid, text};
use crate::context::identity;
use crate::error::Result;
use crate::json::{self, Notes, Read};
use serde_json::Value;

/// A request as in the files, before its columns are read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Joins records.
    pub decision_id: Option<String>,
    /// Of one list on a page.
    pub list_id: Option<String>,
    /// Whose context it is ranked with.
    pub session: Option<String>,
    /// Where it is shown.
    pub surface: Option<String>,
    /// Of exploration: a whole number, or any text.
    pub seed: Option<u64>,
    /// What must stay where it stands.
    pub frozen: Asked,
    /// Milliseconds since the epoch.
    pub now: f64,
    /// In the server's order.
    pub candidates: Vec<Value>,
    /// By section.
    pub facts: Value,
}

/// `frozen` of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The first of the order last shown.
    Count(usize),
    /// These ids.
    Ids(Vec<String>),
}

impl Default for Asked {
    fn default() -> Self {
        Asked::Count(0)
    }
}

impl Read for Asked {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let whole = |x: &f64| *x >= 0.0 && *x < 9e15 && x.floor() == *x;
        match value {
            Value::Null => Asked::default(),
            Value::Array(ids) => {
                let texts: Vec<String> = ids.iter().filter_map(text).collect();
                if texts.len() < ids.len() {
                    notes.wrong("ids are texts or integers");
                }
                Asked::Ids(texts)
            }
            value => match value.as_f64().filter(whole) {
                Some(count) => Asked::Count(count as usize),
                None => {
                    notes.wrong("a whole number from 0, or a list of ids, was expected");
                    Asked::default()
                }
            },
        }
    }
}

/// A seed as JSON or a page gives it: a whole number, its digits, or any other text, hashed.
fn seed(value: &Value) -> Option<u64> {
    text(value).map(|text| crate::policy::seed(&text))
}

impl Read for Request {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        Request {
            decision_id: identity(value, "decision_id"),
            list_id: identity(value, "list_id"),
            session: identity(value, "session"),
            surface: value.get("surface").and_then(Value::as_str).map(str::to_owned),
            seed: value.get("seed").and_then(seed),
            frozen: json::field_or(value, "frozen", Asked::default(), notes),
            now: json::field(value, "now", notes),
            candidates: json::field(value, "candidates", notes),
            facts: value.get("facts").cloned().unwrap_or_default(),
        }
    }
}

impl Request {
    /// Parses a request.
    ///
    /// # Errors
    /// `request_invalid` names the field.
    pub fn from_json(text: &str) -> Result<Request> {
        let request: Request = json::parse(text).map_err(|e| invalid(format!("request: {e}")))?;
        if request.now.is_finite() { Ok(request) } else { Err(invalid("request: `now` must be finite")) }
    }

    /// Id and key of each candidate, where it has them, for a caller that falls back to server order.
    pub fn identities(&self) -> Vec<(String, String)> {
        let of = |candidate: &Value, name| candidate.get(name).and_then(text);
        let both = |candidate: &Value| {
            let id = of(candidate, "id").unwrap_or_default();
            let key = of(candidate, "key").unwrap_or_else(|| id.clone());
            (id, key)
        };
        self.candidates.iter().map(both).collect()
    }
}
