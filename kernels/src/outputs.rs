//! Where the tiles of a dense layer begin and end: starts, activation, and the strided output.

#![allow(unsafe_code, reason = "a tile checks its bounds once")]

use crate::lanes::{F4, WIDTH};
use std::array::from_fn;
use std::ops::Range;
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// What each output starts at.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// 0.
    Zero,
    /// `[outputs]`, the same for every row.
    Bias(&'a [f32]),
    /// `[rows, outputs]`, without gaps.
    Rows(&'a [f32]),
}

/// What is applied where an output is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `x < 0 ? 0 : x`: NaN and -0 stay.
    Relu,
}

/// Elements of the largest tile: eight vectors.
pub(crate) const TILE: usize = 8 * WIDTH;
static ZEROS: [f32; TILE] = [0.0; TILE];

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
    /// Sums below it become 0.
    floor: f32,
    y: &'a mut [f32],
    y_stride: usize,
}

impl<'a> Outputs<'a> {
    /// # Panics
    /// If a length does not fit.
    pub fn new(
        start: Start<'a>,
        columns: usize,
        activation: Activation,
        y: &'a mut [f32],
        y_stride: usize,
        rows: usize,
    ) -> Self {
        assert!(fits(y.len(), rows, y_stride, columns));
        match start {
            Start::Zero => {}
            Start::Bias(bias) => assert_eq!(bias.len(), columns),
            Start::Rows(starts) => assert_eq!(starts.len(), rows * columns),
        }
        let floor = if activation == Activation::Relu { 0.0 } else { f32::NEG_INFINITY };
        Outputs { start, rows, columns, floor, y, y_stride }
    }

    /// The tiles of R rows by V vectors at column `first` of `rows`, which are a multiple of R: the starts of each go
    /// through `sum`, with its first row, then to y. Columns past the last one are begun and stored aside.
    // No array of vectors by value: LLVM copies it by a call (100 ns a tile in V8).
    #[inline(always)]
    pub fn tiles<const R: usize, const V: usize>(
        &mut self,
        rows: Range<usize>,
        first: usize,
        mut sum: impl FnMut(usize, &mut [[F4; V]; R]),
    ) {
        let width = V * WIDTH;
        let whole = first + width <= self.columns;
        assert!(rows.end <= self.rows && V * R * WIDTH <= TILE && first < self.columns);
        let mut aside = [0.0; TILE];
        let aside = aside.as_mut_ptr();
        // Where the starts and the outputs of row 0 lie, and how far those of the next: settled here, and not by tile.
        let (start, start_stride) = match self.start {
            _ if !whole => (aside.cast_const(), width),
            Start::Zero => (ZEROS.as_ptr(), 0),
            Start::Bias(bias) => (bias[first..].as_ptr(), 0),
            Start::Rows(starts) => (starts[first..].as_ptr(), self.columns),
        };
        let (y, y_stride) = if whole {
            (self.y[first..].as_mut_ptr(), self.y_stride)
        } else {
            (aside, width)
        };
        let floor = F4::splat(self.floor);
        for row in rows.step_by(R) {
            let mut at = row;
            if !whole {
                // SAFETY: nothing else points into `aside` until the call ends.
                self.begin(row..row + R, first, width, unsafe { from_raw_parts_mut(aside, TILE) });
                at = 0;
            }
            // SAFETY: whole tiles lie within the columns, and their rows within those that `new` has checked; others
            // lie at the beginning of `aside`, which holds R rows of `width`.
            let mut sums: [[F4; V]; R] =
                from_fn(|r| from_fn(|v| unsafe { F4::load_at(start.add((at + r) * start_stride + v * WIDTH)) }));
            sum(row, &mut sums);
            for (r, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let sum = sum.less(floor).pick(F4::splat(0.0), *sum);
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
        let from = first.min(self.columns)..(first + width).min(self.columns);
        for (row, aside) in rows.zip(aside.chunks_exact_mut(width)) {
            let start = match self.start {
                Start::Zero => &[],
                Start::Bias(bias) => &bias[from.clone()],
                Start::Rows(starts) => &starts[row * self.columns..][from.clone()],
            };
            for (v, aside) in aside.chunks_exact_mut(WIDTH).enumerate() {
                F4::load_some(start.get(v * WIDTH..).unwrap_or_default()).store(aside);
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

    /// What the only column of `row` starts at.
    pub fn single(&self, row: usize) -> f32 {
        match self.start {
            Start::Zero => 0.0,
            Start::Bias(bias) => bias[0],
            Start::Rows(starts) => starts[row],
        }
    }

    /// Stores the only column of `row`.
    pub fn keep_single(&mut self, row: usize, sum: f32) {
        self.y[row * self.y_stride] = if sum < self.floor { 0.0 } else { sum };
    }
}
