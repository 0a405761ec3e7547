//! Fast sums of tree ensembles: the same bits as [`Forest::add`](crate::trees::Forest::add), several rows at a time.
//!
//! At build every test becomes `x <= threshold` with the two children in order (`x < t` is
//! `x <= the float below t`, `>=` and `>` swap the children). A block of rows is transposed twice, once as
//! it is (NaN fails every `<=`) and once with NaN replaced by -infinity (which passes every one): a node names the
//! column of the copy that sends a missing value its way, so the inner loops hold one comparison and nothing else.
//!
//! - Trees of at most [`MAX_BITS`] leaves: **bit vectors** (QuickScorer: Lucchese et al., SIGIR 2015). Leaves are
//!   numbered from left to right; a node whose test fails clears its left subtree's leaves from the row's
//!   word; the lowest bit that is left is the exit leaf. Rows lie in SIMD lanes. QuickScorer orders nodes by
//!   feature, to stop at the first test that holds; with [`ROWS`] rows in step nearly no node is skipped, so nodes
//!   stay with their tree, its words stay in registers, and trees end in order, as the sum needs.
//! - Larger trees, and those with `==` or `!=`: **a walk** of eight rows in step, each step an indexed load instead
//!   of a branch; a leaf is a node that leads to itself.
//!
//! Measured 2026-11-23, Node 20 (V8), simd128, one thread of a shared 2-core AMD EPYC (AVX-512, rustc 1.95); ms for
//! 200 trees, 40 features, 5 % NaN, N = 10 / 104 / 1000 (the lower eighth of the runs, blocks of 64 rows):
//!
//! | leaves | naive | nodes by feature | walk | bit vectors |
//! | --- | --- | --- | --- | --- |
//! | 2 | .011 / .110 / 1.99 | .005 / .044 / .58 | .012 / .085 / .79 | **.004 / .024 / .21** |
//! | 8 | .026 / .66 / 7.0 | .015 / .116 / 1.27 | .026 / .171 / 1.99 | **.005 / .034 / .31** |
//! | 31 | .051 / 1.23 / 12.2 | .054 / .39 / 3.9 | .039 / .257 / 3.1 | **.011 / .073 / .65** |
//! | 64 | .072 / 1.62 / 20 | | .045 / .30 / 3.6 | **.023 / .146 / 1.33** |
//! | 255 | .114 / 2.59 / 25 | | **.069 / .45 / 5.2** | |
//!
//! 2026-11-24, the same but a busier machine and the page's profile, in which LLVM no longer sees vectors in loops over
//! arrays; ms at N = 10 / 100 / 1000, arrays, then lanes written out (`lanes`), then with the ten most tested columns
//! shared:
//!
//! | leaves | arrays | lanes | shared |
//! | --- | --- | --- | --- |
//! | 2 | .005 / .036 / .37 | .004 / .025 / .24 | .004 / .023 / .23 |
//! | 8 | .012 / .096 / .95 | .005 / .036 / .34 | .005 / .029 / .28 |
//! | 31 | .041 / .33 / 3.3 | .012 / .080 / .78 | .013 / .057 / .51 |
//! | 64 | .089 / .71 / 7.2 | .026 / .164 / 1.56 | .026 / .110 / .97 |
//! | 255 | .081 / .52 / 5.2 | .076 / .51 / 5.2 | .078 / .52 / 5.3 |

mod build;

use crate::lanes::{F4, I4, WIDTH as LANES};

/// Rows of a block: eight 128-bit vectors of words. Of 16 rows a node's own loads are a larger part (.88 instead
/// of .81 ms at N = 1000).
pub const ROWS: usize = 32;
/// Leaves of the largest tree that is evaluated by bit vectors.
pub const MAX_BITS: usize = 64;

/// A node of a tree of bit vectors.
#[derive(Debug, Clone, Copy)]
struct BitNode {
    threshold: f32,
    /// Column of the transposed block.
    column: u32,
    /// The leaves that stay when the test fails.
    mask: u32,
}

/// A node of a walk.
#[derive(Debug, Clone, Copy)]
struct WalkNode {
    threshold: f32,
    column: u32,
    /// Where a row goes when the test fails, when it holds.
    next: [u32; 2],
}

/// A node of a tree of bit vectors that tests a shared column.
#[derive(Debug, Clone, Copy)]
struct SharedNode {
    node: BitNode,
    tree: u32,
    /// Of the tree's leaves.
    half: u32,
}

