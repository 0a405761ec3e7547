//! Random forests that resemble trained ones: grown leaf by leaf, the largest first, on 255 bins a feature.

use ranklet_kernels::trees::{Forest, MISSING_YES, Node};

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed | 1)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / 16_777_216.0
    }
}

#[derive(Default)]
pub struct Owned {
    roots: Vec<i32>,
    nodes: Vec<Node>,
    leaf_start: Vec<i32>,
    target: Vec<i32>,
    weight: Vec<f32>,
}

/// A part of the unit cube that is still a leaf.
struct Cell {
    bounds: Vec<(f32, f32)>,
    mass: f32,
    /// The node and side it hangs on.
    parent: Option<(usize, bool)>,
}

impl Owned {
    pub fn view(&self) -> Forest<'_> {
        Forest {
            roots: &self.roots,
            nodes: &self.nodes,
            leaf_start: &self.leaf_start,
            target: &self.target,
            weight: &self.weight,
        }
    }

    /// One target, `<=`, half the nodes send a missing value to the left.
    pub fn new(trees: usize, leaves: usize, width: usize, random: &mut Random) -> Self {
        let mut owned = Owned { leaf_start: vec![0], ..Owned::default() };
        for _ in 0..trees {
            let mut cells = vec![Cell { bounds: vec![(0.0, 1.0); width], mass: 1.0, parent: None }];
            let root = owned.nodes.len() as i32;
            owned.roots.push(if leaves == 1 { !(owned.leaf_start.len() as i32 - 1) } else { root });
            while cells.len() < leaves {
                let gain = |cell: &Cell, random: &mut Random| cell.mass * random.unit();
                let gains: Vec<f32> = cells.iter().map(|cell| gain(cell, random)).collect();
                let best = (0..cells.len()).max_by(|&a, &b| gains[a].total_cmp(&gains[b])).expect("never empty");
                let cell = cells.swap_remove(best);
                let u = random.unit();
                // Trained forests split on some features far more often than on others.
                let feature = (u * u * width as f32) as usize;
                let (low, high) = cell.bounds[feature];
                let share = 0.1 + 0.8 * random.unit();
                let threshold = ((low + (high - low) * share) * 255.0).ceil() / 255.0;
                let at = owned.nodes.len();
                let missing = if random.unit() < 0.5 { MISSING_YES } else { 0 };
                owned.nodes.push(Node { threshold, feature: feature as u32, yes: 0, no: 0, mode: missing });
                owned.hang(cell.parent, at as i32);
                for (yes, bound, mass) in [(true, (low, threshold), share), (false, (threshold, high), 1.0 - share)] {
                    let mut bounds = cell.bounds.clone();
                    bounds[feature] = bound;
                    cells.push(Cell { bounds, mass: cell.mass * mass, parent: Some((at, yes)) });
                }
            }
            for cell in cells {
                let leaf = !(owned.leaf_start.len() as i32 - 1);
                owned.hang(cell.parent, leaf);
                owned.target.push(0);
                owned.weight.push(random.unit() - 0.5);
                owned.leaf_start.push(owned.weight.len() as i32);
            }
        }
        owned.view().check(width, 1).expect("grown well-formed");
        owned
    }

    fn hang(&mut self, parent: Option<(usize, bool)>, child: i32) {
        match parent {
            Some((at, true)) => self.nodes[at].yes = child,
            Some((at, false)) => self.nodes[at].no = child,
            None => {}
        }
    }
}

/// Rows in the unit cube, 5 % of the elements NaN.
pub fn rows(rows: usize, width: usize, random: &mut Random) -> Vec<f32> {
    (0..rows * width).map(|_| if random.unit() < 0.05 { f32::NAN } else { random.unit() }).collect()
}
