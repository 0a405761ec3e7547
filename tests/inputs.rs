//! A ranker with several inputs, from specification to list: what a list keeps changes no bit, whatever happens between
//! re-ranks; what does not fit is refused by name; bundles of earlier releases decide as they did.
#![cfg(all(feature = "compile", feature = "native"))]
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use proptest::prelude::*;
use ranklet::bundle::{Bundle, read_tensors, write_with};
use ranklet::compile::{SCHEMA_KEY, Spec, compile_spec};
use ranklet::context::Event;
use ranklet::engine::{Tensor, Tensors};
use ranklet::evaluate::{Recorded, Replay};
use ranklet::features::{Encoder, Matrix, Request, Scene, Table};
use ranklet::ranker::{Frozen, Level, List, Options, Ranker, Ranking, STATISTICS, Session};
use ranklet::{ErrorKind, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn text() -> String {
    fs::read_to_string(folder().join("fixtures/din_towers.toml")).unwrap()
}

fn read(path: &str) -> Result<Vec<u8>> {
    Ok(fs::read(folder().join("fixtures").join(path)).expect("a committed file"))
}

fn compile(text: &str) -> Result<Vec<u8>> {
    compile_spec(&Spec::parse(text)?, &read, None, None).map(|(bytes, _)| bytes)
}

fn bundle() -> &'static [u8] {
    static BUNDLE: OnceLock<Vec<u8>> = OnceLock::new();
    BUNDLE.get_or_init(|| compile(&text()).expect("the fixture compiles"))
}

/// splitmix64 (Steele, Lea and Flood 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
    fn number(&mut self) -> f64 {
        self.below(4001) as f64 / 1000.0 - 2.0
    }
    fn numbers(&mut self, n: u64) -> Vec<f64> {
        (0..n).map(|_| self.number()).collect()
    }
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

const TYPES: [&str; 6] = ["raise_budget", "add_keywords", "fix_tag", "widen_audience", "add_creative", "unheard_of"];
const EVENTS: [&str; 6] = ["open", "accept", "dwell", "dismiss", "impression", "navigate"];

fn candidate(draw: &mut Draw, i: u64) -> Value {
    let vector = match draw.below(6) {
        0 => json!(null),
        1 => json!(draw.numbers(3)),
        _ => json!(draw.numbers(4)),
    };
    let tags: Vec<&str> = (0..draw.below(4)).map(|_| draw.pick(&["urgent", "cheap", "new", "odd"])).collect();
    let related: Vec<String> = (0..draw.below(3)).map(|_| format!("k{}", draw.below(9))).collect();
    let mut features = json!({ "vector": vector, "tags": tags, "related": related });
    if draw.below(3) > 0 {
        features["uplift"] = json!(draw.number());
    }
    if draw.below(5) > 0 {
        features["item"] = json!(9_007_199_254_740_993 + draw.below(40));
    }
    json!({ "id": i, "key": format!("k{}", i % 9), "type": draw.pick(&TYPES), "features": features })
}

fn facts(draw: &mut Draw) -> Value {
    let seen: Vec<u64> = (0..draw.below(7)).map(|_| draw.below(60)).collect();
    json!({
        "account": { "country": draw.pick(&["NL", "DE", "FR"]), "vector": draw.numbers(2) },
        "performance": { "spend": draw.number() * 100.0 }, "workflow": { "seen": seen },
    })
}

fn request(candidates: &[Value], facts: &Value, now: f64) -> Request {
    let request = json!({ "now": now, "surface": "assistant", "candidates": candidates, "facts": facts });
    Request::from_json(&request.to_string()).unwrap()
}

fn event(draw: &mut Draw, candidates: u64, now: f64) -> Event {
    let kind = draw.pick(&EVENTS);
    let mut event = json!({ "type": kind, "time": now - draw.below(3) as f64 * 4000.0 });
    if kind != "navigate" {
        event["candidate"] = json!(draw.below(candidates));
    }
    if kind == "dwell" {
        event["value"] = json!(1500);
    }
    Event::from_json(&event.to_string()).unwrap()
}

