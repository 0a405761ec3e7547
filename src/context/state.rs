//! What one session knows: counters, sequence, suppressions, draft.

use super::actions::{Action, MAX_ACTIONS, Suppression, act};
use super::bits::Bits;
use super::counters::{Counters, weigh};
use super::draft::{Draft, Edited, edit, kept};
use super::event::{EventKind, Given, Happening};
use super::seen::Seen;
use super::sessions::{Span, Spans, session_at};
use super::spec::{ContextSpec, Durations};
use super::subjects::Subjects;
use super::trail::{Step, Trail, Unopened, is_step, step};
use crate::error::Result;
use ranklet_kernels::hash::hash64;
use serde::Serialize;

/// Types with counters.
pub(super) const MAX_TYPES: usize = 256;
/// Surfaces with counters.
pub(super) const MAX_SURFACES: usize = 64;
/// The first number of a reason among what is counted; events come before.
pub(super) const REASONS: usize = EventKind::ALL.len();

/// The latest search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Searched {
    pub time: Bits,
    /// ASCII lower case.
    pub text: String,
}

/// All that is known of one user and account; its text is a snapshot.
#[derive(Debug, Clone, Serialize)]
pub(super) struct State {
    pub version: u32,
    /// What the counters were decayed with.
    pub half_lives: Vec<String>,
    /// What was counted after the kinds of events.
    pub reasons: Vec<String>,
    pub keys: Subjects<Counters>,
    pub types: Subjects<Counters>,
    pub surfaces: Subjects<Counters>,
    pub account: Counters,
    pub sessions: Spans,
    pub sequence: Trail,
    pub unopened: Unopened,
    pub actions: Subjects<Action>,
    pub draft: Draft,
    pub search: Option<Searched>,
    /// Ids of the latest events.
    pub ids: Seen,
    /// Lists and keys of the latest impressions.
    pub shown: Seen,
    /// Subjects and draft fields that were forgotten to stay within the caps.
    pub evicted: u64,
    /// Dismissals and snoozes, likewise.
    pub evicted_actions: u64,
}

/// The local context of one user and account.
#[derive(Debug, Clone)]
pub struct Context {
    pub(super) spec: ContextSpec,
    pub(super) durations: Durations,
    pub(super) state: State,
}

impl State {
    pub fn empty(spec: &ContextSpec) -> State {
        State {
            version: super::SNAPSHOT_VERSION,
            half_lives: spec.half_lives.clone(),
            reasons: spec.reasons.iter().map(|r| r.name.clone()).collect(),
            keys: Subjects::new(spec.keys),
            types: Subjects::new(MAX_TYPES),
            surfaces: Subjects::new(MAX_SURFACES),
            account: Counters::default(),
            sessions: Spans::new(),
            sequence: Trail::new(),
            unopened: Unopened::default(),
            actions: Subjects::new(MAX_ACTIONS),
            draft: Draft::default(),
            search: None,
            ids: Seen::default(),
            shown: Seen::default(),
            evicted: 0,
            evicted_actions: 0,
        }
    }
}

impl Context {
    /// An empty context.
    ///
    /// # Errors
    /// `schema_mismatch` when a parameter is out of range.
    pub fn new(spec: &ContextSpec) -> Result<Context> {
        let durations = spec.durations()?;
        Ok(Context { spec: spec.clone(), durations, state: State::empty(spec) })
    }

    /// The parameters.
    pub fn spec(&self) -> &ContextSpec {
        &self.spec
    }

    /// `now` on the grid of the schema's step: what every time-dependent signal is computed at.
    pub fn quantise(&self, now: f64) -> f64 {
        let step = self.durations.step;
        (now / step).floor() * step
    }

    /// Takes in an event that [`Happening::check`] passed. Returns false for one that is known: by its id, or as an
    /// impression of a key in a list where it was seen before. (Of two such impressions the first to arrive counts.)
    pub fn observe(&mut self, event: &Happening<'_>) -> bool {
        let state = &mut self.state;
        if event.id.is_some_and(|id| !state.ids.insert(hash64(id))) {
            return false;
        }
        if let (EventKind::Impression, Some(list), Some(key)) = (event.kind, event.list, event.key)
            && !state.shown.insert(hash64(list).rotate_left(1) ^ hash64(key))
        {
            return false;
        }
        self.count(event);
        let time = event.time;
        match event.kind {
            EventKind::Impression => self.state.unopened.shown(time),
            EventKind::Open | EventKind::Accept => self.state.unopened.opened(time),
            EventKind::Search => self.searched(event),
            EventKind::Edit | EventKind::Undo => {
                if let Some(field) = event.field {
                    let undone = event.kind == EventKind::Undo;
                    self.state.evicted += u64::from(edit(&mut self.state.draft, field, time, &event.value, undone));
                }
            }
            _ => {}
        }
        if let Some(key) = event.key {
            if is_step(event.kind) && self.spec.sequence > 0 {
                step(&mut self.state.sequence, self.spec.sequence, key, event.candidate_type, event.kind, time);
            }
            let length = match event.value {
                Given::Number(length) if length > 0.0 && length.is_finite() => Some(length),
                _ => None,
            };
            let Durations { dismiss_for, snooze_for, reasons, .. } = &self.durations;
            let action = match event.kind {
                EventKind::Dismiss => {
                    let declared = self.reason(event).map_or(*dismiss_for, |reason| reasons[reason]);
                    (Some(Suppression::Dismissed), length.unwrap_or(declared))
                }
                EventKind::Snooze => (Some(Suppression::Snoozed), length.unwrap_or(*snooze_for)),
                EventKind::Undo => (None, 0.0),
                _ => return true,
            };
            self.state.evicted_actions += u64::from(act(&mut self.state.actions, key, time, action.0, action.1));
        }
        true
    }

