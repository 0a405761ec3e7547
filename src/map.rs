//! One map for the whole runtime: a generic one is compiled anew for every type, and a page pays for each.

use crate::json::{Notes, Read};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A map in one sorted list. Its code is a tenth of a `BTreeMap`'s, which is compiled anew for every type of
/// value; an insertion moves at most a few thousand small entries.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Map<V> {
    entries: Vec<(String, V)>,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Map { entries: Vec::new() }
    }
}

impl<V> Map<V> {
    fn search(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(k, _)| k.as_str().cmp(key))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.search(key).ok().map(|i| &self.entries[i].1)
    }

    /// The value of `key`, put there by `new` if there was none.
    pub fn entry(&mut self, key: &str, new: impl FnOnce() -> V) -> &mut V {
        let at = self.search(key).unwrap_or_else(|at| {
            self.entries.insert(at, (key.to_owned(), new()));
            at
        });
        &mut self.entries[at].1
    }

    /// The values, in order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Removes the entry for which `weight` is smallest; of equals the first by key.
    pub fn remove_least(&mut self, weight: impl Fn(&V) -> f64) {
        let mut least: Option<(usize, f64)> = None;
        for (i, (_, value)) in self.entries.iter().enumerate() {
            let w = weight(value);
            if least.is_none_or(|(_, l)| w < l) {
                least = Some((i, w));
            }
        }
        if let Some((i, _)) = least {
            self.entries.remove(i);
        }
    }
}

impl<V: Serialize> Serialize for Map<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries.iter().map(|(k, v)| (k, v)))
    }
}

impl<V: Read> Read for Map<V> {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let mut map = Map::default();
        match value {
            // A JSON map comes in any order.
            Value::Object(entries) => {
                for (key, item) in entries {
                    map.entry(key, || V::read(item, notes));
                }
            }
            _ => notes.wrong("an object was expected"),
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_map_is_a_map(steps in prop::collection::vec((any::<bool>(), "[a-d]{1,2}", 0i64..9), 0..60)) {
            let (mut map, mut naive) = (Map::<i64>::default(), BTreeMap::new());
            for (least, key, value) in steps {
                if least {
                    map.remove_least(|v| *v as f64);
                    let least = naive.iter().min_by_key(|(_, v)| **v).map(|(k, _): (&String, &i64)| k.clone());
                    least.map(|k| naive.remove(&k));
                } else {
                    *map.entry(&key, || 0) += value;
                    *naive.entry(key.clone()).or_insert(0) += value;
                }
                prop_assert_eq!((map.len(), map.get(&key)), (naive.len(), naive.get(&key)));
            }
            let json = serde_json::to_string(&map).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&naive).unwrap());
            prop_assert_eq!(crate::json::parse::<Map<i64>>(&json).unwrap(), map);
        }
    }
}
