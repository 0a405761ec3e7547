//! Diversity: how much an item adds to those that stand.
//!
//! All three methods need only similarities S with S(i, i) = 1, so the utility is kept outside the kernel: for a
//! determinantal point process with L(i, j) = q(i) S(i, j) q(j) and q = exp(s z), the gain of ln det L is
//! 2 s z + ln(residual), the residual being what of S(i, i) the standing items do not explain. Residuals come from an
//! incremental Cholesky factor in f64 (Chen, Zhang, Zhou, "Fast greedy MAP inference for determinantal point processes",
//! 2018). Memory is the diversified positions times the items that can reach them.

use super::input::{Input, NONE};
use super::spec::{Diversity, DiversityMethod};
use ranklet_kernels::math::f64 as math;

/// Residuals below it are rounding: such an item adds nothing, and spans nothing that others could be measured by.
const NOTHING: f64 = 1e-10;

/// Working memory of one decision.
#[derive(Debug, Clone, Default)]
pub(super) struct Spread {
    /// `[n, width]`: vectors of length 1 in f64, or zeros.
    units: Vec<f64>,
    /// Rows that can reach the diversified positions.
    rows: Vec<u32>,
    /// By row: its index in `rows`, or [`NONE`].
    index: Vec<u32>,
    /// Standing rows in the order in which they were taken in, with their positions.
    standing: Vec<(u32, u32)>,
    /// `[standing, rows]`: similarities, or columns of the Cholesky factor.
    columns: Vec<f64>,
    /// `[standing, MAX]` lower triangle: factor of the standing items; a pivot of 0 spans nothing.
    factor: Vec<f64>,
    /// By index: greatest similarity, residual, or score.
    state: Vec<f64>,
    /// Of one item, or of a window.
    line: Vec<f64>,
    /// By index: similarity to the row that is taken in.
    near: Vec<f64>,
    window: Vec<u32>,
}

impl Spread {
    /// Begins with `rows` that can reach the diversified positions; none stands.
    pub fn start(&mut self, spec: &Diversity, input: &Input, rows: impl Iterator<Item = u32>) {
        let n = input.candidates.len();
        self.rows.clear();
        self.rows.extend(rows);
        self.index.clear();
        self.index.resize(n, NONE);
        for (i, &row) in self.rows.iter().enumerate() {
            self.index[row as usize] = i as u32;
        }
        self.standing.clear();
        self.columns.clear();
        self.factor.clear();
        self.state.clear();
        self.state.resize(self.rows.len(), if spec.method == DiversityMethod::Mmr { f64::NEG_INFINITY } else { 1.0 });
        self.units.clear();
        if spec.similarity.is_vector() {
            for vector in input.vectors.chunks_exact(input.width.max(1)) {
                let square = vector.iter().fold(0.0, |sum, &x| sum + f64::from(x) * f64::from(x));
                let scale = if square > 0.0 && square.is_finite() { 1.0 / square.sqrt() } else { 0.0 };
                self.units.extend(vector.iter().map(|&x| if scale > 0.0 { f64::from(x) * scale } else { 0.0 }));
            }
        }
    }

    /// Cosine of the vectors, 0 with a vector of no direction; or the kernel of type and target. 1 with itself.
    fn similarity(&self, spec: &Diversity, input: &Input, a: u32, b: u32) -> f64 {
        if a == b {
            return 1.0;
        }
        let (a, b) = (a as usize, b as usize);
        if spec.similarity.is_vector() {
            let unit = |row: usize| self.units.get(row * input.width..(row + 1) * input.width).unwrap_or_default();
            return dot(unit(a), unit(b));
        }
        let (x, y) = (&input.candidates[a], &input.candidates[b]);
        let both = |x: u32, y: u32, s: f64| if x == y && x != NONE { s } else { 0.0 };
        both(x.kind, y.kind, spec.similarity.same_type) + both(x.target, y.target, spec.similarity.same_target)
    }

    /// Fills `near`.
    fn measure(&mut self, spec: &Diversity, input: &Input, row: u32) {
        let mut near = std::mem::take(&mut self.near);
        near.clear();
        near.extend(self.rows.iter().map(|&other| self.similarity(spec, input, other, row)));
        self.near = near;
    }

