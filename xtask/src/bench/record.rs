//! The record of a run: the document and its plot under `benches/record/`.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::document::Document;
use super::rerank::Rerank;
use crate::failure::{AtPath, Failure, Result};
use crate::process::must;
use crate::toolchain;
use crate::workspace::Workspace;

/// Writes `DATE-CPU.json` and `DATE-CPU.svg`.
pub fn write(work: &Workspace, document: &Document, scripts: &Path) -> Result<()> {
    let folder = work.root.join("benches/record");
    fs::create_dir_all(&folder).at(&folder)?;
    let path = folder.join(format!("{}-{}.json", document.date, slug(&document.machine.cpu)));
    fs::write(&path, format!("{}\n", text(document)?)).at(&path)?;
    let plot = path.with_extension("svg");
    let mut node = toolchain::node()?;
    node.arg(scripts.join("plot.mjs")).arg(&path).arg(&plot);
    must(&mut node, "the plot", "see its message above")?;
    eprintln!("recorded: {}, {}", work.show(&path), work.show(&plot));
    Ok(())
}

/// Writes `DATE-CPU-rerank.json`: the whole re-rank measured by itself.
pub fn write_rerank(work: &Workspace, measured: &Rerank) -> Result<()> {
    let path = work.root.join("benches/record").join(format!("{}-{}-rerank.json", measured.date, slug(&measured.cpu)));
    fs::write(&path, format!("{}\n", text(measured)?)).at(&path)?;
    eprintln!("recorded: {}", work.show(&path));
    Ok(())
}

/// A document as it is printed and recorded.
pub fn text(document: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(document).map_err(|error| Failure::new(error.to_string(), "bench", "report this"))
}

/// A processor's name as a file's: `Intel(R) Xeon(R) CPU @ 2.20GHz` is `intel-xeon-2.20ghz`.
fn slug(cpu: &str) -> String {
    let plain = cpu.replace("(R)", " ").replace("(TM)", " ");
    let words: Vec<String> = plain
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty() && !matches!(*word, "CPU" | "Processor"))
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() { "unknown".into() } else { words.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_names_a_file() {
        assert_eq!(slug("AMD EPYC"), "amd-epyc");
        assert_eq!(slug("Intel(R) Xeon(R) CPU @ 2.20GHz"), "intel-xeon-2.20ghz");
        assert_eq!(slug(""), "unknown");
    }
}
