//! What a recorded decision was made of, computed again from its record.

use super::open::Ranker;
use crate::error::{ErrorKind, Result};
use crate::policy::{self, Decision, Input};

impl Ranker {
    /// The raw heads of feature rows, `[n, heads]`, of `rows`, `[n, width]`, and of what all candidates share.
    ///
    /// # Errors
    /// As the engine's; the widths are the caller's to check.
    pub fn raw_heads(&mut self, shared: &[f32], rows: &[f32], n: usize) -> Result<Vec<f32>> {
        super::score::raw_heads(self, shared, rows, n)
    }

    /// The policy's decision on an input.
    ///
    /// # Errors
    /// `score_not_finite`.
    pub fn decide_again(&mut self, input: &Input) -> Result<Decision, ErrorKind> {
        policy::decide(&self.policy, input, &mut self.scratch)
    }

    /// The calibrated value of a head's raw score on a surface.
    pub fn calibrated(&mut self, head: usize, raw: f32, surface: Option<&str>) -> f64 {
        let head = &mut self.heads[head];
        let at = head.calibrator(surface);
        head.calibrated(raw, at)
    }
}
