//! Tree ensembles: sums of leaves over all trees of a row.
//!
//! **Summation order**: f32, trees in their order, within a leaf its entries in their order, the
//! base value last; the order of ONNX Runtime at one thread, so sums are equal to it bit for bit.

/// A forest as struct-of-arrays. Children and roots: `>= 0` a node, `< 0` the leaf `!child`.
///
/// The caller guarantees what [`Forest::check`] verifies; the walk itself has no check that could fail
/// other than Rust's own bounds checks.
#[derive(Debug, Clone, Copy)]
pub struct Forest<'a> {
    /// Root of each tree.
    pub roots: &'a [i32],
    /// Nodes.
    pub nodes: &'a [Node],
    /// Where each leaf's entries start; one longer than there are leaves.
    pub leaf_start: &'a [i32],
    /// Target of each entry.
    pub target: &'a [i32],
    /// Value of each entry.
    pub weight: &'a [f32],
}

/// An inner node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Split value.
    pub threshold: f32,
    /// Column of the row.
    pub feature: u32,
    /// Child when the test holds.
    pub yes: i32,
    /// Child when it does not.
    pub no: i32,
    /// Bits 0-2: 0 `<=`, 1 `<`, 2 `>=`, 3 `>`, 4 `==`, 5 `!=`; bit 7: NaN counts as yes.
    pub mode: u8,
}

/// Bit of [`Node::mode`]: a missing value takes the true child.
pub const MISSING_YES: u8 = 0x80;

/// Why a forest is not well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// A child or root names no node or leaf, or a child does not lie after its parent.
    Child,
    /// A node reads past the row.
    Feature,
    /// An unknown branch mode.
    Mode,
    /// Leaf entries are not in order or name no target.
    Leaf,
}

impl Defect {
    /// In words.
    pub const fn what(self) -> &'static str {
        match self {
            Defect::Child => "a child names no node or leaf after its parent",
            Defect::Feature => "a node reads past the row",
            Defect::Mode => "an unknown branch mode",
            Defect::Leaf => "leaf entries are not in order or name no target",
        }
    }
}

impl Forest<'_> {
    /// Verifies every index, so that a walk ends and stays inside the arrays for rows of `width` columns.
    ///
    /// # Errors
    /// The first [`Defect`] found.
    pub fn check(&self, width: usize, targets: usize) -> Result<(), Defect> {
        let leaves = self.leaf_start.len().checked_sub(1).ok_or(Defect::Leaf)?;
        let exists = |child: i32, after: i64| {
            if child >= 0 {
                i64::from(child) > after && (child as usize) < self.nodes.len()
            } else {
                (!child as usize) < leaves
            }
        };
        for &root in self.roots {
            if !exists(root, -1) {
                return Err(Defect::Child);
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            if !exists(node.yes, i as i64) || !exists(node.no, i as i64) {
                return Err(Defect::Child);
            }
            if node.feature as usize >= width {
                return Err(Defect::Feature);
            }
            if node.mode & !MISSING_YES > 5 {
                return Err(Defect::Mode);
            }
        }
        let ordered = self.leaf_start.windows(2).all(|w| w[0] <= w[1]) && self.leaf_start[0] == 0;
        if !ordered
            || self.leaf_start[leaves] as usize != self.weight.len()
            || self.target.len() != self.weight.len()
            || self.target.iter().any(|&t| t < 0 || t as usize >= targets)
        {
            return Err(Defect::Leaf);
        }
        Ok(())
    }

    /// The leaf of the tree at `root` that `row` reaches.
    #[inline]
    fn leaf(&self, root: i32, row: &[f32]) -> usize {
        let mut at = root;
        while at >= 0 {
            let node = &self.nodes[at as usize];
            at = if takes_yes(node, row[node.feature as usize]) { node.yes } else { node.no };
        }
        !at as usize
    }

    /// Adds every tree's leaf to `sums` (`[targets]`) in tree order.
    pub fn add(&self, row: &[f32], sums: &mut [f32]) {
        for &root in self.roots {
            let leaf = self.leaf(root, row);
            for entry in self.leaf_start[leaf] as usize..self.leaf_start[leaf + 1] as usize {
                sums[self.target[entry] as usize] += self.weight[entry];
            }
        }
    }

    /// As [`add`](Self::add) with another combination than `+`; `seen` tells which targets have a value yet.
    pub fn fold(&self, row: &[f32], sums: &mut [f32], seen: &mut [bool], combine: impl Fn(f32, f32) -> f32) {
        for &root in self.roots {
            let leaf = self.leaf(root, row);
            for entry in self.leaf_start[leaf] as usize..self.leaf_start[leaf + 1] as usize {
                let target = self.target[entry] as usize;
                let weight = self.weight[entry];
                sums[target] = if seen[target] { combine(sums[target], weight) } else { weight };
                seen[target] = true;
            }
        }
    }
}

