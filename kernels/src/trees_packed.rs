//! Fast sums of tree ensembles: the same bits as [`Forest::add`], several rows at a time.
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

use crate::trees::{Forest, MISSING_YES, Node};

/// Rows of a block: eight 128-bit vectors of words. Of 16 rows a node's own loads are a larger part (.88 instead
/// of .81 ms at N = 1000).
pub const ROWS: usize = 32;
/// Rows of a vector.
const LANES: usize = 4;
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

#[derive(Debug, Clone, Copy)]
struct Tree {
    /// Nodes of the leaves 0..32 and 32..64, or [`WALK`] and the root's place.
    nodes: [u32; 2],
    /// First leaf.
    leaf: u32,
}

const WALK: u32 = u32::MAX;

/// A forest laid out for speed, built once from a checked [`Forest`].
#[derive(Debug)]
pub struct PackedForest {
    width: usize,
    targets: usize,
    trees: Vec<Tree>,
    bits: Vec<BitNode>,
    walk: Vec<WalkNode>,
    /// Leaves of the walk start here in `walk`.
    inner: u32,
    /// The entry of each leaf, if there is one target and every leaf has one entry; otherwise empty.
    value: Vec<f32>,
    /// Entries of each leaf, otherwise: from, to.
    entries: Vec<[u32; 2]>,
    target: Vec<u32>,
    weight: Vec<f32>,
    /// Whether a node sends missing values to the left.
    missing_left: bool,
}

/// A node as `x <= threshold`: left if it holds, or if x is NaN and `missing_left`.
#[derive(Clone, Copy)]
struct Test {
    threshold: f32,
    missing_left: bool,
    left: i32,
    right: i32,
}

/// The greatest t such that `x <= t` says what `x < threshold` does; NaN if nothing is less.
fn below(threshold: f32) -> f32 {
    if threshold == f32::NEG_INFINITY { f32::NAN } else { threshold.next_down() }
}

/// `None` for `==` and `!=`.
#[cold]
#[inline(never)]
fn test(node: &Node) -> Option<Test> {
    let missing_yes = node.mode & MISSING_YES != 0;
    let Node { threshold: t, yes, no, .. } = *node;
    // A test that fails for every number, swapped, holds for every number.
    let swapped = |t: f32| if t.is_nan() { f32::INFINITY } else { t };
    let test = match node.mode & !MISSING_YES {
        0 => Test { threshold: t, missing_left: missing_yes, left: yes, right: no },
        1 => Test { threshold: below(t), missing_left: missing_yes, left: yes, right: no },
        2 if t.is_nan() => Test { threshold: f32::INFINITY, missing_left: !missing_yes, left: no, right: yes },
        2 => Test { threshold: below(t), missing_left: !missing_yes, left: no, right: yes },
        3 => Test { threshold: swapped(t), missing_left: !missing_yes, left: no, right: yes },
        // Against NaN `==` fails and `!=` holds.
        4 if t.is_nan() => Test { threshold: t, missing_left: missing_yes, left: yes, right: no },
        5 if t.is_nan() => Test { threshold: f32::INFINITY, missing_left: true, left: yes, right: no },
        _ => return None,
    };
    // Only NaN goes to the left: -infinity in its stead would not. The other way round every number does.
    Some(if test.threshold.is_nan() && test.missing_left {
        Test { threshold: f32::INFINITY, missing_left: false, left: test.right, right: test.left }
    } else {
        test
    })
}

