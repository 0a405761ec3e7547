//! What a recorded decision was made of, computed again from its record.

use super::open::Ranker;
use crate::engine::Slice;
use crate::error::{ErrorKind, Result};
use crate::policy::{self, Decision, Input};

impl Ranker {
    /// The raw heads of feature rows, `[n, heads]`, of `rows`, `[n, width]`.
    ///
    /// # Errors
    /// As the engine's; the rows' width is the caller's to check.
    pub fn raw_heads(&mut self, rows: &[f32], n: usize) -> Result<Vec<f32>> {
        let (engine, heads) = (&mut self.engine, &self.heads);
        let widths: Vec<usize> = (0..engine.plan().outputs.len()).map(|i| engine.output(i).width as usize).collect();
        let mut raw = vec![f32::NAN; n * heads.len()];
        engine.run(&[Slice::F32(rows)], n, |output, first, data| {
            for (h, head) in heads.iter().enumerate().filter(|(_, head)| head.output == output) {
                for (i, row) in data.f32().chunks_exact(widths[output]).enumerate() {
                    raw[(first + i) * heads.len() + h] = row[head.column];
                }
            }
        })?;
        Ok(raw)
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
        self.heads[head].calibrated(raw, surface)
    }
}
