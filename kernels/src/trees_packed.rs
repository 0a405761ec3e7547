//! Fast sums of tree ensembles: the same bits as [`Forest::add`](crate::trees::Forest::add), several rows at a time.
//!
//! At build every test becomes `x <= threshold` with the two children in order (`x < t` is
//! `x <= the float below t`, `>=` and `>` swap the children). A block of rows becomes bin numbers first (`bins`), in
//! bytes, with a missing value at the end that sends it its way: the inner loops hold one comparison of 16 rows and
//! nothing else.
//!
//! - Trees of at most [`MAX_BITS`] leaves: **bit vectors** (QuickScorer: Lucchese et al., SIGIR 2015). Leaves are
//!   numbered from left to right; a node whose test fails clears its left subtree's leaves from the row's
//!   word; the lowest bit that is left is the exit leaf. Rows lie in SIMD lanes, a word in planes of eight leaves; the
//!   smaller subtree is the left one, so that most nodes touch one plane. QuickScorer orders nodes by
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
//!
//! 2026-11-24, Node 20 on the same machine beside other work, f32 comparisons of four rows (the tables above) and bytes
//! of 16, microseconds at N = 10 / 100 / 1000; forests of stumps lose, as few nodes share the search of a value:
//!
//! | leaves | f32 | bytes |
//! | --- | --- | --- |
//! | 2 | 4.0 / 26 / 249 | 6.1 / 33 / 321 |
//! | 31 | 20 / 84 / 818 | 15 / 51 / 488 |
//! | 64 | 28 / 176 / 1691 | 18 / 89 / 832 |
//! | 255 (walk) | 95 / 745 / 10206 | 86 / 645 / 9483 |
//!
//! 2026-11-24, Node 20.20 on the same machine with nothing beside it (the tables above are of busier hours), microseconds
//! of this kernel for a LightGBM regressor of 200 trees of 31 leaves, each step after the one before:
//!
//! | | N = 10 | 36 | 100 | 1000 |
//! | --- | --- | --- | --- | --- |
//! | bytes, as above | 11.5 | 24.2 | 56 | 504 |
//! | bins of four rows searched in step | 10.1 | 21.9 | 50 | 441 |
//! | values of four trees added at a time (of eight: no gain over four) | 9.2 | 19.8 | 44 | 387 |
//! | blocks of three vectors | 9.2 | 17.4 | 41.6 | 383 |
//! | two nodes' bins and masks in one load | 8.1 | 16.3 | 40 | 371 |
//! | planes in halves, not taken: 1.6 KB less of wasm | 8.8 | 17.0 | 41 | 381 |
//!
//! The same day, a whole call of `createScorer` for 200 random trees, before those steps and after, N = 10 / 100 / 1000: 2
//! leaves 7.7 / 37 / 360 and 5.2 / 25 / 241, 64 leaves 21 / 101 / 910 and 18 / 86 / 813, 255 leaves 57 / 413 / 4526 and
//! 52 / 397 / 4349.

mod bins;
mod build;

use crate::lanes::{B16, WIDTH as LANES};
use bins::{Bins, Cell};

/// Rows of a block.
pub const ROWS: usize = 64;
/// Leaves of the largest tree that is evaluated by bit vectors.
pub const MAX_BITS: usize = 64;
/// Trees whose values are added at a time: a sum is read and written once for all of them.
const TOGETHER: usize = 4;
/// Vectors of bytes of a block.
const GROUPS: usize = ROWS / 16;

/// Two tests of a tree of bit vectors and what they clear of one plane: eight leaves.
#[derive(Debug, Clone, Copy)]
struct BitNodes {
    /// Bytes before the cell of each.
    cells: [u32; 2],
    /// Of each what a value must not exceed, then the leaves that go when the test fails; each four times.
    tests: [[i8; 4]; 4],
}

/// A node of a walk.
#[derive(Debug, Clone, Copy)]
struct WalkNode {
    cell: u32,
    bin: i8,
    /// Where a row goes when the test fails, when it holds.
    next: [u32; 2],
}

/// A node of a tree of bit vectors that tests a shared column.
#[derive(Debug, Clone, Copy)]
struct SharedNode {
    key: bins::Key,
    tree: u32,
    /// The leaves that go when the test fails.
    cleared: u64,
}

#[derive(Debug, Clone, Copy)]
struct Tree {
    kind: Kind,
    /// Leaves that the nodes on shared columns clear.
    cleared: u64,
    /// First leaf.
    leaf: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// So many planes.
    Bits(u32),
    /// From this node on.
    Walk(u32),
}

