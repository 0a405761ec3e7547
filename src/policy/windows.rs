//! Windows: the earliest and the latest slot of each item, and whether every item still gets one.
//!
//! Items and slots are equal in number, an item takes any slot of an interval: a convex bipartite graph. A choice for the
//! next slot leaves a perfect matching exactly if it comes from the smallest tight set, that of the least deadline by
//! which as many items as slots remain (Hall's condition); nothing else need be looked at (Glover 1967).

/// The slots of one item, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// First slot.
    pub earliest: u32,
    /// Last slot.
    pub latest: u32,
}

/// Working memory of [`completable`].
#[derive(Debug, Clone, Default)]
pub(super) struct Matching {
    /// Where the items of a deadline begin in `by_latest`.
    starts: Vec<u32>,
    by_latest: Vec<u32>,
    /// By slot: itself if it is free, else a slot nearer to the next free one.
    free: Vec<u32>,
}

impl Matching {
    /// Whether each window gets a slot of its own among as many slots. In order of deadlines, each takes the first free
    /// slot from its earliest: if that fails, no other order does.
    pub fn completable(&mut self, windows: &[Window]) -> bool {
        let n = windows.len();
        self.starts.clear();
        self.starts.resize(n + 1, 0);
        for w in windows {
            if w.earliest > w.latest || w.latest as usize >= n {
                return false;
            }
            self.starts[w.latest as usize + 1] += 1;
        }
        for b in 0..n {
            self.starts[b + 1] += self.starts[b];
            if self.starts[b + 1] as usize > b + 1 {
                return false;
            }
        }
        self.by_latest.clear();
        self.by_latest.resize(n, 0);
        for (i, w) in windows.iter().enumerate() {
            let at = &mut self.starts[w.latest as usize];
            self.by_latest[*at as usize] = i as u32;
            *at += 1;
        }
        self.free.clear();
        self.free.extend(0..=n as u32);
        for at in 0..n {
            let w = windows[self.by_latest[at] as usize];
            let slot = self.next_free(w.earliest);
            if slot > w.latest {
                return false;
            }
            self.free[slot as usize] = slot + 1;
        }
        true
    }

    fn next_free(&mut self, from: u32) -> u32 {
        let mut slot = from;
        while self.free[slot as usize] != slot {
            // Halving the path keeps every walk short.
            let next = self.free[slot as usize];
            self.free[slot as usize] = self.free[next as usize];
            slot = next;
        }
        slot
    }
}

/// The items that remain, counted by deadline.
#[derive(Debug, Clone, Default)]
pub(super) struct Deadlines {
    remaining: Vec<u32>,
    /// One past the greatest deadline that is not the last slot.
    last: usize,
    /// Slots for which no set can have become tight: each choice takes at most one from what a deadline has to spare.
    quiet: usize,
}

impl Deadlines {
    pub fn start(&mut self, windows: &[Window]) {
        let n = windows.len();
        self.remaining.clear();
        self.remaining.resize(n, 0);
        self.last = 0;
        self.quiet = 0;
        for w in windows {
            self.remaining[w.latest as usize] += 1;
            if (w.latest as usize) + 1 < n {
                self.last = self.last.max(w.latest as usize + 1);
            }
        }
    }

    /// Least deadline by which as many items as slots from `slot` on remain: the choice for `slot` must not have a
    /// later one. Asked once for each slot, in order.
    pub fn tight(&mut self, slot: usize) -> u32 {
        if self.quiet > 0 {
            self.quiet -= 1;
        } else {
            let (mut items, mut spare) = (0, usize::MAX);
            for b in slot..self.last {
                items += self.remaining[b] as usize;
                spare = spare.min(b + 1 - slot - items);
                if spare == 0 {
                    return b as u32;
                }
            }
            self.quiet = spare - 1;
        }
        self.remaining.len() as u32 - 1
    }

    pub fn take(&mut self, window: Window) {
        self.remaining[window.latest as usize] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether the items from `i` on find slots that are not taken: tries them all.
    fn naive(windows: &[Window], i: usize, taken: u32) -> bool {
        i == windows.len()
            || (windows[i].earliest..=windows[i].latest)
                .any(|slot| taken & (1 << slot) == 0 && naive(windows, i + 1, taken | (1 << slot)))
    }

    fn windows() -> impl Strategy<Value = Vec<Window>> {
        (1u32..8).prop_flat_map(|n| {
            prop::collection::vec((0..n, 0..n), n as usize).prop_map(move |ends| {
                // One in two unbounded below or above, as where nothing but a pin or a cooldown bounds it.
                let window = |(i, (a, b)): (usize, (u32, u32))| match i % 4 {
                    0 => Window { earliest: 0, latest: a.max(b) },
                    1 => Window { earliest: a.min(b), latest: n - 1 },
                    _ => Window { earliest: a.min(b), latest: a.max(b) },
                };
                ends.into_iter().enumerate().map(window).collect()
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn completable_is_what_trying_every_matching_says(windows in windows()) {
            prop_assert_eq!(Matching::default().completable(&windows), naive(&windows, 0, 0));
        }

        #[test]
        fn a_choice_is_allowed_exactly_if_the_rest_can_still_be_matched(windows in windows(), picks in prop::collection::vec(0usize..8, 8)) {
            if !naive(&windows, 0, 0) {
                return Ok(());
            }
            let n = windows.len();
            let mut deadlines = Deadlines::default();
            deadlines.start(&windows);
            let mut rest: Vec<Window> = windows.clone();
            for slot in 0..n {
                let tight = deadlines.tight(slot);
                let mut allowed = Vec::new();
                for i in 0..rest.len() {
                    let fits = rest[i].earliest <= slot as u32 && rest[i].latest >= slot as u32;
                    let mut others = rest.clone();
                    others.remove(i);
                    let leaves = naive(&others, 0, (1 << (slot + 1)) - 1);
                    let says = rest[i].earliest <= slot as u32 && rest[i].latest <= tight;
                    prop_assert_eq!(says, fits && leaves, "slot {} of {:?}, item {}", slot, rest, i);
                    if says {
                        allowed.push(i);
                    }
                }
                let taken = rest.remove(allowed[picks[slot] % allowed.len()]);
                deadlines.take(taken);
            }
        }
    }
}
