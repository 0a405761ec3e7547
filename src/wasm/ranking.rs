//! `Engine` of a page that ranks. Sessions and lists are handles into it, so that nothing on the JavaScript side points
//! into linear memory.

use super::objects::{self, list};
use super::slab::Slab;
use super::{object, thrown};
use crate::context::signals;
use crate::error::{Error, ErrorKind, Result};
use crate::features::{Layout, Table};
use crate::policy::CONSTRAINTS;
use crate::ranker::{Frozen, Level, List, Options, Ranker, Ranking, Session};
use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;

/// Numbers before the items of a ranking.
const HEADER: usize = 8;
/// Numbers of an item before its heads.
const ITEM: usize = 9;

pub(super) fn stale(what: &str) -> Error {
    Error::new(ErrorKind::RequestInvalid, format!("this {what} was disposed"))
}

pub(super) fn full(what: &str) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("more than 65,536 {what} at once; dispose those that are done"))
}

/// A text property; anything else counts as absent.
fn text(object: &JsValue, name: &str) -> Option<String> {
    Reflect::get(object, &name.into()).ok().and_then(|v| v.as_string())
}

/// A seed: a number, a BigInt, or a text.
fn seed(value: &JsValue) -> Option<u64> {
    // A file's reader takes no fraction either.
    if value.is_undefined() || value.is_null() || value.as_f64().is_some_and(|x| x.floor() != x) {
        return None;
    }
    let text = js_sys::Object::from(value.clone()).to_string();
    text.as_string().map(|text| crate::policy::seed(&text))
}

pub(super) struct Open {
    pub(super) session: u32,
    pub(super) list: List,
    /// Of the last re-rank, for its record.
    last: Option<(Ranking, f64)>,
}

/// An opened bundle with its sessions and lists.
#[wasm_bindgen]
pub struct Engine {
    pub(super) ranker: Ranker,
    pub(super) sessions: Slab<Session>,
    pub(super) lists: Slab<Open>,
}

#[wasm_bindgen]
impl Engine {
    /// Opens a bundle, with the host's hashes of it if there are any; throws `{code, message}`.
    #[wasm_bindgen(constructor)]
    pub fn new(bundle: Box<[u8]>, hashes: &[u8]) -> Result<Engine, JsValue> {
        let ranker = Ranker::open_hashed(bundle, super::hashes(hashes).as_ref()).map_err(|e| thrown(&e))?;
        Ok(Engine { ranker, sessions: Slab::new(), lists: Slab::new() })
    }

    /// Whether the instance was ever refused memory: what a trap was, if one came. It may be asked after one.
    pub fn out_of_memory() -> bool {
        crate::heap::refused()
    }

    /// What the face and inspectors need to know. `suppressed_ms`: how long a dismissal, and a snooze without a length,
    /// suppress.
    pub fn info(&self) -> Result<Object, JsValue> {
        let manifest = self.ranker.manifest();
        let session = self.ranker.session().map_err(|e| thrown(&e))?;
        let lengths = [&session.context().suppression_lengths()[..], session.context().reason_lengths()].concat();
        let Layout { request, candidate } = self.ranker.encoder().layout();
        let columns: Array = request.iter().map(|column| objects::column(column, "request")).collect();
        for column in candidate {
            columns.push(&objects::column(column, "candidate"));
        }
        Ok(object([
            ("name", manifest.name.as_str().into()),
            ("version", (manifest.version as f64).into()),
            ("numerics", manifest.numerics.into()),
            ("digests", objects::digests(self.ranker.digests())),
            ("heads", list(&manifest.heads, |head| head.name.as_str().into())),
            ("columns", columns.into()),
            ("size_bytes", self.ranker.size().into()),
            ("self_test_rows", manifest.golden.rows.into()),
            ("suppressed_ms", list(lengths, Into::into)),
            ("dismiss_reasons", list(&manifest.context.reasons, |reason| reason.name.as_str().into())),
            ("signals", list(signals(&manifest.context), |(name, _)| name.into())),
            ("reasons", objects::reasons()),
            ("constraints", list(CONSTRAINTS, Into::into)),
        ]))
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
            seed: Reflect::get(options, &"seed".into()).ok().and_then(|value| seed(&value)),
        };
        let table = self.table(n, columns, pool, lengths).map_err(|e| thrown(&e))?;
        self.of(session)?;
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
    /// `rows` is the work budget, `seed` and `decision_id` stand for the request's; all three may be left out.
    ///
    /// Returns `[source, reason, n, heads, rows run, rows scored, log propensity of the list, 0]`, then per item in final
    /// order `[row, server rank, score, utility, propensity, log propensity, suppressed, constraints, relaxed,
    /// (raw, calibrated) a head]`.
    #[allow(clippy::too_many_arguments, reason = "an object would be read field by field")]
    pub fn rerank(
        &mut self,
        list: u32,
        now: f64,
        frozen_count: i32,
        frozen_rows: &[u32],
        rows: Option<u32>,
        seed: &JsValue,
        decision_id: Option<String>,
    ) -> Result<Vec<f64>, JsValue> {
        let open = self.lists.get_mut(list).ok_or_else(|| thrown(&stale("list")))?;
        let session = self.sessions.get(open.session).ok_or_else(|| thrown(&stale("session")))?;
        let frozen = match usize::try_from(frozen_count) {
            Ok(count) => Frozen::Count(count),
            Err(_) => Frozen::Rows(frozen_rows.iter().map(|&r| r as usize).collect()),
        };
        let options =
            Options { now, frozen, rows: rows.map(|rows| rows as usize), seed: self::seed(seed), decision_id };
        let ranking = self.ranker.rerank(session, &mut open.list, &options);
        let buffer = flat(&ranking, self.ranker.manifest().heads.len());
        open.last = Some((ranking, now));
        Ok(buffer)
    }

    /// The record of the list's last re-rank in the compact form, with what replays the scores where `full`.
    /// Nothing before the first re-rank.
    pub fn record(&self, list: u32, full: bool) -> Result<Option<Vec<u8>>, JsValue> {
        let open = self.lists.get(list).ok_or_else(|| thrown(&stale("list")))?;
        let level = if full { Level::Full } else { Level::Aggregate };
        Ok(open.last.as_ref().map(|(ranking, now)| self.ranker.record(&open.list, ranking, *now, level)))
    }

    /// Forgets a list.
    pub fn list_free(&mut self, list: u32) {
        self.lists.remove(list);
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
        ranking.decided.as_ref().map_or(0.0, |d| d.input.scored as f64),
        ranking.decided.as_ref().map_or(0.0, |d| d.decision.log_propensity),
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
            e.propensity,
            e.log_propensity,
            suppressed,
            f64::from(e.constraints),
            f64::from(e.relaxed),
        ]);
        let end = buffer.len() + 2 * heads;
        let (raw, calibrated) = ranking.heads(e.row);
        for (&raw, &calibrated) in raw.iter().zip(calibrated) {
            buffer.extend_from_slice(&[f64::from(raw), calibrated]);
        }
        buffer.resize(end, f64::NAN);
    }
    buffer
}