/// A forest laid out for speed, built once from a checked [`Forest`](crate::trees::Forest).
#[derive(Debug)]
pub struct PackedForest {
    width: usize,
    targets: usize,
    trees: Vec<Tree>,
    /// Whether every tree has at most 33 leaves: words are read where values are added. Otherwise leaves are.
    words: bool,
    bins: Bins,
    /// Of one block.
    cells: Vec<Cell>,
    /// Of each tree's planes in turn: how many pairs of nodes.
    planes: Vec<u32>,
    /// Of each plane in turn: an odd one gets a node that clears nothing.
    bits: Vec<BitNodes>,
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
}

/// The higher words of trees of four planes or fewer: where none of their leaves stands it is the 33rd, the last there can be.
static NONE: [u32; ROWS] = [1; ROWS];

/// The bytes of a word for each row: leaves that stand.
type Planes = [Cell; 4];

impl PackedForest {
    /// Evaluates the nodes on shared columns, for all rows that [`add`](Self::add) gets until the next call; `row`
    /// (`[width]`) is any of them. Nothing to do where no column is shared.
    ///
    /// # Panics
    /// If `row` is too short.
    pub fn begin(&mut self, row: &[f32]) {
        if self.shared.is_empty() {
            return;
        }
        for tree in &mut self.trees {
            tree.cleared = 0;
        }
        for SharedNode { key, tree, cleared } in &self.shared {
            if !key.passes(row[key.feature as usize]) {
                self.trees[*tree as usize].cleared |= cleared;
            }
        }
    }

    /// Adds every tree's leaf to `sums` (`[rows, targets]`), for each row of `x` (`[rows, width]`) in tree order.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn add(&mut self, x: &[f32], sums: &mut [f32]) {
        let rows = sums.len() / self.targets.max(1);
        assert_eq!(x.len(), rows * self.width);
        assert_eq!(sums.len(), rows * self.targets);
        if self.targets == 0 {
            return;
        }
        for first in (0..rows).step_by(ROWS) {
            let end = rows.min(first + ROWS);
            let sums = &mut sums[first * self.targets..end * self.targets];
            let x = &x[first * self.width..end * self.width];
            self.bins.fill(x, self.width, end - first, &mut self.cells);
            match (end - first).div_ceil(16) {
                1 => self.block::<1>(sums),
                2 => self.block::<2>(sums),
                3 => self.block::<3>(sums),
                _ => self.block::<4>(sums),
            }
        }
    }

    /// Rows of which the cells are filled, in so many vectors.
    #[inline(never)]
    fn block<const V: usize>(&self, sums: &mut [f32]) {
        let rows = sums.len() / self.targets;
        let mut bits = self.bits.as_slice();
        let mut counts = self.planes.iter();
        let mut planes: Planes = [[[-1; 16]; GROUPS]; 4];
        let (mut together, mut high) = ([[0; ROWS]; TOGETHER], [0; ROWS]);
        let mut first = [0; TOGETHER];
        let mut waiting = 0;
        for tree in &self.trees {
            let leaves = &mut together[waiting];
            match tree.kind {
                Kind::Walk(root) => walk(&self.walk, root, self.inner, &self.cells, &mut leaves[..rows]),
                Kind::Bits(count) => {
                    for plane in 0..count as usize {
                        let (nodes, rest) = bits.split_at(counts.next().map_or(0, |&n| n as usize));
                        bits = rest;
                        let cleared = (tree.cleared >> (8 * plane)) as i8;
                        stand::<V>(nodes, cleared, &self.cells, &mut planes[plane % 4]);
                        if plane == 3 {
                            to_words::<V>(&planes, leaves);
                        }
                    }
                    if count % 4 > 0 || count == 0 {
                        // Where no leaf of the planes stands it is the next one, the tree's last.
                        planes[count as usize % 4][..V].fill([-1; 16]);
                    }
                    if count < 4 {
                        to_words::<V>(&planes, leaves);
                    } else if count > 4 {
                        to_words::<V>(&planes, &mut high);
                    }
                    if !self.words {
                        join(&mut leaves[..rows], if count > 4 { &high } else { &NONE });
                    }
                }
            }
            first[waiting] = tree.leaf as usize;
            waiting += 1;
            if self.value.is_empty() || self.targets > 1 {
                self.add_leaves(&together[..1], &first, sums);
                waiting = 0;
            } else if waiting == TOGETHER {
                let value = first.map(|first| &self.value[first..]);
                if self.words {
                    add_together::<true>(value, &together, sums);
                } else {
                    add_together::<false>(value, &together, sums);
                }
                waiting = 0;
            }
        }
        self.add_leaves(&together[..waiting], &first, sums);
    }

    /// Adds the leaves of trees that begin at `first`, one tree at a time.
    fn add_leaves(&self, trees: &[[u32; ROWS]], first: &[usize], sums: &mut [f32]) {
        for (leaves, &first) in trees.iter().zip(first) {
            if self.value.is_empty() {
                self.add_entries(first, leaves, sums);
            } else {
                add_to_targets(&self.value[first..], &self.target, first, self.words, leaves, sums, self.targets);
            }
        }
    }

    #[inline(never)]
    fn add_entries(&self, first: usize, leaves: &[u32], sums: &mut [f32]) {
        for (sums, leaf) in sums.chunks_exact_mut(self.targets).zip(leaves) {
            let leaf = if self.words { leaf.trailing_zeros() } else { *leaf };
            let [from, to] = self.entries[first + leaf as usize];
            for entry in from as usize..to as usize {
                sums[self.target[entry] as usize] += self.weight[entry];
            }
        }
    }
}

