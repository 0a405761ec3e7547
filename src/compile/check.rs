//! Inputs on which a plan is checked. For trees they are built, not drawn: for each split a row
//! that reaches it with its value exactly on the split, the next float on either side and a
//! missing value; for each leaf a row that ends there. So no leaf and no split can be wrong
//! without some row showing it.

use super::Lowered;
use crate::engine::plan::{DType, Op, Plan, Rows, Trees};
use crate::engine::tensor::{Data, Tensor, Tensors};

/// Rows that check a plan with trees, at most (about).
const TREE_ROWS: usize = 20_000;
/// Rows drawn for any plan.
const DRAWN_ROWS: usize = 1_024;

/// What the schema knows of the columns of the model's input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InputHints {
    /// For each column, values that it really takes (vocabulary indices, bounds); may be empty.
    pub columns: Vec<Vec<f32>>,
}

/// Inputs by name, `[rows, ...]` or, if shared, `[1, ...]`; the same seed gives the same rows.
pub fn check_inputs(lowered: &Lowered, hints: &InputHints, seed: u64) -> Tensors {
    let plan = &lowered.plan;
    let mut draw = Draw(seed);
    let table = Table::new(lowered, hints);
    let mut rows = table.tree_rows(lowered, &mut draw);
    rows.extend(table.drawn_rows(&mut draw));
    let mut start = 0;
    let mut inputs = Tensors::new();
    for port in &plan.inputs {
        let value = plan.values[port.value as usize];
        let width = value.width as usize;
        let n = if value.rows == Rows::Candidate { rows.len() } else { 1 };
        let cells = rows.iter().take(n).flat_map(|row| &row[start..start + width]).copied();
        let data = match value.dtype {
            DType::F32 => Data::F32(cells.collect()),
            DType::I32 => Data::I32(cells.map(|v| v as i32).collect()),
            DType::I64 => Data::I64(cells.map(|v| v as i64).collect()),
            DType::Bool => Data::U8(cells.map(|v| u8::from(v > 0.5)).collect()),
        };
        let dims = port.dims.iter().map(|&d| usize::try_from(d).unwrap_or(n)).collect();
        inputs.insert(port.name.clone(), Tensor { dims, data });
        start += width;
    }
    inputs
}

/// splitmix64 (Steele, Lea and Flood 2014).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }
    /// About normal: twelve uniforms, no function that differs between platforms.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

/// One column over all inputs, in the order of the plan's ports.
#[derive(Debug, Clone)]
struct Column {
    dtype: DType,
    /// Only trees read it: missing values and infinities are defined.
    wild: bool,
    /// Values worth trying.
    pool: Vec<f32>,
}

struct Table {
    columns: Vec<Column>,
    /// For each value of the plan, the table's column behind each of its columns, where it is one.
    origins: Vec<Vec<Option<usize>>>,
}

impl Table {
    fn new(lowered: &Lowered, hints: &InputHints) -> Self {
        let plan = &lowered.plan;
        let mut columns = vec![];
        let mut origins: Vec<Vec<Option<usize>>> = plan.values.iter().map(|v| vec![None; v.width as usize]).collect();
        for port in &plan.inputs {
            let value = plan.values[port.value as usize];
            origins[port.value as usize] = (0..value.width as usize).map(|c| Some(columns.len() + c)).collect();
            columns.extend((0..value.width).map(|_| Column {
                dtype: value.dtype,
                wild: value.dtype == DType::F32,
                pool: vec![],
            }));
        }
        for step in &plan.steps {
            let of = |i: usize| origins[step.inputs[i] as usize].clone();
            let out = match &step.op {
                // What a conversion of a float cuts off, no later step can tell apart.
                Op::Cast if plan.values[step.inputs[0] as usize].dtype == DType::F32 => continue,
                Op::Cast => of(0),
                Op::Select { columns } => columns.iter().map(|&c| of(0)[c as usize]).collect(),
                Op::Concat => (0..step.inputs.len()).flat_map(of).collect(),
                _ => continue,
            };
            origins[step.output as usize] = out;
        }
        for step in &plan.steps {
            let read = step.inputs.iter().flat_map(|&i| origins[i as usize].clone()).flatten();
            match &step.op {
                Op::Trees(trees) => {
                    let forest = View::new(trees, lowered);
                    for (&feature, &split) in forest.feature.iter().zip(forest.threshold) {
                        if let Some(column) = origins[step.inputs[0] as usize][feature as usize] {
                            columns[column].pool.push(split);
                        }
                    }
                }
                Op::Select { .. } | Op::Concat => {}
                _ => read.for_each(|column| columns[column].wild = false),
            }
        }
        // The hints describe the one matrix that the schema fills.
        if hints.columns.len() == columns.len() {
            for (column, values) in columns.iter_mut().zip(&hints.columns) {
                column.pool.extend(values);
            }
        }
        for column in &mut columns {
            column.pool.sort_by(f32::total_cmp);
            column.pool.dedup();
        }
        Table { columns, origins }
    }

