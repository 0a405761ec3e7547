//! `ranklet rerank`.

use crate::log::Log;
use crate::{cli, files};
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, presets};
use ranklet::evaluate::{Record, Recorded};
use ranklet::features::{Asked, Request, Table};
use ranklet::ranker::{Frozen, Identity, Level, Options, Ranker, Session};
use ranklet::{Error, ErrorKind, Result};
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
                match replayed.and_then(|(table, session)| rank(&mut ranker, request, table, &session, args.level)) {
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
    for record in records.iter_mut().flatten() {
        record.lower(args.level);
    }
    let records: Vec<Option<Recorded>> =
        records.into_iter().map(|r| r.map(|r| Recorded::Decision(Box::new(r)))).collect();
    if let Some(path) = &args.records {
        files::write(path, &records.iter().flatten().flat_map(Recorded::write).collect::<Vec<u8>>())?;
    }
    let mut out = anstream::AutoStream::auto(std::io::stdout().lock());
    for (record, (_, request)) in records.iter().zip(&log.requests) {
        let Some(record) = record else { continue };
        let written = if args.json {
            let json = serde_json::to_string(record).expect("a record holds only strings and finite numbers or nulls");
            writeln!(out, "{json}")
        } else {
            match record {
                Recorded::Decision(record) => print(&mut out, request, record),
                _ => Ok(()),
            }
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

fn rank(ranker: &mut Ranker, request: &Request, table: Table, session: &Session, level: Level) -> Result<Record> {
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
    let bytes = ranker.record(&list, &ranking, request.now, level);
    match Recorded::read(&mut bytes.as_slice()) {
        Ok(Recorded::Decision(record)) => Ok(*record),
        other => Err(Error::new(ErrorKind::RequestInvalid, format!("the record cannot be read: {other:?}"))),
    }
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
    let number = |x: f64| if x.is_nan() { "-".to_owned() } else { format!("{x:.4}") };
    for (i, item) in record.items.iter().enumerate() {
        let candidate = request.candidates.get(item.row);
        let title = candidate.and_then(|c| c.get("features")?.get("title")?.as_str()).unwrap_or(&item.key);
        table.add_row([
            (i + 1).to_string(),
            (item.row + 1).to_string(),
            title.to_owned(),
            number(item.score),
            number(record.utility(i)),
            item.constraint_names().join(", "),
        ]);
    }
    let colour = if record.reason.is_none() { AnsiColor::Green } else { AnsiColor::Yellow };
    let (bold, style) = (Style::new().bold(), colour.on_default().bold());
    writeln!(out, "{table}")?;
    writeln!(out, "source: {style}{}{style:#}", if record.reason.is_none() { "model" } else { "server" })?;
    if let Some(reason) = &record.reason {
        writeln!(out, "reason: {bold}{reason}{bold:#}")?;
    }
    writeln!(out, "bundle: {}", record.digests.as_ref().map_or("not opened", |d| &d.bundle))
}