#[derive(Debug, Clone, Copy)]
struct Tree {
    /// Nodes of the leaves 0..32 and 32..64 ([`NARROW`]: there are none of these), or [`WALK`] and the root's place.
    nodes: [u32; 2],
    /// The words that the nodes on shared columns leave.
    start: [u32; 2],
    /// First leaf.
    leaf: u32,
}

const WALK: u32 = u32::MAX;
const NARROW: u32 = u32::MAX;

/// A forest laid out for speed, built once from a checked [`Forest`](crate::trees::Forest).
#[derive(Debug)]
pub struct PackedForest {
    width: usize,
    targets: usize,
    trees: Vec<Tree>,
    bits: Vec<BitNode>,
    shared: Vec<SharedNode>,
    walk: Vec<WalkNode>,
    /// Leaves of the walk start here in `walk`.
    inner: u32,
    /// The entry of each leaf, if every leaf has one; otherwise empty.
    value: Vec<f32>,
    /// Entries of each leaf, otherwise: from, to.
    entries: Vec<[u32; 2]>,
    /// Target of each leaf, if there are several and every leaf has one entry; otherwise of each entry.
    target: Vec<u32>,
    weight: Vec<f32>,
    /// Whether a node sends missing values to the left.
    missing_left: bool,
}

impl PackedForest {
    /// Elements of the scratch that [`add`](Self::add) needs for rows of `width` columns.
    pub const fn scratch_len(width: usize) -> usize {
        2 * width * ROWS
    }

    /// Evaluates the nodes on shared columns, for all rows that [`add`](Self::add) gets until the next call; `row`
    /// (`[width]`) is any of them. Nothing to do where no column is shared.
    ///
    /// # Panics
    /// If `row` is too short.
    pub fn begin(&mut self, row: &[f32]) {
        for tree in &mut self.trees {
            tree.start = [u32::MAX; 2];
        }
        for &SharedNode { node, tree, half } in &self.shared {
            let column = node.column as usize;
            let missing_left = column >= self.width;
            let value = row[if missing_left { column - self.width } else { column }];
            if !(value <= node.threshold || missing_left && value.is_nan()) {
                self.trees[tree as usize].start[half as usize] &= node.mask;
            }
        }
    }

    /// Adds every tree's leaf to `sums` (`[rows, targets]`), for each row of `x` (`[rows, width]`) in tree order.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn add(&self, x: &[f32], sums: &mut [f32], scratch: &mut [f32]) {
        let rows = sums.len() / self.targets.max(1);
        assert_eq!(x.len(), rows * self.width);
        assert_eq!(sums.len(), rows * self.targets);
        assert_eq!(scratch.len(), Self::scratch_len(self.width));
        if self.targets == 0 {
            return;
        }
        let mut row = 0;
        while row < rows {
            // Half a block and a few rows take less than a block of padding.
            let n = match rows - row {
                ROWS.. => ROWS,
                left => left.min(ROWS / 2),
            };
            let lanes = if n <= LANES { LANES } else { n.next_multiple_of(ROWS / 2) };
            let x = &x[row * self.width..(row + n) * self.width];
            self.block(x, lanes, &mut sums[row * self.targets..(row + n) * self.targets], scratch);
            row += n;
        }
    }

    /// Rows filled up to `lanes` by what is of no matter.
    #[inline(never)]
    fn block(&self, x: &[f32], lanes: usize, sums: &mut [f32], scratch: &mut [f32]) {
        let rows = sums.len() / self.targets;
        self.transpose(x, lanes, scratch);
        let mut bits = self.bits.as_slice();
        let (mut leaves, mut high_words) = ([0; ROWS], [0; ROWS]);
        let (leaves, high_words) = (&mut leaves[..lanes], &mut high_words[..lanes]);
        for tree in &self.trees {
            let [low, high] = tree.nodes;
            // Words of 32 leaves are read where they are added; else `leaves` holds leaves.
            let words = low != WALK && high == NARROW;
            if low == WALK {
                walk(&self.walk, high, self.inner, scratch, lanes, &mut leaves[..rows]);
            } else {
                let (nodes, rest) = bits.split_at(low as usize);
                bits = rest;
                stand(nodes, tree.start[0], scratch, leaves);
                if high != NARROW {
                    let (nodes, rest) = bits.split_at(high as usize);
                    bits = rest;
                    stand(nodes, tree.start[1], scratch, high_words);
                    join(leaves, high_words);
                }
            }
            let first = tree.leaf as usize;
            if self.value.is_empty() {
                self.add_entries(first, words, leaves, sums);
            } else if self.targets > 1 {
                add_to_targets(&self.value[first..], &self.target[first..], words, leaves, sums, self.targets);
            } else if words {
                add_values::<true>(&self.value[first..], leaves, sums);
            } else {
                add_values::<false>(&self.value[first..], leaves, sums);
            }
        }
    }

    /// Columns of `lanes` rows each, then the same without NaN.
    #[inline(never)]
    fn transpose(&self, x: &[f32], lanes: usize, scratch: &mut [f32]) {
        let (plain, filled) = scratch.split_at_mut(self.width * lanes);
        for (r, row) in x.chunks_exact(self.width.max(1)).enumerate() {
            for (column, &value) in plain.chunks_exact_mut(lanes).zip(row) {
                column[r] = value;
            }
        }
        if self.missing_left {
            for (to, from) in filled.iter_mut().zip(plain) {
                *to = if from.is_nan() { f32::NEG_INFINITY } else { *from };
            }
        }
    }

    #[inline(never)]
    fn add_entries(&self, first: usize, words: bool, leaves: &[u32], sums: &mut [f32]) {
        for (sums, leaf) in sums.chunks_exact_mut(self.targets).zip(leaves) {
            let leaf = if words { leaf.trailing_zeros() } else { *leaf };
            let [from, to] = self.entries[first + leaf as usize];
            for entry in from as usize..to as usize {
                sums[self.target[entry] as usize] += self.weight[entry];
            }
        }
    }
}

