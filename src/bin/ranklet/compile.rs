//! `ranklet compile`.

use crate::{cli, files};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use ranklet::compile::{Report, SmallWeights, Spec, Storage, compile_onnx, compile_spec, read_dims};
use ranklet::{Error, ErrorKind, Result};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub fn run(args: &cli::Compile) -> Result<ExitCode> {
    let spinner =
        ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}").expect("a constant"));
    spinner.set_message(format!("compiling {}", args.source.display()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    let outcome = bundle(args);
    spinner.finish_and_clear();
    let (bytes, report) = outcome?;
    files::write(&args.output, &bytes)?;
    print(&args.output, &report);
    Ok(ExitCode::SUCCESS)
}

fn bundle(args: &cli::Compile) -> Result<(Vec<u8>, Report)> {
    let golden = args.golden.as_deref().map(files::read).transpose()?;
    let source = &args.source;
    let dims = read_dims(args.dims.iter().map(String::as_str))?;
    if source.extension().is_some_and(|e| e == "toml") {
        let mut spec = Spec::parse(&files::read_text(source)?).map_err(|e| e.at(source.display()))?;
        spec.model.dims.extend(dims);
        spec.model.weights = args.weights.unwrap_or(spec.model.weights);
        // Given to `read` under its own name.
        let training = args.training.as_deref().map(|path| Ok((path.display().to_string(), files::read(path)?)));
        let training = training.transpose()?;
        spec.model.training = training.as_ref().map(|(name, _)| name.clone()).or(spec.model.training);
        spec.model.weights_tolerance = args.weights_tolerance.or(spec.model.weights_tolerance);
        let folder = source.parent().unwrap_or(Path::new("")).to_owned();
        let read = move |path: &str| match &training {
            Some((name, bytes)) if name == path => Ok(bytes.clone()),
            _ => files::read(&folder.join(path)),
        };
        return compile_spec(&spec, &read, golden, None).map_err(|e| e.at(source.display()));
    }
    if args.training.is_some() {
        return Err(Error::new(ErrorKind::SpecInvalid, "--training needs a SPEC.toml, whose features it describes"));
    }
    let name = source.file_stem().unwrap_or_default().to_string_lossy();
    let storage = Storage::default().with(args.weights, args.weights_tolerance)?;
    compile_onnx(&name, &files::read(source)?, &dims, golden, storage, None).map_err(|e| e.at(source.display()))
}

fn print(output: &Path, report: &Report) {
    let bold = anstyle::Style::new().bold();
    let mut lines = vec![
        format!("{bold}{}{bold:#}  {}", output.display(), HumanBytes(report.bytes as u64)),
        format!("  plan          {} steps", report.steps),
        format!("  checked       {} rows against the graph's own definition", report.checked_rows),
    ];
    if report.golden_rows > 0 {
        lines.push(format!("                {} rows against ONNX Runtime's outputs", report.golden_rows));
    }
    lines.push(format!("  difference    {:e} at most, relative to max(1, |expected|)", report.largest_difference));
    lines.extend(report.weights.iter().flat_map(weights));
    lines.extend(report.calibrators.iter().map(|form| format!("  calibrator    {form}")));
    files::print(&lines.join("\n"));
    for warning in &report.warnings {
        anstream::eprintln!("warning: {warning}");
    }
}

fn weights(small: &SmallWeights) -> Vec<String> {
    let SmallWeights { form, int8, half, f32, bytes, bytes_f32, .. } = small;
    let parts = [(int8, "as int8"), (half, "with 16 bits"), (f32, "left in f32")];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| **n > 0).map(|(n, how)| format!("{n} {how}")).collect();
    let (now, before) = (HumanBytes(*bytes as u64), HumanBytes(*bytes_f32 as u64));
    let mut lines = vec![
        format!("  weights       {}: {}; {now}, {before} in f32", form.name(), parts.join(", ")),
        format!("  score error   {:e} at most against f32, relative to max(1, |score|)", small.largest_error),
        format!("  NDCG          {:e} lost against the order by f32 scores", small.ndcg_loss),
    ];
    if small.labels_changed > 0 {
        lines.push(format!("  labels        {} changed", small.labels_changed));
    }
    lines
}
