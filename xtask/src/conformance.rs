//! `cargo xtask conformance`: the generated suite and ONNX's own node tests, natively and through the wasm, against the
//! committed tables of what passes.

use crate::failure::{Failure, Result};
use crate::process::{Progress, run as execute};
use crate::workspace::Workspace;
use crate::{native, package, python};

/// The runner's exit code where it cannot run.
const UNMET: i32 = 77;

/// What the command line asks for.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Only this suite: suite or backend
    #[arg(long, value_name = "SUITE")]
    suite: Option<String>,
    /// Only cases whose name or operator this regular expression matches
    #[arg(long, value_name = "REGEX")]
    only: Option<String>,
    /// Leave the wasm out
    #[arg(long)]
    native: bool,
    /// Rewrite the committed tables
    #[arg(long, conflicts_with_all = ["only", "native"])]
    update: bool,
    /// Say of each case that did not pass why
    #[arg(long)]
    verbose: bool,
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let valued = [("--suite", &self.suite), ("--only", &self.only)];
        let switches = [("--native", self.native), ("--update", self.update), ("--verbose", self.verbose)];
        let valued = valued.iter().filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")));
        valued.chain(switches.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned())).collect()
    }
}

/// A run of the suites.
pub struct Checked {
    /// Graphs whose answers are right.
    pub passed: usize,
    /// Graphs that the committed table calls passed and that are not any more, or that are new and wrong.
    pub failed: usize,
    /// The tables, and why each of `failed` failed.
    pub output: String,
    /// Why nothing ran, if this machine cannot run the suites.
    pub unmet: Option<String>,
}

/// Prints the tables; `false` if anything failed or nothing passed.
pub fn run(work: &Workspace, options: &Options) -> Result<bool> {
    let checked = check(work, options)?;
    print!("{}", checked.output);
    if let Some(why) = &checked.unmet {
        eprintln!("skipped: {why}");
    }
    Ok(checked.failed == 0 && checked.passed > 0)
}

/// Builds what is tested, runs what `options` choose (everything by default) and compares with `tests/conformance`.
pub fn check(work: &Workspace, options: &Options) -> Result<Checked> {
    native::build(work)?;
    if !options.native {
        package::build(work)?;
    }
    let mut command = python::command(work)?;
    command
        .args(["-m", "ranklet_models.conformance.run", "--work"])
        .arg(work.made().join("conformance"))
        .args(options.arguments())
        .env("RANKLET_PACKAGE", work.dist());
    let progress = Progress::start("conformance");
    let ended = execute(&mut command, &progress);
    progress.vanish();
    let ended = ended?;
    if ended.status.code() == Some(UNMET) {
        let why = ended.text.lines().last().unwrap_or_default().trim_start_matches("skipped: ").to_owned();
        return Ok(Checked { passed: 0, failed: 0, output: ended.text, unmet: Some(why) });
    }
    let Some((passed, failed)) = counts(&ended.text) else {
        let last = ended.text.lines().last().unwrap_or("it printed nothing").to_owned();
        return Err(Failure::new(last, "models/ranklet_models/conformance", "run it with --verbose"));
    };
    // A run that failed without a failure, or ran nothing, has not done what it should.
    let failed = if failed == 0 && (!ended.status.success() || passed == 0) { 1 } else { failed };
    Ok(Checked { passed, failed, output: ended.text, unmet: None })
}

/// The closing line: `N passed, N failed`.
fn counts(output: &str) -> Option<(usize, usize)> {
    let (passed, failed) = output.lines().last()?.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_read_and_no_other() {
        assert_eq!(counts("table\n3 refused, 0 wrong\n12 passed, 1 failed\n"), Some((12, 1)));
        assert_eq!(counts("12 passed, 1 failed\nTraceback"), None);
        assert_eq!(counts(""), None);
    }

    #[test]
    fn what_was_asked_for_is_passed_on() {
        let options = Options { only: Some("^Gather".into()), native: true, ..Options::default() };
        assert_eq!(options.arguments(), ["--only=^Gather", "--native"]);
        assert!(Options::default().arguments().is_empty());
    }
}
