//! Named constant tensors, as they lie in a bundle.

use ranklet_kernels::half;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Elements of a constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// f32.
    F32(Vec<f32>),
    /// i32.
    I32(Vec<i32>),
    /// i64.
    I64(Vec<i64>),
    /// Bytes (u8 or bool).
    U8(Vec<u8>),
    /// f64.
    F64(Vec<f64>),
    /// IEEE 754 binary16, as bits.
    F16(Vec<u16>),
    /// bfloat16, as bits.
    BF16(Vec<u16>),
    /// i8.
    I8(Vec<i8>),
}

/// A constant tensor: row-major elements and their shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Shape.
    pub dims: Vec<usize>,
    /// Elements; their number is the product of `dims`.
    pub data: Data,
}

impl Tensor {
    /// An f32 tensor.
    pub fn f32(dims: &[usize], data: Vec<f32>) -> Self {
        Tensor { dims: dims.to_vec(), data: Data::F32(data) }
    }
    /// An i32 tensor.
    pub fn i32(dims: &[usize], data: Vec<i32>) -> Self {
        Tensor { dims: dims.to_vec(), data: Data::I32(data) }
    }
    /// An i64 tensor.
    pub fn i64(dims: &[usize], data: Vec<i64>) -> Self {
        Tensor { dims: dims.to_vec(), data: Data::I64(data) }
    }
    /// A tensor of bytes.
    pub fn u8(dims: &[usize], data: Vec<u8>) -> Self {
        Tensor { dims: dims.to_vec(), data: Data::U8(data) }
    }
    /// An f64 tensor.
    pub fn f64(dims: &[usize], data: Vec<f64>) -> Self {
        Tensor { dims: dims.to_vec(), data: Data::F64(data) }
    }
    /// The elements as f32, if that is what they are.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let Data::F32(v) = &self.data { Some(v) } else { None }
    }
    /// The elements as f32 where they are stored as floats of any width up to that; none for other types.
    pub fn decoded(&self) -> Option<Cow<'_, [f32]>> {
        let widened = |decode: fn(&[u16], &mut [f32]), from: &[u16]| {
            let mut to = vec![0.0; from.len()];
            decode(from, &mut to);
            Some(Cow::Owned(to))
        };
        match &self.data {
            Data::F32(v) => Some(Cow::Borrowed(v)),
            Data::F16(v) => widened(half::decode_f16, v),
            Data::BF16(v) => widened(half::decode_bf16, v),
            _ => None,
        }
    }
    /// The elements as i32, if that is what they are.
    pub fn as_i32(&self) -> Option<&[i32]> {
        if let Data::I32(v) = &self.data { Some(v) } else { None }
    }
    /// The elements as i64, if that is what they are.
    pub fn as_i64(&self) -> Option<&[i64]> {
        if let Data::I64(v) = &self.data { Some(v) } else { None }
    }
    /// The elements as bytes, if that is what they are.
    pub fn as_u8(&self) -> Option<&[u8]> {
        if let Data::U8(v) = &self.data { Some(v) } else { None }
    }
    /// The elements as i8, if that is what they are.
    pub fn as_i8(&self) -> Option<&[i8]> {
        if let Data::I8(v) = &self.data { Some(v) } else { None }
    }
    /// The elements as f64, if that is what they are.
    pub fn as_f64(&self) -> Option<&[f64]> {
        if let Data::F64(v) = &self.data { Some(v) } else { None }
    }
}

/// Tensors by name; ordered, so that everything made from them is too.
pub type Tensors = BTreeMap<String, Tensor>;
