//! What was seen before: ids of events, and impressions of a list.

use super::index::Index;
use crate::json::{Notes, Read};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The hashes of the latest things, to tell one that comes again.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// A ring once it is full.
    hashes: Vec<u64>,
    /// The oldest of a full ring.
    oldest: usize,
    index: Index,
}

impl Seen {
    /// As many as are remembered.
    pub const CAP: usize = 1024;

    /// Remembers `hash`; false if it is remembered already.
    pub fn insert(&mut self, hash: u64) -> bool {
        if self.index.find(hash, |place| self.hashes[place] == hash).is_some() {
            return false;
        }
        let place = self.oldest;
        if self.hashes.len() < Self::CAP {
            self.hashes.push(hash);
            self.index.link(self.hashes.len() - 1, &self.hashes);
        } else {
            self.index.unlink(place, &self.hashes);
            self.hashes[place] = hash;
            self.index.link(place, &self.hashes);
            self.oldest = (place + 1) % Self::CAP;
        }
        true
    }
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (newer, older) = self.hashes.split_at(self.oldest);
        serializer.collect_seq(older.iter().chain(newer))
    }
}

impl Read for Seen {
    fn read(value: &Value, notes: &mut Notes) -> Self {
        let hashes = Vec::<u64>::read(value, notes);
        let mut seen = Seen::default();
        if hashes.len() > Self::CAP {
            notes.wrong("it is longer than what is remembered");
            return seen;
        }
        hashes.into_iter().for_each(|hash| {
            seen.insert(hash);
        });
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn the_latest_are_known_and_no_older_ones() {
        let mut seen = Seen::default();
        let cap = Seen::CAP as u64;
        for hash in 0..3 * cap {
            assert!(seen.insert(hash * 7) && !seen.insert(hash * 7));
        }
        let mut again: Seen = json::parse(&serde_json::to_string(&seen).unwrap()).unwrap();
        for seen in [&mut seen, &mut again] {
            assert!((2 * cap..3 * cap).all(|hash| !seen.insert(hash * 7)));
            assert!(seen.insert((2 * cap - 1) * 7));
            assert!(seen.insert(2 * cap * 7), "the oldest made room");
        }
        assert_eq!(serde_json::to_string(&seen).unwrap(), serde_json::to_string(&again).unwrap());
        let long: Vec<u64> = (0..=cap).collect();
        assert!(json::parse::<Seen>(&serde_json::to_string(&long).unwrap()).is_err());
    }
}