/// The bits of all that was decided, in final order.
fn bits(ranking: &Ranking) -> Vec<(usize, u64, Vec<u32>)> {
    assert!(ranking.is_model(), "{:?}", ranking.reason);
    let heads = |row: usize| ranking.heads(row).0.iter().map(|raw| raw.to_bits()).collect();
    ranking.entries.iter().map(|e| (e.row, e.utility.to_bits(), heads(e.row))).collect()
}

/// The same list, made anew and ranked once.
fn cold(ranker: &mut Ranker, session: &Session, candidates: &[Value], facts: &Value, now: f64) -> Ranking {
    let mut list = ranker.prepare_json(&request(candidates, facts, now)).unwrap();
    ranker.rerank(session, &mut list, &Options { now, frozen: Frozen::default(), ..Options::default() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_happens_between_re_ranks_a_kept_list_is_a_cold_one(seed: u64, n in 1u64..90) {
        let mut ranker = Ranker::open(bundle()).unwrap();
        let mut draw = Draw(seed);
        let mut candidates: Vec<Value> = (0..n).map(|i| candidate(&mut draw, i)).collect();
        let mut known = facts(&mut draw);
        let mut now = 1_800_000_000_000.0;
        let mut session = ranker.session().unwrap();
        let mut list = ranker.prepare_json(&request(&candidates, &known, now)).unwrap();
        for step in 0..14 {
            match draw.below(8) {
                0 => {
                    known = facts(&mut draw);
                    list.update_facts(Table::from_json(ranker.encoder().layout(), &request(&[], &known, now)).unwrap());
                }
                1 => {
                    let from = candidates.len() as u64;
                    let more: Vec<Value> = (from..from + draw.below(4) + 1).map(|i| candidate(&mut draw, i)).collect();
                    let table = Table::from_json(ranker.encoder().layout(), &request(&more, &json!({}), now)).unwrap();
                    list.append(&ranker, &table).unwrap();
                    candidates.extend(more);
                }
                2 => now += 6000.0,
                3 => {}
                _ => {
                    let event = event(&mut draw, candidates.len() as u64, now);
                    session.observe(&event, &[list.table()]).unwrap();
                }
            }
            let warm = ranker.rerank(&session, &mut list, &Options { now, frozen: Frozen::default(), ..Options::default() });
            let fresh = cold(&mut ranker, &session, &candidates, &known, now);
            // A kept list's order may differ only where the frozen and shown order does: there is none here.
            prop_assert_eq!(bits(&warm), bits(&fresh), "step {}", step);
            prop_assert!(warm.rows_run <= fresh.rows_run);
        }
    }
}

fn listed(ranker: &Ranker, n: u64) -> (List, Session, f64) {
    let mut draw = Draw(7);
    let candidates: Vec<Value> = (0..n).map(|i| candidate(&mut draw, i)).collect();
    let now = 1_800_000_000_000.0;
    let list = ranker.prepare_json(&request(&candidates, &facts(&mut draw), now)).unwrap();
    (list, ranker.session().unwrap(), now)
}

#[test]
fn only_what_changed_is_run() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    let (mut list, mut session, now) = listed(&ranker, 40);
    let mut run = |session: &Session, list: &mut List, now: f64| {
        ranker.rerank(session, list, &Options { now, frozen: Frozen::default(), ..Options::default() }).rows_run
    };
    assert_eq!(run(&session, &mut list, now), 40);
    assert_eq!(run(&session, &mut list, now + 60_000.0), 0, "a tick of the clock alone changes nothing");
    // No feature of this model sees a search; an impression, candidates that are related to it.
    let search = json!({ "type": "search", "value": "budget", "time": now });
    session.observe(&Event::from_json(&search.to_string()).unwrap(), &[list.table()]).unwrap();
    let event =
        |kind: &str| Event::from_json(&json!({ "type": kind, "candidate": 3, "time": now }).to_string()).unwrap();
    assert_eq!(run(&session, &mut list, now), 0);
    session.observe(&event("impression"), &[list.table()]).unwrap();
    let related = run(&session, &mut list, now);
    assert!((1..20).contains(&related), "{related}");
    session.observe(&event("open"), &[list.table()]).unwrap();
    assert_eq!(run(&session, &mut list, now), 40, "the history is every candidate's");
}

#[test]
fn what_a_budget_left_out_is_run_when_it_grows() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    let (mut list, mut session, now) = listed(&ranker, 20);
    let options = |rows| Options { now, rows, ..Options::default() };
    ranker.rerank(&session, &mut list, &options(None));
    // The history changes for all, but only the first are run.
    let event = Event::from_json(&json!({ "type": "open", "candidate": 0, "time": now }).to_string()).unwrap();
    session.observe(&event, &[list.table()]).unwrap();
    assert_eq!(ranker.rerank(&session, &mut list, &options(Some(8))).rows_run, 8);
    let grown = ranker.rerank(&session, &mut list, &options(None));
    let (mut fresh, ..) = listed(&ranker, 20);
    let cold = ranker.rerank(&session, &mut fresh, &options(None));
    assert!(grown.rows_run >= 12);
    assert_eq!(bits(&grown), bits(&cold));
}

