//! `Engine` of a page that ranks. Sessions and lists are handles into it, so that nothing on the JavaScript side points
//! into linear memory.

use super::objects::{self, list};
use super::scores::{self, Scores};
use super::slab::Slab;
use super::{object, set, thrown};
use crate::context::{Event, EventKind, EventValue, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{Layout, Table};
use crate::policy::CONSTRAINTS;
use crate::ranker::{Frozen, List, Options, Ranker, Ranking, Record, Session};
use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;

/// Numbers before the items of a ranking.
const HEADER: usize = 8;
/// Numbers of an item before its heads.
const ITEM: usize = 8;

fn stale(what: &str) -> Error {
    Error::new(ErrorKind::RequestInvalid, format!("this {what} was disposed"))
}

/// An event as the face's `PlainEvent` gives it; ids are texts there.
fn read_event(object: &JsValue) -> Result<Event> {
    let invalid = |what: &str| Error::new(ErrorKind::RequestInvalid, format!("event: {what}"));
    let value = Reflect::get(object, &"value".into()).unwrap_or(JsValue::UNDEFINED);
    let value = match (value.as_string(), value.as_f64(), value.as_bool()) {
        (Some(text), _, _) => Some(EventValue::Text(text)),
        (_, Some(number), _) => Some(EventValue::Number(number)),
        (_, _, Some(flag)) => Some(EventValue::Flag(flag)),
        _ => None,
    };
    let kind = text(object, "type").and_then(|t| EventKind::parse(&t));
    let time = Reflect::get(object, &"time".into()).ok().and_then(|t| t.as_f64());
    Ok(Event {
        id: text(object, "id"),
        session: None,
        kind: kind.ok_or_else(|| invalid("no known `type`"))?,
        candidate: text(object, "candidate"),
        key: text(object, "key"),
        candidate_type: text(object, "candidate_type"),
        surface: text(object, "surface"),
        time: time.ok_or_else(|| invalid("`time` must be milliseconds since the epoch"))?,
        value,
        reason: text(object, "reason"),
        field: text(object, "field"),
    })
}

fn full(what: &str) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("more than 65,536 {what} at once; dispose those that are done"))
}

/// A text property; anything else counts as absent.
fn text(object: &JsValue, name: &str) -> Option<String> {
    Reflect::get(object, &name.into()).ok().and_then(|v| v.as_string())
}

struct Open {
    session: u32,
    list: List,
    /// Of the last re-rank, for its record.
    last: Option<(Ranking, f64)>,
}

/// An opened bundle with its sessions and lists.
#[wasm_bindgen]
pub struct Engine {
    ranker: Ranker,
    sessions: Slab<Session>,
    lists: Slab<Open>,
    scores: Scores,
}

#[wasm_bindgen]
impl Engine {
    /// Opens a bundle, with the host's hashes of it if there are any; throws `{code, message}`.
    #[wasm_bindgen(constructor)]
    pub fn new(bundle: &[u8], hashes: &[u8]) -> Result<Engine, JsValue> {
        let ranker = Ranker::open_hashed(bundle, super::hashes(hashes).as_ref()).map_err(|e| thrown(&e))?;
        Ok(Engine { ranker, sessions: Slab::new(), lists: Slab::new(), scores: Scores::new() })
    }

