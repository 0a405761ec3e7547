//! `cargo xtask`: builds, shows and tests ranklet. Two commands do everything on a fresh machine: `demo` and `test`.
//!
//! Results go to stdout, progress and children's output to stderr; the last line of a failure is
//! `error: what, where, mend`.

mod advisories;
mod arrange;
mod bench;
mod conformance;
mod cost;
mod demo;
mod failure;
mod fuzz;
mod glue;
mod licences;
mod module;
mod names;
mod native;
mod package;
mod panics;
mod process;
mod python;
mod size;
mod slim;
mod stamp;
mod suite;
mod tally;
mod toolchain;
mod variant;
mod wasm;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use failure::Result;
use workspace::Workspace;

/// Builds, shows and tests ranklet.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
enum Task {
    /// Build everything, print one real re-rank, serve the page and print its address
    #[command(after_help = BREAKING)]
    Demo(demo::Options),
    /// Run every check: format, licences, lints, Rust, JavaScript, Python, the page in Chromium, the size budget
    Test {
        /// Only these stages; all by default
        #[arg(value_name = "STAGE", value_parser = clap::builder::PossibleValuesParser::new(suite::stages()))]
        only: Vec<String>,
        /// In their whole length: the packaging matrix in every host, all of chaos and fuzzing (hours)
        #[arg(long)]
        full: bool,
    },
    /// Build the npm package into pkg/dist, the command line, and the demo's bundle
    Build {
        /// Without the compile module, which takes minutes: what a page loads, as the demo needs it
        #[arg(long)]
        page: bool,
    },
    /// Measure what a browser loads, in brotli bytes, the tarball, and what an import costs
    Size {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        /// Write the snapshot that `cargo xtask test` compares with
        #[arg(long)]
        update: bool,
    },
    /// Measure ranklet beside onnxruntime-web and onnxruntime native on the same models and rows (minutes)
    Bench(bench::Options),
    /// Hold every operator, model family and exporter against ONNX Runtime, and ONNX's node tests, natively and in wasm
    Conformance(conformance::Options),
    /// Fuzz every way in (needs a nightly compiler): executions, edges covered, corpus size
    Fuzz(fuzz::Options),
    /// Train and evaluate the models of models/ (minutes)
    Train {
        /// Which ones; both by default
        #[arg(value_enum)]
        models: Vec<python::Model>,
    },
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                 see candidates re-ranked, in the terminal and in the browser
  cargo xtask demo --once --json   the decision records before and after the events
  cargo xtask test                 what CI runs
  cargo xtask test --full javascript   one stage in its whole length";

const BREAKING: &str = "\
See it fail:
  RANKLET_BREAK=bundle cargo xtask demo --once   a truncated bundle: server order, bundle_corrupt
  RANKLET_BREAK=wasm cargo xtask demo --once     no wasm file: server order, wasm_fetch_failed";

/// The exit code of a command line that makes no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let task = match Task::try_parse() {
        Ok(task) => task,
        Err(error) => return explain(&error),
    };
    match run(&task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints clap's help as it is, and its errors as one line like every other error.
fn explain(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    match first.strip_prefix("error: ") {
        Some(what) => eprintln!("error: {what}, command line, see `cargo xtask help`"),
        // It goes to stdout if it was asked for, to stderr if a command is missing; a closed stream is nobody's error.
        None => drop(error.print()),
    }
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// `false` is an answer, not an error: something did not pass.
fn run(task: &Task) -> Result<bool> {
    let work = Workspace::find()?;
    match task {
        Task::Demo(options) => demo::run(&work, options)?,
        Task::Test { only, full } => return suite::test(&Workspace { full: *full, ..work }, only),
        Task::Build { page } => {
            if *page {
                package::build(&work)?;
            } else {
                package::build_whole(&work)?;
            }
            native::bundle(&work)?;
            eprintln!("built: pkg/dist, {}, {}", work.show(&work.binary()), work.show(&work.bundle()));
        }
        Task::Size { json, update } => {
            package::build_whole(&work)?;
            let sizes = size::measure_all(&work)?;
            let cost = cost::measure(&work)?;
            if *json {
                println!("{}", size::document(&sizes, &cost)?);
            } else {
                print!("{}{}", size::table(&sizes), cost::table(&cost));
            }
            size::within_budget(&sizes)?;
            if *update {
                size::update(&work, &sizes)?;
            }
        }
        Task::Bench(options) => bench::run(&work, options)?,
        Task::Conformance(options) => return conformance::run(&work, options),
        Task::Fuzz(options) => return fuzz::run(&work, options),
        Task::Train { models } => {
            native::build(&work)?;
            let both = [python::Model::AdsRecs, python::Model::Movielens];
            python::train(&work, if models.is_empty() { &both } else { models })?;
        }
    }
    Ok(true)
}
