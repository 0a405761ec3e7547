//! The native command line, and the demo's bundle that it compiles.

use std::fs;
use std::process::Command;

use crate::failure::{AtPath, Result};
use crate::process::must;
use crate::stamp::{Stamp, fresh, keep};
use crate::workspace::{Workspace, cargo};

/// `target/release/ranklet`.
pub fn build(work: &Workspace) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--release", "--features", "cli"]).current_dir(&work.root);
    must(&mut command, "the ranklet command line", "mend the compiler's first error above").map(drop)
}

/// `target/ranklet/ads-recs.ranklet`, from the committed models.
pub fn bundle(work: &Workspace) -> Result<()> {
    build(work)?;
    let model = work.models().join("ads-recs");
    // Requests and events lie beside the model but do not go into the bundle.
    let stamp = Stamp::of("bundle").path_without(&model, &["requests", "events", "out"])?.path(&work.binary())?.value();
    let record = work.made().join("ads-recs.stamp");
    if fresh(&record, &stamp, &[work.bundle()]) {
        return Ok(());
    }
    fs::create_dir_all(work.made()).at(&work.made())?;
    let next = work.made().join("next.ranklet");
    let mut command = Command::new(work.binary());
    command.arg("compile").arg(model.join("spec.toml")).arg("-o").arg(&next).current_dir(&work.root);
    must(&mut command, "the ads-recs bundle", "mend models/ads-recs/spec.toml as the message says")?;
    fs::rename(&next, work.bundle()).at(&work.bundle())?;
    keep(&record, &stamp)
}
