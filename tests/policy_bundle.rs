//! A policy from its section of a SPEC.toml to the order of a list, on the committed ads-recs model.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use ranklet::compile::{Spec, compile_spec};
use ranklet::context::{Event, EventKind};
use ranklet::features::Request;
use ranklet::policy::{COOLDOWN, DISPLACEMENT, FATIGUE, PINNED};
use ranklet::ranker::{Frozen, Options, Ranker, Ranking};
use ranklet::{ErrorKind, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/ads-recs")
}

fn spec(policy: &str) -> Result<Spec> {
    let text = fs::read_to_string(folder().join("spec.toml")).expect("the specification");
    Spec::parse(&text.replace("[policy]\n", &format!("[policy]\n{policy}\n")))
}

fn ranker(policy: &str) -> Ranker {
    let read = |path: &str| Ok(fs::read(folder().join(path)).expect("a committed file"));
    let (bytes, _) = compile_spec(&spec(policy).unwrap(), &read, None, None).unwrap();
    Ranker::open(&bytes).unwrap()
}

fn request() -> Value {
    let text = fs::read_to_string(folder().join("requests/01.json")).expect("a recorded request");
    serde_json::from_str(&text).expect("JSON")
}

fn parsed(request: &Value) -> Request {
    Request::from_json(&request.to_string()).expect("a request")
}

fn rank(ranker: &mut Ranker, request: &Value, events: &[Value], options: &Options) -> Ranking {
    let request = parsed(request);
    let mut session = ranker.session().unwrap();
    let mut list = ranker.prepare_json(&request).unwrap();
    for event in events {
        session.observe(&Event::from_json(&event.to_string()).unwrap(), &[list.table()]).unwrap();
    }
    ranker.rerank(&session, &mut list, &Options { now: request.now, ..options.clone() })
}

fn rows(ranking: &Ranking) -> Vec<usize> {
    assert!(ranking.is_model());
    ranking.entries.iter().map(|e| e.row).collect()
}

#[test]
fn constraints_of_a_bundle_hold_in_its_orders() {
    let mut free = ranker("");
    let plain = rows(&rank(&mut free, &request(), &[], &Options::default()));
    let mut bound = ranker("displacement = 1\ncaps = [{ most = 2, first = 6 }]");
    let order = rank(&mut bound, &request(), &[], &Options::default());
    assert!(rows(&order).iter().enumerate().all(|(position, row)| position.abs_diff(*row) <= 1));
    assert!(plain.iter().enumerate().any(|(position, row)| position.abs_diff(*row) > 1));
    assert!(order.entries.iter().any(|e| e.constraints & DISPLACEMENT != 0));
    let types = request()["candidates"].clone();
    for (place, e) in order.entries[..6].iter().enumerate().filter(|(_, e)| e.relaxed == 0) {
        let before = order.entries[..place].iter().filter(|o| types[o.row]["type"] == types[e.row]["type"]);
        assert!(before.count() < 2);
    }

    // The server's own pin, and what is frozen, stand.
    let mut pinned = request();
    pinned["candidates"][9]["pin"] = json!(2);
    let order = rank(&mut free, &pinned, &[], &Options { frozen: Frozen::Count(1), ..Options::default() });
    assert_eq!(rows(&order)[..2], [0, 9]);
    assert_eq!(order.entries[1].constraints & PINNED, PINNED);

    // An item that costs and is not known to bring anything is not lifted.
    let mut costly = request();
    let (_, &best) = plain.iter().enumerate().find(|(position, row)| position < row).unwrap();
    costly["candidates"][best]["spend_effect"] = json!(5.0);
    costly["candidates"][best]["benefit_lower"] = json!(0.0);
    let order = rows(&rank(&mut free, &costly, &[], &Options::default()));
    assert!(order.iter().position(|&row| row == best) >= Some(best));
}

#[test]
fn what_just_happened_keeps_a_candidate_out_of_the_first_positions() {
    let policy =
        "cooldowns = [{ event = \"accept\", lasts = \"7d\", first = 5 }]\nfatigue = { impressions = 3, first = 4 }";
    let mut ranker = ranker(policy);
    let request = request();
    let plain = rows(&rank(&mut ranker, &request, &[], &Options::default()));
    let now = parsed(&request).now;
    let id = |row: usize| request["candidates"][row]["id"].clone();
    let event =
        |kind: &str, row: usize, before: f64| json!({ "type": kind, "candidate": id(row), "time": now - before });
    let place = |order: &Ranking, row: usize| rows(order).iter().position(|&r| r == row).unwrap();

    let (first, second) = (plain[0], plain[1]);
    let order = rank(&mut ranker, &request, &[event("accept", first, 60e3)], &Options::default());
    assert!(place(&order, first) >= 5);
    assert!(order.entries[..5].iter().any(|e| e.constraints & COOLDOWN != 0));
    let order = rank(&mut ranker, &request, &[event("accept", first, 8.0 * 86_400e3)], &Options::default());
    assert!(order.entries.iter().all(|e| e.constraints & COOLDOWN == 0));

    let seen: Vec<Value> = (1..=3).map(|i| event("impression", second, f64::from(i) * 60e3)).collect();
    let order = rank(&mut ranker, &request, &seen, &Options::default());
    assert!(place(&order, second) >= 4);
    assert!(order.entries[..4].iter().any(|e| e.constraints & FATIGUE != 0));
    let opened = [seen.as_slice(), &[event("open", second, 30e3)]].concat();
    let order = rank(&mut ranker, &request, &opened, &Options::default());
    assert!(order.entries.iter().all(|e| e.constraints & FATIGUE == 0));
}

