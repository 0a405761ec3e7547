//! Runs child processes: their output never reaches our stdout, their last line is the progress, and a failed one's
//! output is shown.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Failure, Result};

/// How much of a failed child's output is shown: enough for one compiler error or one failed test with its context.
const SHOWN_LINES: usize = 60;

/// A child that ended: everything it printed, both streams in the order they arrived.
pub struct Ended {
    pub status: ExitStatus,
    pub text: String,
}

/// One step of work with a line of progress on stderr.
pub struct Progress {
    label: String,
    bar: Option<ProgressBar>,
    start: Instant,
}

impl Progress {
    pub fn start(label: impl Into<String>) -> Self {
        let label = label.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed:>4} {wide_msg:.dim}") {
                bar.set_style(style);
            }
            bar.set_prefix(label.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { label, bar, start: now() }
    }

    /// Shows a child's latest line on a terminal; a log keeps to one line per step.
    fn note(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.trim().to_owned());
        }
    }

    /// Ends the step with its seconds.
    pub fn done(self) {
        let seconds = self.start.elapsed().as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("done: {} ({seconds:.1} s)", self.label);
    }

    /// Ends a step that turned out to have nothing to do, without a line.
    pub fn vanish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Wall-clock time for people to read; no result depends on it.
#[expect(clippy::disallowed_methods, reason = "xtask prints how long a step took; it is no part of the core")]
pub fn now() -> Instant {
    Instant::now()
}

/// Runs `command` to its end, with no standard input, and gives what it printed whatever its status.
pub fn run(command: &mut Command, progress: &Progress) -> Result<Ended> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| {
            Failure::new(format!("does not start: {error}"), &program, "check that it is installed")
        })?;
    let (sender, lines) = channel();
    let readers = [
        child.stdout.take().map(|stream| follow(stream, sender.clone())),
        child.stderr.take().map(|stream| follow(stream, sender.clone())),
    ];
    drop(sender);
    let mut text = String::new();
    for line in lines {
        progress.note(&line);
        text.push_str(&line);
        text.push('\n');
    }
    for reader in readers.into_iter().flatten() {
        // A reader ends with its stream; there is nothing to learn from how.
        let _ = reader.join();
    }
    let status = child
        .wait()
        .map_err(|error| Failure::new(format!("cannot be waited for: {error}"), &program, "run it again"))?;
    Ok(Ended { status, text })
}

/// Runs a step that must succeed; shows the end of its output if it does not.
pub fn must(command: &mut Command, label: &str, mend: &str) -> Result<String> {
    let progress = Progress::start(label);
    let ended = match run(command, &progress) {
        Ok(ended) => ended,
        Err(failure) => {
            progress.vanish();
            return Err(failure);
        }
    };
    if ended.status.success() {
        // A step that took no time to speak of did nothing worth a line.
        if progress.start.elapsed() > Duration::from_secs(1) {
            progress.done()
        } else {
            progress.vanish()
        }
        return Ok(ended.text);
    }
    progress.vanish();
    show_end(&ended.text);
    Err(Failure::new(format!("{label} failed ({})", ended.status), place(command), mend))
}

/// The standard output of a short command, trimmed, if it ran and succeeded.
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The last lines of a failed child's output, on stderr.
pub fn show_end(text: &str) {
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
        eprintln!("  {line}");
    }
}

/// Whether `program` is found on the search path.
pub fn on_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The start of a command line, as a person would type it.
fn place(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args().take(3) {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn follow(stream: impl Read + Send + 'static, lines: Sender<String>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        // Bytes, not `lines()`: a child may print what is not UTF-8.
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if lines.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    })
}
