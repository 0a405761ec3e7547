//! Categories as numbers: places in a vocabulary, buckets of a hash.

use super::schema::{Encode, Feature};
use crate::sorted::sorted;
use ranklet_kernels::hash::{hash64, rehash};

/// What tells categories apart.
#[derive(Debug, Clone)]
enum Known {
    Vocabulary(Vocabulary),
    Buckets(u64),
}

/// How a feature's categories become numbers.
#[derive(Debug, Clone)]
pub(super) struct Categories {
    known: Known,
    /// A column each instead of an index.
    hot: bool,
    /// Columns of an index.
    hashes: u64,
    offset: f64,
    unknown: f64,
}

impl Categories {
    pub fn new(f: &Feature) -> Self {
        let known = match f.hash_buckets {
            // A schema has no 0 buckets; the division must not depend on it.
            Some(buckets) => Known::Buckets(u64::from(buckets.max(1))),
            None => Known::Vocabulary(Vocabulary::new(&f.vocabulary)),
        };
        Categories {
            known,
            hot: f.encode == Encode::OneHot,
            hashes: u64::from(f.hashes.unwrap_or(1)),
            offset: f64::from(f.offset.unwrap_or(0)),
            unknown: f.unknown.unwrap_or(-1.0),
        }
    }

    /// Place of a category under one of the hash functions; None where it is unknown.
    pub fn place(&self, text: &str, function: u64) -> Option<usize> {
        match &self.known {
            Known::Vocabulary(values) => values.place(text),
            Known::Buckets(buckets) => Some((rehash(hash64(text), function) % buckets) as usize),
        }
    }

    /// Gives each of `columns` its number, for a text or a missing one.
    pub fn write(&self, text: Option<&str>, columns: usize, put: &mut dyn FnMut(usize, f64)) {
        if self.hot {
            let at = text.and_then(|text| self.place(text, 0));
            (0..columns).for_each(|column| put(column, if at == Some(column) { 1.0 } else { 0.0 }));
            return;
        }
        for function in 0..self.hashes {
            let index = |text: &str| self.place(text, function).map_or(self.unknown, |at| at as f64 + self.offset);
            put(function as usize, text.map_or(f64::NAN, index));
        }
    }
}

/// Values and their places, sorted by value.
#[derive(Debug, Clone)]
struct Vocabulary {
    values: Vec<String>,
    /// Places in the order of the values.
    order: Vec<usize>,
}

impl Vocabulary {
    fn new(values: &[String]) -> Self {
        let order = sorted(values.len(), &|a, b| values[a].cmp(&values[b]));
        Vocabulary { values: values.to_vec(), order }
    }

    /// Place of `text`; of a value that stands twice the first.
    fn place(&self, text: &str) -> Option<usize> {
        let at = self.order.partition_point(|&i| self.values[i].as_str() < text);
        self.order.get(at).copied().filter(|&i| self.values[i] == text)
    }
}
