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
    /// Half visible for a second; counted once for a list and key.
    Impression,
    /// Opened for details.
    Open,
    /// Taken up.
    Accept,
    /// Waved away, perhaps with a reason; `value` may say for how long, ms.
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
    /// Milliseconds (dwell, snooze, dismiss) or a field's number (edit).
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
    /// Names the list that an impression was seen in; the session knows it where it has seen the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
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
            list: identity(value, "list"),
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
        if self.candidate.as_ref().is_some_and(|c| c.len() > MAX_TEXT) {
            return Err(invalid(self.kind, TOO_LONG));
        }
        self.happening().check()
    }

    /// The event as the context takes it: what it names no key for is known by its candidate's id.
    pub fn happening(&self) -> Happening<'_> {
        Happening {
            kind: self.kind,
            time: self.time,
            id: self.id.as_deref(),
            key: self.key.as_deref().or(self.candidate.as_deref()),
            candidate_type: self.candidate_type.as_deref(),
            surface: self.surface.as_deref(),
            list: self.list.as_deref(),
            reason: self.reason.as_deref(),
            field: self.field.as_deref(),
            value: match &self.value {
                None => Given::Nothing,
                Some(EventValue::Number(x)) => Given::Number(*x),
                Some(EventValue::Text(text)) => Given::Text(text),
                Some(EventValue::Flag(b)) => Given::Flag(*b),
            },
        }
    }
}

/// What an event's `value` is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Given<'a> {
    /// There is none.
    Nothing,
    /// See [`EventValue::Number`].
    Number(f64),
    /// See [`EventValue::Text`].
    Text(&'a str),
    /// See [`EventValue::Flag`].
    Flag(bool),
}

/// An event with its candidate resolved: what a context takes in. Texts are borrowed, for a page calls this at every move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Happening<'a> {
    /// What happened.
    pub kind: EventKind,
    /// Milliseconds since the epoch.
    pub time: f64,
    /// For deduplication.
    pub id: Option<&'a str>,
    /// Stable identity of the candidate.
    pub key: Option<&'a str>,
    /// Its type.
    pub candidate_type: Option<&'a str>,
    /// Where it happened.
    pub surface: Option<&'a str>,
    /// The list it was seen in.
    pub list: Option<&'a str>,
    /// Why it was dismissed.
    pub reason: Option<&'a str>,
    /// Draft field.
    pub field: Option<&'a str>,
    /// See [`EventKind`].
    pub value: Given<'a>,
}

const TOO_LONG: &str = "ids, keys, types, surfaces and fields have at most 512 bytes";

fn invalid(kind: EventKind, what: &str) -> Error {
    Error::new(ErrorKind::RequestInvalid, ["event `", kind.name(), "`: ", what].concat())
}

impl Happening<'_> {
    /// Whether every field fits the kind.
    ///
    /// # Errors
    /// `request_invalid` names the field and the mend.
    pub fn check(&self) -> Result<()> {
        let invalid = |what: &str| Err(invalid(self.kind, what));
        if !self.time.is_finite() {
            return invalid("`time` must be milliseconds since the epoch");
        }
        let undone = self.kind == EventKind::Undo && self.field.is_some();
        if self.kind.has_candidate() && self.key.is_none() && !undone {
            return invalid("give `candidate` or `key`");
        }
        // A list's name is not kept, so it may be of any length.
        let texts = [self.id, self.key, self.candidate_type, self.surface, self.field];
        if texts.into_iter().flatten().any(|t| t.len() > MAX_TEXT) {
            return invalid(TOO_LONG);
        }
        if self.kind == EventKind::Edit && self.field.is_none() {
            return invalid("give `field`");
        }
        Ok(())
    }

    /// What it counts: 1, or the seconds of a dwell. One without a length, or with a negative one, counts nothing.
    pub(super) fn amount(&self) -> f64 {
        match (self.kind, self.value) {
            (EventKind::Dwell, Given::Number(ms)) if ms > 0.0 && ms.is_finite() => ms / 1000.0,
            (EventKind::Dwell, _) => 0.0,
            _ => 1.0,
        }
    }
}