impl PackedForest {
    // Cold code, so that it is built small.
    /// Packs a forest that [`Forest::check`] has accepted for `width` and `targets`.
    #[cold]
    #[inline(never)]
    pub fn new(forest: &Forest<'_>, width: usize, targets: usize) -> Self {
        let entries = |leaf: usize| [forest.leaf_start[leaf] as u32, forest.leaf_start[leaf + 1] as u32];
        let mut packed = PackedForest {
            width,
            targets,
            trees: Vec::with_capacity(forest.roots.len()),
            bits: Vec::new(),
            walk: Vec::new(),
            inner: 0,
            value: Vec::new(),
            entries: Vec::new(),
            target: forest.target.iter().map(|&t| t as u32).collect(),
            weight: forest.weight.to_vec(),
            missing_left: false,
        };
        let mut leaves = Vec::new();
        for &root in forest.roots {
            leaves.clear();
            let leaf = packed.entries.len() as u32;
            let start = packed.bits.len();
            let nodes = match packed.bit_tree(forest, root, &mut leaves) {
                Some(nodes) => {
                    packed.entries.extend(leaves.iter().map(|&l| entries(l)));
                    nodes
                }
                None => {
                    packed.bits.truncate(start);
                    [WALK, root as u32]
                }
            };
            packed.trees.push(Tree { nodes, leaf });
        }
        if packed.trees.iter().any(|tree| tree.nodes[0] == WALK) {
            packed.walk_trees(forest);
            let first = packed.entries.len() as u32;
            packed.entries.extend((0..forest.leaf_start.len() - 1).map(entries));
            for tree in packed.trees.iter_mut().filter(|tree| tree.nodes[0] == WALK) {
                tree.leaf = first;
            }
        }
        if targets == 1 && packed.entries.iter().all(|e| e[0] + 1 == e[1]) {
            packed.value = packed.entries.iter().map(|e| forest.weight[e[0] as usize]).collect();
            (packed.entries, packed.target, packed.weight) = (Vec::new(), Vec::new(), Vec::new());
        }
        packed
    }

    fn column(&mut self, feature: u32, missing_left: bool) -> u32 {
        self.missing_left |= missing_left;
        feature + if missing_left { self.width as u32 } else { 0 }
    }

    /// Appends the nodes of a tree that bit vectors can hold, and lists its leaves from the left.
    #[cold]
    #[inline(never)]
    fn bit_tree(&mut self, forest: &Forest<'_>, root: i32, leaves: &mut Vec<usize>) -> Option<[u32; 2]> {
        // In the order of the walk from the left: (child, its node among `found`); a node's left subtree ends where
        // its right child is met.
        let mut found: Vec<(BitNode, usize, usize)> = Vec::new();
        let mut stack = vec![(root, None)];
        while let Some((child, right_of)) = stack.pop() {
            if let Some(parent) = right_of {
                let node: &mut (BitNode, usize, usize) = &mut found[parent];
                node.2 = leaves.len();
            }
            if child < 0 {
                leaves.push(!child as usize);
                continue;
            }
            let node = &forest.nodes[child as usize];
            let Test { threshold, missing_left, left, right } = test(node)?;
            // Checked forests may share subtrees; what is packed must not outgrow what was given.
            if found.len() + 1 == MAX_BITS || self.bits.len() + found.len() > 2 * forest.nodes.len() {
                return None;
            }
            let column = self.column(node.feature, missing_left);
            stack.push((right, Some(found.len())));
            stack.push((left, None));
            found.push((BitNode { threshold, column, mask: 0 }, leaves.len(), 0));
        }
        let mut counts = [0; 2];
        for (half, count) in counts.iter_mut().enumerate() {
            let before = self.bits.len();
            for &(node, from, to) in &found {
                let cleared = (bits_below(to) & !bits_below(from)) >> (32 * half);
                if cleared as u32 != 0 {
                    self.bits.push(BitNode { mask: !(cleared as u32), ..node });
                }
            }
            *count = (self.bits.len() - before) as u32;
        }
        Some(counts)
    }

