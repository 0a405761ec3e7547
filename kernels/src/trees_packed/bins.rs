//! Values as bin numbers: how many of the forest's thresholds on their column lie below them.
//!
//! `x <= t` for the j-th threshold holds if and only if at most j thresholds are less than x, so after one search per
//! value every node compares a byte. A *cell* is a column of such bytes for a block of rows: it covers [`SPAN`]
//! thresholds in turn, and a missing value is either above all of them (it fails) or below (it passes).

use super::{GROUPS, ROWS};
use crate::lanes::{B16, F4, I4, WIDTH as LANES};

/// Thresholds of a cell: its bins are 0..=255, stored less 128.
const SPAN: usize = 255;
/// Most buckets of a feature.
const BUCKETS: usize = 256;
/// Adding it leaves a whole number of less than 2^23, rounded, in the low bits.
const MAGIC: f32 = 8_388_608.0;

/// Bins of a block of rows for one cell.
pub(super) type Cell = [[i8; 16]; GROUPS];

type Four<T> = [T; LANES];

/// A test that the forest makes: `x <= threshold`, which NaN passes if `missing_left`; or its opposite.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub feature: u32,
    pub threshold: f32,
    pub missing_left: bool,
    pub opposite: bool,
}

impl Key {
    pub fn passes(&self, value: f32) -> bool {
        (value <= self.threshold || self.missing_left && value.is_nan()) != self.opposite
    }

    /// Its threshold as a whole number, in the order of the floats that have their bits.
    fn rank(&self) -> u32 {
        let bits = self.threshold.to_bits();
        if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
    }

    /// Which of a feature's cells it reads.
    fn copy(&self) -> usize {
        usize::from(self.missing_left) + 2 * usize::from(self.opposite)
    }
}

/// A key, and its place among those that were given.
pub(super) type Given = (Key, u32);

/// Bits of a digit; three make a threshold, three more a feature.
const DIGIT: u32 = 11;

/// Sorts keys by feature, then threshold, a digit at a time from the lowest: a page sorts thousands before its engine has
/// optimised anything. Comparing them took 6.1 of the 10.6 million instructions in which 200 trees of 31 leaves were made
/// ready (callgrind).
#[cold]
#[inline(never)]
pub(super) fn sort(keys: &mut Vec<Given>) {
    // A threshold's rank above a key's place: keys themselves are moved once.
    let mut from: Vec<u64> = keys.iter().zip(0..).map(|((key, _), at)| u64::from(key.rank()) << 32 | at).collect();
    let mut to = from.clone();
    let mut places = [0; 1 << DIGIT];
    for at in 0..6 {
        let digit = |one: u64| {
            let number = if at < 3 { (one >> 32) as u32 } else { keys[one as u32 as usize].0.feature };
            (number >> (DIGIT * (at % 3))) as usize % (1 << DIGIT)
        };
        places.fill(0);
        from.iter().for_each(|&one| places[digit(one)] += 1);
        // Columns are few: their high digits are all alike.
        if from.first().is_none_or(|&one| places[digit(one)] == from.len()) {
            continue;
        }
        let mut end = 0;
        places.iter_mut().for_each(|place| end += std::mem::replace(place, end));
        for &one in &from {
            let place = &mut places[digit(one)];
            to[*place] = one;
            *place += 1;
        }
        std::mem::swap(&mut from, &mut to);
    }
    *keys = from.iter().map(|&one| keys[one as u32 as usize]).collect();
}

#[derive(Debug)]
struct Feature {
    column: u32,
    /// First of its sorted thresholds.
    first: u32,
    count: u32,
    /// A value's bucket is `(x - low) * scale`, at most `top`: as that does not decrease with x, thresholds of lower
    /// buckets are less than x and those of higher ones are not, whatever the rounding.
    low: f32,
    scale: f32,
    top: f32,
    /// Its first bucket in `starts`.
    bucket: u32,
    /// First jump of the search within a bucket: a power of two, or 0 if no bucket has a threshold.
    jump: u32,
    /// Which cells it has: that NaN fails, that NaN passes, then of the opposites, whose bins count down.
    uses: [bool; 4],
    cell: u32,
}

/// The thresholds of a forest, column by column.
#[derive(Debug)]
pub(super) struct Bins {
    features: Vec<Feature>,
    /// One that is none, then of each feature, ascending, and behind them infinities that a jump may land on.
    thresholds: Vec<f32>,
    /// Thresholds in the buckets before each bucket, as far as u16 counts: the jumps make good what is cut off.
    starts: Vec<u16>,
    cells: usize,
}

