//! `ranklet featurize`: training matrices by the very code of serving, or out of the records of decisions.

use crate::log::Log;
use crate::{cli, files};
use indicatif::{ProgressBar, ProgressStyle};
use ranklet::bundle::write_with;
use ranklet::compile::{SCHEMA_KEY, Spec};
use ranklet::context::ContextSpec;
use ranklet::engine::{Tensor, Tensors};
use ranklet::features::{Encoder, Matrix, PerRow, Scene};
use ranklet::{Error, ErrorKind, Result};
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;

struct Source {
    encoder: Encoder,
    context: ContextSpec,
    /// Name of the one input, where the schema names none.
    input: String,
    digest: String,
}

fn source(args: &cli::Featurize) -> Result<Source> {
    if args.source.extension().is_some_and(|e| e == "toml") {
        let place = args.source.display();
        let spec = Spec::parse(&files::read_text(&args.source)?).map_err(|e| e.at(place.to_string()))?;
        let context = spec.context();
        let encoder = Encoder::with_inputs(&spec.features, &spec.inputs, &context).map_err(|e| e.at(place))?;
        let digest = spec.schema_digest();
        return Ok(Source { encoder, context, input: spec.model.input.unwrap_or_else(|| "X".to_owned()), digest });
    }
    let ranker = files::open(&args.source)?;
    if !ranker.ranks() {
        let what = "this bundle has no schema; give a SPEC.toml or a bundle made from one";
        return Err(Error::new(ErrorKind::SchemaMismatch, what).at(args.source.display()));
    }
    let manifest = ranker.manifest();
    Ok(Source {
        encoder: ranker.encoder().clone(),
        context: manifest.context.clone(),
        input: manifest.input.map(|i| manifest.plan.inputs[i].name.clone()).unwrap_or_default(),
        digest: manifest.schema_digest.clone(),
    })
}

/// The rows of all requests.
#[derive(Default)]
struct Rows {
    /// A row a request.
    shared: Vec<f32>,
    /// A row a candidate, with its request and its place there.
    rows: Vec<f32>,
    request_of: Vec<i32>,
    candidate_of: Vec<i32>,
    requests: usize,
}