    #[cold]
    #[inline(never)]
    fn walk_trees(&mut self, forest: &Forest<'_>) {
        // `==` takes two nodes: x <= t, then x <= the float below t.
        let equals = forest.nodes.iter().filter(|node| test(node).is_none()).count();
        let inner = forest.nodes.len() + equals;
        let leaves = forest.leaf_start.len() - 1;
        let place = |child: i32| if child < 0 { inner + !child as usize } else { child as usize } as u32;
        let mut second = Vec::with_capacity(equals);
        for node in forest.nodes {
            let packed = match test(node) {
                Some(Test { threshold, missing_left, left, right }) => WalkNode {
                    threshold,
                    column: self.column(node.feature, missing_left),
                    next: [place(right), place(left)],
                },
                None => {
                    let not_equal = node.mode & !MISSING_YES == 5;
                    let (equal, other) = if not_equal { (node.no, node.yes) } else { (node.yes, node.no) };
                    let missing_left = !not_equal && node.mode & MISSING_YES != 0;
                    let next = (forest.nodes.len() + second.len()) as u32;
                    second.push(WalkNode {
                        threshold: below(node.threshold),
                        column: node.feature,
                        next: [place(equal), place(other)],
                    });
                    WalkNode {
                        threshold: node.threshold,
                        column: self.column(node.feature, missing_left),
                        next: [place(other), next],
                    }
                }
            };
            self.walk.push(packed);
        }
        self.walk.append(&mut second);
        for leaf in 0..leaves {
            let at = (inner + leaf) as u32;
            self.walk.push(WalkNode { threshold: 0.0, column: 0, next: [at; 2] });
        }
        self.inner = inner as u32;
    }

    /// Elements of the scratch that [`add`](Self::add) needs for rows of `width` columns.
    pub const fn scratch_len(width: usize) -> usize {
        2 * width * ROWS
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
        if self.targets == 0 {
            return;
        }
        let mut row = 0;
        while row < rows {
            let n = match rows - row {
                ROWS.. => ROWS,
                left => left.min(ROWS / 2),
            };
            let x = &x[row * self.width..(row + n) * self.width];
            self.block(x, n, &mut sums[row * self.targets..(row + n) * self.targets], scratch);
            row += n;
        }
    }