#[test]
fn history_and_candidates_reach_the_score() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    let (mut list, mut session, now) = listed(&ranker, 12);
    let options = Options { now, frozen: Frozen::default(), ..Options::default() };
    let before = ranker.rerank(&session, &mut list, &options);
    let shared = list.shared_row().to_vec();
    let event = Event::from_json(&json!({ "type": "open", "candidate": 0, "time": now }).to_string()).unwrap();
    session.observe(&event, &[list.table()]).unwrap();
    let after = ranker.rerank(&session, &mut list, &options);
    let raw = |ranking: &Ranking, row: usize| ranking.heads(row).0[0];
    assert!((0..12).all(|row| raw(&before, row) != raw(&after, row)));
    assert_eq!((shared.len(), list.shared_row().len(), list.row(0).len()), (5 + 48 + 8 + 4, 65, 13));
    assert_ne!(shared, list.shared_row());
    // The record holds what all share once, beside each candidate's row.
    let bytes = ranker.record(&list, &after, now, Level::Full);
    let recorded = Recorded::read(&mut bytes.as_slice()).unwrap();
    let record = serde_json::to_value(&recorded).unwrap();
    assert_eq!(record["shared"].as_str().map(str::len), Some(65 * 8));
    assert_eq!(record["items"][0]["features"].as_str().map(str::len), Some(13 * 8));
    // And is replayed from both; a turned bit of what is shared is seen.
    let mut replay = Replay::new(ranker, Level::Full).unwrap();
    assert!(replay.record(&recorded).is_none());
    assert_eq!((replay.summary.scores, replay.summary.rows, replay.summary.differing), (1, 12, 0));
    let Recorded::Decision(mut turned) = recorded else { panic!("a decision") };
    turned.shared[0] = f32::from_bits(turned.shared[0].to_bits() ^ 1);
    assert!(replay.record(&Recorded::Decision(turned)).is_some());
}

/// The refusal of the fixture's specification with some of its text replaced.
fn refused(from: &str, to: &str) -> ranklet::Error {
    let text = text();
    assert!(text.contains(from), "{from}");
    compile(&text.replacen(from, to, 1)).expect_err(to)
}