    /// `row` stands at `position`. At most [`super::MAX_FIRST`] are taken in.
    pub fn take(&mut self, spec: &Diversity, input: &Input, row: u32, position: usize) {
        if position >= spec.first || self.standing.iter().any(|s| s.0 == row) {
            return;
        }
        self.measure(spec, input, row);
        match spec.method {
            DiversityMethod::Mmr => {
                self.state.iter_mut().zip(&self.near).for_each(|(most, &s)| *most = math::max(*most, s));
            }
            DiversityMethod::Dpp => self.extend_factor(spec, input, row),
            DiversityMethod::Ssd => self.columns.extend_from_slice(&self.near),
        }
        self.standing.push((row, position as u32));
    }

    /// One column more of the Cholesky factor, and residuals without what it explains; `near` is there.
    fn extend_factor(&mut self, spec: &Diversity, input: &Input, row: u32) {
        let (t, n) = (self.standing.len(), self.rows.len());
        self.line.clear();
        let mut residual = 1.0;
        for k in 0..t {
            let s = self.similarity(spec, input, row, self.standing[k].0);
            let c = eliminated(s, &self.line, &self.factor[k * (k + 1) / 2..]);
            residual -= c * c;
            self.line.push(c);
        }
        let pivot = if residual > NOTHING { residual.sqrt() } else { 0.0 };
        self.line.push(pivot);
        self.factor.extend_from_slice(&self.line);
        let start = self.columns.len();
        self.columns.resize(start + n, 0.0);
        if pivot == 0.0 {
            return;
        }
        for i in 0..n {
            let mut e = self.near[i];
            for k in 0..t {
                e -= self.columns[k * n + i] * self.line[k];
            }
            e /= pivot;
            self.columns[start + i] = e;
            self.state[i] -= e * e;
        }
    }

    /// Makes ready for `position`: what its window spans.
    pub fn look(&mut self, spec: &Diversity, input: &Input, position: usize) {
        if spec.method != DiversityMethod::Ssd {
            return;
        }
        self.window.clear();
        for (at, &(_, p)) in self.standing.iter().enumerate() {
            if (p as usize).abs_diff(position) < spec.window {
                self.window.push(at as u32);
            }
        }
        // The factor of the window alone: what leaves it would have to be taken out of a running one.
        self.factor.clear();
        let mut volume = 1.0;
        for k in 0..self.window.len() {
            let row = self.standing[self.window[k] as usize].0;
            self.line.clear();
            let mut residual = 1.0;
            for j in 0..k {
                let s = self.similarity(spec, input, row, self.standing[self.window[j] as usize].0);
                let c = eliminated(s, &self.line, &self.factor[j * (j + 1) / 2..]);
                residual -= c * c;
                self.line.push(c);
            }
            let pivot = if residual > NOTHING { residual.sqrt() } else { 0.0 };
            volume *= if pivot > 0.0 { pivot } else { 1.0 };
            self.line.push(pivot);
            self.factor.extend_from_slice(&self.line);
        }
        let n = self.rows.len();
        for i in 0..n {
            self.line.clear();
            let mut residual = 1.0;
            for (j, &at) in self.window.iter().enumerate() {
                let c = eliminated(self.columns[at as usize * n + i], &self.line, &self.factor[j * (j + 1) / 2..]);
                residual -= c * c;
                self.line.push(c);
            }
            self.state[i] = if residual > NOTHING { volume * residual.sqrt() } else { 0.0 };
        }
    }

    /// The score of a row whose standardised utility is `z`.
    pub fn score(&self, spec: &Diversity, row: u32, z: f64) -> f64 {
        let Some(&state) = self.state.get(self.index[row as usize] as usize) else { return z };
        let s = spec.strength;
        match spec.method {
            DiversityMethod::Mmr => s * z - (1.0 - s) * if self.standing.is_empty() { 0.0 } else { state },
            DiversityMethod::Dpp => 2.0 * s * z + math::ln(math::max(state, NOTHING)),
            DiversityMethod::Ssd => z + s * state,
        }
    }
}

/// One entry of a Cholesky row: `s` without what the entries before it explain, over the pivot of `factor`, whose row it
/// begins with; 0 where that spans nothing.
fn eliminated(s: f64, line: &[f64], factor: &[f64]) -> f64 {
    let k = line.len();
    let pivot = factor[k];
    if pivot == 0.0 {
        return 0.0;
    }
    let explained = line.iter().zip(factor).fold(0.0, |sum, (a, b)| sum + a * b);
    (s - explained) / pivot
}

/// Four sums, as everywhere: one waits for its own last addition only.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (x, y) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest = x.remainder().iter().zip(y.remainder()).fold(0.0, |sum, (a, b)| sum + a * b);
    for (x, y) in x.zip(y) {
        for (sum, (a, b)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += a * b;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}
