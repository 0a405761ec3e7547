//! The `ranklet` command line: results on stdout, progress on stderr, exit 0 (done), 1 (the answer is
//! no, or the input is bad), 2 (wrong usage); the last line on stderr is the error.

mod cli;
mod compile;
mod featurize;
mod files;
mod inspect;
mod rerank;
mod score;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Compile(args) => compile::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Rerank(args) => rerank::run(&args),
        Command::Featurize(args) => featurize::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let style = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{style}error{style:#}: {error}");
            ExitCode::FAILURE
        }
    }
}
