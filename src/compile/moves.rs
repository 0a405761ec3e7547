//! Operators that only move elements (Slice, Gather, Reshape, Transpose, Split, ...), lowered by
//! one trick: the operator is applied to a table of column numbers for two rows. If the second
//! row of the result is the first one plus the width, rows were left alone, and the first row
//! says which columns to select.

use super::graph::Dim;
use super::lower::{Call, Lowered, Lowering, Val};
use crate::engine::plan::{Op, Rows, Value};
use tract_onnx::tract_hir::internal::{IntoTValue, IntoTensor, Symbol, SymbolValues, TDim, TVec, Tensor};

const MIXED: &str = "it moves or mixes the candidates' axis, which must stay the first: rows are scored one by one";

/// Runs the operator on constants.
pub(super) fn evaluate(call: &Call, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, String> {
    let inputs: TVec<_> = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
    match call.kept.fold(inputs) {
        Ok(Some(outputs)) => Ok(outputs.into_iter().map(|t| t.into_tensor()).collect()),
        Ok(None) => Err("it cannot be evaluated".into()),
        Err(error) => Err(super::graph::chain(&error)),
    }
}

/// Lowers an operator that moves the elements of its computed inputs.
pub(super) fn lower(lowering: &mut Lowering, call: &Call) -> Lowered {
    let joins = call.spec.op == "Concat";
    let is_candidate = |val: &Val| matches!(val, Val::Run { shape, .. } if shape.contains(&Dim::Rows));
    let candidates = call.given().any(is_candidate);
    // The operands whose elements move, and where the columns of each begin.
    let mut operands: Vec<u32> = vec![];
    let mut starts = vec![];
    let mut total = 0;
    for (i, val) in call.given().enumerate() {
        if i > 0 && !joins {
            match val {
                Val::Constant(_) => continue,
                _ => return Err("its indices or sizes are computed: make them constants of the graph".into()),
            }
        }
        let (value, shape) = lowering.operand(val)?;
        if candidates && joins && !shape.contains(&Dim::Rows) {
            return Err(MIXED.into());
        }
        starts.push((total, shape));
        operands.push(value);
        total += lowering.plan.values[value as usize].width as usize;
    }
    indices_fit(call)?;
    for slot in 0..call.outputs.len() {
        call.layout(slot)?;
    }
    let mut inputs = vec![];
    for (i, val) in call.given().enumerate() {
        inputs.push(match (starts.get(i), val) {
            (Some((start, shape)), _) => {
                table(shape, *start, lowering.plan.values[operands[i] as usize].width as usize, total)?
            }
            (None, Val::Constant(tensor)) => concrete(tensor, &lowering.rows)?,
            (None, _) => return Err("an operand is refused".into()),
        });
    }
    let outputs = evaluate(call, inputs)?;
    let source = match operands.as_slice() {
        [] => return Err("it has no input".into()),
        [value] => *value,
        several => {
            let (rows, dtype) = (lowering.rows_of(several), lowering.plan.values[several[0] as usize].dtype);
            lowering.push(Op::Concat, several.to_vec(), Value { dtype, rows, width: total as u32 })
        }
    };
    let mut given = vec![];
    for (slot, output) in outputs.iter().enumerate().take(call.outputs.len()) {
        let shape = call.output(slot)?.shape.clone();
        let (rows, _) = call.layout(slot)?;
        if candidates && rows == Rows::Shared {
            return Err(MIXED.into());
        }
        let columns = columns(output, rows, candidates, total)?;
        given.push(Val::Run { value: lowering.select(source, columns), shape });
    }
    Ok(given)
}

/// Indices of a look-up lie inside the axis, which is not the candidates'.
fn indices_fit(call: &Call) -> Result<(), String> {
    let (Some(Val::Run { shape, .. }), Some(Val::Constant(indices))) = (call.optional(0), call.optional(1)) else {
        return Ok(());
    };
    let axis = match call.spec.op.as_str() {
        "Gather" => call.spec.int("axis", 0),
        "ArrayFeatureExtractor" => -1,
        _ => return Ok(()),
    };
    let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
    match usize::try_from(axis).ok().and_then(|axis| shape.get(axis)) {
        Some(&Dim::Fixed(size)) => {
            let size = size as i64;
            let inside = super::lower::integers(indices)?.iter().all(|i| (-size..size).contains(i));
            if inside { Ok(()) } else { Err(format!("an index is outside an axis of {size}")) }
        }
        _ => Err(MIXED.into()),
    }
}

/// Column numbers from `start`, the second row's above the first's by `offset`.
fn table(shape: &[Dim], start: usize, width: usize, offset: usize) -> Result<Tensor, String> {
    let copies = if shape.contains(&Dim::Rows) { 2 } else { 1 };
    let numbers: Vec<i64> =
        (0..copies).flat_map(|row| (0..width).map(move |c| (row * offset + start + c) as i64)).collect();
    let dims: Option<Vec<usize>> = shape
        .iter()
        .map(|dim| match dim {
            Dim::Rows => Some(2),
            Dim::Fixed(size) => Some(*size),
            Dim::Other => None,
        })
        .collect();
    Tensor::from_shape(&dims.ok_or(MIXED)?, &numbers).map_err(|e| e.to_string())
}

/// A shape computed from the number of candidates, for a table of two rows.
fn concrete(tensor: &Tensor, rows: &Symbol) -> Result<Tensor, String> {
    if tensor.datum_type() != tract_onnx::tract_hir::internal::DatumType::TDim {
        return Ok(tensor.clone());
    }
    let view = tensor.try_as_plain_ram().map_err(|e| e.to_string())?;
    let sizes = view.as_slice::<TDim>().map_err(|e| e.to_string())?;
    let values = SymbolValues::default().with(rows, 2);
    let sizes: Result<Vec<i64>, String> =
        sizes.iter().map(|dim| dim.eval(&values).to_i64().map_err(|_| MIXED.to_string())).collect();
    Tensor::from_shape(tensor.shape(), &sizes?).map_err(|e| e.to_string())
}

/// The columns that the first row selects, if every row selects the same of its own.
fn columns(output: &Tensor, rows: Rows, candidates: bool, total: usize) -> Result<Vec<u32>, String> {
    let numbers = super::lower::integers(output)?;
    let copies = if rows == Rows::Candidate { 2 } else { 1 };
    if numbers.is_empty() || numbers.len() % copies != 0 {
        return Err(MIXED.into());
    }
    let (first, rest) = numbers.split_at(numbers.len() / copies);
    let step = if candidates { total as i64 } else { 0 };
    let own = first.iter().all(|&c| (0..total as i64).contains(&c));
    let alike = rest.iter().zip(first).all(|(b, a)| *b == a + step);
    if own && alike { Ok(first.iter().map(|&c| c as u32).collect()) } else { Err(MIXED.into()) }
}