impl Bins {
    /// Thresholds must not be NaN. With them, for each key the cell and the bin (as it is stored) that values must not
    /// exceed to pass its test: they fall out of the order, where a search for each took a quarter of a page's packing.
    #[cold]
    #[inline(never)]
    pub fn new(keys: impl Iterator<Item = Key>) -> (Self, Vec<(u32, i8)>) {
        // Zeros are equal whatever their sign.
        let zero = |key: Key| Key { threshold: key.threshold + 0.0, ..key };
        let mut keys: Vec<Given> = keys.map(zero).zip(0..).collect();
        sort(&mut keys);
        let mut bins = Bins { features: Vec::new(), thresholds: vec![0.0], starts: Vec::new(), cells: 0 };
        let mut places = vec![(0, 0); keys.len()];
        for keys in keys.chunk_by(|(a, _), (b, _)| a.feature == b.feature) {
            bins.feature(keys, &mut places);
        }
        (bins, places)
    }

    #[cold]
    #[inline(never)]
    fn feature(&mut self, keys: &[Given], places: &mut [(u32, i8)]) {
        let first = self.thresholds.len();
        self.thresholds.extend(keys.iter().map(|(key, _)| key.threshold));
        let mut kept = first;
        for i in first..self.thresholds.len() {
            if kept == first || self.thresholds[kept - 1] != self.thresholds[i] {
                self.thresholds[kept] = self.thresholds[i];
                kept += 1;
            }
        }
        self.thresholds.truncate(kept);
        let own = &self.thresholds[first..];
        let count = own.len();
        let finite = |t: &&f32| t.is_finite();
        let low = own.iter().find(finite).copied().unwrap_or(0.0);
        let range = own.iter().rev().find(finite).copied().unwrap_or(0.0) - low;
        let buckets = (2 * count).next_power_of_two().min(BUCKETS);
        let top = (buckets - 1) as f32;
        let scale = top / range;
        // One bucket where the range is none, or too small or too large for a quotient.
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let mut feature = Feature {
            column: keys[0].0.feature,
            first: first as u32,
            count: count as u32,
            low,
            scale,
            top,
            bucket: self.starts.len() as u32,
            jump: 0,
            uses: [0, 1, 2, 3].map(|copy| keys.iter().any(|(key, _)| key.copy() == copy)),
            cell: self.cells as u32,
        };
        // Four at a time, as `fill` places values.
        let linear = feature.linear();
        let mut bucket_of = vec![[0; LANES]; count.div_ceil(LANES)];
        for (places, own) in bucket_of.iter_mut().zip(own.chunks(LANES)) {
            linear.places(F4::load_some(own)).store(places);
        }
        let bucket_of = bucket_of.as_flattened();
        let mut most = 0;
        let mut end = 0;
        for bucket in 0..buckets {
            let start = end.min(u16::MAX.into());
            while end < count && bucket_of[end] as usize <= bucket {
                end += 1;
            }
            self.starts.push(start as u16);
            most = most.max(end - start);
        }
        feature.jump = (most.next_power_of_two() / 2) as u32;
        self.thresholds.extend((0..2 * feature.jump + LANES as u32).map(|_| f32::INFINITY));
        let copies = [0, 1, 2, 3, 4].map(|copy| feature.copies(copy));
        self.cells += count.div_ceil(SPAN) * copies[4];
        let mut bin = 0;
        for (key, at) in keys {
            while self.thresholds[first + bin] < key.threshold {
                bin += 1;
            }
            let cell = feature.cell as usize + bin / SPAN * copies[4] + copies[key.copy()];
            // Less 128, as it is stored; a value that counts down passes if `255 - count <= 254 - bin`.
            let stored = (bin % SPAN) as i32 - 128;
            places[*at as usize] = (cell as u32, if key.opposite { -2 - stored } else { stored } as i8);
        }
        self.features.push(feature);
    }

    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Fills the cells with the bins of at most [`ROWS`] rows of `x` (`[rows, width]`).
    #[inline(never)]
    #[allow(unsafe_code, reason = "a check of bounds for every value of every row")]
    pub fn fill(&self, x: &[f32], width: usize, rows: usize, cells: &mut [Cell]) {
        assert!(x.len() == rows * width && rows <= ROWS);
        let mut block = Block { values: [[0.0; LANES]; ROWS / LANES], ends: [[0; LANES]; ROWS / LANES] };
        let fours = rows.div_ceil(LANES);
        for feature in &self.features {
            let column = feature.column as usize;
            assert!(column < width);
            let linear = feature.linear();
            for (four, (values, places)) in block.values.iter_mut().zip(&mut block.ends).take(fours).enumerate() {
                let row = four * LANES;
                // Past the last row it is the first of the four again: what comes of it is dropped.
                let four = F4::of([0, 1, 2, 3].map(|i| {
                    let ahead = if row + i < rows { i * width } else { 0 };
                    // SAFETY: a row of `0..rows`, and a column of `0..width`.
                    unsafe { *x.get_unchecked(row * width + column + ahead) }
                }));
                four.store(values);
                linear.places(four).store(places);
            }
            // SAFETY: a feature has thresholds, and an element before the first.
            let first = unsafe { self.thresholds.as_ptr().add(feature.first as usize - 1) };
            let starts = &self.starts[feature.bucket as usize..];
            for (values, ends) in block.values.iter().zip(&mut block.ends).take(fours) {
                // SAFETY: a feature has `top + 1` buckets, and `places` brings any value, NaN and the infinities
                // included, to a whole number of `0..=top`; a start is at most `count`.
                let mut last =
                    ends.map(|place| unsafe { first.add(usize::from(*starts.get_unchecked(place as usize))) });
                let mut jump = feature.jump as usize;
                while jump >= LANES {
                    for (last, &value) in last.iter_mut().zip(values) {
                        // SAFETY: all jumps together are less than two of the first, and so many infinities follow a
                        // feature's thresholds.
                        let (ahead, threshold) = unsafe {
                            let ahead = last.add(jump);
                            (ahead, *ahead)
                        };
                        *last = if value > threshold { ahead } else { *last };
                    }
                    jump /= 2;
                }
                for ((end, last), value) in ends.iter_mut().zip(last).zip(values) {
                    // SAFETY: as above: a feature's infinities are four more.
                    let next = unsafe { F4::load_at(last.add(1)) };
                    *end = last.addr() as u32 + 4 * next.less(F4::splat(*value)).count();
                }
            }
            feature.write(&block, first.addr() as u32, rows, cells);
        }
    }
}

