//! Fast sums of tree ensembles: the same bits as [`Forest::add`](crate::trees::Forest::add), several rows at a time.
//!
//! At build every test becomes `x <= threshold` with the two children in order (`x < t` is
//! `x <= the float below t`, `>=` and `>` swap the children). A block of rows becomes bin numbers first (`bins`), in
//! bytes, with a missing value at the end that sends it its way: the inner loops hold one comparison of 16 rows and
//! nothing else.
//!
//! - Trees of at most [`MAX_BITS`] leaves: **bit vectors** (QuickScorer: Lucchese et al., SIGIR 2015). Leaves are
//!   numbered from left to right; a node whose test fails clears its left subtree's leaves from the row's
//!   word; the lowest bit that is left is the exit leaf. Rows lie in SIMD lanes, a word in four planes of as many leaves
//!   each, eight at most, which are run in step; the smaller subtree is the left one, so that most nodes touch one
//!   plane. QuickScorer orders nodes by feature, to stop at the first test that holds; with [`ROWS`] rows in step nearly
//!   no node is skipped, so nodes stay with their tree, its words in registers, and trees end in order, as the sum needs.
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
//! 2026-11-30, another machine (EPYC with AVX-512), the same model; V8's instructions decide (about five a cycle), of which a
//! plane's loop had 45 beside its nodes' 10 each:
//!
//! | | N = 10 | 36 | 64 | 100 |
//! | --- | --- | --- | --- | --- |
//! | as above | 8.3 | 16.2 | 23.5 | 39.7 |
//! | addresses of cells, tests the other way round (no flips), no stack to clear | 7.2 | 15.7 | 23.1 | 38.7 |
//! | four planes in step for one vector, two for more; a search ends with four thresholds at a time | 6.6 | 14.9 | 23.6 | 38.4 |
//!
//! Not taken: bins and masks by `load8_splat` and `load32_splat` (LLVM makes a scalar load and a splat of them, and V8 adds an
//! instruction for their offset: 9.4 at N = 10); in step through four pointers, not interleaved (7.4); cuts between planes
//! chosen for the least nodes (3 % fewer, 600 bytes of brotli); all of it inlined in one function (6.1, 960 bytes); a fourth
//! vector, one plane at a time (21.7 at N = 64, 620 bytes).

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
/// Planes of a word, of eight leaves each.
const PLANES: usize = 4;
/// Vectors of bytes of a block.
const GROUPS: usize = ROWS / 16;

