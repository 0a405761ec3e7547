//! What one session knows: counters, sequence, suppressions, draft.

use super::bits::{Bits, Millis};
use super::counters::Counters;
use super::event::{Event, EventKind, EventValue, MAX_TEXT};
use super::spec::{ContextSpec, Durations};
use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, read_names, read_struct};
use crate::map::Map;
use ranklet_kernels::hash::hash64;
use serde::Serialize;
use std::collections::VecDeque;

/// Version of [`Context::snapshot`]'s form.
pub const SNAPSHOT_VERSION: u32 = 1;

/// Subjects (keys, types, surfaces) with counters, each scope.
const MAX_SUBJECTS: usize = 4096;
/// Keys with a dismissal or snooze.
const MAX_SUPPRESSIONS: usize = 4096;
/// Event ids remembered for deduplication.
const MAX_IDS: usize = 1024;
/// Draft fields.
const MAX_FIELDS: usize = 256;

/// Why a candidate is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppression {
    /// Waved away.
    Dismissed,
    /// Put off.
    Snoozed,
}

/// The latest action on a key.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Action {
    /// None: taken back.
    suppression: Option<Suppression>,
    /// When, ms since the epoch.
    time: Millis,
    /// Until when it holds.
    until: Millis,
}

/// What a draft field was changed to.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Edited {
    /// When; of two changes of a field the later one holds.
    time: Bits,
    /// Taken back.
    undone: bool,
    text: Option<String>,
    number: Option<Bits>,
}

/// The latest search.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Searched {
    time: Bits,
    /// ASCII lower case.
    text: String,
}

/// A candidate that was opened, accepted or dwelt on.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Touched {
    key: String,
    kind: Option<String>,
    time: Bits,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
struct State {
    version: u32,
    /// What the counters were decayed with.
    half_lives: Vec<String>,
    keys: Map<Counters>,
    types: Map<Counters>,
    surfaces: Map<Counters>,
    session: Counters,
    session_start: Option<Bits>,
    session_events: u32,
    last_event: Option<Bits>,
    sequence: VecDeque<Touched>,
    actions: Map<Action>,
    draft: Map<Edited>,
    search: Option<Searched>,
    /// Hashes of the ids of the latest events, to tell duplicates.
    ids: VecDeque<u64>,
    /// Subjects and suppressions that were forgotten to stay within the caps.
    evicted: u64,
}

read_names!(Suppression { "dismissed" => Dismissed, "snoozed" => Snoozed });
read_struct!(Action { suppression, time, until });
read_struct!(Touched { key, kind, time });
read_struct!(Edited { time, undone, text, number });
read_struct!(Searched { time, text });
read_struct!(State {
    version,
    half_lives,
    keys,
    types,
    surfaces,
    session,
    session_start,
    session_events,
    last_event,
    sequence,
    actions,
    draft,
    search,
    ids,
    evicted
});

/// The local context of one user and account.
#[derive(Debug, Clone)]
pub struct Context {
    spec: ContextSpec,
    durations: Durations,
    state: State,
}

/// As much of a text as is kept.
fn kept(text: &str) -> &str {
    // A cut inside a character gives nothing; one of the four places before it does not lie inside one.
    let end = text.len().min(MAX_TEXT);
    (0..4).find_map(|back| text.get(..end.checked_sub(back)?)).unwrap_or_default()
}

fn empty(spec: &ContextSpec) -> State {
    State { version: SNAPSHOT_VERSION, half_lives: spec.half_lives.clone(), ..State::default() }
}

impl Context {
    /// An empty context.
    ///
    /// # Errors
    /// `schema_mismatch` when a parameter is out of range.
    pub fn new(spec: &ContextSpec) -> Result<Context> {
        let durations = spec.durations()?;
        Ok(Context { spec: spec.clone(), durations, state: empty(spec) })
    }

    /// The parameters.
    pub fn spec(&self) -> &ContextSpec {
        &self.spec
    }