    /// Place of the declared reason of a dismissal.
    fn reason(&self, event: &Happening<'_>) -> Option<usize> {
        let reason = event.reason.filter(|_| event.kind == EventKind::Dismiss)?;
        self.spec.reasons.iter().position(|r| r.name == reason)
    }

    fn searched(&mut self, event: &Happening<'_>) {
        let newest = self.state.search.as_ref().is_none_or(|s| s.time.0 <= event.time);
        if let (true, Given::Text(text)) = (newest, event.value) {
            self.state.search = Some(Searched { time: Bits(event.time), text: kept(text).to_ascii_lowercase() });
        }
    }

    fn count(&mut self, event: &Happening<'_>) {
        let reason = self.reason(event);
        let Durations { half_lives, longest: (_, longest), session_gap, .. } = &self.durations;
        let (what, time, amount) = (event.kind as usize, event.time, event.amount());
        let add: &dyn Fn(&mut Counters) = &|counters| {
            counters.add(what, time, amount, half_lives);
            if let Some(reason) = reason {
                counters.add(REASONS + reason, time, 1.0, half_lives);
            }
        };
        let state = &mut self.state;
        add(&mut state.account);
        if let Some(session) = session_at(&mut state.sessions, time, *session_gap, half_lives) {
            add(&mut session.counters);
        }
        let weight = weigh(amount, time, *longest);
        let add: &dyn Fn(&mut Counters) = &|counters| {
            add(counters);
            counters.gain(weight);
        };
        let subjects = [
            (&mut state.keys, event.key),
            (&mut state.types, event.candidate_type),
            (&mut state.surfaces, event.surface),
        ];
        for (table, name) in subjects {
            if let Some(name) = name {
                state.evicted += u64::from(table.change(name, weight, add));
            }
        }
    }

    /// Whether `key` is dismissed or snoozed at `now`.
    pub fn suppression(&self, key: &str, now: f64) -> Option<Suppression> {
        self.state.actions.get(key).and_then(|a| a.at(now))
    }

    /// How long a dismissal, and a snooze without a length, suppress: ms.
    pub fn suppression_lengths(&self) -> [f64; 2] {
        [self.durations.dismiss_for, self.durations.snooze_for]
    }

    /// How long a dismissal suppresses for each of the spec's reasons: ms.
    pub fn reason_lengths(&self) -> &[f64] {
        &self.durations.reasons
    }

    /// Where counting unopened impressions stops.
    pub const MAX_UNOPENED: usize = Unopened::MOST;

    /// Impressions since anything was last opened or accepted, up to [`Self::MAX_UNOPENED`].
    pub fn unopened(&self) -> usize {
        self.state.unopened.len()
    }

    /// Subjects, draft fields and dismissals forgotten so far to stay within the caps.
    pub fn evicted(&self) -> u64 {
        self.state.evicted + self.state.evicted_actions
    }

    /// How many steps [`recent`](Self::recent) has.
    pub fn recent_len(&self) -> usize {
        self.state.sequence.len()
    }

    /// The `i`-th of the last candidates that something was done with, the oldest first: key, type, and when (ms since the
    /// epoch).
    pub fn recent(&self, i: usize) -> Option<(&str, Option<&str>, f64)> {
        self.state.sequence.get(i).map(|step| (step.key.as_str(), step.kind.as_deref(), step.time.0))
    }

    /// What was done with it: open, accept, dwell, dismiss or snooze.
    pub fn recent_kind(&self, i: usize) -> Option<EventKind> {
        self.state.sequence.get(i).map(|step| step.event)
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.state = State::empty(&self.spec);
    }

    // What signals read.

    pub(super) fn half_life(&self, h: usize) -> f64 {
        self.durations.half_lives[h]
    }

    /// The session that runs at `now`.
    pub(super) fn session(&self, now: f64) -> Option<&Span> {
        self.state.sessions.last().filter(|span| now - span.end.0 <= self.durations.session_gap)
    }

    /// How often a touched candidate satisfies `is`, and whether the last one does.
    pub(super) fn touched(&self, is: impl Fn(&Step) -> bool) -> (f64, bool) {
        // What was waved away was not touched.
        let touched = |t: &&Step| matches!(t.event, EventKind::Open | EventKind::Accept | EventKind::Dwell);
        let touches = || self.state.sequence.iter().filter(touched);
        (touches().filter(|t| is(t)).count() as f64, touches().next_back().is_some_and(is))
    }

    /// The change of a draft field that stands.
    pub(super) fn edited(&self, field: &str) -> Option<&Edited> {
        self.state.draft.get(field).filter(|e| e.stands())
    }

    pub(super) fn search(&self, now: f64) -> Option<&str> {
        let start = self.session(now)?.start.0;
        self.state.search.as_ref().filter(|s| s.time.0 >= start).map(|s| s.text.as_str())
    }
}