pub fn run(args: &cli::Featurize) -> Result<ExitCode> {
    let source = source(args)?;
    let rows = match (&args.records, &args.requests) {
        (Some(records), _) => recorded(&source, records)?,
        (None, Some(requests)) => computed(&source, &Log::read(requests, args.events.as_ref())?)?,
        // The arguments' own rules ask for one of them.
        (None, None) => Rows::default(),
    };
    let many = rows.request_of.len();
    let mut report = vec![format!("schema {}", source.digest)];
    let mut tensors = Tensors::from([
        ("request".to_owned(), Tensor::i32(&[many], rows.request_of)),
        ("candidate".to_owned(), Tensor::i32(&[many], rows.candidate_of)),
    ]);
    for part in source.encoder.parts() {
        let (from, width, n) = match part.rows {
            PerRow::Request => (&rows.shared, source.encoder.shared_width(), rows.requests),
            PerRow::Candidate => (&rows.rows, source.encoder.width(), many),
        };
        let cells = (0..n).flat_map(|row| &from[row * width + part.first..][..part.width]).copied().collect();
        let dims = match part.length {
            Some(length) => vec![n, length, part.width / length],
            None => vec![n, part.width],
        };
        let name = if part.name.is_empty() { &source.input } else { &part.name };
        report.push(format!("{name} {dims:?}"));
        if tensors.insert(name.clone(), Tensor::f32(&dims, cells)).is_some() {
            let message = format!("input `{name}` is called as the rows' own indices are; rename it in the model");
            return Err(Error::new(ErrorKind::SpecInvalid, message));
        }
    }
    files::write(&args.output, &write_with(&tensors, &[(SCHEMA_KEY, &source.digest)]))?;
    files::print(&report.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// The features of requests, each as its session stood then.
fn computed(Source { encoder, context, .. }: &Source, log: &Log) -> Result<Rows> {
    let style = ProgressStyle::with_template("featurize {wide_bar} {pos}/{len} requests").expect("a constant");
    let progress = ProgressBar::new(log.requests.len() as u64).with_style(style);
    let (width, shared) = (encoder.width(), encoder.shared_width());
    // Rows stand in the log's order, whatever order the sessions are taken in.
    let mut starts = vec![0];
    for (_, request) in &log.requests {
        starts.push(starts[starts.len() - 1] + request.candidates.len());
    }
    let many = starts[log.requests.len()];
    let mut rows = Rows {
        shared: vec![0.0; log.requests.len() * shared],
        rows: vec![0.0; many * width],
        request_of: vec![0; many],
        candidate_of: vec![0; many],
        requests: log.requests.len(),
    };
    log.replay(encoder.layout(), context, |i, replayed| {
        let (table, session) = replayed?;
        let request = &log.requests[i].1;
        let surface = request.surface.as_deref();
        let scene = Scene { table: &table, surface, context: session.context(), now: request.now };
        let mut matrix = Matrix::default();
        encoder.encode(&scene, false, &mut matrix);
        rows.shared[i * shared..(i + 1) * shared].copy_from_slice(&matrix.shared);
        let range = starts[i]..starts[i + 1];
        rows.rows[range.start * width..range.end * width].copy_from_slice(&matrix.rows);
        for (candidate, row) in range.enumerate() {
            rows.request_of[row] = i as i32;
            rows.candidate_of[row] = candidate as i32;
        }
        progress.inc(1);
        Ok(())
    })?;
    progress.finish_and_clear();
    Ok(rows)
}

/// The rows of decision records, candidates in the server's order. Records without rows have no candidates.
fn recorded(Source { encoder, digest, .. }: &Source, path: &Path) -> Result<Rows> {
    let text = files::read_text(path)?;
    let mut rows = Rows::default();
    let mut without = 0;
    for (n, line) in files::lines(&text) {
        let invalid =
            |what: String| Error::new(ErrorKind::RequestInvalid, what).at(format!("{} line {n}", path.display()));
        let record: Value = serde_json::from_str(line).map_err(|e| invalid(format!("a record was expected: {e}")))?;
        let mut items: Vec<&Value> = record["items"].as_array().into_iter().flatten().collect();
        items.sort_by_key(|item| item["server_rank"].as_u64());
        let schema = record["digests"]["schema"].as_str();
        if let Some(other) = schema.filter(|other| other != digest) {
            let message =
                format!("its rows are of schema {other}, the source's is {digest}; give the bundle that decided");
            return Err(Error::new(ErrorKind::SchemaMismatch, message).at(format!("{} line {n}", path.display())));
        }
        let request = rows.requests as i32;
        rows.requests += 1;
        let whole = !items.is_empty() && items.iter().all(|item| item["features"].is_string());
        let shared = rows.shared.len();
        rows.shared.resize(shared + encoder.shared_width(), f32::NAN);
        if !whole {
            without += 1;
            continue;
        }
        let cells = |value: &Value, width: usize| {
            let cells = hex_row(value.as_str().unwrap_or_default());
            cells.filter(|cells| cells.len() == width).ok_or_else(|| {
                invalid(format!(
                    "a row of {width} features was expected, 8 hex digits each; records of level full hold it"
                ))
            })
        };
        rows.shared[shared..].copy_from_slice(&cells(&record["shared"], encoder.shared_width())?);
        for item in items {
            let rank = item["server_rank"].as_u64().filter(|&rank| rank > 0);
            rows.candidate_of.push(rank.ok_or_else(|| invalid("an item has no `server_rank`".to_owned()))? as i32 - 1);
            rows.request_of.push(request);
            rows.rows.extend(cells(&item["features"], encoder.width())?);
        }
    }
    if without > 0 {
        anstream::eprintln!("warning: {without} records hold no rows (server order, or another level than full)");
    }
    Ok(rows)
}

/// Big-endian f32 bits in hex, as records hold them.
fn hex_row(text: &str) -> Option<Vec<f32>> {
    let digits = text.as_bytes().chunks(8).map(|digits| std::str::from_utf8(digits).ok().filter(|d| d.len() == 8));
    digits.map(|digits| Some(f32::from_bits(u32::from_str_radix(digits?, 16).ok()?))).collect()
}