    /// `now` on the grid of the schema's step: what every time-dependent signal is computed at.
    pub fn quantise(&self, now: f64) -> f64 {
        let step = self.durations.step;
        libm::floor(now / step) * step
    }

    /// Takes in an event about `key` (None for kinds without a candidate) of type `candidate_type`.
    /// Returns false for a duplicate id.
    pub fn observe(&mut self, event: &Event, key: Option<&str>, candidate_type: Option<&str>) -> bool {
        if !self.remember(event.id.as_deref()) {
            return false;
        }
        let in_session = self.step_session(event.time);
        self.count(event, key, candidate_type, in_session);
        match (event.kind, key) {
            (EventKind::Open | EventKind::Accept | EventKind::Dwell, Some(key)) => {
                self.touch(key, candidate_type, event.time);
            }
            (EventKind::Dismiss, Some(key)) => {
                self.act(key, event.time, Some((Suppression::Dismissed, self.durations.dismiss_for)));
            }
            (EventKind::Snooze, Some(key)) => {
                let length = event.number().filter(|&n| n > 0.0).unwrap_or(self.durations.snooze_for);
                self.act(key, event.time, Some((Suppression::Snoozed, length)));
            }
            (EventKind::Undo, key) => {
                self.edit(event, true);
                if let Some(key) = key {
                    self.act(key, event.time, None);
                }
            }
            (EventKind::Edit, _) => self.edit(event, false),
            (EventKind::Search, _) => {
                let newest = self.state.search.as_ref().is_none_or(|s| s.time.0 <= event.time);
                if let (true, Some(EventValue::Text(text))) = (newest, &event.value) {
                    let text = kept(text).to_ascii_lowercase();
                    self.state.search = Some(Searched { time: Bits(event.time), text });
                }
            }
            _ => {}
        }
        true
    }

    /// Keeps the latest change of the event's draft field; one that was taken back is kept as such, so that a
    /// late edit does not bring it back.
    fn edit(&mut self, event: &Event, undone: bool) {
        let Some(field) = &event.field else { return };
        let known = self.state.draft.get(field);
        let late = known.is_some_and(|e| e.time.0 > event.time);
        if late || (known.is_none() && self.state.draft.len() >= MAX_FIELDS) {
            return;
        }
        let (text, number) = match &event.value {
            Some(EventValue::Text(text)) => (Some(kept(text).to_owned()), None),
            Some(EventValue::Number(x)) if x.is_finite() => (None, Some(Bits(*x))),
            Some(EventValue::Flag(b)) => (None, Some(Bits(f64::from(u8::from(*b))))),
            _ => (None, None),
        };
        let edited = Edited { time: Bits(event.time), undone, text, number };
        let slot = self.state.draft.entry(field, || edited.clone());
        *slot = edited;
    }

    fn remember(&mut self, id: Option<&str>) -> bool {
        let Some(id) = id.map(hash64) else { return true };
        if self.state.ids.contains(&id) {
            return false;
        }
        if self.state.ids.len() == MAX_IDS {
            self.state.ids.pop_front();
        }
        self.state.ids.push_back(id);
        true
    }

    /// Moves the session's bounds; false for a late event of an earlier session. (A late event that would join
    /// two sessions does not: what the earlier one held is gone.)
    fn step_session(&mut self, time: f64) -> bool {
        let gap = self.durations.session_gap;
        let (start, last) = (self.state.session_start.map(|t| t.0), self.state.last_event.map(|t| t.0));
        if start.is_some_and(|start| start - time > gap) {
            return false;
        }
        if last.is_none_or(|last| time - last > gap) {
            self.state.session = Counters::default();
            self.state.session_start = Some(Bits(time));
            self.state.session_events = 0;
        } else if start.is_some_and(|start| time < start) {
            self.state.session_start = Some(Bits(time));
        }
        if last.is_none_or(|last| time > last) {
            self.state.last_event = Some(Bits(time));
        }
        self.state.session_events = self.state.session_events.saturating_add(1);
        true
    }

