//! Named constant tensors, as they lie in a bundle.

use ranklet_kernels::bytes::Words;
use ranklet_kernels::half;

/// Elements of a constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// f32, where they lie in the file if it holds them well.
    F32(Words<f32>),
    /// i32, likewise.
    I32(Words<i32>),
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
        Tensor { dims: dims.to_vec(), data: Data::F32(data.into()) }
    }
    /// An i32 tensor.
    pub fn i32(dims: &[usize], data: Vec<i32>) -> Self {
        Tensor { dims: dims.to_vec(), data: Data::I32(data.into()) }
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
    pub fn decoded(&self) -> Option<Words<f32>> {
        let widened = |decode: fn(&[u16], &mut [f32]), from: &[u16]| {
            let mut to = vec![0.0; from.len()];
            decode(from, &mut to);
            Some(Words::from(to))
        };
        match &self.data {
            Data::F32(v) => Some(v.clone()),
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

/// Tensors by name; ordered, so that everything made from them is too. One sorted list, as a page pays for a `BTreeMap`'s
/// code.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors(Vec<(String, Tensor)>);

impl Tensors {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    fn search(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(n, _)| n.as_str().cmp(name))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.search(name).ok().map(|at| &self.0[at].1)
    }

    /// The tensor of this name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        self.search(name).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether a tensor has this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.search(name).is_ok()
    }

    /// Puts a tensor in; gives back the one that had the name.
    #[inline(never)]
    pub fn insert(&mut self, name: String, tensor: Tensor) -> Option<Tensor> {
        match self.search(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, tensor)),
            Err(at) => {
                self.0.insert(at, (name, tensor));
                None
            }
        }
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.search(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Keeps those of which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&String, &mut Tensor) -> bool) {
        self.0.retain_mut(|(name, tensor)| keep(name, tensor));
    }

    /// Moves all of `other` here.
    pub fn append(&mut self, other: &mut Tensors) {
        self.extend(std::mem::take(other));
    }

    /// Names and tensors, by name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&String, &Tensor)> + ExactSizeIterator + Clone {
        self.0.iter().map(|(name, tensor)| (name, tensor))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The tensors, by name.
    pub fn values(&self) -> impl Iterator<Item = &Tensor> {
        self.0.iter().map(|(_, tensor)| tensor)
    }

    /// The tensors, by name, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Tensor> {
        self.0.iter_mut().map(|(_, tensor)| tensor)
    }
}

impl std::ops::Index<&str> for Tensors {
    type Output = Tensor;

    /// # Panics
    /// If no tensor has the name.
    fn index(&self, name: &str) -> &Tensor {
        self.get(name).expect("a tensor of this name")
    }
}

impl Extend<(String, Tensor)> for Tensors {
    fn extend<I: IntoIterator<Item = (String, Tensor)>>(&mut self, tensors: I) {
        for (name, tensor) in tensors {
            self.insert(name, tensor);
        }
    }
}

impl FromIterator<(String, Tensor)> for Tensors {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(tensors: I) -> Self {
        let mut all = Tensors::new();
        all.extend(tensors);
        all
    }
}

impl<const N: usize> From<[(String, Tensor); N]> for Tensors {
    fn from(tensors: [(String, Tensor); N]) -> Self {
        tensors.into_iter().collect()
    }
}

impl IntoIterator for Tensors {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<(String, Tensor)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Tensors {
    type Item = (&'a String, &'a Tensor);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (String, Tensor)>, fn(&'a (String, Tensor)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, tensor)| (name, tensor))
    }
}

impl<'a> IntoIterator for &'a mut Tensors {
    type Item = (&'a String, &'a mut Tensor);
    type IntoIter =
        std::iter::Map<std::slice::IterMut<'a, (String, Tensor)>, fn(&'a mut (String, Tensor)) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(|(name, tensor)| (&*name, tensor))
    }
}
