//! The context layer over long runs of events, beside a naive twin that forgets nothing.

use ranklet::context::{Context, ContextSpec, EventKind, Given, Happening, Signal, Subject, signals};
use std::collections::BTreeMap;

/// Numbers that are the same at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

#[derive(Debug, Clone)]
struct Made {
    kind: EventKind,
    key: String,
    kind_of_key: String,
    time: f64,
    number: f64,
}

impl Made {
    fn happening(&self) -> Happening<'_> {
        Happening {
            kind: self.kind,
            time: self.time,
            id: None,
            key: Some(&self.key),
            candidate_type: Some(&self.kind_of_key),
            surface: Some("ads_manager"),
            list: None,
            reason: Some("not_now"),
            field: None,
            value: Given::Number(self.number),
        }
    }

    fn amount(&self) -> f64 {
        if self.kind == EventKind::Dwell { self.number / 1000.0 } else { 1.0 }
    }
}

const DAY: f64 = 86_400_000.0;
const START: f64 = 1.76e12;

/// Events about `keys` keys, a second apart and each at a moment of its own; half of them fall on few keys, and one in eight
/// comes late.
fn events(n: usize, keys: u64, seed: u64) -> Vec<Made> {
    let mut random = Random(seed);
    let kinds = [EventKind::Impression, EventKind::Open, EventKind::Dwell, EventKind::Dismiss, EventKind::Accept];
    (0..n)
        .map(|i| {
            let few = random.below(2) == 0;
            let u = random.below(1 << 32) as f64 / 4_294_967_296.0;
            // Zipf, exponent 1: as attention falls on things.
            let popular = libm::floor(libm::exp(u * libm::log(keys as f64))) as u64 - 1;
            let key = if few { popular } else { random.below(keys) };
            let late = if random.below(8) == 0 { 1000 * random.below(600) } else { 0 };
            Made {
                kind: kinds[random.below(5) as usize],
                key: format!("k{key}"),
                kind_of_key: format!("t{}", key % 7),
                time: START + i as f64 * 1000.0 - late as f64 + (i % 997) as f64 / 1024.0,
                number: random.below(30_000) as f64,
            }
        })
        .collect()
}

fn run(spec: &ContextSpec, events: &[Made]) -> Context {
    let mut context = Context::new(spec).expect("a specification");
    for event in events {
        assert!(context.observe(&event.happening()));
    }
    context
}

/// Of every key and kind: the exact decayed count at `now` with a half-life of a day.
fn unbounded(events: &[Made], now: f64) -> BTreeMap<(String, EventKind), f64> {
    let mut sums = BTreeMap::new();
    for event in events {
        let age = (now - event.time) / DAY;
        *sums.entry((event.key.clone(), event.kind)).or_insert(0.0) += event.amount() * libm::exp2(-age);
    }
    sums
}

fn count(context: &Context, key: &str, kind: EventKind, now: f64) -> f64 {
    context.key_counter(key, kind, 1, now)
}

#[test]
fn within_its_bounds_a_context_counts_what_an_unbounded_twin_counts() {
    let events = events(30_000, 900, 1);
    let now = START + 4e7;
    let context = run(&ContextSpec::default(), &events);
    assert_eq!(context.evicted(), 0);
    for ((key, kind), exact) in unbounded(&events, now) {
        let found = count(&context, &key, kind, now);
        assert!((found - exact).abs() <= 1e-9 * exact, "{key} {kind:?}: {found} {exact}");
    }
}

/// What is forgotten is the light end: of the heaviest keys next to nothing.
#[test]
fn beyond_its_bounds_it_forgets_the_light_end() {
    let events = events(60_000, 40_000, 2);
    let now = START + 7e7;
    let context = run(&ContextSpec::default(), &events);
    assert!(context.evicted() > 10_000, "{}", context.evicted());
    let exact = unbounded(&events, now);
    for kind in [EventKind::Impression, EventKind::Open, EventKind::Accept] {
        let mut of_kind: Vec<(f64, f64)> = Vec::new();
        for ((key, _), exact) in exact.iter().filter(|((_, k), _)| *k == kind) {
            let found = count(&context, key, kind, now);
            assert!(found <= exact * (1.0 + 1e-9), "nothing is counted that was not there: {key} {found} {exact}");
            of_kind.push((*exact, found));
        }
        of_kind.sort_by(|a, b| b.0.total_cmp(&a.0));
        let lost = |pairs: &[(f64, f64)]| {
            let (exact, found) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
            1.0 - found / exact
        };
        let [few, all] = [lost(&of_kind[..20]), lost(&of_kind)];
        assert!(few < 0.02 && few < all / 10.0, "{kind:?}: of the twenty heaviest {few}, of all {all}");
    }
    let text = context.snapshot();
    assert!(text.len() < 600_000, "{}", text.len());
}

#[test]
fn any_order_of_the_same_events_gives_the_same_values() {
    let mut events = events(20_000, 900, 3);
    let now = START + 3e7;
    let spec = ContextSpec::default();
    let values = |context: &Context| {
        let mut values = Vec::new();
        for i in 0..900 {
            let (key, kind) = (format!("k{i}"), format!("t{}", i % 7));
            let surface = Some("ads_manager");
            let subject = Subject { key: &key, candidate_type: Some(&kind), surface, ..Subject::default() };
            for (name, signal) in signals(&spec) {
                values.push((key.clone(), name, signal, context.value(signal, &subject, now)));
            }
        }
        values
    };
    let one = values(&run(&spec, &events));
    let mut random = Random(4);
    for i in (1..events.len()).rev() {
        events.swap(i, random.below(i as u64 + 1) as usize);
    }
    let other = values(&run(&spec, &events));
    for ((key, name, signal, a), (.., b)) in one.iter().zip(&other) {
        let decayed = matches!(signal, Signal::Counter(..) | Signal::Reason(..) | Signal::Rate(..));
        let same = if decayed { (a - b).abs() <= 1e-6 * (1.0 + a.abs()) } else { a.to_bits() == b.to_bits() };
        assert!(same, "{key} {name}: {a} {b}");
    }
}

/// The same text after a restart in the middle, evictions included.
#[test]
fn a_restart_changes_no_bit() {
    let events = events(12_000, 5000, 5);
    let spec = ContextSpec { keys: 256, ..ContextSpec::default() };
    let whole = run(&spec, &events);
    let (first, rest) = events.split_at(7001);
    let mut second = Context::new(&spec).expect("a specification");
    second.restore(&run(&spec, first).snapshot()).expect("a snapshot");
    for event in rest {
        second.observe(&event.happening());
    }
    assert!(whole.evicted() > 1000);
    assert_eq!(whole.snapshot(), second.snapshot());
}
