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

struct Shape<'a> {
    /// Of these are the thresholds.
    thresholds: &'a [f32],
    width: usize,
    targets: usize,
    modes: &'a [u8],
    /// Entries of a leaf.
    entries: &'a [usize],
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

    fn leaf(&mut self, random: &mut Random, shape: &Shape<'_>) -> i32 {
        for _ in 0..random.pick(shape.entries) {
            self.target.push(random.below(shape.targets) as i32);
            // Of such different sizes that another order of adding gives other bits.
            self.weight.push((random.below(2001) as f32 - 1000.0) * random.pick(&[1e-4, 0.37, 1e4]));
        }
        self.leaf_start.push(self.weight.len() as i32);
        !(self.leaf_start.len() as i32 - 2)
    }

    fn tree(&mut self, leaves: usize, random: &mut Random, shape: &Shape<'_>) -> i32 {
        if leaves == 1 {
            return self.leaf(random, shape);
        }
        let at = self.nodes.len();
        let mode = random.pick(shape.modes) | random.pick(&[0, 0, MISSING_YES]);
        let feature = random.below(shape.width) as u32;
        self.nodes.push(Node { threshold: random.pick(shape.thresholds), feature, yes: 0, no: 0, mode });
        let left = if shape.skewed { random.pick(&[1, leaves - 1]) } else { 1 + random.below(leaves - 1) };
        let yes = self.tree(left, random, shape);
        let no = self.tree(leaves - left, random, shape);
        (self.nodes[at].yes, self.nodes[at].no) = (yes, no);
        at as i32
    }

    fn new(leaves: &[usize], random: &mut Random, shape: &Shape<'_>) -> Self {
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
        let shape =
            Shape { thresholds: &VALUES, width, targets, modes: MODES[mode], entries: ENTRIES[entry], skewed };
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

/// `n` thresholds: where their bins are wide, narrow, alike, or all in a bucket or two.
fn spread(n: usize, kind: usize, random: &mut Random) -> Vec<f32> {
    let mut thresholds: Vec<f32> = match kind {
        0 => random.values(n),
        // Subnormal: a range whose reciprocal is infinite.
        1 => (0..n).map(|_| f32::from_bits(random.below(900) as u32)).collect(),
        // A range beyond f32.
        2 => random.values(n).iter().map(|v| v * (f32::MAX / 2.0)).collect(),
        // One far from the others.
        3 => random.values(n).iter().map(|v| v * 1e-6).chain([1e9]).collect(),
        // Any number of any size, of either sign.
        4 => (0..n).map(|_| f32::from_bits(random.next() as u32)).filter(|t| !t.is_nan()).collect(),
        _ => VALUES.iter().copied().filter(|t| !t.is_nan()).collect(),
    };
    thresholds.extend(random.pick(&[
        &[][..],
        &[f32::INFINITY],
        &[f32::NEG_INFINITY, -0.0, 0.0],
        &[f32::MAX, f32::MIN],
    ]));
    thresholds
}

/// The thresholds, their neighbours, and the edges of f32.
fn near(thresholds: &[f32], random: &mut Random) -> f32 {
    let near = random.pick(thresholds);
    match random.below(5) {
        0 => near.next_up(),
        1 => near.next_down(),
        2 => random.pick(&VALUES),
        _ => near,
    }
}

fn key(random: &mut Random, thresholds: &[f32]) -> bins::Key {
    bins::Key {
        feature: random.below(2) as u32,
        threshold: random.pick(thresholds),
        missing_left: random.below(2) == 0,
        opposite: random.below(2) == 0,
    }
}

/// Compares every key's byte with every row's.
fn bins_tell(keys: &[bins::Key], x: &[f32], width: usize) {
    let rows = x.len() / width;
    let (bins, places) = Bins::new(keys.iter().copied());
    let mut cells = vec![[[0; 16]; GROUPS]; bins.cells()];
    bins.fill(x, width, rows, &mut cells);
    for (key, (cell, bin)) in keys.iter().zip(places) {
        for r in 0..rows {
            let value = x[r * width + key.feature as usize];
            let passes = cells[cell as usize].as_flattened()[r] <= bin;
            assert_eq!(passes, key.passes(value), "{key:?} of {value:e}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn keys_are_sorted_as_by_comparing(n in 0usize..300, seed: u64) {
        let mut random = Random::new(seed);
        let thresholds: Vec<f32> = [f32::NEG_INFINITY, -1.5, -f32::MIN_POSITIVE / 2.0, 0.0, 1e-3, 2.0, f32::INFINITY].to_vec();
        let mut keys: Vec<bins::Given> = (0..n).map(|_| key(&mut random, &thresholds)).zip(0..).collect();
        // Of one, two and three digits.
        keys.iter_mut().zip([1, 70_000, 1 << 22].iter().cycle()).for_each(|((key, _), times)| key.feature *= times);
        let mut expected = keys.clone();
        expected.sort_by(|(a, _), (b, _)| a.feature.cmp(&b.feature).then(a.threshold.total_cmp(&b.threshold)));
        bins::sort(&mut keys);
        let plain = |keys: &[bins::Given]| -> Vec<_> {
            keys.iter().map(|(key, at)| (key.feature, key.threshold.to_bits(), *at)).collect()
        };
        prop_assert_eq!(plain(&keys), plain(&expected));
    }
    #[test]
    fn a_byte_tells_what_the_test_does(
        n in prop_oneof![1usize..5, 5usize..300, 250usize..260, 505usize..900], kind in 0usize..6,
        rows in 1usize..=ROWS, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let thresholds = spread(n, kind, &mut random);
        let keys: Vec<bins::Key> = (0..2 * n).map(|_| key(&mut random, &thresholds)).collect();
        let x: Vec<f32> = (0..rows * 2).map(|_| near(&thresholds, &mut random)).collect();
        bins_tell(&keys, &x, 2);
    }

    /// So many thresholds that a column has several cells.
    #[test]
    fn forests_of_many_thresholds_equal_naive(
        leaves in prop::collection::vec(50usize..80, 6..12), kind in 0usize..6, mode in 0usize..6,
        width in 1usize..3, sharing: bool, rows in 1usize..70, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let thresholds = spread(900, kind, &mut random);
        let shape = Shape {
            thresholds: &thresholds, width, targets: 1, modes: MODES[mode], entries: &[1], skewed: false,
        };
        let owned = Owned::new(&leaves, &mut random, &shape);
        let mut x: Vec<f32> = (0..rows * width).map(|_| near(&thresholds, &mut random)).collect();
        let shared: Vec<bool> = (0..width).map(|column| sharing && column == 0).collect();
        if sharing {
            let first = x[0];
            x.iter_mut().step_by(width).for_each(|value| *value = first);
        }
        let [sums, expected] = both(&owned.view(), &x, width, 1, &shared);
        prop_assert_eq!(sums, expected);
    }
}

/// The buckets' starts are u16: here they end before the thresholds do, spread and all in the last bucket but one.
#[test]
fn more_thresholds_than_starts_can_count() {
    let mut random = Random::new(3);
    for last in [80_000.0, 1e12] {
        let thresholds: Vec<f32> = (0..80_000).map(|i| i as f32).chain([-1e12 * f32::from(last > 1e9), last]).collect();
        let keys: Vec<bins::Key> = thresholds
            .iter()
            .map(|&threshold| bins::Key { feature: 0, threshold, missing_left: false, opposite: false })
            .collect();
        let mut x: Vec<f32> = (0..ROWS).map(|_| near(&thresholds, &mut random)).collect();
        x[..4].copy_from_slice(&[65_534.5, 65_535.0, 65_536.0, 79_999.5]);
        bins_tell(&keys, &x, 1);
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
