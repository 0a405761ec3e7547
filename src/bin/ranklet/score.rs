//! `ranklet score`.

use crate::{cli, files};
use ranklet::Result;
use ranklet::bundle::{read_tensors, write};
use std::process::ExitCode;

pub fn run(args: &cli::Score) -> Result<ExitCode> {
    let mut ranker = files::open(&args.bundle)?;
    let inputs = read_tensors(&files::read(&args.inputs)?).map_err(|e| e.at(args.inputs.display()))?;
    let outputs = ranker.scorer().score(|name| inputs.get(name)).map_err(|e| e.at(args.inputs.display()))?;
    let shapes: Vec<String> = outputs.iter().map(|(name, tensor)| format!("{name} {:?}", tensor.dims)).collect();
    files::write(&args.output, &write(&outputs.into_iter().collect(), None))?;
    files::print(&shapes.join("\n"));
    Ok(ExitCode::SUCCESS)
}