#[test]
fn similarity_comes_from_features_or_an_output() {
    for similarity in ["features = [\"topic\"]", "output = \"probabilities\"", "same_type = 0.8"] {
        for method in ["mmr", "dpp", "ssd"] {
            let policy = format!(
                "diversity = {{ method = \"{method}\", strength = 0.4, first = 6, similarity = {{ {similarity} }} }}"
            );
            let ranking = rank(&mut ranker(&policy), &request(), &[], &Options::default());
            let input = &ranking.decided.as_ref().unwrap().input;
            assert_eq!(
                input.width,
                match similarity {
                    "same_type = 0.8" => 0,
                    "output = \"probabilities\"" => 2,
                    _ => 7,
                }
            );
            assert_eq!(input.vectors.len(), input.width * input.candidates.len());
            assert!(similarity.starts_with("same") || input.vectors.iter().any(|x| *x != 0.0));
        }
    }
}

#[test]
fn seeds_and_decisions_draw_and_a_budget_degrades() {
    let mut ranker = ranker("explore = { method = \"plackett_luce\", strength = 1.0, first = 5 }\nfirst_screen = 3");
    let plain = rank(&mut ranker, &request(), &[], &Options::default());
    assert!(plain.entries.iter().all(|e| e.propensity == 1.0));
    let mut seeded = request();
    seeded["seed"] = json!("18446744073709551615");
    let one = rank(&mut ranker, &seeded, &[], &Options::default());
    assert_eq!(one.decided.as_ref().unwrap().input.seed, Some(u64::MAX));
    let again = rank(&mut ranker, &seeded, &[], &Options::default());
    assert_eq!(one.entries, again.entries);
    assert!(
        one.entries[..5].iter().all(|e| e.propensity < 1.0) && one.entries[5..].iter().all(|e| e.propensity == 1.0)
    );
    let other = Options { seed: Some(7), decision_id: Some("d".into()), ..Options::default() };
    let orders: BTreeSet<Vec<usize>> = (0..20)
        .map(|seed| rows(&rank(&mut ranker, &seeded, &[], &Options { seed: Some(seed), ..other.clone() })))
        .collect();
    assert!(orders.len() > 10);

    // The same list again is another decision.
    let request = parsed(&seeded);
    let session = ranker.session().unwrap();
    let mut list = ranker.prepare_json(&request).unwrap();
    let options = Options { now: request.now, ..Options::default() };
    let ids = [0, 1].map(|_| ranker.rerank(&session, &mut list, &options).decided.unwrap().input.decision_id);
    assert_eq!(ids, ["w21-a45-p0-d1", "w21-a45-p0-d1#2"]);

    let n = plain.entries.len();
    let budget = |rows: usize| Options { rows: Some(rows), ..Options::default() };
    let degraded = rank(&mut ranker, &self::request(), &[], &budget(6));
    assert_eq!(rows(&degraded)[6..], (6..n).collect::<Vec<_>>()[..]);
    assert!(degraded.entries[6..].iter().all(|e| e.utility.is_nan()) && degraded.rows_run == 6);
    assert!(degraded.decided.unwrap().decision.degraded);
    assert_eq!(rank(&mut ranker, &self::request(), &[], &budget(2)).reason, Some(ErrorKind::DeadlineExceeded));
    // What was left out is scored as soon as the budget allows it.
    let mut list = ranker.prepare_json(&parsed(&self::request())).unwrap();
    let mut again =
        |rows| ranker.rerank(&session, &mut list, &Options { now: request.now, rows, ..Options::default() });
    assert_eq!((again(Some(6)).rows_run, again(None).rows_run), (6, n - 6));
}

#[test]
fn a_list_is_due_by_events_and_by_impressions_without_an_answer() {
    let ranker = ranker("due = [\"dismiss\", \"edit\"]\ndue_unopened = 3");
    let due = |event, unopened| ranker.policy().due(event, unopened);
    assert!(due(EventKind::Dismiss, 0) && due(EventKind::Edit, 0) && !due(EventKind::Open, 3));
    assert!(due(EventKind::Impression, 3) && due(EventKind::Impression, 6));
    assert!(!due(EventKind::Impression, 0) && !due(EventKind::Impression, 4));
}

#[test]
fn what_is_wrong_with_a_policy_is_said_where_it_is_compiled() {
    for (policy, says) in [
        ("displacment = 3", "displacment: no such key"),
        ("caps = [{ most = 1, within = 3 }]", "within: no such key"),
        ("explore = { method = \"plackett_luce\", strength = 0.0, first = 5 }", "temperature"),
        ("explore = { method = \"plackett_luce\", strength = 1.0, first = 65 }", "`first` to 64"),
        ("diversity = { method = \"dpp\", first = 5, similarity = {} }", "similarity"),
        ("diversity = { method = \"dpp\", first = 5, similarity = { features = [\"x\"] } }", "no feature \"x\""),
        ("dependencies = [{ before = \"a\", then = \"b\" }, { before = \"b\", then = \"a\" }]", "wait for each other"),
        ("value_head = \"worth\"", "no head \"worth\""),
        ("platform_cap = 0.1", "platform_cap"),
        ("cooldowns = [{ event = \"accept\", lasts = \"soon\", first = 5 }]", "no duration"),
    ] {
        let error = spec(policy).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SpecInvalid, "{policy}");
        assert!(error.message().contains(says), "{policy}: {}", error.message());
    }
}
