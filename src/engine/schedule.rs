//! In which order a plan's steps run and where each value lies, settled once from what is given and what is wanted.
//!
//! A *pass* runs its steps for all candidates at once (shared values, running sums), then its other steps block by
//! block. What reads a value of all candidates waits for the pass after the one that computes it. Within a block, memory
//! is used again as soon as nothing reads it any more.

use super::BLOCK;
use super::masks::{self, Mask};
use super::plan::{DType, Op, Plan, Rows, Value};

/// Elements of the widest value in a block: what a step writes is still near when the next one reads it, and weights
/// are read for as many rows as that allows.
const BLOCK_ELEMENTS: usize = 72 << 10;

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// Nowhere: nothing needs it.
    Unused,
    /// Given by the caller.
    Given(usize),
    /// Constants, by number.
    Constant(usize),
    /// A room for one block.
    Block(usize),
    /// A room for the whole value.
    Whole(usize),
}

/// Memory for one or more values in turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub float: bool,
    /// Elements of a row, or of a row for each candidate.
    pub width: usize,
    pub rows: Rows,
    /// For all candidates instead of one block.
    pub whole: bool,
}

#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Steps that run once.
    pub once: Vec<usize>,
    /// Steps that run for each block.
    pub block: Vec<usize>,
    /// Which of the wanted values are complete after `once`.
    pub ready: Vec<usize>,
    /// Which of the wanted values each block completes rows of.
    pub rows: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Schedule {
    pub passes: Vec<Pass>,
    /// By value.
    pub slots: Vec<Slot>,
    /// By step: the output lies where the first input did.
    pub in_place: Vec<bool>,
    /// Columns that nothing reads.
    pub mask: Option<Mask>,
    pub rooms: Vec<Room>,
    /// Given whole numbers that are narrower than i64, and their room.
    pub widened: Vec<(usize, usize)>,
    /// Values wanted, in the caller's order.
    pub wanted: Vec<u32>,
    /// Elements that a row of pairs takes in a block, for each candidate.
    pub pairs: usize,
    /// Candidates of a block.
    pub block: usize,
}

/// Whether a step runs once, for all candidates.
fn once(op: &Op, out: Value) -> bool {
    out.rows == Rows::Shared || matches!(op, Op::CumSum { group: 0, .. })
}

/// Whether a step can write over its first input.
fn overwrites(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Softmax { .. } | Op::LayerNorm { .. } | Op::PostTransform { .. })
}

struct Builder<'a> {
    plan: &'a Plan,
    schedule: Schedule,
    /// By value: the pass that computes it.
    level: Vec<usize>,
    /// By value: the step that computes it, if that is run.
    step: Vec<Option<usize>>,
}

impl Schedule {
    /// `given` and `wanted` are values; every wanted one is given or computed by a step.
    #[inline(never)]
    pub fn new(plan: &Plan, given: &[u32], wanted: Vec<u32>) -> Schedule {
        let values = plan.values.len();
        let mut needed = vec![false; values];
        wanted.iter().for_each(|&value| needed[value as usize] = true);
        given.iter().for_each(|&value| needed[value as usize] = false);
        let mut run = vec![false; plan.steps.len()];
        for (s, step) in plan.steps.iter().enumerate().rev() {
            if needed[step.output as usize] {
                run[s] = true;
                step.inputs.iter().filter(|value| !given.contains(value)).for_each(|&v| needed[v as usize] = true);
            }
        }
        let mut builder = Builder {
            plan,
            schedule: Schedule {
                passes: vec![Pass::default()],
                slots: vec![Slot::Unused; values],
                in_place: vec![false; plan.steps.len()],
                mask: None,
                rooms: Vec::new(),
                widened: Vec::new(),
                wanted,
                pairs: 0,
                block: BLOCK,
            },
            level: vec![0; values],
            step: vec![None; values],
        };
        builder.give(given);
        let mut constants = 0;
        for (s, step) in plan.steps.iter().enumerate() {
            if matches!(step.op, Op::Constant { .. }) {
                builder.schedule.slots[step.output as usize] = Slot::Constant(constants);
                constants += 1;
            } else if run[s] {
                builder.place(s);
            }
        }
        builder.want();
        builder.schedule.mask = builder.mask();
        builder.rooms_whole();
        for pass in 0..builder.schedule.passes.len() {
            builder.rooms_of_blocks(pass);
        }
        let blocks = builder.schedule.rooms.iter().filter(|room| !room.whole);
        let widest = blocks.map(|room| room.width).fold(1, |widest, width| if width > widest { width } else { widest });
        // A multiple of the rows of a tile.
        builder.schedule.block = (BLOCK_ELEMENTS / widest / 8 * 8).clamp(16, BLOCK);
        builder.schedule
    }
}

