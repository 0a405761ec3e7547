//! Where the tiles of a dense layer begin and end: starts, activation, and the strided output.

#![allow(unsafe_code, reason = "a tile checks its bounds once")]

use crate::lanes::{F4, WIDTH};
use std::array::from_fn;
use std::ops::Range;

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
    columns: usize,
    relu: bool,
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
        Outputs { start, columns, relu: activation == Activation::Relu, y, y_stride }
    }

    /// A tile of R rows by V vectors at `row` and column `first`: its starts go through `sum`, then to y. Columns past
    /// the last one are begun and stored in `aside`.
    // No array of vectors by value: LLVM copies it by a call (100 ns a tile in V8).
    #[inline(always)]
    pub fn tile<const R: usize, const V: usize>(
        &mut self,
        row: usize,
        first: usize,
        aside: &mut [f32; TILE],
        sum: impl FnOnce(&mut [[F4; V]; R]),
    ) {
        let width = V * WIDTH;
        let whole = first + width <= self.columns;
        let (start, stride) = match self.start {
            _ if !whole => {
                self.begin(row..row + R, first, width, aside);
                (&aside[..], width)
            }
            Start::Zero => (&ZEROS[..], 0),
            Start::Bias(bias) => (&bias[first..], 0),
            Start::Rows(starts) => (&starts[row * self.columns + first..], self.columns),
        };
        assert!(start.len() >= (R - 1) * stride + width);
        // SAFETY: the last vector of the last row lies within `start`, as checked.
        let mut sums: [[F4; V]; R] =
            from_fn(|r| from_fn(|v| unsafe { F4::load_at(start.as_ptr().add(r * stride + v * WIDTH)) }));
        sum(&mut sums);
        let (y, stride) =
            if whole { (&mut self.y[row * self.y_stride + first..], self.y_stride) } else { (&mut aside[..], width) };
        assert!(y.len() >= (R - 1) * stride + width);
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let sum = if self.relu { sum.relu() } else { *sum };
                // SAFETY: the last vector of the last row lies within `y`, as checked.
                unsafe { sum.store_at(y.as_mut_ptr().add(r * stride + v * WIDTH)) };
            }
        }
        if !whole {
            self.end(row..row + R, first, width, aside);
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
        self.y[row * self.y_stride] = if self.relu && sum < 0.0 { 0.0 } else { sum };
    }
}
