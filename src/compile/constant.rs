//! Tensors whose elements are known at compile: initialisers, attributes, and every value that
//! the oracle computes.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

/// The largest number of elements in one tensor.
pub(crate) const MAX_ELEMENTS: usize = 1 << 30;

/// An element type of ONNX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "ONNX's own names")]
pub(crate) enum Elem {
    F16,
    BF16,
    F32,
    F64,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Bool,
    Text,
}

/// Elements, row-major, in one of three carriers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    /// F16, BF16, F32 and F64; the last rounded once to f32.
    Float(Vec<f32>),
    /// All integers (U64 by its bits) and Bool (0 or 1).
    Int(Vec<i64>),
    /// Strings.
    Text(Vec<String>),
}

/// A tensor with known elements; their number is the product of `dims`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    /// Type in the graph; it chooses the carrier.
    pub elem: Elem,
    /// Shape; empty for a scalar.
    pub dims: Vec<usize>,
    /// Elements.
    pub values: Values,
}

impl Elem {
    /// The type that ONNX numbers `code` (`TensorProto.DataType`); the message names one that has no place here.
    pub fn from_onnx(code: i32) -> Result<Self, String> {
        let unknown = || format!("the type number {code}");
        Ok(match DataType::try_from(code).map_err(|_| unknown())? {
            DataType::Float16 => Elem::F16,
            DataType::Bfloat16 => Elem::BF16,
            DataType::Float => Elem::F32,
            DataType::Double => Elem::F64,
            DataType::Int8 => Elem::I8,
            DataType::Uint8 => Elem::U8,
            DataType::Int16 => Elem::I16,
            DataType::Uint16 => Elem::U16,
            DataType::Int32 => Elem::I32,
            DataType::Uint32 => Elem::U32,
            DataType::Int64 => Elem::I64,
            DataType::Uint64 => Elem::U64,
            DataType::Bool => Elem::Bool,
            DataType::String => Elem::Text,
            other => return Err(format!("the type {other:?}")),
        })
    }

    /// Carried by [`Values::Float`].
    pub fn is_float(self) -> bool {
        matches!(self, Elem::F16 | Elem::BF16 | Elem::F32 | Elem::F64)
    }

    /// Carried by [`Values::Int`], Bool included.
    pub fn is_int(self) -> bool {
        !self.is_float() && self != Elem::Text
    }

    /// The least and the largest integer of the type; U64 is carried by its bits and so has i64's.
    pub fn bounds(self) -> (i64, i64) {
        match self {
            Elem::I8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
            Elem::U8 => (0, i64::from(u8::MAX)),
            Elem::I16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Elem::U16 => (0, i64::from(u16::MAX)),
            Elem::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Elem::U32 => (0, i64::from(u32::MAX)),
            Elem::Bool => (0, 1),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// An integer modulo the type's width, as two's complement arithmetic leaves it.
    pub fn wrap(self, v: i64) -> i64 {
        match self {
            Elem::I8 => i64::from(v as i8),
            Elem::U8 => i64::from(v as u8),
            Elem::I16 => i64::from(v as i16),
            Elem::U16 => i64::from(v as u16),
            Elem::I32 => i64::from(v as i32),
            Elem::U32 => i64::from(v as u32),
            Elem::Bool => i64::from(v != 0),
            _ => v,
        }
    }

    /// The nearest float that the type can hold (ties to even); F64 is carried as f32.
    pub fn round(self, v: f32) -> f32 {
        match self {
            Elem::F16 => round_to(v, 10, -14, 65504.0),
            Elem::BF16 => round_to(v, 7, -126, f64::from(f32::from_bits(0x7f7f_0000))),
            _ => v,
        }
    }
}

/// Rounds to `digits` binary places below the leading one; `least` is the smallest normal exponent.
fn round_to(v: f32, digits: i32, least: i32, largest: f64) -> f32 {
    if v == 0.0 || !v.is_finite() {
        return v;
    }
    let wide = f64::from(v);
    let exponent = ((wide.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    let unit = f64::from_bits(((exponent.max(least) - digits + 1023) as u64) << 52);
    let rounded = (wide / unit).round_ties_even() * unit;
    if rounded.abs() > largest { f32::INFINITY.copysign(v) } else { rounded as f32 }
}

/// A half-precision float from its bits.
fn f16_value(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from((bits >> 10) & 31), f32::from(bits & 1023));
    let power = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
    match exponent {
        0 => sign * fraction * power(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * power(exponent - 25),
    }
}

impl Constant {
    /// A tensor of any type; the message says that the elements do not fill the shape or have the wrong carrier.
    pub fn new(elem: Elem, dims: &[usize], values: Values) -> Result<Self, String> {
        let carrier = match &values {
            Values::Float(_) => elem.is_float(),
            Values::Int(_) => elem.is_int(),
            Values::Text(_) => elem == Elem::Text,
        };
        let made = Constant { elem, dims: dims.to_vec(), values };
        if !carrier || count(dims)? != made.len() {
            return Err(format!("{} elements do not make a {elem:?} tensor of shape {dims:?}", made.len()));
        }
        Ok(made)
    }

    /// An f32 tensor. `v` fills `dims`: the caller's invariant.
    pub fn f32(dims: &[usize], v: Vec<f32>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), v.len());
        Constant { elem: Elem::F32, dims: dims.to_vec(), values: Values::Float(v) }
    }

    /// An i64 tensor. `v` fills `dims`: the caller's invariant.
    pub fn i64(dims: &[usize], v: Vec<i64>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), v.len());
        Constant { elem: Elem::I64, dims: dims.to_vec(), values: Values::Int(v) }
    }

