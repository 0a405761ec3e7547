//! Typed signals: what the context layer tells features (and, by name, other agents).

use super::event::EventKind;
use super::spec::ContextSpec;
use super::state::Context;
use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;

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
}

impl Scope {
    const ALL: [(Scope, &'static str); 4] =
        [(Scope::Key, "key"), (Scope::Type, "type"), (Scope::Surface, "surface"), (Scope::Session, "session")];

    fn parse(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|(_, n)| *n == name).map(|(s, _)| s)
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
}

/// A signal, its name resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `key.open.10m`: decayed number of events (seconds for dwell).
    Counter(Scope, EventKind, usize),
    /// `key.open_rate.10m`: smoothed events per impression.
    Rate(Scope, EventKind, usize),
    /// `key.seconds_since.open`; NaN if never.
    SecondsSince(Scope, EventKind),
    /// `key.in_sequence`: times among the last-n touched candidates.
    InSequence(Scope),
    /// `type.is_last`: whether the last touched candidate was of this type.
    IsLast,
    /// `session.age_seconds`.
    SessionAge,
    /// `session.events`.
    SessionEvents,
    /// `draft.changes`: distinct fields edited.
    DraftChanges,
    /// `draft.field_edited`: whether the candidate's own field was; NaN if it has none.
    DraftFieldEdited,
    /// `search.matches_type`: whether the last search names a word of the type; NaN without a search.
    SearchMatchesType,
}

/// Rates exist for these.
const RATED: [EventKind; 3] = [EventKind::Open, EventKind::Accept, EventKind::Dismiss];

/// What a signal means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignalInfo {
    /// Name, without the schema's `local.`.
    pub name: String,
    /// Unit of its values.
    pub unit: &'static str,
    /// What may become of it: `local_only`, `aggregate` or `loggable`.
    pub privacy: &'static str,
    /// One sentence.
    pub doc: String,
}

/// Every signal that a context of `spec` has, by name.
pub fn signals(spec: &ContextSpec) -> Vec<(String, Signal)> {
    let mut all = Vec::new();
    for (scope, s) in Scope::ALL {
        let by_candidate = matches!(scope, Scope::Key | Scope::Type);
        for kind in EventKind::ALL {
            if by_candidate && !kind.has_candidate() {
                continue;
            }
            let k = kind.name();
            for (h, half_life) in spec.half_lives.iter().enumerate() {
                all.push(([s, k, half_life].join("."), Signal::Counter(scope, kind, h)));
                if RATED.contains(&kind) && by_candidate {
                    all.push(([s, ".", k, "_rate.", half_life].concat(), Signal::Rate(scope, kind, h)));
                }
            }
            if by_candidate {
                all.push(([s, "seconds_since", k].join("."), Signal::SecondsSince(scope, kind)));
            }
        }
    }
    all.extend(SINGLE.iter().map(|&(name, signal)| (name.to_owned(), signal)));
    all
}

/// Signals without parts.
const SINGLE: [(&str, Signal); 8] = [
    ("key.in_sequence", Signal::InSequence(Scope::Key)),
    ("type.in_sequence", Signal::InSequence(Scope::Type)),
    ("type.is_last", Signal::IsLast),
    ("session.age_seconds", Signal::SessionAge),
    ("session.events", Signal::SessionEvents),
    ("draft.changes", Signal::DraftChanges),
    ("draft.field_edited", Signal::DraftFieldEdited),
    ("search.matches_type", Signal::SearchMatchesType),
];

