//! Runs a schedule: pass after pass, block after block.

use super::BLOCK;
use super::interpreter::Memory;
use super::plan::{Plan, Rows, Value};
use super::ready::{Cells, Constant, Ready, Steps};
use super::schedule::{Schedule, Slot};
use super::steps::{self, Cell, CellMut};
use super::values::Slice;

/// Elements of a block of pairs, all values together (about), so that long lists keep to little memory.
const PAIRS: usize = 1 << 18;

/// What a step reads: values where the schedule put them, for one block.
pub(super) struct Context<'a> {
    plan: &'a Plan,
    slots: &'a [Slot],
    rooms: &'a [Cells],
    constants: &'a [Constant],
    given: &'a [Slice<'a>],
    /// Number of candidates.
    pub rows: usize,
    /// First candidate of the block.
    pub first: usize,
    /// Candidates of the block; 1 for a step that runs once.
    pub n: usize,
    /// Columns that are computed, if not all are read.
    pub columns: Option<[usize; 2]>,
}

impl<'a> Context<'a> {
    pub fn value(&self, value: u32) -> Value {
        self.plan.values[value as usize]
    }

    /// Elements of a value: its rows of the block (all of it if `whole`), or its one row if it is shared.
    #[inline(never)]
    pub fn cell(&self, value: u32, whole: bool) -> Cell<'a> {
        let Value { rows, width, .. } = self.value(value);
        let row = width as usize * if rows == Rows::Pair { self.rows } else { 1 };
        let slot = self.slots[value as usize];
        let (from, to) = match (rows, slot) {
            (Rows::Shared, _) => (0, row),
            _ if whole => (0, self.rows * row),
            (_, Slot::Block(_)) => (0, self.n * row),
            _ => (self.first * row, (self.first + self.n) * row),
        };
        match slot {
            Slot::Given(i) => match self.given[i] {
                Slice::F32(v) => Cell::Floats(&v[from..to]),
                Slice::I64(v) => Cell::Ints(&v[from..to]),
                // Widened into rooms.
                _ => Cell::Ints(&[]),
            },
            Slot::Constant(i) => match &self.constants[i] {
                Constant::Floats(v) => Cell::Floats(&v[from..to]),
                Constant::Ints(v) => Cell::Ints(&v[from..to]),
            },
            Slot::Block(i) | Slot::Whole(i) => Cell::of(&self.rooms[i], from, to),
            Slot::Unused => Cell::Ints(&[]),
        }
    }
}