    /// What the face and inspectors need to know. `suppressed_ms`: how long a dismissal, and a snooze without a length,
    /// suppress.
    pub fn info(&self) -> Result<Object, JsValue> {
        let manifest = self.ranker.manifest();
        let Layout { request, candidate } = self.ranker.encoder().layout();
        let columns: Array = request.iter().map(|column| objects::column(column, "request")).collect();
        for column in candidate {
            columns.push(&objects::column(column, "candidate"));
        }
        let session = self.ranker.session().map_err(|e| thrown(&e))?;
        Ok(object([
            ("name", manifest.name.as_str().into()),
            ("version", (manifest.version as f64).into()),
            ("numerics", manifest.numerics.into()),
            ("digests", objects::digests(self.ranker.digests())),
            ("heads", list(&manifest.heads, |head| head.name.as_str().into())),
            ("columns", columns.into()),
            ("size_bytes", self.ranker.size().into()),
            ("self_test_rows", manifest.golden.rows.into()),
            ("suppressed_ms", list(session.context().suppression_lengths(), Into::into)),
            ("signals", list(signals(&manifest.context), |(name, _)| name.into())),
            ("reasons", objects::reasons()),
            ("constraints", list(CONSTRAINTS, Into::into)),
        ]))
    }

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
        self.of(session).map(|s| s.context().snapshot()).map_err(|e| thrown(&e))
    }

    /// Takes a snapshot in place of the session's context.
    pub fn restore(&mut self, session: u32, snapshot: &str) -> Result<(), JsValue> {
        self.of_mut(session).and_then(|s| s.context_mut().restore(snapshot)).map_err(|e| thrown(&e))
    }

    /// Empties the session's context.
    pub fn forget(&mut self, session: u32) -> Result<(), JsValue> {
        self.of_mut(session).map(|s| s.context_mut().forget()).map_err(|e| thrown(&e))
    }

    /// Takes in an event, a plain object; true when a list is due for a re-rank. Read field by field: a JSON text
    /// would cost a parse, and a second way of reading numbers.
    pub fn observe(&mut self, session: u32, event: &JsValue) -> Result<bool, JsValue> {
        let event = read_event(event).map_err(|e| thrown(&e))?;
        let owner = self.sessions.get_mut(session).ok_or_else(|| thrown(&stale("session")))?;
        let shown: Vec<&Table> =
            self.lists.newest_first().filter(|l| l.session == session).map(|l| l.list.table()).collect();
        let new = owner.observe(&event, &shown).map_err(|e| thrown(&e))?;
        Ok(new && self.ranker.manifest().policy.due.contains(&event.kind))
    }

    /// The signals that do not differ between candidates, by name; missing ones are null.
    pub fn signals(&self, session: u32, surface: Option<String>, now: f64) -> Result<JsValue, JsValue> {
        let context = self.of(session).map_err(|e| thrown(&e))?.context();
        let subject = crate::context::Subject { surface: surface.as_deref(), ..Default::default() };
        let now = context.quantise(now);
        let values = Object::new();
        for (name, signal) in signals(context.spec()) {
            if !signal.per_candidate() {
                let value = context.value(signal, &subject, now);
                let value = if value.is_nan() { JsValue::NULL } else { value.into() };
                set(&values, &name, &value);
            }
        }
        Ok(values.into())
    }

    fn table(&self, n: usize, columns: &[f64], pool: &str, lengths: &[u32]) -> Result<Table> {
        Table::from_columns(self.ranker.encoder().layout(), n, columns, pool, lengths)
    }

    /// Takes in a response; see `pkg/src/columns.ts` for the buffer's form.
    pub fn prepare(
        &mut self,
        session: u32,
        options: &JsValue,
        n: usize,
        columns: &[f64],
        pool: &str,
        lengths: &[u32],
    ) -> Result<u32, JsValue> {
        let identity = crate::ranker::Identity {
            decision_id: text(options, "decision_id"),
            list_id: text(options, "list_id"),
            surface: text(options, "surface"),
        };
        let table = self.table(n, columns, pool, lengths).map_err(|e| thrown(&e))?;
        self.of(session).map_err(|e| thrown(&e))?;
        let list = self.ranker.prepare(table, identity).map_err(|e| thrown(&e))?;
        self.lists.insert(Open { session, list, last: None }).ok_or_else(|| thrown(&full("lists")))
    }

    /// Adds more candidates of the same response.
    pub fn append(&mut self, list: u32, n: usize, columns: &[f64], pool: &str, lengths: &[u32]) -> Result<(), JsValue> {
        let more = self.table(n, columns, pool, lengths).map_err(|e| thrown(&e))?;
        let open = self.lists.get_mut(list).ok_or_else(|| thrown(&stale("list")))?;
        open.list.append(&self.ranker, &more).map_err(|e| thrown(&e))
    }

    /// Says in which order a list's rows are shown already: after a rebuild the engine cannot know.
    pub fn shown(&mut self, list: u32, rows: &[u32]) -> Result<(), JsValue> {
        let open = self.lists.get_mut(list).ok_or_else(|| thrown(&stale("list")))?;
        open.list.shown(rows);
        Ok(())
    }

    /// Takes new facts: the request columns alone.
    pub fn update_facts(&mut self, list: u32, columns: &[f64], pool: &str, lengths: &[u32]) -> Result<(), JsValue> {
        let facts = self.table(0, columns, pool, lengths).map_err(|e| thrown(&e))?;
        let open = self.lists.get_mut(list).ok_or_else(|| thrown(&stale("list")))?;
        open.list.update_facts(facts);
        Ok(())
    }

    /// Orders a list. `frozen_count` is -1 where `frozen_rows` say what stays.
    ///
    /// Returns `[source, reason, n, heads, rows run, 0, 0, 0]`, then per item in final order `[row, server rank,
    /// score, utility, propensity, log propensity, suppressed, constraints, (raw, calibrated) a head]`.
    pub fn rerank(&mut self, list: u32, now: f64, frozen_count: i32, frozen_rows: &[u32]) -> Result<Vec<f64>, JsValue> {
        let open = self.lists.get_mut(list).ok_or_else(|| thrown(&stale("list")))?;
        let session = self.sessions.get(open.session).ok_or_else(|| thrown(&stale("session")))?;
        let frozen = match usize::try_from(frozen_count) {
            Ok(count) => Frozen::Count(count),
            Err(_) => Frozen::Rows(frozen_rows.iter().map(|&r| r as usize).collect()),
        };
        let ranking = self.ranker.rerank(session, &mut open.list, &Options { now, frozen });
        let buffer = flat(&ranking, self.ranker.manifest().heads.len());
        open.last = Some((ranking, now));
        Ok(buffer)
    }

    /// The record of the list's last re-rank.
    pub fn record(&self, list: u32) -> Result<JsValue, JsValue> {
        let open = self.lists.get(list).ok_or_else(|| thrown(&stale("list")))?;
        match &open.last {
            Some((ranking, now)) => Ok(objects::record(&Record::new(&self.ranker, &open.list, ranking, *now))),
            None => Ok(JsValue::NULL),
        }
    }

    /// Forgets a list.
    pub fn list_free(&mut self, list: u32) {
        self.lists.remove(list);
    }

    /// Inputs and outputs of the plan.
    pub fn scorer_info(&mut self) -> Object {
        scores::info(self.ranker.scorer())
    }

    /// Scores an array for each input, or, of prepared candidates, for each that they leave open.
    pub fn score(&mut self, prepared: u32, data: &Array, rows: usize) -> Result<Array, JsValue> {
        self.scores.score(self.ranker.scorer(), prepared, data, rows).map_err(|e| thrown(&e))
    }

    /// Keeps the inputs that are given.
    pub fn score_prepare(&mut self, data: &Array, rows: i32) -> Result<u32, JsValue> {
        self.scores.prepare(self.ranker.scorer(), data, rows).map_err(|e| thrown(&e))
    }

    /// Forgets prepared candidates.
    pub fn score_free(&mut self, prepared: u32) {
        self.scores.free(prepared);
    }

    fn of(&self, session: u32) -> Result<&Session> {
        self.sessions.get(session).ok_or_else(|| stale("session"))
    }

    fn of_mut(&mut self, session: u32) -> Result<&mut Session> {
        self.sessions.get_mut(session).ok_or_else(|| stale("session"))
    }
}

