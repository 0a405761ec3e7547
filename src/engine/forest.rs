//! A tree ensemble that owns its arrays: checked, and packed for the kernel where it has one.

use super::plan::Aggregate;
use ranklet_kernels::math;
use ranklet_kernels::trees::{Forest, Node};
use ranklet_kernels::trees_packed::PackedForest;

/// So few rows are walked one by one, for the same bits: microseconds of the kernel in Node on 2026-11-24, walked and
/// packed (200 trees, as in `trees_packed`), 31 leaves, N = 1 / 2: 4.5 / 9.0 and 7.8 / 8.0 where the same rows come again,
/// 8.5 / 17.6 and 8.0 / 8.0 where they change, since a processor learns the branches of the first. Before that, rows that
/// come again: 2 leaves 1.1 / 2.0 and 5.5 / 5.6, 255 leaves 10 / 22 and 29 / 34.
const FEW: usize = 1;

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
        let children = nodes.iter().flat_map(|node| [node.yes, node.no]);
        for child in roots.iter().copied().chain(children).filter(|&c| c >= 0) {
            if std::mem::replace(&mut parents[child as usize], true) {
                return Err("a node has two parents");
            }
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
