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
    /// Keys with counters; of more the lightest are forgotten.
    pub keys: usize,
    /// Reasons of dismissals that are counted apart: `type.dismiss_NAME.10m`.
    pub reasons: Vec<Reason>,
}

/// A reason that dismissals may give.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// As events give it, and as it stands in signals: lower-case letters, digits and `_`.
    pub name: String,
    /// How long a dismissal for this reason suppresses; None: as any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dismiss_for: Option<String>,
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
            keys: 1024,
            reasons: Vec::new(),
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
    snooze_for;
    keys = ContextSpec::default().keys, reasons = Vec::new()
});
read_struct!(Reason { name, dismiss_for });

/// A [`ContextSpec`] with its durations as milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Durations {
    pub half_lives: Vec<f64>,
    pub step: f64,
    pub session_gap: f64,
    pub dismiss_for: f64,
    pub snooze_for: f64,
    /// By reason.
    pub reasons: Vec<f64>,
    /// Place and length of the longest half-life, which eviction weighs by.
    pub longest: (usize, f64),
}

/// Whether a reason can be part of a signal's name.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl ContextSpec {
    /// Half-lives at most: each costs a number for every kind of event that a key has seen.
    pub const MAX_HALF_LIVES: usize = 8;
    /// Keys at most.
    pub const MAX_KEYS: usize = 4096;
    /// Reasons at most.
    pub const MAX_REASONS: usize = 8;
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
        if self.keys == 0 || self.keys > Self::MAX_KEYS {
            return invalid(detail("`keys` is 1 to 4096"));
        }
        // `dismiss_rate` is a signal already.
        let names = self.reasons.iter().map(|r| r.name.as_str());
        let apart = |(i, name): (usize, &str)| self.reasons[..i].iter().all(|r| r.name != name);
        if self.reasons.len() > Self::MAX_REASONS
            || !names.clone().all(|name| is_name(name) && name != "rate")
            || !names.enumerate().all(apart)
        {
            return invalid(detail("`reasons`: at most 8 different names of a-z, 0-9 and _, and none is `rate`"));
        }
        let half_lives = self.half_lives.iter().map(|h| parse_duration(h)).collect::<Result<Vec<_>>>()?;
        let longest =
            half_lives.iter().enumerate().fold((0, 0.0), |best, (h, &x)| if x > best.1 { (h, x) } else { best });
        let dismiss_for = parse_duration(&self.dismiss_for)?;
        let reason = |r: &Reason| r.dismiss_for.as_deref().map_or(Ok(dismiss_for), parse_duration);
        Ok(Durations {
            reasons: self.reasons.iter().map(reason).collect::<Result<_>>()?,
            half_lives,
            longest,
            step: parse_duration(&self.step)?,
            session_gap: parse_duration(&self.session_gap)?,
            dismiss_for,
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
