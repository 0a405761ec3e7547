//! Reads how many tests a runner ran from what it printed. A runner that says nothing countable has proved nothing.

use std::ops::AddAssign;

/// Tests of one or more runners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// What was skipped and why, for people.
    pub unmet: Vec<String>,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.unmet.extend(other.unmet);
    }
}

impl Tally {
    /// One check that passed or failed as a whole: formatting, lints, a budget.
    pub fn check(passed: bool) -> Self {
        Self { passed: usize::from(passed), failed: usize::from(!passed), ..Self::default() }
    }

    /// Something this machine cannot run, named.
    pub fn unmet(what: impl Into<String>) -> Self {
        Self { skipped: 1, unmet: vec![what.into()], ..Self::default() }
    }

    /// The counts in a runner's output, or nothing if there are none.
    pub fn read(output: &str) -> Option<Self> {
        let text = without_colour(output);
        let mut total = Self::default();
        let mut counted = false;
        for line in text.lines() {
            let line = line.trim();
            if let Some(found) = cargo(line).or_else(|| vitest(line)).or_else(|| pytest(line)).or_else(|| node(line)) {
                total += found;
                counted = true;
            } else if let Some(why) = line.strip_prefix("SKIPPED [") {
                total.unmet.push(why.split_once("] ").map_or(why, |(_, place)| place).to_owned());
            }
        }
        counted.then_some(total)
    }

    /// Sets the counts against how the runner ended: a failed runner never counts as passed, nor does a silent one.
    pub fn of_runner(output: &str, success: bool) -> Self {
        let mut tally = Self::read(output).unwrap_or_default();
        let silent = tally.passed + tally.failed + tally.skipped == 0;
        if tally.failed == 0 && (!success || silent) {
            tally.failed = 1;
        }
        tally
    }
}

/// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
fn cargo(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    Some(Tally {
        passed: before(counts, "passed")?,
        failed: before(counts, "failed")?,
        skipped: before(counts, "ignored")?,
        unmet: Vec::new(),
    })
}

/// `Tests  1 failed | 11 passed | 2 skipped (14)`
fn vitest(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("Tests ")?;
    words(counts.replace('|', ",").split_once('(')?.0)
}

/// `=== 1 failed, 11 passed, 2 skipped in 0.12s ===`
fn pytest(line: &str) -> Option<Tally> {
    let inner = line.strip_prefix('=')?.trim_matches(['=', ' ']);
    words(inner.rsplit_once(" in ")?.0)
}

/// Node's own runner, one count a line: `ℹ pass 3` or `# pass 3`.
fn node(line: &str) -> Option<Tally> {
    let (name, count) = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# "))?.split_once(' ')?;
    let count = count.parse().ok()?;
    match name {
        "pass" => Some(Tally { passed: count, ..Tally::default() }),
        "fail" => Some(Tally { failed: count, ..Tally::default() }),
        "skipped" | "todo" => Some(Tally { skipped: count, ..Tally::default() }),
        _ => None,
    }
}

/// `1 failed, 11 passed`, in any order; an error while collecting is a failure.
fn words(counts: &str) -> Option<Tally> {
    let count = |name: &str| before(counts, name).unwrap_or(0);
    let tally = Tally {
        passed: count("passed") + count("xfailed"),
        failed: count("failed") + count("error") + count("errors") + count("xpassed"),
        skipped: count("skipped") + count("todo"),
        unmet: Vec::new(),
    };
    (tally != Tally::default()).then_some(tally)
}

/// The number in front of exactly this word.
fn before(counts: &str, name: &str) -> Option<usize> {
    let mut last = None;
    for word in counts.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
        if word == name {
            return last;
        }
        last = word.parse().ok();
    }
    None
}

/// The text without terminal colours.
fn without_colour(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once("\u{1b}[") {
        plain.push_str(head);
        rest = tail.find(|c: char| c.is_ascii_alphabetic()).map_or("", |end| &tail[end + 1..]);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(output: &str) -> (usize, usize, usize) {
        let tally = Tally::read(output).unwrap();
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn every_runner_is_read() {
        let cargo = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
                     noise\ntest result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; x\n";
        assert_eq!(counts(cargo), (7, 3, 1));
        let vitest = " Test Files  1 failed | 1 passed (2)\n\u{1b}[2m      Tests \u{1b}[22m 1 failed | 11 passed | 2 skipped (14)\n";
        assert_eq!(counts(vitest), (11, 1, 2));
        assert_eq!(counts("      Tests  12 passed (12)\n"), (12, 0, 0));
        let pytest = "SKIPPED [1] tests/test_x.py:9: no data\n= 1 failed, 11 passed, 2 skipped, 1 error in 0.12s =\n";
        assert_eq!(counts(pytest), (11, 2, 2));
        assert_eq!(Tally::read(pytest).unwrap().unmet, ["tests/test_x.py:9: no data"]);
        assert_eq!(counts("ℹ tests 5\nℹ pass 3\nℹ fail 1\nℹ skipped 1\nℹ todo 0\n"), (3, 1, 1));
    }

    #[test]
    fn a_runner_that_failed_or_ran_nothing_never_passes() {
        let failed = |output, success| Tally::of_runner(output, success).failed;
        assert_eq!(failed("", true), 1);
        assert_eq!(failed("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured", true), 1);
        assert_eq!(failed("      Tests  12 passed (12)\n", false), 1);
        assert_eq!(failed("      Tests  2 failed | 12 passed (12)\n", false), 2);
        assert_eq!(failed("      Tests  12 passed (12)\n", true), 0);
    }
}
