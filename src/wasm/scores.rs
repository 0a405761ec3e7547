//! The engine's buffers as `createScorer` uses them: it writes a call's arrays where they are read, and reads the results
//! where they were written, so that a call passes numbers alone. The face knows the ports: it has checked names, types and
//! shapes.

use super::object;
use super::slab::Slab;
use crate::engine::{Buffer, Interpreter, Port, Prepared, Rows, Slice};
use crate::error::{Error, ErrorKind, Result};
use js_sys::{Array, Object};
use wasm_bindgen::JsValue;

/// Buffers that calls use again, and candidates that were prepared.
pub(super) struct Scores {
    /// One for each port.
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    /// Addresses of the inputs, then of the outputs.
    places: Vec<usize>,
    prepared: Slab<Prepared>,
}

/// `{inputs, outputs}`, each a list of `{name, dtype, dims}`; below 0: so many times the number of candidates.
pub(super) fn info(engine: &Interpreter) -> Object {
    let plan = engine.plan();
    let describe = |port: &Port| -> JsValue {
        let dims: Array = port.dims.iter().map(|&d| JsValue::from_f64(d as f64)).collect();
        let dtype = plan.values[port.value as usize].dtype.name();
        object([("name", port.name.as_str().into()), ("dtype", dtype.into()), ("dims", dims.into())]).into()
    };
    let all = |ports: &[Port]| -> JsValue { ports.iter().map(describe).collect::<Array>().into() };
    object([("inputs", all(&plan.inputs)), ("outputs", all(&plan.outputs))])
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