/// Every signal with its meaning.
pub fn catalogue(spec: &ContextSpec) -> Vec<SignalInfo> {
    let half_life = |h: usize| &spec.half_lives[h];
    let scope_name = |s: Scope| Scope::ALL.iter().find(|(scope, _)| *scope == s).map_or("", |(_, name)| name);
    let describe = |(name, signal): (String, Signal)| {
        let (unit, privacy, doc) = match signal {
            Signal::Counter(s, k, h) => {
                let unit = if k == EventKind::Dwell { "seconds" } else { "events" };
                let doc = format!("{} by {}, decayed with a half-life of {}", k.name(), scope_name(s), half_life(h));
                (unit, "loggable", doc)
            }
            Signal::Rate(s, k, h) => {
                let doc =
                    format!("{} per impression by {}, smoothed, half-life {}", k.name(), scope_name(s), half_life(h));
                ("ratio", "loggable", doc)
            }
            Signal::SecondsSince(s, k) => (
                "seconds",
                "loggable",
                format!("time since the last {} by {}; missing if never", k.name(), scope_name(s)),
            ),
            Signal::InSequence(s) => {
                ("count", "loggable", format!("times this {} is among the last candidates touched", scope_name(s)))
            }
            Signal::IsLast => ("boolean", "loggable", "whether the last candidate touched is of this type".to_owned()),
            Signal::SessionAge => ("seconds", "loggable", "time since the session began".to_owned()),
            Signal::SessionEvents => ("events", "loggable", "events since the session began".to_owned()),
            Signal::DraftChanges => ("fields", "aggregate", "distinct draft fields edited and not undone".to_owned()),
            Signal::DraftFieldEdited => {
                ("boolean", "aggregate", "whether the candidate's own draft field was edited".to_owned())
            }
            Signal::SearchMatchesType => {
                ("boolean", "aggregate", "whether the last search names a word of the type".to_owned())
            }
        };
        SignalInfo { name, unit, privacy, doc }
    };
    signals(spec).into_iter().map(describe).collect()
}

impl Signal {
    /// The signal of that name (without `local.`).
    ///
    /// # Errors
    /// `schema_mismatch` says what the name's parts may be.
    pub fn parse(name: &str, spec: &ContextSpec) -> Result<Signal> {
        let unknown = || {
            let message = format!(
                "no signal `{name}`; `ranklet inspect` lists them (half-lives here: {})",
                spec.half_lives.join(", ")
            );
            Error::new(ErrorKind::SchemaMismatch, message)
        };
        let parts: Vec<&str> = name.split('.').collect();
        if let Some((_, signal)) = SINGLE.iter().find(|(single, _)| *single == name) {
            return Ok(*signal);
        }
        let [scope, what, last] = parts[..] else { return Err(unknown()) };
        let scope = Scope::parse(scope).ok_or_else(unknown)?;
        let by_candidate = matches!(scope, Scope::Key | Scope::Type);
        let fits = |kind: &EventKind| kind.has_candidate() || !by_candidate;
        if what == "seconds_since" {
            let kind = EventKind::parse(last).filter(|k| by_candidate && fits(k)).ok_or_else(unknown)?;
            return Ok(Signal::SecondsSince(scope, kind));
        }
        let h = spec.half_lives.iter().position(|h| h == last).ok_or_else(unknown)?;
        if let Some(kind) = what.strip_suffix("_rate").and_then(EventKind::parse) {
            return if by_candidate && RATED.contains(&kind) {
                Ok(Signal::Rate(scope, kind, h))
            } else {
                Err(unknown())
            };
        }
        let kind = EventKind::parse(what).filter(fits).ok_or_else(unknown)?;
        Ok(Signal::Counter(scope, kind, h))
    }

    /// Whether it is for the device alone, so that no record may hold it. No signal of this catalogue is.
    pub fn is_local_only(self) -> bool {
        false
    }

    /// Whether a value differs between candidates of one request.
    pub fn per_candidate(self) -> bool {
        match self {
            Signal::Counter(s, ..) | Signal::Rate(s, ..) | Signal::SecondsSince(s, _) | Signal::InSequence(s) => {
                matches!(s, Scope::Key | Scope::Type)
            }
            Signal::IsLast | Signal::DraftFieldEdited | Signal::SearchMatchesType => true,
            Signal::SessionAge | Signal::SessionEvents | Signal::DraftChanges => false,
        }
    }
}