/// Adds each row's values, of one tree after the other, by leaf, or by the word whose lowest bit is its leaf.
#[inline(never)]
#[allow(unsafe_code, reason = "a check of bounds for every tree and row")]
fn add_together<const WORDS: bool>(value: [&[f32]; TOGETHER], leaves: &[[u32; ROWS]; TOGETHER], sums: &mut [f32]) {
    assert!(sums.len() <= ROWS);
    for (row, sum) in sums.iter_mut().enumerate() {
        let mut total = *sum;
        for (value, leaves) in value.iter().zip(leaves) {
            // SAFETY: `sums` has no more rows than there are leaves. A word's lowest bit is at most its tree's last leaf, or
            // it is 0, which means 32, if the tree has 33; a walk ends in a leaf: each has a value.
            total += unsafe {
                let leaf = *leaves.get_unchecked(row);
                *value.get_unchecked(if WORDS { leaf.trailing_zeros() } else { leaf } as usize)
            };
        }
        *sum = total;
    }
}

/// Adds each row's value to its leaf's target.
#[inline(never)]
fn add_to_targets(
    value: &[f32],
    target: &[u32],
    first: usize,
    words: bool,
    leaves: &[u32],
    sums: &mut [f32],
    targets: usize,
) {
    for (sums, leaf) in sums.chunks_exact_mut(targets).zip(leaves) {
        let leaf = if words { leaf.trailing_zeros() } else { *leaf } as usize;
        let to = if targets == 1 { 0 } else { target[first + leaf] as usize };
        sums[to] += value[leaf];
    }
}

/// The leaves of a plane that stand.
#[inline(always)]
#[allow(unsafe_code, reason = "the innermost loop, where a check of bounds would stand beside three vector operations")]
fn stand<const V: usize>(nodes: &[BitNodes], cleared: i8, cells: &[Cell], plane: &mut Cell) {
    let mut state = [B16::splat(cleared); V];
    let mut test = |place: u32, bin: B16, cleared: B16| {
        // SAFETY: `place_bits` makes the offset from what `Bins::new` says, a cell of `0..Bins::cells()`, and `cells` has
        // as many, at least one (for a node that clears nothing). A product beyond u32 would lose its high bits alone: a
        // smaller multiple of a cell's size.
        let cell = unsafe { &*cells.as_ptr().byte_add(place as usize) };
        for (state, lanes) in state.iter_mut().zip(cell) {
            *state = state.or(B16::load(lanes).above(bin).and(cleared));
        }
    };
    for nodes in nodes {
        let [bin, cleared, next_bin, next_cleared] = B16::splat_fours(&nodes.tests);
        test(nodes.cells[0], bin, cleared);
        test(nodes.cells[1], next_bin, next_cleared);
    }
    for (to, state) in plane.iter_mut().zip(state) {
        state.flipped().store(to);
    }
}

/// The words of four planes.
#[inline(always)]
fn to_words<const V: usize>(planes: &Planes, words: &mut [u32; ROWS]) {
    for (group, words) in words.as_chunks_mut::<16>().0.iter_mut().take(V).enumerate() {
        let quarters = B16::words([0, 1, 2, 3].map(|plane| B16::load(&planes[plane][group])));
        for (to, quarter) in words.as_chunks_mut::<LANES>().0.iter_mut().zip(quarters) {
            quarter.store(to);
        }
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
fn walk(nodes: &[WalkNode], root: u32, inner: u32, cells: &[Cell], leaves: &mut [u32]) {
    // In step, so that the loads of several rows are under way at once.
    const TOGETHER: usize = 8;
    for (group, leaves) in leaves.chunks_mut(TOGETHER).enumerate() {
        let mut at = [root; TOGETHER];
        loop {
            let mut moved = 0;
            for (r, at) in at.iter_mut().enumerate() {
                let node = &nodes[*at as usize];
                // What lies past the last row is of no matter: it is dropped.
                let bin = cells[node.cell as usize].as_flattened()[group * TOGETHER + r];
                let next = node.next[usize::from(bin <= node.bin)];
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
