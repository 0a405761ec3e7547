//! A tree ensemble that owns its arrays: checked, and packed for the kernel where it has one.

use super::plan::Aggregate;
use ranklet_kernels::math;
use ranklet_kernels::trees::{Forest, Node};
use ranklet_kernels::trees_packed::PackedForest;

/// So few rows are walked one by one, for the same bits: microseconds of a call of two rows that come again, walked and
/// packed, Node, 2026-11-24 (200 trees): 2 leaves 3.6 / 4.2, 31 leaves 9.4 / 9, 64 leaves 11 / 18, 255 leaves 13 / 19. Rows
/// that change walk half as fast, since a processor learns the branches of the first: 31 leaves 17.6 / 8.0 (the kernel alone).
const FEW: usize = 2;

/// A forest ready to run.
#[derive(Debug)]
pub(super) struct OwnedForest {
    roots: Vec<i32>,
    nodes: Vec<Node>,
    leaf_start: Vec<i32>,
    target: Vec<i32>,
    weight: Vec<f32>,
    kind: Kind,
    base: Vec<f32>,
    targets: usize,
    width: usize,
}

#[derive(Debug)]
enum Kind {
    /// Sums, or averages over so many trees.
    Sums { packed: Box<PackedForest>, divisor: Option<f32> },
    /// No trainer we know of exports these: walked node by node.
    Extremes { smallest: bool, seen: Vec<bool> },
}

impl OwnedForest {
    /// Checks every index, and that no node has two parents: shared nodes would let a small file ask for endless walks.
    #[allow(clippy::too_many_arguments, reason = "the arrays of one struct-of-arrays")]
    pub fn new(
        roots: &[i32],
        nodes: Vec<Node>,
        [leaf_start, target]: [&[i32]; 2],
        weight: &[f32],
        base: Vec<f32>,
        aggregate: Aggregate,
        shared: &[bool],
        targets: usize,
    ) -> Result<Self, &'static str> {
        let width = shared.len();
        let forest = Forest { roots, nodes: &nodes, leaf_start, target, weight };
        forest.check(width, targets).map_err(|defect| defect.what())?;
        let mut parents = vec![false; nodes.len()];
        let mut adopted = |child: i32| child >= 0 && std::mem::replace(&mut parents[child as usize], true);
        // Plain loops: a page walks thousands of nodes in code that was not optimised yet.
        let mut twice = false;
        for root in roots {
            twice |= adopted(*root);
        }
        for node in &nodes {
            twice |= adopted(node.yes) | adopted(node.no);
        }
        if twice {
            return Err("a node has two parents");
        }
        let kind = match aggregate {
            Aggregate::Sum | Aggregate::Average => Kind::Sums {
                packed: Box::new(PackedForest::new(&forest, width, targets, shared)),
                divisor: (aggregate == Aggregate::Average).then_some(roots.len() as f32),
            },
            Aggregate::Min | Aggregate::Max => {
                Kind::Extremes { smallest: aggregate == Aggregate::Min, seen: vec![false; targets] }
            }
        };
        let (roots, leaf_start) = (roots.to_vec(), leaf_start.to_vec());
        let (target, weight) = (target.to_vec(), weight.to_vec());
        Ok(OwnedForest { roots, nodes, leaf_start, target, weight, kind, base, targets, width })
    }

    /// Takes in the columns that are the same in all rows of a request, from its first block, which is no smaller than
    /// the others.
    pub fn begin(&mut self, x: &[f32]) {
        if let Kind::Sums { packed, .. } = &mut self.kind
            && x.len() > FEW * self.width
        {
            packed.begin(&x[..self.width]);
        }
    }

    /// Scores `[rows, targets]` of rows `[rows, width]`.
    pub fn score(&mut self, x: &[f32], scores: &mut [f32]) {
        scores.fill(0.0);
        let OwnedForest { roots, nodes, leaf_start, target, weight, kind, width, targets, .. } = self;
        let forest = Forest { roots, nodes, leaf_start, target, weight };
        let rows = x.chunks_exact(*width).zip(scores.chunks_exact_mut(*targets));
        match kind {
            Kind::Sums { packed, divisor } => {
                if x.len() <= FEW * *width {
                    rows.for_each(|(row, scores)| forest.add(row, scores));
                } else {
                    packed.add(x, scores);
                }
                if let Some(trees) = divisor {
                    scores.iter_mut().for_each(|s| *s /= *trees);
                }
            }
            Kind::Extremes { smallest, seen } => {
                let combine = if *smallest { math::min } else { math::max };
                for (row, scores) in rows {
                    seen.fill(false);
                    forest.fold(row, scores, seen, combine);
                }
            }
        }
        if !self.base.is_empty() {
            for scores in scores.chunks_exact_mut(self.targets) {
                for (score, base) in scores.iter_mut().zip(&self.base) {
                    *score += base;
                }
            }
        }
    }
}
