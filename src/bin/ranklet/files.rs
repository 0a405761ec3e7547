//! Files, with errors that name them.

use ranklet::context::Event;
use ranklet::features::Request;
use ranklet::ranker::Ranker;
use ranklet::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
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

pub fn open(path: &Path) -> Result<Ranker> {
    Ranker::open(&read(path)?).map_err(|e| e.at(path.display()))
}

/// Lines that are not blank, numbered from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim().is_empty())
}

/// A request a file, or one a line of a .jsonl file.
pub fn requests(path: &Path) -> Result<Vec<Request>> {
    let text = read_text(path)?;
    if path.extension().is_some_and(|e| e == "jsonl") {
        return lines(&text)
            .map(|(n, line)| Request::from_json(line).map_err(|e| e.at(format!("{} line {n}", path.display()))))
            .collect();
    }
    Ok(vec![Request::from_json(&text).map_err(|e| e.at(path.display()))?])
}

/// Events by session, each list in order of time.
pub type Events = BTreeMap<Option<String>, Vec<Event>>;

pub fn events(path: Option<&Path>) -> Result<Events> {
    let mut events = Events::new();
    let Some(path) = path else { return Ok(events) };
    for (n, line) in lines(&read_text(path)?) {
        let event = Event::from_json(line).map_err(|e| e.at(format!("{} line {n}", path.display())))?;
        events.entry(event.session.clone()).or_default().push(event);
    }
    for list in events.values_mut() {
        // Stable: events of one moment keep the file's order.
        list.sort_by(|a, b| a.time.total_cmp(&b.time));
    }
    Ok(events)
}

/// The events of a request's session, and those that name none, up to its `now`, in order of time.
pub fn reaching<'a>(events: &'a Events, request: &Request) -> Vec<&'a Event> {
    let of = |session: Option<String>| events.get(&session).map_or(&[][..], Vec::as_slice);
    let mut all: Vec<&Event> = of(None).iter().collect();
    if request.session.is_some() {
        all.extend(of(request.session.clone()));
    }
    all.retain(|e| e.time <= request.now);
    all.sort_by(|a, b| a.time.total_cmp(&b.time));
    all
}
