//! What is known against the versions we build with: cargo-deny's whole check and npm's audit, each where its tool and its data
//! can be reached, and named as skipped where they cannot.

use serde_json::Value;

use crate::failure::Result;
use crate::process::{Progress, answer, run};
use crate::tally::Tally;
use crate::toolchain;
use crate::workspace::{Workspace, cargo};

/// Folders with a lock file of npm's. Nothing of them is shipped: the package depends on nothing.
const LOCKS: [&str; 5] = ["pkg", "pkg/test/matrix", "web-demo", "xtask/tools", "xtask/bench"];

/// From this severity on an advisory fails the check: below it, a tool of a build is nobody's way in.
const SEVERITY: &str = "high";

/// What the tools found, and their output.
pub fn check(work: &Workspace) -> Result<(Tally, String)> {
    let mut tally = Tally::default();
    let mut output = String::new();
    for (found, text) in [deny(work)?, audit(work)?] {
        tally += found;
        output += &text;
    }
    Ok((tally, output))
}

fn deny(work: &Workspace) -> Result<(Tally, String)> {
    let mut tally = Tally::default();
    let mut output = String::new();
    let mut version = cargo();
    let here = answer(version.args(["deny", "--version"]).current_dir(&work.root)).is_some();
    for checks in [&["licenses", "bans", "sources"][..], &["advisories"]] {
        let name = format!("cargo deny check {}", checks.join(" "));
        if !here {
            tally += Tally::unmet(format!("{name}: no cargo-deny, run `cargo install --locked cargo-deny`"));
            continue;
        }
        let mut command = cargo();
        command
            .args(["deny", "--color", "never", "--workspace", "--all-features", "check"])
            .args(checks)
            .current_dir(&work.root);
        let ended = ended(&mut command, &name)?;
        tally += if !ended.1 && unfetched(&ended.0) {
            Tally::unmet(format!("{name}: the advisories' repository cannot be reached"))
        } else {
            Tally::check(ended.1)
        };
        output += &ended.0;
    }
    Ok((tally, output))
}

/// Whether cargo-deny had no data to judge by.
fn unfetched(output: &str) -> bool {
    output.contains("failed to fetch advisory database") || output.contains("failed to load advisory database")
}

fn audit(work: &Workspace) -> Result<(Tally, String)> {
    let mut tally = Tally::default();
    let mut output = String::new();
    for folder in LOCKS {
        let mut command = toolchain::npm()?;
        command.args(["audit", "--package-lock-only", "--json", "--audit-level", SEVERITY]);
        command.env("npm_config_fetch_retries", "0").env("npm_config_fetch_timeout", "20000");
        let text = ended(command.current_dir(work.root.join(folder)), "npm audit")?.0;
        tally += audited(folder, &text);
        output += &text;
    }
    Ok((tally, output))
}

/// A report has a version and counts; anything else is no report.
fn audited(folder: &str, output: &str) -> Tally {
    // npm puts its warnings around it.
    let json = output.find('{').zip(output.rfind('}')).and_then(|(start, end)| output.get(start..=end));
    let report: Value = json.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let counts = &report["metadata"]["vulnerabilities"];
    match (counts["high"].as_u64(), counts["critical"].as_u64()) {
        (Some(high), Some(critical)) => Tally::check(high + critical == 0),
        _ => Tally::unmet(format!("npm audit in {folder}: the registry gives no advisories")),
    }
}

fn ended(command: &mut std::process::Command, name: &str) -> Result<(String, bool)> {
    let progress = Progress::start(name);
    let ended = run(command, &progress);
    progress.vanish();
    ended.map(|ended| (ended.text, ended.status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_passes_fails_or_is_named() {
        let report = |high: u64, critical: u64| {
            let counts =
                format!("\"info\": 0, \"low\": 3, \"moderate\": 1, \"high\": {high}, \"critical\": {critical}");
            format!(
                "npm warn something\n{{\"auditReportVersion\": 2, \"metadata\": {{\"vulnerabilities\": {{{counts}}}}}}}\n"
            )
        };
        assert_eq!(audited("pkg", &report(0, 0)), Tally::check(true));
        assert_eq!(audited("pkg", &report(1, 0)), Tally::check(false));
        assert_eq!(audited("pkg", &report(0, 1)), Tally::check(false));
        let refused = "npm warn audit 405 Method Not Allowed\n{\"message\": \"405\", \"error\": {\"summary\": \"\"}}";
        for nothing in [refused, "", "}{", "npm error audit endpoint returned an error"] {
            let skipped = audited("web-demo", nothing);
            assert_eq!((skipped.passed, skipped.failed, skipped.skipped), (0, 0, 1), "{nothing}");
            assert!(skipped.unmet[0].starts_with("npm audit in web-demo: "));
        }
    }

    #[test]
    fn no_data_is_no_verdict() {
        assert!(unfetched("error: failed to fetch advisory database at somewhere"));
        assert!(!unfetched("error[vulnerability]: something\nadvisories FAILED"));
    }
}