    /// `n` rows, filled up to whole vectors by lanes whose content is of no matter.
    #[inline(never)]
    fn block(&self, x: &[f32], n: usize, sums: &mut [f32], scratch: &mut [f32]) {
        let lanes = n.next_multiple_of(LANES);
        self.transpose(x, lanes, scratch);
        let mut bits = self.bits.as_slice();
        let (mut leaves, mut high_words) = ([0; ROWS], [0; ROWS]);
        let leaves = &mut leaves[..lanes];
        for tree in &self.trees {
            let [low, high] = tree.nodes;
            // Words of 32 leaves are read where they are added; else `leaves` holds leaves.
            let words = low != WALK && high == 0;
            if low == WALK {
                walk(&self.walk, high, self.inner, scratch, leaves);
            } else {
                let (nodes, rest) = bits.split_at(low as usize);
                let (high_nodes, rest) = rest.split_at(high as usize);
                bits = rest;
                stand(nodes, scratch, leaves);
                if high != 0 {
                    stand(high_nodes, scratch, &mut high_words[..lanes]);
                    join(leaves, &high_words);
                }
            }
            let first = tree.leaf as usize;
            match (self.value.get(first..), words) {
                (Some(value), true) if !value.is_empty() => add_values::<true>(value, leaves, sums),
                (Some(value), false) if !value.is_empty() => add_values::<false>(value, leaves, sums),
                _ => {
                    self.add_entries(first, words, leaves, sums);
                }
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

/// The leaves of up to 32 that stand, for each row.
#[inline(always)]
fn stand(nodes: &[BitNode], scratch: &[f32], words: &mut [u32]) {
    match words.len() / LANES {
        1 => stand_in::<1>(nodes, scratch, words),
        2 => stand_in::<2>(nodes, scratch, words),
        3 => stand_in::<3>(nodes, scratch, words),
        4 => stand_in::<4>(nodes, scratch, words),
        _ => stand_in::<8>(nodes, scratch, words),
    }
}

// Not inlined: mixed with its neighbours LLVM no longer sees vectors in it (.15 instead of .095 ms).
#[inline(never)]
fn stand_in<const V: usize>(nodes: &[BitNode], scratch: &[f32], words: &mut [u32]) {
    let columns = scratch.as_chunks::<LANES>().0.as_chunks::<V>().0;
    let mut state = [[u32::MAX; LANES]; V];
    for node in nodes {
        let column = &columns[node.column as usize];
        for v in 0..V {
            for lane in 0..LANES {
                let holds = if column[v][lane] <= node.threshold { u32::MAX } else { 0 };
                state[v][lane] &= node.mask | holds;
            }
        }
    }
    words.as_chunks_mut::<LANES>().0.copy_from_slice(&state);
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
fn walk(nodes: &[WalkNode], root: u32, inner: u32, scratch: &[f32], leaves: &mut [u32]) {
    // 4 and 16 took .35 and .49 ms where 8 takes .25.
    const TOGETHER: usize = 8;
    let lanes = leaves.len();
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

/// The lowest `n` bits.
fn bits_below(n: usize) -> u64 {
    if n == 64 { u64::MAX } else { (1 << n) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// xorshift: a forest's shape from one seed.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            ((self.0 >> 33) % n as u64) as usize
        }

        fn pick<T: Copy>(&mut self, from: &[T]) -> T {
            from[self.below(from.len())]
        }
    }

    /// Values that meet the thresholds exactly, the edges of f32, and NaN.
    const VALUES: [f32; 14] = [
        f32::NEG_INFINITY,
        f32::MIN,
        -1.0,
        -1e-45,
        -0.0,
        0.0,
        1e-45,
        f32::MIN_POSITIVE,
        0.1,
        0.100_000_01,
        1.0,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];

    #[derive(Default)]
    struct Owned {
        roots: Vec<i32>,
        nodes: Vec<Node>,
        leaf_start: Vec<i32>,
        target: Vec<i32>,
        weight: Vec<f32>,
    }

    struct Shape {
        width: usize,
        targets: usize,
        modes: &'static [u8],
        /// Entries of a leaf.
        entries: &'static [usize],
        skewed: bool,
    }

    impl Owned {
        fn view(&self) -> Forest<'_> {
            Forest {
                roots: &self.roots,
                nodes: &self.nodes,
                leaf_start: &self.leaf_start,
                target: &self.target,
                weight: &self.weight,
            }
        }

        fn leaf(&mut self, random: &mut Random, shape: &Shape) -> i32 {
            for _ in 0..random.pick(shape.entries) {
                self.target.push(random.below(shape.targets) as i32);
                // Of such different sizes that another order of adding gives other bits.
                self.weight.push((random.below(2001) as f32 - 1000.0) * random.pick(&[1e-4, 0.37, 1e4]));
            }
            self.leaf_start.push(self.weight.len() as i32);
            !(self.leaf_start.len() as i32 - 2)
        }

        fn tree(&mut self, leaves: usize, random: &mut Random, shape: &Shape) -> i32 {
            if leaves == 1 {
                return self.leaf(random, shape);
            }
            let at = self.nodes.len();
            let mode = random.pick(shape.modes) | random.pick(&[0, 0, MISSING_YES]);
            let feature = random.below(shape.width) as u32;
            self.nodes.push(Node { threshold: random.pick(&VALUES), feature, yes: 0, no: 0, mode });
            let left = if shape.skewed { random.pick(&[1, leaves - 1]) } else { 1 + random.below(leaves - 1) };
            let yes = self.tree(left, random, shape);
            let no = self.tree(leaves - left, random, shape);
            (self.nodes[at].yes, self.nodes[at].no) = (yes, no);
            at as i32
        }

        fn new(leaves: &[usize], random: &mut Random, shape: &Shape) -> Self {
            let mut owned = Owned { leaf_start: vec![0], ..Owned::default() };
            for &leaves in leaves {
                let root = owned.tree(leaves, random, shape);
                owned.roots.push(root);
            }
            owned
        }
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|v| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() }).collect()
    }

    /// The sums of the naive twin and of the packed forest, both added to the same start.
    fn both(forest: &Forest<'_>, x: &[f32], rows: usize, width: usize, targets: usize) -> [Vec<u32>; 2] {
        forest.check(width, targets).unwrap();
        let mut expected: Vec<f32> = (0..rows * targets).map(|i| i as f32 * 0.3 - 1.0).collect();
        let mut sums = expected.clone();
        for (row, sums) in x.chunks_exact(width).zip(expected.chunks_exact_mut(targets)) {
            forest.add(row, sums);
        }
        // Scratch may hold anything.
        let mut scratch = vec![f32::NAN; PackedForest::scratch_len(width)];
        PackedForest::new(forest, width, targets).add(x, &mut sums, &mut scratch);
        [bits(&sums), bits(&expected)]
    }

    const MODES: [&[u8]; 6] = [&[0], &[1], &[0, 1], &[2, 3], &[0, 1, 2, 3], &[0, 1, 2, 3, 4, 5]];
    const ENTRIES: [&[usize]; 3] = [&[1], &[1], &[0, 1, 2, 3]];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn packed_equals_naive_bit_for_bit(
            leaves in prop::collection::vec(
                prop_oneof![1usize..=4, 5usize..=31, 32usize..=33, 34usize..=63, 64usize..=65, 66usize..=200], 0..12),
            width in 1usize..6, targets in 1usize..4, rows in 0usize..80,
            mode in 0usize..6, entry in 0usize..3, skewed: bool, seed: u64,
        ) {
            let mut random = Random(seed | 1);
            let shape = Shape { width, targets, modes: MODES[mode], entries: ENTRIES[entry], skewed };
            let owned = Owned::new(&leaves, &mut random, &shape);
            let x: Vec<f32> = (0..rows * width).map(|_| random.pick(&VALUES)).collect();
            let [sums, expected] = both(&owned.view(), &x, rows, width, targets);
            prop_assert_eq!(sums, expected);
        }
    }

    /// A node of every mode with every threshold, for every value.
    #[test]
    fn every_test_sends_every_value_the_same_way() {
        for mode in (0..6).flat_map(|mode| [mode, mode | MISSING_YES]) {
            for threshold in VALUES {
                let nodes = [Node { threshold, feature: 0, yes: -1, no: -2, mode }];
                let forest = Forest {
                    roots: &[0],
                    nodes: &nodes,
                    leaf_start: &[0, 1, 2],
                    target: &[0, 0],
                    weight: &[10.0, 20.0],
                };
                let [sums, expected] = both(&forest, &VALUES, VALUES.len(), 1, 1);
                assert_eq!(sums, expected, "mode {mode} threshold {threshold}");
            }
        }
    }

    /// Such a forest is valid; unfolded it would fill the memory.
    #[test]
    fn shared_subtrees_do_not_unfold() {
        let node = |i: i32| Node { threshold: 0.0, feature: 0, yes: i + 1, no: i + 1, mode: 0 };
        let mut nodes: Vec<Node> = (0..40).map(node).collect();
        nodes.push(Node { threshold: 1.0, feature: 0, yes: -1, no: -2, mode: 1 });
        let roots: Vec<i32> = (0..41).chain(std::iter::repeat_n(36, 10_000)).collect();
        let forest =
            Forest { roots: &roots, nodes: &nodes, leaf_start: &[0, 1, 2], target: &[0, 0], weight: &[0.5, 3.0] };
        let [sums, expected] = both(&forest, &VALUES, VALUES.len(), 1, 1);
        assert_eq!(sums, expected);
        assert!(PackedForest::new(&forest, 1, 1).bits.len() <= 2 * nodes.len() + MAX_BITS);
    }
}
