//! A tree ensemble that owns its arrays: checked, and packed for the kernel where it has one.

use super::plan::Aggregate;
use ranklet_kernels::math;
use ranklet_kernels::trees::{Forest, Node};
use ranklet_kernels::trees_packed::PackedForest;

/// A forest ready to run.
#[derive(Debug)]
pub(super) struct OwnedForest {
    kind: Kind,
    base: Vec<f32>,
    targets: usize,
    width: usize,
}

#[derive(Debug)]
enum Kind {
    /// Sums, or averages over so many trees.
    Sums { packed: PackedForest, divisor: Option<f32> },
    /// No trainer we know of exports these: walked node by node.
    Extremes {
        roots: Vec<i32>,
        nodes: Vec<Node>,
        leaf_start: Vec<i32>,
        target: Vec<i32>,
        weight: Vec<f32>,
        smallest: bool,
        seen: Vec<bool>,
    },
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
                packed: PackedForest::new(&forest, width, targets, shared),
                divisor: (aggregate == Aggregate::Average).then_some(roots.len() as f32),
            },
            Aggregate::Min | Aggregate::Max => Kind::Extremes {
                roots: roots.to_vec(),
                leaf_start: leaf_start.to_vec(),
                target: target.to_vec(),
                weight: weight.to_vec(),
                smallest: aggregate == Aggregate::Min,
                seen: vec![false; targets],
                nodes,
            },
        };
        Ok(OwnedForest { kind, base, targets, width })
    }

    /// Takes in the columns that are the same in all rows of a request, from its first.
    pub fn begin(&mut self, row: &[f32]) {
        if let Kind::Sums { packed, .. } = &mut self.kind {
            packed.begin(&row[..self.width]);
        }
    }

    /// Scores `[rows, targets]` of rows `[rows, width]`.
    pub fn score(&mut self, x: &[f32], scores: &mut [f32]) {
        scores.fill(0.0);
        match &mut self.kind {
            Kind::Sums { packed, divisor } => {
                packed.add(x, scores);
                if let Some(trees) = divisor {
                    scores.iter_mut().for_each(|s| *s /= *trees);
                }
            }
            Kind::Extremes { roots, nodes, leaf_start, target, weight, smallest, seen } => {
                let forest = Forest { roots, nodes, leaf_start, target, weight };
                let combine = if *smallest { math::min } else { math::max };
                for (row, scores) in x.chunks_exact(self.width).zip(scores.chunks_exact_mut(self.targets)) {
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