fn flat(ranking: &Ranking, heads: usize) -> Vec<f64> {
    let reason = ranking.reason.and_then(|r| ErrorKind::REASONS.iter().position(|k| *k == r));
    let mut buffer = Vec::with_capacity(HEADER + ranking.entries.len() * (ITEM + 2 * heads));
    buffer.extend([
        if ranking.is_model() { 1.0 } else { 0.0 },
        reason.map_or(-1.0, |r| r as f64),
        ranking.entries.len() as f64,
        heads as f64,
        ranking.rows_run as f64,
        0.0,
        0.0,
        0.0,
    ]);
    for e in &ranking.entries {
        let suppressed = match e.suppressed {
            None => 0.0,
            Some(crate::context::Suppression::Dismissed) => 1.0,
            Some(crate::context::Suppression::Snoozed) => 2.0,
        };
        buffer.extend([
            e.row as f64,
            (e.row + 1) as f64,
            e.score,
            e.utility,
            1.0,
            0.0,
            suppressed,
            f64::from(e.constraints),
        ]);
        for h in 0..heads {
            let value = e.heads.get(h).map_or((f64::NAN, f64::NAN), |v| (f64::from(v.raw), v.calibrated));
            buffer.extend([value.0, value.1]);
        }
    }
    buffer
}
