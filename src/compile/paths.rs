//! Rows that walk given paths of trees. A path fixes only the columns that it reads, so that one
//! row serves paths of many trees at once.

use super::Lowered;
use crate::engine::plan::Trees;
use crate::engine::tensor::Tensor;

/// Rows that still take paths: more are tried longer, fewer leave rows less full.
const OPEN: usize = 24;

/// A plan's tree arrays.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    roots: &'a [i32],
    pub feature: &'a [i32],
    pub threshold: &'a [f32],
    mode: &'a [u8],
    yes: &'a [i32],
    no: &'a [i32],
    leaf_start: &'a [i32],
}

impl<'a> View<'a> {
    pub fn new(trees: &Trees, lowered: &'a Lowered) -> Self {
        let ints = |name: &str| lowered.tensors.get(name).and_then(Tensor::as_i32).unwrap_or(&[]);
        View {
            roots: ints(&trees.roots),
            feature: ints(&trees.feature),
            threshold: lowered.tensors.get(&trees.threshold).and_then(Tensor::as_f32).unwrap_or(&[]),
            mode: lowered.tensors.get(&trees.mode).and_then(Tensor::as_u8).unwrap_or(&[]),
            yes: ints(&trees.yes),
            no: ints(&trees.no),
            leaf_start: ints(&trees.leaf_start),
        }
    }

    fn takes_yes(&self, node: usize, v: f32) -> bool {
        let (split, mode) = (self.threshold[node], self.mode[node]);
        if v.is_nan() && mode & 0x80 != 0 {
            return true;
        }
        match mode & 7 {
            0 => v <= split,
            1 => v < split,
            2 => v >= split,
            3 => v > split,
            4 => v == split,
            _ => v != split,
        }
    }
}

/// A condition on the way to a node: this branch's true side or not.
type Condition = (usize, bool);

/// A path to walk in the tree of `root`, with the value that a node's column is to have.
struct Wanted {
    root: i32,
    path: Vec<Condition>,
    fixed: Option<(usize, f32)>,
}

/// A row with the columns that paths have fixed so far, and the trees of these.
#[derive(Clone)]
struct Open {
    row: Vec<f32>,
    set: Vec<bool>,
    roots: Vec<i32>,
}

/// Builds the rows of one forest.
pub(super) struct Paths<'a> {
    forest: View<'a>,
    /// The table's column behind each column that the forest reads.
    origins: &'a [Option<usize>],
    draw: &'a mut dyn FnMut() -> Vec<f32>,
    open: Vec<Open>,
    rows: Vec<Vec<f32>>,
    reached: Vec<bool>,
}

impl<'a> Paths<'a> {
    /// `draw` gives a row of plausible values.
    pub fn new(forest: View<'a>, origins: &'a [Option<usize>], draw: &'a mut dyn FnMut() -> Vec<f32>) -> Self {
        Paths { forest, origins, draw, open: vec![], rows: vec![], reached: vec![false; forest.leaf_start.len()] }
    }

    /// Rows for every split, leaf and missing value.
    pub fn rows(mut self) -> Vec<Vec<f32>> {
        // The split value, and the float next to it on the other side.
        let forest = self.forest;
        let other = |node: usize| {
            let split = forest.threshold[node];
            if matches!(forest.mode[node] & 7, 1 | 2) { split.next_down() } else { split.next_up() }
        };
        self.splits(|node| forest.threshold[node]);
        self.splits(other);
        let reached = self.reached.clone();
        let leaves = self.wanted(|at, _| if at < 0 && !reached[!at as usize] { Some(None) } else { None });
        self.place_all(leaves);
        self.splits(|_| f32::NAN);
        self.rows
    }

    /// A row for each split with this value in its column.
    fn splits(&mut self, value: impl Fn(usize) -> f32) {
        let wanted = self.wanted(|at, _| usize::try_from(at).ok().map(|node| Some((node, value(node)))));
        self.place_all(wanted);
    }

