//! rten for `xtask/bench/rten.mjs`: one model and its inputs an instance, no glue. What a call needs beyond numbers goes
//! through a scratch buffer that the caller fills.

use std::cell::RefCell;

use rten::{Model, NodeId, ValueOrView};
use rten_tensor::{Tensor, TensorView};

/// What a call answers that did not succeed; `message` says why.
const FAILED: i32 = -1;

/// The values of an input. rten has no 64-bit integers: ids are 32 bits wide.
enum Values {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

struct Input {
    id: NodeId,
    dims: Vec<usize>,
    values: Values,
}

#[derive(Default)]
struct State {
    scratch: Vec<u8>,
    model: Option<Model>,
    inputs: Vec<Input>,
    outputs: Vec<Vec<f32>>,
    message: String,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(work)
}

fn attempt(work: impl FnOnce(&mut State) -> Result<i32, String>) -> i32 {
    with(|state| match work(state) {
        Ok(value) => value,
        Err(message) => {
            state.message = message;
            FAILED
        }
    })
}

/// Room for `bytes` bytes, written by the caller before the next call.
#[no_mangle]
pub extern "C" fn scratch(bytes: usize) -> *mut u8 {
    with(|state| {
        state.scratch = vec![0; bytes];
        state.scratch.as_mut_ptr()
    })
}

/// Opens the ONNX file in the scratch buffer.
#[no_mangle]
pub extern "C" fn load() -> i32 {
    attempt(|state| {
        state.model = Some(Model::load(std::mem::take(&mut state.scratch)).map_err(|error| error.to_string())?);
        Ok(0)
    })
}

/// Makes an input anew: the scratch buffer holds `rank` sizes of 32 bits, then its name. f32, or i32 if `integers`.
/// Answers its place, to be asked for by `input`.
#[no_mangle]
pub extern "C" fn bind(rank: usize, integers: bool) -> i32 {
    attempt(|state| {
        let (sizes, name) = state.scratch.split_at_checked(4 * rank).ok_or("the scratch buffer is too short")?;
        let dims: Vec<usize> = sizes
            .chunks_exact(4)
            .map(|size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize)
            .collect();
        let name = std::str::from_utf8(name).map_err(|error| error.to_string())?;
        let model = state.model.as_ref().ok_or("no model is loaded")?;
        let id = model.node_id(name).map_err(|error| error.to_string())?;
        let count = dims.iter().product();
        let values = if integers { Values::I32(vec![0; count]) } else { Values::F32(vec![0.0; count]) };
        let input = Input { id, dims, values };
        let place = state.inputs.iter().position(|known| known.id == id).unwrap_or(state.inputs.len());
        if place == state.inputs.len() {
            state.inputs.push(input);
        } else {
            state.inputs[place] = input;
        }
        Ok(place as i32)
    })
}

/// Where the values of an input lie, until it is bound anew.
#[no_mangle]
pub extern "C" fn input(place: usize) -> *mut u8 {
    with(|state| match &mut state.inputs[place].values {
        Values::F32(values) => values.as_mut_ptr().cast(),
        Values::I32(values) => values.as_mut_ptr().cast(),
    })
}

/// Runs the model on the inputs as they stand; answers how many outputs there are.
#[no_mangle]
pub extern "C" fn run() -> i32 {
    attempt(|state| {
        let model = state.model.as_ref().ok_or("no model is loaded")?;
        let inputs = state.inputs.iter().map(|input| {
            let value: ValueOrView = match &input.values {
                Values::F32(values) => TensorView::from_data(&input.dims[..], &values[..]).into(),
                Values::I32(values) => TensorView::from_data(&input.dims[..], &values[..]).into(),
            };
            (input.id, value)
        });
        let outputs = model.run(inputs.collect(), model.output_ids(), None).map_err(|error| error.to_string())?;
        state.outputs.clear();
        for output in outputs {
            let values: Tensor<f32> = output.try_into().map_err(|_| "an output is not f32".to_owned())?;
            state.outputs.push(values.into_data());
        }
        Ok(state.outputs.len() as i32)
    })
}

/// Where the values of an output lie, until the next `run`.
#[no_mangle]
pub extern "C" fn output(place: usize) -> *const f32 {
    with(|state| state.outputs[place].as_ptr())
}

/// How many values it has.
#[no_mangle]
pub extern "C" fn output_length(place: usize) -> usize {
    with(|state| state.outputs[place].len())
}

/// Why the last call failed, in UTF-8.
#[no_mangle]
pub extern "C" fn message() -> *const u8 {
    with(|state| state.message.as_ptr())
}

/// How many bytes that is.
#[no_mangle]
pub extern "C" fn message_length() -> usize {
    with(|state| state.message.len())
}
