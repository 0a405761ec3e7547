//! A bounded table by name, which forgets the lightest.

use super::index::Index;
use crate::json::{Notes, Read};
use ranklet_kernels::hash::hash64;
use ranklet_kernels::sorted::sorted;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// What a table weighs its values by.
pub(super) trait Weighed: Clone + Default {
    /// Finite.
    fn weight(&self) -> f64;
}

/// Values by name, at most `cap` of them. One more, and that of the least weight goes (of equals the first by name), be it
/// the newcomer. Found by hash; once full, a heap tells the lightest.
#[derive(Debug, Clone)]
pub(super) struct Subjects<V> {
    slots: Slots,
    values: Vec<V>,
}

/// The part that does not depend on the values, which is compiled once.
#[derive(Debug, Clone, Default)]
struct Slots {
    cap: usize,
    names: Vec<String>,
    hashes: Vec<u64>,
    weights: Vec<f64>,
    index: Index,
    /// Slots, each lighter than the two at twice its place; empty until the table is full.
    heap: Vec<u16>,
    /// Of each slot, its place in the heap.
    places: Vec<u16>,
}

impl<V: Weighed> Subjects<V> {
    pub fn new(cap: usize) -> Self {
        Subjects { slots: Slots { cap, ..Slots::default() }, values: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn get(&self, name: &str) -> Option<&V> {
        if self.values.is_empty() {
            return None;
        }
        self.slots.find(name, hash64(name)).map(|slot| &self.values[slot])
    }

    /// Changes the value of `name`, a new one if there was none; `weight` is what a new one will weigh at least. Returns
    /// whether something was forgotten for it, or it was for something.
    pub fn change(&mut self, name: &str, weight: f64, change: &dyn Fn(&mut V)) -> bool {
        let before = self.len();
        let Some((slot, new)) = self.slots.of(name, weight) else { return true };
        let evicted = new && slot < before;
        if evicted {
            self.values[slot] = V::default();
        } else if new {
            self.values.push(V::default());
        }
        change(&mut self.values[slot]);
        self.slots.sift(slot, self.values[slot].weight());
        evicted
    }

    /// The values, in no order that means anything.
    pub fn values(&self) -> &[V] {
        &self.values
    }

    /// The same with other values, within another cap; also how many were forgotten for it.
    pub fn mapped(&self, cap: usize, map: &dyn Fn(&V) -> V) -> (Self, u64) {
        let mut new = Subjects::new(cap);
        let mut evicted = 0;
        for &slot in &self.slots.by_name() {
            let value = map(&self.values[slot]);
            evicted +=
                u64::from(new.change(&self.slots.names[slot], value.weight(), &|v: &mut V| v.clone_from(&value)));
        }
        (new, evicted)
    }
}

impl Slots {
    fn find(&self, name: &str, hash: u64) -> Option<usize> {
        self.index.find(hash, |slot| self.hashes[slot] == hash && self.names[slot] == name)
    }

    /// The slot of a name, and whether it is new; None when a new one is the lightest of all.
    #[inline(never)]
    fn of(&mut self, name: &str, weight: f64) -> Option<(usize, bool)> {
        let hash = hash64(name);
        if let Some(slot) = self.find(name, hash) {
            return Some((slot, false));
        }
        let n = self.names.len();
        if n < self.cap {
            self.names.push(name.to_owned());
            self.hashes.push(hash);
            self.weights.push(weight);
            self.index.link(n, &self.hashes);
            return Some((n, true));
        }
        if self.heap.is_empty() {
            self.build();
        }
        let slot = usize::from(*self.heap.first()?);
        let lightest = self.weights[slot];
        if weight < lightest || (weight == lightest && name < self.names[slot].as_str()) {
            return None;
        }
        self.index.unlink(slot, &self.hashes);
        name.clone_into(&mut self.names[slot]);
        self.hashes[slot] = hash;
        self.weights[slot] = weight;
        self.index.link(slot, &self.hashes);
        Some((slot, true))
    }

    fn lighter(&self, a: u16, b: u16) -> bool {
        let (a, b) = (usize::from(a), usize::from(b));
        let (x, y) = (self.weights[a], self.weights[b]);
        x < y || (x == y && self.names[a] < self.names[b])
    }

    fn build(&mut self) {
        self.heap = (0..self.names.len() as u16).collect();
        self.places = self.heap.clone();
        for at in (0..self.heap.len() / 2).rev() {
            self.sink(at);
        }
    }

    /// Puts a slot where its weight belongs.
    fn sift(&mut self, slot: usize, weight: f64) {
        self.weights[slot] = weight;
        if self.heap.is_empty() {
            return;
        }
        let mut at = usize::from(self.places[slot]);
        while at > 0 && self.lighter(self.heap[at], self.heap[(at - 1) / 2]) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        self.sink(at);
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let child = 2 * at + 1;
            let Some(&left) = self.heap.get(child) else { return };
            let right = self.heap.get(child + 1).is_some_and(|&right| self.lighter(right, left));
            let child = child + usize::from(right);
            if !self.lighter(self.heap[child], self.heap[at]) {
                return;
            }
            self.swap(at, child);
            at = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.places[usize::from(self.heap[a])] = a as u16;
        self.places[usize::from(self.heap[b])] = b as u16;
    }

    fn by_name(&self) -> Vec<usize> {
        sorted(self.names.len(), &|a, b| self.names[a].cmp(&self.names[b]))
    }
}

/// By what it holds, not by where.
impl<V: PartialEq + Weighed> PartialEq for Subjects<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.slots.names.iter().zip(&self.values).all(|(name, value)| other.get(name) == Some(value))
    }
}

