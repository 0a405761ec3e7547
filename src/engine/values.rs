//! Elements that callers give and get.

use super::plan::DType;

/// Borrowed elements, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slice<'a> {
    /// f32.
    F32(&'a [f32]),
    /// i32.
    I32(&'a [i32]),
    /// i64; whole numbers of any type and booleans where the engine gives them out.
    I64(&'a [i64]),
    /// 0 or 1.
    Bool(&'a [u8]),
}

impl<'a> Slice<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        match self {
            Slice::F32(v) => v.len(),
            Slice::I32(v) => v.len(),
            Slice::I64(v) => v.len(),
            Slice::Bool(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Some of them.
    pub fn range(self, from: usize, to: usize) -> Slice<'a> {
        match self {
            Slice::F32(v) => Slice::F32(&v[from..to]),
            Slice::I32(v) => Slice::I32(&v[from..to]),
            Slice::I64(v) => Slice::I64(&v[from..to]),
            Slice::Bool(v) => Slice::Bool(&v[from..to]),
        }
    }

    /// Element type.
    pub fn dtype(self) -> DType {
        match self {
            Slice::F32(_) => DType::F32,
            Slice::I32(_) => DType::I32,
            Slice::I64(_) => DType::I64,
            Slice::Bool(_) => DType::Bool,
        }
    }

    /// The elements as f32. The check at open guarantees the dtype where the engine calls it.
    pub fn f32(self) -> &'a [f32] {
        if let Slice::F32(v) = self { v } else { &[] }
    }
}

/// Owned elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Buffer {
    /// f32.
    F32(Vec<f32>),
    /// i32.
    I32(Vec<i32>),
    /// i64.
    I64(Vec<i64>),
    /// 0 or 1.
    Bool(Vec<u8>),
}

impl Buffer {
    /// `len` zeros of `dtype`.
    pub fn zeros(dtype: DType, len: usize) -> Buffer {
        match dtype {
            DType::F32 => Buffer::F32(vec![0.0; len]),
            DType::I32 => Buffer::I32(vec![0; len]),
            DType::I64 => Buffer::I64(vec![0; len]),
            DType::Bool => Buffer::Bool(vec![0; len]),
        }
    }

    /// All elements.
    pub fn slice(&self) -> Slice<'_> {
        match self {
            Buffer::F32(v) => Slice::F32(v),
            Buffer::I32(v) => Slice::I32(v),
            Buffer::I64(v) => Slice::I64(v),
            Buffer::Bool(v) => Slice::Bool(v),
        }
    }

    /// Copies what the engine gives out to element `at` and after, whole numbers in this buffer's own type.
    #[inline(never)]
    pub fn write(&mut self, at: usize, from: Slice<'_>) {
        fn put<A: Copy, B: Copy>(to: &mut [B], at: usize, from: &[A], f: impl Fn(A) -> B) {
            for (to, from) in to[at..at + from.len()].iter_mut().zip(from) {
                *to = f(*from);
            }
        }
        match (self, from) {
            (Buffer::F32(to), Slice::F32(from)) => to[at..at + from.len()].copy_from_slice(from),
            (Buffer::I64(to), Slice::I64(from)) => to[at..at + from.len()].copy_from_slice(from),
            (Buffer::I32(to), Slice::I64(from)) => put(to, at, from, |i| i as i32),
            (Buffer::Bool(to), Slice::I64(from)) => put(to, at, from, |i| u8::from(i != 0)),
            _ => {}
        }
    }
}
