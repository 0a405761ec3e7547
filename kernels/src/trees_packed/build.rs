//! From a checked forest to its packed form. Cold code, so that it is built small.

use super::{BitNode, MAX_BITS, NARROW, PackedForest, SharedNode, Tree, WALK, WalkNode};
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

impl PackedForest {
    /// Packs a forest that [`Forest::check`] has accepted for `width` and `targets`.
    ///
    /// `shared` (`[width]`, or empty for none) tells which columns have the same value in all rows of a request: see
    /// [`begin`](Self::begin). Large trees do not profit.
    #[cold]
    #[inline(never)]
    pub fn new(forest: &Forest<'_>, width: usize, targets: usize, shared: &[bool]) -> Self {
        let entries = |leaf: usize| [forest.leaf_start[leaf] as u32, forest.leaf_start[leaf + 1] as u32];
        let mut packed = PackedForest {
            width,
            targets,
            trees: Vec::with_capacity(forest.roots.len()),
            bits: Vec::new(),
            shared: Vec::new(),
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
            let nodes = match packed.bit_tree(forest, root, shared, &mut leaves) {
                Some(nodes) => {
                    packed.entries.extend(leaves.iter().map(|&l| entries(l)));
                    nodes
                }
                None => [WALK, root as u32],
            };
            packed.trees.push(Tree { nodes, start: [u32::MAX; 2], leaf });
        }
        if packed.trees.iter().any(|tree| tree.nodes[0] == WALK) {
            packed.walk_trees(forest);
            let first = packed.entries.len() as u32;
            packed.entries.extend((0..forest.leaf_start.len() - 1).map(entries));
            for tree in packed.trees.iter_mut().filter(|tree| tree.nodes[0] == WALK) {
                tree.leaf = first;
            }
        }
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

    fn column(&mut self, feature: u32, missing_left: bool) -> u32 {
        self.missing_left |= missing_left;
        feature + if missing_left { self.width as u32 } else { 0 }
    }

    /// Appends the nodes of a tree that bit vectors can hold, and lists its leaves from the left.
    #[cold]
    #[inline(never)]
    fn bit_tree(
        &mut self,
        forest: &Forest<'_>,
        root: i32,
        shared: &[bool],
        leaves: &mut Vec<usize>,
    ) -> Option<[u32; 2]> {
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
            if found.len() + 1 == MAX_BITS || self.bits.len() + self.shared.len() + found.len() > 2 * forest.nodes.len()
            {
                return None;
            }
            let column = self.column(node.feature, missing_left);
            stack.push((right, Some(found.len())));
            stack.push((left, None));
            found.push((BitNode { threshold, column, mask: 0 }, leaves.len(), 0));
        }
        // The last leaf is never cleared, so 33 leaves need one word: without its bits it says 32.
        let halves = if leaves.len() > 33 { 2 } else { 1 };
        let mut counts = [0, NARROW];
        for (half, count) in (0..halves).zip(&mut counts) {
            let before = self.bits.len();
            for &(node, from, to) in &found {
                let cleared = ((bits_below(to) & !bits_below(from)) >> (32 * half)) as u32;
                if cleared == 0 {
                    continue;
                }
                let node = BitNode { mask: !cleared, ..node };
                if shared.get(node.column as usize % self.width) == Some(&true) {
                    self.shared.push(SharedNode { node, tree: self.trees.len() as u32, half });
                } else {
                    self.bits.push(node);
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
}

/// The lowest `n` bits.
fn bits_below(n: usize) -> u64 {
    if n == 64 { u64::MAX } else { (1 << n) - 1 }
}
