//! Runs a checked plan over any number of candidates.

use super::check::{Checked, check};
use super::plan::{Plan, Rows, Value};
use super::ready::{Cells, Constant, Ready, Steps, Weights};
use super::run::execute;
use super::schedule::Schedule;
use super::values::{Buffer, Slice};
use crate::bundle::tensor::Tensors;
use crate::error::{Error, ErrorKind, Result};
use ranklet_kernels::int8;
use std::sync::Arc;

/// Elements of all outputs of one call of [`Interpreter::run_all`].
const MAX_ELEMENTS: usize = 1 << 26;

/// Working memory of one schedule.
#[derive(Debug)]
pub(super) struct Memory {
    pub schedule: Schedule,
    pub rooms: Vec<Cells>,
}

/// A plan that is ready to run. Not shared between threads: it owns its working memory.
#[derive(Debug)]
pub struct Interpreter {
    plan: Arc<Plan>,
    steps: Steps,
    constants: Vec<Constant>,
    /// Columns of the one input that steps take to be the same in all rows of a run.
    alike: Vec<u32>,
    memory: Memory,
}

/// Inputs that stay the same for several runs, and all that follows from them alone.
#[derive(Debug)]
pub struct Prepared {
    rows: Option<usize>,
    /// Values of the plan, computed once.
    kept: Vec<Buffer>,
    /// Inputs of the plan that are given once, in the order of its ports.
    given: Vec<usize>,
    /// The values' numbers, and the memory of what computes them.
    frontier: Vec<u32>,
    preparing: Memory,
    /// Inputs of the plan that are still to be given, in the order of its ports.
    open: Vec<usize>,
    memory: Memory,
}

impl Prepared {
    /// Candidates, if an input that has a row for each is among those kept.
    pub fn rows(&self) -> Option<usize> {
        self.rows
    }

    /// Ports of the plan that each run still takes, in their order.
    pub fn open(&self) -> &[usize] {
        &self.open
    }
}

/// As `resize` with zeros does, in 190 brotli bytes less of the reranker's module.
fn lengthen<T: Copy + Default>(v: &mut Vec<T>, len: usize) {
    let mut longer = vec![T::default(); len];
    longer[..v.len()].copy_from_slice(v);
    *v = longer;
}

impl Memory {
    #[inline(never)]
    fn new(schedule: Schedule) -> Self {
        let rooms = schedule
            .rooms
            .iter()
            .map(|room| if room.float { Cells::Floats(Vec::new()) } else { Cells::Ints(Vec::new()) })
            .collect();
        Memory { schedule, rooms }
    }

    /// Makes room for `rows` candidates, `block` at a time. Rooms only grow, so that lists of a length seen before
    /// allocate nothing.
    #[inline(never)]
    pub fn fit(&mut self, rows: usize, block: usize) {
        for (room, cells) in self.schedule.rooms.iter().zip(&mut self.rooms) {
            let many = match room.rows {
                Rows::Shared => 1,
                _ if room.whole => rows,
                _ => block,
            };
            let each = if room.rows == Rows::Pair { rows } else { 1 };
            let len = room.width * many * each;
            match cells {
                Cells::Floats(v) if v.len() < len => lengthen(v, len),
                Cells::Ints(v) if v.len() < len => lengthen(v, len),
                _ => {}
            }
        }
    }
}