impl Context {
    /// The value of `signal` for `subject`; `now` as [`Context::quantise`] gives it. NaN is missing.
    pub fn value(&self, signal: Signal, subject: &Subject<'_>, now: f64) -> f64 {
        let flag = |b: bool| if b { 1.0 } else { 0.0 };
        match signal {
            Signal::Counter(scope, kind, h) => self.counter(scope, subject, kind, h, now),
            Signal::Rate(scope, kind, h) => {
                let (prior, strength) = (self.spec().rate_prior, self.spec().rate_strength);
                let events = self.counter(scope, subject, kind, h, now);
                let shown = self.counter(scope, subject, EventKind::Impression, h, now);
                (events + strength * prior) / (shown + strength)
            }
            Signal::SecondsSince(scope, kind) => {
                let last = self.counters(scope, subject, now).and_then(|c| c.last(kind));
                last.map_or(f64::NAN, |t| if now > t { (now - t) / 1000.0 } else { 0.0 })
            }
            Signal::InSequence(Scope::Key) => self.touched(|key, _| key == subject.key).0,
            Signal::InSequence(_) => self.touched(|_, t| t.is_some() && t == subject.candidate_type).0,
            Signal::IsLast => flag(self.touched(|_, t| t.is_some() && t == subject.candidate_type).1),
            Signal::SessionAge => self.session_age(now),
            Signal::SessionEvents => self.session_events(now),
            Signal::DraftChanges => self.draft_changes(),
            Signal::DraftFieldEdited => subject.field.map_or(f64::NAN, |field| flag(self.edited(field))),
            Signal::SearchMatchesType => match (self.search(now), subject.candidate_type) {
                (Some(text), Some(name)) => flag(name.split('_').any(|w| w.len() >= 3 && holds(text, w))),
                (Some(_), None) => 0.0,
                (None, _) => f64::NAN,
            },
        }
    }

    /// The key-scope counter of another key: what `related` features sum over.
    pub fn key_counter(&self, key: &str, kind: EventKind, h: usize, now: f64) -> f64 {
        self.counter(Scope::Key, &Subject { key, ..Subject::default() }, kind, h, now)
    }

    fn counters(&self, scope: Scope, subject: &Subject<'_>, now: f64) -> Option<&super::counters::Counters> {
        match scope {
            Scope::Key => self.key_counters(subject.key),
            Scope::Type => subject.candidate_type.and_then(|t| self.type_counters(t)),
            Scope::Surface => subject.surface.and_then(|s| self.surface_counters(s)),
            Scope::Session => self.session_counters(now),
        }
    }

    fn counter(&self, scope: Scope, subject: &Subject<'_>, kind: EventKind, h: usize, now: f64) -> f64 {
        self.counters(scope, subject, now).map_or(0.0, |c| c.value(kind, h, self.half_life(h), now))
    }
}

