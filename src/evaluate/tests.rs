//! Records there and back again in both forms, and bytes that are none.

use super::Log;
use super::record::{Exposure, Item, Outcome, Record, Recorded};
use crate::context::Suppression;
use crate::policy::{Candidate, Choice, Decision, Input, NONE};
use crate::ranker::record::row_hash;
use crate::ranker::{Digests, Level};
use proptest::prelude::*;
use ranklet_kernels::hash::hash64;

/// Numbers of every kind, the odd ones often.
fn real() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        prop::sample::select(vec![0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324]),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "9223372036854775809", "ä𝄞", "__proto__", "\"\n"]).prop_map(str::to_owned)
}

prop_compose! {
    fn record()(
        n in 0usize..9, scored in 0usize..9, heads in 0usize..3, width in 0usize..19, vector in 0usize..3,
        reals in prop::collection::vec(real(), 400), bits in prop::collection::vec(any::<u32>(), 400),
        key in text(), id in prop::option::of(text()), seed in prop::option::of(any::<u64>()), full: bool, model: bool,
    ) -> Record {
        let (mut real, mut bit) = (reals.into_iter().cycle(), bits.into_iter().cycle());
        let mut real = move || real.next().expect("endless");
        let mut bit = move || bit.next().expect("endless");
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, bit() as usize % (i + 1));
        }
        let scored = scored.min(n);
        let level = if full { Level::Full } else { Level::Aggregate };
        let width = if full { width } else { 0 };
        let items: Vec<Item> = order.iter().map(|&row| {
            let features: Vec<f32> = (0..width).map(|_| if bit() % 3 == 0 { 0.5 } else { real() as f32 }).collect();
            Item {
                id: format!("{key}{row}"),
                key: if bit() % 2 == 0 { format!("{key}{row}") } else { key.clone() },
                row,
                suppressed: [None, Some(Suppression::Dismissed), Some(Suppression::Snoozed)][bit() as usize % 3],
                constraints: bit() % 2048,
                row_hash: if width > 0 { row_hash(&[], &features) } else { 0 },
                features,
                ..Item::default()
            }
        }).collect();
        let kinds = vec!["x".to_owned(), "y".to_owned()];
        let mut input = Input {
            seed, scored, heads, kinds, width: if n > 0 { vector } else { 0 },
            raw: (0..scored * heads).map(|_| real() as f32).collect(),
            calibrated: (0..scored * heads).map(|_| real()).collect(),
            ..Input::default()
        };
        input.vectors = (0..n * input.width).map(|_| real() as f32).collect();
        let mut by_row: Vec<&Item> = items.iter().collect();
        by_row.sort_by_key(|item| item.row);
        input.candidates = by_row.iter().map(|item| Candidate {
            id: hash64(&item.id), value: real(), boost: real(), spend_effect: real(), benefit_lower: real(),
            pin: bit() % 3, kind: [0, 1, NONE][bit() as usize % 3], target: [0, 7, NONE][bit() as usize % 3],
            suppressed: item.suppressed.is_some(), cooldown: bit() % 2, fatigue: bit() % 2,
        }).collect();
        let choices = items.iter().map(|item| Choice {
            row: item.row, utility: real(), constraints: item.constraints, relaxed: bit() % 2048,
            propensity: real(), log_propensity: real(), prefix_log_propensity: 0.0,
        }).collect();
        let decision = Decision { choices, log_propensity: real(), explored: bit() % 2 == 0, degraded: scored < n };
        let mut record = Record {
            level, withheld: false, reason: (!model).then(|| "loading".to_owned()), decision_id: id.clone(), list_id: id,
            surface: Some(key), numerics: bit() % 3,
            digests: model.then(|| Digests { bundle: "00ff".into(), schema: String::new(), policy: "aa".into() }),
            now: if full { real() } else { f64::NAN },
            heads: if model { ["u", "v"][..heads.min(2)].iter().map(|&h| h.to_owned()).collect() } else { Vec::new() },
            shared: if full && model { (0..bit() % 3).map(|_| real() as f32).collect() } else { Vec::new() },
            decided: model.then_some((input, decision)), items,
        };
        record.complete();
        record
    }
}

/// Read from a log of one, whichever form.
fn read(log: &[u8]) -> Recorded {
    let mut log = Log::new(log);
    let recorded = log.next().expect("a record").recorded.expect("readable");
    assert!(log.next().is_none());
    recorded
}

proptest! {
    #[test]
    fn there_and_back_in_both_forms(record in record(), visible in real(), position in 1u32..99, delay in 0usize..7) {
        let joined = [
            Recorded::Exposure(Exposure { decision_id: record.decision_id.clone(), key: "k".into(), position, visible_ms: visible }),
            Recorded::Outcome(Outcome { decision_id: None, key: "k".into(), kind: "open".into(), delay }),
        ];
        for recorded in joined.into_iter().chain([Recorded::Decision(Box::new(record))]) {
            let compact = recorded.write();
            let again = read(&compact);
            prop_assert_eq!(&again.write(), &compact);
            let json = serde_json::to_string(&again).expect("JSON");
            prop_assert_eq!(&read(json.as_bytes()).write(), &compact, "{}", json);
        }
    }

    #[test]
    fn no_bytes_are_more_than_an_error(record in record(), cut: usize, turns in prop::collection::vec(any::<(usize, u8)>(), 0..4)) {
        let mut bytes = record.write();
        for (at, mask) in turns {
            let at = at % bytes.len();
            bytes[at] ^= mask;
        }
        bytes.truncate(1 + cut % bytes.len());
        // What is read is a record that can be written again.
        if let Ok(recorded) = Recorded::read(&mut bytes.as_slice()) {
            let _ = serde_json::to_string(&recorded).expect("JSON");
            let _ = recorded.write();
        }
    }

    #[test]
    fn no_text_is_more_than_an_error(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        for entry in Log::new(&garbage) {
            prop_assert!(entry.recorded.is_err());
        }
    }
}
