//! The oracle: the same graph run by tract, operators of ai.onnx.ml by [`super::naive`]. It
//! shares the protobuf with the plan, and nothing else.

use super::graph::{Prepared, ROWS, chain, parse};
use super::register;
use crate::engine::tensor::{Data, Tensor, Tensors};
use crate::error::{Error, ErrorKind, Result};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{
    DatumType, InferenceModelExt, IntoTValue, TValue, TVec, Tensor as TractTensor, TractErrorContext, TractResult,
    tract_ndarray,
};

/// Runs a graph by tract.
#[derive(Debug)]
pub struct Oracle {
    prepared: Prepared,
}

fn refuse(error: &TractError) -> Error {
    Error::new(ErrorKind::ModelUnsupported, format!("the graph cannot be run to check its plan: {}", chain(error)))
}

impl Oracle {
    pub(super) fn new(prepared: Prepared) -> Self {
        Oracle { prepared }
    }

    /// Every output for `rows` candidates. Inputs by name, `[rows, ...]` or, if shared, `[1, ...]`.
    ///
    /// # Errors
    /// `model_unsupported` if tract cannot run the graph on these inputs.
    pub fn run(&self, inputs: &Tensors, rows: usize) -> Result<Tensors> {
        let outputs = self.run_tract(inputs, rows).map_err(|e| refuse(&e))?;
        let mut named = Tensors::new();
        for (name, output) in self.prepared.outputs.iter().zip(outputs) {
            named.insert(name.clone(), from_tract(&output).map_err(|e| refuse(&e))?);
        }
        Ok(named)
    }

    fn run_tract(&self, inputs: &Tensors, rows: usize) -> TractResult<TVec<TValue>> {
        let mut model = parse(&self.prepared, register::oracle().clone())?;
        let symbol = model.symbols.sym(ROWS);
        model.set_symbols(&std::collections::HashMap::from([(symbol, (rows as i64).into())]))?;
        // Not decluttered: see the design on what declutter breaks.
        let model = model.into_typed()?;
        let mut given: TVec<TValue> = TVec::new();
        for outlet in &model.inputs {
            // An input that no output needs is dropped by analysis: names say which are left.
            let name = &model.nodes()[outlet.node].name;
            let tensor = inputs.get(name).with_context(|| format!("input `{name}` is missing"))?;
            given.push(to_tract(tensor)?.into_tvalue());
        }
        model.into_runnable()?.run(given)
    }
}

fn to_tract(tensor: &Tensor) -> TractResult<TractTensor> {
    match &tensor.data {
        Data::F32(v) => TractTensor::from_shape(&tensor.dims, v),
        Data::I32(v) => TractTensor::from_shape(&tensor.dims, v),
        Data::I64(v) => TractTensor::from_shape(&tensor.dims, v),
        Data::F64(v) => TractTensor::from_shape(&tensor.dims, v),
        Data::U8(v) => {
            let booleans: Vec<bool> = v.iter().map(|&b| b != 0).collect();
            Ok(tract_ndarray::ArrayD::from_shape_vec(tensor.dims.clone(), booleans)?.into())
        }
    }
}

fn from_tract(tensor: &TractTensor) -> TractResult<Tensor> {
    let dims = tensor.shape().to_vec();
    let data = match tensor.datum_type() {
        DatumType::F32 => Data::F32(tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()),
        DatumType::I32 => Data::I32(tensor.try_as_plain_ram()?.as_slice::<i32>()?.to_vec()),
        DatumType::I64 => Data::I64(tensor.try_as_plain_ram()?.as_slice::<i64>()?.to_vec()),
        DatumType::Bool => {
            Data::U8(tensor.try_as_plain_ram()?.as_slice::<bool>()?.iter().map(|&b| u8::from(b)).collect())
        }
        DatumType::F64 | DatumType::F16 => {
            Data::F32(tensor.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        }
        _ => Data::I64(tensor.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec()),
    };
    Ok(Tensor { dims, data })
}