    /// What is wanted of every node and leaf, with the conditions that lead to it.
    fn wanted(&self, want: impl Fn(i32, &[Condition]) -> Option<Option<(usize, f32)>>) -> Vec<Wanted> {
        let mut all = vec![];
        for &root in self.forest.roots {
            let mut stack: Vec<(i32, Vec<Condition>)> = vec![(root, vec![])];
            while let Some((at, path)) = stack.pop() {
                if let Ok(node) = usize::try_from(at) {
                    for (child, side) in [(self.forest.no[node], false), (self.forest.yes[node], true)] {
                        let mut longer = path.clone();
                        longer.push((node, side));
                        stack.push((child, longer));
                    }
                }
                if let Some(fixed) = want(at, &path) {
                    all.push(Wanted { root, path, fixed });
                }
            }
        }
        all
    }

    fn place_all(&mut self, wanted: Vec<Wanted>) {
        for wanted in wanted {
            self.place(&wanted);
        }
        while !self.open.is_empty() {
            self.close();
        }
    }

    fn place(&mut self, wanted: &Wanted) {
        for i in 0..self.open.len() {
            if let Some(fuller) = self.fill(&self.open[i], wanted) {
                self.open[i] = fuller;
                return;
            }
        }
        let row = (self.draw)();
        let empty = Open { set: vec![false; row.len()], row, roots: vec![] };
        // A path that contradicts itself (a split that nothing can reach) gets no row.
        if let Some(first) = self.fill(&empty, wanted) {
            self.open.push(first);
            if self.open.len() > OPEN {
                self.close();
            }
        }
    }

    /// The row with the path's columns fixed too, if none contradicts those that are.
    fn fill(&self, open: &Open, wanted: &Wanted) -> Option<Open> {
        let mut fuller = open.clone();
        let nodes = wanted.path.iter().map(|&(node, _)| node).chain(wanted.fixed.map(|(node, _)| node));
        let mut done: Vec<i32> = vec![];
        for feature in nodes.map(|node| self.forest.feature[node]) {
            if done.contains(&feature) {
                continue;
            }
            done.push(feature);
            let own = wanted.path.iter().filter(|(node, _)| self.forest.feature[*node] == feature);
            let holds = |v: f32| own.clone().all(|&(node, side)| self.forest.takes_yes(node, v) == side);
            let column = (*self.origins.get(feature as usize)?)?;
            let exact = wanted.fixed.filter(|(node, _)| self.forest.feature[*node] == feature).map(|(_, v)| v);
            let now = fuller.row[column];
            let value = match exact {
                _ if fuller.set[column] => Some(now).filter(|v| exact.is_none_or(|e| e.to_bits() == v.to_bits())),
                Some(v) => Some(v),
                None => {
                    let splits = own.clone().map(|&(node, _)| self.forest.threshold[node]);
                    let near = splits.flat_map(|split| [split, split.next_up(), split.next_down()]);
                    let mut values = std::iter::once(now).chain(near).chain([0.0, f32::NAN, f32::MAX, f32::MIN]);
                    values.find(|&v| holds(v))
                }
            };
            fuller.row[column] = value.filter(|&v| holds(v))?;
            fuller.set[column] = true;
        }
        fuller.roots.push(wanted.root);
        Some(fuller)
    }

    /// Takes the oldest row out and marks the leaves that it ends in.
    fn close(&mut self) {
        let Open { row, roots, .. } = self.open.remove(0);
        for mut at in roots {
            while let Ok(node) = usize::try_from(at) {
                let column = self.origins.get(self.forest.feature[node] as usize).copied().flatten();
                let v = column.map_or(0.0, |column| row[column]);
                at = if self.forest.takes_yes(node, v) { self.forest.yes[node] } else { self.forest.no[node] };
            }
            if let Some(slot) = usize::try_from(!at).ok().and_then(|leaf| self.reached.get_mut(leaf)) {
                *slot = true;
            }
        }
        self.rows.push(row);
    }
}
