//! Inputs on which a plan is checked. For trees they are built, not drawn: for each split a row
//! that reaches it with its value exactly on the split, the next float on either side and a
//! missing value; for each leaf a row that ends there (see [`super::paths`]). So no leaf and no
//! split can be wrong without some row showing it.

use super::Lowered;
use super::paths::{Paths, View};
use crate::engine::plan::{DType, Op, Plan, Port, Rows};
use crate::engine::tensor::{Data, Tensor, Tensors};

/// Rows that check a plan with trees, at most (about).
const TREE_ROWS: usize = 20_000;
/// Rows drawn for any plan.
const DRAWN_ROWS: usize = 1_024;
/// Rows of a plan that compares candidates with each other, whose work may grow with their square.
const LIST_ROWS: usize = 67;

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
    if plan.steps.iter().any(|step| (0..step.inputs.len()).any(|i| step.op.reads_whole(i))) {
        let n = rows.len();
        rows = (0..LIST_ROWS).map(|i| std::mem::take(&mut rows[i * n / LIST_ROWS])).collect();
    }
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
    /// The only values for which the graph is defined, where it is for some alone.
    domain: Option<Vec<f32>>,
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
                domain: None,
            }));
        }
        for (&(port, column), values) in &lowered.domains {
            let start: usize = plan.inputs[..port].iter().map(|p| plan.values[p.value as usize].width as usize).sum();
            columns[start + column].domain = Some(values.clone());
        }
        for step in &plan.steps {
            let of = |i: usize| origins[step.inputs[i] as usize].clone();
            let out = match &step.op {
                // What a conversion of a float cuts off, no later step can tell apart.
                Op::Cast if plan.values[step.inputs[0] as usize].dtype == DType::F32 => continue,
                Op::Cast => of(0),
                Op::Select { columns, .. } => {
                    let columns = lowered.tensors.get(columns).and_then(Tensor::as_i32).unwrap_or(&[]);
                    let source = of(0);
                    columns.iter().map(|&c| usize::try_from(c).ok().and_then(|c| source[c])).collect()
                }
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
                Op::Take { .. } => {
                    origins[step.inputs[0] as usize].iter().flatten().for_each(|&column| columns[column].wild = false);
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
        if let Some(values) = &column.domain {
            return values[draw.below(values.len())];
        }
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
        let filled = |column: &Column, v: f32| match &column.domain {
            Some(values) => values[0],
            None if column.dtype == DType::F32 => v,
            None => 0.0,
        };
        let fill = |v: f32| self.columns.iter().map(|column| filled(column, v)).collect::<Vec<f32>>();
        let mut rows =
            vec![fill(0.0), fill(-0.0), fill(1.0), fill(-1.0), fill(f32::from_bits(1)), fill(-f32::MIN_POSITIVE / 2.0)];
        for (i, column) in self.columns.iter().enumerate() {
            let mut values = vec![-30.0, 30.0, f32::MIN_POSITIVE];
            if column.wild {
                values.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]);
            }
            for value in values {
                if column.dtype == DType::F32 && column.domain.is_none() && rows.len() < DRAWN_ROWS {
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
                    if column.dtype == DType::F32 && column.domain.is_none() {
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
            let split_off = |c: Option<usize>| c.filter(|&column| self.columns[column].dtype == DType::F32);
            let origins: Vec<Option<usize>> = origins.iter().map(|&c| split_off(c)).collect();
            rows.extend(Paths::new(forest, &origins, &mut || self.row(draw)).rows());
        }
        // More than the cap: every so-manieth, so that no tree is left out.
        if rows.len() > TREE_ROWS {
            let n = rows.len();
            rows = (0..TREE_ROWS).map(|i| std::mem::take(&mut rows[i * n / TREE_ROWS])).collect();
        }
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

/// Where an input's candidates are: behind dimensions of 1, if at all.
pub(super) fn rows_axis(port: &Port) -> Option<usize> {
    port.dims.iter().position(|&dim| dim < 0)
}

/// Rows of the candidates' inputs.
pub fn check_rows(inputs: &Tensors, plan: &Plan) -> usize {
    let counted = plan.inputs.iter().find_map(|port| Some((port, rows_axis(port)?)));
    counted.and_then(|(port, axis)| inputs.get(&port.name)?.dims.get(axis).copied()).unwrap_or(1)
}
