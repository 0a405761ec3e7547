//! `cargo xtask test`: every check of the project, stage by stage, a failed one keeping none of the others from running.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::failure::{AtPath, Result};
use crate::process::{Progress, now, run, show_end};
use crate::tally::Tally;
use crate::variant::Variant;
use crate::workspace::{Workspace, cargo};
use crate::{advisories, fuzz, licences, native, package, python, size, toolchain};

/// What a stage found, and the output that shows why if it failed.
struct Finding {
    tally: Tally,
    output: String,
}

struct Stage {
    name: &'static str,
    run: fn(&Workspace) -> Result<Finding>,
}

/// What tells tests to run in their whole length, and how often that is where they count.
const WHOLE: [(&str, &str); 5] = [
    ("RANKLET_FULL", "1"),
    ("RANKLET_POLICY_REQUESTS", "100000"),
    ("RANKLET_POLICY_DRAWS", "200000"),
    ("RANKLET_RECORDS", "10000"),
    ("RANKLET_CYCLES", "10000"),
];
/// Of each fuzz target, then.
const FUZZED_SECONDS: u32 = 600;

/// Cheap ones first; what needs a build comes after it.
const STAGES: [Stage; 13] = [
    Stage { name: "format", run: format },
    Stage { name: "licences", run: allowed_licences },
    Stage { name: "lints", run: lints },
    Stage { name: "rust", run: rust },
    Stage { name: "xtask", run: own },
    Stage { name: "fuzz", run: seeds },
    Stage { name: "build", run: build },
    Stage { name: "size", run: budget },
    Stage { name: "javascript", run: javascript },
    Stage { name: "conformance", run: conformance },
    Stage { name: "demo", run: demo },
    Stage { name: "python", run: python_tests },
    Stage { name: "page", run: page },
];

/// The names of all stages, in order.
pub fn stages() -> [&'static str; STAGES.len()] {
    STAGES.each_ref().map(|stage| stage.name)
}

/// Runs the stages called `only`, all if none is, and prints the table; `false` if anything failed.
pub fn test(work: &Workspace, only: &[String]) -> Result<bool> {
    let logs = work.made().join("logs");
    fs::create_dir_all(&logs).at(&logs)?;
    let mut total = Tally::default();
    let mut rows = Vec::new();
    let chosen = |stage: &&Stage| only.is_empty() || only.iter().any(|name| name == stage.name);
    let count = STAGES.iter().filter(chosen).count();
    for (index, stage) in STAGES.iter().filter(chosen).enumerate() {
        eprintln!("[{}/{count}] {}", index + 1, stage.name);
        let start = now();
        // A stage that cannot run has failed, and the next one runs all the same.
        let finding = (stage.run)(work)
            .unwrap_or_else(|failure| Finding { tally: Tally::check(false), output: format!("error: {failure}\n") });
        let took = start.elapsed();
        let log = logs.join(format!("{}.log", stage.name));
        fs::write(&log, &finding.output).at(&log)?;
        if finding.tally.failed > 0 {
            show_end(&finding.output);
            eprintln!("  the whole output: {}", work.show(&log));
        }
        rows.push((stage.name, took, finding.tally.clone()));
        total += finding.tally;
    }
    print!("{}", table(&rows, &total));
    Ok(total.failed == 0)
}

/// Stages with their seconds, what was skipped by name, and the closing line alone on the last line.
fn table(rows: &[(&str, Duration, Tally)], total: &Tally) -> String {
    let mut text = format!("\n{:<12} {:>8} {:>8} {:>8} {:>8}\n", "stage", "seconds", "passed", "failed", "skipped");
    let whole: Duration = rows.iter().map(|(_, took, _)| *took).sum();
    for (name, took, tally) in rows.iter().chain([&("all", whole, total.clone())]) {
        let seconds = took.as_secs_f64();
        text += &format!("{name:<12} {seconds:>8.1} {:>8} {:>8} {:>8}\n", tally.passed, tally.failed, tally.skipped);
    }
    for unmet in &total.unmet {
        text += &format!("skipped: {unmet}\n");
    }
    text + &format!("\n{} passed, {} failed, {} skipped\n", total.passed, total.failed, total.skipped)
}

/// Runs commands until one fails; together they are one check.
fn check(work: &Workspace, commands: &mut [Command]) -> Result<Finding> {
    let mut output = String::new();
    for command in commands {
        let (text, success) = quietly(work, command)?;
        output += &text;
        if !success {
            return Ok(Finding { tally: Tally::check(false), output });
        }
    }
    Ok(Finding { tally: Tally::check(true), output })
}

