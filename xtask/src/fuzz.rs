//! `cargo xtask fuzz`: libFuzzer over the targets of `fuzz/`, with a cap on time and allocation an input; `--plant` proves that it finds.
//!
//! The instruments need a nightly compiler, and no program besides: what cargo-fuzz passes to it is passed here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{AtPath, Failure, Result};
use crate::process::{Progress, answer, must, run as execute, show_end};
use crate::workspace::Workspace;

/// The targets, in the order in which they run; the last links tract, which takes minutes to build.
pub const TARGETS: [&str; 6] =
    ["bundle_bytes", "manifest_json", "request_json", "event_stream", "plan_execution", "compile_onnx"];
/// Those whose input is text, for which a dictionary of the seeds' words is made.
const TEXT: [&str; 4] = ["bundle_bytes", "manifest_json", "request_json", "event_stream"];
/// One allocation at most, MB: working memory of the largest plan that opens is 2^26 elements of eight bytes.
const MALLOC_MB: u32 = 520;
/// One input at most, seconds. The slowest honest one takes a few hundredths, under these instruments.
const TIMEOUT: u32 = 10;
const RSS_MB: u32 = 2560;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only these targets; all by default
    #[arg(value_name = "TARGET", value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
    /// For so long each
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u32,
    /// Plant a bug in each target, and demand that it is found
    #[arg(long)]
    plant: bool,
}

impl Options {
    /// Every target, for so long.
    pub fn every(seconds: u32, plant: bool) -> Self {
        Options { targets: Vec::new(), seconds, plant }
    }
}

/// What a run came to.
struct Found {
    executions: u64,
    edges: u64,
    corpus: u64,
    peak_mb: u64,
    /// Whether every seed was behind it: a planted bug that a seed meets would prove nothing.
    seeded: bool,
    /// What ended it, if it was no clock.
    crash: Option<String>,
}

/// Why there can be no fuzzing here.
pub fn unmet() -> Option<String> {
    let version = answer(Command::new("rustup").args(["run", "nightly", "rustc", "-V"]));
    version.is_none().then(|| {
        "no nightly toolchain is installed, run `rustup toolchain install nightly --profile minimal`".to_owned()
    })
}

/// `false`: a target crashed, or a planted bug was not found.
pub fn run(work: &Workspace, options: &Options) -> Result<bool> {
    if let Some(why) = unmet() {
        return Err(Failure::new(why, "cargo xtask fuzz", "then run it again"));
    }
    let chosen = |target: &&&str| options.targets.is_empty() || options.targets.iter().any(|name| name == **target);
    let mut good = true;
    println!("{:<16} {:>12} {:>8} {:>8} {:>8}  result", "target", "executions", "edges", "corpus", "peak MB");
    for target in TARGETS.iter().filter(chosen) {
        let program = build(work, target)?;
        let found = fuzz(work, &program, target, options)?;
        let planted = found.seeded && found.crash.as_deref().is_some_and(|crash| crash.contains("the planted bug"));
        let result = match (&found.crash, options.plant) {
            (None, false) => "no crash".to_owned(),
            (Some(_), true) if planted => "planted bug found".to_owned(),
            (None, true) => "PLANTED BUG NOT FOUND".to_owned(),
            (Some(crash), _) => format!("CRASH: {crash}"),
        };
        good &= found.crash.is_some() == options.plant && (!options.plant || planted);
        let Found { executions, edges, corpus, peak_mb, .. } = found;
        println!("{target:<16} {executions:>12} {edges:>8} {corpus:>8} {peak_mb:>8}  {result}");
    }
    Ok(good)
}

fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// The coverage that libFuzzer reads, and the address sanitizer that counts what is allocated.
fn flags() -> String {
    let mut flags = vec!["-Cpasses=sancov-module".to_owned()];
    for argument in ["level=4", "inline-8bit-counters", "pc-table", "trace-compares"] {
        flags.push(format!("-Cllvm-args=-sanitizer-coverage-{argument}"));
    }
    flags.extend(["-Zsanitizer=address", "-Ccodegen-units=1", "--cfg=fuzzing"].map(str::to_owned));
    flags.join("\u{1f}")
}

fn build(work: &Workspace, target: &str) -> Result<PathBuf> {
    let folder = work.made().join("fuzz/build");
    let features = if target == "compile_onnx" { "libfuzzer,compile" } else { "libfuzzer" };
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "build", "--release", "--locked", "--features", features, "--bin", target])
        // Named, so that build scripts and macros are not instrumented.
        .args(["--target", &triple(), "--manifest-path"])
        .arg(work.root.join("fuzz/Cargo.toml"))
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags())
        .env("CARGO_TARGET_DIR", &folder);
    must(&mut command, &format!("the fuzzer of {target}"), "look at the compiler's words above")?;
    Ok(folder.join(triple()).join("release").join(target))
}

