//! How long things are remembered: the `context` section of a bundle.

use crate::error::{Error, ErrorKind, Result, detail};
use crate::json::read_struct;
use serde::Serialize;

/// The context layer's parameters. Durations are texts such as `10m`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContextSpec {
    /// Half-lives of the decayed counters; their texts are part of signal names.
    pub half_lives: Vec<String>,
    /// Time-dependent signals are computed at `floor(now / step) * step`, so that a tick of the clock alone
    /// changes nothing.
    pub step: String,
    /// Prior mean of the smoothed rates.
    pub rate_prior: f64,
    /// Weight of the prior, in impressions.
    pub rate_strength: f64,
    /// A session ends after this long without an event.
    pub session_gap: String,
    /// Candidates kept in the last-n sequence.
    pub sequence: usize,
    /// How long a dismissal suppresses.
    pub dismiss_for: String,
    /// How long a snooze without a `value` suppresses.
    pub snooze_for: String,
}

impl Default for ContextSpec {
    fn default() -> Self {
        ContextSpec {
            half_lives: vec!["10m".into(), "1d".into()],
            step: "5s".into(),
            rate_prior: 0.1,
            rate_strength: 2.0,
            session_gap: "30m".into(),
            sequence: 20,
            dismiss_for: "30d".into(),
            snooze_for: "1d".into(),
        }
    }
}

read_struct!(ContextSpec {
    half_lives,
    step,
    rate_prior,
    rate_strength,
    session_gap,
    sequence,
    dismiss_for,
    snooze_for
});

/// A [`ContextSpec`] with its durations as milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Durations {
    pub half_lives: Vec<f64>,
    pub step: f64,
    pub session_gap: f64,
    pub dismiss_for: f64,
    pub snooze_for: f64,
}

impl ContextSpec {
    /// Half-lives at most: each costs ten counters a key.
    pub const MAX_HALF_LIVES: usize = 8;
    /// Longest sequence.
    pub const MAX_SEQUENCE: usize = 256;

    pub(super) fn durations(&self) -> Result<Durations> {
        let invalid = |what: &str| Err(Error::new(ErrorKind::SchemaMismatch, format!("context: {what}")));
        if self.half_lives.is_empty() || self.half_lives.len() > Self::MAX_HALF_LIVES {
            return invalid(detail("give 1 to 8 `half_lives`"));
        }
        if self.sequence > Self::MAX_SEQUENCE {
            return invalid(detail("`sequence` is at most 256"));
        }
        if !(self.rate_prior >= 0.0 && self.rate_strength > 0.0) {
            return invalid(detail("`rate_prior` must not be negative and `rate_strength` must be positive"));
        }
        Ok(Durations {
            half_lives: self.half_lives.iter().map(|h| parse_duration(h)).collect::<Result<_>>()?,
            step: parse_duration(&self.step)?,
            session_gap: parse_duration(&self.session_gap)?,
            dismiss_for: parse_duration(&self.dismiss_for)?,
            snooze_for: parse_duration(&self.snooze_for)?,
        })
    }
}

/// Milliseconds of `250ms`, `5s`, `10m`, `6h` or `7d`; always above 0.
///
/// # Errors
/// `schema_mismatch` with what is accepted.
pub fn parse_duration(text: &str) -> Result<f64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split).unwrap_or_default();
    let unit = match unit {
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        _ => 0.0,
    };
    match number.parse::<u32>() {
        Ok(n) if n > 0 && unit > 0.0 => Ok(f64::from(n) * unit),
        _ => Err(Error::new(
            ErrorKind::SchemaMismatch,
            format!("`{text}` is no duration; write a whole number and ms, s, m, h or d, e.g. \"10m\""),
        )),
    }
}