/// Runs a test runner and counts what it ran.
fn counted(work: &Workspace, command: &mut Command) -> Result<Finding> {
    let (output, success) = quietly(work, command)?;
    Ok(Finding { tally: Tally::of_runner(&output, success), output })
}

fn quietly(work: &Workspace, command: &mut Command) -> Result<(String, bool)> {
    // Runners colour, page or ask when they believe that somebody watches.
    command.env("NO_COLOR", "1").env("CARGO_TERM_COLOR", "never").env("CI", "true").env_remove("FORCE_COLOR");
    command.env("RANKLET_BIN", work.binary()).env("RANKLET_BUNDLE", work.bundle());
    if let Some(folder) = work.data() {
        command.env("RANKLET_DATA", folder);
    }
    // What runs here decides, not the caller's environment.
    for (name, count) in WHOLE {
        if work.full {
            command.env(name, count);
        } else {
            command.env_remove(name);
        }
    }
    let progress = Progress::start("test");
    let ended = run(command, &progress);
    progress.vanish();
    ended.map(|ended| (ended.text, ended.status.success()))
}

fn cargo_at(work: &Workspace, arguments: &[&str]) -> Command {
    let mut command = cargo();
    command.args(arguments).current_dir(&work.root);
    command
}

fn format(work: &Workspace) -> Result<Finding> {
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check", "--", "--color", "never"];
    let own = cargo_at(work, &["fmt", "--all", "--check", "--", "--color", "never"]);
    check(work, &mut [own, cargo_at(work, &fuzz)])
}

fn allowed_licences(work: &Workspace) -> Result<Finding> {
    let refused = licences::refused(work)?;
    let (mut tally, said) = advisories::check(work)?;
    tally += Tally::check(refused.is_empty());
    Ok(Finding { tally, output: said + &refused.join("\n") })
}

/// The wasm is another platform with code of its own, and each variant with some that no other has: all are linted.
fn lints(work: &Workspace) -> Result<Finding> {
    toolchain::wasm_target(work)?;
    let native =
        ["clippy", "--release", "--workspace", "--all-targets", "--features", "ranklet/cli", "--", "-Dwarnings"];
    let mut commands = vec![cargo_at(work, &native)];
    for variant in Variant::all(&work.root)? {
        let (profile, features) = (variant.profile.as_str(), variant.features.join(","));
        let mut command = cargo_at(work, &["clippy", "--package", "ranklet", "--lib", "--profile", profile]);
        command
            .args(["--target", "wasm32-unknown-unknown", "--no-default-features", "--features", &features])
            .args(["--", "-Dwarnings"])
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", variant.rustc_cfg().join("\u{1f}"));
        commands.push(command);
    }
    check(work, &mut commands)
}

/// The core, its kernels and the command line, which tests find built.
fn rust(work: &Workspace) -> Result<Finding> {
    native::build(work)?;
    counted(
        work,
        &mut cargo_at(
            work,
            &[
                "test",
                "--release",
                "--no-fail-fast",
                "-p",
                "ranklet",
                "-p",
                "ranklet-kernels",
                "--features",
                "ranklet/cli",
            ],
        ),
    )
}

