//! Skips a step whose inputs are, byte for byte, those of the last time it succeeded.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::failure::{AtPath, Failure, Result};

/// A fingerprint of a step's inputs under construction.
pub struct Stamp(DefaultHasher);

impl Stamp {
    /// `step` changes whenever the step itself is written anew.
    pub fn of(step: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        step.hash(&mut hasher);
        Self(hasher)
    }

    pub fn text(mut self, text: &str) -> Self {
        text.hash(&mut self.0);
        self
    }

    /// A file, or a folder with all that is in it; absent is an input too.
    pub fn path(self, path: &Path) -> Result<Self> {
        self.path_without(path, &[])
    }

    /// A folder without the entries called `skipped`, at any depth.
    pub fn path_without(mut self, path: &Path, skipped: &[&str]) -> Result<Self> {
        for file in files(path, skipped)? {
            file.strip_prefix(path).unwrap_or(&file).hash(&mut self.0);
            fs::read(&file).at(&file)?.hash(&mut self.0);
        }
        Ok(self)
    }

    pub fn value(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// Whether `record` holds this stamp and every output is there.
pub fn fresh(record: &Path, stamp: &str, outputs: &[PathBuf]) -> bool {
    fs::read_to_string(record).is_ok_and(|kept| kept == stamp) && outputs.iter().all(|output| output.exists())
}

/// Records that the step succeeded.
pub fn keep(record: &Path, stamp: &str) -> Result<()> {
    if let Some(folder) = record.parent() {
        fs::create_dir_all(folder).at(folder)?;
    }
    fs::write(record, stamp).at(record)
}

/// All files below `path`, sorted; the path itself if it is a file.
pub fn files(path: &Path, skipped: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(path, skipped, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(path: &Path, skipped: &[&str], found: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        found.push(path.to_path_buf());
    } else if path.is_dir() {
        for entry in fs::read_dir(path).at(path)? {
            let entry = entry.at(path)?;
            if !skipped.iter().any(|name| entry.file_name() == *name) {
                collect(&entry.path(), skipped, found)?;
            }
        }
    }
    Ok(())
}

/// Copies a folder, without the entries called `skipped`.
pub fn copy_tree(from: &Path, to: &Path, skipped: &[&str]) -> Result<()> {
    for file in files(from, skipped)? {
        let relative = file.strip_prefix(from).map_err(|error| {
            Failure::new(error.to_string(), file.display(), "keep links inside the folder they lie in")
        })?;
        let target = to.join(relative);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).at(folder)?;
        }
        fs::copy(&file, &target).at(&target)?;
    }
    Ok(())
}

/// An empty folder at `path`, whatever lay there before.
pub fn empty_folder(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).at(path)?;
    }
    fs::create_dir_all(path).at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_fresh_until_an_input_or_an_output_changes() {
        let folder = std::env::temp_dir().join(format!("ranklet-stamp-{}", std::process::id()));
        empty_folder(&folder.join("in/node_modules")).unwrap();
        let (input, output, record) = (folder.join("in/a"), folder.join("out"), folder.join("stamps/step"));
        let stamp = || Stamp::of("step").path_without(&folder.join("in"), &["node_modules"]).unwrap().value();
        fs::write(&input, "one").unwrap();
        fs::write(&output, "").unwrap();
        let outputs = [output.clone()];
        assert!(!fresh(&record, &stamp(), &outputs));
        keep(&record, &stamp()).unwrap();
        assert!(fresh(&record, &stamp(), &outputs));
        fs::write(folder.join("in/node_modules/x"), "ignored").unwrap();
        assert!(fresh(&record, &stamp(), &outputs));
        fs::write(&input, "two").unwrap();
        assert!(!fresh(&record, &stamp(), &outputs));
        fs::write(&input, "one").unwrap();
        fs::remove_file(&output).unwrap();
        assert!(!fresh(&record, &stamp(), &outputs));
        fs::remove_dir_all(&folder).unwrap();
    }
}
