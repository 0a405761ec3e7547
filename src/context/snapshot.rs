//! The context as a text, and back.

use super::actions::MAX_ACTIONS;
use super::bits::Bits;
use super::counters::Counters;
use super::draft::MAX_FIELDS;
use super::event::EventKind;
use super::seen::Seen;
use super::sessions::{MAX_SPANS, Span, Spans};
use super::spec::ContextSpec;
use super::state::{Context, MAX_SURFACES, MAX_TYPES, REASONS, Searched, State};
use super::subjects::Subjects;
use super::trail::{Trail, Unopened};
use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, Fields, Notes, Read, field, read_struct};
use serde_json::Value;

/// Version of [`Context::snapshot`]'s form. Version 1 knew neither accounts, reasons, earlier sessions nor impressions by
/// list, and let a table hold 4,096 subjects; it is still read.
pub const SNAPSHOT_VERSION: u32 = 2;

read_struct!(Searched { time, text });

impl Read for State {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let version = field(value, "version", notes);
        let first = version == 1;
        // What version 1 did not have may be missing there alone.
        let sessions = if first { first_session(value, notes) } else { field(value, "sessions", notes) };
        let account = match sessions.last() {
            Some(session) if first => session.counters.clone(),
            _ if first => Counters::default(),
            _ => field(value, "account", notes),
        };
        let names = "half_lives reasons keys types surfaces sequence unopened actions draft search ids shown evicted \
                     evicted_actions ";
        let mut fields = Fields::inside(value, names, notes);
        State {
            version,
            half_lives: fields.next(),
            reasons: fields.next_or(Vec::new()),
            keys: fields.next(),
            types: fields.next(),
            surfaces: fields.next(),
            account,
            sessions,
            sequence: fields.next(),
            unopened: fields.next_or(Unopened::default()),
            actions: fields.next(),
            draft: fields.next(),
            search: fields.next(),
            ids: fields.next(),
            shown: fields.next_or(Seen::default()),
            evicted: fields.next(),
            evicted_actions: fields.next_or(0),
        }
    }
}

/// The one session of version 1.
fn first_session(value: &Value, notes: &mut Notes) -> Spans {
    let start: Option<Bits> = field(value, "session_start", notes);
    let end: Option<Bits> = field(value, "last_event", notes);
    match (start, end) {
        (Some(start), Some(end)) => {
            let counters = field(value, "session", notes);
            vec![Span { start, end, events: field(value, "session_events", notes), counters }]
        }
        _ => Spans::new(),
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::RequestInvalid, ["snapshot: ", what].concat())
}

impl Context {
    /// The whole context as versioned JSON; floats stand as their bits, so restoring gives the same ones.
    pub fn snapshot(&self) -> String {
        // Strings and finite numbers always serialise. `expect` would bring the words of errors that cannot come into the page.
        serde_json::to_string(&self.state).unwrap_or_default()
    }

    /// Takes the place of the present content.
    ///
    /// # Errors
    /// `request_invalid` when it is not a snapshot of this version or the one before; nothing is changed then. A snapshot
    /// taken under other half-lives or reasons keeps the counters of those that are the same.
    pub fn restore(&mut self, snapshot: &str) -> Result<()> {
        let mut state: State = json::parse(snapshot).map_err(|e| invalid(&e))?;
        if state.version == 0 || state.version > SNAPSHOT_VERSION {
            return Err(invalid("of a version that this runtime does not read"));
        }
        if !within_caps(&state) {
            return Err(invalid("it is larger than the caps"));
        }
        if !state.fits() {
            return Err(invalid("its counters do not fit its half-lives"));
        }
        self.adopt(&mut state);
        self.state = state;
        Ok(())
    }

    /// Brings counters under this context's half-lives, reasons and caps. Where nothing differs, not a bit changes.
    fn adopt(&self, state: &mut State) {
        let new = State::empty(&self.spec);
        // Before the second version a counter had no weight; it is made anew.
        let same = state.version == new.version && state.half_lives == new.half_lives && state.reasons == new.reasons;
        let half_lives: Vec<Option<usize>> = new.half_lives.iter().map(|h| place(h, &state.half_lives)).collect();
        let reasons = new.reasons.iter().map(|r| place(r, &state.reasons).map(|r| REASONS + r));
        let things: Vec<Option<usize>> = (0..REASONS).map(Some).chain(reasons).collect();
        let map = |counters: &Counters| match same {
            true => counters.clone(),
            false => counters.remapped(&half_lives, &things, self.durations.longest),
        };
        let tables =
            [(&mut state.keys, self.spec.keys), (&mut state.types, MAX_TYPES), (&mut state.surfaces, MAX_SURFACES)];
        for (table, cap) in tables {
            let (mapped, evicted) = table.mapped(cap, &map);
            *table = mapped;
            state.evicted += evicted;
        }
        for counters in state.sessions.iter_mut().map(|s| &mut s.counters).chain([&mut state.account]) {
            *counters = map(counters);
        }
        let surplus = state.sequence.len().saturating_sub(self.spec.sequence);
        state.sequence.drain(..surplus);
        (state.version, state.half_lives, state.reasons) = (new.version, new.half_lives, new.reasons);
    }
}

fn place(name: &String, names: &[String]) -> Option<usize> {
    names.iter().position(|n| n == name)
}

/// Tables are bounded as they are read.
fn within_caps(state: &State) -> bool {
    state.draft.len() <= MAX_FIELDS
        && state.sequence.len() <= ContextSpec::MAX_SEQUENCE
        && state.sessions.len() <= MAX_SPANS
        && state.unopened.len() <= Unopened::MOST
        && state.half_lives.len() <= ContextSpec::MAX_HALF_LIVES
        && state.reasons.len() <= ContextSpec::MAX_REASONS
}

impl State {
    fn fits(&self) -> bool {
        let (half_lives, things) = (self.half_lives.len(), EventKind::ALL.len() + self.reasons.len());
        let tables: [&Subjects<Counters>; 3] = [&self.keys, &self.types, &self.surfaces];
        let counters = tables.into_iter().flat_map(Subjects::values);
        let counters = counters.chain(self.sessions.iter().map(|s| &s.counters)).chain([&self.account]);
        counters.into_iter().all(|c| c.fits(half_lives, things))
            && self.sessions.is_sorted_by(|a, b| a.end.0 < b.start.0)
            && sorted_steps(&self.sequence)
    }
}

/// Steps are told apart by their place, so a text that has them in another order is not ours.
fn sorted_steps(sequence: &Trail) -> bool {
    sequence.iter().is_sorted_by(|a, b| a.time.0 <= b.time.0)
}

const _: () = assert!(MAX_ACTIONS <= 4096, "a table is read with as many entries");