#[test]
fn what_does_not_fit_is_refused_with_feature_input_and_mend() {
    let seen =
        "from = \"facts.workflow.seen\"\nkind = \"sequence\"\nlength = 4\nhash_buckets = 51\noffset = 1\nmissing = 0.0";
    for (from, to, kind, words) in [
        (
            "[[inputs]]\nname = \"mask\"",
            "",
            ErrorKind::SchemaMismatch,
            vec!["feature `recent_mask`", "none of the [[inputs]]"],
        ),
        ("name = \"mask\"\n\n", "name = \"masque\"\n\n", ErrorKind::SchemaMismatch, vec!["recent_mask"]),
        (
            seen,
            &seen.replace("51", "52"),
            ErrorKind::SchemaMismatch,
            vec!["feature `seen`, input `seen`", "0 to 51", "0 to 52", "`offset`"],
        ),
        (
            seen,
            &seen.replace("\nmissing = 0.0", ""),
            ErrorKind::SchemaMismatch,
            vec!["feature `seen`, input `seen`", "`missing`"],
        ),
        (
            "from = \"candidate.features.item\"\nkind = \"categorical\"\nhash_buckets = 51\nhashes = 2\noffset = 1\nmissing = 0.0",
            "from = \"candidate.features.item\"\nkind = \"embedding\"\nwidth = 2\nmissing = 0.0",
            ErrorKind::SchemaMismatch,
            vec!["feature `item_id`, input `item_id`", "whole numbers", "bucketise"],
        ),
        ("width = 4", "width = 5", ErrorKind::SchemaMismatch, vec!["10 columns", "input `item` [N, 9]", "takes 9"]),
        (
            "from = \"facts.performance.spend\"",
            "from = \"candidate.features.spend\"",
            ErrorKind::SchemaMismatch,
            vec!["input `context` [1, 5]", "one row for the whole request"],
        ),
        (
            "onnx = \"din_towers.onnx\"",
            "onnx = \"din_towers.onnx\"\ninput = \"item\"",
            ErrorKind::SpecInvalid,
            vec!["model.input", "[[inputs]]"],
        ),
        ("name = \"live\"", "name = \"live\"\nsize = 3", ErrorKind::SpecInvalid, vec!["inputs[6].size", "no such key"]),
    ] {
        let error = refused(from, to);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(words.iter().all(|word| error.message().contains(word)), "{to}: {error}");
    }
    // Without [[inputs]] the model's are named.
    let plain: String = text().split("[[inputs]]").next().unwrap().to_owned()
        + "\n[[features]]\nname = \"x\"\nfrom = \"candidate.value\"\n";
    let error = compile(&plain).unwrap_err();
    assert!(
        ["context, history, mask", "[[inputs]]", "`input`"].iter().all(|word| error.message().contains(word)),
        "{error}"
    );
}

