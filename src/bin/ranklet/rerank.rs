//! `ranklet rerank`.

use crate::{cli, files};
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use ranklet::features::Request;
use ranklet::ranker::{Frozen, List, Options, Ranker, Record};
use ranklet::{Error, Result};
use std::io::Write;
use std::process::ExitCode;

pub fn run(args: &cli::Rerank) -> Result<ExitCode> {
    let requests = files::requests(&args.request)?;
    let events = files::events(args.events.as_deref())?;
    let bundle = files::open(&args.bundle);
    let mut failure = None;
    let mut ranker = match bundle {
        Ok(ranker) => Ok(ranker),
        Err(error) => {
            failure = Some(error.clone());
            Err(error)
        }
    };
    let mut out = anstream::AutoStream::auto(std::io::stdout().lock());
    for request in &requests {
        let record = match &mut ranker {
            Ok(ranker) => match rank(ranker, request, &events) {
                Ok(record) => record,
                Err(error) => {
                    let record = Record::server(request, error.kind().code());
                    failure = Some(error);
                    record
                }
            },
            Err(error) => Record::server(request, error.kind().code()),
        };
        let written = if args.json {
            let json = serde_json::to_string(&record).expect("a record holds only strings and finite numbers or nulls");
            writeln!(out, "{json}")
        } else {
            print(&mut out, request, &record)
        };
        if written.is_err() {
            // The reader went away (a closed pipe): nothing more to say.
            return Ok(ExitCode::SUCCESS);
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn rank(ranker: &mut Ranker, request: &Request, events: &files::Events) -> Result<Record, Error> {
    let mut session = ranker.session()?;
    let mut list = ranker.prepare_json(request)?;
    for event in files::reaching(events, request) {
        session.observe(event, &[list.table()])?;
    }
    let options = Options { now: request.now, frozen: frozen(request, &list) };
    let ranking = ranker.rerank(&session, &mut list, &options);
    Ok(Record::new(ranker, &list, &ranking, request.now))
}

/// `frozen` of a request: a count, or ids of the server's order.
fn frozen(request: &Request, list: &List) -> Frozen {
    match (&request.frozen, request.frozen.as_u64()) {
        (_, Some(count)) => Frozen::Count(usize::try_from(count).unwrap_or(usize::MAX)),
        (serde_json::Value::Array(ids), _) => {
            let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            Frozen::Rows(list.rows_of(&ids.iter().map(text).collect::<Vec<_>>()))
        }
        _ => Frozen::default(),
    }
}

fn print(out: &mut impl Write, request: &Request, record: &Record) -> std::io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["rank", "server", "candidate", "score", "utility", ""]);
    for column in [0, 1, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
    for item in &record.items {
        let candidate = request.candidates.get(item.server_rank - 1);
        let title = candidate.and_then(|c| c.get("features")?.get("title")?.as_str()).unwrap_or(&item.key);
        table.add_row([
            item.rank.to_string(),
            item.server_rank.to_string(),
            title.to_owned(),
            number(item.score),
            number(item.utility),
            item.constraints.join(", "),
        ]);
    }
    let colour = if record.source == "model" { AnsiColor::Green } else { AnsiColor::Yellow };
    let (bold, style) = (Style::new().bold(), colour.on_default().bold());
    writeln!(out, "{table}")?;
    writeln!(out, "source: {style}{}{style:#}", record.source)?;
    if let Some(reason) = &record.reason {
        writeln!(out, "reason: {bold}{reason}{bold:#}")?;
    }
    writeln!(out, "bundle: {}", record.digests.bundle)
}