/// The fuzzer's seeds and some mutations of them, as plain tests of the compiler that builds the rest; in whole length the
/// fuzzer too, and whether it finds what is planted.
fn seeds(work: &Workspace) -> Result<Finding> {
    let mut command = cargo_at(work, &["test", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    // Checks that a release leaves out are on there: its files are no others' beside them.
    let mut finding = counted(work, command.env("CARGO_TARGET_DIR", work.made().join("fuzz/tests")))?;
    if work.full {
        match fuzz::unmet() {
            Some(why) => finding.tally.unmet.push(format!("the fuzzer: {why}")),
            None => {
                for options in [fuzz::Options::every(FUZZED_SECONDS, false), fuzz::Options::every(FUZZED_SECONDS, true)]
                {
                    finding.tally += Tally::check(fuzz::run(work, &options)?);
                }
            }
        }
    }
    Ok(finding)
}

/// xtask's own tests, in the profile in which it runs.
fn own(work: &Workspace) -> Result<Finding> {
    counted(work, &mut cargo_at(work, &["test", "-p", "xtask"]))
}

fn build(work: &Workspace) -> Result<Finding> {
    whole(work)?;
    Ok(Finding { tally: Tally::check(true), output: String::new() })
}

/// The package, the command line and the demo's bundle, as the sources are now: no stage tests what an earlier build
/// left behind.
fn built(work: &Workspace) -> Result<()> {
    package::build(work)?;
    native::bundle(work)
}

/// The same with the compile module.
fn whole(work: &Workspace) -> Result<()> {
    package::build_whole(work)?;
    native::bundle(work)
}

fn budget(work: &Workspace) -> Result<Finding> {
    package::build_whole(work)?;
    let sizes = size::measure_all(work)?;
    let held = size::within_budget(&sizes).and_then(|()| size::within_snapshot(work, &sizes));
    let failure = held.as_ref().err().map(|failure| format!("error: {failure}\n")).unwrap_or_default();
    Ok(Finding { tally: Tally::check(held.is_ok()), output: size::table(&sizes) + &failure })
}

/// The package in Node and in Chromium; where there is none its own tests skip, and are counted so.
fn javascript(work: &Workspace) -> Result<Finding> {
    whole(work)?;
    package::install(&work.pkg(), "pkg")?;
    let mut command = toolchain::npm()?;
    command.arg("test").current_dir(work.pkg());
    let chromium = toolchain::chromium();
    if let Some(chromium) = &chromium {
        command.env("CHROMIUM_PATH", chromium);
    }
    let mut finding = counted(work, &mut command)?;
    if chromium.is_none() {
        finding.tally.unmet.push(without_chromium("the package's tests in a browser"));
    }
    finding.tally.unmet.extend(missing(&finding.output));
    Ok(finding)
}

/// What cells of the packaging matrix would need, from the lines in which they say so.
fn missing(output: &str) -> Vec<String> {
    output.lines().filter_map(|line| line.trim().strip_prefix("not here: ")).map(str::to_owned).collect()
}

/// Generated graphs and ONNX's own node tests, natively and through the wasm, against the committed tables.
fn conformance(work: &Workspace) -> Result<Finding> {
    let checked = crate::conformance::check(work, &crate::conformance::Options::default())?;
    let tally = match &checked.unmet {
        Some(why) => Tally::unmet(format!("the conformance suites: {why}")),
        None => Tally { passed: checked.passed, failed: checked.failed, ..Tally::default() },
    };
    Ok(Finding { tally, output: checked.output })
}

fn without_chromium(what: &str) -> String {
    format!("{what}: no Chromium is installed, run `{}`", toolchain::apt_line())
}

/// The demo's promises, the failing ones included, on the assembled package.
fn demo(work: &Workspace) -> Result<Finding> {
    built(work)?;
    let mut command = toolchain::node()?;
    command.args(["--test", "--test-reporter=spec", "xtask/demo/demo.test.mjs"]).current_dir(&work.root);
    counted(work, &mut command)
}

fn python_tests(work: &Workspace) -> Result<Finding> {
    built(work)?;
    let mut finding = counted(work, python::command(work)?.args(["-m", "pytest", "-rs", "-p", "no:cacheprovider"]))?;
    if work.data().is_none() {
        finding.tally.unmet.push("RANKLET_DATA names no folder: what needs the data sets did not run".into());
    }
    Ok(finding)
}

fn page(work: &Workspace) -> Result<Finding> {
    let Some(chromium) = toolchain::chromium() else {
        return Ok(Finding { tally: Tally::unmet(without_chromium("the page")), output: String::new() });
    };
    built(work)?;
    let page = work.web_demo();
    crate::demo::provide(work)?;
    package::install(&page, "web-demo")?;
    counted(work, toolchain::npm()?.arg("test").env("CHROMIUM_PATH", chromium).current_dir(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_cannot_run_is_named_with_what_it_needs() {
        let output =
            "stdout | test/matrix\n  not here: a page, WebKit: run `sudo apt-get install -y xvfb`\n Tests 1 passed";
        assert_eq!(missing(output), ["a page, WebKit: run `sudo apt-get install -y xvfb`"]);
    }

    #[test]
    fn the_counts_stand_alone_on_the_last_line() {
        let skipped = Tally { passed: 2, ..Tally::unmet("the page in Chromium: none is installed") };
        let text = table(&[("page", Duration::from_millis(1500), skipped.clone())], &skipped);
        assert!(text.contains("\nskipped: the page in Chromium: none is installed\n"));
        assert!(text.ends_with("\n\n2 passed, 0 failed, 1 skipped\n"));
        assert!(text.contains(" 1.5 "));
    }
}
