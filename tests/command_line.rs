//! The command line as a user meets it: stdout holds results alone, exit codes mean what they say, and the last
//! line on stderr is the error.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn model(path: &str) -> String {
    root().join("models/ads-recs").join(path).display().to_string()
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

fn ranklet(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ranklet")).args(args).output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn last_error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

/// The demo's bundle, compiled by the command.
fn compiled(name: &str) -> String {
    let bundle = folder(name).join("ads-recs.ranklet").display().to_string();
    let output = ranklet(&["compile", &model("spec.toml"), "-o", &bundle]);
    assert_eq!(output.status.code(), Some(0), "{}", last_error(&output));
    assert!(stdout(&output).contains("against ONNX Runtime's outputs"));
    bundle
}

#[test]
fn rerank_prints_one_record_and_inspect_one_document() {
    let bundle = compiled("rerank");
    let (request, events) = (model("requests/01.json"), model("events/01.jsonl"));
    let output = ranklet(&["rerank", &bundle, "--request", &request, "--events", &events, "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let record: Value = serde_json::from_str(&stdout(&output)).expect("one JSON document");
    assert_eq!(record["source"], "model");
    assert_eq!(record["digests"]["bundle"].as_str().map(str::len), Some(64));
    for key in ["reason", "decision_id", "list_id", "seed", "now", "numerics"] {
        assert!(record.get(key).is_some(), "{key}");
    }
    let item = &record["items"][0];
    for key in ["id", "key", "rank", "server_rank", "score", "heads", "utility", "propensity", "log_propensity"] {
        assert!(item.get(key).is_some(), "{key}");
    }
    assert_eq!((&item["propensity"], &record["seed"]), (&Value::from(1.0), &Value::Null));

    let table = stdout(&ranklet(&["rerank", &bundle, "--request", &request]));
    assert!(table.contains("source: model") && !table.contains('\u{1b}'), "no colour in a pipe");

    let document = stdout(&ranklet(&["inspect", &bundle, "--json"]));
    let document: Value = serde_json::from_str(&document).expect("one JSON document");
    assert_eq!(document["name"], "ads-recs");
    assert!(document["signals"].as_array().is_some_and(|s| s.iter().all(|s| s["doc"].is_string())));
}

#[test]
fn small_weights_are_reported_and_shown() {
    let bundle = folder("weights").join("mlp.ranklet").display().to_string();
    let source = root().join("tests/fixtures/mlp_wide.onnx").display().to_string();
    let output = ranklet(&["compile", &source, "-o", &bundle, "--weights", "int8"]);
    let report = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", last_error(&output));
    for line in
        ["weights       int8: 1 as int8, 1 with 16 bits, 1 left in f32; 5.31 KiB, 16.06 KiB", "score error", "NDCG"]
    {
        assert!(report.contains(line), "{report}");
    }
    let text = stdout(&ranklet(&["inspect", &bundle]));
    assert!(text.contains("weights       1 x f16 (2.00 KiB), 1 x f32 (64 B), 1 x int8 (3.00 KiB)"), "{text}");
    let document: Value = serde_json::from_str(&stdout(&ranklet(&["inspect", &bundle, "--json"]))).expect("JSON");
    let int8 = document["weights"].as_array().and_then(|forms| forms.iter().find(|form| form["form"] == "int8"));
    assert_eq!(int8.map(|form| (&form["tensors"], &form["bytes"])), Some((&1.into(), &3072.into())));
    let strict = ["compile", &source, "-o", &bundle, "--weights", "int8", "--weights-tolerance", "1e-6"];
    let output = ranklet(&strict);
    assert_eq!(output.status.code(), Some(1));
    assert!(last_error(&output).contains("(golden_mismatch)"), "{}", last_error(&output));
    assert_eq!(ranklet(&["compile", &source, "-o", &bundle, "--weights", "int4"]).status.code(), Some(2));
}

#[test]
fn a_broken_bundle_still_gives_the_servers_order() {
    let bundle = compiled("broken");
    let cut = folder("broken").join("cut.ranklet");
    let bytes = fs::read(&bundle).expect("the bundle");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a cut bundle");
    let output = ranklet(&["rerank", &cut.display().to_string(), "--request", &model("requests/01.json"), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let record: Value = serde_json::from_str(&stdout(&output)).expect("one JSON document");
    assert_eq!((&record["source"], &record["reason"]), (&"server".into(), &"bundle_corrupt".into()));
    let order: Vec<_> = record["items"].as_array().expect("items").iter().map(|i| i["server_rank"].as_u64()).collect();
    assert_eq!(order, (1..=order.len() as u64).map(Some).collect::<Vec<_>>());
    assert!(last_error(&output).starts_with("error: ") && last_error(&output).contains("cut.ranklet"));
}

#[test]
fn featurize_gives_the_rows_that_rerank_saw() {
    let bundle = compiled("featurize");
    let folder = folder("featurize");
    let matrix = folder.join("X.safetensors").display().to_string();
    let log = folder.join("log.jsonl");
    let request: Value =
        serde_json::from_slice(&fs::read(model("requests/01.json")).expect("a request")).expect("JSON");
    fs::write(&log, format!("{request}\n")).expect("a log");
    let (log, events) = (log.display().to_string(), model("events/01.jsonl"));
    // From the specification and from the bundle alike.
    for source in [model("spec.toml"), bundle.clone()] {
        let output = ranklet(&["featurize", &source, "--requests", &log, "--events", &events, "-o", &matrix]);
        assert_eq!(output.status.code(), Some(0), "{}", last_error(&output));
        let tensors = ranklet::bundle::read_tensors(&fs::read(&matrix).expect("the matrix")).expect("safetensors");
        let x = tensors["X"].as_f32().expect("f32");
        let record = stdout(&ranklet(&["rerank", &bundle, "--request", &log, "--events", &events, "--json"]));
        let record: Value = serde_json::from_str(&record).expect("one record");
        let width = tensors["X"].dims[1];
        for item in record["items"].as_array().expect("items") {
            let row = item["server_rank"].as_u64().expect("a rank") as usize - 1;
            let hex: String =
                x[row * width..(row + 1) * width].iter().map(|v| format!("{:08x}", v.to_bits())).collect();
            assert_eq!(item["features"], hex.as_str());
        }
        assert_eq!(tensors["candidate"].as_i32().map(<[i32]>::len), Some(tensors["X"].dims[0]));
    }
}

#[test]
fn requests_with_events_and_full_records_give_the_same_matrices() {
    let folder = folder("records");
    let bundle = folder.join("towers.ranklet").display().to_string();
    let spec = root().join("tests/fixtures/din_towers.toml").display().to_string();
    let output = ranklet(&["compile", &spec, "-o", &bundle]);
    assert_eq!(output.status.code(), Some(0), "{}", last_error(&output));
    let [requests, events, records, x, y] =
        ["requests.jsonl", "events.jsonl", "records.jsonl", "x.safetensors", "y.safetensors"]
            .map(|name| folder.join(name).display().to_string());
    let candidate = |i: u64, n: u64| {
        serde_json::json!({ "id": i, "key": format!("k{}", i % 4), "type": "fix_tag", "features": {
            "vector": [i as f64 / 7.0, 1.5, -0.25, n], "tags": ["urgent", "new"], "item": 9_007_199_254_740_993 + i, "related": ["k1"] } })
    };
    let request = |n: u64| {
        let candidates: Vec<Value> = (0..n + 3).map(|i| candidate(i, n)).collect();
        serde_json::json!({ "session": format!("s{}", n % 2), "now": 1_800_000_000_000_u64 + n * 60_000, "candidates": candidates,
            "facts": { "account": { "country": "NL", "vector": [0.1, n] }, "workflow": { "seen": [n, 3, 4, 5, 6] } } }).to_string()
    };
    let kinds = ["open", "impression", "dwell"];
    let event = |n: u64| {
        serde_json::json!({ "type": kinds[n as usize % 3], "session": format!("s{}", n % 2), "value": 9,
            "candidate": n % 3, "time": 1_800_000_000_000_u64 + n * 17_000 })
        .to_string()
    };
    fs::write(&requests, (0..6).map(request).collect::<Vec<_>>().join("\n")).expect("requests");
    fs::write(&events, (0..20).map(event).collect::<Vec<_>>().join("\n")).expect("events");
    let ranked = ranklet(&["rerank", &bundle, "--request", &requests, "--events", &events, "--json"]);
    assert_eq!(ranked.status.code(), Some(0), "{}", last_error(&ranked));
    fs::write(&records, &ranked.stdout).expect("records");
    let from_requests = ranklet(&["featurize", &spec, "--requests", &requests, "--events", &events, "-o", &x]);
    assert_eq!(from_requests.status.code(), Some(0), "{}", last_error(&from_requests));
    let from_records = ranklet(&["featurize", &bundle, "--records", &records, "-o", &y]);
    assert_eq!(from_records.status.code(), Some(0), "{}", last_error(&from_records));
    assert!(fs::read(&x).expect("x") == fs::read(&y).expect("y"), "the two differ");
    assert_eq!(stdout(&from_requests), stdout(&from_records));
    let tensors = ranklet::bundle::read_tensors(&fs::read(&x).expect("x")).expect("safetensors");
    assert_eq!((&tensors["history"].dims[..], &tensors["item"].dims[..]), (&[6, 8, 6][..], &[33, 9][..]));
    let history = tensors["history"].as_f32().expect("f32");
    assert_ne!(history[..48], history[48 * 4..48 * 5], "what happened is in it");
    // The digest travels with the rows: into the bundle they describe, and into no other.
    let digest = ranklet::bundle::read_metadata(&fs::read(&x).expect("x"), "ranklet.schema").expect("metadata");
    assert!(stdout(&from_records).starts_with(&format!("schema {}", digest.expect("a digest"))));
    let trained = folder.join("trained.ranklet").display().to_string();
    let output = ranklet(&["compile", &spec, "-o", &trained, "--training", &x]);
    assert_eq!(output.status.code(), Some(0), "{}", last_error(&output));
    let shown = stdout(&ranklet(&["inspect", &trained]));
    assert!(shown.contains("trained on    33 candidates of 6 requests") && shown.contains("missing"), "{shown}");
    let other = folder.join("other.toml");
    let text = fs::read_to_string(&spec).expect("the specification").replace("hashes = 2", "hashes = 3");
    fs::write(&other, text.replace("onnx = \"", &format!("onnx = \"{}/tests/fixtures/", root().display())))
        .expect("another");
    let output = ranklet(&["compile", &other.display().to_string(), "-o", &trained, "--training", &x, "--golden", &x]);
    assert!(last_error(&output).contains("(schema_mismatch)"), "{}", last_error(&output));
    // Records of other rows are refused, and so are such without rows where nothing says so.
    let output = ranklet(&["featurize", &other.display().to_string(), "--records", &records, "-o", &y]);
    assert!(last_error(&output).contains("records.jsonl line 1") && last_error(&output).contains("(schema_mismatch)"));
    let without =
        stdout(&ranked).lines().map(|line| line.replacen("\"features\":\"", "\"was\":\"", 1)).collect::<Vec<_>>();
    fs::write(&records, without.join("\n")).expect("records");
    let output = ranklet(&["featurize", &bundle, "--records", &records, "-o", &y]);
    assert!(last_error(&output).contains("6 records hold no rows"), "{}", last_error(&output));
    let cut = stdout(&ranked).replacen("\"features\":\"", "\"features\":\"0", 1);
    fs::write(&records, cut).expect("records");
    let output = ranklet(&["featurize", &bundle, "--records", &records, "-o", &y]);
    assert!(last_error(&output).contains("line 1: a row of 13 features"), "{}", last_error(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn score_names_what_does_not_fit() {
    let bundle = compiled("score");
    let folder = folder("score");
    let (good, bad, out) =
        (folder.join("good.safetensors"), folder.join("bad.safetensors"), folder.join("out.safetensors"));
    let width = 62;
    let x = ranklet::engine::Tensor::f32(&[3, width], vec![0.5; 3 * width]);
    fs::write(&good, ranklet::bundle::write(&[("X".to_owned(), x)].into(), None)).expect("inputs");
    let y = ranklet::engine::Tensor::f32(&[3, 2], vec![0.5; 6]);
    fs::write(&bad, ranklet::bundle::write(&[("X".to_owned(), y)].into(), None)).expect("inputs");
    let [good, bad, out] = [good, bad, out].map(|p| p.display().to_string());
    let output = ranklet(&["score", &bundle, "--inputs", &good, "-o", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", last_error(&output));
    let outputs = ranklet::bundle::read_tensors(&fs::read(&out).expect("outputs")).expect("safetensors");
    assert_eq!(outputs["probabilities"].dims, [3, 2]);
    assert_eq!(outputs["label"].as_i64().map(<[i64]>::len), Some(3));
    let output = ranklet(&["score", &bundle, "--inputs", &bad, "-o", &out]);
    assert_eq!(output.status.code(), Some(1));
    assert!(last_error(&output).contains("bad.safetensors") && last_error(&output).contains("[N, 62]"));
}

#[test]
fn wrong_usage_and_bad_input_are_told_apart() {
    for args in [&[][..], &["bogus"], &["compile"], &["rerank", "x", "--json"], &["score", "--nonsense"]] {
        let output = ranklet(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(last_error(&output).starts_with("error: "), "{args:?}: {}", last_error(&output));
        assert!(output.stdout.is_empty());
    }
    let folder = folder("bad");
    let (spec, request) = (folder.join("spec.toml"), folder.join("request.json"));
    fs::write(&spec, "name = 3\n").expect("a specification");
    fs::write(&request, "{\"now\": 1, \"candidates\": 7}").expect("a request");
    let [spec, request] = [spec, request].map(|p| p.display().to_string());
    let bundle = compiled("bad");
    let cases = [
        (vec!["compile", "/nowhere/spec.toml", "-o", "/tmp/x"], "/nowhere/spec.toml"),
        (vec!["compile", &spec, "-o", "/nowhere/x"], "spec.toml"),
        (vec!["inspect", &spec], "spec.toml"),
        (vec!["rerank", &bundle, "--request", &request], "request.json"),
    ];
    for (args, word) in cases {
        let output = ranklet(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let error = last_error(&output);
        assert!(error.starts_with("error: ") && error.contains(word), "{args:?}: {error}");
    }
    for args in [&["--help"][..], &["compile", "--help"], &["rerank", "--help"], &["--version"]] {
        let output = ranklet(args);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
}

#[test]
fn events_meet_the_response_that_was_on_screen() {
    let bundle = compiled("log");
    let folder = folder("log");
    let (requests, events) = (folder.join("requests.jsonl"), folder.join("events.jsonl"));
    // Row ids are used again in the second response; `gone` is in the first alone.
    let log = r#"{"session":"s","now":1000,"candidates":[{"id":"r1","key":"k1","type":"raise_budget"},{"id":"r2","key":"gone","type":"lower_bid"}]}
{"session":"s","now":9000,"candidates":[{"id":"r1","key":"k2","type":"add_creative"},{"id":"r2","key":"k1","type":"raise_budget"}]}
{"session":"other","now":9000,"candidates":[{"id":"r1","key":"k1","type":"raise_budget"}]}
"#;
    let acts = r#"{"session":"s","type":"dismiss","candidate":"r1","time":2000}
{"session":"s","type":"open","key":"gone","time":3000}
{"type":"dismiss","key":"k1","time":2000}
"#;
    fs::write(&requests, log).expect("a log");
    fs::write(&events, acts).expect("events");
    let [requests, events, matrix] = [requests, events, folder.join("X.safetensors")].map(|p| p.display().to_string());
    let output = ranklet(&["rerank", &bundle, "--request", &requests, "--events", &events, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", last_error(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 events name no session"));
    let records: Vec<Value> = stdout(&output).lines().map(|l| serde_json::from_str(l).expect("a record")).collect();
    let suppressed = |record: &Value| -> Vec<(String, bool)> {
        let items = record["items"].as_array().expect("items");
        items.iter().map(|i| (i["key"].as_str().expect("a key").to_owned(), !i["suppressed"].is_null())).collect()
    };
    assert!(suppressed(&records[0]).iter().all(|(_, s)| !s), "before the events");
    let mut second = suppressed(&records[1]);
    second.sort();
    assert_eq!(second, [("k1".to_owned(), true), ("k2".to_owned(), false)], "r1 was k1 when it was dismissed");
    assert_eq!(suppressed(&records[2]), [("k1".to_owned(), false)], "another session");

    // The type of `gone` is still known from the first response: training sees what serving saw.
    let output =
        ranklet(&["featurize", &model("spec.toml"), "--requests", &requests, "--events", &events, "-o", &matrix]);
    assert_eq!(output.status.code(), Some(0), "{}", last_error(&output));
    let tensors = ranklet::bundle::read_tensors(&fs::read(&matrix).expect("the matrix")).expect("safetensors");
    let (x, width) = (tensors["X"].as_f32().expect("f32"), tensors["X"].dims[1]);
    assert_eq!(tensors["request"].as_i32(), Some(&[0, 0, 1, 1, 2][..]));
    for item in records[1]["items"].as_array().expect("items") {
        let row = 1 + item["server_rank"].as_u64().expect("a rank") as usize;
        let hex: String = x[row * width..(row + 1) * width].iter().map(|v| format!("{:08x}", v.to_bits())).collect();
        assert_eq!(item["features"], hex.as_str());
    }
}

#[test]
fn frozen_is_read_strictly_and_failures_name_their_line() {
    let bundle = compiled("frozen");
    let log = folder("frozen").join("log.jsonl");
    let request = |frozen: &str, id: &str| {
        format!(r#"{{"now":1,"frozen":{frozen},"candidates":[{{"id":"{id}"}},{{"id":"b"}}]}}"#)
    };
    for frozen in ["3.0", "0", "null", r#"["b", 7]"#] {
        fs::write(&log, request(frozen, "a")).expect("a log");
        let output = ranklet(&["rerank", &bundle, "--request", &log.display().to_string(), "--json"]);
        assert_eq!(output.status.code(), Some(0), "{frozen}: {}", last_error(&output));
    }
    for frozen in ["-1", "2.5", r#""abc""#, "[null]", "{}"] {
        fs::write(&log, request(frozen, "a")).expect("a log");
        let output = ranklet(&["rerank", &bundle, "--request", &log.display().to_string(), "--json"]);
        assert_eq!(output.status.code(), Some(1), "{frozen}");
        assert!(
            last_error(&output).contains("line 1") && last_error(&output).contains("frozen"),
            "{}",
            last_error(&output)
        );
    }
    fs::write(&log, format!("{}\n{}\n", request("0", "a"), request("0", "b"))).expect("a log");
    let output = ranklet(&["rerank", &bundle, "--request", &log.display().to_string(), "--json"]);
    assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(1), 2), "one record a request");
    assert!(last_error(&output).contains("line 2") && last_error(&output).contains("stands twice"));
}

#[test]
fn a_closed_pipe_is_no_failure_and_files_are_written_first() {
    let bundle = compiled("pipe");
    let matrix = folder("pipe").join("X.safetensors");
    let request = model("requests/01.json");
    let commands = [
        vec!["inspect", &bundle, "--json"],
        vec!["featurize", &bundle, "--requests", &request, "-o", matrix.to_str().expect("UTF-8")],
    ];
    for args in commands {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ranklet"))
            .args(&args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the binary runs");
        drop(child.stdout.take());
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{args:?}");
    }
    assert!(matrix.exists());
}

#[test]
fn a_bundle_is_signed_verified_and_embedded() {
    let folder = folder("signing");
    let at = |name: &str| folder.join(name).display().to_string();
    for name in ["acme.key", "acme.pub", "other.key", "other.pub"] {
        let _ = fs::remove_file(at(name));
    }
    let bundle = at("small.ranklet");
    fs::copy(root().join("tests/compat/1.0/compat.ranklet"), &bundle).expect("a bundle");
    for name in ["acme", "other"] {
        let made = ranklet(&["keygen", "-o", &at(name)]);
        assert_eq!(made.status.code(), Some(0), "{}", last_error(&made));
        let private = fs::read_to_string(at(&format!("{name}.key"))).expect("private keys");
        let secrets = private.lines().skip(1).map(|line| line.split_once(':').expect("a key").1);
        let said = stdout(&made) + &String::from_utf8_lossy(&made.stderr);
        assert!(
            secrets.clone().count() == 2 && secrets.clone().all(|secret| secret.len() == 64 && !said.contains(secret))
        );
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(at("acme.key")).expect("keys").permissions().mode() & 0o777, 0o600);
    }
    let again = ranklet(&["keygen", "-o", &at("acme")]);
    assert!(again.status.code() == Some(1) && last_error(&again).contains("acme.key"), "{}", last_error(&again));

    let unsigned = ranklet(&["verify", &bundle, "--keys", &at("acme.pub")]);
    assert!(unsigned.status.code() == Some(1) && last_error(&unsigned).ends_with("(bundle_unsigned)"));
    assert!(stdout(&ranklet(&["inspect", &bundle])).contains("signed        no"));
    for output in ["signed.ranklet", "again.ranklet"] {
        let signed = ranklet(&["sign", &bundle, "--key", &at("acme.key"), "-o", &at(output)]);
        assert_eq!(signed.status.code(), Some(0), "{}", last_error(&signed));
        assert!(signed.stderr.is_empty(), "{}", last_error(&signed));
    }
    let signed = at("signed.ranklet");
    assert_eq!(fs::read(&signed).expect("signed"), fs::read(at("again.ranklet")).expect("signed"));
    let verified = ranklet(&["verify", &signed, "--keys", &at("acme.pub")]);
    assert_eq!(verified.status.code(), Some(0), "{}", last_error(&verified));
    let other = ranklet(&["verify", &signed, "--keys", &at("other.pub")]);
    assert!(other.status.code() == Some(1) && last_error(&other).ends_with("(bundle_signature)"));
    let wrong = ranklet(&["verify", &signed, "--keys", &at("acme.key")]);
    assert!(last_error(&wrong).ends_with("(key_invalid)") && last_error(&wrong).contains("acme.key"));
    let wrong = ranklet(&["sign", &signed, "--key", &at("acme.pub")]);
    assert!(wrong.status.code() == Some(1) && last_error(&wrong).ends_with("(key_invalid)"));
    let document: Value = serde_json::from_str(&stdout(&ranklet(&["inspect", &signed, "--json"]))).expect("JSON");
    let id = document["signature"]["p256"].as_str().expect("an id").to_owned();
    assert!(stdout(&verified).contains(&id) && stdout(&ranklet(&["inspect", &signed])).contains(&id));

    // A module of the least that a runtime exports; the package's own is embedded in the JavaScript tests.
    let runtime = at("runtime.wasm");
    let wasm =
        [&b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0e\x01\x0aengine_new\0\0\x0a\x04\x01\x02\0\x0b"[..]];
    fs::write(&runtime, wasm.concat()).expect("a runtime");
    let model = at("model.wasm");
    let embedded = ranklet(&["embed", &signed, "-o", &model, "--runtime", &runtime]);
    assert_eq!(embedded.status.code(), Some(0), "{}", last_error(&embedded));
    assert_eq!(ranklet(&["verify", &model, "--keys", &at("acme.pub")]).status.code(), Some(0));
    let again: Value = serde_json::from_str(&stdout(&ranklet(&["inspect", &model, "--json"]))).expect("JSON");
    assert_eq!(again, document);
    let twice = ranklet(&["embed", &model, "-o", &at("twice.wasm"), "--runtime", &model]);
    assert_eq!(twice.status.code(), Some(0), "{}", last_error(&twice));
    assert_eq!(fs::read(&model).expect("a module"), fs::read(at("twice.wasm")).expect("a module"));
    for args in [
        ["embed", &signed, "-o", &model, "--runtime", &signed],
        ["sign", &model, "--key", &at("acme.key"), "-o", &model],
    ] {
        let refused = ranklet(&args);
        assert!(
            refused.status.code() == Some(1) && last_error(&refused).ends_with("(request_invalid)"),
            "{}",
            last_error(&refused)
        );
    }
    let nowhere = Command::new(env!("CARGO_BIN_EXE_ranklet"))
        .args(["embed", &signed, "-o", &model])
        .current_dir("/")
        .output()
        .expect("the binary runs");
    assert!(
        last_error(&nowhere).contains("--runtime") && last_error(&nowhere).ends_with("(io)"),
        "{}",
        last_error(&nowhere)
    );
    let inspected = ranklet(&["inspect", &runtime]);
    assert!(last_error(&inspected).contains("no bundle is embedded"), "{}", last_error(&inspected));
}
