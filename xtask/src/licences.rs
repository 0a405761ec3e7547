//! Whether every crate we build with is what `deny.toml` allows: its licence, its source, and that it is there once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::failure::{AtPath, Failure, Result};
use crate::workspace::{Workspace, cargo_metadata};

/// What is not allowed, a line each.
pub fn refused(work: &Workspace) -> Result<Vec<String>> {
    let path = work.root.join("deny.toml");
    let bad = |what: String| Failure::new(what, path.display(), "list the licences under [licenses] allow");
    let file: toml::Table = fs::read_to_string(&path).at(&path)?.parse().map_err(|error| bad(format!("{error}")))?;
    let allowed = file.get("licenses").and_then(|table| table.get("allow")?.as_array());
    let allowed: Vec<&str> = allowed.into_iter().flatten().filter_map(toml::Value::as_str).collect();
    if allowed.is_empty() {
        return Err(bad("no licence is allowed".into()));
    }
    let skipped = file.get("bans").and_then(|table| table.get("skip")?.as_array());
    let skipped: Vec<&str> = skipped.into_iter().flatten().filter_map(|skip| skip.get("name")?.as_str()).collect();
    // Only what is built: the lock file also names crates of platforms that nobody here compiles for.
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let platforms = ["--all-features", "--filter-platform", &host, "--filter-platform", "wasm32-unknown-unknown"];
    let metadata = cargo_metadata(&work.root, &platforms)?;
    let used: BTreeSet<&str> =
        metadata["resolve"]["nodes"].as_array().into_iter().flatten().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let packages: Vec<&Value> =
        packages.filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id))).collect();
    let licences = packages.iter().filter_map(|package| {
        let licence = package["license"].as_str().unwrap_or("none");
        (!allows(&allowed, licence)).then(|| format!("{}: {licence}", named(package)))
    });
    Ok(licences.chain(doubles(&packages, &skipped)).chain(sources(&packages)).collect())
}

fn named(package: &Value) -> String {
    format!("{} {}", text(&package["name"]), text(&package["version"]))
}

/// Crates that are there in several versions; and skips that nothing needs any more.
fn doubles(packages: &[&Value], skipped: &[&str]) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(text(&package["name"])).or_default().insert(text(&package["version"]));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let twice = versions.iter().filter(|(name, _)| !skipped.contains(name));
    let twice = twice.map(|(name, versions)| format!("{name} is there in several versions: {versions:?}"));
    let idle = skipped.iter().filter(|name| !versions.contains_key(*name));
    twice.chain(idle.map(|name| format!("{name} is skipped in deny.toml and there once"))).collect()
}

/// What comes from elsewhere than the default registry, or as any version that there is.
fn sources(packages: &[&Value]) -> Vec<String> {
    let registries: BTreeSet<&str> = packages.iter().filter_map(|package| package["source"].as_str()).collect();
    let strange = registries.iter().filter(|source| !source.starts_with("registry+"));
    let mut refused: Vec<String> = strange.map(|source| format!("{source} is no registry")).collect();
    if registries.len() > refused.len() + 1 {
        refused.push(format!("several registries: {registries:?}"));
    }
    for package in packages.iter().filter(|package| package["source"].is_null()) {
        let any = |dependency: &&Value| dependency["req"] == "*" && dependency["path"].is_null();
        let any = package["dependencies"].as_array().into_iter().flatten().filter(any);
        refused.extend(any.map(|dependency| format!("{} takes any {}", named(package), text(&dependency["name"]))));
    }
    refused
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
    fn doubles_idle_skips_and_strange_sources_are_told() {
        let package = |name: &str, version: &str, source: Value| serde_json::json!({ "name": name, "version": version, "source": source, "dependencies": [{ "name": "x", "req": "*", "path": null }, { "name": "own", "req": "*", "path": "own" }] });
        let all = [
            package("a", "1.0.0", "registry+one".into()),
            package("a", "2.0.0", "registry+two".into()),
            package("b", "1.0.0", "git+somewhere".into()),
            package("own", "0.1.0", Value::Null),
        ];
        let all: Vec<&Value> = all.iter().collect();
        assert!(doubles(&all[..1], &[]).is_empty() && doubles(&all, &["a"]).is_empty());
        assert_eq!((doubles(&all, &[]).len(), doubles(&all[..1], &["a"]).len()), (1, 1));
        assert!(sources(&all[..1]).is_empty());
        let refused = sources(&all);
        assert_eq!(refused.len(), 3, "{refused:?}");
        assert!(refused[2].contains("own 0.1.0 takes any x"));
    }

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
