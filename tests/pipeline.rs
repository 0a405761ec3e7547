//! The whole way of a decision, on the committed ads-recs model: request -> features -> plan -> calibration ->
//! policy -> ranking, and every way in which it can be refused.

use ranklet::bundle::{Bundle, write};
use ranklet::compile::{Lowered, Spec, Storage, compile_onnx, compile_spec};
use ranklet::context::Event;
use ranklet::engine::{Data, Op, Tensors};
use ranklet::features::Request;
use ranklet::ranker::{Frozen, Options, Ranker, Ranking, Session};
use ranklet::{ErrorKind, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/ads-recs")
}

fn read(path: &str) -> Result<Vec<u8>> {
    Ok(fs::read(folder().join(path)).expect("a committed file"))
}

fn spec_text() -> String {
    fs::read_to_string(folder().join("spec.toml")).expect("the specification")
}

fn compile(text: &str) -> Result<Vec<u8>> {
    compile_spec(&Spec::parse(text)?, &read, None, None).map(|(bytes, _)| bytes)
}

fn bundle() -> &'static [u8] {
    static BUNDLE: OnceLock<Vec<u8>> = OnceLock::new();
    BUNDLE.get_or_init(|| compile(&spec_text()).expect("ads-recs compiles"))
}

fn request(n: u32) -> Value {
    let text = fs::read_to_string(folder().join(format!("requests/{n:02}.json"))).expect("a recorded request");
    serde_json::from_str(&text).expect("JSON")
}

fn events(n: u32) -> Vec<Event> {
    let text = fs::read_to_string(folder().join(format!("events/{n:02}.jsonl"))).expect("recorded events");
    text.lines().map(|line| Event::from_json(line).expect("an event")).collect()
}

fn parsed(request: &Value) -> Request {
    Request::from_json(&request.to_string()).expect("a request")
}

/// The ranking of `request` after `events`, by a fresh session.
fn rank(ranker: &mut Ranker, request: &Value, events: &[Event]) -> Result<Ranking> {
    let request = parsed(request);
    let mut session = ranker.session()?;
    let mut list = ranker.prepare_json(&request)?;
    for event in events {
        session.observe(event, &[list.table()])?;
    }
    let options = Options { now: request.now, ..Options::default() };
    Ok(ranker.rerank(&session, &mut list, &options))
}

fn rows(ranking: &Ranking) -> Vec<usize> {
    ranking.entries.iter().map(|e| e.row).collect()
}

fn scores(ranking: &Ranking) -> Vec<u64> {
    let mut by_row: Vec<(usize, u64)> = ranking.entries.iter().map(|e| (e.row, e.utility.to_bits())).collect();
    by_row.sort_unstable();
    by_row.into_iter().map(|(_, bits)| bits).collect()
}

#[test]
fn the_model_orders_unlike_the_server_and_events_change_its_order() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    let before = rank(&mut ranker, &request(1), &[]).unwrap();
    let after = rank(&mut ranker, &request(1), &events(1)).unwrap();
    assert!(before.is_model() && after.is_model());
    let server: Vec<usize> = (0..before.entries.len()).collect();
    assert_ne!(rows(&before), server);
    assert_ne!(rows(&before), rows(&after));
    for ranking in [&before, &after] {
        let mut sorted = rows(ranking);
        sorted.sort_unstable();
        assert_eq!(sorted, server);
        assert!(ranking.entries.iter().all(|e| (0.0..=1.0).contains(&e.score)));
    }
}

#[test]
fn a_changed_weight_changes_the_scores() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    let text = spec_text().replace("column = 1\n", "column = 1\nweight = 0.5\n");
    let mut half = Ranker::open(&compile(&text).unwrap()).unwrap();
    let (one, other) = (rank(&mut ranker, &request(1), &[]).unwrap(), rank(&mut half, &request(1), &[]).unwrap());
    for (a, b) in one.entries.iter().zip(&other.entries) {
        assert_eq!((a.utility * 0.5).to_bits(), b.utility.to_bits());
        assert_eq!(a.score.to_bits(), b.score.to_bits());
    }
    assert_ne!(ranker.digests().policy, half.digests().policy);
    assert_eq!(ranker.digests().schema, half.digests().schema);
}