/// Whether `text` contains `word`. (`str::contains` brings a searcher for long texts.)
fn holds(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|w| w == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Event, Suppression};
    use proptest::prelude::*;

    fn context() -> Context {
        Context::new(&ContextSpec::default()).unwrap()
    }

    fn observe(context: &mut Context, json: &str) {
        let event = Event::from_json(json).unwrap();
        context.observe(&event, event.key.as_deref(), event.candidate_type.as_deref());
    }

    const SUBJECT: Subject<'_> =
        Subject { key: "k", candidate_type: Some("raise_budget"), surface: Some("ads_manager"), field: Some("budget") };

    fn value(context: &Context, name: &str, now: f64) -> f64 {
        context.value(Signal::parse(name, context.spec()).unwrap(), &SUBJECT, now)
    }

    #[test]
    fn each_event_type_changes_a_named_signal() {
        let about = r#""key":"k","candidate_type":"raise_budget","surface":"ads_manager","time":1000"#;
        let cases = [
            (r#"{"type":"impression",ABOUT}"#, "key.impression.10m"),
            (r#"{"type":"open",ABOUT}"#, "type.open.1d"),
            (r#"{"type":"accept",ABOUT}"#, "key.accept_rate.10m"),
            (r#"{"type":"dismiss",ABOUT}"#, "surface.dismiss.10m"),
            (r#"{"type":"snooze",ABOUT}"#, "key.seconds_since.snooze"),
            (r#"{"type":"dwell","value":3000,ABOUT}"#, "key.dwell.10m"),
            (r#"{"type":"undo",ABOUT}"#, "session.undo.1d"),
            (r#"{"type":"edit","field":"budget","value":2,"time":1000}"#, "draft.field_edited"),
            (r#"{"type":"navigate","surface":"ads_manager","time":1000}"#, "surface.navigate.10m"),
            (r#"{"type":"search","value":"Budget ideas","time":1000}"#, "search.matches_type"),
        ];
        for (json, name) in cases {
            let mut context = context();
            let before = value(&context, name, 2000.0);
            observe(&mut context, &json.replace("ABOUT", about));
            let after = value(&context, name, 2000.0);
            assert!(before.to_bits() != after.to_bits(), "{name}: {before} -> {after}");
        }
    }

    #[test]
    fn every_catalogued_signal_parses_and_no_other() {
        let spec = ContextSpec::default();
        for info in catalogue(&spec) {
            assert!(Signal::parse(&info.name, &spec).is_ok(), "{}", info.name);
        }
        for (name, signal) in signals(&spec) {
            assert_eq!(Signal::parse(&name, &spec), Ok(signal), "{name}");
        }
        for name in ["key.open", "key.open.2h", "key.edit.10m", "session.open_rate.10m", "nobody.open.10m", ""] {
            assert_eq!(Signal::parse(name, &spec).unwrap_err().kind(), ErrorKind::SchemaMismatch, "{name}");
        }
    }

    #[test]
    fn a_session_ends_after_its_gap() {
        let mut context = context();
        observe(&mut context, r#"{"type":"open","key":"k","time":0}"#);
        assert_eq!(value(&context, "session.events", 60_000.0), 1.0);
        assert_eq!(value(&context, "session.age_seconds", 60_000.0), 60.0);
        assert_eq!(value(&context, "session.events", 3_600_000.0), 0.0);
        observe(&mut context, r#"{"type":"open","key":"k","time":3600000}"#);
        assert_eq!(value(&context, "session.open.10m", 3_600_000.0), 1.0);
    }

    #[test]
    fn the_latest_action_on_a_key_holds_in_any_order() {
        let dismiss = r#"{"type":"dismiss","key":"k","time":1000}"#;
        let undo = r#"{"type":"undo","key":"k","time":2000}"#;
        for order in [[dismiss, undo], [undo, dismiss]] {
            let mut context = context();
            order.iter().for_each(|e| observe(&mut context, e));
            assert_eq!(context.suppression("k", 3000.0), None);
        }
        let mut context = context();
        observe(&mut context, dismiss);
        assert_eq!(context.suppression("k", 3000.0), Some(Suppression::Dismissed));
        assert_eq!(context.suppression("k", 1000.0 + 31.0 * 86_400e3), None);
        observe(&mut context, r#"{"type":"snooze","key":"k","time":4000,"value":500}"#);
        assert_eq!(context.suppression("k", 4400.0), Some(Suppression::Snoozed));
        assert_eq!(context.suppression("k", 4500.0), None);
    }

    #[test]
    fn a_snapshot_restores_the_same_bits_and_a_bad_one_changes_nothing() {
        let mut one = context();
        for i in 0..200 {
            let json =
                format!(r#"{{"id":"{i}","type":"dwell","key":"k{}","time":{},"value":{}}}"#, i % 7, i * 977, i * 31);
            observe(&mut one, &json);
        }
        let mut two = context();
        two.restore(&one.snapshot()).unwrap();
        assert_eq!(one.snapshot(), two.snapshot());
        assert!(two.restore("{}").is_err() && two.restore(r#"{"version":9}"#).is_err());
        assert_eq!(one.snapshot(), two.snapshot());
        let event = Event::from_json(r#"{"id":"199","type":"open","key":"k","time":1}"#).unwrap();
        assert!(!two.observe(&event, Some("k"), None), "ids are still known after a restore");
        two.forget();
        assert_eq!(two.snapshot(), context().snapshot());
    }

    proptest! {
        #[test]
        fn any_order_of_the_same_events_gives_the_same_signals(
            steps in prop::collection::vec((0usize..10, 0u32..3, 0u32..1_500_000, 0u32..4), 1..25), seed: u64,
        ) {
            // Distinct times within one session: of two acts of one moment the later arrival holds.
            let mut events: Vec<String> = steps.iter().enumerate().map(|(i, (kind, key, time, value))| {
                let name = EventKind::ALL[*kind].name();
                let time = time * 25 + i as u32;
                format!(r#"{{"type":"{name}","key":"k{key}","field":"f{key}","value":"{value} budget","time":{time}}}"#)
            }).collect();
            let signals = |events: &[String]| {
                let mut context = Context::new(&ContextSpec { session_gap: "2d".into(), ..ContextSpec::default() }).unwrap();
                events.iter().for_each(|e| observe(&mut context, e));
                let spec = context.spec().clone();
                let mut values: Vec<f64> = Vec::new();
                for key in ["k0", "k1", "k2"] {
                    let field = key.replace('k', "f");
                    let subject = Subject { key, field: Some(&field), ..SUBJECT };
                    values.extend(super::signals(&spec).iter().map(|(_, s)| context.value(*s, &subject, 4e7)));
                    values.push(context.suppression(key, 4e7).map_or(-1.0, |s| s as u8 as f64));
                }
                values
            };
            let one = signals(&events);
            for i in (1..events.len()).rev() {
                events.swap(i, (seed as usize).wrapping_mul(i + 7) % (i + 1));
            }
            for (a, b) in one.iter().zip(signals(&events)) {
                prop_assert!((a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * (1.0 + a.abs()), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_late_event_of_an_earlier_session_does_not_count_in_this_one() {
        let mut context = context();
        observe(&mut context, r#"{"type":"open","key":"k","time":7200000}"#);
        observe(&mut context, r#"{"type":"open","key":"k","time":0}"#);
        assert_eq!(value(&context, "session.events", 7_200_000.0), 1.0);
        assert_eq!(value(&context, "session.open.1d", 7_200_000.0), 1.0);
        assert!(value(&context, "key.open.1d", 7_200_000.0) > 1.5);
    }

    #[test]
    fn snapshots_of_a_wrong_shape_are_refused_and_of_other_half_lives_mapped() {
        let mut one = context();
        observe(&mut one, r#"{"type":"open","key":"k","time":0}"#);
        let cut = |path: &str| {
            let mut json: serde_json::Value = serde_json::from_str(&one.snapshot()).unwrap();
            json.pointer_mut(path).and_then(|v| v.as_array_mut()).expect("a list").truncate(1);
            json.to_string()
        };
        let mut two = context();
        for path in ["/session/kinds", "/keys/k/kinds", "/half_lives"] {
            assert!(two.restore(&cut(path)).is_err(), "{path}");
        }
        assert_eq!(two.snapshot(), context().snapshot());

        let spec = ContextSpec { half_lives: ["1h", "1d"].map(String::from).into(), ..ContextSpec::default() };
        let mut other = Context::new(&spec).unwrap();
        other.restore(&one.snapshot()).unwrap();
        assert_eq!(value(&other, "key.open.1d", 0.0), 1.0);
        assert_eq!(value(&other, "key.open.1h", 0.0), 0.0);
        observe(&mut other, r#"{"type":"open","key":"k","time":0}"#);
        assert_eq!((value(&other, "key.open.1d", 0.0), value(&other, "key.open.1h", 0.0)), (2.0, 1.0));
    }

    #[test]
    fn names_that_are_too_long_are_refused_and_none_is_cut() {
        let long = "k".repeat(513);
        assert!(Event::from_json(&format!(r#"{{"type":"open","key":"{long}","time":0}}"#)).is_err());
        let mut context = context();
        let key = "k".repeat(512);
        observe(&mut context, &format!(r#"{{"type":"dismiss","key":"{key}","time":0}}"#));
        assert_eq!(context.suppression(&key, 1.0), Some(Suppression::Dismissed));
    }

    #[test]
    fn memory_is_bounded_and_forgetting_is_counted() {
        let mut context = context();
        for i in 0..6000 {
            observe(&mut context, &format!(r#"{{"type":"dismiss","key":"k{i}","time":{i}}}"#));
        }
        assert_eq!(context.evicted(), 2 * (6000 - 4096));
        assert_eq!(context.suppression("k5999", 7000.0), Some(Suppression::Dismissed));
        assert_eq!(context.suppression("k0", 7000.0), None);
    }
}