/// A test of each of four planes of a tree of bit vectors.
#[derive(Debug, Clone, Copy)]
struct BitNodes {
    /// The address of each one's cell.
    cells: [usize; PLANES],
    /// Of the lower two and the upper two planes: what a value that passes is less than, then the plane's leaves that stay
    /// when the test fails; each four times.
    tests: [[[i8; 4]; 4]; 2],
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
    /// The places of leaves, without the last if that is behind all others'.
    places: u64,
    /// Those that stand once the nodes on shared columns have cleared theirs.
    standing: u64,
    /// The addresses in `bits` where the nodes of each word end.
    ends: [usize; 2],
    /// First leaf.
    leaf: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// One plane, whose nodes lie where others have those of the lower two.
    Stump,
    /// One plane, whose nodes lie where others have those of four.
    Plane,
    /// So many words of four planes.
    Words(usize),
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
    /// Of a few trees and one block; always there, but while they are filled.
    leaves: Option<Box<Leaves>>,
    /// Of each tree of bit vectors in turn, and of its words.
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

/// The higher words of trees of one: where none of their leaves stands it is the 33rd, the last there can be.
static NONE: [u32; ROWS] = [1; ROWS];

/// Of some trees the leaves that stand, as two words for each row, or in the first the leaf.
type Leaves = [[[u32; ROWS]; 2]; TOGETHER];

fn scratch() -> Box<Leaves> {
    Box::new([[[0; ROWS]; 2]; TOGETHER])
}

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
            tree.standing = tree.places;
        }
        for SharedNode { key, tree, cleared } in &self.shared {
            if !key.passes(row[key.feature as usize]) {
                self.trees[*tree as usize].standing &= !cleared;
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
        // Gone where a panic came between: it is made anew.
        let mut leaves = self.leaves.take().unwrap_or_else(scratch);
        let mut first = 0;
        while first < rows {
            // Bit vectors take 64 rows by 32: no slower than all at once, which would be more code. A walk of 255 leaves by 32
            // takes 9 % longer.
            let bits = |tree: &Tree| !matches!(tree.kind, Kind::Walk(_));
            let end =
                if rows - first > 48 && self.trees.iter().any(bits) { first + 32 } else { rows.min(first + ROWS) };
            let sums = &mut sums[first * self.targets..end * self.targets];
            let x = &x[first * self.width..end * self.width];
            self.bins.fill(x, self.width, end - first, &mut self.cells);
            self.block(&mut leaves, sums);
            first = end;
        }
        self.leaves = Some(leaves);
    }

    /// Rows of which the cells are filled.
    #[inline(never)]
    fn block(&self, leaves: &mut Leaves, sums: &mut [f32]) {
        let rows = sums.len() / self.targets;
        let stand = match rows.div_ceil(16) {
            1 => stand::<1>,
            2 => stand::<2>,
            _ => stand::<3>,
        };
        let mut nodes = self.bits.as_ptr();
        for trees in self.trees.chunks(TOGETHER) {
            nodes = stand(trees, nodes, &self.cells, leaves);
            if !self.words {
                for (tree, [low, high]) in trees.iter().zip(&mut *leaves) {
                    match tree.kind {
                        Kind::Walk(root) => walk(&self.walk, root, self.inner, &self.cells, &mut low[..rows]),
                        Kind::Words(2) => join(&mut low[..rows], high),
                        _ => join(&mut low[..rows], &NONE),
                    }
                }
            }
            if self.targets == 1
                && let &[a, b, c, d] = trees
                && !self.value.is_empty()
            {
                let value = [a, b, c, d].map(|tree| &self.value[tree.leaf as usize..]);
                if self.words {
                    add_together::<true>(value, leaves, sums);
                } else {
                    add_together::<false>(value, leaves, sums);
                }
            } else {
                for (tree, [leaves, _]) in trees.iter().zip(&*leaves) {
                    self.add_leaves(tree.leaf as usize, leaves, sums);
                }
            }
        }
    }

    /// Adds the leaves of a tree that begin at `first`.
    fn add_leaves(&self, first: usize, leaves: &[u32], sums: &mut [f32]) {
        if self.value.is_empty() {
            self.add_entries(first, leaves, sums);
        } else {
            add_to_targets(&self.value[first..], &self.target, first, self.words, leaves, sums, self.targets);
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
fn add_together<const WORDS: bool>(value: [&[f32]; TOGETHER], leaves: &Leaves, sums: &mut [f32]) {
    assert!(sums.len() <= ROWS);
    for (row, sum) in sums.iter_mut().enumerate() {
        let mut total = *sum;
        for (value, [leaves, _]) in value.iter().zip(leaves) {
            // SAFETY: `sums` has no more rows than there are leaves. A word's lowest bit is the place of a leaf, or it is 0,
            // which means 32, if the tree has four planes: the last leaf's; a walk ends in a leaf: each has a value.
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

/// The leaves of trees of bit vectors that stand, for so many vectors of rows. Gives where the next tree's nodes begin.
///
/// All planes of a word at a time where their states find room in sixteen registers beside what the loop loads, which V8
/// orders as it likes: 17 % less time for one vector than plane by plane. More vectors run two planes at a time; all at a
/// time cost two of them 10 %.
#[inline(never)]
fn stand<const V: usize>(
    trees: &[Tree],
    mut nodes: *const BitNodes,
    cells: &[Cell],
    leaves: &mut Leaves,
) -> *const BitNodes {
    for (tree, leaves) in trees.iter().zip(leaves) {
        let words = match tree.kind {
            Kind::Walk(_) => continue,
            Kind::Words(words) => words,
            _ => 1,
        };
        for ((word, &end), leaves) in (0..words).zip(&tree.ends).zip(leaves) {
            let standing = ((tree.standing >> (32 * word)) as u32).to_le_bytes();
            let mut planes = standing.map(|standing| [B16::splat(standing as i8); V]);
            if !matches!(tree.kind, Kind::Words(_)) {
                let none = [B16::splat(-1); V];
                planes = [alone(&mut nodes, end, tree.kind == Kind::Plane, cells, planes[0]), none, none, none];
            } else if V == 1 {
                planes = some::<V, 0b1111>(&mut nodes, end, cells, planes);
            } else {
                planes = some::<V, 0b0011>(&mut nodes.clone(), end, cells, planes);
                planes = some::<V, 0b1100>(&mut nodes, end, cells, planes);
            }
            store_words(planes, leaves);
        }
    }
    nodes
}

/// Writes words of which the planes are the bytes.
#[inline(always)]
fn store_words<const V: usize>(planes: [[B16; V]; PLANES], words: &mut [u32; ROWS]) {
    // Not a loop: LLVM would not unroll it, and would keep the planes in memory for it.
    let mut store = |v: usize| {
        if v < V {
            let quarters = B16::words([planes[0][v], planes[1][v], planes[2][v], planes[3][v]]);
            let to = words.as_chunks_mut::<LANES>().0;
            for (to, quarter) in to[4 * v..4 * v + 4].iter_mut().zip(quarters) {
                quarter.store(to);
            }
        }
    };
    store(0);
    store(1);
    store(2);
}

/// The leaves of some planes that stand; `nodes` moves on to the next word's.
#[inline(always)]
fn some<const V: usize, const SOME: u8>(
    nodes: &mut *const BitNodes,
    end: usize,
    cells: &[Cell],
    [mut a, mut b, mut c, mut d]: [[B16; V]; PLANES],
) -> [[B16; V]; PLANES] {
    while let Some(node) = next(nodes, end) {
        if SOME & 0b1100 != 0 {
            let [above, kept, next_above, next_kept] = B16::splat_fours(&node.tests[1]);
            if SOME & 0b0100 != 0 {
                test(node.cells[2], above, kept, cells, &mut c);
            }
            if SOME & 0b1000 != 0 {
                test(node.cells[3], next_above, next_kept, cells, &mut d);
            }
        }
        if SOME & 0b0011 != 0 {
            let [above, kept, next_above, next_kept] = B16::splat_fours(&node.tests[0]);
            if SOME & 0b0001 != 0 {
                test(node.cells[0], above, kept, cells, &mut a);
            }
            if SOME & 0b0010 != 0 {
                test(node.cells[1], next_above, next_kept, cells, &mut b);
            }
        }
    }
    [a, b, c, d]
}

/// The leaves of a tree of one plane that stand; `nodes` moves on to the next tree's.
#[inline(always)]
fn alone<const V: usize>(
    nodes: &mut *const BitNodes,
    end: usize,
    upper: bool,
    cells: &[Cell],
    mut state: [B16; V],
) -> [B16; V] {
    while let Some(node) = next(nodes, end) {
        let [above, kept, next_above, next_kept] = B16::splat_fours(&node.tests[0]);
        test(node.cells[0], above, kept, cells, &mut state);
        test(node.cells[1], next_above, next_kept, cells, &mut state);
        if upper {
            let [above, kept, next_above, next_kept] = B16::splat_fours(&node.tests[1]);
            test(node.cells[2], above, kept, cells, &mut state);
            test(node.cells[3], next_above, next_kept, cells, &mut state);
        }
    }
    state
}

/// The next nodes, unless they are another word's.
#[inline(always)]
#[allow(unsafe_code, reason = "the innermost loop, where a check of bounds would stand beside three vector operations")]
fn next<'a>(nodes: &mut *const BitNodes, end: usize) -> Option<&'a BitNodes> {
    if nodes.addr() == end {
        return None;
    }
    // SAFETY: `block` goes from the start of `bits` through the ends that `place_bits` set for each word in turn, addresses
    // of elements of `bits` or of its end that never decrease. Nothing is added to `bits` after that.
    let node = unsafe { &**nodes };
    *nodes = nodes.wrapping_add(1);
    Some(node)
}

/// Clears what a node clears.
#[inline(always)]
#[allow(unsafe_code, reason = "as above")]
fn test<const V: usize>(cell: usize, above: B16, kept: B16, cells: &[Cell], state: &mut [B16; V]) {
    // SAFETY: `place_bits` makes the address from what `Bins::new` says, a cell of `0..Bins::cells()`, and `cells` has as many,
    // at least one (for a node that clears nothing), in the same place ever since.
    let cell = unsafe { &*cells.as_ptr().with_addr(cell) };
    for (state, lanes) in state.iter_mut().zip(cell) {
        *state = state.and(above.above(B16::load(lanes)).or(kept));
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
