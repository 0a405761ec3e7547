//! `ranklet replay`: what was recorded is made again to the bit, and any one bit that is not is named.

use ranklet::evaluate::{Log, Recorded};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

fn model(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ads-recs").join(path).display().to_string()
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("replay");
    fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

fn ranklet(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ranklet")).args(args).output().expect("the binary runs")
}

/// The demo's bundle, and what it decides for the first recorded request: JSON, compact form.
fn recorded() -> &'static (String, Value, Vec<u8>) {
    static RECORDED: OnceLock<(String, Value, Vec<u8>)> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let bundle = folder().join("b.ranklet").display().to_string();
        assert_eq!(ranklet(&["compile", &model("spec.toml"), "-o", &bundle]).status.code(), Some(0));
        let compact = folder().join("first.bin");
        let (request, events) = (model("requests/01.json"), model("events/01.jsonl"));
        let to = compact.display().to_string();
        let args = ["rerank", &bundle, "--request", &request, "--events", &events, "--json", "--records", &to];
        let output = ranklet(&args);
        assert_eq!(output.status.code(), Some(0));
        let record = serde_json::from_slice(&output.stdout).expect("a record");
        (bundle, record, fs::read(compact).expect("the compact form"))
    })
}

/// Exit code, stdout, last line on stderr.
fn replay(name: &str, log: &[u8], level: &str) -> (Option<i32>, String, String) {
    let path = folder().join(name);
    fs::write(&path, log).expect("a log");
    let output = ranklet(&["replay", &recorded().0, "--log", &path.display().to_string(), "--level", level]);
    let last = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), last)
}

fn first() -> Value {
    recorded().1.clone()
}

#[test]
fn both_forms_replay_at_both_levels() {
    let (_, record, compact) = recorded();
    for (name, log) in [("good.jsonl", record.to_string().into_bytes()), ("good.bin", compact.clone())] {
        let (code, out, last) = replay(name, &log, "full");
        assert_eq!((code, last.as_str()), (Some(0), ""), "{out}");
        assert!(out.contains("scores    1 with 12 rows") && out.contains("differing   0 bits in 0 decisions"), "{out}");
        let (code, out, _) = replay(name, &log, "aggregate");
        assert_eq!(code, Some(0));
        assert!(out.contains("policy    1 without scores (1 asked for)"), "{out}");
    }
}

/// A number with one bit of it turned.
fn turned(value: &Value, bit: u32) -> Value {
    json!(f64::from_bits(value.as_f64().expect("a number").to_bits() ^ 1 << bit))
}

#[test]
fn one_turned_bit_is_named() {
    let decision = first()["decision_id"].as_str().expect("an id").to_owned();
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 12] = [
        ("score", |r| r["items"][2]["score"] = turned(&r["items"][2]["score"], 0), "(rank 3), score:"),
        ("utility", |r| r["items"][2]["utility"] = turned(&r["items"][2]["utility"], 0), "(rank 3), utility:"),
        ("propensity", |r| r["items"][1]["propensity"] = turned(&json!(1.0), 0), "(rank 2), propensity:"),
        ("log propensity", |r| r["items"][1]["log_propensity"] = json!(-5e-324), "(rank 2), log_propensity:"),
        ("of the list", |r| r["log_propensity"] = json!(5e-324), "log_propensity:"),
        (
            "raw",
            |r| {
                let raw = &mut r["items"][0]["heads"]["accept"]["raw"];
                *raw = json!(f64::from(f32::from_bits((raw.as_f64().expect("a number") as f32).to_bits() ^ 1)));
            },
            "(rank 1), heads.accept.raw:",
        ),
        (
            "calibrated",
            |r| {
                let head = &mut r["items"][0]["heads"]["accept"]["calibrated"];
                *head = turned(head, 3);
            },
            "(rank 1), heads.accept.calibrated:",
        ),
        (
            "a row",
            |r| {
                // The lowest bit of a column: no tree need see it.
                let row = r["items"][4]["features"].as_str().expect("a row").to_owned();
                let last = u32::from_str_radix(&row[row.len() - 8..], 16).expect("hex") ^ 1;
                r["items"][4]["features"] = json!(format!("{}{last:08x}", &row[..row.len() - 8]));
            },
            "(rank 5), features (their row_hash):",
        ),
        (
            "two items",
            |r| {
                let items = r["items"].as_array_mut().expect("items");
                items.swap(0, 1);
                items[0]["rank"] = json!(1);
                items[1]["rank"] = json!(2);
            },
            "(rank 1), order: recorded item",
        ),
        ("constraints", |r| r["items"][3]["constraints"] = json!(["spacing"]), "(rank 4), constraints:"),
        ("a value", |r| r["items"][0]["value"] = json!(0.5), "(rank 1), order:"),
        ("the bundle", |r| r["digests"]["bundle"] = json!("00".repeat(32)), "digests.bundle: recorded bundle 00"),
    ];
    for (what, change, word) in cases {
        let mut record = first();
        change(&mut record);
        let log = format!("{}\n\n{record}\n", first());
        let (code, out, last) = replay("turned.jsonl", log.as_bytes(), "full");
        assert_eq!(code, Some(1), "{what}: {out}");
        assert!(last.starts_with("error: ") && last.ends_with("(replay_differs)"), "{what}: {last}");
        assert!(last.contains(&format!("line 3, decision {decision}, ")) && last.contains(word), "{what}: {last}");
        assert!(last.contains("recorded") && last.contains("recomputed"), "{what}: {last}");
        assert!(!out.contains("differing   0 bits") && out.contains("in 1 decisions"), "{what}: {out}");
    }
}