impl<V: Serialize> Serialize for Subjects<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = |slot: usize| (&self.slots.names[slot], &self.values[slot]);
        serializer.collect_map(self.slots.by_name().into_iter().map(entry))
    }
}

/// As large as the text has it; the reader bounds it.
impl<V: Read + Weighed> Read for Subjects<V> {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let mut table = Subjects::new(Slots::MOST);
        match value {
            Value::Object(entries) => {
                for (name, value) in entries {
                    let value = V::read(value, notes);
                    if table.change(name, value.weight(), &|v: &mut V| v.clone_from(&value)) {
                        notes.wrong("it is larger than the caps");
                    }
                }
            }
            _ => notes.wrong("an object was expected"),
        }
        table
    }
}

impl Slots {
    /// The largest cap there is.
    const MOST: usize = 4096;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Weighed for i64 {
        fn weight(&self) -> f64 {
            *self as f64
        }
    }

    proptest! {
        #[test]
        fn a_table_keeps_the_heaviest(steps in prop::collection::vec(("[a-f]{1,2}", -9i64..9), 0..120), cap in 1usize..9) {
            let (mut table, mut naive) = (Subjects::<i64>::new(cap), BTreeMap::<String, i64>::new());
            for (name, by) in steps {
                let evicted = table.change(&name, by as f64, &|v| *v += by);
                *naive.entry(name).or_insert(0) += by;
                let least = naive.iter().min_by_key(|(_, v)| **v).map(|(k, _)| k.clone());
                prop_assert_eq!(evicted, naive.len() > cap);
                if naive.len() > cap {
                    least.map(|k| naive.remove(&k));
                }
                prop_assert_eq!(table.len(), naive.len());
                prop_assert!(naive.iter().all(|(k, v)| table.get(k) == Some(v)));
            }
            let text = serde_json::to_string(&table).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&naive).unwrap());
            prop_assert_eq!(&json::parse::<Subjects<i64>>(&text).unwrap(), &table);
            let (small, evicted) = table.mapped(cap / 2 + 1, &|v| 2 * v);
            prop_assert_eq!(small.len() as u64 + evicted, table.len() as u64);
            prop_assert!(small.values().iter().all(|v| v % 2 == 0));
        }
    }
}