#[inline]
fn takes_yes(node: &Node, value: f32) -> bool {
    // LightGBM, XGBoost and CatBoost use the first two alone.
    let holds = match node.mode & !MISSING_YES {
        0 => value <= node.threshold,
        1 => value < node.threshold,
        2 => value >= node.threshold,
        3 => value > node.threshold,
        4 => value == node.threshold,
        _ => value != node.threshold,
    };
    holds || (node.mode & MISSING_YES != 0 && value.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stump(mode: u8) -> (Vec<Node>, Vec<i32>, Vec<i32>, Vec<f32>) {
        (vec![Node { threshold: 1.0, feature: 0, yes: -1, no: -2, mode }], vec![0, 1, 2], vec![0, 0], vec![10.0, 20.0])
    }

    fn score(mode: u8, value: f32) -> f32 {
        let (nodes, leaf_start, target, weight) = stump(mode);
        let forest = Forest { roots: &[0], nodes: &nodes, leaf_start: &leaf_start, target: &target, weight: &weight };
        forest.check(1, 1).unwrap();
        let mut sums = [0.0];
        forest.add(&[value], &mut sums);
        sums[0]
    }

    #[test]
    fn each_branch_mode_at_below_and_above_its_split() {
        let yes = |mode, value| score(mode, value) == 10.0;
        let table = [
            (0, true, true, false),
            (1, true, false, false),
            (2, false, true, true),
            (3, false, false, true),
            (4, false, true, false),
            (5, true, false, true),
        ];
        for (mode, below, at, above) in table {
            assert_eq!((yes(mode, 0.5), yes(mode, 1.0), yes(mode, 1.5)), (below, at, above), "mode {mode}");
        }
    }

    #[test]
    fn missing_goes_where_the_node_says() {
        assert_eq!(score(0, f32::NAN), 20.0);
        assert_eq!(score(MISSING_YES, f32::NAN), 10.0);
        assert_eq!(score(5, f32::NAN), 10.0, "NaN differs from every threshold");
    }

    #[test]
    fn a_broken_forest_is_refused() {
        let (nodes, leaf_start, target, weight) = stump(0);
        let good = Forest { roots: &[0], nodes: &nodes, leaf_start: &leaf_start, target: &target, weight: &weight };
        assert_eq!(Forest { roots: &[1], ..good }.check(1, 1), Err(Defect::Child));
        assert_eq!(Forest { roots: &[-3], ..good }.check(1, 1), Err(Defect::Child));
        assert_eq!(good.check(0, 1), Err(Defect::Feature));
        assert_eq!(good.check(1, 0), Err(Defect::Leaf));
        let cycle = [Node { yes: 0, ..nodes[0] }];
        assert_eq!(Forest { nodes: &cycle, ..good }.check(1, 1), Err(Defect::Child));
        let mode = [Node { mode: 6, ..nodes[0] }];
        assert_eq!(Forest { nodes: &mode, ..good }.check(1, 1), Err(Defect::Mode));
    }
}