/// Runs a schedule; where steps take columns to be the same in all rows, on each stretch of rows in which they are.
#[allow(clippy::too_many_arguments, reason = "an interpreter's parts")]
pub(super) fn execute(
    plan: &Plan,
    steps: &mut Steps,
    constants: &[Constant],
    alike: &[u32],
    memory: &mut Memory,
    given: &[Slice<'_>],
    rows: usize,
    sink: &mut dyn FnMut(usize, usize, Slice<'_>),
) {
    let [Slice::F32(x)] = given else { return execute_alike(plan, steps, constants, memory, given, rows, sink) };
    if alike.is_empty() || rows == 0 {
        return execute_alike(plan, steps, constants, memory, given, rows, sink);
    }
    let width = x.len() / rows;
    let row = |r: usize| &x[r * width..(r + 1) * width];
    let mut first = 0;
    while first < rows {
        let head = row(first);
        let same = |r: &usize| alike.iter().all(|&c| row(*r)[c as usize].to_bits() == head[c as usize].to_bits());
        let n = 1 + (first + 1..rows).take_while(same).count();
        let part = [Slice::F32(&x[first * width..(first + n) * width])];
        execute_alike(plan, steps, constants, memory, &part, n, &mut |i, r, data| sink(i, first + r, data));
        first += n;
    }
}

/// Runs a schedule.
fn execute_alike(
    plan: &Plan,
    steps: &mut Steps,
    constants: &[Constant],
    memory: &mut Memory,
    given: &[Slice<'_>],
    rows: usize,
    sink: &mut dyn FnMut(usize, usize, Slice<'_>),
) {
    let pairs = memory.schedule.pairs * rows;
    let block = PAIRS.checked_div(pairs).map_or(memory.schedule.block, |block| block.clamp(1, BLOCK));
    memory.fit(rows, block);
    let Memory { schedule, rooms } = memory;
    widen(schedule, rooms, given);
    let mut runner = Runner { plan, constants, schedule, rooms, given, rows };
    for pass in &runner.schedule.passes {
        for &s in &pass.once {
            runner.step(steps, s, 0, 1);
        }
        for &i in &pass.ready {
            sink(i, 0, runner.context(0, 1).cell(runner.schedule.wanted[i], false).slice());
        }
        if pass.block.is_empty() && pass.rows.is_empty() {
            continue;
        }
        let mut first = 0;
        while first < rows {
            let n = (rows - first).min(block);
            for &s in &pass.block {
                runner.step(steps, s, first, n);
            }
            for &i in &pass.rows {
                sink(i, first, runner.context(first, n).cell(runner.schedule.wanted[i], false).slice());
            }
            first += n;
        }
    }
}

/// Whole numbers of 32 bits and booleans become i64, the one type that steps compute whole numbers in.
fn widen(schedule: &Schedule, rooms: &mut [Cells], given: &[Slice<'_>]) {
    for &(i, room) in &schedule.widened {
        let Cells::Ints(to) = &mut rooms[room] else { continue };
        match given[i] {
            Slice::I32(from) => to.iter_mut().zip(from).for_each(|(to, &from)| *to = i64::from(from)),
            Slice::Bool(from) => to.iter_mut().zip(from).for_each(|(to, &from)| *to = i64::from(from != 0)),
            _ => {}
        }
    }
}

struct Runner<'a> {
    plan: &'a Plan,
    constants: &'a [Constant],
    schedule: &'a Schedule,
    rooms: &'a mut [Cells],
    given: &'a [Slice<'a>],
    rows: usize,
}

impl Runner<'_> {
    fn context(&self, first: usize, n: usize) -> Context<'_> {
        Context {
            plan: self.plan,
            slots: &self.schedule.slots,
            rooms: self.rooms,
            constants: self.constants,
            given: self.given,
            rows: self.rows,
            first,
            n,
            columns: None,
        }
    }

    #[inline(never)]
    fn step(&mut self, steps: &mut Steps, s: usize, first: usize, n: usize) {
        let Steps { ready, scratch } = steps;
        let ready = &mut ready[s];
        let step = &self.plan.steps[s];
        let slot = self.schedule.slots[step.output as usize];
        let (Slot::Block(room) | Slot::Whole(room)) = slot else { return };
        // The output's room is taken out, so that the others can be read meanwhile.
        let mut cells = std::mem::replace(&mut self.rooms[room], Cells::Ints(Vec::new()));
        let mut context = self.context(first, n);
        if let Some(mask) = self.schedule.mask.as_ref().filter(|mask| mask.is_of(s)) {
            context.columns = Some(mask.columns(s, context.cell(mask.condition, false).ints()));
        }
        let Value { rows, width, .. } = context.value(step.output);
        let row = width as usize * if rows == Rows::Pair { self.rows } else { 1 };
        let (from, to) = match (rows, slot) {
            (Rows::Shared, _) => (0, row),
            (_, Slot::Block(_)) => (0, n * row),
            // Running sums over the candidates.
            _ if matches!(ready, Ready::CumSum { axis, .. } if axis.group == 0) => (0, self.rows * row),
            _ => (first * row, (first + n) * row),
        };
        match &mut cells {
            Cells::Floats(v) => {
                steps::run(ready, scratch, &context, step, CellMut::Floats(&mut v[from..to]), self.schedule.in_place[s])
            }
            Cells::Ints(v) => {
                steps::run(ready, scratch, &context, step, CellMut::Ints(&mut v[from..to]), self.schedule.in_place[s])
            }
        }
        // What stood in for it owns nothing: there is nothing to free, step by step.
        std::mem::forget(std::mem::replace(&mut self.rooms[room], cells));
    }
}
