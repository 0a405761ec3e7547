//! Tensors by name, as tools and the scorer give them, against the ports of a plan.

use super::interpreter::Interpreter;
use super::plan::{DType, Port};
use super::values::{Buffer, Slice};
use crate::bundle::tensor::{Data, Tensor};
use crate::error::{Error, ErrorKind, Result};

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::SchemaMismatch, what)
}

impl Interpreter {
    /// Scores named tensors: every input of the model by its own name, `[N, ...]`; every output comes back
    /// under its own name and run-time shape.
    ///
    /// # Errors
    /// `schema_mismatch` names the tensor: missing, of another dtype, of another shape, or of another N.
    pub fn score<'a>(&mut self, find: impl Fn(&str) -> Option<&'a Tensor>) -> Result<Vec<(String, Tensor)>> {
        let ports: Vec<Port> = self.plan().inputs.clone();
        let mut rows = None;
        let mut slices = Vec::with_capacity(ports.len());
        for (i, port) in ports.iter().enumerate() {
            let tensor = find(&port.name).ok_or_else(|| {
                let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
                wrong(format!("input {} is missing; the model takes {}", port.name, names.join(", ")))
            })?;
            let shape = || {
                let dims = shape_text(port.dims.iter().copied());
                wrong(format!(
                    "input {} is [{dims}], got {}",
                    port.name,
                    shape_text(tensor.dims.iter().map(|&d| d as i64))
                ))
            };
            let fits = tensor.dims.len() == port.dims.len()
                && tensor.dims.iter().zip(&port.dims).all(|(&d, &p)| p < 0 || d as i64 == p);
            if !fits {
                return Err(shape());
            }
            if let Some(axis) = port.dims.iter().position(|&p| p < 0) {
                let n = tensor.dims[axis];
                if *rows.get_or_insert(n) != n {
                    return Err(wrong(format!("input {} has {n} rows, another has {}", port.name, rows.unwrap_or(0))));
                }
            }
            let value = self.input(i);
            let slice = slice(tensor).filter(|s| s.dtype() == value.dtype);
            slices.push(
                slice.ok_or_else(|| wrong(format!("input {} takes {} elements", port.name, value.dtype.name())))?,
            );
        }
        let rows = rows.unwrap_or(1);
        let outputs = self.run_all(&slices, rows)?;
        Ok(self.plan().outputs.iter().zip(outputs).map(|(port, data)| named(port, rows, data)).collect())
    }
}

/// `N, 3`: -1 stands for the number of candidates.
fn shape_text(dims: impl Iterator<Item = i64>) -> String {
    let mut text = String::new();
    for d in dims {
        if !text.is_empty() {
            text.push_str(", ");
        }
        if d < -1 {
            text.push_str(&format!("{}N", -d));
        } else if d < 0 {
            text.push('N');
        } else {
            text.push_str(&d.to_string());
        }
    }
    text
}

impl Tensor {
    /// The dtype of a plan value that holds these elements; no plan holds f64 or the small
    /// forms of weights.
    pub fn dtype(&self) -> Option<DType> {
        slice(self).map(Slice::dtype)
    }
}

/// A tensor as an input of a plan; f64 and the small forms of weights are none.
pub fn slice(tensor: &Tensor) -> Option<Slice<'_>> {
    Some(match &tensor.data {
        Data::F32(v) => Slice::F32(v),
        Data::I32(v) => Slice::I32(v),
        Data::I64(v) => Slice::I64(v),
        Data::U8(v) => Slice::Bool(v),
        _ => return None,
    })
}

fn named(port: &Port, rows: usize, data: Buffer) -> (String, Tensor) {
    let size = |&d: &i64| usize::try_from(d).unwrap_or_else(|_| rows * d.unsigned_abs() as usize);
    let dims = port.dims.iter().map(size).collect();
    let data = match data {
        Buffer::F32(v) => Data::F32(v.into()),
        Buffer::I32(v) => Data::I32(v.into()),
        Buffer::I64(v) => Data::I64(v),
        Buffer::Bool(v) => Data::U8(v),
    };
    (port.name.clone(), Tensor { dims, data })
}
