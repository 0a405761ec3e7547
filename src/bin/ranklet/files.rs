//! Files, with errors that name them.

use ranklet::bundle::section;
use ranklet::context::Event;
use ranklet::features::Request;
use ranklet::ranker::Ranker;
use ranklet::{Error, ErrorKind, Result};
use std::io::Write;
use std::path::Path;

pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot read {}: {e}; check the path", path.display())))
}

pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?)
        .map_err(|e| Error::new(ErrorKind::Io, format!("{} is not UTF-8 text: {e}", path.display())))
}

/// Writes beside the target and renames, so that a failed run leaves no half file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e| Error::new(ErrorKind::Io, format!("cannot write {}: {e}; check the folder", path.display()));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    std::fs::write(&part, bytes).map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)
}

/// A bundle's bytes, or those of the bundle that is embedded in a module.
pub fn bundle(path: &Path) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    if !section::is_wasm(&bytes) {
        return Ok(bytes);
    }
    section::embedded(&bytes).map(<[u8]>::to_vec).map_err(|e| e.at(path.display()))
}

pub fn open(path: &Path) -> Result<Ranker> {
    open_bytes(path, &bundle(path)?)
}

pub fn open_bytes(path: &Path, bytes: &[u8]) -> Result<Ranker> {
    Ranker::open(bytes).map_err(|e| e.at(path.display()))
}

/// Lines that are not blank, numbered from 1.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim().is_empty())
}

/// A request a file, or one a line of a .jsonl file, each with where it stands.
pub fn requests(path: &Path) -> Result<Vec<(String, Request)>> {
    let text = read_text(path)?;
    let parse = |place: String, text: &str| match Request::from_json(text) {
        Ok(request) => Ok((place, request)),
        Err(error) => Err(error.at(place)),
    };
    if path.extension().is_some_and(|e| e == "jsonl") {
        return lines(&text).map(|(n, line)| parse(format!("{} line {n}", path.display()), line)).collect();
    }
    Ok(vec![parse(path.display().to_string(), &text)?])
}

/// One event a line.
pub fn events(path: &Path) -> Result<Vec<Event>> {
    let text = read_text(path)?;
    lines(&text)
        .map(|(n, line)| Event::from_json(line).map_err(|e| e.at(format!("{} line {n}", path.display()))))
        .collect()
}

/// Prints a result. A reader that went away (a closed pipe) wants no more, which is no failure.
pub fn print(text: &str) {
    let _ = writeln!(anstream::AutoStream::auto(std::io::stdout().lock()), "{text}");
}