impl Interpreter {
    /// Checks `plan` against `tensors`, packs the weights and lays out the memory.
    ///
    /// # Errors
    /// `bundle_corrupt` names the step and what is wrong with it; `limit_exceeded` a cap.
    pub fn new(plan: impl Into<Arc<Plan>>, tensors: &Tensors) -> Result<Self> {
        let plan = plan.into();
        let Checked { mut steps, alike } = check(&plan, tensors)?;
        let (mut constants, mut longest) = (Vec::new(), 0);
        for step in &mut steps {
            match step {
                Ready::Constant(elements) => constants.push(std::mem::replace(elements, Constant::Ints(Vec::new()))),
                Ready::Dense { weights: Weights::Integers { .. }, inputs, .. } if longest < *inputs => {
                    longest = *inputs
                }
                _ => {}
            }
        }
        let scratch = vec![0; int8::scratch8_len(longest, usize::MAX)];
        let given: Vec<u32> = plan.inputs.iter().map(|port| port.value).collect();
        let wanted = plan.outputs.iter().map(|port| port.value).collect();
        let memory = Memory::new(Schedule::new(&plan, &given, wanted));
        Ok(Interpreter { plan, steps: Steps { ready: steps, scratch }, constants, alike, memory })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The value behind input `i`.
    pub fn input(&self, i: usize) -> Value {
        self.plan.values[self.plan.inputs[i].value as usize]
    }

    /// The value behind output `i`.
    pub fn output(&self, i: usize) -> Value {
        self.plan.values[self.plan.outputs[i].value as usize]
    }

    /// Runs the plan for `rows` candidates.
    ///
    /// `inputs` in the order of the plan's ports, `[rows, width]` or, if shared, `[1, width]`.
    /// `sink(output, first row, elements)` is called for each output: once a block for outputs of
    /// candidates, once in all for shared ones.
    ///
    /// # Errors
    /// `schema_mismatch` names the input that does not fit.
    pub fn run(
        &mut self,
        inputs: &[Slice<'_>],
        rows: usize,
        mut sink: impl FnMut(usize, usize, Slice<'_>),
    ) -> Result<()> {
        self.check_inputs(&mut (0..self.plan.inputs.len()), inputs, rows)?;
        let Interpreter { plan, steps, constants, alike, memory } = self;
        execute(plan, steps, constants, alike, memory, inputs, rows, &mut sink);
        Ok(())
    }

    /// Runs the plan and gathers every output whole: for tools and the scorer.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_all(&mut self, inputs: &[Slice<'_>], rows: usize) -> Result<Vec<Buffer>> {
        let mut outputs = Vec::new();
        self.run_into(None, inputs, rows, &mut outputs)?;
        Ok(outputs)
    }

    /// As [`run`](Self::run), or [`run_prepared`](Self::run_prepared) with `prepared`, into buffers that [`fit`](Self::fit).
    ///
    /// # Errors
    /// As [`run`](Self::run); `limit_exceeded` for more than 2^26 elements in all.
    pub fn run_into(
        &mut self,
        prepared: Option<&mut Prepared>,
        inputs: &[Slice<'_>],
        rows: usize,
        outputs: &mut Vec<Buffer>,
    ) -> Result<()> {
        self.fit(rows, outputs)?;
        let widths: Vec<usize> = (0..outputs.len()).map(|i| row_len(self.output(i), rows)).collect();
        let sink = |i: usize, row: usize, data: Slice<'_>| outputs[i].write(row * widths[i], data);
        match prepared {
            Some(prepared) => self.run_prepared(prepared, inputs, rows, sink),
            None => self.run(inputs, rows, sink),
        }
    }

    /// Makes every output a buffer that holds it for `rows` candidates; one that is longer stays as it is.
    ///
    /// # Errors
    /// `limit_exceeded` for more than 2^26 elements in all.
    pub fn fit(&self, rows: usize, outputs: &mut Vec<Buffer>) -> Result<()> {
        fit_buffers(&self.plan, self.plan.outputs.iter().map(|port| port.value), rows, outputs)
    }

    /// Computes what depends on some inputs alone: `inputs` has those that stay, in the order of the plan's ports,
    /// none for the others.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn prepare(&mut self, inputs: &[Option<Slice<'_>>], rows: Option<usize>) -> Result<Prepared> {
        let (kept, open): (Vec<usize>, Vec<usize>) =
            (0..self.plan.inputs.len()).partition(|&i| inputs.get(i).is_some_and(Option::is_some));
        let slices: Vec<Slice<'_>> = inputs.iter().copied().flatten().collect();
        let many = rows.unwrap_or(1);
        self.check_inputs(&mut kept.iter().copied(), &slices, many)?;
        let frontier = self.frontier(&kept);
        let given: Vec<u32> = kept.iter().map(|&i| self.plan.inputs[i].value).collect();
        let preparing = Memory::new(Schedule::new(&self.plan, &given, frontier.clone()));
        let mut from = frontier.clone();
        from.extend(open.iter().map(|&i| self.plan.inputs[i].value));
        let wanted = self.plan.outputs.iter().map(|port| port.value).collect();
        let memory = Memory::new(Schedule::new(&self.plan, &from, wanted));
        let mut buffers = Vec::new();
        fit_buffers(&self.plan, frontier.iter().copied(), many, &mut buffers)?;
        let mut prepared = Prepared { rows, kept: buffers, given: kept, frontier, preparing, open, memory };
        self.fill(&mut prepared, &slices, many, None);
        Ok(prepared)
    }

    /// Whether rows see each other, so that a row's values follow from all rows.
    pub fn is_list_wise(&self) -> bool {
        super::check::is_list_wise(&self.plan)
    }

    /// Brings some rows of what [`prepare`](Self::prepare) kept up to date: `inputs` has the inputs that were kept, in
    /// their order, with those rows alone. The same bits as preparing anew; not for a plan whose rows see each other.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn refresh(&mut self, prepared: &mut Prepared, inputs: &[Slice<'_>], rows: &[usize]) -> Result<()> {
        self.check_inputs(&mut prepared.given.iter().copied(), inputs, rows.len())?;
        self.fill(prepared, inputs, rows.len(), Some(rows));
        Ok(())
    }

    /// Computes what is kept for `n` candidates: all of them, or those `rows` of them.
    #[inline(never)]
    fn fill(&mut self, prepared: &mut Prepared, inputs: &[Slice<'_>], n: usize, rows: Option<&[usize]>) {
        let Prepared { kept, frontier, preparing, .. } = prepared;
        let Interpreter { plan, steps, constants, alike, .. } = self;
        execute(plan, steps, constants, alike, preparing, inputs, n, &mut |i, first, data| {
            let width = row_len(plan.values[frontier[i] as usize], n);
            let Some(rows) = rows.filter(|_| width > 0) else { return kept[i].write(first * width, data) };
            for r in 0..data.len() / width {
                kept[i].write(rows[first + r] * width, data.range(r * width, (r + 1) * width));
            }
        });
    }

    /// Runs what is left after [`prepare`](Self::prepare): `inputs` has the open ones in their order. The same bits as
    /// a run with all inputs.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_prepared(
        &mut self,
        prepared: &mut Prepared,
        inputs: &[Slice<'_>],
        rows: usize,
        mut sink: impl FnMut(usize, usize, Slice<'_>),
    ) -> Result<()> {
        self.check_inputs(&mut prepared.open.iter().copied(), inputs, rows)?;
        let given: Vec<Slice<'_>> = prepared.kept.iter().map(Buffer::slice).chain(inputs.iter().copied()).collect();
        let Interpreter { plan, steps, constants, alike, .. } = self;
        execute(plan, steps, constants, alike, &mut prepared.memory, &given, rows, &mut sink);
        Ok(())
    }

    /// Values that follow from the inputs `kept` alone and that the rest of the plan, or the caller, reads.
    fn frontier(&self, kept: &[usize]) -> Vec<u32> {
        if !self.alike.is_empty() {
            // Its one input is all that there is.
            return kept.iter().map(|&i| self.plan.inputs[i].value).collect();
        }
        let values = self.plan.values.len();
        // Whether a value follows from constants and kept inputs; and whether from any input at all.
        let (mut follows, mut depends) = (vec![false; values], vec![false; values]);
        for (i, port) in self.plan.inputs.iter().enumerate() {
            follows[port.value as usize] = kept.contains(&i);
            depends[port.value as usize] = true;
        }
        let mut read = vec![false; values];
        for step in &self.plan.steps {
            // The number of candidates is known with the inputs that have a row for each.
            let counts = matches!(step.op, super::plan::Op::Position | super::plan::Op::Count);
            let all = step.inputs.iter().all(|&v| follows[v as usize]) && !counts;
            let output = step.output as usize;
            follows[output] = all;
            depends[output] = counts || step.inputs.iter().any(|&v| depends[v as usize]);
            if !all {
                step.inputs.iter().for_each(|&v| read[v as usize] = true);
            }
        }
        self.plan.outputs.iter().for_each(|port| read[port.value as usize] = true);
        (0..values as u32).filter(|&v| follows[v as usize] && depends[v as usize] && read[v as usize]).collect()
    }

    fn check_inputs(
        &self,
        ports: &mut dyn ExactSizeIterator<Item = usize>,
        inputs: &[Slice<'_>],
        rows: usize,
    ) -> Result<()> {
        if inputs.len() != ports.len() {
            return Err(Error::new(
                ErrorKind::SchemaMismatch,
                format!("the model takes {} inputs here, {} were given", ports.len(), inputs.len()),
            ));
        }
        for (i, data) in ports.zip(inputs) {
            let value = self.input(i);
            let expected = (value.width as usize).saturating_mul(if value.rows == Rows::Shared { 1 } else { rows });
            if data.dtype() != value.dtype || data.len() != expected {
                return Err(Error::new(
                    ErrorKind::SchemaMismatch,
                    format!(
                        "input {} takes {expected} elements of {}, got {} of {}",
                        self.plan.inputs[i].name,
                        value.dtype.name(),
                        data.len(),
                        data.dtype().name()
                    ),
                ));
            }
        }
        // Pairs of a long list want the square of its length.
        let pairs = self.memory.schedule.rooms.iter().filter(|room| room.rows == Rows::Pair);
        let widest = pairs.map(|room| room.width).max_by(usize::cmp).unwrap_or(0);
        if widest.saturating_mul(rows).saturating_mul(rows) > MAX_ELEMENTS {
            let message = format!("{rows} candidates are too many for a model that compares each with each");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(())
    }
}

/// Buffers for whole values: kept where they are long enough, else zeros.
#[inline(never)]
fn fit_buffers(plan: &Plan, values: impl Iterator<Item = u32>, rows: usize, buffers: &mut Vec<Buffer>) -> Result<()> {
    let mut total = 0usize;
    for (i, value) in values.enumerate() {
        let value = plan.values[value as usize];
        let many = if value.rows == Rows::Shared { 1 } else { rows };
        let each = if value.rows == Rows::Pair { rows } else { 1 };
        let len = (value.width as usize).checked_mul(many).and_then(|n| n.checked_mul(each));
        let len = len.unwrap_or(usize::MAX);
        total = total.saturating_add(len);
        if total > MAX_ELEMENTS {
            let message = format!("{rows} rows are too many for one call; at most 2^26 output elements");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        match buffers.get(i) {
            Some(buffer) if buffer.slice().len() >= len && buffer.slice().dtype() == value.dtype => {}
            Some(_) => buffers[i] = Buffer::zeros(value.dtype, len),
            None => buffers.push(Buffer::zeros(value.dtype, len)),
        }
    }
    Ok(())
}

/// Elements of one row of a value.
fn row_len(value: Value, rows: usize) -> usize {
    match value.rows {
        Rows::Shared => 0,
        Rows::Candidate => value.width as usize,
        Rows::Pair => value.width as usize * rows,
    }
}
