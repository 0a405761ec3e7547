//! Typed signals: what the context layer tells features (and, by name, other agents).

use super::catalogue::Privacy;
use super::counters::Counters;
use super::draft::{Stance, Suggestion};
use super::event::EventKind;
use super::spec::ContextSpec;
use super::state::{Context, REASONS};
use crate::error::{Error, ErrorKind, Result};

/// Whose counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The candidate's key.
    Key,
    /// The candidate's type.
    Type,
    /// The request's surface.
    Surface,
    /// The running session.
    Session,
    /// All that this user did in this account, whatever the session.
    Account,
}

impl Scope {
    const ALL: [(Scope, &'static str); 5] = [
        (Scope::Key, "key"),
        (Scope::Type, "type"),
        (Scope::Surface, "surface"),
        (Scope::Session, "session"),
        (Scope::Account, "account"),
    ];

    const fn by_candidate(self) -> bool {
        matches!(self, Scope::Key | Scope::Type)
    }
}

/// Whom a signal is asked about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// The candidate's key.
    pub key: &'a str,
    /// The candidate's type.
    pub candidate_type: Option<&'a str>,
    /// The request's surface.
    pub surface: Option<&'a str>,
    /// The draft field that the candidate would change (`candidate.features.field`).
    pub field: Option<&'a str>,
    /// What it would change it to.
    pub suggested: Suggestion<'a>,
    /// What is counted of it, where that was looked up before: [`Context::known`].
    pub found: Option<Found<'a>>,
}

/// What a context counts of a subject's key and of its type.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a>([Option<&'a Counters>; 2]);

/// A signal, its name resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `key.open.10m`: decayed number of events (seconds for dwell).
    Counter(Scope, EventKind, usize),
    /// `type.dismiss_not_now.10m`: decayed number of dismissals for a declared reason, by its place.
    Reason(Scope, usize, usize),
    /// `key.open_rate.10m`: smoothed events per impression.
    Rate(Scope, EventKind, usize),
    /// `key.seconds_since.open`; NaN if never.
    SecondsSince(Scope, EventKind),
    /// `key.in_sequence`: times among the last-n candidates that were touched.
    InSequence(Scope),
    /// `type.is_last`: whether the last touched candidate was of this type.
    IsLast,
    /// `key.suppressed`: whether it is dismissed or snoozed.
    Suppressed,
    /// `session.age_seconds`.
    SessionAge,
    /// `session.events`.
    SessionEvents,
    /// `session.unopened`: impressions since the last open or accept.
    Unopened,
    /// `draft.changes`: distinct fields edited.
    DraftChanges,
    /// `draft.field_edited`: whether the candidate's own field was; NaN if it has none.
    DraftFieldEdited,
    /// `draft.satisfies`: whether the draft has what the candidate suggests; NaN if it suggests nothing.
    DraftSatisfies,
    /// `draft.contradicts`: whether the draft goes against what the candidate suggests; NaN if it suggests nothing.
    DraftContradicts,
    /// `search.matches_type`: whether the last search names a word of the type; NaN without a search.
    SearchMatchesType,
    /// `memory.evicted`: subjects and draft fields forgotten for want of room.
    Evicted,
    /// `memory.evicted_actions`: dismissals and snoozes forgotten for want of room.
    EvictedActions,
}

/// Rates exist for these.
const RATED: [EventKind; 3] = [EventKind::Open, EventKind::Accept, EventKind::Dismiss];

/// Signals without parts: name, signal, unit, and what it is.
#[rustfmt::skip]
const SINGLE: [(&str, Signal, &str, &str); 14] = [
    ("key.in_sequence", Signal::InSequence(Scope::Key), "count", "times this key is among the last candidates touched"),
    ("type.in_sequence", Signal::InSequence(Scope::Type), "count", "times this type is among the last candidates touched"),
    ("type.is_last", Signal::IsLast, "boolean", "whether the last candidate touched is of this type"),
    ("key.suppressed", Signal::Suppressed, "boolean", "whether the candidate is dismissed or snoozed"),
    ("session.age_seconds", Signal::SessionAge, "seconds", "since the session began"),
    ("session.events", Signal::SessionEvents, "events", "since the session began"),
    ("session.unopened", Signal::Unopened, "count", "impressions since the last open or accept, up to 64"),
    ("draft.changes", Signal::DraftChanges, "fields", "draft fields edited and not undone"),
    ("draft.field_edited", Signal::DraftFieldEdited, "boolean", "whether the candidate's own draft field was edited"),
    ("draft.satisfies", Signal::DraftSatisfies, "boolean", "whether the draft has what the candidate suggests"),
    ("draft.contradicts", Signal::DraftContradicts, "boolean", "whether the draft goes against what the candidate suggests"),
    ("search.matches_type", Signal::SearchMatchesType, "boolean", "whether the session's last search names a word of the type"),
    ("memory.evicted", Signal::Evicted, "count", "keys, types, surfaces and draft fields forgotten for want of room"),
    ("memory.evicted_actions", Signal::EvictedActions, "count", "dismissals and snoozes forgotten for want of room"),
];