    /// A row of plausible values.
    fn row(&self, draw: &mut Draw) -> Vec<f32> {
        self.columns.iter().map(|column| self.cell(column, draw)).collect()
    }

    fn cell(&self, column: &Column, draw: &mut Draw) -> f32 {
        let pick = draw.below(16);
        if column.dtype != DType::F32 {
            let drawn =
                if column.pool.is_empty() { draw.below(4) as f32 } else { column.pool[draw.below(column.pool.len())] };
            return drawn.max_of(0.0);
        }
        match pick {
            0 if column.wild => f32::NAN,
            1 => 0.0,
            2..=5 if !column.pool.is_empty() => column.pool[draw.below(column.pool.len())],
            6..=9 if column.pool.len() > 1 => {
                let at = draw.below(column.pool.len() - 1);
                let (low, high) = (column.pool[at], column.pool[at + 1]);
                let middle = low / 2.0 + high / 2.0;
                if middle.is_finite() { middle } else { 0.0 }
            }
            _ => draw.normal(),
        }
    }

    /// Rows for any plan: zeros, ones, small and large scales, denormals; where only trees read,
    /// also missing values and infinities.
    fn drawn_rows(&self, draw: &mut Draw) -> Vec<Vec<f32>> {
        let fill =
            |v: f32| self.columns.iter().map(|c| if c.dtype == DType::F32 { v } else { 0.0 }).collect::<Vec<f32>>();
        let mut rows =
            vec![fill(0.0), fill(-0.0), fill(1.0), fill(-1.0), fill(f32::from_bits(1)), fill(-f32::MIN_POSITIVE / 2.0)];
        for (i, column) in self.columns.iter().enumerate() {
            let mut values = vec![-30.0, 30.0, f32::MIN_POSITIVE];
            if column.wild {
                values.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]);
            }
            for value in values {
                if column.dtype == DType::F32 && rows.len() < DRAWN_ROWS {
                    let mut row = self.row(draw);
                    row[i] = value;
                    rows.push(row);
                }
            }
        }
        let wild = self.columns.iter().all(|column| column.wild);
        if wild {
            rows.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN].map(fill));
        }
        while rows.len() < 2 * DRAWN_ROWS {
            let mut row = self.row(draw);
            let scale = [0.1, 1.0, 1.0, 4.0][draw.below(4)];
            if rows.len() % 2 == 0 {
                for (cell, column) in row.iter_mut().zip(&self.columns) {
                    if column.dtype == DType::F32 {
                        *cell = draw.normal() * scale;
                    }
                }
            }
            rows.push(row);
        }
        rows
    }

    /// The built rows for every tree that reads columns of the inputs.
    fn tree_rows(&self, lowered: &Lowered, draw: &mut Draw) -> Vec<Vec<f32>> {
        let plan = &lowered.plan;
        let mut rows = vec![];
        for step in &plan.steps {
            let Op::Trees(trees) = &step.op else { continue };
            let forest = View::new(trees, lowered);
            let origins = &self.origins[step.inputs[0] as usize];
            let mut walk =
                Walk { table: self, forest, origins, rows: vec![], reached: vec![false; forest.leaf_start.len()] };
            walk.splits(draw);
            walk.leaves(draw);
            walk.missing(draw);
            rows.extend(walk.rows);
        }
        // Built in order of worth: a longer list is cut evenly at its end, the missing values first.
        rows.truncate(TREE_ROWS);
        rows
    }
}

trait MaxOf {
    fn max_of(self, other: Self) -> Self;
}
impl MaxOf for f32 {
    fn max_of(self, other: f32) -> f32 {
        if self > other { self } else { other }
    }
}

/// A plan's tree arrays.
#[derive(Clone, Copy)]
struct View<'a> {
    roots: &'a [i32],
    feature: &'a [i32],
    threshold: &'a [f32],
    mode: &'a [u8],
    yes: &'a [i32],
    no: &'a [i32],
    leaf_start: &'a [i32],
}