    /// A tensor of booleans.
    pub fn bools(dims: &[usize], v: impl IntoIterator<Item = bool>) -> Self {
        let values = v.into_iter().map(i64::from).collect();
        Constant { elem: Elem::Bool, dims: dims.to_vec(), values: Values::Int(values) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.values {
            Values::Float(v) => v.len(),
            Values::Int(v) => v.len(),
            Values::Text(v) => v.len(),
        }
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The elements of a float tensor.
    pub fn floats(&self) -> Result<&[f32], String> {
        match &self.values {
            Values::Float(v) => Ok(v),
            _ => Err(format!("a value of type {:?} where floats belong", self.elem)),
        }
    }

    /// The elements of a tensor of integers or booleans.
    pub fn ints(&self) -> Result<&[i64], String> {
        match &self.values {
            Values::Int(v) => Ok(v),
            _ => Err(format!("a value of type {:?} where integers belong", self.elem)),
        }
    }

    /// From a protobuf; the message says what is wrong with it.
    pub fn from_onnx(tensor: &TensorProto) -> Result<Self, String> {
        if tensor.data_location == Some(DataLocation::External as i32) {
            return Err(
                "lies outside the file: save the model with its weights inside (save_as_external_data=False)".into()
            );
        }
        let elem = Elem::from_onnx(tensor.data_type)
            .map_err(|unknown| format!("has {unknown}: store it as float32 or int64"))?;
        let mut dims = vec![];
        for &dim in &tensor.dims {
            dims.push(usize::try_from(dim).map_err(|_| format!("has the dimension {dim}"))?);
        }
        let n = count(&dims).map_err(|_| "is too large")?;
        let values = if tensor.raw_data.is_empty() { listed(tensor, elem) } else { raw(&tensor.raw_data, elem, n)? };
        Constant::new(elem, &dims, values).map_err(|_| "does not hold as many elements as its shape says".into())
    }
}

/// The number of elements of a shape, which is bounded.
pub(crate) fn count(dims: &[usize]) -> Result<usize, String> {
    dims.iter()
        .try_fold(1usize, |n, &dim| n.checked_mul(dim).filter(|&n| n < MAX_ELEMENTS))
        .ok_or_else(|| format!("a tensor of shape {dims:?} is too large"))
}

/// The elements in the field of the protobuf that belongs to the type.
fn listed(tensor: &TensorProto, elem: Elem) -> Values {
    let words = || tensor.int32_data.iter();
    match elem {
        Elem::F32 => Values::Float(tensor.float_data.clone()),
        Elem::F64 => Values::Float(tensor.double_data.iter().map(|&v| v as f32).collect()),
        Elem::F16 => Values::Float(words().map(|&v| f16_value(v as u16)).collect()),
        Elem::BF16 => Values::Float(words().map(|&v| f32::from_bits((v as u32) << 16)).collect()),
        Elem::I64 => Values::Int(tensor.int64_data.clone()),
        Elem::U32 | Elem::U64 => Values::Int(tensor.uint64_data.iter().map(|&v| elem.wrap(v as i64)).collect()),
        Elem::Text => {
            Values::Text(tensor.string_data.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
        }
        _ => Values::Int(words().map(|&v| elem.wrap(i64::from(v))).collect()),
    }
}

/// `n` elements in the little-endian bytes of `raw_data`.
fn raw(bytes: &[u8], elem: Elem, n: usize) -> Result<Values, String> {
    let size = match elem {
        Elem::F64 | Elem::I64 | Elem::U64 => 8,
        Elem::F32 | Elem::I32 | Elem::U32 => 4,
        Elem::F16 | Elem::BF16 | Elem::I16 | Elem::U16 => 2,
        Elem::I8 | Elem::U8 | Elem::Bool => 1,
        Elem::Text => return Err("holds strings as raw bytes".into()),
    };
    if bytes.len() != n * size {
        return Err("does not hold as many elements as its shape says".into());
    }
    let elements =
        bytes.chunks_exact(size).map(|chunk| chunk.iter().rev().fold(0u64, |bits, &b| bits << 8 | u64::from(b)));
    Ok(match elem {
        Elem::F32 => Values::Float(elements.map(|bits| f32::from_bits(bits as u32)).collect()),
        Elem::F64 => Values::Float(elements.map(|bits| f64::from_bits(bits) as f32).collect()),
        Elem::F16 => Values::Float(elements.map(|bits| f16_value(bits as u16)).collect()),
        Elem::BF16 => Values::Float(elements.map(|bits| f32::from_bits((bits as u32) << 16)).collect()),
        _ => Values::Int(elements.map(|bits| elem.wrap(bits as i64)).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(data_type: DataType, dims: &[i64]) -> TensorProto {
        TensorProto { data_type: data_type as i32, dims: dims.to_vec(), ..TensorProto::default() }
    }

    #[test]
    fn raw_and_listed_elements_are_the_same() {
        let mut listed = proto(DataType::Float, &[2]);
        listed.float_data = vec![1.5, -0.25];
        let mut raw = proto(DataType::Float, &[2]);
        raw.raw_data = [1.5f32.to_le_bytes(), (-0.25f32).to_le_bytes()].concat();
        let expected = Constant::f32(&[2], vec![1.5, -0.25]);
        assert_eq!(Constant::from_onnx(&listed), Ok(expected.clone()));
        assert_eq!(Constant::from_onnx(&raw), Ok(expected));
        let mut int8 = proto(DataType::Int8, &[2]);
        int8.raw_data = vec![255, 3];
        assert_eq!(Constant::from_onnx(&int8).unwrap().ints().unwrap(), &[-1, 3]);
        let mut half = proto(DataType::Float16, &[4]);
        half.int32_data = vec![0x3c00, 0xc000, 1, 0x7bff];
        assert_eq!(Constant::from_onnx(&half).unwrap().floats().unwrap(), &[1.0, -2.0, 5.960_464_5e-8, 65504.0]);
    }

    #[test]
    fn what_does_not_fill_its_shape_is_refused() {
        let mut short = proto(DataType::Float, &[3]);
        short.float_data = vec![1.0];
        assert!(Constant::from_onnx(&short).unwrap_err().contains("as many elements"));
        let mut bytes = proto(DataType::Int64, &[1]);
        bytes.raw_data = vec![0; 4];
        assert!(Constant::from_onnx(&bytes).unwrap_err().contains("as many elements"));
        assert!(Constant::from_onnx(&proto(DataType::Float, &[-1])).unwrap_err().contains("dimension -1"));
        assert!(Constant::from_onnx(&proto(DataType::Float, &[1 << 40, 1 << 40])).unwrap_err().contains("too large"));
        assert!(Constant::from_onnx(&proto(DataType::Complex64, &[0])).unwrap_err().contains("Complex64"));
    }

    #[test]
    fn narrow_floats_round_to_even_and_overflow() {
        assert_eq!(Elem::F16.round(1.0 + 1.0 / 2048.0), 1.0);
        assert_eq!(Elem::F16.round(1.0 + 3.0 / 2048.0), 1.0 + 2.0 / 1024.0);
        assert_eq!(Elem::F16.round(65519.0), 65504.0);
        assert_eq!(Elem::F16.round(-65520.0), f32::NEG_INFINITY);
        assert_eq!(Elem::F16.round(5.0e-8), 5.960_464_5e-8);
        assert_eq!(Elem::BF16.round(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(Elem::BF16.round(3.4e38), f32::INFINITY);
        for bits in (0..0x7c00u16).step_by(97) {
            assert_eq!(Elem::F16.round(f16_value(bits)), f16_value(bits));
        }
    }

    #[test]
    fn integers_wrap_to_their_type() {
        assert_eq!(Elem::I32.wrap(1 << 31), i64::from(i32::MIN));
        assert_eq!(Elem::U8.wrap(-1), 255);
        assert_eq!(Elem::Bool.wrap(7), 1);
        assert_eq!(Elem::I64.wrap(i64::MIN), i64::MIN);
    }
}