/// A signal in the making: texts in parts, for most are never joined.
pub(super) struct Entry<'a> {
    pub signal: Signal,
    pub name: &'a [&'a str],
    pub unit: &'static str,
    /// What it is, in one sentence.
    pub doc: &'a [&'a str],
}

const BY: &str = " by ";
const LIFE: &str = ", half-life ";

/// Calls `take` with every signal that a context of `spec` has.
#[rustfmt::skip]
pub(super) fn each(spec: &ContextSpec, take: &mut dyn FnMut(&Entry<'_>)) {
    for (scope, s) in Scope::ALL {
        for kind in EventKind::ALL {
            if scope.by_candidate() && !kind.has_candidate() {
                continue;
            }
            let k = kind.name();
            let unit = if kind == EventKind::Dwell { "seconds" } else { "events" };
            let mut put = |signal, name: &[&str], unit, doc: &[&str]| take(&Entry { signal, name, unit, doc });
            for (h, life) in spec.half_lives.iter().enumerate() {
                put(Signal::Counter(scope, kind, h), &[s, ".", k, ".", life], unit, &[k, BY, s, LIFE, life]);
                if RATED.contains(&kind) {
                    let doc = &[k, " per impression, smoothed,", BY, s, LIFE, life];
                    put(Signal::Rate(scope, kind, h), &[s, ".", k, "_rate.", life], "ratio", doc);
                }
                if kind == EventKind::Dismiss {
                    for (r, reason) in spec.reasons.iter().enumerate() {
                        let name = &[s, ".dismiss_", &reason.name, ".", life];
                        put(Signal::Reason(scope, r, h), name, unit, &["dismiss for ", &reason.name, BY, s, LIFE, life]);
                    }
                }
            }
            let doc = &["since the last ", k, " by ", s, "; missing if never"];
            put(Signal::SecondsSince(scope, kind), &[s, ".seconds_since.", k], "seconds", doc);
        }
    }
    for (name, signal, unit, doc) in SINGLE {
        take(&Entry { signal, name: &[name], unit, doc: &[doc] });
    }
}

/// Every signal that a context of `spec` has, by name.
pub fn signals(spec: &ContextSpec) -> Vec<(String, Signal)> {
    let mut all = Vec::new();
    each(spec, &mut |entry| all.push((entry.name.concat(), entry.signal)));
    all
}

impl Signal {
    /// The signal of that name (without `local.`).
    ///
    /// # Errors
    /// `schema_mismatch` says what the name's parts may be.
    pub fn parse(name: &str, spec: &ContextSpec) -> Result<Signal> {
        let mut found = None;
        each(spec, &mut |entry| {
            if entry.name.iter().try_fold(name, |rest, part| rest.strip_prefix(part)) == Some("") {
                found = Some(entry.signal);
            }
        });
        found.ok_or_else(|| {
            let half_lives = spec.half_lives.join(", ");
            let message = ["no signal `", name, "`; `ranklet inspect` lists them (half-lives here: ", &half_lives, ")"];
            Error::new(ErrorKind::SchemaMismatch, message.concat())
        })
    }

    /// Whether it is for the device alone, so that no record may hold it.
    pub fn is_local_only(self) -> bool {
        self.privacy() == Privacy::LocalOnly
    }

    /// Whether a value differs between candidates of one request.
    pub fn per_candidate(self) -> bool {
        match self {
            Signal::Counter(s, ..)
            | Signal::Reason(s, ..)
            | Signal::Rate(s, ..)
            | Signal::SecondsSince(s, _)
            | Signal::InSequence(s) => s.by_candidate(),
            Signal::IsLast
            | Signal::Suppressed
            | Signal::DraftFieldEdited
            | Signal::DraftSatisfies
            | Signal::DraftContradicts
            | Signal::SearchMatchesType => true,
            Signal::SessionAge
            | Signal::SessionEvents
            | Signal::Unopened
            | Signal::DraftChanges
            | Signal::Evicted
            | Signal::EvictedActions => false,
        }
    }

    /// Whether it is about the candidate's draft field, whose columns a request must then be read for.
    pub fn reads_field(self) -> bool {
        matches!(self, Signal::DraftFieldEdited) || self.reads_suggestion()
    }

    /// Whether it is about what the candidate suggests for that field.
    pub fn reads_suggestion(self) -> bool {
        matches!(self, Signal::DraftSatisfies | Signal::DraftContradicts)
    }
}

impl Context {
    /// The value of `signal` for `subject`; `now` as [`Context::quantise`] gives it. NaN is missing.
    pub fn value(&self, signal: Signal, subject: &Subject<'_>, now: f64) -> f64 {
        let flag = |b: bool| if b { 1.0 } else { 0.0 };
        let of_type = |kind: &Option<String>| kind.is_some() && kind.as_deref() == subject.candidate_type;
        match signal {
            Signal::Counter(scope, kind, h) => self.counter(scope, subject, kind as usize, h, now),
            Signal::Reason(scope, reason, h) => self.counter(scope, subject, REASONS + reason, h, now),
            Signal::Rate(scope, kind, h) => {
                let (prior, strength) = (self.spec().rate_prior, self.spec().rate_strength);
                let events = self.counter(scope, subject, kind as usize, h, now);
                let shown = self.counter(scope, subject, EventKind::Impression as usize, h, now);
                (events + strength * prior) / (shown + strength)
            }
            Signal::SecondsSince(scope, kind) => {
                let last = self.counters(scope, subject, now).and_then(|c| c.last(kind as usize));
                last.map_or(f64::NAN, |t| if now > t { (now - t) / 1000.0 } else { 0.0 })
            }
            Signal::InSequence(Scope::Key) => self.touched(|step| step.key == subject.key).0,
            Signal::InSequence(_) => self.touched(|step| of_type(&step.kind)).0,
            Signal::IsLast => flag(self.touched(|step| of_type(&step.kind)).1),
            Signal::Suppressed => flag(self.suppression(subject.key, now).is_some()),
            Signal::SessionAge => {
                let start = self.session(now).map(|session| session.start.0);
                start.map_or(0.0, |start| if now > start { (now - start) / 1000.0 } else { 0.0 })
            }
            Signal::SessionEvents => self.session(now).map_or(0.0, |session| f64::from(session.events)),
            Signal::Unopened => self.unopened() as f64,
            Signal::DraftChanges => self.state.draft.values().filter(|e| e.stands()).count() as f64,
            Signal::DraftFieldEdited => subject.field.map_or(f64::NAN, |field| flag(self.edited(field).is_some())),
            Signal::DraftSatisfies => self.stance(subject, Stance::Satisfied),
            Signal::DraftContradicts => self.stance(subject, Stance::Contradicted),
            Signal::SearchMatchesType => match (self.search(now), subject.candidate_type) {
                (Some(text), Some(name)) => flag(name.split('_').any(|w| w.len() >= 3 && holds(text, w))),
                (Some(_), None) => 0.0,
                (None, _) => f64::NAN,
            },
            Signal::Evicted => self.state.evicted as f64,
            Signal::EvictedActions => self.state.evicted_actions as f64,
        }
    }

    /// The subject with its counters found, so that many signals look for them once. Good as long as the context stands still.
    pub fn known<'a>(&'a self, subject: Subject<'a>) -> Subject<'a> {
        let kind = subject.candidate_type.and_then(|t| self.state.types.get(t));
        Subject { found: Some(Found([self.state.keys.get(subject.key), kind])), ..subject }
    }

    /// The key-scope counter of another key: what `related` features sum over.
    pub fn key_counter(&self, key: &str, kind: EventKind, h: usize, now: f64) -> f64 {
        self.counter(Scope::Key, &Subject { key, ..Subject::default() }, kind as usize, h, now)
    }

    fn counters<'a>(&'a self, scope: Scope, subject: &Subject<'a>, now: f64) -> Option<&'a Counters> {
        match (scope, subject.found) {
            (Scope::Key, Some(Found([key, _]))) => return key,
            (Scope::Type, Some(Found([_, kind]))) => return kind,
            _ => {}
        }
        match scope {
            Scope::Key => self.state.keys.get(subject.key),
            Scope::Type => subject.candidate_type.and_then(|t| self.state.types.get(t)),
            Scope::Surface => subject.surface.and_then(|s| self.state.surfaces.get(s)),
            Scope::Session => self.session(now).map(|session| &session.counters),
            Scope::Account => Some(&self.state.account),
        }
    }

    fn counter(&self, scope: Scope, subject: &Subject<'_>, what: usize, h: usize, now: f64) -> f64 {
        self.counters(scope, subject, now).map_or(0.0, |c| c.value(what, h, self.half_life(h), now))
    }

    /// Whether the draft stands so to the suggestion; NaN where there is no field, or nothing to compare it with.
    fn stance(&self, subject: &Subject<'_>, stance: Stance) -> f64 {
        let Some(field) = subject.field else { return f64::NAN };
        let Suggestion { number, text, .. } = subject.suggested;
        let is = self.edited(field).and_then(|e| e.stance(&subject.suggested)) == Some(stance);
        if number.is_none() && text.is_none() { f64::NAN } else { f64::from(u8::from(is)) }
    }
}

/// Whether `text` contains `word`. (`str::contains` brings a searcher for long texts.)
fn holds(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|w| w == word.as_bytes())
}