#[test]
fn every_turned_bit_of_the_compact_rows_is_found() {
    let (_, record, compact) = recorded();
    // The rows lie at the end, before the hashes: one item's last columns, as they stand in the bytes.
    let tail = compact.len() - 100;
    for at in (tail - 300..tail).step_by(37) {
        let mut log = compact.clone();
        log[at] ^= 1 << (at % 8);
        let (code, _, last) = replay("turned.bin", &log, "full");
        assert_eq!(code, Some(1), "byte {at}");
        assert!(last.contains("record 1"), "{last}");
    }
    assert!(record["items"][0]["features"].is_string());
}

#[test]
fn lines_that_cannot_be_read_are_named_by_number() {
    let mut place = first();
    place["items"][0]["rank"] = json!(7);
    let mut twice = first();
    twice["items"][0]["server_rank"] = twice["items"][1]["server_rank"].clone();
    let mut source = first();
    source["source"] = json!("server");
    for (bad, word) in [
        ("{".to_owned(), "line 2"),
        (r#"{"kind":"wish"}"#.to_owned(), "kind"),
        (place.to_string(), "items[0].rank"),
        (twice.to_string(), "server_rank"),
        (source.to_string(), "source"),
    ] {
        let (code, out, last) = replay("bad.jsonl", format!("{}\n{bad}\n{}\n", first(), first()).as_bytes(), "full");
        assert_eq!(code, Some(1));
        assert!(last.contains("bad.jsonl: line 2: ") && last.contains(word), "{last}");
        assert!(out.contains("decisions   2") && out.contains("1 that cannot be read"), "{out}");
    }
    let mut cut = recorded().2.clone();
    cut.truncate(cut.len() - 1);
    let (code, _, last) = replay("cut.bin", &cut, "full");
    assert!(code == Some(1) && last.contains("record 1: it ends too soon"), "{last}");
}

#[test]
fn rows_that_are_withheld_leave_the_policy_to_replay() {
    let mut record = first();
    record["withheld"] = json!("local_only");
    for item in record["items"].as_array_mut().expect("items") {
        let item = item.as_object_mut().expect("an item");
        item.remove("features");
        item.remove("row_hash");
    }
    let (code, out, _) = replay("withheld.jsonl", record.to_string().as_bytes(), "full");
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("policy    1 without scores (1 rows withheld)"), "{out}");
}

#[test]
fn json_and_compact_form_are_one() {
    let (_, record, compact) = recorded();
    let text = record.to_string();
    let of = |log: &[u8]| Log::new(log).next().expect("a record").recorded.expect("readable");
    let (json, binary) = (of(text.as_bytes()), of(compact));
    assert_eq!(json.write(), *compact);
    assert_eq!(serde_json::to_value(&json).expect("JSON"), serde_json::to_value(&binary).expect("JSON"));
    assert!(matches!(json, Recorded::Decision(_)));
}

#[test]
fn an_exploring_diverse_policy_replays_and_another_seed_does_not() {
    let copy = folder().join("exploring");
    fs::create_dir_all(&copy).expect("a folder");
    for name in ["ranker.onnx", "calibrator.onnx", "golden.safetensors"] {
        fs::copy(model(name), copy.join(name)).expect("a committed file");
    }
    let policy = "[policy]\nexplore = { method = \"plackett_luce\", strength = 1.0, first = 5 }\n\
                  diversity = { method = \"dpp\", strength = 0.5, first = 6, similarity = { features = [\"lost_to_budget\"] } }\n\
                  displacement = 6\nspacing = { apart = 1, first = 6 }\ncaps = [{ most = 2, first = 8 }]\n";
    let spec = fs::read_to_string(model("spec.toml")).expect("the specification");
    let spec = spec.replacen("[policy]\n", policy, 1);
    fs::write(copy.join("spec.toml"), spec).expect("a specification");
    let [bundle, spec, requests] =
        ["e.ranklet", "spec.toml", "requests.jsonl"].map(|name| copy.join(name).display().to_string());
    assert_eq!(ranklet(&["compile", &spec, "-o", &bundle]).status.code(), Some(0));
    let mut log = String::new();
    for n in 1..=5 {
        let text = fs::read_to_string(model(&format!("requests/{n:02}.json"))).expect("a request");
        let mut request: Value = serde_json::from_str(&text).expect("JSON");
        request["seed"] = json!(u64::MAX - 58);
        request["frozen"] = json!(1);
        request["candidates"][0]["pin"] = json!(2);
        request["candidates"][1]["spend_effect"] = json!(5.0);
        request["candidates"][2]["target"] = json!("t");
        log += &format!("{request}\n");
    }
    fs::write(&requests, log).expect("requests");
    let output = ranklet(&["rerank", &bundle, "--request", &requests, "--json"]);
    let records = String::from_utf8(output.stdout).expect("UTF-8");
    let run = |log: &str| {
        let path = copy.join("log.jsonl").display().to_string();
        fs::write(&path, log).expect("a log");
        let output = ranklet(&["replay", &bundle, "--log", &path]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&records), (Some(0), String::new()));
    let first: Value = serde_json::from_str(records.lines().next().expect("a record")).expect("JSON");
    assert_eq!((&first["seed"], &first["explored"]), (&json!((u64::MAX - 58).to_string()), &json!(true)));
    assert!(first["log_propensity"].as_f64().is_some_and(|p| p < 0.0));
    let (code, last) = run(&records.replace(&(u64::MAX - 58).to_string(), &(u64::MAX - 57).to_string()));
    assert_eq!(code, Some(1));
    assert!(last.contains("recorded") && last.contains("(replay_differs)"), "{last}");
}
