//! Events: what a person just did.

use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, Notes, Read, field};
use serde::Serialize;
use serde_json::Value as Json;

/// Longest id, key, type, surface or field, bytes; longer ones are refused. A longer search text is cut.
pub const MAX_TEXT: usize = 512;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum EventKind {
    /// Half visible for a second, once per list and key.
    Impression,
    /// Opened for details.
    Open,
    /// Taken up.
    Accept,
    /// Waved away, perhaps with a reason.
    Dismiss,
    /// Put off; `value` is for how long, ms.
    Snooze,
    /// Looked at; `value` is for how long, ms.
    Dwell,
    /// The last dismissal, snooze or edit of this key or field is taken back.
    Undo,
    /// A draft field was changed; `field`, and `value` its new content.
    Edit,
    /// Moved to `surface`.
    Navigate,
    /// Searched; `value` is the text.
    Search,
}

impl EventKind {
    /// All of them, in the order of the counters.
    pub const ALL: [EventKind; 10] = [
        EventKind::Impression,
        EventKind::Open,
        EventKind::Accept,
        EventKind::Dismiss,
        EventKind::Snooze,
        EventKind::Dwell,
        EventKind::Undo,
        EventKind::Edit,
        EventKind::Navigate,
        EventKind::Search,
    ];

    /// The name in events and signals.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Impression => "impression",
            EventKind::Open => "open",
            EventKind::Accept => "accept",
            EventKind::Dismiss => "dismiss",
            EventKind::Snooze => "snooze",
            EventKind::Dwell => "dwell",
            EventKind::Undo => "undo",
            EventKind::Edit => "edit",
            EventKind::Navigate => "navigate",
            EventKind::Search => "search",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|k| k.name() == name)
    }

    /// Whether it is about one candidate.
    pub const fn has_candidate(self) -> bool {
        !matches!(self, EventKind::Edit | EventKind::Navigate | EventKind::Search)
    }
}

/// The `value` of an event: a number or a text, by kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EventValue {
    /// Milliseconds (dwell, snooze) or a field's number (edit).
    Number(f64),
    /// A field's text (edit) or what was searched for.
    Text(String),
    /// A field's switch (edit).
    Flag(bool),
}

/// One event. Unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// For deduplication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whose it is (logs only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Row id of a response, resolved to a key by the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
    /// Stable identity: type and target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The candidate's type; looked up where the session has seen the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_type: Option<String>,
    /// Where it happened, or for `navigate` where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// Milliseconds since the epoch.
    pub time: f64,
    /// See [`EventKind`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<EventValue>,
    /// Why it was dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Draft field (edit, undo).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// An id may be a text or an integer; both are kept as text, so that 64-bit ids are not rounded.
pub(crate) fn identity(event: &Json, name: &str) -> Option<String> {
    match event.get(name)? {
        Json::String(s) => Some(s.clone()),
        Json::Number(n) => n.as_i64().map(|i| i.to_string()).or_else(|| n.as_u64().map(|u| u.to_string())),
        _ => None,
    }
}

/// An optional text; another type counts as absent, as in a page.
fn text(event: &Json, name: &str) -> Option<String> {
    event.get(name)?.as_str().map(str::to_owned)
}

fn scalar(value: &Json) -> Option<EventValue> {
    match value {
        Json::String(s) => Some(EventValue::Text(s.clone())),
        Json::Bool(b) => Some(EventValue::Flag(*b)),
        Json::Number(n) => n.as_f64().map(EventValue::Number),
        _ => None,
    }
}

impl Read for EventKind {
    fn read(value: &Json, notes: &mut Notes) -> Self {
        value.as_str().and_then(EventKind::parse).unwrap_or_else(|| {
            notes.wrong(&format!("one of {} was expected", EventKind::ALL.map(EventKind::name).join(", ")));
            EventKind::Impression
        })
    }
}

impl Read for Event {
    fn read(value: &Json, notes: &mut Notes) -> Self {
        Event {
            id: identity(value, "id"),
            session: identity(value, "session"),
            kind: field(value, "type", notes),
            candidate: identity(value, "candidate"),
            key: identity(value, "key"),
            candidate_type: text(value, "candidate_type"),
            surface: text(value, "surface"),
            time: field(value, "time", notes),
            value: value.get("value").and_then(scalar),
            reason: text(value, "reason"),
            field: text(value, "field"),
        }
    }
}

impl Event {
    /// Parses and checks one event.
    ///
    /// # Errors
    /// `request_invalid` names the field and the mend.
    pub fn from_json(text: &str) -> Result<Event> {
        let invalid = |what: String| Error::new(ErrorKind::RequestInvalid, what);
        let event: Event = json::parse(text).map_err(|e| invalid(format!("event: {e}")))?;
        event.check()?;
        Ok(event)
    }

    /// Whether every field fits the kind.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn check(&self) -> Result<()> {
        let invalid =
            |what: &str| Err(Error::new(ErrorKind::RequestInvalid, format!("event `{}`: {what}", self.kind.name())));
        if !self.time.is_finite() {
            return invalid("`time` must be milliseconds since the epoch");
        }
        if self.kind.has_candidate() && self.candidate.is_none() && self.key.is_none() {
            let field = self.kind == EventKind::Undo && self.field.is_some();
            if !field {
                return invalid("give `candidate` or `key`");
            }
        }
        let texts = [&self.id, &self.candidate, &self.key, &self.candidate_type, &self.surface, &self.field];
        if texts.into_iter().flatten().any(|t| t.len() > MAX_TEXT) {
            return invalid("ids, keys, types, surfaces and fields have at most 512 bytes");
        }
        if self.kind == EventKind::Edit && self.field.is_none() {
            return invalid("give `field`");
        }
        Ok(())
    }

    /// The number in `value`, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Some(EventValue::Number(n)) if n.is_finite() => Some(n),
            _ => None,
        }
    }
}