    fn count(&mut self, event: &Event, key: Option<&str>, candidate_type: Option<&str>, in_session: bool) {
        let weight = match event.kind {
            // Seconds; a dwell without a length, or with a negative one, counts nothing.
            EventKind::Dwell => event.number().map_or(0.0, |ms| if ms > 0.0 { ms / 1000.0 } else { 0.0 }),
            _ => 1.0,
        };
        let half_lives = &self.durations.half_lives;
        let longest = (0..half_lives.len()).fold(0, |best, h| if half_lives[h] > half_lives[best] { h } else { best });
        let (kind, time) = (event.kind, event.time);
        if in_session {
            self.state.session.add(kind, time, weight, half_lives);
        }
        let subjects = [
            (&mut self.state.keys, key),
            (&mut self.state.types, candidate_type),
            (&mut self.state.surfaces, event.surface.as_deref()),
        ];
        for (table, name) in subjects {
            let Some(name) = name else { continue };
            if table.len() >= MAX_SUBJECTS && table.get(name).is_none() {
                // The one with the least mass at the longest half-life.
                table.remove_least(|counters| counters.mass(longest, half_lives[longest], time));
                self.state.evicted += 1;
            }
            table.entry(name, Counters::default).add(kind, time, weight, half_lives);
        }
    }

    fn touch(&mut self, key: &str, candidate_type: Option<&str>, time: f64) {
        if self.spec.sequence == 0 {
            return;
        }
        let sequence = &mut self.state.sequence;
        // Late events go where they belong, so that any order of arrival gives one sequence.
        let at = sequence.iter().rposition(|t| t.time.0 <= time).map_or(0, |i| i + 1);
        sequence.insert(at, Touched { key: key.to_owned(), kind: candidate_type.map(str::to_owned), time: Bits(time) });
        if sequence.len() > self.spec.sequence {
            sequence.pop_front();
        }
    }

    fn act(&mut self, key: &str, time: f64, action: Option<(Suppression, f64)>) {
        let actions = &mut self.state.actions;
        if actions.get(key).is_some_and(|a| a.time.get() > time) {
            return;
        }
        let (suppression, length) = action.map_or((None, 0.0), |(suppression, length)| (Some(suppression), length));
        let action = Action { suppression, time: Millis::floor(time), until: Millis::floor(time + length) };
        *actions.entry(key, || action) = action;
        if actions.len() > MAX_SUPPRESSIONS {
            // The one that ends first matters least.
            actions.remove_least(|a| a.until.get());
            self.state.evicted += 1;
        }
    }

    /// Whether `key` is dismissed or snoozed at `now`.
    pub fn suppression(&self, key: &str, now: f64) -> Option<Suppression> {
        self.state.actions.get(key).filter(|a| now < a.until.get()).and_then(|a| a.suppression)
    }

    /// How long a dismissal, and a snooze without a length, suppress: ms.
    pub fn suppression_lengths(&self) -> [f64; 2] {
        [self.durations.dismiss_for, self.durations.snooze_for]
    }

    /// Subjects forgotten so far to stay within the caps.
    pub fn evicted(&self) -> u64 {
        self.state.evicted
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.state = empty(&self.spec);
    }

    /// The whole context as versioned JSON; floats stand as their bits, so restoring gives the same ones.
    pub fn snapshot(&self) -> String {
        // Strings and finite numbers always serialise. `expect` would bring the words of errors that cannot come into the page.
        serde_json::to_string(&self.state).unwrap_or_default()
    }