#[test]
fn rows_kept_between_re_ranks_are_the_same_bits_as_cold_ones() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    for n in 1..=5 {
        let (json, log) = (request(n), events(n));
        let request = parsed(&json);
        let mut session = ranker.session().unwrap();
        let mut list = ranker.prepare_json(&request).unwrap();
        let mut run = 0;
        for (i, event) in log.iter().enumerate() {
            session.observe(event, &[list.table()]).unwrap();
            let options = Options { now: request.now, ..Options::default() };
            let warm = ranker.rerank(&session, &mut list, &options);
            let cold = rank(&mut ranker, &json, &log[..=i]).unwrap();
            assert_eq!(scores(&warm), scores(&cold), "request {n}, event {i}");
            run += warm.rows_run;
        }
        assert!(run < log.len() * list.len(), "some rows must have been kept");
    }
}

#[test]
fn the_same_sources_give_the_same_bundle() {
    assert_eq!(compile(&spec_text()).unwrap(), bundle());
}

#[test]
fn the_manifest_is_read_as_it_was_written() {
    let ranker = Ranker::open(bundle()).unwrap();
    let stored = Bundle::read(bundle()).unwrap();
    let written: Value = serde_json::from_str(stored.manifest_json()).unwrap();
    let read = serde_json::to_value(ranker.manifest()).unwrap();
    assert_eq!(written["plan"]["steps"].as_array().unwrap().len(), read["plan"]["steps"].as_array().unwrap().len());
    // Floats that a page could not read exactly stand as their bits; all else is letter for letter the same.
    let plain = |value: &Value| {
        let text = value.to_string();
        !text.contains("\"0x")
    };
    for section in ["name", "version", "heads", "schema", "context", "policy", "plan", "golden"] {
        if plain(&written[section]) {
            assert_eq!(written[section], read[section], "{section}");
        }
    }
    assert!(plain(&written["schema"]) || written["schema"].to_string().contains("\"0x"));
}

#[test]
fn defined_answers() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    let with = |candidates: Value| {
        let mut r = request(1);
        r["candidates"] = candidates;
        r
    };
    let all = request(1)["candidates"].as_array().unwrap().clone();

    assert!(rank(&mut ranker, &with(json!([])), &[]).unwrap().is_model(), "an empty list");
    assert!(rank(&mut ranker, &with(json!([all[0]])), &[]).unwrap().is_model(), "one candidate");

    let twice = rank(&mut ranker, &with(json!([all[0], all[0]])), &[]).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::RequestInvalid);
    assert!(twice.message().contains("stands twice"), "{twice}");

    let bare: Vec<Value> = (0..4).map(|i| json!({ "id": i, "features": { "daily_budget": null } })).collect();
    assert!(rank(&mut ranker, &with(json!(bare)), &[]).unwrap().is_model(), "missing features");

    let many = |n: usize| json!((0..n).map(|i| json!({ "id": i })).collect::<Vec<_>>());
    let ranking = rank(&mut ranker, &with(many(5000)), &[]).unwrap();
    assert_eq!((ranking.is_model(), ranking.entries.len()), (true, 5000));
    assert!(rank(&mut ranker, &with(many(16_384)), &[]).unwrap().is_model());
    assert_eq!(rank(&mut ranker, &with(many(16_385)), &[]).unwrap_err().kind(), ErrorKind::LimitExceeded);

    for bytes in [&bundle()[..0], &bundle()[..7], &bundle()[..bundle().len() / 2], b"not a bundle at all"] {
        assert_eq!(Ranker::open(bytes).unwrap_err().kind(), ErrorKind::BundleCorrupt);
    }
}

/// The bundle with its manifest changed and its digest right again.
fn resealed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let stored = Bundle::read(bundle()).expect("the bundle");
    let mut manifest: Value = serde_json::from_str(stored.manifest_json()).expect("the bundle");
    change(&mut manifest);
    write(&stored.tensors, Some(&manifest.to_string()))
}

