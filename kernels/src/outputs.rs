//! Where the tiles of a dense layer begin and end: starts, activation, and the strided output.

#![allow(unsafe_code, reason = "a tile checks its bounds once")]

use crate::lanes::{F4, I4, WIDTH};
use std::array::from_fn;
use std::ops::Range;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// What each output starts at: the sum of both, or 0 without either.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start<'a> {
    /// `[rows, outputs]`, without gaps; empty: nothing.
    pub rows: &'a [f32],
    /// `[outputs]`, the same for every row: a bias; empty: nothing.
    pub shift: &'a [f32],
}

/// What is applied where an output is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x < 0 ? 0 : x`: NaN and -0 stay.
    Relu,
    /// `x < 0 ? slope * x : x`, its slope above 0 and at most 1, so that it is the greater of both.
    LeakyRelu(f32),
}

/// Elements of the largest tile: eight vectors.
pub(crate) const TILE: usize = 8 * WIDTH;
static ZEROS: [f32; TILE] = [0.0; TILE];
/// What may be added to any number without changing its bits.
static NOTHING: [f32; TILE] = [-0.0; TILE];

/// Whether `rows` rows of `width`, `stride` apart, lie within `len` elements; no later product of an index and
/// `stride` overflows then.
pub(crate) fn fits(len: usize, rows: usize, stride: usize, width: usize) -> bool {
    let last = stride.checked_mul(rows - 1).and_then(|last| last.checked_add(width));
    stride >= width && last.is_some_and(|last| last <= len)
}

/// The outputs `[rows, columns]` of a layer.
pub(crate) struct Outputs<'a> {
    start: Start<'a>,
    rows: usize,
    columns: usize,
    /// What a sum is at least: `sum * slope`, of whose bits those of `mask`. Without that, 0 times an infinity is NaN and 0 times a
    /// negative number -0.
    slope: f32,
    mask: i32,
    y: &'a mut [f32],
    y_stride: usize,
}

impl<'a> Outputs<'a> {
    /// # Panics
    /// If a length or a slope does not fit.
    pub fn new(
        start: Start<'a>,
        columns: usize,
        activation: Activation,
        y: &'a mut [f32],
        y_stride: usize,
        rows: usize,
    ) -> Self {
        assert!(fits(y.len(), rows, y_stride, columns));
        assert!(start.rows.is_empty() || start.rows.len() == rows * columns);
        assert!(start.shift.is_empty() || start.shift.len() == columns);
        let (slope, mask) = match activation {
            Activation::None => (1.0, -1),
            Activation::Relu => (0.0, 0),
            Activation::LeakyRelu(slope) => {
                assert!(0.0 < slope && slope <= 1.0);
                (slope, -1)
            }
        };
        Outputs { start, rows, columns, slope, mask, y, y_stride }
    }

