//! `ranklet featurize`: training matrices by the very code of serving.

use crate::log::Log;
use crate::{cli, files};
use indicatif::{ProgressBar, ProgressStyle};
use ranklet::bundle::write;
use ranklet::compile::Spec;
use ranklet::context::ContextSpec;
use ranklet::engine::{Tensor, Tensors};
use ranklet::features::{Encoder, Scene};
use ranklet::{Error, ErrorKind, Result};
use std::process::ExitCode;

struct Source {
    encoder: Encoder,
    context: ContextSpec,
    input: String,
}

fn source(args: &cli::Featurize) -> Result<Source> {
    if args.source.extension().is_some_and(|e| e == "toml") {
        let place = args.source.display();
        let spec = Spec::parse(&files::read_text(&args.source)?).map_err(|e| e.at(place.to_string()))?;
        let context = spec.context();
        let encoder = Encoder::new(&spec.features, &context).map_err(|e| e.at(place))?;
        return Ok(Source { encoder, context, input: spec.model.input.unwrap_or_else(|| "X".to_owned()) });
    }
    let ranker = files::open(&args.source)?;
    let manifest = ranker.manifest();
    let input = manifest.input.map(|i| manifest.plan.inputs[i].name.clone()).ok_or_else(|| {
        Error::new(ErrorKind::SchemaMismatch, "this bundle has no schema; give a SPEC.toml or a bundle made from one")
            .at(args.source.display())
    })?;
    Ok(Source { encoder: ranker.encoder().clone(), context: manifest.context.clone(), input })
}

pub fn run(args: &cli::Featurize) -> Result<ExitCode> {
    let Source { encoder, context, input } = source(args)?;
    let log = Log::read(&args.requests, args.events.as_ref())?;
    let style = ProgressStyle::with_template("featurize {wide_bar} {pos}/{len} requests").expect("a constant");
    let progress = ProgressBar::new(log.requests.len() as u64).with_style(style);
    let width = encoder.width();
    // Rows stand in the log's order, whatever order the sessions are taken in.
    let mut starts = vec![0];
    for (_, request) in &log.requests {
        starts.push(starts[starts.len() - 1] + request.candidates.len());
    }
    let rows = starts[log.requests.len()];
    let (mut matrix, mut request_of, mut candidate_of) = (vec![0.0; rows * width], vec![0; rows], vec![0; rows]);
    log.replay(encoder.layout(), &context, |i, replayed| {
        let (table, session) = replayed?;
        let request = &log.requests[i].1;
        let range = starts[i]..starts[i + 1];
        let surface = request.surface.as_deref();
        let scene = Scene { table: &table, surface, context: session.context(), now: request.now };
        let mut changed = vec![false; table.len()];
        encoder.encode(&scene, false, &mut matrix[range.start * width..range.end * width], &mut changed);
        for (candidate, row) in range.enumerate() {
            request_of[row] = i as i32;
            candidate_of[row] = candidate as i32;
        }
        progress.inc(1);
        Ok(())
    })?;
    progress.finish_and_clear();
    let report = format!("{input} [{rows}, {width}]");
    let tensors = Tensors::from([
        (input, Tensor::f32(&[rows, width], matrix)),
        ("request".to_owned(), Tensor::i32(&[rows], request_of)),
        ("candidate".to_owned(), Tensor::i32(&[rows], candidate_of)),
    ]);
    files::write(&args.output, &write(&tensors, None))?;
    files::print(&report);
    Ok(ExitCode::SUCCESS)
}