#[test]
fn well_sealed_bundles_that_are_wrong_are_refused_with_their_reason() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, ErrorKind); 20] = [
        ("a newer format", |m| m["format"] = json!(2), ErrorKind::BundleIncompatible),
        ("a newer minor format", |m| m["minor"] = json!(99), ErrorKind::BundleIncompatible),
        ("an unknown section that must be known", |m| m["requires"] = json!(["magic"]), ErrorKind::BundleIncompatible),
        ("an unknown op", |m| m["plan"]["steps"][0]["op"] = json!({ "warp": {} }), ErrorKind::BundleIncompatible),
        ("no name", |m| m["name"] = json!(null), ErrorKind::BundleIncompatible),
        ("a value that is not there", |m| m["plan"]["steps"][0]["inputs"] = json!([999]), ErrorKind::BundleCorrupt),
        (
            "a value read before it is written",
            |m| m["plan"]["steps"].as_array_mut().unwrap().reverse(),
            ErrorKind::BundleCorrupt,
        ),
        ("a tensor that is not there", |m| m["golden"]["inputs"] = json!(["nowhere"]), ErrorKind::BundleCorrupt),
        ("a head without its output", |m| m["heads"][0]["output"] = json!(77), ErrorKind::BundleCorrupt),
        ("a column beyond the output", |m| m["heads"][0]["column"] = json!(2), ErrorKind::BundleCorrupt),
        ("weights for other heads", |m| m["policy"]["weights"] = json!([]), ErrorKind::BundleCorrupt),
        ("a feature too few", |m| drop(m["schema"].as_array_mut().unwrap().pop()), ErrorKind::SchemaMismatch),
        ("a signal that does not exist", |m| m["context"]["half_lives"] = json!(["3m"]), ErrorKind::SchemaMismatch),
        ("a value without columns", |m| m["plan"]["values"][0]["width"] = json!(0), ErrorKind::BundleCorrupt),
        ("no self-test", |m| m["golden"]["rows"] = json!(0), ErrorKind::BundleCorrupt),
        ("a tolerance that forgives all", |m| m["golden"]["tolerance"] = json!(1e9), ErrorKind::BundleCorrupt),
        ("a shape that does not fit", |m| m["plan"]["outputs"][1]["dims"] = json!([-1, 9]), ErrorKind::BundleCorrupt),
        ("golden rows without end", |m| m["golden"]["rows"] = json!(4_000_000_000_u32), ErrorKind::BundleCorrupt),
        (
            "more working memory than a page has",
            |m| {
                let wide = json!({ "dtype": "f32", "rows": "candidate", "width": 65_536 });
                m["plan"]["values"].as_array_mut().unwrap().extend(vec![wide; 1000]);
            },
            ErrorKind::LimitExceeded,
        ),
        (
            "a row wider than the cap",
            |m| m["plan"]["values"][0]["width"] = json!((1 << 24) + 1),
            ErrorKind::LimitExceeded,
        ),
    ];
    for (what, change, kind) in cases {
        assert_eq!(Ranker::open(&resealed(change)).unwrap_err().kind(), kind, "{what}");
    }
    assert!(Ranker::open(&resealed(|m| m["a_later_section"] = json!({ "x": 1 }))).is_ok(), "unknown keys are ignored");
}

#[test]
fn a_forest_whose_nodes_have_two_parents_is_refused() {
    let stored = Bundle::read(bundle()).unwrap();
    let mut tensors = stored.tensors.clone();
    for (name, tensor) in &mut tensors {
        // Every tree begins where the first does: 150 walks of one tree.
        if let (true, Data::I32(roots)) = (name.ends_with("roots"), &mut tensor.data) {
            roots.fill(0);
        }
    }
    let error = Ranker::open(&write(&tensors, Some(stored.manifest_json()))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BundleCorrupt);
    assert!(error.message().contains("two parents"), "{error}");
}

