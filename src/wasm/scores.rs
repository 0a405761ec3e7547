//! The engine's buffers as `createScorer` uses them: it writes a call's arrays where they are read, and reads the results
//! where they were written, so that a call passes numbers alone. The face knows the ports: it has checked names, types and
//! shapes.

use super::slab::Slab;
use crate::engine::{Buffer, Interpreter, Prepared, Rows, Slice};
use crate::error::{Error, ErrorKind, Result};
use crate::json::{push_digits, quote};

/// Buffers that calls use again, and candidates that were prepared.
pub(super) struct Scores {
    /// One for each port.
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    /// Addresses of the inputs, then of the outputs.
    places: Vec<usize>,
    prepared: Slab<Prepared>,
}

/// The fields `inputs` and `outputs`, each a list of `{name, dtype, dims}`; a size below 0: so many times the number of
/// candidates.
pub(super) fn ports(engine: &Interpreter, json: &mut String) {
    let plan = engine.plan();
    for (name, ports) in [("inputs", &plan.inputs), ("outputs", &plan.outputs)] {
        json.push_str(",\"");
        json.push_str(name);
        json.push_str("\":[");
        for (i, port) in ports.iter().enumerate() {
            json.push_str(if i > 0 { ",{\"name\":" } else { "{\"name\":" });
            quote(&port.name, json);
            json.push_str(",\"dtype\":\"");
            json.push_str(plan.values[port.value as usize].dtype.name());
            json.push_str("\",\"dims\":[");
            for (axis, &size) in port.dims.iter().enumerate() {
                if axis > 0 {
                    json.push(',');
                }
                if size < 0 {
                    json.push('-');
                }
                push_digits(size.unsigned_abs(), json);
            }
            json.push_str("]}");
        }
        json.push(']');
    }
}

fn address(buffer: &Buffer) -> usize {
    match buffer {
        Buffer::F32(v) => v.as_ptr().addr(),
        Buffer::I32(v) => v.as_ptr().addr(),
        Buffer::I64(v) => v.as_ptr().addr(),
        Buffer::Bool(v) => v.as_ptr().addr(),
    }
}

/// Elements of an input for `rows` candidates.
fn len(engine: &Interpreter, port: usize, rows: usize) -> usize {
    let value = engine.input(port);
    (value.width as usize).saturating_mul(if value.rows == Rows::Shared { 1 } else { rows })
}

impl Scores {
    pub fn new(engine: &Interpreter) -> Self {
        let inputs = (0..engine.plan().inputs.len()).map(|i| Buffer::zeros(engine.input(i).dtype, 0)).collect();
        Scores { inputs, outputs: Vec::new(), places: Vec::new(), prepared: Slab::new() }
    }

    /// Makes room for `rows` candidates, and tells where the addresses of the arrays stand: they hold until it is made
    /// for more.
    pub fn room(&mut self, engine: &Interpreter, rows: usize) -> Result<usize> {
        engine.fit(rows, &mut self.outputs)?;
        for (i, buffer) in self.inputs.iter_mut().enumerate() {
            let len = len(engine, i, rows);
            if buffer.slice().len() < len {
                *buffer = Buffer::zeros(engine.input(i).dtype, len);
            }
        }
        self.places.clear();
        self.places.extend(self.inputs.iter().chain(&self.outputs).map(address));
        Ok(self.places.as_ptr().addr())
    }

    /// Scores `rows` candidates, for which there is room, from the arrays of all ports, or of those that are open.
    pub fn score(&mut self, engine: &mut Interpreter, handle: u32, rows: usize) -> Result<()> {
        let prepared = self.prepared.get_mut(handle);
        let array = |port: usize| self.inputs[port].slice().range(0, len(engine, port, rows));
        let slices: Vec<Slice<'_>> = match &prepared {
            Some(prepared) => prepared.open().iter().map(|&port| array(port)).collect(),
            None if handle == 0 => (0..self.inputs.len()).map(array).collect(),
            None => return Err(Error::new(ErrorKind::RequestInvalid, "these prepared candidates were disposed")),
        };
        engine.run_into(prepared, &slices, rows, &mut self.outputs)
    }

    /// Keeps the arrays of `ports`, and what depends on them alone. `rows` is below 0 where none of them has a row for
    /// each candidate.
    pub fn prepare(&mut self, engine: &mut Interpreter, ports: &[u32], rows: i32) -> Result<u32> {
        let rows = usize::try_from(rows).ok();
        let mut slices: Vec<Option<Slice<'_>>> = vec![None; self.inputs.len()];
        for port in ports.iter().map(|&port| port as usize) {
            let len = len(engine, port, rows.unwrap_or(1));
            slices[port] = Some(self.inputs[port].slice().range(0, len));
        }
        let prepared = engine.prepare(&slices, rows)?;
        let full = || {
            Error::new(ErrorKind::LimitExceeded, "more than 65,536 prepared lists at once; dispose those that are done")
        };
        self.prepared.insert(prepared).ok_or_else(full)
    }

    pub fn free(&mut self, handle: u32) {
        self.prepared.remove(handle);
    }
}
