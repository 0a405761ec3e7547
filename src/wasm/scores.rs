//! Typed arrays to tensors and back, for `createScorer`.

use super::{object, set};
use crate::engine::{Data, Interpreter, Port, Tensor};
use crate::error::{Error, ErrorKind, Result};
use js_sys::{Array, BigInt64Array, Float32Array, Int32Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

/// `{inputs, outputs}`, each a list of `{name, dtype, dims}`; -1 stands for the number of candidates.
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

fn invalid(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::RequestInvalid, format!("input {name}: {what}"))
}

/// A property; a getter that throws counts as missing.
fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

fn tensor(inputs: &Object, name: &str) -> Result<Option<Tensor>> {
    let given = get(inputs, name);
    if given.is_undefined() {
        return Ok(None);
    }
    let data = get(&given, "data");
    let data = if let Some(v) = data.dyn_ref::<Float32Array>() {
        Data::F32(v.to_vec())
    } else if let Some(v) = data.dyn_ref::<Int32Array>() {
        Data::I32(v.to_vec())
    } else if let Some(v) = data.dyn_ref::<BigInt64Array>() {
        Data::I64(v.to_vec())
    } else if let Some(v) = data.dyn_ref::<Uint8Array>() {
        Data::U8(v.to_vec())
    } else {
        return Err(invalid(name, "`data` must be a Float32Array, Int32Array, BigInt64Array or Uint8Array"));
    };
    let dims = get(&given, "dims");
    let dims: Option<Vec<usize>> = Array::is_array(&dims).then(|| Array::from(&dims)).and_then(|dims| {
        let whole = |d: f64| (d >= 0.0 && libm::floor(d) == d && d < 4e9).then_some(d as usize);
        dims.iter().map(|d| d.as_f64().and_then(whole)).collect()
    });
    let dims = dims.ok_or_else(|| invalid(name, "`dims` must be an array of whole numbers"))?;
    let length = match &data {
        Data::F32(v) => v.len(),
        Data::I32(v) => v.len(),
        Data::I64(v) => v.len(),
        Data::F64(v) => v.len(),
        Data::U8(v) => v.len(),
    };
    let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if elements != Some(length) {
        return Err(invalid(name, "`dims` do not multiply to the length of `data`"));
    }
    Ok(Some(Tensor { dims, data }))
}

pub(super) fn score(engine: &mut Interpreter, inputs: &Object) -> Result<Object> {
    let names: Vec<String> = engine.plan().inputs.iter().map(|p| p.name.clone()).collect();
    let mut given = Vec::with_capacity(names.len());
    for name in &names {
        if let Some(tensor) = tensor(inputs, name)? {
            given.push((name.as_str(), tensor));
        }
    }
    let outputs = engine.score(|name| given.iter().find(|(n, _)| *n == name).map(|(_, t)| t))?;
    let result = Object::new();
    for (name, tensor) in outputs {
        let data: JsValue = match &tensor.data {
            Data::F32(v) => Float32Array::from(&v[..]).into(),
            Data::I32(v) => Int32Array::from(&v[..]).into(),
            Data::I64(v) => BigInt64Array::from(&v[..]).into(),
            Data::U8(v) => Uint8Array::from(&v[..]).into(),
            // No plan gives f64.
            Data::F64(_) => JsValue::NULL,
        };
        let dims: Array = tensor.dims.iter().map(|&d| JsValue::from_f64(d as f64)).collect();
        set(&result, &name, &object([("data", data), ("dims", dims.into())]));
    }
    Ok(result)
}
