//! Python: one virtual environment per set of pinned dependencies, in the user's cache, and the models' pipelines.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use toml::Value;

use crate::failure::{AtPath, Failure, Result};
use crate::process::must;
use crate::stamp::{Stamp, empty_folder, fresh, keep};
use crate::toolchain;
use crate::workspace::Workspace;

/// A command of the models' Python with their package importable, the native command line and the data named.
pub fn command(work: &Workspace) -> Result<Command> {
    let mut command = Command::new(environment(work)?);
    command
        .current_dir(work.models())
        .env("PYTHONPATH", work.models())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RANKLET_BIN", work.binary());
    match work.data() {
        Some(folder) => command.env("RANKLET_DATA", folder),
        None => command.env_remove("RANKLET_DATA"),
    };
    Ok(command)
}

/// The environment's interpreter. The environment holds what `models/pyproject.toml` depends on and not the package
/// itself, so that clones can share it.
fn environment(work: &Workspace) -> Result<PathBuf> {
    let python = toolchain::python()?;
    let project = work.models().join("pyproject.toml");
    let text = fs::read_to_string(&project).at(&project)?;
    let dependencies = dependencies(&text)
        .map_err(|what| Failure::new(what, project.display(), "list the dependencies under [project]"))?;
    let stamp = Stamp::of("environment").text(&dependencies.join("\n")).value();
    let home = work.cache.join(format!("venv-{stamp}"));
    let interpreter = home.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let record = home.join("ready");
    if fresh(&record, &stamp, std::slice::from_ref(&interpreter)) {
        return Ok(interpreter);
    }
    empty_folder(&home)?;
    let mut make = Command::new(python);
    make.args(["-m", "venv"]).arg(&home);
    must(&mut make, "a Python environment", &format!("run `{}`", toolchain::apt_line()))?;
    let mut install = Command::new(&interpreter);
    install.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]).args(&dependencies);
    must(&mut install, "the models' Python packages", "check that the Python registry can be reached")?;
    keep(&record, &stamp)?;
    Ok(interpreter)
}

/// All requirements of a `pyproject.toml`, the optional ones included.
fn dependencies(text: &str) -> std::result::Result<Vec<String>, String> {
    let table: toml::Table = text.parse().map_err(|error| format!("{error}").trim().replace('\n', " "))?;
    let project = table.get("project").ok_or("there is no [project]")?;
    let required = project.get("dependencies").and_then(Value::as_array).ok_or("there are no dependencies")?;
    let optional = project.get("optional-dependencies").and_then(Value::as_table);
    let extra = optional.into_iter().flat_map(|groups| groups.values()).filter_map(Value::as_array).flatten();
    Ok(required.iter().chain(extra).filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The two models of `models/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    AdsRecs,
    Movielens,
}

/// Trains and evaluates, its output passed on to stderr as it comes: this takes minutes.
pub fn train(work: &Workspace, models: &[Model]) -> Result<()> {
    let modules = |model: &Model| match model {
        Model::AdsRecs => {
            &["ranklet_models.ads_recs.train", "ranklet_models.ads_recs.evaluate", "ranklet_models.ads_recs.ablation"][..]
        }
        Model::Movielens => &["ranklet_models.movielens.run"][..],
    };
    if models.contains(&Model::Movielens) && work.data().is_none() {
        return Err(Failure::new("movielens needs its data", "RANKLET_DATA", "set it to the folder of data sets"));
    }
    for module in models.iter().flat_map(modules) {
        eprintln!("python -m {module}");
        let status = command(work)?
            .args(["-m", module])
            .stdout(std::io::stderr())
            .status()
            .map_err(|error| Failure::new(error.to_string(), *module, "check the Python environment"))?;
        if !status.success() {
            return Err(Failure::new(format!("the pipeline failed ({status})"), *module, "see its output above"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_holds_required_and_optional_packages() {
        let text = "[project]\ndependencies = [\"a==1\"]\n[project.optional-dependencies]\ntest = [\"b==2\"]\n";
        assert_eq!(dependencies(text).unwrap(), ["a==1", "b==2"]);
        assert!(dependencies("[tool]\n").unwrap_err().contains("[project]"));
    }
}
