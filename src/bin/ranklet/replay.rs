//! `ranklet replay`.

use crate::{cli, files};
use indicatif::{ProgressBar, ProgressStyle};
use ranklet::evaluate::{Log, Replay, Skipped, Summary};
use ranklet::{Error, ErrorKind, Result};
use std::process::ExitCode;

/// Lines that cannot be read are named up to so many.
const NAMED: usize = 10;

pub fn run(args: &cli::Replay) -> Result<ExitCode> {
    let mut replay = Replay::new(files::open(&args.bundle)?, args.level).map_err(|e| e.at(args.bundle.display()))?;
    let bytes = files::read(&args.log)?;
    let style = ProgressStyle::with_template("replay {pos} records").expect("a constant");
    let progress = ProgressBar::new_spinner().with_style(style);
    let (mut unreadable, mut first) = (Vec::new(), None);
    for entry in Log::new(&bytes) {
        match entry.recorded {
            Ok(recorded) => {
                if let Some(difference) = replay.record(&recorded) {
                    let decision = recorded.decision_id().map_or_else(String::new, |id| format!("decision {id}, "));
                    first.get_or_insert_with(|| format!("{}, {decision}{difference}", entry.place));
                }
            }
            Err(wrong) => unreadable.push(format!("{}: {wrong}", entry.place)),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    files::print(&summary(&replay.summary, unreadable.len()));
    for line in unreadable.iter().take(NAMED) {
        anstream::eprintln!("{}: {line}", args.log.display());
    }
    if unreadable.len() > NAMED {
        anstream::eprintln!("and {} more that cannot be read", unreadable.len() - NAMED);
    }
    if let Some(first) = first {
        let message = format!("{}: {first}", args.log.display());
        return Err(Error::new(ErrorKind::ReplayDiffers, message));
    }
    match unreadable.first() {
        Some(line) => Err(Error::new(ErrorKind::Io, format!("{}: {line}", args.log.display()))),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn summary(summary: &Summary, unreadable: usize) -> String {
    let counted = |counts: &mut dyn Iterator<Item = (&str, u64)>| {
        let counts: Vec<String> = counts.map(|(what, n)| format!("{n} {what}")).collect();
        if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) }
    };
    let alone: u64 = summary.policy_alone.values().sum();
    let why = counted(&mut summary.policy_alone.iter().map(|(why, &n)| (*why, n)));
    let skipped: u64 = summary.skipped.values().sum();
    let what = |skipped: &Skipped| match skipped {
        Skipped::Exposure => "exposures",
        Skipped::Outcome => "outcomes",
    };
    let kinds = counted(&mut summary.skipped.iter().map(|(kind, &n)| (what(kind), n)));
    [
        format!("decisions   {}", summary.decisions()),
        format!("  scores    {} with {} rows", summary.scores, summary.rows),
        format!("  policy    {alone} without scores{why}"),
        format!("  server    {} in the server's order", summary.server),
        format!("skipped     {skipped}{kinds}, {unreadable} that cannot be read"),
        format!("compared    {} values", summary.compared),
        format!("differing   {} bits in {} decisions", summary.differing, summary.differ),
    ]
    .join("\n")
}
