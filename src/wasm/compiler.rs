//! `Compiler` of the compile module: ONNX in, a bundle out. One call an instance, which the face throws away.

use super::{object, thrown};
use crate::compile::{
    Report, SmallWeights, Spec, Storage, WeightForm, compile_onnx, compile_spec, panicked, read_dims,
};
use crate::error::{Error, ErrorKind, Result};
use js_sys::{Array, Function, Uint8Array};
use std::panic::PanicHookInfo;
use wasm_bindgen::prelude::*;

/// Compiles ONNX graphs.
#[wasm_bindgen]
pub struct Compiler {
    report: Report,
}

#[wasm_bindgen]
impl Compiler {
    /// A compiler whose panics are thrown like its errors: nothing on this target can catch them.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Compiler {
        std::panic::set_hook(Box::new(throw_panic));
        Compiler { report: Report::default() }
    }

    /// Compiles a graph alone, to a bundle called `name` that scores. `golden` is a safetensors file of ONNX Runtime's
    /// inputs and outputs; `weights` the form in which weights are stored, and `tolerance` how far a score may move for
    /// it; `dims` a `NAME=VALUE` on each line. Throws `{code, message}`.
    pub fn model(
        &mut self,
        name: &str,
        onnx: &[u8],
        golden: Option<Vec<u8>>,
        weights: Option<String>,
        tolerance: Option<f64>,
        dims: &str,
    ) -> Result<Uint8Array, JsValue> {
        let compile = |form| {
            let storage = Storage::default().with(form, tolerance)?;
            compile_onnx(name, onnx, &read_dims(dims.lines())?, golden, storage, None)
        };
        self.keep(chosen(weights).and_then(compile))
    }

    /// Compiles a specification: the text of a SPEC.toml, or JSON of the same form. `onnx`, where given, is its model;
    /// `read` gives the bytes of any other path in it, or throws; `weights` and `tolerance` go before what it says of
    /// them. Throws `{code, message}`.
    #[allow(clippy::too_many_arguments, reason = "what the face has, each of a type that crosses the boundary")]
    pub fn spec(
        &mut self,
        text: &str,
        form: &str,
        onnx: Option<Vec<u8>>,
        read: &Function,
        golden: Option<Vec<u8>>,
        weights: Option<String>,
        tolerance: Option<f64>,
        dims: &str,
    ) -> Result<Uint8Array, JsValue> {
        let spec = if form == "json" { Spec::parse_json(text) } else { Spec::parse(text) };
        let compile = |mut spec: Spec| {
            spec.model.dims.extend(read_dims(dims.lines())?);
            spec.model.weights = chosen(weights)?.unwrap_or(spec.model.weights);
            spec.model.weights_tolerance = tolerance.or(spec.model.weights_tolerance);
            let read = |path: &str| match &onnx {
                Some(onnx) if path == spec.model.onnx => Ok(onnx.clone()),
                _ => bytes(path, read),
            };
            compile_spec(&spec, &read, golden, None)
        };
        self.keep(spec.and_then(compile))
    }

    /// What the last compile did, for people.
    pub fn report(&self) -> js_sys::Object {
        let texts = |list: &[String]| list.iter().map(|text| JsValue::from(text.as_str())).collect::<Array>().into();
        let report = &self.report;
        object([
            ("bytes", report.bytes.into()),
            ("steps", report.steps.into()),
            ("checkedRows", report.checked_rows.into()),
            ("goldenRows", report.golden_rows.into()),
            ("largestDifference", report.largest_difference.into()),
            ("weights", report.weights.as_ref().map_or(JsValue::UNDEFINED, small)),
            ("calibrators", texts(&report.calibrators)),
            ("warnings", texts(&report.warnings)),
        ])
    }

    fn keep(&mut self, outcome: Result<(Vec<u8>, Report)>) -> Result<Uint8Array, JsValue> {
        let (bytes, report) = outcome.map_err(|e| thrown(&e))?;
        self.report = report;
        Ok(Uint8Array::from(&bytes[..]))
    }
}

fn chosen(name: Option<String>) -> Result<Option<WeightForm>> {
    name.as_deref().map(WeightForm::named).transpose()
}

fn small(weights: &SmallWeights) -> JsValue {
    object([
        ("form", weights.form.name().into()),
        ("int8", weights.int8.into()),
        ("half", weights.half.into()),
        ("f32", weights.f32.into()),
        ("bytes", weights.bytes.into()),
        ("bytesF32", weights.bytes_f32.into()),
        ("largestError", weights.largest_error.into()),
        ("ndcgLoss", weights.ndcg_loss.into()),
        ("labelsChanged", weights.labels_changed.into()),
    ])
    .into()
}

fn bytes(path: &str, read: &Function) -> Result<Vec<u8>> {
    let given = read.call1(&JsValue::NULL, &path.into()).map_err(|reason| unread(path, &reason))?;
    let bytes = given.dyn_into::<Uint8Array>().map_err(|_| unread(path, &"no bytes were given".into()))?;
    Ok(bytes.to_vec())
}

fn unread(path: &str, reason: &JsValue) -> Error {
    let said = js_sys::Reflect::get(reason, &"message".into()).ok().and_then(|message| message.as_string());
    let said = said.or_else(|| reason.as_string()).unwrap_or_default();
    Error::new(ErrorKind::Io, format!("cannot read {path}: {said}"))
}

/// tract panics on some malformed graphs, where the native compiler catches it.
fn throw_panic(info: &PanicHookInfo<'_>) {
    wasm_bindgen::throw_val(thrown(&panicked(info.payload_as_str())));
}
