//! The `ranklet` command line: results on stdout, progress on stderr, exit 0 (done), 1 (the answer is
//! no, or the input is bad), 2 (wrong usage); the last line on stderr is the error.

mod cli;
mod compile;
mod embed;
mod featurize;
mod files;
mod inspect;
mod log;
mod replay;
mod rerank;
mod score;
mod signing;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let outcome = match cli.command {
        Command::Compile(args) => compile::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Rerank(args) => rerank::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Featurize(args) => featurize::run(&args),
        Command::Keygen(args) => signing::keygen(&args),
        Command::Sign(args) => signing::sign(&args),
        Command::Verify(args) => signing::verify(&args),
        Command::Embed(args) => embed::run(&args),
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

/// Help and version go to stdout. Of wrong usage the error is the last line, as everywhere: clap puts it first.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A closed pipe is nothing to tell.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        anstream::eprintln!("{}\n\nerror: a command is missing", text.trim());
        return ExitCode::from(2);
    }
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    anstream::eprintln!("{}", rest.trim());
    anstream::eprintln!("{first}");
    ExitCode::from(2)
}