    /// The tiles of R rows by V vectors at column `first` of `rows`, which are a multiple of R: the starts of each go
    /// through `sum`, with its first row, then to y. LATE they are added to what it makes of zeros, and keep no registers from it.
    /// Columns past the last one are begun and stored aside.
    // No array of vectors by value: LLVM copies it by a call (100 ns a tile in V8).
    #[inline(always)]
    pub fn tiles<const R: usize, const V: usize, const LATE: bool>(
        &mut self,
        rows: Range<usize>,
        first: usize,
        mut sum: impl FnMut(usize, &mut [[F4; V]; R]),
    ) {
        let width = V * WIDTH;
        let whole = first + width <= self.columns;
        assert!(rows.end <= self.rows && rows.len().is_multiple_of(R) && V * R * WIDTH <= TILE && first < self.columns);
        let mut aside = [0.0; TILE];
        let aside = aside.as_mut_ptr();
        // Where the starts and the outputs of row 0 lie, and how far those of the next: settled here, and not by tile.
        let Start { rows: starts, shift } = self.start;
        let (start, start_stride) = match (starts, shift) {
            _ if !whole => (aside.cast_const(), width),
            ([], []) => (ZEROS.as_ptr(), 0),
            ([], shift) => (shift[first..].as_ptr(), 0),
            (starts, _) => (starts[first..].as_ptr(), self.columns),
        };
        // Always added, if only as what changes no bit: a branch would be a second copy of the whole loop.
        let shift = if whole && !starts.is_empty() && !shift.is_empty() { &shift[first..] } else { &NOTHING[..] };
        assert!(shift.len() >= width);
        let shift = shift.as_ptr();
        let (y, y_stride) = if whole { (self.y[first..].as_mut_ptr(), self.y_stride) } else { (aside, width) };
        let (slope, mask) = (F4::splat(self.slope), I4::splat(self.mask));
        for row in rows.step_by(R) {
            let mut at = row;
            if !whole {
                // SAFETY: nothing else points into `aside` until the call ends.
                self.begin(row..row + R, first, width, unsafe { from_raw_parts_mut(aside, TILE) });
                at = 0;
            }
            // SAFETY: whole tiles and the shift lie within the columns, and their rows within those that `new` has
            // checked; others lie at the beginning of `aside`, which holds R rows of `width`.
            let begin = |r: usize, v: usize| unsafe {
                F4::load_at(start.add((at + r) * start_stride + v * WIDTH)).plus(F4::load_at(shift.add(v * WIDTH)))
            };
            let mut sums = [[F4::splat(0.0); V]; R];
            if !LATE {
                sums = from_fn(|r| from_fn(|v| begin(r, v)));
            }
            sum(row, &mut sums);
            if LATE {
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = begin(r, v).plus(*sum);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    // The sum where it is not less, so NaN and -0 stay.
                    let sum = slope.times(sum).bits().and(mask).as_f4().or_more(sum);
                    // SAFETY: as above.
                    unsafe { sum.store_at(y.add((at + r) * y_stride + v * WIDTH)) };
                }
            }
            if !whole {
                // SAFETY: as before.
                self.end(row..row + R, first, width, unsafe { from_raw_parts(aside, TILE) });
            }
        }
    }

    #[inline(never)]
    fn begin(&self, rows: Range<usize>, first: usize, width: usize, aside: &mut [f32]) {
        let Start { rows: starts, shift } = self.start;
        for (row, aside) in rows.zip(aside.chunks_exact_mut(width)) {
            // What lies past the last column goes nowhere.
            let start = starts.get(row * self.columns + first..).unwrap_or_default();
            let shift = shift.get(first..).unwrap_or_default();
            for (v, aside) in aside.chunks_exact_mut(WIDTH).enumerate() {
                let part = |x: &[f32]| F4::load_some(x.get(v * WIDTH..).unwrap_or_default());
                let (start, shift) = (part(start), part(shift));
                let sum = if starts.is_empty() { shift } else { start };
                let sum = if starts.is_empty() || self.start.shift.is_empty() { sum } else { start.plus(shift) };
                sum.store(aside);
            }
        }
    }

    #[inline(never)]
    fn end(&mut self, rows: Range<usize>, first: usize, width: usize, aside: &[f32]) {
        let to = first.min(self.columns)..(first + width).min(self.columns);
        for (row, aside) in rows.zip(aside.chunks_exact(width)) {
            let y = &mut self.y[row * self.y_stride..][to.clone()];
            for (y, aside) in y.chunks_mut(WIDTH).zip(aside.as_chunks().0) {
                F4::load(aside).store_some(y);
            }
        }
    }

    /// What the only column of four rows starts at; those past the end at anything.
    #[inline(always)]
    pub fn begin_single(&self, row: usize) -> F4 {
        let Start { rows, shift } = self.start;
        let shift = shift.first().map(|&shift| F4::splat(shift));
        let start = rows.get(row..).map(F4::load_some);
        match (rows, shift) {
            ([], shift) => shift.unwrap_or(F4::splat(0.0)),
            (_, None) => start.unwrap_or(F4::splat(0.0)),
            (_, Some(shift)) => start.unwrap_or(F4::splat(0.0)).plus(shift),
        }
    }

    /// Stores the only column of four rows, as many as there are.
    #[inline(always)]
    pub fn end_single(&mut self, row: usize, sum: F4) {
        let low = F4::splat(self.slope).times(sum).bits().and(I4::splat(self.mask)).as_f4();
        let to = self.y.get_mut(row..self.rows).unwrap_or_default();
        low.or_more(sum).store_some(to);
    }
}

impl Start<'_> {
    /// Where the sum at `[row, column]` begins.
    pub(crate) fn at(self, row: usize, column: usize, columns: usize) -> f32 {
        match (self.rows, self.shift) {
            ([], []) => 0.0,
            ([], shift) => shift[column],
            (rows, []) => rows[row * columns + column],
            (rows, shift) => rows[row * columns + column] + shift[column],
        }
    }
}

impl Activation {
    /// Of one value, for the naive twins.
    pub(crate) fn of(self, x: f32) -> f32 {
        match self {
            Activation::Relu if x < 0.0 => 0.0,
            Activation::LeakyRelu(slope) if x < 0.0 => slope * x,
            _ => x,
        }
    }
}
