//! Where a thing stands in a list, by its hash.

/// Open addressing with linear probing over the places of a list of at most 32,767 things, whose hashes the list keeps.
/// Nothing is ever read in the order of the cells, so that no result hangs on it.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// A place plus one; 0 is free. Always a power of two, and never more than half full.
    cells: Vec<u16>,
}

impl Index {
    fn home(&self, hash: u64) -> usize {
        hash as usize & (self.cells.len() - 1)
    }

    fn next(&self, cell: usize) -> usize {
        (cell + 1) & (self.cells.len() - 1)
    }

    /// The first place for which `is` holds among those whose hash may be `hash`.
    pub fn find(&self, hash: u64, is: impl Fn(usize) -> bool) -> Option<usize> {
        if self.cells.is_empty() {
            return None;
        }
        let mut cell = self.home(hash);
        loop {
            let place = usize::from(self.cells[cell]).checked_sub(1)?;
            if is(place) {
                return Some(place);
            }
            cell = self.next(cell);
        }
    }

    /// Notes that the thing at `place` has the hash that stands there in `hashes`, the whole list's.
    pub fn link(&mut self, place: usize, hashes: &[u64]) {
        if self.cells.len() < 2 * hashes.len() {
            self.cells = vec![0; (2 * hashes.len()).next_power_of_two()];
            (0..hashes.len()).for_each(|place| self.put(place, hashes[place]));
        } else {
            self.put(place, hashes[place]);
        }
    }

    fn put(&mut self, place: usize, hash: u64) {
        let mut cell = self.home(hash);
        while self.cells[cell] != 0 {
            cell = self.next(cell);
        }
        self.cells[cell] = place as u16 + 1;
    }

    /// Forgets the thing at `place`, whose hash still stands in `hashes`.
    pub fn unlink(&mut self, place: usize, hashes: &[u64]) {
        let mut hole = self.home(hashes[place]);
        while usize::from(self.cells[hole]) != place + 1 {
            hole = self.next(hole);
        }
        // What follows without a gap moves up, so that no search stops short of it.
        let mask = self.cells.len() - 1;
        let mut cell = hole;
        loop {
            cell = self.next(cell);
            let Some(other) = usize::from(self.cells[cell]).checked_sub(1) else { break };
            let from_home = cell.wrapping_sub(self.home(hashes[other])) & mask;
            if from_home >= cell.wrapping_sub(hole) & mask {
                self.cells[hole] = self.cells[cell];
                hole = cell;
            }
        }
        self.cells[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_linked_is_found_and_nothing_else(steps in prop::collection::vec((0u64..24, 0usize..24), 1..200)) {
            let (mut index, mut hashes) = (Index::default(), Vec::<u64>::new());
            for (hash, at) in steps {
                // Hashes that meet in the low bits: long chains, and chains over the end.
                let hash = hash % 5 + 8 * (hash / 5);
                match hashes.get(at).copied() {
                    None => {
                        hashes.push(hash);
                        index.link(hashes.len() - 1, &hashes);
                    }
                    Some(_) => {
                        index.unlink(at, &hashes);
                        hashes[at] = hash;
                        index.link(at, &hashes);
                    }
                }
                for (place, &hash) in hashes.iter().enumerate() {
                    prop_assert_eq!(index.find(hash, |p| p == place), Some(place));
                }
                prop_assert_eq!(index.find(4, |_| false), None);
                prop_assert_eq!(index.cells.iter().filter(|c| **c != 0).count(), hashes.len());
            }
        }
    }
}
