//! Typed arrays to the engine's buffers and back, for `createScorer`. The face knows the ports: it has checked names and
//! shapes, and gives the inputs in the ports' order, so that no text crosses the boundary with the numbers.

use super::object;
use super::slab::Slab;
use crate::engine::{Buffer, DType, Interpreter, Port, Prepared, Slice};
use crate::error::{Error, ErrorKind, Result};
use js_sys::{Array, BigInt64Array, Float32Array, Int32Array, Object, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

/// Buffers that calls use again, and candidates that were prepared.
pub(super) struct Scores {
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
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

/// Copies a typed array into a buffer of its port's type; false if the array is of another.
fn take_in(buffer: &mut Buffer, dtype: DType, data: &JsValue) -> bool {
    fn sized<T: Clone + Default>(v: &mut Vec<T>, len: u32) -> &mut [T] {
        v.resize(len as usize, T::default());
        v
    }
    if buffer.slice().dtype() != dtype {
        *buffer = Buffer::zeros(dtype, 0);
    }
    match buffer {
        Buffer::F32(v) => data.dyn_ref::<Float32Array>().map(|from| from.copy_to(sized(v, from.length()))),
        Buffer::I32(v) => data.dyn_ref::<Int32Array>().map(|from| from.copy_to(sized(v, from.length()))),
        Buffer::I64(v) => data.dyn_ref::<BigInt64Array>().map(|from| from.copy_to(sized(v, from.length()))),
        Buffer::Bool(v) => data.dyn_ref::<Uint8Array>().map(|from| from.copy_to(sized(v, from.length()))),
    }
    .is_some()
}

fn give_out(buffer: &Buffer) -> JsValue {
    match buffer {
        Buffer::F32(v) => Float32Array::from(&v[..]).into(),
        Buffer::I32(v) => Int32Array::from(&v[..]).into(),
        Buffer::I64(v) => BigInt64Array::from(&v[..]).into(),
        Buffer::Bool(v) => Uint8Array::from(&v[..]).into(),
    }
}

impl Scores {
    pub fn new() -> Self {
        Scores { inputs: Vec::new(), outputs: Vec::new(), prepared: Slab::new() }
    }

    /// Takes in an array for each of these ports.
    fn take(&mut self, engine: &Interpreter, ports: &[usize], data: &Array) -> Result<()> {
        self.inputs.resize_with(ports.len(), || Buffer::F32(Vec::new()));
        for (i, (buffer, &port)) in self.inputs.iter_mut().zip(ports).enumerate() {
            let dtype = engine.input(port).dtype;
            if !take_in(buffer, dtype, &data.get(i as u32)) {
                let message = format!("input {} takes elements of {}", engine.plan().inputs[port].name, dtype.name());
                return Err(Error::new(ErrorKind::SchemaMismatch, message));
            }
        }
        Ok(())
    }

    /// Scores `data`, an array for each port that is open (all of them with the handle 0), for `rows` candidates:
    /// an array for each output.
    pub fn score(&mut self, engine: &mut Interpreter, handle: u32, data: &Array, rows: usize) -> Result<Array> {
        let ports: Vec<usize> = match self.prepared.get(handle) {
            Some(prepared) => prepared.open().to_vec(),
            None if handle == 0 => (0..engine.plan().inputs.len()).collect(),
            None => return Err(Error::new(ErrorKind::RequestInvalid, "these prepared candidates were disposed")),
        };
        self.take(engine, &ports, data)?;
        let slices: Vec<Slice<'_>> = self.inputs.iter().map(Buffer::slice).collect();
        engine.run_into(self.prepared.get_mut(handle), &slices, rows, &mut self.outputs)?;
        Ok(self.outputs.iter().map(give_out).collect())
    }

    /// Keeps the inputs that are given (undefined stands for one that is not), and what depends on them alone.
    /// `rows` is below 0 where none of them has a row for each candidate.
    pub fn prepare(&mut self, engine: &mut Interpreter, data: &Array, rows: i32) -> Result<u32> {
        let given: Vec<usize> =
            (0..engine.plan().inputs.len()).filter(|&i| !data.get(i as u32).is_undefined()).collect();
        let arrays: Array = given.iter().map(|&i| data.get(i as u32)).collect();
        self.take(engine, &given, &arrays)?;
        let mut slices: Vec<Option<Slice<'_>>> = vec![None; engine.plan().inputs.len()];
        for (&port, buffer) in given.iter().zip(&self.inputs) {
            slices[port] = Some(buffer.slice());
        }
        let prepared = engine.prepare(&slices, usize::try_from(rows).ok())?;
        let full = || {
            Error::new(ErrorKind::LimitExceeded, "more than 65,536 prepared lists at once; dispose those that are done")
        };
        self.prepared.insert(prepared).ok_or_else(full)
    }

    pub fn free(&mut self, handle: u32) {
        self.prepared.remove(handle);
    }
}
