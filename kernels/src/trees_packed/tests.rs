use super::*;
use crate::testing::{Random, bits};
use crate::trees::{Forest, MISSING_YES, Node};
use proptest::prelude::*;

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

/// The sums of the naive twin and of the packed forest, both added to the same start.
fn both(forest: &Forest<'_>, x: &[f32], width: usize, targets: usize, shared: &[bool]) -> [Vec<u32>; 2] {
    let rows = x.len() / width;
    forest.check(width, targets).unwrap();
    let mut expected: Vec<f32> = (0..rows * targets).map(|i| i as f32 * 0.3 - 1.0).collect();
    let mut sums = expected.clone();
    for (row, sums) in x.chunks_exact(width).zip(expected.chunks_exact_mut(targets)) {
        forest.add(row, sums);
    }
    let mut packed = PackedForest::new(forest, width, targets, shared);
    // Of an earlier request nothing is left.
    packed.begin(&vec![f32::NAN; width]);
    if let Some(row) = x.chunks_exact(width).next_back() {
        packed.begin(row);
    }
    packed.add(x, &mut sums);
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
        mode in 0usize..6, entry in 0usize..3, skewed: bool, sharing: bool, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let shape = Shape { width, targets, modes: MODES[mode], entries: ENTRIES[entry], skewed };
        let owned = Owned::new(&leaves, &mut random, &shape);
        let mut x: Vec<f32> = (0..rows * width).map(|_| random.pick(&VALUES)).collect();
        let shared: Vec<bool> = (0..if sharing { width } else { 0 }).map(|_| random.below(2) == 0).collect();
        for r in 1..rows {
            for (c, _) in shared.iter().enumerate().filter(|(_, shared)| **shared) {
                x[r * width + c] = x[c];
            }
        }
        let [sums, expected] = both(&owned.view(), &x, width, targets, &shared);
        prop_assert_eq!(sums, expected);
    }
}

/// A node of every mode with every threshold, for every value.
#[test]
fn every_test_sends_every_value_the_same_way() {
    for mode in (0..6).flat_map(|mode| [mode, mode | MISSING_YES]) {
        for threshold in VALUES {
            let nodes = [Node { threshold, feature: 0, yes: -1, no: -2, mode }];
            let forest =
                Forest { roots: &[0], nodes: &nodes, leaf_start: &[0, 1, 2], target: &[0, 0], weight: &[10.0, 20.0] };
            let [sums, expected] = both(&forest, &VALUES, 1, 1, &[]);
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
    let forest = Forest { roots: &roots, nodes: &nodes, leaf_start: &[0, 1, 2], target: &[0, 0], weight: &[0.5, 3.0] };
    let [sums, expected] = both(&forest, &VALUES, 1, 1, &[]);
    assert_eq!(sums, expected);
    // Each node is in as many planes as it clears leaves of.
    assert!(PackedForest::new(&forest, 1, 1, &[]).bits.len() <= 8 * (2 * nodes.len() + MAX_BITS));
}
