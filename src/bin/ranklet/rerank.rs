//! `ranklet rerank`.

use crate::log::Log;
use crate::{cli, files};
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, presets};
use ranklet::Result;
use ranklet::features::{Asked, Request, Table};
use ranklet::ranker::{Frozen, Identity, Options, Ranker, Record, Session};
use std::io::Write;
use std::process::ExitCode;

pub fn run(args: &cli::Rerank) -> Result<ExitCode> {
    let log = Log::read(&args.request, args.events.as_ref())?;
    let mut records: Vec<Option<Record>> = vec![None; log.requests.len()];
    let mut failures = Vec::new();
    match files::open(&args.bundle) {
        Ok(mut ranker) => {
            let (layout, context) = (ranker.encoder().layout().clone(), ranker.manifest().context.clone());
            log.replay(&layout, &context, |i, replayed| {
                let request = &log.requests[i].1;
                match replayed.and_then(|(table, session)| rank(&mut ranker, request, table, &session)) {
                    Ok(record) => records[i] = Some(record),
                    Err(error) => {
                        let marks = log.marks(i)?;
                        records[i] = Some(Record::server(request, marks.context(), error.kind().code()));
                        failures.push(error);
                    }
                }
                Ok(())
            })?;
        }
        Err(error) => {
            for (i, (_, request)) in log.requests.iter().enumerate() {
                records[i] = Some(Record::server(request, log.marks(i)?.context(), error.kind().code()));
            }
            failures.push(error);
        }
    }
    let mut out = anstream::AutoStream::auto(std::io::stdout().lock());
    for (record, (_, request)) in records.iter().zip(&log.requests) {
        let Some(record) = record else { continue };
        let written = if args.json {
            let json = serde_json::to_string(record).expect("a record holds only strings and finite numbers or nulls");
            writeln!(out, "{json}")
        } else {
            print(&mut out, request, record)
        };
        if written.is_err() {
            // The reader went away (a closed pipe): nothing more to say.
            return Ok(ExitCode::SUCCESS);
        }
    }
    // All but the last are told here; the last is the error that main prints.
    let last = failures.pop();
    for failure in &failures {
        anstream::eprintln!("{failure}");
    }
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn rank(ranker: &mut Ranker, request: &Request, table: Table, session: &Session) -> Result<Record> {
    let identity = Identity {
        decision_id: request.decision_id.clone(),
        list_id: request.list_id.clone(),
        surface: request.surface.clone(),
        seed: request.seed,
    };
    let mut list = ranker.prepare(table, identity)?;
    let frozen = match &request.frozen {
        Asked::Count(count) => Frozen::Count(*count),
        Asked::Ids(ids) => Frozen::Rows(list.rows_of(ids)),
    };
    let ranking = ranker.rerank(session, &mut list, &Options { now: request.now, frozen, ..Options::default() });
    Ok(Record::new(ranker, &list, &ranking, request.now))
}

fn print(out: &mut impl Write, request: &Request, record: &Record) -> std::io::Result<()> {
    let mut table = comfy_table::Table::new();
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
    writeln!(out, "bundle: {}", record.digests.as_ref().map_or("not opened", |d| &d.bundle))
}