    /// Takes the place of the present content.
    ///
    /// # Errors
    /// `request_invalid` when it is not a snapshot of this version; nothing is changed then. A snapshot taken under
    /// other half-lives keeps the counters of those that are the same.
    pub fn restore(&mut self, snapshot: &str) -> Result<()> {
        let invalid = |what: String| Error::new(ErrorKind::RequestInvalid, format!("snapshot: {what}"));
        let mut state: State = json::parse(snapshot).map_err(invalid)?;
        if state.version != SNAPSHOT_VERSION {
            return Err(invalid(format!("version {}, this runtime reads {SNAPSHOT_VERSION}", state.version)));
        }
        let within = [&state.keys, &state.types, &state.surfaces].iter().all(|t| t.len() <= MAX_SUBJECTS)
            && state.actions.len() <= MAX_SUPPRESSIONS
            && state.ids.len() <= MAX_IDS
            && state.draft.len() <= MAX_FIELDS
            && state.sequence.len() <= ContextSpec::MAX_SEQUENCE;
        if !within {
            return Err(invalid("it is larger than the caps".into()));
        }
        let from: Vec<Option<usize>> =
            self.spec.half_lives.iter().map(|h| state.half_lives.iter().position(|old| old == h)).collect();
        let count = state.half_lives.len();
        let tables = [&mut state.keys, &mut state.types, &mut state.surfaces];
        let counters = tables.into_iter().flat_map(Map::values_mut).chain([&mut state.session]);
        for counters in counters {
            if !counters.fits(count) {
                return Err(invalid("its counters do not fit its half-lives".into()));
            }
            if state.half_lives != self.spec.half_lives {
                counters.remap(&from);
            }
        }
        state.half_lives.clone_from(&self.spec.half_lives);
        self.state = state;
        Ok(())
    }

    // What signals read.

    pub(super) fn half_life(&self, h: usize) -> f64 {
        self.durations.half_lives[h]
    }

    pub(super) fn key_counters(&self, key: &str) -> Option<&Counters> {
        self.state.keys.get(key)
    }

    pub(super) fn type_counters(&self, name: &str) -> Option<&Counters> {
        self.state.types.get(name)
    }

    pub(super) fn surface_counters(&self, name: &str) -> Option<&Counters> {
        self.state.surfaces.get(name)
    }

    pub(super) fn session_counters(&self, now: f64) -> Option<&Counters> {
        self.in_session(now).then_some(&self.state.session)
    }

    /// Whether the session that the last event belongs to still runs at `now`.
    pub(super) fn in_session(&self, now: f64) -> bool {
        self.state.last_event.is_some_and(|last| now - last.0 <= self.durations.session_gap)
    }

    fn session_start(&self) -> f64 {
        self.state.session_start.map_or(f64::NEG_INFINITY, |t| t.0)
    }

    pub(super) fn session_age(&self, now: f64) -> f64 {
        match self.state.session_start {
            Some(Bits(start)) if self.in_session(now) && now > start => (now - start) / 1000.0,
            _ => 0.0,
        }
    }

    pub(super) fn session_events(&self, now: f64) -> f64 {
        if self.in_session(now) { f64::from(self.state.session_events) } else { 0.0 }
    }

    /// How often a touched candidate satisfies `is`, and whether the last one does.
    pub(super) fn touched(&self, is: impl Fn(&str, Option<&str>) -> bool) -> (f64, bool) {
        let holds = |t: &Touched| is(&t.key, t.kind.as_deref());
        let count = self.state.sequence.iter().filter(|t| holds(t)).count();
        (count as f64, self.state.sequence.back().is_some_and(holds))
    }

    /// Steps of the sequence.
    pub(crate) fn recent_len(&self) -> usize {
        self.state.sequence.len()
    }

    /// A step of the sequence, the oldest first: key, type, ms since the epoch.
    pub(crate) fn recent(&self, i: usize) -> Option<(&str, Option<&str>, f64)> {
        self.state.sequence.get(i).map(|t| (t.key.as_str(), t.kind.as_deref(), t.time.0))
    }

    pub(super) fn draft_changes(&self) -> f64 {
        self.state.draft.values().filter(|e| !e.undone).count() as f64
    }

    pub(super) fn edited(&self, field: &str) -> bool {
        self.state.draft.get(field).is_some_and(|e| !e.undone)
    }

    pub(super) fn search(&self, now: f64) -> Option<&str> {
        let search = self.state.search.as_ref().filter(|s| self.in_session(now) && s.time.0 >= self.session_start());
        search.map(|s| s.text.as_str())
    }
}
