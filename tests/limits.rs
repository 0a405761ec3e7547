//! The caps that `docs/security.md` states are those of the code, and none of the code's is missing there.
#![allow(clippy::unwrap_used, reason = "a test states what it expects")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What is built on the build machine alone, is no cap on what comes from outside, or is said elsewhere.
const ELSEWHERE: [&str; 4] = [
    "src/compile",
    "src/bin",
    // A bit's name.
    "src/policy/decision.rs",
    // Said in `MAX_SEQUENCE`'s kind of words: counts that stop, of which nothing is refused.
    "src/context/state.rs MAX_UNOPENED",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A product or a shift of whole numbers, as constants are written.
fn value(text: &str) -> Option<u64> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    match text.split_once("<<") {
        Some((number_, shift)) => Some(number(number_)? << number(shift)?),
        None => text.split('*').map(number).product(),
    }
}

/// Constants of a source file whose name says that they are caps.
fn caps(path: &str) -> BTreeMap<String, Option<u64>> {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let named = |name: &str| name.starts_with("MAX_") || matches!(name, "CAP" | "DEPTH");
    let constants = text.lines().filter_map(|line| {
        let (left, right) = line.trim().trim_start_matches("pub ").split_once(" = ")?;
        let left = left.trim_start_matches("pub(super) ").trim_start_matches("pub(crate) ").strip_prefix("const ")?;
        let name = left.split(':').next()?;
        named(name).then(|| (name.to_owned(), value(right.trim_end_matches(';'))))
    });
    constants.collect()
}

fn sources(folder: PathBuf, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn the_documented_caps_are_those_of_the_code() {
    let text = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let table = text.split("## Hard caps").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut stated = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (path, name) = cells[3].trim_start_matches('`').split_once("` ").unwrap();
        let of_code = *caps(path).get(name).unwrap_or_else(|| panic!("{path} has no {name}"));
        assert_eq!(of_code, value(cells[2]), "{path} {name}");
        assert!(of_code.is_some(), "{path} {name} is no number");
        stated.push(format!("{path} {name}"));
    }
    assert!(stated.len() >= 30, "{stated:?}");
    let mut files = Vec::new();
    sources(root().join("src"), &mut files);
    for path in files {
        for name in caps(&path).into_keys().map(|name| format!("{path} {name}")) {
            let known = stated.contains(&name) || ELSEWHERE.iter().any(|place| name.starts_with(place));
            assert!(known, "{name} is not in docs/security.md");
        }
    }
}

#[test]
fn numbers_are_read_as_constants_are_written() {
    for (text, number) in [
        ("1 << 24", Some(1 << 24)),
        ("65_536", Some(65_536)),
        ("64 << 20", Some(64 << 20)),
        ("4 * 1_000", Some(4000)),
        ("Unopened::MOST", None),
    ] {
        assert_eq!(value(text), number, "{text}");
    }
}
