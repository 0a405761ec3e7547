//! `ranklet featurize`: training matrices by the very code of serving.

use crate::{cli, files};
use indicatif::{ProgressBar, ProgressStyle};
use ranklet::bundle::write;
use ranklet::compile::Spec;
use ranklet::context::ContextSpec;
use ranklet::engine::{Tensor, Tensors};
use ranklet::features::{Encoder, Scene, Table};
use ranklet::ranker::Session;
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
    let requests = files::requests(&args.requests)?;
    let events = files::events(args.events.as_deref())?;
    let style = ProgressStyle::with_template("featurize {wide_bar} {pos}/{len} requests").expect("a constant");
    let progress = ProgressBar::new(requests.len() as u64).with_style(style);
    let width = encoder.width();
    let (mut matrix, mut request_of, mut candidate_of) = (Vec::new(), Vec::new(), Vec::new());
    for (i, request) in requests.iter().enumerate() {
        let table = Table::from_json(encoder.layout(), request)
            .map_err(|e| e.at(format!("{} request {}", args.requests.display(), i + 1)))?;
        let mut session = Session::new(&context)?;
        for event in files::reaching(&events, request) {
            session.observe(event, &[&table])?;
        }
        let start = matrix.len();
        matrix.resize(start + table.len() * width, 0.0);
        let mut changed = vec![false; table.len()];
        let surface = request.surface.as_deref();
        let scene = Scene { table: &table, surface, context: session.context(), now: request.now };
        encoder.encode(&scene, false, &mut matrix[start..], &mut changed);
        request_of.extend(std::iter::repeat_n(i as i32, table.len()));
        candidate_of.extend(0..table.len() as i32);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let rows = request_of.len();
    println!("{input} [{rows}, {width}]");
    let tensors = Tensors::from([
        (input, Tensor::f32(&[rows, width], matrix)),
        ("request".to_owned(), Tensor::i32(&[rows], request_of)),
        ("candidate".to_owned(), Tensor::i32(&[rows], candidate_of)),
    ]);
    files::write(&args.output, &write(&tensors, None))?;
    Ok(ExitCode::SUCCESS)
}
