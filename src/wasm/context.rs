//! Sessions: what a page observes, and what it may know of it.

use super::ranking::{Engine, full, stale};
use super::thrown;
use crate::context::{EventKind, Given, Happening, Subject, catalogue, signals};
use crate::error::{Error, ErrorKind};
use crate::ranker::Session;
use wasm_bindgen::prelude::*;

/// Of `observe`: the event was not known before.
const NEW: u32 = 1;
/// Of `observe`: a list is due for a re-rank.
const DUE: u32 = 2;

/// Texts that came joined.
struct Joined<'a> {
    rest: &'a str,
    /// Every character is one byte, so that lengths are offsets.
    ascii: bool,
    whole: bool,
}

impl<'a> Joined<'a> {
    /// The next text, of so many UTF-16 units; a negative length stands for none.
    fn next(&mut self, length: i32) -> Option<&'a str> {
        let mut units = usize::try_from(length).ok()?;
        let mut end = units;
        if !self.ascii {
            let mut chars = self.rest.char_indices();
            while units > 0
                && let Some((_, c)) = chars.next()
            {
                units = units.saturating_sub(c.len_utf16());
            }
            end = chars.offset();
        }
        match self.rest.split_at_checked(end) {
            Some((text, rest)) => {
                self.rest = rest;
                Some(text)
            }
            None => {
                self.whole = false;
                None
            }
        }
    }
}

#[wasm_bindgen]
impl Engine {
    /// A new session.
    pub fn session(&mut self) -> Result<u32, JsValue> {
        let session = self.ranker.session().map_err(|e| thrown(&e))?;
        self.sessions.insert(session).ok_or_else(|| thrown(&full("sessions")))
    }

    /// Forgets a session and its lists.
    pub fn session_free(&mut self, session: u32) {
        self.sessions.remove(session);
        self.lists.retain(|open| open.session != session);
    }

    /// The session's context as versioned JSON.
    pub fn snapshot(&self, session: u32) -> Result<String, JsValue> {
        self.of(session).map(|s| s.context().snapshot())
    }

    /// Takes a snapshot in place of the session's context.
    pub fn restore(&mut self, session: u32, snapshot: &str) -> Result<(), JsValue> {
        self.of_mut(session)?.context_mut().restore(snapshot).map_err(|e| thrown(&e))
    }

    /// Empties the session's context.
    pub fn forget(&mut self, session: u32) -> Result<(), JsValue> {
        self.of_mut(session)?.context_mut().forget();
        Ok(())
    }

    /// Takes in an event that names its candidate by key. `kind` is the place in [`EventKind::ALL`]. Its texts come as one,
    /// in the order of their lengths here (UTF-16 units, -1 for none); a `value` that is no text is `number`, NaN for none,
    /// or, with `flag`, 0 or 1. So a call costs one text and otherwise numbers; an object read property by property, or
    /// eight texts, cost several microseconds.
    ///
    /// Returns [`NEW`] and [`DUE`].
    #[expect(clippy::too_many_arguments, reason = "numbers are what crosses the boundary for nothing")]
    pub fn observe(
        &mut self,
        session: u32,
        kind: u32,
        time: f64,
        number: f64,
        flag: bool,
        texts: &str,
        id: i32,
        key: i32,
        candidate_type: i32,
        surface: i32,
        list: i32,
        reason: i32,
        field: i32,
        value: i32,
    ) -> Result<u32, JsValue> {
        let invalid = |what: &str| thrown(&Error::new(ErrorKind::RequestInvalid, what));
        let kind = *EventKind::ALL.get(kind as usize).ok_or_else(|| invalid("event: no known `type`"))?;
        let mut joined = Joined { rest: texts, ascii: texts.is_ascii(), whole: true };
        let mut event = Happening {
            kind,
            time,
            id: joined.next(id),
            key: joined.next(key),
            candidate_type: joined.next(candidate_type),
            surface: joined.next(surface),
            list: joined.next(list),
            reason: joined.next(reason),
            field: joined.next(field),
            value: Given::Nothing,
        };
        event.value = match joined.next(value) {
            Some(text) => Given::Text(text),
            None if flag => Given::Flag(number != 0.0),
            None if number.is_nan() => Given::Nothing,
            None => Given::Number(number),
        };
        if !joined.whole || !joined.rest.is_empty() {
            return Err(invalid("event: text lengths do not fit the text"));
        }
        event.check().map_err(|e| thrown(&e))?;
        let owner = self.sessions.get_mut(session).ok_or_else(|| thrown(&stale("session")))?;
        if !owner.context_mut().observe(&event) {
            return Ok(0);
        }
        let due = self.of(session)?.context();
        Ok(if self.ranker.due(kind, due) { NEW | DUE } else { NEW })
    }

    /// The values of all signals, in the order of the info's `signals`; NaN where one is missing. Those of candidates are
    /// asked about a row of a list, or about a key and a type; `row` -1 and no key: about none, and they are infinite.
    #[expect(clippy::too_many_arguments, reason = "as of `observe`")]
    pub fn signals(
        &self,
        session: u32,
        list: u32,
        row: i32,
        key: Option<String>,
        candidate_type: Option<String>,
        surface: Option<String>,
        now: f64,
    ) -> Result<Vec<f64>, JsValue> {
        let context = self.of(session)?.context();
        let now = context.quantise(now);
        let mut subject = Subject {
            key: key.as_deref().unwrap_or_default(),
            candidate_type: candidate_type.as_deref(),
            surface: surface.as_deref(),
            ..Subject::default()
        };
        let open = self.lists.get(list).map(|open| open.list.table());
        let row = usize::try_from(row).ok().and_then(|row| open.filter(|table| row < table.len()).map(|t| (t, row)));
        if let Some((table, row)) = row {
            subject = table.subject(row, surface.as_deref());
        }
        let known = key.is_some() || row.is_some();
        let value = |signal: crate::context::Signal| match signal.per_candidate() && !known {
            true => f64::INFINITY,
            false => context.value(signal, &subject, now),
        };
        Ok(signals(context.spec()).into_iter().map(|(_, signal)| value(signal)).collect())
    }

    /// What the signals mean: of each its name, unit, privacy label, what it differs by, and a sentence, a line each. A text,
    /// for this is asked once if ever, and objects would cost a page more.
    pub fn describe(&self) -> String {
        let mut lines = Vec::new();
        for info in catalogue(&self.ranker.manifest().context) {
            lines.extend([info.name, info.unit.into(), info.privacy.name().into(), info.per.into(), info.doc]);
        }
        lines.join("\n")
    }
}

impl Engine {
    pub(super) fn of(&self, session: u32) -> Result<&Session, JsValue> {
        self.sessions.get(session).ok_or_else(|| thrown(&stale("session")))
    }

    fn of_mut(&mut self, session: u32) -> Result<&mut Session, JsValue> {
        self.sessions.get_mut(session).ok_or_else(|| thrown(&stale("session")))
    }
}