fn fuzz(work: &Workspace, program: &Path, target: &str, options: &Options) -> Result<Found> {
    let made = work.made().join("fuzz");
    // What was found with a bug in it is no use to a run without.
    let ending = if options.plant { "-planted" } else { "" };
    let corpus = made.join(format!("corpus{ending}")).join(target);
    if options.plant && corpus.exists() {
        fs::remove_dir_all(&corpus).at(&corpus)?;
    }
    let crashes = made.join(format!("crashes{ending}")).join(target);
    for folder in [&corpus, &crashes] {
        fs::create_dir_all(folder).at(folder)?;
    }
    let seeds = seeds(work, target, &made)?;
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .arg(&seeds)
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-malloc_limit_mb={MALLOC_MB}"))
        .arg(format!("-rss_limit_mb={RSS_MB}"))
        .arg(format!("-artifact_prefix={}/", crashes.display()))
        // No value profile: it keeps every text that comes one byte nearer to a word, and few of those still parse.
        .args(["-print_final_stats=1", "-detect_leaks=0", "-use_value_profile=0", "-print_funcs=0"])
        .current_dir(&made);
    // What serves to find bugs of unsafe code outside of kernels, of which there is none, would take a tenth of the time.
    command.env("ASAN_OPTIONS", "detect_stack_use_after_return=0:malloc_context_size=2:quarantine_size_mb=8");
    if options.plant {
        command.env("RANKLET_FUZZ_PLANT", "1");
    }
    if TEXT.contains(&target) {
        command.arg(format!("-dict={}", dictionary(&seeds, target, &made)?.display()));
    }
    let progress = Progress::start(format!("{target} for {} s", options.seconds));
    let ended = execute(&mut command, &progress);
    progress.vanish();
    let ended = ended?;
    let crash = (!ended.status.success()).then(|| why(&ended.text));
    if crash.is_some() && !options.plant {
        show_end(&ended.text);
    }
    Ok(Found { crash, ..figures(&ended.text) })
}

/// The line that says what is wrong.
fn why(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR: "));
    let first = lines.next().unwrap_or("it ended without a word");
    let told = if first.contains("panicked at") { lines.next().unwrap_or_default() } else { "" };
    [first, told].join(" ").trim().to_owned()
}

/// What libFuzzer said last.
fn figures(text: &str) -> Found {
    let number = |text: &str| text.split_whitespace().next().and_then(|word| word.split('/').next()?.parse().ok());
    let after = |key: &str| text.rsplit_once(key).and_then(|(_, rest)| number(rest)).unwrap_or(0);
    let counted = text.lines().rev().find_map(|line| number(line.strip_prefix('#')?)).unwrap_or(0);
    Found {
        // A crash leaves no statistics, but the last line of progress.
        executions: after("stat::number_of_executed_units: ").max(counted),
        edges: after(" cov: "),
        corpus: after(" corp: "),
        peak_mb: after("stat::peak_rss_mb: ").max(after(" rss: ")),
        seeded: text.contains("INITED"),
        crash: None,
    }
}

/// The committed seeds; the graphs of the tests are those of the compiler.
fn seeds(work: &Workspace, target: &str, made: &Path) -> Result<PathBuf> {
    if target != "compile_onnx" {
        return Ok(work.root.join("fuzz/seeds").join(target));
    }
    let (from, to) = (work.root.join("tests/fixtures"), made.join("seeds-compile_onnx"));
    fs::create_dir_all(&to).at(&to)?;
    for entry in fs::read_dir(&from).at(&from)? {
        let path = entry.at(&from)?.path();
        let small = fs::metadata(&path).at(&path)?.len() < 10_000;
        if let Some(name) = path.file_name().filter(|_| small && path.extension().is_some_and(|e| e == "onnx")) {
            fs::copy(&path, to.join(name)).at(&path)?;
        }
    }
    Ok(to)
}

/// Every short quoted word of the seeds, and the numbers at which things turn.
fn dictionary(seeds: &Path, target: &str, made: &Path) -> Result<PathBuf> {
    let mut words: BTreeSet<String> =
        ["null", "true", "1e308", "-1", "4294967295", "4294967296", "-1e400", "0.1", "[]", "{}", "\\\"", "\\u0000"]
            .map(str::to_owned)
            .into();
    for entry in fs::read_dir(seeds).at(seeds)? {
        let path = entry.at(seeds)?.path();
        let bytes = fs::read(&path).at(&path)?;
        let text = String::from_utf8_lossy(&bytes);
        let plain = |word: &&str| {
            (2..24).contains(&word.len()) && word.chars().all(|c| c.is_ascii_alphanumeric() || "_.".contains(c))
        };
        words.extend(text.split('"').filter(plain).map(str::to_owned));
    }
    let lines: String =
        words.iter().map(|word| format!("\"{}\"\n", word.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    let path = made.join(format!("{target}.dict"));
    fs::write(&path, lines).at(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_libfuzzers_last_ones() {
        let text = "#2 INITED cov: 10 ft: 11 corp: 1/2b exec/s: 0 rss: 40Mb\n#900 NEW cov: 812 ft: 2100 corp: 37/12Kb lim: 4096 exec/s: 90 rss: 61Mb L: 3/4\nDone 1000 runs\nstat::number_of_executed_units: 1000\nstat::peak_rss_mb:             77\n";
        let Found { executions, edges, corpus, peak_mb, .. } = figures(text);
        assert_eq!((executions, edges, corpus, peak_mb), (1000, 812, 37, 77));
        let crashed = text.split("Done").next().unwrap_or_default().to_owned()
            + "thread '<unnamed>' panicked at src/lib.rs:3:5:\nthe planted bug\n";
        assert!(figures(&crashed).executions == 900 && figures(&crashed).seeded);
        assert!(!figures("the planted bug").seeded);
        assert!(why(&crashed).ends_with("the planted bug"));
        assert!(why("==1==ERROR: AddressSanitizer: heap-buffer-overflow").contains("heap-buffer-overflow"));
    }
}
