//! The model files, their inputs and their bundles, in `target/ranklet/bench`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::document::{MultiplyAdds, RANKLET, RTEN};
use super::peers::Peers;
use crate::failure::{AtPath, Failure, Result};
use crate::process::{Progress, must, run};
use crate::python;
use crate::stamp::{Stamp, empty_folder, fresh, keep};
use crate::workspace::Workspace;

/// How much of a refusal goes into the document.
const REASON: usize = 300;

/// Why engines cannot run models, as far as it is known before anything is measured.
type Absent = BTreeMap<String, BTreeMap<String, String>>;

/// Makes whatever of it is missing or old. A model that ranklet does not compile is part of the result.
pub fn make(work: &Workspace, peers: &Peers) -> Result<PathBuf> {
    let folder = work.made().join("bench");
    let stamp = Stamp::of("bench models 2")
        .path_without(
            &work.models().join("ranklet_models/bench"),
            &["__pycache__", "peer.py", "rerank.py", "rerank.toml"],
        )?
        .path(&work.models().join("ranklet_models/trees.py"))?
        .path(&work.models().join("pyproject.toml"))?
        .value();
    let record = folder.join("models.stamp");
    if !fresh(&record, &stamp, &[folder.join("models.json")]) {
        empty_folder(&folder)?;
        let mut make = python::command(work)?;
        make.args(["-m", "ranklet_models.bench.make"]).arg(&folder);
        must(&mut make, "the benchmark's models", "see its message above")?;
        keep(&record, &stamp)?;
    }
    let dense = dense(&folder.join("models.json"))?;
    let mut absent = Absent::new();
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&folder).at(&folder)? {
        entries.push(entry.at(&folder)?.path());
    }
    entries.sort();
    for model in entries.iter().filter(|path| path.extension().is_some_and(|ending| ending == "onnx")) {
        let name = model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut reasons = BTreeMap::new();
        let mut forms = vec!["f32"];
        if dense.contains(&name) {
            forms.push("int8");
        }
        for weights in forms {
            if let Some(reason) = compile(work, &folder, model, weights)? {
                eprintln!("ranklet compiles no {name} with weights {weights}: {reason}");
                reasons.insert(RANKLET.to_owned(), reason);
            }
        }
        if let Err(reason) = &peers.rten {
            reasons.insert(RTEN.to_owned(), reason.clone());
        }
        absent.insert(name, reasons);
    }
    if let Ok(wasm) = &peers.rten {
        let copy = folder.join("rten.wasm");
        fs::copy(wasm, &copy).at(&copy)?;
    }
    let path = folder.join("absent.json");
    let text = serde_json::to_string(&absent)
        .map_err(|error| Failure::new(error.to_string(), path.display(), "report this"))?;
    fs::write(&path, text).at(&path)?;
    Ok(folder)
}

/// The models that multiply and add: those with weights to store in 8 bits.
fn dense(path: &Path) -> Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        name: String,
        multiply_adds: Option<MultiplyAdds>,
    }
    let text = fs::read_to_string(path).at(path)?;
    let entries: Vec<Entry> = serde_json::from_str(&text)
        .map_err(|error| Failure::new(error.to_string(), path.display(), "remove the folder it lies in"))?;
    Ok(entries.into_iter().filter(|entry| entry.multiply_adds.is_some()).map(|entry| entry.name).collect())
}

/// Compiles one model with nothing but its ONNX file, to NAME.ranklet, with other weights than f32 to NAME.WEIGHTS.ranklet.
/// Gives the reason of a refusal.
fn compile(work: &Workspace, folder: &Path, model: &Path, weights: &str) -> Result<Option<String>> {
    let ending = if weights == "f32" { "ranklet".to_owned() } else { format!("{weights}.ranklet") };
    let bundle = model.with_extension(ending);
    if bundle.exists() {
        fs::remove_file(&bundle).at(&bundle)?;
    }
    // Names within the folder: a reason is recorded, and no path of this machine with it.
    let name = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
    let mut compile = Command::new(work.binary());
    compile
        .arg("compile")
        .arg(name(model))
        .arg("-o")
        .arg(name(&bundle))
        .args(["--weights", weights])
        .current_dir(folder);
    let progress = Progress::start(format!("ranklet compile {}", work.show(model)));
    let ended = run(&mut compile, &progress);
    progress.vanish();
    let ended = ended?;
    Ok((!ended.status.success()).then(|| reason(&ended.text)))
}

/// The error's own line, or else the last one.
fn reason(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let line = lines.clone().find(|line| line.starts_with("error:")).or_else(|| lines.next_back()).unwrap_or_default();
    line.trim_start_matches("error:").trim().chars().take(REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_its_error_line() {
        assert_eq!(reason("reading\nerror: no Gather, node 3\n  try this\n"), "no Gather, node 3");
        assert_eq!(reason("one\ntwo\n\n"), "two");
        assert_eq!(reason(""), "");
    }
}
