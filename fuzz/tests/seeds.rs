//! Seeds, and mutations of them by a fixed generator, as plain tests: no fuzzer and no nightly toolchain.
//!
//! `RANKLET_FUZZ_RUNS` says how many mutations a target gets; `RANKLET_WRITE_SEEDS=1` writes the seeds anew.

use ranklet_fuzz::{TARGETS, seeds};
use std::fs;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// A few of a fuzzer's own moves.
fn mutated(random: &mut Random, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        match random.below(8) {
            _ if bytes.is_empty() => bytes.push(random.next() as u8),
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, b"0123456789-.eE,:[]{}\"\\ntfu"[random.below(26)]),
            4 | 5 => {
                let (size, seed) = (bytes.len(), random.next() as u32 | 1);
                bytes.resize(size + 32, b' ');
                let size = ranklet_fuzz::number(&mut bytes, size, size + 32, seed).unwrap_or(size);
                bytes.truncate(size);
            }
            6 => {
                let end = (at + 1 + random.below(24)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let from = random.below(bytes.len());
                let piece = bytes[from..(from + 1 + random.below(24)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

fn runs(by_default: usize) -> usize {
    std::env::var("RANKLET_FUZZ_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(by_default)
}

fn run(name: &str, times: usize) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    let seeds = seeds::of(name);
    assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
    seeds.iter().for_each(|(_, seed)| target(seed));
    let mut random = Random(0x72_616e_6b6c_6574);
    for i in 0..runs(times) {
        let seed = &seeds[random.below(seeds.len())];
        let bytes = mutated(&mut random, &seed.1);
        // What fails is told in full by the number: the generator is fixed.
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| target(&bytes))).is_err();
        assert!(!failed, "{name}: mutation {i} of {}: {}", seed.0, String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn bundle_bytes() {
    write_seeds("bundle_bytes");
    run("bundle_bytes", 1500);
}

#[test]
fn manifest_json() {
    write_seeds("manifest_json");
    run("manifest_json", 1500);
}

#[test]
fn request_json() {
    write_seeds("request_json");
    run("request_json", 3000);
}

#[test]
fn event_stream() {
    write_seeds("event_stream");
    run("event_stream", 3000);
}

#[test]
fn plan_execution() {
    write_seeds("plan_execution");
    run("plan_execution", 600);
}

#[cfg(feature = "compile")]
#[test]
fn compile_onnx() {
    ranklet_fuzz::forgive_the_reader();
    run("compile_onnx", 60);
}

#[test]
fn the_seeds_of_rankers_open() {
    write_seeds("manifest_json");
    for (name, manifest) in seeds::of("manifest_json").iter().filter(|(name, _)| !name.starts_with("scorer")) {
        let text = std::str::from_utf8(manifest).expect("UTF-8");
        let ranker = ranklet::ranker::Ranker::open(&ranklet_fuzz::with_manifest(text));
        assert!(ranker.as_ref().is_ok_and(|ranker| ranker.ranks()), "{name}: {:?}", ranker.err());
    }
}

/// Writes a target's seeds, made of what the repository holds, if that is asked for.
fn write_seeds(target: &str) {
    if std::env::var_os("RANKLET_WRITE_SEEDS").is_none() {
        return;
    }
    let folder = seeds::folder(target);
    fs::create_dir_all(&folder).expect("a folder for the seeds");
    for (name, bytes) in made(target) {
        fs::write(folder.join(name), bytes).expect("a seed");
    }
}

/// A session's, small: a fuzzer learns little from a large one.
fn snapshot() -> String {
    let ranker = ranklet::ranker::Ranker::open(&file("bases/compat.ranklet")).expect("a bundle that opens");
    let mut session = ranker.session().expect("a session");
    for event in [
        r#"{"id":"1","type":"open","key":"k","candidate_type":"t","surface":"s","time":1800000000000}"#,
        r#"{"id":"2","type":"dismiss","key":"l","time":1800000001000}"#,
        r#"{"id":"3","type":"edit","field":"f","value":2,"time":1800000002000}"#,
    ] {
        session.observe(&ranklet::context::Event::from_json(event).expect("an event"), &[]).expect("it counts");
    }
    session.context().snapshot()
}

fn file(path: &str) -> Vec<u8> {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn made(target: &str) -> Vec<(String, Vec<u8>)> {
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    let bundles = [
        "bases/compat.ranklet",
        "bases/lgbm_small.ranklet",
        "bases/two_inputs.ranklet",
        "../tests/fixtures/signing/signed.ranklet",
    ];
    let parts = |path: &str| {
        let bytes = file(path);
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        (bytes[8..8 + length].to_vec(), bytes[8 + length..].to_vec())
    };
    let stem = |path: &str| path.rsplit('/').next().unwrap_or_default().replace(".ranklet", "");
    match target {
        "bundle_bytes" => {
            let seed = |path: &&str| {
                let (header, data) = parts(path);
                (stem(path), [&header[..], b"\0", &data].concat())
            };
            bundles.iter().map(seed).collect()
        }
        "manifest_json" => {
            let manifest = |path: &str| {
                let header: serde_json::Value = serde_json::from_slice(&parts(path).0).expect("a header");
                header["__metadata__"]["ranklet"].as_str().expect("a manifest").to_owned()
            };
            let ranker = manifest("bases/compat.ranklet");
            let policy = r#""policy":{"displacement":2,"caps":[{"most":1,"first":3}],"spacing":{"apart":1,"first":3},"conflicts":[{"types":["raise_budget","fix_tag"],"first":3}],"dependencies":[{"before":"fix_tag","then":"raise_budget"}],"cooldowns":[{"event":"dismiss","lasts":"7d","first":2}],"fatigue":{"impressions":3,"first":2},"diversity":{"method":"mmr","first":3,"similarity":{"same_type":0.5,"same_target":0.5}},"explore":{"method":"plackett_luce","strength":0.5,"first":3},"due""#;
            vec![
                named("with_policy.json", ranker.replace(r#""policy":{"due""#, policy).into_bytes()),
                named("ranker.json", ranker.into_bytes()),
                named("scorer.json", manifest("bases/lgbm_small.ranklet").into_bytes()),
            ]
        }
        "request_json" => vec![
            named("recorded.json", file("../tests/compat/1.0/request.json")),
            named("three.json", br#"{"now":1800000000000,"surface":"assistant","frozen":1,"seed":7,"candidates":[{"id":"a","type":"raise_budget","server_score":0.5,"value":2,"boost":0.1,"spend_effect":1,"benefit_lower":-1,"features":{"uplift":1.5,"related":["b","c"]}},{"id":18446744073709551615,"key":"k"},{"id":"c","pin":1,"target":"t"}],"facts":{"account":{"budget":2,"country":"NL","created":1700000000000}}}"#.to_vec()),
            named("empty.json", br#"{"now":0,"candidates":[]}"#.to_vec()),
            named("frozen.json", br#"{"now":1e12,"decision_id":"d","list_id":"l","frozen":["b","a"],"candidates":[{"id":"a"},{"id":"b"}],"suppressed":[{"key":"a","until":2e12}]}"#.to_vec()),
        ],
        "event_stream" => {
            let kinds = ["impression", "open", "accept", "dismiss", "snooze", "dwell", "undo", "edit", "navigate", "search"];
            let all = kinds.iter().enumerate().map(|(i, kind)| {
                format!(r#"{{"id":"e{i}","type":"{kind}","candidate":"{}","time":{},"value":{i}.5,"reason":"not_now","field":"f{i}","surface":"assistant"}}"#, ["a", "b", "c"][i % 3], 1_799_999_000_000_u64 + i as u64 * 60_000)
            });
            let mut lines: Vec<String> = all.collect();
            lines.insert(5, "snapshot".to_owned());
            vec![
                named("every_kind.jsonl", lines.join("\n").into_bytes()),
                named("recorded.jsonl", [file("../tests/compat/1.0/events.jsonl"), b"\nsnapshot\n".to_vec()].concat()),
                named("late_and_twice.jsonl", br#"{"id":"x","type":"open","key":"k","candidate_type":"t","time":1800000000000}
{"id":"x","type":"open","key":"k","candidate_type":"t","time":1800000000000}
{"type":"dismiss","key":"k","time":1700000000000,"value":5000}
{"type":"undo","key":"k","time":1800000000001}
snapshot
{"type":"search","text":"budget","time":1800000000002,"value":"words"}"#.to_vec()),
                named("snapshot.json", snapshot().into_bytes()),
            ]
        }
        _ => (0..6u8).flat_map(|which| {
            let edits: [&[u8]; 3] = [&[], &[1, 3, 0, 1, 0, 0, 0], &[3, 40, 1, 0x3f, 0, 0, 0, 2, 1, 0, 1, 0, 0, 0]];
            edits.map(|edits| (format!("{which}_{}", edits.len()), [&[which, 5], edits].concat()))
        }).collect(),
    }
}
