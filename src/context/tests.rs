//! The context layer as a whole.

use super::*;
use crate::error::ErrorKind;
use proptest::prelude::*;

fn context() -> Context {
    Context::new(&ContextSpec::default()).unwrap()
}

fn reason(name: &str) -> Reason {
    Reason { name: name.into(), dismiss_for: None }
}

fn observe(context: &mut Context, json: &str) {
    let event = Event::from_json(json).unwrap();
    context.observe(&event.happening());
}

const SUBJECT: Subject<'_> = Subject {
    key: "k",
    candidate_type: Some("raise_budget"),
    surface: Some("ads_manager"),
    field: Some("budget"),
    suggested: Suggestion { number: Some(80.0), text: Some("80"), current: Some(50.0) },
    found: None,
};

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
        (r#"{"type":"dismiss",ABOUT}"#, "key.suppressed"),
        (r#"{"type":"accept",ABOUT}"#, "account.accept.1d"),
        (r#"{"type":"impression",ABOUT}"#, "session.unopened"),
        (r#"{"type":"navigate","surface":"ads_manager","time":1000}"#, "account.seconds_since.navigate"),
        (r#"{"type":"edit","field":"budget","value":90,"time":1000}"#, "draft.satisfies"),
        (r#"{"type":"edit","field":"budget","value":40,"time":1000}"#, "draft.contradicts"),
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
    for name in [
        "key.open",
        "key.open.2h",
        "key.edit.10m",
        "session.open_rate.3h",
        "key.dismiss_rude.10m",
        "nobody.open.10m",
        "",
    ] {
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
        let json = format!(r#"{{"id":"{i}","type":"dwell","key":"k{}","time":{},"value":{}}}"#, i % 7, i * 977, i * 31);
        observe(&mut one, &json);
    }
    let mut two = context();
    two.restore(&one.snapshot()).unwrap();
    assert_eq!(one.snapshot(), two.snapshot());
    assert!(
        two.restore("{}").is_err()
            && two.restore(&one.snapshot().replacen("\"version\":2", "\"version\":3", 1)).is_err()
    );
    assert_eq!(one.snapshot(), two.snapshot());
    let event = Event::from_json(r#"{"id":"199","type":"open","key":"k","time":1}"#).unwrap();
    assert!(!two.observe(&event.happening()), "ids are still known after a restore");
    two.forget();
    assert_eq!(two.snapshot(), context().snapshot());
}

proptest! {
    #[test]
    fn any_order_of_the_same_events_gives_the_same_signals(
        steps in prop::collection::vec((0usize..10, 0u32..3, 0u32..1_500_000, 0u32..4), 1..25), seed: u64,
    ) {
        // Distinct times: of two acts of one moment the later arrival holds. Sessions of two hours at most, in ten: fewer
        // than are kept.
        let mut events: Vec<String> = steps.iter().enumerate().map(|(i, (kind, key, time, value))| {
            let name = EventKind::ALL[*kind].name();
            let time = time * 25 + i as u32;
            let about = format!(r#""key":"k{key}","candidate_type":"t{key}","surface":"s{key}","field":"f{key}""#);
            format!(r#"{{"type":"{name}",{about},"list":"l{i}","reason":"r{value}","value":"{value} budget","time":{time}}}"#)
        }).collect();
        let spec = ContextSpec {
            session_gap: "2h".into(), sequence: 5, reasons: ["r1", "r3"].map(reason).into(), ..ContextSpec::default()
        };
        let signals = |events: &[String]| {
            let mut context = Context::new(&spec).unwrap();
            events.iter().for_each(|e| observe(&mut context, e));
            let mut values: Vec<f64> = Vec::new();
            for key in ["k0", "k1", "k2"] {
                let [field, kind, surface] = ["f", "t", "s"].map(|letter| key.replace('k', letter));
                let suggested = Suggestion { text: Some("1 BUDGET"), ..Suggestion::default() };
                let subject = Subject {
                    key, candidate_type: Some(&kind), surface: Some(&surface), field: Some(&field), suggested, found: None,
                };
                values.extend(super::signals(&spec).iter().map(|(_, s)| context.value(*s, &subject, 4e7)));
                values.push(context.suppression(key, 4e7).map_or(-1.0, |s| s as u8 as f64));
            }
            let step = |i| context.recent(i).map(|(key, kind, time)| format!("{key} {kind:?} {time}"));
            let trail: Vec<_> = (0..context.recent_len()).map(|i| (step(i), context.recent_kind(i))).collect();
            (values, trail)
        };
        let one = signals(&events);
        for i in (1..events.len()).rev() {
            events.swap(i, (seed as usize).wrapping_mul(i + 7) % (i + 1));
        }
        let other = signals(&events);
        prop_assert_eq!(&one.1, &other.1);
        for (a, b) in one.0.iter().zip(other.0) {
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
    for path in ["/sessions/0/counters/values", "/keys/k/values", "/account/values", "/half_lives"] {
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
    assert_eq!(value(&context, "memory.evicted", 0.0), f64::from(6000 - 1024));
    assert_eq!(value(&context, "memory.evicted_actions", 0.0), f64::from(6000 - 4096));
    assert_eq!(context.evicted(), 2 * 6000 - 1024 - 4096);
    assert_eq!(context.suppression("k5999", 7000.0), Some(Suppression::Dismissed));
    assert_eq!(context.suppression("k0", 7000.0), None);
    let half_life = context.half_life(1);
    let count = |key: &str| context.key_counter(key, EventKind::Dismiss, 1, 7000.0);
    assert!(count("k5999") > 0.99 && count("k4975") == 0.0 && half_life > 0.0, "the lightest is the oldest");
}

#[test]
fn what_weighs_more_than_a_late_event_stays() {
    let spec = ContextSpec { keys: 2, ..ContextSpec::default() };
    let mut context = Context::new(&spec).unwrap();
    let day = 86_400_000;
    for (key, time) in [("a", 5 * day), ("b", 5 * day), ("late", day), ("b", 6 * day), ("c", 6 * day)] {
        observe(&mut context, &format!(r#"{{"type":"open","key":"{key}","time":{time}}}"#));
    }
    let now = 6.0 * f64::from(day);
    let counts = ["a", "b", "c", "late"].map(|key| context.key_counter(key, EventKind::Open, 1, now));
    assert_eq!(counts, [0.0, 1.5, 1.0, 0.0]);
    assert_eq!(context.evicted(), 2);
}

#[test]
fn an_impression_counts_once_for_a_list_and_key() {
    let mut context = context();
    for (list, key, counts) in
        [("a", "k", true), ("a", "k", false), ("a", "l", true), ("b", "k", true), ("b", "k", false)]
    {
        let event = format!(r#"{{"type":"impression","key":"{key}","list":"{list}","time":0}}"#);
        assert_eq!(context.observe(&Event::from_json(&event).unwrap().happening()), counts, "{list} {key}");
    }
    let event = Event::from_json(r#"{"type":"impression","key":"k","time":0}"#).unwrap();
    assert!(context.observe(&event.happening()) && context.observe(&event.happening()), "of no list: each counts");
    let open = Event::from_json(r#"{"type":"open","key":"k","list":"a","time":0}"#).unwrap();
    assert!(context.observe(&open.happening()) && context.observe(&open.happening()));
    assert_eq!(value(&context, "key.impression.1d", 0.0), 4.0);
    let mut again = super::tests::context();
    again.restore(&context.snapshot()).unwrap();
    let event = Event::from_json(r#"{"type":"impression","key":"l","list":"a","time":9}"#).unwrap();
    assert!(!again.observe(&event.happening()), "after a restart too");
}

#[test]
fn reasons_are_counted_apart_and_suppress_for_as_long_as_declared() {
    let reasons = vec![Reason { dismiss_for: Some("1h".into()), ..reason("not_now") }, reason("not_relevant")];
    let spec = ContextSpec { reasons, ..ContextSpec::default() };
    let mut context = Context::new(&spec).unwrap();
    for (key, why) in [("k", "not_now"), ("l", "not_relevant"), ("m", "whatever"), ("k", "not_now")] {
        let event =
            format!(r#"{{"type":"dismiss","key":"{key}","candidate_type":"raise_budget","reason":"{why}","time":0}}"#);
        observe(&mut context, &event);
    }
    let hour = 3_600_000.0;
    for (name, expected) in [("dismiss", 4.0), ("dismiss_not_now", 2.0), ("dismiss_not_relevant", 1.0)] {
        assert_eq!(value(&context, &format!("type.{name}.1d"), 0.0), expected);
        assert_eq!(value(&context, &format!("account.{name}.1d"), 0.0), expected);
    }
    assert_eq!(value(&context, "key.dismiss_not_now.10m", 0.0), 2.0);
    let hidden = |key: &str, now: f64| context.suppression(key, now).is_some();
    assert!(hidden("k", hour - 1.0) && !hidden("k", hour));
    observe(&mut context, r#"{"type":"dismiss","key":"n","reason":"not_now","value":5,"time":0}"#);
    let hidden = |key: &str, now: f64| context.suppression(key, now).is_some();
    assert!(hidden("n", 4.0) && !hidden("n", 5.0), "the event's own length holds");
    assert!(hidden("l", hour) && hidden("m", 29.0 * 24.0 * hour) && !hidden("l", 30.0 * 24.0 * hour));

    // A bundle with other reasons keeps what it shares with this one.
    let spec = ContextSpec { reasons: ["new", "not_relevant"].map(reason).into(), ..ContextSpec::default() };
    let mut other = Context::new(&spec).unwrap();
    other.restore(&context.snapshot()).unwrap();
    for (name, expected) in [("dismiss", 4.0), ("dismiss_new", 0.0), ("dismiss_not_relevant", 1.0)] {
        assert_eq!(value(&other, &format!("type.{name}.1d"), 0.0), expected);
    }
    for bad in [vec![reason("rate")], vec![reason("a.b")], vec![reason("")], vec![reason("a"), reason("a")]] {
        assert!(Context::new(&ContextSpec { reasons: bad, ..ContextSpec::default() }).is_err());
    }
}

#[test]
fn impressions_in_vain_are_counted_until_something_is_opened() {
    let mut context = context();
    for (kind, time, expected) in [
        ("impression", 10, 1),
        ("impression", 20, 2),
        ("dwell", 25, 2),
        ("open", 15, 1),
        ("impression", 5, 1),
        ("accept", 30, 0),
    ] {
        observe(&mut context, &format!(r#"{{"type":"{kind}","key":"k","time":{time}}}"#));
        assert_eq!(context.unopened(), expected, "{kind} {time}");
    }
}

/// What a snapshot of the first version, taken by the runtime that wrote them, said at a moment.
#[test]
fn a_snapshot_of_the_first_version_tells_what_it_told() {
    let text = include_str!("../../tests/fixtures/context/snapshot-v1.json");
    let stored: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut context = context();
    context.restore(stored["snapshot"].as_str().unwrap()).unwrap();
    let now = context.quantise(stored["now"].as_f64().unwrap());
    let values = stored["values"].as_object().unwrap();
    assert!(values.len() > 300);
    for (name, bits) in values {
        let (key, name) = name.split_once(' ').unwrap();
        let subject =
            Subject { key, candidate_type: Some("t1"), surface: Some("ads_manager"), field: Some("f1"), ..SUBJECT };
        let found = context.value(Signal::parse(name, context.spec()).unwrap(), &subject, now);
        assert_eq!(found.to_bits().to_string(), bits.as_str().unwrap(), "{key} {name}: {found}");
    }
    // It goes on as one of this version does.
    assert!(context.snapshot().starts_with(&format!("{{\"version\":{SNAPSHOT_VERSION},")));
    let mut again = super::tests::context();
    again.restore(&context.snapshot()).unwrap();
    for context in [&mut context, &mut again] {
        for i in 0..1500 {
            observe(context, &format!(r#"{{"type":"open","key":"n{i}","time":{}}}"#, 1_750_003_000_000_u64 + i));
        }
    }
    assert_eq!(context.snapshot(), again.snapshot());
    assert_eq!(context.key_counter("n0", EventKind::Open, 0, now), 0.0);
    assert!(
        context.key_counter("k0", EventKind::Dwell, 0, now) > 0.0,
        "what weighs most outlives a thousand newcomers"
    );
}

#[test]
fn larger_and_corrupt_snapshots_are_refused() {
    let mut one = context();
    for i in 0..80 {
        for kind in ["open", "impression"] {
            observe(
                &mut one,
                &format!(r#"{{"id":"{i}{kind}","type":"{kind}","key":"k{i}","time":{}}}"#, i * 2_000_000),
            );
        }
    }
    let text = one.snapshot();
    let good: serde_json::Value = serde_json::from_str(&text).unwrap();
    let grown = |path: &str, to: usize| {
        let mut bad = good.clone();
        match bad.pointer_mut(path).unwrap() {
            serde_json::Value::Array(list) => {
                let last = list.last().unwrap().clone();
                list.resize(to, last);
            }
            serde_json::Value::Object(table) => {
                let one = table.values().next().unwrap().clone();
                (0..to).for_each(|i| drop(table.insert(format!("x{i}"), one.clone())));
            }
            _ => unreachable!(),
        }
        bad.to_string()
    };
    let mut two = context();
    for (path, to) in [
        ("/keys", 4097),
        ("/sessions", 9),
        ("/sequence", 257),
        ("/ids", 1025),
        ("/shown", 1025),
        ("/unopened/times", 65),
        ("/half_lives", 9),
    ] {
        if path == "/shown" || good.pointer(path).is_some_and(|v| v.as_array().is_some_and(Vec::is_empty)) {
            continue;
        }
        assert_eq!(two.restore(&grown(path, to)).unwrap_err().kind(), ErrorKind::RequestInvalid, "{path}");
    }
    for (from, to) in [
        ("\"version\":2", "\"version\":0"),
        ("\"seen\":", "\"seen\":9"),
        ("\"weight\":", "\"weight\":-"),
        ("\"account\":", "\"nobody\":"),
        ("\"sessions\":", "\"session\":"),
    ] {
        assert!(text.contains(from));
        assert!(two.restore(&text.replacen(from, to, 1)).is_err(), "{from}");
    }
    for end in (0..text.len()).step_by(97) {
        assert!(two.restore(&text[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(two.snapshot(), context().snapshot());
    two.restore(&text).unwrap();
    assert_eq!(two.snapshot(), text);
    two.forget();
    assert_eq!(two.snapshot(), context().snapshot());
}
