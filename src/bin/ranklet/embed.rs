//! `ranklet embed`.

use crate::{cli, files};
use indicatif::HumanBytes;
use ranklet::bundle::section;
use ranklet::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the runtime lies: in an installed package, and in a checkout that was built.
const PLACES: [&str; 2] = ["node_modules/ranklet/dist/ranklet.wasm", "pkg/dist/ranklet.wasm"];

pub fn run(args: &cli::Embed) -> Result<ExitCode> {
    let bundle = files::bundle(&args.bundle)?;
    // What does not open would only be found out in a page.
    files::open_bytes(&args.bundle, &bundle)?;
    let runtime = args.runtime.clone().map_or_else(find, Ok)?;
    let wasm = section::embed(&files::read(&runtime)?, &bundle).map_err(|e| e.at(runtime.display()))?;
    files::write(&args.output, &wasm)?;
    let size = |n: usize| HumanBytes(n as u64);
    files::print(&format!("{}  {}", args.output.display(), size(wasm.len())));
    files::print(&format!("  runtime       {}, {}", runtime.display(), size(wasm.len() - bundle.len())));
    files::print(&format!("  bundle        {}, {}", args.bundle.display(), size(bundle.len())));
    Ok(ExitCode::SUCCESS)
}

/// The nearest runtime, from here upwards.
fn find() -> Result<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let places = here.ancestors().flat_map(|folder| PLACES.map(|place| folder.join(place)));
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let what = format!(
            "no runtime is found: neither {} nor {}, here or above; `npm install ranklet`, or give --runtime ranklet.wasm",
            PLACES[0], PLACES[1]
        );
        Error::new(ErrorKind::Io, what)
    })
}