/// Of a block of rows, for one feature.
struct Block {
    values: [Four<f32>; ROWS / LANES],
    /// Buckets, then where the last threshold lies that is less than the value: the low bits of its address.
    ends: [Four<u32>; ROWS / LANES],
}

/// From values to buckets.
struct Linear {
    low: F4,
    scale: F4,
    top: F4,
}

impl Linear {
    /// Buckets of four values; 0 for NaN.
    #[inline(always)]
    fn places(&self, values: F4) -> I4 {
        let place = values.minus(self.low).times(self.scale);
        let place = place.or_more(F4::splat(0.0)).or_less(self.top).plus(F4::splat(MAGIC));
        place.bits().and(I4::splat(BUCKETS as i32 - 1))
    }
}

impl Feature {
    /// Cells of a span before the given one.
    fn copies(&self, before: usize) -> usize {
        self.uses[..before].iter().filter(|uses| **uses).count()
    }

    #[inline(always)]
    fn linear(&self) -> Linear {
        Linear { low: F4::splat(self.low), scale: F4::splat(self.scale), top: F4::splat(self.top) }
    }

    /// Writes the bins to all cells of the feature: `ends` less `first` are four times as many bytes as thresholds lie
    /// below.
    #[inline(always)]
    fn write(&self, block: &Block, first: u32, rows: usize, cells: &mut [Cell]) {
        let cells = &mut cells[self.cell as usize..];
        let groups = block.values.as_chunks::<4>().0.iter().zip(block.ends.as_chunks::<4>().0);
        for (group, (values, ends)) in groups.take(rows.div_ceil(16)).enumerate() {
            let missing = B16::narrow([0, 1, 2, 3].map(|i| {
                let value = F4::load(&values[i]);
                I4::splat(-1).without(value.equals(value).bits())
            }));
            let below = [0, 1, 2, 3].map(|i| I4::load(&ends[i]).minus(I4::splat(first as i32)).right::<2>());
            let mut cells = cells.iter_mut();
            for span in 0..self.count.div_ceil(SPAN as u32) {
                // What saturates on its way to a byte is beyond the span.
                let zero = I4::splat((span * SPAN as u32) as i32 + 128);
                // No threshold is less than NaN; where NaN must fail all shall be.
                let passes = B16::narrow(below.map(|below| below.minus(zero)));
                let fails = passes.and(missing.flipped()).or(B16::splat(i8::MAX).and(missing));
                for (copy, uses) in [fails, passes, fails.flipped(), passes.flipped()].iter().zip(self.uses) {
                    if uses && let Some(cell) = cells.next() {
                        copy.store(&mut cell[group]);
                    }
                }
            }
        }
    }
}
