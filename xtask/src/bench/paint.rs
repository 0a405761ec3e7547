//! Terminal colours, or none.

use std::io::IsTerminal;

pub struct Paint(bool);

impl Paint {
    pub fn new(colour: bool) -> Self {
        Self(colour)
    }

    /// Colours where stdout is a terminal and nobody forbids them.
    pub fn of_stdout() -> Self {
        Self::new(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()))
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    pub fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    pub fn good(&self, text: &str) -> String {
        self.with("32", text)
    }

    pub fn bad(&self, text: &str) -> String {
        self.with("31", text)
    }

    /// Green where ranklet is the faster one, red where it is not.
    pub fn ratio(&self, ratio: Option<f64>, width: usize) -> String {
        let Some(ratio) = ratio else { return format!("{:>width$}", "–") };
        let text = format!("{:>width$}", format!("{ratio:.2}x"));
        if ratio >= 1.0 { self.good(&text) } else { self.bad(&text) }
    }
}
