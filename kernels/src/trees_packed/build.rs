//! From a checked forest to its packed form. Cold code, so that it is built small.

use super::bins::{Bins, Cell, Key};
use super::{BitNodes, GROUPS, Kind, MAX_BITS, PackedForest, SharedNode, Tree, WalkNode};
use crate::trees::{Forest, MISSING_YES, Node};

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

/// A node of a tree of bit vectors, not yet placed.
struct Found {
    key: Key,
    /// The leaves that go when the test fails.
    cleared: u64,
}

/// A node of a walk, not yet placed; without a test it goes where a failed test goes.
struct Step {
    key: Option<Key>,
    next: [u32; 2],
}

impl PackedForest {
    /// Packs a forest that [`Forest::check`] has accepted for `width` and `targets`.
    ///
    /// `shared` (`[width]`, or empty for none) tells which columns have the same value in all rows of a request: see
    /// [`begin`](Self::begin). Large trees do not profit.
    #[cold]
    #[inline(never)]
    pub fn new(forest: &Forest<'_>, width: usize, targets: usize, shared: &[bool]) -> Self {
        let entry = |leaf: usize| [forest.leaf_start[leaf] as u32, forest.leaf_start[leaf + 1] as u32];
        let sizes = sizes(forest);
        let mut trees = Vec::with_capacity(forest.roots.len());
        let mut entries = Vec::new();
        let mut alike = Vec::new();
        // Of all trees of bits, and where each tree's end.
        let mut found = Vec::new();
        let mut ends = Vec::with_capacity(forest.roots.len());
        let mut leaves = Vec::new();
        for &root in forest.roots {
            leaves.clear();
            let (leaf, first) = (entries.len() as u32, found.len());
            let kind = if bit_tree(forest, root, &sizes, alike.len(), &mut found, &mut leaves) {
                entries.extend(leaves.iter().map(|&leaf| entry(leaf)));
                let tree = trees.len() as u32;
                alike.extend(
                    found
                        .extract_if(first.., |node| shared.get(node.key.feature as usize) == Some(&true))
                        .map(|Found { key, cleared }| SharedNode { key, tree, cleared }),
                );
                // The last leaf is never cleared: no plane is needed for it.
                Kind::Bits(leaves.len().saturating_sub(1).div_ceil(8) as u32)
            } else {
                found.truncate(first);
                Kind::Walk(root as u32)
            };
            ends.push(found.len());
            trees.push(Tree { kind, cleared: 0, leaf });
        }
        let (mut steps, mut inner) = (Vec::new(), 0);
        if trees.iter().any(|tree| matches!(tree.kind, Kind::Walk(_))) {
            (steps, inner) = walk_trees(forest);
            let first = entries.len() as u32;
            entries.extend((0..forest.leaf_start.len() - 1).map(entry));
            for tree in trees.iter_mut().filter(|tree| matches!(tree.kind, Kind::Walk(_))) {
                tree.leaf = first;
            }
        }
        let keys = found.iter().map(|node| node.key).chain(steps.iter().filter_map(|step| step.key));
        let (bins, places) = Bins::new(keys);
        let (places, mut of_steps) = (&places[..found.len()], places[found.len()..].iter());
        let mut place = |&Step { key, next }: &Step| match key.and_then(|_| of_steps.next()) {
            Some(&(cell, bin)) => WalkNode { cell, bin, next },
            None => WalkNode { cell: 0, bin: 0, next: [next[0]; 2] },
        };
        let mut packed = PackedForest {
            width,
            targets,
            walk: steps.iter().map(&mut place).collect(),
            // Leaves of a walk look at one too.
            cells: vec![[[0; 16]; GROUPS]; bins.cells().max(1)],
            words: trees.iter().all(|tree| matches!(tree.kind, Kind::Bits(0..=4))),
            trees,
            bins,
            planes: Vec::new(),
            bits: Vec::new(),
            shared: alike,
            inner,
            value: Vec::new(),
            entries,
            target: forest.target.iter().map(|&t| t as u32).collect(),
            weight: forest.weight.to_vec(),
        };
        packed.place_bits(&found, places, &ends);
        if packed.entries.iter().all(|e| e[0] + 1 == e[1]) {
            packed.value = packed.entries.iter().map(|e| forest.weight[e[0] as usize]).collect();
            packed.target = match targets {
                1 => Vec::new(),
                _ => packed.entries.iter().map(|e| forest.target[e[0] as usize] as u32).collect(),
            };
            (packed.entries, packed.weight) = (Vec::new(), Vec::new());
        }
        packed
    }

