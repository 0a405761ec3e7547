//! From a checked forest to its packed form. Cold code, so that it is built small.

use super::bins::{Bins, Key};
use super::{BitNodes, GROUPS, Kind, MAX_BITS, PLANES, PackedForest, SharedNode, Tree, WalkNode};
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
        let mut entries = Vec::with_capacity(forest.leaf_start.len() + 2 * forest.roots.len());
        let mut alike = Vec::new();
        // Of all trees of bits, and where each tree's end.
        let mut found = Vec::with_capacity(forest.nodes.len());
        let mut found_ends = Vec::with_capacity(forest.roots.len());
        let mut leaves = Vec::new();
        // Of a tree's leaves but the last in its words: as many, or one less, in each plane, since planes are run in step. The
        // best cuts have 3 % fewer nodes in the longest plane, for 600 bytes of brotli.
        let mut places = [0; MAX_BITS];
        for &root in forest.roots {
            leaves.clear();
            let (leaf, first) = (entries.len() as u32, found.len());
            let mut kind = Kind::Walk(root as u32);
            let mut standing = 0;
            if bit_tree(forest, root, &sizes, alike.len(), &mut found, &mut leaves) {
                let last = leaves.len() - 1;
                let words = last.div_ceil(8 * PLANES);
                let planes = if last <= 8 { 1 } else { words * PLANES };
                kind = match last {
                    0..=2 => Kind::Stump,
                    3..=8 => Kind::Plane,
                    _ => Kind::Words(words),
                };
                // The last leaf is behind all others', and so is what no leaf stands at.
                let behind = if planes == 1 { last } else { 8 * planes };
                entries.resize(leaf as usize + behind + 1, entry(leaves[last]));
                for plane in 0..planes {
                    let from = last * plane / planes;
                    for (at, place) in places[from..last * (plane + 1) / planes].iter_mut().enumerate() {
                        *place = 8 * plane + at;
                    }
                }
                for (&place, &at) in places.iter().zip(&leaves[..last]) {
                    standing |= 1 << place;
                    entries[leaf as usize + place] = entry(at);
                }
                if planes == 1 {
                    standing |= 1 << last;
                }
                for Found { cleared, .. } in &mut found[first..] {
                    let (low, high) = (cleared.trailing_zeros() as usize, 63 - cleared.leading_zeros() as usize);
                    *cleared = bits_below(places[high] + 1) & !bits_below(places[low]);
                }
                let tree = trees.len() as u32;
                alike.extend(
                    found
                        .extract_if(first.., |node| shared.get(node.key.feature as usize) == Some(&true))
                        .map(|Found { key, cleared }| SharedNode { key, tree, cleared }),
                );
            } else {
                found.truncate(first);
            }
            found_ends.push(found.len());
            trees.push(Tree { kind, places: standing, standing, ends: [0; 2], leaf });
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
            words: trees.iter().all(|tree| matches!(tree.kind, Kind::Stump | Kind::Plane | Kind::Words(1))),
            trees,
            bins,
            leaves: Some(super::scratch()),
            bits: Vec::new(),
            shared: alike,
            inner,
            value: Vec::new(),
            entries,
            target: forest.target.iter().map(|&t| t as u32).collect(),
            weight: forest.weight.to_vec(),
        };
        packed.place_bits(&found, places, &found_ends);
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
        let cells = self.cells.as_ptr();
        let none = BitNodes { cells: [cells.addr(); PLANES], tests: [[[0; 4], [-1; 4], [0; 4], [-1; 4]]; 2] };
        let mut first = 0;
        for (tree, &end) in self.trees.iter_mut().zip(ends) {
            let words = match tree.kind {
                Kind::Stump | Kind::Plane => 1,
                Kind::Words(words) => words,
                Kind::Walk(_) => continue,
            };
            for word in 0..words {
                let before = self.bits.len();
                let mut placed = [before; PLANES];
                for (i, (node, &(cell, bin))) in found[first..end].iter().zip(&places[first..end]).enumerate() {
                    let cleared = (node.cleared >> (32 * word)) as u32;
                    // Where there is one plane, its nodes lie where others have those of four.
                    let cleared = if let Kind::Words(_) = tree.kind { cleared } else { cleared << (8 * (i % PLANES)) };
                    for (plane, (placed, cleared)) in placed.iter_mut().zip(cleared.to_le_bytes()).enumerate() {
                        if cleared == 0 {
                            continue;
                        }
                        if *placed == self.bits.len() {
                            self.bits.push(none);
                        }
                        let nodes = &mut self.bits[*placed];
                        *placed += 1;
                        nodes.cells[plane] = cells.wrapping_add(cell as usize).addr();
                        // At most 126: a bin that all values are at most is none's.
                        nodes.tests[plane / 2][plane % 2 * 2] = [bin + 1; 4];
                        nodes.tests[plane / 2][plane % 2 * 2 + 1] = [!cleared as i8; 4];
                    }
                }
                tree.ends[word] = self.bits.len();
            }
            first = end;
        }
        for end in self.trees.iter_mut().flat_map(|tree| &mut tree.ends) {
            *end = self.bits.as_ptr().wrapping_add(*end).addr();
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
