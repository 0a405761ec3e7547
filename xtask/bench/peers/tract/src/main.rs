//! tract, native, one thread: times what `cargo xtask bench` asks for, so that it takes turns with the others.
//!
//!     bench-tract FOLDER
//!
//! One JSON object a line: `{ model, rows, calls, vary }` in, `{ ms }` for all the calls out; with no calls the float
//! outputs, in the model's order. An element of the inputs named by `vary` changes before every call. The first line out
//! is `{}`: it is ready. `{ error }` says why a model cannot be run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use tract_onnx::prelude::*;

/// A prime: the changed element wanders over rows and columns.
const STRIDE: usize = 7919;

/// A model, as `models.json` lists it.
#[derive(Deserialize)]
struct Listed {
    name: String,
    inputs: Vec<InputFile>,
}

#[derive(Deserialize)]
struct InputFile {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// Sizes; `"N"` is the length of the list.
    dims: Vec<Value>,
    file: String,
}

#[derive(Deserialize)]
struct Asked {
    model: String,
    rows: usize,
    calls: usize,
    #[serde(default)]
    vary: Vec<String>,
}

type Result<T> = std::result::Result<T, String>;

/// A model for one length of list: tract optimises best where every size is known.
struct Prepared {
    key: (String, usize),
    plan: std::sync::Arc<TypedRunnableModel>,
    inputs: TVec<TValue>,
    names: Vec<String>,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name the folder of the models")?);
    let listed: Vec<Listed> = serde_json::from_str(&fs::read_to_string(folder.join("models.json"))?)?;
    let models: BTreeMap<String, Listed> = listed.into_iter().map(|model| (model.name.clone(), model)).collect();
    say(&json!({}))?;
    let (mut prepared, mut place): (Option<Prepared>, usize) = (None, 0);
    for line in std::io::stdin().lock().lines() {
        let asked: Asked = serde_json::from_str(&line?)?;
        let key = (asked.model.clone(), asked.rows);
        // With no calls the files' own values are asked for, not what earlier turns made of them.
        let opened = match prepared.take().filter(|known| known.key == key && asked.calls > 0) {
            Some(known) => Ok(known),
            None => models.get(&asked.model).ok_or("no such model".to_owned()).and_then(|m| open(&folder, m, key)),
        };
        let answer = opened.and_then(|mut model| {
            let answer = turn(&mut model, &asked, &mut place)?;
            prepared = Some(model);
            Ok(answer)
        });
        say(&answer.unwrap_or_else(|error| json!({ "error": error })))?;
    }
    Ok(())
}

fn say(line: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Optimises for this length of list and reads its inputs.
fn open(folder: &Path, model: &Listed, key: (String, usize)) -> Result<Prepared> {
    let refuse = |error: TractError| format!("{error:#}");
    let mut graph = tract_onnx::onnx().model_for_path(folder.join(format!("{}.onnx", model.name))).map_err(refuse)?;
    let names: Vec<String> = graph.inputs.iter().map(|outlet| graph.nodes()[outlet.node].name.clone()).collect();
    let mut inputs = TVec::new();
    for (slot, name) in names.iter().enumerate() {
        let file = model.inputs.iter().find(|input| input.name == *name).ok_or(format!("no input {name}"))?;
        let tensor = read(folder, file, key.1)?;
        let fact = InferenceFact::dt_shape(tensor.datum_type(), tensor.shape());
        graph.set_input_fact(slot, fact).map_err(refuse)?;
        inputs.push(tensor.into_tvalue());
    }
    let plan = graph.into_optimized().and_then(|graph| graph.into_runnable()).map_err(refuse)?;
    Ok(Prepared { key, plan, inputs, names })
}

/// The first `rows` rows of an input's file.
fn read(folder: &Path, input: &InputFile, rows: usize) -> Result<Tensor> {
    let dims: Vec<usize> = input.dims.iter().map(|size| size.as_u64().map_or(rows, |size| size as usize)).collect();
    let bytes = fs::read(folder.join(&input.file)).map_err(|error| format!("{}: {error}", input.file))?;
    let count: usize = dims.iter().product();
    let tensor = match input.kind.as_str() {
        "f32" => {
            let values: Vec<f32> =
                bytes.chunks_exact(4).take(count).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            Tensor::from_shape(&dims, &values)
        }
        "i64" => {
            let of = |b: &[u8]| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
            let values: Vec<i64> = bytes.chunks_exact(8).take(count).map(of).collect();
            Tensor::from_shape(&dims, &values)
        }
        kind => return Err(format!("{}: no values of type {kind} are read", input.name)),
    };
    tensor.map_err(|error| format!("{}: {error:#}", input.name))
}

/// The calls, timed; or none, and what the model gives.
fn turn(model: &mut Prepared, asked: &Asked, place: &mut usize) -> Result<Value> {
    let refuse = |error: TractError| format!("{error:#}");
    if asked.calls == 0 {
        let outputs = model.plan.run(model.inputs.clone()).map_err(refuse)?;
        let floats = |value: &TValue| -> Option<Vec<f32>> {
            Some(value.to_plain_array_view::<f32>().ok()?.iter().copied().collect())
        };
        return Ok(json!({ "outputs": outputs.iter().map(floats).collect::<Vec<_>>() }));
    }
    let varied: Vec<usize> =
        asked.vary.iter().filter_map(|name| model.names.iter().position(|known| known == name)).collect();
    let start = Instant::now();
    for call in 0..asked.calls {
        if let Some(&slot) = varied.get(call % varied.len().max(1)) {
            change(&mut model.inputs[slot], place).map_err(refuse)?;
        }
        model.plan.run(model.inputs.clone()).map_err(refuse)?;
    }
    Ok(json!({ "ms": start.elapsed().as_secs_f64() * 1e3 }))
}

/// One element of a float input, in place: nobody else holds it between two calls.
fn change(value: &mut TValue, place: &mut usize) -> TractResult<()> {
    let mut tensor = std::mem::replace(value, Tensor::default().into_tvalue()).into_tensor();
    let mut view = tensor.try_as_plain_ram_mut()?;
    let values = view.as_slice_mut::<f32>()?;
    *place = (*place + STRIDE) % values.len();
    values[*place] = (*place & 255) as f32 / 128.0 - 1.0;
    *value = tensor.into_tvalue();
    Ok(())
}