impl<'a> View<'a> {
    fn new(trees: &Trees, lowered: &'a Lowered) -> Self {
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

struct Walk<'a> {
    table: &'a Table,
    forest: View<'a>,
    origins: &'a [Option<usize>],
    rows: Vec<Vec<f32>>,
    reached: Vec<bool>,
}

impl Walk<'_> {
    /// Visits every node and leaf with the conditions that lead to it.
    fn visit(&self, mut see: impl FnMut(i32, i32, &[Condition])) {
        for &root in self.forest.roots {
            let mut stack: Vec<(i32, Vec<Condition>)> = vec![(root, vec![])];
            while let Some((at, path)) = stack.pop() {
                see(root, at, &path);
                if let Ok(node) = usize::try_from(at) {
                    for (child, side) in [(self.forest.no[node], false), (self.forest.yes[node], true)] {
                        let mut longer = path.clone();
                        longer.push((node, side));
                        stack.push((child, longer));
                    }
                }
            }
        }
    }

    /// A row that satisfies the conditions, with `fixed` for the column of its node where given.
    fn row(&self, path: &[Condition], fixed: Option<(usize, f32)>, draw: &mut Draw) -> Option<Vec<f32>> {
        let mut row = self.table.row(draw);
        let mut done: Vec<i32> = vec![];
        let features = path
            .iter()
            .map(|&(node, _)| self.forest.feature[node])
            .chain(fixed.map(|(node, _)| self.forest.feature[node]));
        for feature in features {
            if done.contains(&feature) {
                continue;
            }
            done.push(feature);
            let own: Vec<&Condition> = path.iter().filter(|(node, _)| self.forest.feature[*node] == feature).collect();
            let holds = |v: f32| own.iter().all(|&&(node, side)| self.forest.takes_yes(node, v) == side);
            let column = (*self.origins.get(feature as usize)?)?;
            row[column] = match fixed {
                Some((node, v)) if self.forest.feature[node] == feature => holds(v).then_some(v)?,
                _ => {
                    let mut values = vec![row[column]];
                    for &&(node, _) in &own {
                        let split = self.forest.threshold[node];
                        values.extend([split, split.next_up(), split.next_down()]);
                    }
                    values.extend([0.0, f32::NAN, f32::MAX, f32::MIN]);
                    values.into_iter().find(|&v| holds(v))?
                }
            };
        }
        Some(row)
    }

    fn add(&mut self, root: i32, row: Vec<f32>) {
        let mut at = root;
        while let Ok(node) = usize::try_from(at) {
            let column = self.origins.get(self.forest.feature[node] as usize).copied().flatten();
            let v = column.map_or(0.0, |column| row[column]);
            at = if self.forest.takes_yes(node, v) { self.forest.yes[node] } else { self.forest.no[node] };
        }
        if let Some(slot) = usize::try_from(!at).ok().and_then(|leaf| self.reached.get_mut(leaf)) {
            *slot = true;
        }
        self.rows.push(row);
    }

    /// For each split: the split value and the float next to it on the other side.
    fn splits(&mut self, draw: &mut Draw) {
        let mut wanted = vec![];
        self.visit(|root, at, path| {
            if let Ok(node) = usize::try_from(at) {
                let split = self.forest.threshold[node];
                let other =
                    if matches!(self.forest.mode[node] & 7, 1 | 2) { split.next_down() } else { split.next_up() };
                for v in [split, other] {
                    wanted.extend(self.row(path, Some((node, v)), draw).map(|row| (root, row)));
                }
            }
        });
        wanted.into_iter().for_each(|(root, row)| self.add(root, row));
    }

    /// For each leaf that no row has reached yet: one that does.
    fn leaves(&mut self, draw: &mut Draw) {
        let mut wanted = vec![];
        self.visit(|root, at, path| {
            if at < 0 && !self.reached[!at as usize] {
                wanted.extend(self.row(path, None, draw).map(|row| (root, row)));
            }
        });
        wanted.into_iter().for_each(|(root, row)| self.add(root, row));
    }

    /// For each split: a missing value there.
    fn missing(&mut self, draw: &mut Draw) {
        let mut wanted = vec![];
        self.visit(|root, at, path| {
            if let Ok(node) = usize::try_from(at) {
                wanted.extend(self.row(path, Some((node, f32::NAN)), draw).map(|row| (root, row)));
            }
        });
        wanted.into_iter().for_each(|(root, row)| self.add(root, row));
    }
}

/// Rows of the candidates' inputs.
pub fn check_rows(inputs: &Tensors, plan: &Plan) -> usize {
    let candidate = plan.inputs.iter().find(|port| plan.values[port.value as usize].rows == Rows::Candidate);
    candidate.and_then(|port| inputs.get(&port.name)).and_then(|tensor| tensor.dims.first().copied()).unwrap_or(1)
}