/// Adds each row's value, by its leaf or by the word whose lowest bit is its leaf.
#[inline(never)]
fn add_values<const WORDS: bool>(value: &[f32], leaves: &[u32], sums: &mut [f32]) {
    for (sum, leaf) in sums.iter_mut().zip(leaves) {
        *sum += value[if WORDS { leaf.trailing_zeros() } else { *leaf } as usize];
    }
}

/// As [`add_values`], each to its leaf's target.
#[inline(never)]
fn add_to_targets(value: &[f32], target: &[u32], words: bool, leaves: &[u32], sums: &mut [f32], targets: usize) {
    for (sums, leaf) in sums.chunks_exact_mut(targets).zip(leaves) {
        let leaf = if words { leaf.trailing_zeros() } else { *leaf } as usize;
        sums[target[leaf] as usize] += value[leaf];
    }
}

/// The leaves of up to 32 that stand, for each row.
fn stand(nodes: &[BitNode], start: u32, scratch: &[f32], words: &mut [u32]) {
    match words.len() / LANES {
        1 => stand_in::<1>(nodes, start, scratch, words),
        4 => stand_in::<4>(nodes, start, scratch, words),
        _ => stand_in::<8>(nodes, start, scratch, words),
    }
}

#[inline(never)]
fn stand_in<const V: usize>(nodes: &[BitNode], start: u32, scratch: &[f32], words: &mut [u32]) {
    let columns = scratch.as_chunks::<LANES>().0.as_chunks::<V>().0;
    let mut state = [I4::splat(start as i32); V];
    for node in nodes {
        let (threshold, mask) = (F4::splat(node.threshold), I4::splat(node.mask as i32));
        for (state, lanes) in state.iter_mut().zip(&columns[node.column as usize]) {
            let holds = F4::load(lanes).at_most(threshold).bits();
            *state = state.and(mask.or(holds));
        }
    }
    for (words, state) in words.as_chunks_mut::<LANES>().0.iter_mut().zip(state) {
        state.store(words);
    }
}

/// The leaf of each row, from two words each.
#[inline(never)]
fn join(leaves: &mut [u32], high: &[u32]) {
    for (leaf, &high) in leaves.iter_mut().zip(high) {
        *leaf = (u64::from(*leaf) | u64::from(high) << 32).trailing_zeros();
    }
}

/// The leaf of each row.
#[inline(never)]
fn walk(nodes: &[WalkNode], root: u32, inner: u32, scratch: &[f32], lanes: usize, leaves: &mut [u32]) {
    // 4 and 16 took .35 and .49 ms where 8 takes .25.
    const TOGETHER: usize = 8;
    for (group, leaves) in leaves.chunks_mut(TOGETHER).enumerate() {
        let first = group * TOGETHER;
        let mut at = [root; TOGETHER];
        loop {
            let mut moved = 0;
            for (r, at) in at.iter_mut().enumerate() {
                let node = &nodes[*at as usize];
                // Past the last lane lies another column: the scratch is long enough, the result is dropped.
                let value = scratch[node.column as usize * lanes + first + r];
                let next = node.next[usize::from(value <= node.threshold)];
                moved |= next ^ *at;
                *at = next;
            }
            if moved == 0 {
                break;
            }
        }
        for (leaf, at) in leaves.iter_mut().zip(at) {
            *leaf = at - inner;
        }
    }
}

#[cfg(test)]
mod tests;
