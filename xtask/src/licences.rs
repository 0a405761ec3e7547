//! Whether every crate we build with has a licence that `deny.toml` allows.

use std::fs;

use serde_json::Value;

use crate::failure::{AtPath, Failure, Result};
use crate::workspace::{Workspace, cargo_metadata};

/// The crates whose licence is not allowed, as `name version: licence`.
pub fn refused(work: &Workspace) -> Result<Vec<String>> {
    let path = work.root.join("deny.toml");
    let bad = |what: String| Failure::new(what, path.display(), "list the licences under [licenses] allow");
    let file: toml::Table = fs::read_to_string(&path).at(&path)?.parse().map_err(|error| bad(format!("{error}")))?;
    let allowed = file.get("licenses").and_then(|table| table.get("allow")?.as_array());
    let allowed: Vec<&str> = allowed.into_iter().flatten().filter_map(toml::Value::as_str).collect();
    if allowed.is_empty() {
        return Err(bad("no licence is allowed".into()));
    }
    // Only what is built: the lock file also names crates of platforms that nobody here compiles for.
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let platforms = ["--filter-platform", &host, "--filter-platform", "wasm32-unknown-unknown"];
    let metadata = cargo_metadata(&work.root, &platforms)?;
    let used: Vec<&str> =
        metadata["resolve"]["nodes"].as_array().into_iter().flatten().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    Ok(packages
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains(&id)))
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or("none");
            (!allows(&allowed, licence))
                .then(|| format!("{} {}: {licence}", text(&package["name"]), text(&package["version"])))
        })
        .collect())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Evaluates an SPDX expression; `/` is how old crates write OR.
fn allows(allowed: &[&str], expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(allowed, &mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(allowed: &[&str], words: &mut Words) -> bool {
    let mut answer = all(allowed, words);
    while words.next_if_eq(&"OR").is_some() {
        answer |= all(allowed, words);
    }
    answer
}

fn all(allowed: &[&str], words: &mut Words) -> bool {
    let mut answer = one(allowed, words);
    while words.next_if_eq(&"AND").is_some() {
        answer &= one(allowed, words);
    }
    answer
}

fn one(allowed: &[&str], words: &mut Words) -> bool {
    match words.next() {
        Some("(") => any(allowed, words) & (words.next() == Some(")")),
        Some(name) if words.next_if_eq(&"WITH").is_some() => {
            let exception = words.next().unwrap_or_default();
            allowed.contains(&format!("{name} WITH {exception}").as_str())
        }
        Some(name) => allowed.contains(&name),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_evaluated() {
        let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"];
        for (expression, answer) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0", true),
            ("Apache-2.0", false),
            ("(MIT", false),
            ("MIT MIT", false),
            ("", false),
        ] {
            assert_eq!(allows(&allowed, expression), answer, "{expression}");
        }
    }
}
