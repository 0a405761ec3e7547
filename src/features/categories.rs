//! Categories as numbers: places in a vocabulary, buckets of a hash.

use super::schema::Feature;
use ranklet_kernels::hash::{hash64, rehash};
use ranklet_kernels::sorted::sorted;

/// What tells a feature's categories apart.
#[derive(Debug, Clone)]
pub(super) struct Categories {
    /// Known values.
    values: Vec<String>,
    /// Places in the order of the values.
    order: Vec<usize>,
    /// Hash buckets; 0: the vocabulary.
    buckets: u64,
    offset: f64,
    unknown: f64,
}

impl Categories {
    #[inline(never)]
    pub fn new(f: &Feature) -> Self {
        let values = &f.vocabulary;
        Categories {
            values: values.clone(),
            order: sorted(values.len(), &|a, b| values[a].cmp(&values[b])),
            buckets: u64::from(f.hash_buckets.unwrap_or(0)),
            offset: f64::from(f.offset.unwrap_or(0)),
            unknown: f.unknown.unwrap_or(-1.0),
        }
    }

    /// Place of a category under one of the hash functions, of a value that stands twice in the vocabulary the first;
    /// None where it is unknown.
    #[inline(never)]
    pub fn place(&self, text: &str, function: usize) -> Option<usize> {
        if self.buckets > 0 {
            return Some((rehash(hash64(text), function as u64) % self.buckets) as usize);
        }
        let at = self.order.partition_point(|&i| self.values[i].as_str() < text);
        self.order.get(at).copied().filter(|&i| self.values[i] == text)
    }

    /// The index of a category.
    pub fn index(&self, text: &str, function: usize) -> f64 {
        self.place(text, function).map_or(self.unknown, |at| at as f64 + self.offset)
    }
}