impl Builder<'_> {
    fn value(&self, value: u32) -> Value {
        self.plan.values[value as usize]
    }

    fn room(&mut self, value: u32, whole: bool) -> usize {
        let Value { dtype, rows, width } = self.value(value);
        self.schedule.rooms.push(Room { float: dtype == DType::F32, width: width as usize, rows, whole });
        self.schedule.rooms.len() - 1
    }

    fn give(&mut self, given: &[u32]) {
        for (i, &value) in given.iter().enumerate() {
            self.schedule.slots[value as usize] = match self.value(value).dtype {
                DType::F32 | DType::I64 => Slot::Given(i),
                DType::I32 | DType::Bool => {
                    let room = self.room(value, true);
                    self.schedule.widened.push((i, room));
                    Slot::Whole(room)
                }
            };
        }
    }

    /// Puts a step into its pass.
    fn place(&mut self, s: usize) {
        let step = &self.plan.steps[s];
        let mut level = 0;
        for (i, &input) in step.inputs.iter().enumerate() {
            let by_block = self.step[input as usize].is_some_and(|from| !self.once(from));
            let waits = step.op.reads_whole(i) || self.once(s);
            let after = self.level[input as usize] + usize::from(by_block && waits);
            if after > level {
                level = after;
            }
        }
        let value = step.output as usize;
        self.level[value] = level;
        self.step[value] = Some(s);
        while self.schedule.passes.len() <= level {
            self.schedule.passes.push(Pass::default());
        }
        let once = self.once(s);
        let pass = &mut self.schedule.passes[level];
        if once { pass.once.push(s) } else { pass.block.push(s) }
    }

    fn once(&self, s: usize) -> bool {
        let step = &self.plan.steps[s];
        once(&step.op, self.value(step.output))
    }

    /// When each wanted value is complete.
    fn want(&mut self) {
        for (i, &value) in self.schedule.wanted.iter().enumerate() {
            let pass = &mut self.schedule.passes[self.level[value as usize]];
            if self.plan.values[value as usize].rows == Rows::Shared { pass.ready.push(i) } else { pass.rows.push(i) }
        }
    }

    /// What a Where leaves unread whose condition comes first of all.
    fn mask(&self) -> Option<Mask> {
        let alone = |value: u32| {
            let read = self.plan.steps.iter().flat_map(|step| &step.inputs).chain(&self.schedule.wanted);
            let once = read.filter(|&&read| read == value).count() == 1;
            self.step[value as usize].filter(|_| once)
        };
        let run = self.plan.steps.iter().filter(|step| self.step[step.output as usize].is_some());
        let mut found = run.filter_map(|step| masks::find(self.plan, step, &alone));
        found.find(|mask| self.level[mask.condition as usize] == 0)
    }

    /// Rooms for what outlives its block: shared values, and what a later pass reads.
    fn rooms_whole(&mut self) {
        let mut whole = vec![false; self.plan.values.len()];
        for pass in &self.schedule.passes {
            for &s in pass.once.iter().chain(&pass.block) {
                let step = &self.plan.steps[s];
                for (i, &input) in step.inputs.iter().enumerate() {
                    let later = self.level[step.output as usize] > self.level[input as usize];
                    whole[input as usize] |= later || step.op.reads_whole(i);
                }
                whole[step.output as usize] |= self.once(s);
            }
        }
        for value in 0..whole.len() as u32 {
            if whole[value as usize] && self.step[value as usize].is_some() {
                let room = self.room(value, true);
                self.schedule.slots[value as usize] = Slot::Whole(room);
            }
        }
    }

    /// Rooms for the values of one pass's blocks, used again when their value is read for the last time.
    fn rooms_of_blocks(&mut self, pass: usize) {
        let steps = std::mem::take(&mut self.schedule.passes[pass].block);
        let mut last = vec![0; self.plan.values.len()];
        for (at, &s) in steps.iter().enumerate() {
            self.plan.steps[s].inputs.iter().for_each(|&input| last[input as usize] = at);
        }
        for &i in &self.schedule.passes[pass].rows {
            last[self.schedule.wanted[i] as usize] = steps.len();
        }
        let mut free: Vec<usize> = Vec::new();
        for (at, &s) in steps.iter().enumerate() {
            let step = &self.plan.steps[s];
            let out = self.value(step.output);
            let float = out.dtype == DType::F32;
            let dies = |input: u32, slots: &[Slot]| match slots[input as usize] {
                Slot::Block(room) if last[input as usize] == at => Some(room),
                _ => None,
            };
            if self.schedule.slots[step.output as usize] == Slot::Unused {
                let over = step.inputs.first().filter(|_| overwrites(&step.op));
                let room = match over.and_then(|&input| dies(input, &self.schedule.slots)) {
                    Some(room) => {
                        self.schedule.in_place[s] = true;
                        room
                    }
                    None => {
                        let fits = |&room: &usize| {
                            let Room { float: same, rows, .. } = self.schedule.rooms[room];
                            same == float && rows == out.rows
                        };
                        match free.iter().position(fits) {
                            Some(found) => free.swap_remove(found),
                            None => self.room(step.output, false),
                        }
                    }
                };
                let room_width = &mut self.schedule.rooms[room].width;
                if (out.width as usize) > *room_width {
                    *room_width = out.width as usize;
                }
                self.schedule.slots[step.output as usize] = Slot::Block(room);
                // Nothing reads it: a wanted value stays to the end of the block, another is not computed at all.
            }
            for (i, &input) in step.inputs.iter().enumerate() {
                let first = !step.inputs[..i].contains(&input);
                match dies(input, &self.schedule.slots) {
                    Some(room) if first && !self.schedule.in_place[s] => free.push(room),
                    _ => {}
                }
            }
        }
        let pairs = |room: &Room| if room.rows == Rows::Pair && !room.whole { room.width } else { 0 };
        self.schedule.pairs = self.schedule.rooms.iter().map(pairs).sum();
        self.schedule.passes[pass].block = steps;
    }
}