    #[cold]
    #[inline(never)]
    fn place_bits(&mut self, found: &[Found], places: &[(u32, i8)], ends: &[usize]) {
        let mut first = 0;
        for (tree, &end) in self.trees.iter().zip(ends) {
            let Kind::Bits(planes) = tree.kind else { continue };
            for plane in 0..planes {
                let before = self.bits.len();
                let mut second = false;
                for (node, &(cell, bin)) in found[first..end].iter().zip(&places[first..end]) {
                    let cleared = (node.cleared >> (8 * plane)) as u8 as i8;
                    if cleared == 0 {
                        continue;
                    }
                    if !second {
                        self.bits.push(BitNodes { cells: [0; 2], tests: [[0; 4]; 4] });
                    }
                    if let Some(nodes) = self.bits.last_mut() {
                        let at = usize::from(second);
                        nodes.cells[at] = cell * size_of::<Cell>() as u32;
                        nodes.tests[2 * at] = [bin; 4];
                        nodes.tests[2 * at + 1] = [cleared; 4];
                    }
                    second = !second;
                }
                self.planes.push((self.bits.len() - before) as u32);
            }
            first = end;
        }
    }
}

/// Leaves below each node: the smaller subtree becomes the left one, so that a node clears few leaves and lies in few
/// planes.
#[cold]
#[inline(never)]
fn sizes(forest: &Forest<'_>) -> Vec<u32> {
    let mut sizes = vec![0; forest.nodes.len()];
    for (i, node) in forest.nodes.iter().enumerate().rev() {
        // Children come after their parents.
        sizes[i] = size(&sizes, node.yes).saturating_add(size(&sizes, node.no));
    }
    sizes
}

fn size(sizes: &[u32], child: i32) -> u32 {
    usize::try_from(child).map_or(1, |node| sizes[node])
}

/// Appends the nodes of a tree that bit vectors can hold, and lists its leaves from the left.
#[cold]
#[inline(never)]
fn bit_tree(
    forest: &Forest<'_>,
    root: i32,
    sizes: &[u32],
    alike: usize,
    found: &mut Vec<Found>,
    leaves: &mut Vec<usize>,
) -> bool {
    let first = found.len();
    // In the order of the walk from the left; a node's left subtree ends where its right child is met.
    let mut stack = vec![(root, None)];
    while let Some((child, right_of)) = stack.pop() {
        if let Some(parent) = right_of {
            let node: &mut Found = &mut found[parent];
            node.cleared ^= bits_below(leaves.len());
        }
        if child < 0 {
            leaves.push(!child as usize);
            continue;
        }
        let node = &forest.nodes[child as usize];
        let Some(Test { threshold, missing_left, left, right }) = test(node) else { return false };
        if threshold.is_nan() {
            stack.push((right, None));
            continue;
        }
        // Checked forests may share subtrees; what is packed must not outgrow what was given.
        if found.len() - first + 1 == MAX_BITS || alike + found.len() > 2 * forest.nodes.len() {
            return false;
        }
        let opposite = size(sizes, left) > size(sizes, right);
        let (left, right) = if opposite { (right, left) } else { (left, right) };
        let key = Key { feature: node.feature, threshold, missing_left, opposite };
        stack.push((right, Some(found.len())));
        stack.push((left, None));
        found.push(Found { key, cleared: bits_below(leaves.len()) });
    }
    true
}

/// The nodes of all trees, then its leaves, and where these start.
#[cold]
#[inline(never)]
fn walk_trees(forest: &Forest<'_>) -> (Vec<Step>, u32) {
    // `==` takes two nodes: x <= t, then x <= the float below t.
    let equals = forest.nodes.iter().filter(|node| test(node).is_none()).count();
    let inner = forest.nodes.len() + equals;
    let place = |child: i32| if child < 0 { inner + !child as usize } else { child as usize } as u32;
    let mut steps = Vec::with_capacity(inner + forest.leaf_start.len() - 1);
    let mut second = Vec::with_capacity(equals);
    let step = |feature, threshold: f32, missing_left, next| Step {
        key: (!threshold.is_nan()).then_some(Key { feature, threshold, missing_left, opposite: false }),
        next,
    };
    for node in forest.nodes {
        steps.push(match test(node) {
            Some(Test { threshold, missing_left, left, right }) => {
                step(node.feature, threshold, missing_left, [place(right), place(left)])
            }
            None => {
                let not_equal = node.mode & !MISSING_YES == 5;
                let (equal, other) = if not_equal { (node.no, node.yes) } else { (node.yes, node.no) };
                let missing_left = !not_equal && node.mode & MISSING_YES != 0;
                let next = (forest.nodes.len() + second.len()) as u32;
                second.push(step(node.feature, below(node.threshold), false, [place(equal), place(other)]));
                step(node.feature, node.threshold, missing_left, [place(other), next])
            }
        });
    }
    steps.append(&mut second);
    for leaf in inner..inner + forest.leaf_start.len() - 1 {
        steps.push(Step { key: None, next: [leaf as u32; 2] });
    }
    (steps, inner as u32)
}

/// The lowest `n` bits.
fn bits_below(n: usize) -> u64 {
    if n == 64 { u64::MAX } else { (1 << n) - 1 }
}