#[test]
fn a_device_that_computes_otherwise_is_found_out() {
    let stored = Bundle::read(bundle()).unwrap();
    let golden = |change: fn(&mut f32)| {
        let mut tensors: Tensors = stored.tensors.clone();
        for (name, tensor) in &mut tensors {
            if let (true, Data::F32(values)) = (name.starts_with("golden.output."), &mut tensor.data) {
                change(&mut values[0]);
            }
        }
        write(&tensors, Some(stored.manifest_json()))
    };
    let one_bit = golden(|x| *x = f32::from_bits(x.to_bits() ^ 1));
    assert_eq!(Ranker::open(&one_bit).unwrap_err().kind(), ErrorKind::SelfTestFailed);
    assert!(Ranker::open(&golden(|_| {})).is_ok());
}

#[test]
fn compile_refuses_a_plan_with_one_leaf_or_one_split_changed() {
    let onnx = read("ranker.onnx").unwrap();
    let alter = |lowered: &mut Lowered, leaf: bool| {
        let name = lowered.plan.steps.iter().find_map(|step| match &step.op {
            Op::Trees(trees) => Some(if leaf { trees.weight.clone() } else { trees.threshold.clone() }),
            _ => None,
        });
        let tensor = lowered.tensors.get_mut(&name.expect("trees")).expect("its tensor");
        if let Data::F32(values) = &mut tensor.data {
            let middle = values.len() / 2;
            values[middle] = if leaf { values[middle] + 0.25 } else { values[middle].next_up() };
        }
    };
    assert!(compile_onnx("m", &onnx, &Default::default(), None, Storage::default(), None).is_ok());
    for leaf in [true, false] {
        let error = compile_onnx(
            "m",
            &onnx,
            &Default::default(),
            None,
            Storage::default(),
            Some(&|lowered| alter(lowered, leaf)),
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::GoldenMismatch, "leaf: {leaf}");
    }
}

#[test]
fn frozen_items_stand_and_dismissed_ones_go_behind_but_stay() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    let request = parsed(&request(1));
    let mut session: Session = ranker.session().unwrap();
    let mut list = ranker.prepare_json(&request).unwrap();
    let options = |frozen| Options { now: request.now, frozen, ..Options::default() };
    let first = ranker.rerank(&session, &mut list, &options(Frozen::Count(0)));
    let dismissed = first.entries[0].row;
    let event = json!({ "type": "dismiss", "candidate": list.table().id(dismissed), "time": request.now });
    session.observe(&Event::from_json(&event.to_string()).unwrap(), &[list.table()]).unwrap();

    let frozen = ranker.rerank(&session, &mut list, &options(Frozen::Count(3)));
    assert_eq!(rows(&frozen)[..3], rows(&first)[..3]);
    assert!(frozen.entries[0].suppressed.is_some(), "marked where it stands");

    let free = ranker.rerank(&session, &mut list, &options(Frozen::Count(0)));
    assert_eq!(rows(&free).last(), Some(&dismissed));
    assert_eq!(free.entries.len(), first.entries.len());

    let held = rows(&free)[5];
    let by_id = ranker.rerank(&session, &mut list, &options(Frozen::Rows(vec![held])));
    assert_eq!(rows(&by_id)[5], held);
}

#[test]
fn specifications_that_are_wrong_name_the_key_and_the_mend() {
    let cases = [
        ("version = 1", "version = \"one\"", "version"),
        ("[[heads]]", "[[heds]]", "heds"),
        ("output = \"probabilities\"", "output = \"probabilitys\"", "the model has"),
        ("column = 1", "column = 9", "column 9"),
        ("kind = \"related\"", "kind = \"relatd\"", "related"),
        ("op = \"log1p\"", "op = \"log\"", "log1p"),
        ("half_lives = [\"10m\", \"1d\"]", "half_lives = [\"10m\"]", "half-lives"),
    ];
    for (from, to, word) in cases {
        let text = spec_text();
        assert!(text.contains(from), "{from}");
        let error = compile(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(word), "{to}: {error}");
    }
}