#[test]
fn the_schema_a_model_was_trained_with_is_the_specifications_or_nothing() {
    let text = text();
    let digest = Spec::parse(&text).unwrap().schema_digest();
    let with = |digest: &str| text.replacen("[model]", &format!("[model]\ntrained_with = {digest:?}"), 1);
    let bytes = compile(&with(&digest)).unwrap();
    assert_eq!(Ranker::open(&bytes).unwrap().digests().schema, digest);
    let other = "0".repeat(64);
    let error = compile(&with(&other)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
    assert!([&digest, &other, "model.trained_with"].iter().all(|word| error.message().contains(*word)), "{error}");

    // In the ONNX file's metadata_props: a message of field 14 behind the others is read as one more of them.
    let onnx = |digest: &str| {
        let mut entry = vec![0x0a, SCHEMA_KEY.len() as u8];
        entry.extend(SCHEMA_KEY.bytes());
        entry.extend([0x12, 64]);
        entry.extend(digest.bytes());
        let mut bytes = read("din_towers.onnx").unwrap();
        bytes.extend([0x72, entry.len() as u8]);
        bytes.extend(entry);
        bytes
    };
    let golden = |digest: &str| {
        let tensors = read_tensors(&read("din_towers_golden.safetensors").unwrap()).unwrap();
        write_with(&tensors, &[(SCHEMA_KEY, digest)])
    };
    let spec = Spec::parse(&text).unwrap();
    for (path, place) in
        [("din_towers.onnx", "the metadata of the ONNX model"), ("din_towers_golden.safetensors", "model.golden")]
    {
        let given = |digest: &str| {
            let bytes = if path.ends_with("onnx") { onnx(digest) } else { golden(digest) };
            compile_spec(&spec, &|name| if name == path { Ok(bytes.clone()) } else { read(name) }, None, None)
        };
        assert!(given(&digest).is_ok(), "{place}");
        let error = given(&other).unwrap_err();
        assert!(error.kind() == ErrorKind::SchemaMismatch && error.message().contains(place), "{error}");
    }

    // What features do not see changes no digest; what they see does.
    let same = |from: &str, to: &str| Spec::parse(&text.replacen(from, to, 1)).unwrap().schema_digest() == digest;
    assert!(same("[context]", "[policy]\ndismiss_for = \"3d\"\n[context]"));
    assert!(same("weight = 0.25", "weight = 0.5"));
    for (from, to) in [
        ("sequence = 12", "sequence = 13"),
        ("name = \"mask\"\n\n", "name = \"mask\"\nrows = \"request\"\n\n"),
        ("hashes = 2", "hashes = 3"),
    ] {
        assert!(!same(from, to), "{to}");
    }
}

#[test]
fn statistics_of_the_training_rows_come_with_the_bundle_and_change_no_score() {
    let text = text();
    let spec = Spec::parse(&text).unwrap();
    let encoder = Encoder::with_inputs(&spec.features, &spec.inputs, &spec.context()).unwrap();
    // Two inputs are looked at, the others are there because they must be.
    let mut tensors = Tensors::new();
    for part in encoder.parts() {
        let mut cells = vec![0.0; 4 * part.width];
        if part.name == "live" {
            cells = vec![1.0, f32::NAN, 2.0, f32::NAN, 3.0, 5.0, 6.0, 5.0];
        }
        if part.name == "context" {
            cells[0] = 1.0;
        }
        tensors.insert(part.name.clone(), Tensor::f32(&[4, part.width], cells));
    }
    let with = text.replacen("[model]", "[model]\ntraining = \"rows\"", 1);
    let given = |tensors: &Tensors| {
        let bytes = write_with(tensors, &[]);
        compile_spec(
            &Spec::parse(&with)?,
            &|name| if name == "rows" { Ok(bytes.clone()) } else { read(name) },
            None,
            None,
        )
    };
    let bytes = given(&tensors).unwrap().0;
    let ranker = Ranker::open(&bytes).unwrap();
    let training = ranker.manifest().training.clone().unwrap();
    assert_eq!((training.rows, training.requests), (4, 4));
    let stored = Bundle::read(&bytes).unwrap().tensors;
    let at = spec.features.features.iter().position(|f| f.name == "opens").unwrap();
    let row = |at: usize| stored[&training.features].as_f32().unwrap()[at * STATISTICS..(at + 1) * STATISTICS].to_vec();
    let opens = row(at);
    assert_eq!(opens[..3], [0.0, 3.0, 3.5_f32.sqrt()]);
    assert_eq!((opens[3], opens[11], opens[19]), (1.0, 2.0, 6.0), "least, middle and greatest");
    assert_eq!(row(at + 1)[..3], [0.5, 5.0, 0.0]);
    let shares = stored[&training.shares].as_f32().unwrap();
    assert_eq!(shares[..2], [0.25, 0.0], "country: NL once in four");
    assert!(bytes.len() - bundle().len() < 3000, "{} bytes more", bytes.len() - bundle().len());
    let (mut one, mut other) = (ranker, Ranker::open(bundle()).unwrap());
    for ranker in [&mut one, &mut other] {
        assert_eq!(ranker.digests().schema, spec.schema_digest());
    }
    let ranked = |ranker: &mut Ranker| {
        let (mut list, session, now) = listed(ranker, 9);
        bits(&ranker.rerank(&session, &mut list, &Options { now, frozen: Frozen::default(), ..Options::default() }))
    };
    assert_eq!(ranked(&mut one), ranked(&mut other));

    tensors.insert("live".to_owned(), Tensor::f32(&[4, 3], vec![0.0; 12]));
    let error = given(&tensors).unwrap_err();
    assert!(error.kind() == ErrorKind::SpecInvalid && error.message().contains("`live` [rows, 2]"), "{error}");
    tensors.remove("live");
    assert!(given(&tensors).unwrap_err().message().contains("it holds no `live`"));
}

#[test]
fn a_bundle_of_an_earlier_release_decides_as_it_did() {
    let folder = folder().join("compat/1.0");
    let bytes = fs::read(folder.join("compat.ranklet")).unwrap();
    let mut ranker = Ranker::open(&bytes).unwrap();
    let request = Request::from_json(&fs::read_to_string(folder.join("request.json")).unwrap()).unwrap();
    let mut list = ranker.prepare_json(&request).unwrap();
    let mut session = ranker.session().unwrap();
    for line in fs::read_to_string(folder.join("events.jsonl")).unwrap().lines() {
        session.observe(&Event::from_json(line).unwrap(), &[list.table()]).unwrap();
    }
    let ranking = ranker.rerank(
        &session,
        &mut list,
        &Options { now: request.now, frozen: Frozen::default(), ..Options::default() },
    );
    let bytes = ranker.record(&list, &ranking, request.now, Level::Full);
    let record = serde_json::to_value(Recorded::read(&mut bytes.as_slice()).unwrap()).unwrap();
    let stored: Value = serde_json::from_str(&fs::read_to_string(folder.join("record.json")).unwrap()).unwrap();
    // Numbers are compared as JSON holds them: shortest decimals that read back to the same bits.
    for (item, before) in record["items"].as_array().unwrap().iter().zip(stored["items"].as_array().unwrap()) {
        for key in ["id", "key", "rank", "server_rank", "score", "utility", "suppressed", "features"] {
            assert_eq!(item[key], before[key], "{key} of {}", item["id"]);
        }
        // 1.0 wrote a raw value as the shortest decimal of an f32, records do now as its double.
        let raw = |item: &Value| item["heads"]["accept"]["raw"].as_f64().map(|raw| raw as f32);
        assert_eq!(
            (raw(item), &item["heads"]["accept"]["calibrated"]),
            (raw(before), &before["heads"]["accept"]["calibrated"])
        );
    }
    for key in ["source", "reason", "numerics", "digests", "surface", "now"] {
        assert_eq!(record[key], stored[key], "{key}");
    }
    // And what it was compiled from still compiles to the same arithmetic.
    let text = fs::read_to_string(folder.join("spec.toml")).unwrap();
    let read = |path: &str| Ok(fs::read(folder.join(path)).expect("a committed file"));
    let again = compile_spec(&Spec::parse(&text).unwrap(), &read, None, None).unwrap().0;
    let manifest: Value = serde_json::from_str(Bundle::read(&again).unwrap().manifest_json()).unwrap();
    assert_eq!((&manifest["minor"], manifest.get("inputs")), (&json!(0), None), "what 1.0 reads stays readable to it");
    let towers: Value = serde_json::from_str(Bundle::read(bundle()).unwrap().manifest_json()).unwrap();
    assert_eq!((&towers["minor"], &towers["input"]), (&json!(1), &Value::Null));
}

#[test]
fn an_empty_list_with_shared_inputs_is_ranked() {
    let mut ranker = Ranker::open(bundle()).unwrap();
    let mut list = ranker.prepare_json(&request(&[], &json!({}), 1.0)).unwrap();
    let session = ranker.session().unwrap();
    let ranking =
        ranker.rerank(&session, &mut list, &Options { now: 1.0, frozen: Frozen::default(), ..Options::default() });
    assert!(ranking.is_model() && ranking.entries.is_empty());
    // The matrix is there for a record all the same.
    let table = Table::from_json(ranker.encoder().layout(), &request(&[], &json!({}), 1.0)).unwrap();
    let mut matrix = Matrix::default();
    let scene = Scene { table: &table, surface: None, context: session.context(), now: 1.0 };
    ranker.encoder().encode(&scene, false, &mut matrix);
    assert_eq!(matrix.shared.len(), ranker.encoder().shared_width());
}
